"""What stands around the model server's routes: limits, counters, and the shape of an error.

Plain ASGI: it sees bytes and headers, never an image or a model.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

try:
    from fastapi.responses import JSONResponse
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
except ImportError as exc:
    from mlflowkit.errors import MissingExtra

    raise MissingExtra("fastapi", "serve", "serving a model") from exc

from mlflowkit.ml.serve_metrics import Metrics

PATHS = frozenset({"/predict", "/healthz", "/readyz", "/metrics", "/openapi.json"})
_DRAIN_BYTES = 64 * 2**20
_DRAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one server takes. Beyond it: 413 for size, 408 for time, 503 for number."""

    body_bytes: int = 10 * 2**20
    pixels: int = 50_000_000
    body_seconds: float = 30.0
    waiting: int = 64


class Problem(Exception):
    """A request that is answered with an error."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status, self.code, self.message, self.headers = (
            status,
            code,
            message,
            headers,
        )
        super().__init__(message)

    def answer(self) -> JSONResponse:
        """The JSON that says so."""
        body = {"error": {"code": self.code, "message": self.message}}
        return JSONResponse(body, self.status, self.headers)


class BodyTooLarge(Problem):
    """More bytes than `Limits.body_bytes`."""

    def __init__(self, most: int) -> None:
        message = f"the body is larger than {most:,} bytes. Send a smaller image."
        super().__init__(413, "body_too_large", message, {"Connection": "close"})


class Limited:
    """Ends a request whose body is too large, by its header or while it comes in."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app, self.most = app, limits.body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {k: v for k, v in scope["headers"] if k in (b"content-length", b"expect")}
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.most:
            if b"expect" not in headers:  # else the client has not begun to send
                await _drain(receive)
            await BodyTooLarge(self.most).answer()(scope, receive, send)
            return
        await self.app(scope, self._counting(receive), send)

    def _counting(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.most:
                if message.get("more_body"):
                    await _drain(receive)
                raise BodyTooLarge(self.most)
            return message

        return counted


async def _drain(receive: Receive) -> None:
    """Read on for a while and forget it: a client that is still sending would not see the answer."""
    left = _DRAIN_BYTES
    try:
        async with asyncio.timeout(_DRAIN_S):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
    except TimeoutError:
        return


class Counted:
    """Counts every request: how many are being answered, with which status, how long it took."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, started = 500, time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        path = scope["path"] if scope["path"] in PATHS else "other"
        self.metrics.in_flight += 1
        try:
            await self.app(scope, receive, watched)
        finally:
            self.metrics.in_flight -= 1
            self.metrics.observe(path, status, time.perf_counter() - started)
