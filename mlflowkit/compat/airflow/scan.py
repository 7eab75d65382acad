"""What the text of a DAG file says before it runs: its version, and what in it is not here.

Reads only. What the import hook meets anyway when the file is loaded is left to it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mlflowkit.compat.airflow import words
from mlflowkit.compat.airflow.missing import Missing
from mlflowkit.compat.airflow.names import MODULES, todo_for
from mlflowkit.errors import AirflowFeatureMissing

_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_TEMPLATE: Final = re.compile(r"\{[{%](.*?)[}%]\}", re.DOTALL)
_WORD: Final = re.compile(r"(?<![\w.'\"])[A-Za-z_]\w*")
_CONTEXTS: Final = frozenset({"context", "kwargs", "ctx", "kw", "_context", "_kwargs"})
_WITH_DATE: Final = frozenset({"ti", "task_instance", "dag_run", "dagrun"})
_FAR_PULLS: Final = {
    "dag_id": "XComs of another DAG: start that DAG with TriggerDagRunOperator, or share a file",
    "run_id": "XComs of another run: share a file, or an asset's extra",
    "include_prior_dates": "XComs of earlier runs: keep the value in a Variable",
}

#: Methods that Airflow calls of an operator, and mlflowkit does not.
_UNCALLED: Final = {"execute_complete": words.DEFERRABLE}


@dataclass(slots=True)
class Scanned:
    """What was found."""

    version: int
    #: What will be an error if its line is reached: a line each, for people.
    notes: list[str] = field(default_factory=list[str])


def scan(file: Path, version: int | None) -> Scanned:
    """Look at a DAG file.

    Args:
        version: 2 or 3; None: what its imports say.

    Raises:
        AirflowFeatureMissing: something that can be seen to be missing, with the line.
    """
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return Scanned(version or 3)  # whoever loads it says what is wrong
    found = Scanned(version or told_version(tree))
    _Scan(str(file), tree, found).look()
    return found


def told_version(tree: ast.AST) -> int:
    """Airflow 3 if it imports what only that has; else 2."""
    modules = {m for node in ast.walk(tree) for m, _ in _imports(node)}
    if _any_below(modules, "airflow.sdk"):
        return 3
    words_used = {
        k.arg for n in ast.walk(tree) if isinstance(n, ast.Call) for k in n.keywords
    }
    if "schedule_interval" in words_used:
        return 2
    if _any_below(modules, "airflow.providers.standard"):
        return 3
    return 2 if _any_below(modules, "airflow") else 3


def _any_below(modules: set[str], package: str) -> bool:
    return any(m == package or m.startswith(f"{package}.") for m in modules)


def _imports(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Modules of Airflow's that a statement imports, each with the name taken from it."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.partition(".")[0] == "airflow":
                yield alias.name, ""
    elif isinstance(node, ast.ImportFrom) and not node.level:
        of_airflow = str(node.module).partition(".")[0] == "airflow"
        for alias in node.names if of_airflow else ():
            yield str(node.module), alias.name


class _Scan:
    """One look at one file."""

    def __init__(self, path: str, tree: ast.Module, found: Scanned) -> None:
        self._path, self._tree, self._found = path, tree, found
        #: Names of the file that stand for something missing.
        self._missing: dict[str, tuple[str, str]] = {}
        self._callables: set[str] = set()

    def look(self) -> None:
        for node in ast.walk(self._tree):
            self._collect(node)
        inside = [
            n for f in ast.walk(self._tree) if isinstance(f, _FUNCTIONS) for n in _body(f)
        ]
        for node in inside:
            self._inside(node)
        for node in ast.walk(self._tree):
            if isinstance(node, ast.ClassDef):
                self._class(node)
            self._anywhere(node)
            if self._found.version == 3:
                self._gone(node)

    def _collect(self, node: ast.AST) -> None:
        if isinstance(node, ast.ImportFrom):
            for (module, name), alias in zip(_imports(node), node.names, strict=False):
                target = MODULES.get(module, {}).get(name)
                if isinstance(target, Missing):
                    todo = str(vars(target)["_todo"])
                    self._missing[alias.asname or name] = (f"{module}.{name}", todo)
        elif isinstance(node, ast.keyword) and node.arg == "python_callable":
            self._callables.add(_name(node.value))

    # ── what is only reached when a task runs ──

    def _inside(self, node: ast.AST) -> None:
        for module, name in _imports(node):
            full = f"{module}.{name}" if name else module
            known = module in MODULES and (
                not name or name in MODULES[module] or full in MODULES
            )
            if not known and name != "*":
                self._note(node, full, todo_for(full))
        if isinstance(node, ast.Name) and node.id in self._missing:
            self._note(node, *self._missing[node.id])

    def _note(self, node: ast.AST, feature: str, todo: str) -> None:
        line = getattr(node, "lineno", 0)
        said = f"{self._path}, line {line}: {feature} is not here: {todo}; an error if it is used"
        if said not in self._found.notes:
            self._found.notes.append(said)

    # ── what can be seen to be missing ──

    def _anywhere(self, node: ast.AST) -> None:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            return
        if node.func.attr == "xcom_pull":
            for one in node.keywords:
                off = isinstance(one.value, ast.Constant) and not one.value.value
                if one.arg in _FAR_PULLS and not off:
                    todo = _FAR_PULLS[one.arg]
                    self._refuse(one, f"xcom_pull({one.arg}=...)", f"there are no {todo}")
        elif node.func.attr == "defer" and _name(node.func.value) == "self":
            self._refuse(node, "self.defer()", words.DEFERRABLE)

    def _class(self, node: ast.ClassDef) -> None:
        for one in node.body:
            if isinstance(one, ast.FunctionDef) and one.name in _UNCALLED:
                self._refuse(one, f"{node.name}.{one.name}()", _UNCALLED[one.name])

    def _gone(self, node: ast.AST) -> None:
        """What Airflow 3 no longer has."""
        for name in _used_of_context(node):
            self._refuse_gone(node, name)
        if isinstance(node, ast.FunctionDef) and self._is_task(node):
            arguments = node.args
            plain = [*arguments.posonlyargs, *arguments.args]
            without = plain[: len(plain) - len(arguments.defaults)]
            for one in without:
                self._refuse_gone(one, one.arg)
        elif isinstance(node, ast.Call) and _name(node.func) == "TriggerDagRunOperator":
            for keyword in node.keywords:
                if keyword.arg == "execution_date":
                    self._refuse_gone(keyword, keyword.arg)

    def _is_task(self, function: ast.FunctionDef) -> bool:
        decorated = " ".join(ast.unparse(one) for one in function.decorator_list)
        return decorated.startswith("task") or function.name in self._callables

    def _refuse_gone(self, node: ast.AST, name: str) -> None:
        if name in words.GONE_IN_3:
            self._refuse(node, name, words.GONE_IN_3[name])

    def _refuse(self, node: ast.AST, feature: str, todo: str) -> None:
        line = int(getattr(node, "lineno", 0))
        raise AirflowFeatureMissing(feature, self._path, line, todo)


def _body(function: ast.AST) -> Iterator[ast.AST]:
    body = getattr(function, "body", [])
    for one in body if isinstance(body, list) else [body]:
        yield from ast.walk(one)


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _used_of_context(node: ast.AST) -> Iterator[str]:
    """Names of the context that a node asks for: in a template, by key, or of a run."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        for inside in _TEMPLATE.findall(node.value):
            yield from _WORD.findall(inside)
    elif isinstance(node, ast.Subscript) and _is_context(node.value):
        yield _text(node.slice)
    elif isinstance(node, ast.Call) and _is_get(node.func):
        yield from (_text(one) for one in node.args[:1])
    elif isinstance(node, ast.Attribute):
        key = node.value.slice if isinstance(node.value, ast.Subscript) else None
        if _name(node.value) in _WITH_DATE or (
            key is not None and _text(key) in _WITH_DATE
        ):
            yield node.attr


def _is_get(function: ast.AST) -> bool:
    """`context.get`, of something that is called like a context."""
    is_get = isinstance(function, ast.Attribute) and function.attr == "get"
    return is_get and _is_context(getattr(function, "value", function))


def _is_context(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return _name(node.func) == "get_current_context"
    return _name(node) in _CONTEXTS


def _text(node: ast.AST) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""
