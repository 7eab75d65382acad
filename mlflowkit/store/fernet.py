"""The keys that encrypt what the store keeps secret. The one place that imports cryptography.

`MLFLOWKIT_FERNET_KEY` holds one key or several, separated by commas: the first encrypts,
all decrypt. Without it the keys are those of `HOME/fernet.key` (one a line, 0600), which is
made when the first secret is stored; with it, the file's keys only decrypt. Keys are read
anew each time, so that a rotation is seen by every process.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlflowkit.errors import BadFernetKey, HomeUnwritable, WrongFernetKey

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

VARIABLE: Final = "MLFLOWKIT_FERNET_KEY"
FILE: Final = "fernet.key"


class Keys:
    """Some Fernet keys; the first one encrypts."""

    def __init__(self, fernets: Sequence[Fernet], where: str) -> None:
        self._fernets, self._where = list(fernets), where

    def encrypt(self, text: str) -> bytes:
        """`text`, readable only with the first key."""
        return self._fernets[0].encrypt(text.encode())

    def decrypt(self, body: bytes, what: str) -> str:
        """What `encrypt` was given.

        Args:
            body: A token of `encrypt`.
            what: What it is, for messages: "the connection 'db'".

        Raises:
            WrongFernetKey: none of the keys fits.
        """
        from cryptography.fernet import InvalidToken

        for fernet in self._fernets:
            with suppress(InvalidToken):
                return fernet.decrypt(body).decode()
        raise WrongFernetKey(what, self._where)


def keys_of(home: Path) -> Keys:
    """The keys in force for the store of a home. A key file is made if there is no key at all.

    Raises:
        BadFernetKey: what should be a key is none.
        HomeUnwritable: the key file cannot be made or read.
    """
    from_env = os.environ.get(VARIABLE, "")
    in_file = _read(home / FILE)
    if not from_env.strip() and not in_file:
        in_file = _make(home / FILE)
    named = [_fernet(key, VARIABLE) for key in from_env.split(",") if key.strip()]
    kept = [_fernet(key, str(home / FILE)) for key in in_file]
    places = [VARIABLE] * bool(named) + [str(home / FILE)] * bool(kept)
    return Keys([*named, *kept], " and ".join(f"the key of {place}" for place in places))


def begin_rotation(home: Path) -> None:
    """Where the keys are in the file: put a new one before them, which encrypts from now on.

    Keys of the environment are the person's to change.
    """
    if not os.environ.get(VARIABLE, "").strip():
        from cryptography.fernet import Fernet

        keys = _read(home / FILE)
        _write(home / FILE, [Fernet.generate_key().decode(), *keys])


def end_rotation(home: Path) -> None:
    """Everything is encrypted with the first key: forget the others in the file."""
    if not os.environ.get(VARIABLE, "").strip():
        _write(home / FILE, _read(home / FILE)[:1])


def _fernet(key: str, where: str) -> Fernet:
    from cryptography.fernet import Fernet

    try:
        return Fernet(key.strip())
    except ValueError:
        raise BadFernetKey(where, "its length or its characters do not fit") from None


def _read(path: Path) -> list[str]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        raise BadFernetKey(str(path), "it is no text") from None
    except OSError as exc:
        raise HomeUnwritable(path.parent, exc.strerror or str(exc)) from exc
    keys = text.split()
    if not keys:
        raise BadFernetKey(str(path), "it is empty")
    return keys


def _make(path: Path) -> list[str]:
    """A key file with a new key; the one of another process, if that was faster."""
    from cryptography.fernet import Fernet

    temporary = _temporary(path, [Fernet.generate_key().decode()])
    try:
        with suppress(FileExistsError):
            os.link(temporary, path)
    except OSError as exc:
        raise HomeUnwritable(path.parent, exc.strerror or str(exc)) from exc
    finally:
        temporary.unlink()
    return _read(path)


def _write(path: Path, keys: Sequence[str]) -> None:
    _temporary(path, keys).replace(path)


def _temporary(path: Path, keys: Sequence[str]) -> Path:
    """A file beside `path` that holds the keys, on the disk before anybody relies on it."""
    made = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write("".join(f"{key}\n" for key in keys))
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        raise HomeUnwritable(path.parent, exc.strerror or str(exc)) from exc
    return made
