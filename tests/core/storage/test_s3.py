"""Blobs on a real S3 API server: what holds for a folder holds there, and no fault on the way gives wrong bytes."""

import hashlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from core.errors import EnvironmentFault, Invalid, NotFound
from core.storage import remote
from core.storage.blobs import Blobs
from core.storage.shards import ShardWriter, members
from tests.core.storage.s3 import BUCKET, KEY, SECRET, Fault, Plan, Proxy, Server, by_lot, first, misbehave, serve

DATA = bytes(np.random.default_rng(18).integers(0, 256, 200_000, dtype=np.uint8))
NAME = "jobs/7/0000000000-0000000064.1.tar"
EVERY = (Fault.ERROR, Fault.BUSY, Fault.CUT, Fault.LOST, Fault.TORN)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("weed")) as server:
        yield server


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials as obstore finds them, and waits that a test can bear."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setitem(remote._OPTIONS, "read_timeout", timedelta(seconds=2))
    quick = {"init_backoff": timedelta(milliseconds=5), "max_backoff": timedelta(milliseconds=50), "base": 2}
    monkeypatch.setitem(remote._RETRIES, "backoff", quick)


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """A place of the test's own in the bucket."""
    return f"tests/{hashlib.sha256(request.node.name.encode()).hexdigest()[:20]}"


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with misbehave(server) as proxy:
        yield proxy


def opened(proxy: Proxy, prefix: str, plan: Plan | None = None) -> Blobs:
    if plan is not None:
        proxy.plan = plan
    return Blobs.open(proxy.url(prefix))


def test_what_holds_for_a_folder_holds_for_a_bucket(proxy: Proxy, prefix: str, tmp_path: Path) -> None:
    blobs = opened(proxy, prefix)
    (tmp_path / "file").write_bytes(DATA)
    blobs.put(NAME, b"old")
    blobs.put(NAME, DATA)
    blobs.put("a/file", tmp_path / "file")
    blobs.put("a/stream", BytesIO(DATA))

    assert blobs.get(NAME) == blobs.get("a/file") == blobs.get("a/stream") == DATA
    assert blobs.get_range(NAME, 70_000, 3) == DATA[70_000:70_003]
    assert sorted(blobs.keys()) == ["a/file", "a/stream", NAME]
    assert sorted(blobs.keys("jobs/7")) == [NAME]
    assert blobs.folders() == ["a", "jobs"]
    target = BytesIO()
    assert blobs.fetch(NAME, target) == (len(DATA), hashlib.sha256(DATA).digest())
    assert target.getvalue() == DATA
    assert blobs.look(NAME).size == len(DATA)
    assert abs(blobs.now("clock.txt") - datetime.now(UTC)) < timedelta(seconds=30)
    with pytest.raises(Invalid):
        blobs.get_range(NAME, len(DATA) - 1, 2)
    blobs.delete(NAME)
    blobs.delete(NAME)
    assert not blobs.exists(NAME)
    with pytest.raises(NotFound):
        blobs.get(NAME)
    with pytest.raises(NotFound):
        blobs.fetch(NAME, BytesIO())


@pytest.mark.parametrize("fault", [*EVERY, Fault.SILENT])
def test_a_put_that_meets_a_fault_ends_with_one_object_of_the_right_bytes(
    proxy: Proxy, prefix: str, fault: Fault
) -> None:
    opened(proxy, prefix, first(2, fault, "PUT")).put(NAME, DATA)

    assert proxy.met == [fault] * (2 if fault is not Fault.TORN else len(proxy.met))
    assert opened(proxy, prefix, lambda number, line: None).get(NAME) == DATA
    assert list(Blobs.open(proxy.url(prefix)).keys()) == [NAME]


def test_a_put_that_never_succeeds_is_tried_so_often_and_leaves_nothing(proxy: Proxy, prefix: str) -> None:
    blobs = opened(proxy, prefix, first(1000, Fault.ERROR, "PUT"))

    with pytest.raises(EnvironmentFault, match="jobs/7"):
        blobs.put(NAME, DATA)

    assert len(proxy.lines) == remote.TRIES + 1
    assert list(blobs.keys()) == []


def test_a_put_of_a_large_file_that_is_cut_leaves_nothing_to_be_seen(
    proxy: Proxy, prefix: str, tmp_path: Path, server: Server
) -> None:
    (tmp_path / "file").write_bytes(DATA * 100)
    blobs = opened(proxy, prefix, lambda number, line: Fault.ERROR if number > 2 and line[:3] == "PUT" else None)

    with pytest.raises(EnvironmentFault):
        blobs.put(NAME, tmp_path / "file")

    assert list(blobs.keys()) == []
    assert server.client().list_multipart_uploads(Bucket=BUCKET, Prefix=prefix).get("Uploads", []) == []


@pytest.mark.parametrize("fault", [*EVERY, Fault.SILENT])
def test_a_read_that_meets_a_fault_gives_the_right_bytes_or_none(proxy: Proxy, prefix: str, fault: Fault) -> None:
    opened(proxy, prefix).put(NAME, DATA)
    for count in (1, 1000):
        blobs = opened(proxy, prefix, first(count, fault, "GET"))
        started = time.monotonic()
        for read, expected in ((a_range, DATA[1000:6000]), (Blobs.get, DATA), (fetched, DATA)):
            try:
                assert read(blobs, NAME) == expected
            except EnvironmentFault:
                assert count == 1000
            if fault is Fault.SILENT and count == 1000:
                break  # each takes its time-outs
        assert time.monotonic() - started < 60


def a_range(blobs: Blobs, key: str) -> bytes:
    return blobs.get_range(key, 1000, 5000)


def fetched(blobs: Blobs, key: str) -> bytes:
    target = BytesIO()
    blobs.fetch(key, target)
    return target.getvalue()


@pytest.mark.parametrize("seed", range(3))
def test_shards_are_stored_and_read_while_a_third_of_all_requests_fail(proxy: Proxy, prefix: str, seed: int) -> None:
    blobs = opened(proxy, prefix, by_lot(seed, 0.3, Fault.ERROR, Fault.BUSY))
    stored = {}
    for number in range(20):
        with ShardWriter({"number": number}) as writer:
            spans = [writer.add(index, DATA[index : index + 5000], {"index": index}) for index in range(8)]
            stored[number] = (spans, *writer.store(blobs, f"jobs/7/{number}.tar"))

    for number, (spans, size, sha256) in stored.items():
        assert blobs.get_range(f"jobs/7/{number}.tar", spans[3].offset, spans[3].length) == DATA[3:5003]
        data = blobs.get(f"jobs/7/{number}.tar")
        assert (len(data), hashlib.sha256(data).hexdigest()) == (size, sha256)
        assert len(list(members(data))) == 8
    assert len(proxy.met) > 5


@pytest.mark.parametrize("seed", range(3))
def test_no_mixture_of_faults_gives_wrong_bytes(proxy: Proxy, prefix: str, seed: int) -> None:
    blobs = opened(proxy, prefix, by_lot(seed, 0.3, *EVERY))
    lots = np.random.default_rng(seed)
    held: dict[str, bytes] = {}
    for number in range(60):
        key, at = f"jobs/{number % 7}/a.tar", int(lots.integers(100_000))
        if number % 3 == 0:
            blobs.put(key, DATA[at : at + 50_000])
            held[key] = DATA[at : at + 50_000]
        elif key in held:
            assert blobs.get(key) == held[key]
            assert blobs.get_range(key, 7, 20_000) == held[key][7:20_007]

    proxy.plan = lambda number, line: None
    assert {key: blobs.get(key) for key in blobs.keys()} == held  # noqa: SIM118 - no mapping


def test_uploads_in_parts_that_nobody_ended_are_aborted_and_young_ones_left(
    server: Server, proxy: Proxy, prefix: str
) -> None:
    client = server.client()
    for key in ("jobs/7/a.tar", "jobs/7/b.tar"):
        place = {"Bucket": BUCKET, "Key": f"{prefix}/{key}"}
        begun = client.create_multipart_upload(**place)
        client.upload_part(**place, UploadId=begun["UploadId"], PartNumber=1, Body=DATA)
    blobs = opened(proxy, prefix)
    now = blobs.now("clock.txt")

    assert blobs.abort_uploads(now - timedelta(hours=1)) == 0
    assert blobs.abort_uploads(now + timedelta(minutes=1), dry=True) == 2
    assert blobs.abort_uploads(now + timedelta(minutes=1)) == 2
    assert client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


@pytest.mark.parametrize("endpoint", ["http://10.0.0.1:9000", "http://store.example", "ftp://127.0.0.1", "127.0.0.1:9"])
def test_nothing_goes_over_a_network_in_the_clear(endpoint: str) -> None:
    with pytest.raises(Invalid, match="endpoint"):
        Blobs.open(f"s3://bucket?endpoint={endpoint}")


def test_an_unknown_word_in_a_stores_url_is_refused() -> None:
    with pytest.raises(Invalid, match="not secret"):
        Blobs.open("s3://bucket?secret=x")
