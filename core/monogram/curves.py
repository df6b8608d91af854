"""Fit cubic Bezier curves to points along a contour, all spans of a shape at once.

Schneider, "An algorithm for automatically fitting digitized curves", Graphics Gems, 1990: least squares for the lengths
of the two handles, whose directions are given; then the points' parameters are improved by Newton's method.
"""

from typing import Final

import numpy as np

from core.monogram.rings import Floats

SAMPLES: Final = 33  # points a span is fitted to
_ROUNDS: Final = 4
_SHORTEST: Final = 0.03  # a handle, of its span's chord
_LONGEST: Final = 1.5


def fit(points: Floats, leave: Floats, arrive: Floats) -> tuple[Floats, Floats]:
    """Fit one cubic to each span.

    `points` [S, SAMPLES, 2] along each; `leave` and `arrive` [S, 2] are the unit directions at its ends. Return control
    points [S, 4, 2] and how far each point is from its place on the curve, [S, SAMPLES].
    """
    along = np.linalg.norm(np.diff(points, axis=1), axis=2).cumsum(axis=1)
    u = np.pad(along, ((0, 0), (1, 0))) / np.maximum(along[:, -1:], 1e-12)
    curves = _solve(points, u, leave, arrive)
    for _ in range(_ROUNDS):
        u = _improve(curves, points, u)
        curves = _solve(points, u, leave, arrive)
    u = _improve(curves, points, u)
    gap = np.linalg.norm(_evaluate(curves, u) - points, axis=2)
    return curves, gap


def straighten(start: Floats, end: Floats) -> Floats:
    """Return the cubics [..., 4, 2] that are lines between points [..., 2]."""
    return np.stack([start, start + (end - start) / 3, end + (start - end) / 3, end], axis=-2)


def _solve(points: Floats, u: Floats, leave: Floats, arrive: Floats) -> Floats:
    s = 1 - u
    first, second = 3 * s * s * u, 3 * s * u * u  # [S, W]
    start, end = points[:, 0], points[:, -1]
    fixed = (s * s * s + first)[..., None] * start[:, None] + (u * u * u + second)[..., None] * end[:, None]
    left = points - fixed
    c00, c11 = (first * first).sum(1), (second * second).sum(1)
    c01 = -(first * second).sum(1) * (leave * arrive).sum(1)
    x0 = (first * (left * leave[:, None]).sum(2)).sum(1)
    x1 = -(second * (left * arrive[:, None]).sum(2)).sum(1)
    determinant = c00 * c11 - c01 * c01
    chord = np.linalg.norm(end - start, axis=1)
    safe = determinant > 1e-9 * c00 * c11
    scale = np.where(safe, determinant, 1.0)
    handles = np.stack([(x0 * c11 - x1 * c01) / scale, (x1 * c00 - x0 * c01) / scale], axis=1)
    handles = np.where(safe[:, None], handles, chord[:, None] / 3)
    handles = np.clip(handles, _SHORTEST * chord[:, None], _LONGEST * chord[:, None])
    return np.stack([start, start + handles[:, :1] * leave, end - handles[:, 1:] * arrive, end], axis=1)


def _evaluate(curves: Floats, u: Floats) -> Floats:
    s = 1 - u
    weights = np.stack([s * s * s, 3 * s * s * u, 3 * s * u * u, u * u * u], axis=2)
    return np.asarray(weights @ curves)


def _improve(curves: Floats, points: Floats, u: Floats) -> Floats:
    """Take one Newton step of every point towards its nearest place on its curve."""
    s = 1 - u
    gap = _evaluate(curves, u) - points
    first = 3 * np.diff(curves, axis=1)
    second = 2 * np.diff(first, axis=1)
    speed = np.stack([s * s, 2 * s * u, u * u], axis=2) @ first
    bend = np.stack([s, u], axis=2) @ second
    slope = (speed * speed).sum(2) + (gap * bend).sum(2)
    step = (gap * speed).sum(2) / np.where(slope > 1e-9, slope, np.inf)
    return np.asarray(np.clip(u - step, 0.0, 1.0))
