"""Put a model server on a Kubernetes cluster, and wait until it really runs there.

Every write is server-side apply; the namespace and the context are said first. It never
deletes anything, and never calls a roll-out done that the cluster does not call done.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from mlflowkit.errors import (
    ClusterForbidden,
    ClusterRefused,
    ClusterUnreachable,
    DeployError,
    RolloutFailed,
)
from mlflowkit.hooks.kubernetes import Cluster, Expired
from mlflowkit.ml.manifests import Manifest, ServerFacts, manifests, new_pods
from mlflowkit.ml.rollout import (
    Done,
    Failed,
    Trouble,
    Waiting,
    rollout_status,
    worst_trouble,
)

Say = Callable[[str], None]

_LOG_LINES = 30
_LOOK_AGAIN_S = 3
_ASK_AGAIN_S = 1.0
_SILENCE_S = 60.0


def deploy_kubernetes(
    facts: ServerFacts,
    cluster: Cluster,
    *,
    timeout: float,
    force: bool = False,
    say: Say = print,
) -> str:
    """Apply the manifests and wait for the roll-out.

    Args:
        facts: What to deploy.
        cluster: Where to; its context and namespace are said before the first request.
        timeout: Seconds that the roll-out may take.
        force: Take over fields that another manager owns.
        say: Where to report progress, a line at a time.

    Returns:
        The URL of the Service, as seen from inside the cluster.

    Raises:
        RolloutFailed: the pods do not come up; has their reason and last log lines.
        ClusterForbidden, ClusterRefused, ClusterUnreachable: the API said no, or nothing.
    """
    say(f"deploying {facts.name!r} ({facts.image}) to {cluster.where}")
    wanted = manifests(facts)
    for manifest in wanted:
        cluster.apply(manifest, dry_run=True, force=force)
    for manifest in wanted:
        cluster.apply(manifest, dry_run=False, force=force)
    done = _wait(cluster, wanted[0], time.monotonic() + timeout, timeout, say)
    say(f"{facts.name!r} is rolled out: {done.replicas} pods available")
    return f"http://{facts.name}.{cluster.namespace}.svc/"


def _wait(
    cluster: Cluster, manifest: Manifest, deadline: float, timeout: float, say: Say
) -> Done:
    """Look until it is done, has failed, or time is up; a change is said once."""
    name, said, silent_since = manifest["metadata"]["name"], "", 0.0
    while True:
        try:
            deployment, status, trouble = _look(cluster, manifest)
        except (ClusterUnreachable, ClusterRefused) as exc:
            silent_since = silent_since or time.monotonic()
            _bear(exc, silent_since, deadline)
            said = _say_once(say, said, f"{name!r}: asking again ({exc})")
            continue
        silent_since = 0.0
        if isinstance(status, Done):
            return status
        if isinstance(status, Failed) or (trouble and trouble.hopeless):
            raise _failure(cluster, name, status, trouble)
        if time.monotonic() >= deadline:
            raise _failure(cluster, name, _timed_out(status, timeout), trouble)
        more = f"; pod {trouble.pod}: {trouble.reason}" if trouble else ""
        said = _say_once(say, said, f"{name!r}: {status.message}{more}")
        _until_it_changes(cluster, deployment, deadline)


def _look(
    cluster: Cluster, manifest: Manifest
) -> tuple[dict[str, Any], Waiting | Done | Failed, Trouble | None]:
    deployment = _read(cluster, manifest["metadata"]["name"])
    status = rollout_status(deployment)
    if isinstance(status, Done):
        return deployment, status, None
    return deployment, status, worst_trouble(cluster.pods(new_pods(manifest)))


def _say_once(say: Say, said: str, now: str) -> str:
    if now != said:
        say(now)
    return now


def _bear(exc: ClusterUnreachable | ClusterRefused, since: float, deadline: float) -> None:
    """An API server may restart in the middle of a roll-out: wait a little, not for ever."""
    ours = isinstance(exc, ClusterRefused) and exc.status < 500
    now = time.monotonic()
    if ours or now - since > _SILENCE_S or now >= deadline:
        raise exc
    time.sleep(_ASK_AGAIN_S)


def _read(cluster: Cluster, name: str) -> dict[str, Any]:
    try:
        return cluster.deployment(name)
    except ClusterRefused as exc:
        if exc.status != 404:
            raise
        gone = "somebody deleted it during the roll-out"
        raise RolloutFailed(name, cluster.where, "Deleted", gone, None, "") from exc


def _until_it_changes(
    cluster: Cluster, deployment: dict[str, Any], deadline: float
) -> None:
    """Return at the Deployment's next change, or soon: pods can fail without changing it."""
    metadata = deployment["metadata"]
    seconds = max(1, min(_LOOK_AGAIN_S, int(deadline - time.monotonic())))
    version = metadata.get("resourceVersion") or "0"
    started = time.monotonic()
    try:
        for _ in cluster.watch_deployment(metadata["name"], version, seconds):
            break
    except Expired:
        pass
    except (ClusterForbidden, ClusterRefused, ClusterUnreachable):
        time.sleep(seconds)  # may not watch: looking every few seconds does as well
    # A watch that ends at once must not become a loop that hammers the API.
    time.sleep(max(0.0, 0.2 - (time.monotonic() - started)))


def _timed_out(status: Waiting, timeout: float) -> Failed:
    return Failed("Timeout", f"not rolled out after {timeout:g} s: {status.message}")


def _failure(
    cluster: Cluster, name: str, status: Waiting | Failed, trouble: Trouble | None
) -> DeployError:
    own = status if isinstance(status, Failed) else None
    if trouble is None:
        told = own or Failed("Unknown", status.message)
        return RolloutFailed(name, cluster.where, told.reason, told.message, None, "")
    message = f"{trouble.message} ({own.reason}: {own.message})" if own else trouble.message
    tail = _tail(cluster, trouble)
    return RolloutFailed(name, cluster.where, trouble.reason, message, trouble.pod, tail)


def _tail(cluster: Cluster, trouble: Trouble) -> str:
    """The pod's last lines; why there are none, if the API does not give them."""
    if trouble.container is None:
        return ""
    for previous in dict.fromkeys((trouble.previous, not trouble.previous)):
        try:
            tail = cluster.pod_log(
                trouble.pod, trouble.container, previous=previous, lines=_LOG_LINES
            )
        except (ClusterRefused, Expired):
            continue
        except (ClusterForbidden, ClusterUnreachable) as exc:
            return f"(could not be read: {exc})"
        if tail:
            return tail
    return ""
