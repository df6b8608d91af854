"""Files for a workshop, read again by others than those that wrote them; and what can be made."""

import json
import math
import re
import zlib
from io import BytesIO, StringIO
from xml.etree import ElementTree

import dxfgrabber
import numpy as np
import pypdfium2
import pytest
import resvg_py
from fontTools.pens.areaPen import AreaPen
from fontTools.svgLib.path import parse_path
from PIL import Image

from core.monogram.composition import Drawing
from core.monogram.export.files import Origin, write
from core.monogram.export.makeable import Limits, measure, repair
from core.monogram.export.page import Page
from core.monogram.outline import Outline, rasterise
from core.monogram.picture import decode, digest
from core.monogram.render import render
from core.monogram.shapes import area, difference
from core.registry import Format
from tests.core.monogram.test_shapes import box, disc

RING = difference(disc(0.5, 0.5, 0.45), disc(0.5, 0.5, 0.4))
DRAWING = Drawing((box(0.3, 0.3, 0.36, 0.7), disc(0.6, 0.5, 0.1)), (0.06, 0.06), frames=(RING,))
ORIGIN = Origin({"letters": "ІО", "seed": 7}, 4, "ab" * 32)
SVG = "{http://www.w3.org/2000/svg}"
# What outlines come to: a change of a letter of it is a change of every file that leaves us.
GOLDEN = {
    "M15 15h3v20h-3z": box(0.3, 0.3, 0.36, 0.7),
    "M10.25 12.5h5.25v2.005h-5.25z": box(0.205, 0.25, 0.31, 0.2901),
    "M35 25c0 2.761-2.239 5-5 5c-2.761 0-5-2.239-5-5c0-2.761 2.239-5 5-5c2.761 0 5 2.239 5 5z": disc(0.6, 0.5, 0.1),
}


def ink(shape: Outline) -> float:
    return sum(map(area, shape.contours))


@pytest.mark.parametrize("form", list(Format))
def test_the_same_drawing_gives_the_same_bytes(form: Format) -> None:
    assert write(form, DRAWING, Page(), ORIGIN) == write(form, DRAWING, Page(), ORIGIN)


@pytest.mark.parametrize(("path", "shape"), GOLDEN.items())
def test_paths_are_spelled_as_ever(path: str, shape: Outline) -> None:
    svg = write(Format.SVG, Drawing((shape,), (0.1,)), Page(), ORIGIN).decode()

    assert f'd="{path}"' in svg


def test_an_svg_has_a_path_for_each_letter_and_rule_in_millimetres() -> None:
    root = ElementTree.fromstring(write(Format.SVG, DRAWING, Page(side=80), ORIGIN))
    paths = {path.get("id"): path.get("d") or "" for path in root.iter(f"{SVG}path")}
    areas = {}
    for name, text in paths.items():
        pen = AreaPen()
        parse_path(text, pen)
        areas[name] = abs(pen.value)

    assert (root.get("width"), root.get("viewBox")) == ("80mm", "0 0 80 80")
    assert list(paths) == ["letter-1", "letter-2", "frame-1"]
    for name, piece in zip(paths, DRAWING.pieces, strict=True):
        assert areas[name] == pytest.approx(ink(piece) * 6400, rel=2e-3)


def test_a_transparent_svg_has_no_ground_and_colours_are_kept() -> None:
    svg = write(Format.SVG, DRAWING, Page(ground=None, ink="#112233"), ORIGIN).decode()

    assert "<rect" not in svg
    assert 'fill="#112233"' in svg


def test_a_png_says_what_it_was_made_of_and_has_the_pixels_of_the_catalogue() -> None:
    png = write(Format.PNG, DRAWING, Page(pixels=256), ORIGIN)
    with Image.open(BytesIO(png)) as image:
        said = json.loads(image.text["Vyaz"])

    assert digest(decode(png)) == digest(render(DRAWING.pieces, 256))
    assert said["recipe"] == {"letters": "ІО", "seed": 7}
    assert said["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert (said["engine"], said["weights"]) == (4, "ab" * 32)


@pytest.mark.parametrize("pixels", [16, 4096])
def test_a_png_has_any_size(pixels: int) -> None:
    with Image.open(BytesIO(write(Format.PNG, DRAWING, Page(pixels=pixels), ORIGIN))) as image:
        share = 1 - np.asarray(image).mean() / 255

    assert share == pytest.approx(sum(map(ink, DRAWING.pieces)), rel=0.01)


def test_a_png_may_be_coloured_or_transparent() -> None:
    with Image.open(BytesIO(write(Format.PNG, DRAWING, Page(ink="#ff0000", ground="#0000ff"), ORIGIN))) as image:
        assert image.getpixel((330, 512)) == (255, 0, 0)
        assert image.getpixel((512, 300)) == (0, 0, 255)
    with Image.open(BytesIO(write(Format.PNG, DRAWING, Page(ink="#ff0000", ground=None), ORIGIN))) as image:
        assert image.getpixel((330, 512)) == (255, 0, 0, 255)
        assert image.getpixel((512, 300))[3] == 0


def test_a_pdf_is_a_page_of_the_size_with_all_curves() -> None:
    data = write(Format.PDF, DRAWING, Page(side=50), ORIGIN)
    size = re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", data)
    drawn = b"".join(zlib.decompress(each) for each in re.findall(rb"stream\r?\n(x.*?)\r?\nendstream", data, re.DOTALL))

    assert size is not None
    assert [float(number) for number in size.groups()] == pytest.approx([50 / 25.4 * 72] * 2, abs=0.01)
    assert len(re.findall(rb" c\b", drawn)) == sum(piece.nodes for piece in DRAWING.pieces)


def test_other_programs_draw_what_stands_in_the_catalogue() -> None:
    """An SVG drawn by resvg and a PDF drawn by PDFium, against the pixels of the variant."""
    svg = write(Format.SVG, DRAWING, Page(side=50), ORIGIN).decode()
    page = pypdfium2.PdfDocument(write(Format.PDF, DRAWING, Page(side=50), ORIGIN))[0]
    ours = render(DRAWING.pieces, 512).astype(float)
    theirs = (
        Image.open(BytesIO(resvg_py.svg_to_bytes(svg_string=svg, width=512, dpi=96, background="#ffffff"))),
        page.render(scale=512 / page.get_width()).to_pil(),
    )

    for image in theirs:
        assert image.size == (512, 512)
        assert np.abs(np.asarray(image.convert("L")) - ours).mean() < 0.6  # of 255: edges, grey by grey
    assert np.abs(np.roll(ours, 1, axis=1) - ours).mean() > 1.2  # what a shift by one pixel would be


def test_a_dxf_has_closed_polylines_on_a_layer_each() -> None:
    drawing = dxfgrabber.read(StringIO(write(Format.DXF, DRAWING, Page(side=50), ORIGIN).decode()))
    areas: dict[str, float] = {}
    for line in drawing.entities:
        x, y = np.array([point[:2] for point in line.points]).T
        twice = (np.roll(x, 1) * y - x * np.roll(y, 1)).sum()
        areas[line.layer] = (
            areas.get(line.layer, 0) - twice / 2
        )  # y points up: what ran clockwise now runs the other way

    assert {line.dxftype for line in drawing.entities} == {"LWPOLYLINE"}
    assert all(line.is_closed for line in drawing.entities)
    assert drawing.header["$INSUNITS"] == 4  # millimetres
    assert {name: round(value / 2500, 3) for name, value in areas.items()} == {
        name: round(ink(piece), 3)
        for name, piece in zip(("letter-1", "letter-2", "frame-1"), DRAWING.pieces, strict=True)
    }


@pytest.mark.parametrize("width", [0.02, 0.05, 0.09])
def test_the_thinnest_stroke_is_measured_in_millimetres(width: float) -> None:
    found = measure(Drawing((box(0.2, 0.2, 0.2 + width, 0.8), box(0.5, 0.2, 0.8, 0.8)), (width,)), 50)

    assert found.stroke == pytest.approx(50 * width, abs=0.2)


@pytest.mark.parametrize("width", [0.01, 0.03])
def test_the_narrowest_gap_is_measured_in_millimetres(width: float) -> None:
    found = measure(Drawing((box(0.2, 0.2, 0.4, 0.8), box(0.4 + width, 0.2, 0.6, 0.8)), (0.2,)), 50)

    assert found.gap == pytest.approx(50 * width, abs=0.2)


def test_corners_are_no_thin_strokes() -> None:
    corners = np.array([(0.5, 0.2), (0.8, 0.75), (0.2, 0.75)])  # a triangle of 60 degrees
    triangle = Outline(
        (np.stack([np.linspace(a, b, 4) for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)]),)
    )

    assert measure(Drawing((triangle,), (0.3,)), 50).stroke > 5


@pytest.mark.parametrize(("side", "stitchable"), [(50, True), (20, False), (10, False)])
def test_what_is_too_fine_or_too_small_cannot_be_stitched(side: float, stitchable: bool) -> None:
    fine = Drawing((box(0.2, 0.2, 0.24, 0.8), box(0.4, 0.2, 0.7, 0.5)), (0.04, 0.3))  # 2 mm and 15 mm of 50
    found = measure(fine, side)

    assert found.letter == pytest.approx(0.3 * side)
    assert found.stitchable is stitchable
    assert not measure(Drawing((box(0.2, 0.2, 0.3, 0.3),), (0.1,)), 50).stitchable  # 5 mm thick, and 5 mm high


def test_strokes_are_thickened_until_they_can_be_made() -> None:
    thin = Drawing((box(0.3, 0.2, 0.31, 0.8), box(0.6, 0.2, 0.66, 0.8)), (0.01, 0.06))
    mended, found = repair(thin, 50, Limits(stroke=1.2))

    assert found.within(Limits(stroke=1.2))
    assert found.stroke < 1.6
    assert mended.stems[0] == pytest.approx(0.01 + (found.stroke / 50 - 0.01), abs=0.006)


def test_a_drawing_whose_gaps_would_close_stays_as_it_was() -> None:
    tight = Drawing((box(0.3, 0.2, 0.31, 0.8), box(0.325, 0.2, 0.335, 0.8)), (0.01, 0.01))
    same, found = repair(tight, 50, Limits(stroke=1.2))

    assert same is tight
    assert not found.within(Limits(stroke=1.2))


def test_a_circle_keeps_its_roundness_in_every_file() -> None:
    pixels = rasterise(disc(0.5, 0.5, 0.3), 512)

    assert pixels.sum() / 255 / 512**2 == pytest.approx(math.pi * 0.09, rel=1e-3)
