"""Gc: objects that nothing refers to, deleted from the store; uploads in parts that nobody ended, aborted."""

from datetime import timedelta
from typing import Any

from core.errors import EnvironmentFault
from core.ledger.finish import Keep, Outcome
from core.ledger.leases import Lease
from core.shipped import digests
from core.storage.weights import weights_key
from core.upkeep.garbage import Sweep, Terms
from worker.heartbeat import Hold
from worker.work import Workplace


class Gc:
    """Sweeps the store."""

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def __call__(self, lease: Lease, hold: Hold) -> tuple[Outcome, Keep]:
        def beat() -> None:
            if not hold.reached(hold.mark):
                raise EnvironmentFault("the slot was asked to stop in the middle of a sweep")

        dry, grace = lease.spec["dry_run"], timedelta(seconds=lease.spec["grace_seconds"])
        blobs = self._place.blobs
        now = blobs.now(f"jobs/{lease.job_id}/clock.{lease.epoch}.txt")
        spared = frozenset(weights_key(each) for each in digests())
        swept = Sweep(self._place.database, blobs, Terms(grace, dry, spared), beat).run(now)
        swept.counts["aborted_uploads"] = blobs.abort_uploads(now - grace, dry=dry)
        result: dict[str, Any] = {"counts": dict(swept.counts), "findings": swept.findings, "dry_run": dry}
        return Outcome(lease.stop, hold.seconds), lambda _: result
