"""What holds whatever the shapes: sums of ink, under every operation that moves it about."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.monogram import field
from core.monogram.outline import Outline, bounds, move, rasterise
from core.monogram.shapes import difference, grow, intersection, union
from core.monogram.trace import trace
from core.monogram.weave import weave
from tests.core.monogram.test_shapes import box, disc, ink

# Places and sizes a little off round numbers: edges that coincide are another matter, and tested by themselves.
places = st.floats(0.25, 0.75).map(lambda value: round(value, 4) + 1.7e-5)
radii = st.floats(0.05, 0.2).map(lambda value: round(value, 4) + 2.3e-5)
discs = st.builds(disc, places, places, radii)
boxes = st.builds(lambda x, y, w, h: box(x - w, y - h, x + w, y + h), places, places, radii, radii)
shapes = st.one_of(discs, boxes)
few = settings(max_examples=40, deadline=None, derandomize=True)  # the same ones each time


@few
@given(shapes, shapes)
def test_union_and_intersection_do_not_depend_on_order_and_add_up(one: Outline, other: Outline) -> None:
    both = ink(union([one, other]))

    assert both == pytest.approx(ink(union([other, one])), abs=1e-6)
    assert ink(intersection(one, other)) == pytest.approx(ink(intersection(other, one)), abs=1e-6)
    assert both + ink(intersection(one, other)) == pytest.approx(ink(one) + ink(other), abs=2e-5)
    assert ink(difference(one, other)) == pytest.approx(both - ink(other), abs=2e-5)


@few
@given(st.integers(0, 2**31), st.integers(0, 2**31))
def test_fields_join_and_meet_in_any_order(first: int, second: int) -> None:
    a, b = (torch.randn(1, 1, 9, 9, generator=torch.Generator().manual_seed(seed)) for seed in (first, second))

    assert torch.equal(field.union(a, b), field.union(b, a))
    assert torch.equal(field.intersection(a, b), field.intersection(b, a))
    assert torch.equal(field.union(field.intersection(a, b), field.difference(a, b)) > 0, a > 0)


@few
@given(st.lists(shapes, min_size=1, max_size=4), st.sampled_from([16, 61, 256]))
def test_the_area_of_contours_is_that_of_their_pixels(several: list[Outline], size: int) -> None:
    shape = union(several)

    assert rasterise(shape, size).sum() / 255 / size**2 == pytest.approx(ink(shape), abs=1.5e-3)


@few
@given(shapes, st.floats(0.2, 3.0), st.floats(-0.5, 0.5), st.booleans())
def test_what_is_moved_keeps_its_ink_by_the_scale(shape: Outline, scale: float, lean: float, mirrored: bool) -> None:
    matrix = np.array([[-scale if mirrored else scale, lean, 0.1], [0.0, scale, -0.2]])

    assert ink(move(shape, matrix)) == pytest.approx(ink(shape) / scale**2, rel=1e-6)


@few
@given(shapes, st.floats(0.003, 0.03))
def test_what_grows_holds_what_it_was_and_reaches_as_far(shape: Outline, amount: float) -> None:
    grown = grow(shape, amount)
    (low, high), (least, most) = bounds([shape]), bounds([grown])

    assert ink(difference(shape, grown)) < 1e-5
    assert (low - least).tolist() == pytest.approx([amount] * 2, abs=5e-4)
    assert (most - high).tolist() == pytest.approx([amount] * 2, abs=5e-4)


@few
@given(places, places, st.floats(0.12, 0.24))
def test_a_traced_disc_has_the_area_of_the_disc(x: float, y: float, radius: float) -> None:
    centre = (np.arange(128) + 0.5) / 128
    distance = radius - np.hypot(centre[None, :] - x, centre[:, None] - y)

    assert ink(trace(torch.from_numpy(distance))) == pytest.approx(np.pi * radius**2, rel=4e-3)


@few
@given(
    places.filter(lambda x: 0.35 < x < 0.65),
    places.filter(lambda y: 0.35 < y < 0.65),
    st.floats(0.04, 0.11),
    st.floats(0.04, 0.11),
    st.floats(0.012, 0.03),
    st.sampled_from([0, 1]),
)
def test_a_weave_keeps_all_ink_but_what_is_hidden_and_the_gaps(
    x: float, y: float, thick: float, thin: float, gap: float, top: int
) -> None:
    letters = (box(0.05, y - thick / 2, 0.95, y + thick / 2), box(x - thin / 2, 0.05, x + thin / 2, 0.95))
    found = weave(letters, gap, top, 0.0)
    assert found is not None
    above, below = (thin, thick) if top == 1 else (thick, thin)

    lost = below * (above + 2 * gap)
    assert sum(map(ink, found.letters)) == pytest.approx(sum(map(ink, letters)) - lost, abs=2e-5)
    assert not intersection(*found.letters).contours
