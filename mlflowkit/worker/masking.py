"""The secret values that this process has met, and who else must know of them.

Whoever resolves a secret hands it to `mask_secret` before the task's code gets it. In a
worker that tells the supervisor, which writes the attempt's log, and waits until it knows;
in a notebook's kernel it tells the worker. Nothing here is written down or printed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

import msgspec

from mlflowkit.core.connection import ENV_PREFIX, Connection
from mlflowkit.core.masking import Masker, can_be_hidden, looks_secret, secrets_by_name
from mlflowkit.core.secret_forms import SHORTEST, stored_forms, unwrapped
from mlflowkit.core.values import StoredValue
from mlflowkit.errors import InvalidConnection, SecretInValue, SecretTooShort
from mlflowkit.worker.protocol import Ended

log = logging.getLogger("mlflowkit.secrets")
VARIABLE_PREFIX: Final = "MLFLOWKIT_VAR_"

Tell = Callable[[list[str]], None]

#: All that was met in this process.
_masker = Masker()
_tells: list[Tell] = []
#: What was said to be too short; once is enough.
_said: set[str] = set()


def masker() -> Masker:
    """Hides what this process has met so far."""
    return _masker


def tell_with(tell: Tell) -> None:
    """Hand new secrets to `tell`, too, before `mask_secret` returns. Twice is once."""
    if tell not in _tells:
        _tells.append(tell)


def mask_secret(secret: object, name: str | None = None) -> None:
    """From now on show `***` for a value in the logs and screens of the running task.

    Args:
        secret: A text; or a dict or list, whose texts are meant.
        name: What it is called. With a name that does not look secret, only the parts of
            it are hidden that have such names themselves, as in Airflow.

    A value of fewer than 5 characters is no secret, and is not hidden; a warning says so.
    """
    if name is not None and not looks_secret(name):
        hide(secrets_by_name(secret), name)
    else:
        hide(_texts(secret), name or "a value given to mask_secret")


def hide(values: Iterable[str], what: str) -> None:
    """Hide these values.

    Args:
        values: Those that are too short are named in a warning, once.
        what: What they are part of, for that warning.
    """
    values = [value for value in values if value]
    if what not in _said and not all(map(can_be_hidden, values)):
        _said.add(what)
        log.warning(
            "a secret of %s has fewer than %d characters: it is not masked in logs",
            what,
            SHORTEST,
        )
    new = [value for value in _masker.add(values) if _is_text(value)]
    for tell in _tells if new else ():
        tell(new)


# ── what may not be stored ──────────────────────────────────────────────────

#: What was asked for with `secret(...)`: the forms in which it is stored, by what it is.
_guarded: dict[str, set[bytes]] = {}


def guard(values: Iterable[str], what: str) -> None:
    """Hide these values, and refuse to store anything that holds one of them.

    Raises:
        SecretTooShort: one of them is too short to be hidden.
    """
    values = [value for value in values if value]
    if not all(map(can_be_hidden, values)):
        raise SecretTooShort(what, SHORTEST)
    hide(values, what)
    for value in values:
        _guarded.setdefault(what, set()).update(stored_forms(value))


def longest_guarded() -> int:
    """Bytes of the longest form of a guarded secret; 0 where no `secret(...)` was used."""
    return max((len(form) for forms in _guarded.values() for form in forms), default=0)


def guarded_in(data: bytes) -> str:
    """Of which guarded secret a form stands in `data`; empty if of none."""
    lines = unwrapped(data) if _guarded else b""
    for what, forms in _guarded.items():
        if any(form in data or form in lines for form in forms):
            return what
    return ""


def refuse_key(where: str, key: str) -> None:
    """Raises SecretInValue if a guarded secret is in what a value is to be called."""
    if what := guarded_in(key.encode(errors="replace")):
        raise SecretInValue(f"the name of an XCom of {where}", what)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        yield from secrets_by_name(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        for inner in value:
            yield from _texts(inner)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def hide_environment(env: Mapping[str, str] = os.environ) -> None:
    """Hide the secrets that the environment defines: a task may print all of it."""
    for name, text in list(env.items()):
        if name.startswith(ENV_PREFIX) and text.strip():
            hide(_of_connection(name, text), f"the connection in {name}")
        elif name.startswith(VARIABLE_PREFIX) and looks_secret(name):
            hide([text], f"the variable in {name}")


def _of_connection(name: str, text: str) -> list[str]:
    try:
        return Connection.from_text(name, text).secrets()
    except InvalidConnection:
        return [text]  # nobody can use it; its parts cannot be told apart


# ── what an attempt leaves behind ───────────────────────────────────────────


def masked_end(ended: Ended) -> Ended:
    """The end of an attempt as it may be stored and shown. Values stay what they are; their
    previews do not."""
    if not _masker:
        return ended
    facts = {key: _masked_fact(fact) for key, fact in ended.facts.items()}
    return msgspec.structs.replace(
        ended,
        why=_masker.text(ended.why),
        error=_masker.text(ended.error),
        values=[(key, _masked_value(value)) for key, value in ended.values],
        facts=facts,
    )


def _masked_fact(fact: object) -> object:
    if isinstance(fact, StoredValue):
        return _masked_value(fact)
    if isinstance(fact, Mapping) and any(isinstance(v, StoredValue) for v in fact.values()):
        return {key: _masked_fact(inner) for key, inner in fact.items()}
    return _masker.value(fact)


def _masked_value(value: StoredValue) -> StoredValue:
    return replace(value, preview=_masker.text(value.preview))


def shows_secret(*told: object) -> bool:
    """Whether one of these texts, or the repr of one of these objects, has a secret in it."""
    texts = (each if isinstance(each, str) else repr(each) for each in told)
    return bool(_masker) and any(_masker.text(text) != text for text in texts)
