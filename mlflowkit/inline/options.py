"""The options of `dag.test()`: what it takes in place of the real world."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from mlflowkit.authoring.dag import DAG
from mlflowkit.authoring.schedule import aware, schedule_zone
from mlflowkit.errors import BadOption, UnknownOption
from mlflowkit.hooks.stand_ins import standing_in

#: Options of `DAG.test` beside the parameters.
OPTIONS: Final = (
    "logical_date",
    "conn_file_path",
    "variable_file_path",
    "mark_success_pattern",
)


def checked_options(options: Mapping[str, Any]) -> None:
    """Raises UnknownOption for one that `DAG.test` does not have."""
    for name in options:
        if name not in OPTIONS:
            raise UnknownOption("a test of a DAG", name, OPTIONS)


def logical_date(dag: DAG, options: Mapping[str, Any]) -> datetime | None:
    """The run's; one without a zone is in that of the DAG. None: nobody said.

    Raises:
        BadOption: it is no date.
    """
    given = options.get("logical_date")
    if isinstance(given, str):
        with suppress(ValueError):
            given = datetime.fromisoformat(given)
    zone = schedule_zone(dag.timezone, dag.start_date)
    return aware(f"DAG {dag.dag_id!r}", given, zone, option="logical_date")


def marked_successful(options: Mapping[str, Any]) -> Callable[[str], bool]:
    """Whether a task is not run, but counts as successful.

    Raises:
        BadOption: the pattern is no regular expression.
    """
    pattern = options.get("mark_success_pattern")
    if pattern is None:
        return lambda _task_id: False
    try:
        marked = re.compile(pattern)
    except (re.error, TypeError) as exc:
        why = f"is no regular expression: {exc}"
        raise BadOption("test()", "mark_success_pattern", why) from exc
    return lambda task_id: marked.fullmatch(task_id) is not None


def files_standing_in(options: Mapping[str, Any]) -> AbstractContextManager[None]:
    """The connections and variables of files, in place of the real ones.

    Raises:
        BadSecretsFile, InvalidConnection: a file cannot be read.
    """
    connections = options.get("conn_file_path")
    variables = options.get("variable_file_path")
    if connections is None and variables is None:
        return nullcontext()
    from mlflowkit.hooks.secrets_files import read_connections, read_variables

    found = read_connections(Path(connections)) if connections is not None else {}
    texts = read_variables(Path(variables)) if variables is not None else None
    return standing_in(
        {conn_id: one.to_json() for conn_id, one in found.items()},
        {key: one.value for key, one in texts.items()} if texts is not None else None,
    )
