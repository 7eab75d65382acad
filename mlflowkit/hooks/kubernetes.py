"""Kubernetes, named by a connection under Airflow's names; answers are plain dicts.

Thin on purpose: it finds out which cluster and namespace are meant, and hands over to
`Cluster`, `Pods` and `Jobs`. It never waits for anything and never decides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

from mlflowkit.core.connection import Connection
from mlflowkit.errors import InvalidConnection
from mlflowkit.hooks.base import find_connection, get_connection
from mlflowkit.hooks.kubernetes_cluster import (
    FIELD_MANAGER,
    Cluster,
    Expired,
    api_client,
    connect,
)
from mlflowkit.hooks.kubernetes_config import Wanted
from mlflowkit.hooks.kubernetes_jobs import Jobs
from mlflowkit.hooks.kubernetes_pods import Pods

__all__ = [
    "FIELD_MANAGER",
    "Cluster",
    "Expired",
    "Jobs",
    "KubernetesHook",
    "Pods",
    "Wanted",
    "api_client",
    "connect",
]

DEFAULT_CONNECTION: Final = "kubernetes_default"
_OLD_PREFIX: Final = "extra__kubernetes__"


class KubernetesHook:
    """A client of one Kubernetes connection.

    The connection's extras are Airflow's: `in_cluster`, `kube_config_path`, `kube_config`
    (JSON), `cluster_context`, `namespace`, `disable_verify_ssl`,
    `xcom_sidecar_container_image`, `xcom_sidecar_container_resources`. What is given here
    comes before them. `kubernetes_default` needs no connection: without one, a kubeconfig
    is used, or the cluster that this process runs in.
    """

    default_conn_name = DEFAULT_CONNECTION
    conn_type = "kubernetes"

    def __init__(
        self,
        conn_id: str | None = DEFAULT_CONNECTION,
        *,
        in_cluster: bool | None = None,
        config_file: str | None = None,
        cluster_context: str | None = None,
        namespace: str | None = None,
    ) -> None:
        self.conn_id = conn_id
        self.in_cluster, self.config_file = in_cluster, config_file
        self.cluster_context, self.namespace = cluster_context, namespace

    @cached_property
    def connection(self) -> Connection:
        """The connection; an empty one where none is needed.

        Raises:
            ConnectionMissing: no such connection, and it is not `kubernetes_default`.
        """
        if not self.conn_id:
            return Connection("", "kubernetes")
        if self.conn_id != DEFAULT_CONNECTION:
            return get_connection(self.conn_id)
        return find_connection(self.conn_id) or Connection(self.conn_id, "kubernetes")

    @cached_property
    def wanted(self) -> Wanted:
        """Which cluster is meant.

        Raises:
            InvalidConnection: the extras name two clusters, or `kube_config` is no JSON.
        """
        in_cluster = _first(self.in_cluster, _flag(self._extra("in_cluster")))
        file = self.config_file or _text(self._extra("kube_config_path"))
        held = None if self.config_file else self._json("kube_config")
        if held is not None and (file or in_cluster):
            raise InvalidConnection(
                f"connection {self.conn_id!r}",
                "its extras name several clusters: give one of kube_config, "
                "kube_config_path and in_cluster.",
            )
        return Wanted(
            context=self.cluster_context or _text(self._extra("cluster_context")),
            namespace=self.namespace or _text(self._extra("namespace")),
            kubeconfig=file,
            kubeconfig_dict=held,
            in_cluster=in_cluster,
            verify_tls=not _flag(self._extra("disable_verify_ssl")),
        )

    @cached_property
    def cluster(self) -> Cluster:
        """The cluster and namespace that are meant. Nothing is sent.

        Raises:
            NoCluster: there is no kubeconfig and no service account, or no such context.
            MissingExtra: the client library is not installed.
        """
        return connect(wanted=self.wanted)

    @property
    def is_in_cluster(self) -> bool:
        """Whether it is the cluster that this process runs in."""
        return self.wanted.own_cluster

    def get_conn(self) -> Any:
        """The official client's `ApiClient`."""
        return self.cluster.api

    @property
    def core_v1_client(self) -> Any:
        """The official client's `CoreV1Api`."""
        from kubernetes import client

        return client.CoreV1Api(self.get_conn())

    @property
    def batch_v1_client(self) -> Any:
        """The official client's `BatchV1Api`."""
        from kubernetes import client

        return client.BatchV1Api(self.get_conn())

    def get_namespace(self) -> str:
        """The namespace that is meant where none is named."""
        return self.cluster.namespace

    def pods(self, namespace: str | None = None) -> Pods:
        """Requests about pods of a namespace."""
        return Pods(self.cluster, namespace or self.cluster.namespace)

    def jobs(self, namespace: str | None = None) -> Jobs:
        """Requests about jobs of a namespace."""
        return Jobs(self.cluster, namespace or self.cluster.namespace)

    def create_pod(
        self, manifest: Mapping[str, Any], namespace: str | None = None
    ) -> dict[str, Any]:
        """Create a pod; gives it as the server has it."""
        return self.pods(namespace).create(manifest)

    def get_pod(self, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """A pod as it is now; None if there is no such pod."""
        return self.pods(namespace).get(name)

    def delete_pod(
        self, name: str, namespace: str | None = None, *, grace_seconds: int | None = None
    ) -> bool:
        """Ask for a pod's end; False if there is no such pod."""
        return self.pods(namespace).delete(name, grace_seconds)

    def get_pod_events(
        self, name: str, namespace: str | None = None
    ) -> list[dict[str, Any]]:
        """What the cluster noted about a pod, the oldest first."""
        return self.pods(namespace).events(name)

    def get_xcom_sidecar_container_image(self) -> str | None:
        """The image of the container that hands a pod's result over, if the connection says."""
        return _text(self._extra("xcom_sidecar_container_image"))

    def get_xcom_sidecar_container_resources(self) -> dict[str, Any] | None:
        """The resources of that container, if the connection says."""
        return self._json("xcom_sidecar_container_resources")

    def _extra(self, name: str) -> Any:
        extra = self.connection.extra
        return extra.get(name, extra.get(_OLD_PREFIX + name))

    def _json(self, name: str) -> dict[str, Any] | None:
        value = self._extra(name)
        if not value:
            return None
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except json.JSONDecodeError:
                value = None
        if not isinstance(value, dict):
            raise InvalidConnection(
                f"connection {self.conn_id!r}", f"{name} in its extras is no JSON object."
            )
        return value


def _first(given: bool | None, otherwise: bool | None) -> bool | None:
    return otherwise if given is None else given


def _flag(value: Any) -> bool | None:
    """An extra that says yes or no; from a URI it comes as text."""
    if isinstance(value, str):
        return (
            value.strip().lower() in ("1", "true", "yes", "on") if value.strip() else None
        )
    return None if value is None else bool(value)


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)
