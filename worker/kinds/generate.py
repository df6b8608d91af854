"""Generate: a range of a job's variants, composed, packed into a tar and recorded."""

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from core.catalogue.ingest import copy_variants
from core.errors import Invalid, JobError
from core.ledger.finish import Failure, Outcome, Stored
from core.ledger.leases import Lease
from core.packing import Packed, pack
from core.pipeline import Composer
from core.recipe import GenerateSpec, parse_spec
from core.storage.shards import shard_key
from worker.heartbeat import Hold
from worker.kinds import best
from worker.materials import load_named, load_weights
from worker.work import Ending, Workplace


class Generate:
    """Makes variants; keeps the composer of the last job warm."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._warm: tuple[uuid.UUID, Composer] | None = None

    def __call__(self, lease: Lease, hold: Hold) -> Ending | Callable[[], Ending]:
        if lease.closing:
            return best.close(self._place, lease, _spec(lease), hold)
        packed = pack(self._composer(lease), lease.start, lease.stop, hold.reached)
        return partial(self._store, lease, packed, hold.seconds)

    def _store(self, lease: Lease, packed: Packed, seconds: float) -> Ending:
        key = shard_key(str(lease.job_id), lease.start, lease.stop, lease.epoch)
        made = packed.store(self._place.blobs, key)

        def keep(session: Session) -> dict[str, Any]:
            copy_variants(session, lease.job_number, lease.shard_id, lease.model_version_id, made.rows)
            return {"rejected": dict(made.rejected)} if made.rejected else {}

        stored = Stored(made.key, made.size, bytes.fromhex(made.sha256))
        failures = [Failure(failure.index, str(failure)) for failure in made.failures]
        return Outcome(made.upto, seconds, stored, failures), keep

    def _composer(self, lease: Lease) -> Composer:
        if self._warm is None or self._warm[0] != lease.job_id:
            spec = _spec(lease)
            tensors, meta = load_weights(self._place, lease.model_version_id)
            judge = load_named(self._place, spec.judge) if spec.judge is not None else None
            self._warm = (
                lease.job_id,
                Composer(spec, lease.seed, tensors, meta, self._place.device, judge, total=lease.total),
            )
        return self._warm[1]


def _spec(lease: Lease) -> GenerateSpec:
    try:
        return parse_spec(lease.spec)
    except Invalid as error:
        raise JobError(f"this job's spec makes no sense here: {error}") from error
