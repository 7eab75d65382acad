# mypy: allow-untyped-calls
"""Jupyter's own managers, nbclient and papermill get forked kernels through the provisioner."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import KernelProvisionerFactory
from typer.testing import CliRunner

from mlflowkit.cli.commands import app
from mlflowkit.nbrun import kernel_client, kernel_forked, provisioner
from mlflowkit.nbrun.provisioner import ForkedProcess
from tests.nbrun.conftest import code, save
from tests.nbrun.kernels import is_gone, order, wait_until

ENTRY = "[jupyter_client.kernel_provisioners]\nmlflowkit = mlflowkit.nbrun.provisioner:MlflowkitProvisioner\n"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The kernel spec, in a folder where Jupyter looks; the entry point, as pip writes it."""
    info = tmp_path / "lib/mlflowkit_kernels-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: mlflowkit-kernels\nVersion: 0\n"
    )
    (info / "entry_points.txt").write_text(ENTRY)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "lib")])
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share/jupyter"))
    KernelProvisionerFactory.clear_instance()
    done = CliRunner().invoke(app, ["install-kernel", "--prefix", str(tmp_path)])
    assert done.exit_code == 0, done.output
    yield tmp_path / "share/jupyter/kernels/mlflowkit"
    KernelProvisionerFactory.clear_instance()


def test_the_kernel_spec_names_this_interpreter_and_the_provisioner(
    installed: Path,
) -> None:
    spec = json.loads((installed / "kernel.json").read_text())
    assert spec["argv"] == [
        sys.executable,
        "-m",
        "ipykernel_launcher",
        "-f",
        "{connection_file}",
    ]
    assert spec["metadata"]["kernel_provisioner"]["provisioner_name"] == "mlflowkit"
    again = CliRunner().invoke(app, ["install-kernel", "--user", "--sys-prefix"])
    assert again.exit_code == 2


def managed(story: Callable[[Any, Any], Coroutine[Any, Any, None]], **start: Any) -> None:
    """Start a kernel as JupyterLab does, and tell a story with it."""

    async def run() -> None:
        manager = AsyncKernelManager(kernel_name="mlflowkit")
        await manager.start_kernel(**start)
        client = manager.client()
        client.start_channels()
        try:
            await client.wait_for_ready(timeout=30)
            await story(manager, client)
        finally:
            client.stop_channels()
            if manager.has_kernel:
                await manager.shutdown_kernel()

    asyncio.run(run())


async def say(client: Any, source: str) -> str:
    heard: list[str] = []

    def hear(message: Any) -> None:
        heard.append(
            message["content"].get("text", "") or message["content"].get("ename", "")
        )

    await client.execute_interactive(
        source, output_hook=hear, timeout=120, allow_stdin=False
    )
    return "".join(heard)


def test_start_interrupt_restart_and_shutdown_as_jupyterlab_does_them(
    tmp_path: Path,
) -> None:
    pids: list[int] = []

    async def story(manager: Any, client: Any) -> None:
        assert isinstance(manager.provisioner.process, ForkedProcess)
        assert await say(client, "import os; x = 1; print(os.getcwd())") == f"{tmp_path}\n"
        pids.append(manager.provisioner.pid)
        asyncio.get_running_loop().call_later(
            0.5, asyncio.ensure_future, manager.interrupt_kernel()
        )
        assert "KeyboardInterrupt" in await say(client, "import time; time.sleep(600)")
        key, ports = manager.session.key, dict(manager.get_connection_info())
        await manager.restart_kernel()
        pids.append(manager.provisioner.pid)
        assert (manager.session.key, dict(manager.get_connection_info())) == (key, ports)
        await client.wait_for_ready(timeout=30)  # the same client, at the same address
        assert await say(client, "print('x' in dir())") == "False\n"
        assert await manager.is_alive()
        wish = f"import atexit; atexit.register(lambda: open({str(tmp_path / 'w')!r}, 'w').write('x'))"
        await say(client, wish)
        folder = Path(manager.get_connection_info()["ip"]).parent
        await manager.shutdown_kernel()
        assert not folder.exists()
        assert not await manager.is_alive()

    managed(story, cwd=str(tmp_path))
    assert (tmp_path / "w").read_text() == "x"
    assert len(set(pids)) == 2
    assert all(is_gone(pid) for pid in pids)


def test_a_kernel_that_dies_is_seen_dead(tmp_path: Path) -> None:
    async def story(manager: Any, client: Any) -> None:
        client.execute("import os; os._exit(3)")
        process = manager.provisioner.process
        assert await manager.provisioner.wait() == 3
        assert process.poll() == 3
        assert not await manager.is_alive()

    managed(story)


def test_what_the_notebook_imports_is_there_ahead_when_jupyterlab_names_it(
    tmp_path: Path,
) -> None:
    path = save(tmp_path / "nb.ipynb", code("import numpy"))

    async def story(manager: Any, client: Any) -> None:
        assert await say(
            client, "import sys; print('numpy' in sys.modules, __session__)"
        ) == (f"True {path}\n")

    managed(story, env={**os.environ, "JPY_SESSION_NAME": str(path)}, cwd=str(tmp_path))


def test_where_it_may_not_be_forked_jupyters_own_way_is_gone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(kernel_forked.ENV_FORKED, "off")
    caplog.set_level("INFO", logger="mlflowkit.notebooks")

    async def story(manager: Any, client: Any) -> None:
        assert not isinstance(manager.provisioner.process, ForkedProcess)
        assert await say(client, "print(6 * 7)") == "42\n"
        monkeypatch.setenv(kernel_forked.ENV_FORKED, "on")

    managed(story)
    assert "MLFLOWKIT_FORKED_KERNELS says so" in caplog.text


def test_a_held_kernel_is_attached_and_lives_on(tmp_path: Path) -> None:
    server = kernel_client.connect()
    with (tmp_path / "log").open("wb") as log:
        lent = server.start(order(), log.fileno(), log.fileno())
    held = server.hold(lent, 120, {})
    lent.close()

    async def story(manager: Any, client: Any) -> None:
        assert manager.provisioner.pid == lent.pid
        assert await say(client, "import os; x = 41; print(os.getpid())") == f"{lent.pid}\n"
        manager.provisioner.process = None  # the window is closed, not the kernel ended

    managed(story, env={**os.environ, provisioner.ENV_ATTACH: held})
    assert psutil.pid_exists(lent.pid)
    assert server.release(held)
    wait_until(lambda: is_gone(lent.pid), "it was not ended")


def test_plain_papermill_runs_on_forked_kernels(tmp_path: Path) -> None:
    import papermill

    source = "import os\nprint(os.environ.get('HOME') is not None, os.readlink(f'/proc/{os.getppid()}/exe') != '', os.getpgrp() == os.getpid())"
    path = save(tmp_path / "nb.ipynb", code("x = 1", "parameters"), code(source), code("x"))
    papermill.execute_notebook(
        path,
        tmp_path / "out.ipynb",
        parameters={"x": 5},
        kernel_name="mlflowkit",
        progress_bar=False,
    )
    written = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert written.cells[-1].outputs[0].data["text/plain"] == "5"
    assert written.cells[-2].outputs[0].text == "True True True\n"


def test_signals_of_a_dead_kernel_hurt_nobody(tmp_path: Path) -> None:
    async def story(manager: Any, client: Any) -> None:
        os.kill(manager.provisioner.pid, signal.SIGKILL)
        assert await manager.provisioner.wait() == -signal.SIGKILL

    managed(story)
