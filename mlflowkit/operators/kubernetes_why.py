"""What the state of a pod means, in words: pure functions of a pod as the API gives it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Pod = Mapping[str, Any]

ENDED: Final = frozenset({"Succeeded", "Failed"})
#: Reasons for waiting that do not pass by themselves.
_STUCK_AT_ONCE: Final = frozenset({"InvalidImageName", "ErrImageNeverPull"})
#: Reasons that mostly do not pass either: they are given a moment.
_STUCK: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ImageInspectError",
        "RegistryUnavailable",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "CrashLoopBackOff",
    }
)
_BUSY_REGISTRY: Final = re.compile(r"QPS exceeded|429|Too Many Requests", re.IGNORECASE)
SHOWN_EVENTS: Final = 8
_TODO: Final = {
    "image": "Check the image's name and tag, that the nodes reach its registry, and "
    "image_pull_secrets if it is private.",
    "config": "A Secret, ConfigMap or volume that the pod names is missing: create it, or "
    "mend its name or key.",
}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a container came to its end."""

    container: str
    exit_code: int
    reason: str
    message: str
    signal: int


@dataclass(frozen=True, slots=True)
class Stuck:
    """Why a pod does not start."""

    reason: str
    why: str
    #: Whether waiting longer cannot help.
    for_good: bool


def phase(pod: Pod) -> str:
    """`Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def statuses(pod: Pod) -> Iterator[Mapping[str, Any]]:
    """The state of every container, those that prepare it first."""
    status = pod.get("status") or {}
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def state_of(pod: Pod, container: str) -> Mapping[str, Any]:
    """`{"waiting": …}`, `{"running": …}` or `{"terminated": …}` of one container."""
    for status in statuses(pod):
        if status.get("name") == container:
            found: Mapping[str, Any] = status.get("state") or {}
            return found
    return {}


def has_started(pod: Pod, container: str) -> bool:
    """Whether a container runs or has run."""
    state = state_of(pod, container)
    return state.get("running") is not None or state.get("terminated") is not None


def end_of(pod: Pod, container: str) -> Ended | None:
    """How a container ended; None while it has not."""
    told = state_of(pod, container).get("terminated")
    if told is None:
        return None
    return Ended(
        container,
        int(told.get("exitCode") or 0),
        str(told.get("reason") or ""),
        str(told.get("message") or "").strip(),
        int(told.get("signal") or 0),
    )


def is_scheduled(pod: Pod) -> bool:
    """Whether it has a node."""
    if (pod.get("spec") or {}).get("nodeName"):
        return True
    return any(
        c.get("type") == "PodScheduled" and c.get("status") == "True"
        for c in (pod.get("status") or {}).get("conditions") or ()
    )


def why_unscheduled(pod: Pod) -> str:
    """What the scheduler says of a pod without a node."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("message"):
            return str(condition["message"])
    return "the scheduler has not looked at it, or says nothing"


def stuck(pod: Pod) -> Stuck | None:
    """Why it cannot start as things are; None if it is only on its way."""
    for status in statuses(pod):
        waiting = (status.get("state") or {}).get("waiting") or {}
        reason, said = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
        if _BUSY_REGISTRY.search(said):
            continue
        if reason in _STUCK or reason in _STUCK_AT_ONCE:
            todo = _TODO["image" if "Image" in reason or "Registry" in reason else "config"]
            if reason in ("RunContainerError", "CreateContainerError", "CrashLoopBackOff"):
                todo = "Check its command and its mounts."
            why = f"container {status.get('name')!r}: {said or reason}. {todo}"
            return Stuck(reason, why.replace("..", "."), reason in _STUCK_AT_ONCE)
    return None


def culprit(pod: Pod, base: str) -> Ended | None:
    """The container that made a pod fail: the base one if it failed, else the first that did."""
    names = [str(status.get("name")) for status in statuses(pod)]
    ends = [end_of(pod, name) for name in [base, *names]]
    return next((end for end in ends if end is not None and end.exit_code != 0), None)


def why_failed(pod: Pod, end: Ended | None) -> str:
    """Why a pod failed, and what to do, in a sentence or two."""
    status = pod.get("status") or {}
    own = ": ".join(str(status[k]) for k in ("reason", "message") if status.get(k))
    if end is None:
        return own or "the cluster gives no reason"
    if end.reason == "OOMKilled":
        limit = memory_limit(pod, end.container)
        held = f"its limit of {limit}" if limit else "what its node had"
        return (
            f"container {end.container!r} needed more memory than {held} (OOMKilled, exit "
            f"code {end.exit_code}). Raise limits.memory in container_resources."
        )
    parts = [f"container {end.container!r} ended with exit code {end.exit_code}"]
    if end.reason and end.reason != "Error":
        parts.append(f" ({end.reason})")
    if end.message:
        parts.append(f": {end.message}")
    return "".join(parts) + (f". {own}" if own else "")


def memory_limit(pod: Pod, container: str) -> str | None:
    """The memory that a container may take, such as `512Mi`."""
    spec = pod.get("spec") or {}
    for one in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        if one.get("name") == container:
            limit = ((one.get("resources") or {}).get("limits") or {}).get("memory")
            return str(limit) if limit else None
    return None


def events_in_words(events: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The latest events, a line each: `Warning FailedScheduling (×3): no nodes`."""
    return tuple(map(event_in_words, events[-SHOWN_EVENTS:]))


def event_in_words(event: Mapping[str, Any]) -> str:
    """`Warning FailedScheduling (×3): 0/3 nodes are available`."""
    count = event.get("count") or (event.get("series") or {}).get("count") or 1
    times = f" (×{count})" if count > 1 else ""
    said = str(event.get("message") or "").strip()
    return f"{event.get('type') or 'Normal'} {event.get('reason') or '?'}{times}: {said}"


def succeeded(pod: Pod, base: str) -> bool:
    """Whether it ended well; a helper that never ends is not waited for."""
    if phase(pod) == "Succeeded":
        return True
    end = end_of(pod, base)
    return phase(pod) == "Running" and end is not None and end.exit_code == 0


def without_values(pod: Any) -> Any:
    """A pod to look at: values of variables may be secrets."""
    if isinstance(pod, Mapping):
        hide = "name" in pod and "value" in pod
        return {
            key: "***" if hide and key == "value" else without_values(part)
            for key, part in pod.items()
            if key != "managedFields"
        }
    return [without_values(part) for part in pod] if isinstance(pod, list) else pod
