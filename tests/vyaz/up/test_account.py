"""Who PostgreSQL runs as: root in disguise or without, an ordinary user, a user without a name."""

import json
import os
import pwd
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.tree import ROOT
from vyaz.up.orphans import find_programs
from vyaz.up.servers import ServerPair

HERE = Path(__file__).parent
SITE = Path(psycopg.__file__).parents[1]
HOLDER, FORBID = HERE / "pair_holder.py", HERE / "forbid_namespaces.py"
NOBODY, NAMELESS = 65534, 42424
WHO = "SELECT 'it runs as ' || current_user"
PYTHON = Path("/usr/bin/python3")  # root's own may lie where nobody else can enter

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder on whose way nothing is closed, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="vyaz-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def other_python() -> list[str]:
    """A Python that every user may run, of the version for which the libraries were built."""
    version = "import sys; print(sys.version_info[:2])"
    ran = subprocess.run([PYTHON, "-c", version], capture_output=True, text=True)
    if ran.stdout.strip() != str(sys.version_info[:2]):
        pytest.skip(f"{PYTHON} is no Python {sys.version_info[:2]}")
    return [str(PYTHON)]


def in_the_open(source: Path, site: Path) -> list[str]:
    """Begin a command that sees the project and its libraries where every user may enter, wherever they really lie."""
    mounts = f"mount --bind {shlex.quote(str(ROOT))} {source} && mount --bind {shlex.quote(str(SITE))} {site}"
    return ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh"]


def run_pair(argv: list[str], data: Path, question: str = WHO) -> tuple[str, str]:
    """Start a pair as a program, use it, kill it; the answer of PostgreSQL, or what went to stderr.

    The servers must end with their parent, whatever their account.
    """
    with tempfile.TemporaryDirectory(prefix="vyaz-open-") as opened:
        Path(opened).chmod(0o755)
        source, site = Path(opened) / "source", Path(opened) / "site"
        source.mkdir()
        site.mkdir()
        return _run_pair([*in_the_open(source, site), *argv], source, site, data, question)


def _run_pair(argv: list[str], source: Path, site: Path, data: Path, question: str) -> tuple[str, str]:
    environment = {"PYTHONPATH": f"{source}:{site}", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    pipe = subprocess.PIPE
    holder = source / HOLDER.relative_to(ROOT)
    command = [part.replace(str(ROOT), str(source)) if part == str(FORBID) else part for part in argv]
    command += [str(holder), str(data)]
    with subprocess.Popen(command, env=environment, cwd="/", text=True, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            if not line:
                return "", process.communicate()[1]
            with psycopg.connect(json.loads(line)[0]) as connection:
                row = connection.execute(question).fetchone()
            assert row is not None
            return str(row[0]), ""
        finally:
            process.kill()
            process.communicate()
            deadline = time.monotonic() + 15
            while find_programs("postgres", data / "postgres" / "data") or find_programs(
                "valkey-server", data / "valkey"
            ):
                assert time.monotonic() < deadline, "the servers outlive their parent"
                time.sleep(0.05)


def owners(folder: Path) -> set[int]:
    return {path.lstat().st_uid for path in (folder, *folder.rglob("*"))}


def as_user(uid: int) -> list[str]:
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]


@as_root
def test_as_root_every_file_stays_roots_and_nothing_outside_the_folder_changes(tmp_path: Path) -> None:
    way = [parent.stat().st_mode for parent in tmp_path.parents]
    with ServerPair(tmp_path / "data", durable=False) as pair:
        assert owners(tmp_path) == {0}
        status = Path(f"/proc/{pair.children[0].pid}/status").read_text()
        assert "Uid:\t0\t0\t0\t0" in status
        assert Path(f"/proc/{pair.children[0].pid}/uid_map").read_text().split()[1:] == ["0", "1"]
    assert [parent.stat().st_mode for parent in tmp_path.parents] == way


@as_root
def test_an_ordinary_user_needs_no_disguise(open_folder: Path) -> None:
    os.chown(open_folder, NOBODY, NOBODY)
    answer, error = run_pair([*as_user(NOBODY), *other_python()], open_folder / "data")
    assert answer == "it runs as vyaz", error
    assert owners(open_folder) == {NOBODY}


@as_root
def test_root_where_namespaces_are_forbidden_hands_over_the_cluster_and_nothing_else(open_folder: Path) -> None:
    data = open_folder / "data"
    for _ in range(2):  # made, and found again
        answer, error = run_pair([sys.executable, str(FORBID), sys.executable], data)
        assert answer == "it runs as vyaz", error
        assert owners(data / "postgres") == {pwd.getpwnam("nobody").pw_uid}
        assert owners(data / "secrets") | owners(data / "valkey") | owners(data / "logs") == {0}
    assert {oct(path.stat().st_mode & 0o777) for path in (data, data / "run")} == {"0o711"}
    assert (data / "secrets").stat().st_mode & 0o777 == 0o700


@as_root
def test_a_cluster_of_root_in_disguise_is_handed_over_when_namespaces_become_forbidden(open_folder: Path) -> None:
    data = open_folder / "data"
    with ServerPair(data, durable=False) as pair, psycopg.connect(pair.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1")
    answer, error = run_pair(
        [sys.executable, str(FORBID), sys.executable], data, "SELECT 'kept ' || count(*) FROM kept"
    )
    assert answer == "kept 1", error


@as_root
def test_root_is_told_which_folder_is_in_the_way_where_namespaces_are_forbidden(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    _, error = run_pair([sys.executable, str(FORBID), sys.executable], closed / "data")
    assert f"cannot enter {closed}" in error
    assert "run vyaz as an ordinary user" in error
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_a_user_without_a_name_works_in_disguise(open_folder: Path) -> None:
    os.chown(open_folder, NAMELESS, NAMELESS)
    answer, error = run_pair([*as_user(NAMELESS), *other_python()], open_folder / "data")
    assert answer == "it runs as vyaz", error
    assert owners(open_folder) == {NAMELESS}


@as_root
def test_a_user_without_a_name_is_told_so_where_namespaces_are_forbidden(open_folder: Path) -> None:
    os.chown(open_folder, NAMELESS, NAMELESS)
    argv = [*as_user(NAMELESS), *other_python(), str(FORBID), *other_python()]
    _, error = run_pair(argv, open_folder / "data")
    assert f"user {NAMELESS} has no entry in /etc/passwd" in error
