"""What the scheduler must know of published DAGs without their code; the folder of each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "published",
        sa.Column("by_clock", sa.Boolean(), nullable=False, server_default="1"),
    )
    for name, usual in (("asset_uris", "[]"), ("folder", ""), ("file", "")):
        column = sa.Column(name, sa.Text(), nullable=False, server_default=usual)
        op.add_column("published", column)


def downgrade() -> None:
    with op.batch_alter_table("published") as batch:
        for name in ("by_clock", "asset_uris", "folder", "file"):
            batch.drop_column(name)
