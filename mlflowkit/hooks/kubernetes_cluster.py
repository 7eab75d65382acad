"""A Kubernetes cluster, through the official client: one request at a time, and plain dicts.

Thin on purpose: it chooses the cluster, sends one request, and turns what comes back into a
dict or into an error that names the request. It never decides what to do about an answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from mlflowkit.errors import ClusterForbidden, ClusterRefused, ClusterUnreachable
from mlflowkit.hooks.kubernetes_config import Wanted, configure

FIELD_MANAGER = "mlflowkit"
_TIMEOUT = (5.0, 30.0)  # seconds to connect, to read
_BUSY_TRIES = 6
_BUSY_WAIT_S = (0.5, 10.0)  # the first wait when the server names none; the longest one
_GONE = 410
_APPLY = "application/apply-patch+yaml"


class Expired(Exception):
    """A watch's resource version is too old (410): read the object again, and watch from there."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster and namespace, and the official client for it (`api`)."""

    api: Any
    context: str
    server: str
    namespace: str

    @property
    def where(self) -> str:
        """`context 'kind-dev', namespace 'models'`."""
        return f"context {self.context!r}, namespace {self.namespace!r}"

    def apply(
        self, manifest: Mapping[str, Any], *, dry_run: bool, force: bool
    ) -> dict[str, Any]:
        """Server-side apply of a Deployment or a Service.

        Raises:
            ClusterRefused: not valid, no such namespace, or (409) another manager owns a field.
        """
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        options: dict[str, Any] = {"dry_run": "All"} if dry_run else {}
        return self.call(
            f"apply {kind} {name!r}" + (" (dry run)" if dry_run else ""),
            getattr(self._group(kind), f"patch_namespaced_{kind.lower()}"),
            name,
            self.namespace,
            dict(manifest),
            field_manager=FIELD_MANAGER,
            field_validation="Strict",
            force=force,
            **options,
        )

    def deployment(self, name: str) -> dict[str, Any]:
        """A Deployment as it is now."""
        read = self._group("Deployment").read_namespaced_deployment
        return self.call(f"read Deployment {name!r}", read, name, self.namespace)

    def pods(self, label_selector: str) -> list[dict[str, Any]]:
        """The pods with these labels, the newest last."""
        listed = self._group("Pod").list_namespaced_pod
        answer = self.call(
            "list pods", listed, self.namespace, label_selector=label_selector
        )
        return sorted(
            answer.get("items") or [],
            key=lambda p: p["metadata"].get("creationTimestamp") or "",
        )

    def pod_log(
        self,
        pod: str,
        container: str,
        *,
        previous: bool,
        lines: int,
        namespace: str | None = None,
    ) -> str:
        """The last lines that a container wrote; of its run before this one, if `previous`."""
        read = self._group("Pod").read_namespaced_pod_log
        body = self._send(
            f"read the log of pod {pod!r}",
            lambda: read(
                pod,
                namespace or self.namespace,
                container=container,
                previous=previous,
                tail_lines=lines,
                _preload_content=False,
                _request_timeout=_TIMEOUT,
            ),
        )
        return body.decode(errors="replace").rstrip()

    def watch_deployment(
        self, name: str, version: str, seconds: int
    ) -> Iterator[dict[str, Any]]:
        """Changes of a Deployment after `version`, for at most `seconds`.

        Raises:
            Expired: `version` is too old for the server.
        """
        import urllib3

        listed = self._group("Deployment").list_namespaced_deployment
        response = self.opened(
            f"watch Deployment {name!r}",
            lambda: listed(
                self.namespace,
                field_selector=f"metadata.name={name}",
                resource_version=version,
                watch=True,
                timeout_seconds=seconds,
                _preload_content=False,
                _request_timeout=(_TIMEOUT[0], seconds + 5.0),
            ),
        )
        try:
            for line in _lines(response):
                yield _event(json.loads(line))
        except urllib3.exceptions.HTTPError:
            return  # cut off: the caller reads the object again anyway
        finally:
            response.close()

    def call(
        self, what: str, method: Callable[..., Any], *args: Any, **options: Any
    ) -> dict[str, Any]:
        """One request to the API, as a plain dict; a busy server (429) is asked again."""
        body = self._send(
            what,
            lambda: method(
                *args, _preload_content=False, _request_timeout=_TIMEOUT, **options
            ),
        )
        answer: dict[str, Any] = json.loads(body)
        return answer

    def _group(self, kind: str) -> Any:
        from kubernetes import client

        groups = {"Deployment": client.AppsV1Api, "Job": client.BatchV1Api}
        return groups.get(kind, client.CoreV1Api)(self.api)

    def _send(self, what: str, send: Callable[[], Any]) -> bytes:
        import urllib3

        response = self.opened(what, send)
        try:
            body: bytes = response.read() if response.data is None else response.data
        except urllib3.exceptions.HTTPError as exc:
            raise ClusterUnreachable(self.where, self.server, _why(exc)) from exc
        return body

    def opened(self, what: str, send: Callable[[], Any]) -> Any:
        """A response of status 2xx, its body not read yet."""
        import urllib3
        from kubernetes.client.exceptions import ApiException

        wait = _BUSY_WAIT_S[0]
        for left in reversed(range(_BUSY_TRIES)):
            try:
                response = send()
                status, headers = response.status, response.headers
            except ApiException as exc:  # older clients raise by themselves
                response, status, headers = exc, exc.status or 0, exc.headers or {}
            except urllib3.exceptions.HTTPError as exc:
                raise ClusterUnreachable(self.where, self.server, _why(exc)) from exc
            if 200 <= status < 300:
                return response
            if status != 429 or not left:
                break
            time.sleep(min(_seconds(headers.get("Retry-After"), wait), _BUSY_WAIT_S[1]))
            wait *= 2
        self._refuse(what, status, _body(response))

    def _refuse(self, what: str, status: int, body: str) -> NoReturn:
        if status == _GONE:
            raise Expired
        said = _message(body) or f"HTTP {status}"
        if status in (401, 403):
            raise ClusterForbidden(what, self.where, said, known=status == 403)
        if status == 0:
            raise ClusterUnreachable(self.where, self.server, said)
        raise ClusterRefused(what, self.where, status, said)


def api_client(configuration: Any) -> Any:
    """The official client, with which every patch is a server-side apply.

    Older releases have no argument that says so; all of them ask this one method.
    """
    from kubernetes import client

    api: Any = client.ApiClient(configuration)
    choose = api.select_header_content_type

    def select(content_types: list[str], *rest: Any) -> Any:
        return _APPLY if _APPLY in content_types else choose(content_types, *rest)

    api.select_header_content_type = select
    return api


def connect(
    context: str | None = None,
    namespace: str | None = None,
    *,
    kubeconfig: str | Path | None = None,
    wanted: Wanted | None = None,
) -> Cluster:
    """The cluster of a kubeconfig context, or the one that this process runs in.

    A kubeconfig (argument, `KUBECONFIG`, `~/.kube/config`) comes before the service account of
    a pod. The namespace is the one given, else the setting `namespace` if somebody set it,
    else the context's own, else `default`. `wanted` says all of it at once, and more.
    Nothing is sent yet.

    Raises:
        NoCluster: there is neither, or no such context.
    """
    asked = wanted or Wanted(context=context, namespace=namespace, kubeconfig=kubeconfig)
    configuration, name, where = configure(asked)
    return Cluster(api_client(configuration), name, configuration.host, where)


def _lines(response: Any) -> Iterator[bytes]:
    rest = b""
    for chunk in response.stream(amt=None, decode_content=True):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line.strip())


def _event(event: dict[str, Any]) -> dict[str, Any]:
    if event.get("type") == "ERROR":
        # Whatever is wrong with the stream, reading the object again is the way on.
        raise Expired
    found: dict[str, Any] = event["object"]
    return found


def _seconds(text: str | None, otherwise: float) -> float:
    try:
        return max(0.0, float(text)) if text else otherwise
    except ValueError:
        return otherwise


def _body(response: Any) -> str:
    body = getattr(response, "body", None) or getattr(response, "data", None)
    if body is None and hasattr(response, "read"):
        body = response.read()
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    return text or str(getattr(response, "reason", "") or "")


def _message(body: str) -> str:
    """What the API says in words: the `message` of its Status object, else the body itself."""
    try:
        status = json.loads(body)
    except ValueError:
        return body.strip()[:500]
    return (
        str(status.get("message") or body)[:2000]
        if isinstance(status, dict)
        else body[:500]
    )


def _why(exc: Exception) -> str:
    """The innermost reason of urllib3's nested errors, without object addresses."""
    reason = getattr(exc, "reason", None)
    inner: object = reason if isinstance(reason, Exception) else exc
    text = str(inner)
    return text.split(">: ", 1)[-1] if ">: " in text else text.split("): ", 1)[-1]
