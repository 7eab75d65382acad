"""Pods that fail, that do not start, that are gone: what is said, and what stays."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest

from mlflowkit.errors import (
    PodFailed,
    PodGone,
    PodNotStarted,
)
from mlflowkit.operators.kubernetes import KubernetesPodOperator
from tests.kubernetes_server import FakePod, succeeds
from tests.operators.kubernetes_tasks import (
    WHERE,
    Cluster,
    ends_with,
    failure,
)


def test_a_failed_pod_says_its_code_last_lines_and_events(cluster: Cluster) -> None:
    def story(pod: FakePod) -> None:
        pod.event("Normal", "Pulled", "image pulled")
        pod.event("Warning", "Unhealthy", "probe failed", count=3)
        ends_with(3, *(f"line {n}" for n in range(30)), reason="Error")(pod)

    exc = failure(cluster, story)
    assert isinstance(exc, PodFailed)
    name = exc.pod
    assert (exc.exit_code, exc.reason) == (3, "Error")
    tail = "\n".join(f"line {n}" for n in range(10, 30))
    assert str(exc) == (
        f"pod {name!r} in {WHERE} failed: container 'base' ended with exit code 3\n"
        f"Its log ends with:\n{tail}\n"
        "Its events:\nNormal Pulled: image pulled\nWarning Unhealthy (×3): probe failed"
    )


def test_out_of_memory_names_the_limit(cluster: Cluster) -> None:
    story = ends_with(137, "allocating", reason="OOMKilled")
    exc = failure(cluster, story, container_resources={"limits": {"memory": "64Mi"}})
    assert isinstance(exc, PodFailed)
    assert (exc.reason, exc.exit_code, exc.memory_limit) == ("OOMKilled", 137, "64Mi")
    assert str(exc) == (
        f"pod {exc.pod!r} in {WHERE} failed: container 'base' needed more memory than its "
        "limit of 64Mi (OOMKilled, exit code 137). Raise limits.memory in "
        "container_resources.\nIts log ends with:\nallocating"
    )


def test_without_get_logs_the_error_still_has_the_last_lines(cluster: Cluster) -> None:
    exc = failure(cluster, ends_with(1, "no such model"), get_logs=False)
    assert "Its log ends with:\nno such model" in str(exc)


def test_an_evicted_pod_says_why(cluster: Cluster) -> None:
    def story(pod: FakePod) -> None:
        pod.run()
        pod.fail("Evicted", "The node was low on resource: memory.")

    exc = failure(cluster, story)
    assert isinstance(exc, PodFailed)
    assert exc.reason == "Evicted"
    assert "failed: Evicted: The node was low on resource: memory." in str(exc)


@pytest.mark.parametrize(
    ("reason", "message", "shown"),
    [
        (
            "ImagePullBackOff",
            'Back-off pulling image "serve:1"',
            "Check the image's name and tag, that the nodes reach its registry, and "
            "image_pull_secrets if it is private.",
        ),
        (
            "CreateContainerConfigError",
            'secret "s3" not found',
            "A Secret, ConfigMap or volume that the pod names is missing: create it, or mend "
            "its name or key.",
        ),
        ("InvalidImageName", "couldn't parse image reference", "Check the image's name"),
    ],
)
def test_a_pod_that_is_stuck_fails_before_the_startup_timeout(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, reason: str, message: str, shown: str
) -> None:
    monkeypatch.setattr(KubernetesPodOperator, "STUCK_SECONDS", 0.2)

    def story(pod: FakePod) -> None:
        pod.schedule()
        pod.event("Warning", "Failed", message)
        pod.wait_with(reason, message)

    began = time.monotonic()
    exc = failure(cluster, story, startup_timeout_seconds=600)
    assert time.monotonic() - began < 120
    assert isinstance(exc, PodNotStarted)
    assert exc.reason == reason
    said = f"did not start: {reason}: container 'base': {message}. {shown}"
    assert said in str(exc)
    assert str(exc).endswith(f"Its events:\nWarning Failed: {message}")
    assert cluster.left() == []


def test_a_busy_registry_is_waited_for(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KubernetesPodOperator, "STUCK_SECONDS", 0.0)
    gate = threading.Event()

    def story(pod: FakePod) -> None:
        pod.schedule()
        pod.wait_with("ErrImagePull", "pull QPS exceeded")
        pod.until(gate)
        pod.run()
        pod.end(0)

    cluster.fake.story = story
    threading.Timer(0.3, gate.set).start()
    assert cluster.test().states() == {"serve": "success"}


def test_a_pod_without_a_node_tells_what_the_scheduler_said(cluster: Cluster) -> None:
    def story(pod: FakePod) -> None:
        pod.unschedulable("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")

    exc = failure(cluster, story, schedule_timeout_seconds=0.2)
    assert isinstance(exc, PodNotStarted)
    assert str(exc) == (
        f"pod {exc.pod!r} in {WHERE} did not start: Unschedulable: no node in 0.2 s: "
        "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.\nIts events:\n"
        "Warning FailedScheduling: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    )


def test_a_container_that_does_not_come_up_in_time_says_so(cluster: Cluster) -> None:
    def story(pod: FakePod) -> None:
        pod.schedule()
        pod.wait_with("ContainerCreating", "")

    exc = failure(cluster, story, startup_timeout_seconds=0.2)
    assert isinstance(exc, PodNotStarted)
    assert exc.reason == "StartupTimeout"
    assert "(startup_timeout_seconds=0.2)" in str(exc)


def test_a_pod_that_somebody_deletes_is_said_to_be_gone(cluster: Cluster) -> None:
    def story(pod: FakePod) -> None:
        pod.run()
        pod.log("working")
        pod.event("Normal", "Killing", "Stopping container base")
        time.sleep(0.1)
        pod.server.remove(pod.namespace, pod.name)

    exc = failure(cluster, story)
    assert isinstance(exc, PodGone)
    assert str(exc).endswith(
        "Its log ends with:\nworking\nIts events:\nNormal Killing: Stopping container base"
    )


def test_a_code_of_skip_on_exit_code_skips(cluster: Cluster) -> None:
    cluster.fake.story = ends_with(99, "nothing to do")
    assert cluster.test(skip_on_exit_code=99).states() == {"serve": "skipped"}
    assert cluster.left() == []
    assert isinstance(failure(cluster, ends_with(98), skip_on_exit_code=[99]), PodFailed)


@pytest.mark.parametrize(
    ("action", "stays"),
    [
        ({}, {"ok": False, "failed": False, "stuck": False}),
        (
            {"on_finish_action": "delete_pod"},
            {"ok": False, "failed": False, "stuck": False},
        ),
        (
            {"on_finish_action": "delete_succeeded_pod"},
            {"ok": False, "failed": True, "stuck": True},
        ),
        ({"on_finish_action": "keep_pod"}, {"ok": True, "failed": True, "stuck": True}),
        ({"is_delete_operator_pod": False}, {"ok": True, "failed": True, "stuck": True}),
        ({"is_delete_operator_pod": True}, {"ok": False, "failed": False, "stuck": False}),
    ],
)
def test_on_finish_action_decides_what_stays(
    cluster: Cluster, action: dict[str, Any], stays: dict[str, bool]
) -> None:
    def stuck(pod: FakePod) -> None:
        pod.schedule()
        pod.wait_with("InvalidImageName", "no")

    found = {}
    for outcome, story in {
        "ok": succeeds(),
        "failed": ends_with(1),
        "stuck": stuck,
    }.items():
        cluster.fake.pods.clear()
        cluster.fake.story = story
        if outcome == "ok":
            cluster.test(**action)
        else:
            failure(cluster, **action)
        found[outcome] = cluster.left() != []
    assert found == stays


def test_a_pod_that_cannot_be_deleted_does_not_change_the_outcome(cluster: Cluster) -> None:
    cluster.fake.refuse("DELETE pods", 403, "may not")
    assert cluster.test().states() == {"serve": "success"}
    assert len(cluster.left()) == 1


def test_the_grace_period_goes_along_with_the_deletion(cluster: Cluster) -> None:
    cluster.test(termination_grace_period=7)
    assert cluster.fake.deleted[0][1] == {"gracePeriodSeconds": "7"}


@pytest.mark.parametrize(
    "sent", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGTERM]]
)
@pytest.mark.parametrize("when", ["pending", "running"])
def test_an_interrupted_task_deletes_its_pod(
    cluster: Cluster, sent: list[signal.Signals], when: str
) -> None:
    def story(pod: FakePod) -> None:
        if when == "running":
            pod.run()
            pod.log("first")
        os.kill(os.getpid(), sent[0])
        if sent[1:]:  # while the deletion is under way
            pod.server.wait(lambda: "DELETE pods" in pod.server.seen)
            os.kill(os.getpid(), sent[1])

    cluster.fake.story = story
    cluster.fake.refuse("DELETE pods", 503, "not ready")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        cluster.test(on_finish_action="keep_pod", termination_grace_period=3)
    name = cluster.fake.created[0]["metadata"]["name"]
    assert cluster.fake.deleted == [(name, {"gracePeriodSeconds": "3"})]
    assert cluster.left() == []
    assert signal.getsignal(signal.SIGTERM) is before
