"""Requests, resolved into jobs without HTTP."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from core.catalogue import datasets, owners
from core.catalogue.database import Database
from core.catalogue.tables import DatasetVersion, Job, Model, ModelVersion
from core.errors import Invalid
from core.recipe import ENGINE
from core.requests import JobRequest, submit_request, submit_stored
from core.training.config import TrainConfig

GENERATE = {"kind": "generate", "spec": {"letters": ["ab"]}, "count": 100}
TRAIN = {"kind": "train", "spec": {"minutes": 1, "betas": [0.4, 0.9]}}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, pooled=False)
    yield database
    database.close()


@pytest.fixture
def studio(database: Database) -> uuid.UUID:
    with database.transaction() as session:
        model = Model(name="letters")
        session.add(model)
        session.flush()
        weights = {"path": "w", "digest": b"\1", "size": 1, "config": {}, "family": "mlp"}
        session.add(ModelVersion(model_id=model.id, number=1, **weights))
        return owners.ensure(session, "studio").id


def stored(database: Database, owner: uuid.UUID, request: dict[str, Any], key: str = "once") -> Job:
    with database.transaction() as session:
        return submit_stored(session, owner, request, key)


def jobs(database: Database) -> list[Job]:
    with database.transaction() as session:
        return list(session.scalars(sa.select(Job).order_by(Job.number)))


def test_a_stored_request_makes_the_same_job_as_one_over_http(database: Database, studio: uuid.UUID) -> None:
    by_schedule = stored(database, studio, GENERATE)
    with database.transaction() as session:
        by_hand = submit_request(session, studio, JobRequest.model_validate(GENERATE))

    assert (by_schedule.spec, by_schedule.total) == (by_hand.spec, by_hand.total)
    assert by_schedule.needs == {"engine": ENGINE}
    assert by_schedule.model_version_id is not None


def test_the_same_fire_submits_once(database: Database, studio: uuid.UUID) -> None:
    first, again = stored(database, studio, TRAIN), stored(database, studio, TRAIN)

    assert first.id == again.id
    assert [job.kind for job in jobs(database)] == ["dataset", "train"]
    assert stored(database, studio, TRAIN, "next").id != first.id
    assert [job.kind for job in jobs(database)] == ["dataset", "train", "dataset", "train"]


def test_a_training_carries_its_whole_config_as_its_kind_reads_it(database: Database, studio: uuid.UUID) -> None:
    training = stored(database, studio, TRAIN)
    config = TrainConfig.model_validate(training.spec)

    assert (config.minutes, config.betas, config.seed, training.seed) == (1.0, (0.4, 0.9), 125, 125)


def test_a_training_on_a_version_that_exists_looks_at_nothing(database: Database, studio: uuid.UUID) -> None:
    with database.transaction() as session:
        dataset, _ = datasets.create(session, studio, "mine", "fonts", "/fonts")
        version = {"number": 1, "path": "d", "digest": b"\1", "size": 1, "report": {}}
        session.add(DatasetVersion(dataset_id=dataset.id, **version))
    training = stored(database, studio, {"kind": "train", "spec": {"dataset": "mine:1", "minutes": 1}})

    assert training.after_id is None
    assert [job.kind for job in jobs(database)] == ["train"]


@pytest.mark.parametrize(
    ("request_", "pointer"),
    [
        ({}, "/kind"),
        ({"kind": "null", "count": 1, "extra": 1}, "/extra"),
        ({"kind": "null"}, "/count"),
        ({"kind": "train", "spec": {"dataset": "gone"}}, "/spec/dataset"),
        ({"kind": "generate", "count": 1, "spec": {"letters": ["A"], "size": True}}, "/spec/size"),
        ({"kind": "generate", "count": 1, "spec": {}}, "/spec/letters"),
        ({"kind": "train", "spec": {"a/b~c": 1}}, "/spec/a~1b~0c"),
    ],
)
def test_a_stored_request_that_makes_no_sense_any_more_is_invalid(
    database: Database, studio: uuid.UUID, request_: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(Invalid) as refused:
        stored(database, studio, request_)

    assert refused.value.pointer == pointer
    assert jobs(database) == []
