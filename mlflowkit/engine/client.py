"""The person's end of the engine's socket; starts an engine in the background if none is alive."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from mlflowkit.engine.commands import socket_path
from mlflowkit.engine.locks import engine_alive
from mlflowkit.errors import EngineGone, EngineRefused

START_SECONDS = 30.0


class EngineClient:
    """One connection. Commands are answered in order."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._sock: socket.socket | None = None
        self._buffer = b""

    def connect(self) -> bool:
        """Whether an engine answers."""
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(str(socket_path(self.home)))
        except OSError:
            sock.close()
            return False
        self._sock = sock
        return True

    def call(self, do: str, *, timeout: float | None = None, **arguments: Any) -> Any:
        """Ask for something, and wait for the answer.

        Raises:
            EngineRefused: the engine says why not.
            EngineGone: it died before it answered.
            TimeoutError: no answer within `timeout` seconds. The connection is closed.
        """
        if self._sock is None and not self.connect():
            raise EngineGone("it does not answer", self.home / "engine.log")
        assert self._sock is not None
        self._sock.settimeout(timeout)
        try:
            self._sock.sendall(msgspec.json.encode({"do": do, **arguments}) + b"\n")
            answer = self._line()
        except TimeoutError:
            self.close()
            raise
        except OSError as exc:
            self.close()
            raise EngineGone(str(exc), self.home / "engine.log") from exc
        if "error" in answer:
            raise EngineRefused(answer["error"], answer.get("code", "error"))
        return answer["ok"]

    def _line(self) -> dict[str, Any]:
        assert self._sock is not None
        while b"\n" not in self._buffer:
            data = self._sock.recv(1 << 20)
            if not data:
                raise ConnectionError("it closed the connection")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return msgspec.json.decode(line, type=dict[str, Any])

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
        self._sock, self._buffer = None, b""


def ensure_engine(home: Path) -> EngineClient:
    """A connection to the home's engine, which is started in the background if need be.

    Raises:
        EngineGone: it did not start; the message says where its log is.
    """
    client = EngineClient(home)
    log = home / "engine.log"
    process: subprocess.Popen[bytes] | None = None
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if _answers(client):
            return client
        if process is None and not engine_alive(home):
            process = _start(home, log)
        if process is not None and process.poll() is not None and not engine_alive(home):
            if process.returncode:
                raise EngineGone(f"it ended at once with status {process.returncode}", log)
            process = None  # it left the home to another one, which is gone, too
        time.sleep(0.01)
    raise EngineGone(f"it did not answer within {START_SECONDS:.0f} s", log)


def _answers(client: EngineClient) -> bool:
    """Whether an engine is there that does not end for want of work before it is asked more."""
    if not client.connect():
        return False
    try:
        client.call("ping", timeout=START_SECONDS)
    except (EngineGone, TimeoutError):
        return False
    return True


def _start(home: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "mlflowkit.app", "--home", str(home)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=home,
            env=os.environ.copy(),
            start_new_session=True,
        )
