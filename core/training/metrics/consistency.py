"""Whether the letters of one style belong together: how stem, slant and contrast vary from letter to letter."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.alphabet import LETTERS, script
from core.monogram.strokes import Strokes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEWEST: Final = 5  # letters: fewer have no spread worth the name
TRAITS: Final = ("stem", "slant", "contrast")

_LATIN: Final = np.array([script(letter) == "latin" for letter in LETTERS])
_CYRILLIC: Final = np.array([script(letter) == "cyrillic" for letter in LETTERS])


@dataclass(frozen=True)
class Usual:
    """What a sign's stem, slant and contrast are in real fonts, against the middle of their font: [69] each.

    Stem and contrast as factors, slant as a difference in rad. Taken off before letters are compared, or what a Ж is
    like in every font would count as a fault of its style.
    """

    stem: Floats
    slant: Floats
    contrast: Floats


def learn_usual(strokes: Strokes, labels: Ints, styles: Ints) -> Usual:
    """Return what is usual of each sign: the median over real fonts; neutral where a sign has no such stroke."""
    tables = [_table(getattr(strokes, trait), labels, styles) for trait in TRAITS]
    against = [_against(table, trait) for trait, table in zip(TRAITS, tables, strict=True)]
    found = [_median(table, axis=0) for table in against]
    neutral = (1.0, 0.0, 1.0)
    return Usual(*(np.where(np.isfinite(row), row, value) for row, value in zip(found, neutral, strict=True)))


def spread(strokes: Strokes, labels: Ints, styles: Ints, usual: Usual) -> Floats:
    """Return the variation over letters of stem, slant and contrast of each style [S, 3], S = the largest style + 1.

    Stem and contrast: standard deviation over mean. Slant, whose mean may be 0: standard deviation in rad. nan for a
    style with fewer than 5 such letters.
    """
    columns = []
    for trait in TRAITS:
        table = _without_usual(_table(getattr(strokes, trait), labels, styles), trait, usual)
        with np.errstate(invalid="ignore"):
            deviation = np.sqrt(_mean((table - _mean(table)[:, None]) ** 2))
            column = deviation if trait == "slant" else deviation / _mean(table)
        columns.append(np.where(np.isfinite(table).sum(axis=1) >= FEWEST, column, np.nan))
    return np.stack(columns, axis=1)


def part(strokes: Strokes, labels: Ints, styles: Ints, usual: Usual) -> Floats:
    """Return how far the Latin letters of each style lie from its Cyrillic ones in stem, slant and contrast [S, 3].

    The difference of the two means; of stem and contrast over the mean of both. nan for a style with fewer than 5 such
    letters of either script.
    """
    columns = []
    for trait in TRAITS:
        table = _without_usual(_table(getattr(strokes, trait), labels, styles), trait, usual)
        latin, cyrillic = table[:, _LATIN], table[:, _CYRILLIC]
        gap = np.abs(_mean(latin) - _mean(cyrillic))
        column = gap if trait == "slant" else gap * 2 / (_mean(latin) + _mean(cyrillic))
        enough = (np.isfinite(latin).sum(axis=1) >= FEWEST) & (np.isfinite(cyrillic).sum(axis=1) >= FEWEST)
        columns.append(np.where(enough, column, np.nan))
    return np.stack(columns, axis=1)


def compare(drawn: Floats, real: Floats) -> float:
    """Return the mean over the three traits of the ratio of the styles' means: drawn [S, 3] against real [T, 3]."""
    return float(np.mean(np.nanmean(drawn, axis=0) / np.nanmean(real, axis=0)))


def _table(values: Floats, labels: Ints, styles: Ints) -> Floats:
    """Lay the letters' values out as [S, 69]; nan where a style lacks a letter."""
    table = np.full((int(styles.max(initial=-1)) + 1, len(LETTERS)), np.nan)
    table[styles, labels] = values
    return table


def _without_usual(table: Floats, trait: str, usual: Usual) -> Floats:
    normal: Floats = getattr(usual, trait)
    return table - normal if trait == "slant" else table / normal


def _against(table: Floats, trait: str) -> Floats:
    middle = _median(table, axis=1)[:, None]
    return table - middle if trait == "slant" else table / middle


def _mean(table: Floats) -> Floats:
    """Return the mean of each row's finite values; nan where there is none."""
    there = np.isfinite(table)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(there, table, 0.0).sum(axis=1) / there.sum(axis=1))


def _median(table: Floats, axis: int) -> Floats:
    """Return the median of the finite values along an axis; nan where there is none."""
    empty = ~np.isfinite(table).any(axis=axis)
    found: Floats = np.nanmedian(np.where(np.expand_dims(empty, axis), 0.0, table), axis=axis)
    return np.where(empty, np.nan, found)
