"""The text of a pipeline file for the lint rules: what its names mean, what runs at load.

Only reads the text; runs nothing.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Final

from mlflowkit.authoring.cells import dag_cells
from mlflowkit.errors import UserError

Function = ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_NOT_NOW: Final = (*_FUNCTIONS, ast.Lambda, ast.GeneratorExp)
_IGNORE = re.compile(r"#\s*mlflowkit:\s*ignore(?:\[(?P<rules>[^\]]*)\])?")
_TASKS: Final = frozenset({"mlflowkit.task", "airflow.decorators.task", "airflow.sdk.task"})
_DAGS: Final = frozenset({"dag", "DAG"})


class Source:
    """A pipeline file or notebook that parses."""

    def __init__(self, path: str, pieces: Iterable[tuple[str, str]]) -> None:
        self.path = path
        self._starts: list[int] = []
        self._names: list[str] = []
        lines: list[str] = []
        for name, text in pieces:
            self._starts.append(len(lines))
            self._names.append(name)
            lines += text.splitlines()
        self.lines = lines
        self.tree = ast.parse("\n".join(lines) + "\n")

    def place(self, line: int) -> tuple[str, int]:
        """The file, or the cell of a notebook, and the line in it."""
        index = max(bisect_right(self._starts, line - 1) - 1, 0)
        return self._names[index], line - self._starts[index]

    def ignored(self, rule: str, first: int, last: int) -> bool:
        """Does a comment on one of the lines leave the rule out?"""
        for line in self.lines[max(first - 1, 0) : last]:
            found = _IGNORE.search(line)
            if found is not None:
                rules = found["rules"]
                if rules is None or rule in re.split(r"[,\s]+", rules.strip()):
                    return True
        return False

    # ── names ──

    @cached_property
    def imported(self) -> dict[str, str]:
        """Names by which modules and their members are known in the file."""
        found: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    found[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        return found

    @cached_property
    def assigned(self) -> dict[str, ast.expr]:
        """Names of the top level that are given a value once, with its expression."""
        found: dict[str, ast.expr] = {}
        twice: set[str] = set()
        for node in self.tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            for target in targets:
                if isinstance(target, ast.Name) and isinstance(node, ast.Assign):
                    twice |= {target.id} & found.keys()
                    found[target.id] = node.value
        return {name: value for name, value in found.items() if name not in twice}

    @cached_property
    def functions(self) -> dict[str, Function]:
        """Functions of the top level."""
        return {n.name: n for n in self.tree.body if isinstance(n, _FUNCTIONS)}

    def name_of(self, node: ast.AST) -> str:
        """`datetime.datetime.now` for `datetime.now`; empty where it has no such name.
        A call in the middle shows as `()`."""
        if isinstance(node, ast.Name):
            return self.imported.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            above = self.name_of(node.value)
            return f"{above}.{node.attr}" if above else ""
        if isinstance(node, ast.Call):
            inner = self.name_of(node.func)
            return f"{inner}()" if inner else ""
        return ""

    def meant(self, node: ast.expr) -> ast.expr:
        """What a name of the top level stands for, or the expression itself."""
        for _ in range(5):
            if not isinstance(node, ast.Name) or node.id not in self.assigned:
                return node
            node = self.assigned[node.id]
        return node

    def constant_text(self, node: ast.expr | None) -> str | None:
        """The text of a literal, or of a name of the top level that holds one."""
        meant = self.meant(node) if node is not None else None
        if isinstance(meant, ast.Constant) and isinstance(meant.value, str):
            return meant.value
        return None

    def is_task(self, function: Function) -> bool:
        return any(
            self.name_of(_called(one)).removesuffix("()") in _TASKS
            or self.name_of(_called(one)).startswith(tuple(f"{t}." for t in _TASKS))
            for one in function.decorator_list
        )

    def is_dag(self, function: Function) -> bool:
        return any(self.is_dag_name(_called(one)) for one in function.decorator_list)

    def is_dag_name(self, node: ast.AST) -> bool:
        """Is it `DAG` or `dag` of mlflowkit or Airflow?"""
        package, _, last = self.name_of(node).rpartition(".")
        return last in _DAGS and package.partition(".")[0] in ("mlflowkit", "airflow")

    @cached_property
    def task_functions(self) -> list[Function]:
        """Functions under `@task` or one of its kinds, wherever they are."""
        walked = ast.walk(self.tree)
        return [n for n in walked if isinstance(n, _FUNCTIONS) and self.is_task(n)]

    @cached_property
    def dag_calls(self) -> list[tuple[str, ast.Call | None, int]]:
        """Each DAG that is written out: its id (empty if not a literal), its call, its line."""
        found: list[tuple[str, ast.Call | None, int]] = []
        for node in ast.walk(self.tree):
            if isinstance(node, _FUNCTIONS):
                for one in node.decorator_list:
                    if self.is_dag_name(_called(one)):
                        call = one if isinstance(one, ast.Call) else None
                        found.append((self._id(call) or node.name, call, one.lineno))
            elif isinstance(node, ast.Call) and self._makes_dag(node):
                found.append((self._id(node), node, node.lineno))
        return found

    def _makes_dag(self, call: ast.Call) -> bool:
        name = self.name_of(call.func)
        return name.endswith(".DAG") and self.is_dag_name(call.func)

    def _id(self, call: ast.Call | None) -> str:
        if call is None:
            return ""
        first = call.args[0] if call.args else keyword(call, "dag_id")
        return self.constant_text(first) or ""

    def dag_functions(self, body: Iterable[ast.AST]) -> Iterator[Function]:
        """Those of the nodes that are functions under `@dag`."""
        for node in body:
            if isinstance(node, _FUNCTIONS) and self.is_dag(node):
                yield node

    # ── what runs at load ──

    @cached_property
    def at_load(self) -> list[ast.AST]:
        """Every expression and statement that runs when the file is loaded."""
        return list(self._running(self.tree.body, set()))

    def _running(self, body: Iterable[ast.stmt], seen: set[str]) -> Iterator[ast.AST]:
        for statement in body:
            if isinstance(statement, _FUNCTIONS):
                for one in (*statement.decorator_list, *statement.args.defaults):
                    yield from self._now(one, seen)
                if self.is_dag(statement):
                    yield from self._running(statement.body, seen)
            elif isinstance(statement, ast.If) and self._is_guard(statement.test):
                yield from self._running(statement.orelse, seen)
            else:
                yield from self._parts(statement, seen)

    def _parts(self, statement: ast.stmt, seen: set[str]) -> Iterator[ast.AST]:
        """A statement, and what is in it."""
        yield statement
        for child in ast.iter_child_nodes(statement):
            if isinstance(child, ast.stmt):
                yield from self._running([child], seen)
            elif isinstance(child, (ast.ExceptHandler, ast.match_case)):
                yield from self._running(child.body, seen)
            else:
                yield from self._now(child, seen)

    def _now(self, node: ast.AST, seen: set[str]) -> Iterator[ast.AST]:
        """An expression and all of it that is evaluated now, with what it calls here."""
        if isinstance(node, _NOT_NOW):
            return
        yield node
        for child in ast.iter_child_nodes(node):
            yield from self._now(child, seen)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called = self.functions.get(node.func.id)
            if called is not None and not called.decorator_list and called.name not in seen:
                seen.add(called.name)
                yield from self._running(called.body, seen)

    def _is_guard(self, test: ast.expr) -> bool:
        """`if TYPE_CHECKING` or `if __name__ == …`: what is below does not run at load."""
        if self.name_of(test) == "typing.TYPE_CHECKING":
            return True
        names = [n.id for n in ast.walk(test) if isinstance(n, ast.Name)]
        return isinstance(test, ast.Compare) and "__name__" in names


def read_source(path: str) -> Source | None:
    """The source of a pipeline file or notebook; None if it does not parse."""
    file = Path(path)
    try:
        if file.suffix == ".ipynb":
            return Source(path, [(c.name_in(file), c.source) for c in dag_cells(file)])
        return Source(path, [(path, file.read_bytes().decode())])
    except (SyntaxError, ValueError, OSError, UserError):
        return None


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """What a call gives for a keyword."""
    return next((k.value for k in call.keywords if k.arg == name), None)


def _called(decorator: ast.expr) -> ast.expr:
    return decorator.func if isinstance(decorator, ast.Call) else decorator
