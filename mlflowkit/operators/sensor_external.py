"""ExternalTaskSensor: waits for another DAG, some of its tasks, or a task group of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, NamedTuple, cast

from mlflowkit.authoring.python import with_context
from mlflowkit.authoring.sensor import BaseSensorOperator
from mlflowkit.core.states import RunState, TaskState
from mlflowkit.errors import (
    BadOption,
    ExternalTaskFailed,
    ExternalTaskMissing,
    NoRunDate,
    TaskSkipped,
)
from mlflowkit.operators.questions import RunStates, ask, run_date, run_states


class _Seen(NamedTuple):
    """One run that is waited for, and the states in it that count, by name."""

    run_id: str
    states: Mapping[str, str]


class ExternalTaskSensor(BaseSensorOperator):
    """Waits for the run of another DAG that has the same logical date.

    Args:
        external_dag_id: The DAG (templated).
        external_task_id: One task of it (templated).
        external_task_ids: Several (templated): all must be in `allowed_states`.
        external_task_group_id: All tasks of a task group (templated). Without any of the
            three, the DAG run itself.
        allowed_states: Ends the wait; ["success"] if None.
        skipped_states: Skips this task.
        failed_states: Fails it, at once; skips it with soft_fail. None: it goes on waiting,
            so that somebody can retry the other one.
        execution_delta: How much earlier the other run's logical date is.
        execution_date_fn: Called with the logical date, and those names of the context that
            it has parameters for; gives the other's logical date, or a list of them.
        check_existence: Fail if there is no such DAG, task or task group.
        poll_interval: Another name for poke_interval, for a sensor that is deferrable.

    Raises:
        BadOption: options that exclude each other, or a state that there is not.
    """

    template_fields: ClassVar[Sequence[str]] = (
        "external_dag_id",
        "external_task_id",
        "external_task_ids",
        "external_task_group_id",
    )

    def __init__(
        self,
        task_id: str,
        *,
        external_dag_id: str,
        external_task_id: str | None = None,
        external_task_ids: Collection[str] | None = None,
        external_task_group_id: str | None = None,
        allowed_states: Iterable[str] | None = None,
        skipped_states: Iterable[str] | None = None,
        failed_states: Iterable[str] | None = None,
        execution_delta: timedelta | None = None,
        execution_date_fn: Callable[..., Any] | None = None,
        check_existence: bool = False,
        poll_interval: timedelta | float | None = None,
        **options: Any,
    ) -> None:
        if poll_interval is not None and options.get("deferrable"):
            options = {"poke_interval": poll_interval, **options}
        super().__init__(task_id, **options)
        self.external_dag_id = external_dag_id
        self.external_task_id = external_task_id
        self.external_task_ids = external_task_ids or None
        self.external_task_group_id = external_task_group_id
        self.allowed_states = [str(s) for s in allowed_states or ("success",)]
        self.skipped_states = [str(s) for s in skipped_states or ()]
        self.failed_states = [str(s) for s in failed_states or ()]
        self.execution_delta = execution_delta
        self.execution_date_fn = execution_date_fn
        self.check_existence = check_existence
        self._check_targets()
        self._check_states()

    def poke(self, context: Mapping[str, Any]) -> bool:
        dates = self._dates(context)
        runs = [
            run_states(str(self), self.external_dag_id, logical_date=date) for date in dates
        ]
        if self.check_existence:
            self._check_exists()
        seen = [self._seen(run) for run in runs if run is not None]
        for one in seen:
            self._react(one)
        return len(seen) == len(dates) and all(map(self._is_done, seen))

    # ── options ──

    def _check_targets(self) -> None:
        where = f"sensor {self.task_id!r}"
        given = {
            "external_task_id": self.external_task_id,
            "external_task_ids": self.external_task_ids,
            "external_task_group_id": self.external_task_group_id,
        }
        named = [name for name, value in given.items() if value is not None]
        if len(named) > 1:
            raise BadOption(where, named[1], f"cannot be used together with {named[0]}")
        if self.execution_delta is not None and self.execution_date_fn is not None:
            why = "cannot be used together with execution_delta"
            raise BadOption(where, "execution_date_fn", why)

    def _check_states(self) -> None:
        known = [str(state) for state in (RunState if self._of_run else TaskState)]
        taken: dict[str, str] = {}
        for option in ("allowed_states", "skipped_states", "failed_states"):
            for state in cast("list[str]", getattr(self, option)):
                where = f"sensor {self.task_id!r}"
                if state not in known:
                    why = f"has {state!r}; the states are {', '.join(known)}"
                    raise BadOption(where, option, why)
                if state in taken:
                    raise BadOption(where, option, f"has {state!r}, as {taken[state]} has")
                taken[state] = option

    @property
    def _of_run(self) -> bool:
        named = (self.external_task_id, self.external_task_ids, self.external_task_group_id)
        return all(one is None for one in named)

    @property
    def _task_ids(self) -> list[str]:
        if self.external_task_id is not None:
            return [self.external_task_id]
        return list(dict.fromkeys(self.external_task_ids or ()))

    def _what(self) -> str:
        if self.external_task_group_id is not None:
            return f"task group {self.external_task_group_id!r} of DAG {self.external_dag_id!r}"
        if self._of_run:
            return f"DAG {self.external_dag_id!r}"
        names = ", ".join(map(repr, self._task_ids))
        return f"{names} of DAG {self.external_dag_id!r}"

    # ── looking ──

    def _dates(self, context: Mapping[str, Any]) -> list[datetime]:
        date = run_date(context)
        if date is None:
            raise NoRunDate(self.task_id, "the logical date")
        if self.execution_delta is not None:
            return [date - self.execution_delta]
        if self.execution_date_fn is None:
            return [date]
        kwargs = with_context(self.execution_date_fn, (date,), {}, context)
        found = self.execution_date_fn(date, **kwargs)
        return list(found) if isinstance(found, (list, tuple)) else [found]

    def _seen(self, run: RunStates) -> _Seen:
        if self._of_run:
            return _Seen(run["run_id"], {self.external_dag_id: run["state"]})
        if self.external_task_group_id is not None:
            names = _of_group(run, self.external_task_group_id)
        else:
            names = self._task_ids
        none = str(TaskState.NONE)
        return _Seen(run["run_id"], {name: run["tasks"].get(name, none) for name in names})

    def _react(self, seen: _Seen) -> None:
        failed = {n: s for n, s in seen.states.items() if s in self.failed_states}
        if failed:
            error = ExternalTaskFailed(self.task_id, self._what(), seen.run_id, failed)
            if self.soft_fail:
                raise self._skipped(error)
            raise error
        skipped = [n for n, s in seen.states.items() if s in self.skipped_states]
        if skipped:
            names = ", ".join(skipped)
            raise TaskSkipped(f"skipped as {names} of run {seen.run_id}")

    def _is_done(self, seen: _Seen) -> bool:
        states = seen.states.values()
        return bool(states) and all(state in self.allowed_states for state in states)

    def _check_exists(self) -> None:
        found = ask(str(self), "dag_facts", dag_id=self.external_dag_id)
        if found is None:
            what = f"DAG {self.external_dag_id!r}"
            raise ExternalTaskMissing(self.task_id, what, ())
        group = self.external_task_group_id
        known, wanted = found["tasks"], self._task_ids
        if group is not None:
            known, wanted = list(found["groups"]), [group]
        if not set(wanted) <= set(known):
            raise ExternalTaskMissing(self.task_id, self._what(), known)


def _of_group(run: RunStates, group_id: str) -> list[str]:
    """The tasks of a task group, of the groups inside it, too."""
    groups = cast("Mapping[str, Iterable[str]]", run.get("groups") or {})
    if group_id in groups:
        return list(groups[group_id])
    return [name for name in run["tasks"] if name.startswith(f"{group_id}.")]
