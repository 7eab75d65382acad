"""What changed since a screen last looked: each thing once, as it is now.

A cursor is a word to the screen. One that is not known here (the process that gave it is
gone) means "everything". Nothing is kept but the latest value of each thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Changes:
    """The latest facts of some things by name, and when each of their fields changed.

    Args:
        epoch: A word that no earlier `Changes` of the same run had.
    """

    def __init__(self, epoch: str) -> None:
        self._epoch, self._version = epoch, 0
        self._facts: dict[str, dict[str, Any]] = {}
        self._changed: dict[str, dict[str, int]] = {}

    @property
    def cursor(self) -> str:
        """What to ask with next time."""
        return f"{self._epoch}:{self._version}"

    def put(self, facts: Mapping[str, Mapping[str, Any]]) -> bool:
        """The things as they are now; those that are not named stay. Whether one changed."""
        version = self._version + 1
        for name, now in facts.items():
            before = self._facts.setdefault(name, {})
            marks = self._changed.setdefault(name, {})
            for key, value in now.items():
                if key not in before or before[key] != value:
                    before[key], marks[key] = value, version
                    self._version = version
        return self._version == version

    def all(self) -> dict[str, dict[str, Any]]:
        """Everything, as it is now."""
        return {name: dict(facts) for name, facts in self._facts.items()}

    def knows(self, cursor: str) -> bool:
        """Whether `since` can tell what changed after it."""
        return self._number(cursor) is not None

    def since(self, cursor: str) -> dict[str, dict[str, Any]]:
        """The fields that changed after `cursor`, by thing. All of them, if it is not known."""
        number = self._number(cursor)
        if number is None:
            return self.all()
        found: dict[str, dict[str, Any]] = {}
        for name, marks in self._changed.items():
            fields = {k: self._facts[name][k] for k, v in marks.items() if v > number}
            if fields:
                found[name] = fields
        return found

    def _number(self, cursor: str) -> int | None:
        epoch, _, number = cursor.rpartition(":")
        if epoch != self._epoch or not number.isdecimal():
            return None
        return int(number) if int(number) <= self._version else None
