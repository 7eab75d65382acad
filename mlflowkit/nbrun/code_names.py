"""The names that code speaks of. Reads syntax trees, runs nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator


def names_bound(tree: ast.AST, *, and_read: bool = False) -> Iterator[str]:
    """Every name that is bound anywhere in it, as often as it is.

    Args:
        tree: Of a module, a statement or an expression.
        and_read: Those that are read or deleted, too.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ctx):
                if and_read or isinstance(ctx, ast.Store):
                    yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name) | ast.ExceptHandler(name=str(name)):
                yield name
            case ast.alias(name=name, asname=asname):
                yield asname or name.partition(".")[0]
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name
            case ast.MatchMapping(rest=str(name)):
                yield name
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                yield from names
            case _:
                pass
