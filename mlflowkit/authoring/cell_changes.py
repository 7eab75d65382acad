"""What a cell changes in place: `rows.append(1)`, `df["x"] = 1`. Goes by the text alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

#: Methods that change what they are called on, and give nothing that one would keep.
_CHANGERS: Final = frozenset(
    [
        "add",
        "append",
        "appendleft",
        "clear",
        "difference_update",
        "discard",
        "extend",
        "extendleft",
        "insert",
        "intersection_update",
        "pop",
        "popitem",
        "popleft",
        "remove",
        "reverse",
        "rotate",
        "setdefault",
        "sort",
        "symmetric_difference_update",
        "update",
    ]
)


class Change(NamedTuple):
    """Something is changed in place: `rows.append(1)`, `df["x"] = 1`."""

    name: str
    line: int
    text: str


def changes_of(tree: ast.Module) -> Iterator[Change]:
    """All that the code of a cell changes in place, as far as its text shows it."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets) | ast.Delete(targets=targets):
                found = targets
            case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
                found = [target]
            case ast.Call(func=ast.Attribute(value=value, attr=attr)):
                inplace = any(
                    k.arg == "inplace" and getattr(k.value, "value", None) is True
                    for k in node.keywords
                )
                name = base_of(value) if attr in _CHANGERS or inplace else ""
                if name:
                    yield Change(name, node.lineno, ast.unparse(node))
                continue
            case _:
                continue
        for part in _parts(found):
            if isinstance(part, (ast.Attribute, ast.Subscript)) and base_of(part):
                yield Change(base_of(part), part.lineno, ast.unparse(node))


def _parts(targets: Sequence[ast.expr]) -> Iterator[ast.expr]:
    for target in targets:
        if isinstance(target, (ast.Tuple, ast.List)):
            yield from _parts(target.elts)
        else:
            yield target.value if isinstance(target, ast.Starred) else target


def base_of(node: ast.expr) -> str:
    """`rows` of `rows.items[3].x`; empty if it does not begin with a name."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
