"""What a roll-out has come to, from the objects that the Kubernetes API returns.

Pure: plain dicts in, a verdict out. Never asks a cluster anything; time does not pass here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]

#: Reasons for which a container waits, and from which it does not recover by itself.
HOPELESS = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)
_ALL_WELL = frozenset({"ContainerCreating", "PodInitializing"})
#: A container may fall over once (a slow network at start) and still come up.
_FORGIVEN_RESTARTS = 1


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not there yet."""

    message: str


@dataclass(frozen=True, slots=True)
class Done:
    """Every pod is of the new version, and available."""

    replicas: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Given up by Kubernetes itself."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a pod from running. `hopeless`: waiting longer does not help.

    `container` is the one whose log tells more (None: it never ran); `previous`: the log of
    its last run, not of the one that may be starting now.
    """

    pod: str
    reason: str
    message: str
    hopeless: bool = False
    container: str | None = None
    previous: bool = False


def rollout_status(deployment: Object) -> Waiting | Done | Failed:
    """Where the roll-out of a Deployment stands, by the rules of `kubectl rollout status`."""
    status: Object = deployment.get("status") or {}
    wanted = deployment.get("spec", {}).get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return Waiting("the cluster has not looked at the new version yet")
    for condition in status.get("conditions") or ():
        if condition.get("reason") == "ProgressDeadlineExceeded":
            return Failed("ProgressDeadlineExceeded", condition.get("message", ""))
    updated = status.get("updatedReplicas") or 0
    available = status.get("availableReplicas") or 0
    if updated < wanted:
        return Waiting(f"{updated} of {wanted} new pods started{_refusal(status)}")
    if (status.get("replicas") or 0) > updated:
        return Waiting(f"{status['replicas'] - updated} old pods are ending")
    if available < updated:
        return Waiting(f"{available} of {updated} new pods are ready")
    return Done(wanted)


def _refusal(status: Object) -> str:
    """Why no pod could be made at all, such as a quota that is used up."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return f" ({condition.get('reason')}: {condition.get('message')})"
    return ""


def worst_trouble(pods: Iterable[Object]) -> Trouble | None:
    """What is most wrong with these pods, or None when nothing is. Pods on their way out do not count."""
    found = [
        trouble
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp")
        for trouble in pod_troubles(pod)
    ]
    return min(found, key=lambda t: (not t.hopeless, t.pod, t.reason), default=None)


def pod_troubles(pod: Object) -> list[Trouble]:
    """All that is wrong with a pod: its scheduling, its containers, its end."""
    name = pod["metadata"]["name"]
    status: Object = pod.get("status") or {}
    troubles = [
        Trouble(
            name,
            condition.get("reason") or "Unschedulable",
            condition.get("message", ""),
        )
        for condition in status.get("conditions") or ()
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False"
    ]
    if status.get("phase") == "Failed":
        reason = status.get("reason") or "Failed"
        troubles.append(Trouble(name, reason, status.get("message", ""), hopeless=True))
    containers = [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]
    return troubles + [t for c in containers if (t := _container_trouble(name, c))]


def _container_trouble(pod: str, container: Object) -> Trouble | None:
    if container.get("ready"):
        return None
    state: Object = container.get("state") or {}
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated")
    if ended and (ended.get("exitCode") or ended.get("reason") == "OOMKilled"):
        return _ended_trouble(pod, container, ended)
    waiting = state.get("waiting")
    if not waiting or waiting.get("reason", "ContainerCreating") in _ALL_WELL:
        return None
    reason = waiting["reason"]
    return Trouble(pod, reason, waiting.get("message", ""), hopeless=reason in HOPELESS)


def _ended_trouble(pod: str, container: Object, ended: Object) -> Trouble:
    state: Object = container.get("state") or {}
    waits = (state.get("waiting") or {}).get("reason")
    restarts = container.get("restartCount") or 0
    code = ended.get("exitCode")
    reason = "OOMKilled" if ended.get("reason") == "OOMKilled" else (waits or "Error")
    times = f", restarted {restarts} times" if restarts > 1 else ""
    said = f": {ended['message'].strip()}" if ended.get("message") else ""
    more = " (raise memory=)" if reason == "OOMKilled" else ""
    return Trouble(
        pod,
        reason,
        f"the container ended with exit code {code}{times}{more}{said}",
        hopeless=restarts > _FORGIVEN_RESTARTS or waits in HOPELESS,
        container=container["name"],
        previous="terminated" not in state,
    )
