"""Variables that only the process which made them can have, as far as their code shows it.

Goes by the text alone: runs nothing, imports nothing of the notebook.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Final

from mlflowkit.authoring.cell_names import names_of
from mlflowkit.authoring.notebook_sections import Statement

#: Calls that give something which only its own process has.
_STAY: Final = {
    "open": "an open file",
    "connect": "an open connection",
    "cursor": "a cursor of an open database",
    "socket": "a socket",
    "Lock": "a lock",
    "RLock": "a lock",
    "Thread": "a thread",
    "Popen": "a process",
    "ThreadPoolExecutor": "a pool of threads",
    "ProcessPoolExecutor": "a pool of processes",
    "iter": "an iterator",
    "reader": "a reader of an open file",
    "writer": "a writer of an open file",
    "ZipFile": "an open file",
    "create_engine": "a pool of connections",
    "Session": "an open session",
}


def why_it_stays(name: str, body: Sequence[Statement]) -> tuple[str, str]:
    """Why a variable of a section cannot travel, and where that is written; or empty texts."""
    for one in reversed(body):
        value = _value_of(name, one.node)
        problem = _stays(value) if value is not None else ""
        if name in names_of(module_of(one)).defines:
            problem = "it is defined with variables of its section"
        if problem:
            first = one.text.strip().splitlines()[-1].strip()
            return problem, f"cell {one.cell}: {first[:70]}"
        if value is not None:
            return "", ""
    return "", ""


def _value_of(name: str, node: ast.stmt) -> ast.expr | None:
    for inner in ast.walk(node):
        match inner:
            case ast.Assign(targets=targets, value=value):
                if any(isinstance(t, ast.Name) and t.id == name for t in targets):
                    return value
            case ast.AnnAssign(target=ast.Name(id=found), value=value) if found == name:
                return value
            case ast.withitem(context_expr=value, optional_vars=ast.Name(id=found)):
                if found == name:
                    return value
            case _:
                continue
    return None


def _stays(value: ast.expr) -> str:
    """Why a value belongs to its process, by how it is made; empty if nothing says so."""
    if isinstance(value, ast.GeneratorExp):
        return "a generator cannot be stopped here to go on there"
    if isinstance(value, ast.Call):
        called = value.func
        name = (
            called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        )
        if name in _STAY:
            return f"{_STAY[name]} belongs to the process that made it"
    return ""


def module_of(one: Statement) -> ast.Module:
    """A statement as code of its own."""
    return ast.Module([one.node], [])
