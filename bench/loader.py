"""One slot of `bench.ingest`: claims shards of a null job and finishes them with rows, as fast as it can."""

import itertools
import json
import sys
import time
import uuid
from collections.abc import Iterator
from string import ascii_uppercase
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from bench import crew
from bench.claims import SLOT
from core.catalogue.database import Database
from core.catalogue.ingest import copy_variants
from core.catalogue.rows import VariantRow
from core.ledger import leases, slots
from core.ledger.finish import Outcome, finish_surely
from core.ledger.leases import Lease
from core.settings import Settings

VERSION = uuid.UUID(int=7)
PAIRS = ["".join(pair) for pair in itertools.product(ascii_uppercase, repeat=2)]


def main() -> int:
    """Print when it began, and of each shard when it was committed and how many rows it had."""
    given = crew.order()
    database, settings = Database(given["url"], size=2), Settings()
    with database.transaction() as session:
        slot = slots.register(session, SLOT)
    crew.await_word()
    began, shards = time.monotonic(), []
    while True:
        with database.transaction() as session:
            lease = leases.claim(session, slot, settings)
        if lease is None:
            break
        _write(database, lease)
        shards.append((time.monotonic(), lease.stop - lease.start))
    print(json.dumps({"began": began, "shards": shards}), flush=True)
    return 0


def _write(database: Database, lease: Lease) -> None:
    def keep(session: Session) -> dict[str, Any]:
        copy_variants(session, lease.job_number, lease.shard_id, VERSION, _rows(lease))
        return {}

    finish_surely(database, lease, Outcome(lease.stop, 1.0), keep)


def _rows(lease: Lease) -> Iterator[VariantRow]:
    """Rows by lot, drawn for a whole shard at once: the generator is to cost nothing beside the catalogue."""
    count = lease.stop - lease.start
    lot = np.random.default_rng(lease.start)
    pairs = lot.integers(len(PAIRS), size=count).tolist()
    digests, shares = lot.bytes(32 * count), lot.random((count, 3)).tolist()
    for row, (pair, (ink, legibility, score)) in enumerate(zip(pairs, shares, strict=True)):
        digest = digests[32 * row : 32 * row + 32]
        yield VariantRow(lease.start + row, PAIRS[pair], "straight", digest, 4096 * row, 3500, ink, legibility, score)


if __name__ == "__main__":
    sys.exit(main())
