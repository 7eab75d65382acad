"""Parts of a pod as plain data: models of the client, names and labels the API takes, secrets.

Pure. Whatever a person passes becomes dicts with the API's own field names when the DAG is
written, so that templates and outputs of other tasks are found inside, at any depth.
"""

from __future__ import annotations

import hashlib
import random
import re
import string
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final

from mlflowkit.authoring.refs import ParamRef, XComArg
from mlflowkit.errors import BadOption

#: Names of pods become host names, labels have the same limit.
LONGEST_NAME: Final = 63
_SUFFIX_LENGTH: Final = 8
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
)
_ENV_NAME = re.compile(r"[!-<>-~]+")
_DICE = random.SystemRandom()


def plain(value: Any) -> Any:
    """`value` with every model of the Kubernetes client as a dict, without what is not set."""
    fields = getattr(type(value), "attribute_map", None) or getattr(
        value, "attribute_map", None
    )
    if isinstance(fields, Mapping) and type(value).__module__.startswith("kubernetes"):
        found = ((name, getattr(value, own)) for own, name in fields.items())
        return {name: plain(part) for name, part in found if part is not None}
    if isinstance(value, Secret):
        return value
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, date):
        return value.isoformat()
    return value


def known(value: object) -> bool:
    """Whether it is there already: no output of a task, no parameter of the DAG."""
    return not isinstance(value, (XComArg, ParamRef))


def texts(where: str, option: str, value: Any) -> Any:
    """A list of texts, as commands and arguments are.

    Raises:
        BadOption: it is one text, or something else that is no list.
    """
    if value is None:
        return []
    if not known(value):
        return value
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise BadOption(where, option, f"must be a list of texts, not {value!r}")
    return list(value)


def items(where: str, option: str, value: Any) -> Any:
    """A list of parts, each a dict or a model of the client.

    Raises:
        BadOption: it is no list, or holds something else.
    """
    if value is None:
        return []
    if not known(value):
        return value
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        raise BadOption(where, option, f"must be a list, not {type(value).__name__}")
    found = [plain(part) for part in value]
    for part in found:
        if known(part) and not isinstance(part, Mapping):
            why = f"must hold dicts or models of the Kubernetes client, not {part!r}"
            raise BadOption(where, option, why)
    return found


def mapping(where: str, option: str, value: Any) -> Any:
    """A dict, or a model of the client.

    Raises:
        BadOption: it is something else.
    """
    found = plain(value)
    if found is None or not known(found):
        return found
    if not isinstance(found, Mapping):
        why = f"must be a dict or a model of the Kubernetes client, not {value!r}"
        raise BadOption(where, option, why)
    return dict(found)


def environment(where: str, option: str, value: Any) -> Any:
    """Environment variables: a dict of texts, or a list of V1EnvVar or their dicts.

    Raises:
        BadOption: it is something else, or a name cannot be one of a variable.
    """
    if isinstance(value, Mapping):
        for name in value:
            if known(name) and not (isinstance(name, str) and _ENV_NAME.fullmatch(name)):
                raise BadOption(where, option, f"has {name!r}, which is no variable's name")
        return dict(value)
    return items(where, option, value)


def variables(value: Any) -> list[dict[str, Any]]:
    """Environment variables as the API wants them."""
    if isinstance(value, Mapping):
        return [{"name": name, "value": _env_text(text)} for name, text in value.items()]
    found = [dict(plain(part)) for part in value or ()]
    for part in found:
        if part.get("value") is not None:
            part["value"] = _env_text(part["value"])
    return found


def quantities(resources: Mapping[str, Any]) -> dict[str, Any]:
    """Limits and requests with amounts as texts: `{"cpu": 2}` is `{"cpu": "2"}`."""
    found = dict(resources)
    for part in ("limits", "requests"):
        if isinstance(found.get(part), Mapping):
            found[part] = {name: str(amount) for name, amount in found[part].items()}
    return found


def label_key(where: str, key: object) -> str:
    """The name of a label or annotation.

    Raises:
        BadOption: Kubernetes takes no such name.
    """
    if not isinstance(key, str) or not _LABEL_KEY.fullmatch(key):
        raise BadOption(where, "labels", f"has {key!r}, which is no name of a label")
    return key


def label_value(text: object) -> str:
    """A valid value of a label: at most 63 characters, with a hash where it was changed."""
    whole = "" if text is None else str(text)
    if len(whole) <= LONGEST_NAME and _LABEL_VALUE.fullmatch(whole):
        return whole
    mark = hashlib.sha256(whole.encode()).hexdigest()[:9]
    kept = re.sub(r"[^A-Za-z0-9_.-]+", "-", whole)[: LONGEST_NAME - 1 - len(mark)]
    kept = kept.strip("_.-")
    return f"{kept}-{mark}" if kept else mark


def dns_name(text: str, *, suffix: bool, longest: int = LONGEST_NAME) -> str:
    """A valid name of a pod or job: a DNS label, with 8 random characters if `suffix`."""
    room = longest - (_SUFFIX_LENGTH + 1 if suffix else 0)
    kept = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:room].strip("-") or "task"
    if not suffix:
        return kept
    letters = string.ascii_lowercase + string.digits
    return f"{kept}-{''.join(_DICE.choices(letters, k=_SUFFIX_LENGTH))}"


class Secret:
    """A Kubernetes Secret for a pod, with Airflow's arguments.

    Args:
        deploy_type: `env` or `volume`.
        deploy_target: The variable (in capitals) or the folder where it appears; None with
            `env` for all of the Secret's keys under their own names.
        secret: The name of the Secret object in the cluster. Its value is never read.
        key: The key inside of it.
        items: For a volume, which keys go to which paths: V1KeyToPath or their dicts.

    Raises:
        BadOption: the arguments do not go together.
    """

    def __init__(
        self,
        deploy_type: str,
        deploy_target: str | None,
        secret: str,
        key: str | None = None,
        items: Sequence[Any] | None = None,
    ) -> None:
        where = f"Secret {secret!r}"
        if deploy_type not in ("env", "volume"):
            why = f"must be 'env' or 'volume', not {deploy_type!r}"
            raise BadOption(where, "deploy_type", why)
        if deploy_target is None and (key is not None or deploy_type == "volume"):
            raise BadOption(where, "deploy_target", "must say where it goes")
        upper = deploy_type == "env" and deploy_target is not None
        self.deploy_type = deploy_type
        self.deploy_target = str(deploy_target).upper() if upper else deploy_target
        self.secret, self.key = secret, key
        self.items: list[Any] = plain(list(items or ()))

    def attach(self, spec: dict[str, Any], container: dict[str, Any], number: int) -> None:
        """Add it to a pod's spec and its container. `number` tells its volume from others."""
        if self.deploy_type == "volume":
            name = f"secret-{number}-{hashlib.sha256(self.secret.encode()).hexdigest()[:8]}"
            source: dict[str, Any] = {"secretName": self.secret}
            chosen = self.items or (
                [{"key": self.key, "path": self.key}] if self.key else []
            )
            if chosen:
                source["items"] = chosen
            spec.setdefault("volumes", []).append({"name": name, "secret": source})
            mount = {"name": name, "mountPath": self.deploy_target, "readOnly": True}
            container.setdefault("volumeMounts", []).append(mount)
        elif self.key is None:
            container.setdefault("envFrom", []).append({"secretRef": {"name": self.secret}})
        else:
            ref = {"secretKeyRef": {"name": self.secret, "key": self.key}}
            variable = {"name": self.deploy_target, "valueFrom": ref}
            container.setdefault("env", []).append(variable)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.deploy_type, self.deploy_target, self.secret, self.key))

    def __repr__(self) -> str:
        parts = (self.deploy_type, self.deploy_target, self.secret, self.key)
        return f"Secret({', '.join(map(repr, parts))})"


def _env_text(value: Any) -> str:
    return "" if value is None else str(value)
