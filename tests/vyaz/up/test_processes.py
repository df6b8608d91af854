"""Logs that stay small under a writer, and what is said of a child that does not come up."""

import sys
import threading
import time
from pathlib import Path

import pytest

from core.errors import Unavailable
from vyaz.up.processes import Command, Place, start, trim, wait_for


def run(code: str) -> Command:
    return Command("small", (sys.executable, "-c", code), grace=2.0)


def test_a_log_that_has_grown_is_cut_while_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"before " * 20)
        trim(log, limit=1000)
        assert log.stat().st_size == 140
        trim(log, limit=100)
        writer.write(b"after")
    assert log.read_bytes() == b"after"
    assert (tmp_path / "api.log.1").read_bytes() == b"before " * 20


def test_a_child_that_ends_too_early_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    command = run("import sys; print('line\\n' * 50); sys.exit('the disk is gone')")
    child = start(command, Place(tmp_path, tmp_path / "small.log"))
    with pytest.raises(Unavailable, match="small ended with exit code 1") as caught:
        wait_for(child, lambda: False, 30, threading.Event())
    assert str(caught.value).endswith("the disk is gone")
    assert str(caught.value).count("line") < 20
    child.end()


def test_a_child_that_answers_too_late_is_reported_with_the_time_it_had(tmp_path: Path) -> None:
    child = start(run("import time; time.sleep(60)"), Place(tmp_path, tmp_path / "small.log"))
    with pytest.raises(Unavailable, match=r"small did not answer within 0\.2 s"):
        wait_for(child, lambda: False, 0.2, threading.Event())
    began = time.monotonic()
    child.end()
    assert child.ending() == "was ended by SIGTERM"
    assert time.monotonic() - began < 2


def test_a_program_that_is_not_there_is_reported(tmp_path: Path) -> None:
    child = start(Command("small", (str(tmp_path / "absent"),)), Place(tmp_path, tmp_path / "small.log"))
    with pytest.raises(Unavailable, match="No such file"):
        wait_for(child, lambda: False, 30, threading.Event())
    child.end()
