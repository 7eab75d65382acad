"""Secrets that are typed or piped in, so that no list of processes shows them."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from mlflowkit.errors import BadSecretsFile

#: Stands for a value that is asked for.
ASKED = "-"


def given_or_asked(value: str | None, what: str) -> str | None:
    """`value`; if it is `-`, what a person types without echo, or all of standard input."""
    if value != ASKED:
        return value
    if sys.stdin.isatty():
        return getpass.getpass(f"{what}: ", stream=sys.stderr)
    return sys.stdin.read().removesuffix("\n").removesuffix("\r")


def write_private(text: str, file: str) -> None:
    """Write what may hold secrets: only its owner may read it. `-` is standard output."""
    if file == ASKED:
        sys.stdout.write(text)
        return
    path = Path(file)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, 0o600)
        with os.fdopen(fd, "w") as opened:
            os.fchmod(fd, 0o600)
            opened.write(text)
    except OSError as exc:
        raise BadSecretsFile(path, f"it cannot be written: {exc.strerror}.") from None
