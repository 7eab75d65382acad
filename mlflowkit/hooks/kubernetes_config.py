"""Which cluster is meant: a kubeconfig context, or the one that this process runs in.

It reads files and the environment, and sends nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from mlflowkit.errors import MissingExtra, NoCluster

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which cluster somebody asks for. What is None is found out."""

    context: str | None = None
    namespace: str | None = None
    kubeconfig: str | Path | None = None
    #: A whole kubeconfig, as a connection may hold it.
    kubeconfig_dict: Mapping[str, Any] | None = field(default=None, repr=False)
    #: True: the cluster that this process runs in; False: never that one.
    in_cluster: bool | None = None
    verify_tls: bool = True

    @property
    def own_cluster(self) -> bool:
        """Whether it is the cluster that this process runs in."""
        if self.in_cluster is not None:
            return self.in_cluster
        elsewhere = self.context or self.kubeconfig_dict
        return in_pod() and not elsewhere and not _kubeconfig_exists(self.kubeconfig)


def configure(wanted: Wanted) -> tuple[Any, str, str]:
    """The client's configuration, the context's name, and the namespace.

    Raises:
        NoCluster: there is no kubeconfig and no service account, or no such context.
    """
    client, config = _library()
    configuration = client.Configuration()
    if wanted.own_cluster:
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException as exc:
            raise NoCluster(f"this pod's service account cannot be used: {exc}") from exc
        name, own = "in-cluster", _pod_namespace()
    elif wanted.kubeconfig_dict is not None:
        name, own = _load_dict(config, wanted, configuration)
    else:
        name, own = _load_kubeconfig(
            config, wanted.context, wanted.kubeconfig, configuration
        )
    # Every retry is ours (a busy server, a watch that ended): none is hidden below.
    configuration.retries = False
    if not wanted.verify_tls:
        configuration.verify_ssl = False
    return configuration, name, wanted.namespace or _namespace_setting() or own or "default"


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


def _load_dict(config: Any, wanted: Wanted, configuration: Any) -> tuple[str, str | None]:
    """Fill in `configuration` from a kubeconfig that is no file."""
    held = dict(wanted.kubeconfig_dict or {})
    name = wanted.context or str(held.get("current-context") or "")
    known = {c.get("name"): c for c in held.get("contexts") or ()}
    try:
        config.load_kube_config_from_dict(
            held, context=wanted.context, client_configuration=configuration
        )
    except (config.ConfigException, OSError, KeyError, TypeError, ValueError) as exc:
        # It may hold keys: only its contexts are named.
        why = f"the connection's kube_config cannot be used (contexts: {sorted(map(str, known))})"
        raise NoCluster(why) from exc
    return name, (known.get(name, {}).get("context") or {}).get("namespace")


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
