"""Jobs of one namespace: create, read, find, delete. It never decides what an answer means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflowkit.errors import ClusterRefused, PodNameTaken
from mlflowkit.hooks.kubernetes_cluster import FIELD_MANAGER, Cluster
from mlflowkit.hooks.kubernetes_pods import same_owner
from mlflowkit.hooks.kubernetes_steady import PATIENCE_SECONDS, created, steadily


class Jobs:
    """Requests about the jobs of one namespace.

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
        """Create a job. If an answer got lost on the way, the job that is there is given.

        Raises:
            PodNameTaken: another task instance or person has a job of this name.
            ClusterRefused: it is not valid, or there is no such namespace.
        """
        name = str(manifest["metadata"]["name"])
        what = f"create job {name!r}"
        send = self._batch().create_namespaced_job

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
                    raise PodNameTaken("job", name, self.where) from exc
                return there

        return created(self.cluster, what, lambda: steadily(once, self.patience))

    def get(self, name: str) -> dict[str, Any] | None:
        """A job as it is now; None if there is no such job."""
        return steadily(lambda: self._once(name), self.patience)

    def find(self, label_selector: str) -> list[dict[str, Any]]:
        """The jobs with these labels, the newest last."""
        listed = self._batch().list_namespaced_job
        answer = steadily(
            lambda: self.cluster.call(
                "list jobs", listed, self.namespace, label_selector=label_selector
            ),
            self.patience,
        )
        items: list[dict[str, Any]] = answer.get("items") or []
        return sorted(items, key=lambda job: job["metadata"].get("creationTimestamp") or "")

    def delete(
        self,
        name: str,
        *,
        propagation: str = "Foreground",
        grace_seconds: int | None = None,
    ) -> bool:
        """Ask for a job's end; False if there is no such job.

        Args:
            propagation: What becomes of its pods: `Foreground`, `Background` or `Orphan`.
        """
        send = self._batch().delete_namespaced_job
        options: dict[str, Any] = {"propagation_policy": propagation}
        if grace_seconds is not None:
            options["grace_period_seconds"] = grace_seconds

        def once() -> bool:
            try:
                what = f"delete job {name!r}"
                self.cluster.call(what, send, name, self.namespace, **options)
            except ClusterRefused as exc:
                if exc.status != 404:
                    raise
                return False
            return True

        return steadily(once, self.patience)

    def _once(self, name: str) -> dict[str, Any] | None:
        read = self._batch().read_namespaced_job
        try:
            return self.cluster.call(f"read job {name!r}", read, name, self.namespace)
        except ClusterRefused as exc:
            if exc.status != 404:
                raise
            return None

    def _batch(self) -> Any:
        from kubernetes import client

        return client.BatchV1Api(self.cluster.api)
