"""Dataset kind `fonts`: font files of installed packages, or of a folder, become one dataset version.

A file is one item of a `dataset` job: `sources` lists them, `parse` reads one in a limited child process, and `merge`,
the closing shard, joins the parts. A broken file is a part with a reason instead of glyphs; it never stops the others.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np

from core.errors import EnvironmentFault, Invalid, JobError
from core.training.config import DatasetConfig
from core.training.datasets import archive, licences
from core.training.datasets.selection import Selection, select
from core.training.datasets.styles import Parts

SUFFIXES: Final = frozenset({".ttf", ".otf", ".woff", ".woff2"})
GROUPS: Final = ("fonts_ttf", "fonts_otf", "fonts_woff2", "justmytype.packs")
MAX_SOURCES: Final = 20_000
MAX_GLYPHS: Final = 250_000
PARSE_SECONDS: Final = 120.0

# The parent of the package `core`: where the child finds it, installed or not.
_HOME: Final = Path(__file__).resolve().parents[3]
# The child gets no secrets of this process, and one thread: each takes address space.
_CHILD_ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(frozen=True)
class Source:
    """One font file: the item of a `dataset` job."""

    name: str  # relative, with forward slashes: the same on every machine
    path: Path
    sha256: str
    licence: str | None  # told by a licence file beside it; the font's own words go before


def sources(config: DatasetConfig) -> list[Source]:
    """List the font files of a dataset by name; raise `Invalid` if there are none."""
    # A package gives its name to its fonts, a folder does not: it may be moved.
    roots = {f"{root.name}/": root for root in _installed()} if config.path is None else {"": _checked(config.path)}
    found = [_look(path, root, prefix) for prefix, root in roots.items() for path in _fonts(root)]
    if not found:
        where = str(config.path) if config.path else "the installed font packages"
        raise Invalid(f"no fonts ({', '.join(sorted(SUFFIXES))}) in {where}", pointer="/path")
    if len(found) > MAX_SOURCES:
        raise Invalid(f"{len(found)} fonts in one dataset; at most {MAX_SOURCES} are allowed", pointer="/path")
    return sorted(found, key=lambda source: source.name)


def fingerprint(found: Iterable[Source]) -> str:
    """Return a digest of what a version would be made from: equal means that making it again changes nothing."""
    lines = [f"{source.name} {source.sha256} {source.licence}\n" for source in found]
    return sha256("".join([f"fonts {archive.FORMAT}\n", *lines]).encode()).hexdigest()


def parse(source: Source, seconds: float = PARSE_SECONDS) -> bytes:
    """Read one font in a child process and return its part: glyphs, or the reason why there are none."""
    try:
        data = source.path.read_bytes()
    except OSError as error:
        return _drop(source.name, f"cannot be read: {error.strerror}")
    if sha256(data).hexdigest() != source.sha256:
        return _drop(source.name, "changed while the dataset was made")
    module = "core.training.datasets.parser"
    command = [sys.executable, "-m", module, source.name, *([source.licence] if source.licence else [])]
    try:
        child = subprocess.run(
            command, input=data, capture_output=True, timeout=seconds, cwd=_HOME, env=_CHILD_ENVIRONMENT, check=False
        )
    except subprocess.TimeoutExpired:
        return _drop(source.name, f"took longer than {seconds:g} s")
    except OSError as error:
        raise EnvironmentFault(f"the font parser cannot be started: {error}") from error
    return child.stdout if child.returncode == 0 else _drop(source.name, _explain(child.returncode, child.stderr))


def parse_all(found: Sequence[Source], at_once: int = 2) -> Iterator[bytes]:
    """Yield the parts of several fonts in order, a few child processes at a time."""
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(parse, found)


def _explain(status: int, stderr: bytes) -> str:
    if status < 0:
        return f"the parser was stopped by signal {-status} (broken, or beyond its limits)"
    lines = stderr.decode(errors="replace").strip().splitlines() or [f"status {status}"]
    return lines[-1][:200] if status == 3 else f"broken: {lines[-1][:200]}"


def _drop(name: str, reason: str) -> bytes:
    return archive.pack({"meta": archive.text({"source": name, "dropped": reason})})


@dataclass(frozen=True)
class Merged:
    """A dataset version, ready to be stored."""

    data: bytes
    sha256: str
    report: archive.Report


def merge(parts: Iterable[bytes]) -> Merged:
    """Join parts, in the order of their sources, into one dataset version; raise `JobError` if no letter is left."""
    read = Parts(parts)
    if not read.styles:
        raise JobError(f"none of {len(read.dropped)} font files can be used ({_quote(read.dropped)})")
    selection = select(read.styles)
    if not selection.styles:
        raise JobError(f"none of {len(read.styles)} styles can be used ({_quote(selection.unfit)})")
    if (count := sum(len(style.labels) for style in selection.styles)) > MAX_GLYPHS:
        raise JobError(f"{count} letters in one dataset; at most {MAX_GLYPHS} are allowed; take fewer fonts")
    dataset = _assemble(read, selection)
    packed = dataset.pack()
    return Merged(packed, sha256(packed).hexdigest(), dataset.report)


def _quote(reasons: Sequence[tuple[str, str]]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in reasons[:3])


def _assemble(parts: Parts, selection: Selection) -> archive.Dataset:
    styles = selection.styles
    fields, advances, bearings = parts.gather(styles)
    return archive.Dataset(
        fields=fields,
        labels=np.concatenate([style.labels for style in styles]),
        styles=np.repeat(np.arange(len(styles)), [len(style.labels) for style in styles]),
        clusters=selection.clusters,
        strokes=np.array([style.stroke for style in styles], dtype=np.float32),
        advances=advances,
        bearings=bearings,
        style_names=tuple(style.name for style in styles),
        licences=tuple(style.licence for style in styles),
        display=selection.display,
        report=_report(parts, selection),
    )


def _report(parts: Parts, selection: Selection) -> archive.Report:
    styles = selection.styles
    masked: Counter[str] = Counter()
    for style in styles:
        masked.update({reason: len(letters) for reason, letters in style.masked.items()})
    return archive.Report(
        sources=len({style.source for style in styles}),
        styles=len(styles),
        glyphs=sum(len(style.labels) for style in styles),
        families=len({style.family for style in styles}),
        clusters=len(np.unique(selection.clusters)),
        display=int(selection.display.sum()),
        dropped=tuple(parts.dropped),
        unfit=tuple(selection.unfit),
        repeated=tuple(selection.repeated),
        thinned=selection.thinned,
        masked=dict(sorted(masked.items())),
        raised=sum(style.raised for style in styles),
        licences=dict(sorted(Counter(style.licence for style in styles).items())),
    )


def _installed() -> list[Path]:
    """Return the folders of installed font packages, found by their entry points; none of their code runs."""
    modules = {entry.module.partition(".")[0] for group in GROUPS for entry in entry_points(group=group)}
    specs = [find_spec(module) for module in sorted(modules)]
    return [Path(place) for spec in specs if spec for place in spec.submodule_search_locations or ()]


def _checked(path: Path) -> Path:
    if not path.is_dir():
        raise Invalid(f"{path} is not a folder on this machine", pointer="/path")
    return path.resolve()


def _fonts(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def _look(path: Path, root: Path, prefix: str) -> Source:
    try:
        digest = sha256(path.read_bytes()).hexdigest()
        licence = licences.beside(path, root)
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be read: {error.strerror}") from error
    return Source(prefix + path.relative_to(root).as_posix(), path, digest, licence)
