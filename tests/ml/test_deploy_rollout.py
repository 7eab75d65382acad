"""Where a roll-out stands, from objects as the API returns them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflowkit.ml.rollout import (
    Done,
    Failed,
    Trouble,
    Waiting,
    rollout_status,
    worst_trouble,
)

Json = dict[str, Any]


def deployment(wanted: int = 2, generation: int = 3, **status: Any) -> Json:
    return {
        "metadata": {"name": "digits", "generation": generation},
        "spec": {"replicas": wanted},
        "status": {"observedGeneration": generation, **status},
    }


def condition(kind: str, status: str, reason: str, message: str = "") -> Json:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def pod(name: str = "p1", **status: Any) -> Json:
    return {"metadata": {"name": name}, "status": status}


def server(
    state: Json, *, last: Json | None = None, restarts: int = 0, ready: bool = False
) -> Json:
    return {
        "name": "server",
        "state": state,
        "lastState": last or {},
        "restartCount": restarts,
        "ready": ready,
    }


LATE = condition("Progressing", "False", "ProgressDeadlineExceeded", "timed out")
NO_QUOTA = condition("ReplicaFailure", "True", "FailedCreate", "exceeded quota")


@pytest.mark.parametrize(
    ("given_", "verdict"),
    [
        (
            {"metadata": {"name": "x", "generation": 1}, "spec": {}},
            Waiting("the cluster has not looked at the new version yet"),
        ),
        (
            deployment(
                observedGeneration=2, updatedReplicas=2, replicas=2, availableReplicas=2
            ),
            Waiting("the cluster has not looked at the new version yet"),
        ),
        (
            deployment(observedGeneration=2, conditions=[LATE]),
            Waiting("the cluster has not looked at the new version yet"),
        ),
        (deployment(), Waiting("0 of 2 new pods started")),
        (
            deployment(conditions=[NO_QUOTA]),
            Waiting("0 of 2 new pods started (FailedCreate: exceeded quota)"),
        ),
        (
            deployment(replicas=3, updatedReplicas=2, availableReplicas=2),
            Waiting("1 old pods are ending"),
        ),
        (
            deployment(replicas=2, updatedReplicas=2, availableReplicas=1),
            Waiting("1 of 2 new pods are ready"),
        ),
        (deployment(replicas=2, updatedReplicas=2, availableReplicas=2), Done(2)),
        (deployment(wanted=0), Done(0)),
        (
            deployment(conditions=[LATE]),
            Failed("ProgressDeadlineExceeded", "timed out"),
        ),
    ],
)
def test_a_deployments_status_has_one_meaning(given_: Json, verdict: object) -> None:
    assert rollout_status(given_) == verdict


counts = st.none() | st.integers(0, 5)


@given(st.integers(0, 5), st.integers(0, 3), counts, counts, counts)
def test_it_is_never_done_before_every_pod_is_new_and_available(
    wanted: int,
    observed: int,
    replicas: int | None,
    updated: int | None,
    available: int | None,
) -> None:
    verdict = rollout_status(
        deployment(
            wanted,
            2,
            observedGeneration=observed,
            replicas=replicas,
            updatedReplicas=updated,
            availableReplicas=available,
        )
    )
    complete = (
        observed >= 2
        and (updated or 0) >= wanted
        and (replicas or 0) <= (updated or 0) <= (available or 0)
    )
    assert isinstance(verdict, Done) == complete


def waits(reason: str, message: str = "m") -> Json:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int, reason: str = "Error", message: str = "") -> Json:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        ({}, None),
        (
            {
                "phase": "Pending",
                "containerStatuses": [server(waits("ContainerCreating"))],
            },
            None,
        ),
        ({"containerStatuses": [server({"running": {}})]}, None),
        (
            {
                "containerStatuses": [
                    server({"running": {}}, last=ended(1), restarts=4, ready=True)
                ]
            },
            None,
        ),
        (
            {"containerStatuses": [server(waits("ErrImagePull"))]},
            Trouble("p1", "ErrImagePull", "m"),
        ),
        (
            {"containerStatuses": [server(waits("ImagePullBackOff"))]},
            Trouble("p1", "ImagePullBackOff", "m", hopeless=True),
        ),
        (
            {"containerStatuses": [server(waits("CreateContainerConfigError"))]},
            Trouble("p1", "CreateContainerConfigError", "m", hopeless=True),
        ),
        (
            {"containerStatuses": [server(ended(1, message="no bucket\n"))]},
            Trouble(
                "p1",
                "Error",
                "the container ended with exit code 1: no bucket",
                container="server",
            ),
        ),
        (
            {
                "containerStatuses": [
                    server(waits("CrashLoopBackOff"), last=ended(1), restarts=1)
                ]
            },
            Trouble(
                "p1",
                "CrashLoopBackOff",
                "the container ended with exit code 1",
                container="server",
                previous=True,
            ),
        ),
        (
            {
                "containerStatuses": [
                    server({"running": {}}, last=ended(137, "OOMKilled"), restarts=2)
                ]
            },
            Trouble(
                "p1",
                "OOMKilled",
                "the container ended with exit code 137, restarted 2 times (raise memory=)",
                hopeless=True,
                container="server",
                previous=True,
            ),
        ),
        (
            {"initContainerStatuses": [server(waits("InvalidImageName"))]},
            Trouble("p1", "InvalidImageName", "m", hopeless=True),
        ),
        (
            {
                "conditions": [
                    condition("PodScheduled", "False", "Unschedulable", "no room")
                ]
            },
            Trouble("p1", "Unschedulable", "no room"),
        ),
        (
            {"phase": "Failed", "reason": "Evicted", "message": "disk pressure"},
            Trouble("p1", "Evicted", "disk pressure", hopeless=True),
        ),
    ],
)
def test_a_pods_trouble_is_named(status: Json, trouble: Trouble | None) -> None:
    assert worst_trouble([pod(**status)]) == trouble


def test_what_waiting_does_not_mend_comes_first() -> None:
    mild = pod("a", conditions=[condition("PodScheduled", "False", "Unschedulable")])
    bad = pod("b", containerStatuses=[server(waits("ImagePullBackOff"))])
    found = worst_trouble([mild, bad])
    assert found
    assert found.reason == "ImagePullBackOff"


def test_a_pod_on_its_way_out_is_not_to_blame() -> None:
    leaving = pod(containerStatuses=[server(waits("ImagePullBackOff"))])
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert worst_trouble([leaving]) is None
