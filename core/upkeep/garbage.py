"""Objects that nothing refers to, found and deleted; never one that somebody is about to refer to.

Folder by folder, in this order:

1. **List** the folder. Whatever is put later is not looked at.
2. **Read the catalogue**: leases first, then references (`core.upkeep.references`). Who put an object that was listed
   has either committed before we read, and the reference is seen; or holds the lease under which it was put, and that
   is seen; or has lost the lease, and the fence will never let it refer to the object. The other order (catalogue,
   then list) would lose what was put and committed in between.
3. **Look at each candidate again**, and leave it if it was put anew since it was listed.
4. **Delete.**

A shard's key bears its epoch, so after 2 nobody can ever come to refer to a candidate. Where a key is made of the
content (weights, datasets, checkpoints, uploads) another writer may put the same bytes under the same key between 3
and 4. So the bytes are kept aside, the catalogue is read once more after the deletion, and if it refers to the key by
now, or somebody may, the bytes are put back.

The grace period covers what is put without a lease (uploads of users, seconds before their job is submitted), and
whatever was overlooked here. It is counted by the store's own clock: the time that the store gives to a value put now,
less the time that it gave to the object. No worker's clock is asked.
"""

import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from tempfile import TemporaryFile
from typing import Any, Final

from sqlalchemy.orm import Session

from core.catalogue.database import Database
from core.errors import NotFound
from core.failpoints import reach
from core.storage.blobs import Blobs, Entry
from core.upkeep import references
from core.upkeep.references import Held

MOST_NAMED: Final = 1_000  # deleted objects named in a report

_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_BY_CONTENT: Final = re.compile(r"\.\d+-[0-9a-f]+\.tar$")  # shards that a repair put under a new key

Read = Callable[[Session], Held]


@dataclass(frozen=True)
class Terms:
    """What a sweep may take."""

    grace: timedelta
    dry: bool = False
    spared: frozenset[str] = frozenset()
    """Keys that stay whatever the catalogue says: weights that come with Vyaz."""


@dataclass
class Swept:
    """What a sweep saw and took; sizes in bytes."""

    counts: Counter[str] = field(default_factory=Counter)
    findings: list[dict[str, Any]] = field(default_factory=list)

    def count(self, what: str, entry: Entry) -> None:
        """Add one object."""
        self.counts.update({what: 1, f"{what}_bytes": entry.size})


@dataclass(frozen=True)
class Folder:
    """A part of the store whose references are read at once."""

    path: str
    read: Read
    named_by_content: bool
    """Whether two writers may put the same key."""

    def holds(self, key: str) -> bool:
        """Whether a key below the path is this folder's: parts of datasets lie in a folder inside another one."""
        return self.path != "datasets" or not key.startswith("datasets/jobs/")


class Sweep:
    """One sweep over a store."""

    def __init__(self, database: Database, blobs: Blobs, terms: Terms, beat: Callable[[], object]) -> None:
        self._database = database
        self._blobs = blobs
        self._terms = terms
        self._beat = beat
        self.swept = Swept()

    def run(self, now: datetime) -> Swept:
        """Sweep all folders that Vyaz writes into; `now` is the store's time."""
        with self._database.transaction() as session:
            born = references.born(session)
        for folder in self._folders():
            self._sweep(folder, now - self._terms.grace, born)
        return self.swept

    def _folders(self) -> Iterator[Folder]:
        for path in self._blobs.folders("jobs"):
            yield from self._of_id(path, references.of_job, named_by_content=False)
        for path in self._blobs.folders("datasets/jobs"):
            yield from self._of_id(path, references.of_dataset_job, named_by_content=False)
        for path in self._blobs.folders("checkpoints"):
            yield from self._of_id(path, references.of_run, named_by_content=True)
        for path in self._blobs.folders("uploads"):
            yield from self._of_id(path, references.of_uploads, named_by_content=True)
        yield Folder("datasets", references.of_datasets, named_by_content=True)
        yield Folder("weights", references.of_weights, named_by_content=True)

    def _of_id(
        self, path: str, read: Callable[[Session, uuid.UUID], Held], *, named_by_content: bool
    ) -> Iterator[Folder]:
        name = path.rpartition("/")[2]
        if not _ID.fullmatch(name):
            self.swept.counts["unknown_folders"] += 1
            return
        yield Folder(path, lambda session: read(session, uuid.UUID(name)), named_by_content)

    def _sweep(self, folder: Folder, before: datetime, born: datetime | None) -> None:
        self._beat()
        listed = [each for each in self._blobs.entries(folder.path) if folder.holds(each.key)]
        held = self._held(folder)
        for entry in listed:
            what = self._judge(entry, held, before, born)
            if what == "deleted" and not self._terms.dry:
                what = self._delete(folder, entry)
            self.swept.count(what, entry)
            if what == "deleted" and len(self.swept.findings) < MOST_NAMED:
                self.swept.findings.append({"key": entry.key, "bytes": entry.size})

    def _held(self, folder: Folder) -> Held:
        with self._database.transaction() as session:
            return folder.read(session)

    def _judge(self, entry: Entry, held: Held, before: datetime, born: datetime | None) -> str:
        """Say what becomes of an object, in the word that it is counted under."""
        if held.keeps(entry.key) or entry.key in self._terms.spared:
            return "referenced"
        if held.awaits(entry.key):
            return "in_flight"
        if entry.modified > before:
            return "young"
        if born is None or entry.modified < born:
            return "older_than_catalogue"
        return "deleted"

    def _delete(self, folder: Folder, entry: Entry) -> str:
        """Delete an object that is still the one that was listed; put it back if somebody came to want it."""
        self._beat()
        try:
            if self._blobs.look(entry.key).modified != entry.modified:
                return "young"
            if not folder.named_by_content and not _BY_CONTENT.search(entry.key):
                self._blobs.delete(entry.key)
                reach("object deleted")
                return "deleted"
            with TemporaryFile() as aside:
                self._blobs.fetch(entry.key, aside)
                self._blobs.delete(entry.key)
                reach("object deleted")
                held = self._held(folder)
                if not held.keeps(entry.key) and not held.awaits(entry.key):
                    return "deleted"
                aside.seek(0)
                self._blobs.put(entry.key, aside)
                return "in_flight"
        except NotFound:
            return "gone_meanwhile"
