"""Font files opened with suspicion: what is refused, what is masked, where letters stand."""

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont

from core.alphabet import BASELINE, CAP_HEIGHT, LATIN, LETTERS
from core.errors import Invalid
from core.training.datasets import faces
from core.training.datasets.fonts import _installed
from tests.core.training.foundry import box, frame, make_font


def instance(path: Path) -> faces.Instance:
    (only,) = faces.instances(faces.open_face(path.read_bytes()))
    return only


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "too short"),
        (b"%PDF-1.7" + bytes(100), "not a TTF"),
        (b"ttcf" + bytes(100), "a collection"),
        (b"\x00\x01\x00\x00" + struct.pack(">HHHH", 0, 0, 0, 0) + bytes(100), "0 tables"),
        (b"\x00\x01\x00\x00" + struct.pack(">HHHH", 60, 0, 0, 0) + bytes(100), "table directory"),
        (b"wOF2" + struct.pack(">4xIHHI", 1000, 9, 0, 3 << 30) + bytes(100), "unpacks to more"),
        (b"wOFF" + struct.pack(">4xIHHI", 1000, 900, 0, 1000) + bytes(100), "900 tables"),
        (bytes(faces.MAX_BYTES + 1), "larger than"),
    ],
)
def test_structure_is_refused_before_a_table_is_read(data: bytes, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        faces.open_face(data)


def test_a_font_cut_off_anywhere_in_its_tables_is_refused(tmp_path: Path) -> None:
    data = make_font(tmp_path / "font.ttf").read_bytes()

    for part in (0.2, 0.5, 0.9):
        with pytest.raises(Invalid, match="cut off inside a table"):
            faces.open_face(data[: int(len(data) * part)])


def test_baseline_and_cap_line_are_at_their_rows_whatever_the_units(tmp_path: Path) -> None:
    letters = {letter.sign: letter for letter in instance(make_font(tmp_path / "font.ttf")).letters}
    rows = letters["H"].segments[:, 1::2]

    assert rows.max() == pytest.approx(BASELINE)
    assert rows.min() == pytest.approx(BASELINE - CAP_HEIGHT)


def test_a_letter_is_centred_by_its_advance_and_keeps_its_bearings(tmp_path: Path) -> None:
    wide = TTGlyphPen(None)
    box(wide, 0, 0, 400, 700)
    font = make_font(tmp_path / "font.ttf", glyphs={"A": wide.glyph()}, widths={"A": 700})
    letter = next(letter for letter in instance(font).letters if letter.sign == "A")
    scale = CAP_HEIGHT / 700

    assert letter.advance == pytest.approx(800 * scale)
    assert letter.bearings == pytest.approx((50 * scale, 350 * scale), abs=60 * scale)
    assert letter.segments[:, 0::2].min() == pytest.approx(0.5 - 400 * scale + letter.bearings[0])


def test_missing_letters_boxes_copies_and_misfits_are_masked_by_reason(tmp_path: Path) -> None:
    signs = LATIN + "ЖА"
    huge = TTGlyphPen(None)
    box(huge, 0, 0, 500, 4000)
    font = make_font(
        tmp_path / "font.ttf",
        signs,
        glyphs={"B": frame(300, 60), "C": huge.glyph(), "D": TTGlyphPen(None).glyph()},
        mapped={"F": "u0045", "А": "u0041", "Z": ".notdef"},
    )
    found = instance(font)

    assert {reason: letters for reason, letters in found.masked.items() if reason != "missing"} == {
        "box": "B",
        "misfit": "C",
        "empty": "D",
        "copy": "F",
    }
    assert set(found.masked["missing"]) == set(LETTERS) - set(signs) | {"Z"}
    assert "А" in {letter.sign for letter in found.letters}  # a look-alike may share its outline


def test_a_font_without_a_flat_capital_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="flat capital"):
        instance(make_font(tmp_path / "font.ttf", "ABC"))


def test_contours_of_off_curve_points_alone_are_drawn(tmp_path: Path) -> None:
    round_letter = TTGlyphPen(None)
    round_letter.qCurveTo((50, 0), (50, 700), (750, 700), (750, 0), None)
    round_letter.closePath()
    font = make_font(tmp_path / "font.ttf", glyphs={"O": round_letter.glyph()}, widths={"O": 700})
    letter = next(letter for letter in instance(font).letters if letter.sign == "O")

    assert len(letter.segments) > 40
    ends, starts = letter.segments[:, 2:], np.roll(letter.segments[:, :2], -1, axis=0)
    assert np.allclose(ends, starts)


def test_a_variable_font_gives_several_weights_of_all_sixty_nine_letters() -> None:
    (root,) = (root for root in _installed() if root.name == "font_manrope")
    found = list(faces.instances(faces.open_face((root / "files/Manrope-VariableFont_wght.ttf").read_bytes())))
    ink = [np.ptp(style.letters[0].segments[:, 0::2]) for style in found]

    assert [style.name.split()[-1] for style in found] == ["wght=300", "wght=450", "wght=650", "wght=800"]
    assert all(len(style.letters) == len(LETTERS) for style in found)
    assert ink == sorted(ink)


def test_woff2_and_cff_are_read_like_ttf(tmp_path: Path) -> None:
    font = TTFont(make_font(tmp_path / "font.ttf"))
    font.flavor = "woff2"
    packed = BytesIO()
    font.save(packed)
    (found,) = faces.instances(faces.open_face(packed.getvalue()))
    (root,) = (root for root in _installed() if root.name == "font_source_serif_pro")
    (cff,) = faces.instances(faces.open_face((root / "files/SourceSerifPro-Regular.otf").read_bytes()))

    assert len(found.letters) == len(LATIN)
    assert len(cff.letters) == len(LETTERS)
