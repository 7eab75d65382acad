"""A pod on its way, followed to its end: started or stuck, its log lines, how it ended.

It waits and tells; what becomes of the pod afterwards is the operator's to decide.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mlflowkit.errors import (
    ClusterForbidden,
    ClusterOutage,
    ClusterRefused,
    ClusterUnreachable,
    PodFailed,
    PodGone,
    PodNotStarted,
)
from mlflowkit.hooks.kubernetes import Pods
from mlflowkit.hooks.kubernetes_log import ContainerLog
from mlflowkit.operators import kubernetes_why as why
from mlflowkit.operators.kubernetes_telling import SHOWN_LINES, Pace, Telling, growing

Pod = dict[str, Any]

#: A server mesh's helper that never ends by itself: nobody waits for it.
_NEVER_ENDS: Final = frozenset({"istio-proxy", "linkerd-proxy"})
_AGAIN_S: Final = (0.2, 5.0)
_LOG_LEFT_S: Final = 5.0


class Watch:
    """One pod of a task."""

    def __init__(
        self, pods: Pods, name: str, base: str, pace: Pace, telling: Telling
    ) -> None:
        self.pods, self.name, self.base = pods, name, base
        self.pace, self.telling = pace, telling
        self._stop = threading.Event()

    # ── start ───────────────────────────────────────────────────────────────

    def wait_for_start(self) -> Pod:
        """Wait until the base container runs or has run, or the pod has ended.

        Raises:
            PodNotStarted: there is no place for it, it is stuck, or it takes too long.
            PodGone: somebody deleted it.
        """
        began, waits = time.monotonic(), growing(self.pace.check)
        scheduled: float | None = None
        stuck_since: float | None = None
        while True:
            pod = self.read()
            if why.has_started(pod, self.base) or why.phase(pod) in why.ENDED:
                return pod
            now = time.monotonic()
            if scheduled is None and why.is_scheduled(pod):
                scheduled = now
            problem = why.stuck(pod)
            stuck_since = (stuck_since or now) if problem else None
            self._check_places(pod, now - began, scheduled is None)
            if problem and (
                problem.for_good or now - (stuck_since or now) > self.pace.stuck
            ):
                raise self._not_started(problem.reason, problem.why)
            if scheduled is not None and now - scheduled > self.pace.startup:
                reason = problem.reason if problem else "StartupTimeout"
                told = (
                    problem.why
                    if problem
                    else "it got a node, but its container did not run"
                )
                took = f"{told} (startup_timeout_seconds={self.pace.startup:g})"
                raise self._not_started(reason, took)
            time.sleep(next(waits))

    def _check_places(self, pod: Pod, waited: float, unscheduled: bool) -> None:
        if unscheduled and waited > self.pace.schedule:
            told = f"no node in {self.pace.schedule:g} s: {why.why_unscheduled(pod)}"
            raise self._not_started("Unschedulable", told)

    def _not_started(self, reason: str, told: str) -> PodNotStarted:
        return PodNotStarted(self.name, self.pods.where, reason, told, self.events())

    # ── run ─────────────────────────────────────────────────────────────────

    def follow(self, main: Sequence[str], others: Sequence[str] = ()) -> Pod:
        """Pass on the log lines of these containers as they come, until the pod has ended.

        Raises:
            PodGone: somebody deleted it while it ran.
        """
        side = [
            threading.Thread(target=self._follow_quietly, args=(name, False), daemon=True)
            for name in others
        ]
        for thread in side:
            thread.start()
        try:
            for name in main:
                self._follow_log(name, main=True)
            pod = self.wait_for_end()
        except BaseException:
            self.stop()
            raise
        for thread in side:
            thread.join(_LOG_LEFT_S)
        self.stop()
        return pod

    def stop(self) -> None:
        """Pass on no more lines."""
        self._stop.set()

    def wait_for_end(self) -> Pod:
        """Wait until the pod has ended, or everything in it that ever will.

        Raises:
            PodGone: somebody deleted it while it ran.
        """
        waits = growing(self.pace.poll)
        while not self._over(pod := self.read()):
            time.sleep(next(waits))
        return pod

    def _over(self, pod: Pod) -> bool:
        if why.phase(pod) in why.ENDED:
            return True
        if why.end_of(pod, self.base) is None:
            return False
        spec = pod.get("spec") or {}
        left = {
            str(c["name"])
            for c in spec.get("containers") or ()
            if why.end_of(pod, str(c["name"])) is None
        }
        return bool(left) and left <= _NEVER_ENDS

    def _follow_quietly(self, container: str, main: bool) -> None:
        try:
            self._follow_log(container, main=main)
        except (PodGone, ClusterOutage, ClusterForbidden, ClusterRefused):
            return  # the base container's thread meets the same, and says so

    def _follow_log(self, container: str, *, main: bool) -> None:
        log = ContainerLog(self.pods, self.name, container)
        wait = _AGAIN_S[0]
        while not self._stop.is_set():
            read = self._pass_on(log, follow=True, main=main)
            pod = self.read()
            if why.end_of(pod, container) is not None or why.phase(pod) in why.ENDED:
                self._read_rest(log, main=main)
                return
            wait = _AGAIN_S[0] if read else min(wait * 2, _AGAIN_S[1])
            self._stop.wait(wait)

    def _read_rest(self, log: ContainerLog, *, main: bool) -> None:
        """What was written between the last line that came and the end."""
        until = time.monotonic() + _LOG_LEFT_S
        while time.monotonic() < until:
            self._pass_on(log, follow=False, main=main)
            if log.whole:
                return
            self._stop.wait(_AGAIN_S[0])

    def _pass_on(self, log: ContainerLog, *, follow: bool, main: bool) -> int:
        count = 0
        try:
            for line in log.read(follow=follow):
                if self._stop.is_set():
                    break
                self.telling.line(log.container, line, main=main)
                count += 1
        except ClusterRefused as exc:
            # 400: the container is not there yet; 404: the pod is gone, which reading it tells.
            if exc.status not in (400, 404):
                raise
        return count

    # ── facts ───────────────────────────────────────────────────────────────

    def read(self) -> Pod:
        """The pod as it is now.

        Raises:
            PodGone: it is no more.
        """
        pod = self.pods.get(self.name)
        if pod is None:
            raise PodGone(self.name, self.pods.where, self.telling.tail, self.events())
        return pod

    def lines(self, container: str, enough: Callable[[Sequence[str]], bool]) -> list[str]:
        """All lines that an ended container wrote, read again until they are `enough`."""
        until = time.monotonic() + _LOG_LEFT_S
        while True:
            found: list[str] = []
            try:
                found = list(
                    ContainerLog(self.pods, self.name, container).read(follow=False)
                )
            except ClusterRefused as exc:
                if exc.status not in (400, 404):
                    raise
            if enough(found) or time.monotonic() > until:
                return found
            time.sleep(_AGAIN_S[0])

    def events(self) -> tuple[str, ...]:
        """The pod's events in words; none if they cannot be read."""
        try:
            return why.events_in_words(self.pods.events(self.name))
        except (ClusterRefused, ClusterForbidden, ClusterUnreachable):
            return ()

    def failure(self, pod: Mapping[str, Any]) -> PodFailed:
        """The error of a pod that ended without success."""
        end = why.culprit(pod, self.base)
        if not self.telling.last:
            for line in self._last_lines(end.container if end else self.base):
                self.telling.last.append(line)
        return PodFailed(
            self.name,
            self.pods.where,
            why.why_failed(pod, end),
            reason=(
                end.reason if end else str((pod.get("status") or {}).get("reason") or "")
            ),
            exit_code=end.exit_code if end else None,
            memory_limit=why.memory_limit(pod, end.container if end else self.base),
            tail=self.telling.tail,
            events=self.events(),
        )

    def _last_lines(self, container: str) -> list[str]:
        cluster = self.pods.cluster
        try:
            text = cluster.pod_log(
                self.name,
                container,
                previous=False,
                lines=SHOWN_LINES,
                namespace=self.pods.namespace,
            )
        except (ClusterRefused, ClusterForbidden, ClusterUnreachable):
            return []
        return text.splitlines()
