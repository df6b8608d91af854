"""`vyaz up` as somebody types it: everything real but torch, which no null job needs."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.errors import Unavailable
from vyaz import Client


@dataclass
class Running:
    """An instance that `vyaz up` runs."""

    process: "subprocess.Popen[str]"
    data: Path
    url: str

    def vyaz(self, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "vyaz", *arguments],
            env={"PATH": os.environ["PATH"], "HOME": str(self.data.parent), **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("up") / "data"
    with (data.parent / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "vyaz", "up", "--data", str(data), "--port", "0", "--device", "cpu"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url, (data.parent / "up.log").read_text()
    yield Running(process, data, url)
    if process.poll() is None:
        process.terminate()
        process.wait(60)
    process.stdout.close()


def test_the_folder_is_all_a_client_needs(running: Running) -> None:
    with Client(data=running.data) as client:
        job = client.jobs.null(1000).wait(timeout=60)

    assert (client.url, job.state, job.done) == (running.url, "done", 1000)


def test_the_command_finds_it_by_option_and_by_environment(running: Running) -> None:
    by_option = running.vyaz("jobs", "list", "--json", "--data", str(running.data), VYAZ_URL="http://127.0.0.1:9")
    by_environment = running.vyaz("jobs", "list", "--json", VYAZ_DATA=str(running.data))
    nowhere = running.vyaz("jobs", "list", "--json")

    assert (by_option.returncode, by_environment.returncode, nowhere.returncode) == (0, 0, 1)
    assert json.loads(by_option.stdout) == json.loads(by_environment.stdout)


def test_doctor_is_content(running: Running) -> None:
    said = running.vyaz("doctor", "--json", "--data", str(running.data))

    assert said.returncode == 0, said.stdout + said.stderr
    assert {each["name"] for each in json.loads(said.stdout)} >= {"instance", "database", "broker", "workers"}


def test_a_second_one_on_the_same_folder_says_so(running: Running) -> None:
    said = running.vyaz("up", "--data", str(running.data), "--port", "0")

    assert (said.returncode, said.stdout, said.stderr.count("\n")) == (1, "", 1)
    assert "already running" in said.stderr


def test_ctrl_c_stops_everything_and_is_no_failure(running: Running) -> None:
    running.process.send_signal(signal.SIGINT)

    assert running.process.wait(60) == 0
    with pytest.raises(Unavailable, match="no Vyaz runs on"):
        Client(data=running.data)
