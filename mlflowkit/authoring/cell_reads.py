"""Which names an expression or a statement reads: at once, or when a function in it is called.

Goes by the text alone, and runs nothing.
"""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterator, Sequence
from typing import Final

_AT_ONCE: Final = frozenset({"listcomp", "setcomp", "dictcomp", "genexpr"})
_IN_QUERY: Final = re.compile(r"@([^\W\d]\w*)")
_Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


def reads_of(node: ast.AST) -> tuple[set[str], set[str]]:
    """Free names of an expression or statement: those read at once, and those read later, when
    a function or lambda in it is called."""
    try:
        table = symtable.symtable(ast.unparse(node), "<cell>", "exec")
    except SyntaxError:  # `return`, `await` and their like outside of a function
        return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}, set()
    now = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    later = set[str]()
    for child in table.get_children():
        _collect(child, now, later)
    in_order = list(_in_order(node))
    now |= {name for name, is_read in in_order if is_read}
    return now - _bound_first(in_order), later


def walrus_names(node: ast.AST) -> Iterator[str]:
    """What `:=` binds in the scope of an expression or statement: not in its functions."""
    yield from (name for name, is_read in _in_order(node) if not is_read)


def _collect(table: symtable.SymbolTable, now: set[str], later: set[str]) -> None:
    at_once = table.get_type() == "class" or table.get_name().strip("<>") in _AT_ONCE
    target = now if at_once else later
    for symbol in table.get_symbols():
        if symbol.is_global() and symbol.is_referenced():
            target.add(symbol.get_name())
    for child in table.get_children():
        _collect(child, target if not at_once else now, later)


def _bound_first(in_order: Sequence[tuple[str, bool]]) -> set[str]:
    """What `:=` binds before it is read: `(n := f()) + n`, but not `(n := n + 1)`."""
    first: dict[str, bool] = {}
    for name, is_read in in_order:
        first.setdefault(name, is_read)
    return {name for name, is_read in first.items() if not is_read}


def _in_order(node: ast.AST) -> Iterator[tuple[str, bool]]:
    """Names in the order in which they are read, or bound by `:=`, in this scope."""
    match node:
        case ast.Name(id=name, ctx=ast.Load()):
            yield name, True
        case ast.NamedExpr(target=target, value=value):
            yield from _in_order(value)
            yield target.id, False
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            yield from _in_comprehension(node)
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            yield from _all(part for pair in pairs for part in pair if part is not None)
        case ast.Lambda(args=args):
            yield from _all(_defaults(args))
        case ast.FunctionDef(args=args) | ast.AsyncFunctionDef(args=args):
            yield from _all([*node.decorator_list, *_defaults(args)])
        case ast.ClassDef(bases=bases, keywords=keywords):
            yield from _all([*node.decorator_list, *bases, *keywords])
        case _:
            yield from _all(ast.iter_child_nodes(node))
            yield from ((name, True) for name in _in_query(node))


def _in_query(node: ast.AST) -> list[str]:
    """Variables that pandas looks up by their names: `df.query("x > @limit")`."""
    match node:
        case ast.Call(
            func=ast.Attribute(attr="query" | "eval"),
            args=[ast.Constant(value=str(text)), *_],
        ):
            return _IN_QUERY.findall(text)
        case _:
            return []


def _all(nodes: Iterator[ast.AST] | Sequence[ast.AST]) -> Iterator[tuple[str, bool]]:
    for node in nodes:
        yield from _in_order(node)


def _defaults(args: ast.arguments) -> list[ast.expr]:
    return [*args.defaults, *(one for one in args.kw_defaults if one is not None)]


def _in_comprehension(node: _Comprehension) -> Iterator[tuple[str, bool]]:
    own = {
        inner.id
        for each in node.generators
        for inner in ast.walk(each.target)
        if isinstance(inner, ast.Name)
    }
    parts: list[ast.AST] = [p for each in node.generators for p in (each.iter, *each.ifs)]
    parts += [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    yield from (one for one in _all(parts) if one[0] not in own)
