"""Rows into the catalogue: the way of a finished shard, `copy_variants` inside `finish`, by a loader process a core.

The rows are a null generator's: nothing is drawn, but each row has what a variant's row has (one of 676 pairs by lot,
a digest, scores, an offset), so that all three indexes grow as they do in earnest. The key, the index by letters and
the one by model version are on from the first row to the last.

A rate is that of a hundred thousand rows in a row; the first few of them stand beside the last few, as medians, since
a checkpoint may fall into any. `python -m bench ingest --rows 5000000` fills five million, in some minutes.
"""

import statistics
import tempfile
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from bench import crew
from bench.instance import CORES, servers
from bench.row import Row
from core.catalogue.database import Database
from core.catalogue.owners import ensure
from core.catalogue.tables import Variant
from core.ledger.jobs import Submission, submit

ROWS: Final = 1_000_000
SHARD: Final = 10_000  # rows
STEP: Final = 100_000
MOST_STEPS: Final = 5  # of which a median is taken
WARM: Final = 20_000


def measure(rows: int = ROWS) -> list[Row]:
    """Fill a table that was empty."""
    with tempfile.TemporaryDirectory(prefix="vyaz-bench-") as folder, servers(Path(folder) / "data") as pair:
        _fill(pair.database_url, WARM)
        seconds = _fill(pair.database_url, rows)
        size = _bytes(pair.database_url) / (rows + WARM)
    rates = [STEP / (end - begin) for begin, end in zip([0.0, *seconds], seconds, strict=False)]
    few = max(1, min(MOST_STEPS, len(rates) // 2))
    first, last = statistics.median(rates[:few]), statistics.median(rates[-few:])
    spread = abs(last / first - 1)
    return [
        Row("catalogue rows, ingest indexes on", len(rates) * STEP / seconds[-1], 20_000, "rows/s", "higher"),
        Row("catalogue: rate of the first 100,000s of rows", first, None, "rows/s", "higher"),
        Row(f"catalogue: rate of the last 100,000s of {rows:,}", last, None, "rows/s", "higher"),
        Row(f"catalogue: change of rate by {rows:,} rows", spread, 0.2, "share", "lower"),
        Row("catalogue: bytes of a row with its indexes", size, None, "bytes", "lower"),
    ]


def _fill(url: str, rows: int) -> list[float]:
    """Write so many; seconds from the beginning to each full `STEP`, or to the end of fewer."""
    database = Database(url, size=1)
    with database.transaction() as session:
        owner = ensure(session, "bench").id
        submit(session, owner, Submission("null", {}, rows, queues=("cpu",), shard_size=SHARD))
    database.close()
    told = crew.work("bench.loader", [{"url": url, "seed": seed} for seed in range(CORES)])
    began = min(each["began"] for each in told)
    written, seconds = 0, []
    for moment, count in sorted((moment, count) for each in told for moment, count in each["shards"]):
        if (written + count) // STEP > written // STEP or written + count == rows < STEP:
            seconds.append(moment - began)
        written += count
    assert written == rows, f"{written} of {rows} rows were written"
    return seconds


def _bytes(url: str) -> float:
    database = Database(url, size=1)
    with database.transaction() as session:
        size: int = session.scalar(sa.select(sa.func.pg_total_relation_size(Variant.__tablename__))) or 0
    database.close()
    return size
