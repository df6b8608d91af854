"""Slots of `bench.claims` in one process: threads that claim, claim and finish, or beat, each on a connection.

Each calls a few times before the clock runs: a connection's first calls plan every statement of the function anew, and
a worker keeps its connection. A call that PostgreSQL breaks off (a time-out) is made again, as a worker would, and its
time counts on.
"""

import itertools
import json
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from bench import crew
from bench.claims import SLOT
from core.catalogue.database import Database
from core.errors import Unavailable
from core.ledger import leases, slots
from core.ledger.finish import Outcome, finish
from core.ledger.leases import Lease
from core.settings import Settings

SETTINGS = Settings()
WARM = 6  # calls; PostgreSQL keeps a plan from the sixth on


def main() -> int:
    """Print the seconds of every call."""
    given = crew.order()
    count = int(given["claimers"])
    calls = [_prepare(Database(given["url"], size=1), given["what"]) for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(_warm, calls))
        crew.await_word()
        began = time.monotonic()
        due = _dues(given, began)
        taken = list(pool.map(lambda call: _repeat(call, due, began + given["seconds"]), calls))
    print(json.dumps(list(itertools.chain.from_iterable(taken))), flush=True)
    return 0


def _prepare(database: Database, what: str) -> Callable[[], Any]:
    """Register a slot; return what it does again and again."""
    with database.transaction() as session:
        slot = slots.register(session, SLOT)
    if what == "beat":
        lease = _claim(database, slot)
        return lambda: _beat(database, slot, lease)
    if what == "cycle":
        return lambda: _finish(database, _claim(database, slot))
    return lambda: _claim(database, slot)


def _warm(call: Callable[[], Any]) -> None:
    for _ in range(WARM):
        _insist(call)


def _insist(call: Callable[[], Any]) -> None:
    while True:
        try:
            call()
            return
        except Unavailable:
            continue


def _claim(database: Database, slot: uuid.UUID) -> Lease:
    with database.statement() as session:
        lease = leases.claim(session, slot, SETTINGS)
    assert lease is not None, "the job never runs out"
    return lease


def _finish(database: Database, lease: Lease) -> None:
    # As slow as the job says it is, so that its shards stay one block each.
    with database.transaction() as session:
        finish(session, lease, Outcome(lease.stop, 20.0))


def _beat(database: Database, slot: uuid.UUID, lease: Lease) -> None:
    with database.statement() as session:
        leases.beat(session, slot, lease, lease.start, SETTINGS)


def _dues(given: dict[str, Any], began: float) -> Iterator[float] | None:
    """When each call falls due, by lot; None: at once."""
    if given["rate"] is None:
        return None
    lot = np.random.default_rng(given["seed"])
    gaps = lot.exponential(1 / given["rate"], size=int(2 * given["rate"] * given["seconds"]))
    return iter([moment for moment in (began + np.cumsum(gaps)).tolist() if moment < began + given["seconds"]])


def _repeat(call: Callable[[], Any], due: Iterator[float] | None, until: float) -> list[float]:
    """Call until the time is over, or until nothing falls due any more; seconds of each call."""
    taken: list[float] = []
    while True:
        moment = time.monotonic() if due is None else _next(due)
        if moment is None or moment >= until:
            return taken
        time.sleep(max(0.0, moment - time.monotonic()))
        _insist(call)
        taken.append(time.monotonic() - moment)


_turn = threading.Lock()


def _next(due: Iterator[float]) -> float | None:
    with _turn:
        return next(due, None)


if __name__ == "__main__":
    sys.exit(main())
