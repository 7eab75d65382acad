"""papermill's own command, with one fault of its channels mended: `peer.py IN OUT …`.

A message that is sent on a channel takes away the wake-up of a reply that has just come in;
where an Output widget sends while a cell runs, papermill then waits without end (seen in
every second run on a busy machine). Here each sending looks again for what has come in.
"""

from __future__ import annotations

import signal
from typing import Any

from jupyter_client.channels import AsyncZMQSocketChannel

from mlflowkit.late_imports import while_importing

with while_importing():
    from papermill.cli import papermill

_send = AsyncZMQSocketChannel.send


def send_and_look(self: AsyncZMQSocketChannel, msg: dict[str, Any]) -> None:
    """In place of a channel's `send`."""
    _send(self, msg)
    look: Any = self.socket
    look._schedule_remaining_events()


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run below `nohup`
    AsyncZMQSocketChannel.send = send_and_look  # type: ignore[method-assign,assignment]
    papermill()
