"""An engine that plans, a clock that a test sets, and a person who publishes DAGs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlflowkit.app import make_engine, make_request
from mlflowkit.authoring.dag import DAG
from mlflowkit.core.events import AttemptFailed, AttemptStarted, AttemptSucceeded
from mlflowkit.core.spec import AttemptId, DagId
from mlflowkit.core.timetable import Timetable, timetable_to_json
from mlflowkit.engine.process import EngineProcess
from mlflowkit.engine.published_dags import FolderDag
from mlflowkit.engine.triggers import trigger
from mlflowkit.handles.run import RunHandle
from mlflowkit.handles.run_list import RunList
from mlflowkit.ports import LaunchOrder, Report
from mlflowkit.store import codec, published
from mlflowkit.store.backfills import Order, Outcome
from mlflowkit.store.tables import runs

#: A Tuesday, noon.
NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


class Clock:
    """Stands still until somebody sets it."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class EagerExecutor:
    """`ports.Executor` whose attempts succeed at once, or when a test says so."""

    def __init__(self, engine: Any, *, hold: bool = False) -> None:
        self._engine, self.hold = engine, hold
        #: Tasks that fail, as "task_id" or "dag/2 task_id".
        self.failing: set[str] = set()
        #: What a task says of the assets that it updates: its task id, URI, extra as JSON.
        self.assets: dict[str, list[tuple[str, bytes]]] = {}
        #: What code outside tasks answers, in order, by the run's id.
        self.answers: dict[str, list[bytes]] = {}
        self.out: list[AttemptId] = []
        self.launched: list[AttemptId] = []
        self.killed: list[AttemptId] = []

    def places(self) -> int:
        return 100_000

    def launch(self, order: LaunchOrder) -> None:
        self.launched.append(order.attempt)
        self.out.append(order.attempt)

    def flush(self) -> None:
        if not self.hold:
            self.release()

    def release(self, *dag_ids: str) -> None:
        """Let attempts end well: all, or those of these DAGs."""
        mine = [a for a in self.out if not dag_ids or a.run_id.partition("/")[0] in dag_ids]
        self.out = [a for a in self.out if a not in mine]
        for one in mine:
            self._engine.report(Report(event=AttemptStarted(one)))
            self._engine.report(self._end_of(one))
        self._engine.loop.wake()

    def _end_of(self, one: AttemptId) -> Report:
        if self.failing & {one.task_id, f"{one.run_id} {one.task_id}"}:
            return Report(event=AttemptFailed(one, "on purpose"))
        assets = self.assets.get(one.task_id, [])
        answers = self.answers.get(one.run_id, [])
        answer = answers.pop(0) if one.number < 0 and answers else b""
        return Report(event=AttemptSucceeded(one), assets=assets, answer=answer)

    def kill(self, attempt: AttemptId, why: str) -> None:
        self.killed.append(attempt)

    def die(self) -> None:
        """What was to be killed is dead."""
        self.out = [a for a in self.out if a not in self.killed]
        for one in self.killed:
            self._engine.report(Report(event=AttemptFailed(one, "killed")))
        self._engine.loop.wake()

    def close(self) -> None: ...


class Office:
    """An engine with its planner on, and what people ask of it."""

    def __init__(
        self,
        home: Path,
        clock: Callable[[], datetime],
        *,
        eager: bool = False,
        plan: bool = True,
    ) -> None:
        self.home, self.clock = home, clock
        self.engine = _eager_engine(home, clock) if eager else make_engine(home, clock)
        if plan:
            self.engine.schedules.plan()

    @property
    def executor(self) -> Any:
        return self.engine._executor

    def publish(
        self, *dags: DAG, paused: bool | None = None, replace: bool = False
    ) -> None:
        for dag in dags:
            request = make_request(dag, {}, {}, self.home)
            self.engine.dags.publish(request, paused=paused, replace=replace)

    def publish_copies(self, dag: DAG, timetables: Mapping[str, Timetable]) -> None:
        """The same DAG many times: with these ids, by these timetables."""
        request = make_request(dag, {}, {}, self.home)
        spec = codec.decode_spec(request.spec_json)
        copies: list[FolderDag] = []
        for dag_id, timetable in timetables.items():
            text = timetable_to_json(timetable)
            one = replace(spec, dag_id=DagId(dag_id), timetable_json=text)
            copy = replace(request, dag_id=dag_id, spec_json=codec.encode_spec(one))
            copies.append(FolderDag(request=copy, file="", paused=False))
        self.engine.dags.publish_all(copies, "/copies")

    def pass_time(self, to: datetime | timedelta) -> None:
        """The clock shows `to`, or so much more; the engine does what is to be done."""
        now = self.clock.now  # type: ignore[attr-defined]
        self.clock.now = now + to if isinstance(to, timedelta) else to  # type: ignore[attr-defined]
        self.settle()

    def until(self, what: Callable[[], Any], seconds: float = 120) -> None:
        """Let the engine work until `what` is true."""
        deadline = time.monotonic() + seconds
        self.engine.serve(lambda: bool(what()) or time.monotonic() > deadline)
        assert what(), f"not in {seconds} s"

    def settle(self) -> None:
        """Let the engine work until nothing is under way and nothing is due."""
        self.until(self._quiet)

    def _quiet(self) -> bool:
        engine, schedules = self.engine, self.engine.schedules
        due = any(left <= 0 for left in schedules.seconds_left())
        waiting = engine._events or engine._reports or engine._again or engine.later
        under_way = any(not one.run.ended for one in engine.all_owned())
        return not (due or waiting or under_way or engine.service_attempts)

    def until_out(self, count: int) -> None:
        """Let the engine work until so many attempts are out, and see that no more come."""
        self.until(lambda: len(self.executor.out) == count)
        self.rounds()
        assert len(self.executor.out) == count

    def rounds(self, count: int = 5) -> None:
        """Let the engine go round so many times: for what is not to happen."""
        left = iter(range(count))

        def enough() -> bool:
            self.engine.loop.wake()
            return next(left, None) is None

        self.engine.serve(enough)

    def runs(self, dag_id: str) -> list[RunHandle]:
        """Its runs, the oldest first."""
        found = [RunHandle(one.run_id, self.home) for one in RunList(self.home, dag_id)]
        return found[::-1]

    def states(self, dag_id: str) -> dict[str, str]:
        """For each logical date (`05-01T00:00`) the state of the run, by logical date."""
        found = self.rows(dag_id)
        return {f"{r.logical_date:%m-%dT%H:%M}": r.state for r in found}

    def rows(self, dag_id: str) -> list[Any]:
        """Its runs as the store has them, by logical date."""
        query = runs.select().where(runs.c.dag_id == dag_id)
        with self.engine.database.reading() as tx:
            found = tx.execute(query.order_by(runs.c.logical_date, runs.c.run_key))
            return list(found)

    def line(self, dag_id: str) -> published.Published:
        """What the scheduler knows of a DAG."""
        return self.engine.dags.known(dag_id)

    def trigger(self, dag_id: str, **options: Any) -> str | None:
        return trigger(self.engine, dag_id, **options)

    def backfill(
        self, dag: DAG, dates: list[datetime], *, max_active: int = 10, rerun: str = ""
    ) -> Outcome:
        request = make_request(dag, {}, {}, self.home)
        order = Order(
            request=request,
            runs=[(d, d, d + DAY) for d in dates],
            rerun=rerun,
            max_active=max_active,
        )
        return self.engine.backfills.start(order)

    def close(self) -> None:
        self.engine.close()


def _eager_engine(home: Path, clock: Callable[[], datetime]) -> EngineProcess:
    return EngineProcess(
        home,
        lambda loop, engine, folder, engine_id: EagerExecutor(engine),
        lambda stored, index: None,
        clock=clock,
    )
