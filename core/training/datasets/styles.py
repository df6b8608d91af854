"""The styles of parsed fonts as a merge holds them: what is compared in memory, the fields packed in their parts."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import radians, tan
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from core.alphabet import LETTERS
from core.training.datasets import archive

# Masks of this many cells a side: fine enough to tell neighbouring weights apart.
MASK: Final = 64
# Sketches of this many cells a side: the mean field of a cell says how much of it is ink, and where the edge runs.
SKETCH: Final = 16

# Letters that have diagonals in every design, stepped ones in fonts made of dots.
_DIAGONAL: Final = [LETTERS.index(letter) for letter in "AKMNVWXZ"]

# Words of family names that name a cut and not a design.
_CUT: Final = re.compile(
    r"thin|hairline|light|book|regular|normal|medium|semi|demi|bold|extra|ultra|heavy|black|fat|italic|oblique|slanted"
    r"|upright|cond(ensed)?|compressed|narrow|extended|expanded|wide|mono|display|text|caption|subhead|small|caps"
    r"|smallcaps|sc|no|pt|roman"
)


@dataclass(frozen=True)
class Style:
    """One style: where its fields are, and its letters small enough to hold those of thousands of styles."""

    part: int  # place among the parts
    rows: NDArray[np.int64]  # [n] of its glyphs in the part
    source: str
    family: str
    name: str
    licence: str
    stroke: float
    raised: bool
    masked: dict[str, str]  # reason -> letters
    labels: NDArray[np.int64]  # [n] positions in LETTERS
    masks: NDArray[np.uint8]  # [n, MASK * MASK / 8]: ink or not, eight cells a byte
    sketches: NDArray[np.int8]  # [n, SKETCH * SKETCH], in steps of the stored field
    topologies: NDArray[np.int64]  # [n] parts less holes
    slant: (
        float  # share of the edges of letters with diagonals that run neither across nor down; 1 without such letters
    )

    @property
    def title(self) -> str:
        """The style with its file, for people."""
        return f"{self.source}: {self.name}"

    @property
    def kin(self) -> str:
        """What all cuts of its design are called: the family's name without weight, width and optical size."""
        parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", self.family).lower()
        words = [word for word in re.split(r"[^\w]+|[\d_]+", parted) if word and not _CUT.fullmatch(word)]
        folder = self.source.rpartition("/")[0].rpartition("/")[2].lower()
        # Some families name every cut by one word of its own: drmbx10, drmit12 in the folder drm.
        if len(words) == 1 and len(folder) > 2 and words[0].startswith(folder):
            return folder
        return " ".join(words) or self.family.lower()

    def draw_masks(self) -> NDArray[np.bool_]:
        """Return the ink of all letters, [n, MASK, MASK]."""
        return np.unpackbits(self.masks, axis=1).reshape(-1, MASK, MASK).astype(np.bool_)

    def mask(self, kept: NDArray[np.bool_], reason: str) -> Self:
        """Return the style without the letters that are not kept."""
        signs = "".join(LETTERS[label] for label in self.labels[~kept].tolist())
        masked = self.masked | {reason: self.masked.get(reason, "") + signs} if signs else self.masked
        arrays = {name: getattr(self, name)[kept] for name in ("rows", "labels", "masks", "sketches", "topologies")}
        return replace(self, masked=masked, **arrays)


class Parts:
    """Parsed files, packed as they came: a whole dataset's fields are gigabytes, and half of them are not kept."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        """Read every part once."""
        self.dropped: list[tuple[str, str]] = []  # (source, reason)
        self.styles: list[Style] = []
        self._packed: list[bytes] = []
        for packed in parts:
            arrays = archive.unpack(packed)
            meta = json.loads(arrays["meta"].tobytes())
            if "dropped" in meta:
                self.dropped.append((str(meta["source"]), str(meta["dropped"])))
                continue
            self.styles += _styles(len(self._packed), meta, arrays)
            self._packed.append(packed)

    def gather(self, styles: list[Style]) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float32]]:
        """Return fields [N, H, W], advances [N] and bearings [N, 2] of all glyphs of some styles, in their order."""
        count = sum(len(style.labels) for style in styles)
        gathered: archive.Arrays = {}
        start = 0
        for style in styles:
            arrays = archive.unpack(self._packed[style.part])
            stop = start + len(style.rows)
            for name in ("fields", "advances", "bearings"):
                rows = arrays[name][style.rows]
                whole = gathered.setdefault(name, np.empty((count, *rows.shape[1:]), dtype=rows.dtype))
                whole[start:stop] = rows
            start = stop
        return gathered["fields"], gathered["advances"], gathered["bearings"]


def _styles(part: int, meta: Any, arrays: archive.Arrays) -> Iterator[Style]:
    for number, style in enumerate(meta["styles"]):
        rows = np.flatnonzero(arrays["styles"] == number)
        fields = arrays["fields"][rows]
        yield Style(
            part=part,
            rows=rows,
            source=meta["source"],
            family=meta["family"],
            name=f"{meta['family']} {style['name']}",
            licence=meta["licence"],
            stroke=style["stroke"],
            raised=style["raised"],
            masked=style["masked"],
            labels=arrays["labels"][rows].astype(np.int64),
            masks=_mask(fields),
            sketches=_sketch(fields),
            topologies=count_topology(fields > 0),
            slant=_measure_slant(fields[np.isin(arrays["labels"][rows], _DIAGONAL)]),
        )


def count_topology(ink: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return parts less holes of masks [n, H, W], ink 8-connected: corners less edges plus faces of closed cells."""
    padded = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    across = padded[:, :, :-1] | padded[:, :, 1:]
    down = padded[:, :-1] | padded[:, 1:]
    corners = across[:, :-1] | across[:, 1:]
    counts = [np.count_nonzero(cells.reshape(len(ink), -1), axis=1) for cells in (corners, across, down, padded)]
    return np.asarray(counts[0] - counts[1] - counts[2] + counts[3], dtype=np.int64)


def _measure_slant(fields: NDArray[Any]) -> float:
    """Return the share of edge cells whose gradient is at least 15 degrees from both axes."""
    heights = fields.astype(np.float32)
    down = heights[:, 2:, 1:-1] - heights[:, :-2, 1:-1]
    across = heights[:, 1:-1, 2:] - heights[:, 1:-1, :-2]
    edge = np.abs(heights[:, 1:-1, 1:-1]) < np.hypot(down, across) / 4  # within half a cell of the outline
    steep = np.sort(np.abs(np.stack([down[edge], across[edge]])), axis=0)
    return float((steep[0] > tan(radians(15)) * steep[1]).mean()) if edge.any() else 1.0


def _mask(fields: NDArray[Any]) -> NDArray[np.uint8]:
    step = fields.shape[-1] // MASK
    return np.packbits(fields[:, ::step, ::step].reshape(len(fields), -1) > 0, axis=1)


def _sketch(fields: NDArray[Any]) -> NDArray[np.int8]:
    side = fields.shape[-1] // SKETCH
    blocks = fields.reshape(len(fields), SKETCH, side, SKETCH, side)
    means = blocks.mean(axis=(2, 4), dtype=np.float32).reshape(len(fields), -1)
    return np.asarray(np.rint(means), dtype=np.int8)
