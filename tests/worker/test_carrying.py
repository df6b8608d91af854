"""A slot stores what it made while it works on the next shard, and lets nothing lie when its turn ends."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa

from core.catalogue.tables import Event, Job, Worker
from core.ledger.audit import audit
from tests.worker.workshop import SMALL, Workshop

SHARDS = 6


def told(workshop: Workshop, job: Job) -> list[tuple[str, int | None]]:
    """What became of the job's shards, in order."""
    with workshop.database.transaction() as session:
        mine = sa.select(Event).where(Event.job_number == job.number, Event.shard_id.is_not(None))
        return [(event.what, event.shard_id) for event in session.scalars(mine.order_by(Event.id))]


def test_the_next_shard_is_claimed_before_the_one_before_is_stored(workshop: Workshop) -> None:
    job = workshop.make(64 * SHARDS)
    shards = [shard.id for shard in workshop.shards(job)]
    history = told(workshop, job)

    assert len(shards) == SHARDS
    for before, after in itertools.pairwise(shards):
        assert history.index(("leased", after)) < history.index(("finished", before))
    # Never more than two in hand: what is stored is waited for before a third is claimed.
    for before, after in zip(shards, shards[2:], strict=False):
        assert history.index(("finished", before)) < history.index(("leased", after))
    with workshop.database.transaction() as session:
        assert audit(session, None, job.id).problems == []
        assert session.scalars(sa.select(Worker.state)).all() == ["idle"]


def test_a_shard_that_cannot_be_stored_comes_back_and_the_others_stay(workshop: Workshop) -> None:
    calm = workshop.make(256, seed=3)
    store = workshop.settings.data.parent / "store"
    blocked = store / "jobs"
    blocked.rename(store / "elsewhere")
    blocked.write_text("a file where a folder is wanted")
    job = workshop.submit("generate", 256, seed=3, shard_size=64, **SMALL)
    with ThreadPoolExecutor() as pool:
        turn = pool.submit(workshop.slot.answer)
        while "returned" not in [what for what, _ in told(workshop, job)]:
            time.sleep(0.05)
        assert workshop.job(job).done == 0
        blocked.unlink()
        (store / "elsewhere").rename(blocked)
        turn.result()
    job = workshop.go_on(job)

    history = told(workshop, job)
    (back, *_) = [shard for what, shard in history if what == "returned"]
    again = len(history) - history[::-1].index(("leased", back))

    assert (job.state, job.done, job.failed) == ("done", 256, 0)
    # What came back once is stored alone, for it may have been the one that did the harm.
    assert "leased" not in [what for what, _ in history[again : history.index(("finished", back))]]
    assert [row["digest"] for row in workshop.rows(job)] == [row["digest"] for row in workshop.rows(calm)]
