"""Servers and the store killed, emptied, stopped, full: that costs time, and nothing else."""

import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
import sqlalchemy as sa

from core.settings import Settings
from tests.api.proxy import Wire
from tests.chaos.conftest import MakeRig
from tests.chaos.rig import QUICK, SLOW, Measure, Rig
from vyaz.up.wheels import find_valkey

TOTAL = 1600


def running(rig: Rig, nodes: int = 2) -> uuid.UUID:
    """A job some way into its shards."""
    rig.beat()
    for _ in range(nodes):
        rig.node()
    job = rig.submit(TOTAL, seed=9, spec=SLOW)
    rig.part_done(job, 0.1)
    return job


def until_fresh_work_is_done(rig: Rig) -> float:
    """Seconds from now until a job submitted now has its first pictures."""
    begun = time.monotonic()
    job = rig.submit(64, seed=1, spec=QUICK)
    rig.finished(job, 120)
    rig.check(job)
    return time.monotonic() - begun


def kill_valkey(rig: Rig) -> None:
    rig.end_server("valkey", signal.SIGKILL)
    rig.pair.revive()


def empty_valkey(rig: Rig) -> None:
    with rig.valkey() as valkey:
        valkey.flushall()


@pytest.mark.parametrize("harm", [kill_valkey, pytest.param(empty_valkey, marks=pytest.mark.chaos)])
def test_a_valkey_that_is_killed_or_emptied_costs_nothing_but_time(rig: Rig, measure: Measure, harm: object) -> None:
    job = running(rig)
    keys = rig.keys()
    for _ in range(3):
        harm(rig)  # type: ignore[operator]
        time.sleep(0.5)
    seconds = until_fresh_work_is_done(rig)
    rig.finished(job, 120)

    rig.check(job)
    rig.wait_until(lambda: rig.keys() <= keys, "no key more than before")
    measure(harm.__name__.replace("_", " "), [seconds], worst=10)  # type: ignore[attr-defined]


@pytest.fixture
def small_valkey(tmp_path: Path) -> Iterator[str]:
    """The URL of a Valkey of this test's own that may be told to be full; ours may not."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {"port": port, "bind": "127.0.0.1", "save": "", "maxmemory-policy": "noeviction", "dir": tmp_path}
    flags = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with (tmp_path / "valkey.log").open("wb") as log:
        server = subprocess.Popen([find_valkey(), *flags], stdout=log)
    yield f"redis://127.0.0.1:{port}/0"
    server.kill()
    server.wait()


@pytest.mark.chaos
def test_a_valkey_that_is_full_costs_nothing_but_time(make_rig: MakeRig, small_valkey: str, measure: Measure) -> None:
    rig = make_rig(broker_url=small_valkey)
    job = running(rig)
    with redis.Redis.from_url(small_valkey) as valkey:
        valkey.config_set("maxmemory", 1)
        late = rig.submit(64, seed=2, spec=QUICK)
        time.sleep(3)
        valkey.config_set("maxmemory", 0)
    seconds = until_fresh_work_is_done(rig)
    rig.finished(job, 120)
    rig.finished(late, 120)

    rig.check(job)
    rig.check(late)
    measure("Valkey full for 3 s", [seconds], worst=10)


def pause_valkey(rig: Rig, measure: Measure, pause: float) -> None:
    job = running(rig)
    rig.end_server("valkey", signal.SIGSTOP)
    try:
        time.sleep(pause)
        waiting = rig.submit(64, spec=QUICK)
    finally:
        rig.end_server("valkey", signal.SIGCONT)
    begun = time.monotonic()
    rig.finished(waiting, 120)
    seconds = time.monotonic() - begun
    rig.finished(job, 120)

    rig.check(job)
    rig.check(waiting)
    measure(f"Valkey paused {pause:g} s, until fresh work is done", [seconds], worst=15)


@pytest.mark.chaos
@pytest.mark.parametrize("pause", [5, 60])
def test_a_paused_valkey_costs_nothing_but_time(rig: Rig, measure: Measure, pause: int) -> None:
    pause_valkey(rig, measure, pause)


def test_a_postgres_stopped_at_once_and_started_costs_nothing_but_time(rig: Rig, measure: Measure) -> None:
    job = running(rig)
    before = [slot.pid for slot in rig.slots()]
    rig.end_server("postgres", signal.SIGQUIT)
    time.sleep(2)
    rig.pair.revive()
    begun, done = time.monotonic(), rig.job(job).done
    rig.wait_until(lambda: rig.job(job).done > done, "it goes on")
    seconds = time.monotonic() - begun
    rig.finished(job, 120)

    rig.check(job)
    assert sorted(slot.pid for slot in rig.slots()) == sorted(before), "no process ended for it"
    measure("PostgreSQL stopped at once and started", [seconds], worst=10)


def cut_connections(rig: Rig, seconds: float) -> None:
    """End every connection of the application twice a second."""
    until = time.monotonic() + seconds
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'vyaz'"
    with psycopg.connect(rig.pair.superuser_url, autocommit=True) as connection:
        while time.monotonic() < until:
            connection.execute(cut)
            time.sleep(0.5)


@pytest.mark.chaos
@pytest.mark.parametrize("seconds", [5, 60])
def test_connections_cut_twice_a_second_cost_nothing_but_time(rig: Rig, measure: Measure, seconds: int) -> None:
    job = running(rig)
    cut_connections(rig, seconds)
    fresh = until_fresh_work_is_done(rig)
    rig.finished(job, 120)

    rig.check(job)
    measure(f"connections cut twice a second for {seconds} s", [fresh], worst=10)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path: Path) -> None:
    """Write until no more can be written."""
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 12))


def test_a_full_disk_costs_nothing_but_time_and_no_attempt(
    make_rig: MakeRig, small_disk: Path, measure: Measure
) -> None:
    rig = make_rig(store_url=(small_disk / "store").as_uri())
    job = running(rig)
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        fill(ballast)
    rig.wait_until(lambda: "No space left" in rig.log(), "somebody noticed")
    time.sleep(1)
    ballast.unlink()
    begun = time.monotonic()
    rig.finished(job, 120)
    seconds = time.monotonic() - begun

    rig.check(job)
    assert max(shard.attempts for shard in rig.shards()) <= 1
    assert list((small_disk / "store" / ".incoming").iterdir()) == []
    measure("disk full, until the job is done", [seconds], worst=30)


@pytest.mark.chaos
def test_a_store_that_is_away_for_a_while_costs_no_attempt(rig: Rig, tmp_path: Path, measure: Measure) -> None:
    job = running(rig)
    incoming = tmp_path / "store" / ".incoming"
    incoming.rename(tmp_path / "away")
    rig.wait_until(lambda: "failed" in rig.log(), "somebody noticed")
    time.sleep(2)
    (tmp_path / "away").rename(incoming)
    seconds = rig.seconds_until_finished(job)

    rig.check(job)
    assert max(shard.attempts for shard in rig.shards()) <= 1
    measure("store away, until the job is done", [seconds], worst=30)


def through(wire: Wire, rig: Rig) -> Settings:
    """The rig's settings, but with PostgreSQL behind a wire."""
    real = sa.make_url(rig.settings.database_url.get_secret_value())
    url = sa.URL.create("postgresql", real.username, real.password, "127.0.0.1", wire.port, real.database)
    named = rig.settings.model_dump(exclude_unset=True)
    return Settings(**{**named, "database_url": url.render_as_string(hide_password=False)})


@pytest.mark.parametrize("how", ["frozen", pytest.param("cut", marks=pytest.mark.chaos)])
def test_a_worker_cut_off_from_the_database_alone_is_replaced_and_commits_nothing_late(
    make_rig: MakeRig, measure: Measure, how: str
) -> None:
    rig = make_rig()
    real = sa.make_url(rig.settings.database_url.get_secret_value())
    with Wire(f"{real.query['host']}/.s.PGSQL.{real.query.get('port', 5432)}") as wire:
        rig.beat()
        near, rig.settings = rig.settings, through(wire, rig)
        rig.node()
        rig.settings = near
        job = rig.submit(TOTAL, seed=9, spec=SLOW, shard_size=TOTAL)
        rig.wait_until(lambda: rig.leased(job) != [], "leased")
        (lost,) = rig.leased(job)
        rig.node()
        wire.freeze() if how == "frozen" else wire.cut()
        seconds = rig.until_runs_elsewhere(job, lost)
        rig.finished(job, 120)
        rig.check(job)
        wire.thaw() if how == "frozen" else wire.mend()
        rig.wait_until(lambda: len(rig.slots()) == 2, "the first is back", 60)
        rig.check(job)
    measure(f"worker's wire to PostgreSQL {how}", [seconds], worst=15)


def test_a_node_whose_consumer_hears_nothing_any_more_ends_to_be_started_anew(
    make_rig: MakeRig, measure: Measure
) -> None:
    rig = make_rig(tick_seconds=0.4)
    with Wire(rig.pair.broker_url.rpartition("@")[2]) as wire:
        password = rig.pair.broker_url.split(":")[2].partition("@")[0]
        near = rig.settings
        deaf = {"broker_url": f"redis://:{password}@127.0.0.1:{wire.port}/0"}
        rig.settings = Settings(**{**near.model_dump(exclude_unset=True), **deaf})
        node = rig.node()
        rig.settings = near
        rig.finished(rig.submit(64, spec=QUICK), 60)
        wire.mute()
        begun = time.monotonic()
        job = rig.submit(64, spec=QUICK, seed=2)
        status = node.wait(timeout=90)
        seconds = time.monotonic() - begun
        rig.node()
        rig.finished(job, 60)
        rig.check(job)

    assert status == 0
    measure("consumer whose connection is dead", [seconds], worst=15)
