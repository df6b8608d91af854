"""The ledger's figures for Prometheus: one short transaction a scrape.

Counters of job rows, open shards by their partial index, slots, and the newest events: nothing reads a variant.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy.orm import Session

from api.probes import Question
from core.catalogue import schema
from core.catalogue.database import Database
from core.catalogue.tables import Event, Job, Queue, Shard, Worker
from core.errors import Unavailable
from core.ledger import breaker
from core.ledger.slots import LIVE
from core.ledger.states import Priority, SlotState

LIMIT = sa.text("SET LOCAL statement_timeout = '2s'")
"""A scrape that would take longer is given up: figures are not worth holding the database back."""
LEDGER_SECONDS = 2.0
"""How long a scrape waits for all of it: a server that hangs keeps none of its own limits."""
NEWEST_SHARDS = 1000
"""Shards are finished about in the order in which they are cut, so the newest hold the last finish."""
SETTLED = "35 seconds"
"""No transaction lives longer (`MAX_TRANSACTION`), so below an event of that age none appears any more."""
NEWEST_EVENTS = 100_000
"""A scrape looks at no more events; one that comes after days leaves the older ones out."""
FAULTED = "faulted"
"""How a `returned` with a reason is counted: not a drain, but something was wrong."""
EVENTS = ("crashed", "done", "failed", FAULTED, "quarantined", "returned")
"""These series exist from the first scrape on, or the first crash would not look like an increase."""

# Work that some slot could take now, by job; `since` is when that became true, for work that nobody has begun. What was
# only cut ahead in a running job waits no more than what is not cut yet.
CLAIMABLE = """
    SELECT j.number, j.queues, j.priority, greatest(j.total - j.next_index, 0) + back.items AS items,
           least(back.since, CASE WHEN j.started_at IS NULL THEN greatest(j.created_at, earlier.finished_at, resumed.at)
                             END) AS since
      FROM job j
      LEFT JOIN job earlier ON earlier.id = j.after_id
     CROSS JOIN LATERAL (
           SELECT coalesce(sum(s.stop - s.start) FILTER (WHERE due), 0) AS items,
                  min(greatest(s.not_before, CASE WHEN s.lease_until < clock_timestamp() THEN s.lease_until END))
                      FILTER (WHERE due AND (s.epoch > 0 OR s.device_class IS NULL)) AS since,
                  count(*) FILTER (WHERE due) AS shards,
                  count(*) FILTER (WHERE s.state = 'leased') AS leased,
                  count(*) FILTER (WHERE s.state = 'returned') AS returned
             FROM shard s, LATERAL (SELECT s.state = 'returned' AND s.not_before <= clock_timestamp() AS due) d
            WHERE s.job_number = j.number AND s.state <> ALL ('{done,split}')) back
      LEFT JOIN LATERAL (
           SELECT e.at FROM event e WHERE j.started_at IS NULL AND e.job_number = j.number AND e.what = 'resumed'
            ORDER BY e.id DESC LIMIT 1) resumed ON true
     WHERE j.state IN ('queued', 'running') AND (j.after_id IS NULL OR earlier.state = 'done')
       AND (j.in_flight_limit IS NULL OR j.in_flight_limit > back.leased)
       AND (j.next_index < j.total OR back.shards > 0 OR j.closing = 'due' AND back.leased + back.returned = 0)
"""
BACKLOG = sa.text(f"""
    WITH claimable AS MATERIALIZED ({CLAIMABLE})
    SELECT q.name AS queue, c.priority, count(*) AS jobs, sum(c.items) AS items,
           extract(epoch FROM clock_timestamp() - min(c.since)) AS wait
      FROM claimable c, unnest(c.queues) q(name) GROUP BY q.name, c.priority
""")  # noqa: S608 - a constant
# One slot stands for all that can do the same, as in the tick.
UNSERVED = sa.text(f"""
    WITH claimable AS MATERIALIZED ({CLAIMABLE}),
    live AS MATERIALIZED (
        SELECT DISTINCT ON (w.queue, w.engine, w.device_class, w.kinds, w.families, w.memory) w FROM worker w
         WHERE w.state IN ('idle', 'busy') AND w.heartbeat_at > clock_timestamp() - CAST(:live AS interval))
    SELECT q.name AS queue, count(*) AS jobs
      FROM claimable c JOIN job j ON j.number = c.number, unnest(c.queues) q(name)
     WHERE NOT EXISTS (SELECT FROM live WHERE vyaz_claimable(j, live.w)) GROUP BY q.name
""")  # noqa: S608 - a constant
STOPPED = sa.text("""
    SELECT count(*) FROM job j WHERE j.state = 'paused' AND :breaker = (
        SELECT e.actor FROM event e WHERE e.job_number = j.number AND e.what = 'paused' ORDER BY e.id DESC LIMIT 1)
""")
NEWS = sa.text("""
    WITH news AS (SELECT id, what, detail, at FROM event WHERE id > :floor),
    young AS (SELECT min(id) AS id FROM news WHERE at >= clock_timestamp() - CAST(:settled AS interval)),
    edge AS (SELECT coalesce(young.id - 1, (SELECT max(id) FROM news)) AS id FROM young)
    SELECT CASE WHEN what = 'returned' AND detail IS NOT NULL THEN :faulted ELSE what END AS what,
           count(*) AS found, count(*) FILTER (WHERE news.id <= edge.id) AS settled, edge.id AS edge
      FROM news, edge GROUP BY 1, edge.id
""")


class Ledger(Collector):
    """What stands in the ledger, and what has happened in it since this process was first asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._news = News()
        self._question = Question(self._ask, LEDGER_SECONDS)

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges; without a database only that it is away."""
        found = self._question.answer()
        yield _single("vyaz_database_up", "Whether PostgreSQL answered this scrape in time", 1.0 if found else 0.0)
        yield from found or ()

    def _ask(self) -> list[Metric]:
        try:
            with self._database.transaction() as session:
                session.execute(LIMIT)
                return list(self._read(session))
        except Unavailable:
            return []

    def _read(self, session: Session) -> Iterator[Metric]:
        current = schema.found(session) == schema.expected()
        yield _single("vyaz_schema_current", "Whether the schema is the one that this API's code needs", float(current))
        # Tables of another schema may lack what the rest asks for.
        if current:
            yield from _jobs(session)
            yield from _backlog(session)
            yield from _shards(session)
            yield from _slots(session)
            yield from _beat(session)
            yield self._news.read(session)

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead of the first scrape, so that an app can be made without a database."""
        return ()


class News:
    """Events counted since the first look, each once. Ids grow, so a look reads only those of the last seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._floor: int | None = None
        self._settled: dict[str, int] = dict.fromkeys(EVENTS, 0)
        self._shown: dict[str, int] = {}

    def read(self, session: Session) -> Metric:
        """The counter as of now. It never falls, not even when a job is removed with its newest events."""
        with self._lock:
            newest = session.scalar(sa.select(sa.func.max(Event.id))) or 0
            floor = newest if self._floor is None else max(self._floor, newest - NEWEST_EVENTS)
            parameters = {"floor": floor, "settled": SETTLED, "faulted": FAULTED}
            now = dict(self._settled)
            for row in session.execute(NEWS, parameters):
                now[row.what] = now.get(row.what, 0) + row.found
                self._settled[row.what] = self._settled.get(row.what, 0) + row.settled
                floor = row.edge
            self._floor = floor
            self._shown = {what: max(number, self._shown.get(what, 0)) for what, number in now.items()}
            counted = CounterMetricFamily(
                "vyaz_events", "Entries of the history since this process was first asked", labels=("what",)
            )
            for what, number in sorted(self._shown.items()):
                counted.add_metric([what], number)
            return counted


def _single(name: str, text: str, value: float) -> Metric:
    gauge = GaugeMetricFamily(name, text)
    gauge.add_metric([], value)
    return gauge


def _labelled(name: str, text: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], Any]]) -> Metric:
    gauge = GaugeMetricFamily(name, text, labels=labels)
    for values, number in rows:
        gauge.add_metric(list(values), float(number))
    return gauge


def _jobs(session: Session) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("vyaz_jobs", "Jobs that the ledger holds", labels=("kind", "state"))
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
    yield jobs
    yield _labelled("vyaz_items", "Items of these jobs", ("kind", "outcome"), sorted(finished.items()))
    variants = finished.get(("generate", "done"), 0)
    yield _single("vyaz_variants", "Variants in the catalogue, by the counters of their jobs", variants)
    lost = sum(number for (_, outcome), number in finished.items() if outcome == "failed")
    stopped = session.scalar(STOPPED, {"breaker": breaker.ACTOR}) or 0
    yield _single("vyaz_stopped_jobs", "Jobs that were paused because they only did harm", stopped)
    yield _single("vyaz_quarantined_items", "Items that could not be made, of all jobs that are held", lost)


def _backlog(session: Session) -> Iterator[Metric]:
    queues = session.scalars(sa.select(Queue.name)).all()
    found = {(row.queue, row.priority): row for row in session.execute(BACKLOG)}
    places = [(queue, each) for queue in queues for each in Priority]
    jobs = [((q, p.name.lower()), found[q, p].jobs if (q, p) in found else 0) for q, p in places]
    items = [((q, p.name.lower()), found[q, p].items if (q, p) in found else 0) for q, p in places]
    waits = dict.fromkeys(queues, 0.0)
    for (queue, _), row in found.items():
        waits[queue] = max(waits.get(queue, 0.0), float(row.wait or 0.0))
    either = "; a job that either queue may take counts in both"
    labels = ("queue", "class")
    yield _labelled("vyaz_backlog_jobs", f"Jobs with work that could be claimed now{either}", labels, jobs)
    yield _labelled("vyaz_backlog_items", f"Items that could be claimed now{either}", labels, items)
    about = "Age of the oldest claimable work that nobody has begun or that came back; 0 when there is none"
    yield _labelled("vyaz_oldest_wait_seconds", about, ("queue",), [((q,), wait) for q, wait in waits.items()])
    lonely = {row.queue: row.jobs for row in session.execute(UNSERVED, {"live": LIVE})}
    about = "Jobs with claimable work that no live slot of any queue can take"
    yield _labelled("vyaz_unserved_jobs", about, ("queue",), [((q,), lonely.get(q, 0)) for q in queues])


def _shards(session: Session) -> Iterator[Metric]:
    # The first condition is that of the index ix_shard_open.
    unfinished = sa.and_(sa.text("shard.state <> ALL ('{done,split}')"), Shard.state.in_(("leased", "returned")))
    by_state = sa.select(Shard.state, sa.func.count()).where(unfinished).group_by(Shard.state)
    counted = {row[0]: row[1] for row in session.execute(by_state)}
    states = [((state,), counted.get(state, 0)) for state in ("leased", "returned")]
    yield _labelled("vyaz_shards", "Shards that are held, or wait to be taken again", ("state",), states)
    late = sa.select(sa.func.count()).where(Shard.state == "leased", Shard.lease_until < sa.func.clock_timestamp())
    about = "Leases that have run out and were not taken back yet"
    yield _single("vyaz_expired_leases", about, session.scalar(late) or 0)
    newest = sa.select(Shard.finished_at).order_by(Shard.id.desc()).limit(NEWEST_SHARDS).subquery()
    age = session.scalar(sa.select(_age(sa.func.max(newest.c.finished_at))))
    if age is not None:
        yield _single("vyaz_last_finish_age_seconds", "Time since a shard was last finished", float(age))


def _slots(session: Session) -> Iterator[Metric]:
    there = sa.select(Worker.queue, Worker.state, Worker.device_class, sa.func.count())
    there = there.where(Worker.state != SlotState.GONE).group_by(Worker.queue, Worker.state, Worker.device_class)
    slots = [((queue, state, device), number) for queue, state, device, number in session.execute(there)]
    yield _labelled("vyaz_slots", "Slots that are there", ("queue", "state", "device_class"), slots)
    takes = sa.and_(
        Worker.queue == Queue.name,
        Worker.state.in_((SlotState.IDLE, SlotState.BUSY)),
        Worker.heartbeat_at > sa.func.clock_timestamp() - LIVE,
    )
    by_queue = sa.select(Queue.name, sa.func.count(Worker.id)).outerjoin(Worker, takes).group_by(Queue.name)
    live = [((queue,), number) for queue, number in session.execute(by_queue)]
    yield _labelled("vyaz_live_slots", f"Slots that beat in the last {LIVE.seconds} s and may claim", ("queue",), live)
    versions = sa.select(Worker.version, sa.func.count()).where(Worker.state != SlotState.GONE).group_by(Worker.version)
    counted = [((version,), number) for version, number in session.execute(versions)]
    yield _labelled("vyaz_slot_versions", "Slots that are there, by their release", ("version",), counted)
    served = sa.select(Worker.queue, _age(sa.func.max(Worker.served_at))).where(Worker.served_at.is_not(None))
    ages = [((queue,), age) for queue, age in session.execute(served.group_by(Worker.queue))]
    yield _labelled("vyaz_last_claim_age_seconds", "Time since a slot of the queue last claimed", ("queue",), ages)


def _beat(session: Session) -> Iterator[Metric]:
    ages = [((queue,), age) for queue, age in session.execute(sa.select(Queue.name, _age(Queue.ticked_at)))]
    yield _labelled("vyaz_beat_age_seconds", "Time since beat's last tick", ("queue",), ages)


def _age(moment: sa.ColumnElement[Any] | Any) -> sa.ColumnElement[Any]:
    return sa.func.extract("epoch", sa.func.clock_timestamp() - moment)
