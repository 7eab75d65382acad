"""What writing a DAG took of ours: workers load it ahead, so that their tasks need not."""

from __future__ import annotations

import sys
from typing import Final

#: What a pipeline file may load of ours; and what that takes of others.
_OURS: Final = tuple(
    f"mlflowkit.{part}." for part in ("authoring", "operators", "hooks", "core")
)
_THEIRS: Final = frozenset({"croniter", "jsonschema"})


def loaded_of_ours() -> list[str]:
    """Modules that are loaded here, in the process in which the DAG was written."""
    found = [name for name in sys.modules if name.startswith(_OURS)]
    return sorted([*found, *_THEIRS.intersection(sys.modules)])
