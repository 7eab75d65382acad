"""A failed kernel that is held, from inside: what it remembers, and how it goes on.

The execution calls `rest` silently when a cell failed, and another attempt's execution
calls `go_on` before its first cell. Nothing is changed unless everything was found as it
was left: else `Doubt`, and the other attempt takes another kernel.
"""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from mlflowkit.core.values import StoredValue
from mlflowkit.nbrun import asking
from mlflowkit.nbrun.inside import at_start
from mlflowkit.nbrun.iofolder import ENV_FOLDER, IOFolder, Pushed

#: In the folder between engine and kernel.
LEFT: Final = "left.json"
TAKEN: Final = "taken.json"
WENT_ON: Final = "went_on.json"


class Doubt(Exception):
    """It may not be what it was when its cell failed. The message says why."""


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What a failed attempt was: from its execution to the kernel."""

    #: Hash of each cell that has something to run.
    cells: tuple[str, ...]
    #: Which of them failed.
    at: int
    #: Why that one cannot for sure be run again in this kernel; empty: it can.
    partly: str = ""
    #: The interpreter, and the command line and environment of its kernel spec.
    spec: str
    cwd: str
    #: The environment that it was given: names, and hashes of values.
    given: dict[str, str] = {}
    #: When the failed cell began, in nanoseconds since 1970.
    began: int = 0


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What the attempt is that wants to go on in it."""

    cells: tuple[str, ...]
    spec: str
    cwd: str
    env: dict[str, str]
    #: Of its process's own output.
    log: str


class WentOn(msgspec.Struct, frozen=True):
    """What the kernel answers."""

    #: The first cell that is to be run, among those that have something to run.
    at: int
    #: As the shell counts: the number of the next cell.
    count: int


class _Rest:
    """The kernel as it was when its cell failed."""

    def __init__(self, left: Left, shell: Any) -> None:
        from mlflowkit.nbrun.checkpoint.files import files_named
        from mlflowkit.nbrun.checkpoint.modules import local_modules

        self.left, self.shell = left, shell
        self.count: int = shell.execution_count
        self.runs = 0
        self.env = dict(at_start)
        self.modules, self.packages = local_modules(), _packages()
        inputs = shell.history_manager.input_hist_parsed[1:-1]  # before the one that failed
        self.files = files_named(inputs, os.getcwd())
        folder = IOFolder(Path(os.environ[ENV_FOLDER]))
        self.inputs = inputs_of(folder)
        self.pushed = _pushed_before(folder, left.began)
        shell.events.register("pre_run_cell", self._somebody_runs)

    def _somebody_runs(self, _: object) -> None:
        self.runs += 1

    def over(self) -> None:
        self.shell.events.unregister("pre_run_cell", self._somebody_runs)


_rests: Final[list[_Rest]] = []


def rest() -> None:
    """A cell has failed, and this kernel is going to be held."""
    _forget()
    path = Path(os.environ[ENV_FOLDER]) / LEFT
    left = msgspec.json.decode(path.read_bytes(), type=Left)
    _rests.append(_Rest(left, sys.modules["IPython"].get_ipython()))


def _forget() -> None:
    while _rests:
        _rests.pop().over()


def go_on(folder: str) -> None:
    """Work for another attempt from now on, if nothing has changed since.

    Args:
        folder: Where that attempt and this kernel meet.

    Raises:
        Doubt: something has. Nothing was done.
    """
    io = IOFolder(Path(folder))
    file = io.path / TAKEN
    taken = msgspec.json.decode(file.read_bytes(), type=Taken)
    file.unlink()
    if not _rests:
        raise Doubt("it did not answer when its cell failed")
    then = _rests[-1]
    why = _why_not(then, taken, inputs_of(io))
    if why:
        raise Doubt(why)
    _forget()
    _take_over(then, taken)
    asking.tell_again()
    for name, stored in then.pushed.items():
        io.push(name, stored)
    told = WentOn(then.left.at, then.count)
    (io.path / WENT_ON).write_bytes(msgspec.json.encode(told))


def _why_not(then: _Rest, taken: Taken, inputs: Mapping[str, str]) -> str:
    left = then.left
    if then.runs or then.shell.execution_count != then.count:
        return "somebody ran code in it since it failed"
    if (left.spec, left.cwd) != (taken.spec, taken.cwd):
        return "the kernel or its folder is another one now"
    for name in sorted(then.inputs.keys() | inputs.keys()):
        if then.inputs.get(name) != inputs.get(name):
            return f"the parameter {name} has another value"
    if left.at >= len(taken.cells):
        return "the notebook has fewer cells now"
    before = zip(left.cells[: left.at], taken.cells, strict=False)
    changed = next((at for at, (one, now) in enumerate(before) if one != now), -1)
    if changed >= 0:
        return f"cell {changed + 1} of those that run has changed"
    replaced = sorted(then.packages - _packages())
    if replaced:
        return f"a package has changed since ({replaced[0]})"
    return left.partly or _changed_module(then.modules) or _changed_file(then.files)


def _packages() -> set[str]:
    """What is installed, with versions: more of it does no harm to what is loaded."""
    folders = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    found = (path for folder in folders for path in Path(folder).glob("*.dist-info"))
    return {path.name.removesuffix(".dist-info") for path in found}


def _changed_file(files: Mapping[str, str]) -> str:
    from mlflowkit.nbrun.checkpoint.files import changed_file

    path = changed_file(files)
    return f"the file {path} has changed since" if path else ""


def _changed_module(modules: Mapping[str, str]) -> str:
    from mlflowkit.nbrun.checkpoint.store import digest

    for path, was in modules.items():
        try:
            now = digest(Path(path).read_bytes())
        except OSError:
            now = ""
        if now != was:
            return f"the module {path} has changed"
    return ""


def _take_over(then: _Rest, taken: Taken) -> None:
    """The environment and the streams of the attempt; what cells have set stays."""
    from mlflowkit.nbrun.checkpoint.store import text_digest

    given = then.left.given
    new = {n: v for n, v in taken.env.items() if given.get(n) != text_digest(v)}
    gone = given.keys() - taken.env.keys()
    for name in (*new, *gone):
        if os.environ.get(name) == then.env.get(name):  # else a cell has set it
            os.environ.pop(name, None)
            os.environ.update({name: new[name]} if name in new else {})
    importlib.invalidate_caches()  # somebody may have installed what was missing
    at_start.update(new)
    for name in gone:
        at_start.pop(name, None)
    out = os.open(taken.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    for number, name in ((1, "stdout"), (2, "stderr")):
        kept = getattr(getattr(sys, name), "_original_stdstream_copy", None)
        os.dup2(out, number if kept is None else kept, inheritable=kept is None)
    os.close(out)


def _pushed_before(folder: IOFolder, began: int) -> dict[str, StoredValue]:
    """What was pushed by the cells before the one that failed; the last of a name counts."""
    found: dict[str, StoredValue] = {}
    for path in sorted((folder.path / "pushed").glob("*.json")):
        if int(path.name[:20]) < began:
            pushed = msgspec.json.decode(path.read_bytes(), type=Pushed)
            found[pushed.name] = pushed.value
    return found


def inputs_of(folder: IOFolder) -> dict[str, str]:
    """What a notebook was given beside its code, by the hash of its content."""
    from mlflowkit.nbrun.checkpoint.store import digest

    names: Sequence[str] = folder.inputs()
    return {name: digest(msgspec.json.encode(folder.input(name))) for name in names}
