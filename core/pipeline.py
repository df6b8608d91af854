"""A range of items -> recipes -> fields -> pixels -> a tar and its catalogue rows.

Every step runs on a whole aligned block: item i always stands in row i % BLOCK, and rows that no item fills are
padding. So shapes and places never change, and with them neither do the pixels of an item, however its job is cut and
whoever its neighbours are. One block is drawn by one thread, several blocks by several: inside an operation, threads
change the order of sums (the same matrix product differed by one bit between 1, 2 and 3 threads), and scale worse.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Generator as Steps
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.catalogue.rows import VariantRow
from core.errors import ItemError
from core.monogram import field
from core.monogram.layouts import single, straight
from core.monogram.optics import Glyphs, transform
from core.monogram.picture import digest, encode
from core.monogram.render import render
from core.networks.mlp import Generator
from core.recipe import BLOCK, ENGINE, GenerateSpec, Recipe, Recipes, draw
from core.registry import Layout
from core.storage.blobs import Blobs
from core.storage.shards import ShardWriter

T = TypeVar("T")

PLACE: Final[Mapping[Layout, Callable[[Glyphs], Tensor]]] = {
    Layout.SINGLE: single.place,
    Layout.STRAIGHT: straight.place,
}

_CANVAS_PIXELS: Final = 4 * 256 * 256  # drawn at a time: what a processor's cache takes
_FINE: Final = 4  # times as fine as the network's grid
_SPECK: Final = 4  # percent of a letter's ink
_BORDER: Final = 0.01  # of a glyph's canvas that stays ground


@dataclass(frozen=True, slots=True)
class Made:
    """One finished variant, not yet stored."""

    index: int
    letters: str
    layout: Layout
    png: bytes
    digest: bytes  # SHA-256 of size, mode and pixels
    ink: float  # share of the canvas, 0 to 1
    meta: dict[str, Any]  # what its shard says of it


@dataclass(frozen=True, slots=True)
class Generated:
    """A stored shard, made as far as `upto`; its rows and the items that cannot be made fill [start, upto)."""

    upto: int
    rows: list[VariantRow]
    failures: list[ItemError]
    key: str
    size: int  # bytes of the tar
    sha256: str  # of the tar, hexadecimal


def generate(
    composer: "Composer", start: int, stop: int, blobs: Blobs, key: str, report: Callable[[int], bool]
) -> Generated:
    """Make items [start, stop) and store them as one tar under `key`.

    `report` is told after each block how far the work has come; where it answers False, the shard ends there.
    Nothing stands under the key before everything does; `EnvironmentFault` if the store fails.
    """
    upto, rows, failures = start, [], []
    with ShardWriter(composer.manifest(start)) as writer, closing(_compose_ahead(composer, start, stop)) as blocks:
        for upto, items in blocks:
            for item in items:
                if isinstance(item, ItemError):
                    failures.append(item)
                else:
                    rows.append(_add(writer, item))
            if not report(upto):
                break
        size, sha256 = writer.store(blobs, key)
    return Generated(upto, rows, failures, key, size, sha256)


class Composer:
    """Makes the variants of one job with one set of weights on one device; what it makes depends on nothing else."""

    def __init__(
        self, spec: GenerateSpec, seed: int, weights: Mapping[str, NDArray[Any]], meta: Mapping[str, str], device: str
    ) -> None:
        """Load the network; raise `JobError` if the weights are not of its shape."""
        self.spec = spec
        self.seed = seed
        self._device = torch.device(device)
        self._weights = meta.get("sha256", "")
        self._network = Generator.load(weights, meta).to(self._device).eval()
        self._places = max(len(letters) for letters in spec.letters)
        self._layouts = sorted({spec.layout_of(letters) for letters in spec.letters})

    def manifest(self, start: int) -> dict[str, object]:
        """Say what a shard from this item on is made of: nothing in it varies by attempt."""
        return {
            "engine": ENGINE,
            "seed": self.seed,
            "spec": self.spec.model_dump(mode="json"),
            "start": start,
            "weights": self._weights,
        }

    def block(self, start: int, stop: int) -> list[Made]:
        """Make items [start, stop); raise the `ItemError` of the first that cannot be made."""
        made = []
        with closing(_compose_ahead(self, start, stop)) as blocks:
            for _, items in blocks:
                for item in items:
                    if isinstance(item, ItemError):
                        raise item
                    made.append(item)
        return made

    @torch.inference_mode()
    def compose(self, start: int, stop: int) -> list[Made | ItemError]:
        """Make items [start, stop), all of one aligned block, on the calling thread."""
        recipes = draw(self.spec, self.seed, start, stop)
        rows = slice(start % BLOCK, start % BLOCK + stop - start)
        fields, glyphs = self._glyphs(recipes, rows)
        faults = _faults(recipes, fields[rows], glyphs.field[rows])
        pixels = self._render(rows, glyphs, self._place(recipes, rows, glyphs))
        return [
            ItemError(index, fault) if fault else _pack(recipes.recipe(index), picture)
            for index, fault, picture in zip(range(start, stop), faults, pixels, strict=True)
        ]

    def _glyphs(self, recipes: Recipes, rows: slice) -> tuple[Tensor, Glyphs]:
        """Return the network's fields [BLOCK, L, h, w] and the glyphs made of them."""
        positions = self._pad(recipes.positions()[:, : self._places], rows, -1)
        style = self._pad(recipes.style, rows, 0)
        letters = positions.clamp(min=0)
        calls = [self._network.to_field(self._network(style, letters[:, place])) for place in range(self._places)]
        fields = torch.stack([call.squeeze(1).float() for call in calls], dim=1)
        present = positions >= 0
        flat = torch.where(present[..., None, None], fields, -1.0).flatten(0, 1).unsqueeze(1)
        fine = field.seal(field.refine(field.drop_specks(flat, _SPECK), _FINE), _BORDER)
        turns = [
            self._pad(each[:, : self._places], rows, 0) for each in (recipes.rotation, recipes.stretch, recipes.shear)
        ]
        return fields, Glyphs(fine.view(BLOCK, self._places, *fine.shape[-2:]), present, transform(*turns))

    def _place(self, recipes: Recipes, rows: slice, glyphs: Glyphs) -> Tensor:
        """Return matrices [BLOCK, L, 2, 3] from canvas to glyph, each variant's by its own layout."""
        layouts = [self._layouts.index(recipes.layout(index)) for index in range(recipes.start, recipes.stop)]
        which = self._pad(np.array(layouts, dtype=np.int64), rows, 0)
        placed = torch.stack([PLACE[layout](glyphs) for layout in self._layouts])
        return placed[which, torch.arange(BLOCK, device=self._device)]

    def _render(self, rows: slice, glyphs: Glyphs, matrix: Tensor) -> NDArray[np.uint8]:
        """Return the pixels of these rows; whole groups of canvases are drawn, or none of a group."""
        size = self.spec.size
        group = min(BLOCK, max(1, _CANVAS_PIXELS // size**2))
        pixels = np.empty((BLOCK, size, size), dtype=np.uint8)
        for first in range(rows.start - rows.start % group, rows.stop, group):
            some = slice(first, first + group)
            pixels[some] = render(glyphs.field[some], matrix[some], size).cpu().numpy()
        return pixels[rows]

    def _pad(self, values: NDArray[Any], rows: slice, filling: int) -> Tensor:
        """Put the values of some items into the rows of a whole block."""
        block = np.full((BLOCK, *values.shape[1:]), filling, dtype=values.dtype)
        block[rows] = values
        return torch.from_numpy(block).to(self._device)


def _pack(recipe: Recipe, pixels: NDArray[np.uint8]) -> Made:
    """Encode and describe one item."""
    found = digest(pixels)
    ink = round(1 - int(pixels.sum(dtype=np.int64)) / (255 * pixels.size), 6)
    meta = {
        "index": recipe.index,
        "letters": recipe.letters,
        "layout": recipe.layout,
        "digest": found.hex(),
        "ink": ink,
        "rotation": recipe.rotation,
        "stretch": recipe.stretch,
        "shear": recipe.shear,
    }
    return Made(recipe.index, recipe.letters, recipe.layout, encode(pixels), found, ink, meta)


def _compose_ahead(composer: Composer, start: int, stop: int) -> Steps[tuple[int, list[Made | ItemError]], None, None]:
    """Yield the end and the items of each block in order, with as many blocks in work as torch may use threads.

    Close it, and what nobody waits for is dropped.
    """
    ahead: deque[tuple[int, Future[list[Made | ItemError]]]] = deque()
    with _drawing_threads() as (pool, threads):
        try:
            for first, last in _blocks(start, stop):
                ahead.append((last, pool.submit(composer.compose, first, last)))
                if len(ahead) > threads:
                    upto, future = ahead.popleft()
                    yield upto, future.result()
            while ahead:
                upto, future = ahead.popleft()
                yield upto, future.result()
        finally:
            for _, future in ahead:
                future.cancel()


@contextmanager
def _drawing_threads() -> Iterator[tuple[ThreadPoolExecutor, int]]:
    """Give as many threads as torch may use here, and torch one thread inside each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # The number is kept by thread: each has to be told.
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool, threads
    finally:
        torch.set_num_threads(threads)


def _blocks(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Cut a range at the borders of blocks."""
    while start < stop:
        last = min(stop, start - start % BLOCK + BLOCK)
        yield start, last
        start = last


def _add(writer: ShardWriter, made: Made) -> VariantRow:
    span = writer.add(made.index, made.png, made.meta)
    return VariantRow(made.index, made.letters, made.layout, made.digest, span.offset, span.length, made.ink)


def _faults(recipes: Recipes, fields: Tensor, glyphs: Tensor) -> list[str]:
    """Say of each item why it cannot be made: a letter that is not a number, or has no ink; [n, L, ...] both."""
    finite = fields.isfinite().all(-1).all(-1).tolist()
    inked = (glyphs > 0).any(-1).any(-1).tolist()
    faults = []
    for row, index in enumerate(range(recipes.start, recipes.stop)):
        reasons = []
        for place, letter in enumerate(recipes.letters(index)):
            if not finite[row][place]:
                reasons.append(f"the field of {letter!r} is not a number")
            elif not inked[row][place]:
                reasons.append(f"{letter!r} came out without ink")
        faults.append("; ".join(reasons))
    return faults
