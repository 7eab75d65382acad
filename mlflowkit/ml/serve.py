"""Serve one model over HTTP: `python -m mlflowkit.ml.serve --model URI`.

Listens on loopback unless told otherwise, and has no password: what reaches the port may
ask. With `--gated` (used by `deploy`) it answers on a private loopback port only, until
SIGUSR1 opens the public one. SIGTERM lets what is being answered end, then exits with 0.

Exit codes: 0 asked to stop, 1 the model cannot be loaded, 2 bad arguments, 4 port in use,
5 gated and never opened.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflowkit.errors import MissingExtra, PortInUse, UserError
from mlflowkit.ml.sockets import LOOPBACK, listening_socket, url_of

if TYPE_CHECKING:
    from mlflowkit.ml.predictor import Predictor
    from mlflowkit.ml.serve_app import ServerState

EXIT_LOAD, EXIT_PORT, EXIT_SHUT = 1, 4, 5
_GRACE_S = 20
_BACKLOG = 512

log = logging.getLogger("mlflowkit.serve")


def arguments() -> argparse.ArgumentParser:
    """The server's command line."""
    parser = argparse.ArgumentParser(
        prog="python -m mlflowkit.ml.serve", description="Serve one model over HTTP."
    )
    add = parser.add_argument
    add(
        "--model",
        required=True,
        help="s3://... of a version or its `latest`, or a local folder",
    )
    add("--connection", default="aws_default", help="connection that S3 is read with")
    add("--cache", type=Path, help="folder that models are kept in")
    add("--host", default=LOOPBACK, help="address to listen on (default: loopback only)")
    add("--port", type=int, default=8080, help="0 takes a free one")
    add("--name", default="model", help="what the metrics call this server")
    add("--threads", type=int, help="threads that one inference uses")
    add("--workers", type=int, default=1, help="inferences at a time")
    add("--max-waiting", type=int, default=64, help="images that may wait; then 503")
    add("--max-bytes", type=int, default=10 * 2**20, help="largest body; then 413")
    add("--max-pixels", type=int, default=50_000_000, help="largest image; then 413")
    add(
        "--drain-seconds",
        type=float,
        default=0,
        help="go on answering so long after SIGTERM",
    )
    add("--address-file", type=Path, help="written as soon as the server listens (JSON)")
    add(
        "--gated",
        type=float,
        metavar="S",
        help="keep the port shut until SIGUSR1; at most so long",
    )
    return parser


@dataclass(slots=True)
class _Running:
    """One server process: its sockets, its state, and the way to its end."""

    options: argparse.Namespace
    state: ServerState
    public: socket.socket
    private: socket.socket | None
    opened: asyncio.Event
    servers: list[Any]
    code: int = 0

    def stop(self) -> None:
        """Take no more connections; end when the last answer is out."""
        for server in self.servers:
            server.should_exit = True
        self.opened.set()

    def fail(self, code: int) -> None:
        """Stop, with this exit code."""
        self.code = code
        self.stop()

    def still_shut(self) -> None:
        """Whoever started this server has forgotten it, or died: do not stay behind."""
        if not self.opened.is_set():
            log.error("nobody opened the public port within %g s", self.options.gated)
            self.fail(EXIT_SHUT)

    def asked_to_stop(self) -> None:
        """SIGTERM: drain, then stop. The second one stops at once."""
        seconds = self.options.drain_seconds
        if self.state.draining or not seconds or self.state.predictor is None:
            self.state.draining = True
            self.stop()
            return
        log.info("draining for %g s", seconds)
        self.state.draining = True
        asyncio.get_running_loop().call_later(seconds, self.stop)

    def loaded(self, predictor: Predictor | None) -> None:
        """The model is there, or it never will be (None)."""
        if predictor is None:
            self.fail(EXIT_LOAD)
            return
        self.state.predictor = predictor
        log.info("ready: model %s (%s)", predictor.card.version, predictor.card.arch)


async def serve(options: argparse.Namespace, public: socket.socket) -> int:
    """Serve until a signal says stop; gives the exit code."""
    from mlflowkit.ml.serve_app import ServerState, create_app
    from mlflowkit.ml.serve_limits import Limits

    limits = Limits(options.max_bytes, options.max_pixels, waiting=options.max_waiting)
    state = ServerState(limits, options.workers, options.name, is_open=not options.gated)
    private = listening_socket(LOOPBACK, 0) if options.gated is not None else None
    running = _Running(options, state, public, private, asyncio.Event(), [])
    app = create_app(state)
    _on_signals(running)
    _load_in_background(running, asyncio.get_running_loop())
    first = _server(app)
    running.servers.append(first)
    work = [first.serve(sockets=[private or public])]
    if private is not None:
        work.append(_serve_when_opened(running, app))
        asyncio.get_running_loop().call_later(options.gated, running.still_shut)
    _announce(running)
    await asyncio.gather(*work)
    state.pool.shutdown(wait=False, cancel_futures=True)
    return running.code


async def _serve_when_opened(running: _Running, app: Any) -> None:
    await running.opened.wait()
    if running.servers[0].should_exit:
        running.public.close()
        return
    try:
        running.public.listen(_BACKLOG)
    except OSError:
        log.exception("the public port cannot be opened")
        running.fail(EXIT_PORT)
        return
    second = _server(app)
    running.servers.append(second)
    running.state.is_open = True
    await second.serve(sockets=[running.public])


def _server(app: Any) -> Any:
    try:
        import uvicorn
    except ImportError as exc:
        raise MissingExtra("uvicorn", "serve", "serving a model") from exc

    class Server(uvicorn.Server):
        """uvicorn without its own signal handlers: two servers share this process's."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    config = uvicorn.Config(
        app,
        http="h11",
        loop="asyncio",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        backlog=_BACKLOG,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    return Server(config)


def _on_signals(running: _Running) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.asked_to_stop)
    loop.add_signal_handler(signal.SIGUSR1, running.opened.set)


def _load_in_background(running: _Running, loop: asyncio.AbstractEventLoop) -> None:
    def load() -> None:
        predictor = None
        try:
            predictor = _load(running.options)
        except UserError as exc:
            log.error("the model cannot be loaded: %s", exc)
        finally:
            # Anything unforeseen: threading prints its traceback, and the server ends.
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(running.loaded, predictor)

    # A daemon: a long download must not hold up SIGTERM.
    threading.Thread(target=load, name="load", daemon=True).start()


def _load(options: argparse.Namespace) -> Predictor:
    from mlflowkit.ml.predictor import load_predictor

    return load_predictor(
        options.model,
        connection=options.connection,
        cache=options.cache,
        threads=options.threads,
        max_pixels=options.max_pixels,
    )


def _announce(running: _Running) -> None:
    """Say where the server listens; through a file for a program that started it."""
    port = running.public.getsockname()[1]
    facts: dict[str, Any] = {
        "pid": os.getpid(),
        "url": url_of(running.options.host, port),
    }
    facts["check"] = facts["url"]
    # Whoever reads the file may connect at once: the system queues it until we accept.
    (running.private or running.public).listen(_BACKLOG)
    if running.private is not None:
        facts["check"] = url_of(LOOPBACK, running.private.getsockname()[1])
    log.info("%s at %s", "gated" if running.private else "listening", facts["url"])
    file: Path | None = running.options.address_file
    if file is not None:
        half = file.with_suffix(".part")
        half.write_text(json.dumps(facts))
        half.replace(file)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server; gives its exit code."""
    options = arguments().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    try:
        public = listening_socket(
            options.host, options.port, shared=options.gated is not None
        )
    except PortInUse as exc:
        log.error("%s", exc)
        return EXIT_PORT
    except OSError as exc:
        log.error("cannot listen on %s:%s: %s", options.host, options.port, exc)
        return 2
    try:
        return asyncio.run(serve(options, public))
    except UserError as exc:
        log.error("%s", exc)
        return 2


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # The thread that loads may be in the middle of importing torch; it cannot be unwound.
    os._exit(code)
