"""A parameter of a notebook as it is typed in a terminal: `-p day=2026-02-01`.

The annotation decides what a text means; without one it is JSON where it can be. Never
evaluates anything.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from mlflowkit.nbrun.parameters import NotebookParameter, takes

_MAKERS: Final[tuple[Callable[[str], object], ...]] = (
    date.fromisoformat,
    datetime.fromisoformat,
    time.fromisoformat,
    Decimal,
    Fraction,
    complex,
    UUID,
    Path,
)


def from_text(parameter: NotebookParameter | None, text: str) -> object:
    """What a person means who types `text` for this parameter.

    Where nothing fits it is the nearest guess, which the check of parameters will refuse.

    Args:
        parameter: None: the notebook has none of that name.
    """
    plain = _json(text)
    if parameter is None:
        return plain
    if parameter.annotation == "str":
        return text
    made = _made(text, plain) if parameter.annotation else ()
    for value in (plain, text, *_literal(text), *made):
        if takes(parameter, value):
            return value
    return plain


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _literal(text: str) -> list[object]:
    """As Python writes it: `True`, `None`, `(1, 2)`."""
    try:
        return [ast.literal_eval(text)]
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return []


def _made(text: str, plain: object) -> Iterator[object]:
    """What else a text may stand for where a type asks for it."""
    if isinstance(plain, list):
        yield tuple(plain)
        yield from _sets(plain)
    for make in _MAKERS:
        try:
            yield make(text)
        except (ValueError, ArithmeticError):
            continue


def _sets(items: list[Any]) -> Iterator[object]:
    try:
        yield from (set(items), frozenset(items))
    except TypeError:  # lists in it
        return
