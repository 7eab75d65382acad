"""The pods of a job: their log lines as they come, and what became of them.

It watches; the cluster's controller decides about the pods, and the operator about the job.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.errors import JobFailed, MlflowkitError
from mlflowkit.hooks.kubernetes import Jobs, Pods
from mlflowkit.operators import kubernetes_why as why
from mlflowkit.operators import kubernetes_xcom as xcom
from mlflowkit.operators.kubernetes_telling import Telling
from mlflowkit.operators.kubernetes_watch import Pod, Watch

if TYPE_CHECKING:
    from mlflowkit.operators.kubernetes_job import KubernetesJobOperator

_JOIN_S: Final = 10.0


class JobPods:
    """The pods of a job: their log lines, and what became of them."""

    def __init__(self, task: KubernetesJobOperator, jobs: Jobs, name: str) -> None:
        self._task, self._jobs, self._name = task, jobs, name
        self._pods = Pods(jobs.cluster, jobs.namespace, patience=jobs.patience)
        self._watches: dict[str, Watch] = {}
        self._threads: list[threading.Thread] = []
        self._began = time.monotonic()
        self._stuck_since: float | None = None

    def look(self) -> list[Pod]:
        """The pods that there are now; the log of each new one is followed."""
        pods = self._pods.find(f"batch.kubernetes.io/job-name={self._name}")
        base = str(self._task.base_container_name)
        for pod in pods:
            name = pod["metadata"]["name"]
            if name in self._watches or not why.has_started(pod, base):
                continue
            telling = Telling(self._task.log_formatter, pod=f"[{name}] ")
            watch = Watch(self._pods, name, base, self._task.pace, telling)
            self._watches[name] = watch
            if self._task.get_logs:
                thread = threading.Thread(target=_follow, args=(watch,), daemon=True)
                thread.start()
                self._threads.append(thread)
        return pods

    def check_start(self, pods: Sequence[Pod]) -> None:
        """Give up a job of which no pod can start, and delete it.

        Raises:
            JobFailed: so it is.
        """
        if self._watches:
            return
        pace, now = self._task.pace, time.monotonic()
        problem = next(filter(None, map(why.stuck, pods)), None)
        self._stuck_since = (self._stuck_since or now) if problem else None
        late = now - self._began > pace.schedule + pace.startup
        stuck = problem is not None and (
            problem.for_good or now - (self._stuck_since or now) > pace.stuck
        )
        if not (late or stuck):
            return
        reason = problem.reason if problem else "StartupTimeout"
        told = problem.why if problem else self._why_late(pods)
        if pods:
            watch = self._watch_of(pods[-1])
            told = "\n".join((told, *watch.events()))
        self._jobs.delete(self._name, propagation=self._task.on_kill_propagation_policy)
        raise JobFailed(
            self._name, self._jobs.where, reason, f"{told} The job was deleted."
        )

    def story(self, pods: Sequence[Pod]) -> str:
        """What its last failed pod has to tell."""
        self.hear_out()
        failed = [pod for pod in pods if why.phase(pod) == "Failed"]
        if not failed:
            return ""
        return str(self._watch_of(failed[-1]).failure(failed[-1]))

    def results(self) -> Any:
        """What the pods wrote: one value, or a list in the order of their indexes."""
        pods = [pod for pod in self.look() if why.phase(pod) == "Succeeded"]
        pods.sort(key=_completion_index)
        found = []
        for pod in pods:
            name = pod["metadata"]["name"]
            lines = self._watch_of(pod).lines(xcom.SIDECAR, xcom.handed_over)
            found.append(xcom.read_result(name, lines))
        return found[0] if len(found) == 1 else found

    def hear_out(self) -> None:
        """Wait a moment for log lines that are on their way."""
        until = time.monotonic() + _JOIN_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def stop(self) -> None:
        """Pass on no more lines."""
        for watch in self._watches.values():
            watch.stop()

    def _watch_of(self, pod: Pod) -> Watch:
        name = pod["metadata"]["name"]
        known = self._watches.get(name)
        base = str(self._task.base_container_name)
        return known or Watch(self._pods, name, base, self._task.pace, Telling())

    def _why_late(self, pods: Sequence[Pod]) -> str:
        if not pods:
            return "the cluster made no pod for it"
        return why.why_unscheduled(pods[-1])


def _follow(watch: Watch) -> None:
    try:
        watch.follow([watch.base])
    except MlflowkitError:
        return  # what became of the pod is told by the job


def _completion_index(pod: Pod) -> tuple[int, str]:
    index = (pod["metadata"].get("annotations") or {}).get(
        "batch.kubernetes.io/job-completion-index", "0"
    )
    return int(index), str(pod["metadata"].get("creationTimestamp") or "")
