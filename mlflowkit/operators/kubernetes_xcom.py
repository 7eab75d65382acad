"""How the result of a pod comes back: a helper container that prints it when the pod's work is done.

The helper is a sidecar in Kubernetes' own sense (an init container that goes on, from 1.29
on): the cluster ends it after all other containers, and then it prints the file, so nothing
has to be executed inside the pod and no pod hangs for it. Length and checksum go along, so
half a result is never taken for a whole one.
"""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

from mlflowkit.errors import PodXComUnreadable

SIDECAR: Final = "airflow-xcom-sidecar"
FOLDER: Final = "/airflow/xcom"
PATH: Final = f"{FOLDER}/return.json"
#: What fits into a container's log before a cluster rotates it (10 MiB), in base64.
LARGEST_BYTES: Final = 6_000_000
_VOLUME: Final = "xcom"
_MARK: Final = "mlflowkit-xcom"
_RESOURCES: Final = {"requests": {"cpu": "1m", "memory": "10Mi"}}

_SCRIPT: Final = f"""\
give() {{
  if [ ! -s {PATH} ]; then echo "{_MARK} empty"; exit 0; fi
  size=$(wc -c < {PATH} | tr -d ' ')
  if [ "$size" -gt {LARGEST_BYTES} ]; then echo "{_MARK} large $size"; exit 0; fi
  echo "{_MARK} start $size"
  base64 {PATH}
  echo "{_MARK} end $(sha256sum {PATH} | cut -d ' ' -f 1)"
  exit 0
}}
trap give TERM INT QUIT HUP USR1 USR2
while :; do sleep 3600 & wait $!; done
"""


def add_sidecar(
    spec: dict[str, Any],
    base: dict[str, Any],
    *,
    image: str | None,
    resources: dict[str, Any] | None,
) -> None:
    """Add the helper to a pod's spec, and the folder that it shares with the base container.

    Args:
        image: One with a shell, base64 and sha256sum; the base container's own if None,
            which is on the node already.
    """
    mount = {"name": _VOLUME, "mountPath": FOLDER}
    spec.setdefault("volumes", []).append({"name": _VOLUME, "emptyDir": {}})
    base.setdefault("volumeMounts", []).append(dict(mount))
    sidecar: dict[str, Any] = {
        "name": SIDECAR,
        "image": image or base.get("image"),
        "command": ["sh", "-c", _SCRIPT],
        "restartPolicy": "Always",
        "volumeMounts": [mount],
        "resources": copy.deepcopy(resources or _RESOURCES),
    }
    for field in ("securityContext", *(() if image else ("imagePullPolicy",))):
        if base.get(field):
            sidecar[field] = base[field]
    spec.setdefault("initContainers", []).insert(0, sidecar)


def handed_over(lines: Sequence[str]) -> bool:
    """Whether the helper has said all that it will say."""
    ends = ("empty", "large", "end")
    return any(
        line.split(" ")[:1] == [_MARK] and line.split(" ")[1] in ends for line in lines
    )


def read_result(pod: str, lines: Sequence[str]) -> Any:
    """The value that the pod's code wrote; None if it wrote nothing.

    Raises:
        PodXComUnreadable: it is no JSON, is too large, or did not arrive whole.
    """
    says = [line.split(" ") for line in lines if line.startswith(f"{_MARK} ")]
    if not says:
        raise PodXComUnreadable(pod, PATH, f"the container {SIDECAR!r} said nothing of it")
    if says[-1][1] == "empty":
        return None
    if says[-1][1] == "large":
        size = int(says[-1][2])
        why = (
            f"it has {size:,} bytes, and at most {LARGEST_BYTES:,} fit. Write it to a store "
            "such as S3 and return its address."
        )
        raise PodXComUnreadable(pod, PATH, why)
    body = _whole(pod, lines, says)
    try:
        return json.loads(body)
    except ValueError as exc:
        why = f"it is no JSON ({exc}). It starts with {body[:80]!r}"
        raise PodXComUnreadable(pod, PATH, why) from None


def _whole(pod: str, lines: Sequence[str], says: Sequence[Sequence[str]]) -> bytes:
    text = "".join(line for line in lines if not line.startswith(_MARK))
    size = int(says[0][2]) if says[0][1] == "start" else -1
    try:
        body = base64.b64decode(text, validate=True)
    except binascii.Error:
        body = b""
    digest = hashlib.sha256(body).hexdigest()
    if says[-1][1] != "end" or len(body) != size or digest != says[-1][2]:
        why = f"{len(body):,} of {size:,} bytes arrived, or others than were sent"
        raise PodXComUnreadable(pod, PATH, why)
    return body
