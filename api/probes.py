"""Whether the servers beside PostgreSQL answer, asked at each scrape within a bound."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from core.broker import QUEUES
from core.errors import VyazError
from core.storage.blobs import Blobs

STORE_SECONDS = 1.0
"""How long a scrape waits for the store: a lost one may take minutes to say so."""
PROBE_KEY = "probe"
"""A key under which nothing is ever put: asking for it proves the store, and reads nothing."""


Answer = TypeVar("Answer")


class Question(Generic[Answer]):
    """Asks what may hang, in a thread of its own, and waits for so long only. While it hangs, it is not asked again."""

    def __init__(self, ask: Callable[[], Answer], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._lock = threading.Lock()
        self._asking: threading.Thread | None = None

    def answer(self) -> Answer | None:
        """The answer; None when there is none in time, or when an earlier question still waits for its own."""
        answers: list[Answer] = []
        with self._lock:
            if self._asking is not None and self._asking.is_alive():
                return None
            self._asking = threading.Thread(target=lambda: answers.append(self._ask()), daemon=True)
            self._asking.start()
            self._asking.join(self._seconds)
        return answers[0] if answers else None


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
    """The object store: there or not."""

    def __init__(self, find: Callable[[], Blobs]) -> None:
        self._find = find
        self._question = Question(self._ask, STORE_SECONDS)

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges; no answer in time is none."""
        took = self._question.answer()
        up = GaugeMetricFamily("vyaz_store_up", "Whether the store answered a look for one key within a second")
        up.add_metric([], 0.0 if took is None else 1.0)
        yield up
        if took is not None:
            seconds = GaugeMetricFamily("vyaz_store_answer_seconds", "How long the store took for it")
            seconds.add_metric([], took)
            yield seconds

    def _ask(self) -> float | None:
        begun = time.monotonic()
        try:
            self._find().exists(PROBE_KEY)
        except VyazError:
            return None
        return time.monotonic() - begun
