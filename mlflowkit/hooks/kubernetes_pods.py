"""Pods of one namespace, with their events and log streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mlflowkit.hooks.kubernetes_named import OWNER, Named

__all__ = ["OWNER", "Pods"]
_CONNECT_S = 5.0
#: Seconds without a line after which a log stream is opened anew.
_QUIET_S = 60.0


class Pods(Named):
    """Requests about the pods of one namespace."""

    kind, api_class = "pod", "CoreV1Api"

    def delete(self, name: str, grace_seconds: int | None = None) -> bool:
        """Ask for a pod's end; False if there is no such pod.

        Args:
            grace_seconds: Between the signal to end and the kill; the pod's own if None.
        """
        options = {} if grace_seconds is None else {"grace_period_seconds": grace_seconds}
        return self._delete(name, **options)

    def events(self, name: str) -> list[dict[str, Any]]:
        """What the cluster noted about a pod, the oldest first."""
        listed = self._api().list_namespaced_event
        answer = self.cluster.call(
            f"read the events of pod {name!r}",
            listed,
            self.namespace,
            field_selector=f"involvedObject.kind=Pod,involvedObject.name={name}",
        )
        items: list[dict[str, Any]] = answer.get("items") or []
        return sorted(items, key=_event_time)

    @contextmanager
    def log(
        self, name: str, container: str, *, follow: bool, since_seconds: int | None
    ) -> Iterator[Any]:
        """A container's log as an open HTTP response, each line with the time it was written.

        Raises:
            ClusterRefused: the container has no log yet, or no more.
            ClusterUnreachable: nothing answers.
        """
        read = self._api().read_namespaced_pod_log
        options = {} if since_seconds is None else {"since_seconds": max(1, since_seconds)}
        response = self.cluster.opened(
            f"read the log of pod {name!r}",
            lambda: read(
                name,
                self.namespace,
                container=container,
                follow=follow,
                timestamps=True,
                _preload_content=False,
                _request_timeout=(_CONNECT_S, _QUIET_S),
                **options,
            ),
        )
        try:
            yield response
        finally:
            response.close()


def _event_time(event: Mapping[str, Any]) -> str:
    for name in ("lastTimestamp", "eventTime", "firstTimestamp"):
        if event.get(name):
            return str(event[name])
    return str(event["metadata"].get("creationTimestamp") or "")
