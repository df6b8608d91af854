"""Whose a data folder is, who holds it, and where its sockets lie."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import Conflict, Invalid
from tests.tree import ROOT
from vyaz.up.folder import FOLDERS, MARKER, DataFolder, claim, hold, is_held

HOLDER = """
import sys, time
from pathlib import Path
from vyaz.up.folder import claim, hold
with hold(claim(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(600)
"""


def start_holder(path: Path) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", HOLDER, str(path)]
    holder = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def end(process: subprocess.Popen[str]) -> None:
    with process:
        process.send_signal(signal.SIGKILL)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_is_private_and_so_is_all_in_it(tmp_path: Path) -> None:
    folder = claim(tmp_path / "new" / "data")
    with hold(folder):
        assert {mode(folder.path / name) for name in FOLDERS} == {0o700}
    assert mode(folder.path) == 0o700
    assert json.loads((folder.path / MARKER).read_text()) == {"format": 1}


def test_a_folder_with_other_things_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(Invalid, match=r"not a Vyaz data folder \(it holds thesis\.txt\)"):
        claim(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_refused_as_a_data_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Invalid, match="File exists"):
        claim(tmp_path / "file")


def test_a_folder_of_another_format_is_refused_with_both_numbers(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text('{"format": 2}')
    with pytest.raises(Invalid, match="has format 2, this version of Vyaz knows 1"):
        claim(tmp_path)


def test_a_marker_that_is_no_marker_is_refused(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text("[]")
    with pytest.raises(Invalid, match="cannot be read"):
        claim(tmp_path)


def test_a_first_start_that_was_killed_before_the_marker_goes_on(tmp_path: Path) -> None:
    (tmp_path / "vyaz.lock").write_text("4242\n")
    (tmp_path / "vyaz.json.new").write_text('{"for')
    (tmp_path / "lost+found").mkdir()
    with hold(claim(tmp_path)):
        assert (tmp_path / MARKER).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_another_users_folder_is_refused_even_for_root(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(Invalid, match="belongs to user 65534, not to 0"):
        claim(tmp_path)


def test_a_held_folder_is_refused_with_the_holders_pid(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    folder = claim(tmp_path)
    with pytest.raises(Conflict, match=rf"already running \(pid {holder.pid}, still starting\)"), hold(folder):
        pass
    assert is_held(folder)
    end(holder)


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    end(start_holder(tmp_path))
    folder = claim(tmp_path)
    folder.instance.write_text("what the killed one said of itself")
    assert not is_held(folder)
    with hold(folder):
        assert is_held(folder)
        assert not folder.instance.exists()


def test_a_password_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    folder = claim(tmp_path)
    with hold(folder):
        password = folder.password("valkey")
    assert len(password) >= 40
    assert mode(tmp_path / "secrets" / "valkey") == 0o600
    assert claim(tmp_path).password("valkey") == password
    assert claim(tmp_path).secret("api_key") is None


@pytest.mark.parametrize("name", ["d" * 90, "with space", "в'язь", 'quote"s'])
def test_a_long_or_odd_path_has_its_sockets_in_a_private_folder_that_goes_away(tmp_path: Path, name: str) -> None:
    folder = claim(tmp_path / name)
    assert folder.sockets != folder.run
    assert len(str(folder.sockets / "postgres/.s.PGSQL.5432")) <= 107
    with hold(folder):
        assert mode(folder.sockets) == 0o700
    folder.remove_sockets()
    assert not folder.sockets.exists()


def test_a_short_plain_path_has_its_sockets_inside(tmp_path: Path) -> None:
    assert DataFolder(Path("/srv/vyaz")).sockets == Path("/srv/vyaz/run")


def test_a_folder_of_sockets_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    folder = claim(tmp_path / "an odd name")
    folder.sockets.mkdir()
    folder.sockets.chmod(0o777)
    with pytest.raises(Conflict, match="somebody else made it"), hold(folder):
        pass
    folder.sockets.rmdir()
