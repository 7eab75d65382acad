"""Kubernetes manifests of a model server, from plain facts.

Pure: the same facts give the same manifests. Nothing here talks to a cluster,
reads a setting or a file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlflowkit.errors import BadServiceName
from mlflowkit.hooks.base import env_variable

Manifest = dict[str, Any]

#: The label that tells the pods of this version from those of the last one.
TEMPLATE_LABEL = "mlflowkit.io/template"
#: The uid that the `serve` target of the Dockerfile runs as.
SERVER_UID = 10001
SERVER_PORT = 8080
_LABEL_LENGTH = 63
_DNS_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """All that the manifests of one model server follow from.

    `name` is a DNS label (see `dns_label`). `secret` is the name of a Secret of the namespace
    whose keys become environment variables (`MLFLOWKIT_CONN_...`), or `name/key`: then that
    one key is the connection. `replicas=None` leaves the number to an autoscaler.
    `cpu` and `memory` are what is asked for; memory is also the limit.
    """

    name: str
    namespace: str
    model_uri: str
    image: str
    connection: str = "aws_default"
    image_pull_policy: str = "IfNotPresent"
    image_pull_secret: str | None = None
    command: tuple[str, ...] | None = None
    extra_args: tuple[str, ...] = ()
    replicas: int | None = 1
    cpu: str = "500m"
    cpu_limit: str | None = None
    memory: str = "1Gi"
    cache_size: str = "2Gi"
    secret: str | None = None
    service_account: str | None = None
    service_type: str = "ClusterIP"
    env: Mapping[str, str] = field(default_factory=dict)
    rollout_seconds: int = 300


def dns_label(name: str) -> str:
    """A DNS label (RFC 1035) for `name`: itself if it is one, else cleaned and with a hash.

    Two names never give the same label, but for a clash of 32-bit hashes.

    Raises:
        BadServiceName: there is no letter or digit in `name`.
    """
    if _DNS_LABEL.fullmatch(name):
        return name
    cleaned = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not cleaned:
        raise BadServiceName(name)
    if not cleaned[0].isalpha():
        cleaned = f"m-{cleaned}"
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{cleaned[: _LABEL_LENGTH - 9].rstrip('-')}-{mark}"


def manifests(facts: ServerFacts) -> tuple[Manifest, Manifest]:
    """The Deployment and the Service of a model server."""
    return deployment(facts), service(facts)


def selector(facts: ServerFacts) -> dict[str, str]:
    """The labels by which the Service and the Deployment find their pods. They never change."""
    return {
        "app.kubernetes.io/name": "mlflowkit-serve",
        "app.kubernetes.io/instance": facts.name,
    }


def new_pods(manifest: Manifest) -> str:
    """A label selector for the pods of exactly this version of a Deployment."""
    labels = manifest["spec"]["template"]["metadata"]["labels"]
    wanted = ("app.kubernetes.io/instance", TEMPLATE_LABEL)
    return ",".join(f"{key}={labels[key]}" for key in wanted)


def deployment(facts: ServerFacts) -> Manifest:
    """The Deployment: new pods come up and are ready before old ones go."""
    pod = _pod(facts)
    labels = _labels(facts)
    mark = hashlib.sha256(json.dumps(pod, sort_keys=True).encode()).hexdigest()[:16]
    spec: Manifest = {
        "revisionHistoryLimit": 5,
        "progressDeadlineSeconds": facts.rollout_seconds,
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        },
        "selector": {"matchLabels": selector(facts)},
        "template": {
            "metadata": {
                "labels": {**labels, TEMPLATE_LABEL: mark},
                "annotations": {"mlflowkit.io/model": facts.model_uri},
            },
            "spec": pod,
        },
    }
    if facts.replicas is not None:
        spec["replicas"] = facts.replicas
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(facts),
        "spec": spec,
    }


def service(facts: ServerFacts) -> Manifest:
    """The Service: port 80 to the server's own."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(facts),
        "spec": {
            "type": facts.service_type,
            "selector": selector(facts),
            "ports": [
                {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"},
            ],
        },
    }


def _labels(facts: ServerFacts) -> dict[str, str]:
    return {**selector(facts), "app.kubernetes.io/managed-by": "mlflowkit"}


def _metadata(facts: ServerFacts) -> Manifest:
    return {
        "name": facts.name,
        "namespace": facts.namespace,
        "labels": _labels(facts),
        "annotations": {"mlflowkit.io/model": facts.model_uri},
    }


def _pod(facts: ServerFacts) -> Manifest:
    pod: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 45,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": SERVER_UID,
            "runAsGroup": SERVER_UID,
            "fsGroup": SERVER_UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(facts)],
        "volumes": [
            {"name": "cache", "emptyDir": {"sizeLimit": facts.cache_size}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
        ],
    }
    if facts.service_account:
        pod["serviceAccountName"] = facts.service_account
    if facts.image_pull_secret:
        pod["imagePullSecrets"] = [{"name": facts.image_pull_secret}]
    return pod


def _container(facts: ServerFacts) -> Manifest:
    limits = {"memory": facts.memory}
    if facts.cpu_limit:
        limits["cpu"] = facts.cpu_limit
    container: Manifest = {
        "name": "server",
        "image": facts.image,
        "imagePullPolicy": facts.image_pull_policy,
        "args": _args(facts),
        "env": _env(facts),
        "ports": [{"name": "http", "containerPort": SERVER_PORT, "protocol": "TCP"}],
        "resources": {
            "requests": {"cpu": facts.cpu, "memory": facts.memory},
            "limits": limits,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "cache", "mountPath": "/cache"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
        **_probes(facts),
    }
    if facts.command is not None:
        container["command"] = list(facts.command)
    if facts.secret and "/" not in facts.secret:
        container["envFrom"] = [{"secretRef": {"name": facts.secret}}]
    return container


def _args(facts: ServerFacts) -> list[str]:
    where = ["--host", "0.0.0.0", "--port", str(SERVER_PORT), "--cache", "/cache"]
    model = ["--model", facts.model_uri, "--connection", facts.connection]
    # The old pods go on answering while the Service learns that they leave.
    return [
        *model,
        *where,
        "--name",
        facts.name,
        "--drain-seconds",
        "5",
        *facts.extra_args,
    ]


def _env(facts: ServerFacts) -> list[Manifest]:
    fixed = {
        "HOME": "/tmp",
        "MLFLOWKIT_HOME": "/cache/home",
        "TORCH_HOME": "/cache/torch",
    }
    merged = {**fixed, **facts.env}
    env: list[Manifest] = [{"name": k, "value": str(v)} for k, v in sorted(merged.items())]
    if facts.secret and "/" in facts.secret:
        name, key = facts.secret.split("/", 1)
        reference = {"secretKeyRef": {"name": name, "key": key}}
        env.append({"name": env_variable(facts.connection), "valueFrom": reference})
    return env


def _probes(facts: ServerFacts) -> Manifest:
    """Started when the model is loaded; ready as the server says; alive while it answers at all."""
    ready = {"httpGet": {"path": "/readyz", "port": "http"}}
    alive = {"httpGet": {"path": "/healthz", "port": "http"}}
    tries = max(1, facts.rollout_seconds // 2)
    return {
        "startupProbe": {**ready, "periodSeconds": 2, "failureThreshold": tries},
        "readinessProbe": {**ready, "periodSeconds": 5, "timeoutSeconds": 3},
        "livenessProbe": {
            **alive,
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        },
    }
