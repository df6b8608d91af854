"""How good things are: figures of a model version, legibility of a variant.

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two columns that may be empty: no row is written anew."""
    op.add_column("model_version", sa.Column("figures", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("variant", sa.Column("legibility", sa.Double(), nullable=True))
