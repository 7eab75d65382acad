"""Lint rules about tasks and parameters, from the text of a file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Final

from mlflowkit.authoring.lint_load import Spot, spot
from mlflowkit.authoring.lint_source import Function, Source, keyword
from mlflowkit.core.spec import DagSpec

LONGEST_TASK_LINES: Final = 150
#: Names by which a task knows which time it works for.
_INTERVAL: Final = frozenset(
    {"ds", "ds_nodash", "ts", "ts_nodash", "logical_date", "data_interval_start"}
    | {"data_interval_end", "run_id", "context", "get_current_context", "dag_run", "ti"}
    | {"execution_date", "triggering_asset_events", "map_index"}
)
#: Methods of any object whose first argument is where they write.
_WRITERS: Final = frozenset(
    {"to_csv", "to_parquet", "to_json", "to_pickle", "to_excel", "to_feather", "to_hdf"}
    | {"write_csv", "write_parquet", "savefig"}
)
_SAVERS: Final = frozenset(
    {"numpy.save", "numpy.savez", "numpy.savetxt", "numpy.savez_compressed"}
)
_PATH_WRITERS: Final = frozenset({"write_text", "write_bytes"})
#: Arguments of operators that name where they write.
_DESTINATIONS: Final[Mapping[str, str]] = {
    "LocalFilesystemToS3Operator": "dest_key",
    "S3FileTransformOperator": "dest_s3_key",
    "S3FileTransferOperator": "dest_s3_key",
}
_OLD_OPTIONS: Final[Mapping[str, str]] = {
    "schedule_interval": "schedule",
    "timetable": "schedule",
    "concurrency": "max_active_tasks",
}
_OLD_TASK_OPTIONS: Final[Mapping[str, str]] = {
    "task_concurrency": "max_active_tis_per_dag",
    "provide_context": "nothing: the context is given by name",
}
_OLD_VARIABLES: Final[Mapping[str, str]] = {
    "execution_date": "logical_date",
    "next_execution_date": "data_interval_end",
    "prev_execution_date": "prev_data_interval_start_success",
    "next_ds": "data_interval_end | ds",
    "prev_ds": "macros.ds_add(ds, -1)",
    "tomorrow_ds": "macros.ds_add(ds, 1)",
    "yesterday_ds": "macros.ds_add(ds, -1)",
}
_OLD_IN_TEMPLATE = re.compile(r"\{\{[^}]*?\b(" + "|".join(_OLD_VARIABLES) + r")\b[^}]*\}\}")


def fixed_outputs(source: Source, dags: list[DagSpec]) -> Iterator[Spot]:
    """fixed-output"""
    if not dags or not all(dag.schedule or dag.timetable_json for dag in dags):
        return
    for function in source.task_functions:
        if _knows_interval(function):
            continue
        for node in ast.walk(function):
            place = _written_place(source, node) if isinstance(node, ast.Call) else None
            if place is not None:
                what = f"task {function.name} writes to {place!r} in each run"
                yield spot("fixed-output", node, what)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            yield from _fixed_destination(source, node)


def _knows_interval(function: Function) -> bool:
    names = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
    arguments = function.args
    names |= {
        a.arg for a in (*arguments.args, *arguments.kwonlyargs, *arguments.posonlyargs)
    }
    return arguments.kwarg is not None or bool(names & _INTERVAL)


def _written_place(source: Source, call: ast.Call) -> str | None:
    """The fixed place that a call writes to, if it does."""
    first = source.constant_text(call.args[0]) if call.args else None
    name = source.name_of(call.func)
    if name in ("open", "io.open"):
        mode = call.args[1] if len(call.args) > 1 else keyword(call, "mode")
        return first if set(source.constant_text(mode) or "r") & set("wxa") else None
    if name in _SAVERS:
        return first
    if not isinstance(call.func, ast.Attribute):
        return None
    method, owner = call.func.attr, call.func.value
    if method in _PATH_WRITERS and isinstance(owner, ast.Call) and owner.args:
        is_path = source.name_of(owner.func) == "pathlib.Path"
        return (
            source.constant_text(owner.args[0])
            if is_path and len(owner.args) == 1
            else None
        )
    if method in _WRITERS:
        return first
    if method.startswith("load_") and "Hook()" in source.name_of(owner):
        return source.constant_text(keyword(call, "key"))
    return None


def _fixed_destination(source: Source, call: ast.Call) -> Iterator[Spot]:
    operator = source.name_of(call.func).rpartition(".")[2]
    option = _DESTINATIONS.get(operator)
    place = source.constant_text(keyword(call, option)) if option else None
    if place and "{{" not in place:
        what = f"{operator} writes to {place!r} in each run"
        yield spot("fixed-output", call, what)


def unsafe_retries(source: Source, dags: list[DagSpec]) -> Iterator[Spot]:
    """retries-not-idempotent"""
    inherited = {
        str(name)
        for dag in dags
        for name, task in dag.tasks.items()
        if task.retry.retries > 0
    }
    by_decorator = {
        id(one): function.name
        for function in source.task_functions
        for one in function.decorator_list
    }
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call) or not _says_false(keyword(node, "idempotent")):
            continue
        given = keyword(node, "retries")
        own_id = source.constant_text(keyword(node, "task_id"))
        name = own_id or by_decorator.get(id(node), "")
        wanted = source.meant(given) if given is not None else None
        tries_again = (
            isinstance(wanted, ast.Constant) and bool(wanted.value)
            if wanted is not None
            else name in inherited
        )
        if tries_again:
            what = f"task {name} is not idempotent and has retries"
            yield spot("retries-not-idempotent", node, what)


def _says_false(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def long_tasks(source: Source) -> Iterator[Spot]:
    """long-task"""
    for function in source.task_functions:
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > LONGEST_TASK_LINES:
            what = f"task {function.name} has {lines} lines"
            yield Spot("long-task", function.lineno, function.lineno, what)


def unused_params(source: Source) -> Iterator[Spot]:
    """unused-param: arguments that neither the function nor any text of the file names."""
    for function in source.dag_functions(ast.walk(source.tree)):
        inside = {
            n.id for s in function.body for n in ast.walk(s) if isinstance(n, ast.Name)
        }
        for argument in (*function.args.args, *function.args.kwonlyargs):
            if argument.arg not in inside and not _params_are_read(source):
                what = f"nothing uses the parameter {argument.arg}"
                yield spot("unused-param", argument, what)


def _params_are_read(source: Source) -> bool:
    """Does any task or template of the file look at `params`? Then all may be used."""
    return any(map(_reads_params, ast.walk(source.tree)))


def _reads_params(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        is_template = "{{" in node.value or "{%" in node.value
        return is_template or node.value.endswith((".sql", ".sh"))
    if isinstance(node, ast.arg):
        return node.arg in ("params", "context", "dag_run")
    if isinstance(node, ast.Attribute):
        return node.attr in ("params", "conf")
    return isinstance(node, ast.Name) and node.id in ("locals", "get_current_context")


def old_names(source: Source) -> Iterator[Spot]:
    """deprecated-name"""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            yield from _old_options(source, node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = _OLD_IN_TEMPLATE.search(node.value)
            if found:
                yield _old(node, found[1], f"Use {_OLD_VARIABLES[found[1]]}.")
    for function in source.task_functions:
        for argument in (*function.args.args, *function.args.kwonlyargs):
            if argument.arg in _OLD_VARIABLES:
                yield _old(argument, argument.arg, f"Use {_OLD_VARIABLES[argument.arg]}.")


def _old_options(source: Source, call: ast.Call) -> Iterator[Spot]:
    name = source.name_of(call.func)
    package = name.partition(".")[0]
    if package not in ("mlflowkit", "airflow"):
        return
    last = name.rpartition(".")[2]
    old = _OLD_OPTIONS if last in ("DAG", "dag") else _OLD_TASK_OPTIONS
    for one in call.keywords:
        if one.arg and one.arg in old:
            yield _old(one.value, f"{one.arg}=", f"Use {old[one.arg]}.")
    if last == "DummyOperator":
        yield _old(call, "DummyOperator", "Use EmptyOperator.")


def _old(node: ast.AST, name: str, todo: str) -> Spot:
    return spot("deprecated-name", node, f"{name} is an old name", todo)
