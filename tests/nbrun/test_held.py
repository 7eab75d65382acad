# mypy: allow-untyped-calls
"""Kernels that are held after their notebook failed: found, looked into, opened, ended."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mlflowkit.core.masking import Masker
from mlflowkit.nbrun import held, opening
from mlflowkit.nbrun.held import HeldKernel
from mlflowkit.worker import masking
from tests.nbrun.conftest import Ran, code, execute, save
from tests.nbrun.kernels import is_gone, say, wait_until

FAILS = "def share(total):\n    parts = total - 41\n    return 1 / parts\nshare(x)"


def fail(folder: Path, seconds: float = 240, attempt: int = 1, task: str = "fit") -> Ran:
    owner = {
        "home": str(folder.resolve()),
        "run_id": "r/1",
        "task_id": task,
        "map_index": None,
        "attempt": attempt,
    }
    path = save(folder / "fit.ipynb", code("x = 41"), code(FAILS), code("never = 1"))
    return execute(path, keep_failed_kernel=timedelta(seconds=seconds), owner=owner)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for one in held.held_kernels(tmp_path):
        one.release()


def client_of(kernel: HeldKernel) -> Any:
    from jupyter_client.blocking.client import BlockingKernelClient

    client = BlockingKernelClient(connection_file=str(kernel.connection_file()))
    client.load_connection_file()
    client.start_channels(hb=False)
    client.wait_for_ready(timeout=20)
    return client


def test_a_failed_kernel_keeps_its_variables_and_the_debugger_shows_the_frame(
    folder: Path,
) -> None:
    ran = fail(folder)
    assert ran.statuses() == ["completed", "failed", "not run"]
    (kernel,) = held.held_kernels(folder)
    assert (kernel.task, kernel.run_id, kernel.cell) == ("fit", "r/1", 1)
    assert kernel.error == "ZeroDivisionError: division by zero"
    assert ran.notebook.metadata.mlflowkit["held"]["id"] == kernel.id
    client = client_of(kernel)
    try:
        assert say(client, "print(x)") == "41\n"
        asked, shown = iter(["p parts, total", "q"]), []

        def hear(message: Any) -> None:
            shown.append(message["content"].get("text", ""))

        client.execute_interactive(
            "%debug",
            allow_stdin=True,
            stdin_hook=lambda _: client.input(next(asked)),
            output_hook=hear,
            timeout=120,
        )
        assert "(0, 41)" in "".join(shown)
    finally:
        client.stop_channels()
    assert kernel.release()
    wait_until(lambda: is_gone(kernel.pid), "it lives")
    assert held.held_kernels(folder) == []


def test_it_ends_at_its_time_and_a_later_attempt_takes_its_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masking, "_masker", Masker(["division by"]))
    fail(folder, attempt=1)
    (first,) = held.held_kernels(folder)
    assert first.error == "ZeroDivisionError: *** zero"
    fail(folder, seconds=2, attempt=2)
    (second,) = held.held_kernels(folder)
    assert second.attempt == 2
    both = (first.pid, second.pid)
    wait_until(lambda: all(map(is_gone, both)), "they live")
    assert held.held_kernels(folder) == []


def test_one_jupyterlab_works_in_the_very_kernels_and_restarting_one_begins_anew(
    folder: Path,
) -> None:
    fail(folder)
    fail(folder, task="other")
    kernel, other = held.held_kernels(folder)
    record = Path(kernel.notebook).read_bytes()
    opened = opening.open_kernel(kernel, browser=False)
    try:
        beside = opening.open_kernel(other, browser=False)
        assert beside.pid == opened.pid, "there are two of it"
        base, _, rest = opened.url.partition("lab/tree/")
        page, _, token = rest.partition("?token=")
        assert page == "r-1-fit.1/fit-executed.ipynb"
        head = {"Authorization": f"token {token}", "Content-Type": "application/json"}

        def ask(path: str, body: Any = None, method: str | None = None) -> Any:
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(base + path, data, head, method=method)
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or b"null")

        def session(one: HeldKernel, path: str) -> Any:
            spec = ask(f"api/contents/{path}")["content"]["metadata"]["kernelspec"]
            assert spec["name"] == opening.spec_of(one)
            wish = {"path": path, "name": path, "type": "notebook"}
            return ask("api/sessions", {**wish, "kernel": {"name": spec["name"]}})

        first = session(kernel, page)
        second = session(other, "r-1-other.1/fit-executed.ipynb")
        assert [one.opened for one in held.held_kernels(folder)] == [True, True]
        seen = executed(base, token, first["kernel"]["id"], "print(os.getpid(), x)")
        assert seen == f"{kernel.pid} 41\n"
        ask(f"api/kernels/{second['kernel']['id']}/restart", method="POST")
        wait_until(lambda: is_gone(other.pid), "it lives")
        seen = executed(base, token, second["kernel"]["id"], "print('x' in globals())")
        assert seen == "False\n"
        ask(f"api/sessions/{first['id']}", method="DELETE")
        wait_until(lambda: is_gone(kernel.pid), "it lives")
        assert held.held_kernels(folder) == []
    finally:
        os.kill(opened.pid, signal.SIGTERM)
        wait_until(lambda: is_gone(opened.pid), "JupyterLab does not end", 120)
    assert Path(kernel.notebook).read_bytes() == record


def executed(base: str, token: str, kernel: str, code: str) -> str:
    """What a cell printed, over the websocket that a page uses."""
    import websocket
    from jupyter_client.session import Session

    url = f"{base.replace('http', 'ws', 1)}api/kernels/{kernel}/channels?token={token}"
    socket = websocket.create_connection(url, timeout=120)
    content = {"code": f"import os\n{code}", "silent": False}
    message = Session().msg("execute_request", content)
    socket.send(json.dumps({**message, "channel": "shell"}, default=str))
    try:
        while True:
            heard = json.loads(socket.recv())
            if heard["msg_type"] == "stream":
                return str(heard["content"]["text"])
    finally:
        socket.close()
