"""What is in hand is charged where it is held: at the shard, by its estimate.

Revision: 0005, after 0004
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop the sum that each claim wrote to its owner; a shard in hand just now is charged twice, some seconds."""
    op.drop_column("shard", "charged")
