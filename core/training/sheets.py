"""What a model draws, on one white page for a designer's eye: alphabets, an interpolation, large letters.

Letters are set by the width of their ink, as type is, on one baseline and at one size throughout a page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from core.alphabet import BASELINE, CAP_HEIGHT, LATIN, LETTERS, UKRAINIAN, position
from core.monogram.render import clean, outline_all, render
from core.networks.families import Generator
from core.training.datasets.archive import CLAMP, Dataset

STYLES: Final = 10
LARGE: Final = "RЖSЩQЄ8ЇGД"  # one of each style
BETWEEN: Final = "RЖS"
BAND: Final = (0.14, 0.86)  # of their canvas that these stand in
STEPS: Final = 10  # of the interpolation, both ends among them
COMPARED: Final = "AEHMNORSVБГДЖИЛЩЯ58"  # letters by which the nearest font is found
SAMPLE: Final = "RSЖ8"  # letters that are shown of it

SIDE: Final = 512  # pixels of a large letter's canvas
MARGIN: Final = 100
WIDTH: Final = 5 * SIDE
BESIDE: Final = 270  # pixels on the right that the nearest font takes
NUMBER: Final = 40  # pixels on the left that a style's number takes
LARGEST: Final = 84  # pixels of a row's canvas
LEADING: Final = 1.35  # of a row's canvas
GAP: Final = 0.2  # cap heights between two letters
PAIR: Final = 120  # pixels of a letter's canvas where originals stand above what was redrawn
PAIRS: Final = 16  # in a row

INK: Final = 34
CAPTION: Final = 140
_LATENT: Final = 100
_COARSE: Final = 32  # cells by which fonts are compared
_LEAST_SHARED: Final = 5  # letters

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Near:
    """The style of a dataset that is most like a drawn one."""

    style: int
    overlap: float


@torch.inference_mode()
def draw(generator: Generator, dataset: Dataset | None, title: str, seed: int) -> bytes:
    """Return the PNG of a model's page, the same for the same seed; with a dataset, each style beside its nearest font.

    Raise `JobError` if the dataset is of another version of Vyaz.
    """
    noise = torch.Generator().manual_seed(seed)
    w = generator.styles(torch.randn(STYLES, _LATENT, generator=noise).to(_device(generator)))
    alphabets = [_draw_letters(generator, style, LETTERS) for style in w]
    page = _Page(WIDTH)
    page.head(title, f"{STYLES} styles drawn by lot, seed {seed}, psi {generator.psi:g}")
    _add_alphabets(page, alphabets, dataset)
    page.caption("From style 1 to style 2")
    shares = torch.linspace(0, 1, STEPS, device=w.device)
    between = [torch.lerp(w[0], w[1], share) for share in shares]
    for letter in BETWEEN:
        cells = torch.cat([_draw_letters(generator, style, letter) for style in between])
        strip = _join(rasterise(cells, WIDTH // STEPS))
        page.row(strip[round(BAND[0] * len(strip)) : round(BAND[1] * len(strip))])
    page.caption("Letters at 512 pixels, of style 1 to style 10")
    large = [alphabet[position(letter), None] for alphabet, letter in zip(alphabets, LARGE, strict=True)]
    for first in range(0, STYLES, WIDTH // SIDE):
        page.row(_join(rasterise(torch.cat(large[first : first + WIDTH // SIDE]), SIDE)))
    return page.encode()


@torch.inference_mode()
def draw_pairs(originals: Tensor, drawn: Tensor, letters: str, overlaps: Sequence[float]) -> bytes:
    """Return a PNG of letters [n, 1, H, H] above the same letters redrawn [n, 1, h, h], with each one's overlap."""
    page = _Page(PAIR * min(PAIRS, max(6, len(letters))))  # as wide as the note at least
    mean = sum(overlaps) / len(overlaps)
    page.head("", f"Original above, redrawn below; mean IoU {mean:.3f} of {len(letters)}")
    above, below = rasterise(originals.cpu(), PAIR), rasterise(drawn.cpu(), PAIR)
    for first in range(0, len(letters), PAIRS):
        some = slice(first, first + PAIRS)
        page.row(_join(above[some]))
        page.row(_join(below[some]))
        page.notes([f"{overlap:.2f}" for overlap in overlaps[some]], PAIR)
    return page.encode()


def rasterise(fields: Tensor, size: int) -> Pixels:
    """Return fields [N, 1, h, h] as grey values [N, size, size], cleaned and traced as variants are."""
    outlines = outline_all(clean(fields.float()).cpu())
    return np.stack([render([outline], size) for outline in outlines])


def find_nearest(fields: Tensor, dataset: Dataset) -> Near | None:
    """Find the style of a dataset whose letters overlap most with fields [69, 1, h, h], by mean IoU of some letters.

    None if no style has enough of these letters.
    """
    own = F.interpolate(fields.float(), size=(_COARSE, _COARSE), mode="bilinear")[:, 0].flatten(1) > 0
    step = dataset.fields.shape[-1] // _COARSE
    total = torch.zeros(len(dataset.style_names))
    shared = torch.zeros(len(dataset.style_names))
    for letter in COMPARED:
        rows = np.flatnonzero(dataset.labels == position(letter))
        coarse = dataset.fields[rows, step // 2 :: step, step // 2 :: step]
        other = torch.from_numpy(np.ascontiguousarray(coarse)).flatten(1) > 0
        ink = own[position(letter)].cpu()
        overlap = (other & ink).sum(1) / (other | ink).sum(1).clamp(min=1)
        styles = torch.from_numpy(dataset.styles[rows])
        total.index_add_(0, styles, overlap)
        shared.index_add_(0, styles, torch.ones(len(rows)))
    mean = torch.where(shared >= _LEAST_SHARED, total / shared.clamp(min=1), -1.0)
    best = int(mean.argmax())
    return Near(best, float(mean[best])) if mean[best] >= 0 else None


def set_line(letters: Pixels, size: int, gaps: Sequence[int] = ()) -> Pixels:
    """Set letters [N, size, size] side by side by their ink; a wider gap stands before the places in `gaps`."""
    space = round(GAP * CAP_HEIGHT * size)
    parts: list[Pixels] = []
    for place, letter in enumerate(letters):
        columns = np.flatnonzero((letter < 128).any(axis=0))
        if place:
            parts.append(np.full((size, 5 * space if place in gaps else space), 255, np.uint8))
        parts.append(letter[:, max(0, columns[0] - 1) : columns[-1] + 2] if len(columns) else letter[:, :space])
    return np.concatenate(parts, axis=1)


class _Page:
    """White paper that grows downwards."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._strips: list[Image.Image] = []

    def head(self, title: str, note: str) -> None:
        """Begin with a title and a note under it."""
        if title:
            self._write([(0, title)], 44, 52, INK)
        self._write([(0, note)], 22, 46, CAPTION)

    def caption(self, text: str) -> None:
        """Name what follows."""
        self._write([(0, text)], 22, 96, CAPTION)

    def notes(self, texts: Sequence[str], step: int) -> None:
        """Write a small note under each of a row's cells."""
        self._write([(place * step + step // 2 - 12, text) for place, text in enumerate(texts)], 14, 34, CAPTION)

    def row(self, pixels: Pixels) -> None:
        """Add a strip of pixels."""
        strip = Image.new("L", (self._width, len(pixels)), 255)
        strip.paste(Image.fromarray(pixels), (0, 0))
        self._strips.append(strip)

    def style(self, line: Pixels, number: int, font: tuple[Pixels, str] | None) -> None:
        """Add a style's line with its number before it; at the end the nearest font, its name below."""
        strip = Image.new("L", (self._width, round(LEADING * len(line))), 255)
        pen = ImageDraw.Draw(strip)
        baseline = round(BASELINE * len(line))
        pen.text((0, baseline), str(number), CAPTION, _font(18), anchor="ls")
        strip.paste(Image.fromarray(line), (NUMBER, 0))
        if font is not None:
            sample, name = font
            strip.paste(Image.fromarray(sample[:, :BESIDE]), (self._width - BESIDE, 0))
            below = baseline + round(CAP_HEIGHT * len(line) * 0.7)
            pen.text((self._width - BESIDE, below), _shorten(name, 15, BESIDE), CAPTION, _font(15), anchor="ls")
        self._strips.append(strip)

    def encode(self) -> bytes:
        """Return the page as PNG."""
        height = sum(strip.height for strip in self._strips)
        page = Image.new("L", (self._width + 2 * MARGIN, height + 2 * MARGIN), 255)
        y = MARGIN
        for strip in self._strips:
            page.paste(strip, (MARGIN, y))
            y += strip.height
        out = BytesIO()
        page.save(out, "PNG")
        return out.getvalue()

    def _write(self, texts: Sequence[tuple[int, str]], size: int, height: int, shade: int) -> None:
        strip = Image.new("L", (self._width, height), 255)
        pen = ImageDraw.Draw(strip)
        for x, text in texts:
            pen.text((x, height - size // 2), text, shade, _font(size), anchor="ls")
        self._strips.append(strip)


def _add_alphabets(page: _Page, alphabets: Sequence[Tensor], dataset: Dataset | None) -> None:
    """Add each style's letters as one row, all at the size at which the widest still fits."""
    beside = BESIDE if dataset is not None else 0
    page.caption("Alphabets" + (", and the nearest font of the training data on the right" if beside else ""))
    breaks = (len(LATIN), len(LATIN + UKRAINIAN))
    drawn = [rasterise(alphabet, LARGEST) for alphabet in alphabets]
    widest = max(set_line(letters, LARGEST, breaks).shape[1] for letters in drawn)
    size = min(LARGEST, int(LARGEST * (WIDTH - NUMBER - (beside + 90 if beside else 0)) / widest))
    for number, alphabet in enumerate(alphabets, start=1):
        line = set_line(rasterise(alphabet, size), size, breaks)
        near = find_nearest(alphabet, dataset) if dataset is not None else None
        told = _show_font(dataset, near, size) if dataset is not None and near is not None else None
        page.style(line[:, : WIDTH - NUMBER - beside], number, told)


def _show_font(dataset: Dataset, near: Near, size: int) -> tuple[Pixels, str]:
    """Return some letters of a font, those that it has, and its name with the overlap."""
    wanted = [position(letter) for letter in SAMPLE]
    rows = np.flatnonzero((dataset.styles == near.style) & np.isin(dataset.labels, wanted))
    fields = torch.from_numpy(dataset.fields[rows]).float().mul(CLAMP / 127).unsqueeze(1)
    sample = set_line(rasterise(fields, size), size) if len(rows) else np.full((size, 1), 255, np.uint8)
    return sample, f"{near.overlap:.2f}  {dataset.style_names[near.style]}"


def _draw_letters(generator: Generator, style: Tensor, letters: str) -> Tensor:
    """Return fields [n, 1, h, h] of letters in one style [W]."""
    labels = torch.tensor([position(letter) for letter in letters], device=style.device)
    return generator.draw(style.expand(len(labels), -1), labels).float()


def _join(cells: Pixels) -> Pixels:
    return np.concatenate(list(cells), axis=1)


def _shorten(text: str, size: int, width: int) -> str:
    """Cut a text to so many pixels; signs that the font lacks are left to it."""
    font = _font(size)
    while font.getlength(text) > width:
        text = text.removesuffix("...")[:-1] + "..."
    return text


def _device(generator: Generator) -> torch.device:
    return next(iter(generator.parameters())).device if isinstance(generator, torch.nn.Module) else torch.device("cpu")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
