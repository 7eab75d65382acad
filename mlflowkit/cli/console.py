"""The two streams of a terminal: results on standard output, the rest on standard error."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def console(*, stderr: bool = False) -> Console:
    """A console. Where nobody looks, lines are as long as they are."""
    from rich.console import Console

    made = Console(stderr=stderr)
    if not made.is_terminal:
        made.width = max(made.width, 200)
    return made


def print_json(value: Any) -> None:
    """One JSON object on standard output."""
    sys.stdout.write(json.dumps(value, indent=None, default=str) + "\n")
    sys.stdout.flush()


def say(line: str, *, stderr: bool = False) -> None:
    """A plain line."""
    print(line, file=sys.stderr if stderr else sys.stdout, flush=True)
