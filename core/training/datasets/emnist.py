"""Dataset kind `emnist`: handwritten capitals and digits (Cohen et al., "EMNIST", 2017), from NIST, public domain.

`letters` has 26 classes that hold both cases: A is an `A` or an `a`, and nothing says which; all are taken as capitals.
`balanced` has 47: digits and capitals (C I J K L M O P S U V W X Y Z together with their small letters) are taken, the
eleven other small letters are left out and counted. Only training images are read.

Nothing says who wrote what, so all images are one style and one cluster, and a run on them trains the bare conditional
GAN (`core/training/views.py: View.paired`). An image stands where a capital would: EMNIST fits every sign into 24
pixels, and these become one cap height around the middle of the cap band. Fields are 28 x 28.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.alphabet import BASELINE, CAP_HEIGHT, DIGITS, LATIN, position
from core.errors import EnvironmentFault, Invalid, JobError
from core.registry import EmnistSplit
from core.training.config import DatasetConfig
from core.training.datasets import archive, idx, scans
from core.training.datasets.fonts import Merged, Source
from core.training.datasets.parser import thinnest_stroke

PORTION: Final = 8192  # images: the item of a `dataset` job
DOWNLOAD_SECONDS: Final = 3600.0
LICENCE: Final = "public domain (NIST)"
PLACES: Final = ("", "EMNIST/raw", "raw", "gzip")  # where a folder may have the files; torchvision's is the second
SIGN_PIXELS: Final = 24  # the box that every sign of EMNIST fills
BEARING: Final = 0.04  # of the canvas: a guess, as single letters tell nothing of spacing

# Class -> sign; lower case where Vyaz has none. Letters are counted from 1.
_SIGNS: Final = {EmnistSplit.LETTERS: f" {LATIN}", EmnistSplit.BALANCED: f"{DIGITS}{LATIN}abdefghnqrt"}
_PIXEL: Final = CAP_HEIGHT / SIGN_PIXELS  # of the canvas
_UNREACHABLE: Final = 3  # status of the downloading child
_HOME: Final = Path(__file__).resolve().parents[3]  # the parent of the package `core`


def sources(config: DatasetConfig, downloads: Path) -> list[Source]:
    """Check the files of a dataset and list them by portions; raise `Invalid` naming the file that cannot be used.

    Without a folder of the configuration's own the files are taken from `downloads`, and put there first if need be;
    raise `JobError` where no network allows it.
    """
    split = config.split or EmnistSplit.LETTERS
    folder = config.path or _download(split, downloads)
    if not folder.is_dir():
        raise Invalid(f"{folder} is not a folder on this machine", pointer="/path")
    images = _find(folder, f"emnist-{split}-train-images-idx3-ubyte")
    signs = _Signs.read(split, images)
    starts = range(0, len(signs.labels), PORTION)
    return [Source(f"emnist-{split} from {start}", images, signs.sha256, LICENCE) for start in starts]


def fingerprint(found: Iterable[Source]) -> str:
    """Return a digest of what a version would be made from: equal means that making it again changes nothing."""
    lines = [f"{source.name} {source.sha256}\n" for source in found]
    return sha256("".join([f"emnist {archive.FORMAT}\n", *lines]).encode()).hexdigest()


def parse_all(found: Sequence[Source], at_once: int = 2) -> Iterator[bytes]:
    """Yield the parts of several portions in order; raise `JobError` if the files are not as they were listed."""
    if not found:
        return
    split = EmnistSplit(found[0].name.removeprefix("emnist-").partition(" ")[0])
    try:
        signs = _Signs.read(split, found[0].path)
    except Invalid as error:
        raise JobError(str(error)) from error
    if {source.sha256 for source in found} != {signs.sha256}:
        raise JobError(f"{found[0].path.name} changed while the dataset was made")
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(partial(_measure, signs), found)


def merge(parts: Iterable[bytes]) -> Merged:
    """Join portions, in their order, into one dataset version; raise `JobError` if no image is left."""
    rows = [archive.unpack(part) for part in parts]
    metas = [json.loads(row["meta"].tobytes()) for row in rows]
    masked: Counter[str] = Counter()
    for meta in metas:
        masked.update(meta["masked"])
    whole = {name: np.concatenate([row.pop(name) for row in rows]) for name in list(rows[0]) if name != "meta"}
    count = len(whole["labels"])
    if not count:
        raise JobError("none of the images can be used")
    dataset = archive.Dataset(
        fields=whole["fields"],
        labels=whole["labels"].astype(np.int64),
        styles=np.zeros(count, dtype=np.int64),
        clusters=np.zeros(1, dtype=np.int64),
        strokes=np.array([np.median([meta["stroke"] for meta in metas])], dtype=np.float32),
        advances=whole["advances"],
        bearings=np.full((count, 2), BEARING, dtype=np.float32),
        style_names=(f"EMNIST {metas[0]['split']}",),
        licences=(LICENCE,),
        report=archive.Report(
            sources=1,
            styles=1,
            glyphs=count,
            families=1,
            clusters=1,
            masked=dict(sorted(masked.items())),
            licences={LICENCE: 1},
        ),
    )
    packed = dataset.pack()
    return Merged(packed, sha256(packed).hexdigest(), dataset.report)


class _Signs:
    """The images and labels of a split, upright."""

    def __init__(self, split: EmnistSplit, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        self.split = split
        self.images = images.transpose(0, 2, 1)  # EMNIST stores columns as rows
        self.labels = labels
        digest = sha256(images.tobytes())
        digest.update(labels.tobytes())
        self.sha256 = digest.hexdigest()  # of the content: gzipped or not, it is the same dataset

    @classmethod
    def read(cls, split: EmnistSplit, path: Path) -> "_Signs":
        """Read the images at `path` and the labels beside them; raise `Invalid` if they do not belong together."""
        beside = _find(path.parent, f"emnist-{split}-train-labels-idx1-ubyte")
        images, labels = idx.read_images(path), idx.read_labels(beside)
        if len(images) != len(labels):
            raise Invalid(f"{beside.name} has {len(labels)} labels for {len(images)} images", pointer="/path")
        strange = (labels >= len(_SIGNS[split])) | (labels < (split is EmnistSplit.LETTERS))
        if strange.any():
            place = int(strange.argmax())
            raise Invalid(f"{beside.name} has the label {labels[place]} at {place}, not one of {split}", "/path")
        return cls(split, images, labels)


def _find(folder: Path, name: str) -> Path:
    """Return the file of this name, gzipped or not, in one of the usual places; raise `Invalid` if there is none."""
    candidates = [folder / place / (name + suffix) for place in PLACES for suffix in ("", ".gz")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise Invalid(f"{name} (or {name}.gz) is missing in {folder}", pointer="/path")


def _measure(signs: _Signs, source: Source) -> bytes:
    """Return the part of one portion: a field for each sign that Vyaz has."""
    start = int(source.name.rpartition(" ")[2])
    rows = slice(start, start + PORTION)
    positions = np.array([position(sign) if sign in DIGITS + LATIN else -1 for sign in _SIGNS[signs.split]])
    labels, images = positions[signs.labels[rows]], signs.images[rows]
    inked = (images > scans.HALF).any(axis=(1, 2))
    taken = (labels >= 0) & inked
    masked = {"lower case": int((labels < 0).sum()), "empty": int((~inked & (labels >= 0)).sum())}
    edges = scans.find_edges(images[taken])
    fields = scans.measure(images[taken], edges, _places(), archive.CLAMP / _PIXEL) * np.float32(_PIXEL)
    meta = {"split": signs.split, "stroke": thinnest_stroke(fields.astype(np.float64)), "masked": masked}
    return archive.pack(
        {
            "fields": np.clip(np.rint(fields * (127 / archive.CLAMP)), -127, 127).astype(np.int8),
            "labels": labels[taken].astype(np.int16),
            "advances": _advances(edges, int(taken.sum())),
            "meta": archive.text(meta),
        },
        level=1,
    )


def _places() -> NDArray[np.float32]:
    """Return where the centres of the canvas's columns, or rows, lie in an image, in pixels."""
    centres = (np.arange(idx.SIDE) + 0.5) / idx.SIDE
    middle = BASELINE - CAP_HEIGHT / 2  # the middle of the canvas, too
    return np.asarray((idx.SIDE - 1) / 2 + (centres - middle) / _PIXEL, dtype=np.float32)


def _advances(edges: scans.Edges, count: int) -> NDArray[np.float32]:
    """Return the width of each letter's ink and a bearing on either side, of the canvas: [N]."""
    left, right = np.full(count, np.inf, dtype=np.float32), np.full(count, -np.inf, dtype=np.float32)
    np.minimum.at(left, edges.owners, edges.segments[:, 0::2].min(axis=1))
    np.maximum.at(right, edges.owners, edges.segments[:, 0::2].max(axis=1))
    return np.asarray((right - left) * _PIXEL + 2 * BEARING, dtype=np.float32)


def _download(split: EmnistSplit, downloads: Path) -> Path:
    """Return the folder with the downloaded files of a split; raise `JobError` if they cannot be had."""
    kept = downloads / "emnist"
    wanted = [f"emnist-{each}-train-{part}-ubyte" for each in EmnistSplit for part in ("images-idx3", "labels-idx1")]
    if all((kept / name).is_file() for name in wanted):
        return kept
    try:
        kept.mkdir(parents=True, exist_ok=True)
        # All of EMNIST is 2 GB unpacked, these splits 0.2; two workers may be at it, so a file appears whole.
        with TemporaryDirectory(dir=downloads, prefix="emnist-") as folder:
            _run_download(split, folder)
            for name in wanted:
                (Path(folder) / "EMNIST" / "raw" / name).replace(kept / name)
    except OSError as error:
        raise EnvironmentFault(f"EMNIST cannot be kept in {kept}: {error.strerror}") from error
    return kept


def _run_download(split: EmnistSplit, folder: str) -> None:
    command = [sys.executable, "-m", "core.training.datasets.download", folder, split]
    remedy = "get its gzip.zip from NIST, unpack it and name the folder: vyaz datasets add NAME FOLDER --kind emnist"
    try:
        child = subprocess.run(command, capture_output=True, timeout=DOWNLOAD_SECONDS, cwd=_HOME, check=False)
    except subprocess.TimeoutExpired:
        raise JobError(f"EMNIST was not downloaded within {DOWNLOAD_SECONDS / 60:g} minutes; {remedy}") from None
    if child.returncode:
        said = child.stderr.decode(errors="replace").strip().splitlines() or [f"status {child.returncode}"]
        plain = said[-1][:200] if child.returncode == _UNREACHABLE else f"broken: {said[-1][:200]}"
        raise JobError(f"EMNIST cannot be downloaded here ({plain}); {remedy}")
