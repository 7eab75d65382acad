"""What works inside a notebook's kernel: `input`, `push`, and progress.

Imported by the kernel before the first cell, so nothing heavy is imported here. The
engine calls `start`, `describe_error` and `collect` silently; people call `input` and
`push` as `mlflowkit.input` and `mlflowkit.push`.
"""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlflowkit import ports
from mlflowkit.core.secret import holds_handle
from mlflowkit.errors import (
    CannotSerialize,
    NotInNotebookTask,
    PathNotFound,
    SecretInValue,
    UnknownInput,
)
from mlflowkit.errors import UserError as _UserError
from mlflowkit.nbrun import asking
from mlflowkit.worker import masking

if TYPE_CHECKING:
    from mlflowkit.nbrun.iofolder import IOFolder, Pushed, Returned

#: A display message of this type is for the engine, and stands in no notebook.
PROGRESS_MIME: Final = "application/vnd.mlflowkit.progress+json"


def input(name: str) -> Any:
    """The value that the task gave this notebook under `name`, with its type.

    Raises:
        NotInNotebookTask: the notebook is not run as a task.
        UnknownInput: it was given no such value.
    """
    from mlflowkit.artifacts.serializers import load

    folder = _folder("input")
    stored = folder.input(name)
    if stored is None:
        raise UnknownInput(name, folder.inputs())
    value = load(stored, folder.artifacts())
    return _secrets_filled(value) if holds_handle(value) else value


def _secrets_filled(value: Any) -> Any:
    """Real values in the place of `secret(...)`: the task is asked for them."""
    resolved = import_module("mlflowkit.hooks.secret").resolved  # by name: it is above
    return resolved(value)


def push(name: str, value: object) -> None:
    """Hand `value` on as an XCom of this task; it is kept even if a later cell fails.

    Raises:
        NotInNotebookTask: the notebook is not run as a task.
        BadXComKey: `name` is no text of 1 to 250 characters.
        CannotSerialize: it cannot travel to another process.
        SecretInValue: it holds the value of a `secret(...)`, or `name` does.
    """
    from mlflowkit.nbrun.guarding import check_name, dump_guarded

    folder = _folder("push")
    notebook = folder.settings().where
    check_name(name, notebook)
    where = f"push({name!r}) in {notebook}"
    folder.push(name, dump_guarded(value, folder.artifacts(), where=where))


def _folder(what: str) -> IOFolder:
    from mlflowkit.nbrun.iofolder import ENV_FOLDER, IOFolder

    path = os.environ.get(ENV_FOLDER)
    if not path or not Path(path).is_dir():
        raise NotInNotebookTask(what)
    return IOFolder(Path(path))


# ── called by the engine ──


def start() -> None:
    """Make progress reports reach the engine, and crashes say where. Twice is once."""
    masking.tell_with(asking.hide)
    if not at_start:
        at_start.update(os.environ)
        # ipykernel watches descriptor 2, and dies with the process: its copy is what we keep.
        kept: Any = getattr(sys.stderr, "_original_stdstream_copy", None) or sys.__stderr__
        faulthandler.enable(kept)
    if _publish not in ports._kernel_progress:
        _pid.append(os.getpid())
        ports._kernel_progress.append(_publish)


_pid: Final[list[int]] = []
#: The environment before the first cell.
at_start: Final[dict[str, str]] = {}


def _publish(facts: Mapping[str, object]) -> None:
    shell = _shell()
    kernel = getattr(shell, "kernel", None)
    if kernel is None or os.getpid() != _pid[-1]:  # a forked child has no sockets
        return
    content = {
        "data": {PROGRESS_MIME: {key: _plain(value) for key, value in facts.items()}},
        "metadata": {},
        "transient": {},
    }
    parent = kernel.get_parent("shell")
    kernel.session.send(
        kernel.iopub_socket,
        "display_data",
        content,
        parent=parent,
        ident=b"display_data",
    )


def _plain(value: object) -> object:
    if value is None or type(value) in (bool, int, float, str):
        return value
    item = getattr(value, "item", None)  # numpy and torch scalars
    if callable(item) and getattr(value, "ndim", None) == 0:
        return item()
    return str(value)


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def describe_error() -> None:
    """Tell the engine what kind of exception ended the last cell."""
    from mlflowkit.nbrun.iofolder import Raised

    raised = getattr(sys, "last_value", None)
    if raised is None:
        return
    kind = type(raised)
    mro = [f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__]
    told = Raised(kind.__name__, mro, isinstance(raised, _UserError))
    _folder("input").write_raised(told)


def end_children() -> None:
    """End the processes that cells started and left running.

    ipykernel waits for them when it shuts down, also for those that ended and that nobody
    waited for: many seconds in vain.
    """
    import psutil

    children = psutil.Process().children(recursive=True)
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for child in children:
            with suppress(psutil.Error):
                end(child)
        _, children = psutil.wait_procs(children, timeout=0.5)


def collect(returns: list[str], optional: list[str]) -> None:
    """Take variables out of the notebook.

    Args:
        returns: Names that must be there.
        optional: Names that are taken if they are there.
    """
    folder = _folder("push")
    names = _shell().user_ns
    missing = [name for name in returns if name not in names]
    if missing:
        folder.write_returned(_nothing(missing, names))
        return
    wanted = list(dict.fromkeys([*returns, *(name for name in optional if name in names)]))
    folder.write_returned(_dump_all(folder, wanted, names))


def _nothing(missing: list[str], names: Mapping[str, object]) -> Returned:
    from mlflowkit.nbrun.iofolder import Returned

    hidden = {
        "In",
        "Out",
        "exit",
        "quit",
        "open",
        *getattr(_shell(), "user_ns_hidden", ()),
    }
    known = [name for name in names if not name.startswith("_") and name not in hidden]
    return Returned(missing=missing, known=known)


def _dump_all(folder: IOFolder, wanted: list[str], names: Mapping[str, object]) -> Returned:
    from mlflowkit.nbrun.guarding import dump_guarded
    from mlflowkit.nbrun.iofolder import Pushed, Returned

    artifacts, where = folder.artifacts(), folder.settings().where
    values: list[Pushed] = []
    for name in wanted:
        try:
            values.append(
                Pushed(
                    name, dump_guarded(names[name], artifacts, where=f"{where}, {name!r}")
                )
            )
        except SecretInValue as exc:
            fields = {"where": exc.where, "what": exc.what}
            return Returned(refused={"kind": "secret", **fields})
        except CannotSerialize as exc:
            fields = {"where": exc.where, "at": exc.at, "type_name": exc.type_name}
            return Returned(refused={"kind": "value", **fields, "reason": exc.reason})
        except PathNotFound as exc:
            problem = str(exc).partition(f"{exc.path!r}, ")[2].partition(". A Path")[0]
            fields = {"where": exc.where, "at": exc.at, "path": exc.path}
            return Returned(refused={"kind": "path", **fields, "problem": problem})
    return Returned(values=values)
