"""Rings: how idle slots learn that a queue has work. Sent off the caller's path; a lost one is replaced by the tick."""

import threading
from collections.abc import Iterable

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from core.broker import MESSAGE_VERSION, RING
from core.failpoints import reach

log = structlog.get_logger(__name__)


class Ringer:
    """Sends rings from a thread of its own. `ring` never blocks and never raises."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._wanted: set[tuple[str, int]] = set()
        """Queues, and how often their ring was passed on already."""
        self._condition = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def ring(self, queues: Iterable[str]) -> None:
        """Have every named queue hold a ring soon. Call it after the commit that made work claimable."""
        self._want((queue, 0) for queue in queues)

    def pass_on(self, queue: str, hops: int) -> None:
        """Send a ring on that was of no use to whoever took it, for the `hops`-th time."""
        self._want([(queue, hops)])

    def _want(self, rings: Iterable[tuple[str, int]]) -> None:
        with self._condition:
            self._wanted.update(rings)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="ringer", daemon=True)
                self._thread.start()
            self._condition.notify()

    def lying(self, queue: str) -> int | None:
        """How many rings lie on a queue that nobody took; None when the broker does not answer."""
        try:
            with self._app.connection_for_write() as connection:
                return int(connection.default_channel.client.llen(queue))
        except (OperationalError, RedisError, OSError):
            return None

    def close(self, seconds: float = 1.0) -> None:
        """Send what is wanted, for at most so long, and stop."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._wanted or self._closed)
                if not self._wanted:
                    return
                queue, hops = self._wanted.pop()
            try:
                send(self._app, queue, hops)
            except (OperationalError, RedisError, OSError) as error:
                log.warning("ring not sent; the tick will replace it", queue=queue, error=type(error).__name__)


def send(app: Celery, queue: str, hops: int = 0) -> bool:
    """Put a ring on a queue unless it holds one already; says whether it did. Raises when the broker is away."""
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        if hops == 0 and channel.client.llen(queue):
            return False
        # queue= alone: after a FLUSHALL a send by exchange and routing key is dropped without a word.
        message = {"v": MESSAGE_VERSION, "queue": queue, "hops": hops}
        app.send_task(RING, kwargs=message, queue=queue, connection=connection, retry=False)
        reach("ring sent")
    return True
