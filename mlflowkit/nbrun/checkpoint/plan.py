"""What to restore, what to replay and where to start, from steps and the cells as they are now.

Pure. A *segment* is the cells between two steps; it is replayed as a whole. The rule:
a segment is replayed if it changed more than variables, or if it touched what does not
travel and is still there. Before a replay, the kernel gets the variables as they were
then, so nothing else has to be replayed for its sake. Where a step has no sure way, an
earlier one is taken; with none, all cells run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mlflowkit.nbrun.checkpoint.analysis import CellFacts
from mlflowkit.nbrun.checkpoint.store import DATA, Cells, Step

Action = Literal["restore", "replay", "run"]


@dataclass(frozen=True, slots=True)
class Replay:
    """A segment that runs again."""

    #: The step before it; None: it begins with the first cell.
    before: int | None
    #: Its cells, among those that have something to run.
    cells: tuple[int, ...]
    #: Variables that it may use and that the kernel gets as they were; None: all.
    names: tuple[str, ...] | None
    why: str
    #: It is replayed for these variables: what else it makes has to come out as it was.
    remade: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResumePlan:
    """How to have a kernel that is as it was, and from where to run."""

    #: What happens to each cell that has something to run.
    actions: tuple[Action, ...]
    #: The step whose variables are taken; None: everything runs.
    step: int | None = None
    replays: tuple[Replay, ...] = ()
    #: Why it does not start later, or why a cell is replayed: sentences for people.
    reasons: tuple[str, ...] = ()

    @property
    def start(self) -> int:
        """The first cell that runs."""
        found = [at for at, action in enumerate(self.actions) if action == "run"]
        return found[0] if found else len(self.actions)


def all_run(count: int, *reasons: str) -> ResumePlan:
    """Nothing is restored."""
    run: Action = "run"
    return ResumePlan((run,) * count, reasons=reasons)


@dataclass(frozen=True, slots=True)
class Now:
    """What is to be run."""

    cells: Cells
    facts: Sequence[CellFacts]
    #: Hashes of the files of local modules that steps name.
    modules: dict[str, str] = field(default_factory=dict[str, str])
    #: Size and time of the other files that steps name.
    files: dict[str, str] = field(default_factory=dict[str, str])
    #: Step → what the settings are in a new kernel that has imported what it had.
    imported: Mapping[int, Mapping[str, Any]] = field(
        default_factory=dict[int, Mapping[str, Any]]
    )


def plan(then: Cells, steps: Sequence[Step], now: Now) -> ResumePlan:
    """Choose.

    Args:
        then: What the steps belong to.
        steps: In order.
        now: What is to be run.
    """
    count = len(now.cells.cells)
    why, same = _same_prefix(then, now.cells)
    usable: list[Step] = []
    for step in steps:
        gone = [m for m, d in step.modules.items() if now.modules.get(m) != d]
        if step.at >= same:
            break
        if gone:
            why = f"the module {gone[0]} has changed"
            break
        usable.append(step)
    while usable and (file := _changed_file(usable[-1], now.files)):
        why = f"the file {file} has changed since"
        usable.pop()
    if not usable:
        reason = why or "there is no checkpoint before the first cell that runs"
        return all_run(count, reason)
    reasons = (why,) if why else ()
    replays = _replays(then, usable, now)
    again = {cell for replay in replays for cell in replay.cells}
    last = usable[-1].at
    actions: list[Action] = [
        "run" if at > last else "replay" if at in again else "restore"
        for at in range(count)
    ]
    told = tuple(_said(replay) for replay in replays)
    return ResumePlan(tuple(actions), last, tuple(replays), (*reasons, *told))


def _changed_file(step: Step, now: Mapping[str, str]) -> str:
    """One that its cells name and that is not as it was; what a later cell of the notebook
    wrote is known to a later step."""
    return next((f for f, was in step.files.items() if now.get(f, "") != was), "")


def _same_prefix(then: Cells, now: Cells) -> tuple[str, int]:
    """Why not everything is as it was, and how many cells are."""
    if then.kernel != now.kernel:
        return "the kernel or its packages have changed", 0
    if then.inputs != now.inputs:
        names = then.inputs.items() ^ now.inputs.items()
        return f"the parameter {min(name for name, _ in names)} has another value", 0
    for at, (one, other) in enumerate(zip(then.cells, now.cells, strict=False)):
        if one != other:
            return f"cell {at + 1} of those that run has changed", at
    same = min(len(then.cells), len(now.cells))
    return "" if same == len(now.cells) else "the notebook has more cells now", same


def _said(replay: Replay) -> str:
    first, last = replay.cells[0] + 1, replay.cells[-1] + 1
    which = f"cell {first}" if first == last else f"cells {first} to {last}"
    return f"{which} of those that run: replayed, because {replay.why}"


# ── settings ──


def to_explain(then: Cells, steps: Sequence[Step]) -> list[int]:
    """The steps before which settings changed: by imports alone?"""
    before = [then.ambient, *(step.ambient for step in steps)]
    pairs = zip(before, steps, strict=False)
    return [step.at for was, step in pairs if was != step.ambient]


def unexplained(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    imported: Mapping[str, Any] | None,
    *,
    whole: bool = False,
) -> list[str]:
    """The settings that changed, but for those that importing alone sets in the same way.

    Args:
        imported: Settings by the imports alone; None: that is not known. What is new came
            with a library: where it is not known what that sets, it is compared at last.
        whole: All that was imported is among `imported`.
    """
    was, is_ = _items(before), _items(after)
    alone = _items(imported) if imported else {}
    found = dict[str, None]()
    for item, value in is_.items():
        known = [each[item] for each in (was, alone) if item in each]
        if (known or whole) and value not in known:
            found[item[0]] = None
    gone = {what for what, part in was.keys() - is_.keys() if part and what in after}
    return [*found, *sorted(gone - found.keys() - {DATA})]


def _items(settings: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """Settings, and the parts of those that have parts."""
    found: dict[tuple[str, str], Any] = {}
    for what, is_ in settings.items():
        parts = is_.items() if isinstance(is_, dict) else [("", is_)]
        found.update({(what, str(part)): value for part, value in parts})
    return found


# ── segments ──


@dataclass(slots=True)
class _Segment:
    cells: tuple[int, ...]
    before: Step | None
    after: Step
    names: set[str]
    sweeping: bool
    effects: list[str]
    changed: list[str]


def _segments(then: Cells, steps: Sequence[Step], now: Now) -> list[_Segment]:
    found: list[_Segment] = []
    facts = now.facts
    before: Step | None = None
    for step in steps:
        cells = tuple(range(0 if before is None else before.at + 1, step.at + 1))
        names = {name for at in cells for name in facts[at].names}
        segment = _Segment(
            cells,
            before,
            step,
            _with_uses(names, [step, *([before] if before else [])]),
            any(facts[at].sweeping for at in cells),
            [effect for at in cells for effect in facts[at].effects],
            _changed(before or then, step, now.imported.get(step.at)),
        )
        found.append(segment)
        before = step
    return found


def _changed(
    before: Step | Cells, step: Step, imported: Mapping[str, Any] | None
) -> list[str]:
    """The settings that a segment changed; what modules of the person's own set when they
    are imported is not known."""
    own = step.modules.keys() - getattr(before, "modules", {}).keys()
    whole = imported is not None and not own
    return unexplained(before.ambient, step.ambient, imported, whole=whole)


def _with_uses(names: set[str], steps: Iterable[Step]) -> set[str]:
    """Names, and those that the functions behind them may use."""
    found, todo = set[str](), list(names)
    uses: dict[str, set[str]] = {}
    for step in steps:
        for group in step.groups:
            for name in group.names:
                uses.setdefault(name, set()).update(group.uses)
        for names_ in step.stuck:
            for name in names_:  # what code a stuck object holds is not known
                uses.setdefault(name, set()).update(names_)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += uses.get(name, ())
    return found


def _replays(then: Cells, steps: Sequence[Step], now: Now) -> list[Replay]:
    found: list[Replay] = []
    wanted = _stuck_names(steps[-1])
    for segment in reversed(_segments(then, steps, now)):
        related = wanted | _mates(wanted, segment.before)
        known = _stuck_names(segment.before) if segment.before else set[str]()
        touched = sorted(
            related if segment.sweeping else (related & segment.names) | (wanted - known)
        )
        why = _why(segment, touched)
        if why:
            loaded = tuple(sorted(segment.names | set(touched)))
            names = None if segment.sweeping else loaded
            before = segment.before.at if segment.before else None
            found.append(Replay(before, segment.cells, names, why, tuple(touched)))
        if segment.before is not None:
            # A replayed segment needs what it used of the things that do not travel, too.
            used = segment.names if why and not segment.sweeping else set[str]()
            every = known if why and segment.sweeping else known & (related | used)
            wanted = known & (every | _mates(every, segment.before))
    return found[::-1]


def _why(segment: _Segment, touched: Sequence[str]) -> str:
    if segment.effects:
        return f"it {segment.effects[0]}"
    if segment.changed:
        return f"it changed {segment.changed[0]}"
    if not touched:
        return ""
    reasons = segment.after.why
    said = [f"{name} {reasons[name]}" for name in touched if name in reasons]
    return said[0] if said else f"it made {touched[0]}, which does not travel"


def _stuck_names(step: Step) -> set[str]:
    return {name for names in step.stuck for name in names}


def _mates(names: set[str], step: Step | None) -> set[str]:
    """What shares objects with these."""
    if step is None:
        return set()
    groups = (*step.stuck, *(group.names for group in step.groups))
    return {mate for group in groups if names & set(group) for mate in group}
