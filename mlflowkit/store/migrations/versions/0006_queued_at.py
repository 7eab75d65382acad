"""When each attempt was queued; of older ones it is not known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mlflowkit.store.tables import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("queued_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("attempts") as batch:
        batch.drop_column("queued_at")
