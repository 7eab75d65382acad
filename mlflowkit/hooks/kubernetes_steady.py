"""Requests that outlast a short outage of the API server, and a manifest that it may refuse.

It repeats what is safe to repeat, for a limited time. It never hides a refusal.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from mlflowkit.errors import ClusterOutage, ClusterRefused, ClusterUnreachable
from mlflowkit.hooks.kubernetes_cluster import Cluster, Expired

T = TypeVar("T")

#: Seconds that an API server may be gone before a task gives up.
PATIENCE_SECONDS = 60.0
_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 5.0
_CONFLICT = 409


def steadily(send: Callable[[], T], patience: float) -> T:
    """What `send` gives; asked again while the server is gone or has an error of its own.

    Raises:
        ClusterOutage: it was so for `patience` seconds.
        ClusterRefused, ClusterForbidden: the server does not want it.
    """
    until, wait = time.monotonic() + patience, _FIRST_WAIT_S
    while True:
        try:
            return send()
        except (ClusterUnreachable, ClusterRefused, Expired) as exc:
            if not passing(exc):
                raise
            if time.monotonic() + wait > until:
                raise ClusterOutage(str(exc), patience) from exc
        time.sleep(wait)
        wait = min(wait * 2, _LONGEST_WAIT_S)


def passing(exc: Exception) -> bool:
    """Whether the same request may well succeed a little later."""
    if not isinstance(exc, ClusterRefused):
        return True
    # A 409 here is a race inside the server; names that are taken are seen before.
    return exc.status >= 500 or exc.status in (408, 429, _CONFLICT)


def created(
    cluster: Cluster, what: str, send: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """One request to create something; what the client itself finds wrong is a refusal too."""
    try:
        return send()
    except ValueError as exc:
        _translate(cluster, what, exc)


def _translate(cluster: Cluster, what: str, exc: ValueError) -> NoReturn:
    errors = getattr(exc, "errors", None)
    if errors is None:
        raise exc
    # Only where and what: the value itself may be a secret.
    told = [f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in errors()[:5]]
    raise ClusterRefused(what, cluster.where, 422, "; ".join(told)) from None
