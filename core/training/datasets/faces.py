"""A font file opened with suspicion: structural limits, licence, instances, and its letters on the canvas.

Runs in the parser child; nothing here trusts a length, a count or a name of the file. `Invalid` says why a whole font
cannot be used; whatever fontTools raises on a broken table is left to end the child.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import islice, product
from typing import Any, Final

import numpy as np
from fontTools.pens.basePen import decomposeQuadraticSegment
from fontTools.pens.recordingPen import DecomposingRecordingPen
from fontTools.ttLib import TTFont

from core.alphabet import BASELINE, CAP_HEIGHT, HOMOGLYPHS, LETTERS
from core.errors import Invalid
from core.training.datasets.outlines import Floats, flatten

MAX_BYTES: Final = 32 << 20
MAX_UNPACKED_BYTES: Final = 64 << 20
MAX_TABLES: Final = 64
MAX_SEGMENTS: Final = 4000
MAX_INSTANCES: Final = 8
MARGIN: Final = 0.04

# Where a variable font is sampled: enough to span it, few enough that it does not outweigh the static families.
_STOPS: Final = {"wght": (300.0, 450.0, 650.0, 850.0), "wdth": (75.0, 100.0), "opsz": (12.0, 48.0)}
_SFNT: Final = (b"\x00\x01\x00\x00", b"true", b"OTTO")
_WRAPPED: Final = (b"wOFF", b"wOF2")


@dataclass(frozen=True)
class Letter:
    """One letter on the unit canvas."""

    sign: str
    segments: Floats  # [S, 4]
    advance: float
    bearings: tuple[float, float]  # left, right


@dataclass(frozen=True)
class Instance:
    """One style of a font: its usable letters, and the others by reason."""

    name: str
    letters: tuple[Letter, ...]
    masked: dict[str, str]


def open_face(data: bytes) -> TTFont:
    """Open TTF, OTF, WOFF or WOFF2 bytes after a look at their structure; raise `Invalid` if they are not usable."""
    check_structure(data)
    font = TTFont(BytesIO(data), lazy=True)
    if not any(table in font for table in ("glyf", "CFF ", "CFF2")):
        raise Invalid("no outlines (a bitmap font?)")
    if "cmap" not in font or not font.getBestCmap():
        raise Invalid("no Unicode character map")
    return font


def check_structure(data: bytes) -> None:
    """Check what can be checked before any table is read; raise `Invalid` with the reason."""
    if len(data) > MAX_BYTES:
        raise Invalid(f"larger than {MAX_BYTES >> 20} MiB")
    if len(data) < 44:
        raise Invalid("too short to be a font")
    tag = data[:4]
    if tag == b"ttcf":
        raise Invalid("a collection; give its fonts one by one")
    if tag in _WRAPPED:
        tables, unpacked = struct.unpack(">12xH2xI", data[:20])
        if unpacked > MAX_UNPACKED_BYTES:
            raise Invalid(f"unpacks to more than {MAX_UNPACKED_BYTES >> 20} MiB")
    elif tag in _SFNT:
        (tables,) = struct.unpack(">4xH", data[:6])
        _check_directory(data, tables)
    else:
        raise Invalid("not a TTF, OTF, WOFF or WOFF2 file")
    if not 0 < tables <= MAX_TABLES:
        raise Invalid(f"{tables} tables; 1 to {MAX_TABLES} are allowed")


def _check_directory(data: bytes, tables: int) -> None:
    if 12 + 16 * tables > len(data):
        raise Invalid("cut off inside its table directory")
    for entry in range(12, 12 + 16 * tables, 16):
        offset, length = struct.unpack(">II", data[entry + 8 : entry + 16])
        if offset + length > len(data):
            raise Invalid("cut off inside a table")


def family(font: TTFont) -> str:
    """Return the family name, or an empty string."""
    return _clean(font["name"].getBestFamilyName()) if "name" in font else ""


def licence_texts(font: TTFont) -> tuple[str, ...]:
    """Return what the name table says about the licence, where given: description, URL and copyright notice."""
    if "name" not in font:
        return ()
    description, address, notice = (font["name"].getDebugName(entry) or "" for entry in (13, 14, 0))
    # "All rights reserved" stands in the notices of open fonts too: a formula, not a licence.
    notice = re.sub(r"all rights reserved", "", notice, flags=re.IGNORECASE)
    return tuple(text for text in (description, address, notice) if text)


def instances(font: TTFont) -> Iterator[Instance]:
    """Yield the styles of a font: one, or up to `MAX_INSTANCES` of a variable font."""
    title = _clean(font["name"].getBestSubFamilyName()) if "name" in font else ""
    axes = font["fvar"].axes if "fvar" in font else []
    stops = [_stops(axis) for axis in axes]
    for place in islice(product(*stops), MAX_INSTANCES):
        location = {axis.axisTag: value for axis, value in zip(axes, place, strict=True)}
        marks = [f"{axis.axisTag}={value:g}" for axis, value in zip(axes, place, strict=True)]
        yield _read_instance(font, " ".join([title or "Regular", *marks]), location)


def _stops(axis: Any) -> list[float]:
    wanted = _STOPS.get(axis.axisTag, (axis.defaultValue,))
    return sorted({min(max(value, axis.minValue), axis.maxValue) for value in wanted})


def _read_instance(font: TTFont, name: str, location: dict[str, float]) -> Instance:
    glyphs = font.getGlyphSet(location=location)
    names = font.getBestCmap()
    scale = CAP_HEIGHT / _cap_height(glyphs, names)
    box = _record(glyphs, ".notdef") if ".notdef" in glyphs else []
    letters: list[Letter] = []
    masked: dict[str, str] = {}
    seen: dict[bytes, str] = {}
    for sign in LETTERS:
        letter, reason = _read_letter(glyphs, names, sign, scale, box)
        if letter and not reason:
            first = seen.setdefault(np.round(letter.segments, 6).tobytes(), sign)
            reason = "" if _look_alike(first, sign) else "copy"
        if letter and not reason:
            letters.append(letter)
        else:
            masked[reason] = masked.get(reason, "") + sign
    return Instance(name, tuple(letters), masked)


def _look_alike(first: str, second: str) -> bool:
    return HOMOGLYPHS[first] == HOMOGLYPHS[second] or {first, second} == {"Y", "У"}


def _cap_height(glyphs: Any, names: dict[int, str]) -> float:
    """Measure the top of a flat capital in font units: OS/2 tables are often wrong about it."""
    for sign in "HEIПН":
        if ord(sign) in names:
            segments = flatten(_contours(_record(glyphs, names[ord(sign)])))
            if len(segments) and segments[:, 1].max() > 0:
                return float(segments[:, 1].max())
    raise Invalid("no flat capital (H, E, I) to measure the cap height by")


def _read_letter(
    glyphs: Any, names: dict[int, str], sign: str, scale: float, box: list[Any]
) -> tuple[Letter | None, str]:
    """Return a letter on the canvas, or the reason for masking it."""
    name = names.get(ord(sign))
    if name is None or name == ".notdef":
        return None, "missing"
    drawing = _record(glyphs, name)
    if box and drawing == box:
        return None, "box"
    advance = float(glyphs[name].width) * scale
    move = np.array([0.5 - advance / 2, BASELINE])
    contours = [[curve * (scale, -scale) + move for curve in contour] for contour in _contours(drawing)]
    if sum(len(contour) for contour in contours) > MAX_SEGMENTS:
        return None, "complex"
    segments = flatten(contours)
    if not 0 < len(segments) <= MAX_SEGMENTS:
        return None, "complex" if len(segments) else "empty"
    if segments.min() < MARGIN or segments.max() > 1 - MARGIN:
        return None, "misfit"
    across = segments[:, 0::2]
    left, right = across.min() - move[0], move[0] + advance - across.max()
    return Letter(sign, segments, advance, (float(left), float(right))), ""


def _record(glyphs: Any, name: str) -> list[Any]:
    pen = DecomposingRecordingPen(glyphs)
    glyphs[name].draw(pen)
    return list(pen.value)


def _contours(drawing: list[Any]) -> list[list[Floats]]:
    """Turn recorded pen calls into contours of Bezier curves, closing what was left open."""
    contours: list[list[Floats]] = []
    start = here = np.zeros(2)
    for operation, points in drawing:
        if operation == "moveTo":
            start = here = np.array(points[0], dtype=np.float64)
            contours.append([])
        elif operation in ("closePath", "endPath"):
            contours[-1].append(np.array([here, start]))
            here = start
        elif operation == "qCurveTo" and points[-1] is None:
            start = here = _implied_start(points)
            contours.append([])
            here = _extend(contours[-1], here, "qCurveTo", (*points[:-1], tuple(start)))
        else:
            here = _extend(contours[-1], here, operation, points)
    return contours


def _implied_start(points: Any) -> Floats:
    """Return the on-curve point a TrueType contour without any on-curve point begins at."""
    return (np.array(points[-2], dtype=np.float64) + np.array(points[0], dtype=np.float64)) / 2


def _extend(contour: list[Floats], here: Floats, operation: str, points: Any) -> Floats:
    """Append one pen call to a contour and return where the pen stands."""
    steps = decomposeQuadraticSegment(points) if operation == "qCurveTo" and len(points) > 1 else [points]
    for step in steps:
        curve = np.array([here, *step], dtype=np.float64)
        contour.append(curve)
        here = curve[-1]
    return here


def _clean(name: str | None) -> str:
    """Keep what is printable of a name, at most 80 characters."""
    return "".join(sign for sign in (name or "") if sign.isprintable()).strip()[:80]
