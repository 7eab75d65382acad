"""Put a model server to work on this machine, as a process that outlives the task.

A new server is started beside the old one, on a private port; only when it has answered a
real image does it take the public port, and only then does the old one end. Whatever goes
wrong before that leaves the old one as it was, and nothing new behind.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from mlflowkit.errors import PortInUse, PredictionFailed, ServerDied, ServerNotReady
from mlflowkit.ml import services
from mlflowkit.ml.manifests import dns_label
from mlflowkit.ml.serve import EXIT_PORT
from mlflowkit.ml.services import Entry, Server
from mlflowkit.ml.sockets import listening_socket

_LOOK_S = 0.05
_GATE_SLACK_S = 60.0
_TAIL_BYTES, _TAIL_LINES = 16_384, 25
_OLD_LOGS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPlan:
    """What to start. `port`: None keeps the port of the server before it, else a free one."""

    name: str
    model_uri: str
    connection: str = "aws_default"
    host: str = "127.0.0.1"
    port: int | None = None
    cache: Path | None = None
    test_image: bytes | None = None
    expected_class: str | None = None
    timeout: float = 120.0
    extra_args: tuple[str, ...] = ()


@dataclass(slots=True)
class _Attempt:
    """A server that is being tried: its process, its files, and when patience ends."""

    plan: LocalPlan
    server: Server
    address: Path
    deadline: float
    check: str = ""

    @property
    def tail(self) -> str:
        return log_tail(Path(self.server.log))

    def look(self) -> None:
        """Raise if the server has ended or time is up; else wait a moment."""
        if services.process_of(self.server) is None:
            words = services.exit_words(self.server.pid)
            if words == f"ended with exit code {EXIT_PORT}":
                raise _port_in_use(self.plan.host, self.server.port)
            raise ServerDied(self.plan.name, words, self.server.log, self.tail)
        if time.monotonic() >= self.deadline:
            raise ServerNotReady(
                self.plan.name, self.plan.timeout, self.server.log, self.tail
            )
        time.sleep(_LOOK_S)


def deploy_local(plan: LocalPlan, *, say: Callable[[str], None] = print) -> Server:
    """Start a server, test it, let it take over from the one before it under this name.

    Raises:
        PortInUse: another program has the port.
        ServerDied, ServerNotReady: it ended, or was too slow; with the end of its log.
        PredictionFailed: it answered the test image wrongly, or not at all.
    """
    name = dns_label(plan.name)
    with services.only_one(name):
        before = services.forget(name, services.read(name))
        old = (
            before.current
            if before.current and services.process_of(before.current)
            else None
        )
        port = _port(plan, old)
        _check_port(plan.host, port, old)
        attempt = _start(plan, name, port)
        done = False
        try:
            services.write(name, Entry(before.current, attempt.server))
            _wait_until_ready(attempt)
            _try_image(attempt)
            _open(attempt)
            done = True
        finally:
            if not done:
                services.stop(attempt.server)
                services.write(name, before)
            attempt.address.unlink(missing_ok=True)
        services.write(name, Entry(attempt.server))
        if before.current:
            services.stop(before.current)
        say(
            f"model server {plan.name!r} answers at {attempt.server.url} (log: {attempt.server.log})"
        )
        return attempt.server


def stop_local(name: str) -> bool:
    """End the server that was deployed under this name. False when none was running."""
    label = dns_label(name)
    with services.only_one(label):
        entry = services.forget(label, services.read(label))
        services.write(label, Entry())
        return entry.current is not None and services.stop(entry.current)


def log_tail(log: Path) -> str:
    """The last lines of a log file; empty if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-_TAIL_LINES:])


def _port(plan: LocalPlan, old: Server | None) -> int:
    if plan.port is not None:
        return plan.port
    return old.port if old and old.host == plan.host else 0


def _check_port(host: str, port: int, old: Server | None) -> None:
    """Refuse a port that somebody else has. Our own server may have it: it will hand it over."""
    if port == 0 or (old and (old.host, old.port) == (host, port)):
        return
    try:
        listening_socket(host, port).close()
    except PortInUse as exc:
        raise _port_in_use(host, port) from exc


def _port_in_use(host: str, port: int) -> PortInUse:
    return PortInUse(host, port, services.holder_of(port))


def _start(plan: LocalPlan, name: str, port: int) -> _Attempt:
    mark = f"{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(3)}"
    log = services.folder() / f"{name}.{mark}.log"
    address = services.folder() / f"{name}.{mark}.address"
    _remove_old_logs(name)
    argv = [sys.executable, "-m", "mlflowkit.ml.serve", "--model", plan.model_uri]
    # Should we be killed before it is in the book, it ends by itself.
    argv += ["--gated", str(plan.timeout + _GATE_SLACK_S)]
    argv += ["--connection", plan.connection, "--host", plan.host, "--port", str(port)]
    argv += ["--name", plan.name, "--address-file", str(address)]
    argv += ["--cache", str(plan.cache)] if plan.cache else []
    deadline = time.monotonic() + plan.timeout
    service = f"{name}-{mark}"
    pid = services.start(service, [*argv, *plan.extra_args], env=dict(os.environ), log=log)
    started = services.start_time(pid) or 0.0
    server = Server(service, pid, started, "", plan.host, port, plan.model_uri, str(log))
    return _Attempt(plan, server, address, deadline)


def _wait_until_ready(attempt: _Attempt) -> None:
    while not attempt.address.exists():
        attempt.look()
    facts = json.loads(attempt.address.read_text())
    attempt.check = facts["check"]
    port = int(facts["url"].rsplit(":", 1)[1])
    attempt.server = replace(attempt.server, url=facts["url"], port=port)
    while _ready(attempt).get("ready") is not True:
        attempt.look()


def _open(attempt: _Attempt) -> None:
    """Let it take the public port, and see that it did."""
    os.kill(attempt.server.pid, signal.SIGUSR1)
    while _ready(attempt).get("open") is not True:
        attempt.look()


def _ready(attempt: _Attempt) -> dict[str, Any]:
    try:
        answer = httpx.get(f"{attempt.check}/readyz", timeout=5.0, trust_env=False)
        found: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError):
        return {}
    return found


def _try_image(attempt: _Attempt) -> None:
    """Send the test image, if there is one, and look at the answer."""
    plan = attempt.plan
    if plan.test_image is None:
        return
    try:
        answer = httpx.post(
            f"{attempt.check}/predict",
            content=plan.test_image,
            headers={"Content-Type": "application/octet-stream"},
            timeout=max(1.0, attempt.deadline - time.monotonic()),
            trust_env=False,
        )
        wrong = wrong_answer(answer.status_code, answer.json(), plan.expected_class)
    except (httpx.HTTPError, ValueError) as exc:
        wrong = f"no answer ({type(exc).__name__}: {exc})"
    if wrong:
        raise PredictionFailed(plan.name, wrong, attempt.server.log, attempt.tail)


def wrong_answer(status: int, answer: Any, expected_class: str | None) -> str | None:
    """What is wrong with the answer of `/predict`, or None."""
    if status != 200:
        said = answer.get("error", {}).get("message") if isinstance(answer, dict) else None
        return f"HTTP {status}: {said or answer}"
    found = answer.get("probabilities") if isinstance(answer, dict) else None
    if not isinstance(found, dict) or answer.get("class") not in found:
        return f"an answer without class and probabilities: {answer}"
    if not abs(sum(found.values()) - 1.0) < 1e-3:  # not: also for NaN
        return f"probabilities that add up to {sum(found.values())}"
    if expected_class is not None and answer["class"] != expected_class:
        shown = f"{answer['class']!r} with probability {answer['probability']:.2f}"
        return f"it took an image of {expected_class!r} for {shown}"
    return None


def _remove_old_logs(name: str) -> None:
    logs = sorted(services.folder().glob(f"{name}.2*.log"), key=lambda p: p.stat().st_mtime)
    for log in logs[:-_OLD_LOGS]:
        log.unlink(missing_ok=True)
