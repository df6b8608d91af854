"""Train: one segment of a run, from checkpoint to checkpoint; the last one makes a model version.

A slot that claims the next segment of the run it still holds in memory goes on without loading, but only if that state
is the last committed checkpoint's, by SHA-256; after any error or doubt it is dropped.

Samples after `SHOWN_EPOCHS` and at the end are kept as PNG files beside the run's curves.
"""

import math
import uuid
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from sqlalchemy.orm import Session

from core.catalogue import training
from core.catalogue.training import Segment, Weights
from core.failpoints import reach
from core.ledger.finish import Keep, Outcome
from core.ledger.leases import Lease
from core.storage import weights
from core.training import runs
from core.training.config import TrainConfig
from core.training.journal import Journal
from core.training.run import Run
from worker.heartbeat import Hold
from worker.materials import verified
from worker.work import Workplace

SHOWN_EPOCHS: Final = (5, 50)


@dataclass(frozen=True)
class Live:
    """A run in memory, and the checkpoint it equals."""

    run_id: uuid.UUID
    digest: bytes
    run: Run


class Train:
    """Runs segments; keeps the last run in memory."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._live: Live | None = None

    def __call__(self, lease: Lease, hold: Hold) -> tuple[Outcome, Keep]:
        with self._place.database.transaction() as session:
            segment = training.open_segment(session, lease.job_number, lease.owner_id, lease.after_id, lease.spec)
        config = TrainConfig.model_validate(lease.spec)
        run = self._take(config, segment)
        before, shown = run.device_seconds, shown_steps(config, run.total_steps)
        run.advance(lambda step: self._goes_on(hold, step) and step not in shown)
        return self._close(segment, run, run.device_seconds - before, shown.get(run.step_count))

    def _take(self, config: TrainConfig, segment: Segment) -> Run:
        """The run at the last committed checkpoint: the one in memory, or loaded, or new."""
        live, self._live = self._live, None
        if live is not None and (live.run_id, live.digest) == (segment.run_id, segment.checkpoint_digest):
            return live.run
        dataset = verified(self._place, segment.dataset_path, segment.dataset_digest)
        if segment.checkpoint is None or segment.checkpoint_digest is None:
            return runs.start(config, dataset, self._place.device)
        checkpoint = verified(self._place, segment.checkpoint, segment.checkpoint_digest)
        return runs.resume(config, dataset, self._place.device, checkpoint)

    def _goes_on(self, hold: Hold, step: int) -> bool:
        """Until the segment is long enough; shorter while somebody waits for the slot."""
        limit = self._place.settings.segment_seconds
        if hold.waited_for:
            limit = self._place.settings.shared_segment_seconds
        return hold.reached(step) and hold.seconds < limit

    def _close(self, segment: Segment, run: Run, seconds: float, epoch: int | None) -> tuple[Outcome, Keep]:
        """Store the checkpoint, and the weights if the run is over; the transaction points to them."""
        state = run.checkpoint()
        digest = sha256(state).digest()
        key = f"checkpoints/{segment.run_id}/{run.step_count:010d}-{digest.hex()[:16]}.safetensors"
        self._place.blobs.put(key, state)
        reach("checkpoint written")
        metrics = run.drain_metrics()
        self._journal(segment, run, metrics, epoch)
        made = self._weigh(run) if run.finished else None
        self._live = None if run.finished else Live(segment.run_id, digest, run)

        def keep(session: Session) -> dict[str, Any]:
            training.keep_segment(session, segment, run.step_count, seconds, (key, digest), metrics)
            if made is None:
                return {}
            name, number = training.publish(session, segment, *made)
            return {"model": name, "version": number}

        obsolete = [segment.checkpoint] if segment.checkpoint not in (None, key) else []
        total = run.step_count if run.finished else max(run.total_steps, run.step_count + 1)
        return Outcome(run.step_count, seconds, obsolete=obsolete, total=total), keep

    def _weigh(self, run: Run) -> tuple[Weights, dict[str, Any]]:
        tensors, meta = run.weights()
        stored = weights.save(self._place.blobs, tensors, meta)
        return Weights(stored.key, bytes.fromhex(stored.sha256), stored.size), dict(meta)

    def _journal(self, segment: Segment, run: Run, metrics: list[tuple[int, str, float]], epoch: int | None) -> None:
        """Curves and samples for TensorBoard, beside the table: files that a person can point it at."""
        with Journal(self._place.settings.data / "tensorboard" / str(segment.run_id)) as journal:
            for step, name, value in metrics:
                if math.isfinite(value):
                    journal.add(step, name, value)
            samples = run.samples()
            journal.show(run.step_count, "samples", samples)
            if epoch or run.finished:
                journal.keep(f"samples-epoch-{epoch}" if epoch else "samples-end", samples)


def shown_steps(config: TrainConfig, total: int) -> dict[int, int]:
    """Return step -> epoch for the epochs whose samples are kept; a run by minutes counts no epochs."""
    if config.epochs is None:
        return {}
    return {max(1, round(total * epoch / config.epochs)): epoch for epoch in SHOWN_EPOCHS if epoch <= config.epochs}
