"""A range of items, made -> a tar and its catalogue rows.

Making and storing are two steps, so that a slot can store one shard while it makes the next.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass

from core.catalogue.rows import VariantRow
from core.errors import ItemError
from core.pipeline import Composer, Made, Rejected, compose_ahead
from core.storage.blobs import Blobs
from core.storage.shards import ShardWriter


@dataclass(frozen=True, slots=True)
class Generated:
    """A stored shard, made as far as `upto`; its rows, the rejected and the items that cannot be made fill it."""

    upto: int
    rows: list[VariantRow]
    failures: list[ItemError]
    rejected: Mapping[str, int]  # how many by reason
    key: str
    size: int  # bytes of the tar
    sha256: str  # of the tar, hexadecimal


@dataclass(frozen=True, slots=True)
class Packed:
    """A shard that is made and not yet stored; to be stored once, or closed."""

    upto: int
    rows: list[VariantRow]
    failures: list[ItemError]
    rejected: Mapping[str, int]
    writer: ShardWriter

    def store(self, blobs: Blobs, key: str) -> Generated:
        """Put the tar under `key`. Nothing stands there before everything does; `EnvironmentFault` if it cannot be."""
        failed = {str(failure.index): str(failure) for failure in self.failures}
        report = {"upto": self.upto, "failed": failed, "rejected": dict(self.rejected)}
        with self.writer:
            size, sha256 = self.writer.store(blobs, key, report)
        return Generated(self.upto, self.rows, self.failures, self.rejected, key, size, sha256)


def pack(composer: Composer, start: int, stop: int, report: Callable[[int], bool]) -> Packed:
    """Make items [start, stop) into one tar.

    `report` is told after each block how far the work has come; where it answers False, the shard ends there.
    """
    upto, rows, failures = start, [], []
    rejected: Counter[str] = Counter()
    writer = ShardWriter(composer.manifest(start))
    try:
        with closing(compose_ahead(composer, start, stop)) as blocks:
            for upto, items in blocks:
                for item in items:
                    if isinstance(item, ItemError):
                        failures.append(item)
                    elif isinstance(item, Rejected):
                        rejected[item.reason] += 1
                    else:
                        rows.append(_add(writer, item))
                if not report(upto):
                    break
    except BaseException:
        writer.close()
        raise
    return Packed(upto, rows, failures, rejected, writer)


def generate(
    composer: Composer, start: int, stop: int, blobs: Blobs, key: str, report: Callable[[int], bool]
) -> Generated:
    """Make items [start, stop) and store them as one tar under `key`: `pack`, then `Packed.store`."""
    return pack(composer, start, stop, report).store(blobs, key)


def _add(writer: ShardWriter, made: Made) -> VariantRow:
    span = writer.add(made.index, made.png, made.meta)
    where = (span.offset, span.length)
    return VariantRow(made.index, made.letters, made.layout, made.digest, *where, made.ink, made.legibility, made.score)
