"""The plan: which cells are restored, replayed and run, and laws that hold for all of them."""

from __future__ import annotations

from dataclasses import replace as change
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mlflowkit.nbrun.checkpoint.analysis import CellFacts, analyse
from mlflowkit.nbrun.checkpoint.plan import Now, ResumePlan, plan, unexplained
from mlflowkit.nbrun.checkpoint.store import Cells, Group, Step, text_digest


def cells_of(*sources: str, **more: Any) -> Cells:
    return Cells(cells=tuple(map(text_digest, sources)), kernel="3.11", **more)


def step(at: int, *groups: str, stuck: str = "", **more: Any) -> Step:
    """Names with a space between them are one group."""
    kept = tuple(Group(names=tuple(g.split()), digest="", body="") for g in groups)
    return Step(at=at, groups=kept, stuck=(tuple(stuck.split()),) if stuck else (), **more)


def planned(then: Cells, steps: list[Step], *sources: str, **more: Any) -> ResumePlan:
    facts = analyse(sources)
    return plan(then, steps, Now(cells_of(*sources, **more), facts))


FOUR = ("a = 1", "gen = iter([a])", "b = 2", "1/0")


def test_what_travels_is_restored_and_the_cell_of_what_does_not_is_replayed() -> None:
    steps = [step(0, "a"), step(1, "a", stuck="gen"), step(2, "a", "b", stuck="gen")]
    found = planned(cells_of(*FOUR), steps, *FOUR)
    assert found.actions == ("restore", "replay", "restore", "run")
    assert (found.step, found.start) == (2, 3)
    (replay,) = found.replays
    assert (replay.before, replay.cells, replay.remade) == (0, (1,), ("gen",))
    assert replay.names == ("a", "gen", "iter")


def test_what_importing_sets_alone_is_no_change_and_all_else_is() -> None:
    before = {"cwd": "/", "logging": {"": "30", "a": "10"}}
    after = {"cwd": "/", "logging": {"": "30", "a": "10", "b": "20"}, "torch": "float32"}
    assert unexplained(before, after, None) == []  # it is compared at last
    assert unexplained(before, after, after) == []
    wide = {**after, "torch": "float64"}
    assert unexplained(before, wide, after) == ["torch"]
    assert unexplained(before, {**after, "cwd": "/tmp"}, after) == ["cwd"]
    louder = {**after, "logging": {"": "10", "a": "10", "b": "20"}}
    assert unexplained(before, louder, after) == ["logging"]
    assert unexplained(after, before, None) == ["logging"]


def test_cells_without_a_step_between_them_are_replayed_together() -> None:
    found = planned(cells_of(*FOUR), [step(2, "a", "b", stuck="gen")], *FOUR)
    assert found.actions == ("replay", "replay", "replay", "run")


def test_an_alias_that_is_gone_again_had_touched_what_it_was_of() -> None:
    cells = ("a = [1]; d = a", "d.append(lock); del d", "b = 2", "1/0")
    steps = [step(0, "a d"), step(1, stuck="a"), step(2, "b", stuck="a")]
    found = planned(cells_of(*cells), steps, *cells)
    assert found.actions == ("restore", "replay", "restore", "run")


def test_a_name_that_shared_a_generator_and_is_gone_had_used_it() -> None:
    cells = ("gen = iter(x); other = gen", "next(other); del other", "b = 2", "1/0")
    steps = [step(0, stuck="gen other"), step(1, stuck="gen"), step(2, "b", stuck="gen")]
    found = planned(cells_of(*cells), steps, *cells)
    assert found.actions == ("replay", "replay", "restore", "run")


def test_a_function_of_a_cell_may_touch_what_its_caller_does_not_name() -> None:
    cells = ("def f(): next(gen)", "gen = iter(x)", "f()", "1/0")
    uses = Group(names=("f",), digest="", body="", uses=("gen", "next"))
    steps = [
        Step(at=at, groups=(uses,), stuck=(("gen",),) if at else ()) for at in range(3)
    ]
    found = planned(cells_of(*cells), steps, *cells)
    assert found.actions == ("restore", "replay", "replay", "run")


def test_a_setting_that_changed_is_changed_again() -> None:
    then = cells_of(*FOUR, ambient={"the locale": "C"})
    steps = [
        step(0, "a", ambient={"the locale": "C"}),
        step(1, "a", ambient={"the locale": "el", "pandas' options": "new"}),
        step(2, "a", ambient={"the locale": "el", "pandas' options": "new"}),
    ]
    found = planned(then, steps, *FOUR)
    assert found.actions == ("restore", "replay", "restore", "run")
    assert found.reasons == (
        "cell 2 of those that run: replayed, because it changed the locale",
    )


def test_a_file_that_cells_name_counts_as_the_latest_step_knew_it() -> None:
    then = cells_of(*FOUR)
    files = ({"/a": "1"}, {"/a": "1", "/b": "1"}, {"/a": "2", "/b": "1"})
    steps = [step(at, "a", files=named) for at, named in enumerate(files)]

    def with_files(**now: str) -> ResumePlan:
        found = {f"/{name}": state for name, state in now.items()}
        return plan(then, steps, Now(then, analyse(FOUR), files=found))

    assert with_files(a="2", b="1").actions == ("restore",) * 3 + ("run",)
    changed = with_files(a="1", b="2")
    assert changed.actions == ("restore", "run", "run", "run")
    assert changed.reasons == ("the file /b has changed since",)
    assert with_files(b="1").actions == ("run",) * 4  # one that is gone has changed


def test_what_is_new_and_comes_with_no_library_was_set_by_the_cell() -> None:
    after = {"logging": {"": "30", "mine": "10"}}
    assert unexplained({"logging": {"": "30"}}, after, {}, whole=True) == ["logging"]
    assert unexplained({"logging": {"": "30"}}, after, after, whole=True) == []


def test_why_nothing_is_restored_is_said() -> None:
    then, steps = cells_of(*FOUR, inputs={"rows": "1"}), [step(2, "a")]
    other = change(Now(then, analyse(FOUR)), cells=cells_of(*FOUR, inputs={"rows": "2"}))
    assert plan(then, steps, other).reasons == ("the parameter rows has another value",)
    moved = change(other, cells=Cells(cells=then.cells, inputs=then.inputs, kernel="3.12"))
    assert plan(then, steps, moved).reasons == ("the kernel or its packages have changed",)
    module = [step(2, "a", modules={"/x/helper.py": "1"})]
    now = Now(then, analyse(FOUR), {"/x/helper.py": "2"})
    assert plan(then, module, now).reasons == ("the module /x/helper.py has changed",)
    assert plan(then, [], Now(then, analyse(FOUR))).actions == ("run",) * 4


NAMES = "abcd"
some = st.frozensets(st.sampled_from(NAMES))


@st.composite
def histories(draw: st.DrawFn) -> tuple[Cells, list[Step], Now]:
    count = draw(st.integers(1, 7))
    facts = [
        CellFacts(
            names=draw(some),
            effects=draw(st.sampled_from([(), (), (), ("calls x",)])),
            sweeping=draw(st.sampled_from([False] * 5 + [True])),
        )
        for _ in range(count)
    ]
    steps = []
    for at in sorted(draw(st.sets(st.integers(0, count - 1)))):
        stuck = draw(some)
        groups = [n for n in NAMES if n not in stuck]
        steps.append(step(at, *groups, stuck=" ".join(sorted(stuck))))
    then = cells_of(*map(str, range(count)))
    now = [str(n) if draw(st.integers(0, 9)) else "new" for n in range(count)]
    return then, steps, Now(cells_of(*now), facts)


@given(histories())
def test_laws_of_every_plan(history: tuple[Cells, list[Step], Now]) -> None:
    then, steps, now = history
    found = plan(then, steps, now)
    count = len(now.cells.cells)
    assert len(found.actions) == count
    changed = [n for n in range(count) if then.cells[n] != now.cells.cells[n]]
    # Nothing that changed is taken from before, and what runs once runs to the end.
    assert found.start <= min(changed, default=count)
    assert set(found.actions[found.start :]) <= {"run"}
    assert "run" not in found.actions[: found.start]
    # It goes on from a step that is there, right behind it.
    assert found.start == (0 if found.step is None else found.step + 1)
    assert found.step is None or found.step in [each.at for each in steps]
    # Replays are whole segments, in order, each with the state of the step before it.
    ends = [-1, *(each.at for each in steps)]
    for replay in found.replays:
        assert (replay.before if replay.before is not None else -1) in ends
        assert replay.cells[0] == (-1 if replay.before is None else replay.before) + 1
        assert replay.cells[-1] in ends
    replayed = [cell for replay in found.replays for cell in replay.cells]
    assert replayed == [n for n, action in enumerate(found.actions) if action == "replay"]
    # What changes more than variables is never taken for granted.
    for at, action in enumerate(found.actions):
        assert not (now.facts[at].effects and action == "restore")
    # What does not travel was made by a cell that runs or is replayed.
    last = next((each for each in steps if each.at == found.step), None)
    if last is not None and last.stuck:
        for name in last.stuck[0]:
            assert any(name in replay.remade for replay in found.replays)
