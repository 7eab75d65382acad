"""A forked kernel: set up ahead of time, then handed over to whoever needs one.

Everything that a cold `python -m ipykernel_launcher` would show to a cell looks the same
here: arguments, search path, signals, streams, random state, working folder, environment.
Runs in the fork only; nothing here is for other processes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from mlflowkit.nbrun import import_ahead, kernel_pages, kernel_shell
from mlflowkit.nbrun.kernel_ending import Serving
from mlflowkit.nbrun.kernel_wire import Wire
from mlflowkit.worker import processes

_PORTS: Final = ("shell_port", "stdin_port", "control_port", "iopub_port", "hb_port")


def live(
    keeper: int,
    order: dict[str, Any],
    hand_over: int,
    bell: socket.socket,
    prefix: Any = None,
) -> NoReturn:
    """The life of a kernel, from the fork to its end.

    Args:
        keeper: Pid of its parent; it dies with it.
        order: `folder` for its sockets, `args` of its command line, and `late`: whether
            it is set up only after it was handed over.
        hand_over: Descriptor of the link over which it is handed over.
        bell: Rung when it is to end in an orderly way; see `kernel_ending`.
        prefix: What it has beyond imports: see `prefix.process`.
    """
    status = 1
    try:
        processes.die_with_parent(keeper)
        _own_process(anew=prefix is None)
        wire = Wire(socket.socket(fileno=hand_over))
        begin = None
        if order["late"]:
            begin, files = wire.receive()
            _surround(begin, files)
        key = begin["key"] if begin else ""
        if prefix is not None:
            prefix.before()
        app = _set_up(Path(order["folder"]), order["args"], key)
        if prefix is not None:
            prefix.after(app)
        elif begin is None:
            _warm_up(app)
            kernel_pages.copy_ahead()
        if begin is not None:
            _for_a_task(begin)
            wire.send(_facts(app))
        else:
            wire.send(_facts(app))
            begin, files = wire.receive()
            _surround(begin, files, app)
            _for_a_task(begin)
            wire.send({"begun": True})
        wire.close()
        status = Serving(app, bell, order["folder"]).run()
    except EOFError:
        status = 0  # nobody wanted it
    except BaseException:  # noqa: BLE001 - told in its log; it is a fork and must end here
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(status)


def _own_process(*, anew: bool) -> None:
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None:
        multiprocessing.current_process().authkey = os.urandom(32)
    if anew:
        _reseed()


def _reseed() -> None:
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.default_generator.seed()


def _set_up(folder: Path, args: list[str], key: str) -> Any:
    """What `ipykernel_launcher` does up to its event loop."""
    import ipykernel_launcher  # type: ignore[import-untyped]  # no stubs
    from ipykernel.kernelapp import IPKernelApp  # type: ignore[import-untyped,unused-ignore]

    connection = folder / "connection.json"
    facts = {
        "transport": "ipc",
        "ip": str(folder / "s"),
        "key": key or os.urandom(32).hex(),
        "signature_scheme": "hmac-sha256",
        "kernel_name": "",
        **{name: at for at, name in enumerate(_PORTS, 1)},
    }
    fd = os.open(connection, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(facts, file)
    if kernel_shell.is_made():
        app = kernel_shell.take(connection, args)
    else:
        sys.argv = [str(ipykernel_launcher.__file__), "-f", str(connection), *args]
        app = IPKernelApp.instance(parent_handle=1)  # it watches no parent, says no hints
        app.initialize(sys.argv[1:])  # type: ignore[no-untyped-call]
    import_ahead.streams_are_the_cells()
    import_ahead.filters_are_in_order()
    _quick_shutdown(app.kernel)
    _complete(app.iopub_thread)
    return app


def _warm_up(app: Any) -> None:
    """Run nothing, once, as a cell runs: what comes with a first one is then behind it.

    Nobody listens yet, and a silent execution leaves nothing behind that a cell can see.
    """
    from tornado.ioloop import IOLoop

    async def nothing() -> None:
        kernel = app.kernel
        kernel._publish_status("busy", "shell")
        await kernel.do_execute("None", True, store_history=False)
        kernel._publish_status("idle", "shell")

    IOLoop.current().run_sync(nothing)


def _for_a_task(begin: dict[str, Any]) -> None:
    """What a notebook's engine would have its kernel run before the first cell."""
    if begin.get("inside"):
        from mlflowkit.nbrun import inside, kernel_tuning

        inside.start()
        kernel_tuning.apply()


def _complete(thread: Any) -> None:
    """The thread that sends output makes a socket of its own when it needs it first: a
    cell may have used up all that may be opened by then, and its output would be lost."""
    with suppress(AttributeError):
        thread.schedule(lambda: getattr(thread, "_event_pipe", None))


def _quick_shutdown(kernel: Any) -> None:
    """ipykernel looks for the kernel's children in a slow way, even where it has none."""
    theirs = kernel._progressively_terminate_all_children

    async def only_if_any() -> None:
        if processes.children(os.getpid()):
            await theirs()

    kernel._progressively_terminate_all_children = only_if_any


def _facts(app: Any) -> dict[str, Any]:
    connection = json.loads(Path(app.abs_connection_file).read_text())
    info = {"status": "ok", **app.kernel.kernel_info}
    return {"ready": os.getpid(), "connection": connection, "info": info}


def _surround(begin: dict[str, Any], files: list[int], app: Any = None) -> None:
    """What only the one who needs the kernel knows: folder, environment, streams."""
    if begin["cwd"]:  # else it is there already
        os.chdir(begin["cwd"])
        os.umask(begin["umask"])
    os.environ.update(begin["env"])
    _on_cores(set(begin["cores"]))
    for name, fd in zip(("stdout", "stderr"), files, strict=True):
        stream = getattr(sys, name)
        kept = getattr(stream, "_original_stdstream_copy", None)
        if kept is None:
            os.dup2(fd, 1 if name == "stdout" else 2)
        else:  # ipykernel watches the descriptor itself
            os.dup2(fd, kept, inheritable=False)
        os.close(fd)
    process = sys.modules.get("multiprocessing.process")
    if process is not None and begin["cwd"]:
        process.ORIGINAL_DIR = begin["cwd"]  # type: ignore[attr-defined]
    shell = getattr(app, "shell", None)
    if shell is None:
        return
    if begin["key"]:
        app.session.key = begin["key"].encode()
        path = Path(app.abs_connection_file)
        told = json.loads(path.read_text()) | {"key": begin["key"]}
        path.write_text(json.dumps(told))
    if begin["cwd"]:
        shell.starting_dir = begin["cwd"]
        shell.user_ns["_dh"][:] = [begin["cwd"]]
    session = begin["env"].get("JPY_SESSION_NAME")
    if session:
        shell.user_ns["__session__"] = session


def _on_cores(cores: set[int]) -> None:
    """Those of whoever needs it; the template may have been made on others."""
    if os.sched_getaffinity(0) != cores:
        for task in os.listdir("/proc/self/task"):
            with suppress(OSError):
                os.sched_setaffinity(int(task), cores)
