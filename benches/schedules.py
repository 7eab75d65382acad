"""The scheduler: how late runs start when a thousand DAGs are due in the same second, what
it costs while nothing is due, and how long it thinks with ten thousand DAGs.

Late is from the moment that the schedule names to the committed start of the run. The engine
has a real clock and real workers; DAGs share one bundle.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlflowkit import DAG, task
from mlflowkit.app import make_engine, make_request
from mlflowkit.core.spec import DagId
from mlflowkit.core.timetable import CronTriggerTimetable, Timetable, timetable_to_json
from mlflowkit.engine.process import EngineProcess
from mlflowkit.engine.published_dags import FolderDag
from mlflowkit.store import codec
from mlflowkit.store.tables import runs

DAGS, MANY, IDLE_SECONDS = 1_000, 10_000, 10.0
#: DAGs that are due at once among the many.
DUE = 10


@task
def work() -> None: ...


def run() -> dict[str, object]:
    """Seconds, milliseconds and per cent of a core."""
    os.environ["MLFLOWKIT_PARALLELISM"] = "2"
    found: dict[str, object] = {}
    for measure in (_late, _many):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["MLFLOWKIT_HOME"] = folder
            engine = make_engine(Path(folder))
            try:
                found |= measure(engine, Path(folder))
            finally:
                engine.close()
                del os.environ["MLFLOWKIT_HOME"]
    del os.environ["MLFLOWKIT_PARALLELISM"]
    return found


def _late(engine: EngineProcess, home: Path) -> dict[str, object]:
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=20)
    cron = f"{due.minute} {due.hour} * * * {due.second}"
    engine.schedules.plan()
    _publish(engine, home, {f"d{i}": _at(cron) for i in range(DAGS)})
    _serve(engine, lambda: engine.now() >= due - timedelta(seconds=12))
    before = time.process_time()
    _serve(engine, lambda: engine.now() >= due - timedelta(seconds=2))
    idle = (time.process_time() - before) / IDLE_SECONDS
    _serve(engine, lambda: _started(engine) == DAGS)
    with engine.database.reading() as tx:
        starts = list(tx.execute(runs.select()).mappings())
    late = sorted((row["started_at"] - due).total_seconds() for row in starts)
    return {
        f"{DAGS:,} DAGs due at once: latest start, s": late[-1],
        f"{DAGS:,} DAGs due at once: median start, s": statistics.median(late),
        f"{DAGS:,} DAGs: idle, % of a core": idle * 100,
    }


def _many(engine: EngineProcess, home: Path) -> dict[str, object]:
    never = "0 0 1 1 *"
    before = time.perf_counter()
    _publish(engine, home, {f"d{i}": _at(never) for i in range(MANY)})
    published = time.perf_counter() - before
    before = time.perf_counter()
    engine.schedules.plan()
    first = time.perf_counter() - before
    engine.schedules.rest()
    before = time.perf_counter()
    engine.schedules.plan()
    again = time.perf_counter() - before
    ticks: list[float] = []
    for number in range(10):
        names = range(number * DUE, number * DUE + DUE)
        now = engine.now().replace(microsecond=0) + timedelta(seconds=2)
        cron = f"* * * * * {now.second}"
        _publish(engine, home, {f"d{i}": _at(cron) for i in names})
        time.sleep(max((now - engine.now()).total_seconds(), 0))
        before = time.perf_counter()
        engine.schedules.tick()
        ticks.append(time.perf_counter() - before)
    return {
        f"{MANY:,} DAGs: published for the first time, s": published,
        f"{MANY:,} DAGs: planned for the first time, s": first,
        f"{MANY:,} DAGs: start of the next scheduler, ms": again * 1000,
        f"{MANY:,} DAGs: a tick that starts {DUE} of them, ms": statistics.median(ticks)
        * 1000,
    }


def _at(cron: str) -> Timetable:
    return CronTriggerTimetable(cron, timezone="UTC")


def _publish(engine: EngineProcess, home: Path, timetables: dict[str, Timetable]) -> None:
    with DAG("template") as dag:
        work()
    request = make_request(dag, {}, {}, home)
    spec = codec.decode_spec(request.spec_json)
    copies: list[FolderDag] = []
    for dag_id, timetable in timetables.items():
        text = timetable_to_json(timetable)
        one = replace(spec, dag_id=DagId(dag_id), timetable_json=text)
        copy = replace(request, dag_id=dag_id, spec_json=codec.encode_spec(one))
        copies.append(FolderDag(request=copy, file="", paused=False))
    engine.dags.publish_all(copies, "/copies")


def _started(engine: EngineProcess) -> int:
    with engine.database.reading() as tx:
        query = runs.select().where(runs.c.started_at.is_not(None))
        return len(tx.execute(query).all())


def _serve(engine: EngineProcess, until: Any) -> None:
    deadline = time.monotonic() + 120
    engine.serve(lambda: until() or time.monotonic() > deadline)
