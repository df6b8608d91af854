"""Export: variants drawn again from their recipes, as the files that a workshop wants, in one archive."""

import csv
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from hashlib import sha256
from io import StringIO
from itertools import groupby
from typing import Any, Final

from sqlalchemy.orm import Session

from core.catalogue import exports
from core.catalogue.exports import Source
from core.errors import ItemError, JobError, NotFound
from core.ledger.finish import Keep, Outcome, Stored
from core.ledger.leases import Lease
from core.monogram.composition import Drawing
from core.monogram.export import makeable
from core.monogram.export.files import Origin, write
from core.monogram.export.makeable import Limits, Measured
from core.monogram.export.page import Page
from core.pipeline import Composer, Drawn
from core.recipe import BLOCK, ENGINE, parse_spec
from core.specs import ExportSpec
from core.storage.archives import ArchiveWriter
from core.training.run import one_thread
from worker.heartbeat import Hold
from worker.materials import load_named, load_weights
from worker.work import Workplace

_COLUMNS: Final = (
    *("file", "job", "index", "letters", "layout"),
    *("stroke_mm", "gap_mm", "letter_mm", "makeable", "repaired", "stitchable"),
)


class Export:
    """Writes archives."""

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def __call__(self, lease: Lease, hold: Hold) -> tuple[Outcome, Keep | None]:
        spec = ExportSpec.model_validate(lease.spec, strict=False)
        counts = {"exported": 0, "makeable": 0, "repaired": 0, "stitchable": 0}
        report = StringIO()
        table = csv.writer(report, lineterminator="\n")
        table.writerow(_COLUMNS)
        single = b""
        with one_thread(), ArchiveWriter() as archive:
            for source, composer, drawn in self._drawings(lease):
                drawing, found, repaired = _fit(drawn, spec)
                origin = Origin(asdict(drawn.recipe) | {"job": str(source.id)}, ENGINE, composer.weights)
                name = spec.file_name(drawn.recipe.letters, drawn.recipe.index, drawn.composed.layout, source.id)
                for form in spec.formats:
                    single = write(form, drawing, _page(spec), origin)
                    if not spec.bare:
                        archive.add(f"{name}.{form}", single)
                fine = found.within(_limits(spec))
                counts["exported"] += 1
                counts["makeable"] += fine
                counts["repaired"] += repaired
                counts["stitchable"] += found.stitchable
                facts = (str(source.id), drawn.recipe.index, drawn.recipe.letters, drawn.composed.layout)
                sizes = (f"{size:.2f}" for size in (found.stroke, found.gap, found.letter))
                table.writerow((name, *facts, *sizes, int(fine), int(repaired), int(found.stitchable)))
                if counts["exported"] % BLOCK == 0 and not hold.reached(lease.start + counts["exported"]):
                    # Begun anew where it goes on: half an archive is of no use to anybody.
                    return Outcome(lease.start, hold.seconds), None
            if counts["exported"] == 0:
                raise JobError("none of these variants is there any more")
            stored = self._store(lease, spec, archive, single, report.getvalue())

        def keep(_: Session) -> dict[str, Any]:
            return {"file": stored.path.rpartition("/")[2], **counts}

        return Outcome(lease.start + counts["exported"], hold.seconds, stored, total=counts["exported"]), keep

    def _store(self, lease: Lease, spec: ExportSpec, archive: ArchiveWriter, single: bytes, report: str) -> Stored:
        if spec.bare:
            key = f"jobs/{lease.job_id}/export.{lease.epoch}.{spec.formats[0]}"
            self._place.blobs.put(key, single)
            return Stored(key, len(single), sha256(single).digest())
        key = f"jobs/{lease.job_id}/export.{lease.epoch}.zip"
        archive.add("report.csv", report.encode())
        size, digest = archive.store(self._place.blobs, key)
        return Stored(key, size, digest)

    def _drawings(self, lease: Lease) -> Iterator[tuple[Source, Composer, Drawn]]:
        """Yield every variant asked for that is there, drawn again a block at a time."""
        for job, wanted in lease.spec["jobs"].items():
            source = self._find(lease.owner_id, uuid.UUID(job))
            composer = self._composer(source)
            for _, group in groupby(self._indexes(source, wanted), key=lambda index: index - index % BLOCK):
                own = set(group)
                start, stop = min(own), max(own) + 1
                for index, drawn in enumerate(composer.draw(start, stop), start):
                    if index in own and not isinstance(drawn, ItemError):
                        yield source, composer, drawn

    def _find(self, owner_id: uuid.UUID, job_id: uuid.UUID) -> Source:
        try:
            with self._place.database.transaction() as session:
                return exports.source(session, owner_id, job_id)
        except NotFound as error:
            raise JobError(str(error)) from error

    def _indexes(self, source: Source, wanted: list[int] | None) -> Iterator[int]:
        if wanted is None:
            return exports.indexes(self._place.database, source.number)
        with self._place.database.transaction() as session:
            return iter(exports.held(session, source.number, wanted))

    def _composer(self, source: Source) -> Composer:
        spec = parse_spec(source.spec)
        tensors, meta = load_weights(self._place, source.version_id)
        judge = load_named(self._place, spec.judge) if spec.judge is not None else None
        return Composer(spec, source.seed, tensors, meta, self._place.device, judge)


def _page(spec: ExportSpec) -> Page:
    return Page(spec.side, spec.pixels, spec.ink, spec.ground)


def _limits(spec: ExportSpec) -> Limits:
    return Limits(spec.min_stroke or makeable.Limits().stroke, spec.min_gap)


def _fit(drawn: Drawn, spec: ExportSpec) -> tuple[Drawing, Measured, bool]:
    """Return the drawing, mended where strokes too thin are to be, and its measures."""
    drawing = drawn.composed.drawing
    if spec.min_stroke is None:
        return drawing, makeable.measure(drawing, spec.side), False
    mended, found = makeable.repair(drawing, spec.side, _limits(spec))
    return mended, found, mended is not drawing
