"""Pods of one namespace: create, read, find, delete, events, log streams.

Each request is sent again while the API server is away for a moment. It never decides
what an answer means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mlflowkit.errors import ClusterRefused, PodNameTaken
from mlflowkit.hooks.kubernetes_cluster import FIELD_MANAGER, Cluster
from mlflowkit.hooks.kubernetes_steady import PATIENCE_SECONDS, created, steadily

#: The label that says which task instance a pod or job belongs to.
OWNER = "mlflowkit/owner"
_CONNECT_S = 5.0
#: Seconds without a line after which a log stream is opened anew.
_QUIET_S = 60.0


class Pods:
    """Requests about the pods of one namespace.

    Args:
        patience: Seconds that the API server may be away during any one request.
    """

    def __init__(
        self, cluster: Cluster, namespace: str, *, patience: float = PATIENCE_SECONDS
    ) -> None:
        self.cluster, self.namespace, self.patience = cluster, namespace, patience

    @property
    def where(self) -> str:
        """`context 'kind-dev', namespace 'models'`."""
        return f"context {self.cluster.context!r}, namespace {self.namespace!r}"

    def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create a pod. If an answer got lost on the way, the pod that is there is given.

        Raises:
            PodNameTaken: another task instance or person has a pod of this name.
            ClusterRefused: it is not valid, or there is no such namespace.
        """
        name = str(manifest["metadata"]["name"])
        what = f"create pod {name!r}"
        send = self._core().create_namespaced_pod

        def once() -> dict[str, Any]:
            try:
                return self.cluster.call(
                    what,
                    send,
                    self.namespace,
                    dict(manifest),
                    field_manager=FIELD_MANAGER,
                    field_validation="Strict",
                )
            except ClusterRefused as exc:
                there = self._once(name) if exc.status == 409 else None
                if there is None:
                    raise
                if not same_owner(there, manifest):
                    raise PodNameTaken("pod", name, self.where) from exc
                return there

        return created(self.cluster, what, lambda: steadily(once, self.patience))

    def get(self, name: str) -> dict[str, Any] | None:
        """A pod as it is now; None if there is no such pod."""
        return steadily(lambda: self._once(name), self.patience)

    def find(self, label_selector: str) -> list[dict[str, Any]]:
        """The pods with these labels, the newest last."""
        listed = self._core().list_namespaced_pod
        answer = steadily(
            lambda: self.cluster.call(
                "list pods", listed, self.namespace, label_selector=label_selector
            ),
            self.patience,
        )
        items: list[dict[str, Any]] = answer.get("items") or []
        return sorted(items, key=lambda pod: pod["metadata"].get("creationTimestamp") or "")

    def delete(self, name: str, grace_seconds: int | None = None) -> bool:
        """Ask for a pod's end; False if there is no such pod.

        Args:
            grace_seconds: Between the signal to end and the kill; the pod's own if None.
        """
        send = self._core().delete_namespaced_pod
        options = {} if grace_seconds is None else {"grace_period_seconds": grace_seconds}

        def once() -> bool:
            try:
                what = f"delete pod {name!r}"
                self.cluster.call(what, send, name, self.namespace, **options)
            except ClusterRefused as exc:
                if exc.status != 404:
                    raise
                return False
            return True

        return steadily(once, self.patience)

    def events(self, name: str) -> list[dict[str, Any]]:
        """What the cluster noted about a pod, the oldest first."""
        listed = self._core().list_namespaced_event
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
        read = self._core().read_namespaced_pod_log
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

    def _once(self, name: str) -> dict[str, Any] | None:
        read = self._core().read_namespaced_pod
        try:
            return self.cluster.call(f"read pod {name!r}", read, name, self.namespace)
        except ClusterRefused as exc:
            if exc.status != 404:
                raise
            return None

    def _core(self) -> Any:
        from kubernetes import client

        return client.CoreV1Api(self.cluster.api)


def same_owner(there: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    """Whether what is there was created for the task instance that `manifest` is for."""
    found, own = (m["metadata"].get("labels") or {} for m in (there, manifest))
    return OWNER in own and found.get(OWNER) == own[OWNER]


def _event_time(event: Mapping[str, Any]) -> str:
    for name in ("lastTimestamp", "eventTime", "firstTimestamp"):
        if event.get(name):
            return str(event[name])
    return str(event["metadata"].get("creationTimestamp") or "")
