"""The law: a notebook that failed and went on has what one has that ran through."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from time import monotonic
from types import GeneratorType
from typing import Any

from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from mlflowkit.nbrun.checkpoint import inside, pickles
from mlflowkit.nbrun.checkpoint.memory import Blocks, DoesNotTravel
from tests.nbrun.checkpoint.shells import Run, in_this_process, variables

NAMES = ("a", "b", "c", "d")
name = st.sampled_from(NAMES)
number = st.integers(0, 5)

LINES = st.one_of(
    st.builds("{} = [{}, {}]".format, name, number, number),
    st.builds("{} = {{'k': {}}}".format, name, name),
    st.builds("{} = {{{}, {}, 'x'}}".format, name, number, number),
    st.builds("{} = {}".format, name, name),
    st.builds("{} = ({}, {})".format, name, name, name),
    st.builds("{} = np.arange(600.) + {}".format, name, number),
    st.builds("{} = {}[::2]".format, name, name),
    st.builds("{} = random.random()".format, name),
    st.builds("{} = np.random.rand(3)".format, name),
    st.builds("random.seed({})".format, number),
    st.builds("{} = Box({})".format, name, name),
    st.builds("{} = lambda: {}".format, name, name),
    st.builds("def {}(): return ({}, {})".format, name, name, name),
    st.builds("{} = (n + {} for n in range(9))".format, name, number),
    st.builds("{} = iter([{}, {}, 3])".format, name, name, number),
    st.builds(
        "class Box:\n    def __init__(self, v): self.v = v\n    n = {}".format, number
    ),
    st.builds(
        "from functools import partial\n{} = partial({}, {})".format, name, name, name
    ),
    st.builds("del {}".format, name),
    st.builds("{}.append({})".format, name, name),
    st.builds("{}.append(random.randint(0, 9))".format, name),
    st.builds("{}[0] = {}".format, name, number),
    st.builds("{}.v = {}".format, name, name),
    st.builds("{}['k'].append({})".format, name, number),
    st.builds("{}()".format, name),
    st.builds("print(next({}))".format, name),
    st.builds("print({} is {}, type({}) is Box)".format, name, name, name),
    st.builds("globals()['{}'] = {}".format, name, number),
    st.builds("box.v = {}; boxes.append(Box(box))".format, name),
    st.builds("{}".format, name),
    st.builds("_".format),
)
#: A line that does not fit (`del` of what is not there) is no failure of the notebook.
CELL = st.lists(LINES, min_size=1, max_size=3).map(
    lambda lines: "\n".join(
        f"try:\n    {line.replace(chr(10), chr(10) + '    ')}\nexcept Exception as _e: print(type(_e))"
        if line not in NAMES
        else line
        for line in lines
    )
)
FIRST = """
import random
import numpy as np
np.random.seed(1); random.seed(1)
class Box:
    def __init__(self, v): self.v = v
a = b = c = d = None
box = Box([1]); boxes = [box]
"""


def shown(run: Run, start: int) -> dict[int, str]:
    """What cells put out, without addresses."""
    ran = {at: text for at, text in run.outputs.items() if at >= start}
    return {at: re.sub("0x[0-9a-f]+", "0x", text) for at, text in ran.items()}


def drained(shell: Any) -> dict[str, Any]:
    """What the iterators of a namespace would still give; their names are then gone."""
    found = {}
    for key, value in variables(shell).items():
        if isinstance(value, GeneratorType) or type(value).__name__ == "list_iterator":
            found[key] = value
    seen: dict[int, list[Any]] = {}
    for value in found.values():
        if id(value) not in seen:
            seen[id(value)] = [repr(type(each)) for each in value]
    for key in found:
        del shell.user_ns[key]
    return {key: seen[id(value)] for key, value in found.items()}


def picture(run: Run) -> tuple[Any, ...]:
    """All that can be told of a namespace: values, which of them are one object, what is next."""
    iterators = drained(run.shell)
    names = sorted(variables(run.shell))
    try:
        for _ in range(2):  # the first time, classes learn something about themselves
            pickled = pickles.to_bytes(names, run.shell.user_ns, Blocks(), monotonic() + 60)
    except DoesNotTravel as exc:
        return (
            iterators,
            names,
            [repr(type(run.shell.user_ns[n])) for n in names],
            str(exc)[:20],
        )
    said = [
        "class"
        if isinstance(each, tuple) and each[0] == "text" and len(str(each[1])) == 32
        else each
        for each in pickles.canonical(pickled.body)
    ]
    buffers = [bytes(buffer) for buffer in pickled.buffers]
    return iterators, names, said, buffers, run.shell.execution_count


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],
)
@given(cells=st.lists(CELL, min_size=2, max_size=5), data=st.data())
def test_going_on_from_a_failed_cell_gives_what_a_run_without_a_failure_gives(
    cells: list[str], data: st.DataObject
) -> None:
    cells = [FIRST, *cells]
    fails = data.draw(st.integers(1, len(cells) - 1), label="fails")
    every = set(range(len(cells)))
    some = st.sets(st.integers(0, len(cells)))
    stored = data.draw(st.just(every) | some, label="stored")
    broken = [*cells[:fails], "1 / 0"]
    with tempfile.TemporaryDirectory() as folder, in_this_process():
        place = Path(folder) / "checkpoints"
        expected = Run(cells, place).clean()
        Run(broken, place, stored).begin()
        resumed = Run(cells, place, stored)
        try:
            plan = resumed.resume()
        except inside.Doubt as doubt:
            event(f"doubt: {doubt}"[:40])
            return
        event(
            f"restored {plan.actions.count('restore')}, replayed {plan.actions.count('replay')}"
        )
        assert shown(resumed, plan.start) == shown(expected, plan.start)
        assert picture(resumed) == picture(expected)
