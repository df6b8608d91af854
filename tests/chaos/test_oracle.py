"""The oracle itself: it passes a clean run, and sees each way in which a result can be wrong."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from core.catalogue.tables import Event, Shard, Variant
from tests.chaos.rig import QUICK, Rig

HARMS = {
    "a row is missing": sa.delete(Variant).where(Variant.index == 7),
    "a picture is another": sa.update(Variant).where(Variant.index == 7).values(digest=b"\0" * 32),
    "a row points beside its picture": sa.update(Variant).where(Variant.index == 7).values(offset=Variant.offset + 512),
    "a shard is still open": sa.update(Shard).where(Shard.start == 0).values(state="returned"),
    "an object is not the one that was stored": sa.update(Shard).where(Shard.start == 0).values(digest=b"\0" * 32),
    "two shards overlap": sa.update(Shard).where(Shard.start == 0).values(stop=100),
    "it ended twice": sa.insert(Event).from_select(
        ["job_number", "what"], sa.select(Event.job_number, Event.what).where(Event.what == "done")
    ),
    "a shard was held twice at once": sa.insert(Event).from_select(
        ["job_number", "shard_id", "epoch", "what"],
        sa.select(Event.job_number, Event.shard_id, Event.epoch, Event.what).where(Event.what == "leased"),
    ),
}


def test_the_oracle_passes_a_clean_run_and_sees_every_harm(rig: Rig, tmp_path: Path) -> None:
    rig.node()
    job = rig.submit(192, seed=5, shard_size=64, spec=QUICK)
    rig.finished(job)
    rig.check(job)
    for harm in HARMS.values():
        with rig.database.transaction() as session:
            session.execute(harm)
        with pytest.raises(AssertionError):
            rig.check(job)
        with rig.database.transaction() as session:
            session.execute(sa.text("DELETE FROM job"))
        job = rig.submit(192, seed=5, shard_size=64, spec=QUICK)
        rig.finished(job)
        rig.check(job)
    (shard, *_) = [one for one in rig.shards() if one.path]
    path = tmp_path / "store" / (shard.path or "")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(AssertionError):
        rig.check(job)
