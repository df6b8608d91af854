"""What Prometheus may ask: gauges read from the ledger's counters at each scrape, and what this process has answered.

Labels are closed sets (kinds, states, queues, route templates), never owners or ids, so the series stay few.
"""

from collections.abc import Iterable, Iterator

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy.orm import Session

from core.catalogue.database import Database
from core.catalogue.tables import Job, Shard, Worker
from core.errors import Unavailable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class Requests:
    """Counts answers of this process. Each app has its own registry, so that several may live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._answers = Counter(
            "vyaz_requests", "Requests answered", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "vyaz_request_seconds", "Time to answer", ("route",), buckets=SECONDS, registry=self.registry
        )

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request is over."""
        self._answers.labels(method if method in METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)


class Ledger(Collector):
    """The ledger's gauges, in one short transaction a scrape; nothing counts variants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges; without a database only that it is away."""
        up = GaugeMetricFamily("vyaz_database_up", "Whether PostgreSQL answered this scrape")
        try:
            with self._database.transaction() as session:
                found = [*_jobs(session), *_work(session)]
        except Unavailable:
            found = []
        up.add_metric([], 1.0 if found else 0.0)
        yield up
        yield from found

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead of the first scrape, so that an app can be made without a database."""
        return ()


def render(requests: Requests, database: Database) -> bytes:
    """All metrics as text."""
    ledger = CollectorRegistry()
    ledger.register(Ledger(database))
    return generate_latest(ledger) + generate_latest(requests.registry)


def _jobs(session: Session) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("vyaz_jobs", "Jobs that the ledger holds", labels=("kind", "state"))
    items = GaugeMetricFamily("vyaz_items", "Items of these jobs", labels=("kind", "outcome"))
    variants = GaugeMetricFamily("vyaz_variants", "Variants in the catalogue, by the counters of their jobs")
    finished: dict[tuple[str, str], int] = {}
    sums = sa.select(
        Job.kind,
        Job.state,
        sa.func.count().label("jobs"),
        sa.func.sum(Job.done).label("done"),
        sa.func.sum(Job.failed).label("failed"),
    )
    for row in session.execute(sums.group_by(Job.kind, Job.state)):
        jobs.add_metric([row.kind, row.state], row.jobs)
        for outcome, number in (("done", int(row.done)), ("failed", int(row.failed))):
            finished[row.kind, outcome] = finished.get((row.kind, outcome), 0) + number
    for (kind, outcome), number in sorted(finished.items()):
        items.add_metric([kind, outcome], number)
    variants.add_metric([], finished.get(("generate", "done"), 0))
    yield from (jobs, items, variants)


def _work(session: Session) -> Iterator[Metric]:
    shards = GaugeMetricFamily("vyaz_shards", "Shards that are held, or wait to be taken again", labels=("state",))
    # The first condition is that of the index ix_shard_open.
    unfinished = sa.and_(sa.text("shard.state <> ALL ('{done,split}')"), Shard.state.in_(("leased", "returned")))
    by_state = sa.select(Shard.state, sa.func.count()).where(unfinished).group_by(Shard.state)
    counted = {row[0]: row[1] for row in session.execute(by_state)}
    for state in ("leased", "returned"):
        shards.add_metric([state], counted.get(state, 0))
    slots = GaugeMetricFamily("vyaz_slots", "Slots that are there", labels=("queue", "state"))
    there = sa.select(Worker.queue, Worker.state, sa.func.count()).where(Worker.state != "gone")
    for queue, state, count in session.execute(there.group_by(Worker.queue, Worker.state)):
        slots.add_metric([queue, state], count)
    yield from (shards, slots)
