"""`mlflowkit.exit_notebook`: a notebook that ends early, in peace.

Imported in the kernel when it is called; on the other side for its names alone. Imports
nothing heavy.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NoReturn, get_args

from mlflowkit.errors import BadOption

if TYPE_CHECKING:
    from mlflowkit.nbrun.iofolder import IOFolder

#: A display message of this type hands values on from a kernel of any language: its data
#: is a JSON object, of which each item becomes an XCom of the task. It stands in no notebook.
VALUES_MIME: Final = "application/vnd.mlflowkit.outputs+json"
#: The XCom that the value given to `exit_notebook` becomes.
EXIT_KEY: Final = "exit_value"

State = Literal["success", "skipped"]


class NotebookLeft(BaseException):
    """Ends the notebook. No Exception, so that `except Exception` lets it pass."""

    def __init__(self, state: State, value: object = None) -> None:
        self.state, self.value = state, value
        super().__init__(f"the notebook ends here: {state}")

    def _render_traceback_(self) -> list[str]:
        """What IPython shows of it: a line."""
        return [str(self)]


#: As what a kernel reports it.
LEFT: Final = NotebookLeft.__name__


def exit_notebook(value: object = None, state: State = "success") -> NoReturn:
    """End this notebook here, well: cells after this one are not run.

    Call it in the cell's own thread. Where the notebook is open in Jupyter instead of run
    as a task, "Run all" stops here and nothing is handed on.

    Args:
        value: Becomes the XCom `exit_value`, unless None. Of a notebook that skips itself
            it is said as the reason, and no XCom.
        state: "success"; or "skipped": the task instance is skipped, as by TaskSkipped.

    Raises:
        BadOption: there is no such state.
        CannotSerialize: the value cannot travel to another process.
    """
    if state not in get_args(State):
        problem = f'must be "success" or "skipped", not {state!r}'
        raise BadOption("exit_notebook()", "state", problem)
    folder = _folder()
    if folder is not None:
        _hand_over(folder, value, state)
    raise NotebookLeft(state, value)


def _folder() -> IOFolder | None:
    from mlflowkit.nbrun.iofolder import ENV_FOLDER, IOFolder

    path = os.environ.get(ENV_FOLDER)
    return IOFolder(Path(path)) if path and Path(path).is_dir() else None


def _hand_over(folder: IOFolder, value: object, state: State) -> None:
    from mlflowkit.nbrun.inside import push

    if value is not None and state == "success":
        push(EXIT_KEY, value)
    why = "" if value is None or state == "success" else str(value)
    Left(state, why).write(folder)


@dataclass(frozen=True, slots=True)
class Left:
    """How a notebook left, as its kernel wrote it into the folder."""

    state: str = "success"
    why: str = ""

    def write(self, folder: IOFolder) -> None:
        import msgspec

        path = folder.path / "left.json"
        temporary = path.with_name(f".left.{os.getpid()}")
        temporary.write_bytes(msgspec.json.encode(self))
        temporary.replace(path)

    @classmethod
    def read(cls, folder: IOFolder) -> Left:
        """What was written last; where nothing was, it left with success."""
        import msgspec

        try:
            data = (folder.path / "left.json").read_bytes()
        except FileNotFoundError:
            return cls()
        return msgspec.json.decode(data, type=cls)
