"""For the tests of people who write pipelines: homes that are gone afterwards, stubs, a clock
that is turned by hand, and DAGs that run in the test's own process.

    from mlflowkit.testing import assert_runs, run_task, stub_connections

The same things are pytest fixtures (`mlflowkit_home`, `dag_runner`, `simulate`,
`stub_connections`, `stub_variables`, `frozen_time`): `mlflowkit.testing_plugin`.
Nothing here reads or writes the real home, its connections or its variables, once a home
of the test's own is in place.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflowkit.core.stubs import Outcome
from mlflowkit.errors import RunFailed
from mlflowkit.testing.home import fresh_home
from mlflowkit.testing.stubs import (
    FrozenTime,
    frozen_time,
    stub_connections,
    stub_variables,
)

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from mlflowkit.authoring.dag import DAG
    from mlflowkit.inline import TestRun
    from mlflowkit.testing.notebook import NotebookResult

__all__ = [
    "DagRunner",
    "FrozenTime",
    "Outcome",
    "assert_runs",
    "fresh_home",
    "frozen_time",
    "run_dag",
    "run_notebook",
    "run_task",
    "stub_connections",
    "stub_variables",
]


def run_dag(
    dag: DAG, params: Mapping[str, object] | None = None, **options: Any
) -> TestRun:
    """Run a DAG in this process, to its end, whatever comes of it.

    Args:
        options: Those of `DAG.test`, such as `logical_date`.

    Returns:
        `.state`, `.states()` by task, `.result(task_id)`, `.exception`.

    Raises:
        UserError: the DAG or a parameter does not fit. Nothing has run.
    """
    from mlflowkit.authoring.params import validate_params
    from mlflowkit.inline import TestRun
    from mlflowkit.inline.options import checked_options, files_standing_in

    asked = {**(options.pop("run_conf", None) or {}), **(params or {})}
    checked_options(options)
    spec = dag.check(asked)
    given = validate_params(spec, asked)
    folder = Path(tempfile.mkdtemp(prefix="mlflowkit-test-"))
    try:
        with files_standing_in(options):
            run = TestRun(dag, spec, given, folder, options)
            _to_the_end(run)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return run


def _to_the_end(run: TestRun) -> None:
    try:
        run.go()
    except RunFailed:
        return  # its states say so


def assert_runs(
    dag: DAG,
    states: Mapping[str, str],
    params: Mapping[str, object] | None = None,
    **options: Any,
) -> TestRun:
    """Run a DAG in this process, and compare how all of its tasks ended.

    Args:
        states: By task id, of mapped tasks `fit[0]`; all of them.
        options: Those of `DAG.test`.

    Raises:
        AssertionError: they differ; it says where, and the first error of a task.
    """
    run = run_dag(dag, params, **options)
    found = run.states()
    if found == dict(states):
        return run
    raise AssertionError(_difference(dag, found, states)) from run.exception


def _difference(dag: DAG, found: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    lines = [f"DAG {dag.dag_id!r} ended otherwise:"]
    names = [*wanted, *(name for name in found if name not in wanted)]
    width = max(map(len, names), default=0)
    for name in names:
        have, want = found.get(name), wanted.get(name)
        mark = "  " if have == want else "! "
        told = have or "there is no such task instance"
        if have != want:
            told += f", not {want}" if want else ", and was not named"
        lines.append(f"  {mark}{name.ljust(width)}  {told}")
    return "\n".join(lines)


def run_task(
    dag: DAG,
    task_id: str,
    *,
    params: Mapping[str, object] | None = None,
    xcoms: Mapping[Any, object] | None = None,
    context: Mapping[str, Any] | None = None,
    map_index: int | None = None,
    **options: Any,
) -> Any:
    """Run one task in this process, without what stands above it. Gives its value.

    Args:
        xcoms: The values of other tasks, by task id or (task id, key); of a mapped task, the
            list of its values.
        context: In place of names of the context: `{"ds": "2026-03-01"}`.
        map_index: Of a mapped task; the first instance if None.
        options: Those of `DAG.test`, such as `logical_date`.

    Raises:
        CannotTestTask: it takes a value that `xcoms` does not have.
        TaskSkipped, TaskRescheduled: it skipped itself, or wants to look again later.
        Exception: whatever the task raised.
    """
    from mlflowkit.inline.options import checked_options
    from mlflowkit.inline.task import one_task

    checked_options(options)
    with one_task(dag, params=params, xcoms=xcoms, options=options) as run:
        return run.execute(task_id, map_index, context or {})


def run_notebook(
    notebook: str | Path | NotebookNode,
    *,
    check: bool = True,
    returns: Sequence[str] = (),
    connections: Mapping[str, Any] | None = None,
    variables: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    cell_timeout: timedelta | None = None,
    params: Mapping[str, object] | None = None,
    **more: object,
) -> NotebookResult:
    """Run a notebook in a kernel of its own, with no home and no engine.

    Args:
        notebook: An .ipynb file, or a notebook of nbformat's.
        check: Raise what a cell raised; if not, it is the result's `.error`.
        returns: Names to take out of the kernel at the end.
        connections: Stand in for those of the home, as in `stub_connections`.
        variables: The same for variables.
        secrets: Parameters that are secrets: texts by name. The notebook gets handles, as
            from `secret("var:…")`, and no output shows the text.
        cwd: Its working folder; that of the file if None.
        cell_timeout: Most time for one cell.
        params: Parameters, for names that are options of this function.
        more: Parameters.

    Returns:
        `.values` and `["name"]`, `.cells` with `.status`, `.outputs` and `.text`,
        `.notebook`, `.error`.

    Raises:
        CellFailed: a cell failed, and `check` is True.
        ParameterError, NotebookError: it cannot be run. Nothing has run.
    """
    from mlflowkit.core.secret import secret
    from mlflowkit.testing.notebook import execute, notebook_file

    hidden = {f"_test_secret_{name}": text for name, text in (secrets or {}).items()}
    handles = {name: secret(f"var:_test_secret_{name}") for name in secrets or {}}
    with (
        stub_connections(connections),
        stub_variables({**(variables or {}), **hidden}),
        notebook_file(notebook) as path,
    ):
        return execute(
            path,
            {**(params or {}), **more, **handles},
            check=check,
            returns=returns,
            cwd=cwd,
            cell_timeout=cell_timeout,
        )


class DagRunner:
    """All of it in one hand: what the fixture `dag_runner` gives."""

    def __init__(self, home: Path) -> None:
        #: The home of this test.
        self.home = home

    def run(
        self, dag: DAG, params: Mapping[str, object] | None = None, **options: Any
    ) -> TestRun:
        """See `run_dag`."""
        return run_dag(dag, params, **options)

    def run_task(self, dag: DAG, task_id: str, **options: Any) -> Any:
        """See `run_task`."""
        return run_task(dag, task_id, **options)

    def assert_runs(
        self,
        dag: DAG,
        states: Mapping[str, str],
        params: Mapping[str, object] | None = None,
        **options: Any,
    ) -> TestRun:
        """See `assert_runs`."""
        return assert_runs(dag, states, params, **options)

    def submit(
        self,
        dag: DAG,
        params: Mapping[str, object] | None = None,
        *,
        timeout: float = 60.0,
        **options: Any,
    ) -> Any:
        """Run it in an engine of this home, in processes of its own, and wait for its end.

        Args:
            timeout: Seconds.

        Returns:
            The run, as `dag.run()` gives it, whether it succeeded or not.
        """
        run = dag.run(params, wait=False, **options)
        try:
            run.wait(timeout=timeout)
        except RunFailed:
            return run
        return run
