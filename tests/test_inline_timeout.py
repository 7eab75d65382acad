"""`execution_timeout` in `dag.test()`: the task ends as it does in an engine."""

from __future__ import annotations

import signal
import threading
import time
from datetime import timedelta

import pytest

from mlflowkit import DAG, task
from mlflowkit.errors import ExecutionTimedOut, RunFailed

HUNG = threading.Event()


def test_a_task_that_hangs_is_ended_and_its_run_fails() -> None:
    """Whatever the task does with errors, and however often it is to be tried again."""

    @task(execution_timeout=0.05, retries=3)
    def hangs() -> None:
        try:
            HUNG.wait(120)
        except Exception:
            HUNG.wait(120)

    @task
    def after() -> None: ...

    with DAG("d") as dag:
        hangs() >> after()
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(RunFailed) as caught:
        dag.test()
    assert caught.value.states == {"hangs": "failed", "after": "upstream_failed"}
    cause = caught.value.__cause__
    assert isinstance(cause, ExecutionTimedOut)
    assert (cause.task_id, cause.longest) == ("hangs", timedelta(seconds=0.05))
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_task_in_time_and_one_in_another_thread_are_left_alone() -> None:
    """Where no alarm can end a task, its end says that it was too late."""

    @task(execution_timeout=60)
    def quick() -> int:
        return 1

    @task(execution_timeout=0.01)
    def slow() -> None:
        time.sleep(0.05)

    with DAG("in_time") as in_time:
        quick()
    with DAG("late") as late:
        slow()
    told: dict[str, object] = {}

    def run(dag: DAG) -> None:
        try:
            told[dag.dag_id] = dag.test().states()
        except RunFailed as exc:
            told[dag.dag_id] = (exc.states, type(exc.__cause__))

    run(in_time)
    elsewhere = threading.Thread(target=run, args=(late,))
    elsewhere.start()
    elsewhere.join(120)
    assert told == {
        "in_time": {"quick": "success"},
        "late": ({"slow": "failed"}, ExecutionTimedOut),
    }
