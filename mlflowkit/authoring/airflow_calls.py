"""Calls of a pipeline file in Airflow's words: DAGs, options of tasks, notebooks."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Final

from mlflowkit.authoring.airflow_names import (
    DAG_OPTIONS_RENAMED,
    DAG_OPTIONS_THERE,
    HARMLESS,
    NO_TASK_OPTION,
    OPERATORS,
    PAPERMILL,
)
from mlflowkit.authoring.airflow_text import Edits, bracketed, is_plain, named, quoted
from mlflowkit.authoring.lint_source import Source, keyword
from mlflowkit.authoring.notebook import NOTEBOOK_OPTIONS
from mlflowkit.core.spec import DagSpec

_INTERVAL = "airflow.timetables.interval"
_NOT_BY_TIME: Final = ("@once", "@continuous", "@none")
#: Options that may be seconds here, and have to be a timedelta there.
_SPANS: Final = frozenset({"execution_timeout", "dagrun_timeout"})
_TEXT_ONLY: Final = frozenset({"returns", "params", "cell_timeout"})
Problem = Callable[[ast.AST, str], None]


class Calls:
    """Changes calls, and knows which imports and lines the changes need."""

    def __init__(
        self,
        source: Source,
        edits: Edits,
        specs: Sequence[DagSpec],
        problem: Problem,
        note: Callable[[str], None],
    ) -> None:
        self._source, self._edits, self._specs = source, edits, specs
        self._problem, self._note = problem, note
        #: Modules of Airflow that are imported.
        self.modules: dict[str, None] = {}
        self._imports: dict[str, None] = {}
        self._notebooks = False

    def change(self, call: ast.Call) -> None:
        """Put a call into Airflow's words."""
        name = self._own_name(call.func)
        if name in ("notebook", "NotebookOperator"):
            self._edits.replace(call, self._papermill(call, name))
        elif name == "notebook.partial().expand":
            self._mapped_notebook(call)
        elif self._source.is_dag_name(call.func):
            self._dag(call)
        elif name.removesuffix(".partial") in OPERATORS:
            if call.args:
                self._edits.insert(call.args[0], "task_id=")
            self._options(call)
        elif name == "task" or name.startswith("task.") or name.endswith(".override"):
            self._options(call)

    def added_imports(self) -> list[str]:
        """Imports that the changed calls use."""
        if self._notebooks:
            self._imports["from pathlib import Path"] = None
            self._imports[f"from {PAPERMILL} import PapermillOperator"] = None
            self.modules[PAPERMILL] = None
        there = {
            f"from {one.module} import {alias.name}"
            for one in self._source.tree.body
            if isinstance(one, ast.ImportFrom)
            for alias in one.names
            if alias.asname is None
        }
        return sorted(self._imports.keys() - there)

    def added_constants(self) -> list[str]:
        """Names of the top level that the changed calls use."""
        if not self._notebooks:
            return []
        return [
            "_HERE = Path(__file__).parent  # the notebooks lie beside this file",
            '_EXECUTED = "/tmp"  # where executed notebooks go',
        ]

    def _own_name(self, node: ast.expr) -> str:
        """Its name in mlflowkit, without the modules: `BashOperator.partial`."""
        full = self._source.name_of(node)
        if full.partition(".")[0] != "mlflowkit":
            return full if full.endswith(".override") else ""
        parts = full.split(".")[1:]
        while (
            len(parts) > 1 and parts[0].islower() and parts[0] not in ("task", "notebook")
        ):
            parts = parts[1:]
        return ".".join(parts)

    # ── DAGs ──

    def _dag(self, call: ast.Call) -> None:
        if len(call.args) > 1:
            self._problem(call, "arguments of a DAG without names: name them")
        gone: list[ast.keyword] = []
        for one in call.keywords:
            name = DAG_OPTIONS_RENAMED.get(str(one.arg), one.arg)
            if name == "schedule":
                self._edits.replace(one, f"schedule={self._schedule(call, one.value)}")
            elif name == "timezone":
                gone.append(one)  # it is in the timetable
            elif name == "owner":
                gone.append(one)
                self._problem(one, "owner= of a DAG: put it into default_args")
            elif name is not None and name not in DAG_OPTIONS_THERE:
                gone.append(one)
                self._problem(one, f"{name}= of a DAG has no equivalent in Airflow")
            elif name in _SPANS:
                self._span(one)
            elif name == "default_args" and isinstance(one.value, ast.Dict):
                self._default_args(one.value)
            elif name != one.arg:
                self._edits.replace(one, f"{name}={self._edits.text_of(one.value)}")
        self._remove(call, gone)

    def _default_args(self, given: ast.Dict) -> None:
        for key in given.keys:
            name = str(key.value) if isinstance(key, ast.Constant) else ""
            if key is not None and name in NO_TASK_OPTION.keys() - HARMLESS:
                why = NO_TASK_OPTION[name]
                self._problem(key, f"{name} in default_args: {why}")

    def _schedule(self, call: ast.Call, value: ast.expr) -> str:
        """A schedule by time as a timetable with data intervals: Airflow 3 gives a cron
        expression or a timedelta none unless it is told to."""
        text = self._edits.text_of(value)
        meant = self._source.meant(value)
        if isinstance(meant, ast.Constant) and isinstance(meant.value, str):
            if meant.value in _NOT_BY_TIME:
                return "None" if meant.value == "@none" else text
            self._needs(_INTERVAL, "CronDataIntervalTimetable")
            return f"CronDataIntervalTimetable({text}, timezone={quoted(self._zone(call))})"
        is_call = isinstance(meant, ast.Call)
        name = self._source.name_of(meant.func) if isinstance(meant, ast.Call) else ""
        if name in ("datetime.timedelta", "dateutil.relativedelta.relativedelta"):
            self._needs(_INTERVAL, "DeltaDataIntervalTimetable")
            return f"DeltaDataIntervalTimetable({text})"
        plain = isinstance(meant, (ast.Constant, ast.List, ast.BinOp)) or is_call
        if not plain:
            self._problem(
                value,
                "the schedule is worked out when the file is loaded: if it is a cron "
                "expression or a timedelta, Airflow gives its runs no data interval",
            )
        return text

    def _zone(self, call: ast.Call) -> str:
        given = self._source.constant_text(keyword(call, "timezone"))
        if given:
            return given
        ids = {name: c for name, c, _ in self._source.dag_calls}
        mine = [s for s in self._specs if ids.get(str(s.dag_id)) is call] or self._specs
        start = mine[0].start_date if mine else None
        key = getattr(start.tzinfo, "key", None) if start is not None else None
        if isinstance(key, str):
            return key
        if start is None or start.utcoffset():
            self._note("schedules without a zone were the machine's; here they are UTC's")
        return "UTC"

    # ── options of tasks ──

    def _options(self, call: ast.Call) -> None:
        gone: list[ast.keyword] = []
        for one in call.keywords:
            if one.arg and one.arg in NO_TASK_OPTION:
                gone.append(one)
                if one.arg not in HARMLESS:
                    self._problem(one, f"{one.arg}=: {NO_TASK_OPTION[one.arg]}")
            elif one.arg in _SPANS:
                self._span(one)
        self._remove(call, gone)

    def _span(self, one: ast.keyword) -> None:
        meant = self._source.meant(one.value)
        if isinstance(meant, ast.Constant) and isinstance(meant.value, (int, float)):
            self._imports["from datetime import timedelta"] = None
            text = self._edits.text_of(one.value)
            self._edits.replace(one, f"{one.arg}=timedelta(seconds={text})")

    def _remove(self, call: ast.Call, gone: list[ast.keyword]) -> None:
        """Write a call again without some of its arguments."""
        if gone:
            kept = [*call.args, *(one for one in call.keywords if one not in gone)]
            parts = ", ".join(self._edits.text_of(one) for one in kept)
            self._edits.replace(call, f"{self._edits.text_of(call.func)}({parts})")

    def _needs(self, module: str, name: str) -> None:
        self.modules[module] = None
        self._imports[f"from {module} import {name}"] = None

    # ── notebooks ──

    def _papermill(self, call: ast.Call, name: str) -> str:
        """A notebook task as a PapermillOperator; as a value, so that it can be passed on."""
        options, parameters = self._notebook_arguments(call)
        margin = self._margin(call)
        if parameters:
            pairs = [f"{quoted(name)}: {text}" for name, text in parameters.items()]
            options["parameters"] = bracketed("{", pairs, "}", f"{margin}    ")
        made = bracketed("PapermillOperator(", named(options), ")", margin)
        return f"{made}.output" if name == "notebook" else made

    def _mapped_notebook(self, call: ast.Call) -> None:
        """`notebook.partial(...).expand(x=xs)`: papermill maps over whole sets of parameters."""
        inner = call.func.value if isinstance(call.func, ast.Attribute) else None
        if not isinstance(inner, ast.Call):
            return
        options, shared = self._notebook_arguments(inner, mapped=True)
        if len(call.keywords) != 1 or call.keywords[0].arg is None or call.args:
            self._problem(call, "a notebook mapped over several arguments")
            return
        axis, over = str(call.keywords[0].arg), call.keywords[0].value
        pairs = [f"{quoted(k)}: {v}" for k, v in {**shared, axis: axis}.items()]
        each = f"{{{', '.join(pairs)}}}"
        text = self._edits.text_of(over)
        if isinstance(self._source.meant(over), (ast.List, ast.Tuple)):
            sets = f"[{each} for {axis} in {text}]"
        else:
            sets = f"{text}.map(lambda {axis}: {each})"
            if any(not is_plain(k.value) for k in inner.keywords if k.arg in shared):
                self._problem(call, "a mapped notebook that also takes outputs of tasks")
        made = bracketed(
            "PapermillOperator.partial(", named(options), ")", self._margin(call)
        )
        self._edits.replace(call, f"{made}.expand(parameters={sets}).output")

    def _margin(self, call: ast.Call) -> str:
        """The white space before the line that a call begins in."""
        line = self._source.lines[call.lineno - 1]
        return line[: len(line) - len(line.lstrip())]

    def _notebook_arguments(
        self, call: ast.Call, *, mapped: bool = False
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Options of the operator, and parameters of the notebook, as texts."""
        self._notebooks = True
        place = call.args[0] if call.args else keyword(call, "path")
        path = self._source.constant_text(place) or "notebook.ipynb"
        stem = PurePath(path).stem
        parameters: dict[str, str] = {}
        index = "-{{ ti.map_index }}" if mapped else ""
        options: dict[str, str] = {
            "task_id": quoted(re.sub(r"[^\w.-]+", "_", stem)),
            "input_nb": f"str(_HERE / {self._edits.text_of(place) if place else quoted(path)})",
            "output_nb": f'_EXECUTED + "/{stem}-{{{{ run_id }}}}{index}.ipynb"',
        }
        for one in call.keywords:
            text = self._edits.text_of(one.value)
            if one.arg is None:
                self._problem(one.value, f"**{text} of a notebook task")
            elif one.arg == "returns":
                self._problem(
                    one,
                    f"papermill returns no values: {text} of {path} (let it write files)",
                )
            elif one.arg == "cell_timeout":
                self._problem(one, "cell_timeout=: papermill has it for the kernel only")
            elif one.arg in ("params", "parameters") and isinstance(one.value, ast.Dict):
                parameters |= self._items(one.value)
            elif one.arg in NO_TASK_OPTION:
                if one.arg not in HARMLESS:
                    self._problem(one, f"{one.arg}=: {NO_TASK_OPTION[one.arg]}")
            elif one.arg in NOTEBOOK_OPTIONS and one.arg not in _TEXT_ONLY:
                options[one.arg] = text
            elif one.arg != "path":
                parameters[one.arg] = text
        return options, parameters

    def _items(self, given: ast.Dict) -> dict[str, str]:
        found: dict[str, str] = {}
        for key, value in zip(given.keys, given.values, strict=True):
            if isinstance(key, ast.Constant):
                found[str(key.value)] = self._edits.text_of(value)
        return found
