"""Invert: the style vector whose letters come nearest to those of an uploaded font or picture."""

from typing import Any

import torch
from sqlalchemy.orm import Session

from core.errors import Invalid, JobError, NotFound
from core.ledger.finish import Keep, Outcome
from core.ledger.leases import Lease
from core.storage.uploads import upload_key
from core.training import sheets, specimens
from core.training.inversion import invert
from core.training.run import one_thread
from worker.heartbeat import Hold
from worker.kinds.sheet import keep_picture
from worker.materials import load_generator, verified
from worker.work import Workplace


class Invert:
    """Finds styles."""

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def __call__(self, lease: Lease, hold: Hold) -> tuple[Outcome, Keep]:
        generator, spec = load_generator(self._place, lease), lease.spec
        try:
            specimen = specimens.read(self._upload(lease), spec["name"], spec["letter"], generator)
        except Invalid as error:
            raise JobError(str(error)) from error
        fields, labels = specimen.fields.to(self._place.device), specimen.labels.to(self._place.device)
        with one_thread():
            w = invert(generator, fields, labels, spec["steps"])
            with torch.inference_mode():
                drawn = generator.draw(w.expand(len(labels), -1), labels)
            each = specimens.overlap(drawn, fields)
            png = sheets.draw_pairs(fields, drawn, specimen.letters, each.tolist())
        stored = keep_picture(self._place, lease, png)
        result = {"w": w.tolist(), "iou": round(float(each.mean()), 4), "letters": specimen.letters}

        def keep(_: Session) -> dict[str, Any]:
            return result | {"picture": stored.path}

        return Outcome(lease.stop, hold.seconds, stored), keep

    def _upload(self, lease: Lease) -> bytes:
        digest = lease.spec["upload"]
        try:
            return verified(self._place, upload_key(lease.owner_id, digest), bytes.fromhex(digest))
        except NotFound as error:
            raise JobError(f"the upload of {lease.spec['name']} is gone from the store; send it again") from error
