"""Schedules, backfills, assets, cached results; sensors and branches in the rows of runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

PLANNED = "run_type IN ('scheduled', 'backfill')"


def upgrade() -> None:
    op.add_column("runs", sa.Column("backfill_id", sa.Integer(), nullable=True))
    op.add_column("runs", sa.Column("companions", sa.String(length=64), nullable=True))
    op.create_index(
        "uq_runs_planned",
        "runs",
        ["dag_id", "logical_date", "data_interval_end"],
        unique=True,
        sqlite_where=sa.text(PLANNED),
        postgresql_where=sa.text(PLANNED),
    )
    op.add_column(
        "nodes",
        sa.Column("left_out", sa.LargeBinary(), nullable=False, server_default="{}"),
    )
    op.add_column(
        "nodes", sa.Column("waits_past", sa.Boolean(), nullable=False, server_default="0")
    )
    op.add_column(
        "task_instances",
        sa.Column("reschedules", sa.Integer(), nullable=False, server_default="0"),
    )
    op.add_column(
        "task_instances", sa.Column("first_started_at", sa.DateTime(), nullable=True)
    )
    _schedules()
    _assets()
    op.create_table(
        "cached_results",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("run_key", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.String(length=250), nullable=False),
        sa.Column("map_index", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_key"], ["runs.run_key"], name=op.f("fk_cached_results_run_key")
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_cached_results")),
    )


def _schedules() -> None:
    op.create_table(
        "published",
        sa.Column("dag_id", sa.String(length=250), nullable=False),
        sa.Column("spec", sa.String(length=64), nullable=False),
        sa.Column("surroundings", sa.String(length=64), nullable=False),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("params", sa.LargeBinary(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("seen_at", sa.DateTime(), nullable=False),
        sa.Column("published_at", sa.DateTime(), nullable=False),
        sa.Column("next_due", sa.DateTime(), nullable=True),
        sa.Column("next_start", sa.DateTime(), nullable=True),
        sa.Column("next_end", sa.DateTime(), nullable=True),
        sa.Column("last_start", sa.DateTime(), nullable=True),
        sa.Column("last_end", sa.DateTime(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["spec"], ["texts.sha256"], name=op.f("fk_published_spec")),
        sa.ForeignKeyConstraint(
            ["surroundings"], ["texts.sha256"], name=op.f("fk_published_surroundings")
        ),
        sa.PrimaryKeyConstraint("dag_id", name=op.f("pk_published")),
    )
    op.create_index(op.f("ix_published_next_due"), "published", ["next_due"])
    op.create_table(
        "backfills",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("dag_id", sa.String(length=250), nullable=False),
        sa.Column("first", sa.DateTime(), nullable=False),
        sa.Column("last", sa.DateTime(), nullable=False),
        sa.Column("max_active", sa.Integer(), nullable=False),
        sa.Column("run_ids", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backfills")),
    )
    op.create_index(op.f("ix_backfills_dag_id"), "backfills", ["dag_id"])


def _assets() -> None:
    op.create_table(
        "asset_events",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("uri", sa.String(length=1500), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("extra", sa.LargeBinary(), nullable=False),
        sa.Column("source_run", sa.String(length=300), nullable=True),
        sa.Column("source_task", sa.String(length=250), nullable=True),
        sa.Column("source_map_index", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asset_events")),
    )
    op.create_index(op.f("ix_asset_events_uri"), "asset_events", ["uri"])
    op.create_table(
        "asset_queue",
        sa.Column("dag_id", sa.String(length=250), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"], ["asset_events.id"], name=op.f("fk_asset_queue_event_id")
        ),
        sa.PrimaryKeyConstraint("dag_id", "event_id", name=op.f("pk_asset_queue")),
    )
    op.create_table(
        "run_assets",
        sa.Column("run_key", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_key"], ["runs.run_key"], name=op.f("fk_run_assets_run_key")
        ),
        sa.ForeignKeyConstraint(
            ["event_id"], ["asset_events.id"], name=op.f("fk_run_assets_event_id")
        ),
        sa.PrimaryKeyConstraint("run_key", "event_id", name=op.f("pk_run_assets")),
    )


def downgrade() -> None:
    for table in ("cached_results", "run_assets", "asset_queue", "asset_events"):
        op.drop_table(table)
    op.drop_table("backfills")
    op.drop_table("published")
    op.drop_index("uq_runs_planned", table_name="runs")
    for table, columns in (
        ("task_instances", ("first_started_at", "reschedules")),
        ("nodes", ("waits_past", "left_out")),
        ("runs", ("companions", "backfill_id")),
    ):
        with op.batch_alter_table(table) as batch:
            for column in columns:
                batch.drop_column(column)
