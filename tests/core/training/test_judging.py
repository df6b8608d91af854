"""Training of judges: exact resumption, whose letters are seen, and that it learns."""

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from core.alphabet import position
from core.errors import JobError
from core.networks.judge import Architecture, Judge, accuracy
from core.registry import Family
from core.training import checkpoints
from core.training.config import TrainConfig
from core.training.datasets import archive
from core.training.datasets.outlines import measure
from core.training.datasets.split import split
from core.training.judging import METRICS, Letters, Run, choose_architecture, train_judge
from core.training.run import LOG_EVERY

# Bars (left, top, right, bottom) of a letter two units wide and high.
BARS = {
    "I": [(0.8, 0, 1.2, 2)],
    "L": [(0, 0, 0.4, 2), (0, 1.6, 2, 2)],
    "T": [(0.8, 0, 1.2, 2), (0, 0, 2, 0.4)],
    "Н": [(0, 0, 0.4, 2), (1.6, 0, 2, 2), (0, 0.8, 2, 1.2)],
    "Ш": [(0, 0, 0.4, 2), (0.8, 0, 1.2, 2), (1.6, 0, 2, 2), (0, 1.6, 2, 2)],
    "7": [(0, 0, 2, 0.4), (1.6, 0, 2, 2)],
}
WIDTHS = tuple(0.1 + 0.015 * step for step in range(8))


def draw(letter: str, width: float) -> np.ndarray:
    """The outline of a letter made of bars, `width` of the canvas a unit."""
    place = np.array([0.5 - width, 0.24] * 2)
    corners = [np.array(bar) * [width, 0.26, width, 0.26] + place for bar in BARS[letter]]
    rings = [np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) for x0, y0, x1, y1 in corners]
    return np.concatenate([np.hstack([ring, np.roll(ring, -1, axis=0)]) for ring in rings])


def cast() -> archive.Dataset:
    fields, labels, styles = [], [], []
    for style, width in enumerate(WIDTHS):
        for letter in BARS:
            field = measure(draw(letter, width), archive.SIZE, archive.CLAMP)
            fields.append(np.rint(field / archive.CLAMP * 127).astype(np.int8))
            labels.append(position(letter))
            styles.append(style)
    return archive.Dataset(
        fields=np.stack(fields),
        labels=np.array(labels),
        styles=np.array(styles),
        clusters=np.arange(len(WIDTHS)),
        strokes=np.full(len(WIDTHS), 0.04, dtype=np.float32),
        advances=np.full(len(labels), 0.5, dtype=np.float32),
        bearings=np.full((len(labels), 2), 0.05, dtype=np.float32),
        style_names=tuple(f"Bars {width:g}" for width in WIDTHS),
        licences=("OFL-1.1",) * len(WIDTHS),
        report=archive.Report(),
    )


DATASET = cast()
SEEN = np.arange(len(WIDTHS)) % 2 == 0
ROLES = np.where(SEEN, "select", "report")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def start(config: TrainConfig, seen: np.ndarray = SEEN, dataset: archive.Dataset = DATASET) -> Run:
    return Run(config, dataset, "cpu", Architecture.SELECT, seen)


def resume(config: TrainConfig, checkpoint: bytes, dataset: archive.Dataset = DATASET) -> Run:
    run = start(config, dataset=dataset)
    run._restore(*checkpoints.unpack(checkpoint))
    return run


def advance(run: Run, steps: int) -> Run:
    stop = run.step_count + steps
    run.advance(lambda step: step < stop)
    return run


def state(run: Run) -> dict[str, torch.Tensor]:
    return checkpoints.unpack(run.checkpoint())[0]


def assert_equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> None:
    assert one.keys() == two.keys()
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("architecture", list(Architecture))
def test_a_resumed_run_equals_an_uninterrupted_one_in_every_tensor(architecture: Architecture, precision: str) -> None:
    config = TrainConfig(family=Family.JUDGE, minutes=60, batch=8, precision=precision)
    runs = [Run(config, DATASET, "cpu", architecture, SEEN) for _ in range(3)]
    straight, first, second = runs
    advance(straight, 12)
    second._restore(*checkpoints.unpack(advance(first, 5).checkpoint()))

    assert_equal(state(advance(second, 7)), state(straight))
    assert_equal(state(advance(first, 7)), state(straight))


def test_a_job_trains_on_the_clusters_of_its_role_and_resumes() -> None:
    config = TrainConfig(family="judge", architecture="report", minutes=60, batch=8)
    packed = DATASET.pack()
    run = advance(Run.start(config, packed, "cpu"), 3)
    again = Run.resume(config, packed, "cpu", run.checkpoint())
    own = np.flatnonzero(split(DATASET) == "report")

    assert again.step_count == 3
    assert_equal(state(again), state(run))
    assert run.weights()[1]["architecture"] == "report"
    assert len(run._letters.labels) == len(own) * len(BARS)


def test_a_judge_without_an_architecture_is_the_one_that_selects() -> None:
    assert choose_architecture(TrainConfig(family="judge")) is Architecture.SELECT
    assert choose_architecture(TrainConfig(family="judge", architecture="report")) is Architecture.REPORT


def test_the_seed_decides_everything_and_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, two = (advance(start(TrainConfig(family=Family.JUDGE, minutes=60, batch=8)), 3) for _ in range(2))
    other = advance(start(TrainConfig(family=Family.JUDGE, minutes=60, batch=8, seed=126)), 3)

    assert torch.equal(torch.rand(3), expected)
    assert_equal(state(one), state(two))
    assert not torch.equal(state(one)["judge.out.weight"], state(other)["judge.out.weight"])


def test_only_letters_that_may_be_seen_are_drawn() -> None:
    rows = np.flatnonzero(SEEN[DATASET.styles])
    letters = Letters(DATASET, rows, torch.device("cpu"))
    fields, strokes, labels = letters.draw(500, torch.Generator().manual_seed(1))
    own, _ = letters.all()
    same = (fields[:, None, 0, ::4, ::4] == own[None, :, 0, ::4, ::4]).flatten(2).all(dim=2)

    assert len(own) == len(rows)
    assert same.any(dim=1).all()
    assert strokes.unique().tolist() == pytest.approx([0.04])
    assert set(labels.tolist()) == {position(letter) for letter in BARS}


def test_a_cluster_of_many_styles_does_not_prevail() -> None:
    """One cluster of seven styles and one of one: drawn 7 to 1 by rows, about 2.6 to 1 by the root."""
    dataset = replace(
        DATASET, clusters=np.array([0] * 7 + [1]), strokes=np.array([0.04] * 7 + [0.08], dtype=np.float32)
    )
    letters = Letters(dataset, np.arange(len(dataset.labels)), torch.device("cpu"))
    _, strokes, _ = letters.draw(8000, torch.Generator().manual_seed(1))

    assert (strokes > 0.05).float().mean() == pytest.approx(1 / (1 + 7**0.5), abs=0.03)


def test_it_learns_to_read_styles_it_has_not_seen_within_seconds() -> None:
    before, after = (train_judge(DATASET, ROLES, Architecture.SELECT, steps=steps) for steps in (1, 60))
    unseen = np.flatnonzero(~SEEN[DATASET.styles])
    fields = torch.from_numpy(DATASET.fields[unseen]).float()[:, None] * (archive.CLAMP / 127)
    labels = torch.from_numpy(DATASET.labels[unseen])

    assert accuracy(before, fields, labels).float().mean() < 0.5
    assert accuracy(after, fields, labels).float().mean() > 0.9


def test_metrics_are_drained_once_and_pictures_show_what_is_read_worst() -> None:
    run = advance(start(TrainConfig(family=Family.JUDGE, minutes=60, batch=8)), LOG_EVERY)

    assert {name for _, name, _ in run.drain_metrics()} == {*METRICS, "speed/images"}
    assert run.drain_metrics() == []
    picture = Image.open(BytesIO(run.samples()))
    assert picture.size == (16 * 64, 64)
    assert picture.getextrema() == (0, 255)


def test_epochs_and_minutes_end_a_run() -> None:
    epochs = start(TrainConfig(family=Family.JUDGE, epochs=2, batch=8))
    assert epochs.total_steps == 6  # 24 letters
    epochs.advance(lambda step: True)
    minutes = start(TrainConfig(family=Family.JUDGE, minutes=0.5 / 60, batch=8))
    minutes.advance(lambda step: True)

    assert (epochs.finished, epochs.step_count) == (True, 6)
    assert minutes.finished
    assert 0.5 <= minutes.device_seconds < 2
    assert minutes.total_steps == minutes.step_count


def test_weights_are_the_average_and_say_what_they_are() -> None:
    run = advance(start(TrainConfig(family=Family.JUDGE, minutes=60, batch=8)), 4)
    weights, meta = run.weights()
    average = {name: tensor for name, tensor in run._ema.state_dict().items() if tensor.is_floating_point()}

    assert meta["family"] == "judge"
    assert meta["architecture"] == "select"
    assert meta["steps"] == "4"
    assert all(np.array_equal(weights[name], average[name].half().numpy()) for name in average)
    assert isinstance(Judge.load(weights, meta), Judge)


def test_a_diverged_run_fails_and_leaves_no_checkpoint() -> None:
    run = advance(start(TrainConfig(family=Family.JUDGE, minutes=60, batch=8)), 1)
    with torch.no_grad():
        run._judge.out.bias[0] = float("nan")

    with pytest.raises(JobError, match="diverged"):
        run.checkpoint()


def test_a_checkpoint_of_another_run_is_refused() -> None:
    checkpoint = advance(start(TrainConfig(family=Family.JUDGE, minutes=60, batch=8)), 1).checkpoint()

    for config, dataset in (
        (TrainConfig(family=Family.JUDGE, minutes=60, batch=8, lr=0.5), DATASET),
        (TrainConfig(family=Family.JUDGE, minutes=60, batch=8), replace(DATASET, sha256="another")),
    ):
        with pytest.raises(JobError, match="another configuration or dataset"):
            resume(config, checkpoint, dataset)
    assert resume(TrainConfig(family=Family.JUDGE, epochs=9, batch=8), checkpoint).step_count == 1


def test_a_role_without_letters_is_refused() -> None:
    with pytest.raises(JobError, match="of a cluster that a judge may see"):
        start(TrainConfig(family=Family.JUDGE), np.zeros(len(WIDTHS), dtype=np.bool_))
