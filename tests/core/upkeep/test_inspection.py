"""One shard held against its rows: no flipped bit, no cut and no exchange goes unseen."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from core.catalogue.rows import VariantRow
from core.catalogue.shards import Recorded
from core.packing import generate
from core.pipeline import Composer
from core.recipe import GenerateSpec
from core.shipped import FOLDER
from core.storage import weights
from core.storage.blobs import Blobs
from core.storage.shards import ShardWriter, shard_key
from core.upkeep.inspection import Inspected, inspect, name_items

FLIPS = 1_000


@dataclass
class Kept:
    """A shard in a store, as the catalogue records it."""

    blobs: Blobs
    recorded: Recorded
    rows: dict[int, VariantRow]

    def inspect(self, **changes: object) -> Inspected:
        return inspect(self.blobs, replace(self.recorded, **changes), self.rows, set())  # type: ignore[arg-type]

    @property
    def data(self) -> bytes:
        return self.blobs.get(self.recorded.path or "")

    def put(self, data: bytes) -> None:
        self.blobs.put(self.recorded.path or "", data)


def make(blobs: Blobs, start: int) -> Kept:
    data = (FOLDER / "letters-nano.safetensors").read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    blobs.put(weights.weights_key(sha256), data)
    tensors, meta = weights.load(blobs, weights.weights_key(sha256), sha256)
    composer = Composer(GenerateSpec(letters=("A", "BV"), size=32), 7, tensors, meta, "cpu")
    made = generate(composer, start, start + 64, blobs, shard_key("7", start, start + 64, 1), lambda _: True)
    shard = Recorded(1, start, made.upto, False, 1, None, made.key, made.size, bytes.fromhex(made.sha256))
    return Kept(blobs, shard, {row.index: row for row in made.rows})


@pytest.fixture(scope="module")
def made() -> tuple[Kept, Kept]:
    blobs = Blobs.open("memory:///")
    return make(blobs, 0), make(blobs, 64)


@pytest.fixture
def kept(made: tuple[Kept, Kept]) -> Iterator[Kept]:
    one, _ = made
    before, rows = one.data, dict(one.rows)
    yield one
    one.put(before)
    one.rows = rows


def test_a_shard_as_it_was_made_is_sound(kept: Kept) -> None:
    found = kept.inspect()

    assert found.sound
    assert found.size == len(kept.data)
    assert found.contents is not None
    assert found.contents.rows == kept.rows
    assert found.contents.manifest["start"] == 0


def test_every_one_of_a_thousand_flipped_bits_is_found(made: tuple[Kept, Kept]) -> None:
    lots = np.random.default_rng(29)
    found = 0
    for flip in range(FLIPS):
        kept = made[flip % 2]
        whole = kept.data
        bit = int(lots.integers(8 * len(whole)))
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        kept.put(bytes(flipped))
        found += bool(kept.inspect().damage)
        kept.put(whole)

    assert found == FLIPS


@pytest.mark.parametrize("length", [0, 1, 511, 512, 5_000, -1])
def test_a_shard_that_is_cut_off_is_found(kept: Kept, length: int) -> None:
    kept.put(kept.data[:length])

    assert "bytes, not" in kept.inspect().damage[0]


def test_exchanged_shards_are_found(made: tuple[Kept, Kept], kept: Kept) -> None:
    kept.put(made[1].data)

    assert "SHA-256" in kept.inspect().damage[-1]


def test_a_missing_object_is_found(kept: Kept) -> None:
    assert kept.inspect(path="jobs/7/none.tar").damage == ["the object is gone"]
    assert kept.inspect(path=None).damage == ["no object is recorded"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("letters", "Q"),
        ("layout", "circle"),
        ("digest", b"\1" * 32),
        ("offset", 1),
        ("length", 1),
        ("ink", 0.5),
        ("legibility", 0.5),
        ("score", 0.0),
    ],
)
def test_a_row_that_says_something_else_than_its_picture_is_found(kept: Kept, field: str, value: object) -> None:
    kept.rows[5] = replace(kept.rows[5], **{field: value})  # type: ignore[arg-type]

    assert kept.inspect().discord == [f"the row of item 5 has another {field} than the shard"]


def test_a_missing_row_and_one_too_many_are_found(kept: Kept) -> None:
    kept.rows[99] = replace(kept.rows.pop(5), index=99)

    assert kept.inspect().discord == ["item 5 has a picture and no row", "item 99 has a row and no picture"]


def test_items_that_became_nothing_are_found() -> None:
    blobs = Blobs.open("memory:///")
    said = {"letters": "A", "layout": "single", "digest": "00" * 32, "ink": 0.5}
    with ShardWriter({"start": 0}) as writer:
        span = writer.add(0, b"png", said | {"index": 0})
        report = {"upto": 4, "failed": {"1": "no ink"}, "rejected": {"illegible": 1}}
        size, sha256 = writer.store(blobs, "a.tar", report)
    shard = Recorded(1, 0, 4, False, 1, None, "a.tar", size, bytes.fromhex(sha256))
    rows = {0: VariantRow.rebuild(said | {"index": 0}, span.offset, span.length)}

    assert inspect(blobs, shard, rows, {1}).discord == ["1 of its items are neither made, nor failed, nor rejected"]
    assert inspect(blobs, shard, rows, ()).discord[0] == "item 1 failed, and the catalogue does not say so"
    assert inspect(blobs, replace(shard, stop=3), rows, {1}).discord == ["it goes up to item 4, not 3"]


def test_a_tar_of_something_else_is_no_shard() -> None:
    blobs = Blobs.open("memory:///")
    blobs.put("a.tar", b"no tar at all")
    shard = Recorded(1, 0, 4, False, 1, None, "a.tar", 13, hashlib.sha256(b"no tar at all").digest())

    assert "it cannot be read" in inspect(blobs, shard, {}, ()).damage[0]


def test_items_are_named_and_then_counted() -> None:
    assert name_items([5]) == "item 5"
    assert name_items(range(1, 9)) == "items 1, 2, 3 and 5 more"
