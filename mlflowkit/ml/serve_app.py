"""The HTTP face of one model: `/predict`, `/healthz`, `/readyz`, `/metrics`.

Every answer that is not an image's class is JSON of one shape: `{"error": {"code", "message"}}`.
The event loop only moves bytes; decoding and inference happen in `ServerState.pool`, so
the health of the process can be asked while the model is at work.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

try:
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse, PlainTextResponse, Response
    from starlette.exceptions import HTTPException
    from starlette.formparsers import MultiPartException
    from starlette.requests import ClientDisconnect
    from starlette.types import ASGIApp
except ImportError as exc:
    from mlflowkit.errors import MissingExtra

    raise MissingExtra("fastapi", "serve", "serving a model") from exc

from mlflowkit.errors import BrokenImage, TooManyPixels
from mlflowkit.ml.predictor import Predictor
from mlflowkit.ml.serve_limits import Counted, Limited, Limits, Problem
from mlflowkit.ml.serve_metrics import CONTENT_TYPE, Metrics

log = logging.getLogger("mlflowkit.serve")


@dataclass(slots=True)
class ServerState:
    """What the routes look at. The event loop's thread alone changes it."""

    limits: Limits = field(default_factory=Limits)
    workers: int = 1
    name: str = "model"
    predictor: Predictor | None = None
    draining: bool = False
    is_open: bool = True
    at_work: int = 0
    metrics: Metrics = field(default_factory=Metrics)
    pool: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self.pool = ThreadPoolExecutor(self.workers, thread_name_prefix="predict")

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here."""
        return self.predictor is not None and not self.draining


def create_app(state: ServerState) -> ASGIApp:
    """The server's application: routes inside limits inside metrics."""
    app = FastAPI(title="mlflowkit model server", docs_url=None, redoc_url=None)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_bug)
    _add_health(app, state)
    _add_predict(app, state)
    return Counted(Limited(app, state.limits), state.metrics)


def _add_health(app: FastAPI, state: ServerState) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, bool]:
        """The process is alive."""
        return {"alive": True}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        """Whether the model is loaded; 503 until then, and while the server drains."""
        version = state.predictor.card.version if state.predictor else None
        facts = {"ready": state.ready, "model": version, "open": state.is_open}
        return JSONResponse(facts, 200 if state.ready else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Counters for Prometheus."""
        text = state.metrics.text(ready=state.ready, info=_info(state))
        return PlainTextResponse(text, media_type=CONTENT_TYPE)


def _info(state: ServerState) -> dict[str, str]:
    if state.predictor is None:
        return {}
    predictor = state.predictor
    return {
        "name": state.name,
        "version": predictor.card.version,
        "arch": predictor.card.arch,
    }


_IMAGE = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": _IMAGE["schema"]},
}
_REQUEST_BODY = {"content": {"image/*": _IMAGE, "multipart/form-data": {"schema": _FORM}}}


def _add_predict(app: FastAPI, state: ServerState) -> None:
    @app.post("/predict", openapi_extra={"requestBody": _REQUEST_BODY})
    async def predict(request: Request) -> JSONResponse:
        """Classify one image, sent as the body (`image/*`) or as the form field `file`."""
        predictor = state.predictor
        if predictor is None:
            raise Problem(
                503, "not_ready", "the model is still loading.", {"Retry-After": "2"}
            )
        image = await _image_of(request, state.limits)
        if state.at_work >= state.limits.waiting:
            raise Problem(503, "busy", "too many images are waiting.", {"Retry-After": "1"})
        return JSONResponse(await _predicted(state, predictor, image))


async def _predicted(
    state: ServerState, predictor: Predictor, image: bytes
) -> dict[str, Any]:
    state.at_work += 1
    try:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(state.pool, predictor.predict, image)
    except BrokenImage as exc:
        unreadable = f"the image cannot be read: {exc.reason}"
        raise Problem(422, exc.code, unreadable) from exc
    except TooManyPixels as exc:
        raise Problem(413, exc.code, str(exc)) from exc
    finally:
        state.at_work -= 1
    return {
        "class": found.label,
        "probability": found.probability,
        "probabilities": found.probabilities,
        "model": predictor.card.version,
    }


async def _image_of(request: Request, limits: Limits) -> bytes:
    """The bytes of the image in a request, however it was sent."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    try:
        async with asyncio.timeout(limits.body_seconds):
            if kind == "multipart/form-data":
                image = await _form_file(request)
            elif kind.startswith("image/") or kind in ("application/octet-stream", ""):
                image = await request.body()
            else:
                raise Problem(415, "unsupported_media_type", _media_type_hint(kind))
    except TimeoutError as exc:
        late = f"the body did not arrive within {limits.body_seconds:g} s."
        raise Problem(408, "too_slow", late, {"Connection": "close"}) from exc
    except ClientDisconnect as exc:
        raise Problem(400, "disconnected", "the client went away.") from exc
    if not image:
        raise Problem(422, "broken_image", "the request holds no bytes of an image.")
    return image


async def _form_file(request: Request) -> bytes:
    try:
        async with request.form(max_files=1, max_fields=8) as form:
            part = form.get("file")
            if part is None or isinstance(part, str):
                raise Problem(
                    422, "no_file", "the form has no file in a field named 'file'."
                )
            return await part.read()
    except (MultiPartException, HTTPException) as exc:
        said = getattr(exc, "message", None) or getattr(exc, "detail", str(exc))
        raise Problem(422, "broken_form", f"the form cannot be read: {said}") from exc


def _media_type_hint(kind: str) -> str:
    return (
        f"cannot take {kind!r}. Send the image as the body with its type (curl --data-binary "
        "@x.png -H 'Content-Type: image/png') or as a form (curl -F file=@x.png)."
    )


async def _on_problem(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, Problem)
    return exc.answer()


async def _on_http_exception(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed"}
    message = f"{exc.detail}: {request.method} {request.url.path}"
    headers = dict(exc.headers) if exc.headers else None
    return Problem(
        exc.status_code, codes.get(exc.status_code, "http"), message, headers
    ).answer()


async def _on_bug(_: Request, exc: Exception) -> Response:
    # Starlette raises it again after this answer, and uvicorn logs the traceback.
    return Problem(500, "internal", f"the server failed ({type(exc).__name__}).").answer()
