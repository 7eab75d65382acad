"""DAG and `@dag`: tasks, what they wait for, and the parameters of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from html import escape
from types import TracebackType
from typing import Any

from mlflowkit.authoring import opened
from mlflowkit.authoring.callers import caller_file
from mlflowkit.authoring.check import check_dag
from mlflowkit.authoring.dag_params import DagParams
from mlflowkit.authoring.operator import TASK_OPTIONS, BaseOperator, checked_id
from mlflowkit.authoring.params import param_spec, validate_params
from mlflowkit.authoring.schedule import aware, schedule_text
from mlflowkit.authoring.specs import spec_of
from mlflowkit.core.spec import DagSpec, ParamSpec
from mlflowkit.errors import (
    BadOption,
    DuplicateTaskId,
    RunWhileLoading,
    UnknownOption,
    UnknownParameter,
    suggest,
)

#: Options of `dag.run()`; every other keyword is a parameter of the DAG.
RUN_OPTIONS = frozenset(
    {"retries", "retry_delay", "refresh", "wait", "targets", "code", "logical_date"}
)
DAG_OPTIONS = frozenset(
    {
        "dag_id",
        "description",
        "schedule",
        "start_date",
        "catchup",
        "default_args",
        "params",
    }
    | {"tags", "doc_md", "schedule_interval"}
)


class DAG:
    """Tasks and what they wait for. `with DAG("name") as dag:` collects those made inside.

    Args:
        schedule: A cron expression, a preset such as "@daily", a timedelta, or None.
        start_date: First moment that is scheduled; without a zone, the machine's is taken.
        catchup: Whether intervals before now are run, too.
        default_args: Options for tasks that do not say otherwise.
        params: Parameters of a run with their defaults, or `Param(...)`.

    Raises:
        UnknownOption, BadOption, BadSchedule: an option that it does not have or cannot take.
    """

    def __init__(
        self,
        dag_id: str,
        description: str = "",
        schedule: str | timedelta | None = None,
        start_date: datetime | None = None,
        *,
        catchup: bool = False,
        default_args: Mapping[str, Any] | None = None,
        params: Mapping[str, object] | None = None,
        tags: Iterable[str] = (),
        doc_md: str | None = None,
        schedule_interval: str | timedelta | None = None,
        **unknown: object,
    ) -> None:
        if unknown:
            raise UnknownOption(f"DAG {dag_id!r}", next(iter(unknown)), DAG_OPTIONS)
        self.dag_id = checked_id("DAG", "dag_id", dag_id)
        where = f"DAG {dag_id!r}"
        if schedule is not None and schedule_interval is not None:
            raise BadOption(where, "schedule_interval", "is schedule's old name: give one")
        self.default_args = _checked_defaults(where, default_args or {})
        self.description = description
        self.schedule = schedule_text(
            dag_id, schedule if schedule is not None else schedule_interval
        )
        self.start_date = aware(where, start_date or self.default_args.get("start_date"))
        self.catchup = catchup
        self.tags = tuple(tags)
        self.doc_md = doc_md or ""
        self.origin = str(caller_file() or "")
        self._params: dict[str, ParamSpec] = {}
        self.add_params(param_spec(where, n, v) for n, v in (params or {}).items())
        self._tasks: dict[str, BaseOperator] = {}
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
        if self._tasks.setdefault(task.task_id, task) is not task:
            raise DuplicateTaskId(self.dag_id, task.task_id)

    def free_task_id(self, wanted: str) -> str:
        """`wanted`, or `wanted__1`, `wanted__2` … if it is taken."""
        free, number = wanted, 0
        while free in self._tasks:
            number += 1
            free = f"{wanted}__{number}"
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

    def check(self, params: Mapping[str, object] | None = None, **more: object) -> DagSpec:
        """Look for mistakes before a run: the graph, parameters, arguments, notebooks.

        Raises:
            UserError: the first mistake that was found.
        """
        spec = self.spec()
        validate_params(spec, self._joined_params(params, more))
        check_dag(self)
        return spec

    # ── running it ──

    def run(self, params: Mapping[str, object] | None = None, **more: Any) -> Any:
        """Start a run at once, and give it back while it goes on.

        Keywords are parameters of the DAG, but for RUN_OPTIONS; `params={...}` always
        means parameters.

        Raises:
            RunWhileLoading: the file that holds this call is only being loaded.
            ParameterError: a parameter does not fit. Nothing has run.
        """
        why = opened.why_not_run()
        if why:
            raise RunWhileLoading(self.dag_id, why)
        options = {k: v for k, v in more.items() if k in RUN_OPTIONS}
        given = self._joined_params(
            params, {k: v for k, v in more.items() if k not in options}
        )
        self._refuse_clashes(options)
        self.check(given)
        from mlflowkit.authoring.runtime import get_runtime

        return get_runtime().run(self, given, options)

    def test(self, params: Mapping[str, object] | None = None, **more: object) -> Any:
        """Run it in this process, without a store; breakpoints work."""
        given = self._joined_params(params, more)
        self.check(given)
        from mlflowkit.authoring.runtime import get_runtime

        return get_runtime().test(self, given)

    def runs(self) -> Any:
        """Its runs, the newest first."""
        from mlflowkit.authoring.runtime import get_runtime

        return get_runtime().runs(self.dag_id)

    def _joined_params(
        self, params: Mapping[str, object] | None, more: Mapping[str, object]
    ) -> dict[str, object]:
        twice = sorted(set(params or {}) & set(more))
        where = f"DAG {self.dag_id!r}"
        if twice:
            raise BadOption(
                where, twice[0], "is given as a keyword and in params: give it once"
            )
        for name in more:
            if name not in self._params:
                raise UnknownParameter(where, name, [*self._params, *RUN_OPTIONS])
            if name in TASK_OPTIONS | RUN_OPTIONS:
                raise BadOption(where, name, f"is reserved: use params={{{name!r}: ...}}")
        return {**(params or {}), **more}

    def _refuse_clashes(self, options: Mapping[str, object]) -> None:
        for name in options:
            if name in self._params:
                raise BadOption(
                    f"DAG {self.dag_id!r}",
                    name,
                    "is an option of run() and a parameter of the DAG: "
                    f"for the parameter, use params={{{name!r}: ...}}",
                )

    # ── showing it ──

    def __repr__(self) -> str:
        count = len(self._tasks)
        head = f"DAG {self.dag_id}: {count} task{'s' * (count != 1)}"
        return "\n".join([head, *(f"  {line}" for line in self._lines())])

    def _lines(self) -> Iterable[str]:
        for task in self._tasks.values():
            above = ", ".join(task.upstream())
            mapped = f" (mapped over {', '.join(task.axes)})" if task.axes else ""
            yield f"{above + ' >> ' if above else ''}{task.task_id}{mapped}"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"

    def __getstate__(self) -> dict[str, Any]:
        """A DAG travels by name only: workers need its tasks, not the DAG."""
        return {"dag_id": self.dag_id, "_tasks": {}, "_params": self._params}


def _checked_defaults(where: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options for all tasks. Names that look like a misspelt option are refused."""
    for name in given:
        if name not in TASK_OPTIONS and suggest(name, TASK_OPTIONS):
            raise UnknownOption(f"default_args of {where}", name, TASK_OPTIONS)
    return dict(given)
