"""Ports on loopback: which are free, and which somebody listens on."""

from __future__ import annotations

import socket
from random import SystemRandom
from typing import Final

from mlflowkit.errors import S3ServerFailed

#: SeaweedFS takes a second port, this much above each of its own, for gRPC.
_GRPC_OFFSET: Final = 10_000
_LOWEST, _HIGHEST = 20_000, 32_000


def free_port() -> int:
    """A port that is free now, together with the one 10,000 above it.

    Raises:
        S3ServerFailed: none was found.
    """
    random = SystemRandom()
    for _ in range(200):
        port = random.randrange(_LOWEST, _HIGHEST)
        if is_free(port) and is_free(port + _GRPC_OFFSET):
            return port
    raise S3ServerFailed(f"no port is free between {_LOWEST} and {_HIGHEST}", "(none)", "")


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def listens(port: int) -> bool:
    """Whether somebody listens on this port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
