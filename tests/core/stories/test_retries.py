"""What fails is tried again as its policy says; what is lost starts again; what takes too long dies."""

from __future__ import annotations

from datetime import timedelta

from mlflowkit.core.decisions import CloseRun, Kill, Launch, WakeAt
from mlflowkit.core.events import AttemptFailed, TimePassed
from mlflowkit.core.spec import RetryPolicy
from mlflowkit.core.states import RunState
from tests.core.world import NOON, World, dag

SECOND = timedelta(seconds=1)


def test_a_failed_task_waits_and_is_tried_again() -> None:
    world = World(dag("load > train", retries=1))
    world.places(1)
    world.start("load")
    assert world.fail("load", "disk full") == [WakeAt(NOON + 10 * SECOND)]
    assert world.states() == {"load": "up_for_retry", "train": "none"}
    assert world.reason("load") == "disk full"

    assert world.wait(seconds=9) == []
    assert world.places(1) == []
    assert world.wait(seconds=1) == []
    assert world.places(1) == [Launch(world.attempt("load", 2))]
    world.succeed("load")
    assert world.states() == {"load": "success", "train": "scheduled"}


def test_when_all_tries_are_spent_it_has_failed() -> None:
    world = World(dag("load", retries=1))
    world.places(1)
    world.fail("load", "first")
    world.wait(seconds=10)
    world.places(1)
    assert world.fail("load", "second") == [CloseRun(RunState.FAILED)]
    assert world.reason("load") == "second"


def test_what_another_try_cannot_help_is_not_tried_again() -> None:
    world = World(dag("load", retries=5))
    world.places(1)
    assert world.fail("load", "no such bucket", retryable=False) == [
        CloseRun(RunState.FAILED)
    ]


def test_the_wait_grows_up_to_its_ceiling() -> None:
    policy = RetryPolicy(
        retries=5,
        retry_delay=10 * SECOND,
        exponential_backoff=2.0,
        max_retry_delay=35 * SECOND,
    )
    world, waits = World(dag("load", retry=policy)), list[float]()
    for _ in range(policy.retries):
        world.places(1)
        (wake,) = world.fail("load")
        assert isinstance(wake, WakeAt)
        waits.append((wake.when - world.now).total_seconds())
        world.now = wake.when
        world.tell(TimePassed())
    assert waits == [10, 20, 35, 35, 35]


def test_a_task_that_is_skipped_after_a_failure_is_skipped() -> None:
    world = World(dag("load", retries=1))
    world.places(1)
    world.fail("load")
    world.wait(seconds=10)
    world.places(1)
    assert world.skip("load") == [CloseRun(RunState.SUCCESS)]


def test_a_timeout_kills_and_what_was_killed_spends_a_try() -> None:
    world = World(dag("train", retries=1, timeout=timedelta(minutes=1)))
    world.places(1)
    assert world.start("train") == [WakeAt(NOON + timedelta(minutes=1))]
    first = world.attempt("train")
    assert world.wait(seconds=59) == []
    assert world.wait(seconds=1) == [Kill(first, "timed out after 0:01:00")]
    assert world.wait(seconds=5) == [], "it is killed once"
    assert world.states() == {"train": "running"}, "it holds its place until it is dead"

    assert world.fail("train", "killed by SIGTERM") == [WakeAt(world.now + 10 * SECOND)]
    assert world.reason("train") == "timed out after 0:01:00"
    world.wait(seconds=10)
    world.places(1)
    world.start("train")
    world.wait(minutes=1)
    assert world.fail("train", "killed by SIGTERM") == [CloseRun(RunState.FAILED)]
    assert world.reason("train") == "timed out after 0:01:00"


def test_the_clock_of_a_timeout_starts_with_the_attempt_and_not_in_the_queue() -> None:
    world = World(dag("train", timeout=timedelta(minutes=1)))
    world.places(1)
    assert world.wait(hours=1) == []
    world.start("train")
    assert world.wait(seconds=59) == []


def test_a_timed_out_attempt_that_is_lost_has_failed() -> None:
    world = World(dag("train", timeout=timedelta(minutes=1)))
    world.places(1)
    world.start("train")
    world.wait(minutes=1)
    assert world.lose("train", "no sign of life") == [CloseRun(RunState.FAILED)]
    assert world.reason("train") == "timed out after 0:01:00"


def test_a_success_that_wins_the_race_against_its_timeout_is_kept() -> None:
    world = World(dag("train", timeout=timedelta(minutes=1)))
    world.places(1)
    world.start("train")
    world.wait(minutes=1)
    assert world.succeed("train") == [CloseRun(RunState.SUCCESS)]


def test_the_timeout_of_an_attempt_that_has_ended_does_not_touch_the_next_one() -> None:
    world = World(dag("train", retries=1, timeout=timedelta(minutes=1)))
    world.places(1)
    world.start("train")
    world.wait(seconds=40)
    world.fail("train")
    world.wait(seconds=10)
    world.places(1)
    world.start("train")
    assert world.wait(seconds=20) == []
    assert world.wait(seconds=40) == [
        Kill(world.attempt("train", 2), "timed out after 0:01:00")
    ]


def test_a_lost_attempt_starts_again_at_once_and_spends_no_try() -> None:
    world = World(dag("train"))
    world.places(1)
    world.start("train")
    assert world.lose("train", "its worker died") == []
    assert world.states() == {"train": "scheduled"}
    assert world.reason("train") == "lost: its worker died"
    assert world.places(1) == [Launch(world.attempt("train", 2))]
    assert world.succeed("train") == [CloseRun(RunState.SUCCESS)]


def test_a_task_that_is_lost_four_times_has_failed_whatever_its_retries() -> None:
    world = World(dag("train", retries=9))
    for _ in range(3):
        world.places(1)
        assert world.lose("train") == []
    world.places(1)
    assert world.lose("train", "no sign of life") == [CloseRun(RunState.FAILED)]
    assert world.reason("train") == "lost 4 times; the last time: no sign of life"


def test_a_failure_in_between_forgives_what_was_lost() -> None:
    world = World(dag("train", retries=1))
    for _ in range(3):
        world.places(1)
        world.lose("train")
    world.places(1)
    world.fail("train")
    world.wait(seconds=10)
    world.places(1)
    assert world.lose("train") == []
    assert world.states() == {"train": "scheduled"}


def test_a_lost_attempt_that_speaks_again_is_not_heard() -> None:
    world = World(dag("train"))
    world.places(1)
    ghost = world.attempt("train")
    world.lose("train")
    world.places(1)
    assert world.attempt("train") != ghost
    world.tell(AttemptFailed(ghost, "boom"))
    assert not world.outcome
