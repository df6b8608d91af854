"""The supervisor with small real processes: order, restarts, kills, and what it says when it cannot start."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core.errors import Unavailable
from tests.tree import ROOT
from vyaz.up import orphans
from vyaz.up.commands import commands
from vyaz.up.folder import claim, is_held
from vyaz.up.instance import find, stop

PROGRAM = Path(__file__).with_name("small_instance.py")


@dataclass
class Instances:
    """Starts instances on one folder, and ends what a test left."""

    data: Path
    journal: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def popen(self, *kinds: str, port: str = "0", **more: str) -> subprocess.Popen[str]:
        argv = [sys.executable, str(PROGRAM), str(self.data), str(self.journal), port, *kinds]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **more}
        process = subprocess.Popen(
            argv,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def start(self, *kinds: str, **more: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        """Start one and wait until it is ready; what it told of itself."""
        before = self.journal.read_text().count(" started ")
        process = self.popen(*kinds, **more)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        # Ready means that the API is; the others follow.
        wait_until(lambda: self.journal.read_text().count(" started ") >= before + 2 + len(kinds))
        return process, json.loads(line)

    def refused(self, *kinds: str, **more: str) -> str:
        """Start one that must fail; its error."""
        process = self.popen(*kinds, **more)
        error = process.communicate(timeout=60)[1]
        assert process.returncode == 1, error
        return error

    def events(self, event: str) -> dict[str, int]:
        """The processes that noted this event, in order, with their numbers."""
        lines = [line.split() for line in self.journal.read_text().splitlines()]
        return {name: int(pid) for name, noted, pid in lines if noted == event}

    def pid(self, name: str) -> int:
        return int(json.loads((self.data / "run" / f"{name}.pid.json").read_text())["pid"])

    def url(self) -> str:
        folder = claim(self.data)
        password, sockets = folder.password("database"), folder.sockets / "postgres"
        return f"postgresql://vyaz:{password}@/vyaz?host={sockets}&port=5432"

    def log(self) -> str:
        return (self.data / "logs" / "up.log").read_text()

    def living(self) -> list[int]:
        """All processes of all instances of this folder but the supervisors."""
        noted = {int(line.split()[2]) for line in self.journal.read_text().splitlines()}
        servers = [
            *orphans.find_programs("postgres", self.data / "postgres" / "data"),
            *orphans.find_programs("valkey-server", self.data / "valkey"),
        ]
        return [*filter(self.is_ours, noted), *(sight.pid for sight in servers)]

    def is_ours(self, pid: int) -> bool:
        """Is this a living process that writes into our journal? Its number may long be a stranger's."""
        with contextlib.suppress(OSError):
            return orphans.look(pid) is not None and str(self.journal) in Path(f"/proc/{pid}/cmdline").read_text()
        return False

    def clean_up(self) -> None:
        for process in self.started:
            with process:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=40)
                process.kill()
        for pid in self.living():
            os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def making(folder: Path) -> Iterator[Instances]:
    (folder / "journal").write_text("")
    instances = Instances(folder / "data", folder / "journal")
    try:
        yield instances
    finally:
        instances.clean_up()


@pytest.fixture
def instances(tmp_path: Path) -> Iterator[Instances]:
    with making(tmp_path) as instances:
        yield instances


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instances]:
    """One that runs on; a test may hurt its processes, but not stop it."""
    with making(tmp_path_factory.mktemp("steady")) as instances:
        instances.start("plain", PGHOST="elsewhere", PGPORT="1", VYAZ_API_KEY="mine", VYAZ_LEASE_SECONDS="30")
        yield instances


def wait_until(true: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def keep(instances: Instances, word: str) -> None:
    with psycopg.connect(instances.url()) as connection:
        connection.execute("INSERT INTO kept VALUES (%s)", [word])


def kept(instances: Instances) -> list[str]:
    with psycopg.connect(instances.url()) as connection:
        return [row[0] for row in connection.execute("SELECT word FROM kept ORDER BY word")]


def test_a_ready_instance_is_found_by_its_folder_with_its_key(steady: Instances) -> None:
    instance = find(steady.data)
    assert instance is not None
    assert (instance.pid, instance.key) == (steady.started[0].pid, "vyaz_first_key")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", instance.url)
    assert "vyaz_first_key" not in repr(instance)
    key = steady.data / "secrets" / "api_key"
    assert (key.stat().st_mode & 0o777, key.read_text()) == (0o600, "vyaz_first_key\n")


def test_a_second_start_says_that_it_runs_already_with_pid_and_address(steady: Instances) -> None:
    instance = find(steady.data)
    assert instance is not None
    error = steady.refused()
    assert f"Conflict: {steady.data}: already running (pid {instance.pid}, url {instance.url})" in error
    assert find(steady.data) == instance


def test_children_are_told_where_everything_is_and_nothing_of_the_callers_own_access(steady: Instances) -> None:
    seen = Path(f"/proc/{steady.pid('api')}/environ").read_bytes().decode().split("\0")
    environment = dict(line.split("=", 1) for line in seen if line)
    assert environment["VYAZ_DATA"] == str(steady.data)
    assert environment["VYAZ_DATABASE_URL"] == steady.url()
    assert environment["VYAZ_BROKER_URL"].startswith("redis+socket://:")
    assert environment["VYAZ_STORE_URL"] == (steady.data / "store").as_uri()
    assert environment["VYAZ_LEASE_SECONDS"] == "30"
    assert not {"PGHOST", "PGPORT", "VYAZ_API_KEY"} & environment.keys()


def test_a_fallen_process_starts_again_and_the_log_says_so(steady: Instances) -> None:
    first = steady.pid("worker-1")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: steady.events("started")["worker-1"] != first)
    assert "worker-1 was ended by SIGKILL: starts again in 0.5 s" in steady.log()


def test_killed_servers_start_again_under_a_running_supervisor(steady: Instances) -> None:
    keep(steady, "before")
    for name in ("postgres", "valkey"):
        os.kill(steady.pid(name), signal.SIGKILL)
    wait_until(lambda: "valkey runs again" in steady.log())
    wait_until(lambda: "postgres runs again" in steady.log())
    assert kept(steady) == ["before"]


def test_an_instance_is_stopped_by_its_folder(instances: Instances) -> None:
    assert find(instances.data) is None
    process, _ = instances.start("deaf")
    with pytest.raises(Unavailable, match="does not stop"):
        stop(instances.data, timeout=0.3)
    process.wait(30)
    assert find(instances.data) is None
    assert not stop(instances.data)


def test_ctrl_c_stops_workers_then_beat_then_api_then_valkey_then_postgres(instances: Instances) -> None:
    process, _ = instances.start("plain", "plain")
    # As a terminal does: the whole group of the foreground gets it, and no child must be in that group.
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) == 0
    assert instances.events("interrupted") == {}
    ended = list(instances.events("ended"))
    assert set(ended[:2]) == {"worker-1", "worker-2"}
    assert ended[2:] == ["beat", "api"]
    last = [(instances.data / "logs" / f"{name}.log").stat().st_mtime for name in ("api", "valkey", "postgres")]
    assert last[1] < last[2]
    assert "received fast shutdown request" in (instances.data / "logs" / "postgres.log").read_text()
    assert instances.living() == []
    assert not (instances.data / "run" / "instance.json").exists()
    assert list((instances.data / "run").glob("*.pid.json")) == []


def test_a_stop_while_it_is_starting_is_no_error(instances: Instances) -> None:
    process = instances.popen("plain")
    wait_until(lambda: (instances.data / "logs" / "initdb.log").exists())
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert instances.living() == []


@pytest.mark.parametrize("wanted", ["", "taken"])
def test_a_port_in_use_is_refused_before_anything_starts(instances: Instances, wanted: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0 if wanted else 8765))
        other.listen()
        port = other.getsockname()[1]
        error = instances.refused(port=str(port) if wanted else "")
    assert f"port {port} on 127.0.0.1 is in use" in error
    assert "--port" in error
    assert ("the default port" in error) == (not wanted)
    assert not instances.data.exists() or list(instances.data.iterdir()) == []


def test_a_process_that_falls_again_and_again_is_given_more_and_more_time(instances: Instances) -> None:
    instances.start("faller")
    wait_until(lambda: "starts again in 2 s" in instances.log())
    pauses = re.findall(r"worker-1 ended with exit code 3: starts again in ([\d.]+) s", instances.log())
    assert pauses == ["0.5", "1", "2"]


def test_a_worker_that_does_not_end_is_killed_with_all_it_forked(instances: Instances) -> None:
    process, _ = instances.start("deaf", "forker")
    wait_until(lambda: instances.events("forked"))
    process.terminate()
    assert process.wait(30) == 0
    assert "worker-1 does not end: killing it" in instances.log()
    assert instances.living() == []


def test_a_second_ctrl_c_waits_for_nobody(instances: Instances) -> None:
    process, _ = instances.start("deaf")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    wait_until(lambda: instances.events("asked"))
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert time.monotonic() - began < 2.5  # the deaf one has 3 s


def test_a_killed_supervisor_takes_everything_along_and_the_next_start_goes_on(instances: Instances) -> None:
    process, _ = instances.start("plain")
    keep(instances, "before")
    process.kill()
    process.communicate()
    assert not is_held(claim(instances.data))
    assert find(instances.data) is None
    wait_until(lambda: instances.living() == [])
    _, told = instances.start("plain")
    assert told["key"] == "vyaz_first_key"
    assert kept(instances) == ["before"]


def kill_all(pids: list[int]) -> None:
    """Kill them; those that die with the first are gone by then."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_start_after_a_kill_of_every_process_recovers_by_itself(instances: Instances) -> None:
    process, _ = instances.start("forker")
    wait_until(lambda: instances.events("forked"))
    keep(instances, "before")
    kill_all([process.pid, *instances.living()])
    process.communicate()
    instances.start("plain")
    assert kept(instances) == ["before"]


def test_orphans_of_a_killed_supervisor_are_ended_by_the_next(instances: Instances) -> None:
    process, _ = instances.start("deaf", "forker")
    wait_until(lambda: instances.events("forked"))
    left = [instances.events("started")["worker-1"], instances.events("forked")["worker-2"]]
    kill_all([process.pid, instances.events("started")["worker-2"]])  # the fork is left without its leader
    process.communicate()
    time.sleep(0.5)
    assert list(filter(instances.is_ours, left)) == left
    instances.start()
    assert list(filter(instances.is_ours, left)) == []


def test_an_api_that_does_not_come_up_ends_everything_and_shows_the_end_of_its_log(instances: Instances) -> None:
    error = instances.refused("dead-api", "plain")
    assert "Unavailable: api ended with exit code 3" in error
    assert "it fell on purpose" in error
    assert instances.living() == []


def test_a_broken_migration_starts_no_process_and_stops_the_servers(instances: Instances) -> None:
    assert "VyazError: the migration is broken" in instances.refused("broken-migration")
    assert instances.journal.read_text() == ""
    assert instances.living() == []


def test_outside_servers_of_the_settings_are_used(instances: Instances, database_url: str, broker_url: str) -> None:
    instances.start("plain", VYAZ_DATABASE_URL=database_url, VYAZ_BROKER_URL=broker_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT word FROM kept")
    assert not (instances.data / "postgres" / "data").exists()


def test_every_process_is_a_module_of_this_interpreter_under_a_name_of_its_own() -> None:
    plan = commands(port=8080, workers=2, device="cpu")
    assert [command.name for command in plan] == ["api", "beat", "worker-cpu1", "worker-cpu2"]
    assert {command.argv[:2] for command in plan} == {(sys.executable, "-m")}
    assert [command.grace for command in plan] == [10.0, 10.0, 15.0, 15.0]
    hosts = [argument for command in plan for argument in command.argv if argument.endswith("@%h")]
    assert hosts == ["cpu1@%h", "cpu2@%h"]


def test_beside_the_slots_of_a_gpu_one_works_on_the_processor() -> None:
    slots = commands(port=8080, workers=2, device="cuda:1")[2:]
    assert [(slot.name, slot.environment["VYAZ_DEVICE"]) for slot in slots] == [
        ("worker-gpu1", "cuda:1"),
        ("worker-gpu2", "cuda:1"),
        ("worker-cpu1", "cpu"),
    ]
    assert [slot.argv[slot.argv.index("--queues") + 1] for slot in slots] == ["gpu", "gpu", "cpu"]
