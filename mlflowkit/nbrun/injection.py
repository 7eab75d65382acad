"""Parameters put into a notebook: plain JSON as code, everything else by `mlflowkit.input`.

papermill's library writes the code and places the cell, so its tags, its metadata and its
languages are kept. What papermill would turn into text (a tuple, a date) never reaches it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.core.secret import Secret
from mlflowkit.errors import NotebookInvalid

if TYPE_CHECKING:
    from nbformat import NotebookNode

#: A longer value is not shown as code, but handed over.
CODE_LIMIT: Final = 8 * 1024


def is_plain(value: object) -> bool:
    """Whether code can say `value` exactly: None, bool, int, float, str, lists and dicts of such."""
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return True
    if kind is float:
        return isfinite(value)  # type: ignore[arg-type]  # it is a float
    if isinstance(value, list) and kind is list:
        return all(is_plain(item) for item in value)
    if isinstance(value, dict) and kind is dict:
        return all(type(key) is str for key in value) and all(map(is_plain, value.values()))
    return False


def split(
    parameters: Mapping[str, object],
) -> tuple[dict[str, object], dict[str, object]]:
    """Those that become code, and those that are handed over as objects."""
    code: dict[str, object] = {}
    objects: dict[str, object] = {}
    for name, value in parameters.items():
        (code if _fits_code(value) else objects)[name] = value
    return code, objects


def _fits_code(value: object) -> bool:
    try:
        return is_plain(value) and len(json.dumps(value)) <= CODE_LIMIT
    except (RecursionError, ValueError):
        return False


def inject(
    path: Path,
    notebook: NotebookNode,
    parameters: Mapping[str, object],
    kernel: str,
    language: str,
) -> NotebookNode:
    """The notebook with a cell that assigns the parameters, behind its `parameters` cell.

    The cell is tagged `injected-parameters`; the metadata names objects by their type only.

    Raises:
        NotebookInvalid: papermill cannot write code of this language.
    """
    code, objects = split(parameters)
    if not parameters:
        return notebook
    from papermill.exceptions import PapermillException
    from papermill.parameterize import (
        parameterize_notebook,
    )

    try:
        done: NotebookNode = parameterize_notebook(
            notebook, code, kernel_name=kernel, language=language
        )
    except (PapermillException, NotImplementedError) as exc:
        todo = "Use a kernel of a language that papermill knows."
        raise NotebookInvalid(
            path, f"parameters cannot be written in {language}", todo
        ) from exc
    _add_objects(done, objects)
    done.metadata.papermill["parameters"] = {**code, **_shown(objects)}
    return done


def typed_again(notebook: NotebookNode) -> dict[str, object]:
    """What papermill has put into a Python notebook as text: from here on handed over, with
    its type.

    papermill writes a tuple as a text, a date and a set in a way that it cannot save.
    """
    known = notebook.metadata.get("papermill", {}).get("parameters") or {}
    cell = next(
        (c for c in notebook.cells if "injected-parameters" in c.metadata.get("tags", [])),
        None,
    )
    if cell is None:
        return {}
    lines = str(cell.source).splitlines()
    given = {name: _as_given(name, _plain_dicts(v), lines) for name, v in known.items()}
    objects = {name: value for name, value in given.items() if not is_plain(value)}
    if objects:
        kept = [
            line
            for line in lines
            if line.partition(" = ")[0].partition(":")[0] not in objects
        ]
        cell.source = "\n".join(kept)
        _add_objects(notebook, objects)
        known.update(_shown(objects))
    return objects


def _plain_dicts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain_dicts(item) for key, item in value.items()}
    return [_plain_dicts(item) for item in value] if type(value) is list else value


def _as_given(name: str, value: object, lines: list[str]) -> object:
    """A tuple comes as a list in the metadata, and as a text in the code."""
    if isinstance(value, list):
        from papermill.translators import PythonTranslator

        if f"{name} = {PythonTranslator.translate(tuple(value))}" in lines:
            return tuple(value)
    return value


def _add_objects(notebook: NotebookNode, objects: Mapping[str, object]) -> None:
    if not objects:
        return
    cell = next(
        c for c in notebook.cells if "injected-parameters" in c.metadata.get("tags", [])
    )
    lines = [f"{name} = mlflowkit.input({name!r})" for name in objects]
    cell.source = re.sub(r"\n*\Z", "\n", cell.source) + "\n".join(
        ["import mlflowkit", "", *lines]
    )


def _shown(objects: Mapping[str, object]) -> dict[str, Any]:
    return {
        name: repr(value) if isinstance(value, Secret) else f"<{type(value).__name__}>"
        for name, value in objects.items()
    }


def assigned_names(code: str) -> list[str]:
    """Names that a cell's top level assigns, in order; empty when it is not Python."""
    import ast

    from mlflowkit.nbrun.parameters import without_magics

    try:
        tree = ast.parse(without_magics(code))
    except SyntaxError:
        return []
    found: dict[str, None] = {}
    for node in _top_level(tree.body):
        found.update(dict.fromkeys(_targets(node)))
    return list(found)


def _top_level(body: list[Any]) -> list[Any]:
    """Statements that run in the module's own scope, those in `if` and `with` too."""
    found: list[Any] = []
    for node in body:
        found.append(node)
        for part in ("body", "orelse", "finalbody"):
            if type(node).__name__ in ("If", "With", "For", "While", "Try"):
                found += _top_level(getattr(node, part, []))
    return found


def _targets(node: Any) -> list[str]:
    import ast

    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        targets = [node.target]
    names = (each for target in targets for each in ast.walk(target))
    return [
        each.id
        for each in names
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    ]
