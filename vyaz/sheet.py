"""Contact sheets: many variants on one page, drawn with Pillow from the PNGs that the API gives."""

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from core.errors import Invalid
from core.monogram.picture import decode

MOST: Final = 2_000  # pictures on one sheet
SHAPE: Final = 1.3  # width by height that the block of pictures tends to
MARGIN: Final = 1 / 16  # of the width of the page
GUTTER: Final = 0.11  # white between two pictures, as a share of a picture's side

A4: Final = 297 / 25.4  # inches along the longer side of a sheet

PAPER: Final = (250, 249, 246)
CARD: Final = (255, 255, 255)
EDGE: Final = (232, 230, 224)
TITLE: Final = (60, 58, 54)
CAPTION: Final = (150, 146, 138)

# What letters captions can be written with depends on what is installed; Pillow's own font has no Ukrainian ones.
_FACES: Final = (
    ("font_source_sans_pro", "files/SourceSansPro-Regular.ttf"),
    ("font_manrope", "files/Manrope-Regular.ttf"),
    ("font_roboto", "files/Roboto-Regular.ttf"),
)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Picture:
    """One variant's PNG with what its caption says."""

    png: bytes
    letters: str
    index: int


@dataclass(frozen=True)
class Grid:
    """Where everything stands on a page, in pixels."""

    columns: int
    rows: int
    side: int
    """Of one picture."""
    gutter: int
    caption: int
    """Height of the strip under a picture."""
    margin: int
    heading: int
    """Height of the strip above the pictures."""

    @property
    def width(self) -> int:
        """Of the page."""
        return 2 * self.margin + self.columns * self.side + (self.columns - 1) * self.gutter

    @property
    def height(self) -> int:
        """Of the page."""
        block = self.rows * (self.side + self.caption) + (self.rows - 1) * self.gutter
        return 2 * self.margin + self.heading + block

    def corner(self, place: int) -> tuple[int, int]:
        """The upper left corner of the picture at a place, counted along the rows."""
        row, column = divmod(place, self.columns)
        x = self.margin + column * (self.side + self.gutter)
        y = self.margin + self.heading + row * (self.side + self.caption + self.gutter)
        return x, y


def choose(total: int, groups: int, limit: int) -> list[int]:
    """Indices of at most `limit` of a job's items, evenly spaced in each group, group after group.

    Item i belongs to group i modulo `groups`. An even choice from all items could hit the same group every time.
    """
    if groups > limit:
        return _spread(total, limit)
    sizes = [len(range(group, total, groups)) for group in range(groups)]
    shares = _share(sizes, limit)
    return [
        group + groups * item
        for group, (size, share) in enumerate(zip(sizes, shares, strict=True))
        for item in _spread(size, share)
    ]


def choose_from(kept: Sequence[int], groups: int, limit: int) -> list[int]:
    """At most `limit` of the indices of what a job kept, group after group."""
    ordered = sorted(kept, key=lambda index: (index % groups, index))
    return [ordered[place] for place in _spread(len(ordered), limit)]


def arrange(count: int, run: int = 1) -> Grid:
    """The grid for so many pictures: about as wide as a screen, the rows as full as may be, a few pictures not huge.

    Where `run` pictures in a row belong together, a row ends with them if the shape of the page allows.
    """
    if not 1 <= count <= MOST:
        raise Invalid(f"a sheet holds 1 to {MOST:,} pictures, not {count}")
    columns = _columns(count, run)
    rows = math.ceil(count / columns)
    side = min(256, max(72, round(1760 / (columns * (1 + GUTTER)))))
    gutter = max(8, round(side * GUTTER))
    caption = min(24, max(13, round(side * 0.15)))
    width = columns * side + (columns - 1) * gutter
    margin = min(140, max(40, round(width * MARGIN)))
    return Grid(columns, rows, side, gutter, caption, margin, heading=min(100, max(44, round(width * 0.045))))


def draw(pictures: Sequence[Picture], title: str = "", note: str = "") -> Image.Image:
    """Draw the page: `title` above on the left, `note` on the right, each picture with its letters and index below.

    Raises `Invalid` for no pictures, too many, or one that cannot be read.
    """
    grid = arrange(len(pictures), _run(pictures))
    page = Image.new("RGB", (grid.width, grid.height), PAPER)
    pen = ImageDraw.Draw(page)
    _write_heading(pen, grid, title, note)
    size = max(10, min(15, round(grid.caption * 0.62)))
    for place, picture in enumerate(pictures):
        x, y = grid.corner(place)
        page.paste(_fit(picture.png, grid.side), (x, y))
        pen.rectangle((x - 1, y - 1, x + grid.side, y + grid.side), outline=EDGE)
        base = y + grid.side + 3 + size
        letters = _writable(picture.letters)
        pen.text((x, base), letters, CAPTION, _font(size), anchor="ls")
        pen.text((x + grid.side, base), str(picture.index), CAPTION, _font(size), anchor="rs")
    return page


def encode(page: Image.Image, *, pdf: bool = False) -> bytes:
    """The page as PNG, or as a PDF of one page that is as wide as A4 is high."""
    out = BytesIO()
    if pdf:
        page.save(out, "PDF", resolution=page.width / A4, quality=95)
    else:
        page.save(out, "PNG", optimize=True)
    return out.getvalue()


def _spread(count: int, limit: int) -> list[int]:
    """At most `limit` of 0 .. count - 1, evenly spaced, the first and the last among them."""
    if count <= limit:
        return list(range(count))
    if limit < 2:
        return [count // 2] * limit
    return [place * (count - 1) // (limit - 1) for place in range(limit)]


def _share(sizes: Sequence[int], limit: int) -> list[int]:
    """Parts of `limit` for groups of these sizes, as equal as can be."""
    shares = [0] * len(sizes)
    left = min(limit, sum(sizes))
    while left:
        hungry = [group for group, size in enumerate(sizes) if shares[group] < size]
        each = max(1, left // len(hungry))
        for group in hungry[:left]:
            given = min(each, sizes[group] - shares[group], left)
            shares[group] += given
            left -= given
    return shares


def _columns(count: int, run: int) -> int:
    """The number of columns near the wanted shape that fits the runs, and leaves the least of the last row empty."""
    if count <= 4:
        return count
    wanted = math.sqrt(count * SHAPE)
    near = range(max(1, math.floor(wanted * 0.85)), max(1, math.ceil(wanted * 1.2)) + 1)

    def rank(columns: int) -> tuple[bool, float, float]:
        ragged = run % columns != 0 and columns % run != 0
        return ragged, -count % columns / columns, abs(columns - wanted)

    return min(near, key=rank)


def _run(pictures: Sequence[Picture]) -> int:
    """How many pictures of the same letters follow each other, if all such runs are equally long; else 1."""
    runs = {len(list(group)) for _, group in groupby(pictures, key=lambda picture: picture.letters)}
    return runs.pop() if len(runs) == 1 else 1


def _fit(png: bytes, side: int) -> Image.Image:
    """A picture in a square of this side."""
    image = Image.fromarray(decode(png))
    card = Image.new("RGB", (side, side), CARD)
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(size, Image.Resampling.LANCZOS)
    card.paste(small, ((side - size[0]) // 2, (side - size[1]) // 2))
    return card


def _write_heading(pen: ImageDraw.ImageDraw, grid: Grid, title: str, note: str) -> None:
    large, small = max(15, round(grid.heading * 0.42)), max(11, round(grid.heading * 0.25))
    base = grid.margin + grid.heading // 3
    right = grid.width - grid.margin
    room = right - grid.margin
    title = _shorten(_writable(title), _font(large), room)
    pen.text((grid.margin, base), title, TITLE, _font(large), anchor="ls")
    if _font(large).getlength(title) + _font(small).getlength(note) + 2 * large < room:
        pen.text((right, base), _writable(note), CAPTION, _font(small), anchor="rs")


def _shorten(text: str, font: Font, room: float) -> str:
    """The text, with its end left out as far as it is too wide."""
    while text and font.getlength(text) > room:
        text = text[:-2].rstrip() + "…" if len(text) > 2 else ""
    return text


@cache
def _face() -> Path | None:
    """A font file that has all our letters, if one is installed. Nothing of the packages' own code is run."""
    for package, name in _FACES:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            if (Path(folder) / name).is_file():
                return Path(folder) / name
    return None


@cache
def _font(size: int) -> Font:
    face = _face()
    return ImageFont.truetype(str(face), size) if face else ImageFont.load_default(size)


def _writable(text: str) -> str:
    """The text, or nothing where the font at hand would draw boxes."""
    return text if _face() or text.isascii() else ""
