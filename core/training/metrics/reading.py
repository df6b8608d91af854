"""Tesseract as a third voice: the share of letters it misreads in rows set like a line of print.

It was trained by others, on nothing of ours, so that it cannot share a judge's blind spots; but it was trained on text
and misreads many real fonts too, so only the ratio to real fonts drawn alike says anything. It is an optional program:
without it, or without its data for both scripts, there is no figure.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from core.alphabet import CAP_HEIGHT, DIGITS, HOMOGLYPHS, LATIN, LETTERS, UKRAINIAN, Script, position
from core.errors import EnvironmentFault
from core.monogram.outline import Outline, rasterise
from core.monogram.render import clean, outline_all

ROWS: Final = 200
LEAST, MOST = 8, 12  # letters of a row
CAP_PIXELS: Final = 48
CANVAS: Final = round(CAP_PIXELS / CAP_HEIGHT)  # pixels a side
BORDER: Final = 24  # white pixels around a row
SECONDS: Final = 300.0
_PORTION: Final = 64  # letters traced at a time
# tesseract(1): 7 treats the image as a single line of text, 1 takes the LSTM engine alone.
_OPTIONS: Final = ("--psm", "7", "--oem", "1", "--dpi", "300")
_LANGUAGES: Final[dict[Script, str]] = {"latin": "eng", "digit": "eng", "cyrillic": "ukr"}
_SCRIPTS: Final[dict[Script, str]] = {"latin": LATIN, "cyrillic": UKRAINIAN, "digit": DIGITS}


@dataclass(frozen=True)
class Row:
    """One line of print: letters of one script in one style, as positions in a set of fields."""

    script: Script
    letters: tuple[int, ...]


@dataclass(frozen=True)
class Reading:
    """What came of reading rows: the share of letters misread, and what was read (merged), row by row."""

    error: float
    texts: tuple[str, ...]


def fit_bearings(labels: NDArray[np.int64], bearings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the usual white left and right of each letter [69, 2] of real fonts, of the canvas: the median.

    For generated letters, which have no advance.
    """
    usual = np.tile(np.median(bearings, axis=0), (len(LETTERS), 1))
    for label in np.unique(labels):
        usual[label] = np.median(bearings[labels == label], axis=0)
    return usual.astype(np.float32)


def choose_rows(labels: NDArray[np.int64], styles: NDArray[np.int64], seed: int = 125, count: int = ROWS) -> list[Row]:
    """Choose rows of 8 to 12 letters, scripts as often as they have letters, styles evenly, letters with replacement.

    The same styles and letters give the same rows. A style that lacks half of a script has no rows of it.
    """
    random = np.random.default_rng(seed)
    places = {name: _complete(labels, styles, letters) for name, letters in _SCRIPTS.items()}
    found = [name for name in places if places[name]]
    if not found:
        return []
    weights = np.array([len(_SCRIPTS[name]) for name in found])
    rows = []
    for number in random.choice(len(found), size=count, p=weights / weights.sum()).tolist():
        own = places[found[number]]
        letters = own[int(random.integers(len(own)))]
        rows.append(Row(found[number], tuple(random.choice(letters, size=random.integers(LEAST, MOST + 1)).tolist())))
    return rows


def read_styles(
    labels: NDArray[np.int64],
    styles: NDArray[np.int64],
    bearings: NDArray[np.float32],
    fetch: Callable[[NDArray[np.int64]], Tensor],
    seed: int = 125,
    count: int = ROWS,
) -> Reading | None:
    """Set rows of letters [N] of some styles [N] between bearings [N, 2] and let Tesseract read them.

    Only letters that are set are asked for: `fetch` returns the fields [n, 1, H, H] of places [n].
    """
    rows = choose_rows(labels, styles, seed, count)
    if not rows:
        return None
    places = np.unique(np.concatenate([row.letters for row in rows]))
    rows = [replace(row, letters=tuple(np.searchsorted(places, row.letters).tolist())) for row in rows]
    return read_rows(fetch(places), labels[places], rows, bearings[places])


def read_rows(
    fields: Tensor, labels: NDArray[np.int64], rows: Sequence[Row], bearings: NDArray[np.float32]
) -> Reading | None:
    """Let Tesseract read rows of fields [N, 1, H, H]: None without the program, its data or any row.

    `bearings` [N, 2] are the white left and right of each letter, of the canvas. The error is the edit distance between
    what was set and what was read, look-alikes merged and spaces left out, over the number of letters set. Raise
    `EnvironmentFault` if the program fails.
    """
    program = shutil.which("tesseract")
    if program is None or not rows or not _languages(program).issuperset(_LANGUAGES.values()):
        return None
    inks = cut_all(fields, rows)
    texts = [""] * len(rows)
    for language in sorted({_LANGUAGES[row.script] for row in rows}):
        own = [number for number, row in enumerate(rows) if _LANGUAGES[row.script] == language]
        pictures = (set_row(inks, rows[number], bearings) for number in own)
        for number, text in zip(own, _recognise(program, language, pictures), strict=True):
            texts[number] = merge(text)
    wanted = [merge("".join(LETTERS[labels[place]] for place in row.letters)) for row in rows]
    wrong = sum(edits(one, other) for one, other in zip(wanted, texts, strict=True))
    return Reading(wrong / sum(map(len, wanted)), tuple(texts))


def cut_all(fields: Tensor, rows: Sequence[Row]) -> dict[int, NDArray[np.float32]]:
    """Draw every letter of some rows once, as delivered: by its place, ink [h, w] from 0 to 1, capitals 48 px high."""
    places = sorted({place for row in rows for place in row.letters})
    inks = {}
    for start in range(0, len(places), _PORTION):
        own = places[start : start + _PORTION]
        outlines = outline_all(clean(fields[torch.tensor(own)].float()))
        inks.update({place: _cut(outline) for place, outline in zip(own, outlines, strict=True)})
    return inks


def set_row(inks: Mapping[int, NDArray[np.float32]], row: Row, bearings: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Set a row [h, w], black on white, of letters as `cut_all` draws them, each between its bearings [N, 2]."""
    letters = [(inks[place], bearings[place]) for place in row.letters]
    widths = [round(float(sides.sum()) * CANVAS) + ink.shape[1] for ink, sides in letters]
    page = np.zeros((CANVAS + 2 * BORDER, sum(map(abs, widths)) + CANVAS + 2 * BORDER), dtype=np.float32)
    start, end = BORDER, BORDER
    for (ink, sides), width in zip(letters, widths, strict=True):
        left = max(0, start + round(float(sides[0]) * CANVAS))
        spot = page[BORDER : BORDER + CANVAS, left : left + ink.shape[1]]
        np.maximum(spot, ink, out=spot)
        start, end = start + width, max(end, left + ink.shape[1])
    return np.asarray(np.rint(255 * (1 - page[:, : end + BORDER])), dtype=np.uint8)


def merge(text: str) -> str:
    """Return what counts of a text: capitals, look-alikes merged; a space is nothing, an unknown sign is a mistake."""
    return "".join(HOMOGLYPHS.get(sign, "?") for sign in text.upper() if not sign.isspace())


def edits(one: str, other: str) -> int:
    """Return the least number of signs to insert, delete or replace between two texts (Levenshtein, 1966)."""
    last = list(range(len(other) + 1))
    for i, sign in enumerate(one, 1):
        line = [i]
        for j, twin in enumerate(other, 1):
            line.append(min(last[j] + 1, line[-1] + 1, last[j - 1] + (sign != twin)))
        last = line
    return last[-1]


def _complete(labels: NDArray[np.int64], styles: NDArray[np.int64], letters: str) -> list[NDArray[np.int64]]:
    """Return the positions of a script's letters in every style that has half of them or more."""
    wanted = np.isin(labels, [position(letter) for letter in letters])
    own = [np.flatnonzero(wanted & (styles == style)) for style in np.unique(styles)]
    return [places for places in own if 2 * len(places) >= len(letters)]


def _cut(outline: Outline) -> NDArray[np.float32]:
    """Return the ink [h, w] of a letter, 0 to 1, without the empty columns beside it."""
    ink = rasterise(outline, CANVAS).astype(np.float32) / np.float32(255)
    columns = np.flatnonzero(ink.max(axis=0) > 0)
    return ink[:, columns[0] : columns[-1] + 1] if len(columns) else ink[:, :0]


def _recognise(program: str, language: str, pictures: Iterable[NDArray[np.uint8]]) -> list[str]:
    """Return what is read in each picture, by one process, which parts them by form feeds."""
    with TemporaryDirectory(prefix="vyaz-reading-") as folder:
        names = []
        for number, picture in enumerate(pictures):
            names.append(Path(folder) / f"{number}.png")
            Image.fromarray(picture).save(names[-1])
        pages = Path(folder) / "pages.txt"
        pages.write_text("".join(f"{name}\n" for name in names))
        said = _call(program, str(pages), "stdout", "-l", language, *_OPTIONS)
    texts = said.split("\f")
    if len(texts) == len(names) + 1 and not texts[-1].strip():  # some versions end the last page, too
        texts.pop()
    if len(texts) != len(names):
        raise EnvironmentFault(f"tesseract read {len(texts)} of {len(names)} rows")
    return texts


def _languages(program: str) -> set[str]:
    return set(_call(program, "--list-langs").splitlines()[1:])


def _call(program: str, *arguments: str) -> str:
    """Run Tesseract on one thread: its own threads only wait for each other on small pictures."""
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, timeout=SECONDS, check=True, env={"OMP_THREAD_LIMIT": "1"}
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EnvironmentFault(f"tesseract failed: {error}") from error
    return done.stdout.decode(errors="replace")
