"""What a kernel knows of its own checkpoints, between its cells."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from mlflowkit.nbrun.checkpoint.store import Store

#: Names that the interpreter itself keeps in a namespace.
_NOT_OF_CELLS: Final = ("__builtins__", "__builtin__", "__warningregistry__")
#: Values that cells have shown.
SHOWN: Final = re.compile(r"_{1,3}|_\d+")
#: The latest of them.
SHELLS: Final = ("_", "__", "___")


@dataclass(slots=True)
class Keeper:
    """One kernel's checkpoints."""

    store: Store
    shell: Any
    always: bool
    begun: float = field(default_factory=monotonic)
    spent: float = 0.0
    #: What the latest one took from the notebook, and its cells' seconds since.
    latest: float = 0.004
    seconds: float = 0.0
    #: Processes that write, and the seconds of the cells that each one stores.
    writers: dict[int, float] = field(default_factory=dict[int, float])

    @property
    def namespace(self) -> dict[str, Any]:
        found: dict[str, Any] = self.shell.user_ns
        return found

    def names(self) -> list[str]:
        """The variables of the notebook: also `_x`, `__version__`, and a name of the
        shell (`In`, `_i7`, `exit`) that a cell has given another value."""
        hidden = self.shell.user_ns_hidden
        return [
            name
            for name, value in self.namespace.items()
            if SHOWN.fullmatch(name)
            or (name not in _NOT_OF_CELLS and hidden.get(name, self) is not value)
        ]


#: That of this kernel, once `inside.begin` was called; a held kernel may begin once more.
keepers: Final[list[Keeper]] = []


def current() -> Keeper:
    """The keeper of this kernel."""
    return keepers[-1]
