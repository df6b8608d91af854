"""A peer of `bench.peers`: Ray Data. A range is read, `map_batches` composes, a sink writes tars and rows.

The same composer, the same tar writer and the same COPY into the same table as in Vyaz; only the engine differs. The
clock runs from the first batch, when the actors are warm, to the end of the last write.
"""

import argparse
import json
import sys
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import ray
import torch
from numpy.typing import NDArray
from ray.data import ActorPoolStrategy, Datasink

from bench.instance import CORES
from bench.pairs import compose_shipped
from bench.singly import PAIRS
from core.catalogue.database import Database
from core.catalogue.ingest import copy_variants
from core.catalogue.rows import VariantRow
from core.pipeline import Composer, Made
from core.recipe import BLOCK
from core.settings import Settings
from core.storage.blobs import Blobs
from core.storage.shards import ShardWriter, shard_key

SEED: Final = 11
SHARD: Final = 4 * BLOCK  # items, at the most
STORE_BYTES: Final = 512 << 20
ROOM: Final = 2  # places that Ray may give to reads and writes beside the composers, which never leave theirs


class Compose:
    """Items by their indices -> pictures and what is said of them."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self._composer = compose_shipped(list(PAIRS), SEED, Composer)
        self._composer.block(0, BLOCK)

    def __call__(self, batch: dict[str, NDArray[np.int64]]) -> pa.Table:
        began, items = time.monotonic(), batch["id"]
        made = self._composer.block(int(items[0]), int(items[-1]) + 1)
        rows = [_describe(each) for each in made]
        return pa.Table.from_pylist([{**row, "began": began} for row in rows])


class Shards(Datasink[float]):
    """Each block of pictures as one tar in the store, and its rows by COPY."""

    def __init__(self, settings: dict[str, str], job: int) -> None:
        self._settings, self._job = settings, job
        self.began = 0.0

    def write(self, blocks: Iterable[pa.Table], ctx: Any) -> float:
        began = [self._store(block) for block in blocks if block.num_rows]
        return min(began, default=time.monotonic())

    def on_write_complete(self, write_result: Any) -> None:
        """Learn when the first batch began."""
        self.began = min(write_result.write_returns)

    def _store(self, block: pa.Table) -> float:
        rows, found = block.to_pylist(), []
        first, last = rows[0]["index"], rows[-1]["index"] + 1
        with ShardWriter({"seed": SEED, "start": first}) as writer:
            for row in rows:
                span = writer.add(row["index"], row["png"], json.loads(row["meta"]))
                shown = (row["letters"], row["layout"], row["digest"], span.offset, span.length)
                found.append(VariantRow(row["index"], *shown, row["ink"], row["legibility"], row["score"]))
            writer.store(Blobs.open(self._settings["store"]), shard_key("peer", first, last, 1))
        database = Database(self._settings["database"], pooled=False)
        with database.transaction() as session:
            copy_variants(session, self._job, 0, uuid.UUID(int=0), found)
        began: float = min(row["began"] for row in rows)
        return began


def _describe(made: Made) -> dict[str, Any]:
    shown = {"index": made.index, "letters": made.letters, "layout": str(made.layout), "png": made.png}
    figures = {"digest": made.digest, "ink": made.ink, "legibility": made.legibility, "score": made.score}
    return {**shown, **figures, "meta": json.dumps(made.meta)}


def run(job: int, count: int) -> float:
    """Items a second."""
    settings, shard = Settings(), min(SHARD, count // CORES)
    sink = Shards({"store": settings.store, "database": settings.database_url.get_secret_value()}, job)
    ray.init(num_cpus=CORES + ROOM, include_dashboard=False, object_store_memory=STORE_BYTES, log_to_driver=False)
    try:
        ray.data.range(count, override_num_blocks=count // shard).map_batches(
            Compose, batch_size=shard, compute=ActorPoolStrategy(size=CORES), num_cpus=1
        ).write_datasink(sink)
        return count / (time.monotonic() - sink.began)
    finally:
        ray.shutdown()


def main() -> int:
    """Write the rate where it is asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.ray_peer")
    parser.add_argument("--job", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--answer", type=Path, required=True)
    given = parser.parse_args()
    given.answer.write_text(json.dumps(run(given.job, given.count)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
