"""What a running task asks of its engine, and the answers: plain data, read from the store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from mlflowkit.core.run_facts import run_as_asked
from mlflowkit.core.spec import RETURN_VALUE, AttemptId, DagSpec, RunId, TaskId
from mlflowkit.core.states import TaskState
from mlflowkit.core.view import state_of_task
from mlflowkit.engine.triggers import trigger
from mlflowkit.errors import HomeUnwritable, InternalError
from mlflowkit.store import assets, cached, planned, published, vault, xcoms
from mlflowkit.store import runs as stored
from mlflowkit.store.vault import Vault

if TYPE_CHECKING:
    from mlflowkit.engine.process import EngineProcess

log = logging.getLogger("mlflowkit.engine")
#: No fault of the task: another try may go well.
_OURS = (TypeError, KeyError, ValueError, OSError, SQLAlchemyError, HomeUnwritable)


class Answers:
    """Answers of one engine. Called in its thread."""

    def __init__(self, engine: EngineProcess) -> None:
        self._engine, self._database = engine, engine.database
        self._known: dict[str, Callable[..., Any]] = {
            "xcom": self._xcom,
            "xcom_count": self._xcom_count,
            "xcom_page": self._xcom_page,
            "xcom_digest": self._xcom_digest,
            "service_start": self._service_start,
            "service_stop": self._service_stop,
            "run_states": self._run_states,
            "run_state": self._run_state,
            "run_instances": self._run_instances,
            "trigger_run": self._trigger_run,
            "dag_facts": self._dag_facts,
            "previous_success": self._previous_success,
            "asset_events": self._asset_events,
            "asset_events_of_run": self._asset_events_of_run,
            "cached": self._cached,
        }
        for what in vault.ANSWERS:
            self._known[what] = partial(self._secret, what)

    def ask(self, attempt: AttemptId, what: str, arguments: Mapping[str, Any]) -> Any:
        """Answer a question.

        Raises:
            UserError: a person can mend why there is no answer.
            InternalError: the question makes no sense, or the store cannot be read.
        """
        if what not in self._known:
            raise InternalError(f"the engine has no answer to {what!r}")
        try:
            return self._known[what](attempt, **arguments)
        except _OURS as exc:
            log.exception("no answer to %s", what, extra={"action": "ask_failed"})
            raise InternalError(f"the engine could not answer {what!r}: {exc}") from exc

    # ── XComs ───────────────────────────────────────────────────────────────

    def _xcom(self, attempt: AttemptId, task_id: str, key: str, map_index: int) -> Any:
        owned = self._engine.owned(attempt.run_id)
        with self._database.reading() as tx:
            value = xcoms.get_xcom(tx, owned.run_key, task_id, key, map_index)
            keys = xcoms.keys_of(tx, owned.run_key, task_id) if value is None else []
        instance = owned.run.nodes[TaskId(task_id)].instances.get(map_index)
        succeeded = instance is not None and instance.state is TaskState.SUCCESS
        missing = succeeded and key != RETURN_VALUE  # what returned nothing gives None
        return {"value": value, "succeeded": missing, "keys": keys}

    def _xcom_count(self, attempt: AttemptId, task_id: str, key: str) -> int:
        owned = self._engine.owned(attempt.run_id)
        with self._database.reading() as tx:
            return xcoms.count_xcoms(tx, owned.run_key, task_id, key)

    def _xcom_page(
        self, attempt: AttemptId, task_id: str, key: str, offset: int, limit: int
    ) -> Any:
        owned = self._engine.owned(attempt.run_id)
        with self._database.reading() as tx:
            return xcoms.page_xcoms(
                tx, owned.run_key, task_id, key, offset=offset, limit=limit
            )

    def _xcom_digest(self, attempt: AttemptId, task_id: str, key: str) -> str:
        owned = self._engine.owned(attempt.run_id)
        with self._database.reading() as tx:
            return xcoms.digest_of(tx, owned.run_key, task_id, key)

    def _cached(self, attempt: AttemptId, key: str) -> Any:
        owned = self._engine.owned(attempt.run_id)
        lasts = owned.run.spec.tasks[attempt.task_id].cache or timedelta()
        with self._database.reading() as tx:
            found = cached.kept_result(tx, key)
        if found is None or self._engine.now() - found.made_at >= lasts:
            return None
        return {"run_id": found.run_id, "values": found.values}

    # ── services and secrets ────────────────────────────────────────────────

    def _service_start(
        self,
        attempt: AttemptId,
        name: str,
        argv: list[str],
        env: dict[str, str],
        log: str,
    ) -> int:
        return self._engine.services.start(name, argv, env, Path(log))

    def _service_stop(self, attempt: AttemptId, name: str) -> None:
        self._engine.services.stop(name)

    def _secret(self, what: str, attempt: AttemptId, **arguments: str | None) -> str | None:
        """A connection (JSON) or a variable of the store, or None; see `store.vault`."""
        return vault.ANSWERS[what](Vault(self._database, self._engine.home), **arguments)

    # ── other runs ──────────────────────────────────────────────────────────

    def _run_states(
        self,
        attempt: AttemptId,
        dag_id: str,
        logical_date: str | None = None,
        run_id: str | None = None,
    ) -> Any:
        """A run and the states of its tasks, of a mapped task the worst; None: no such run."""
        with self._database.reading() as tx:
            name = run_id and _full_id(dag_id, run_id)
            if name is None and logical_date is not None:
                date = datetime.fromisoformat(logical_date)
                name = planned.run_at(tx, dag_id, date)
            found = stored.load_run(tx, name) if name else None
        if found is None:
            return None
        tasks = {
            str(task_id): str(state_of_task(node))
            for task_id, node in found.run.nodes.items()
        }
        return {
            "run_id": name,
            "state": str(found.run.row.state),
            "tasks": tasks,
            "groups": _groups(found.run.spec),
        }

    def _run_instances(self, attempt: AttemptId) -> Any:
        """The run that asks: its state, its end, and its task instances with their times."""
        with self._database.reading() as tx:
            found = stored.load_run(tx, attempt.run_id)
        return run_as_asked(found.run) if found is not None else None

    def _run_state(self, attempt: AttemptId, run_id: str) -> str | None:
        with self._database.reading() as tx:
            return stored.state_of(tx, run_id)

    def _trigger_run(
        self,
        attempt: AttemptId,
        dag_id: str,
        run_id: str | None = None,
        conf: Mapping[str, Any] | None = None,
        logical_date: str | None = None,
        reset: bool = False,
    ) -> Any:
        """Start a run of a DAG that this home knows; None: it knows no such DAG."""
        date = datetime.fromisoformat(logical_date) if logical_date else None
        name = _full_id(dag_id, run_id) if run_id else None
        if reset:
            with self._database.reading() as tx:
                there = name if name and stored.state_of(tx, name) else None
                if there is None and date is not None:
                    there = planned.run_at(tx, dag_id, date)
            if there is not None:
                self._engine.start_over(RunId(there))
                return {"run_id": there}
        started = trigger(
            self._engine,
            dag_id,
            run_id=name,
            params=dict(conf or {}),
            logical_date=date,
            asked_by=attempt.run_id,
        )
        return {"run_id": started} if started is not None else None

    def _dag_facts(self, attempt: AttemptId, dag_id: str) -> Any:
        """What the scheduler knows of a DAG; None: it was never published."""
        with self._database.reading() as tx:
            found = published.get(tx, dag_id)
        if found is None:
            return None
        return {
            "dag_id": dag_id,
            "paused": found.paused,
            "tasks": [str(task_id) for task_id in found.spec.tasks],
            "groups": _groups(found.spec),
        }

    def _previous_success(self, attempt: AttemptId) -> Any:
        owned = self._engine.owned(attempt.run_id)
        with self._database.reading() as tx:
            found = planned.last_success(tx, owned.dag_id, owned.logical_date)
        return found and {k: v.isoformat() if v else None for k, v in found.items()}

    # ── assets ──────────────────────────────────────────────────────────────

    def _asset_events(self, attempt: AttemptId, uris: list[str]) -> Any:
        with self._database.reading() as tx:
            return [event.plain() for event in assets.events_of(tx, uris)]

    def _asset_events_of_run(self, attempt: AttemptId) -> Any:
        owned = self._engine.owned(attempt.run_id)
        with self._database.reading() as tx:
            return [event.plain() for event in assets.events_of_run(tx, owned.run_key)]


def _groups(spec: DagSpec) -> dict[str, list[str]]:
    """For each task group its tasks, those of groups inside it, too."""
    found: dict[str, list[str]] = {name: [] for name in spec.groups}
    for inner, group in spec.groups.items():
        name = inner
        while name:
            found[name] += group.tasks
            name = spec.groups[name].parent
    return found


def _full_id(dag_id: str, run_id: str) -> str:
    """A run's id as the store has it: a person may have left out the DAG's."""
    return run_id if run_id.startswith(f"{dag_id}/") else f"{dag_id}/{run_id}"
