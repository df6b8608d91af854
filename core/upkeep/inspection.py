"""One shard held against what the catalogue says of it: every byte, every member, every row."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Final

from core.catalogue.rows import VariantRow
from core.catalogue.shards import Recorded
from core.errors import Invalid, NotFound
from core.storage.blobs import Blobs
from core.storage.shards import members, read_manifest, read_report

NAMED: Final = 3  # items named in a reason; more are counted
_IN_MEMORY: Final = 64 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Contents:
    """What a readable shard holds."""

    manifest: Mapping[str, Any]
    rows: Mapping[int, VariantRow]
    report: Mapping[str, Any] | None


@dataclass(slots=True)
class Inspected:
    """What is wrong with a shard: nothing, where both lists are empty."""

    size: int = 0  # bytes read
    damage: list[str] = field(default_factory=list)
    """Of the object: it is not the one that was recorded."""
    discord: list[str] = field(default_factory=list)
    """Between object and rows."""
    contents: Contents | None = None
    """None where the object is not the one that was recorded."""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damage and not self.discord

    @property
    def reasons(self) -> list[str]:
        """All that is wrong, for people."""
        return [*self.damage, *self.discord]


def inspect(
    blobs: Blobs, recorded: Recorded, rows: Mapping[int, VariantRow], failed: Collection[int] | None = None
) -> Inspected:
    """Read a shard's object whole and hold it against its row, its variants and its failed items.

    `failed` None leaves out what became of items without a picture. Raise `EnvironmentFault` where the store is away.
    """
    found = Inspected()
    with SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
        _read(blobs, recorded, file, found)
        if found.damage:
            return found
        try:
            found.contents = open_shard(file)
        except Invalid as error:
            found.damage.append(f"it cannot be read: {error}")
            return found
    found.discord += _compare(found.contents.rows, rows)
    if failed is not None and found.contents.report is not None:
        found.discord += _account(recorded, found.contents, failed)
    return found


def open_shard(file: bytes | IO[bytes]) -> Contents:
    """Read a shard's members as the rows that they make; raise `Invalid` for what is no shard."""
    rows = {}
    for member in members(file):
        row = VariantRow.rebuild(member.meta, member.span.offset, member.span.length)
        if row.index != member.index or member.index in rows:
            raise Invalid(f"member {member.index} stands twice, or speaks of item {row.index}")
        rows[row.index] = row
    return Contents(read_manifest(file), rows, read_report(file))


def name_items(indexes: Iterable[int]) -> str:
    """`item 5`, `items 5, 7`, or `items 5, 7, 9 and 12 more`."""
    found = sorted(indexes)
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return f"item{'s' if len(found) > 1 else ''} {', '.join(map(str, found[:NAMED]))}{more}"


def _read(blobs: Blobs, recorded: Recorded, file: IO[bytes], found: Inspected) -> None:
    if recorded.path is None or recorded.digest is None:
        found.damage.append("no object is recorded")
        return
    try:
        found.size, digest = blobs.fetch(recorded.path, file)
    except NotFound:
        found.damage.append("the object is gone")
        return
    if found.size != recorded.size:
        found.damage.append(f"it has {found.size} bytes, not {recorded.size}")
    if digest != recorded.digest:
        found.damage.append(f"its SHA-256 is {digest.hex()}, not {recorded.digest.hex()}")


def _compare(members: Mapping[int, VariantRow], rows: Mapping[int, VariantRow]) -> list[str]:
    """Say where pictures and rows differ."""
    reasons = []
    if lacking := members.keys() - rows.keys():
        reasons.append(f"{name_items(lacking)} has a picture and no row")
    if empty := rows.keys() - members.keys():
        reasons.append(f"{name_items(empty)} has a row and no picture")
    for each in fields(VariantRow):
        name = each.name
        both = members.keys() & rows.keys()
        if other := [index for index in both if getattr(members[index], name) != getattr(rows[index], name)]:
            reasons.append(f"the row of {name_items(other)} has another {name} than the shard")
    return reasons


def _account(recorded: Recorded, contents: Contents, failed: Collection[int]) -> list[str]:
    """Say which items are neither made, nor failed, nor rejected, as the shard's own report has it."""
    report = contents.report or {}
    reasons = []
    said = {int(index) for index in report.get("failed", {})}
    if report.get("upto") != recorded.stop:
        reasons.append(f"it goes up to item {report.get('upto')}, not {recorded.stop}")
    if forgotten := said - set(failed):
        reasons.append(f"{name_items(forgotten)} failed, and the catalogue does not say so")
    rejected = sum(report.get("rejected", {}).values())
    missing = recorded.stop - recorded.start - len(contents.rows) - len(said) - rejected
    if missing:
        reasons.append(f"{missing} of its items are neither made, nor failed, nor rejected")
    return reasons
