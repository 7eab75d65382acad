"""TCP addresses of model servers: bound, told, and refused by name when they are taken."""

from __future__ import annotations

import errno
import socket

from mlflowkit.errors import PortInUse

LOOPBACK = "127.0.0.1"


def listening_socket(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A TCP socket bound to an address, not listening yet.

    Args:
        host: A name or an address, IPv4 or IPv6.
        port: 0 takes a free one.
        shared: Let the server that this one follows keep the port until it ends.

    Raises:
        PortInUse: somebody else has the port.
    """
    family, kind, proto, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, proto)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind(address)
    except OSError as exc:
        sock.close()
        if exc.errno == errno.EADDRINUSE:
            raise PortInUse(host, port) from exc
        raise
    return sock


def url_of(host: str, port: int) -> str:
    """`http://host:port`, with an IPv6 address in brackets, and a wildcard as loopback."""
    shown = {"0.0.0.0": LOOPBACK, "": LOOPBACK, "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
