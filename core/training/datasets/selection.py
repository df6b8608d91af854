"""Which styles and letters of all that were parsed become a dataset, in which clusters, and why the others do not.

Every decision is counted. The thresholds were set by eye on sheets of the styles nearest to them; docs/data.md says
what they take away.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.alphabet import LATIN, UKRAINIAN
from core.training.datasets import clusters, misfits
from core.training.datasets.misfits import Likeness
from core.training.datasets.styles import Style

# Fewer letters of A-Z than this are no alphabet.
MIN_LATIN: Final = 20
# Styles of one family: those of many weights, widths and optical sizes must not outweigh the others.
MAX_KIN: Final = 12
# Below so many clusters there is nothing to compare a letter with.
MIN_CLUSTERS: Final = 40
# A letter whose own kind is this many times as far as another one is not what it is said to be.
MISFIT: Final = 1.6
# Cyrillic letters of a style are of another design where its look-alikes agree less than this.
SCRIPTS_AGREE: Final = 0.7
# Shares from which a style is left out: letters with parts or holes that letters do not have (outlined, stencilled,
# textured), letters nearer to other letters, small letters among the capitals; and the slanting edges it needs.
BROKEN: Final = 0.55
UNREADABLE: Final = 0.8
SHORT: Final = 0.2
SLANTING: Final = 0.15
# The median distance to the nearest drawing of the same letter, as a share of that to the nearest other letter, from
# which a style is a display face.
DISPLAY: Final = 0.75


@dataclass(frozen=True)
class Selection:
    """The styles of a dataset, and what happened to the others."""

    styles: list[Style]
    clusters: NDArray[np.int64]  # [S]
    display: NDArray[np.bool_]  # [S]
    unfit: list[tuple[str, str]] = field(default_factory=list)  # (style, reason)
    repeated: list[tuple[str, str]] = field(default_factory=list)  # (style, style it repeats)
    thinned: dict[str, int] = field(default_factory=dict)  # family -> styles


def select(styles: Sequence[Style]) -> Selection:
    """Choose styles and letters, and group them."""
    unfit: list[tuple[str, str]] = []
    repeated: list[tuple[str, str]] = []
    left = _with_alphabets(styles, unfit)
    left, thinned = _thin(left, repeated)
    near = clusters.nearness(left)
    unique = _find_unique(left, near, repeated)
    left, near = [left[number] for number in unique], near[np.ix_(unique, unique)]
    groups = clusters.group(near, [style.kin for style in left])
    if len(np.unique(groups)) < MIN_CLUSTERS:
        return Selection(left, groups, np.zeros(len(left), dtype=np.bool_), unfit, repeated, thinned)
    kept, masked, display = _fit(left, misfits.compare(left, groups), unfit)
    groups = clusters.group(near[np.ix_(kept, kept)], [style.kin for style in masked])
    return Selection(masked, groups, display, unfit, repeated, thinned)


def _with_alphabets(styles: Sequence[Style], unfit: list[tuple[str, str]]) -> list[Style]:
    left: list[Style] = []
    for style in styles:
        count = int((style.labels < len(LATIN)).sum())
        if count >= MIN_LATIN:
            left.append(style)
        else:
            unfit.append((style.title, f"{count} letters of A-Z can be used; {MIN_LATIN} are needed"))
    return left


def _thin(styles: list[Style], repeated: list[tuple[str, str]]) -> tuple[list[Style], dict[str, int]]:
    """Keep the styles of each family that are most unlike each other, in their old order."""
    kin: dict[str, list[int]] = defaultdict(list)
    for number, style in enumerate(styles):
        kin[style.kin].append(number)
    thinned: dict[str, int] = {}
    kept: list[int] = []
    for family, numbers in sorted(kin.items()):
        own = [styles[number] for number in numbers]
        near = clusters.nearness(own)
        unique = _find_unique(own, near, repeated)
        chosen = clusters.spread(near[np.ix_(unique, unique)], MAX_KIN)
        kept += [numbers[unique[place]] for place in chosen]
        if len(chosen) < len(unique):
            thinned[family] = len(unique) - len(chosen)
    return [styles[number] for number in sorted(kept)], thinned


def _find_unique(styles: list[Style], near: NDArray[np.float32], repeated: list[tuple[str, str]]) -> list[int]:
    """Return the places of the styles that repeat none before them; name the others."""
    first = clusters.repeats(near)
    repeated += [
        (style.title, styles[other].title)
        for number, (style, other) in enumerate(zip(styles, first, strict=True))
        if other != number
    ]
    return [number for number, other in enumerate(first) if other == number]


def _fit(
    styles: list[Style], likeness: Likeness, unfit: list[tuple[str, str]]
) -> tuple[list[int], list[Style], NDArray[np.bool_]]:
    """Return the places of the styles that can be read, those styles without misfits, and which are display faces."""
    ends = np.cumsum([len(style.labels) for style in styles])[:-1]
    ratios = np.split(likeness.own / np.maximum(likeness.other, 1e-6), ends)
    broken = np.split(misfits.find_broken(styles), ends)
    kept: list[int] = []
    masked: list[Style] = []
    display: list[bool] = []
    for number, style in enumerate(styles):
        found = _mask_misfits(style, ratios[number])
        reason = _refuse(found, ratios[number], broken[number])
        if reason:
            unfit.append((style.title, reason))
            continue
        kept.append(number)
        masked.append(found)
        display.append(bool(np.median(ratios[number]) > DISPLAY))
    return kept, masked, np.array(display, dtype=np.bool_)


def _mask_misfits(style: Style, ratios: NDArray[Any]) -> Style:
    found = style.mask(ratios < MISFIT, "misfit")
    if misfits.match_scripts(style) >= SCRIPTS_AGREE:
        return found
    cyrillic = (found.labels >= len(LATIN)) & (found.labels < len(LATIN + UKRAINIAN))
    return found.mask(~cyrillic, "foreign")


def _refuse(style: Style, ratios: NDArray[Any], broken: NDArray[np.bool_]) -> str:
    """Say why a style is left out, or nothing."""
    if broken.mean() > BROKEN:
        return f"{broken.mean():.0%} of its letters have parts or holes that they should not have"
    if style.slant < SLANTING:
        return f"made of dots: {style.slant:.0%} of the edges of its diagonals slant"
    if (short := misfits.share_of_short(style)) > SHORT:
        return f"{short:.0%} of its capitals are small letters"
    if (unlike := (ratios > 1).mean()) > UNREADABLE:
        return f"{unlike:.0%} of its letters are more like other letters"
    if (count := int((style.labels < len(LATIN)).sum())) < MIN_LATIN:
        return f"{count} letters of A-Z are like what they should be; {MIN_LATIN} are needed"
    return ""
