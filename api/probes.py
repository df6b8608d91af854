"""Whether the servers beside PostgreSQL answer, asked at each scrape within a bound."""

import threading
import time
from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from core.broker import QUEUES
from core.errors import VyazError
from core.storage.blobs import Blobs

STORE_SECONDS = 1.0
"""How long a scrape waits for the store; a later answer counts for the next scrape."""
PROBE_KEY = "probe"
"""A key under which nothing is ever put: asking for it proves the store, and reads nothing."""


class Broker(Collector):
    """Valkey or Redis: there or not, how many rings each queue holds, and its memory."""

    def __init__(self, connect: Callable[[], Redis]) -> None:
        self._connect = connect

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges; without a broker only that it is away."""
        up = GaugeMetricFamily("vyaz_broker_up", "Whether Valkey or Redis answered this scrape within a second")
        rings = GaugeMetricFamily("vyaz_broker_rings", "Rings that wait in the queue's list", labels=("queue",))
        memory = GaugeMetricFamily("vyaz_broker_memory_bytes", "Memory that the broker's data takes")
        try:
            with self._connect() as client:
                waiting = {queue: client.llen(queue) for queue in QUEUES}
                used = client.info("memory")["used_memory"]
        except (RedisError, OSError, ValueError):
            up.add_metric([], 0.0)
            yield up
            return
        up.add_metric([], 1.0)
        memory.add_metric([], used)
        for queue, number in waiting.items():
            rings.add_metric([queue], number)
        yield from (up, rings, memory)


class Store(Collector):
    """The object store: there or not. Asked by a thread of its own, for a lost one may take minutes to say so."""

    def __init__(self, find: Callable[[], Blobs]) -> None:
        self._find = find
        self._lock = threading.Lock()
        self._asking: threading.Thread | None = None
        self._answered = False
        self._seconds = 0.0

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges by the newest answer; no answer in time is none."""
        with self._lock:
            if self._asking is None or not self._asking.is_alive():
                self._asking = threading.Thread(target=self._ask, name="store probe", daemon=True)
                self._asking.start()
            asking = self._asking
        asking.join(STORE_SECONDS)
        up = GaugeMetricFamily("vyaz_store_up", "Whether the store answered a look for one key")
        up.add_metric([], 1.0 if self._answered and not asking.is_alive() else 0.0)
        took = GaugeMetricFamily("vyaz_store_answer_seconds", "How long the store took for its newest answer")
        took.add_metric([], self._seconds)
        yield from (up, took)

    def _ask(self) -> None:
        begun = time.monotonic()
        try:
            self._find().exists(PROBE_KEY)
            self._answered = True
        except VyazError:
            self._answered = False
        self._seconds = time.monotonic() - begun
