"""The health checks of processes without HTTP, as docker-compose.yml calls them."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from core.catalogue.tables import Queue, Worker
from tests.tree import ROOT

LONG_AGO = sa.func.clock_timestamp() - timedelta(minutes=1)


def probe(what: str, database_url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "worker.health", what],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "VYAZ_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
    )


def test_a_node_is_well_while_its_slot_beats_and_ill_when_it_fell_silent(fleet: Any, database_url: str) -> None:
    node = fleet.node()
    well = probe("slot", database_url)
    os.killpg(node.pid, signal.SIGKILL)
    node.wait()
    with fleet.database.transaction() as session:
        session.execute(sa.update(Worker).values(heartbeat_at=LONG_AGO))
    ill = probe("slot", database_url)

    assert (well.returncode, well.stderr) == (0, "")
    assert (ill.returncode, ill.stderr) == (1, "no sign of slot for 15 s\n")


def test_beat_is_well_while_it_ticks_and_ill_when_it_does_not(fleet: Any, database_url: str) -> None:
    with fleet.database.transaction() as session:
        session.execute(sa.update(Queue).values(ticked_at=LONG_AGO))
    ill = probe("beat", database_url)
    fleet.beat()
    fleet.wait_until(lambda: probe("beat", database_url).returncode == 0, "beat was found well")

    assert (ill.returncode, ill.stderr) == (1, "no sign of beat for 15 s\n")


def test_a_database_that_is_away_is_said_in_one_line() -> None:
    away = probe("beat", "postgresql://vyaz:secret@127.0.0.1:1/vyaz")

    assert away.returncode == 1
    assert away.stderr.startswith("the database is away: ")
    assert "secret" not in away.stderr
    assert len(away.stderr.splitlines()) == 1
