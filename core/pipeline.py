"""A range of items -> recipes -> fields -> pixels.

Every step runs on a whole aligned block: item i always stands in row i % BLOCK, and rows that no item fills are
padding. So shapes and places never change, and with them neither do the pixels of an item, however its job is cut and
whoever its neighbours are. One block is drawn by one thread, several blocks by several: inside an operation, threads
change the order of sums (the same matrix product differed by one bit between 1, 2 and 3 threads), and scale worse.
"""

from collections import deque
from collections.abc import Generator as Steps
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import ItemError, JobError
from core.monogram import field
from core.monogram.compose import NOTHING, Composed, Wish, compose
from core.monogram.optics import Glyphs, transform
from core.monogram.picture import digest, encode
from core.monogram.render import clean, render
from core.monogram.score import score
from core.networks import families, judge
from core.networks.families import Generator, Steerable
from core.recipe import BLOCK, ENGINE, STYLE, GenerateSpec, Recipe, Recipes, draw
from core.registry import Attribute, Layout

T = TypeVar("T")
Stored = tuple[Mapping[str, NDArray[Any]], Mapping[str, str]]  # weights and what they are


@dataclass(frozen=True, slots=True)
class Made:
    """One finished variant, not yet stored."""

    index: int
    letters: str
    layout: Layout
    png: bytes
    digest: bytes  # SHA-256 of size, mode and pixels
    ink: float  # share of the canvas, 0 to 1
    legibility: float | None  # probability of the letter that is read least surely; None without a judge
    score: float  # how good it looks, 0 to 1
    meta: dict[str, Any]  # what its shard says of it


@dataclass(frozen=True, slots=True)
class Rejected:
    """An item that was made, and is not kept."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """One variant as outlines."""

    recipe: Recipe
    composed: Composed
    read: tuple[float, ...] | None  # probability that each letter is read as what it is; None without a judge
    novelty: float | None  # of its style; None where the network does not know

    @property
    def legibility(self) -> float | None:
        """How surely that letter is read which is read least surely."""
        return min(self.read) if self.read is not None else None


class Composer:
    """Makes the variants of one job with one set of weights on one device; what it makes depends on nothing else."""

    def __init__(
        self,
        spec: GenerateSpec,
        seed: int,
        weights: Mapping[str, NDArray[Any]],
        meta: Mapping[str, str],
        device: str,
        judge_weights: Stored | None = None,
        total: int | None = None,
    ) -> None:
        """Load the networks; raise `JobError` if weights are not of their shape, or cannot honour the spec."""
        self.spec = spec
        self.seed = seed
        self._total = total
        self._device = torch.device(device)
        self._weights = meta.get("sha256", "")
        self._network = families.load(weights, meta, device)
        width = self._network.styles(torch.zeros(1, STYLE, device=self._device)).shape[1]
        self._steerable = _require_steerable(self._network, width, spec, meta)
        self._judge = judge.Judge.load(*judge_weights).to(self._device) if judge_weights is not None else None
        self._judge_weights = judge_weights[1].get("sha256", "") if judge_weights is not None else None
        self._places = max(len(letters) for letters in spec.letters)

    @property
    def weights(self) -> str:
        """The SHA-256 of the weights, hexadecimal."""
        return self._weights

    def manifest(self, start: int) -> dict[str, object]:
        """Say what a shard from this item on is made of: nothing in it varies by attempt."""
        return {
            "engine": ENGINE,
            "judge": self._judge_weights,
            "seed": self.seed,
            "spec": self.spec.model_dump(mode="json"),
            "start": start,
            "total": self._total,
            "weights": self._weights,
        }

    def block(self, start: int, stop: int) -> list[Made]:
        """Make items [start, stop), but for the rejected; raise the `ItemError` of the first that cannot be made."""
        made = []
        with closing(compose_ahead(self, start, stop)) as blocks:
            for _, items in blocks:
                for item in items:
                    if isinstance(item, ItemError):
                        raise item
                    if isinstance(item, Made):
                        made.append(item)
        return made

    def compose(self, start: int, stop: int) -> list[Made | Rejected | ItemError]:
        """Make items [start, stop), all of one aligned block, on the calling thread."""
        return [drawn if isinstance(drawn, ItemError) else _pack(drawn, self.spec) for drawn in self.draw(start, stop)]

    @torch.inference_mode()
    def draw(self, start: int, stop: int) -> list[Drawn | ItemError]:
        """Draw items [start, stop), all of one aligned block, as outlines."""
        recipes = draw(self.spec, self.seed, start, stop)
        rows = slice(start % BLOCK, start % BLOCK + stop - start)
        fields = self._draw(recipes, rows)
        fine = clean(torch.where(fields.isfinite(), fields, -1.0).flatten(0, 1).unsqueeze(1))
        letters = field.resolve(fine)
        letters = letters.view(*fields.shape[:2], *letters.shape[-2:])
        own = self._glyphs(recipes, rows, letters)
        faults = _faults(recipes, fields[rows], own.field)
        wishes = [
            Wish(recipes.layout(index), self.spec.ornament, recipes.frame(index), recipes.lots[index - start])
            for index in range(start, stop)
        ]
        # What has a fault already is not drawn.
        sound = [row for row, fault in enumerate(faults) if not fault]
        kept = sound if len(sound) < len(faults) else slice(None)  # a slice copies nothing
        cleaned = fine.view(*fields.shape)[rows].cpu()[kept]
        drawn = iter(compose(own.take(kept), cleaned, [wishes[row] for row in sound]))
        composed = [NOTHING if fault else next(drawn) for fault in faults]
        read = self._read(recipes, rows, _as_seen(letters, composed, rows))
        novelty = self._novelty(recipes, rows)
        return [
            ItemError(index, fault or found.fault)
            if fault or found.fault
            else Drawn(recipes.recipe(index), found, sure, new)
            for index, fault, found, sure, new in zip(range(start, stop), faults, composed, read, novelty, strict=True)
        ]

    def _draw(self, recipes: Recipes, rows: slice) -> Tensor:
        """Return the network's fields [BLOCK, L, h, w]; ground where there is no letter."""
        positions = self._positions(recipes, rows)
        styles = self._styles(recipes, rows)
        letters = positions.clamp(min=0)
        calls = [self._network.draw(styles[place], letters[:, place]) for place in range(self._places)]
        fields = torch.stack([call.squeeze(1).float() for call in calls], dim=1)
        return torch.where((positions >= 0)[..., None, None], fields, -1.0)

    def _glyphs(self, recipes: Recipes, rows: slice, letters: Tensor) -> Glyphs:
        """Return the items' letters among [BLOCK, L, H, W] with what the recipes do to them."""
        scalars = (recipes.rotation, recipes.stretch, recipes.shear)
        turns = [torch.tensor(each[:, : self._places]) for each in scalars]
        present = torch.from_numpy(recipes.positions()[:, : self._places] >= 0)
        return Glyphs.measured(letters[rows].cpu(), present, transform(*turns))

    def _positions(self, recipes: Recipes, rows: slice) -> Tensor:
        """Return the place of each letter in the alphabet [BLOCK, L], -1 where there is none."""
        return self._pad(recipes.positions()[:, : self._places], rows, -1)

    def _styles(self, recipes: Recipes, rows: slice) -> list[Tensor]:
        """Return the style vectors [BLOCK, W] of each place."""
        w = self._style(recipes.style, rows)
        if self._steerable is None or not self.spec.mix:
            return [w] * self._places
        both = (w + self._style(recipes.second, rows)) / 2
        mixed = self._pad(recipes.mixed, rows, 0)
        return [torch.where(mixed[:, place, None], both, w) for place in range(self._places)]

    def _style(self, latents: NDArray[np.float32], rows: slice) -> Tensor:
        """Return the style vectors [BLOCK, W] that latents [n, STYLE] lead to, as far as the spec lets them."""
        w = self._network.styles(self._pad(latents, rows, 0), self.spec.psi)
        if self.spec.style is not None:
            w = torch.lerp(torch.tensor(self.spec.style, device=self._device), w, self.spec.spread)
        if self._steerable is not None and self.spec.attributes:
            moved = [self.spec.attributes.get(each, 0.0) for each in Attribute]
            w = self._steerable.steer(w, torch.tensor([moved], device=self._device))
        return w

    def _read(self, recipes: Recipes, rows: slice, letters: Tensor) -> Sequence[tuple[float, ...] | None]:
        """Return how surely the judge reads each letter of each item."""
        if self._judge is None:
            return [None] * len(recipes)
        positions = self._positions(recipes, rows)
        found = []
        for place in range(self._places):
            read = judge.read(self._judge, letters[:, place, None]).softmax(dim=1)
            wanted = judge.merge(positions[:, place].clamp(min=0))
            found.append(read.gather(1, wanted[:, None])[:, 0])
        sure, present = torch.stack(found, dim=1)[rows].tolist(), (positions[rows] >= 0).sum(1).tolist()
        return [tuple(round(value, 4) for value in own[:count]) for own, count in zip(sure, present, strict=True)]

    def _novelty(self, recipes: Recipes, rows: slice) -> Sequence[float | None]:
        """Return how new each item's style is."""
        if self._steerable is None:
            return [None] * len(recipes)
        found = self._steerable.novelty(self._style(recipes.style, rows))[rows]
        return [round(value, 4) for value in found.tolist()]

    def _pad(self, values: NDArray[Any], rows: slice, filling: int) -> Tensor:
        """Put the values of some items into the rows of a whole block."""
        block = np.full((BLOCK, *values.shape[1:]), filling, dtype=values.dtype)
        block[rows] = values
        return torch.from_numpy(block).to(self._device)


def _require_steerable(network: Generator, width: int, spec: GenerateSpec, meta: Mapping[str, str]) -> Steerable | None:
    """Return the network if its style vectors can be worked on; raise `JobError` if the spec asks more of it."""
    asked = {"style": spec.style, "attributes": spec.attributes, "mix": spec.mix}
    wanted = [name for name, value in asked.items() if value]
    if not isinstance(network, Steerable):
        if wanted:
            raise JobError(f"a model of family {meta['family']!r} cannot honour {', '.join(wanted)}; leave it out")
        return None
    if spec.style is not None and len(spec.style) != width:
        raise JobError(f"style has {len(spec.style)} numbers, this model's styles have {width}")
    return network


def _as_seen(letters: Tensor, composed: Sequence[Composed], rows: slice) -> Tensor:
    """Return letters [BLOCK, L, 64, 64] as they are seen: as drawn, or as their layouts left them."""
    seen = judge.Judge.look(letters.flatten(0, 1).unsqueeze(1)).view(*letters.shape[:2], judge.SIZE, judge.SIZE).clone()
    for row, found in enumerate(composed, rows.start):
        if found.seen is not None:
            own = torch.from_numpy(found.seen[: seen.shape[1]]).to(seen.device)
            seen[row, : len(own)] = own
    return seen


def _pack(drawn: Drawn, spec: GenerateSpec) -> Made | Rejected:
    """Draw, score, encode and describe one item, unless it is to be rejected."""
    recipe, composed = drawn.recipe, drawn.composed
    reason = _reject(drawn, spec)
    if reason is not None:
        return Rejected(recipe.index, reason)
    pixels = render(composed.drawing.pieces, spec.size)
    found = digest(pixels)
    ink = round(1 - int(pixels.sum(dtype=np.int64)) / (255 * pixels.size), 6)
    as_asked = composed.layout is recipe.layout
    worth = score(composed.drawing, pixels, drawn.read, drawn.novelty, as_asked=as_asked)
    meta = {
        "index": recipe.index,
        "letters": recipe.letters,
        "layout": composed.layout,
        "asked": recipe.layout,
        "frame": recipe.frame,
        "ornament": recipe.ornament,
        "digest": found.hex(),
        "ink": ink,
        "legibility": drawn.legibility,
        "read": drawn.read,
        "score": worth.total,
        "figures": {**composed.drawing.figures, **asdict(worth)},
        "rotation": recipe.rotation,
        "stretch": recipe.stretch,
        "shear": recipe.shear,
    }
    shown = (recipe.index, recipe.letters, composed.layout, encode(pixels), found, ink, drawn.legibility, worth.total)
    return Made(*shown, meta)


def _reject(drawn: Drawn, spec: GenerateSpec) -> str | None:
    """Say why an item is not to be kept."""
    if spec.min_legibility is not None and (drawn.legibility or 0.0) < spec.min_legibility:
        return "illegible"
    if spec.strict and drawn.composed.layout is not drawn.recipe.layout:
        return "no clean weave"
    return None


def compose_ahead(
    composer: Composer, start: int, stop: int
) -> Steps[tuple[int, list[Made | Rejected | ItemError]], None, None]:
    """Yield the end and the items of each block in order, with as many blocks in work as torch may use threads.

    Close it, and what nobody waits for is dropped.
    """
    ahead: deque[tuple[int, Future[list[Made | Rejected | ItemError]]]] = deque()
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
