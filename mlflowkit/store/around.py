"""What the submitters of runs had around them, as the store keeps it: no secret in clear.

Variables of the environment that look like secrets, connections, and URLs with a password
are encrypted with the keys of the home. Equal surroundings are stored once, so the hash is
that of the plain text. Where no key fits any more, those variables are left out, and named in
the log: whatever does not need them goes on.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.sqlite import insert as upsert_into

from mlflowkit.core.masking import looks_secret
from mlflowkit.errors import WrongFernetKey
from mlflowkit.ports import Surroundings
from mlflowkit.store import codec, fernet
from mlflowkit.store.fernet import Keys
from mlflowkit.store.tables import texts

log = logging.getLogger("mlflowkit.store")
_SEALED: Final = "sealed"
_WHAT: Final = "the environment of a run"
_PREFIXES: Final = ("MLFLOWKIT_CONN_", "MLFLOWKIT_VAR_", "AIRFLOW_CONN_", "AIRFLOW_VAR_")
_MORE: Final = re.compile(
    r"(?i)pass|(access|api|private|signing|encryption).?key|dsn$|auth"
)
_URL_WITH_PASSWORD: Final = re.compile(r"://[^/\s:@]*:[^/\s@]+@")


def is_secret(name: str, value: str) -> bool:
    """Whether a variable of the environment is kept encrypted."""
    return _by_name(name) or ("://" in value and bool(_URL_WITH_PASSWORD.search(value)))


@lru_cache(maxsize=1024)
def _by_name(name: str) -> bool:
    known = name.startswith(_PREFIXES) or looks_secret(name)
    return known or _MORE.search(name) is not None


def keep(tx: Connection, around: Surroundings) -> str:
    """Store surroundings, unless they are there. Returns their hash."""
    plain = codec.encode(around)
    hidden = {k: v for k, v in around.env.items() if is_secret(k, v)}
    sha256 = codec.digest(plain if not hidden else b"sealed " + plain)
    there = select(texts.c.sha256).where(texts.c.sha256 == sha256)
    if tx.execute(there).scalar() is None:
        body = plain if not hidden else _sealed(fernet.keys_of(_home(tx)), around, hidden)
        new = {"sha256": sha256, "body": body}
        tx.execute(upsert_into(texts).on_conflict_do_nothing(), new)
    return sha256


def read(tx: Connection, sha256: str) -> Surroundings:
    """Surroundings that were kept."""
    body = tx.execute(select(texts.c.body).where(texts.c.sha256 == sha256)).scalar_one()
    return opened(tx, body)


def opened(tx: Connection, body: bytes) -> Surroundings:
    """Surroundings from the text that they were kept as."""
    try:
        return _opened(_home(tx), body)
    except WrongFernetKey as exc:
        log.warning("%s Until then its secret variables are missing in its tasks.", exc)
        fields = msgspec.json.decode(body)
        return msgspec.convert(fields, Surroundings)


def encrypt_again(tx: Connection, keys: Keys) -> None:
    """Write all of them with the first key; what no key opens stays as it is."""
    marked = func.instr(texts.c.body, b'"sealed":"') > 0
    for sha256, body in tx.execute(select(texts).where(marked)).all():
        fields: dict[str, Any] = msgspec.json.decode(body)
        try:
            text = keys.decrypt(fields[_SEALED].encode(), _WHAT)
        except (KeyError, WrongFernetKey):
            continue
        fields[_SEALED] = keys.encrypt(text).decode()
        changed = {"body": codec.encode(fields)}
        tx.execute(update(texts).where(texts.c.sha256 == sha256).values(changed))


def _home(tx: Connection) -> Path:
    """The folder of the store: its keys lie beside it."""
    return Path(str(tx.engine.url.database)).parent


def _sealed(keys: Keys, around: Surroundings, hidden: Mapping[str, str]) -> bytes:
    fields: dict[str, Any] = msgspec.to_builtins(around)
    fields["env"] = {k: v for k, v in around.env.items() if k not in hidden}
    fields[_SEALED] = keys.encrypt(codec.encode(hidden).decode()).decode()
    return codec.encode(fields)


@lru_cache(maxsize=64)
def _opened(home: Path, body: bytes) -> Surroundings:
    fields: dict[str, Any] = msgspec.json.decode(body)
    token = fields.pop(_SEALED, None)
    if token is not None:
        text = fernet.keys_of(home).decrypt(token.encode(), _WHAT)
        fields["env"] |= msgspec.json.decode(text, type=dict[str, str])
    return msgspec.convert(fields, Surroundings)
