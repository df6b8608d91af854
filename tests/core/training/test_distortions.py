"""Distortions: each does what it says, none mirrors, and the seed decides them all."""

from dataclasses import fields as entries

import pytest
import torch

from core.training.distortions import Distortion, distort

SIZE = 64
STILL = Distortion(**{entry.name: 0.0 for entry in entries(Distortion)})


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def box(count: int = 200, half: float = 0.15) -> tuple[torch.Tensor, torch.Tensor]:
    """Fields [count, 1, 64, 64] of an upright bar twice as high as it is wide, and its stroke."""
    centre = (torch.arange(SIZE) + 0.5) / SIZE - 0.5
    field = torch.minimum(2 * half - centre.abs()[:, None], half - centre.abs())
    return field.expand(count, 1, SIZE, SIZE), torch.full((count,), 2 * half)


def ink(fields: torch.Tensor) -> torch.Tensor:
    return (fields > 0).flatten(1).sum(dim=1)


def test_without_any_change_letters_stay_as_they_are() -> None:
    fields, strokes = box(3)

    assert torch.allclose(distort(fields, strokes, generator(), STILL), fields, atol=1e-5)


def test_the_seed_decides_everything() -> None:
    fields, strokes = box(8)
    one, two, other = (distort(fields, strokes, generator(seed), Distortion()) for seed in (1, 1, 2))

    assert torch.equal(one, two)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("limit", ["rotation", "shear", "stretch", "scale", "shift", "bend", "wobble", "thicken"])
def test_each_change_alone_changes_letters_but_not_beyond_its_limit(limit: str) -> None:
    fields, strokes = box()
    amount = getattr(Distortion(), limit)
    how = Distortion(**{entry.name: 0.0 for entry in entries(Distortion)} | {limit: amount, "wobble_share": 1.0})
    off = (distort(fields, strokes, generator(), how) - fields).abs().amax(dim=(1, 2, 3))

    assert (off > 1e-4).float().mean() > 0.3  # only half of all letters grow, the others may shrink
    assert off.max() < 6 * amount  # noise has no limit, but a deviation


def test_strokes_grow_and_shrink_but_none_is_lost() -> None:
    fields, strokes = box(half=0.02)
    how = Distortion(**{entry.name: 0.0 for entry in entries(Distortion)} | {"thicken": 0.014, "thin": 0.3})
    changed = ink(distort(fields, strokes, generator(), how))

    assert changed.min() > 0
    assert changed.min() < ink(fields)[0] < changed.max()


def test_a_hollow_letter_has_ground_where_its_ink_was_deepest() -> None:
    fields, strokes = box(4)
    how = Distortion(**{entry.name: 0.0 for entry in entries(Distortion)} | {"hollow": 1.0})
    hollow = distort(fields, strokes, generator(), how)

    assert (hollow[:, 0, SIZE // 2, SIZE // 2] < 0).all()
    assert (ink(hollow) > 0).all()


def test_only_the_share_asked_for_is_covered_or_coarse() -> None:
    fields, strokes = box(400)
    for share in ("covered", "coarse"):
        how = {entry.name: 0.0 for entry in entries(Distortion)} | {"cover": 0.3, share: 0.4}
        changed = distort(fields, strokes, generator(), Distortion(**how)) - fields
        touched = (changed.abs().amax(dim=(1, 2, 3)) > 1e-3).float().mean()

        assert 0.15 < touched < 0.5


def test_nothing_is_ever_mirrored() -> None:
    """A wedge, thick at the left: its ink stays left of the middle of its box whatever happens."""
    centre = (torch.arange(SIZE) + 0.5) / SIZE - 0.5
    wedge = torch.minimum(0.12 - centre / 2 - centre.abs()[:, None], 0.2 - centre.abs())
    fields, strokes = wedge.expand(300, 1, SIZE, SIZE), torch.full((300,), 0.1)
    how = Distortion(cover=0.0, hollow=0.0)
    mask = distort(fields, strokes, generator(), how)[:, 0] > 0
    columns = mask.sum(dim=1).float()
    mean = (columns * centre).sum(dim=1) / columns.sum(dim=1)
    occupied = columns > 0
    left, right = occupied.float().argmax(dim=1), SIZE - 1 - occupied.flip(1).float().argmax(dim=1)

    assert (mean < (centre[left] + centre[right]) / 2).all()
