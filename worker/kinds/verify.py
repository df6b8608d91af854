"""Verify: a job's objects held against the catalogue, and some of its variants made again from their recipes."""

from collections.abc import Iterator, Mapping
from tempfile import TemporaryFile
from typing import Any, Final

import sqlalchemy as sa

from core.catalogue import belongings, shards
from core.catalogue.rows import VariantRow
from core.catalogue.shards import Recorded
from core.catalogue.tables import Job
from core.catalogue.variants import MAKERS
from core.chance import uniform, words
from core.errors import Invalid, NotFound
from core.ledger.finish import Keep, Outcome
from core.ledger.leases import Lease
from core.monogram.picture import decode, digest
from core.upkeep.accounts import check_counters, check_cover, is_closed, leaves_rows
from core.upkeep.inspection import name_items
from worker.heartbeat import Hold
from worker.rounds import Maker, Tally, blocks, differing, ended, look, remakes, target_of, walk, watch
from worker.work import Workplace

_STREAM: Final = 100  # of chance, for the sample
_STRAYS: Final = 100  # variants without a shard that are looked for at a time


class Verify:
    """Looks at what jobs made."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._maker = Maker(place)

    def __call__(self, lease: Lease, hold: Hold) -> tuple[Outcome, Keep]:
        target = target_of(self._place, lease)
        tally = Tally()
        if lease.closing:
            result = self._close(lease, hold, target, tally)
            return ended(lease, hold, lease.stop), lambda _: result

        def visit(recorded: Recorded) -> bool:
            self._inspect(lease, hold, target, recorded, tally)
            return True

        upto = walk(self._place, lease, hold, target, visit) if target.kind in MAKERS else lease.stop
        if target.kind in MAKERS:
            self._find_strays(target, lease.start, upto, tally)
        return ended(lease, hold, upto), lambda _: tally.result

    def _inspect(self, lease: Lease, hold: Hold, target: Job, recorded: Recorded, tally: Tally) -> None:
        """Look at one shard, and make it again where all are to be."""
        if target.kind != "generate":
            self._count_rows(target, recorded, tally)
            return
        seen = look(self._place, target, recorded)
        if seen is None:
            return
        now, rows, found = seen
        tally.counts.update(shards=1, bytes=found.size, rows=len(rows))
        if not found.sound:
            tally.counts["damaged"] += 1
            tally.find(now.path, found.reasons, now.start, now.stop)
        elif lease.spec["sample"] is None:
            self._make_again(hold, target, now, rows, tally)

    def _count_rows(self, target: Job, recorded: Recorded, tally: Tally) -> None:
        """Look at a shard without pixels: its rows are there, or its items failed."""
        with self._place.database.transaction() as session:
            rows = shards.count(session, target.number, recorded)
            failed = len(shards.quarantined(session, target.number, recorded))
        tally.counts.update(shards=1, rows=rows)
        missing = recorded.stop - recorded.start - failed - rows
        if leaves_rows(target) and missing:
            tally.counts["damaged"] += 1
            tally.find(None, [f"{missing} of its items have no row"], recorded.start, recorded.stop)

    def _find_strays(self, target: Job, start: int, stop: int, tally: Tally) -> None:
        with self._place.database.transaction() as session:
            found = shards.strays(session, target.number, start, stop, _STRAYS)
        if found:
            tally.counts["damaged"] += 1
            tally.find(None, [f"the row of {name_items(found)} belongs to no shard of this job"], start, stop)

    def _make_again(
        self, hold: Hold, target: Job, recorded: Recorded, rows: Mapping[int, VariantRow], tally: Tally
    ) -> None:
        """Make all items of a shard again, and compare pixels."""
        if remakes(target) is not None:
            tally.counts["other_engine"] += len(rows)
            return
        others = []
        for start, stop in blocks(recorded.start, recorded.stop):
            watch(hold)
            made = self._maker.block(target, start, stop)
            others += differing(made, {index: rows[index] for index in range(start, stop) if index in rows})
            # What was rejected or failed then is so now.
            others += sorted(made.keys() - rows.keys())
        self._judge(recorded, {recorded.device_class}, len(rows), others, tally)

    def _judge(
        self, recorded: Recorded, classes: set[str | None], looked_at: int, others: list[int], tally: Tally
    ) -> None:
        """Say what other pixels mean: damage on the device class that made them first, on another one nothing."""
        tally.counts.update(made_again=looked_at, same=max(0, looked_at - len(others)))
        if not others:
            return
        if classes != {self._place.device_class}:
            tally.counts["other_class"] += len(others)
            return
        tally.counts["damaged"] += 1
        reason = f"{name_items(others)} came out with other pixels on the device class that made it"
        tally.find(recorded.path, [reason], recorded.start, recorded.stop)

    def _close(self, lease: Lease, hold: Hold, target: Job, tally: Tally) -> dict[str, Any]:
        """Look at what only the whole job can show, and at its other objects; sum up."""
        with self._place.database.transaction() as session:
            before = session.scalars(sa.select(Job.result).where(Job.number == lease.job_number)).one()
            last = shards.closing(session, target.number)
            # Of a job that kept its best and was taken in from the store, no other shards are known.
            covered = target.kind in MAKERS and not is_closed(target)
            cover = check_cover(shards.ranges(session, target.number), lease.total) if covered else []
        rows = before.get("counts", {}).get("rows", 0)
        if is_closed(target) and last is not None:
            rows = self._inspect_chosen(hold, target, last, tally)
        wrong = [*cover, *check_counters(target, rows)]
        if wrong:
            tally.counts["damaged"] += 1
            tally.find(None, wrong, 0, target.total)
        self._sample(lease, hold, target, last, tally)
        self._check_belongings(hold, target, tally)
        damaged = before.get("counts", {}).get("damaged", 0) + tally.counts["damaged"]
        return tally.result | {"sound": damaged == 0, "device_class": self._place.device_class}

    def _inspect_chosen(self, hold: Hold, target: Job, recorded: Recorded, tally: Tally) -> int:
        """Look at the one shard of a job that kept its best; how many rows it has."""
        with self._place.database.transaction() as session:
            rows = shards.rows(session, target.number, recorded)
        watch(hold)
        tally.counts["rows"] += len(rows)
        if recorded.path is None and target.result.get("kept") == 0:
            return len(rows)
        seen = look(self._place, target, recorded)
        if seen is not None:
            now, rows, found = seen
            tally.counts.update(shards=1, bytes=found.size)
            if not found.sound:
                tally.counts["damaged"] += 1
                tally.find(now.path, found.reasons, now.start, now.stop)
        self._find_strays(target, 0, target.total, tally)
        return len(rows)

    def _sample(self, lease: Lease, hold: Hold, target: Job, last: Recorded | None, tally: Tally) -> None:
        """Make variants again that are drawn by lot, or all of those that were chosen as the best."""
        if target.kind != "generate" or (lease.spec["sample"] is None and not is_closed(target)):
            return
        for recorded, row in self._draw(lease, target, last):
            watch(hold)
            if remakes(target) is not None:
                tally.counts["other_engine"] += 1
                continue
            with self._place.database.transaction() as session:
                made_on = shards.device_classes(session, target.number)
            classes = made_on if recorded.closing else {recorded.device_class}
            again = differing(self._maker.block(target, row.index, row.index + 1), {row.index: row})
            self._judge(recorded, classes, 1, again, tally)
            self._check_picture(recorded, row, tally)

    def _draw(self, lease: Lease, target: Job, last: Recorded | None) -> Iterator[tuple[Recorded, VariantRow]]:
        """Yield variants with their shards: the first at or after each index drawn by lot, none twice."""
        count = lease.spec["sample"]
        if count is None:
            with self._place.database.transaction() as session:
                rows = shards.rows(session, target.number, last) if last is not None else {}
            yield from ((last, row) for row in rows.values() if last is not None)
            return
        seen = set()
        places = uniform(words(lease.seed, _STREAM, 4, 0, count))[:, 0] * target.total if count else ()
        for place in sorted(int(each) for each in places):
            with self._place.database.transaction() as session:
                found = shards.following(session, target.number, place) or shards.following(session, target.number, 0)
            if found is not None and found[1].index not in seen:
                seen.add(found[1].index)
                yield found

    def _check_picture(self, recorded: Recorded, row: VariantRow, tally: Tally) -> None:
        """Hold the pixels of a stored PNG against its row."""
        reason = None
        try:
            png = self._place.blobs.get_range(recorded.path or "gone", row.offset, row.length)
            if digest(decode(png)) != row.digest:
                reason = f"the picture of item {row.index} does not show what its row says"
        except (Invalid, NotFound) as error:
            reason = str(error)
        if reason is not None:
            tally.counts["damaged"] += 1
            tally.find(recorded.path, [reason], row.index, row.index + 1)

    def _check_belongings(self, hold: Hold, target: Job, tally: Tally) -> None:
        with self._place.database.transaction() as session:
            found = belongings.of(session, target)
        for each in found:
            watch(hold)
            tally.counts["objects"] += 1
            reason = damage(self._place, each)
            if reason is not None:
                tally.counts["damaged"] += 1
                tally.find(each.key, [reason], 0, 0)


def damage(place: Workplace, belonging: belongings.Belonging) -> str | None:
    """Say what is wrong with an object that is no shard."""
    with TemporaryFile() as file:
        try:
            _, found = place.blobs.fetch(belonging.key, file)
        except NotFound:
            return f"{belonging.what}: the object is gone"
    return None if found == belonging.digest else f"{belonging.what}: its SHA-256 is not the one that was recorded"
