"""A library is missing."""

from __future__ import annotations

from mlflowkit.errors.base import UserError


class MissingExtra(UserError):
    """A library that an optional part of mlflowkit needs is not installed."""

    code = "missing_extra"

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        self.needs, self.extra = library, extra
        super().__init__(
            f"{purpose} needs {library}, which is not installed. "
            f"Run: pip install 'mlflowkit[{extra}]'"
        )
