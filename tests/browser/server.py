"""A plain page with the run viewer, and a small server behind it: no Jupyter.

Listens on a free port of 127.0.0.1, wants a token with every request, and hands requests of
the page to the `RunFeed`s that it was given.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from mlflowkit.errors import MlflowkitError
from mlflowkit.view import CSS, module_text

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>run viewer</title>
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/run_view.css?token={token}">
<style>body {{ margin: 12px; font-family: system-ui; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #101216; }} }}</style></head>
<body><div id="view"></div>
<script type="module">
import {{ mount }} from "/run_view.js?token={token}";
const source = {{
  async request(kind, payload) {{
    window.requests = (window.requests || 0) + 1;
    const body = JSON.stringify({{ kind, payload }});
    const answer = await fetch("/request?token={token}&feed={feed}", {{ method: "POST", body }});
    const found = await answer.json();
    if (found.error) throw new Error(found.error);
    return found.ok;
  }},
}};
window.source = source;
window.mountView = mount;
window.opened = [];
window.view = mount(document.getElementById("view"), source, {{
  every: 150, open: (path) => window.opened.push(path),
}});
</script></body></html>
"""


class Feed(Protocol):
    """What the page asks."""

    def request(self, kind: str, payload: Mapping[str, Any]) -> dict[str, Any]: ...


class ViewServer:
    """Feeds by name, each with a page of its own."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(16)
        self.feeds: dict[str, Feed] = {}
        #: Requests in order: (kind, payload).
        self.asked: list[tuple[str, dict[str, Any]]] = []
        #: While it is set, "act" waits: a kernel that is busy.
        self.busy = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True

    def page(self, feed: str) -> str:
        """Where the page of a feed is."""
        port = self._http.server_address[1]
        return f"http://127.0.0.1:{port}/?token={self.token}&feed={feed}"

    def __enter__(self) -> ViewServer:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.busy.clear()
        self._http.shutdown()
        self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                asked = urlsplit(self.path)
                given = parse_qs(asked.query)
                if given.get("token") != [server.token]:
                    self.tell(HTTPStatus.FORBIDDEN, b"", "text/plain")
                elif asked.path == "/":
                    page = PAGE.format(token=server.token, feed=given["feed"][0])
                    self.tell(HTTPStatus.OK, page.encode(), "text/html; charset=utf-8")
                elif asked.path == "/run_view.js":
                    self.tell(HTTPStatus.OK, module_text().encode(), "text/javascript")
                elif asked.path == "/run_view.css":
                    self.tell(HTTPStatus.OK, CSS.read_bytes(), "text/css")
                else:
                    self.tell(HTTPStatus.NOT_FOUND, b"", "text/plain")

            def do_POST(self) -> None:
                given = parse_qs(urlsplit(self.path).query)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if given.get("token") != [server.token]:
                    self.tell(HTTPStatus.FORBIDDEN, b"", "text/plain")
                    return
                answer = server.answer(given["feed"][0], json.loads(body))
                self.tell(HTTPStatus.OK, json.dumps(answer).encode(), "application/json")

            def tell(self, status: HTTPStatus, body: bytes, kind: str) -> None:
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the page was left

        return Handler

    def answer(self, feed: str, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((asked["kind"], asked["payload"]))
        if asked["kind"] == "act" and self.busy.is_set():
            while self.busy.is_set():
                threading.Event().wait(0.02)
        try:
            return {"ok": self.feeds[feed].request(asked["kind"], asked["payload"])}
        except MlflowkitError as exc:
            return {"error": str(exc), "code": exc.code}


@contextmanager
def serving() -> Iterator[ViewServer]:
    with ViewServer() as server:
        yield server
