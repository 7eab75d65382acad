"""From task cells to what each of them takes and gives: whose `rows` is meant.

Goes by texts, and by which names the notebook has; runs nothing. A name that a cell reads is, in
this order: what one other task cell assigns, a parameter of the DAG, what the cell itself has,
what plain cells have defined, an import of another task cell, something of the run (`ds`, `ti`).
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from inspect import getsource
from textwrap import dedent
from types import FunctionType, ModuleType
from typing import Any, Final

from mlflowkit.authoring.cell_names import CellNames, imported
from mlflowkit.authoring.cell_touches import Functions, taught_by
from mlflowkit.authoring.context import CONTEXT_NAMES
from mlflowkit.authoring.defining_cell import where_defined
from mlflowkit.authoring.places import names_in
from mlflowkit.errors import (
    AmbiguousName,
    ChangedInPlace,
    DefinedInTask,
    HelperReadsTask,
    NotDefined,
    NotForTaskCells,
)
from mlflowkit.errors.cells import shown_cell

_BUILT_IN: Final = frozenset(vars(builtins)) - {"display"} | {"__name__"}
#: Names of Python under which IPython has its own in a notebook.
_OF_IPYTHON: Final = frozenset({"exit", "open", "quit"})
#: What IPython gives every cell: where a task gets it from.
_SHOW: Final = ast.ImportFrom("IPython.display", [ast.alias("display", None)], 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCell:
    """A cell that was registered as a task."""

    task_id: str
    #: What stands below the magic, and the code that it is.
    body: str
    tree: ast.Module
    names: CellNames
    #: The line with the magic.
    magic: str
    options: Mapping[str, Any]
    #: Names that it gives whether another cell reads them or not.
    returns: tuple[str, ...] = ()
    #: Tasks that it waits for without taking anything from them.
    after: tuple[str, ...] = ()
    #: The number that the notebook shows beside it, and what its front end calls it.
    number: int = 0
    cell_id: str = ""

    @property
    def text(self) -> str:
        """What people see as the cell."""
        return f"{self.magic}\n{self.body}"

    def shown(self, name: str = "") -> str:
        """The cell as a person finds it again, around where it first assigns `name`."""
        at = f"[{self.number}] " if self.number else ""
        names = self.names
        line = names.assigns.get(name, 0) or names.defines.get(name, 0)
        if not line and name in names.imports:
            line = names.imports[name].lineno
        return shown_cell(f"{at}task {self.task_id!r}:", self.text, line)


@dataclass(slots=True, kw_only=True)
class Wired:
    """What a task cell takes and gives."""

    cell: TaskCell
    #: The task that makes each name that it takes.
    inputs: dict[str, str] = field(default_factory=dict[str, str])
    #: Parameters of the DAG that it reads.
    params: list[str] = field(default_factory=list[str])
    #: Values of plain cells that it reads before it assigns them anew.
    seeds: dict[str, object] = field(default_factory=dict[str, object])
    #: Names that are filled in from the run: `ds`, `ti`.
    context: list[str] = field(default_factory=list[str])
    imports: list[ast.stmt] = field(default_factory=list[ast.stmt])
    outputs: list[str] = field(default_factory=list[str])


def wired(
    cells: Sequence[TaskCell], params: Sequence[str], names: Mapping[str, Any]
) -> list[Wired]:
    """What each cell takes and gives.

    Args:
        params: Names of the DAG's parameters.
        names: What the notebook has defined.

    Raises:
        CellError: what cannot be told, or would not work. Both cells are shown where two differ.
    """
    found = {c.task_id: Wired(cell=c, outputs=list(c.returns)) for c in cells}
    for one in found.values():
        for name, need in one.cell.names.needs.items():
            _resolve(one, name, need.line, need.maybe_own, cells, params, names)
        _refuse_changes(one, cells, names)
        _check_returns(one)
    for one in found.values():
        for name, maker in one.inputs.items():
            if name not in found[maker].outputs:
                found[maker].outputs.append(name)
    _check_helpers(found, names)
    return list(found.values())


def _resolve(
    one: Wired,
    name: str,
    line: int,
    maybe_own: bool,
    cells: Sequence[TaskCell],
    params: Sequence[str],
    names: Mapping[str, Any],
) -> None:
    cell = one.cell
    makers = [c for c in cells if c is not cell and name in c.names.assigns]
    if makers:
        others = [c for c in cells if c is not cell and name in c.names.own]
        _refuse_several(name, cell, others, ["a parameter of the DAG"] * (name in params))
    if makers:
        one.inputs[name] = makers[0].task_id
    elif name in params:
        one.params.append(name)
    elif name in cell.names.own:
        if name in vars(builtins) and (name not in names or name in _OF_IPYTHON):
            one.imports.append(_built_in(name))
        elif not maybe_own and name in names and name != "__name__":
            one.seeds[name] = names[name]
    else:
        _from_outside(one, name, line, cells, names)


def _built_in(name: str) -> ast.stmt:
    """`max = max(rows)`: in a function, the first `max` would be its own, too."""
    return ast.ImportFrom("builtins", [ast.alias(name, None)], 0)


def _refuse_several(
    name: str, cell: TaskCell, others: Sequence[TaskCell], more: Sequence[str] = ()
) -> None:
    """A name has one maker."""
    said = [*(f"task {c.task_id!r}" for c in others), *more]
    if len(said) > 1:
        shown = [*(c.shown(name) for c in others), cell.shown()]
        raise AmbiguousName(name, cell.task_id, said, shown)


def _from_outside(
    one: Wired, name: str, line: int, cells: Sequence[TaskCell], names: Mapping[str, Any]
) -> None:
    cell = one.cell
    for other in cells:
        if other is not cell and name in other.names.defines:
            raise DefinedInTask(name, other.task_id, f"task {cell.task_id!r}")
    if name == "get_ipython":
        why = "asks for the notebook's IPython, which a task does not have"
        raise NotForTaskCells(cell.task_id, line, name, why)
    if name == "display":
        one.imports.append(_SHOW)
        return
    if name in names and not _is_written(name, cell.tree):
        one.seeds[name] = names[name]  # pandas looks for it beside the call
    if name in names or name in _BUILT_IN:
        return
    importers = [c for c in cells if name in c.names.imports]
    if importers:
        found = {
            ast.unparse(node): node for node in (c.names.imports[name] for c in importers)
        }
        if len({imported(node) for node in found.values()}) > 1:
            _refuse_several(name, cell, importers)
        one.imports += found.values()
    elif name in CONTEXT_NAMES:
        one.context.append(name)
    else:
        known = {*names, *(n for c in cells for n in c.names.assigns)}
        where = where_defined(name)
        raise NotDefined(name, cell.task_id, line, known, where)


def _is_written(name: str, tree: ast.Module) -> bool:
    """Whether it stands in the code itself, and not only in a text of a query."""
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(tree))


def _refuse_changes(
    one: Wired, cells: Sequence[TaskCell], names: Mapping[str, Any]
) -> None:
    body = one.cell.tree.body
    sure = [(change, True) for change in one.cell.names.changes]
    taught = [(change, False) for change in taught_by(body, functions_among(names))]
    for change, always in [*sure, *taught]:
        name, maker = change.name, one.inputs.get(change.name, "")
        if name in one.cell.names.own or not (
            maker or (name in one.cell.names.needs and _is_value(names.get(name)))
        ):
            continue
        readers = [c for c in cells if c is not one.cell and name in c.names.needs]
        made = f"task {maker!r} made" if maker else "a cell that is no task made"
        if readers or (maker and always):
            also = f", and which task {readers[0].task_id!r} reads, too" if readers else ""
            raise ChangedInPlace(
                name, one.cell.task_id, maker, change.line, change.text, made + also
            )


def functions_among(names: Mapping[str, Any]) -> Functions:
    """The functions of plain cells, as their code."""
    helpers = {
        name: found
        for name, found in names.items()
        if isinstance(found, FunctionType) and found.__module__ == "__main__"
    }
    return {name: node for name, f in helpers.items() if (node := _code_of(f)) is not None}


def _code_of(function: FunctionType) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    try:
        first = ast.parse(dedent(getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    return first if isinstance(first, (ast.FunctionDef, ast.AsyncFunctionDef)) else None


def _is_value(found: object) -> bool:
    """Not a module, a class or a function: those are changed for the settings in them."""
    return found is not None and not callable(found) and not isinstance(found, ModuleType)


def _check_returns(one: Wired) -> None:
    cell = one.cell
    for name in cell.returns:
        if name not in cell.names.assigns:
            known = cell.names.assigns
            where = f"It assigns: {', '.join(known) or 'nothing'}."
            raise NotDefined(name, cell.task_id, 1, known, f"--returns names it. {where}")


def _check_helpers(found: Mapping[str, Wired], names: Mapping[str, Any]) -> None:
    """Functions of plain cells must not read, as globals, what only tasks have."""
    makers = {n: w.cell.task_id for w in found.values() for n in w.cell.names.assigns}
    given = {name for w in found.values() for name in w.outputs}
    for one in found.values():
        todo = [n for n in one.cell.names.needs if n not in one.inputs]
        seen = set[str]()
        while todo:
            helper = names.get(todo.pop())
            if not isinstance(helper, FunctionType) or helper.__module__ != "__main__":
                continue
            for name in names_in(helper.__code__):
                if name in given or (name in makers and name not in names):
                    raise HelperReadsTask(
                        helper.__name__, name, one.cell.task_id, makers[name]
                    )
                if name not in seen:
                    seen.add(name)
                    todo.append(name)
