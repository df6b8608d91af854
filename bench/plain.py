"""The same steps as a script would take them: one monogram at a time, in NumPy, SciPy, contourpy and Pillow.

Fields -> a finer grid -> equal stems -> a row with even gaps -> contours -> corners and cubics (Schneider, Graphics
Gems, 1990, as it is usually written) -> pixels at four times the size, made smaller -> score -> PNG. No letter is read,
no edge made straight, no loop checked: less than Vyaz does.
"""

from io import BytesIO
from itertools import pairwise
from typing import Final

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw
from scipy import ndimage

Floats = NDArray[np.float64]

_FINER: Final = 2
_GAP: Final = 0.09  # of the glyph's canvas
_CLIP: Final = 0.18
_MARGIN: Final = 0.11
_CORNER: Final = np.radians(40)
_ERROR: Final = 0.25  # cells
_OVERSAMPLED: Final = 4
_CHORDS: Final = 8  # a curve


def make(fields: NDArray[np.float32], size: int) -> tuple[bytes, float]:
    """Draw letters [L, h, h], distances of the canvas, positive inside; return the PNG and a score."""
    pixels, score = draw(fields, size)
    out = BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue(), score


def draw(fields: NDArray[np.float32], size: int) -> tuple[NDArray[np.uint8], float]:
    """Draw them; return pixels [size, size] and a score."""
    letters = [ndimage.zoom(field.astype(np.float64), _FINER, order=3) for field in fields]
    stems = np.array([_stem(letter) for letter in letters])
    target = np.exp(np.log(stems).mean())
    letters = [letter + (target - stem) / 2 for letter, stem in zip(letters, stems, strict=True)]
    outlines = [[_fit_ring(ring) / len(letter) for ring in _rings(letter * len(letter))] for letter in letters]
    steps = np.cumsum([0.0, *(_step(a > 0, b > 0) for a, b in pairwise(letters))])
    rings = [ring + np.array([step, 0.0]) for own, step in zip(outlines, steps, strict=True) for ring in own]
    pixels = _render(_centre(rings), size)
    return pixels, _score(pixels, stems)


def _stem(letter: Floats) -> float:
    ink = np.pad(letter > 0, ((0, 0), (1, 1))).astype(np.int8)
    change = np.diff(ink, axis=1)
    runs = np.nonzero(change == -1)[1] - np.nonzero(change == 1)[1]
    runs = runs[runs < len(letter) / 4]
    return float(np.median(runs)) / len(letter) if len(runs) else 0.1


def _rings(letter: Floats) -> list[Floats]:
    lines = contour_generator(z=np.pad(letter, 1, constant_values=-1.0)).lines(0.0)
    return [np.asarray(line)[:-1] - 0.5 for line in lines if len(line) > 12]


def _step(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Bisect for the step at which the clipped gaps between two letters have the right mean."""
    rows = first.any(axis=1) & second.any(axis=1)
    if not rows.any():
        return 1.0
    size = len(first)
    right = size - first[rows, ::-1].argmax(axis=1)
    apart = (second[rows].argmax(axis=1) - right) / size
    low, high = -2.0, 2.0
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (low, middle) if np.minimum(apart + middle, _CLIP).mean() >= _GAP else (middle, high)
    return high


def _fit_ring(ring: Floats) -> Floats:
    """Return a ring as cubics [n, 4, 2], split at its corners."""
    way = ring - np.roll(ring, 3, axis=0)
    ahead = np.roll(ring, -3, axis=0) - ring
    turn = np.arctan2(way[:, 0] * ahead[:, 1] - way[:, 1] * ahead[:, 0], (way * ahead).sum(axis=1))
    strong = np.abs(turn)
    peaks = np.flatnonzero((strong > _CORNER) & (strong == ndimage.maximum_filter1d(strong, 7, mode="wrap")))
    if len(peaks) < 2:
        peaks = np.array([0, len(ring) // 2])
    curves: list[Floats] = []
    for start, end in zip(peaks, [*peaks[1:], peaks[0] + len(ring)], strict=True):
        section = ring[np.arange(start, end + 1) % len(ring)]
        curves += _fit(section, _unit(section[1] - section[0]), _unit(section[-2] - section[-1]))
    return np.stack(curves)


def _fit(points: Floats, leave: Floats, back: Floats) -> list[Floats]:
    if len(points) < 4:
        return [_line(points[0], points[-1])]
    along = np.concatenate([[0.0], np.linalg.norm(np.diff(points, axis=0), axis=1).cumsum()])
    u = along / along[-1]
    for _ in range(4):
        curve = _solve(points, u, leave, back)
        at, first, second = _derive(curve, u)
        gap = at - points
        error = np.linalg.norm(gap, axis=1)
        if error.max() < _ERROR:
            return [curve]
        slope = (first * first).sum(axis=1) + (gap * second).sum(axis=1)
        u = np.clip(u - (gap * first).sum(axis=1) / np.where(slope == 0, np.inf, slope), 0, 1)
    split = int(np.clip(error.argmax(), 1, len(points) - 2))
    middle = _unit(points[split - 1] - points[split + 1])
    return _fit(points[: split + 1], leave, middle) + _fit(points[split:], -middle, back)


def _solve(points: Floats, u: Floats, leave: Floats, back: Floats) -> Floats:
    b1, b2 = 3 * u * (1 - u) ** 2, 3 * u**2 * (1 - u)
    fixed = ((1 - u) ** 3 + b1)[:, None] * points[0] + (u**3 + b2)[:, None] * points[-1]
    a = np.stack([b1[:, None] * leave, b2[:, None] * back], axis=1)
    left = np.einsum("nkc,nlc->kl", a, a)
    right = np.einsum("nkc,nc->k", a, points - fixed)
    chord = np.linalg.norm(points[-1] - points[0])
    if abs(np.linalg.det(left)) < 1e-9:
        one = two = chord / 3
    else:
        one, two = np.linalg.solve(left, right)
        one, two = (value if value > 1e-3 * chord else chord / 3 for value in (one, two))
    return np.stack([points[0], points[0] + one * leave, points[-1] + two * back, points[-1]])


def _derive(curve: Floats, u: Floats) -> tuple[Floats, Floats, Floats]:
    s = (1 - u)[:, None]
    t = u[:, None]
    a, b, c, d = curve
    at = s**3 * a + 3 * s**2 * t * b + 3 * s * t**2 * c + t**3 * d
    first = 3 * (s**2 * (b - a) + 2 * s * t * (c - b) + t**2 * (d - c))
    return at, first, 6 * (s * (c - 2 * b + a) + t * (d - 2 * c + b))


def _line(start: Floats, end: Floats) -> Floats:
    return np.stack([start, start + (end - start) / 3, end + (start - end) / 3, end])


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12))


def _centre(rings: list[Floats]) -> list[Floats]:
    points = np.concatenate([ring[:, 0] for ring in rings])
    low, high = points.min(axis=0), points.max(axis=0)
    scale = (1 - 2 * _MARGIN) / (high - low).max()
    middle = (low + high) / 4 + points.mean(axis=0) / 2
    return [(ring - middle) * scale + 0.5 for ring in rings]


def _render(rings: list[Floats], size: int) -> NDArray[np.uint8]:
    side = size * _OVERSAMPLED
    whole = Image.new("1", (side, side), 0)
    t = (np.arange(_CHORDS) / _CHORDS)[:, None, None]
    for ring in rings:
        a, b, c, d = ring.transpose(1, 0, 2)
        points = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
        own = Image.new("1", (side, side), 0)
        ImageDraw.Draw(own).polygon([tuple(point) for point in points.transpose(1, 0, 2).reshape(-1, 2) * side], fill=1)
        whole = ImageChops.logical_xor(whole, own)
    return 255 - np.asarray(whole.convert("L").resize((size, size), Image.Resampling.BOX))


def _score(pixels: NDArray[np.uint8], stems: Floats) -> float:
    ink = 255.0 - pixels
    centre = np.array(ndimage.center_of_mass(ink)) / len(pixels) - 0.5
    evenness = max(0.0, 1 - float(stems.std() / stems.mean()) / 0.25)
    return float(evenness**0.5 * max(0.0, 1 - float(np.hypot(*centre)) / 0.12) ** 0.5)
