"""What a slot can do and what it owes the classes; who changed what, by time.

Revision: 0004, after 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns that are empty or have a constant default: no row is written anew."""
    op.add_column("worker", sa.Column("memory", sa.BigInteger(), nullable=True))
    op.add_column("worker", sa.Column("kinds", postgresql.ARRAY(sa.Text()), nullable=True))
    op.add_column("worker", sa.Column("families", postgresql.ARRAY(sa.Text()), nullable=True))
    op.add_column(
        "worker", sa.Column("warm", postgresql.ARRAY(sa.Uuid()), server_default=sa.text("'{}'"), nullable=False)
    )
    op.add_column(
        "worker",
        sa.Column("owed", postgresql.ARRAY(sa.Double()), server_default=sa.text("'{0,0,0}'::float8[]"), nullable=False),
    )
    op.create_index("ix_event_at", "event", ["at"], postgresql_using="brin")
