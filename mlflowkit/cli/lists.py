"""Lists of plain facts as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """One line for each; the columns are as wide as they must be."""
    from rich.table import Table

    from mlflowkit.cli.console import console

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*(str(row[name]) for name in columns))
    console().print(table, highlight=False, markup=False)
