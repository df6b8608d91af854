"""One contract for every store, and what only a local folder must keep."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from core.errors import EnvironmentFault, Invalid, NotFound
from core.storage.blobs import Blobs

KEY = "jobs/7/0000000000-0000000064.1.tar"


def open_folder(folder: Path) -> Blobs:
    return Blobs.open(folder.as_uri())


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture(params=["folder", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return open_folder(tmp_path / "store") if request.param == "folder" else Blobs.open("memory:///")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that takes less than a megabyte: a real small file system for root, else a limit on this process."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        yield folder
        subprocess.run(["umount", str(folder)], check=True)
        return
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512 << 10, limits[1]))
    yield folder
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_what_was_put_is_got(blobs: Blobs) -> None:
    blobs.put(KEY, b"pixels")

    assert blobs.get(KEY) == b"pixels"
    assert blobs.exists(KEY)
    assert list(blobs.keys()) == [KEY]


def test_a_file_and_an_open_file_are_put_like_bytes(blobs: Blobs, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"from a file")
    blobs.put("a/file", source)
    blobs.put("a/stream", BytesIO(b"from a stream"))

    assert blobs.get("a/file") == b"from a file"
    assert blobs.get("a/stream") == b"from a stream"


def test_a_value_is_replaced_whole(blobs: Blobs) -> None:
    blobs.put(KEY, b"long old value")
    blobs.put(KEY, b"new")

    assert blobs.get(KEY) == b"new"


def test_a_range_is_what_stands_there(blobs: Blobs) -> None:
    blobs.put(KEY, bytes(range(256)))

    assert blobs.get_range(KEY, 10, 3) == bytes([10, 11, 12])
    assert blobs.get_range(KEY, 255, 1) == b"\xff"


@pytest.mark.parametrize(("offset", "length"), [(-1, 2), (0, 0), (200, 100)])
def test_a_range_outside_the_value_is_refused(blobs: Blobs, offset: int, length: int) -> None:
    blobs.put(KEY, bytes(256))

    with pytest.raises(Invalid):
        blobs.get_range(KEY, offset, length)


def test_a_missing_value_is_not_found_and_deleting_it_is_no_error(blobs: Blobs) -> None:
    blobs.delete(KEY)

    assert not blobs.exists(KEY)
    with pytest.raises(NotFound, match="0000000064"):
        blobs.get(KEY)
    with pytest.raises(NotFound):
        blobs.get_range(KEY, 0, 1)


def test_a_deleted_value_is_gone(blobs: Blobs) -> None:
    blobs.put(KEY, b"x")
    blobs.delete(KEY)

    assert not blobs.exists(KEY)
    assert list(blobs.keys()) == []


def test_keys_are_listed_by_whole_folders(blobs: Blobs) -> None:
    for key in ("jobs/1/a", "jobs/1/b", "jobs/10/a", "weights/w"):
        blobs.put(key, b"x")

    assert sorted(blobs.keys("jobs/1")) == ["jobs/1/a", "jobs/1/b"]
    assert len(list(blobs.keys())) == 4
    assert list(blobs.keys("absent")) == []


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../b",
        "a//b",
        "a/",
        ".incoming/x",
        "a/.hidden",
        "a b",
        "a\0b",
        "ї",
        "a\n",
        "x" * 513,
    ],
)
def test_what_is_no_key_is_refused(blobs: Blobs, key: str) -> None:
    with pytest.raises(Invalid, match="no key"):
        blobs.put(key, b"x")
    with pytest.raises(Invalid, match="no key"):
        blobs.get(key)
    with pytest.raises(Invalid, match="no key"):
        blobs.delete(key)


@pytest.mark.parametrize("url", ["", "folder", "file://folder", "file:relative", "ftp://host/x", "s3://"])
def test_what_is_no_store_is_refused_with_a_remedy(url: str) -> None:
    with pytest.raises(Invalid, match="file:///folder"):
        Blobs.open(url)


def test_a_folder_with_spaces_and_letters_of_any_script_can_be_a_store(tmp_path: Path) -> None:
    folder = tmp_path / "моя в'язь #1"
    open_folder(folder).put(KEY, b"x")

    assert (folder / KEY).read_bytes() == b"x"
    assert open_folder(folder).get(KEY) == b"x"


def test_a_range_read_reads_only_the_range(tmp_path: Path) -> None:
    blobs = open_folder(tmp_path)
    blobs.put("big", b"")
    os.truncate(tmp_path / "big", 1 << 40)  # a sparse terabyte: reading it whole would not end

    assert blobs.get_range("big", 1 << 39, 4) == bytes(4)


def test_a_full_disk_is_an_environment_fault_and_leaves_no_partial_file(tiny_disk: Path) -> None:
    blobs = open_folder(tiny_disk)
    blobs.put("small", b"fits")
    with pytest.raises(EnvironmentFault, match="big"):
        blobs.put("big", bytes(1 << 20))

    assert files(tiny_disk) == [tiny_disk / "small"]
    assert not blobs.exists("big")


def test_a_full_disk_keeps_the_old_value(tiny_disk: Path) -> None:
    blobs = open_folder(tiny_disk)
    blobs.put("value", b"old")
    with pytest.raises(EnvironmentFault):
        blobs.put("value", bytes(1 << 20))

    assert blobs.get("value") == b"old"


def test_a_value_stands_under_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    class Watched(BytesIO):
        seen: list[Path]

        def read(self, size: int | None = -1, /) -> bytes:
            self.seen = [path for path in files(tmp_path) if ".incoming" not in path.parts]
            return super().read(size)

    source = Watched(b"whole")
    blobs = open_folder(tmp_path)
    blobs.put(KEY, source)

    assert source.seen == []
    assert files(tmp_path) == [tmp_path / KEY]


def test_a_value_and_its_folders_are_synced_before_put_returns(tmp_path: Path) -> None:
    """Read off the system calls of a real process, since a lost sync shows only in a power cut."""
    if subprocess.run(["strace", "true"], capture_output=True, check=False).returncode if shutil.which("strace") else 1:
        pytest.skip("strace cannot run here")
    program = "import sys; from core.storage.blobs import Blobs; Blobs.open(sys.argv[1]).put('jobs/7/x', b'x')"
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-y", "-e", "trace=fsync,rename,renameat,renameat2", "-o", str(trace)]
    python = [sys.executable, "-c", program, (tmp_path / "store").as_uri()]
    subprocess.run(command + python, check=True, cwd=Path(__file__).parents[3])
    calls = trace.read_text().splitlines()
    renamed = next(line for line, call in enumerate(calls) if "rename" in call)

    assert any("fsync" in call and ".incoming" in call for call in calls[:renamed])
    assert any("fsync" in call and "/jobs/7>" in call for call in calls[renamed:])
    assert any("fsync" in call and "/store>" in call for call in calls)


def test_an_unfinished_file_of_a_killed_process_is_never_listed_and_is_swept(tmp_path: Path) -> None:
    blobs = open_folder(tmp_path)
    left = tmp_path / ".incoming" / "0123456789abcdef"
    left.write_bytes(b"part")

    assert list(blobs.keys()) == []
    assert blobs.sweep() == 0
    os.utime(left, (0, 0))
    assert blobs.sweep() == 1
    assert files(tmp_path) == []


def test_a_store_whose_folder_is_gone_is_a_fault_not_a_missing_value(tmp_path: Path) -> None:
    blobs = open_folder(tmp_path / "mount")
    shutil.rmtree(tmp_path / "mount")

    with pytest.raises(EnvironmentFault):
        blobs.get(KEY)
    with pytest.raises(EnvironmentFault):
        blobs.exists(KEY)
    with pytest.raises(EnvironmentFault):
        blobs.put(KEY, b"x")


def test_a_folder_that_is_a_file_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(EnvironmentFault):
        open_folder(tmp_path / "file")
