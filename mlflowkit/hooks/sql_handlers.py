"""What becomes of a cursor after a statement. Loads no library, so that operators can name it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def fetch_all_handler(cursor: Any) -> list[tuple[Any, ...]] | None:
    """All rows of a statement that gives rows; None of one that gives none."""
    return list(cursor.fetchall()) if cursor.description is not None else None


def fetch_one_handler(cursor: Any) -> Any:
    """The first row of a statement that gives rows; None of one that gives none."""
    return cursor.fetchone() if cursor.description is not None else None


def return_single_query_results(
    sql: str | Iterable[str], return_last: bool, split_statements: bool | None
) -> bool:
    """Whether `run` gives the result of one statement, rather than a list of results."""
    return isinstance(sql, str) and (return_last or not split_statements)
