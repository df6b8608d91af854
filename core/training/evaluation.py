"""A generator measured: every figure beside the same figure of real held-out fonts. Definitions: docs/metrics.md."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Final, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.alphabet import LETTERS
from core.errors import JobError
from core.networks.judge import Judge, accuracy, merge
from core.networks.mlp import LATENT
from core.training.crossfit import bootstrap, judge_rows
from core.training.datasets.archive import Dataset, pack, unpack
from core.training.datasets.split import Role
from core.training.metrics import consistency, copies, distribution, edges, novelty, parts, reading, reconstruction
from core.training.survey import Batch, Survey, read_dataset, survey, units

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

REAL_STYLES: Final = 300  # of each side at most, drawn by lot: enough, and within minutes
FITTED: Final = 40  # fonts of each side that codes are fitted to
EDGES: Final = 1200  # drawn letters whose edges are measured: 20 ms each
LEGIBLE: Final = 0.9  # of its letters make a style legible
CONSISTENT: Final = 0.95  # of real held-out fonts vary less than what counts as inconsistent
# What fonts' own outlines measure, made by `python -m bench.outlines`.
OUTLINES: Final = Path(__file__).parent / "metrics" / "outlines.npz"
_STYLES_AT_ONCE: Final = 8
_LETTERS_AT_ONCE: Final = 512
_ROW_STYLES: Final = 60  # of either side that rows are set in


class Drawer(Protocol):
    """What is asked of a generator: see `core/networks/families.py`."""

    def styles(self, z: Tensor, psi: float | None = None) -> Tensor:
        """Turn z [N, 100] into style vectors [N, W]."""
        ...

    def draw(self, w: Tensor, letters: Tensor) -> Tensor:
        """Draw letters [N] in styles [N, W]: fields [N, 1, h, h] in units of the canvas."""
        ...


# Finds the style vector [W] of a font's letters: fields [n, 1, H, H] and their labels [n].
Fit = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Outlines:
    """Figures of fonts' own outlines, the reference of the edge figures: made by `edges.measure_outlines`."""

    edges: edges.Edges
    labels: Ints  # [N]

    def pack(self) -> bytes:
        """Return npz bytes, a few numbers a letter."""
        columns = {name: column.astype(np.float32) for name, column in vars(self.edges).items()}
        return pack(columns | {"labels": self.labels.astype(np.int16)})

    @classmethod
    def load(cls, data: bytes) -> Self:
        """Read what `pack` wrote."""
        arrays = unpack(data)
        labels = arrays.pop("labels").astype(np.int64)
        return cls(edges.Edges(**{name: column.astype(np.float64) for name, column in arrays.items()}), labels)


@dataclass(frozen=True)
class Figures:
    """What is known of a generator. Shares from 0 to 1; None where a figure was not, or could not be, measured."""

    judge_real: float | None  # the judge on real letters of clusters it has not seen
    judge_real_low: float | None  # its 95 % interval, over clusters
    judge_real_high: float | None
    legibility: float | None
    legibility_psi1: float | None
    worst_letter: float | None
    parts: float | None
    parts_real: float | None
    edge_residual_ratio: float | None
    corner_ratio: float | None
    style_consistency_ratio: float | None
    reconstruction_train: float | None
    reconstruction_held: float | None
    copies: float | None  # share of styles above that of held-out fonts
    copies_control: (
        float | None
    )  # share of redrawn training fonts that count as copies: below 0.9 `copies` says nothing
    new_share: float | None
    worst_letter_sign: str | None = None
    flips: float | None = None  # curvature sign changes per cap height
    flips_outlines: float | None = None
    script_consistency_ratio: float | None = None
    parts_train: float | None = None  # fitted fonts whose letters have their own parts and holes
    parts_held: float | None = None
    copies_drawn: float | None = None
    copies_held: float | None = None
    nearest_overlap: float | None = None  # median over styles
    coverage: float | None = None
    density: float | None = None
    kernel_distance: float | None = None
    train_on_generated: float | None = None
    tesseract: float | None = None  # letters misread in rows; None without the program
    tesseract_real: float | None = None
    tesseract_ratio: float | None = None
    field_residual_ratio: float | None = None  # edge figures of the fields that outlines are traced from
    field_corner_ratio: float | None = None
    field_flips: float | None = None
    styles: int = 0

    def as_json(self) -> dict[str, float | int | str | None]:
        """Return the figures by name, in this order; what is not a number is None."""
        return {name: None if isinstance(x, float) and not isfinite(x) else x for name, x in asdict(self).items()}


@dataclass(frozen=True)
class _Fitted:
    """Fonts redrawn from codes fitted to them."""

    overlap: float
    same_parts: float
    small: NDArray[np.int8]
    labels: Ints
    styles: Ints
    count: int


def evaluate(
    generator: Drawer,
    dataset: Dataset,
    roles: NDArray[np.str_],
    judge: Judge,
    count: int,
    fit: Fit,
    *,
    unseen: Bools | None = None,
    outlines: Outlines | None = None,
    psi: float | None = None,
    seed: int = 0,
    edge_letters: int = EDGES,
    fitted_fonts: int = FITTED,
    rows: int = reading.ROWS,
) -> Figures:
    """Draw `count` styles of all letters and measure them.

    `roles` [S] by `split`; held-out is what is not `Role.TRAIN`. `unseen` [S] are the styles whose clusters the judge
    was not trained on (all held-out ones, if not given: then it must not have been trained on any). `fit` finds the
    code of a font, as `inversion.invert` does. Edge figures need `outlines`, reading `rows` needs Tesseract. Raise
    `JobError` if either side of the split is empty.
    """
    train, held = np.flatnonzero(roles == Role.TRAIN), np.flatnonzero(roles != Role.TRAIN)
    if not len(train) or not len(held):
        raise JobError("one side of the split has no fonts: there is nothing to measure against")
    unseen = roles != Role.TRAIN if unseen is None else unseen
    draws = torch.Generator().manual_seed(seed)
    z = torch.randn(count, LATENT, generator=draws)
    drawn = survey(_draw(generator, z, psi), judge, edge_letters / (count * len(LETTERS)), seed)
    strange = np.flatnonzero((roles != Role.TRAIN) & unseen)  # to the judge too
    real = survey(read_dataset(dataset, _choose(strange if len(strange) else held, seed)), judge, 0.0, seed)
    known = survey(read_dataset(dataset, _choose(train, seed)), judge, 0.0, seed)
    fitted = [_redraw(generator, dataset, _choose(side, seed, fitted_fonts), fit) for side in (train, held)]
    figures = {
        **_judge_figures(generator, dataset, judge, z, drawn, np.flatnonzero(unseen[dataset.styles])),
        **_part_figures(drawn, real, known),
        **_edge_figures(drawn, outlines),
        **_style_figures(dataset, train, drawn, real, known, fitted[0]),
        **_crowd_figures(drawn, real),
        **_row_figures(generator, dataset, z, psi, strange if len(strange) else held, seed, rows),
    }
    return Figures(
        **figures,  # type: ignore[arg-type]
        reconstruction_train=fitted[0].overlap,
        reconstruction_held=fitted[1].overlap,
        parts_train=fitted[0].same_parts,
        parts_held=fitted[1].same_parts,
        styles=count,
    )


def _choose(styles: Ints, seed: int, most: int = REAL_STYLES) -> Ints:
    return np.sort(np.random.default_rng(seed).permutation(styles)[:most])


@torch.inference_mode()
def _draw(generator: Drawer, z: Tensor, psi: float | None) -> Iterator[Batch]:
    """Draw every letter of the styles of z [n, 100], a few styles at a time."""
    every = torch.arange(len(LETTERS))
    for start in range(0, len(z), _STYLES_AT_ONCE):
        w = generator.styles(z[start : start + _STYLES_AT_ONCE], psi)
        labels = every.repeat(len(w))
        fields = generator.draw(w.repeat_interleave(len(every), 0), labels)
        yield Batch(fields.float().cpu(), labels.numpy(), start + np.arange(len(w)).repeat(len(every)))


def _redraw(generator: Drawer, dataset: Dataset, styles: Ints, fit: Fit) -> _Fitted:
    """Fit a code to each of some fonts and draw its letters again."""
    overlap, same, small, labels, numbers = [], [], [], [], []
    for number, style in enumerate(styles.tolist()):
        rows = np.flatnonzero(dataset.styles == style)
        true, signs = units(dataset.fields[rows]), torch.from_numpy(dataset.labels[rows])
        w = fit(true, signs)
        with torch.inference_mode():
            again = generator.draw(w.expand(len(signs), -1), signs).float().cpu()
        overlap.append(reconstruction.overlap(again, true).mean())
        same.append(reconstruction.same_parts(again, true).mean())
        small.append(novelty.shrink(again))
        labels.append(dataset.labels[rows])
        numbers.append(np.full(len(rows), number))
    return _Fitted(
        float(np.mean(overlap)),
        float(np.mean(same)),
        np.concatenate(small),
        np.concatenate(labels),
        np.concatenate(numbers),
        len(styles),
    )


def _judge_figures(
    generator: Drawer, dataset: Dataset, judge: Judge, z: Tensor, drawn: Survey, unseen: Ints
) -> dict[str, object]:
    """Legibility is a share of letters; at psi 1 of half the styles, the same z."""
    found: dict[str, object] = dict.fromkeys(("judge_real", "judge_real_low", "judge_real_high"))
    if len(unseen):
        real = bootstrap(judge_rows(judge, dataset, unseen), dataset.clusters[dataset.styles[unseen]])
        found = {"judge_real": real.share, "judge_real_low": real.low, "judge_real_high": real.high}
    whole = _draw(generator, z[: (len(z) + 1) // 2], 1.0)
    psi1 = np.concatenate([accuracy(judge, batch.fields, torch.from_numpy(batch.labels)).numpy() for batch in whole])
    each = np.array([drawn.read[drawn.labels == label].mean() for label in range(len(LETTERS))])
    return found | {
        "legibility": float(drawn.read.mean()),
        "legibility_psi1": float(psi1.mean()),
        "worst_letter": float(each.min()),
        "worst_letter_sign": LETTERS[int(each.argmin())],
    }


def _part_figures(drawn: Survey, real: Survey, known: Survey) -> dict[str, object]:
    common = parts.find_common(known.pairs, known.labels)
    return {
        "parts": float(parts.agree(drawn.pairs, drawn.labels, common).mean()),
        "parts_real": float(parts.agree(real.pairs, real.labels, common).mean()),
    }


def _edge_figures(drawn: Survey, outlines: Outlines | None) -> dict[str, object]:
    """Figures of letters as delivered, and of the fields behind them."""
    traced, plain = drawn.edges, drawn.field_edges
    found: dict[str, object] = {"flips": _mean(traced.flips), "field_flips": _mean(plain.flips)}
    if outlines is None:
        return found | dict.fromkeys(("edge_residual_ratio", "corner_ratio"))
    real = outlines.edges
    for name, own in (("edge_residual", traced), ("field_residual", plain)):
        ratio = edges.compare(own.residual, own, drawn.edged, real.residual, real, outlines.labels)
        found[f"{name}_ratio"] = ratio
    for name, own in (("corner", traced), ("field_corner", plain)):
        found[f"{name}_ratio"] = edges.compare(own.corner, own, drawn.edged, real.corner, real, outlines.labels)
    return found | {"flips_outlines": _mean(real.flips)}


def _row_figures(
    generator: Drawer, dataset: Dataset, z: Tensor, psi: float | None, real: Ints, seed: int, rows: int
) -> dict[str, object]:
    """Let Tesseract read rows of as many drawn as real styles: these with their own bearings, those with usual ones."""
    own = np.flatnonzero(np.isin(dataset.styles, _choose(real, seed, _ROW_STYLES)))
    usual = reading.fit_bearings(dataset.labels, dataset.bearings)
    with torch.inference_mode():
        w = generator.styles(z[:_ROW_STYLES], psi)
    labels, styles = np.tile(np.arange(len(LETTERS)), len(w)), np.arange(len(w)).repeat(len(LETTERS))
    found = [
        reading.read_styles(labels, styles, usual[labels], lambda places: _draw_some(generator, w, places), seed, rows),
        reading.read_styles(
            dataset.labels[own],
            dataset.styles[own],
            dataset.bearings[own],
            lambda places: units(dataset.fields[own[places]]),
            seed,
            rows,
        ),
    ]
    drawn, others = (side.error if side else None for side in found)
    ratio = drawn / others if drawn is not None and others else None
    return {"tesseract": drawn, "tesseract_real": others, "tesseract_ratio": ratio}


@torch.inference_mode()
def _draw_some(generator: Drawer, w: Tensor, places: Ints) -> Tensor:
    """Draw some of all letters of styles w, place by place, as if all were drawn style by style."""
    style, letter = (torch.from_numpy(part) for part in np.divmod(places, len(LETTERS)))
    portions = zip(*(torch.split(part, _LETTERS_AT_ONCE) for part in (style, letter)), strict=True)
    return torch.cat([generator.draw(w[own], letters).float().cpu() for own, letters in portions])


def _style_figures(
    dataset: Dataset, train: Ints, drawn: Survey, real: Survey, known: Survey, fitted: _Fitted
) -> dict[str, object]:
    """Judge styles as wholes: consistency, copies, novelty."""
    usual = consistency.learn_usual(known.strokes, known.labels, known.styles)
    own, other = (consistency.spread(side.strokes, side.labels, side.styles, usual) for side in (drawn, real))
    gap, other_gap = (consistency.part(side.strokes, side.labels, side.styles, usual) for side in (drawn, real))
    fonts, labels, styles = _shrink_dataset(dataset, train)
    nearest = novelty.overlaps(_masks(drawn), _masks_of(fonts, labels, styles, len(train))).max(axis=1)
    matched = copies.match(fonts, labels, styles, len(train))
    margins = copies.find_margins(matched, dataset.clusters[train])
    control, found, held = (
        copies.find(copies.match(side.small, side.labels, side.styles, side.count, matched), matched, margins)
        for side in (fitted, drawn, real)
    )
    rate, usual_rate = (float(copies.flag(side).mean()) for side in (found, held))
    legible = np.asarray(np.bincount(drawn.styles, weights=drawn.read) / np.bincount(drawn.styles) >= LEGIBLE)
    # A trait that cannot be measured speaks against a style.
    consistent = np.asarray((own <= np.nanquantile(other, CONSISTENT, axis=0)).all(axis=1))
    return {
        "style_consistency_ratio": consistency.compare(own, other),
        "script_consistency_ratio": consistency.compare(gap, other_gap),
        "copies": rate - usual_rate,
        "copies_control": float(copies.flag(control).mean()),
        "copies_drawn": rate,
        "copies_held": usual_rate,
        "new_share": novelty.share_new(nearest, legible, consistent),
        "nearest_overlap": float(np.median(nearest)),
    }


def _crowd_figures(drawn: Survey, real: Survey) -> dict[str, object]:
    signs, own = (merge(torch.from_numpy(side.labels)).numpy() for side in (real, drawn))
    coverage, density = distribution.cover(real.features, signs, drawn.features, own)
    return {
        "coverage": coverage,
        "density": density,
        "kernel_distance": distribution.measure_distance(real.features, drawn.features),
        "train_on_generated": distribution.train_on(drawn.features, own, real.features, signs),
    }


def _shrink_dataset(dataset: Dataset, styles: Ints) -> tuple[NDArray[np.int8], Ints, Ints]:
    batches = [(novelty.shrink(batch.fields), batch.labels, batch.styles) for batch in read_dataset(dataset, styles)]
    small, labels, numbers = (np.concatenate(column) for column in zip(*batches, strict=True))
    return small, labels, numbers


def _masks(side: Survey) -> novelty.Masks:
    return _masks_of(side.small, side.labels, side.styles, side.count)


def _masks_of(small: NDArray[np.int8], labels: Ints, styles: Ints, count: int) -> novelty.Masks:
    return novelty.Masks.collect((small > 0).reshape(len(small), -1), labels, styles, count)


def _mean(values: Floats) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
