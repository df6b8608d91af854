"""EMNIST through a real worker: from a folder to a dataset version, a model version and two pictures."""

import uuid
from pathlib import Path

import pytest
import sqlalchemy as sa

from core import requests
from core.catalogue import datasets, models, owners
from core.catalogue.tables import DatasetVersion, Metric, TrainingRun
from core.ledger.states import JobState
from core.requests import JobRequest
from core.training.config import TrainConfig
from tests.core.training.slips import write_slips
from tests.worker.conftest import Fleet
from worker.kinds.train import shown_steps


def train(fleet: Fleet, folder: Path) -> tuple[uuid.UUID, uuid.UUID]:
    """Submit what `vyaz train --dataset emnist --family mlp --epochs 6` submits; return the look and the training."""
    spec = {"dataset": "emnist", "family": "mlp", "epochs": 6, "batch": 8, "name": "hands"}
    with fleet.database.transaction() as session:
        owner = owners.ensure(session, "studio")
        datasets.create(session, owner.id, "emnist", "emnist", str(folder))
        training = requests.submit_request(session, owner.id, JobRequest(kind="train", spec=spec))
        assert training.after_id is not None
        made = training.after_id, training.id
    fleet.ringer.ring(["cpu"])
    return made


def test_a_folder_becomes_a_dataset_and_a_model_with_pictures_on_the_way(fleet: Fleet, tmp_path: Path) -> None:
    write_slips(tmp_path / "nist", "LATP" * 10)
    fleet.node()
    look, training = train(fleet, tmp_path / "nist")
    ended = fleet.finished(training, 120)
    with fleet.database.transaction() as session:
        version = session.scalars(sa.select(DatasetVersion)).one()
        run = session.scalars(sa.select(TrainingRun)).one()
        newest = models.pin(session, "hands")
        said = {metric.name for metric in session.scalars(sa.select(Metric))}
    pictures = {path.name for path in (tmp_path / "data" / "tensorboard" / str(run.id)).glob("*.png")}

    assert fleet.job(look).state == JobState.DONE, fleet.job(look).reason
    assert (ended.state, ended.done) == (JobState.DONE, 30), ended.reason
    assert (version.report["glyphs"], version.report["licences"]) == (40, {"public domain (NIST)": 1})
    assert newest.reference == "hands:1"
    assert pictures == {"samples-epoch-5.png", "samples-end.png"}
    assert said <= {"loss/discriminator", "loss/generator", "loss/anchor", "speed/images"}


@pytest.mark.parametrize(
    ("short", "reason"),
    [("emnist-letters-train-images-idx3-ubyte", "holds 31359"), ("emnist-letters-train-labels-idx1-ubyte", "holds 39")],
)
def test_a_short_file_fails_the_job_by_name_and_the_worker_lives(
    fleet: Fleet, tmp_path: Path, short: str, reason: str
) -> None:
    write_slips(tmp_path / "nist", "LATP" * 10)
    path = tmp_path / "nist" / "EMNIST" / "raw" / short
    path.write_bytes(path.read_bytes()[:-1])
    node = fleet.node()
    look, training = train(fleet, tmp_path / "nist")
    failed = fleet.finished(look, 60)
    fleet.finished(training, 60)
    null = fleet.finished(fleet.submit(64), 60)

    assert failed.state == JobState.FAILED
    assert short in (failed.reason or "")
    assert reason in (failed.reason or "")
    assert fleet.job(training).state != JobState.DONE
    assert (null.state, node.poll()) == (JobState.DONE, None)


def test_pictures_are_kept_after_the_fifth_and_the_fiftieth_epoch() -> None:
    assert shown_steps(TrainConfig(epochs=50), 16_250) == {1625: 5, 16_250: 50}
    assert shown_steps(TrainConfig(epochs=4), 1300) == {}
    assert shown_steps(TrainConfig(minutes=4), 1300) == {}
