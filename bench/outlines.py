"""`python -m bench.outlines`: measure the outlines of the installed fonts, the reference of the edge figures.

Writes `core/training/metrics/outlines.npz`, a few numbers a letter, so that an evaluation needs no font file.
"""

import sys
from typing import Final

import numpy as np

from core.alphabet import position
from core.errors import Invalid
from core.training.config import DatasetConfig
from core.training.datasets import faces, fonts
from core.training.evaluation import OUTLINES, Outlines
from core.training.metrics.edges import Edges, measure_outlines

STYLES_A_FONT: Final = 2
LETTERS_A_STYLE: Final = 24


def main() -> int:
    """Measure two styles of each font, 24 letters of each; all by lot with a fixed seed."""
    lot = np.random.default_rng(0)
    letters: list[faces.Letter] = []
    for source in fonts.sources(DatasetConfig()):
        try:
            styles = list(faces.instances(faces.open_face(source.path.read_bytes())))
        except Invalid:
            continue
        for chosen in lot.permutation(len(styles))[:STYLES_A_FONT]:
            own = styles[chosen].letters
            letters += [own[place] for place in lot.permutation(len(own))[:LETTERS_A_STYLE]]
    measured = measure_outlines([letter.segments for letter in letters])
    sure = np.isfinite(measured.residual)
    labels = np.array([position(letter.sign) for letter in letters])[sure]
    kept = Edges(**{name: column[sure] for name, column in vars(measured).items()})
    OUTLINES.write_bytes(Outlines(kept, labels).pack())
    print(f"{len(labels)} letters measured into {OUTLINES.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
