"""What is not here: an error that names the feature, the file and the line, and what to do.

Names that only have to be imported (for an annotation, or by habit) are stand-ins: using
one is the error.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn

from mlflowkit.errors import AirflowFeatureMissing

_OURS = str(Path(__file__).resolve().parent.parent.parent)
#: Frames that no person wrote: ours, and Python's importers.
_NOT_THEIRS = (_OURS, "<frozen ", importlib.__file__)


def persons_place(frame: FrameType | None) -> tuple[str, int | None]:
    """The file and line of the nearest frame that is neither ours nor Python's importer."""
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_NOT_THEIRS):
            return name, frame.f_lineno
        frame = frame.f_back
    return "", None


def place_in(trace: TracebackType | None, file: Path) -> int | None:
    """The line of `file` where an error went through last."""
    line = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def missing(feature: str, todo: str) -> AirflowFeatureMissing:
    """The error for the line of a person's that is being executed."""
    path, line = persons_place(sys._getframe(1))  # pyright: ignore[reportPrivateUsage]
    return AirflowFeatureMissing(feature, path, line, todo)


class NameMissing(AttributeError):
    """The same where Python wants an AttributeError: `hasattr` and `getattr` go on."""

    def __init__(self, error: AirflowFeatureMissing) -> None:
        self.error = error
        super().__init__(str(error))


class Missing:
    """Stands for a name of Airflow that is not here. It may be imported and annotated with."""

    def __init__(self, feature: str, todo: str) -> None:
        self._feature, self._todo = feature, todo

    def _used(self) -> NoReturn:
        raise missing(self._feature, self._todo)

    def __call__(self, *_args: Any, **_options: Any) -> Any:
        self._used()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        self._used()

    def __instancecheck__(self, _instance: object) -> bool:
        return False  # nothing here is one

    def __mro_entries__(self, _bases: tuple[Any, ...]) -> tuple[type, ...]:
        self._used()

    def __enter__(self) -> Any:
        self._used()

    def __exit__(self, *_: object) -> None:
        """Never reached: entering is the error."""

    def __or__(self, _other: object) -> Any:
        return Any

    __ror__ = __or__

    def __getitem__(self, _item: object) -> Any:
        return Any

    def __reduce__(self) -> tuple[Any, ...]:
        return Missing, (self._feature, self._todo)

    def __repr__(self) -> str:
        return f"<{self._feature}: not here>"
