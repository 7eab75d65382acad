"""A Kubernetes API over real HTTP (kmock), with the server rules that our code relies on.

On top of kmock's store: server-side apply (creates, dry run, strict schemas, generations),
label selectors, pod logs, and a *story*: what a controller would have done by each reading
of the Deployment.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp.web
import attrs
import kubernetes_validate
import yaml
from kmock import KubernetesEmulator, Request, Server, action, resource
from kubernetes import client

from mlflowkit.hooks.kubernetes import Cluster, api_client

DEPLOYMENTS = resource("apps", "v1", "deployments")
SERVICES = resource("", "v1", "services")
PODS = resource("", "v1", "pods")
VERSION = "1.36"
Json = dict[str, Any]


@attrs.define(kw_only=True)
class FakeCluster(KubernetesEmulator):
    """The API server and, by its story, the controllers."""

    story: list[Json] = attrs.field(
        factory=list
    )  # {"status": …, "pods": […]} by each reading
    logs: dict[tuple[str, bool], str] = attrs.field(factory=dict)
    refusals: list[tuple[str, int, Json, dict[str, str]]] = attrs.field(factory=list)
    applied: list[tuple[str, bool]] = attrs.field(factory=list)
    seen: list[str] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.resources[PODS] = {}

    async def _handle(self, request: Request) -> aiohttp.web.StreamResponse:
        verb = request.action.value if request.action else "?"
        kind = request.resource.plural if request.resource else "?"
        line = " ".join(x for x in (verb, kind, request.subresource) if x)
        self.seen.append(line)
        for refusal in self.refusals:
            if refusal[0] == line:
                self.refusals.remove(refusal)
                _, status, body, headers = refusal
                return aiohttp.web.json_response(body, status=status, headers=headers)
        if request.subresource == "log":
            return self._log(request)
        if request.action == action.UPDATE:
            return self._apply(request)
        if request.action == action.FETCH and request.resource == DEPLOYMENTS:
            self._turn_a_page(request)
        if request.action == action.LIST and request.resource == PODS:
            return self._list_pods(request)
        return await super()._handle(request)

    def refuse(
        self,
        line: str,
        status: int,
        message: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        """Answer the next request of this line (`UPDATE deployments`) with an error."""
        body = {
            "kind": "Status",
            "status": "Failure",
            "message": message,
            "code": status,
        }
        self.refusals.append((line, status, body, headers or {}))

    def _apply(self, request: Request) -> aiohttp.web.StreamResponse:
        assert (
            "apply-patch+yaml"
            in {k.lower(): v for k, v in request.headers.items()}["content-type"]
        )
        assert request.params["fieldManager"] == "mlflowkit"
        wanted = yaml.safe_load(request.body)
        try:
            kubernetes_validate.validate(wanted, VERSION, strict=True)
        except kubernetes_validate.ValidationError as exc:
            return aiohttp.web.json_response({"message": exc.message}, status=422)
        dry = request.params.get("dryRun") == "All"
        self.applied.append((wanted["kind"], dry))
        if dry:
            return aiohttp.web.json_response(wanted)
        key = (request.resource, request.namespace, request.name)
        before = self.objects[key].raw["metadata"] if key in self.objects else {}
        generation = before.get("generation", 0) + 1
        wanted["metadata"] |= {
            "generation": generation,
            "resourceVersion": str(generation),
        }
        self.objects[key] = wanted
        return aiohttp.web.json_response(wanted)

    def _turn_a_page(self, request: Request) -> None:
        key = (request.resource, request.namespace, request.name)
        if key not in self.objects or not self.story:
            return
        page = self.story.pop(0) if len(self.story) > 1 else self.story[0]
        deployment = self.objects[key].raw
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            **page["status"],
        }
        self.objects[key] = {**deployment, "status": status}
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        for pod in page.get("pods", ()):
            metadata = {
                "labels": labels,
                "namespace": request.namespace,
                **pod["metadata"],
            }
            name = metadata["name"]
            self.objects[PODS, request.namespace, name] = {**pod, "metadata": metadata}

    def _list_pods(self, request: Request) -> aiohttp.web.StreamResponse:
        wanted = dict(p.split("=") for p in request.params["labelSelector"].split(","))
        pods = [
            pod.raw
            for (kind, namespace, _), pod in self.objects.items()
            if kind == PODS
            and namespace == request.namespace
            and wanted.items() <= pod.raw["metadata"]["labels"].items()
        ]
        return aiohttp.web.json_response({"metadata": {}, "items": pods})

    def _log(self, request: Request) -> aiohttp.web.StreamResponse:
        previous = request.params.get("previous") in ("true", "True")
        text = self.logs.get((str(request.name), previous))
        if text is None:
            return aiohttp.web.json_response(
                {"message": "no such container run"}, status=400
            )
        lines = text.splitlines()[-int(request.params["tailLines"]) :]
        return aiohttp.web.Response(text="\n".join(lines))

    def stored(self, kind: resource, name: str, namespace: str = "models") -> Json:
        """An object as it is stored."""
        return json.loads(json.dumps(self.objects[kind, namespace, name].raw))


@contextmanager
def running(fake: FakeCluster) -> Iterator[str]:
    """Serve it from a thread of its own; gives its URL."""
    started, url = threading.Event(), ""
    stop: asyncio.Event | None = None
    loop: asyncio.AbstractEventLoop | None = None

    async def live() -> None:
        nonlocal url, stop, loop
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        async with fake, Server(fake) as server:
            url = str(server.url).rstrip("/")
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(live()), daemon=True)
    thread.start()
    assert started.wait(120)
    try:
        yield url
    finally:
        assert loop is not None
        assert stop is not None
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def cluster_at(url: str, namespace: str = "models") -> Cluster:
    """The official client for it."""
    configuration = client.Configuration(host=url)
    configuration.retries = False
    return Cluster(api_client(configuration), "fake", url, namespace)


def pod(name: str = "digits-1", **status: Any) -> Json:
    """A pod with this status."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "status": status,
    }


def container(
    state: Json, *, last: Json | None = None, restarts: int = 0, ready: bool = False
) -> Json:
    """The status of a pod's only container."""
    return {
        "name": "server",
        "state": state,
        "lastState": last or {},
        "restartCount": restarts,
        "ready": ready,
        "image": "x",
        "imageID": "",
    }
