"""What the trigger rule of a task says, here and now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from mlflowkit.core.machine.run import BAD, Node
from mlflowkit.core.spec import UNMAPPED
from mlflowkit.core.states import ENDED, Cause, TaskState
from mlflowkit.core.trigger_rule import Above, TriggerRule, Verdict, judge

_S = TaskState
#: Where a skip above is why it is skipped.
_BY_SKIP = frozenset({TriggerRule.ALL_SUCCESS, TriggerRule.NONE_SKIPPED})


def verdict_at(node: Node, index: int) -> Verdict:
    """May instance `index` of the task start? `UNMAPPED`: the task as a whole.

    Setup tasks further up come first: what they make ready is needed under every rule.
    """
    found = _setups(node.setups)
    if found is not Verdict.RUN:
        return found
    if not node.inside and not node.whole:
        return Verdict.RUN
    return judge(node.spec.trigger_rule, _above(node, index))


def _setups(setups: Iterable[Node]) -> Verdict:
    waits = False
    for setup in setups:
        if any(setup.counts[state] for state in BAD):
            return Verdict.FAIL
        if setup.counts[_S.SKIPPED]:
            return Verdict.SKIP
        waits |= not setup.done
    return Verdict.WAIT if waits else Verdict.RUN


def _above(node: Node, index: int) -> Above:
    seen, still_open = node.above, node.open_above
    if node.inside:
        seen = Counter(seen)
        for up in node.inside:
            state = _state_inside(up, index)
            still_open += state is None
            if state is not None:
                seen[state] += 1
    setups = Counter[TaskState]()
    how_many = 0
    if node.spec.trigger_rule is TriggerRule.ALL_DONE_SETUP_SUCCESS:
        direct = [up for up in (*node.whole, *node.inside) if up.spec.setup]
        how_many = len(direct)
        setups.update(up.outcome() for up in direct if up.done)
    return Above(
        success=seen[_S.SUCCESS],
        skipped=seen[_S.SKIPPED],
        failed=seen[_S.FAILED] + seen[_S.UPSTREAM_FAILED],
        failed_itself=seen[_S.FAILED],
        done=not still_open,
        setups=how_many,
        setups_success=setups[_S.SUCCESS],
        setups_skipped=setups[_S.SKIPPED],
    )


def _state_inside(up: Node, index: int) -> TaskState | None:
    """How the instance above has ended; None while it has not."""
    at = index if up.expanded else UNMAPPED
    instance = up.instances.get(at)
    return instance.state if instance is not None and instance.state in ENDED else None


def why_closed(node: Node, index: int, found: Verdict) -> tuple[Cause, str]:
    """How a task instance that cannot run ends, and a line for people."""
    rule = node.spec.trigger_rule
    if found is Verdict.FAIL:
        name = next(_ended_as(node, index, BAD), None)
        if name is not None:
            return Cause.UPSTREAM_FAILED, f"task {name!r} failed"
        return Cause.UPSTREAM_FAILED, f"none of the tasks above succeeded ({rule})"
    name = next(_ended_as(node, index, (_S.SKIPPED,)), None)
    if name is not None and (rule in _BY_SKIP or node.setups):
        return Cause.UPSTREAM_SKIPPED, f"task {name!r} was skipped"
    return Cause.RULE_NOT_MET, f"its trigger rule {rule} cannot be met"


def _ended_as(node: Node, index: int, states: Iterable[TaskState]) -> Iterator[str]:
    wanted = frozenset(states)
    for up in (*node.setups, *node.whole):
        if any(up.counts[state] for state in wanted):
            yield str(up.spec.task_id)
    for up in node.inside:
        if _state_inside(up, index) in wanted:
            yield str(up.spec.task_id)
