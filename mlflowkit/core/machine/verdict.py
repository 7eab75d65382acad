"""What the trigger rule of a task says, here and now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from mlflowkit.core.machine.run import BAD, Node
from mlflowkit.core.spec import UNMAPPED
from mlflowkit.core.states import ENDED, Cause, TaskState
from mlflowkit.core.trigger_rule import Above, TriggerRule, Verdict, judge

_S = TaskState
#: What the end of a task means for those that cannot do without it.
_NEED = {
    _S.FAILED: Verdict.FAIL,
    _S.UPSTREAM_FAILED: Verdict.FAIL,
    _S.SKIPPED: Verdict.SKIP,
}
#: Where a skip above is why it is skipped.
_BY_SKIP = frozenset({TriggerRule.ALL_SUCCESS, TriggerRule.NONE_SKIPPED})


def verdict_at(node: Node, index: int) -> Verdict:
    """May instance `index` of the task start? `UNMAPPED`: the task as a whole.

    What it needs beside its trigger rule comes first: setup tasks further up (but for the
    rule `always`), and what it expands over: one that was cleared has an item of that list,
    which may be made anew just now.
    """
    needs = _needs(node, index)
    if needs in (Verdict.FAIL, Verdict.SKIP):
        return needs
    found = Verdict.RUN
    if node.inside or node.whole:
        found = judge(node.spec.trigger_rule, _above(node, index))
    if found is Verdict.RUN and any(_is_open(node, up, index) for up in node.scope):
        return Verdict.WAIT
    return needs if found is Verdict.RUN else found


def _is_open(node: Node, up: Node, index: int) -> bool:
    """Whether work that a teardown clears away after may still be done."""
    if index >= 0 and node.beside(up):
        return _state_inside(up, index) is None
    return not up.done


def _needs(node: Node, index: int) -> Verdict:
    if not node.setups and not node.sources:
        return Verdict.RUN
    found = set[Verdict]()
    if node.spec.trigger_rule is not TriggerRule.ALWAYS:
        found |= {_of_setup(node, setup, index) for setup in node.setups}
    found |= {_of_source(source) for source in node.sources}
    order = (Verdict.FAIL, Verdict.SKIP, Verdict.WAIT)
    return next((one for one in order if one in found), Verdict.RUN)


def _of_setup(node: Node, setup: Node, index: int) -> Verdict:
    """A setup of the same mapped group is asked for its instance of that index alone."""
    if node.beside(setup):
        state = _state_inside(setup, index)
        return Verdict.WAIT if state is None else _NEED.get(state, Verdict.RUN)
    states = (state for state in (*BAD, _S.SKIPPED) if setup.counts[state])
    found = next((_NEED[state] for state in states), Verdict.RUN)
    return Verdict.WAIT if found is Verdict.RUN and not setup.done else found


def _of_source(source: Node) -> Verdict:
    """Of a mapped source those count that succeeded, whatever the others did."""
    if not source.done:
        return Verdict.WAIT
    return Verdict.RUN if source.expanded else _NEED.get(source.outcome(), Verdict.RUN)


def _above(node: Node, index: int) -> Above:
    seen, still_open = node.above, node.open_above
    if node.inside:
        seen = Counter(seen)
        for up in node.inside:
            state = _state_inside(up, index)
            still_open += state is None
            if state is not None:
                seen[state] += 1
    setups = _setups_above(node, index)
    return Above(
        success=seen[_S.SUCCESS],
        skipped=seen[_S.SKIPPED],
        failed=seen[_S.FAILED] + seen[_S.UPSTREAM_FAILED],
        failed_itself=seen[_S.FAILED],
        done=not still_open,
        setups=setups.total(),
        setups_success=setups[_S.SUCCESS],
        setups_skipped=setups[_S.SKIPPED],
    )


def _setups_above(node: Node, index: int) -> Counter[TaskState]:
    """How the setup instances directly above ended; one is enough for what tears down."""
    found = Counter[TaskState]()
    if node.spec.trigger_rule is TriggerRule.ALL_DONE_SETUP_SUCCESS:
        for up in node.whole:
            if up.spec.setup:
                found.update(up.counts)
        states = (_state_inside(up, index) for up in node.inside if up.spec.setup)
        found.update(state for state in states if state is not None)
    return found


def _state_inside(up: Node, index: int) -> TaskState | None:
    """How the instance above has ended; None while it has not.

    One that was removed stands for nothing: it was the task before it was expanded.
    """
    at = index if up.expanded else UNMAPPED
    instance = up.instances.get(at)
    if instance is None or instance.state is _S.REMOVED:
        return None
    return instance.state if instance.state in ENDED else None


def why_closed(node: Node, index: int, found: Verdict) -> tuple[Cause, str]:
    """How a task instance that cannot run ends, and a line for people."""
    rule = node.spec.trigger_rule
    if found is Verdict.FAIL:
        name = next(_ended_as(node, index, BAD), None)
        if name is not None:
            return Cause.UPSTREAM_FAILED, f"task {name!r} failed"
        return Cause.UPSTREAM_FAILED, f"none of the tasks above succeeded ({rule})"
    name = next(_ended_as(node, index, (_S.SKIPPED,)), None)
    if name is not None and (rule in _BY_SKIP or _needs(node, index) is Verdict.SKIP):
        return Cause.UPSTREAM_SKIPPED, f"task {name!r} was skipped"
    return Cause.RULE_NOT_MET, f"its trigger rule {rule} cannot be met"


def _ended_as(node: Node, index: int, states: Iterable[TaskState]) -> Iterator[str]:
    wanted = frozenset(states)
    for up in (*node.setups, *node.sources, *node.whole, *node.inside):
        if node.beside(up):
            found = _state_inside(up, index) in wanted
        else:
            found = any(up.counts[state] for state in wanted)
        if found:
            yield str(up.spec.task_id)
