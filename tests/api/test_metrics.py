"""What a scrape tells of the ledger, the servers and the fleet; what it costs; what it never names."""

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from api.app import create_app
from api.gates import ANSWER_WITHIN
from api.gauges import EVENTS
from core.broker import connect
from core.catalogue.tables import Event, Job, Queue, Shard, Worker
from core.ledger import breaker, jobs, slots
from core.ledger.fail import fail, lose_slot
from core.ledger.rings import send
from core.ledger.states import Priority
from core.recipe import ENGINE
from core.settings import Settings
from tests.api.conftest import House
from tests.tree import ROOT

ACCEPT = {"Accept": "application/openmetrics-text; version=1.0.0"}
Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(api: TestClient) -> Values:
    """Every sample by name and labels, read as Prometheus reads it: strictly."""
    answer = api.get("/metrics", headers=ACCEPT)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    families = text_string_to_metric_families(answer.text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(found: Values, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


def backlog(found: Values, queue: str = "cpu", priority: str = "normal") -> tuple[float, float]:
    """Jobs and items."""
    labels = {"queue": queue, "class": priority}
    return value(found, "vyaz_backlog_jobs", **labels), value(found, "vyaz_backlog_items", **labels)


def execute(house: House, statement: Any) -> None:
    with house.database.transaction() as session:
        session.execute(statement.execution_options(synchronize_session=False))


def ago(seconds: float) -> Any:
    return sa.func.clock_timestamp() - sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def test_a_scrape_says_which_code_answers_and_that_all_servers_are_there(api: TestClient) -> None:
    found = scrape(api)
    (build,) = (dict(labels) for name, labels in found if name == "vyaz_build_info")

    assert build == {"version": "0.1.0", "schema": build["schema"], "engine": str(ENGINE)}
    for name in ("vyaz_database_up", "vyaz_broker_up", "vyaz_store_up", "vyaz_schema_current"):
        assert value(found, name) == 1, name


def test_those_who_do_not_ask_for_openmetrics_get_the_older_text(api: TestClient) -> None:
    assert api.get("/metrics").headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_the_backlog_is_what_could_be_claimed_by_queue_and_class(api: TestClient, house: House) -> None:
    house.submit(total=100, queues=("cpu",))
    house.submit(total=30, priority=Priority.BULK, shard_size=10)
    before = scrape(api)
    house.claim(house.slot("gpu"))
    after = scrape(api)

    assert backlog(before) == (1, 100)
    assert backlog(before, priority="bulk") == backlog(before, "gpu", "bulk") == (1, 30)
    assert backlog(before, "gpu") == backlog(before, priority="interactive") == (0, 0)
    assert backlog(after, "gpu", "bulk") == (1, 20)


def test_work_that_nobody_may_take_is_no_backlog(api: TestClient, house: House) -> None:
    first = house.submit(total=64, shard_size=32)
    house.set_state(first, in_flight_limit=1)
    house.submit(total=64, after_id=first)
    paused = house.submit(total=64)
    house.set_state(paused, state="paused")
    waiting = scrape(api)
    house.claim(house.slot())

    assert backlog(waiting) == (1, 64)
    assert backlog(scrape(api)) == (0, 0)


def test_a_shard_that_came_back_waits_from_then_on(api: TestClient, house: House) -> None:
    house.submit(total=64, shard_size=64)
    slot = house.slot()
    lease = house.claim(slot)
    held = scrape(api)
    execute(house, sa.update(Job).values(created_at=ago(5000)))
    with house.database.transaction() as session:
        lose_slot(session, slot, "its process died")
    execute(house, sa.update(Shard).where(Shard.state == "returned").values(not_before=ago(100)))
    back = scrape(api)

    assert lease.stop == 64
    assert (backlog(held), value(held, "vyaz_oldest_wait_seconds", queue="cpu")) == ((0, 0), 0)
    assert backlog(back) == (1, 64)
    assert 100 <= value(back, "vyaz_oldest_wait_seconds", queue="cpu") < 130
    assert value(back, "vyaz_shards", state="returned") == 2


def test_what_was_cut_ahead_waits_no_more_than_what_is_not_cut_yet(api: TestClient, house: House) -> None:
    house.submit(total=64 * 100)
    fleet = [house.slot() for _ in range(8)]
    house.claim(fleet[0])
    execute(house, sa.update(Shard).where(Shard.state == "returned").values(not_before=ago(100)))
    found = scrape(api)

    assert value(found, "vyaz_shards", state="returned") == 1
    assert backlog(found) == (1, 64 * 99)
    assert value(found, "vyaz_oldest_wait_seconds", queue="cpu") == 0


def test_a_job_that_the_breaker_paused_is_told_until_somebody_resumes_it(api: TestClient, house: House) -> None:
    paused, stopped = house.submit(), house.submit()
    with house.database.transaction() as session:
        jobs.order(session, None, paused, "pause", actor="a user")
    house.set_state(stopped, state="paused")
    with house.database.transaction() as session:
        number = session.scalars(sa.select(Job.number).where(Job.id == stopped)).one()
        jobs.record(session, number, "paused", actor=breaker.ACTOR)
    before = scrape(api)
    with house.database.transaction() as session:
        jobs.order(session, None, stopped, "resume")

    assert value(before, "vyaz_stopped_jobs") == 1
    assert value(scrape(api), "vyaz_stopped_jobs") == 0


def test_a_job_that_nobody_began_waits_since_it_came_or_was_resumed(api: TestClient, house: House) -> None:
    job = house.submit(total=64, queues=("gpu",))
    execute(house, sa.update(Job).values(created_at=ago(700)))
    submitted = value(scrape(api), "vyaz_oldest_wait_seconds", queue="gpu")
    with house.database.transaction() as session:
        jobs.order(session, None, job, "pause")
    with house.database.transaction() as session:
        jobs.order(session, None, job, "resume")
    found = scrape(api)

    assert 700 <= submitted < 730
    assert value(found, "vyaz_oldest_wait_seconds", queue="gpu") < 30
    assert value(found, "vyaz_oldest_wait_seconds", queue="cpu") == 0


def test_a_job_is_unserved_when_no_live_slot_of_any_of_its_queues_can_take_it(api: TestClient, house: House) -> None:
    house.submit(total=64)
    alone = scrape(api)
    slot = house.slot("cpu")
    served = scrape(api)
    house.submit(total=64, needs={"engine": ENGINE + 1})
    needy = scrape(api)
    execute(house, sa.update(Worker).where(Worker.id == slot).values(heartbeat_at=ago(60)))
    silent = scrape(api)

    for queue in ("cpu", "gpu"):
        assert [value(each, "vyaz_unserved_jobs", queue=queue) for each in (alone, served, needy, silent)] == [
            1,
            0,
            1,
            2,
        ]
    assert [value(each, "vyaz_live_slots", queue="cpu") for each in (alone, served, silent)] == [0, 1, 0]


def test_every_event_is_counted_once_however_often_one_looks(api: TestClient, house: House) -> None:
    job = house.submit(total=128, shard_size=64)
    start = scrape(api)
    with house.database.transaction() as session:
        lose_slot(session, crashed(house), "its process died")
    looks = [scrape(api) for _ in range(2)]
    execute(house, sa.update(Event).values(at=ago(60)))  # settled: no transaction is as old
    looks += [scrape(api) for _ in range(2)]
    with house.database.transaction() as session:
        lose_slot(session, crashed(house), "its process died")
    house.set_state(job, state="cancelled")
    more = scrape(api)
    with house.database.transaction() as session:
        jobs.remove(session, None, job)

    assert {what: value(start, "vyaz_events_total", what=what) for what in EVENTS} == dict.fromkeys(EVENTS, 0)
    assert [value(each, "vyaz_events_total", what="crashed") for each in looks] == [1, 1, 1, 1]
    assert value(more, "vyaz_events_total", what="crashed") == 2
    assert value(scrape(api), "vyaz_events_total", what="crashed") == 2


def crashed(house: House) -> uuid.UUID:
    slot = house.slot()
    house.claim(slot)
    return slot


def test_a_fault_is_told_from_a_drain(api: TestClient, house: House) -> None:
    from core.errors import EnvironmentFault
    from core.ledger.finish import give_back

    house.submit(total=128, shard_size=64)
    scrape(api)
    drained, faulted = house.claim(house.slot()), house.claim(house.slot())
    with house.database.transaction() as session:
        give_back(session, drained, 1.0)
        fail(session, faulted, EnvironmentFault("the store is full"), 1.0)
    found = scrape(api)

    assert value(found, "vyaz_events_total", what="returned") == 1
    assert value(found, "vyaz_events_total", what="faulted") == 1


def test_leases_slots_and_the_age_of_the_last_finish(api: TestClient, house: House) -> None:
    house.submit(total=128, shard_size=64, kind="null", spec={})
    slot = house.slot()
    house.make(slot)
    house.claim(slot)
    execute(house, sa.update(Shard).where(Shard.state == "leased").values(lease_until=ago(5)))
    execute(house, sa.update(Shard).where(Shard.state == "done").values(finished_at=ago(40)))
    execute(house, sa.update(Queue).where(Queue.name == "gpu").values(ticked_at=ago(90)))
    found = scrape(api)

    assert value(found, "vyaz_shards", state="leased") == value(found, "vyaz_expired_leases") == 1
    assert value(found, "vyaz_slots", queue="cpu", state="busy", device_class="test") == 1
    assert value(found, "vyaz_slot_versions", version="0") == 1
    assert 40 <= value(found, "vyaz_last_finish_age_seconds") < 70
    assert value(found, "vyaz_last_claim_age_seconds", queue="cpu") < 30
    assert 90 <= value(found, "vyaz_beat_age_seconds", queue="gpu") < 120


def test_failed_items_are_quarantined_items(api: TestClient, house: House) -> None:
    house.set_state(house.submit(total=64), done=60, failed=4)

    assert value(scrape(api), "vyaz_quarantined_items") == 4


def test_rings_are_seen_where_they_lie(api: TestClient, house: House) -> None:
    app = connect(house.settings)
    send(app, "gpu")
    app.close()
    found = scrape(api)

    assert [value(found, "vyaz_broker_rings", queue=queue) for queue in ("cpu", "gpu")] == [0, 1]
    assert value(found, "vyaz_broker_memory_bytes") > 0


def test_without_valkey_all_goes_on_and_the_gauge_says_so(house: House) -> None:
    lonely = Settings(**{**house.settings.model_dump(), "broker_url": "redis://127.0.0.1:1/0"})
    with TestClient(create_app(lonely)) as api:
        found = scrape(api)
        ready = api.get("/readyz")

    assert (value(found, "vyaz_broker_up"), value(found, "vyaz_database_up")) == (0, 1)
    assert not [name for name, _ in found if name == "vyaz_broker_rings"]
    assert (ready.status_code, ready.json()["degraded"]) == (200, ["broker"])


def test_without_postgresql_the_process_lives_is_not_ready_and_still_gives_figures(house: House) -> None:
    lost = Settings(**{**house.settings.model_dump(), "database_url": "postgresql://vyaz@127.0.0.1:1/vyaz"})
    with TestClient(create_app(lost)) as api:
        begun = time.monotonic()
        alive = api.get("/livez")
        took = time.monotonic() - begun
        found = scrape(api)
        ready = api.get("/readyz")

    assert (value(found, "vyaz_database_up"), value(found, "vyaz_broker_up")) == (0, 1)
    assert (alive.status_code, ready.status_code) == (200, 503)
    assert took < 1


def test_a_postgresql_that_hangs_is_away_and_holds_no_scrape(house: House) -> None:
    app = create_app(house.settings)
    with TestClient(app) as api:
        scrape(api)
        with app.state.services.database.transaction() as session:
            session.execute(sa.text("SELECT 1"))
        pids = backends(house)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            looks = [scrape(api) for _ in range(3)]
            took = time.monotonic() - begun
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        limit = time.monotonic() + 30
        while not value(scrape(api), "vyaz_database_up"):
            assert time.monotonic() < limit

    assert pids
    assert [value(each, "vyaz_database_up") for each in looks] == [0, 0, 0]
    assert took < 3 * ANSWER_WITHIN
    assert [value(each, "vyaz_broker_up") for each in looks] == [1, 1, 1]


def backends(house: House) -> list[int]:
    """Processes of the server that hold a connection of somebody else."""
    with house.database.transaction() as session:
        others = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        return list(session.scalars(sa.text(others)))


def test_a_schema_of_another_release_is_seen_and_its_tables_are_not_asked(api: TestClient, house: House) -> None:
    execute(house, sa.text("UPDATE alembic_version SET version_num = '0000'"))
    execute(house, sa.text("ALTER TABLE worker RENAME COLUMN version TO release"))
    found = scrape(api)

    assert (value(found, "vyaz_database_up"), value(found, "vyaz_schema_current")) == (1, 0)


def test_a_store_that_was_lost_is_down(api: TestClient, house: House) -> None:
    before = value(scrape(api), "vyaz_store_up")
    shutil.rmtree(house.settings.store_url.removeprefix("file://"))

    assert (before, value(scrape(api), "vyaz_store_up")) == (1, 0)


def test_a_scrape_is_one_transaction_that_reads_no_variant_and_writes_nothing(house: House) -> None:
    app = create_app(house.settings)
    statements: list[str] = []
    begun: list[object] = []
    engine = app.state.services.database.engine
    sa.event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    sa.event.listen(engine, "begin", begun.append)
    house.submit(total=64)
    with TestClient(app) as api:
        scrape(api)

    assert len(begun) == 1
    assert len(statements) > 10
    assert {statement.split()[0].upper() for statement in statements} <= {
        "SET",
        "SELECT",
        "WITH",
        "SAVEPOINT",
        "RELEASE",
    }
    assert [statement for statement in statements if "variant" in statement] == []


def test_no_series_names_an_owner_a_job_or_a_slot(api: TestClient, house: House) -> None:
    names = [str(house.submit(total=64)), str(house.slot()), str(house.owner()), "studio"]
    text = api.get("/metrics", headers=ACCEPT).text
    labels = {key for _, pairs in scrape(api) for key, _ in pairs}

    assert [name for name in names if name in text] == []
    assert labels <= {"class", "device_class", "engine", "kind", "le", "method", "outcome", "queue", "route",
                      "schema", "state", "status", "version", "what"}  # fmt: skip


def test_a_process_that_gives_figures_has_not_loaded_torch(house: House) -> None:
    program = (
        "import sys; from starlette.testclient import TestClient; from api.app import create_app\n"
        "with TestClient(create_app()) as api: assert 'vyaz_database_up 1.0' in api.get('/metrics').text\n"
        "sys.exit('torch' in sys.modules)"
    )
    environment = {
        "PYTHONPATH": str(ROOT),
        "VYAZ_DATABASE_URL": house.settings.database_url.get_secret_value(),
        "VYAZ_BROKER_URL": house.settings.broker_url.get_secret_value(),
        "VYAZ_STORE_URL": house.settings.store_url,
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kept", [0, 3])
def test_a_slot_that_left_is_not_counted(api: TestClient, house: House, kept: int) -> None:
    for _ in range(kept):
        house.slot()
    gone = house.slot()
    with house.database.transaction() as session:
        slots.leave(session, gone)

    assert value(scrape(api), "vyaz_live_slots", queue="cpu") == kept
