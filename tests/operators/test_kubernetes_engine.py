"""Pods under a real engine: a worker that dies, an engine that dies, a run that is cancelled."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlflowkit import DAG
from mlflowkit.engine.client import ensure_engine
from mlflowkit.handles.run import RunHandle
from mlflowkit.operators.kubernetes import KubernetesPodOperator
from tests.homes import engine_pid, fresh_home, wait_until
from tests.kubernetes_server import FakePod
from tests.operators.kubernetes_tasks import QUICK, Cluster


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MLFLOWKIT_PARALLELISM", "2")
    monkeypatch.setenv("MLFLOWKIT_KILL_GRACE", "PT3S")
    monkeypatch.setenv("MLFLOWKIT_ENGINE_IDLE", "PT30S")
    with fresh_home(tmp_path) as home:
        monkeypatch.setenv("MLFLOWKIT_HOME", str(home))
        yield home


class Gated:
    """A pod that writes a line, waits for the test, writes another and ends."""

    def __init__(self, code: int = 0) -> None:
        self.gate, self.code = threading.Event(), code

    def __call__(self, pod: FakePod) -> None:
        pod.run()
        pod.log("first")
        pod.until(self.gate)
        pod.log("second")
        pod.end(self.code)


def pipeline(cluster: Cluster, **options: Any) -> DAG:
    with DAG("train") as dag:
        KubernetesPodOperator(
            **{
                "task_id": "serve",
                "image": "serve:1",
                "config_file": str(cluster.config),
                "log_formatter": lambda _container, text: f"{os.getpid()} {text}",
                **QUICK,
                **options,
            }
        )
    return dag


def worker_of(run: RunHandle, attempt: int) -> int:
    """The process of an attempt, once it has passed on the pod's first line."""

    def first() -> int:
        try:
            lines = run["serve"].log(attempt).splitlines()
        except (FileNotFoundError, IndexError):
            return 0
        return next((int(x.split()[0]) for x in lines if x.endswith(" first")), 0)

    return wait_until(first, 120)


def heard(run: RunHandle, attempt: int) -> list[str]:
    """The pod's lines in the log of an attempt."""
    lines = run["serve"].log(attempt).splitlines()
    return [x.split()[1] for x in lines if x.split()[0].isdigit() and len(x.split()) == 2]


def test_an_attempt_goes_on_with_the_pod_of_a_worker_that_was_killed(
    home: Path, cluster: Cluster
) -> None:
    story = Gated()
    cluster.fake.story = story
    run = pipeline(cluster, retries=1, retry_delay=0).run(wait=False)
    os.kill(worker_of(run, 1), signal.SIGKILL)
    worker_of(run, 2)
    story.gate.set()
    run.wait(120)
    assert run.state == "success"
    assert len(cluster.fake.created) == 1
    assert heard(run, 1) == ["first"]
    assert heard(run, 2) == ["first", "second"]
    assert run["serve"].result("pod_name") == cluster.fake.created[0]["metadata"]["name"]
    assert cluster.left() == []


def test_a_pod_that_ended_while_nobody_looked_is_not_run_again(
    home: Path, cluster: Cluster
) -> None:
    story = Gated()
    cluster.fake.story = story
    run = pipeline(cluster, retries=1, retry_delay=1.0).run(wait=False)
    os.kill(worker_of(run, 1), signal.SIGKILL)
    story.gate.set()
    run.wait(120)
    assert run.state == "success"
    assert len(cluster.fake.created) == 1
    assert heard(run, 2) == ["first", "second"]
    assert cluster.left() == []


def test_without_reattach_a_new_attempt_makes_a_pod_of_its_own(
    home: Path, cluster: Cluster
) -> None:
    story = Gated()
    cluster.fake.story = story
    dag = pipeline(cluster, retries=1, retry_delay=0, reattach_on_restart=False)
    run = dag.run(wait=False)
    os.kill(worker_of(run, 1), signal.SIGKILL)
    worker_of(run, 2)
    story.gate.set()
    run.wait(120)
    assert len(cluster.fake.created) == 2


def resume(home: Path, run: RunHandle) -> None:
    client = ensure_engine(home)
    client.call("resume", run_ids=[run.run_id])
    client.close()


def test_a_run_whose_engine_died_goes_on_with_its_pod(home: Path, cluster: Cluster) -> None:
    story = Gated()
    cluster.fake.story = story
    run = pipeline(cluster).run(wait=False)
    worker_of(run, 1)
    os.kill(engine_pid(home), signal.SIGKILL)
    wait_until(lambda: not engine_pid(home))
    resume(home, run)
    worker_of(run, 2)
    story.gate.set()
    run.wait(120)
    assert run.state == "success"
    assert len(cluster.fake.created) == 1
    assert heard(run, 2) == ["first", "second"]


def test_a_cancelled_run_deletes_its_pod_whatever_on_finish_says(
    home: Path, cluster: Cluster
) -> None:
    cluster.fake.story = Gated()
    run = pipeline(cluster, on_finish_action="keep_pod", termination_grace_period=4).run(
        wait=False
    )
    worker_of(run, 1)
    run.cancel()
    wait_until(lambda: run.view().ended, 120)
    assert run.state == "failed"
    assert cluster.left() == []
    assert cluster.fake.deleted == [
        (cluster.fake.created[0]["metadata"]["name"], {"gracePeriodSeconds": "4"})
    ]


def test_a_retry_after_a_failed_pod_makes_a_new_one(home: Path, cluster: Cluster) -> None:
    codes = iter([1, 0])

    def story(pod: FakePod) -> None:
        pod.run()
        pod.log("first")
        pod.end(next(codes))

    cluster.fake.story = story
    dag = pipeline(cluster, retries=1, retry_delay=0, on_finish_action="keep_pod")
    run = dag.run(wait=True)
    assert run.state == "success"
    labels = [m["metadata"]["labels"] for m in cluster.fake.created]
    assert [one["try_number"] for one in labels] == ["1", "2"]
    assert len({one["mlflowkit/owner"] for one in labels}) == 2
    assert len(cluster.left()) == 2
