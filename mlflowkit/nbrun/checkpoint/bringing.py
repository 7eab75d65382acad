"""Before a cell: the variables of a step are had again, or what a replay made is compared.

Whatever may not be what was there is a `Doubt`, and the notebook is run from its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

from mlflowkit.nbrun.checkpoint import ambient, beside, imports, randomness, shared
from mlflowkit.nbrun.checkpoint.keeper import SHELLS, SHOWN, Keeper, current
from mlflowkit.nbrun.checkpoint.memory import Blocks, DoesNotTravel
from mlflowkit.nbrun.checkpoint.pickles import (
    Pickled,
    TooCostly,
    canonical,
    from_bytes,
    to_bytes,
)
from mlflowkit.nbrun.checkpoint.store import Group, Step, digest, fits
from mlflowkit.nbrun.checkpoint.survey import reached
from mlflowkit.nbrun.checkpoint.writing import MOST_SECONDS


class Doubt(Exception):
    """What was brought back may not be what was there."""


def load(at: int | None, names: Sequence[str] | None, *, last: bool = False) -> None:
    """Have the variables of a step.

    Args:
        at: The step; None: nothing has run.
        names: The variables that are meant; None: all.
        last: No replay comes after it: settings are compared, too.

    Raises:
        Doubt: it cannot be had, or not for sure.
    """
    keeper = current()
    try:
        if at is None:
            _forget(keeper, names, set())
            randomness.set_random(keeper.store.get(keeper.store.cells().random))
            return
        step = _step(keeper, at)
        imports.import_again(imports.names_in(keeper, step))
        _bring_back(keeper, step, names)
        if last:
            _check_settings(keeper, step)
            beside.push_again(step)
        randomness.set_random(keeper.store.get(step.random))
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
    if keeper.names():  # of a replay: they may be what modules hold
        shared.look_again()
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
    until = monotonic() + MOST_SECONDS
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
    ours = {"_i": latest[2], "_ii": latest[1], "_iii": latest[0]}
    for number, code in enumerate(step.inputs, 1):
        ours[f"_i{number}"] = code
        shell.compile.cache(code, number)
    keeper.namespace.update(ours)
    shell.user_ns_hidden.update(ours)


def _bring_shown(keeper: Keeper, step: Step) -> None:
    """`Out`, and `_` with its like."""
    values, shown = keeper.namespace, keeper.shell.displayhook
    kept = {number: values[f"_{number}"] for number in step.outs if f"_{number}" in values}
    values.setdefault("_oh", {}).clear()
    values["_oh"].update(kept)
    for name in SHELLS:
        if hasattr(shown, name):
            setattr(shown, name, values.get(step.shown.get(name, name), ""))
    ours = {name: value for name, value in values.items() if SHOWN.fullmatch(name)}
    hidden = keeper.shell.user_ns_hidden
    hidden.update(ours)
    hidden.update(dict.fromkeys(step.taken))


def _check_settings(keeper: Keeper, step: Step) -> None:
    now = ambient.probe(keeper.namespace)
    differ = [what for what, is_ in step.ambient.items() if now.get(what) != is_]
    if differ:
        raise Doubt(f"{differ[0]} would not be as they were")


def verify(at: int, names: Sequence[str], read: Sequence[str] = ()) -> None:
    """Did a replayed segment make what it had made?

    Args:
        at: Its last cell.
        names: The variables that are meant.
        read: Of the values that cells have shown, those that count; "Out": all.

    Raises:
        Doubt: no, or a variable is not there.
    """
    shared.look_again()
    keeper, every = current(), not {"Out", "_oh"}.isdisjoint(read)
    for group in _step(keeper, at).groups:
        meant = [n for n in group.names if every or n in read or not SHOWN.fullmatch(n)]
        if not group.exact or not meant or not fits(names, group):
            continue
        if not keeper.namespace.keys() >= set(meant):
            raise Doubt(f"{meant[0]} was not made again")
        try:
            same = _came_out(keeper, group, meant)
        except (DoesNotTravel, TooCostly, OSError) as exc:
            raise Doubt(f"{meant[0]} {exc}") from exc
        if not same:
            raise Doubt(f"{meant[0]} came out differently when it was made again")


def _came_out(keeper: Keeper, group: Group, meant: Sequence[str]) -> bool:
    """Whether these variables of a group are what was stored."""
    if len(meant) == len(group.names):
        return _equals(keeper, group, _as_now(keeper, group))
    buffers = [keeper.store.get(name) for name in group.buffers]
    then = from_bytes(bytes(keeper.store.get(group.body)), buffers, keeper.namespace)
    until = monotonic() + MOST_SECONDS
    one, other = (
        to_bytes(meant, keeper.namespace, Blocks(), until, values)
        for values in (then, keeper.namespace)
    )
    same = [digest(b) for b in one.buffers] == [digest(b) for b in other.buffers]
    return same and canonical(one.body) == canonical(other.body)
