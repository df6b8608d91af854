"""What Prometheus may ask: one answer with the ledger, the servers behind the API, and this process's own counts.

Labels are closed sets (kinds, states, queues, classes, versions, route templates), never owners or ids, so the series
stay few. Everything but `vyaz_requests` and `vyaz_request_seconds` is about the whole instance and reads the same from
every API process: sum over processes what was counted, take the greatest of what was read.
"""

import functools
from collections.abc import Iterator
from importlib import metadata

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from api.gauges import Ledger
from api.probes import Broker, Store
from api.services import Services
from core.broker import open_client
from core.catalogue import schema
from core.recipe import ENGINE

SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class Requests(Collector):
    """Counts answers of this process. Each app has its own registry, so that several may live in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        self._answers = Counter(
            "vyaz_requests", "Requests answered", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "vyaz_request_seconds",
            "Time until the answer was whole; of an event stream, how long it was watched",
            ("route",),
            buckets=SECONDS,
            registry=self._registry,
        )

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request is over."""
        self._answers.labels(method if method in METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """Yield what was counted."""
        yield from self._registry.collect()


class Metrics(Collector):
    """All metrics of one app, each scrape asking the servers anew."""

    def __init__(self, services: Services, requests: Requests) -> None:
        self._parts: tuple[Collector, ...] = (
            Ledger(services.database),
            Broker(functools.partial(open_client, services.settings)),
            Store(lambda: services.blobs),
            requests,
        )

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics; a server that is away has its gauge at 0 and its figures left out."""
        yield _build()
        for part in self._parts:
            yield from part.collect()

    def render(self, accept: str) -> tuple[bytes, str]:
        """The answer and its content type: OpenMetrics for those who ask for it, the older text for others."""
        encode, content_type = choose_encoder(accept)
        return encode(self), content_type


@functools.cache
def _build() -> Metric:
    build = InfoMetricFamily("vyaz_build", "This API process's code: release, schema that it needs, pixel engine")
    build.add_metric([], {"version": metadata.version("vyaz"), "schema": schema.expected(), "engine": str(ENGINE)})
    return build
