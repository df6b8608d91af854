"""The algebra of fields: properties, not code."""

from collections.abc import Callable

import pytest
import torch
from scipy import ndimage
from torch import Tensor

from core.monogram import field

Shape = Callable[..., Tensor]
IDENTITY = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(125))


def test_union_and_intersection_commute_and_difference_cuts() -> None:
    a, b = noise(2, 1, 9, 9), noise(3, 2, 1, 9, 9)[1]

    assert torch.equal(field.union(a, b), field.union(b, a))
    assert torch.equal(field.intersection(a, b), field.intersection(b, a))
    assert torch.equal(field.union(a, b) > 0, (a > 0) | (b > 0))
    assert torch.equal(field.intersection(a, b) > 0, (a > 0) & (b > 0))
    assert torch.equal(field.difference(a, b) > 0, (a > 0) & (b < 0))


def test_offset_moves_an_edge_by_as_much(disc: Shape) -> None:
    grown = field.offset(disc(radius=0.2), 0.1)

    assert torch.allclose(grown, disc(radius=0.3), atol=1e-6)


def test_a_true_distance_rises_by_one_cell_a_cell(disc: Shape) -> None:
    circle = disc().view(1, 1, 112, 112)
    rise = field.slope(circle) * 112
    near = circle.abs() < 0.1

    assert (rise[near] - 1).abs().max() < 0.01


def test_sampling_by_the_identity_changes_nothing() -> None:
    drawn = noise(1, 1, 16, 16)

    assert torch.allclose(field.sample(drawn, IDENTITY, 16), drawn, atol=1e-6)


def test_sampling_leads_from_the_new_canvas_to_the_old(disc: Shape) -> None:
    moved = torch.tensor([[[0.5, 0, 0.5], [0, 1, 0]]])  # the old right half, drawn twice as wide
    drawn = field.sample(disc(x=0.75, y=0.5, radius=0.1).view(1, 1, 112, 112), moved, 112)
    rows, columns = torch.nonzero(drawn[0, 0] > 0).T

    assert columns.float().mean() == pytest.approx(55.5, abs=0.6)
    assert rows.float().mean() == pytest.approx(55.5, abs=0.6)
    assert columns.max() - columns.min() == pytest.approx(0.4 * 112, abs=2)
    assert rows.max() - rows.min() == pytest.approx(0.2 * 112, abs=2)


def test_refining_keeps_a_straight_edge_where_it_is() -> None:
    ramp = ((torch.arange(28) + 0.5) / 28 - 0.4).expand(28, 28).reshape(1, 1, 28, 28)
    fine = field.refine(ramp, 4)
    truth = (torch.arange(112) + 0.5) / 112 - 0.4

    assert fine.shape == (1, 1, 112, 112)
    assert torch.allclose(fine[0, 0, 50, 8:-8], truth[8:-8], atol=1e-6)
    assert torch.allclose(fine[0, 0, 50], fine[0, 0, 3], atol=1e-6)


def test_refining_takes_the_noise_of_a_network_off_an_edge(disc: Shape) -> None:
    coarse = disc(size=28).view(1, 1, 28, 28)
    rough = coarse + 0.01 * noise(1, 1, 28, 28)
    truth = disc(size=112)
    error = (field.refine(rough, 4)[0, 0] - truth)[truth.abs() < 0.05]
    plain = (rough - coarse)[coarse.abs() < 0.05]

    assert error.std() < 0.7 * plain.std()


def test_nothing_sealed_reaches_the_border() -> None:
    sealed = field.seal(torch.ones(1, 1, 50, 50), 0.1)

    assert (sealed[0, 0, 5:-5, 5:-5] > 0).all()
    assert (sealed > 0).sum() == 40 * 40


def test_parts_are_those_of_an_independent_labelling() -> None:
    masks = noise(6, 1, 28, 28) > 0.3
    labels = field.connected_parts(masks)
    for mask, label in zip(masks[:, 0], labels[:, 0], strict=True):
        truth, count = ndimage.label(mask.numpy(), structure=[[1] * 3] * 3)
        pairs = set(zip(label.flatten().tolist(), truth.flatten().tolist(), strict=True))

        assert len(pairs) == len({pair[0] for pair in pairs}) == len({pair[1] for pair in pairs}) == count + 1


def test_a_winding_stroke_is_one_part() -> None:
    mask = torch.zeros(1, 1, 28, 28, dtype=torch.bool)
    mask[..., ::2, :] = True
    for row in range(1, 27, 2):
        mask[..., row, 0 if row % 4 == 1 else 27] = True

    assert field.connected_parts(mask)[mask].unique().numel() == 1


def test_parts_do_not_depend_on_neighbours() -> None:
    masks = noise(5, 1, 28, 28) > 0.2

    assert torch.equal(field.connected_parts(masks)[3:4], field.connected_parts(masks[3:4]))


def test_specks_go_and_dots_stay(box: Shape) -> None:
    stem, dot, speck = box(0.4, 0.3, 0.6, 0.9), box(0.4, 0.05, 0.6, 0.2), box(0.05, 0.45, 0.08, 0.48)
    glyph = field.union(field.union(stem, dot), speck).view(1, 1, 112, 112)
    clean = field.drop_specks(glyph, 4)

    assert (speck > 0).any()
    assert not (clean[0, 0][speck > 0] > 0).any()
    assert torch.equal(clean[0, 0] > 0, (stem > 0) | (dot > 0))


def test_empty_and_full_fields_have_no_specks() -> None:
    for value in (-1.0, 1.0):
        plain = torch.full((1, 1, 28, 28), value)

        assert torch.equal(field.drop_specks(plain, 4), plain)


def test_a_fine_field_is_drawn_finer_through_its_own_values() -> None:
    cells = (torch.arange(128) + 0.5) / 128
    ramp = (cells[None, :] - 0.5).expand(1, 1, 128, 128) * 0.1
    fine = field.resolve(ramp)
    truth = ((torch.arange(256) + 0.5) / 256 - 0.5) * 0.1
    assert fine.shape == (1, 1, 256, 256)
    assert torch.allclose(fine[0, 0, :, 4:-4], truth[4:-4].expand(256, -1), atol=1e-6)


def test_a_corner_of_a_fine_field_stays_sharper_than_the_spline_leaves_it() -> None:
    cells = (torch.arange(128) + 0.5) / 128
    corner = torch.minimum(cells[:, None] - 0.3, cells[None, :] - 0.3).view(1, 1, 128, 128)
    points = (torch.arange(256) + 0.5) / 256
    truth = torch.minimum(points[:, None] - 0.3, points[None, :] - 0.3)
    zone = slice(64, 90)
    kept, smoothed = (
        float((fine[0, 0, zone, zone] - truth[zone, zone]).abs().max())
        for fine in (field.resolve(corner), field.refine(corner, 2))
    )
    assert kept < 0.7 * smoothed


def test_a_coarse_field_is_smoothed_four_times_as_fine() -> None:
    rough = torch.randn(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert torch.equal(field.resolve(rough), field.refine(rough, 4))


def test_a_letter_grows_the_same_whatever_grows_beside_it() -> None:
    lot = torch.Generator().manual_seed(4)
    fields = torch.nn.functional.interpolate(torch.randn(6, 1, 9, 9, generator=lot), 96, mode="bicubic") / 20
    amounts = torch.tensor([[0.0, 0.0], [0.011, 0.002], [0.002, 0.017], [-0.01, 0.01], [0.05, 0.0], [0.004, 0.003]])
    alone = [field.grow(fields[at : at + 1], amounts[at : at + 1]) for at in range(6)]

    assert torch.equal(field.grow(fields, amounts), torch.cat(alone))
