"""The JupyterLab of a home in which held kernels are opened: one, found again while it runs.

    HOME/opened/RUN-TASK.ATTEMPT   links to the folders with the copies to work in
    HOME/opened/.jupyter           its kernel specs, its log, and how it is reached (0600)

It listens on the loopback alone, with a token that stands in no command line, and ends by
itself when its pages are closed for a while.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

from mlflowkit.errors import NoHeldKernel
from mlflowkit.nbrun import held, private
from mlflowkit.nbrun.held import HeldKernel

#: It listens after this long, or it is said that it does not.
_START_SECONDS: Final = 90.0
#: One that runs answers within this.
_ANSWER_SECONDS: Final = 10.0
#: A server whose pages are closed ends by itself.
_IDLE_SECONDS: Final = 900
_FOLDER: Final = "opened"


@dataclass(frozen=True, slots=True)
class RunningLab:
    """A JupyterLab that listens."""

    pid: int
    url: str
    token: str


class HomesLab:
    """Where the JupyterLab of a home is.

    Args:
        folder: What it shows.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._own = folder, folder / ".jupyter"
        self._state = self._own / "lab.json"
        for each in (folder, self._own):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
            each.chmod(0o700)

    @classmethod
    def of(cls, kernel: HeldKernel) -> HomesLab:
        """That of a kernel's home."""
        base = Path(kernel.home) if kernel.home else private.parent()
        return cls(base / _FOLDER)

    def link_to(self, copies: Path) -> Path:
        """Have it show a folder with copies. Returns how it calls it."""
        for each in self._folder.iterdir():
            if each.is_symlink() and not each.exists():
                each.unlink(missing_ok=True)  # its run was cleaned
        run = copies.parents[1]
        name = f"{run.parent.name}-{run.name}-{copies.name}"
        with suppress(FileExistsError):
            (self._folder / name).symlink_to(copies, target_is_directory=True)
        return Path(name)

    def write_spec(self, name: str, kernel: HeldKernel) -> None:
        """A kernel spec that leads to a held kernel; those of kernels that ended go."""
        from mlflowkit.nbrun.provisioner import ENV_ATTACH, spec_of_this

        kernels = self._own / "kernels"
        place = kernels / name
        place.mkdir(parents=True, exist_ok=True)
        spec = spec_of_this(f"failed: {kernel.task}") | {"env": {ENV_ATTACH: kernel.id}}
        (place / "kernel.json").write_text(json.dumps(spec))
        alive = {one.id for one in held.held_kernels()} | {kernel.id}
        for each in kernels.glob("*/kernel.json"):
            with suppress(OSError, ValueError, KeyError):
                if json.loads(each.read_text())["env"][ENV_ATTACH] not in alive:
                    shutil.rmtree(each.parent, ignore_errors=True)

    def running_or_started(self) -> RunningLab:
        """The one that runs already, or a new one.

        Raises:
            NoHeldKernel: it is not there, or does not start.
        """
        with self._alone():
            return self._running() or self._start()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = os.open(self._own / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _running(self) -> RunningLab | None:
        try:
            known = RunningLab(**json.loads(self._state.read_text()))
            head = {"Authorization": f"token {known.token}"}
            request = urllib.request.Request(f"{known.url}api/status", headers=head)
            with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as answer:
                return known if answer.status == 200 else None
        except (OSError, ValueError, TypeError):
            return None

    def _start(self) -> RunningLab:
        token = secrets.token_urlsafe(24)
        runtime = self._own / "runtime"
        shutil.rmtree(runtime, ignore_errors=True)
        log = self._own / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                self._command(),
                env=self._environment(token, runtime),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        url = _listening(process, runtime, log)
        state = {"pid": process.pid, "url": url, "token": token}
        flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(self._state, flags, 0o600), "w") as file:
            json.dump(state, file)
        return RunningLab(process.pid, url, token)

    def _command(self) -> list[str]:
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": "0",
            "ServerApp.root_dir": str(self._folder),
            "ServerApp.open_browser": "False",
            "ServerApp.shutdown_no_activity_timeout": str(_IDLE_SECONDS),
            "MappingKernelManager.cull_idle_timeout": str(_IDLE_SECONDS),
            "KernelManager.autorestart": "False",
            "AsyncKernelManager.autorestart": "False",
        }
        argv = [sys.executable, "-m", "jupyterlab"]
        argv += [f"--{name}={value}" for name, value in options.items()]
        return argv + (["--allow-root"] if os.geteuid() == 0 else [])

    def _environment(self, token: str, runtime: Path) -> dict[str, str]:
        before = os.environ.get("JUPYTER_PATH", "")
        own = {name: v for name, v in os.environ.items() if name != "JPY_PARENT_PID"}
        return {
            **own,
            "JUPYTER_PATH": os.pathsep.join(
                [str(self._own), *([before] if before else [])]
            ),
            "JUPYTER_RUNTIME_DIR": str(runtime),
            "JUPYTER_TOKEN": token,
        }


def _listening(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    """Its address, once it listens."""
    until = monotonic() + _START_SECONDS
    path = runtime / f"jpserver-{process.pid}.json"
    while process.poll() is None and monotonic() < until:
        try:
            found: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError):
            sleep(0.05)
            continue
        return str(found["url"])
    process.kill()
    process.wait()
    last = log.read_text(errors="replace").strip().splitlines()[-1:]
    raise NoHeldKernel("", "", f"JupyterLab did not start: {' '.join(last)}")
