"""A generator that hands out real fonts is measured as real fonts; one that spoils them, by the figure it spoils."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from core.alphabet import BASELINE, LETTERS
from core.errors import JobError
from core.networks.judge import Architecture, Judge
from core.training.datasets.archive import CLAMP, Dataset, Report
from core.training.datasets.outlines import Floats
from core.training.datasets.split import Role
from core.training.evaluation import Figures, Outlines, evaluate
from core.training.metrics.edges import measure_outlines
from core.training.survey import units
from tests.core.training.metrics.specimens import TOP, blur, box, draw

DESIGNS, SIBLINGS = 6, 2
FONTS = DESIGNS * SIBLINGS
ROLES = np.repeat([Role.TRAIN, Role.TRAIN, Role.TRAIN, Role.REPORT, Role.SELECT, Role.REPORT], SIBLINGS)
TRAIN, HELD = (0, 6), (6, 12)
PROMISED = [
    "judge_real", "judge_real_low", "judge_real_high", "legibility", "legibility_psi1", "worst_letter", "parts",
    "parts_real", "edge_residual_ratio", "corner_ratio", "style_consistency_ratio", "reconstruction_train",
    "reconstruction_held", "copies", "copies_control", "new_share",
]  # fmt: skip

Spoil = Callable[[Tensor], Tensor]


def cast(design: int, sibling: int) -> list[Floats]:
    """The outlines of a font: a stem and two bars a letter, moved a little by design and less by sibling."""
    return [_cast(label, design, sibling) for label in range(len(LETTERS))]


def _cast(label: int, design: int, sibling: int) -> Floats:
    own, moved, again = (np.random.default_rng(key) for key in ((label,), (label, design), (label, design, sibling)))
    stem = 0.06 + 0.008 * design
    places = own.uniform((0.25, TOP, TOP + 0.25, 0.15, 0.15), (0.35, TOP + 0.2, BASELINE - 0.05, 0.45, 0.45))
    left, high, low, far, near = places + moved.uniform(-0.02, 0.02, 5) + again.uniform(-0.006, 0.006, 5)
    return np.concatenate(
        [
            box(left, TOP, left + stem, BASELINE),
            box(left + stem / 2, high, left + stem + far, high + stem * 0.7),
            box(left + stem / 2, low, left + stem + near, low + stem * 0.7),
        ]
    )


class Shelf:
    """A generator that looks letters up: six styles are six fonts, each once, in the order of z."""

    def __init__(self, dataset: Dataset, fonts: tuple[int, int], spoil: Spoil | None = None) -> None:
        self.fields = units(dataset.fields).view(FONTS, len(LETTERS), 1, 128, 128)
        self.first, self.last = fonts
        self.spoil = spoil

    def styles(self, z: Tensor, psi: float | None = None) -> Tensor:
        place = self.first + z[:, 0].argsort().argsort().float() % (self.last - self.first)
        return torch.stack([place, torch.full_like(place, psi == 1.0)], dim=1)

    def draw(self, w: Tensor, letters: Tensor) -> Tensor:
        fields = self.fields[w[:, 0].long(), letters]
        fields = torch.where(w[:, 1].view(-1, 1, 1, 1) > 0, fields.flip(3), fields)  # at psi 1 in a mirror
        return self.spoil(fields) if self.spoil else fields

    def fit(self, fields: Tensor, labels: Tensor) -> Tensor:
        apart = (self.fields[:, labels] - fields).abs().flatten(1).sum(dim=1)
        return torch.stack([apart.argmin().float(), torch.tensor(0.0)])


class Matcher(Judge):
    """A judge that reads the sign whose mean letter is nearest; its features are those of its untrained layers."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(Architecture.SELECT)
        fields = units(dataset.fields).view(FONTS, len(LETTERS), 1, 128, 128).mean(dim=0)
        self.register_buffer("means", self.look(fields).flatten(1))
        self.eval().requires_grad_(False)

    def forward(self, fields: Tensor) -> Tensor:
        return -1e3 * torch.cdist(fields.flatten(1), self.means)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    fonts = [draw(*cast(design, sibling)) for design in range(DESIGNS) for sibling in range(SIBLINGS)]
    fields = torch.cat(fonts)[:, 0].numpy() / CLAMP * 127
    count = len(fields)
    return Dataset(
        fields=np.rint(fields).astype(np.int8),
        labels=np.tile(np.arange(len(LETTERS)), FONTS),
        styles=np.repeat(np.arange(FONTS), len(LETTERS)),
        clusters=np.repeat(np.arange(DESIGNS), SIBLINGS),
        strokes=np.full(FONTS, 0.05, dtype=np.float32),
        advances=np.full(count, 0.5, dtype=np.float32),
        bearings=np.full((count, 2), 0.05, dtype=np.float32),
        style_names=tuple(f"Comb {number}" for number in range(FONTS)),
        licences=("OFL-1.1",) * FONTS,
        report=Report(),
    )


@pytest.fixture(scope="module")
def judge(dataset: Dataset) -> Judge:
    torch.manual_seed(0)
    return Matcher(dataset)


@pytest.fixture(scope="module")
def outlines() -> Outlines:
    letters = [cast(design, 0)[label] for design in range(DESIGNS) for label in range(0, len(LETTERS), 4)]
    return Outlines(measure_outlines(letters), np.tile(np.arange(0, len(LETTERS), 4), DESIGNS))


def figures(
    dataset: Dataset, judge: Judge, outlines: Outlines | None, fonts: tuple[int, int], spoil: Spoil | None = None
) -> Figures:
    shelf = Shelf(dataset, fonts, spoil)
    return evaluate(
        shelf, dataset, ROLES, judge, 6, shelf.fit, outlines=outlines, seed=5, edge_letters=20, fitted_fonts=2, rows=0
    )


@pytest.fixture(scope="module")
def held(dataset: Dataset, judge: Judge, outlines: Outlines) -> Figures:
    return figures(dataset, judge, outlines, HELD)


@pytest.fixture(scope="module")
def known(dataset: Dataset, judge: Judge) -> Figures:
    return figures(dataset, judge, None, TRAIN)


def test_real_fonts_in_a_generator_are_as_good_as_real_fonts(held: Figures) -> None:
    assert held.legibility == pytest.approx(held.judge_real)
    assert held.judge_real_low <= held.judge_real <= held.judge_real_high
    assert held.parts == pytest.approx(held.parts_real)
    assert held.parts > 0.95
    assert held.style_consistency_ratio == pytest.approx(1)
    assert held.script_consistency_ratio == pytest.approx(1)
    assert held.reconstruction_train == held.reconstruction_held == 1
    assert held.coverage == 1
    assert held.train_on_generated > 0.5


def test_unseen_fonts_are_no_copies_and_training_fonts_are(known: Figures, held: Figures) -> None:
    assert (held.copies_drawn, held.copies_held, held.copies_control) == (0, 0, 1)
    assert known.copies_drawn == known.copies == 1
    assert held.nearest_overlap < known.nearest_overlap == 1
    assert known.new_share == 0


def test_psi_1_is_measured_by_itself(held: Figures) -> None:
    assert held.legibility_psi1 < 0.5 < held.legibility


def test_edge_figures_need_outlines(known: Figures, held: Figures) -> None:
    assert known.edge_residual_ratio is known.corner_ratio is None
    assert held.corner_ratio > 0.5
    assert held.edge_residual_ratio > 0


def test_blurred_letters_lose_corners_and_broken_ones_parts(
    dataset: Dataset, judge: Judge, outlines: Outlines, held: Figures
) -> None:
    def cut(fields: Tensor) -> Tensor:
        broken = fields.clone()
        broken[..., 72:75] = -CLAMP
        return broken

    blurred = figures(dataset, judge, outlines, HELD, lambda fields: blur(fields, 2))
    broken = figures(dataset, judge, outlines, HELD, cut)

    assert blurred.field_corner_ratio < 0.5 * held.field_corner_ratio
    assert blurred.field_corner_ratio < blurred.corner_ratio < 0.9 * held.corner_ratio  # tracing gives most back
    assert blurred.parts == pytest.approx(held.parts, abs=0.02)
    assert broken.parts < 0.5 * held.parts
    assert broken.reconstruction_held > 0.85


def test_the_json_holds_the_promised_figures_first_and_no_nan(held: Figures) -> None:
    found = replace(held, density=float("nan")).as_json()

    assert list(found)[: len(PROMISED)] == PROMISED
    assert found["density"] is None
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_outlines_are_kept_as_bytes(outlines: Outlines) -> None:
    again = Outlines.load(outlines.pack())

    assert again.labels.tolist() == outlines.labels.tolist()
    assert again.edges.corner == pytest.approx(outlines.edges.corner, rel=1e-6)


def test_a_dataset_without_held_out_fonts_is_refused(dataset: Dataset, judge: Judge) -> None:
    shelf = Shelf(dataset, TRAIN)

    with pytest.raises(JobError, match="no fonts"):
        evaluate(shelf, dataset, np.repeat(Role.TRAIN, FONTS), judge, 2, shelf.fit)
