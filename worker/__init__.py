"""Celery processes: slots that claim shards and work on them. Thin: load once, one call into core, report."""
