"""The demo's own judgement: what it must not let pass. The whole demo runs in `tests/acceptance`."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from core.catalogue.tables import Variant
from core.errors import VyazError
from tests.vyaz.conftest import House
from vyaz import Client
from vyaz.demo import DemoFailed, check
from vyaz.resources.jobs import Job


@pytest.fixture
def made(house: House, client: Client) -> Job:
    house.model()
    job = client.jobs.generate(["AK", "ЇЖ"], count=100)
    house.work()
    return job.refresh()


def store(house: House, job: Job) -> Path:
    """The first shard that the job left."""
    return min((house.door.folder / "store" / "jobs" / job.id).glob("*.tar"))


def test_what_was_asked_for_passes(client: Client, made: Job) -> None:
    assert check(client, made, 100) == {"AK": 50, "ЇЖ": 50}


def test_too_few_or_too_many_fail(client: Client, made: Job) -> None:
    for count in (99, 101):
        with pytest.raises(DemoFailed, match=f"lists 100 variants, not {count}"):
            check(client, made, count)


def test_a_picture_that_is_not_in_the_store_fails(house: House, client: Client, made: Job) -> None:
    store(house, made).unlink()

    with pytest.raises(VyazError, match="store"):
        check(client, made, 100)


def test_a_picture_that_is_another_one_fails(house: House, client: Client, made: Job) -> None:
    with house.door.database.transaction() as session:
        rows = session.scalars(sa.select(Variant).order_by(Variant.job_number.desc(), Variant.index).limit(2)).all()
        rows[0].offset, rows[0].length = rows[1].offset, rows[1].length

    with pytest.raises(DemoFailed, match="is not the one that the catalogue names"):
        check(client, made, 100)


def test_two_that_look_alike_fail(house: House, client: Client, made: Job) -> None:
    with house.door.database.transaction() as session:
        rows = session.scalars(sa.select(Variant).order_by(Variant.job_number.desc(), Variant.index).limit(2)).all()
        rows[0].offset, rows[0].length, rows[0].digest = rows[1].offset, rows[1].length, rows[1].digest

    with pytest.raises(DemoFailed, match="of 100 variants only 99 look different"):
        check(client, made, 100)
