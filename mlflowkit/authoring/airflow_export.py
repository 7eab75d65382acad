"""A pipeline file as a DAG file for Airflow 3: the same text with Airflow's names.

Names and meaning are Airflow's already, so the file stays as it was written; what changes
are imports, schedules by time (which give data intervals here), notebook tasks, and options
that only one of the two has. What has no equivalent is said in a comment at the top.

Only reads the text and the loaded DAG; runs nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from mlflowkit.authoring.airflow_calls import Calls
from mlflowkit.authoring.airflow_names import THERE, distribution_of
from mlflowkit.authoring.airflow_text import Edits
from mlflowkit.authoring.lint_source import Source, read_source
from mlflowkit.core.spec import DagSpec
from mlflowkit.errors import PipelineBroken

#: Modules of mlflowkit that work in an Airflow task, too, if it is installed there.
_LIBRARIES = ("mlflowkit.ml",)


@dataclass(slots=True, kw_only=True)
class Exported:
    """A DAG file for Airflow."""

    text: str
    #: What it does not do that the DAG does: each with the line of the pipeline file.
    problems: list[str] = field(default_factory=list[str])


def export_airflow(file: Path, specs: Sequence[DagSpec], dag_id: str | None) -> Exported:
    """The DAGs of a pipeline file or notebook, or the one of that id, for Airflow 3.

    Args:
        specs: The file's DAGs, as they were loaded.

    Raises:
        PipelineBroken: the file does not parse.
    """
    source = read_source(str(file))
    if source is None:
        raise PipelineBroken(str(file), None, "cannot be read as Python")
    return _Exporter(source, specs, dag_id).exported()


class _Exporter:
    """One export."""

    def __init__(
        self, source: Source, specs: Sequence[DagSpec], dag_id: str | None
    ) -> None:
        self._source, self._specs, self._dag_id = source, specs, dag_id
        self._edits = Edits("\n".join(source.lines) + "\n")
        self._problems: dict[str, None] = {}
        self._notes: dict[str, None] = {}
        self._calls = Calls(source, self._edits, specs, self._problem, self._note)

    def exported(self) -> Exported:
        kept = [one for one in self._source.tree.body if not self._left_out(one)]
        for node in (inner for one in kept for inner in _inner_first(one)):
            if isinstance(node, ast.Call):
                self._calls.change(node)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                self._import(node)
        body = self._with_imports(self._edits.result().strip("\n"))
        calls = "".join(f"\n\n{name}()\n" for name in self._uncalled(kept))
        text = f"{self._head()}{body}\n{calls}"
        return Exported(text=text, problems=list(self._problems))

    def _problem(self, node: ast.AST, what: str) -> None:
        where, line = self._source.place(int(getattr(node, "lineno", 1)))
        cell = where.removeprefix(self._source.path).removeprefix(", ")
        self._problems[f"{cell + ', ' if cell else ''}line {line}: {what}"] = None

    def _note(self, what: str) -> None:
        self._notes[what] = None

    # ── imports ──

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "mlflowkit":
                    self._plain_import(node, alias)
            return
        module = node.module or ""
        if node.level or module.partition(".")[0] != "mlflowkit":
            return
        if module.startswith(_LIBRARIES):
            self._note(f"the workers need mlflowkit, for {module}")
            return
        lines = self._new_import(node, module)
        if lines or node.col_offset:
            self._edits.replace(node, lines or "pass")
        else:
            self._edits.remove_lines(node)

    def _plain_import(self, node: ast.Import, alias: ast.alias) -> None:
        if alias.name.startswith(_LIBRARIES):
            self._note(f"the workers need mlflowkit, for {alias.name}")
        else:
            self._problem(node, f"`import {alias.name}`: import the names from it instead")

    def _new_import(self, node: ast.ImportFrom, module: str) -> str:
        found: dict[str, list[str]] = {}
        for alias in node.names:
            if alias.name in ("notebook", "NotebookOperator"):
                continue
            if alias.name not in THERE:
                self._problem(
                    node, f"{alias.name} of {module} has no equivalent in Airflow"
                )
                continue
            there, name = THERE[alias.name]
            local = alias.asname or alias.name
            said = name if local == name else f"{name} as {local}"
            found.setdefault(there, []).append(said)
            self._calls.modules[there] = None
        lines = [
            f"from {m} import {', '.join(sorted(n))}" for m, n in sorted(found.items())
        ]
        indent = "\n" + " " * node.col_offset
        return indent.join(lines)

    def _with_imports(self, body: str) -> str:
        """The text with the imports and constants that changes have brought."""
        imports, constants = self._calls.added_imports(), self._calls.added_constants()
        lines = body.splitlines()
        after, has_imports = 0, False
        for number, statement in enumerate(ast.parse(body).body):
            is_doc = isinstance(statement, ast.Expr) and number == 0
            is_import = isinstance(statement, (ast.Import, ast.ImportFrom))
            if not is_doc and not is_import:
                break
            after = statement.end_lineno or 0
            has_imports = is_import and getattr(statement, "module", "") != "__future__"
        gap = [""] if imports and after and not has_imports else []
        second = ["", *constants] if constants else []
        rest = lines[after:]
        return "\n".join([*lines[:after], *gap, *imports, *second, *rest])

    # ── what is left out ──

    def _left_out(self, statement: ast.stmt) -> bool:
        """Take out what only runs as a script, and other DAGs than the one asked for."""
        is_script = isinstance(statement, ast.If) and "__name__" in {
            n.id for n in ast.walk(statement.test) if isinstance(n, ast.Name)
        }
        if is_script or (self._dag_id and self._is_other_dag(statement)):
            self._edits.remove_lines(statement)
            return True
        return False

    def _is_other_dag(self, statement: ast.stmt) -> bool:
        lines = {line: name for name, _, line in self._source.dag_calls if name}
        inside = [lines[n] for n in map(_at, ast.walk(statement)) if n in lines]
        if inside:
            return self._dag_id not in inside
        called = (
            _called_names(statement) if isinstance(statement, ast.Expr | ast.Assign) else ()
        )
        others = {
            f.name
            for f in self._source.functions.values()
            if self._source.is_dag(f) and self._is_other_dag(f)
        }
        return bool(others & set(called))

    def _uncalled(self, kept: list[ast.stmt]) -> Iterator[str]:
        """`@dag` functions that nobody calls: mlflowkit calls them by itself."""
        called = {name for statement in kept for name in _called_names(statement)}
        for function in self._source.dag_functions(kept):
            if function.name not in called:
                yield function.name
            self._check_defaults(function)

    def _check_defaults(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        arguments = function.args
        plain = [*arguments.posonlyargs, *arguments.args]
        without = plain[: len(plain) - len(arguments.defaults)]
        keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        for one in [*without, *(a for a, default in keywords if default is None)]:
            self._problem(one, f"parameter {one.arg} has no default, which Airflow needs")

    # ── the comment at the top ──

    def _head(self) -> str:
        modules = [*self._calls.modules]
        needed = sorted({distribution_of(m) for m in modules} | {"apache-airflow>=3"})
        name = Path(self._source.path).name
        lines = [f"# Exported from {name} by mlflowkit.", f"# Needs {', '.join(needed)}."]
        for spec in self._specs:
            if spec.start_date is not None and _is_local_zone(spec.start_date):
                self._note(f"DAG {spec.dag_id}: dates without a zone were the machine's")
        lines += [f"# Note: {note}." for note in self._notes]
        if self._problems:
            lines += ["#", "# Not exported:"]
            lines += [f"#   {problem}" for problem in self._problems]
        return "\n".join([*lines, ""])


def _is_local_zone(moment: datetime) -> bool:
    offset = moment.utcoffset() or timedelta()
    return offset != timedelta() and not hasattr(moment.tzinfo, "key")


def _inner_first(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        yield from _inner_first(child)
    yield node


def _at(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 0))


def _called_names(statement: ast.stmt) -> set[str]:
    return {
        n.func.id
        for n in ast.walk(statement)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    }
