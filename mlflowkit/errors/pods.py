"""Errors of tasks that run as pods and jobs of a Kubernetes cluster."""

from __future__ import annotations

from mlflowkit.errors.runs import TaskFailed


class PodFailed(TaskFailed):
    """A pod of a task ended without success. The message has its reason and last log lines."""

    code = "pod_failed"

    def __init__(
        self,
        pod: str,
        where: str,
        why: str,
        *,
        reason: str = "",
        exit_code: int | None = None,
        memory_limit: str | None = None,
        tail: str = "",
        events: tuple[str, ...] = (),
    ) -> None:
        self.pod, self.where, self.why, self.reason = pod, where, why, reason
        self.exit_code, self.memory_limit = exit_code, memory_limit
        self.tail, self.events = tail, events
        super().__init__(f"pod {pod!r} in {where} failed: {why}{_pod_story(tail, events)}")


class PodNotStarted(TaskFailed):
    """A pod of a task did not come so far as to run: no place, no image, no such Secret."""

    code = "pod_not_started"

    def __init__(
        self, pod: str, where: str, reason: str, why: str, events: tuple[str, ...] = ()
    ) -> None:
        self.pod, self.where, self.reason = pod, where, reason
        self.why, self.events = why, events
        super().__init__(
            f"pod {pod!r} in {where} did not start: {reason}: {why}{_pod_story('', events)}"
        )


class PodGone(TaskFailed):
    """Somebody or something deleted the pod of a task while it ran."""

    code = "pod_gone"

    def __init__(
        self, pod: str, where: str, tail: str = "", events: tuple[str, ...] = ()
    ) -> None:
        self.pod, self.where, self.tail, self.events = pod, where, tail, events
        super().__init__(
            f"pod {pod!r} in {where} was deleted before it had ended, by somebody else or "
            f"because its node went away.{_pod_story(tail, events)}"
        )


class PodXComUnreadable(TaskFailed):
    """The result that a pod wrote is no JSON, is too large, or did not arrive whole."""

    code = "pod_xcom_unreadable"

    def __init__(self, pod: str, path: str, why: str) -> None:
        self.pod, self.path, self.why = pod, path, why
        super().__init__(f"the result of pod {pod!r} ({path}) cannot be taken: {why}")


class JobFailed(TaskFailed):
    """A Kubernetes job ended without success. The message tells of its last pod."""

    code = "job_failed"

    def __init__(self, job: str, where: str, reason: str, why: str, pod: str = "") -> None:
        self.job, self.where, self.reason, self.why = job, where, reason, why
        self.pod = pod
        told = f"\n{pod}" if pod else ""
        super().__init__(f"job {job!r} in {where} failed: {reason}: {why}{told}")


class ClusterOutage(TaskFailed):
    """A Kubernetes API server was away for longer than a task waits. A retry may succeed."""

    code = "cluster_outage"

    def __init__(self, why: str, seconds: float) -> None:
        self.why, self.seconds = why, seconds
        super().__init__(
            f"gave up after {seconds:.0f} s: {why} What was started is left as it is: the "
            "next attempt of this task goes on with it."
        )


def _pod_story(tail: str, events: tuple[str, ...]) -> str:
    told = f"\nIts log ends with:\n{tail}" if tail else ""
    return told + ("\nIts events:\n" + "\n".join(events) if events else "")
