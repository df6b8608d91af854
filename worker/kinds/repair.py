"""Repair: damaged and lost shards of a job made again from their recipes, and rows from sound shards."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy.orm import Session

from core.catalogue import belongings, shards
from core.catalogue.rows import VariantRow
from core.catalogue.shards import Recorded
from core.catalogue.tables import Job
from core.errors import Fenced
from core.ledger.finish import Keep, Outcome
from core.ledger.leases import Lease
from core.packing import Generated, generate
from core.storage.blobs import Blobs
from core.upkeep.accounts import is_closed
from core.upkeep.inspection import Inspected
from worker.heartbeat import Hold
from worker.kinds.best import Chosen, repack
from worker.kinds.verify import damage
from worker.rounds import Maker, Tally, ended, look, remakes, target_of, walk, watch
from worker.work import Workplace


@dataclass(frozen=True)
class Remade:
    """A shard made again, in a file of this machine."""

    file: Path
    size: int
    digest: bytes
    rows: Mapping[int, VariantRow]


@dataclass
class Round:
    """What one lease of a repair has seen, and what is to be written when it is kept."""

    lease: Lease
    hold: Hold
    target: Job
    tally: Tally = field(default_factory=Tally)
    writes: list[Callable[[Session], None]] = field(default_factory=list)
    obsolete: list[str] = field(default_factory=list)

    def leave(self, recorded: Recorded, found: Inspected, why: str) -> None:
        """Say that a shard stays as it is."""
        self.tally.counts["left"] += 1
        self.tally.find(recorded.path, found.reasons, recorded.start, recorded.stop, outcome=f"left: {why}")


class Repair:
    """Mends what jobs made."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._maker = Maker(place)

    def __call__(self, lease: Lease, hold: Hold) -> tuple[Outcome, Keep]:
        here = Round(lease, hold, target_of(self._place, lease))
        if lease.closing:
            self._close(here)
            upto = lease.stop
        elif here.target.kind == "generate":
            upto = walk(self._place, lease, hold, here.target, lambda recorded: self._mend(here, recorded))
        else:
            upto = lease.stop

        def keep(session: Session) -> dict[str, Any]:
            for write in here.writes:
                write(session)
            return here.tally.result

        return ended(lease, hold, upto, here.obsolete), keep

    def _close(self, here: Round) -> None:
        """Mend the shard of the best, and say what cannot be made again."""
        with self._place.database.transaction() as session:
            last = shards.closing(session, here.target.number) if is_closed(here.target) else None
            others = belongings.of(session, here.target)
        if last is not None and here.target.result.get("kept") != 0:
            self._mend(here, last)
        for each in others:
            watch(here.hold)
            reason = damage(self._place, each)
            if reason is not None:
                here.tally.counts["left"] += 1
                here.tally.find(each.key, [reason], 0, 0, outcome="left: only shards of variants can be made again")

    def _mend(self, here: Round, recorded: Recorded) -> bool:
        """Mend one shard; False where the lease ends after it, so that a transaction never has much to write."""
        seen = look(self._place, here.target, recorded)
        if seen is None:
            return True
        now, rows, found = seen
        here.tally.counts["shards"] += 1
        if found.sound:
            return True
        if not found.damage and found.contents is not None:
            self._write_rows(here, now, rows, found)
        elif (why := remakes(here.target)) is not None:
            here.leave(now, found, why)
        else:
            with TemporaryDirectory(prefix="vyaz-") as folder:
                self._remake(here, now, rows, found, Path(folder))
        return not here.writes

    def _write_rows(self, here: Round, recorded: Recorded, rows: Mapping[int, VariantRow], found: Inspected) -> None:
        """Write the rows of a sound shard anew."""
        own = found.contents.rows if found.contents is not None else {}
        if own == rows:
            here.leave(recorded, found, "its pictures and rows are right; what its items failed of is not known")
            return
        self._write(here, recorded, recorded, own)
        here.tally.counts["rows_mended"] += 1
        here.tally.find(recorded.path, found.reasons, recorded.start, recorded.stop, outcome="rows written anew")

    def _remake(
        self, here: Round, recorded: Recorded, rows: Mapping[int, VariantRow], found: Inspected, folder: Path
    ) -> None:
        """Make a shard again: under its own key if it is the same to the byte, else under a new one."""
        made = self._make(here, recorded, rows, folder)
        if recorded.path is not None and made.digest == recorded.digest:
            self._place.blobs.put(recorded.path, made.file)
            here.tally.counts["restored"] += 1
            outcome = "restored, the same to the byte"
            if made.rows != rows:
                self._write(here, recorded, recorded, made.rows)
                here.tally.counts["rows_mended"] += 1
                outcome += "; rows written anew"
            here.tally.find(recorded.path, found.reasons, recorded.start, recorded.stop, outcome=outcome)
            return
        if rows and made.rows.keys() != rows.keys():
            here.leave(recorded, found, f"made on {self._place.device_class} it has other items")
            return
        self._replace(here, recorded, rows, found, made)

    def _replace(
        self, here: Round, recorded: Recorded, rows: Mapping[int, VariantRow], found: Inspected, made: Remade
    ) -> None:
        """Put a shard that came out otherwise under a new key, which its content is part of: no other attempt's."""
        name = f"{recorded.start:010d}-{recorded.stop:010d}.{recorded.epoch + 1}-{made.digest.hex()[:16]}.tar"
        key = f"jobs/{here.target.id}/{name}"
        self._place.blobs.put(key, made.file)
        device_class = self._place.device_class
        later = replace(recorded, path=key, size=made.size, digest=made.digest, device_class=device_class)
        self._write(here, recorded, replace(later, epoch=recorded.epoch + 1), made.rows)
        if recorded.path is not None:
            here.obsolete.append(recorded.path)
        others = sum(row.index not in rows or row.digest != rows[row.index].digest for row in made.rows.values())
        here.tally.counts["replaced"] += 1
        outcome = f"replaced by {key}: {others} of {len(made.rows)} pictures have other pixels"
        if recorded.device_class != device_class:
            outcome += f"; made on {device_class}, first on {recorded.device_class}"
        here.tally.find(recorded.path, found.reasons, recorded.start, recorded.stop, outcome=outcome)

    def _write(self, here: Round, before: Recorded, after: Recorded, rows: Mapping[int, VariantRow]) -> None:
        """Have a shard and its rows written when the lease is kept, if the shard is then still what we saw."""

        def write(session: Session) -> None:
            if shards.again(session, before, lock=True) != before:
                raise Fenced(f"shard {before.id} of job {here.target.id} was changed meanwhile")
            if after != before:
                shards.move(session, after)
            shards.replace(session, here.target.number, after, rows.values())

        here.writes.append(write)

    def _make(self, here: Round, recorded: Recorded, rows: Mapping[int, VariantRow], folder: Path) -> Remade:
        """Make a shard again in a folder of this machine."""
        local, key = Blobs.open(folder.as_uri()), "made.tar"
        if recorded.closing:
            chosen = self._choose_again(here, sorted(rows))
            size, digest, made = repack(self._place, local, key, here.target, chosen)
            return Remade(folder / key, size, digest, {row.index: row for row in made})

        def report(_: int) -> bool:
            watch(here.hold)
            return True

        composer = self._maker.composer(here.target)
        again: Generated = generate(composer, recorded.start, recorded.stop, local, key, report)
        return Remade(folder / key, again.size, bytes.fromhex(again.sha256), {row.index: row for row in again.rows})

    def _choose_again(self, here: Round, indexes: list[int]) -> list[Chosen]:
        """Make the chosen variants of a job again, by their index."""
        chosen = []
        for index in indexes:
            watch(here.hold)
            made = self._maker.block(here.target, index, index + 1)
            chosen += [Chosen(VariantRow.rebuild(each.meta, 0, 0), each.png, each.meta) for each in made.values()]
        return chosen
