"""Which cells of a notebook come before anything that a mapped parameter may change.

Pure: code in, cells out; nothing is run or imported. Rule: what cannot be read for certain
ends the prefix.
"""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

#: Names by which code reaches variables that it does not name, or the kernel.
_DYNAMIC: Final = frozenset(
    {"exec", "eval", "globals", "locals", "vars", "dir", "compile", "__import__"}
    | {"get_ipython", "__main__", "breakpoint", "input", "exit", "quit", "In", "_ih"}
)
#: The same, behind a dot.
_REACHING: Final = frozenset(
    {"modules", "_getframe", "currentframe", "stack", "get_ipython", "__globals__"}
    | {"f_locals", "f_globals", "import_module", "run_path", "run_module", "__main__"}
)
_ASYNC: Final = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Source:
    """A cell that has something to run.

    Attributes:
        index: Its position in the notebook.
        injected: It assigns what the notebook was given.
    """

    index: int
    code: str
    injected: bool = False


@dataclass(frozen=True, slots=True)
class Split:
    """Where the prefix ends.

    Attributes:
        cells: Position and code of those that are run once; of the injected cell, only
            what all instances share.
        late: The rest of the injected cell, for each instance's own kernel.
        injected: Position and whole code of the injected cell, if there is one.
        why: Why the next cell is not in it; empty if all are.
    """

    cells: tuple[tuple[int, str], ...] = ()
    late: str = ""
    injected: tuple[int, str] | None = None
    why: str = ""


def split(cells: Sequence[Source], mapped: Sequence[str]) -> Split:
    """The cells that may be run once, up to the first that a mapped name may change.

    Args:
        cells: Those that have something to run, in order.
        mapped: Parameters that differ from instance to instance.
    """
    at = next((at for at, cell in enumerate(cells) if cell.injected), None)
    if at is None:
        return Split(why="no parameter is given to it")
    taken: list[tuple[int, str]] = []
    late = why = ""
    for position, cell in enumerate(cells):
        if cell.injected:
            shared, late = _parted(cell.code, frozenset(mapped))
            taken.append((cell.index, shared))
            continue
        defaults = position < at  # it assigns defaults, and the mapped values come after
        why = why_not(cell.code, mapped, stores=defaults)
        if why:
            why = f"cell {cell.index + 1} {why}"
            break
        taken.append((cell.index, cell.code))
    if len(taken) <= at:
        return Split(why=why)
    if all(index == cells[at].index for index, _ in taken):
        return Split(why=why or "no other cell is before it")
    injected = (cells[at].index, cells[at].code)
    return Split(tuple(taken), late, injected, why)


def _parted(code: str, mapped: frozenset[str]) -> tuple[str, str]:
    """The lines of an injected cell that all share, and the others."""
    lines = code.splitlines()
    late: list[str] = []
    for node in ast.parse(code).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        if node.targets[0].id in mapped:
            span = range(node.lineno - 1, node.end_lineno or node.lineno)
            late += [lines[at] for at in span]
            for at in span:
                lines[at] = ""
    return "\n".join(lines), "\n".join(late)


def why_not(code: str, mapped: Sequence[str], *, stores: bool = False) -> str:
    """Why a cell cannot be run once for all; empty if it can.

    Args:
        code: As it would run.
        mapped: Names that differ from instance to instance.
        stores: It may assign them at its top level.
    """
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        transformer = TransformerManager()  # type: ignore[no-untyped-call]  # untyped
        plain = transformer.transform_cell(code).rstrip() == code.rstrip()
        tree = ast.parse(code)
        table = symtable.symtable(code, "cell", "exec")
    except (SyntaxError, ValueError):
        return "is not plain Python (a magic, await, or an error)"
    if not plain:
        return "uses a magic"
    for name in mapped:
        if any(_mentions(table, name, stores=stores)):
            return f"uses {name!r}"
    return next(_reasons(tree, mapped), "")


def _mentions(table: symtable.SymbolTable, name: str, *, stores: bool) -> Iterator[bool]:
    """Whether the notebook's own variable `name` is meant, here and in what is inside."""
    top = table.get_type() == "module"
    if name in table.get_identifiers():
        symbol = table.lookup(name)
        read = symbol.is_referenced() or symbol.is_imported() or symbol.is_namespace()
        yield (read or not stores) if top else symbol.is_global()
    for inner in table.get_children():
        yield from _mentions(inner, name, stores=stores)


def _reasons(tree: ast.Module, mapped: Sequence[str]) -> Iterator[str]:
    words = re.compile(rf"\b(?:{'|'.join(map(re.escape, mapped))})\b")
    inputs = set(_input_names(tree, mapped))
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) if name in _DYNAMIC:
                yield f"uses {name}"
            case ast.Name(id="mlflowkit") if id(node) not in inputs:
                yield "uses mlflowkit"
            case ast.Attribute(attr=name) if name in _REACHING:
                yield f"uses .{name}"
            case ast.Constant(value=str(text)) if words.search(text):
                yield f"has a text that names {words.findall(text)[0]!r}"
            case ast.Constant(value=str(text)) if "MLFLOWKIT_" in text:
                yield "reads what differs from attempt to attempt"
            case ast.Import() | ast.ImportFrom():
                yield from _imports(node)
            case _ if isinstance(node, _ASYNC):
                yield "is asynchronous"
            case _:
                pass


def _input_names(tree: ast.Module, mapped: Sequence[str]) -> Iterator[int]:
    """Identities of the names `mlflowkit` in `mlflowkit.input("rows")`."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="mlflowkit") as name, attr="input"),
                args=[ast.Constant(value=str(asked))],
            ) if asked not in mapped:
                yield id(name)
            case _:
                pass


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    names = [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        if node.names[0].name == "*":
            yield f"imports all of {node.module}"
        tops = {(node.module or "").partition(".")[0], *names}
    else:
        tops = {name.partition(".")[0] for name in names}
    if tops & (_DYNAMIC | _REACHING):
        yield f"imports {sorted(tops & (_DYNAMIC | _REACHING))[0]}"
    aliased = any(
        alias.name.startswith("mlflowkit") and alias.asname for alias in node.names
    )
    if aliased or (isinstance(node, ast.ImportFrom) and "mlflowkit" in tops):
        yield "imports from mlflowkit"
