"""What a notebook's kernel asks of the task it runs in: connections, variables, and hiding.

A Unix socket in the kernel's private folder (0700): a line of JSON there, a line back.
Secrets go over it and nowhere else: not into the notebook, a file or the environment.
The worker hides what it hands over before it does.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from mlflowkit.core.connection import Connection
from mlflowkit.core.masking import looks_secret
from mlflowkit.errors import EngineRefused, InternalError, MlflowkitError, UserError
from mlflowkit.nbrun import kernel_log
from mlflowkit.nbrun.iofolder import ENV_FOLDER
from mlflowkit.ports import RunningTask, running_task
from mlflowkit.worker import masking

SOCKET: Final = "ask.sock"
#: What may be asked; everything else is refused.
QUESTIONS: Final = frozenset({"connection", "variable", "variable_set", "variable_delete"})
HIDE: Final = "hide"
GUARD: Final = "guard"
#: A kernel asks in one piece; one that is stopped in between keeps nobody else waiting for long.
_TIMEOUT_SECONDS: Final = 10.0


# ── in the kernel, and in processes that its cells start ──


def in_kernel() -> bool:
    """Whether this process belongs to a notebook that runs as a task."""
    return _socket() is not None


def _socket() -> Path | None:
    folder = os.environ.get(ENV_FOLDER)
    path = Path(folder) / SOCKET if folder else None
    return path if path is not None and path.exists() else None


def ask(what: str, **arguments: Any) -> str | None:
    """Ask the task; its answer is a text, or None.

    Raises:
        EngineRefused: it cannot be had; with the reason.
        InternalError: the task is gone.
    """
    path = _socket()
    if path is None:
        raise InternalError("the task that runs this notebook is gone")
    with socket.socket(socket.AF_UNIX) as channel, channel.makefile("rwb") as lines:
        channel.connect(str(path))
        lines.write(json.dumps({"what": what, **arguments}).encode() + b"\n")
        lines.flush()
        told = json.loads(lines.readline() or b"{}")
    if "refused" in told:
        raise EngineRefused(told["refused"], told["code"])
    if "found" not in told:
        raise InternalError(told.get("error", "the task that runs this notebook is gone"))
    found: str | None = told["found"]
    return found


#: What the task was told of secrets: another one may go on in this kernel.
_told: Final[list[dict[str, Any]]] = []


def hide(values: list[str]) -> None:
    """Tell the task of secrets that were met here. Nothing, if it is gone."""
    _remember({"what": HIDE, "values": values})
    with suppress(OSError, InternalError):
        ask(HIDE, values=values)


def guard(values: list[str], what: str) -> None:
    """Tell the task of secrets that nothing it stores may hold. Nothing, if it is gone."""
    _remember({"what": GUARD, "values": values, "name": what})
    with suppress(OSError, InternalError):
        ask(GUARD, values=values, name=what)


def _remember(told: dict[str, Any]) -> None:
    kernel_log.keep_clean()
    if told not in _told:
        _told.append(told)


def tell_again() -> None:
    """Tell another task, which this kernel works for now, of all secrets met here.

    Raises:
        InternalError, OSError: it is gone.
    """
    if _told:
        kernel_log.keep_clean()
    for each in _told:
        ask(**each)


# ── in the worker ──


@contextmanager
def answering(folder: Path) -> Generator[None, None, None]:
    """Answer the kernel whose folder this is, in a thread, for the task that runs now.

    Entered and left in the loop that waits for the kernel.
    """
    task = running_task()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / SOCKET))
    listener.listen()
    server = threading.Thread(target=_serve, args=(listener, task), daemon=True)
    import asyncio  # only where a notebook is executed, and then it is loaded already

    loop = asyncio.get_running_loop()

    def begin() -> None:  # most notebooks ask for nothing
        loop.remove_reader(listener)
        server.start()

    loop.add_reader(listener, begin)
    try:
        yield
    finally:
        loop.remove_reader(listener)
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes it
        listener.close()
        if server.ident is not None:
            server.join(timeout=5)


def _serve(listener: socket.socket, task: RunningTask | None) -> None:
    while True:
        try:
            channel, _ = listener.accept()
        except OSError:
            return  # closed: the notebook has ended
        with channel, suppress(OSError, ValueError, KeyError, TypeError):
            # A kernel that was killed hears nothing, and one that asks nonsense neither.
            channel.settimeout(_TIMEOUT_SECONDS)
            _answer_one(channel, task)


def _answer_one(channel: socket.socket, task: RunningTask | None) -> None:
    with channel.makefile("rwb") as lines:
        asked = json.loads(lines.readline() or b"{}")
        lines.write(json.dumps(_answer(asked, task)).encode() + b"\n")
        lines.flush()


def _answer(asked: dict[str, Any], task: RunningTask | None) -> dict[str, Any]:
    what = asked["what"]
    asked = {name: value for name, value in asked.items() if name != "what"}
    if what == HIDE:
        masking.hide(asked["values"], "the notebook")
        return {"found": None}
    if what == GUARD:
        masking.guard(asked["values"], asked["name"])
        return {"found": None}
    if what not in QUESTIONS:
        return {"error": f"there is no answer to {what!r} here"}
    try:
        found = task.ask(what, **asked) if task is not None else _at_home(what, asked)
    except UserError as exc:
        return {"refused": str(exc), "code": exc.code}
    except MlflowkitError as exc:
        return {"error": str(exc)}
    _hide_found(what, asked, found)
    return {"found": found}


def _at_home(what: str, asked: dict[str, Any]) -> str | None:
    """A notebook that a person runs, and no task: the store of the home is read here."""
    home_store = import_module("mlflowkit.home_store")  # by name: it is above this layer
    found: str | None = home_store.answer(what, **asked)
    return found


def _hide_found(what: str, asked: dict[str, Any], found: str | None) -> None:
    """Hidden before the kernel has it, whatever becomes of the kernel."""
    if what == "connection" and found is not None:
        conn_id = asked["conn_id"]
        secrets = Connection.from_json(conn_id, found).secrets()
        masking.hide(secrets, f"the connection {conn_id!r}")
    elif what == "variable" and found is not None and looks_secret(asked["key"]):
        masking.hide([found], f"the variable {asked['key']!r}")
    elif what == "variable_set" and looks_secret(asked["key"]):
        masking.hide([asked["value"]], f"the variable {asked['key']!r}")
