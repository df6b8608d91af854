"""Contact sheets measured on the pixels that are drawn."""

import re
from collections import Counter
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.errors import Invalid
from core.monogram.picture import encode
from vyaz import sheet
from vyaz.sheet import CARD, Grid, Picture, arrange, choose, choose_from, draw

BLACK = (0, 0, 0)


def square(side: int = 256, index: int = 0, letters: str = "AB") -> Picture:
    """A picture that is a black square in the middle of white."""
    pixels = np.full((side, side), 255, np.uint8)
    pixels[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = 0
    return Picture(encode(pixels), letters, index)


def cells(grid: Grid, count: int) -> list[tuple[int, int, int, int]]:
    """Left, top, right and bottom of each picture."""
    corners = [grid.corner(place) for place in range(count)]
    return [(x, y, x + grid.side, y + grid.side) for x, y in corners]


def test_a_sheet_can_be_printed() -> None:
    file = sheet.encode(draw([square()]), pdf=True)
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+)", file)

    assert file.startswith(b"%PDF-")
    assert box is not None
    assert float(box[1]) == pytest.approx(842, abs=1)  # A4's longer side, in points


@given(st.integers(1, sheet.MOST))
def test_every_picture_has_a_place_of_its_own_inside_the_margins(count: int) -> None:
    grid = arrange(count)
    places = cells(grid, count)

    assert grid.columns * (grid.rows - 1) < count <= grid.columns * grid.rows
    assert min(left for left, *_ in places) == grid.margin
    assert max(right for _, _, right, _ in places) <= grid.width - grid.margin
    assert min(top for _, top, _, _ in places) == grid.margin + grid.heading
    assert max(bottom for *_, bottom in places) == grid.height - grid.margin - grid.caption
    lefts, tops = sorted({left for left, *_ in places}), sorted({top for _, top, *_ in places})
    assert set(np.diff(lefts)) <= {grid.side + grid.gutter}
    assert set(np.diff(tops)) <= {grid.side + grid.caption + grid.gutter}


@given(st.integers(1, sheet.MOST))
def test_a_sheet_is_neither_a_strip_nor_larger_than_a_screen_can_show(count: int) -> None:
    grid = arrange(count)

    assert 72 <= grid.side <= 256
    assert grid.width <= 5500
    assert grid.height <= 5500
    if count > 4:
        assert 0.6 < grid.width / grid.height < 2.2
        assert grid.columns * grid.rows - count < max(3, 0.1 * count)


@pytest.mark.parametrize("count", [1, 2, 5, 80, 500])
def test_the_pictures_are_drawn_where_the_grid_says(count: int) -> None:
    grid = arrange(count)
    page = draw([square(index=index) for index in range(count)], "AB", "two words")

    assert page.size == (grid.width, grid.height)
    for left, top, right, bottom in cells(grid, count):
        assert page.getpixel(((left + right) // 2, (top + bottom) // 2)) == BLACK
        assert page.getpixel((left + 2, top + 2)) == page.getpixel((right - 3, bottom - 3)) == CARD
    shade = np.asarray(page.convert("L"))
    assert (shade[:, : grid.margin - 1] > 240).all()
    assert (shade[:, -grid.margin + 1 :] > 240).all()


def test_rows_end_where_other_letters_begin_if_the_shape_allows() -> None:
    for groups, each in ((2, 40), (12, 10), (5, 8), (3, 7), (20, 25)):
        columns = arrange(groups * each, each).columns
        assert each % columns == 0 or columns % each == 0
        pictures = [square(letters=str(group)) for group in range(groups) for _ in range(each)]
        assert draw(pictures).width == arrange(groups * each, each).width
    assert arrange(7 * 41, 41) == arrange(7 * 41)  # a prime number of columns would be a strip


def test_captions_say_letters_and_index_quietly_below_each_picture() -> None:
    grid = arrange(12)
    page = np.asarray(draw([square(index=1000 + index, letters="ЇЖ") for index in range(12)]).convert("L"))
    for left, _, right, bottom in cells(grid, 12):
        strip = page[bottom + 2 : bottom + grid.caption, left:right]
        written = np.flatnonzero((strip < 200).any(axis=0))
        assert written.min() < 4  # letters from the left edge on
        assert written.max() > grid.side - 4  # the index up to the right one
        assert strip.min() > 100  # grey
        assert (strip < 200).mean() < 0.1


def test_ukrainian_captions_are_letters_and_not_boxes() -> None:
    def caption(letters: str) -> bytes:
        grid = arrange(1)
        ((left, _, _, bottom),) = cells(grid, 1)
        strip = (left, bottom + 2, left + grid.side // 2, bottom + grid.caption)
        return draw([square(letters=letters)]).crop(strip).tobytes()

    assert len({caption(letters) for letters in ("ЇЖ", "ЄЩ", "ҐЮ", "AB", "")}) == 5


def test_pictures_of_any_size_fill_their_place() -> None:
    for side in (16, 64, 1000):
        page = draw([square(side)])
        ((left, top, right, bottom),) = cells(arrange(1), 1)
        ink = np.asarray(page.convert("L"))[top:bottom, left:right] < 128
        assert ink.mean() == pytest.approx(0.25, abs=0.02)


def test_a_long_title_stays_on_the_page() -> None:
    grid = arrange(4)
    page = np.asarray(draw([square()] * 4, " · ".join(["ЖЩ"] * 200), "4 of 4").convert("L"))

    assert (page[: grid.margin + grid.heading - 1, grid.width - grid.margin + 1 :] > 240).all()
    assert (page[: grid.margin + grid.heading - 1] < 128).any()


@pytest.mark.parametrize("count", [0, sheet.MOST + 1])
def test_no_sheet_without_pictures_or_with_too_many(count: int) -> None:
    with pytest.raises(Invalid, match=r"1 to 2,000 pictures"):
        arrange(count)


def test_something_that_is_no_picture_is_refused() -> None:
    with pytest.raises(Invalid, match="no picture"):
        draw([Picture(b"GIF89a", "AB", 0)])


def test_a_sheet_can_be_read_again() -> None:
    with Image.open(BytesIO(sheet.encode(draw([square()])))) as image:
        assert image.format == "PNG"
        assert image.size == (arrange(1).width, arrange(1).height)


@given(st.integers(0, 5000), st.integers(1, 60), st.integers(1, 200))
def test_a_choice_is_even_among_groups_and_within_them(total: int, groups: int, limit: int) -> None:
    chosen = choose(total, groups, limit)

    assert len(chosen) == len(set(chosen)) == min(total, limit)
    assert all(0 <= index < total for index in chosen)
    if groups <= limit:
        sizes = Counter(index % groups for index in chosen)
        whole = Counter(index % groups for index in range(total))
        short = [size for group, size in sizes.items() if size < whole[group]]
        assert not short or max(sizes.values()) - min(short) <= 1
        for group, size in sizes.items():
            gaps = np.diff([index // groups for index in chosen if index % groups == group])
            assert size < 2 or gaps.max() - gaps.min() <= 1


def test_a_choice_of_two_groups_shows_both_one_after_the_other() -> None:
    chosen = choose(500, 2, 8)

    assert chosen == [0, 166, 332, 498, 1, 167, 333, 499]


def test_what_a_job_kept_is_shown_group_after_group_and_evenly() -> None:
    assert choose_from([9, 4, 3, 8, 1], groups=2, limit=80) == [4, 8, 1, 3, 9]
    assert choose_from(list(range(0, 1000, 10)), groups=1, limit=3) == [0, 490, 990]
