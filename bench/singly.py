"""One variant at a time, a seed each, at batch 1: what is made without an engine. Two ways lead from the network on.

`Script` goes on as a script would, in NumPy, SciPy and Pillow (`bench.plain`): the same steps, and less of them; no
letter is read and no outline mended. `Single` goes on with Vyaz's own composer, so that only the batch differs.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench import plain
from bench.pairs import PIXELS, compose_shipped
from core.errors import ItemError
from core.pipeline import Composer, Made
from core.recipe import Recipes, draw

PAIRS: Final = ("AK", "ЇЖ")


class Single(Composer):
    """A composer whose block is one item: nothing is padded."""

    def _pad(self, values: NDArray[np.generic], rows: slice, filling: int) -> Tensor:
        return torch.from_numpy(values.copy()).to(self._device)

    def make(self) -> Made:
        """Make item 0 of the seed; raises the `ItemError` of one that cannot be made."""
        (made,) = self.compose(0, 1)
        if isinstance(made, ItemError):
            raise made
        assert isinstance(made, Made), "nothing is rejected unless asked for"
        return made

    @torch.inference_mode()
    def letters(self) -> NDArray[np.float32]:
        """The network's fields of item 0, [L, h, w]."""
        recipes: Recipes = draw(self.spec, self.seed, 0, 1)
        fields: NDArray[np.float32] = self._draw(recipes, slice(0, 1))[0].numpy()
        return fields


class Singles:
    """Makes the variant of any seed, of `PAIRS` in turn; on one thread."""

    def __init__(self, pairs: Sequence[str] = PAIRS) -> None:
        torch.set_num_threads(1)
        self._composers = [compose_shipped([letters], 0, Single) for letters in pairs]

    def own(self, seed: int) -> bytes:
        """The PNG by Vyaz's own composer."""
        return self._at(seed).make().png

    def script(self, seed: int) -> tuple[NDArray[np.uint8], float]:
        """Pixels and score as a script makes them."""
        return plain.draw(self._at(seed).letters(), PIXELS)

    def _at(self, seed: int) -> Single:
        composer = self._composers[seed % len(self._composers)]
        composer.seed = seed
        return composer
