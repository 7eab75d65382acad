"""For the tests of people who write pipelines: homes that are gone afterwards, stubs, a clock
that is turned by hand, and DAGs that run in the test's own process.

    from mlflowkit.testing import assert_runs, run_task, stub_connections

The same things are pytest fixtures (`mlflowkit_home`, `dag_runner`, `simulate`,
`stub_connections`, `stub_variables`, `frozen_time`): `mlflowkit.testing_plugin`.
Nothing here reads or writes the real home, its connections or its variables, once a home
of the test's own is in place.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflowkit.core.stubs import Outcome
from mlflowkit.errors import RunFailed

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from mlflowkit.authoring.dag import DAG
    from mlflowkit.inline import TestRun
    from mlflowkit.testing_notebook import NotebookResult

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
_HOME = "MLFLOWKIT_HOME"
#: Seconds that an engine of a test's home gets to stop.
_PATIENCE = 30.0


# ── homes ───────────────────────────────────────────────────────────────────


@contextmanager
def fresh_home(folder: Path | None = None) -> Generator[Path, None, None]:
    """An empty home, in place of the project's own, that is gone after the block.

    The store is a SQLite file in it. An engine that was started in it is stopped.

    Args:
        folder: Where it lies; a temporary folder if None.
    """
    home = Path(tempfile.mkdtemp(prefix="mlflowkit-home-")) if folder is None else folder
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = os.environ.get(_HOME)
    os.environ[_HOME] = str(home)
    try:
        yield home
    finally:
        _stop_engine(home)
        if before is None:
            os.environ.pop(_HOME, None)
        else:
            os.environ[_HOME] = before
        shutil.rmtree(home, ignore_errors=True)


def _stop_engine(home: Path) -> None:
    import time

    from mlflowkit.engine.client import EngineClient
    from mlflowkit.engine.locks import engine_alive

    if not engine_alive(home):
        return
    client = EngineClient(home)
    if client.connect():
        client.call("stop")
    client.close()
    until = time.monotonic() + _PATIENCE
    while engine_alive(home) and time.monotonic() < until:
        time.sleep(0.02)


# ── stubs ───────────────────────────────────────────────────────────────────


@contextmanager
def stub_connections(
    given: Mapping[str, Any] | None = None, **more: Any
) -> Generator[None, None, None]:
    """`get_connection` answers with these, before the environment and every store.

    Args:
        given: By id: a URI, JSON, a mapping of fields, or a `Connection`.
        more: The same by keyword: `stub_connections(aws_default="aws://…")`.

    Raises:
        InvalidConnection: one of them cannot be read.
    """
    from mlflowkit.hooks.stand_ins import standing_in

    every = {**(given or {}), **more}
    with standing_in({i: _connection(i, value) for i, value in every.items()}):
        yield


def _connection(conn_id: str, value: Any) -> str:
    from mlflowkit.core.connection import Connection

    if isinstance(value, Connection):
        return value.to_json()
    text = json.dumps(value) if isinstance(value, Mapping) else str(value)
    return Connection.from_text(conn_id, text).to_json()


@contextmanager
def stub_variables(
    given: Mapping[str, Any] | None = None, **more: Any
) -> Generator[None, None, None]:
    """`Variable.get` answers with these first; what is set inside the block stays there.

    Args:
        given: Texts by key; anything else is kept as JSON.
        more: The same by keyword.
    """
    from mlflowkit.hooks.stand_ins import standing_in

    every = {**(given or {}), **more}
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in every.items()}
    with standing_in(variables=texts):
        yield


class FrozenTime:
    """A clock that stands still, but where something waits: that takes no time at all."""

    def __init__(self, moment: datetime) -> None:
        self._start = self._now = moment.astimezone(UTC)

    def now(self) -> datetime:
        """Aware, in UTC."""
        return self._now

    def elapsed(self) -> float:
        """Seconds since it was made."""
        return (self._now - self._start).total_seconds()

    def wait(self, seconds: float) -> None:
        """Go on by so many seconds, at once."""
        self._now += timedelta(seconds=max(seconds, 0.0))

    def move(self, by: timedelta | None = None, **units: float) -> None:
        """Go on: `move(hours=1)`, or a timedelta."""
        self._now += by if by is not None else timedelta(**units)


@contextmanager
def frozen_time(moment: datetime | str) -> Generator[FrozenTime, None, None]:
    """Sensors and `dag.test()` live by a clock that is turned by hand: their waits take no
    time. A task's own `datetime.now()` is not touched.

    Args:
        moment: A datetime or ISO text; UTC where no zone is said.
    """
    from mlflowkit.authoring.waiting import using_clock

    found = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    clock = FrozenTime(found if found.tzinfo else found.replace(tzinfo=UTC))
    with using_clock(clock):
        yield clock


# ── DAGs ────────────────────────────────────────────────────────────────────


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
    from mlflowkit.inline_options import checked_options, files_standing_in

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
    from mlflowkit.inline_options import checked_options
    from mlflowkit.inline_task import one_task

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
    from mlflowkit.testing_notebook import execute, notebook_file

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
