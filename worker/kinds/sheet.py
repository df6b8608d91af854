"""Sheet: what a model version draws, on one page for a designer's eye."""

from hashlib import sha256
from typing import Any

from sqlalchemy.orm import Session

from core.ledger.finish import Keep, Outcome, Stored
from core.ledger.leases import Lease
from core.training import sheets
from core.training.run import one_thread
from worker.heartbeat import Hold
from worker.materials import load_dataset, load_generator
from worker.work import Workplace


class Sheet:
    """Draws sheets of model versions."""

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def __call__(self, lease: Lease, hold: Hold) -> tuple[Outcome, Keep]:
        generator = load_generator(self._place, lease)
        dataset, name = load_dataset(self._place, lease) if lease.spec["dataset"] else (None, None)
        with one_thread():
            png = sheets.draw(generator, dataset, lease.spec["model"], lease.seed)
        stored = keep_picture(self._place, lease, png)

        def keep(_: Session) -> dict[str, Any]:
            return {"picture": stored.path, "dataset": name}

        return Outcome(lease.stop, hold.seconds, stored), keep


def keep_picture(place: Workplace, lease: Lease, png: bytes) -> Stored:
    """Put a job's picture into the store, under a name of its own for each attempt."""
    key = f"jobs/{lease.job_id}/{lease.kind}.{lease.epoch}.png"
    place.blobs.put(key, png)
    return Stored(key, len(png), sha256(png).digest())
