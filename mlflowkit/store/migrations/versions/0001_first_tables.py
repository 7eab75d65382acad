"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mlflowkit.store.tables import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dags",
        sa.Column("dag_id", sa.String(length=250), nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("dag_id", name=op.f("pk_dags")),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("engine_id", sa.String(length=60), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("taken_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "texts",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_texts")),
    )
    op.create_table(
        "runs",
        sa.Column("run_key", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("run_id", sa.String(length=300), nullable=False),
        sa.Column("dag_id", sa.String(length=250), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("run_type", sa.String(length=30), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("cancelled", sa.Boolean(), nullable=False),
        sa.Column("spec", sa.String(length=64), nullable=False),
        sa.Column("surroundings", sa.String(length=64), nullable=False),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("params", sa.LargeBinary(), nullable=False),
        sa.Column("notes", sa.LargeBinary(), nullable=False),
        sa.Column("engine_id", sa.String(length=60), nullable=True),
        sa.Column("log_seq", sa.Integer(), nullable=False),
        sa.Column("logical_date", UtcDateTime(), nullable=True),
        sa.Column("data_interval_start", UtcDateTime(), nullable=True),
        sa.Column("data_interval_end", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'success', 'failed')",
            name=op.f("ck_runs_state"),
        ),
        sa.ForeignKeyConstraint(
            ["dag_id"], ["dags.dag_id"], name=op.f("fk_runs_dag_id")
        ),
        sa.ForeignKeyConstraint(["spec"], ["texts.sha256"], name=op.f("fk_runs_spec")),
        sa.ForeignKeyConstraint(
            ["surroundings"], ["texts.sha256"], name=op.f("fk_runs_surroundings")
        ),
        sa.PrimaryKeyConstraint("run_key", name=op.f("pk_runs")),
        sa.UniqueConstraint("run_id", name=op.f("uq_runs_run_id")),
    )
    op.create_index(
        op.f("ix_runs_dag_id_number"), "runs", ["dag_id", "number"], unique=False
    )
    op.create_index(op.f("ix_runs_state"), "runs", ["state"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("run_key", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.String(length=250), nullable=False),
        sa.Column("map_index", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("facts", sa.LargeBinary(), nullable=False),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_key"], ["runs.run_key"], name=op.f("fk_attempts_run_key")
        ),
        sa.PrimaryKeyConstraint(
            "run_key", "task_id", "map_index", "number", name=op.f("pk_attempts")
        ),
    )
    op.create_table(
        "nodes",
        sa.Column("run_key", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.String(length=250), nullable=False),
        sa.Column("length", sa.Integer(), nullable=True),
        sa.Column("next_index", sa.Integer(), nullable=False),
        sa.Column("lengths", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_key"], ["runs.run_key"], name=op.f("fk_nodes_run_key")
        ),
        sa.PrimaryKeyConstraint("run_key", "task_id", name=op.f("pk_nodes")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("run_key", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("task_id", sa.String(length=250), nullable=False),
        sa.Column("map_index", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_key"], ["runs.run_key"], name=op.f("fk_outbox_run_key")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index(op.f("ix_outbox_run_key"), "outbox", ["run_key"], unique=False)
    op.create_table(
        "run_log",
        sa.Column("run_key", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("event", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_key"], ["runs.run_key"], name=op.f("fk_run_log_run_key")
        ),
        sa.PrimaryKeyConstraint("run_key", "seq", name=op.f("pk_run_log")),
    )
    op.create_table(
        "task_instances",
        sa.Column("run_key", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.String(length=250), nullable=False),
        sa.Column("map_index", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("lost", sa.Integer(), nullable=False),
        sa.Column("alarm", UtcDateTime(), nullable=True),
        sa.Column("stopping", sa.Text(), nullable=False),
        sa.Column("queued_at", UtcDateTime(), nullable=True),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "state IN ('none', 'scheduled', 'queued', 'running', 'success', 'failed', 'up_for_retry', 'up_for_reschedule', 'skipped', 'upstream_failed', 'removed')",
            name=op.f("ck_task_instances_state"),
        ),
        sa.ForeignKeyConstraint(
            ["run_key"], ["runs.run_key"], name=op.f("fk_task_instances_run_key")
        ),
        sa.PrimaryKeyConstraint(
            "run_key", "task_id", "map_index", name=op.f("pk_task_instances")
        ),
    )
    op.create_table(
        "xcoms",
        sa.Column("run_key", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.String(length=250), nullable=False),
        sa.Column("map_index", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("codec", sa.String(length=60), nullable=False),
        sa.Column("inline", sa.LargeBinary(), nullable=True),
        sa.Column("artifact", sa.String(length=64), nullable=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=True),
        sa.Column("keys", sa.LargeBinary(), nullable=True),
        sa.Column("preview", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(inline IS NULL) <> (artifact IS NULL)", name=op.f("ck_xcoms_one_place")
        ),
        sa.ForeignKeyConstraint(
            ["run_key"], ["runs.run_key"], name=op.f("fk_xcoms_run_key")
        ),
        sa.PrimaryKeyConstraint(
            "run_key", "task_id", "map_index", "key", name=op.f("pk_xcoms")
        ),
    )
    op.create_index(op.f("ix_xcoms_artifact"), "xcoms", ["artifact"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_xcoms_artifact"), table_name="xcoms")
    op.drop_table("xcoms")
    op.drop_table("task_instances")
    op.drop_table("run_log")
    op.drop_index(op.f("ix_outbox_run_key"), table_name="outbox")
    op.drop_table("outbox")
    op.drop_table("nodes")
    op.drop_table("attempts")
    op.drop_index(op.f("ix_runs_state"), table_name="runs")
    op.drop_index(op.f("ix_runs_dag_id_number"), table_name="runs")
    op.drop_table("runs")
    op.drop_table("texts")
    op.drop_table("leases")
    op.drop_table("dags")
