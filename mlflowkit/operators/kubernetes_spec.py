"""From the arguments of a task to the manifest of its pod. Pure: it sends and reads nothing.

What the task says comes before `full_pod_spec`, and that before the template, as in Airflow.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from mlflowkit.operators.kubernetes_plain import (
    Secret,
    label_key,
    label_value,
    plain,
    quantities,
    variables,
)

Manifest = dict[str, Any]

#: Lists whose entries are told apart by a field; an entry of the same name is replaced.
_KEYED: Final = {
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
}
#: Lists to which a later one is added.
_ADDED: Final = frozenset({"tolerations", "hostAliases", "envFrom", "ports"})
#: Arguments of the operator that are fields of the pod's spec.
_SPEC_FIELDS: Final = {
    "node_selector": "nodeSelector",
    "affinity": "affinity",
    "tolerations": "tolerations",
    "init_containers": "initContainers",
    "host_aliases": "hostAliases",
    "image_pull_secrets": "imagePullSecrets",
    "service_account_name": "serviceAccountName",
    "automount_service_account_token": "automountServiceAccountToken",
    "hostname": "hostname",
    "subdomain": "subdomain",
    "security_context": "securityContext",
    "dnspolicy": "dnsPolicy",
    "dns_config": "dnsConfig",
    "schedulername": "schedulerName",
    "priority_class_name": "priorityClassName",
    "volumes": "volumes",
    "active_deadline_seconds": "activeDeadlineSeconds",
    "termination_grace_period": "terminationGracePeriodSeconds",
}
#: Arguments that are fields of the base container.
_CONTAINER_FIELDS: Final = {
    "image": "image",
    "image_pull_policy": "imagePullPolicy",
    "cmds": "command",
    "arguments": "args",
    "ports": "ports",
    "volume_mounts": "volumeMounts",
    "env_from": "envFrom",
    "container_security_context": "securityContext",
    "termination_message_policy": "terminationMessagePolicy",
}


def pod_manifest(options: Mapping[str, Any], template: Manifest | None) -> Manifest:
    """The pod that the arguments describe, on top of a template; without name and labels of ours.

    Args:
        options: The operator's arguments under their own names; None and empty are "not said".
    """
    base_name = options["base_container_name"]
    container: Manifest = {"name": base_name, **_given(options, _CONTAINER_FIELDS)}
    if env := variables(options["env_vars"]) + plain(options["pod_runtime_info_envs"]):
        container["env"] = env
    for name in options["configmaps"]:
        container.setdefault("envFrom", []).append({"configMapRef": {"name": name}})
    if options["container_resources"]:
        container["resources"] = quantities(options["container_resources"])
    spec: Manifest = {"containers": [container], **_given(options, _SPEC_FIELDS)}
    if options["hostnetwork"]:
        spec["hostNetwork"] = True
    metadata: Manifest = {}
    if options["labels"]:
        where = f"task {options['task_id']!r}"
        labels = {label_key(where, k): label_value(v) for k, v in options["labels"].items()}
        metadata["labels"] = labels
    if options["annotations"]:
        metadata["annotations"] = {k: str(v) for k, v in options["annotations"].items()}
    own = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    whole = merged(template, own, base_name)
    whole["spec"].setdefault("restartPolicy", "Never")
    base = base_container(whole["spec"], base_name)
    for number, secret in enumerate(options["secrets"]):
        assert isinstance(secret, Secret)
        secret.attach(whole["spec"], base, number)
    return whole


def base_container(spec: Manifest, name: str) -> Manifest:
    """The container that the task is about: the one of this name, which comes first."""
    found: Manifest = next(c for c in spec["containers"] if c.get("name") == name)
    return found


def merged(template: Manifest | None, own: Manifest, base_name: str) -> Manifest:
    """`own` on top of a pod template. The template's other containers stay.

    A template's first container is the base one, whatever it is called there.
    """
    if template is None:
        return copy.deepcopy(own)
    below = copy.deepcopy(template)
    containers = (below.get("spec") or {}).get("containers") or []
    names = [c.get("name") for c in containers]
    if containers and base_name not in names:
        containers[0]["name"] = base_name
    elif base_name in names:
        containers.insert(0, containers.pop(names.index(base_name)))
    found: Manifest = _over(below, own, "")
    found.pop("status", None)
    return found


def _over(below: Any, above: Any, field: str) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        both = {k: _over(below[k], above[k], k) for k in below.keys() & above.keys()}
        return {k: both.get(k, above.get(k, below.get(k))) for k in (*below, *above)}
    if isinstance(below, list) and isinstance(above, list):
        return _lists(below, above, field)
    return below if above is None else copy.deepcopy(above)


def _lists(below: list[Any], above: list[Any], field: str) -> list[Any]:
    if field in ("containers", "initContainers"):
        mine = {c.get("name"): c for c in above}
        there = [c.get("name") for c in below]
        kept = [
            _over(c, mine[c.get("name")], "") if c.get("name") in mine else c for c in below
        ]
        return kept + [copy.deepcopy(c) for c in above if c.get("name") not in there]
    if field in _KEYED:
        key = _KEYED[field]
        taken = {entry.get(key) for entry in above}
        return [e for e in below if e.get(key) not in taken] + copy.deepcopy(above)
    if field in _ADDED:
        return [e for e in below if e not in above] + copy.deepcopy(above)
    return copy.deepcopy(above)


def _given(options: Mapping[str, Any], fields: Mapping[str, str]) -> Manifest:
    found = ((field, options[name]) for name, field in fields.items())
    return {
        field: plain(value)
        for field, value in found
        if value is not None and value not in ("", [], {})
    }
