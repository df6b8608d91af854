"""Training of family `style`: exact resumption, what is refused, and that its weights load and draw."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.errors import JobError
from core.networks import families
from core.networks.style import ATTRIBUTES, Generator
from core.registry import Attribute
from core.training import checkpoints, runs
from core.training.config import TrainConfig
from core.training.datasets.archive import Dataset
from core.training.run import Run as AnyRun
from core.training.style.run import Run
from tests.core.training.foundry import make_dataset

STROKES = (0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.11, 0.12, 0.13, 0.14)


def make_styles() -> Dataset:
    """Frames of ten stroke widths, each a cluster of its own."""
    return replace(make_dataset("HIEABЖ38", STROKES), clusters=np.arange(len(STROKES)))


@pytest.fixture(scope="module")
def dataset() -> bytes:
    return make_styles().pack()


@pytest.fixture(autouse=True)
def one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def advance(run: AnyRun, steps: int) -> AnyRun:
    stop = run.step_count + steps
    run.advance(lambda step: step < stop)
    return run


def config(architecture: str = "nano", epochs: float = 60) -> TrainConfig:
    return TrainConfig(family="style", architecture=architecture, epochs=epochs)


@pytest.mark.parametrize("architecture", ["nano", "default"])
def test_a_resumed_run_equals_an_uninterrupted_one_in_every_tensor(dataset: bytes, architecture: str) -> None:
    plan = config(architecture, 40)
    whole = runs.start(plan, dataset, "cpu")
    half = whole.total_steps // 2 + 1
    checkpoint = advance(whole, half).checkpoint()
    advance(whole, 2)
    again = advance(runs.resume(plan, dataset, "cpu", checkpoint), 2)
    one, two = (checkpoints.unpack(run.checkpoint())[0] for run in (whole, again))
    assert one.keys() == two.keys()
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


def test_the_weights_of_a_run_draw_what_the_run_draws(dataset: bytes) -> None:
    run = Run.start(config(epochs=200), dataset, "cpu")
    run.advance(lambda _: True)
    assert run.finished
    tensors, meta = run.weights()
    stored = families.load(tensors, meta)
    assert isinstance(stored, Generator)
    assert isinstance(stored, families.Steerable)
    z = torch.randn(6, 100, generator=torch.Generator().manual_seed(1))
    letters = torch.tensor([0, 1, 7, 26, 59, 67])
    own = run.generator()
    drawn, kept = (each.draw(each.styles(z), letters) for each in (own, stored))
    assert drawn.shape == (6, 1, 64, 64)
    # Bytes and half precision lose a little, far less than a cell.
    assert float((drawn - kept).abs().mean()) < 5e-4


def test_a_run_learns_to_draw_the_letters_it_was_shown(dataset: bytes) -> None:
    run = Run.start(config(epochs=300), dataset, "cpu")
    run.advance(lambda _: True)
    vectors, table = run._decoding.vectors.detach(), run._table
    letters = torch.tensor([int((run._decoding.decoder.head_of == head).nonzero()[0]) for head in table.heads])
    drawn = run._networks().draw(vectors[table.styles], letters)
    real = table.coarse(torch.arange(len(table))).view_as(drawn)
    overlap = ((drawn > 0) & (real > 0)).sum() / ((drawn > 0) | (real > 0)).sum()
    assert float(overlap) > 0.93


def test_one_cluster_is_refused_because_no_split_of_it_is_honest() -> None:
    one = replace(make_styles(), clusters=np.zeros(len(STROKES), dtype=np.int64))
    with pytest.raises(JobError, match="no honest split"):
        runs.start(config(), one.pack(), "cpu")


def test_a_checkpoint_of_another_run_is_refused(dataset: bytes) -> None:
    checkpoint = advance(runs.start(config(), dataset, "cpu"), 1).checkpoint()
    other = TrainConfig(family="style", architecture="nano", epochs=60, seed=7)
    with pytest.raises(JobError, match="another configuration"):
        runs.resume(other, dataset, "cpu", checkpoint)


def test_weights_of_another_shape_or_family_are_refused(dataset: bytes) -> None:
    run = Run.start(config(epochs=2), dataset, "cpu")
    tensors, meta = run.weights()
    with pytest.raises(JobError, match="not of family style"):
        families.load(tensors | {"decoder.basis": tensors["decoder.basis"][:5]}, meta)
    with pytest.raises(JobError):
        families.load(tensors, meta | {"family": "mlp"})


def test_attributes_are_those_that_users_may_name() -> None:
    assert tuple(Attribute) == ATTRIBUTES
