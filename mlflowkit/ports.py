"""What one side asks of another. Neighbours meet here, and never import each other.

A port has few methods, and each is a promise. Implementations are named in two
files only: `app.py` (the engine's side) and `worker_main.py` (the worker's side).
Progress and the running task are here too: user code, steps and notebooks reach
the worker that runs them through `running_task()`, and do nothing outside one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from mlflowkit.core.events import AttemptEvent
from mlflowkit.core.spec import AttemptId, RunId
from mlflowkit.core.values import StoredValue

# ── engine ↔ executor ───────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the person who started the run had around them: tasks see the same."""

    python: str
    env: Mapping[str, str]
    cwd: str
    sys_path: tuple[str, ...]
    umask: int
    #: Changes with every `pip install`: a template that is older is not used again.
    distributions: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOrder:
    """All that an executor needs to run one attempt. Plain data."""

    attempt: AttemptId
    #: 1 for the first try; lost attempts do not count.
    try_number: int
    max_tries: int
    #: Folder of the bundle that holds the code.
    bundle: str
    surroundings: Surroundings
    #: JSON objects: the run's parameters and facts (logical date, interval, …).
    params_json: bytes
    facts_json: bytes
    #: XComs it takes as arguments: those that are small enough ride along.
    inputs: Mapping[str, StoredValue | None] = field(
        default_factory=dict[str, "StoredValue | None"]
    )
    #: For each argument that a mapped task expands over: which of its items is this one's.
    axes: tuple[tuple[str, int], ...] = ()
    #: Keys of its XComs that some task expands over.
    expanded_keys: tuple[str, ...] = ()
    isolate: bool = False
    #: When its first attempt started, and how often it has been rescheduled since.
    first_started_at: datetime | None = None
    reschedules: int = 0
    #: What to do instead of the task: "callback", "timetable"; with its arguments (JSON).
    service: str = ""
    service_json: bytes = b"{}"
    #: Hash of what the task does; empty unless results are kept.
    cache_code: str = ""
    #: What a person wished for when they had the run tried again: "cell" or nothing.
    resume: str = ""
    #: The attempt's own files.
    log: str = ""
    journal: str = ""
    state_dir: str = ""
    #: Human path of an executed notebook, without suffix.
    output_base: str = ""
    artifacts: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an executor tells of an attempt: the event, and what came with it."""

    event: AttemptEvent
    #: Its XComs; visible once the event is committed.
    values: Sequence[tuple[str, StoredValue]] = ()
    #: The whole error, for people.
    error: str = ""
    #: Facts for the attempt's row: pid, host, peak memory in bytes, …
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    #: Assets that it has updated, with what it said of them (JSON).
    assets: Sequence[tuple[str, bytes]] = ()
    #: What its result is kept under, for equal code and inputs.
    cache_key: str = ""
    #: What a service attempt gave (JSON).
    answer: bytes = b""


class Engine(Protocol):
    """What an executor may tell and ask the engine."""

    def report(self, report: Report) -> None:
        """Hand in a report. Order is kept for each attempt. Never blocks."""
        ...

    def ask(self, attempt: AttemptId, what: str, arguments: Mapping[str, Any]) -> Any:
        """What the code of a running attempt wants: plain data.

        `xcom(task_id, key, map_index)`, `xcom_count(task_id, key)`,
        `xcom_page(task_id, key, offset, limit)`, `service_start(name, argv, env, log)`,
        `service_stop(name)`, `connection(conn_id)`, `variable(key)`,
        `variable_set(key, value, description)`, `variable_delete(key)`,
        `run_states(dag_id, logical_date, run_id)`, `run_state(run_id)`, `run_instances()`,
        `trigger_run(dag_id, run_id, conf, logical_date, reset)`, `dag_facts(dag_id)`,
        `previous_success()`, `asset_events(uris)`, `asset_events_of_run()`, `cached(key)`.
        """
        ...


class Loop(Protocol):
    """What waits for files to become ready, in the engine's single thread."""

    def add_reader(self, fd: int, call: Callable[[], None]) -> None: ...
    def remove_reader(self, fd: int) -> None: ...
    def add_writer(self, fd: int, call: Callable[[], None]) -> None: ...
    def remove_writer(self, fd: int) -> None: ...
    def call_soon(self, call: Callable[[], None]) -> None: ...
    def call_later(self, seconds: float, call: Callable[[], None]) -> None: ...


class HeldKernels(Protocol):
    """The kernels of failed notebooks of a home that are held. Answers at once, or says that
    there is none."""

    def opened(self) -> Collection[tuple[str, str, int]]:
        """Run, task and map index (-1: not mapped) of those that somebody has open."""
        ...

    def release(self, run_id: str, task_ids: Collection[str], *, opened: bool) -> None:
        """End what is held of these tasks of a run; of none: of all. With `opened` also
        what somebody has open."""
        ...


class Executor(Protocol):
    """A place where attempts run. It reports; it never decides."""

    def places(self) -> int:
        """How many more attempts it would take now."""
        ...

    def launch(self, order: LaunchOrder) -> None:
        """Start an attempt, soon. The same id twice starts it once."""
        ...

    def kill(self, attempt: AttemptId, why: str) -> None:
        """End an attempt and every process below it: interrupt, SIGTERM, SIGKILL.

        Its end is reported when it is known dead. An unknown id is no error.
        """
        ...

    def close(self) -> None:
        """Kill what runs, and leave nothing behind."""
        ...


# ── task ↔ worker ───────────────────────────────────────────────────────────


class Services(Protocol):
    """Processes that live longer than the task that starts them: a model server."""

    def start(
        self, name: str, argv: list[str], *, env: Mapping[str, str], log: Path
    ) -> int:
        """Start `argv` outside of the attempt's own processes. Returns its pid."""
        ...

    def stop(self, name: str) -> None:
        """End the service of that name, if it runs."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Cells of a mapped notebook may be run once for all task instances of a run."""

    #: Parameters that differ from instance to instance.
    mapped: tuple[str, ...]
    #: Names the run and the task: nothing is shared beyond them.
    run: str
    #: Which instance this is, for people: "instance 3".
    instance: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookOrder:
    """One notebook to execute."""

    path: Path
    parameters: Mapping[str, object]
    #: Names to take out of the kernel at the end.
    returns: tuple[str, ...] = ()
    #: Where the executed notebook goes.
    output: Path
    #: The notebook's own folder, if None.
    cwd: Path | None = None
    kernel_name: str | None = None
    cell_timeout: timedelta | None = None
    #: Most time for the whole notebook.
    timeout: timedelta | None = None
    #: Kept over the attempts of a task instance.
    state_dir: Path | None = None
    #: After which cells its variables are stored there: "auto", "always" or "never".
    checkpoint: str = "never"
    #: Go on from what an earlier attempt has stored.
    resume: bool = False
    #: How long its kernel is held when a cell fails; None: it ends.
    keep_failed_kernel: timedelta | None = None
    #: What a held kernel is found by: `home`, `run_id`, `task_id`, `map_index`, `attempt`.
    owner: Mapping[str, Any] = field(default_factory=dict[str, Any])
    #: Its prefix is shared, where that is safe.
    shared: Shared | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellEvent:
    """What a notebook did. `kind`: notebook_started, cell_started, cell_output, cell_running
    (every few seconds while a cell runs), cell_ended, progress, notebook_ended."""

    kind: str
    #: Position in the notebook, from 0, all cells counted; -1 where it is about none.
    cell: int = -1
    #: Facts by kind: `source` (first line), `text` (of a stream or an error, shortened),
    #: `output_type`, `status` ("ok", "error", "timeout", "killed", "interrupted"), `seconds`,
    #: `cells` (how many code cells there are), progress facts; `at` (seconds since 1970);
    #: of the kernel `cpu` (seconds since the cell began), `rss` and `peak` (bytes); while it
    #: runs `quiet` and `idle` (seconds since its last output, and since it last used CPU) and
    #: `last` (its last line of output).
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


class NotebookRunner(Protocol):
    """What executes notebooks."""

    def run(
        self, order: NotebookOrder, on_event: Callable[[CellEvent], None]
    ) -> Mapping[str, object]:
        """Execute a notebook, and write the executed one to `order.output`.

        Returns:
            What it pushed and what `returns` names.

        Raises:
            NotebookError: it cannot be run at all.
            CellFailed: a cell failed; `.values` has what was pushed before.
        """
        ...


class RunningTask(Protocol):
    """What a task may ask of the worker that runs it."""

    @property
    def context(self) -> Mapping[str, Any]: ...
    @property
    def services(self) -> Services: ...
    @property
    def notebooks(self) -> NotebookRunner: ...
    def pull(self, task_id: str, key: str, map_index: int | None) -> Any: ...
    def push(self, key: str, value: object) -> None: ...
    def follow(self, task_ids: Sequence[str]) -> None:
        """A branch: of the tasks directly below, these go on; the others are skipped."""
        ...

    def halt(self, *, direct_only: bool) -> None:
        """A short circuit: all below is skipped, or only what is directly below."""
        ...

    def asset_event(self, uri: str, extra: Mapping[str, object]) -> None:
        """Facts that ride on the event of an asset that this task updates."""
        ...

    def ask(self, what: str, **arguments: Any) -> Any:
        """What the engine answers; see `Engine.ask`."""
        ...

    def progress(self, facts: Mapping[str, object]) -> None: ...
    def cell_event(self, event: CellEvent) -> None: ...


_running: ContextVar[RunningTask | None] = ContextVar(
    "mlflowkit_running_task", default=None
)
#: Set inside a notebook's kernel: where progress goes.
_kernel_progress: list[Callable[[Mapping[str, object]], None]] = []


#: The same for threads that user code starts: a process runs one attempt at a time.
_latest: list[RunningTask] = []


def running_task() -> RunningTask | None:
    """The task that this code runs in, or None."""
    return _running.get() or (_latest[-1] if _latest else None)


@contextmanager
def as_running(task: RunningTask) -> Generator[None, None, None]:
    """Everything inside runs as part of `task`."""
    token = _running.set(task)
    _latest.append(task)
    try:
        yield
    finally:
        _latest.pop()
        _running.reset(token)


def report_progress(**facts: object) -> None:
    """Tell whoever watches how far the task is; outside a task, nothing happens.

    Names that screens know: `done`, `total`, `epoch`, `epochs`, `loss`, `accuracy`,
    `images_per_s`, `message`.
    """
    task = running_task()
    if task is not None:
        task.progress(facts)
    for tell in _kernel_progress:
        tell(facts)


def current_services() -> Services | None:
    """Where to start long-lived processes, or None outside a task."""
    task = running_task()
    return task.services if task is not None else None


# ── person ↔ engine ─────────────────────────────────────────────────────────


class Runtime(Protocol):
    """What `dag.run()` and its like ask of the app. Filled by the front door on first use."""

    def run(
        self, dag: Any, params: Mapping[str, object], options: Mapping[str, Any]
    ) -> Any: ...
    def test(
        self, dag: Any, params: Mapping[str, object], options: Mapping[str, Any]
    ) -> Any: ...
    def runs(self, dag_id: str | None) -> Any: ...
    def publish(self, dag: Any, *, paused: bool | None, replace: bool) -> Any: ...
    def backfill(
        self,
        dag: Any,
        start: Any,
        end: Any,
        params: Mapping[str, object],
        options: Mapping[str, Any],
    ) -> Any: ...


#: In the JSON of parameters: this one lies in the artifact store.
STORED = "$stored"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A DAG run that somebody wants. Plain data."""

    dag_id: str
    spec_json: bytes
    bundle: str
    params_json: bytes
    surroundings: Surroundings
    run_type: str = "manual"
    logical_date: datetime | None = None
    #: Task ids whose code changed since the last run of this DAG, for people.
    notes: tuple[str, ...] = ()
    #: Its id; None: the DAG's and the next number.
    run_id: RunId | None = None
    #: Start and end; None: both are the logical date.
    data_interval: tuple[datetime, datetime] | None = None
    backfill_id: int | None = None
    #: DAGs that its tasks may start though nobody has published them.
    companions: tuple[RunRequest, ...] = ()
