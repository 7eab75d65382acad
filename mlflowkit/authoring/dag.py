"""DAG and `@dag`: tasks, what they wait for, and the parameters of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, tzinfo
from types import TracebackType
from typing import Any, Unpack

from mlflowkit.authoring import opened
from mlflowkit.authoring.callers import caller_file
from mlflowkit.authoring.dag_actions import DagActions
from mlflowkit.authoring.dag_options import (
    DAG_OPTIONS,
    OPTION_NAMES,
    DagOptions,
    check_dates,
    checked_dag_options,
    only_schedule,
)
from mlflowkit.authoring.dag_params import DagParams
from mlflowkit.authoring.dag_text import described
from mlflowkit.authoring.defaults import checked_defaults
from mlflowkit.authoring.group import TaskGroup, add_group
from mlflowkit.authoring.ids import checked_id
from mlflowkit.authoring.open_groups import current_group
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.authoring.option_values import Callback
from mlflowkit.authoring.params import param_spec
from mlflowkit.authoring.run_options import RUN_OPTIONS
from mlflowkit.authoring.schedule import aware, is_own_timetable, schedule_of, schedule_zone
from mlflowkit.authoring.specs import spec_of
from mlflowkit.core.spec import DagSpec, ParamSpec
from mlflowkit.errors import DuplicateTaskId, UnknownOption, suggest

__all__ = ["DAG", "DAG_OPTIONS", "RUN_OPTIONS"]


class DAG(DagActions):
    """Tasks and what they wait for. `with DAG("name") as dag:` collects those made inside.

    Args:
        schedule: A cron expression, a preset such as "@daily", a timedelta, a timetable,
            assets, or None.
        start_date: First moment that is scheduled; without a zone, the DAG's is taken, or
            else the machine's.
        end_date: Last moment that is scheduled.
        catchup: Whether intervals before now are run, too.
        default_args: Options for tasks that do not say otherwise.
        params: Parameters of a run with their defaults, or `Param(...)`.
        options: Those of `dag_options.DagOptions`.

    Raises:
        UnknownOption, BadOption, BadSchedule: an option that it does not have or cannot take.
        OptionNotHere: one that Airflow has and we do not.
    """

    max_active_runs: int | None
    max_active_tasks: int | None
    dagrun_timeout: timedelta | None
    #: What is called at the end of a run, by kind: success, failure.
    callbacks: dict[str, list[Callback]]
    owner: str
    owner_links: dict[str, str]
    timezone: str | tzinfo | None
    template_searchpath: list[str]
    template_undefined: Any
    user_defined_macros: dict[str, Any]
    user_defined_filters: dict[str, Any]
    render_template_as_native_obj: bool
    jinja_environment_kwargs: dict[str, Any]
    is_paused_upon_creation: bool | None
    fail_fast: bool
    dag_display_name: str
    #: Whose meaning its file has, for workers that load it: {"airflow": 2}.
    compat: Mapping[str, int] = {}

    def __init__(
        self,
        dag_id: str,
        description: str | None = "",
        schedule: object = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        *,
        catchup: bool = False,
        default_args: Mapping[str, Any] | None = None,
        params: Mapping[str, object] | None = None,
        tags: Iterable[str] | None = (),
        doc_md: str | None = None,
        schedule_interval: object = None,
        timetable: object = None,
        **options: Unpack[DagOptions],
    ) -> None:
        for name in options:
            if name not in OPTION_NAMES:
                raise UnknownOption(f"DAG {dag_id!r}", name, DAG_OPTIONS)
        self.dag_id = checked_id("DAG", "dag_id", dag_id)
        where = f"DAG {dag_id!r}"
        vars(self).update(checked_dag_options(where, options))
        self.default_args = checked_defaults(where, default_args or {})
        self.description = description or ""
        start = start_date or self.default_args.get("start_date")
        zone = schedule_zone(self.timezone, start)
        self.start_date = aware(where, start, zone)
        end = end_date or self.default_args.get("end_date")
        self.end_date = aware(where, end, zone, option="end_date")
        check_dates(where, self.start_date, self.end_date)
        old = {"schedule_interval": schedule_interval, "timetable": timetable}
        chosen = only_schedule(where, schedule, old)
        self.schedule, self.timetable_json = schedule_of(dag_id, chosen, zone)
        #: A timetable that is code of a person: it travels with the tasks.
        self.own_timetable = chosen if is_own_timetable(chosen) else None
        self.catchup = catchup
        self.tags = tuple(tags or ())
        self.doc_md = doc_md or ""
        self.origin = str(caller_file() or "")
        self._params: dict[str, ParamSpec] = {}
        self.add_params(param_spec(where, n, v) for n, v in (params or {}).items())
        self._tasks: dict[str, BaseOperator] = {}
        #: The DAGs of the file that it was loaded from, by id.
        self.loaded_with: Mapping[str, DAG] = {}
        self._groups: dict[str, TaskGroup] = {}
        #: Names of what has shared arguments, and was not yet mapped over anything.
        self.partials: set[str] = set()
        #: How often ids were asked for: where the search for a free one goes on.
        self._numbers: dict[str, int] = {}
        opened.made(self)

    # ── writing it ──

    def __enter__(self) -> DAG:
        opened.enter(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        opened.leave(self)
        if kind is None:
            self.check_graph()

    def add(self, task: BaseOperator) -> None:
        """Take in a task.

        Raises:
            DuplicateTaskId: there is another one of that id.
        """
        other = self._tasks.get(task.task_id)
        if task.task_id in self._groups or other not in (None, task):
            raise DuplicateTaskId(self.dag_id, task.task_id)
        self._tasks[task.task_id] = task

    def add_group(self, group: TaskGroup) -> None:
        """Take in a task group.

        Raises:
            DuplicateGroupId: a group or a task has its id.
        """
        add_group(self._groups, group, self._tasks)

    def free_task_id(self, wanted: str, group: TaskGroup | None = None) -> str:
        """`wanted`, or `wanted__1`, `wanted__2` … if it is taken in the group that is open."""
        inside = group or current_group(self)
        prefix = inside.child_id("") if inside else ""
        number = self._numbers.get(prefix + wanted, 0)
        free = f"{wanted}__{number}" if number else wanted
        while prefix + free in self._tasks or prefix + free in self._groups:
            number += 1
            free = f"{wanted}__{number}"
        self._numbers[prefix + wanted] = number
        return free

    def add_params(self, params: Iterable[ParamSpec]) -> None:
        self._params.update({param.name: param for param in params})

    # ── reading it ──

    @property
    def tasks(self) -> list[BaseOperator]:
        return list(self._tasks.values())

    @property
    def task_ids(self) -> list[str]:
        return list(self._tasks)

    @property
    def task_dict(self) -> dict[str, BaseOperator]:
        return dict(self._tasks)

    @property
    def groups(self) -> dict[str, TaskGroup]:
        """Its task groups, by id."""
        return dict(self._groups)

    @property
    def roots(self) -> list[BaseOperator]:
        """The tasks that wait for nothing."""
        return [task for task in self.tasks if not task.upstream()]

    @property
    def leaves(self) -> list[BaseOperator]:
        """The tasks that nothing waits for."""
        waited_for = {name for task in self.tasks for name in task.upstream()}
        return [task for task in self.tasks if task.task_id not in waited_for]

    @property
    def params(self) -> DagParams:
        """`dag.params["n"]`: pass it to a task, which gets the run's value."""
        return DagParams(self.dag_id, self._params)

    @property
    def param_specs(self) -> tuple[ParamSpec, ...]:
        return tuple(self._params.values())

    def get_task(self, task_id: str) -> BaseOperator:
        """Raises KeyError, with a suggestion, if there is no such task."""
        if task_id not in self._tasks:
            hint = suggest(task_id, self._tasks)
            raise KeyError(f"DAG {self.dag_id!r} has no task {task_id!r}.{hint}")
        return self._tasks[task_id]

    def has_task(self, task_id: str) -> bool:
        return task_id in self._tasks

    def spec(self) -> DagSpec:
        """The DAG as plain data.

        Raises:
            CycleFound, UnknownUpstream, DifferentDags: it cannot be drawn.
        """
        return spec_of(self)

    def check_graph(self) -> None:
        """Raises CycleFound if tasks wait for one another in a circle."""
        self.spec()

    # ── showing it ──

    def __repr__(self) -> str:
        return described(self)

    def form(self) -> Any:
        """A form of its parameters, for a notebook: its button runs the DAG, and shows it.

        Raises:
            UserError: the DAG cannot be run as it is.
        """
        from mlflowkit.authoring.runtime import part

        return part("mlflowkit.jupyter.form", "Form")(self)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """The graph as a picture, with the states of its last run; and as text."""
        from mlflowkit.authoring.runtime import part

        found: dict[str, str] = part("mlflowkit.jupyter.picture", "picture")(self)
        return found

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]

    def _repr_svg_(self) -> str | None:
        return self._repr_mimebundle_().get("image/svg+xml")

    def __getstate__(self) -> dict[str, Any]:
        """A DAG travels by name only: workers need its tasks, not the DAG."""
        return {"dag_id": self.dag_id, "_tasks": {}, "_params": self._params}
