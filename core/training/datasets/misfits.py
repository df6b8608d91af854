"""Measures of letters that are not what their code points say, and of styles that are no alphabet or hard to read.

Every glyph is compared with the drawings of all letters in other clusters. Where its own letter is much farther than
some other letter, it is an ornament, a symbol, a letter of another script, or a small letter.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.alphabet import BASELINE, CAP_HEIGHT, HOMOGLYPHS, LATIN, LETTERS, UKRAINIAN
from core.training.datasets.styles import MASK, Style

# Styles of one cluster that others are compared with: more would be near-repeats of these.
_SPOKESMEN: Final = 2
_PORTION: Final = 1024

_MIN_TWINS: Final = 4
_TWINS: Final = [(HOMOGLYPHS[letter], letter) for letter in UKRAINIAN if HOMOGLYPHS[letter] in LATIN]
_MERGED: Final = np.array([LETTERS.index(HOMOGLYPHS[letter]) for letter in LETTERS])


@dataclass(frozen=True)
class Likeness:
    """How far each glyph is from the nearest drawings in other clusters, in canvas units of mean field difference."""

    own: NDArray[np.float32]  # [G] of its own letter, look-alikes counting as one; 0 where no other cluster has it
    other: NDArray[np.float32]  # [G] of the nearest other letter
    nearest: NDArray[np.int64]  # [G] that letter's place in LETTERS


def compare(styles: Sequence[Style], clusters: NDArray[np.int64]) -> Likeness:
    """Compare the glyphs of styles, one after another, with those of other clusters.

    The sketches are small integers, so the sums are exact and the same on every machine.
    """
    sketches = np.concatenate([style.sketches for style in styles]).astype(np.float32)
    labels = _MERGED[np.concatenate([style.labels for style in styles])]
    owners = np.repeat(np.arange(len(styles)), [len(style.labels) for style in styles])
    rows = np.flatnonzero(_speaks(clusters)[owners])
    rows = rows[np.argsort(labels[rows], kind="stable")]
    letters, starts = np.unique(labels[rows], return_index=True)
    drawn, homes = sketches[rows], clusters[owners[rows]]
    sizes = (drawn**2).sum(axis=1)
    found = np.empty((3, len(labels)), dtype=np.float32)
    for portion in _portions(clusters[owners]):
        queries = sketches[portion]
        distances = sizes - 2 * (queries @ drawn.T)
        distances[:, homes == clusters[owners[portion[0]]]] = np.inf
        best = np.minimum.reduceat(distances, starts, axis=1) + (queries**2).sum(axis=1, keepdims=True)  # [Q, letters]
        mine = labels[portion][:, None] == letters
        found[0, portion] = np.where(mine, best, np.inf).min(axis=1)
        others = np.where(mine, np.inf, best)
        found[1, portion] = others.min(axis=1)
        found[2, portion] = letters[others.argmin(axis=1)]
    found[0, np.isinf(found[0])] = 0
    return Likeness(np.sqrt(found[0]), np.sqrt(found[1]), found[2].astype(np.int64))


def _speaks(clusters: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Choose the first few styles of every cluster."""
    order = np.argsort(clusters, kind="stable")
    _, first = np.unique(clusters[order], return_index=True)
    place = np.empty(len(clusters), dtype=np.int64)
    place[order] = np.arange(len(clusters)) - np.repeat(first, np.diff([*first, len(clusters)]))
    return np.asarray(place < _SPOKESMEN)


def _portions(homes: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the places of glyphs, each portion of one cluster."""
    order = np.argsort(homes, kind="stable")
    for places in np.split(order, np.flatnonzero(np.diff(homes[order])) + 1):
        yield from np.array_split(places, 1 + len(places) // _PORTION)


def find_broken(styles: Sequence[Style]) -> NDArray[np.bool_]:
    """Say of every glyph whether its parts less holes are not what most drawings of its letter have."""
    labels = np.concatenate([style.labels for style in styles])
    found = np.concatenate([style.topologies for style in styles])
    broken = np.zeros(len(labels), dtype=np.bool_)
    for label in range(len(LETTERS)):
        rows = np.flatnonzero(labels == label)
        if len(rows):
            values, counts = np.unique(found[rows], return_counts=True)
            broken[rows] = found[rows] != values[counts.argmax()]
    return broken


def match_scripts(style: Style) -> float:
    """Return the mean intersection over union of Latin letters and their Cyrillic look-alikes; 1 without enough pairs.

    A design of its own has one drawing for both; fonts of other scripts often hold Cyrillic of some other design.
    """
    place = {LETTERS[label]: number for number, label in enumerate(style.labels.tolist())}
    pairs = [(place[latin], place[other]) for latin, other in _TWINS if latin in place and other in place]
    if len(pairs) < _MIN_TWINS:
        return 1.0
    masks = style.draw_masks()
    ones, others = (_push_left(masks[[pair[side] for pair in pairs]]) for side in (0, 1))
    both, either = ((joined).sum(axis=(1, 2)) for joined in (ones & others, ones | others))
    return float((both / np.maximum(either, 1)).mean())


def _push_left(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Move the ink of each mask to the left edge: twins may have other bearings."""
    first = masks.any(axis=1).argmax(axis=1)
    return np.stack([np.roll(mask, -start, axis=1) for mask, start in zip(masks, first.tolist(), strict=True)])


def share_of_short(style: Style) -> float:
    """Return the share of A-Z that stay under four fifths of the cap height: small letters in the place of capitals."""
    latin = style.draw_masks()[style.labels < len(LATIN)]
    tops = latin.any(axis=2).argmax(axis=1) / MASK
    return float((BASELINE - tops < 0.8 * CAP_HEIGHT).mean()) if len(latin) else 0.0
