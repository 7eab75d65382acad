"""DAGs for the laws, drawn at random: any trigger rule, groups, setups, pools, limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from mlflowkit.core.spec import DagSpec, RetryPolicy
from mlflowkit.core.trigger_rule import TriggerRule
from tests.core.world import HOWS, AxisDrawing, dag

RULES = [str(rule) for rule in TriggerRule]
KINDS = ("success", "failure", "retry", "skipped")
#: As often as not, all that is asked for is plain.
PLAIN_RULES = ["all_success"] * len(RULES)


@dataclass
class Sketch:
    """A DAG while it is being drawn."""

    names: list[str]
    lines: list[str] = field(default_factory=list[str])
    mapped: dict[str, tuple[AxisDrawing, ...]] = field(
        default_factory=dict[str, tuple[AxisDrawing, ...]]
    )
    each: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    rules: dict[str, str] = field(default_factory=dict[str, str])
    group: list[str] = field(default_factory=list[str])

    def arrow(self, up: str, down: str) -> None:
        self.lines.append(f"{up} > {down}")

    def ups(self, name: str) -> list[str]:
        pairs = (line.partition(" > ") for line in self.lines)
        return [up for up, arrow, down in pairs if arrow and down == name]


@st.composite
def dags(draw: st.DrawFn) -> DagSpec:
    """Up to 6 tasks; each waits for any that were drawn before it."""
    names = [f"t{i}" for i in range(draw(st.sampled_from([3, 4, 5, 6, 2, 1, 0])))]
    sketch = Sketch(names, lines=list(names), each={name: {} for name in names})
    fail_fast = draw(st.sampled_from([False, False, False, True]))
    rules = PLAIN_RULES if fail_fast or draw(st.booleans()) else RULES
    for i, name in enumerate(names):
        _task(draw, sketch, i, rules)
        sketch.each[name] |= _limits(draw)
    if len(names) > 1 and draw(st.booleans()):
        _group(draw, sketch)
    if len(names) > 1 and draw(st.booleans()):
        _setup(draw, sketch)
    calls = draw(st.sampled_from([(), KINDS, KINDS[:2], KINDS[1:3]]))
    for name in names:
        sketch.each[name]["callbacks"] = calls
    return dag(
        "; ".join(sketch.lines),
        mapped=sketch.mapped,
        each=sketch.each,
        rules=sketch.rules,
        group=" ".join(sketch.group),
        retry=_policy(draw),
        timeout=draw(st.none() | st.just(timedelta(seconds=30))),
        limit=6,
        fail_fast=fail_fast,
        callbacks=tuple(kind for kind in calls if kind in KINDS[:2]),
        max_active_tasks=draw(st.sampled_from([None, None, 2, 1])),
        dagrun_timeout=draw(st.sampled_from([None, None, timedelta(seconds=40)])),
    )


def _task(draw: st.DrawFn, sketch: Sketch, i: int, rules: list[str]) -> None:
    name, before = sketch.names[i], sketch.names[:i]
    ups = sorted(draw(st.sets(st.sampled_from(before), max_size=3))) if i else []
    for up in ups:
        sketch.arrow(up, name)
    sketch.rules[name] = draw(st.sampled_from(rules))
    if draw(st.sampled_from([False, True])):
        sketch.mapped[name] = _axes(draw, ups)


def _axes(draw: st.DrawFn, ups: list[str]) -> tuple[AxisDrawing, ...]:
    joined = [(draw(st.sampled_from(HOWS)), up, 2) for up in ups[:1]]
    axes: list[AxisDrawing] = [*ups, *ups, 3, 2, 1, 0, *joined]
    return tuple(draw(st.lists(st.sampled_from(axes), min_size=1, max_size=2)))


def _limits(draw: st.DrawFn) -> dict[str, Any]:
    """Mostly none."""
    return draw(
        st.sampled_from(
            [
                {},
                {},
                {"priority_weight": 3},
                {"pool": "gpu", "priority_weight": 2},
                {"pool": "gpu", "pool_slots": 2},
                {"max_active_tis_per_dag": 2},
                {"max_active_tis_per_dagrun": 1},
            ]
        )
    )


def _group(draw: st.DrawFn, sketch: Sketch) -> None:
    """Two or three tasks in a row are a mapped group."""
    names = sketch.names
    first = draw(st.integers(0, len(names) - 2))
    inside = names[first : first + draw(st.integers(2, 3))]
    axes = _axes(draw, names[:first])
    sources = {a for a in axes if isinstance(a, str)}
    sources |= {a[1] for a in axes if isinstance(a, tuple) and isinstance(a[1], str)}
    for name in inside:
        sketch.mapped[name] = axes
        if not set(sketch.ups(name)).intersection(inside):
            if name != inside[0] and draw(st.booleans()):
                sketch.arrow(inside[0], name)
                continue
            for up in sorted(sources.difference(sketch.ups(name))):
                sketch.arrow(up, name)
        if sketch.rules[name] == "always":
            sketch.rules[name] = "all_done"
    sketch.group = inside


def _setup(draw: st.DrawFn, sketch: Sketch) -> None:
    """One or two tasks set something up; perhaps the last one tears it down."""
    *others, last = sketch.names
    setups = sorted(draw(st.sets(st.sampled_from(others), min_size=1, max_size=2)))
    torn_down = draw(st.booleans())
    for name in setups:
        sketch.each[name]["setup"] = True
        for down in sketch.names:
            if name in sketch.ups(down) and sketch.rules[down] != "always":
                sketch.rules[down] = "all_success"
        if torn_down and name not in sketch.ups(last):
            sketch.arrow(name, last)
    if torn_down:
        sketch.rules.pop(last)
        fails = draw(st.booleans())
        sketch.each[last] |= {"teardown": True, "on_failure_fail_dagrun": fails}


def _policy(draw: st.DrawFn) -> RetryPolicy:
    return RetryPolicy(
        retries=draw(st.sampled_from([2, 1, 0])),
        retry_delay=timedelta(seconds=draw(st.sampled_from([0, 10]))),
        exponential_backoff=draw(st.sampled_from([1.0, 2.0])),
        max_retry_delay=draw(st.none() | st.just(timedelta(seconds=15))),
    )
