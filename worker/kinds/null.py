"""The null kind: no torch, no pixels, rows and timing only. For benchmarks and for rehearsing what can go wrong.

Its spec: `seconds_per_item` (sleep), `rows` (write catalogue rows), `faults` (index -> item, shard, exit or hang).
"""

import hashlib
import os
import time

from sqlalchemy.orm import Session

from core.catalogue.ingest import copy_variants
from core.catalogue.rows import VariantRow
from core.errors import ShardError
from core.ledger.finish import Failure, Keep, Outcome
from core.ledger.leases import BLOCK, Lease
from worker.heartbeat import Hold
from worker.runner import Workplace


class Null:
    """Does nothing, at a given speed and with given faults."""

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def __call__(self, lease: Lease, hold: Hold) -> tuple[Outcome, Keep]:
        faults = {int(index): fault for index, fault in lease.spec.get("faults", {}).items()}
        pause = float(lease.spec.get("seconds_per_item", 0.0))
        failures: list[Failure] = []
        upto = lease.start
        while upto < lease.stop:
            following = min(lease.stop, (upto // BLOCK + 1) * BLOCK)
            failures += [_meet(index, faults[index]) for index in range(upto, following) if index in faults]
            time.sleep(pause * (following - upto))
            upto = following
            if not hold.reached(upto):
                break
        made = set(range(lease.start, upto)) - {failure.index for failure in failures}

        def keep(session: Session) -> dict[str, object]:
            if lease.spec.get("rows", True):
                rows = (_row(lease, index) for index in sorted(made))
                copy_variants(session, lease.job_number, lease.shard_id, None, rows)
            return {}

        return Outcome(upto, hold.seconds, failures=failures), keep


def _meet(index: int, fault: str) -> Failure:
    """Have the fault that the spec asks for."""
    if fault == "exit":
        os._exit(1)
    if fault == "hang":
        time.sleep(3600)
    if fault == "shard":
        raise ShardError(f"item {index} was told to fail its shard")
    return Failure(index, "this item was told to fail")


def _row(lease: Lease, index: int) -> VariantRow:
    digest = hashlib.sha256(f"{lease.seed}/{index}".encode()).digest()
    return VariantRow(index=index, letters="", layout="null", digest=digest, offset=0, length=0, ink=0.0)
