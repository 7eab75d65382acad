"""The kernel's side: after a cell, what it holds is stored; before one, it is had again.

The execution calls `begin`, `after`, `load`, `verify` and `settle` silently. What goes
wrong in `after` is noted and costs a checkpoint, never a cell; what goes wrong in `load`
and `verify` is raised as `Doubt`, and the notebook is run from its beginning.
"""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final, NoReturn

import msgspec

from mlflowkit.nbrun.checkpoint import ambient
from mlflowkit.nbrun.checkpoint.memory import Blocks, DoesNotTravel
from mlflowkit.nbrun.checkpoint.pickles import (
    Pickled,
    TooCostly,
    canonical,
    from_bytes,
    to_bytes,
)
from mlflowkit.nbrun.checkpoint.store import Group, Step, Store, differing, digest, fits
from mlflowkit.nbrun.checkpoint.survey import Survey, reached, survey

#: Share of the notebook's time that checkpoints may take from it, and what is free.
_SHARE: Final = 0.04
_FREE_SECONDS: Final = 0.02
_MOST_WRITERS: Final = 3
#: A process that writes a checkpoint may take so long, at most.
_MOST_SECONDS: Final = 300.0
#: What a disk is thought to take: where writing takes longer than the cells did, they run again.
_BYTES_PER_SECOND: Final = 400e6
#: Names that the shell itself keeps.
_HISTORY: Final = re.compile(r"_i+|_i\d+|_[iod]h|In|Out|__\w+__|_exit_code")
#: Values that cells have shown.
_SHOWN: Final = re.compile(r"_{1,3}|_\d+")
#: Their threads do not survive a fork, and they may need them to give their content away.
_NOT_FORKED: Final = ("polars", "tensorflow", "jax")


class Doubt(Exception):
    """What was brought back may not be what was there."""


@dataclass(slots=True)
class Keeper:
    """One kernel's checkpoints."""

    store: Store
    shell: Any
    always: bool
    begun: float = field(default_factory=monotonic)
    spent: float = 0.0
    #: What the latest one took from the notebook, and its cells' seconds since.
    latest: float = 0.004
    seconds: float = 0.0
    #: Processes that write, and the seconds of the cells that each one stores.
    writers: dict[int, float] = field(default_factory=dict[int, float])

    @property
    def namespace(self) -> dict[str, Any]:
        found: dict[str, Any] = self.shell.user_ns
        return found

    def names(self) -> list[str]:
        """The variables of the notebook."""
        hidden = self.shell.user_ns_hidden
        return [
            name
            for name, value in self.namespace.items()
            if _SHOWN.fullmatch(name)
            or (not _HISTORY.fullmatch(name) and hidden.get(name, self) is not value)
        ]


_keepers: Final[list[Keeper]] = []


def begin(folder: str, *, always: bool, shell: Any = None) -> None:
    """From now on this kernel's cells may be stored into `folder`."""
    store = Store(Path(folder))
    store.prepare()
    if shell is None:
        shell = sys.modules["IPython"].get_ipython()
    ambient.know_threads()
    keeper = Keeper(store, shell, always)
    _keepers[:] = [keeper]
    random = store.put(ambient.get_random())
    facts = {"random": random, "kernel": ambient.interpreter(), "inputs": _inputs()}
    store.write_kernel({**facts, "ambient": ambient.probe(keeper.namespace)})


# ── after a cell ──


def after(at: int, seconds: float) -> None:
    """A cell has ended well.

    Args:
        at: Which, among those that have something to run.
        seconds: How long it took.
    """
    keeper, begun = _keepers[-1], monotonic()
    keeper.seconds += seconds
    _reap(keeper)
    allowed = _SHARE * (begun - keeper.begun) + _FREE_SECONDS
    if keeper.always:
        _reap(keeper, wait=len(keeper.writers) >= _MOST_WRITERS)
    elif len(keeper.writers) >= _MOST_WRITERS or keeper.spent + keeper.latest > allowed:
        return
    try:
        _take(keeper, at)
    except Exception as exc:  # noqa: BLE001 - no checkpoint is worth a notebook
        keeper.store.note(at, f"not kept: {type(exc).__name__}: {exc}")
    keeper.latest = monotonic() - begun
    keeper.spent += keeper.latest


def _take(keeper: Keeper, at: int) -> None:
    random, here = ambient.get_random(), ambient.here()
    ambient.know_modules(keeper.namespace)
    with keeper.store.writing():
        if _may_fork():
            if not _in_child(keeper, lambda: _write(keeper, at, here, random)):
                return
        elif not _write(keeper, at, here, random, None if keeper.always else 1.0):
            return
    keeper.seconds = 0.0


def _facts(keeper: Keeper, at: int, here: dict[str, Any]) -> Step:
    shell = keeper.shell
    return Step(
        at=at,
        ambient={**ambient.rest(keeper.namespace), **here},
        modules=ambient.local_modules(),
        inputs=tuple(shell.history_manager.input_hist_parsed[1:]),
        outs=tuple(key for key in keeper.namespace.get("_oh", {}) if isinstance(key, int)),
        count=shell.execution_count,
        pushed=_pushed(),
        seconds=keeper.seconds,
    )


def _may_fork() -> bool:
    if sys.platform != "linux" or any(name in sys.modules for name in _NOT_FORKED):
        return False
    torch = sys.modules.get("torch")
    return torch is None or not torch.cuda.is_initialized()


def _in_child(keeper: Keeper, work: Callable[[], bool]) -> bool:
    """Do something in a fork, which sees everything as it is now. Whether it began."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            pid = os.fork()
        except OSError as exc:
            keeper.store.note(-1, f"not kept: no process for it: {exc.strerror}")
            return False
    if pid:
        keeper.writers[pid] = keeper.seconds
        ambient.own_children.add(pid)
        return True
    _leave_with(work)


def _leave_with(work: Callable[[], bool]) -> NoReturn:
    """In the child: nothing of the kernel is touched, and nothing is run at its end."""
    status = 1
    try:
        gc.disable()  # what is thrown away here lives on there
        os.setsid()  # an interrupt is meant for the cell that runs
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(each, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, _MOST_SECONDS)
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the end
        with suppress(OSError):
            os.nice(5)
        status = 0 if work() else 1
    finally:
        os._exit(status)


def _reap(keeper: Keeper, *, wait: bool = False) -> None:
    for pid, seconds in list(keeper.writers.items()):
        status = 0
        with suppress(ChildProcessError):
            ended, status = os.waitpid(pid, 0 if wait else os.WNOHANG)
            if not ended:
                continue
        del keeper.writers[pid]
        ambient.own_children.discard(pid)
        if status:
            keeper.seconds += seconds  # not stored: its cells go with the next ones


def _write(
    keeper: Keeper,
    at: int,
    here: dict[str, Any],
    random: bytes,
    seconds: float | None = None,
) -> bool:
    """Store a step. Whether it was; if not, a note says why."""
    store = keeper.store
    try:
        facts = _facts(keeper, at, here)
        until = monotonic() + (seconds or _MOST_SECONDS)
        found = survey(keeper.namespace, keeper.names(), until, _holds_secret)
        sizes = _new_bytes(store, found)
        most = max(facts.seconds, 0.05) * _BYTES_PER_SECOND
        if not keeper.always and sizes > most:
            store.note(
                facts.at, f"not kept: {sizes / 1e6:.0f} MB are too much for its time"
            )
            return False
        groups = tuple(_store_group(store, each) for each in found.groups)
        store.add(
            msgspec.structs.replace(
                facts,
                groups=groups,
                stuck=tuple(found.stuck),
                why=found.why,
                random=store.put(random),
            )
        )
    except TooCostly:
        store.note(at, "not kept: its variables take too long to store")
        return False
    except OSError as exc:
        store.note(at, f"not kept: {exc.strerror or exc}")
        return False
    except Exception as exc:  # noqa: BLE001 - no checkpoint is worth a notebook
        store.note(at, f"not kept: {type(exc).__name__}: {exc}")
        return False
    return True


def _new_bytes(store: Store, found: Survey) -> int:
    total = 0
    for group in found.groups:
        named = [digest(buffer) for buffer in group.buffers]
        group.names_of_buffers[:] = named
        new = (
            b.nbytes for b, n in zip(group.buffers, named, strict=True) if not store.has(n)
        )
        total += sum(new) + len(group.body)
    return total


def _store_group(store: Store, group: Pickled) -> Group:
    named = zip(group.buffers, group.names_of_buffers, strict=True)
    buffers = tuple(store.put(buffer, name) for buffer, name in named)
    body = store.put(group.body)
    return Group(
        names=group.names,
        digest=digest(body.encode(), *(name.encode() for name in buffers)),
        body=body,
        buffers=buffers,
        exact=group.exact,
        uses=tuple(sorted(group.uses)),
    )


def _holds_secret(pickled: Pickled) -> str:
    """Why these variables must not be stored."""
    from mlflowkit.nbrun.secrets_inside import holds_secret
    from mlflowkit.worker import masking

    if not masking.masker():
        return ""
    marked = (each for each in pickled.seen.values() if _may_be_secret(each))
    for part in (pickled.body, *pickled.buffers, *marked):
        if holds_secret(part):
            return "holds a secret, which is asked for again"
    return ""


def _may_be_secret(value: object) -> bool:
    kind = type(value)
    return hasattr(kind, "is_secret_text") or kind.__name__ == "Connection"


def settle() -> None:
    """Wait until what was begun is written."""
    _reap(_keepers[-1], wait=True)


# ── before a cell ──


def load(at: int | None, names: Sequence[str] | None, *, last: bool = False) -> None:
    """Have the variables of a step.

    Args:
        at: The step; None: nothing has run.
        names: The variables that are meant; None: all.
        last: No replay comes after it: settings are compared, too.

    Raises:
        Doubt: it cannot be had, or not for sure.
    """
    keeper = _keepers[-1]
    try:
        if at is None:
            _forget(keeper, names, set())
            ambient.set_random(keeper.store.get(keeper.store.cells().random))
            return
        step = _step(keeper, at)
        _bring_back(keeper, step, names)
        if last:
            _check_settings(keeper, step)
            _push_again(step)
        ambient.set_random(keeper.store.get(step.random))
    except (DoesNotTravel, OSError) as exc:
        raise Doubt(str(exc)) from exc


def _step(keeper: Keeper, at: int) -> Step:
    found = [step for step in keeper.store.steps() if step.at == at]
    if not found:
        raise Doubt("the checkpoint is gone")
    return found[0]


def _bring_back(keeper: Keeper, step: Step, names: Sequence[str] | None) -> None:
    there = {name for group in step.groups for name in group.names}
    there |= {name for group in step.stuck for name in group}
    _bring_history(keeper, step)
    values: dict[str, Any] = {}
    taken = _of_stuck(keeper, step)
    for group in step.groups:
        if (names is None or fits(names, group)) and not _is_there(keeper, group, taken):
            body = keeper.store.get(group.body)
            buffers = [keeper.store.get(name) for name in group.buffers]
            values.update(from_bytes(bytes(body), buffers, keeper.namespace))
    _forget(keeper, names, there)
    keeper.namespace.update(values)
    _bring_shown(keeper, step)


def _of_stuck(keeper: Keeper, step: Step) -> dict[int, object]:
    """What the variables reach that only a replay can make."""
    found: dict[int, object] = {}
    namespace = keeper.namespace
    for name in (name for group in step.stuck for name in group if name in namespace):
        found.update(reached(namespace[name], namespace, Blocks(), name))
    return found


def _is_there(keeper: Keeper, group: Group, taken: dict[int, object]) -> bool:
    """Whether a replay has made just this already, and nobody else sees that it has.

    Then it stays: what does not travel may hold on to it where we cannot look.
    """
    if not keeper.namespace.keys() >= set(group.names):
        return False
    try:
        now = _as_now(keeper, group)
        if not _equals(keeper, group, now) or now.seen.keys() & taken.keys():
            return False
    except (DoesNotTravel, TooCostly):
        return False
    taken.update(now.seen)
    return True


def _as_now(keeper: Keeper, group: Group) -> Pickled:
    until = monotonic() + _MOST_SECONDS
    return to_bytes(group.names, keeper.namespace, Blocks(), until)


def _equals(keeper: Keeper, group: Group, now: Pickled) -> bool:
    """Whether the kernel's variables are what was stored."""
    if tuple(digest(buffer) for buffer in now.buffers) != group.buffers:
        return False
    then = bytes(keeper.store.get(group.body))
    return now.body == then or canonical(now.body) == canonical(then)


def _forget(keeper: Keeper, names: Sequence[str] | None, there: set[str]) -> None:
    """Remove the variables that were not there then."""
    for name in keeper.names():
        if name not in there and (names is None or name in names):
            del keeper.namespace[name]


def _bring_history(keeper: Keeper, step: Step) -> None:
    """`In`, the numbers of cells, and the code that tracebacks show."""
    shell, history = keeper.shell, keeper.shell.history_manager
    shell.execution_count = step.count
    for lines in (history.input_hist_parsed, history.input_hist_raw):
        lines[:] = ["", *step.inputs]
    latest = [*("",) * 3, *step.inputs][-3:]
    history._i, history._ii, history._iii = latest[2], latest[1], latest[0]
    keeper.namespace.update({"_i": latest[2], "_ii": latest[1], "_iii": latest[0]})
    for number, code in enumerate(step.inputs, 1):
        keeper.namespace[f"_i{number}"] = code
        shell.compile.cache(code, number)


def _bring_shown(keeper: Keeper, step: Step) -> None:
    """`Out`, and `_` with its like."""
    values, shown = keeper.namespace, keeper.shell.displayhook
    kept = {number: values[f"_{number}"] for number in step.outs if f"_{number}" in values}
    values.setdefault("_oh", {}).clear()
    values["_oh"].update(kept)
    for name in ("_", "__", "___"):
        if name in values and hasattr(shown, name):
            setattr(shown, name, values[name])
    ours = {n: v for n, v in values.items() if _SHOWN.fullmatch(n) or _HISTORY.fullmatch(n)}
    keeper.shell.user_ns_hidden.update(ours)


def _check_settings(keeper: Keeper, step: Step) -> None:
    now = ambient.probe(keeper.namespace)
    known = {what: is_ for what, is_ in step.ambient.items() if what in now}
    differ = differing(known, now)
    if differ:
        raise Doubt(f"{differ[0]} would not be as they were")


def verify(at: int, names: Sequence[str]) -> None:
    """Did a replayed segment make what it had made?

    Raises:
        Doubt: no, or a variable is not there.
    """
    keeper = _keepers[-1]
    for group in _step(keeper, at).groups:
        if not group.exact or not fits(names, group):
            continue
        if not set(group.names) <= keeper.namespace.keys():
            raise Doubt(f"{group.names[0]} was not made again")
        try:
            same = _equals(keeper, group, _as_now(keeper, group))
        except (DoesNotTravel, TooCostly, OSError) as exc:
            raise Doubt(f"{group.names[0]} {exc}") from exc
        if not same:
            raise Doubt(f"{group.names[0]} came out differently when it was made again")


# ── what was pushed ──


def _pushed() -> dict[str, Any]:
    folder = _io_folder()
    found = folder.pushed() if folder is not None else {}
    return {name: msgspec.json.decode(msgspec.json.encode(v)) for name, v in found.items()}


def _push_again(step: Step) -> None:
    from mlflowkit.core.values import StoredValue

    folder = _io_folder()
    if folder is not None:
        for name, stored in step.pushed.items():
            folder.push(name, msgspec.convert(stored, StoredValue))


def _inputs() -> dict[str, str]:
    """What the notebook was given beside its code, by the hash of its content."""
    folder = _io_folder()
    names = folder.inputs() if folder is not None else []
    return {name: digest(msgspec.json.encode(folder.input(name))) for name in names}


def _io_folder() -> Any:
    from mlflowkit.nbrun.iofolder import ENV_FOLDER, IOFolder

    path = os.environ.get(ENV_FOLDER)
    return IOFolder(Path(path)) if path and Path(path).is_dir() else None
