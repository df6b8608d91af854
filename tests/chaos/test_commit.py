"""A COMMIT met by a signal or a cut connection: what became of it is read back, and never done twice."""

import os
import signal
import time

import psycopg
import pytest
import sqlalchemy as sa

from tests.chaos.conftest import MakeRig
from tests.chaos.rig import QUICK, Measure, Rig

SLOW_COMMIT = """
CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER at_commit AFTER UPDATE ON shard DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.state = 'done') EXECUTE FUNCTION take_time();
"""
"""So that a test can meet it: the COMMIT of every finish takes 0.3 s."""
UNDER_WAY = """
SELECT pid FROM pg_stat_activity
 WHERE datname = %s AND state = 'active' AND query = 'COMMIT' AND clock_timestamp() - query_start > interval '0.05 s'
"""
"""Those of beat and heartbeats are over by then."""


class Commits:
    """Looks for backends of this test's database that are in the middle of a COMMIT."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._name = sa.make_url(rig.settings.database_url.get_secret_value()).database
        self._connection = psycopg.connect(rig.pair.superuser_url, autocommit=True)
        with rig.database.transaction() as session:
            session.execute(sa.text(SLOW_COMMIT))

    def meet(self) -> int:
        """Wait for a COMMIT under way; the backend's number."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = self._connection.execute(UNDER_WAY, [self._name]).fetchone()
            if found is not None:
                return int(found[0])
        raise AssertionError("no COMMIT was seen")

    def cut(self, pid: int) -> None:
        """End a backend."""
        self._connection.execute("SELECT pg_terminate_backend(%s)", [pid])

    def close(self) -> None:
        self._connection.close()


def meet_commits(rig: Rig, times: int, harm: str) -> None:
    """Meet so many COMMITs with a signal to the slot, or with a cut of its connection."""
    commits = Commits(rig)
    rig.beat()
    rig.node()
    for number in range(times):
        job = rig.submit(64, seed=number, spec=QUICK)
        pid = commits.meet()
        if harm == "cut":
            commits.cut(pid)
        else:
            (busy,) = [slot for slot in rig.slots() if slot.shard_id is not None]
            os.kill(busy.pid, signal.SIGTERM)
        rig.finished(job, 60)
        rig.check(job)
        if harm == "term":
            rig.wait_until(lambda old=busy.pid: [s.pid for s in rig.slots()] not in ([], [old]), "a new child")
    commits.close()

    assert max(shard.attempts for shard in rig.shards()) <= (2 if harm == "cut" else 1)


@pytest.mark.parametrize("harm", ["term", "cut"])
def test_a_commit_that_is_disturbed_counts_once(rig: Rig, measure: Measure, harm: str) -> None:
    meet_commits(rig, 2, harm)
    measure.count(f"{harm} in the middle of COMMIT", "each resolved, none twice", "2 of 2", 2)


@pytest.mark.chaos
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("harm", ["term", "cut"])
def test_200_commits_that_are_disturbed_count_once(make_rig: MakeRig, measure: Measure, harm: str) -> None:
    meet_commits(make_rig(), 200, harm)
    measure.count(f"{harm} in the middle of COMMIT", "each resolved, none twice", "200 of 200", 200)
