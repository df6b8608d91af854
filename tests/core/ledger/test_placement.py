"""Which slot gets what: needs, classes, warm models; and what is said of a job that nobody can do."""

import itertools
import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from core.catalogue.tables import Event, Model, ModelVersion, Worker
from core.errors import Conflict
from core.ledger import slots
from core.ledger.leases import BLOCK, Lease
from core.ledger.placement import require_slot
from core.ledger.states import Priority
from core.ledger.tick import sweep
from tests.core.ledger.conftest import Ledger

GIGABYTE = 10**9
SECONDS = 2.0


def slot(ledger: Ledger, queue: str = "cpu", **ability: Any) -> uuid.UUID:
    with ledger.database.transaction() as session:
        return slots.register(session, slots.Slot("node", "host", 1, 1, queue, queue, "test", "0", 1, **ability))


def versions(ledger: Ledger, count: int) -> list[uuid.UUID]:
    with ledger.database.transaction() as session:
        model = Model(name="letters")
        session.add(model)
        session.flush()
        made = [
            ModelVersion(model_id=model.id, number=n, family="mlp", config={}, path="w", digest=b"\1", size=1)
            for n in range(1, count + 1)
        ]
        session.add_all(made)
        session.flush()
        return [each.id for each in made]


def work(ledger: Ledger, slot_id: uuid.UUID, shards: int) -> list[Lease]:
    """Claim and finish so many shards; each takes as long."""
    done = []
    for _ in range(shards):
        lease = ledger.held(slot_id)
        ledger.finish(lease, seconds=SECONDS)
        done.append(lease)
    return done


@pytest.mark.parametrize(
    ("needs", "ability"),
    [
        ({"memory": 4 * GIGABYTE}, {"memory": 2 * GIGABYTE}),
        ({"memory": 1}, {}),
        ({"family": "style"}, {"families": ["mlp"]}),
        ({"engine": 2}, {}),
        ({}, {"kinds": ["train"]}),
    ],
)
def test_a_slot_takes_no_job_whose_needs_it_does_not_meet(
    ledger: Ledger, needs: dict[str, Any], ability: dict[str, Any]
) -> None:
    job = ledger.submit(ledger.owner(), needs=needs)

    assert ledger.claim(slot(ledger, **ability)) is None
    able = {"memory": 4 * GIGABYTE, "kinds": ["null"], "families": ["style"]}
    if "engine" not in needs:
        assert ledger.held(slot(ledger, **able)).job_id == job


def test_a_slot_of_a_version_that_did_not_say_what_it_can_is_taken_at_its_engine(ledger: Ledger) -> None:
    job = ledger.submit(ledger.owner(), needs={"family": "style", "engine": 1})

    assert ledger.held(slot(ledger)).job_id == job


@pytest.mark.parametrize(
    ("options", "fleet", "reason"),
    [
        ({}, [], "none has registered within a day"),
        ({"queues": ("gpu",)}, [{}], "it needs a slot of queue gpu, there are only cpu"),
        ({}, [{"kinds": ["train"]}], "knows jobs of kind null"),
        ({"needs": {"engine": 7}}, [{}], "it needs engine 7, the slots carry 1"),
        ({"needs": {"family": "style"}}, [{"families": ["mlp"]}], "runs models of family style"),
        (
            {"needs": {"memory": 3 * GIGABYTE}},
            [{"memory": GIGABYTE}, {"memory": 2 * GIGABYTE}],
            "it needs 3 GB of memory, the largest slot has 2",
        ),
    ],
)
def test_what_nobody_can_do_is_refused_with_what_is_lacking(
    ledger: Ledger, options: dict[str, Any], fleet: list[dict[str, Any]], reason: str
) -> None:
    job = ledger.job(ledger.submit(ledger.owner(), **options))
    for ability in fleet:
        slot(ledger, **ability)

    with ledger.database.transaction() as session, pytest.raises(Conflict, match=reason):
        require_slot(session, job)


def test_a_slot_that_left_today_can_still_be_hoped_for(ledger: Ledger) -> None:
    job = ledger.job(ledger.submit(ledger.owner()))
    with ledger.database.transaction() as session:
        slots.leave(session, slot(ledger))

    with ledger.database.transaction() as session:
        require_slot(session, job)


def test_bulk_gets_a_twentieth_beside_work_that_never_ends(ledger: Ledger) -> None:
    owner = ledger.owner()
    classes = {
        ledger.submit(owner, total=10**7, shard_size=BLOCK, priority=priority): priority
        for priority in (Priority.INTERACTIVE, Priority.BULK)
    }
    mine = slot(ledger)
    served = [classes[lease.job_id] for lease in work(ledger, mine, 500)]

    # Bulk is first served when 2 s are owed, after 40.
    assert Priority.BULK in served[:22]
    assert 0.046 <= served.count(Priority.BULK) / 500 <= 0.054


def test_nobody_is_owed_time_for_which_it_had_no_work(ledger: Ledger) -> None:
    owner = ledger.owner()
    ledger.submit(owner, total=10**7, shard_size=BLOCK)
    mine = slot(ledger)
    work(ledger, mine, 300)
    bulk = ledger.submit(owner, total=10**7, shard_size=BLOCK, priority=Priority.BULK)

    assert bulk not in [lease.job_id for lease in work(ledger, mine, 15)]


def test_a_warm_model_wins_but_delays_nobody_by_more_than_a_shard(ledger: Ledger) -> None:
    owner, models = ledger.owner(), versions(ledger, 2)
    ledger.settings = ledger.settings.model_copy(update={"shard_seconds": SECONDS})
    for model in models:
        ledger.submit(owner, total=10**6, shard_size=BLOCK, model_version_id=model)
    mine = slot(ledger)
    served = [lease.model_version_id for lease in work(ledger, mine, 40)]
    runs = [len(list(run)) for _, run in itertools.groupby(served)]

    assert len(runs) <= 22  # one by one in turn it would be 40
    assert max(runs) == 2
    assert 18 <= served.count(models[0]) <= 22


def test_a_warm_model_of_one_owner_does_not_starve_another(ledger: Ledger) -> None:
    models = versions(ledger, 2)
    owners = {ledger.owner(name): model for name, model in zip(("one", "two"), models, strict=True)}
    for owner, model in owners.items():
        ledger.submit(owner, total=10**6, shard_size=BLOCK, model_version_id=model)
        ledger.submit(owner, total=10**6, shard_size=BLOCK)
    served = [lease.owner_id for lease in work(ledger, slot(ledger), 60)]

    assert all(27 <= served.count(owner) <= 33 for owner in owners)


def test_ten_million_of_one_owner_delay_anothers_hundred_by_two_shards_at_most(ledger: Ledger) -> None:
    ledger.submit(ledger.owner("large"), total=10**7, shard_size=BLOCK)
    fleet = [slot(ledger) for _ in range(4)]
    for mine in fleet:
        work(ledger, mine, 5)
    held = [ledger.held(mine) for mine in fleet]  # all are busy when the small one comes
    small = ledger.submit(ledger.owner("small"), total=100, shard_size=BLOCK)
    firsts = []
    for mine, lease in zip(fleet, held, strict=True):
        ledger.finish(lease, seconds=SECONDS)
        firsts.append(ledger.held(mine))

    assert [lease.job_id for lease in firsts].count(small) == 2


def test_the_tick_rings_for_a_slot_that_can_even_if_another_cannot(ledger: Ledger) -> None:
    ledger.submit(ledger.owner(), needs={"memory": 2 * GIGABYTE})
    slot(ledger, memory=4 * GIGABYTE)
    slot(ledger, memory=GIGABYTE)  # beat last: the one that was asked before kinds of slots were told apart

    with ledger.database.transaction() as session:
        assert sweep(session, ledger.settings) == ["cpu"]


def test_a_claim_is_written_down_with_its_epoch_and_its_slot(ledger: Ledger) -> None:
    ledger.submit(ledger.owner())
    mine = slot(ledger)
    lease = ledger.held(mine)
    with ledger.database.transaction() as session:
        events = session.execute(sa.select(Event.what, Event.epoch, Event.actor).order_by(Event.id)).all()
        warm = session.scalars(sa.select(Worker.warm)).one()

    assert events == [("submitted", None, None), ("started", None, None), ("leased", lease.epoch, str(mine))]
    assert warm == []
