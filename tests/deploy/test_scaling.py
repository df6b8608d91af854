"""How many workers KEDA would start: the query of the rendered chart, asked of a real ledger."""

import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from core.catalogue.tables import Job
from core.ledger import jobs, slots
from core.ledger.fail import lose_slot
from core.ledger.finish import Outcome, finish
from core.recipe import ENGINE
from tests.api.conftest import House
from tests.deploy.chart import FULL, rendered


@pytest.fixture(scope="module")
def queries() -> dict[str, str]:
    """KEDA's query of each worker, exactly as it is rendered."""
    found = [each for each in rendered(FULL) if each["kind"] == "ScaledObject"]
    return {
        each["metadata"]["name"].removeprefix("demo-vyaz-worker-"): each["spec"]["triggers"][0]["metadata"]["query"]
        for each in found
    }


class Fleet:
    """How many slots KEDA would want, by the ledger of a house."""

    def __init__(self, house: House, queries: dict[str, str]) -> None:
        self._house = house
        self._queries = queries

    def __call__(self) -> tuple[float, float]:
        """For the CPU queue and for the GPU queue, at 15 shards a slot."""
        with self._house.database.engine.connect() as connection:
            answers = {name: connection.exec_driver_sql(query).scalar_one() for name, query in self._queries.items()}
        assert {type(answer) for answer in answers.values()} == {int}  # as KEDA wants it
        assert answers["cpu-small"] >= answers["cpu"]
        return float(answers["cpu"]), float(answers["gpu"])


@pytest.fixture
def wanted(house: House, queries: dict[str, str]) -> Fleet:
    return Fleet(house, queries)


def complete(house: House, lease: Any, seconds: float) -> None:
    with house.database.transaction() as session:
        finish(session, lease, Outcome(lease.stop, seconds))


def order(house: House, job: uuid.UUID, verb: str) -> None:
    with house.database.transaction() as session:
        jobs.order(session, None, job, verb)


def test_an_empty_ledger_wants_nobody(wanted: Fleet) -> None:
    assert wanted() == (0, 0)


def test_a_little_work_wants_one_slot_and_only_on_its_queue(wanted: Fleet, house: House) -> None:
    house.submit(total=1, queues=("gpu",))
    one = wanted()
    house.submit(total=64 * 29, queues=("gpu",))

    assert (one, wanted()) == ((0, 1), (0, 2))


def test_ten_million_items_want_every_slot_there_is(wanted: Fleet, house: House) -> None:
    house.submit(total=10_000_000)

    assert min(wanted()) > 10_000


def test_once_the_rate_is_known_it_is_the_work_that_counts(wanted: Fleet, house: House) -> None:
    job = house.submit(total=6000, queues=("cpu",))
    house.set_state(job, seconds_per_item={"one": 0.9, "other": 1.1})

    assert wanted() == (20, 0)  # 6,000 s are 300 shards of 20 s


def test_what_is_held_keeps_its_slot_when_nothing_waits_any_more(wanted: Fleet, house: House) -> None:
    house.submit(total=64 * 3, shard_size=64, queues=("cpu", "gpu"))
    leases = [house.claim(house.slot(queue)) for queue in ("cpu", "gpu", "gpu")]
    held = wanted()
    for lease in leases[:2]:
        complete(house, lease, 1.0)

    assert (held, wanted()) == ((1, 2), (0, 1))
    complete(house, leases[2], 1.0)
    assert wanted() == (0, 0)


def test_what_a_dead_slot_held_wants_another(wanted: Fleet, house: House) -> None:
    house.submit(total=64, shard_size=64, queues=("gpu",))
    slot = house.slot("gpu")
    house.claim(slot)
    with house.database.transaction() as session:
        lose_slot(session, slot, "its node went away")

    assert wanted() == (0, 1)


def test_a_job_that_may_hold_one_shard_wants_one_slot_before_and_while_it_does(
    wanted: Fleet,
    house: House,
) -> None:
    house.set_state(house.submit(total=64_000, queues=("gpu",)), in_flight_limit=1)
    before = wanted()
    house.claim(house.slot("gpu"))

    assert (before, wanted()) == ((0, 1), (0, 1))


def test_work_that_may_not_be_done_now_wants_nobody(wanted: Fleet, house: House) -> None:
    first = house.submit(total=64, shard_size=64, queues=("cpu",))
    house.submit(total=64_000, queues=("gpu",), after_id=first)
    paused, cancelled = (house.submit(total=64_000) for _ in range(2))
    order(house, paused, "pause")
    order(house, cancelled, "cancel")
    waiting = wanted()
    complete(house, house.claim(house.slot("cpu")), 1.0)

    assert waiting == (1, 0)
    assert wanted()[1] > 1


def test_the_closing_shard_wants_a_slot_too(wanted: Fleet, house: House) -> None:
    job = house.submit(kind="dataset", total=1, queues=("cpu",))
    complete(house, house.claim(house.slot("cpu")), 1.0)
    with house.database.transaction() as session:
        closing = session.scalars(sa.select(Job.closing).where(Job.id == job)).one()

    assert (closing, wanted()) == ("due", (1, 0))


def test_the_query_wants_a_slot_exactly_when_a_slot_would_find_work(wanted: Fleet, house: House) -> None:
    with house.database.transaction() as session:
        searcher = slots.register(session, slots.Slot("node", "host", 1, 1, "gpu", "gpu", "test", "0", ENGINE))
    turn = sa.text("SELECT vyaz_waits(w, '{}') FROM worker w WHERE w.id = :slot")
    seen = []
    job = house.submit(total=64, shard_size=64, queues=("gpu",))
    for verb in (None, "pause", "resume", "cancel", "retry"):
        if verb:
            order(house, job, verb)
        with house.database.transaction() as session:
            seen.append((session.scalar(turn, {"slot": searcher}), wanted()[1] > 0))

    assert seen == [(True, True), (False, False), (True, True), (False, False), (True, True)]
