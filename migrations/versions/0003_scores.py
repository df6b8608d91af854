"""How good a variant looks.

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column that may be empty: no row is written anew."""
    op.add_column("variant", sa.Column("score", sa.Double(), nullable=True))
