"""After a cell: what the kernel holds is stored, by a fork of it, while the next cell runs.

No checkpoint is worth a notebook: what goes wrong here is noted, and nothing is raised. A
step that was begun and not ended is marked in the store until somebody has said so.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Final, NoReturn

import msgspec

from mlflowkit.nbrun.checkpoint import ambient, beside, files, modules, randomness
from mlflowkit.nbrun.checkpoint.keeper import SHELLS, Keeper, current
from mlflowkit.nbrun.checkpoint.pickles import Pickled, TooCostly
from mlflowkit.nbrun.checkpoint.store import Group, Step, Store, digest
from mlflowkit.nbrun.checkpoint.survey import Survey, survey

#: Share of the notebook's time that checkpoints may take from it, and what is free.
_SHARE: Final = 0.04
_FREE_SECONDS: Final = 0.02
_MOST_WRITERS: Final = 3
#: A process that writes a checkpoint may take so long, at most.
MOST_SECONDS: Final = 300.0
#: What a disk is thought to take: where writing takes longer than the cells did, they run again.
_BYTES_PER_SECOND: Final = 400e6
#: Their threads do not survive a fork, and they may need them to give their content away.
_NOT_FORKED: Final = ("polars", "tensorflow", "jax")


def after(at: int, seconds: float) -> None:
    """A cell has ended well.

    Args:
        at: Which, among those that have something to run.
        seconds: How long it took.
    """
    keeper, begun = current(), monotonic()
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
    random, here = randomness.get_random(), ambient.here()
    modules.know_modules(keeper.namespace)
    files.know(keeper.shell.history_manager.input_hist_parsed[1:])
    with keeper.store.writing():
        if may_fork():
            if not _in_child(keeper, lambda: _write(keeper, at, here, random)):
                return
        elif not _write(keeper, at, here, random, None if keeper.always else 1.0):
            return
    keeper.seconds = 0.0


def _facts(keeper: Keeper, at: int, here: dict[str, Any]) -> Step:
    shell = keeper.shell
    inputs = tuple(shell.history_manager.input_hist_parsed[1:])
    return Step(
        at=at,
        ambient={**ambient.rest(keeper.namespace), **here},
        modules=modules.local_modules(),
        files=files.files_named(inputs, os.getcwd()),
        inputs=inputs,
        outs=tuple(key for key in keeper.namespace.get("_oh", {}) if isinstance(key, int)),
        count=shell.execution_count,
        shown=_shown(keeper),
        taken=tuple(name for name in SHELLS if _is_taken(keeper, name)),
        pushed=beside.pushed(),
        seconds=keeper.seconds,
    )


def _shown(keeper: Keeper) -> dict[str, str]:
    """Which variables hold the values that the shell showed last."""
    hook, values, found = keeper.shell.displayhook, keeper.namespace, dict[str, str]()
    numbered = [f"_{number}" for number in reversed(values.get("_oh", {}))]
    for name in SHELLS:
        shown = getattr(hook, name, None)
        same = (each for each in (name, *numbered) if values.get(each, hook) is shown)
        found[name] = next(same, "")
    return found


def _is_taken(keeper: Keeper, name: str) -> bool:
    """Whether a cell has given it a value (`for _ in …`)."""
    if name not in keeper.namespace:
        return False
    hidden, hook = keeper.shell.user_ns_hidden, keeper.shell.displayhook
    own = hidden[name] if name in hidden else getattr(hook, name, None)
    return own is not keeper.namespace[name]


def may_fork() -> bool:
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
    leave_with(work)


def leave_with(work: Callable[[], bool]) -> NoReturn:
    """In a fork: nothing of the kernel is touched, and nothing is run at its end."""
    status = 1
    try:
        gc.disable()  # what is thrown away here lives on there
        os.setsid()  # an interrupt is meant for the cell that runs
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(each, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
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
    why = ""
    try:
        keeper.store.begin_step(at)
        why = _stored(keeper, _facts(keeper, at, here), random, seconds or MOST_SECONDS)
    except TooCostly:
        why = "its variables take too long to store"
    except OSError as exc:
        why = exc.strerror or str(exc)
    except Exception as exc:  # noqa: BLE001 - no checkpoint is worth a notebook
        why = f"{type(exc).__name__}: {exc}"
    if why:
        keeper.store.note(at, f"not kept: {why}")
    keeper.store.end_step(at)
    return not why


def _stored(keeper: Keeper, facts: Step, random: bytes, seconds: float) -> str:
    """Store a step: all of its blobs, then what names them. Why it is not worth it, or ""."""
    store = keeper.store
    found = survey(keeper.namespace, keeper.names(), monotonic() + seconds, _holds_secret)
    sizes = _new_bytes(store, found)
    if not keeper.always and sizes > max(facts.seconds, 0.05) * _BYTES_PER_SECOND:
        return f"{sizes / 1e6:.0f} MB are too much for its time"
    step = msgspec.structs.replace(
        facts,
        groups=tuple(_store_group(store, each) for each in found.groups),
        stuck=tuple(found.stuck),
        why=found.why,
        random=store.put(random),
        loaded=store.put(modules.loaded()),
    )
    store.add(step)
    return ""


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
    _reap(current(), wait=True)
