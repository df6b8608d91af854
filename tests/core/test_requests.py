"""Requests, resolved into jobs without HTTP."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from core.catalogue import datasets, owners
from core.catalogue.database import Database
from core.catalogue.tables import DatasetVersion, Job, Model, ModelVersion, TrainingRun
from core.errors import Invalid
from core.ledger.jobs import Submission, submit
from core.ledger.states import Priority
from core.recipe import ENGINE, parse_spec
from core.requests import JobRequest, submit_request, submit_stored
from core.training.config import TrainConfig
from tests.conftest import stand_by

GENERATE = {"kind": "generate", "spec": {"letters": ["ab"]}, "count": 100}
TRAIN = {"kind": "train", "spec": {"family": "mlp", "minutes": 1, "betas": [0.4, 0.9]}}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, pooled=False)
    stand_by(database)
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
    assert by_schedule.needs == {"engine": ENGINE, "family": "mlp"}
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


def shipped(database: Database, *names: str) -> None:
    with database.transaction() as session:
        for number, name in enumerate(names):
            model = Model(name=name)
            session.add(model)
            session.flush()
            weights = {"path": name, "digest": bytes([number]), "size": 1, "config": {}, "family": "judge"}
            session.add(ModelVersion(model_id=model.id, number=1, **weights))


def test_the_judge_is_pinned_at_submit_where_there_is_one(database: Database, studio: uuid.UUID) -> None:
    before = stored(database, studio, GENERATE, "before")
    shipped(database, "judge-select")
    after = stored(database, studio, GENERATE, "after")

    assert (before.spec["judge"], after.spec["judge"]) == (None, "judge-select:1")
    assert parse_spec(after.spec).judge == "judge-select:1"


def test_a_judge_that_is_not_there_is_refused_by_its_own_field(database: Database, studio: uuid.UUID) -> None:
    with pytest.raises(Invalid) as refused:
        stored(database, studio, GENERATE | {"spec": {"letters": ["A"], "judge": "judge-select:9"}})

    assert refused.value.pointer == "/spec/judge"


def test_an_evaluation_looks_at_the_fonts_first_is_interactive_and_needs_a_judge(
    database: Database, studio: uuid.UUID
) -> None:
    with pytest.raises(Invalid, match="judge-report"):
        stored(database, studio, {"kind": "evaluate"})
    shipped(database, "judge-report")
    evaluation = stored(database, studio, {"kind": "evaluate"})

    assert [job.kind for job in jobs(database)] == ["dataset", "evaluate"]
    spec = {"model": "letters:1", "dataset": "fonts", "judge": "judge-report:1", "styles": 100}
    assert evaluation.spec == spec
    assert (evaluation.total, evaluation.in_flight_limit) == (1, 1)
    assert [Priority(job.priority).name for job in jobs(database)] == ["NORMAL", "INTERACTIVE"]
    assert evaluation.needs == {"engine": ENGINE, "family": "mlp"}


def test_an_evaluation_takes_the_dataset_version_that_its_model_was_trained_on(
    database: Database, studio: uuid.UUID
) -> None:
    shipped(database, "judge-report")
    train_on(database, studio)

    assert stored(database, studio, {"kind": "evaluate"}).spec["dataset"] == "mine:1"
    assert stored(database, studio, {"kind": "sheet"}, "sheet").spec["dataset"] == "mine:1"
    assert [job.kind for job in jobs(database)] == ["train", "evaluate", "sheet"]
    with database.transaction() as session:
        rival = owners.ensure(session, "rival").id
    assert stored(database, rival, {"kind": "sheet"}).spec["dataset"] is None


def train_on(database: Database, studio: uuid.UUID) -> None:
    """Say that letters:1 was trained on the studio's own dataset."""
    with database.transaction() as session:
        dataset, _ = datasets.create(session, studio, "mine", "fonts", "/fonts")
        row = DatasetVersion(dataset_id=dataset.id, number=1, path="d", digest=b"\1", size=1, report={})
        version = session.scalars(sa.select(ModelVersion).join(Model).where(Model.name == "letters")).one()
        job = submit(session, studio, Submission("train", {}, 1))
        session.add(row)
        session.flush()
        run = TrainingRun(
            job_number=job.number, model_id=version.model_id, dataset_version_id=row.id, family="mlp", config={}
        )
        session.add(run)
        session.flush()
        version.training_run_id = run.id


def test_an_inversion_is_of_one_upload_and_one_letter_at_most(database: Database, studio: uuid.UUID) -> None:
    spec = {"upload": "0" * 64, "name": "a.png", "letter": "ж"}
    inversion = stored(database, studio, {"kind": "invert", "spec": spec})

    assert inversion.spec == spec | {"model": "letters:1", "letter": "Ж", "steps": 300}


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
        ({"kind": "sheet", "count": 2}, "/count"),
        ({"kind": "sheet", "spec": {"model": "gone"}}, "/spec/model"),
        ({"kind": "sheet", "spec": {"dataset": "fonts"}}, "/spec/dataset"),
        ({"kind": "invert", "spec": {}}, "/spec/upload"),
        ({"kind": "invert", "spec": {"upload": "../../etc"}}, "/spec/upload"),
        ({"kind": "invert", "spec": {"upload": "0" * 64, "letter": "AB"}}, "/spec/letter"),
        ({"kind": "invert", "spec": {"upload": "0" * 64, "letter": "Ы"}}, "/spec/letter"),
    ],
)
def test_a_stored_request_that_makes_no_sense_any_more_is_invalid(
    database: Database, studio: uuid.UUID, request_: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(Invalid) as refused:
        stored(database, studio, request_)

    assert refused.value.pointer == pointer
    assert jobs(database) == []
