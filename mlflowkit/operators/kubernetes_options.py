"""The arguments of a pod task: checked when the DAG is written, and as plain data.

`PodOptions` holds what describes the pod. It sends nothing and runs nothing.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Final

from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.errors import BadOption, MissingExtra, PodTemplateBroken
from mlflowkit.operators.kubernetes_plain import (
    Secret,
    environment,
    items,
    known,
    label_key,
    mapping,
    plain,
    texts,
)
from mlflowkit.operators.kubernetes_spec import Manifest

log: Final = logging.getLogger("mlflowkit.operators.kubernetes")
Containers = Collection[str] | str | bool | None


class OnFinishAction(StrEnum):
    """What becomes of a pod when it has ended."""

    DELETE_POD = "delete_pod"
    KEEP_POD = "keep_pod"
    DELETE_SUCCEEDED_POD = "delete_succeeded_pod"


class PodOptions(BaseOperator):
    """What describes a pod. Its subclasses run it."""

    BASE_CONTAINER_NAME: ClassVar[str] = "base"

    def __init__(  # noqa: PLR0913, PLR0915 - each is a field of the pod
        self,
        task_id: str,
        *,
        image: Any = None,
        name: Any = None,
        random_name_suffix: bool = True,
        namespace: Any = None,
        cmds: Any = None,
        arguments: Any = None,
        env_vars: Any = None,
        env_from: Any = None,
        configmaps: Sequence[str] | None = None,
        pod_runtime_info_envs: Any = None,
        secrets: Sequence[Secret] | None = None,
        ports: Any = None,
        volumes: Any = None,
        volume_mounts: Any = None,
        container_resources: Any = None,
        container_security_context: Any = None,
        image_pull_policy: Any = None,
        image_pull_secrets: Any = None,
        termination_message_policy: str | None = None,
        labels: Any = None,
        annotations: Any = None,
        node_selector: Any = None,
        affinity: Any = None,
        tolerations: Any = None,
        host_aliases: Any = None,
        init_containers: Any = None,
        service_account_name: Any = None,
        automount_service_account_token: bool | None = None,
        security_context: Any = None,
        hostnetwork: bool = False,
        hostname: Any = None,
        subdomain: Any = None,
        dnspolicy: str | None = None,
        dns_config: Any = None,
        schedulername: str | None = None,
        priority_class_name: str | None = None,
        active_deadline_seconds: int | None = None,
        termination_grace_period: int | None = None,
        full_pod_spec: Any = None,
        pod_template_file: Any = None,
        pod_template_dict: Any = None,
        base_container_name: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        where = f"task {task_id!r}"
        self.image, self.name, self.namespace = image, name, namespace
        self.random_name_suffix = random_name_suffix
        self.cmds = texts(where, "cmds", cmds)
        self.arguments_ = texts(where, "arguments", arguments)
        self.env_vars = environment(where, "env_vars", env_vars)
        self.env_from = items(where, "env_from", env_from)
        self.configmaps = texts(where, "configmaps", configmaps)
        self.pod_runtime_info_envs = items(
            where, "pod_runtime_info_envs", pod_runtime_info_envs
        )
        self.secrets = _secrets(where, secrets)
        self.ports = items(where, "ports", ports)
        self.volumes = items(where, "volumes", volumes)
        self.volume_mounts = items(where, "volume_mounts", volume_mounts)
        self.container_resources = mapping(
            where, "container_resources", container_resources
        )
        self.container_security_context = mapping(
            where, "container_security_context", container_security_context
        )
        self.image_pull_policy = image_pull_policy
        self.image_pull_secrets = _pull_secrets(where, image_pull_secrets)
        self.termination_message_policy = termination_message_policy
        self.labels = _labels(where, labels)
        self.annotations = mapping(where, "annotations", annotations)
        self.node_selector = mapping(where, "node_selector", node_selector)
        self.affinity = mapping(where, "affinity", affinity)
        self.tolerations = items(where, "tolerations", tolerations)
        self.host_aliases = items(where, "host_aliases", host_aliases)
        self.init_containers = items(where, "init_containers", init_containers)
        self.service_account_name = service_account_name
        self.automount_service_account_token = automount_service_account_token
        self.security_context = mapping(where, "security_context", security_context)
        self.hostnetwork = hostnetwork
        self.hostname, self.subdomain = hostname, subdomain
        self.dnspolicy = dnspolicy
        self.dns_config = mapping(where, "dns_config", dns_config)
        self.schedulername = schedulername
        self.priority_class_name = priority_class_name
        self.active_deadline_seconds = active_deadline_seconds
        self.termination_grace_period = termination_grace_period
        self.full_pod_spec = mapping(where, "full_pod_spec", full_pod_spec)
        self.pod_template_file = pod_template_file
        self.pod_template_dict = mapping(where, "pod_template_dict", pod_template_dict)
        self.base_container_name = base_container_name or self.BASE_CONTAINER_NAME
        self._check(where)

    def _check(self, where: str) -> None:
        if self.pod_template_file and self.pod_template_dict:
            why = "cannot stand beside pod_template_file: give one of them"
            raise BadOption(where, "pod_template_dict", why)
        templates = (self.full_pod_spec, self.pod_template_file, self.pod_template_dict)
        if not known(self.image):
            return
        if (
            not self.image
            and not any(t is not None for t in templates)
            and self._needs_image
        ):
            why = "is needed, unless full_pod_spec or a pod template names one"
            raise BadOption(where, "image", why)

    @property
    def _needs_image(self) -> bool:
        return True

    def _described(self) -> dict[str, Any]:
        """Everything that describes the pod, as plain data under the arguments' names."""
        found = {k: plain(v) for k, v in vars(self).items() if not k.startswith("_")}
        found["arguments"] = found.pop("arguments_")
        where = f"task {self.task_id!r}"
        for name in ("cmds", "arguments"):
            found[name] = [str(part) for part in texts(where, name, found[name])]
        for name in (
            "volumes",
            "volume_mounts",
            "env_from",
            "tolerations",
            "init_containers",
        ):
            found[name] = items(where, name, found[name])
        return found

    def _template(self) -> Manifest | None:
        """What the pod starts from: a template with `full_pod_spec` on top, or one of them."""
        from mlflowkit.operators.kubernetes_spec import merged

        below: Manifest | None = None
        if self.pod_template_file:
            below = read_template(
                self.task_id, "pod_template_file", str(self.pod_template_file)
            )
        elif self.pod_template_dict:
            below = copy.deepcopy(dict(plain(self.pod_template_dict)))
        if self.full_pod_spec is not None:
            full = {"apiVersion": "v1", "kind": "Pod", **plain(self.full_pod_spec)}
            below = merged(below, full, str(self.base_container_name))
        return below


def read_template(task_id: str, option: str, path: str, kind: str = "Pod") -> Manifest:
    """A manifest from a YAML or JSON file.

    Raises:
        PodTemplateBroken: it is not there, or is no such manifest.
        MissingExtra: the Kubernetes client, which brings YAML along, is not installed.
    """
    try:
        import yaml
    except ImportError as exc:
        raise MissingExtra("kubernetes", "kubernetes", "reading a pod template") from exc
    what = f"{option} {path!r}"
    try:
        found = yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8"))
    except OSError as exc:
        raise PodTemplateBroken(task_id, what, exc.strerror or str(exc)) from exc
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise PodTemplateBroken(task_id, what, f"it is no YAML ({exc})") from exc
    if not isinstance(found, dict) or found.get("kind", kind) != kind:
        raise PodTemplateBroken(task_id, what, f"it holds no manifest of one {kind}")
    return found


def on_finish(where: str, given: Any, old: bool | None) -> OnFinishAction:
    """The action that the arguments name; `is_delete_operator_pod` is the older way.

    Raises:
        BadOption: there is no such action.
    """
    if old is not None:
        return OnFinishAction.DELETE_POD if old else OnFinishAction.KEEP_POD
    text = str(getattr(given, "value", given))
    if text not in set(OnFinishAction):
        names = ", ".join(repr(str(a)) for a in OnFinishAction)
        raise BadOption(where, "on_finish_action", f"must be one of {names}, not {given!r}")
    return OnFinishAction(text)


def exit_codes(where: str, given: int | Collection[int] | None) -> tuple[int, ...]:
    """The exit codes that mean "skipped".

    Raises:
        BadOption: it is no number and no collection of numbers.
    """
    codes = () if given is None else (given,) if isinstance(given, int) else tuple(given)
    if not all(isinstance(code, int) for code in codes):
        why = f"must be exit codes, not {given!r}"
        raise BadOption(where, "skip_on_exit_code", why)
    return codes


def span(where: str, option: str, given: float) -> float:
    """A number of seconds.

    Raises:
        BadOption: it is none, or negative.
    """
    if isinstance(given, bool) or not isinstance(given, (int, float)) or given < 0:
        raise BadOption(where, option, f"must be a number of seconds, not {given!r}")
    return float(given)


def chosen(given: Containers, all_of_them: Sequence[str], base: str) -> list[str]:
    """Which containers' logs are wanted."""
    if given is True:
        return list(all_of_them)
    if not given:
        return [base] if given is None else []
    return [given] if isinstance(given, str) else list(given)


def _secrets(where: str, given: Sequence[Secret] | None) -> list[Secret]:
    found = list(given or ())
    for one in found:
        if not isinstance(one, Secret):
            why = f"must hold Secret(deploy_type, deploy_target, secret, key), not {one!r}"
            raise BadOption(where, "secrets", why)
    return found


def _pull_secrets(where: str, given: Any) -> Any:
    if isinstance(given, str):
        given = [part.strip() for part in given.split(",") if part.strip()]
    if isinstance(given, Sequence):
        given = [{"name": part} if isinstance(part, str) else part for part in given]
    return items(where, "image_pull_secrets", given)


def _labels(where: str, given: Any) -> Any:
    found = mapping(where, "labels", given)
    if isinstance(found, Mapping):
        for key in found:
            label_key(where, key)
    return found


LogFormatter = Callable[[str, str], str]
