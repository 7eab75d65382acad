"""The tables. Their CHECKs are made of `core.states`, so they cannot disagree with it.

Times are aware UTC in Python and naive UTC in the database. `run_key` is a small
number that stands for a run id inside the store. Rows of task instances are the
truth; the run log says how they came to be, and a test replays it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)

from mlflowkit.core.states import RunState, TaskState

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; naive ones are refused."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is not UTC:
            value = value.astimezone(UTC)
        return value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None else None


def _one_of(column: str, states: type[TaskState] | type[RunState]) -> CheckConstraint:
    names = ", ".join(f"'{s}'" for s in states)
    return CheckConstraint(f"{column} IN ({names})", name=column)


dags = Table(
    "dags",
    metadata,
    Column("dag_id", String(250), primary_key=True),
    Column("last_number", Integer, nullable=False),  # of its runs
    Column("origin", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

#: Long texts that many runs share: specs and surroundings, by hash.
texts = Table(
    "texts",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

#: The run types that come of a timetable.
PLANNED = "run_type IN ('scheduled', 'backfill')"

runs = Table(
    "runs",
    metadata,
    Column("run_key", Integer, primary_key=True, autoincrement=True),
    Column("run_id", String(300), nullable=False, unique=True),
    Column("dag_id", String(250), ForeignKey("dags.dag_id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("run_type", String(30), nullable=False),
    Column("state", String(20), nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("cancelled", Boolean, nullable=False, default=False),
    Column("spec", String(64), ForeignKey("texts.sha256"), nullable=False),
    Column("surroundings", String(64), ForeignKey("texts.sha256"), nullable=False),
    Column("bundle", Text, nullable=False),
    Column("params", LargeBinary, nullable=False),
    Column("notes", LargeBinary, nullable=False),
    Column("engine_id", String(60), nullable=True),  # the one that may write it
    Column("log_seq", Integer, nullable=False, default=0),
    Column("logical_date", UtcDateTime, nullable=True),
    Column("data_interval_start", UtcDateTime, nullable=True),
    Column("data_interval_end", UtcDateTime, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime, nullable=True),
    Column("ended_at", UtcDateTime, nullable=True),
    Column("backfill_id", Integer, nullable=True),
    Column("companions", String(64), nullable=True),  # hash of a text
    #: "cell": who had it tried again wants notebooks to go on from the failed cell.
    Column("resume", String(20), nullable=False, server_default=""),
    _one_of("state", RunState),
    Index(None, "dag_id", "number"),
    Index(None, "state"),
)
#: A schedule and a backfill never make two runs for the same interval of a DAG.
Index(
    "uq_runs_planned",
    runs.c.dag_id,
    runs.c.logical_date,
    runs.c.data_interval_end,
    unique=True,
    sqlite_where=text(PLANNED),
)

nodes = Table(
    "nodes",
    metadata,
    Column("run_key", Integer, ForeignKey("runs.run_key"), primary_key=True),
    Column("task_id", String(250), primary_key=True),
    Column("length", Integer, nullable=True),
    Column("next_index", Integer, nullable=False),
    Column("lengths", LargeBinary, nullable=False),
    Column("left_out", LargeBinary, nullable=False, server_default="{}"),
    Column("waits_past", Boolean, nullable=False, server_default="0"),
)

task_instances = Table(
    "task_instances",
    metadata,
    Column("run_key", Integer, ForeignKey("runs.run_key"), primary_key=True),
    Column("task_id", String(250), primary_key=True),
    Column("map_index", Integer, primary_key=True),
    Column("state", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("lost", Integer, nullable=False),
    Column("reschedules", Integer, nullable=False, server_default="0"),
    Column("first_started_at", UtcDateTime, nullable=True),
    Column("alarm", UtcDateTime, nullable=True),
    Column("stopping", Text, nullable=False),
    Column("queued_at", UtcDateTime, nullable=True),
    Column("started_at", UtcDateTime, nullable=True),
    Column("ended_at", UtcDateTime, nullable=True),
    _one_of("state", TaskState),
)

#: Attempts that have ended. Those that are out stand in `task_instances`.
attempts = Table(
    "attempts",
    metadata,
    Column("run_key", Integer, ForeignKey("runs.run_key"), primary_key=True),
    Column("task_id", String(250), primary_key=True),
    Column("map_index", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("outcome", String(20), nullable=False),  # succeeded, skipped, failed, lost
    Column("reason", Text, nullable=False),
    Column("error", Text, nullable=False),  # the whole of it, for people
    Column("facts", LargeBinary, nullable=False),  # pid, peak memory, … (JSON)
    Column("bundle", Text, nullable=False),
    Column("queued_at", UtcDateTime, nullable=True),
    Column("started_at", UtcDateTime, nullable=True),
    Column("ended_at", UtcDateTime, nullable=False),
)

xcoms = Table(
    "xcoms",
    metadata,
    Column("run_key", Integer, ForeignKey("runs.run_key"), primary_key=True),
    Column("task_id", String(250), primary_key=True),
    Column("map_index", Integer, primary_key=True),
    Column("key", String(250), primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("codec", String(60), nullable=False),
    Column("inline", LargeBinary, nullable=True),
    Column("artifact", String(64), nullable=True, index=True),
    Column("size", Integer, nullable=False),
    Column("length", Integer, nullable=True),
    Column("keys", LargeBinary, nullable=True),
    Column("preview", Text, nullable=False),
    CheckConstraint("(inline IS NULL) <> (artifact IS NULL)", name="one_place"),
)

#: Decisions that were saved and are not known to have been carried out.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_key", Integer, ForeignKey("runs.run_key"), nullable=False, index=True),
    Column("kind", String(20), nullable=False),  # launch, kill, call:success …
    Column("task_id", String(250), nullable=False),
    Column("map_index", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("why", Text, nullable=False),
)

run_log = Table(
    "run_log",
    metadata,
    Column("run_key", Integer, ForeignKey("runs.run_key"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("event", LargeBinary, nullable=False),  # JSON of a core.events class
)

#: One row: the engine that may write. A turn of any other engine is refused.
leases = Table(
    "leases",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("engine_id", String(60), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("taken_at", UtcDateTime, nullable=False),
)

connections = Table(
    "connections",
    metadata,
    Column("conn_id", String(250), primary_key=True),
    Column("conn_type", String(250), nullable=False),
    Column("description", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),  # its JSON, encrypted
)

variables = Table(
    "variables",
    metadata,
    Column("key", String(250), primary_key=True),
    Column("body", LargeBinary, nullable=False),  # its value, encrypted
    Column("description", Text, nullable=False),
)

#: The ones that somebody has set; `store.pools` knows the one that is always there.
pools = Table(
    "pools",
    metadata,
    Column("name", String(250), primary_key=True),
    Column("slots", Integer, nullable=False),  # -1: no limit
    Column("description", Text, nullable=False),
    CheckConstraint("slots >= -1", name="slots"),
)

#: DAGs that were handed to the scheduler, each with the code that its next run will use.
published = Table(
    "published",
    metadata,
    Column("dag_id", String(250), primary_key=True),
    Column("spec", String(64), ForeignKey("texts.sha256"), nullable=False),
    Column("surroundings", String(64), ForeignKey("texts.sha256"), nullable=False),
    Column("bundle", Text, nullable=False),
    Column("params", LargeBinary, nullable=False),  # the defaults, JSON
    Column("origin", Text, nullable=False),
    Column("paused", Boolean, nullable=False),
    #: When its first timetable was published: what no start_date says, this does.
    Column("seen_at", UtcDateTime, nullable=False),
    Column("published_at", UtcDateTime, nullable=False),
    #: Its next run: empty where it waits for assets, for a person, or for nothing at all.
    Column("next_due", UtcDateTime, nullable=True, index=True),
    Column("next_start", UtcDateTime, nullable=True),
    Column("next_end", UtcDateTime, nullable=True),
    #: The interval of the last run that the schedule made.
    Column("last_start", UtcDateTime, nullable=True),
    Column("last_end", UtcDateTime, nullable=True),
    Column("problem", Text, nullable=False),  # why nothing is planned, for people
    #: What its timetable goes by, so that nobody must read the spec for it.
    Column("by_clock", Boolean, nullable=False, server_default="1"),
    Column("asset_uris", Text, nullable=False, server_default="[]"),  # JSON
    #: The folder that the scheduler has it from, and the file; empty: a person published it.
    Column("folder", Text, nullable=False, server_default=""),
    Column("file", Text, nullable=False, server_default=""),
)

backfills = Table(
    "backfills",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("dag_id", String(250), nullable=False, index=True),
    Column("first", UtcDateTime, nullable=False),
    Column("last", UtcDateTime, nullable=False),
    Column("max_active", Integer, nullable=False),
    Column(
        "run_ids", LargeBinary, nullable=False
    ),  # in the order in which they start, JSON
    Column("created_at", UtcDateTime, nullable=False),
)

asset_events = Table(
    "asset_events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uri", String(1500), nullable=False, index=True),
    Column("at", UtcDateTime, nullable=False),
    Column("extra", LargeBinary, nullable=False),  # JSON
    Column("source_run", String(300), nullable=True),
    Column("source_task", String(250), nullable=True),
    Column("source_map_index", Integer, nullable=True),
)

#: Events that a DAG waited for and has had no run for yet.
asset_queue = Table(
    "asset_queue",
    metadata,
    Column("dag_id", String(250), primary_key=True),
    Column("event_id", Integer, ForeignKey("asset_events.id"), primary_key=True),
)

#: The events that a run was started by.
run_assets = Table(
    "run_assets",
    metadata,
    Column("run_key", Integer, ForeignKey("runs.run_key"), primary_key=True),
    Column("event_id", Integer, ForeignKey("asset_events.id"), primary_key=True),
)

#: Results that count for equal code and inputs: where the values are.
cached_results = Table(
    "cached_results",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("run_key", Integer, ForeignKey("runs.run_key"), nullable=False),
    Column("task_id", String(250), nullable=False),
    Column("map_index", Integer, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
)
