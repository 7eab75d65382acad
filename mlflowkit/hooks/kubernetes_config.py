"""Which cluster is meant: a kubeconfig context, or the one that this process runs in.

It reads files and the environment, and sends nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from mlflowkit.errors import MissingExtra, NoCluster

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def configure(
    context: str | None, namespace: str | None, kubeconfig: str | Path | None
) -> tuple[Any, str, str]:
    """The client's configuration, the context's name, and the namespace.

    Raises:
        NoCluster: there is no kubeconfig and no service account, or no such context.
    """
    client, config = _library()
    configuration = client.Configuration()
    if in_pod() and not context and not _kubeconfig_exists(kubeconfig):
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException as exc:
            raise NoCluster(f"this pod's service account cannot be used: {exc}") from exc
        name, own = "in-cluster", _pod_namespace()
    else:
        name, own = _load_kubeconfig(config, context, kubeconfig, configuration)
    # Every retry is ours (a busy server, a watch that ended): none is hidden below.
    configuration.retries = False
    return configuration, name, namespace or _namespace_setting() or own or "default"


def in_pod() -> bool:
    """Whether this process runs in a pod with a service account."""
    return "KUBERNETES_SERVICE_HOST" in os.environ and (SERVICE_ACCOUNT / "token").exists()


def _library() -> tuple[Any, Any]:
    try:
        from kubernetes import client, config
    except ImportError as exc:
        raise MissingExtra("kubernetes", "kubernetes", "talking to a cluster") from exc
    return client, config


def _load_kubeconfig(
    config: Any, context: str | None, kubeconfig: str | Path | None, configuration: Any
) -> tuple[str, str | None]:
    """Fill in `configuration`; gives the context's name and its namespace."""
    # The client's own dependency; it lets YAML's errors through.
    yaml: Any = import_module("yaml")
    file = str(kubeconfig) if kubeconfig else None
    try:
        contexts, active = config.list_kube_config_contexts(config_file=file)
        known = {c["name"]: c for c in contexts}
        if context and context not in known:
            names = ", ".join(sorted(known))
            raise NoCluster(f"the kubeconfig has no context {context!r} (it has: {names})")
        config.load_kube_config(
            config_file=file, context=context, client_configuration=configuration
        )
    except (
        config.ConfigException,
        OSError,
        yaml.YAMLError,
        KeyError,
        TypeError,
    ) as exc:
        raise NoCluster(f"the kubeconfig cannot be used ({exc})") from exc
    chosen = known[context] if context else active
    return chosen["name"], (chosen.get("context") or {}).get("namespace")


def _kubeconfig_exists(given: str | Path | None) -> bool:
    places = str(given or os.environ.get("KUBECONFIG") or "~/.kube/config").split(
        os.pathsep
    )
    return any(Path(place).expanduser().is_file() for place in places if place)


def _pod_namespace() -> str | None:
    file = SERVICE_ACCOUNT / "namespace"
    return file.read_text().strip() if file.exists() else None


def _namespace_setting() -> str | None:
    from mlflowkit.settings import settings

    found = settings()
    return found.namespace if "namespace" in found.model_fields_set else None
