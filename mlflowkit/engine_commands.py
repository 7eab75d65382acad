"""What clients may ask of an engine over the home's socket, put into calls of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from mlflowkit.authoring.params import validate_params
from mlflowkit.core.spec import RunId, TaskId
from mlflowkit.engine.process import EngineProcess, decode_request
from mlflowkit.engine.published_dags import FolderDag
from mlflowkit.engine.triggers import trigger
from mlflowkit.errors import DagNotPublished
from mlflowkit.ports import Surroundings
from mlflowkit.store.backfills import Order as BackfillOrder


class Commands:
    """Each by its name: a call, and what of its answer goes back as JSON."""

    def __init__(self, engine: EngineProcess) -> None:
        self._engine = engine
        self._doers: dict[str, Callable[..., Any]] = {
            "ping": lambda: {
                "engine_id": engine.engine_id,
                "planning": engine.schedules.planning,
            },
            "submit": self._submit,
            "cancel": lambda run_id: engine.cancel(RunId(run_id)),
            "retry": self._retry,
            "instance": self._instance,
            "cancel_instances": self._cancel_instances,
            "mark": self._mark,
            "resume": self._resume,
            "stop": engine.stop,
            "publish": self._publish,
            "publish_all": self._publish_all,
            "retire": engine.dags.retire,
            "pause": lambda dag_id: self._pause(dag_id, True),
            "unpause": lambda dag_id: self._pause(dag_id, False),
            "delete_dag": self._delete_dag,
            "trigger": self._trigger,
            "backfill": self._backfill,
            "withdraw": engine.backfills.withdraw,
            "plan": engine.schedules.plan,
            "rest": engine.schedules.rest,
        }

    def handle(self, command: dict[str, Any], answer: Callable[[Any], None]) -> None:
        do = command.pop("do", "")
        self._engine.last_busy = time.monotonic()
        if do == "watch":
            self._engine.watch(RunId(command["run_id"]), lambda state: answer(str(state)))
        elif do in self._doers:
            answer(self._doers[do](**command))
        else:
            raise ValueError(f"it knows no command {do!r}")

    def _submit(self, request: dict[str, Any]) -> dict[str, str]:
        return {"run_id": self._engine.submit(decode_request(request))}

    def _publish(
        self, request: dict[str, Any], paused: bool | None = None, replace: bool = False
    ) -> dict[str, bool]:
        """Hand a DAG to the scheduler: a run request says all that is needed."""
        given = decode_request(request)
        changed = self._engine.dags.publish(given, paused=paused, replace=replace)
        return {"changed": changed, "planning": self._engine.schedules.planning}

    def _publish_all(self, dags: list[dict[str, Any]], folder: str) -> list[Any]:
        given = msgspec.convert(dags, list[FolderDag])
        return list(self._engine.dags.publish_all(given, folder))

    def _pause(self, dag_id: str, paused: bool) -> None:
        self._engine.dags.pause(dag_id, paused)

    def _delete_dag(self, dag_id: str) -> None:
        self._engine.dags.delete(dag_id)

    def _trigger(
        self,
        dag_id: str,
        params: dict[str, Any] | None = None,
        run_id: str | None = None,
        logical_date: str | None = None,
    ) -> dict[str, str]:
        """A run of a published DAG, now, with parameters that were checked."""
        validate_params(self._engine.dags.known(dag_id).spec, params or {})
        date = datetime.fromisoformat(logical_date) if logical_date else None
        name = f"{dag_id}/{run_id}" if run_id else None
        started = trigger(
            self._engine, dag_id, run_id=name, params=params, logical_date=date
        )
        if started is None:
            raise DagNotPublished(dag_id, ())
        return {"run_id": started}

    def _backfill(self, order: dict[str, Any]) -> dict[str, Any]:
        outcome = self._engine.backfills.start(msgspec.convert(order, BackfillOrder))
        found: dict[str, Any] = msgspec.to_builtins(outcome)
        return found

    def _retry(
        self,
        run_id: str,
        task_ids: list[str],
        code: dict[str, Any] | None = None,
        resume: str = "",
        alone: bool = False,
        parts: dict[str, list[int]] | None = None,
    ) -> None:
        newer = None
        if code is not None:
            around = msgspec.convert(code["surroundings"], Surroundings)
            newer = (code["bundle"], msgspec.convert(code["spec_json"], bytes), around)
        chosen = tuple(TaskId(t) for t in task_ids)
        some = {TaskId(t): tuple(i) for t, i in (parts or {}).items()}
        self._engine.retry(RunId(run_id), chosen, newer, resume, alone, some)

    def _instance(self, run_id: str, task_id: str, map_index: int, what: str) -> bool:
        """What a person wants of one task instance of a run that goes on."""
        return self._engine.ask_instance(RunId(run_id), TaskId(task_id), map_index, what)

    def _cancel_instances(self, run_id: str, task_id: str, map_indexes: list[int]) -> str:
        """A person stops task instances. Why they are not stopped, if so."""
        indexes = tuple(map_indexes)
        return self._engine.cancel_instances(RunId(run_id), TaskId(task_id), indexes)

    def _mark(self, run_id: str, task_id: str, map_indexes: list[int], state: str) -> str:
        """A person says how task instances ended. Why they were not marked, if so."""
        if state not in ("success", "failed"):
            raise ValueError(f"a task is marked success or failed, not {state!r}")
        indexes = tuple(map_indexes)
        return self._engine.mark(RunId(run_id), TaskId(task_id), indexes, state)

    def _resume(self, run_ids: list[str] | None = None) -> list[str]:
        chosen = run_ids if run_ids is not None else self._engine.interrupted()
        for run_id in chosen:
            self._engine.resume(RunId(run_id))
        return list(chosen)
