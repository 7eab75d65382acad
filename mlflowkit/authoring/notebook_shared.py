"""What all tasks of a notebook's DAG share: which statements can stand outside of them.

Goes by the text alone: runs nothing, imports nothing of the notebook.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import replace

from mlflowkit.authoring.cell_names import imported, names_of, only_imports
from mlflowkit.authoring.cell_reads import reads_of
from mlflowkit.authoring.cell_stays import module_of
from mlflowkit.authoring.notebook_sections import Statement
from mlflowkit.errors import NotForTaskCells


def refuse_two_imports(every: Sequence[Statement]) -> None:
    """All tasks share the imports: a name may stand for one thing alone.

    Raises:
        NotForTaskCells: two statements import different things under one name.
    """
    found: dict[str, tuple[Statement, str]] = {}
    for one in every:
        for name, node in names_of(module_of(one)).imports.items():
            if isinstance(one.node, ast.Import | ast.ImportFrom):
                first, what = found.setdefault(name, (one, imported(node)))
                if what != imported(node):
                    why = (
                        f"gives {name!r} another meaning than cell {first.cell} "
                        f"({first.text.splitlines()[-1].strip()!r}), and all tasks share "
                        "their imports: call one of them another name"
                    )
                    where = f"of cell {one.cell}"
                    line = getattr(one.node, "lineno", 1)
                    raise NotForTaskCells(where, line, one.text, why)


def all_reads(one: Statement) -> set[str]:
    now, later = reads_of(one.node)
    return now | later


def deleted(every: Iterable[Statement]) -> set[str]:
    """Names that statements delete."""
    targets = [
        t for one in every if isinstance(one.node, ast.Delete) for t in one.node.targets
    ]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def nothing_but_imports(every: Iterable[Statement]) -> set[str]:
    """Names that only imports bind: all tasks share those."""
    imports, others = set[str](), set[str]()
    for one in every:
        names = names_of(module_of(one))
        whole = isinstance(one.node, (ast.Import, ast.ImportFrom)) or only_imports(one.node)
        (imports if whole else others).update(names.own)
    return imports - others


def without_deleting(one: Statement, shared: set[str]) -> Statement | None:
    """A statement that deletes none of `shared`; None if it did nothing else."""
    if not isinstance(one.node, ast.Delete) or not deleted([one]) & shared:
        return one
    kept = [t for t in one.node.targets if getattr(t, "id", "") not in shared]
    if not kept:
        return None
    node = ast.copy_location(ast.Delete(kept), one.node)
    return replace(one, node=node, text=ast.unparse(node))


def stands_alone(node: ast.stmt, free: set[str]) -> bool:
    """Is it a definition, or a constant, of a name that nothing else binds?"""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return name in free
        case ast.ClassDef(name=name):
            return name in free
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return name in free and plain(value)
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            return name in free and plain(value)
        case ast.Try() | ast.If():
            return only_imports(node) and bindings([node]).keys() <= free
        case _:
            return False


def bindings(nodes: Iterable[ast.stmt]) -> dict[str, int]:
    """How many statements bind each name, at any depth but in functions."""
    found: dict[str, int] = {}
    for node in nodes:
        for name in names_of(ast.Module([node], [])).own:
            found[name] = found.get(name, 0) + 1
    return found


def plain(value: ast.expr) -> bool:
    """Is it written out: a number, a text, a tuple of these? Lists and dicts can be changed."""
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def kind(value: ast.expr) -> str:
    found = ast.literal_eval(value)
    kind = type(found).__name__
    return kind if kind in ("int", "float", "str", "bool", "list", "dict") else ""
