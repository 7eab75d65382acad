"""Changes to a Python text, node by node, that leave everything else as it was written."""

from __future__ import annotations

import ast
import json
from typing import Final

_LINE: Final = 70


class Edits:
    """Changes to `text`. Inner nodes are to be changed before those around them."""

    def __init__(self, text: str) -> None:
        self._data = text.encode()
        self._changes: dict[tuple[int, int], bytes] = {}
        self._lines = [0]
        for line in self._data.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    def text_of(self, node: ast.AST) -> str:
        """The text of a node, as it has been changed so far."""
        return self._rendered(*self._span(node)).decode()

    def replace(self, node: ast.AST, text: str) -> None:
        """Put another text in the place of a node."""
        self._set(*self._span(node), text)

    def insert(self, node: ast.AST, text: str) -> None:
        """Put a text right before a node."""
        start, _ = self._span(node)
        self._changes[start, start] = text.encode()

    def remove_lines(self, node: ast.stmt) -> None:
        """Take out a statement with its decorators and whole lines."""
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(one.lineno for one in decorators)])
        end = self._lines[min(node.end_lineno or node.lineno, len(self._lines) - 1)]
        self._set(self._lines[first - 1], end, "")

    def result(self) -> str:
        return self._rendered(0, len(self._data)).decode()

    def _set(self, start: int, end: int, text: str) -> None:
        inside = [s for s in self._changes if start <= s[0] and s[1] <= end]
        for span in inside:
            del self._changes[span]
        self._changes[start, end] = text.encode()

    def _span(self, node: ast.AST) -> tuple[int, int]:
        place: ast.expr = node  # type: ignore[assignment]  # pyright: ignore
        end_line, end = place.end_lineno or place.lineno, place.end_col_offset or 0
        return (
            self._lines[place.lineno - 1] + place.col_offset,
            self._lines[end_line - 1] + end,
        )

    def _rendered(self, start: int, end: int) -> bytes:
        parts: list[bytes] = []
        at = start
        for (first, last), text in sorted(self._changes.items()):
            if start <= first and last <= end and first >= at:
                parts += [self._data[at:first], text]
                at = last
        return b"".join([*parts, self._data[at:end]])


def quoted(text: str) -> str:
    """A text as a literal, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def bracketed(head: str, parts: list[str], tail: str, margin: str) -> str:
    """Parts between brackets, each in a line of its own if they are long together."""
    line = f"{head}{', '.join(parts)}{tail}"
    if len(margin + line) <= _LINE and "\n" not in line:
        return line
    inner = "".join(f"{margin}    {part},\n" for part in parts)
    return f"{head}\n{inner}{margin}{tail}"


def named(options: dict[str, str]) -> list[str]:
    """`name=text` for each."""
    return [f"{name}={text}" for name, text in options.items()]


def is_plain(value: ast.expr) -> bool:
    """Is it written out, so that it holds no output of a task?"""
    return isinstance(value, (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set))
