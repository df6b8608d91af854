"""The null kind: no torch and no monograms. For benchmarks and for rehearsing what can go wrong.

Its spec: `seconds_per_item` (sleep), `rows` (write catalogue rows), `pictures` (write a real shard, whose pixels follow
from seed and index alone), `growth` (MiB that a shard leaves behind in memory), `faults` (index -> what goes wrong
there).
"""

import hashlib
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import NoReturn

import numpy as np
from sqlalchemy.orm import Session

from core.catalogue.ingest import copy_variants
from core.catalogue.rows import VariantRow
from core.errors import ShardError
from core.ledger.finish import Failure, Outcome, Stored
from core.ledger.leases import BLOCK, Lease
from core.storage.shards import ShardWriter, shard_key
from worker.heartbeat import Hold
from worker.work import Ending, Workplace

SIDE = 16
"""Pixels of a picture, both ways."""
GREED = 64 << 20
"""Bytes that the fault `memory` takes at a time, until there are none."""


class Null:
    """Does nothing, at a given speed and with given faults."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._leaked: list[bytearray] = []

    def __call__(self, lease: Lease, hold: Hold) -> Callable[[], Ending]:
        faults = {int(index): fault for index, fault in lease.spec.get("faults", {}).items()}
        pause = float(lease.spec.get("seconds_per_item", 0.0))
        self._leaked.append(bytearray(os.urandom(1) * (int(lease.spec.get("growth", 0)) << 20)))
        failures: list[Failure] = []
        upto = lease.start
        while upto < lease.stop:
            following = min(lease.stop, (upto // BLOCK + 1) * BLOCK)
            failures += [_meet(index, faults[index]) for index in range(upto, following) if index in faults]
            time.sleep(pause * (following - upto))
            upto = following
            if not hold.reached(upto):
                break
        return partial(self._end, lease, upto, failures, hold.seconds)

    def _end(self, lease: Lease, upto: int, failures: list[Failure], seconds: float) -> Ending:
        made = sorted(set(range(lease.start, upto)) - {failure.index for failure in failures})
        stored, rows = self._store(lease, upto, made)

        def keep(session: Session) -> dict[str, object]:
            if lease.spec.get("rows", True):
                copy_variants(session, lease.job_number, lease.shard_id, None, rows)
            return {}

        return Outcome(upto, seconds, stored, failures), keep

    def _store(self, lease: Lease, upto: int, made: list[int]) -> tuple[Stored | None, list[VariantRow]]:
        """Put the pictures into the store, if the job has any."""
        if not lease.spec.get("pictures", False):
            return None, [_row(index, _digest(lease, index)) for index in made]
        # Here, not above: Pillow is not for a slot that only sleeps.
        from core.monogram.picture import digest, encode

        key = shard_key(str(lease.job_id), lease.start, upto, lease.epoch)
        rows = []
        with ShardWriter({"seed": lease.seed, "start": lease.start}) as writer:
            for index in made:
                noise = hashlib.shake_256(f"{lease.seed}/{index}".encode()).digest(SIDE * SIDE)
                pixels = np.frombuffer(noise, np.uint8).reshape(SIDE, SIDE)
                row = _row(index, digest(pixels))
                meta = {"digest": row.digest.hex(), "index": index, "ink": row.ink, "layout": row.layout, "letters": ""}
                span = writer.add(index, encode(pixels), meta)
                rows.append(_row(index, row.digest, span.offset, span.length))
            size, sha256 = writer.store(self._place.blobs, key)
        return Stored(key, size, bytes.fromhex(sha256)), rows


def _meet(index: int, fault: str) -> Failure:
    """Have the fault that the spec asks for."""
    if fault in _FATAL:
        _FATAL[fault]()
    if fault == "shard":
        raise ShardError(f"item {index} was told to fail its shard")
    if fault == "raise":
        raise RuntimeError(f"item {index} was told to raise")
    return Failure(index, "this item was told to fail")


def _spin() -> NoReturn:
    while True:
        pass


def _starve() -> NoReturn:
    taken = []
    while True:
        taken.append(bytearray(GREED))


_FATAL = {
    "exit": lambda: os._exit(1),
    "hang": lambda: time.sleep(3600),
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "spin": _spin,
    "memory": _starve,
}


def _digest(lease: Lease, index: int) -> bytes:
    return hashlib.sha256(f"{lease.seed}/{index}".encode()).digest()


def _row(index: int, digest: bytes, offset: int = 0, length: int = 0) -> VariantRow:
    return VariantRow(index=index, letters="", layout="null", digest=digest, offset=offset, length=length, ink=0.0)
