"""The engine dies at each place where that could hurt, and the next one goes on."""

from __future__ import annotations

import signal

import pytest

from mlflowkit.engine.failpoints import NAMES
from tests.chaos.conftest import Arena


def test_without_a_crash_every_check_holds(arena: Arena) -> None:
    assert arena.go("run") == 0, arena.said()
    arena.check()


#: Most turns carry out one decision: the middle of several comes seldom.
EARLY_AND_LATER = [(n, nth) for n in NAMES for nth in ((1, 2) if "middle" in n else (1, 5))]


@pytest.mark.parametrize(("name", "nth"), EARLY_AND_LATER)
def test_an_engine_that_dies_there_loses_nothing(arena: Arena, name: str, nth: int) -> None:
    died = arena.go("run", MLFLOWKIT_FAILPOINTS=f"{name}:{nth}")
    assert died == -signal.SIGKILL, f"the failpoint was not hit: {arena.said()}"
    assert arena.go("resume") == 0, arena.said()
    arena.check()


@pytest.mark.parametrize("name", NAMES)
def test_dying_there_again_while_it_resumes_loses_nothing(arena: Arena, name: str) -> None:
    point = {"MLFLOWKIT_FAILPOINTS": f"{name}:2"}
    assert arena.go("run", MLFLOWKIT_FAILPOINTS="turn.after_commit:2") == -signal.SIGKILL
    assert arena.go("resume", **point) == -signal.SIGKILL, arena.said()
    assert arena.go("resume") == 0, arena.said()
    arena.check()


def test_the_checks_find_an_engine_that_acts_before_it_has_saved(arena: Arena) -> None:
    died = arena.go("run", CHAOS_PLANT="early", MLFLOWKIT_FAILPOINTS="turn.before_commit:1")
    assert died == -signal.SIGKILL, arena.said()
    assert arena.go("resume") == 0, arena.said()
    with pytest.raises(AssertionError, match="before it was decided|nobody had decided"):
        arena.check()
