"""A Kubernetes API on loopback for pods and jobs, with a kubelet that follows a story.

Real HTTP with the ways of the real server that our code relies on: manifests are validated
against the API's schema, names are unique, logs stream in chunks with times, events and pods
can be listed by selectors, jobs make pods. Streams can be cut and requests refused.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate

VERSION = "1.36"
Json = dict[str, Any]
DEADLINE = 60.0
_PATH = re.compile(
    r"/(?:api/v1|apis/batch/v1)/namespaces/(?P<ns>[^/]+)/(?P<kind>pods|jobs|events)"
    r"(?:/(?P<name>[^/]+)(?:/(?P<sub>log))?)?"
)


class FakePod:
    """A pod, and what its story can do with it. All changes happen under the server's lock."""

    def __init__(self, server: FakeKubernetes, manifest: Json) -> None:
        self.server, self.manifest = server, manifest
        self.name: str = manifest["metadata"]["name"]
        self.namespace: str = manifest["metadata"]["namespace"]
        self.logs: dict[str, list[tuple[datetime, str]]] = {}
        self.gone = False
        self.states: dict[str, Json] = {}
        self.init_states: dict[str, Json] = {}
        self.status: Json = {"phase": "Pending", "conditions": []}
        self.clock = datetime.now(UTC)

    # ── what a story says ──

    def schedule(self) -> None:
        with self.server.change:
            self.manifest["spec"]["nodeName"] = "node-1"
            self.status["conditions"] = [{"type": "PodScheduled", "status": "True"}]

    def unschedulable(self, message: str) -> None:
        with self.server.change:
            condition = {"type": "PodScheduled", "status": "False", "message": message}
            self.status["conditions"] = [{**condition, "reason": "Unschedulable"}]
        self.event("Warning", "FailedScheduling", message)

    def wait_with(self, reason: str, message: str, container: str = "base") -> None:
        self._state(container, {"waiting": {"reason": reason, "message": message}})

    def run(self, *containers: str) -> None:
        self.schedule()
        spec = self.manifest["spec"]
        for one in spec.get("initContainers", ()):
            self._state(one["name"], {"running": {}})
        for name in containers or [c["name"] for c in spec["containers"]]:
            self._state(name, {"running": {}})
        with self.server.change:
            self.status["phase"] = "Running"

    def log(self, *lines: str, container: str = "base", at: datetime | None = None) -> None:
        with self.server.change:
            for line in lines:
                self.clock = at or max(
                    self.clock + timedelta(microseconds=1), datetime.now(UTC)
                )
                self.logs.setdefault(container, []).append((self.clock, line))
            self.server.change.notify_all()

    def end(self, code: int = 0, container: str = "base", **facts: Any) -> None:
        """The container ends; the pod ends with it if it was the last."""
        self._state(container, {"terminated": {"exitCode": code, **facts}})
        if any("terminated" not in state for state in self.states.values()):
            return
        self._hand_over()
        with self.server.change:
            codes = [s["terminated"]["exitCode"] for s in self.states.values()]
            self.status["phase"] = "Failed" if any(codes) else "Succeeded"
            self.server.change.notify_all()

    def fail(self, reason: str, message: str) -> None:
        """The cluster ends the pod: evicted, past its deadline."""
        with self.server.change:
            self.status |= {"phase": "Failed", "reason": reason, "message": message}
            self.server.change.notify_all()

    def event(self, kind: str, reason: str, message: str, count: int = 1) -> None:
        with self.server.change:
            self.server.events.append(
                {
                    "metadata": {"name": f"{self.name}.{len(self.server.events)}"},
                    "involvedObject": {"kind": "Pod", "name": self.name},
                    "type": kind,
                    "reason": reason,
                    "message": message,
                    "count": count,
                    "lastTimestamp": _stamp(datetime.now(UTC), 0),
                }
            )

    def until(self, gate: threading.Event) -> None:
        """Wait for the test, or for the pod's end."""
        for _ in range(int(DEADLINE / 0.01)):
            if gate.wait(0.01) or self.gone or self.server.closed:
                return

    # ── insides ──

    def _state(self, container: str, state: Json) -> None:
        spec = self.manifest["spec"]
        inits = {c["name"] for c in spec.get("initContainers", ())}
        with self.server.change:
            (self.init_states if container in inits else self.states)[container] = state
            self.server.change.notify_all()

    def _hand_over(self) -> None:
        """The sidecars of the cluster end after all other containers."""
        for name in self.init_states:
            text = self.server.results.get(self.name, self.server.results.get("*"))
            if text is not None:
                self.log(*text, container=name)
            self._state(name, {"terminated": {"exitCode": 0}})

    def as_json(self) -> Json:
        def shown(states: dict[str, Json]) -> list[Json]:
            return [{"name": n, "state": s, **_UNTOLD} for n, s in states.items()]

        status = {**self.status, "containerStatuses": shown(self.states)}
        if self.init_states:
            status["initContainerStatuses"] = shown(self.init_states)
        return json.loads(json.dumps({**self.manifest, "status": status}))

    def ended(self, container: str) -> bool:
        state = {**self.states, **self.init_states}.get(container, {})
        return self.gone or "terminated" in state or self.status["phase"] == "Failed"


_UNTOLD: Json = {"ready": False, "restartCount": 0, "image": "", "imageID": ""}
Story = Callable[[FakePod], None]


def succeeds(*lines: str) -> Story:
    """A pod that writes these lines and ends well."""

    def story(pod: FakePod) -> None:
        pod.run()
        pod.log(*lines)
        pod.end(0)

    return story


class FakeKubernetes:
    """The server. `story` is what happens to each pod that is created."""

    def __init__(self, story: Story | None = None) -> None:
        self.story: Story = story or succeeds()
        self.change = threading.Condition(threading.RLock())
        self.pods: dict[tuple[str, str], FakePod] = {}
        self.jobs: dict[tuple[str, str], Json] = {}
        self.events: list[Json] = []
        #: Every manifest that was asked for, as it came.
        self.created: list[Json] = []
        self.deleted: list[tuple[str, Json]] = []
        self.seen: list[str] = []
        #: What the sidecar of a pod prints, by the pod's name or "*".
        self.results: dict[str, list[str]] = {}
        self.refusals: list[tuple[str, int, str, bool]] = []
        #: After how many lines a log stream breaks, and how ("reset", "half", "clean", "half clean").
        self.cuts: list[tuple[int, str]] = []
        self.asked_since: list[int | None] = []
        self.threads: list[threading.Thread] = []
        self.closed = False
        self.numbers = iter(range(1, 10_000))

    def refuse(
        self,
        line: str,
        status: int,
        message: str = "",
        *,
        times: int = 1,
        after: bool = False,
    ) -> None:
        """Answer requests such as `POST pods` with an error; `after` doing what they ask."""
        self.refusals += [(line, status, message, after)] * times

    def pod(self, number: int = 0) -> FakePod:
        """The pod that was created as number so and so, from 0."""
        return self.wait(lambda: list(self.pods.values())[number:])[0]

    def wait(self, what: Callable[[], Any]) -> Any:
        """The first true answer of `what`, asked whenever something changed."""
        with self.change:
            assert self.change.wait_for(what, DEADLINE), "it did not happen"
            return what()

    def add_pod(self, manifest: Json) -> FakePod:
        now = datetime.now(UTC) + timedelta(microseconds=next(self.numbers))
        manifest["metadata"]["creationTimestamp"] = _stamp(now, 6)
        pod = FakePod(self, manifest)
        with self.change:
            self.pods[pod.namespace, pod.name] = pod
            self.change.notify_all()
        thread = threading.Thread(target=self.story, args=(pod,), daemon=True)
        self.threads.append(thread)
        thread.start()
        return pod

    def remove(self, namespace: str, name: str) -> None:
        """As when somebody else deletes a pod."""
        with self.change:
            self.pods.pop((namespace, name)).gone = True
            self.change.notify_all()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    fake: FakeKubernetes

    def log_message(self, *_args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def _serve(self, verb: str) -> None:
        url = urlsplit(self.path)
        found = _PATH.fullmatch(url.path)
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size) or b"{}")
        assert found, url.path
        query = {k: v[-1] for k, v in parse_qs(url.query).items()}
        line = f"{verb} {found['sub'] or found['kind']}"
        with self.fake.change:
            self.fake.seen.append(line)
            self.fake.change.notify_all()
        for refusal in self.fake.refusals:
            if refusal[0] == line:
                self.fake.refusals.remove(refusal)
                if refusal[3]:
                    self._answer_to(verb, found, query, body)
                self._status(refusal[1], refusal[2])
                return
        if found["sub"] == "log":
            self._log(found["ns"], found["name"], query)
            return
        status, answer = self._answer_to(verb, found, query, body)
        if status >= 400:
            self._status(status, answer["message"])
        else:
            self._send(status, answer)

    def _answer_to(
        self, verb: str, found: re.Match[str], query: dict[str, str], body: Json
    ) -> tuple[int, Json]:
        fake, ns, kind, name = self.fake, found["ns"], found["kind"], found["name"]
        with fake.change:
            if verb == "POST":
                return self._create(ns, kind, query, body)
            if name is None:
                return 200, {"metadata": {}, "items": self._listed(ns, kind, query)}
            here: dict[tuple[str, str], Any] = fake.pods if kind == "pods" else fake.jobs
            if (ns, name) not in here:
                return 404, {"message": f'{kind} "{name}" not found'}
            one = here[ns, name]
            if verb == "DELETE":
                fake.deleted.append((name, {**query, **body}))
                here.pop((ns, name))
                if kind == "pods":
                    one.gone = True
                else:
                    for pod in _pods_of(fake, name):
                        fake.remove(ns, pod.name)
                fake.change.notify_all()
            return 200, one.as_json() if kind == "pods" else one

    def _create(
        self, ns: str, kind: str, query: dict[str, str], body: Json
    ) -> tuple[int, Json]:
        fake = self.fake
        assert query["fieldValidation"] == "Strict"
        assert body["metadata"]["namespace"] == ns
        try:
            kubernetes_validate.validate(body, VERSION, strict=True)
        except kubernetes_validate.ValidationError as exc:
            return 422, {"message": exc.message}
        name = body["metadata"]["name"]
        if (ns, name) in (fake.pods if kind == "pods" else fake.jobs):
            return 409, {"message": f'{kind} "{name}" already exists'}
        fake.created.append(json.loads(json.dumps(body)))
        if kind == "pods":
            return 201, fake.add_pod(body).as_json()
        fake.jobs[ns, name] = body | {"status": {}}
        thread = threading.Thread(target=_work, args=(fake, ns, name), daemon=True)
        fake.threads.append(thread)
        thread.start()
        return 201, body

    def _listed(self, ns: str, kind: str, query: dict[str, str]) -> list[Json]:
        fake = self.fake
        if kind == "events":
            wanted = dict(p.split("=") for p in query["fieldSelector"].split(","))
            name = wanted["involvedObject.name"]
            return [e for e in fake.events if e["involvedObject"]["name"] == name]
        labels = dict(p.split("=") for p in query["labelSelector"].split(","))
        found = (
            [p.as_json() for p in fake.pods.values()]
            if kind == "pods"
            else fake.jobs.values()
        )
        return [
            one
            for one in found
            if one["metadata"]["namespace"] == ns
            and labels.items() <= one["metadata"].get("labels", {}).items()
        ]

    # ── logs ──

    def _log(self, ns: str, name: str, query: dict[str, str]) -> None:
        fake, container = self.fake, query["container"]
        with fake.change:
            pod = fake.pods.get((ns, name))
        if pod is None:
            self._status(404, f'pods "{name}" not found')
            return
        if not {**pod.states, **pod.init_states}.get(container, {}).keys() - {"waiting"}:
            self._status(400, f'container "{container}" is waiting to start')
            return
        if "tailLines" in query:
            lines = [text for _, text in pod.logs.get(container, ())][
                -int(query["tailLines"]) :
            ]
            self._send_raw(200, "".join(f"{line}\n" for line in lines).encode())
            return
        since = int(query["sinceSeconds"]) if "sinceSeconds" in query else None
        fake.asked_since.append(since)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        cut = fake.cuts.pop(0) if fake.cuts and query.get("follow") == "true" else None
        from_ = datetime.now(UTC) - timedelta(seconds=since) if since else None
        with suppress(OSError):
            self._stream(pod, container, query.get("follow") == "true", from_, cut)

    def _stream(
        self,
        pod: FakePod,
        container: str,
        follow: bool,
        from_: datetime | None,
        cut: tuple[int, str] | None,
    ) -> None:
        sent, count = 0, 0
        while True:
            with self.fake.change:
                if follow:
                    self.fake.change.wait_for(
                        lambda: (
                            len(pod.logs.get(container, ())) > sent
                            or pod.ended(container)
                            or self.fake.closed
                        ),
                        DEADLINE,
                    )
                fresh = pod.logs.get(container, [])[sent:]
                over = pod.ended(container) or not follow or self.fake.closed
            for at, text in fresh:
                sent += 1
                if from_ is not None and at < from_.replace(microsecond=0):
                    continue
                if cut and count == cut[0]:
                    self._cut(cut[1], at, text)
                    return
                self._chunk(f"{_stamp(at)} {text}\n".encode())
                count += 1
            if over and len(pod.logs.get(container, ())) == sent:
                self.wfile.write(b"0\r\n\r\n")
                return
            self.wfile.flush()

    def _cut(self, how: str, at: datetime, text: str) -> None:
        if how.startswith("half"):
            self._chunk(f"{_stamp(at)} {text}"[: len(_stamp(at)) + 3].encode())
        if how.endswith("clean"):
            self.wfile.write(b"0\r\n\r\n")
            return
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    # ── answers ──

    def _status(self, status: int, message: str) -> None:
        body = {"kind": "Status", "status": "Failure", "message": message, "code": status}
        self._send(status, body)

    def _send(self, status: int, answer: Json) -> None:
        self._send_raw(status, json.dumps(answer).encode())

    def _send_raw(self, status: int, body: bytes) -> None:
        with suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)


def _work(fake: FakeKubernetes, ns: str, name: str) -> None:
    """The job controller: pods one after the other, until enough succeeded or too many failed."""
    spec = fake.jobs[ns, name]["spec"]
    wanted, allowed = spec.get("completions", 1), spec.get("backoffLimit", 6)
    good = bad = 0
    while good < wanted and bad <= allowed and not fake.closed:
        manifest = json.loads(json.dumps(spec["template"]))
        meta = manifest.setdefault("metadata", {})
        meta |= {"name": f"{name}-{good + bad}", "namespace": ns}
        meta["labels"] = {**meta.get("labels", {}), "batch.kubernetes.io/job-name": name}
        meta["annotations"] = {"batch.kubernetes.io/job-completion-index": str(good)}
        pod = fake.add_pod(manifest | {"apiVersion": "v1", "kind": "Pod"})
        with fake.change:
            fake.change.wait_for(lambda pod=pod: _over(fake, pod), DEADLINE)
        if pod.gone or fake.closed:
            return
        good += pod.status["phase"] == "Succeeded"
        bad += pod.status["phase"] == "Failed"
    with fake.change:
        if (ns, name) in fake.jobs:
            done = {"type": "Complete", "status": "True"}
            failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
            failed |= {"message": "Job has reached the specified backoff limit"}
            conditions = [done if good >= wanted else failed]
            fake.jobs[ns, name]["status"] = {"conditions": conditions}


def _over(fake: FakeKubernetes, pod: FakePod) -> bool:
    return fake.closed or pod.gone or pod.status["phase"] in ("Succeeded", "Failed")


def _pods_of(fake: FakeKubernetes, job: str) -> list[FakePod]:
    label = "batch.kubernetes.io/job-name"
    return [
        p for p in fake.pods.values() if p.manifest["metadata"]["labels"].get(label) == job
    ]


def _stamp(at: datetime, decimals: int = 9) -> str:
    fraction = f".{at.microsecond * 1000:09d}"[: decimals + 1].rstrip("0").rstrip(".")
    return f"{at:%Y-%m-%dT%H:%M:%S}{fraction if decimals else ''}Z"


@contextmanager
def serving(fake: FakeKubernetes) -> Iterator[str]:
    """Serve it on a free port of loopback; gives its URL."""
    handler = type("Handler", (_Handler,), {"fake": fake})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        with fake.change:
            fake.closed = True
            fake.change.notify_all()
        server.shutdown()
        server.server_close()
        for worker in fake.threads:
            worker.join(120)


def kubeconfig(folder: Path, url: str, namespace: str = "models") -> Path:
    """A kubeconfig whose only context is this server."""
    file = folder / "kubeconfig.json"
    context = {"cluster": "fake", "user": "fake", "namespace": namespace}
    held = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": {"server": url}}],
        "users": [{"name": "fake", "user": {"token": "not-a-real-one"}}],
        "contexts": [{"name": "fake", "context": context}],
    }
    file.write_text(json.dumps(held))
    return file
