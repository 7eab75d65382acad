"""What is the same for pods and jobs: create, read, find and delete by name in one namespace.

Each request is sent again while the API server is away for a moment. It never decides
what an answer means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from mlflowkit.errors import ClusterRefused, PodNameTaken
from mlflowkit.hooks.kubernetes_cluster import FIELD_MANAGER, Cluster
from mlflowkit.hooks.kubernetes_steady import PATIENCE_SECONDS, created, steadily

#: The label that says which task instance a pod or job belongs to.
OWNER = "mlflowkit/owner"


class Named:
    """Requests about the pods, or the jobs, of one namespace.

    Args:
        patience: Seconds that the API server may be away during any one request.
    """

    #: "pod" or "job", and the class of the client that knows them.
    kind: ClassVar[str]
    api_class: ClassVar[str]

    def __init__(
        self, cluster: Cluster, namespace: str, *, patience: float = PATIENCE_SECONDS
    ) -> None:
        self.cluster, self.namespace, self.patience = cluster, namespace, patience

    @property
    def where(self) -> str:
        """`context 'kind-dev', namespace 'models'`."""
        return f"context {self.cluster.context!r}, namespace {self.namespace!r}"

    def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create one. If an answer got lost on the way, the one that is there is given.

        Raises:
            PodNameTaken: another task instance or person has one of this name.
            ClusterRefused: it is not valid, or there is no such namespace.
        """
        name = str(manifest["metadata"]["name"])
        what = f"create {self.kind} {name!r}"
        send = self._request("create")

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
                    raise PodNameTaken(self.kind, name, self.where) from exc
                return there

        return created(self.cluster, what, lambda: steadily(once, self.patience))

    def get(self, name: str) -> dict[str, Any] | None:
        """As it is now; None if there is none of this name."""
        return steadily(lambda: self._once(name), self.patience)

    def find(self, label_selector: str) -> list[dict[str, Any]]:
        """Those with these labels, the newest last."""
        listed, what = self._request("list"), f"list {self.kind}s"
        answer = steadily(
            lambda: self.cluster.call(
                what, listed, self.namespace, label_selector=label_selector
            ),
            self.patience,
        )
        items: list[dict[str, Any]] = answer.get("items") or []
        return sorted(items, key=lambda one: one["metadata"].get("creationTimestamp") or "")

    def _delete(self, name: str, **options: Any) -> bool:
        send = self._request("delete")

        def once() -> bool:
            try:
                what = f"delete {self.kind} {name!r}"
                self.cluster.call(what, send, name, self.namespace, **options)
            except ClusterRefused as exc:
                if exc.status != 404:
                    raise
                return False
            return True

        return steadily(once, self.patience)

    def _once(self, name: str) -> dict[str, Any] | None:
        read = self._request("read")
        try:
            what = f"read {self.kind} {name!r}"
            return self.cluster.call(what, read, name, self.namespace)
        except ClusterRefused as exc:
            if exc.status != 404:
                raise
            return None

    def _request(self, verb: str) -> Any:
        return getattr(self._api(), f"{verb}_namespaced_{self.kind}")

    def _api(self) -> Any:
        from kubernetes import client

        return getattr(client, self.api_class)(self.cluster.api)


def same_owner(there: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    """Whether what is there was created for the task instance that `manifest` is for."""
    found, own = (m["metadata"].get("labels") or {} for m in (there, manifest))
    return OWNER in own and found.get(OWNER) == own[OWNER]
