"""A whole small job with its store behind an S3 API that answers one request in five with an error."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from core.storage import remote
from tests.core.storage.s3 import BUCKET, KEY, SECRET, Fault, Proxy, by_lot, misbehave, serve
from tests.worker.workshop import Workshop, open_workshop


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    quick = {"init_backoff": timedelta(milliseconds=5), "max_backoff": timedelta(milliseconds=50), "base": 2}
    monkeypatch.setitem(remote._RETRIES, "backoff", quick)
    (tmp_path / "weed").mkdir()
    faults = by_lot(5, 0.2, Fault.ERROR, Fault.BUSY, Fault.LOST, Fault.TORN)
    with serve(tmp_path / "weed") as server, misbehave(server, faults) as proxy:
        yield proxy


@pytest.fixture
def workshop(database_url: str, broker_url: str, proxy: Proxy, tmp_path: Path) -> Iterator[Workshop]:
    workshop = open_workshop(database_url, broker_url, tmp_path, proxy.url("some/prefix"))
    yield workshop
    workshop.close()


def test_a_job_is_made_verified_repaired_and_swept_on_an_object_store(workshop: Workshop, proxy: Proxy) -> None:
    made = workshop.make(192)
    rows, (lost, *_) = workshop.rows(made), workshop.paths(made)
    data = workshop.blobs.get(lost)
    workshop.blobs.delete(lost)

    assert workshop.ask("verify", job=str(made.id), sample=2).result["counts"]["damaged"] == 1
    assert workshop.ask("repair", job=str(made.id)).result["counts"]["restored"] == 1
    assert workshop.blobs.get(lost) == data
    assert workshop.ask("verify", job=str(made.id), sample=2).result["sound"]
    workshop.blobs.put(f"jobs/{made.id}/0000000000-0000000064.9.tar", b"of a lost lease")
    swept = workshop.ask("gc", grace_seconds=0.0).result["counts"]

    assert (swept["deleted"], swept["referenced"]) == (1, 4)
    assert workshop.rows(made) == rows
    assert len(set(proxy.met)) == 4
    assert BUCKET in proxy.lines[0]
