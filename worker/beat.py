"""Beat: a `celery.beat.Scheduler` over our tables. Any number may run; PostgreSQL decides who fires what."""

import random
from typing import Any

import structlog
from celery.beat import Scheduler
from sqlalchemy.exc import SQLAlchemyError

from core.broker import QUEUES, connect
from core.catalogue.database import Database
from core.errors import Unavailable, VyazError
from core.failpoints import reach
from core.ledger.rings import Ringer
from core.ledger.schedules import fire_due
from core.ledger.tick import sweep
from core.requests import submit_stored
from core.settings import Settings

log = structlog.get_logger(__name__)

JITTER = 0.3


class TickScheduler(Scheduler):  # type: ignore[misc]  # celery is untyped
    """Due schedules first, then lost rings, then dead slots; about once a second."""

    def __init__(self, app: Any, *args: Any, **kwargs: Any) -> None:
        self._settings = Settings()
        self._database = Database(self._settings.database_url.get_secret_value(), size=2)
        self._ringer = Ringer(connect(self._settings))
        super().__init__(app, *args, **kwargs)

    def setup_schedule(self) -> None:
        """Nothing to set up: the schedules are rows."""

    def tick(self, *_: Any, **__: Any) -> float:
        """One look at what is due. Nothing may escape, or beat ends."""
        for part in (self._fire, self._sweep):
            try:
                part()
            except Unavailable as error:
                log.warning("tick skipped", reason=str(error))
            except (VyazError, SQLAlchemyError) as error:
                log.error("tick failed", part=part.__name__, reason=str(error))
        return self._settings.tick_seconds * random.uniform(1 - JITTER, 1 + JITTER)

    def close(self) -> None:
        """Stop ringing and let the connections go."""
        self._ringer.close()
        self._database.close()

    def _sweep(self) -> None:
        with self._database.transaction() as session:
            waiting = sweep(session, self._settings)
        self._ringer.ring(waiting)

    def _fire(self) -> None:
        while True:
            with self._database.transaction() as session:
                fired = fire_due(session, submit_stored)
            if fired is None:
                return
            reach("fire committed")
            log.info("schedule fired", schedule=fired.schedule, due=fired.due_at.isoformat(), reason=fired.reason)
            self._ringer.ring(QUEUES)  # a training begins with a look at its dataset, which any queue may take
