"""Does a variable hold a secret? For what keeps variables of a kernel: checkpoints.

Looks at the value as it would be stored, and stores nothing. Where it cannot tell, because
the value cannot be pickled, it says no: such a value is not kept anyway.
"""

from __future__ import annotations

from typing import Any, Final

from mlflowkit.core.connection import Connection
from mlflowkit.worker import masking

_PLAIN: Final = (type(None), bool, int, float, complex)
#: numpy's kinds of items that no text is made of.
_NUMBERS: Final = frozenset("biufcmM")


def holds_secret(value: object) -> bool:
    """Whether a secret that this process has met is in `value`, at any depth.

    True for the value of a `secret(...)`, for a `Connection` with a password, for a text
    or bytes with the secret in them (also encoded), and for any object that would take one
    along when it is pickled. False at once where this process has met no secret.
    """
    if not masking.masker() or isinstance(value, _PLAIN):
        return False
    if _is_one(value):
        return True
    if isinstance(value, str):
        return _in_bytes(value.encode(errors="replace"))
    if isinstance(value, bytes | bytearray | memoryview):
        return _in_bytes(bytes(value))
    if getattr(getattr(value, "dtype", None), "kind", "") in _NUMBERS and _is_array(value):
        return False
    return _when_pickled(value)


def _is_array(value: object) -> bool:
    return type(value).__module__.partition(".")[0] == "numpy"


def _is_one(value: object) -> bool:
    if isinstance(value, Connection):
        return bool(value.secrets())
    return getattr(type(value), "is_secret_text", False) is True


def _in_bytes(data: bytes) -> bool:
    return bool(masking.guarded_in(data)) or masking.masker().is_in(data)


def _when_pickled(value: object) -> bool:
    sink = _Sink()
    try:
        _pickler(sink).dump(value)
    except _Found:
        return True
    except Exception:  # noqa: BLE001 - any code of a person's objects may run, and fail
        return False
    return False


class _Found(BaseException):
    """A secret was met: nothing more has to be looked at."""


class _Sink:
    """Takes a pickle in pieces, and looks at each with the end of the one before it."""

    def __init__(self) -> None:
        self._tail = b""
        longest = max(len(p) for p in masking.masker().patterns)
        self._overlap = max(longest, masking.longest_guarded())

    def write(self, data: Any) -> int:
        piece = bytes(data)
        seen = self._tail + piece
        if _in_bytes(seen):
            raise _Found
        self._tail = seen[-self._overlap :]
        return len(piece)


def _pickler(sink: _Sink) -> Any:
    import cloudpickle

    class Watching(cloudpickle.Pickler):  # type: ignore[misc]  # untyped
        def persistent_id(self, obj: object) -> None:
            """Called for every object that is pickled."""
            if _is_one(obj):
                raise _Found

    return Watching(sink)
