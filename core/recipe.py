"""What is asked for (`GenerateSpec`) and how item i of it is drawn by lot (`draw`, `recipe`). No torch here.

Any item can be drawn alone, and a range gives the same recipes wherever it is cut (`core.chance`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from core.alphabet import parse, position
from core.chance import normal, uniform, words
from core.errors import Invalid
from core.registry import ARITY, Attribute, Frame, Layout, Order, Ornament, arrange, default_layout

ENGINE: Final = 5  # counts changes that alter pixels, or that a worker of the engine before could not honour
BLOCK: Final = 64  # items; ranges are worked on in aligned blocks of this many
STYLE: Final = 100  # numbers drawn for a style
LOTS: Final = 4  # numbers drawn for what a layout leaves open
MOST_LETTERS: Final = max(arity.most for arity in ARITY.values())
MOST_GROUPS: Final = 10_000
MOST_BEST: Final = 10_000
MOST_SEED: Final = 2**53 - 1  # the largest that JSON carries everywhere
MOST_INDEX: Final = 2**53 - 1
MOST_PSI: Final = 1.5
MOST_STYLE: Final = 512  # numbers in a style vector that is given
MOST_DEVIATION: Final = 3.0  # standard deviations that an attribute may be moved by

# One draw moves all letters of a variant together by this share of the bounds, the rest is each letter's own:
# letters that lean and widen independently look like a ransom note.
COMMON: Final = 0.8

_STYLE_STREAM: Final = 0
_SCALAR_STREAM: Final = 1
_SECOND_STREAM: Final = 2
_LAYOUT_STREAM: Final = 3
_SCALARS: Final = 64  # words set aside for one item; 3 * _DRAWS and then MOST_LETTERS are used now
_DRAWS: Final = 1 + MOST_LETTERS  # words behind one transform: the shared draw, then each letter's own

_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*([:@][A-Za-z0-9_.-]+)?")

Floats = NDArray[np.float64]


def _tuple(value: object) -> object:
    """Take a list, as JSON has no tuples."""
    if not isinstance(value, list | tuple):
        raise ValueError("this must be a list")
    return tuple(value)


def _group(text: str) -> str:
    if len(text) > 16 * MOST_LETTERS:
        raise ValueError(f"a group takes at most {MOST_LETTERS} letters, this one has {len(text)} characters")
    return _refuse(text)


def _refuse(text: str) -> str:
    try:
        return parse(text)
    except Invalid as error:
        raise ValueError(str(error)) from error


def _one_of(names: type[StrEnum], what: str) -> BeforeValidator:
    """Take one of the names, and tell all of them to whoever gives another."""

    def take(value: object) -> object:
        if value is None or isinstance(value, names):
            return value
        if not isinstance(value, str) or value not in list(names):
            raise ValueError(f"there is no {what} {value!r}; the {what}s are: {', '.join(names)}")
        return names(value)

    return BeforeValidator(take)


def _model(value: str) -> str:
    if not _MODEL.fullmatch(value):
        raise ValueError(f"{value!r} names no model; write letters, letters:3 or letters@production")
    return value


def _attributes(value: object) -> object:
    if not isinstance(value, Mapping):
        raise ValueError('this must map attributes to standard deviations, as {"weight": 1.5}')
    for name in value:
        if name not in list(Attribute):
            raise ValueError(f"there is no attribute {name!r}; the attributes are: {', '.join(Attribute)}")
    # In one order, so that sums over them do not depend on how the spec was written down.
    return {name: value[name] for name in Attribute if name in value}


def _rising(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"the lower bound {value[0]:g} is above the upper bound {value[1]:g}")
    return value


def _bounds(limit: float) -> object:
    """Return the metadata of a (least, most) pair, both within +-limit."""
    return AfterValidator(lambda value: _within(value, limit))


def _within(value: tuple[float, float], limit: float) -> tuple[float, float]:
    if max(abs(value[0]), abs(value[1])) > limit:
        raise ValueError(f"bounds must lie within -{limit:g} and {limit:g}, not {value[0]:g} and {value[1]:g}")
    return _rising(value)


Group = Annotated[str, AfterValidator(_group)]
Pair = Annotated[tuple[FiniteFloat, FiniteFloat], BeforeValidator(_tuple)]
Reference = Annotated[str, Field(max_length=100), AfterValidator(_model)]
Vector = Annotated[tuple[FiniteFloat, ...], BeforeValidator(_tuple), Field(min_length=1, max_length=MOST_STYLE)]
Share = Annotated[float, Field(ge=0, le=1)]
Deviation = Annotated[float, Field(ge=-MOST_DEVIATION, le=MOST_DEVIATION)]


class GenerateSpec(BaseModel):
    """What a `generate` job makes. How many is the job's total: item i uses group i modulo the number of groups.

    Rotation, stretch and shear are bounds (least, most) that each letter's transform is drawn from. A family that
    knows no style vectors honours neither `style` nor `attributes` nor `mix`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    letters: Annotated[tuple[Group, ...], BeforeValidator(_tuple), Field(min_length=1, max_length=MOST_GROUPS)]
    layout: Annotated[Layout | None, _one_of(Layout, "layout")] = None  # None: what suits each group's length
    order: Annotated[Order, _one_of(Order, "order")] = Order.SHOWN  # how the letters of a group are given
    frame: Annotated[Frame | None, _one_of(Frame, "frame")] = None  # None: none, or for `framed` one by lot
    ornament: Annotated[Ornament | None, _one_of(Ornament, "ornament")] = None
    size: Annotated[int, Field(ge=16, le=1024)] = 256  # pixels, both ways
    model: Reference = "letters"
    judge: Reference | None = None  # whose reading is the variants' legibility; None: `judge-select`, if there is one
    min_legibility: Share | None = None  # what the judge reads less surely is made, counted and not kept
    strict: bool = False  # a variant whose layout cannot be made of its letters is not kept, instead of set in a row
    # Of all variants so many are kept, an equal share of each group: the best ones that differ from each other.
    best: Annotated[int, Field(ge=1, le=MOST_BEST)] | None = None
    psi: Annotated[float, Field(ge=0, le=MOST_PSI)] | None = None  # truncation: 0 the mean style; None: the model's
    style: Vector | None = None  # the style vector of all variants, as an inversion gives it; None: each draws its own
    spread: Share = 0.0  # how far from `style` each variant goes towards the style that it draws
    attributes: Annotated[dict[Attribute, Deviation], BeforeValidator(_attributes)] = Field(default_factory=dict)
    mix: Share = 0.0  # chance that a letter takes half of its style from a second one
    # Nothing by default: slant and width are the style's own, and letters turned by lot look careless.
    rotation: Annotated[Pair, _bounds(30.0)] = (0.0, 0.0)  # degrees, counter-clockwise
    stretch: Annotated[Pair, _bounds(0.12)] = (0.0, 0.0)  # share of the width; more comes from the style's width
    shear: Annotated[Pair, _bounds(0.3)] = (0.0, 0.0)  # sideways a height; positive leans like an italic

    @field_validator("spread")
    @classmethod
    def _spread_about_a_style(cls, value: float, info: ValidationInfo) -> float:
        if value and info.data.get("style") is None:
            raise ValueError("this is how far variants may go from a given style; give one in style")
        return value

    @field_validator("best")
    @classmethod
    def _best_of_each_group(cls, value: int | None, info: ValidationInfo) -> int | None:
        groups = len(set(info.data.get("letters", ())))
        if value is not None and value < groups:
            raise ValueError(
                f"each of the {groups} groups of letters needs at least one of the best, not {value} in all"
            )
        return value

    def quota(self) -> dict[str, int]:
        """Return how many of the best belong to each group of letters; nothing where all are kept."""
        groups = list(dict.fromkeys(self.letters))
        each, more = divmod(self.best or 0, len(groups))
        return {letters: each + (place < more) for place, letters in enumerate(groups)} if self.best else {}

    @model_validator(mode="after")
    def _fit_layout(self) -> "GenerateSpec":
        for letters in self.letters:
            layout = self.layout_of(letters)
            least, most = ARITY[layout]
            if not least <= len(letters) <= most:
                takes = f"{least} to {most} letters" if most > least else f"{least} letter" + "s" * (least > 1)
                raise ValueError(f"layout {str(layout)!r} takes {takes}, {letters!r} has {len(letters)}")
        return self

    def layout_of(self, letters: str) -> Layout:
        """Return the layout asked for, or the one that suits this many letters."""
        return self.layout or default_layout(letters)


def parse_spec(data: Mapping[str, object]) -> GenerateSpec:
    """Read a spec as JSON gives it; raise `Invalid` with a pointer to the first field that makes no sense."""
    try:
        return GenerateSpec.model_validate(dict(data))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = first["loc"] or ("letters",)  # the one check of the whole: letters that do not fit their layout
        message = first["msg"].removeprefix("Value error, ")
        raise Invalid(f"{place[0]}: {message}", "".join(f"/{part}" for part in place)) from None


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything needed to make one variant again, together with `ENGINE` and the model's weights."""

    index: int
    letters: str
    shown: str  # the same letters in the order in which the layout shows them
    layout: Layout
    frame: Frame | None
    ornament: Ornament | None
    size: int  # pixels
    model: str
    seed: int
    style: tuple[float, ...]  # STYLE numbers, drawn, shared by all letters
    second: tuple[float, ...]  # STYLE numbers of the style mixed in
    mixed: tuple[bool, ...]  # one a letter: whether it takes half of the second style
    rotation: tuple[float, ...]  # one a letter, as are the next two: degrees
    stretch: tuple[float, ...]  # share of the width
    shear: tuple[float, ...]  # sideways a height
    lots: tuple[float, ...]  # LOTS numbers from 0 to 1, for what the layout leaves open


@dataclass(frozen=True, slots=True, eq=False)
class Recipes:
    """The recipes of items [start, stop), n of them, as arrays that cannot be written to."""

    spec: GenerateSpec
    seed: int
    start: int
    stop: int
    style: NDArray[np.float32]  # [n, STYLE], as is the next
    second: NDArray[np.float32]  # zeros where nothing is mixed
    mixed: NDArray[np.bool_]  # [n, MOST_LETTERS]
    rotation: Floats  # [n, MOST_LETTERS], as are the next two; values past the last letter mean nothing
    stretch: Floats
    shear: Floats
    lots: Floats  # [n, LOTS]

    def __len__(self) -> int:
        return self.stop - self.start

    def letters(self, index: int) -> str:
        """Return the letters of one item, by its index in the job."""
        return self.spec.letters[index % len(self.spec.letters)]

    def layout(self, index: int) -> Layout:
        """Return the layout of one item, by its index in the job."""
        return self.spec.layout_of(self.letters(index))

    def shown(self, index: int) -> str:
        """Return the letters of one item in the order in which its layout shows them."""
        return arrange(self.letters(index), self.layout(index), self.spec.order)

    def frame(self, index: int) -> Frame | None:
        """Return what stands around one item."""
        if self.layout(index) is not Layout.FRAMED or self.spec.frame is not None:
            return self.spec.frame
        frames = list(Frame)
        return frames[int(self.lots[index - self.start, -1] * len(frames))]

    def positions(self) -> NDArray[np.int64]:
        """Return the place in the alphabet of each letter as shown, [n, MOST_LETTERS]; -1 past the last letter."""
        places = np.full((len(self), MOST_LETTERS), -1, dtype=np.int64)
        for row, index in enumerate(range(self.start, self.stop)):
            letters = self.shown(index)
            places[row, : len(letters)] = [position(letter) for letter in letters]
        return places

    def recipe(self, index: int) -> Recipe:
        """Return the recipe of one item, by its index in the job."""
        row = index - self.start
        letters = self.letters(index)
        own = slice(0, len(letters))
        return Recipe(
            index=index,
            letters=letters,
            shown=self.shown(index),
            layout=self.spec.layout_of(letters),
            frame=self.frame(index),
            ornament=self.spec.ornament,
            size=self.spec.size,
            model=self.spec.model,
            seed=self.seed,
            style=tuple(self.style[row].tolist()),
            second=tuple(self.second[row].tolist()),
            mixed=tuple(self.mixed[row, own].tolist()),
            rotation=tuple(self.rotation[row, own].tolist()),
            stretch=tuple(self.stretch[row, own].tolist()),
            shear=tuple(self.shear[row, own].tolist()),
            lots=tuple(self.lots[row].tolist()),
        )


def draw(spec: GenerateSpec, seed: int, start: int, stop: int) -> Recipes:
    """Draw the recipes of items [start, stop); raise `Invalid` for a seed or range that cannot be."""
    if not 0 <= seed <= MOST_SEED:
        raise Invalid(f"a seed lies between 0 and {MOST_SEED}, not {seed}", "/seed")
    if not 0 <= start <= stop <= MOST_INDEX:
        raise Invalid(f"items {start} to {stop} are no range of a job")
    scalars = uniform(words(seed, _SCALAR_STREAM, _SCALARS, start, stop))
    turn, widen, lean = (scalars[:, first : first + _DRAWS] for first in range(0, 3 * _DRAWS, _DRAWS))
    mixed = scalars[:, 3 * _DRAWS : 3 * _DRAWS + MOST_LETTERS] < spec.mix
    mixed.flags.writeable = False
    lots = uniform(words(seed, _LAYOUT_STREAM, LOTS, start, stop))
    lots.flags.writeable = False
    styles = _draw_styles(seed, _STYLE_STREAM, start, stop)
    return Recipes(
        spec=spec,
        seed=seed,
        start=start,
        stop=stop,
        style=styles,
        second=_draw_styles(seed, _SECOND_STREAM, start, stop) if spec.mix else _no_styles(stop - start),
        mixed=mixed,
        rotation=_blend(turn, spec.rotation),
        stretch=_blend(widen, spec.stretch),
        shear=_blend(lean, spec.shear),
        lots=lots,
    )


def recipe(spec: GenerateSpec, seed: int, index: int) -> Recipe:
    """Draw the recipe of one item."""
    return draw(spec, seed, index, index + 1).recipe(index)


def _draw_styles(seed: int, stream: int, start: int, stop: int) -> NDArray[np.float32]:
    styles = normal(words(seed, stream, STYLE, start, stop)).astype(np.float32)
    styles.flags.writeable = False
    return styles


def _no_styles(count: int) -> NDArray[np.float32]:
    return np.broadcast_to(np.float32(0), (count, STYLE))  # cannot be written to


def _blend(share: Floats, bounds: tuple[float, float]) -> Floats:
    """Mix the shared draw (first column) with each letter's own, [n, 1 + L] -> [n, L], scaled to the bounds."""
    least, most = bounds
    value: Floats = least + (most - least) * (COMMON * share[:, :1] + (1 - COMMON) * share[:, 1:])
    value.flags.writeable = False
    return value
