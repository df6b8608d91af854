"""What a kind's work is given and what it answers, and how it is loaded."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from core.catalogue.database import Database
from core.ledger.finish import Keep, Outcome
from core.ledger.kinds import JobKind
from core.ledger.leases import Lease
from core.settings import Settings
from core.storage.blobs import Blobs
from worker.device import visible_cores
from worker.heartbeat import Hold

Ending = tuple[Outcome, Keep | None]
Work = Callable[[Lease, Hold], Ending | Callable[[], Ending]]
"""Does a lease's work up to where the hold says stop, and says how to keep what was made.

What it answers by a function is made and not stored yet: that is done while the next lease is worked on.
"""


@dataclass(frozen=True)
class Workplace:
    """What a kind's work may use."""

    settings: Settings
    database: Database
    blobs: Blobs
    device: str
    device_class: str


def load(kind: JobKind, place: Workplace) -> Work:
    """Import a kind's work when it is first needed: torch is not for the parent, nor for a slot that only sleeps."""
    if kind not in (JobKind.DATASET, JobKind.GC, JobKind.NULL):
        import torch

        torch.set_num_threads(place.settings.threads or max(1, visible_cores() // place.settings.slots))
    module = importlib.import_module(f"worker.kinds.{kind}")
    work: Work = getattr(module, kind.capitalize())(place)
    return work
