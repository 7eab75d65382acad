"""Which file of a person's is speaking: the nearest frame that is not ours."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

_OURS = str(Path(__file__).resolve().parent.parent)


def caller_file() -> Path | None:
    """The file that called into mlflowkit, or the notebook that is being loaded for its DAGs;
    None for a cell in a kernel or a prompt."""
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    if frame is None:
        return None
    if str(frame.f_globals.get("__file__", "")).endswith(".ipynb"):
        return Path(str(frame.f_globals["__file__"]))
    if not frame.f_code.co_filename.endswith(".py"):
        return None
    if _in_kernel(frame):
        return None
    path = Path(frame.f_code.co_filename)
    return path.resolve() if path.exists() else None


def _in_kernel(frame: FrameType) -> bool:
    """Kernels name their cells like files in a temporary folder; those are not files."""
    return (
        "get_ipython" in frame.f_globals and frame.f_globals.get("__name__") == "__main__"
    )


def caller_folder() -> Path:
    """The folder of that file, or the working folder."""
    path = caller_file()
    return path.parent if path else Path.cwd()
