"""Letters as they are seen in a drawing: cut, warped and condensed ones are read as such, not as they were before."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.monogram.outline import Outline, bounds, move, rasterise

CELLS: Final = 64
_FINER: Final = 2


def see(visible: Sequence[Outline], whole: Sequence[Outline], glyphs: Sequence[Outline]) -> NDArray[np.float32]:
    """Return distances [L, CELLS, CELLS], of the canvas, of what is visible of letters, each where its glyph lies.

    `visible` lies on a canvas, and so does `whole`, the same letters uncut; `glyphs` are the letters before a layout
    took them. Whatever the layout did to a letter's box is undone.
    """
    return np.stack(
        [_distances(move(seen, _back(own, glyph))) for seen, own, glyph in zip(visible, whole, glyphs, strict=True)]
    )


def _back(whole: Outline, glyph: Outline) -> NDArray[np.float64]:
    """Return the matrix from a glyph's canvas to where the whole letter lies now."""
    low, high = bounds([whole])
    least, most = bounds([glyph])
    scale = (high - low) / np.maximum(most - least, 1e-6)
    return np.concatenate([np.diag(scale), (low - least * scale)[:, None]], axis=1)


def _distances(letter: Outline) -> NDArray[np.float32]:
    cells = CELLS * _FINER
    cover = rasterise(letter, cells).astype(np.float32) / 255
    ink = cover > 0.5
    # Beside an edge the share of a cell says where in it the edge lies.
    inside, outside = (ndimage.distance_transform_edt(each) for each in (ink, ~ink))
    field = np.where(ink, inside - 0.5, 0.5 - outside)
    edge = np.abs(field) < 1
    field = np.where(edge, cover - 0.5, field) / cells
    return np.asarray(field.reshape(CELLS, _FINER, CELLS, _FINER).mean(axis=(1, 3)), dtype=np.float32)
