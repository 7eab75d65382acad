"""What decides what a notebook does: its cells, tags and kernel; never its outputs."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def notebook_digest(content: bytes) -> str:
    """A hash that stays when only outputs, counts or editor metadata change."""
    try:
        notebook: dict[str, Any] = json.loads(content)
        cells = [
            (
                cell["cell_type"],
                "".join(cell["source"]),
                cell["metadata"].get("tags", []),
            )
            for cell in notebook["cells"]
        ]
        kernel = notebook["metadata"].get("kernelspec", {}).get("name", "")
        content = json.dumps([cells, kernel]).encode()
    except (ValueError, KeyError, TypeError, AttributeError):
        pass  # not a notebook of the form we know: its bytes say what it is
    return hashlib.sha256(content).hexdigest()
