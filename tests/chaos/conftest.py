"""Servers of its own for the chaos suite: its tests kill them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from psycopg import sql

from core.catalogue.database import migrate
from core.settings import Settings
from tests.chaos.rig import Measure, Rig
from tests.conftest import TEMPLATE, create_database, name_database, numbers
from vyaz.up.servers import ServerPair

BRISK = {"lease_seconds": 3.0, "heartbeat_seconds": 0.5, "shard_seconds": 1.0, "stall_seconds": 30.0}
"""Short times, where the time is not what is measured."""

MakeRig = Callable[..., Rig]


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPair]:
    """A pair of servers that may be killed; whatever ended is there again for the next test."""
    with ServerPair(tmp_path_factory.mktemp("chaos"), durable=False) as pair:
        create_database(pair, TEMPLATE, "template1")
        migrate(name_database(pair, TEMPLATE))
        yield pair


@pytest.fixture
def chaos_url(pair: ServerPair) -> Iterator[str]:
    """A database of this test's own, migrated and empty."""
    pair.revive()
    name = f"chaos_{next(numbers)}"
    create_database(pair, name, TEMPLATE)
    yield name_database(pair, name)
    pair.revive()
    with psycopg.connect(pair.superuser_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def make_rig(pair: ServerPair, chaos_url: str, tmp_path: Path) -> Iterator[MakeRig]:
    """Makes a rig with the settings given; ends its processes afterwards."""
    with redis.Redis.from_url(pair.client_url) as client:
        client.flushall()
    rigs: list[Rig] = []

    def make(**settings: Any) -> Rig:
        named = {
            "database_url": chaos_url,
            "broker_url": pair.broker_url,
            "store_url": (tmp_path / "store").as_uri(),
            "data": tmp_path / "data",
            "failpoints": str(tmp_path / "points"),
            **BRISK,
        }
        rigs.append(Rig(Settings(**(named | settings)), tmp_path, pair=pair))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    """A rig with short times."""
    return make_rig()


@pytest.fixture
def measure(record_property: Callable[[str, object], None]) -> Measure:
    """Notes what was measured, for `python -m tests.chaos.report`."""
    return Measure(record_property)
