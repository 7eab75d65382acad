"""A cell failed half-way: may it run once more over what it has changed already?

Pure: code in, an answer out. Looks for what is a second time not what it is once: values
made from themselves (`total += n`, `df = df.dropna()`), and methods that are known to
change what they belong to (`rows.append(n)`). What the cell had made itself before is made
again, so that does not count; nor does a statement that was not reached. What functions do
to what they are given cannot be seen from here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from mlflowkit.nbrun.checkpoint.magics import without_magics

#: Methods that do something else when they are called a second time.
_CHANGING: Final = frozenset(
    {
        *("append", "appendleft", "extend", "extendleft", "insert", "pop", "popleft"),
        *("popitem", "remove", "reverse", "rotate", "subtract", "partial_fit", "step"),
        *("append_", "add_", "sub_", "mul_", "div_", "backward", "write", "writelines"),
    }
)
_COMPOUND: Final = (ast.For, ast.While, ast.With, ast.Try, ast.If, ast.Match)


def why_not_again(source: str, line: int) -> str:
    """Why a cell cannot for sure be run again from its start; empty if nothing speaks
    against it.

    Args:
        source: The cell, as it ran.
        line: The line that failed, from 1; 0: that is not known.
    """
    line = 0 if source.lstrip().startswith("%%") else line
    python, _, sweeping = without_magics(source)
    try:
        tree = ast.parse(python)
    except (SyntaxError, ValueError, RecursionError):
        return ""  # it could not be read: nothing of it ran
    if sweeping:
        return "it uses a magic that may have changed anything"
    made = set[str]()
    for statement in tree.body:
        if line and statement.lineno > line:
            break
        ended = not line or (statement.end_lineno or 0) < line
        if ended or isinstance(statement, _COMPOUND):
            name = next(_changes(statement, made), "")
            if name:
                return f"its failed cell may have changed {name}, and would do so twice"
    return ""


def _changes(statement: ast.stmt, made: set[str]) -> Iterator[str]:
    """What it changes, of all that was there before the cell; `made` learns what it makes."""
    for node in _in_order(statement):
        names = list[str]()
        if isinstance(node, ast.AugAssign):
            names = [_root(node.target)]
        elif isinstance(node, ast.Assign):
            names = [name for each in node.targets for name in _from_itself(each, node)]
        elif isinstance(node, ast.Delete):
            names = [_root(each) for each in node.targets]
        elif isinstance(node, ast.Call):
            names = [_changed_by(node)]
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            made.add(node.id)
        yield from (name for name in names if name and name not in made)


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a statement does: bodies of functions do not."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)


def _from_itself(target: ast.expr, assign: ast.Assign) -> Iterator[str]:
    """The variables in a target whose new value is made from the old one."""
    if isinstance(target, ast.Tuple | ast.List):
        for each in target.elts:
            yield from _from_itself(each, assign)
        return
    root = _root(target)
    read = {node.id for node in ast.walk(assign.value) if isinstance(node, ast.Name)}
    if root in read:
        yield root


def _changed_by(call: ast.Call) -> str:
    """What a call is known to change."""
    if isinstance(call.func, ast.Attribute) and call.func.attr in _CHANGING:
        return _root(call.func.value)
    is_next = isinstance(call.func, ast.Name) and call.func.id == "next"
    return _root(call.args[0]) if is_next and call.args else ""


def _root(node: ast.AST) -> str:
    """The variable that an expression begins with; empty if it begins with none."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""
