"""The best that differ from each other: down a ranking, what looks like one that is chosen already is passed over."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

CELLS: Final = 32  # across what is compared
ALIKE: Final = 0.8  # of the ink of both together that both share: from here on two look alike to a customer
TRIED: Final = 16  # for each that is wanted, so many down the ranking are looked at


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was chosen, in the order of the ranking, and how many were passed over as too like a better one."""

    places: tuple[int, ...]
    alike: int


def choose(count: int, look: Callable[[int], Pixels], wanted: int) -> Chosen:
    """Choose `wanted` of `count` ranked pictures, the best first; `look` draws one by its place.

    Fewer come back where the first `TRIED` x `wanted` do not differ enough.
    """
    kept = np.zeros((wanted, CELLS * CELLS), dtype=np.uint16)
    places: list[int] = []
    alike = 0
    for place in range(min(count, TRIED * wanted)):
        seen = _shrink(look(place))
        if places and _share(kept[: len(places)], seen).max() > ALIKE:
            alike += 1
            continue
        kept[len(places)] = seen
        places.append(place)
        if len(places) == wanted:
            break
    return Chosen(tuple(places), alike)


def _shrink(pixels: Pixels) -> NDArray[np.uint16]:
    small = Image.fromarray(pixels).resize((CELLS, CELLS), Image.Resampling.BOX)
    return 255 - np.asarray(small, dtype=np.uint16).reshape(-1)


def _share(kept: NDArray[np.uint16], seen: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Return the ink that each of some pictures [n, C] shares with one [C], of the ink of both."""
    both, either = (
        np.minimum(kept, seen).sum(axis=1, dtype=np.int64),
        np.maximum(kept, seen).sum(axis=1, dtype=np.int64),
    )
    return np.asarray(both / np.maximum(either, 1))
