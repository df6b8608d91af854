"""A dataset version as one file: a deterministic npz of fields, labels, styles and clusters, read without pickle."""

import json
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from io import BytesIO
from typing import Any, Final, Self
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from core import alphabet
from core.alphabet import LETTERS
from core.errors import JobError

SIZE: Final = 128
CLAMP: Final = alphabet.CLAMP  # int8 value 127 is this far inside, -127 this far outside
FORMAT: Final = 2
_READABLE: Final = (1, FORMAT)  # 1 does not tell display faces
# The least share of the draws that goes to display faces.
DISPLAY_SHARE: Final = 0.2

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Report:
    """What went into a dataset version and what did not, for people and for the catalogue."""

    sources: int = 0
    styles: int = 0
    glyphs: int = 0
    families: int = 0
    clusters: int = 0
    display: int = 0  # styles that are display faces
    # (source, reason) for files left out; (style, reason) and (style, style it repeats) for styles left out.
    dropped: tuple[tuple[str, str], ...] = ()
    unfit: tuple[tuple[str, str], ...] = ()
    repeated: tuple[tuple[str, str], ...] = ()
    # Styles left out of families that have many, by family.
    thinned: dict[str, int] = field(default_factory=dict)
    # Letters left out of styles that were kept, by reason; styles whose thinnest stroke was raised.
    masked: dict[str, int] = field(default_factory=dict)
    raised: int = 0
    licences: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """One dataset version in memory. N glyphs in S styles; a letter that a style lacks has no row."""

    fields: NDArray[np.int8]  # [N, H, H] (128; 28 for emnist), CLAMP / 127 of the canvas a step, positive inside
    labels: NDArray[np.int64]  # [N] positions in LETTERS
    styles: NDArray[np.int64]  # [N] places in style_names
    clusters: NDArray[np.int64]  # [S] cluster of each style: the unit of every split and of drawing
    strokes: NDArray[np.float32]  # [S] thinnest stroke, of the canvas
    advances: NDArray[np.float32]  # [N] of the canvas
    bearings: NDArray[np.float32]  # [N, 2] left and right, of the canvas
    style_names: tuple[str, ...]
    licences: tuple[str, ...]  # [S]
    report: Report
    sha256: str = ""
    display: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))  # [S]; none given: none is

    def __post_init__(self) -> None:
        if not len(self.display):
            object.__setattr__(self, "display", np.zeros(len(self.style_names), dtype=np.bool_))

    def weigh(self) -> NDArray[np.float64]:
        """Return how often each style [S] should be drawn, the sum being 1.

        A cluster's share grows with the root of its styles, and display faces get at least `DISPLAY_SHARE`.
        """
        _, place, sizes = np.unique(self.clusters, return_inverse=True, return_counts=True)
        weights = sizes[place] ** -0.5
        weights /= weights.sum()
        share = weights[self.display].sum()
        if 0 < share < DISPLAY_SHARE:
            weights[self.display] *= DISPLAY_SHARE / share
            weights[~self.display] *= (1 - DISPLAY_SHARE) / (1 - share)
        return np.asarray(weights, dtype=np.float64)

    def pack(self) -> bytes:
        """Return the npz bytes: the same content gives the same bytes."""
        meta = {
            "format": FORMAT,
            "letters": LETTERS,
            "style_names": self.style_names,
            "licences": self.licences,
            "report": asdict(self.report),
        }
        return pack(
            {
                "fields": self.fields,
                "labels": self.labels.astype(np.int16),
                "styles": self.styles.astype(np.int32),
                "clusters": self.clusters.astype(np.int32),
                "strokes": self.strokes,
                "advances": self.advances,
                "bearings": self.bearings,
                "display": self.display,
                "meta": text(meta),
            }
        )

    @classmethod
    def load(cls, data: bytes) -> Self:
        """Read npz bytes; raise `JobError` if they are no dataset of this version of Vyaz."""
        try:
            arrays = unpack(data)
            meta = json.loads(arrays["meta"].tobytes())
            if meta["format"] not in _READABLE or not LETTERS.startswith(meta["letters"]):
                raise JobError("the dataset was made by another version of Vyaz; make it again")
            report: dict[str, Any] = {
                name: tuple(map(tuple, value)) if isinstance(value, list) else value
                for name, value in meta["report"].items()
            }
            return cls(
                fields=arrays["fields"],
                labels=arrays["labels"].astype(np.int64),
                styles=arrays["styles"].astype(np.int64),
                clusters=arrays["clusters"].astype(np.int64),
                strokes=arrays["strokes"],
                advances=arrays["advances"],
                bearings=arrays["bearings"],
                style_names=tuple(meta["style_names"]),
                licences=tuple(meta["licences"]),
                report=Report(**report),
                sha256=sha256(data).hexdigest(),
                display=arrays.get("display", np.zeros(0, dtype=np.bool_)),
            )
        except (BadZipFile, EOFError, KeyError, OSError, TypeError, ValueError) as error:
            raise JobError(f"the dataset cannot be read: {error!r}") from error


def text(content: Any) -> NDArray[np.uint8]:
    """Return JSON content as an array of its UTF-8 bytes, keys sorted."""
    encoded = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    return np.frombuffer(encoded, dtype=np.uint8)


def pack(arrays: Arrays, level: int = 6) -> bytes:
    """Write arrays as an npz whose bytes depend on nothing but their content (numpy's own carries the time)."""
    out = BytesIO()
    with ZipFile(out, "w", ZIP_DEFLATED, compresslevel=level) as archive:
        for name, array in sorted(arrays.items()):
            entry = ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            # Straight into the archive: fields are gigabytes.
            with archive.open(entry, "w", force_zip64=array.nbytes >= 1 << 31) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return out.getvalue()


def unpack(data: bytes) -> Arrays:
    """Read every array of an npz, never a pickle."""
    with np.load(BytesIO(data), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
