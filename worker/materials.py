"""What a kind's work is made from: weights and datasets of the catalogue, verified by their SHA-256."""

import uuid
from hashlib import sha256

from core.catalogue import models, training
from core.errors import Invalid, JobError, NotFound
from core.ledger.leases import Lease
from core.networks import families
from core.networks.families import Generator
from core.networks.judge import Judge
from core.storage import weights
from core.storage.weights import Tensors
from core.training.datasets.archive import Dataset
from worker.work import Workplace


def load_weights(place: Workplace, version_id: uuid.UUID | None) -> tuple[Tensors, dict[str, str]]:
    """A version's tensors and what they are; raises `JobError` if they are gone or not to be trusted."""
    try:
        with place.database.transaction() as session:
            stored = models.locate(session, version_id)
    except NotFound as error:
        raise JobError("the model version of this job is gone") from error
    return weights.load(place.blobs, stored.path, stored.digest.hex())


def load_named(place: Workplace, reference: str) -> tuple[Tensors, dict[str, str]]:
    """The same for a version by its name, `judge-select:1`."""
    try:
        with place.database.transaction() as session:
            version_id = models.pin(session, reference).id
    except Invalid as error:
        raise JobError(str(error)) from error
    return load_weights(place, version_id)


def load_generator(place: Workplace, lease: Lease) -> Generator:
    """The generator of the version that a job is tied to."""
    return families.load(*load_weights(place, lease.model_version_id), place.device)


def load_judge(place: Workplace, reference: str) -> Judge:
    """A judge by its name, on the CPU."""
    return Judge.load(*load_named(place, reference))


def load_dataset(place: Workplace, lease: Lease) -> tuple[Dataset, str]:
    """The dataset version that a job works with, and its name: `fonts:2`."""
    name = lease.spec["dataset"]
    with place.database.transaction() as session:
        version = training.choose_dataset(session, lease.owner_id, lease.after_id, name)
    return Dataset.load(verified(place, version.path, version.digest)), f"{name.partition(':')[0]}:{version.number}"


def verified(place: Workplace, key: str, digest: bytes) -> bytes:
    """What lies under a key; raises `JobError` if it is not what was stored there."""
    data = place.blobs.get(key)
    if sha256(data).digest() != digest:
        raise JobError(f"{key} has another SHA-256 than when it was stored")
    return data
