"""The folder through which a notebook's kernel and its engine hand values to one another.

    settings.json        where artifacts are, who runs: read by the kernel
    inputs/NAME.json     a StoredValue per parameter that is not plain JSON
    pushed/STAMP.json    {"name", "value"}: what the notebook pushed, in order
    returned.json        what `collect` took out at the end, or why it could not
    raised.json          facts about the exception that ended the last cell

Files appear whole or not at all. The kernel finds the folder in MLFLOWKIT_NOTEBOOK_IO.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from mlflowkit.core.values import StoredValue

if TYPE_CHECKING:
    from mlflowkit.artifacts.base import Artifacts

T = TypeVar("T")

ENV_FOLDER: Final = "MLFLOWKIT_NOTEBOOK_IO"
ENV_STATE: Final = "MLFLOWKIT_STATE_DIR"


class Settings(msgspec.Struct, frozen=True):
    """What the kernel is told."""

    artifacts: str
    #: For messages: "notebook fit.ipynb".
    where: str


class Pushed(msgspec.Struct, frozen=True):
    """One value with its name."""

    name: str
    value: StoredValue


class Returned(msgspec.Struct, frozen=True):
    """What the end of the notebook gave."""

    values: list[Pushed] = []
    #: Names that were asked for and are not there, and what is.
    missing: list[str] = []
    known: list[str] = []
    #: Fields of a CannotSerialize or PathNotFound, and which of them it is.
    refused: dict[str, str] = {}


class Raised(msgspec.Struct, frozen=True):
    """The exception that ended a cell."""

    ename: str = ""
    #: Class names from the exception's own up to the root.
    mro: list[str] = []
    user_error: bool = False


class IOFolder:
    """Reads and writes the folder. Used on both sides."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, settings: Settings) -> IOFolder:
        """A new, private folder."""
        for each in (path, path / "pushed"):
            each.mkdir(mode=0o700)
        folder = cls(path)
        folder._write("settings.json", settings)
        return folder

    def settings(self) -> Settings:
        return self._read("settings.json", Settings)

    def artifacts(self) -> Artifacts:
        """Where the large parts of values are."""
        from mlflowkit.artifacts.files import FileArtifacts

        return FileArtifacts(Path(self.settings().artifacts))

    # ── engine → kernel ──

    def give(self, inputs: Mapping[str, object], where: str) -> None:
        """Store what the notebook may ask for with `input`.

        Raises:
            CannotSerialize: a value cannot travel.
        """
        from mlflowkit.artifacts.serializers import dump

        artifacts = self.artifacts()
        for name, value in inputs.items():
            stored = dump(value, artifacts, where=f"parameter {name!r} of {where}")
            self._write(f"inputs/{name}.json", stored)

    def input(self, name: str) -> StoredValue | None:
        """A stored input, or None."""
        path = self.path / "inputs" / f"{name}.json"
        if not name.isidentifier() or not path.is_file():
            return None
        return msgspec.json.decode(path.read_bytes(), type=StoredValue)

    def inputs(self) -> list[str]:
        """The names that were given."""
        return sorted(path.stem for path in (self.path / "inputs").glob("*.json"))

    # ── kernel → engine ──

    def push(self, name: str, value: StoredValue) -> None:
        """Hand over one value, now."""
        stamp = (
            f"{time.time_ns():020d}-{os.getpid()}-{re.sub(r'[^0-9A-Za-z]', '_', name)[:40]}"
        )
        self._write(f"pushed/{stamp}.json", Pushed(name, value))

    def pushed(self) -> dict[str, StoredValue]:
        """All that was pushed; the last of a name counts."""
        paths = sorted((self.path / "pushed").glob("*.json"))
        found = [msgspec.json.decode(path.read_bytes(), type=Pushed) for path in paths]
        return {each.name: each.value for each in found}

    def write_returned(self, returned: Returned) -> None:
        self._write("returned.json", returned)

    def returned(self) -> Returned:
        return self._read("returned.json", Returned)

    def write_raised(self, raised: Raised) -> None:
        self._write("raised.json", raised)

    def raised(self) -> Raised:
        if not (self.path / "raised.json").is_file():
            return Raised()
        return self._read("raised.json", Raised)

    def load(self, stored: Mapping[str, StoredValue] | Iterable[Pushed]) -> dict[str, Any]:
        """The values again, with their types."""
        from mlflowkit.artifacts.serializers import load

        if not isinstance(stored, Mapping):
            stored = {each.name: each.value for each in stored}
        artifacts = self.artifacts()
        return {name: load(value, artifacts) for name, value in stored.items()}

    # ── files ──

    def _write(self, name: str, content: object) -> None:
        path = self.path / name
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_bytes(msgspec.json.encode(content))
        except FileNotFoundError:  # the first one in `inputs`
            path.parent.mkdir(mode=0o700, exist_ok=True)
            temporary.write_bytes(msgspec.json.encode(content))
        temporary.replace(path)

    def _read(self, name: str, kind: type[T]) -> T:
        return msgspec.json.decode((self.path / name).read_bytes(), type=kind)
