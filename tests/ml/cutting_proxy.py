"""A proxy that looks at requests on their way, and acts when a chosen moment comes."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit


class CuttingProxy:
    """Passes bytes on to a server, and calls `cut` once, before a chosen moment.

    Args:
        endpoint: The server's URL.
        put_number: The moment is in the so-manieth PUT request.
        after_bytes: And after so many bytes of it were passed on.
        cut: Called once; nothing more is passed on from that connection.
    """

    def __init__(
        self, endpoint: str, *, put_number: int, after_bytes: int, cut: Callable[[], None]
    ) -> None:
        address = urlsplit(endpoint)
        self._server = (address.hostname, address.port)
        self._put_number, self._after_bytes, self._cut = put_number, after_bytes, cut
        self._puts = 0
        self._passed = 0
        self.was_cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server:
            ways = selectors.DefaultSelector()
            ways.register(client, selectors.EVENT_READ, server)
            ways.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in ways.select():
                    source, target = key.fileobj, key.data
                    assert isinstance(source, socket.socket)
                    data = source.recv(65536)
                    if not data or (source is client and self._moment(data)):
                        return
                    target.sendall(data)

    def _moment(self, data: bytes) -> bool:
        if data.startswith(b"PUT "):
            self._puts, self._passed = self._puts + 1, 0
        if self._puts == self._put_number and self._passed >= self._after_bytes:
            self.was_cut = True
            self._cut()
            return True
        self._passed += len(data)
        return False
