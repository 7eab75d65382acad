"""What a screen sent, field by field: nothing of it is believed before it was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from mlflowkit.errors import BadViewRequest

_MOST_NAMES: Final = 10_000
_MOST_CHARACTERS: Final = 100_000


class Given:
    """The payload of one request. Every method raises BadViewRequest for what does not fit."""

    def __init__(self, kind: str, payload: Mapping[str, Any]) -> None:
        self.kind, self._fields = kind, payload

    def has(self, name: str) -> bool:
        """Whether the field is there, and not null."""
        return self._fields.get(name) is not None

    def text(self, name: str, otherwise: str | None = None) -> str:
        """A text."""
        value = self._fields.get(name, otherwise)
        if not isinstance(value, str) or len(value) > _MOST_CHARACTERS:
            raise BadViewRequest(self.kind, f"{name!r} must be a text")
        return value

    def whole(self, name: str, otherwise: int | None = None) -> int:
        """A whole number."""
        value = self._fields.get(name)
        value = otherwise if value is None else value
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 1 << 53:
            raise BadViewRequest(self.kind, f"{name!r} must be a whole number")
        return value

    def direction(self) -> Literal["right", "down"]:
        """Which way a graph goes; "right" where nothing is said."""
        return "down" if self._fields.get("direction") == "down" else "right"

    def names(self, name: str) -> tuple[str, ...] | None:
        """A list of texts; None if the field is not there."""
        value = self._fields.get(name)
        if value is None:
            return None
        fits = isinstance(value, list | tuple) and len(value) <= _MOST_NAMES
        if not fits or not all(isinstance(one, str) for one in value):
            raise BadViewRequest(self.kind, f"{name!r} must be a list of texts")
        return tuple(value)
