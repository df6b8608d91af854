"""Tesseract as a voice: what is set, what counts as read, and that broken letters are read worse than whole ones."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from core.alphabet import LETTERS, position, script
from core.errors import EnvironmentFault
from core.training.metrics import reading
from core.training.metrics.reading import (
    BORDER,
    CANVAS,
    CAP_PIXELS,
    Row,
    choose_rows,
    cut_all,
    edits,
    fit_bearings,
    merge,
    read_rows,
    read_styles,
    set_row,
)

SIZE = 128
# Bars (left, top, right, bottom) of a letter two units wide and high.
BARS = {
    "H": [(0, 0, 0.4, 2), (1.3, 0, 1.7, 2), (0, 0.8, 1.7, 1.2)],
    "L": [(0, 0, 0.4, 2), (0, 1.6, 1.3, 2)],
    "T": [(0.6, 0, 1.0, 2), (0, 0, 1.6, 0.36)],
    "E": [(0, 0, 0.4, 2), (0, 0, 1.3, 0.36), (0, 0.8, 1.2, 1.16), (0, 1.64, 1.3, 2)],
    "F": [(0, 0, 0.4, 2), (0, 0, 1.3, 0.36), (0, 0.84, 1.2, 1.2)],
}
BEARINGS = np.full((len(BARS), 2), 0.04, dtype=np.float32)

needs_tesseract = pytest.mark.skipif(
    shutil.which("tesseract") is None or not reading._languages("tesseract").issuperset({"eng", "ukr"}),
    reason="Tesseract with eng and ukr is an optional program",
)


def letter(bars: list[tuple[float, float, float, float]]) -> torch.Tensor:
    """A field [1, 1, 128, 128] whose capitals stand on the baseline and are 0.52 high."""
    centre = (torch.arange(SIZE) + 0.5) / SIZE
    boxes = []
    for left, top, right, bottom in bars:
        x0, x1 = 0.28 + 0.26 * left, 0.28 + 0.26 * right
        y0, y1 = 0.24 + 0.26 * top, 0.24 + 0.26 * bottom
        across = torch.minimum(centre - x0, x1 - centre)
        down = torch.minimum(centre - y0, y1 - centre)
        boxes.append(torch.minimum(across, down[:, None]))
    return torch.stack(boxes).amax(dim=0)[None, None].clamp(-1 / 16, 1 / 16)


FIELDS = torch.cat([letter(bars) for bars in BARS.values()])
LABELS = np.array([position(sign) for sign in BARS])


def set_letters(fields: torch.Tensor, letters: tuple[int, ...], bearings: np.ndarray) -> np.ndarray:
    row = Row("latin", letters)
    return set_row(cut_all(fields, [row]), row, bearings)


def test_a_row_is_set_with_capitals_of_48_pixels_between_bearings() -> None:
    bearings = BEARINGS + np.array([0.06, -0.02], dtype=np.float32)  # left 0.1, right 0.02
    page = set_letters(FIELDS, (0, 1), bearings)
    dark = page < 128
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    gap = np.diff(columns).max() - 1

    assert rows[-1] - rows[0] + 1 == pytest.approx(CAP_PIXELS, abs=1)
    assert gap == pytest.approx(0.12 * CANVAS, abs=2)
    assert columns[0] == pytest.approx(BORDER + 0.1 * CANVAS, abs=1.5)
    assert (page[0] == 255).all()
    assert (page[:, -BORDER // 2 :] == 255).all()


def test_a_letter_without_ink_and_one_that_reaches_over_its_neighbour_can_be_set() -> None:
    fields = torch.cat([FIELDS, torch.full((1, 1, SIZE, SIZE), -1 / 16)])
    loose = np.full((len(fields), 2), 0.04, dtype=np.float32)

    assert set_letters(fields, (5, 0, 5), loose).min() == 0
    assert set_letters(fields, (5, 5), loose).min() == 255
    assert set_letters(fields, (0, 1, 2, 5), loose - 0.24).min() == 0


def test_each_letter_keeps_its_own_bearings() -> None:
    uneven = BEARINGS.copy()
    uneven[1] = 0.2
    tight, loose = (set_letters(FIELDS, (0, 1, 0), bearings) for bearings in (BEARINGS, uneven))

    assert loose.shape[1] - tight.shape[1] == pytest.approx(0.32 * CANVAS, abs=2)


def test_bearings_are_medians_of_each_letter_and_of_all_where_it_is_missing() -> None:
    labels = np.array([0, 0, 0, 5])
    found = fit_bearings(labels, np.array([[1, 4], [2, 5], [9, 6], [3, 3]], dtype=np.float32))

    assert found[0].tolist() == [2, 5]
    assert found[5].tolist() == [3, 3]
    assert found[7].tolist() == [2.5, 4.5]


def test_rows_keep_to_one_style_and_one_script() -> None:
    labels = np.tile(np.arange(len(LETTERS)), 3)
    styles = np.repeat(np.arange(3), len(LETTERS))
    keep = (styles != 1) | (labels < 26)  # style 1 is Latin only
    labels, styles = labels[keep], styles[keep]
    rows = choose_rows(labels, styles)

    assert len(rows) == 200
    assert {len(row.letters) for row in rows} == {8, 9, 10, 11, 12}
    for row in rows:
        assert {script(LETTERS[labels[place]]) for place in row.letters} == {row.script}
        assert len({styles[place] for place in row.letters}) == 1
    cyrillic = [row for row in rows if row.script == "cyrillic"]
    assert {int(styles[row.letters[0]]) for row in cyrillic} == {0, 2}
    assert len(cyrillic) == pytest.approx(200 * 33 / 69, abs=25)
    assert choose_rows(labels, styles) == rows
    assert choose_rows(labels, styles, seed=1) != rows


def test_without_letters_there_is_no_row_and_no_figure() -> None:
    assert choose_rows(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)) == []
    assert read_rows(FIELDS, LABELS, [], BEARINGS) is None


def test_look_alikes_count_as_one_and_unknown_signs_as_mistakes() -> None:
    assert merge("абс o0\n") == merge("AБC ОО") == "AБCOO"
    assert merge("A|ы") == "A??"


@pytest.mark.parametrize(
    ("one", "other", "wanted"), [("", "", 0), ("ABC", "", 3), ("", "AB", 2), ("ABC", "AXC", 1), ("ABCD", "BCDE", 2)]
)
def test_edits_are_inserted_deleted_or_replaced_signs(one: str, other: str, wanted: int) -> None:
    assert edits(one, other) == edits(other, one) == wanted


def test_without_the_program_there_is_no_figure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert read_rows(FIELDS, LABELS, [Row("latin", (0, 1))], BEARINGS) is None


@pytest.mark.parametrize("script_text", ["exit 1", "printf 'List:\\neng\\nukr\\n'"])
def test_a_program_that_fails_or_reads_too_little_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script_text: str
) -> None:
    program = tmp_path / "tesseract"
    program.write_text(f"#!/bin/sh\n{script_text}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EnvironmentFault, match="tesseract"):
        read_rows(FIELDS, LABELS, [Row("latin", (0, 1)), Row("latin", (2, 3))], BEARINGS)


@needs_tesseract
def test_whole_letters_are_read_and_broken_ones_are_not() -> None:
    random = np.random.default_rng(1)
    rows = [Row("latin", tuple(random.integers(len(BARS), size=9).tolist())) for _ in range(6)]
    whole = read_rows(FIELDS, LABELS, rows, BEARINGS)
    torn = FIELDS.clone()
    torn[:, :, ::8] = torn[:, :, 1::8] = torn[:, :, 2::8] = -1 / 16
    torn[:, :, :, ::9] = torn[:, :, :, 1::9] = -1 / 16
    broken = read_rows(torn, LABELS, rows, BEARINGS)

    assert whole is not None
    assert broken is not None
    assert whole.error < 0.2
    assert broken.error > whole.error + 0.2
    assert len(whole.texts) == 6


@needs_tesseract
def test_of_a_style_only_the_letters_that_are_set_are_asked_for() -> None:
    fields, asked = torch.cat([FIELDS] * 4), []
    labels, styles = np.arange(20), np.zeros(20, dtype=np.int64)
    bearings = np.random.default_rng(0).uniform(0.02, 0.1, (20, 2)).astype(np.float32)

    def fetch(places: np.ndarray) -> torch.Tensor:
        asked.extend(places.tolist())
        return fields[torch.from_numpy(places)]

    rows = choose_rows(labels, styles, seed=3, count=2)
    found = read_styles(labels, styles, bearings, fetch, seed=3, count=2)

    assert asked == sorted({place for row in rows for place in row.letters})
    assert len(asked) < 20
    assert found == read_rows(fields, labels, rows, bearings)
    assert read_styles(labels[:3], styles[:3], bearings[:3], fetch, seed=3, count=2) is None
