"""The training loop: exact resumption, lengths, divergence, and that it learns."""

import json
from collections.abc import Iterator
from io import BytesIO

import pytest
import torch
from PIL import Image

from core.errors import JobError
from core.networks.mlp import LATENT, REACH, SIZE, Generator
from core.registry import Family, Loss, Optimiser
from core.training import checkpoints
from core.training.config import TrainConfig
from core.training.loop import METRICS, Order, Run
from core.training.run import LOG_EVERY
from core.training.samples import SHOWN, choose_letters
from core.training.views import view
from tests.core.training.foundry import make_dataset

DATASET = make_dataset()


@pytest.fixture(scope="module")
def dataset() -> bytes:
    return DATASET.pack()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def advance(run: Run, steps: int) -> Run:
    stop = run.step_count + steps
    run.advance(lambda step: step < stop)
    return run


def state(run: Run) -> dict[str, torch.Tensor]:
    return checkpoints.unpack(run.checkpoint())[0]


def assert_equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> None:
    assert one.keys() == two.keys()
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


@pytest.mark.parametrize("optimiser", list(Optimiser))
def test_a_resumed_run_equals_an_uninterrupted_one_in_every_tensor(dataset: bytes, optimiser: Optimiser) -> None:
    assert_resumes(dataset, TrainConfig(family=Family.MLP, minutes=60, batch=8, optimiser=optimiser))


@pytest.mark.parametrize("loss", list(Loss))
def test_a_run_resumes_exactly_whatever_its_loss(dataset: bytes, loss: Loss) -> None:
    assert_resumes(dataset, TrainConfig(family=Family.MLP, minutes=60, batch=8, loss=loss))


def assert_resumes(dataset: bytes, config: TrainConfig) -> None:
    straight = advance(Run.start(config, dataset, "cpu"), 40)
    first = advance(Run.start(config, dataset, "cpu"), 15)
    second = advance(Run.resume(config, dataset, "cpu", first.checkpoint()), 25)

    assert second.step_count == straight.step_count == 40
    assert_equal(state(second), state(straight))


def test_a_run_in_memory_goes_on_like_one_that_was_stored(dataset: bytes) -> None:
    config = TrainConfig(family=Family.MLP, minutes=60, batch=8, precision="bf16")
    kept = advance(Run.start(config, dataset, "cpu"), 5)
    loaded = Run.resume(config, dataset, "cpu", kept.checkpoint())

    assert_equal(state(advance(loaded, 5)), state(advance(kept, 5)))


def test_the_seed_decides_everything(dataset: bytes) -> None:
    torch.manual_seed(1)
    one = advance(Run.start(TrainConfig(family=Family.MLP, minutes=60), dataset, "cpu"), 3)
    torch.manual_seed(2)
    two = advance(Run.start(TrainConfig(family=Family.MLP, minutes=60), dataset, "cpu"), 3)
    other = advance(Run.start(TrainConfig(family=Family.MLP, minutes=60, seed=126), dataset, "cpu"), 3)

    assert_equal(state(one), state(two))
    assert not torch.equal(state(one)["generator.out.weight"], state(other)["generator.out.weight"])


def test_training_leaves_the_global_generator_alone(dataset: bytes) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    advance(Run.start(TrainConfig(family=Family.MLP, minutes=60), dataset, "cpu"), 2)

    assert torch.equal(torch.rand(3), expected)


def test_epochs_give_an_exact_number_of_steps(dataset: bytes) -> None:
    run = Run.start(TrainConfig(family=Family.MLP, epochs=2.5, batch=8), dataset, "cpu")
    assert run.total_steps == 10  # 32 letters
    run.advance(lambda step: True)

    assert run.finished
    assert run.step_count == 10
    run.advance(lambda step: True)
    assert run.step_count == 10


def test_minutes_are_device_seconds_counted_over_segments(dataset: bytes) -> None:
    config = TrainConfig(family=Family.MLP, minutes=1.2 / 60, batch=8)
    run = Run.start(config, dataset, "cpu")
    assert run.total_steps == 120  # a guess, before the speed is known
    while not run.finished:
        run = Run.resume(config, dataset, "cpu", advance(run, 30).checkpoint())

    assert 1.2 <= run.device_seconds < 2.5
    assert run.total_steps >= run.step_count


def test_a_run_stops_where_it_is_told_to(dataset: bytes) -> None:
    asked: list[int] = []
    run = Run.start(TrainConfig(family=Family.MLP, minutes=60), dataset, "cpu")
    run.advance(lambda step: asked.append(step) or len(asked) < 4)

    assert asked == [1, 2, 3, 4]
    assert run.step_count == 4
    assert not run.finished


def test_metrics_are_means_drained_once(dataset: bytes) -> None:
    run = advance(Run.start(TrainConfig(family=Family.MLP, minutes=60, batch=8), dataset, "cpu"), 2 * LOG_EVERY)
    drained = run.drain_metrics()

    assert {(step, name) for step, name, _ in drained} == {
        (step, name) for step in (LOG_EVERY, 2 * LOG_EVERY) for name in (*METRICS, "speed/images")
    }
    assert all(0 < value < 1e6 for _, _, value in drained)
    assert run.drain_metrics() == []


@pytest.mark.parametrize("loss", list(Loss))
def test_it_learns_the_letters_of_a_style_within_seconds(dataset: bytes, loss: Loss) -> None:
    run = advance(Run.start(TrainConfig(family=Family.MLP, minutes=60, batch=16, loss=loss), dataset, "cpu"), 600)
    anchor = [value for _, name, value in run.drain_metrics() if name == "loss/anchor"]
    weights, meta = run.weights()
    generator = Generator.load(weights, meta)
    seen = view(DATASET, SIZE, REACH)
    z = torch.zeros(len(seen.labels), LATENT)
    z[:, : generator.codes.shape[1]] = generator.codes[seen.styles]
    drawn = generator(z, seen.labels)
    distance = torch.cdist(drawn.flatten(1), seen.images.flatten(1))
    nearest = seen.labels[distance.argmin(dim=1)]

    assert anchor[-1] < anchor[0] / 3
    assert (nearest == seen.labels).float().mean() > 0.9


def test_the_discriminator_learns_to_tell_real_letters_from_drawn_ones(dataset: bytes) -> None:
    run = advance(Run.start(TrainConfig(family=Family.MLP, minutes=60, anchor=0, batch=16), dataset, "cpu"), 40)
    seen = view(DATASET, SIZE, REACH)
    drawn = run._generator(torch.randn(len(seen.labels), LATENT), seen.labels)
    real, fake = (run._discriminator(images, seen.labels).mean() for images in (seen.images, drawn))

    assert real > fake + 0.5


def test_weights_are_the_average_and_say_what_they_are(dataset: bytes) -> None:
    run = advance(Run.start(TrainConfig(family=Family.MLP, minutes=60), dataset, "cpu"), 6)
    weights, meta = run.weights()
    stored = state(run)

    assert {f"ema.{name}" for name in weights} == {name for name in stored if name.startswith("ema.")}
    assert all(torch.equal(torch.from_numpy(weights[name]), stored[f"ema.{name}"]) for name in weights)
    assert meta["family"] == "mlp"
    assert len(meta["dataset"]) == 64
    assert json.loads(meta["architecture"])["styles"] == 4
    assert all(isinstance(value, str) for value in meta.values())


def test_the_bare_game_has_no_styles_and_no_anchor(dataset: bytes) -> None:
    for config in (
        TrainConfig(family=Family.MLP, minutes=60, anchor=0),
        TrainConfig(family=Family.MLP, minutes=60, conditional=False),
    ):
        run = advance(Run.start(config, dataset, "cpu"), LOG_EVERY)

        assert {name: value for _, name, value in run.drain_metrics()}["loss/anchor"] == 0
        assert run.weights()[0]["codes"].shape == (0, 12)


def test_a_diverged_run_fails_and_leaves_no_checkpoint(dataset: bytes) -> None:
    run = advance(Run.start(TrainConfig(family=Family.MLP, minutes=60), dataset, "cpu"), 1)
    with torch.no_grad():
        run._generator.out.bias[0] = float("nan")

    with pytest.raises(JobError, match="diverged"):
        run.checkpoint()
    with pytest.raises(JobError, match=r"diverged: loss/\w+ is nan at step 50"):
        advance(run, LOG_EVERY)


def test_a_checkpoint_of_another_run_is_refused(dataset: bytes) -> None:
    checkpoint = advance(Run.start(TrainConfig(family=Family.MLP, minutes=60), dataset, "cpu"), 1).checkpoint()

    for config, data in (
        (TrainConfig(family=Family.MLP, minutes=60, lr=0.5), dataset),
        (TrainConfig(family=Family.MLP, minutes=60), make_dataset(strokes=(0.07, 0.1)).pack()),
    ):
        with pytest.raises(JobError, match="another configuration or dataset"):
            Run.resume(config, data, "cpu", checkpoint)
    assert (
        Run.resume(TrainConfig(family=Family.MLP, epochs=9, name="longer"), dataset, "cpu", checkpoint).step_count == 1
    )


def test_an_epoch_shows_every_row_once() -> None:
    order = Order(12, 4, seed=125)
    epochs = [torch.cat([order.take() for _ in range(3)]) for _ in range(2)]

    assert [sorted(epoch.tolist()) for epoch in epochs] == [list(range(12))] * 2
    assert not torch.equal(*epochs)


def test_a_dataset_smaller_than_a_batch_is_trained_on_whole() -> None:
    run = advance(
        Run.start(TrainConfig(family=Family.MLP, minutes=60, batch=64), make_dataset("AB", (0.1,)).pack(), "cpu"), 3
    )

    assert run.step_count == 3


def test_samples_are_a_picture_with_ink_and_ground(dataset: bytes) -> None:
    picture = Image.open(BytesIO(Run.start(TrainConfig(family=Family.MLP, minutes=60), dataset, "cpu").samples()))

    assert (picture.mode, picture.size) == ("L", (8 * 96, 8 * 96))  # the letters of the dataset
    assert picture.getextrema() == (0, 255)


def test_of_a_full_alphabet_a_few_letters_are_shown_and_of_a_part_all() -> None:
    assert choose_letters(torch.arange(69)) == SHOWN
    assert choose_letters(torch.tensor([1, 0, 25, 0])) == "ABZ"
