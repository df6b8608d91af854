"""Traced outlines: against shapes of known corners and curves, and against real letters."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from core.monogram.outline import Outline, crossings, flatten, rasterise, svg_path
from core.monogram.trace import trace, trace_all
from core.training.datasets import faces
from core.training.datasets.archive import CLAMP
from core.training.datasets.outlines import measure
from core.training.metrics import edges

Floats = NDArray[np.float64]

SQUARE = [(0.2, 0.3), (0.8, 0.3), (0.8, 0.7), (0.2, 0.7)]


def draw(*polygons: list[tuple[float, float]], size: int = 128) -> Floats:
    segments = [np.hstack([np.array(points), np.roll(points, -1, axis=0)]) for points in polygons]
    return np.clip(measure(np.concatenate(segments), size, CLAMP), -CLAMP, CLAMP)


def disc(radius: float, size: int = 128) -> Floats:
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    return np.asarray(radius - np.hypot(x - 0.5, y - 0.5))


def wobble(size: int, cells: float) -> Floats:
    noise = gaussian_filter(np.random.default_rng(125).standard_normal((size, size)), 2.0)
    return np.asarray(noise / noise.std() * cells / np.sqrt(2) / size)


def nodes(outline: Outline) -> Floats:
    return np.concatenate([contour[:, 0] for contour in outline.contours])


def cross(a: Floats, b: Floats) -> Floats:
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def area(contour: Floats) -> float:
    return float(cross(contour[:, 0], np.roll(contour[:, 0], -1, axis=0)).sum() / 2)


def turns(outline: Outline) -> Floats:
    """The sines of the turns at the nodes."""
    found = []
    for contour in outline.contours:
        leave, arrive = contour[:, 1] - contour[:, 0], np.roll(contour[:, 3] - contour[:, 2], 1, axis=0)
        found.append(cross(arrive, leave) / np.linalg.norm(arrive, axis=1) / np.linalg.norm(leave, axis=1))
    return np.concatenate(found)


@cache
def read_letters(module: str) -> dict[str, Floats]:
    spec = find_spec(module)
    assert spec is not None
    places = [Path(place) for place in spec.submodule_search_locations or ()]
    font = min(path for place in places for path in place.rglob("*Regular.[to]tf"))
    instance = next(faces.instances(faces.open_face(font.read_bytes())))
    return {letter.sign: letter.segments for letter in instance.letters if letter.sign in "BEGKMOQRSWX258"}


def letters() -> list[Floats]:
    return [
        segments for module in ("font_source_serif_pro", "font_roboto") for segments in read_letters(module).values()
    ]


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("turn", [0.0, 10.0, 33.0])
def test_a_square_has_four_corners_where_they_belong(size: int, turn: float) -> None:
    angle = np.deg2rad(turn)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = (np.array(SQUARE) - 0.5) @ rotation + 0.5
    found = nodes(trace(draw([(x, y) for x, y in corners], size=size)))
    gap, owner = cKDTree(found).query(corners)

    assert len(found) == 4
    assert sorted(owner) == [0, 1, 2, 3]
    assert gap.max() < 0.05 / size


@pytest.mark.parametrize("turn", [50, 90, 120, 150])
def test_a_corner_of_any_turn_is_restored(turn: int) -> None:
    half = np.deg2rad(180 - turn) / 2
    tip = (0.5, 0.3)
    base = [(0.5 + side * 0.5 * np.sin(half), 0.3 + 0.5 * np.cos(half)) for side in (1, -1)]
    found = nodes(trace(draw([tip, *base])))

    assert np.linalg.norm(found - np.array(tip), axis=1).min() < 0.25 / 128


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("lean", [0.0, 0.2])
def test_the_end_of_a_thin_stroke_keeps_both_corners(size: int, lean: float) -> None:
    stroke = [(0.4 + lean, 0.2), (0.42 + lean, 0.2), (0.42, 0.8), (0.4, 0.8)]
    found = nodes(trace(draw(stroke, size=size)))

    assert len(found) == 4
    assert cKDTree(found).query(np.array(stroke))[0].max() < 0.3 / size


@pytest.mark.parametrize("radius", [0.02, 0.05, 0.3])
def test_a_disc_has_no_corners(radius: float) -> None:
    outline = trace(disc(radius))

    assert 4 <= outline.nodes <= 8
    assert np.abs(turns(outline)).max() < 1e-6
    assert np.abs(np.linalg.norm(flatten(outline)[0] - 0.5, axis=1) - radius).max() < 0.15 / 128


def test_extrema_are_nodes() -> None:
    found = nodes(trace(disc(0.3)))
    extremes = np.array([(0.2, 0.5), (0.8, 0.5), (0.5, 0.2), (0.5, 0.8)])

    assert cKDTree(found).query(extremes)[0].max() < 0.5 / 128
    assert [*found.min(axis=0), *found.max(axis=0)] == pytest.approx([0.2, 0.2, 0.8, 0.8], abs=0.02 / 128)


def test_an_edge_all_but_upright_is_made_upright() -> None:
    (contour,) = trace(draw([(0.2, 0.3), (0.8, 0.302), (0.802, 0.7), (0.2, 0.7)])).contours
    side = contour[:, 3] - contour[:, 0]

    assert (np.abs(side).min(axis=1) < 0.002).all()
    assert (np.abs(contour[:, 1] - contour[:, 0] - side / 3) < 1e-12).all()


def test_holes_run_the_other_way() -> None:
    field = np.minimum(disc(0.3), -disc(0.15))
    hole, outer = sorted(trace(field).contours, key=area)

    assert area(hole) == pytest.approx(-(0.15**2) * 2, rel=0.2)  # of the square between four nodes
    assert area(outer) == pytest.approx(0.3**2 * 2, rel=0.2)


def test_noise_makes_neither_corners_nor_bent_stems() -> None:
    square = trace(draw(SQUARE) + wobble(128, 0.15))
    round_ = trace(disc(0.3) + wobble(128, 0.15))

    assert square.nodes <= 8
    assert 3 <= (np.abs(turns(square)) > 0.1).sum() <= 4
    assert np.abs(turns(round_)).max() < 1e-6


@pytest.mark.parametrize(("size", "least", "corner"), [(64, 0.98, 0.9), (128, 0.99, 0.95)])
def test_real_letters_come_back(size: int, least: float, corner: float) -> None:
    overlaps, sharp, real = [], [], []
    for segments in letters():
        outline = trace(measure(segments, size, CLAMP))
        got, truth = rasterise(outline, 512) >= 128, measure(segments, 512, 0.01) > 0
        overlaps.append((got & truth).sum() / (got | truth).sum())
        sharp.append(edges.measure_contours(flatten(outline))[2])
        real.append(edges.measure_contours(edges.chain(segments))[2])

        assert len(crossings(outline)) == 0

    assert np.mean(overlaps) > least
    assert corner < np.mean(sharp) / np.mean(real) < 1.1


def test_real_letters_take_few_nodes() -> None:
    count = [trace(measure(segments, 128, CLAMP)).nodes for segments in letters()]

    assert np.mean(count) < 30


def test_a_line_of_field_cells_between_two_letters_makes_no_crossing() -> None:
    near = draw([(0.2, 0.2), (0.497, 0.5), (0.2, 0.8)], [(0.8, 0.2), (0.503, 0.5), (0.8, 0.8)], size=64)

    assert len(crossings(trace(near))) == 0


def test_crossings_are_found() -> None:
    bow = np.array([(0.2, 0.2), (0.8, 0.8), (0.8, 0.2), (0.2, 0.8)])
    sides = [np.linspace(a, b, 4) for a, b in zip(bow, np.roll(bow, -1, axis=0), strict=True)]

    assert crossings(Outline((np.stack(sides),))) == pytest.approx(np.array([[0.5, 0.5]]))


@pytest.mark.parametrize("smooth", [1.0, 1.5, 3.0])
def test_any_field_gives_closed_contours_that_do_not_cross(smooth: float) -> None:
    random = np.random.default_rng(125)
    for _ in range(3):
        outline = trace(gaussian_filter(random.standard_normal((48, 48)), smooth) * 0.02)

        assert len(crossings(outline)) == 0
        for contour in outline.contours:
            assert np.isfinite(contour).all()
            assert np.array_equal(contour[:, 3], np.roll(contour[:, 0], -1, axis=0))


def test_ground_alone_has_no_contours() -> None:
    outline = trace(np.full((64, 64), -0.1))

    assert outline.contours == ()
    assert svg_path(outline) == ""
    assert not rasterise(outline, 16).any()


def test_ink_ends_at_the_border_of_the_canvas() -> None:
    outline = trace(np.full((64, 64), 0.05))

    assert (rasterise(outline, 64)[1:-1, 1:-1] == 255).all()
    assert nodes(outline).min() == pytest.approx(0, abs=1e-9)


def test_a_tensor_is_traced_like_an_array() -> None:
    field = disc(0.3, 64).astype(np.float32)

    assert svg_path(trace(torch.from_numpy(field))) == svg_path(trace(field))


def test_pixels_hold_the_area_of_the_outline() -> None:
    outline = trace(disc(0.3))
    pixels = rasterise(outline, 100)

    assert pixels.sum() / 255 / 100**2 == pytest.approx(np.pi * 0.3**2, rel=2e-3)
    assert rasterise(trace(draw(SQUARE)), 10)[3:7, 2:8].min() > 250
    assert len(np.unique(pixels)) > 20


def test_the_path_keeps_its_straight_edges_and_closes() -> None:
    path = svg_path(trace(draw(SQUARE)), size=100, digits=0)
    element = ElementTree.fromstring(f'<path d="{path}"/>')

    assert path.count("M") == path.count("z") == 1
    assert sum(path.count(sign) for sign in "hv") == 3
    assert "c" not in element.attrib["d"]


def test_a_letter_is_traced_alike_in_any_company() -> None:
    fields = np.stack([measure(segments, 128, CLAMP) for segments in letters()] + [np.full((128, 128), -0.1)])
    alone = [trace(field) for field in fields]
    for start in (0, 1):  # at other places of the batch, and beside others
        together = trace_all(fields[start::2])
        for one, other in zip(alone[start::2], together, strict=True):
            assert len(one.contours) == len(other.contours)
            assert all(np.array_equal(a, b) for a, b in zip(one.contours, other.contours, strict=True))
