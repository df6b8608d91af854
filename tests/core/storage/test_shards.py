"""Shards: the same content is the same bytes, any tar reader reads them, and a shard alone rebuilds its rows."""

import hashlib
import io
import json
import resource
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from core.catalogue.rows import VariantRow
from core.errors import EnvironmentFault, Invalid
from core.storage import shards
from core.storage.blobs import Blobs
from core.storage.shards import ShardWriter, Span, encode_json, members, read_manifest, read_one, shard_key

MANIFEST = {"engine": 1, "seed": 125, "spec": {"letters": ["AB", "ЇЖ"]}}


def meta(index: int) -> dict[str, object]:
    digest = hashlib.sha256(bytes([index])).hexdigest()
    return {"index": index, "letters": "ЇЖ", "layout": "straight", "digest": digest, "ink": 0.125}


def write(blobs: Blobs, key: str, count: int = 3, size: int = 700) -> tuple[list[Span], int, str]:
    with ShardWriter(MANIFEST) as writer:
        spans = [writer.add(index, bytes([index]) * (size * index + 1), meta(index)) for index in range(count)]
        return spans, *writer.store(blobs, key)


@pytest.fixture
def blobs() -> Blobs:
    return Blobs.open("memory:///")


def test_two_writers_of_the_same_content_give_the_same_bytes(blobs: Blobs) -> None:
    first = write(blobs, "a.tar")
    second = write(blobs, "b.tar")

    assert first == second
    assert blobs.get("a.tar") == blobs.get("b.tar")


def test_size_and_digest_are_those_of_the_stored_tar(blobs: Blobs) -> None:
    _, size, sha256 = write(blobs, "a.tar")
    stored = blobs.get("a.tar")

    assert len(stored) == size
    assert hashlib.sha256(stored).hexdigest() == sha256


def test_one_picture_is_read_with_what_is_said_of_it(blobs: Blobs) -> None:
    spans, _, _ = write(blobs, "a.tar")

    for index in (0, 2):
        png, said = read_one(blobs, "a.tar", spans[index].offset, spans[index].length)
        assert png == bytes([index]) * (700 * index + 1)
        assert said == meta(index)
    with pytest.raises(Invalid, match=r"a\.tar"):
        read_one(blobs, "a.tar", spans[1].offset + 512, spans[1].length)


def test_a_picture_is_one_range_read(blobs: Blobs) -> None:
    spans, _, _ = write(blobs, "a.tar")

    assert blobs.get_range("a.tar", spans[2].offset, spans[2].length) == bytes([2]) * 1401


def test_tarfile_reads_the_manifest_first_then_pairs_with_fixed_headers(blobs: Blobs) -> None:
    write(blobs, "a.tar", count=2)
    with tarfile.open(fileobj=io.BytesIO(blobs.get("a.tar"))) as archive:
        entries = archive.getmembers()
        manifest = json.loads(archive.extractfile("manifest.json").read())  # type: ignore[union-attr]

    names = ["manifest.json", "00000000.png", "00000000.json", "00000001.png", "00000001.json"]
    assert [entry.name for entry in entries] == names
    assert {(entry.mtime, entry.uid, entry.gid, entry.mode, entry.uname) for entry in entries} == {(0, 0, 0, 0o644, "")}
    assert manifest == MANIFEST


def test_the_tar_program_reads_a_shard(blobs: Blobs, tmp_path: Path) -> None:
    tar = shutil.which("tar")
    if tar is None:
        pytest.skip("no tar program here")
    write(blobs, "a.tar")
    (tmp_path / "a.tar").write_bytes(blobs.get("a.tar"))
    subprocess.run([tar, "xf", "a.tar"], cwd=tmp_path, check=True)

    assert (tmp_path / "00000001.png").read_bytes() == bytes([1]) * 701
    assert json.loads((tmp_path / "00000001.json").read_text(encoding="utf-8")) == meta(1)


def test_members_pair_up_as_webdataset_groups_them(blobs: Blobs) -> None:
    """WebDataset groups neighbours whose names agree up to the first dot."""
    write(blobs, "a.tar")
    with tarfile.open(fileobj=io.BytesIO(blobs.get("a.tar"))) as archive:
        keys = [entry.name.split(".", 1) for entry in archive]

    assert keys[1:] == [[f"{index:08d}", kind] for index in range(3) for kind in ("png", "json")]


def test_a_shard_alone_rebuilds_its_rows(blobs: Blobs) -> None:
    spans, _, _ = write(blobs, "a.tar")
    found = list(members(blobs.get("a.tar")))
    rows = [VariantRow.rebuild(member.meta, member.span.offset, member.span.length) for member in found]

    assert [member.index for member in found] == [0, 1, 2]
    assert [(row.offset, row.length) for row in rows] == [(span.offset, span.length) for span in spans]
    assert rows[1].digest == hashlib.sha256(b"\1").digest()
    assert (rows[1].letters, rows[1].layout, rows[1].ink) == ("ЇЖ", "straight", 0.125)


def test_the_manifest_is_read_alone(blobs: Blobs) -> None:
    write(blobs, "a.tar")

    assert read_manifest(blobs.get("a.tar")[:2048]) == MANIFEST


def test_a_shard_of_no_items_is_a_tar_too(blobs: Blobs) -> None:
    write(blobs, "a.tar", count=0)

    assert list(members(blobs.get("a.tar"))) == []


@pytest.mark.parametrize("cut", [0, 100, 600, 1600, 2100])
def test_a_cut_or_foreign_file_is_refused(blobs: Blobs, cut: int) -> None:
    write(blobs, "a.tar")
    tar = blobs.get("a.tar")

    with pytest.raises(Invalid):
        list(members(tar[:cut]))
    with pytest.raises(Invalid):
        list(members(b"x" * 4096))
    with pytest.raises(Invalid):
        read_manifest(tar[1024:])


def test_json_has_one_spelling() -> None:
    assert encode_json({"b": 1, "a": "Ї"}) == '{"a":"Ї","b":1}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_json({"ink": float("nan")})


@pytest.mark.parametrize("size", [1000, 200_000])
def test_a_full_temporary_disk_is_an_environment_fault(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Whether the disk says so while an item is added or only when the shard ends."""
    monkeypatch.setattr(shards, "_IN_MEMORY", 2048)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(EnvironmentFault, match="cannot be written"):
            write(blobs, "a.tar", count=2, size=size)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert not blobs.exists("a.tar")


def test_keys_sort_by_range_and_carry_the_epoch() -> None:
    assert shard_key("7", 64, 128, 3) == "jobs/7/0000000064-0000000128.3.tar"


def test_a_damaged_description_is_refused() -> None:
    with pytest.raises(Invalid, match="digest"):
        VariantRow.rebuild({"index": 1, "letters": "A", "layout": "single", "ink": 0.1}, 0, 1)
