"""Frames: letters set upright and to one width, and back again."""

import torch

from core.networks import frames
from core.training.datasets import archive
from tests.core.training.foundry import make_dataset

DATASET = make_dataset()
FIELDS = torch.from_numpy(DATASET.fields).unsqueeze(1).float() / 127
INK = FIELDS > 0


def overlap(one: torch.Tensor, two: torch.Tensor) -> float:
    return float(((one > 0) & (two > 0)).sum() / ((one > 0) | (two > 0)).sum())


def frame(slant: float, middle: float, stretch: float) -> torch.Tensor:
    return torch.tensor([[slant, middle, stretch]]).repeat(len(FIELDS), 1)


def test_the_frame_of_an_upright_letter_in_the_middle_changes_nothing() -> None:
    assert torch.allclose(frames.enter(FIELDS, frame(0, 0.5, 1), archive.SIZE), FIELDS, atol=1e-5)


def test_what_enters_a_frame_comes_out_of_it_as_it_was() -> None:
    leaning = frame(0.2, 0.48, 1.15)
    framed = frames.enter(FIELDS, leaning, archive.SIZE)
    assert overlap(framed, FIELDS) < 0.9
    assert overlap(frames.leave(framed, leaning), FIELDS) > 0.99


def test_leaving_leans_to_the_right_above_the_middle() -> None:
    drawn = frames.leave(FIELDS, frame(0.2, 0.5, 1))
    row = torch.arange(archive.SIZE) / archive.SIZE
    place = (drawn[:, 0] > 0).float() * row
    middle = place.sum(2) / (drawn[:, 0] > 0).sum(2).clamp(min=1)
    top, bottom = middle[:, round(0.3 * archive.SIZE)], middle[:, round(0.7 * archive.SIZE)]
    assert torch.allclose(top - bottom, torch.full_like(top, 0.2 * 0.4), atol=0.02)


def test_a_stretch_widens_and_the_middle_moves() -> None:
    drawn = frames.leave(FIELDS, frame(0, 0.55, 1.2))
    columns = torch.arange(archive.SIZE)

    def ends(fields: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        there = (fields[:, 0] > 0).any(dim=1)
        first = torch.where(there, columns, 999).amin(1)
        return first, torch.where(there, columns, -1).amax(1)

    before, after = ends(FIELDS), ends(drawn)
    widths = (after[1] - after[0] + 1) / (before[1] - before[0] + 1)
    assert torch.allclose(widths, torch.full_like(widths, 1.2), atol=0.04)
    shift = (sum(after) - sum(before)) / 2
    assert torch.allclose(shift.float(), torch.full_like(widths, 0.05 * archive.SIZE), atol=1.01)
