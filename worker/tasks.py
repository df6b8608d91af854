"""The one Celery task. The message holds no authority: what is worked on is decided in PostgreSQL."""

import structlog
from celery import Celery

from core.broker import MESSAGE_VERSION, RING
from worker import node

log = structlog.get_logger(__name__)


def register(app: Celery) -> None:
    """Hang the tasks on an application."""
    app.task(ring, name=RING, ignore_result=True)


def ring(v: int = 0, queue: str = "", hops: int = 0, **unknown: object) -> None:
    """A queue has work: let this process's slot look. A ring of another version is worth no more than its noise."""
    if v != MESSAGE_VERSION or unknown or not isinstance(hops, int):
        log.warning("ring of another version ignored", v=v, unknown=sorted(unknown))
        return
    node.this_slot().answer(hops)
