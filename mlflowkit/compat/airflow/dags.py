"""DAG and `@dag` with the meaning that Airflow 2 or 3 gives them: schedules, catchup, zones.

Everything else is our DAG's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final, NoReturn

from mlflowkit.authoring.dag import DAG
from mlflowkit.authoring.dag_function import DagFunction
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.authoring.schedule import schedule_zone, timetable_of
from mlflowkit.compat.airflow import switches, timezone, words
from mlflowkit.compat.airflow.finder import answering
from mlflowkit.compat.airflow.missing import missing

#: The schedule of a DAG that says none, in Airflow 2.
DAILY: Final = timedelta(days=1)
_SCHEDULES: Final = ("schedule", "schedule_interval", "timetable")
#: Options that Airflow takes, and that only a screen or a limit of its own would heed.
_NO_MATTER: Final = frozenset(
    {"access_control", "full_filepath", "auto_register", "is_subdag"}
)


class AirflowDag(DAG):
    """A DAG of a file for Airflow.

    Raises:
        AirflowFeatureMissing: an option that is not here, or not in that version.
    """

    version: ClassVar[int]
    #: Whether a DAG that does not say so catches up.
    catches_up: ClassVar[bool]

    def __init__(self, dag_id: str, *args: Any, **options: Any) -> None:
        names = ("description", "schedule", "start_date", "end_date")
        options |= dict(zip(names, args, strict=False))
        options = {k: v for k, v in options.items() if k not in _NO_MATTER}
        if options.pop("sla_miss_callback", None):
            switches.note("sla_miss_callback", switches.PASSED_OVER["sla"])
        if options.pop("max_consecutive_failed_dag_runs", 0):
            switches.note(
                "max_consecutive_failed_dag_runs", "no DAG is paused for its failures"
            )
        self._put_dates(options)
        if options.get("catchup") is None:
            options["catchup"] = self.catches_up
        schedule = self._schedule(dag_id, options)
        for name in _SCHEDULES:
            options.pop(name, None)
        super().__init__(dag_id, schedule=schedule, **options)

    def _put_dates(self, options: dict[str, Any]) -> None:
        """Dates without a zone are UTC's, not the machine's, and so are schedules by them."""
        defaults = dict(options.get("default_args") or {})
        for given in (options, defaults):
            for name in ("start_date", "end_date"):
                if name in given:
                    given[name] = _date(given[name])
        if options.get("default_args") is not None:
            options["default_args"] = defaults
        start = options.get("start_date") or defaults.get("start_date")
        zone = getattr(start, "tzinfo", None)
        options.setdefault("timezone", UTC if zone is None else zone)

    def _schedule(self, dag_id: str, options: Mapping[str, Any]) -> object:
        """What the DAG is scheduled by, as our own DAG takes it."""
        raise NotImplementedError

    # ── what Airflow's DAG has beside ours ──

    @property
    def compat(self) -> Mapping[str, int]:  # type: ignore[override]  # never set
        return {"airflow": self.version}

    @property
    def fileloc(self) -> str:
        """The file that it is written in."""
        return self.origin

    filepath = fileloc

    @property
    def folder(self) -> str:
        """The folder of that file."""
        return str(Path(self.origin).parent) if self.origin else ""

    def add_task(self, task: BaseOperator) -> None:
        """Take in a task that was made without a DAG."""
        task.enter_dag(self)

    def add_tasks(self, tasks: Iterable[BaseOperator]) -> None:
        """Take in several."""
        for task in tasks:
            self.add_task(task)

    def set_dependency(self, upstream_task_id: str, downstream_task_id: str) -> None:
        """The second waits for the first."""
        self.get_task(downstream_task_id).set_upstream(self.get_task(upstream_task_id))

    def test(self, *args: Any, **options: Any) -> Any:
        """As `DAG.test`; `execution_date` is Airflow 2's name for `logical_date`."""
        if "execution_date" in options:
            options["logical_date"] = options.pop("execution_date")
        if args and isinstance(args[0], datetime):
            options, args = {"logical_date": args[0], **options}, args[1:]
        for name in ("session", "use_executor", "run_after"):
            options.pop(name, None)
        with answering(self.version):
            return super().test(*args, **options)

    def run(self, params: Mapping[str, object] | None = None, **more: Any) -> Any:
        with answering(self.version):
            return super().run(params, **more)

    def cli(self) -> NoReturn:
        """Airflow's own command line, for one DAG.

        Raises:
            AirflowFeatureMissing: always.
        """
        raise missing("dag.cli()", words.CLI)


class Dag2(AirflowDag):
    """Airflow 2's: a run is about the interval before it, and catches up; daily if nothing is said."""

    version = 2
    catches_up = True

    def _schedule(self, dag_id: str, options: Mapping[str, Any]) -> object:
        given = {n: options[n] for n in _SCHEDULES if n in options}
        named = [value for value in given.values() if value is not None]
        if len(named) > 1:
            raise missing(f"DAG {dag_id!r} with {' and '.join(given)}", "give one of them")
        if not given:
            return DAILY
        return named[0] if named else None


class Dag3(AirflowDag):
    """Airflow 3's: a run starts at each time of its schedule; none if nothing is said."""

    version = 3
    catches_up = False

    def __init__(self, dag_id: str, *args: Any, **options: Any) -> None:
        for name, todo in words.DAG_OPTIONS_GONE_IN_3.items():
            if name in options:
                raise missing(f"{name}= of DAG {dag_id!r}", todo)
        super().__init__(dag_id, *args, **options)

    def _schedule(self, dag_id: str, options: Mapping[str, Any]) -> object:
        zone = schedule_zone(options.get("timezone"), None)
        schedule = options.get("schedule")
        if schedule is None:
            return None
        return timetable_of(dag_id, schedule, zone, data_intervals=False)


def _date(given: Any) -> Any:
    """A date with a zone; texts are read, as Airflow does in `default_args`."""
    found = timezone.parse(given) if isinstance(given, str) else given
    if isinstance(found, datetime) and found.tzinfo is None:
        return found.replace(tzinfo=UTC)
    return found


# ── @dag ──


class Function2(DagFunction):
    """A function under `@dag`, in a file for Airflow 2."""

    dag_class = Dag2


class Function3(DagFunction):
    """A function under `@dag`, in a file for Airflow 3."""

    dag_class = Dag3


def _decorator(made_of: type[DagFunction]) -> Callable[..., Any]:
    def dag(dag_id: Any = None, /, *args: Any, **options: Any) -> Any:
        """`@dag`, or `@dag(schedule="@daily", ...)`."""
        if callable(dag_id):
            return made_of(dag_id, {})
        if dag_id is not None:
            options["dag_id"] = dag_id
        options |= dict(zip(("description", "schedule"), args, strict=False))

        def decorate(under: Callable[..., object]) -> DagFunction:
            return made_of(under, options)

        return decorate

    return dag


dag2: Final = _decorator(Function2)
dag3: Final = _decorator(Function3)
