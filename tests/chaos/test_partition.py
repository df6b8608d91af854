"""A worker in a network namespace of its own, whose only way to one of the servers is cut."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.settings import Settings
from tests.api.proxy import Wire
from tests.chaos.conftest import MakeRig
from tests.chaos.rig import QUICK, SLOW, Measure, Rig
from vyaz.up import commands

HOST, GUEST = "10.231.7.1", "10.231.7.2"

pytestmark = pytest.mark.chaos


class Island:
    """A network namespace and the one link that leads to it."""

    def __init__(self) -> None:
        self.name = f"vyaz{os.getpid()}"
        self._near, self._far = f"vy{os.getpid()}a", f"vy{os.getpid()}b"
        self._ip("netns", "add", self.name)
        self._ip("link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self.name)
        self._ip("address", "add", f"{HOST}/30", "dev", self._near)
        self._ip("-n", self.name, "address", "add", f"{GUEST}/30", "dev", self._far)
        self._ip("link", "set", self._near, "up")
        self._ip("-n", self.name, "link", "set", self._far, "up")

    def cut(self) -> None:
        self._ip("link", "set", self._near, "down")

    def mend(self) -> None:
        self._ip("link", "set", self._near, "up")

    def remove(self) -> None:
        self._ip("netns", "delete", self.name)

    def node(self, rig: Rig, **settings: str) -> None:
        """Start a node there, with some settings of its own."""
        near = rig.settings
        rig.settings = Settings(**{**near.model_dump(exclude_unset=True), **settings})
        command = commands.worker("cpu", 99, "cpu")
        before = len(rig.slots())
        rig.start(replace(command, argv=("ip", "netns", "exec", self.name, *command.argv)))
        rig.settings = near
        rig.wait_until(lambda: len(rig.slots()) > before, "it has its slot")

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, timeout=10)


@pytest.fixture
def island() -> Iterator[Island]:
    if os.geteuid() != 0 or not Path("/proc/self/ns/net").exists():
        pytest.skip("a network namespace needs root")
    try:
        island = Island()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespace can be made here: {error}")
    yield island
    island.remove()


def test_a_worker_cut_off_from_postgres_alone_is_replaced(rig: Rig, island: Island, measure: Measure) -> None:
    real = sa.make_url(rig.settings.database_url.get_secret_value())
    with Wire(f"{real.query['host']}/.s.PGSQL.{real.query.get('port', 5432)}", HOST) as wire:
        url = sa.URL.create("postgresql", real.username, real.password, HOST, wire.port, real.database)
        rig.beat()
        island.node(rig, database_url=url.render_as_string(hide_password=False))
        job = rig.submit(1600, seed=9, spec=SLOW, shard_size=1600)
        rig.wait_until(lambda: rig.leased(job) != [], "leased")
        (lost,) = rig.leased(job)
        rig.node()
        island.cut()
        seconds = rig.until_runs_elsewhere(job, lost)
        rig.finished(job, 120)
        rig.check(job)
        island.mend()
        rig.wait_until(lambda: len(rig.slots()) == 2, "the first is back", 120)
        last = rig.submit(640, seed=2, spec=SLOW)
        rig.finished(last, 60)

    rig.check(job)
    rig.check(last)
    measure("worker cut off from PostgreSQL alone (network namespace)", [seconds], worst=15)


def test_a_worker_cut_off_from_valkey_alone_finishes_what_it_holds(
    make_rig: MakeRig, island: Island, measure: Measure
) -> None:
    rig = make_rig(shard_seconds=3.0)
    password = rig.pair.broker_url.split(":")[2].partition("@")[0]
    with Wire(rig.pair.broker_url.rpartition("@")[2], HOST) as wire:
        rig.beat()
        island.node(rig, broker_url=f"redis://:{password}@{HOST}:{wire.port}/0")
        job = rig.submit(1600, seed=9, spec=SLOW)
        rig.part_done(job, 0.05)
        island.cut()
        rig.finished(job, 120)
        island.mend()
        last = rig.submit(64, seed=2, spec=QUICK)
        seconds = rig.seconds_until_finished(last)

    rig.check(job)
    rig.check(last)
    measure("worker cut off from Valkey alone, until it hears again", [seconds], worst=15)
