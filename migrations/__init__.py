"""Alembic: how the schema came to be, one file a step, forward only."""
