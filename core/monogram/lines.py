"""Whether points are a straight edge, and which: wobbling perhaps, by the noise of a network or of the sampling."""

from typing import Final

import numpy as np

from core.monogram.rings import Floats

WOBBLY: Final = 0.4  # cells: the most that points of an edge with noise are beside it
NOISY: Final = 0.4  # of the squares beside such an edge, what a cubic leaves at the least
BESIDE: Final = 0.6  # cells: the most that points beside a corner may be off
_UPRIGHT: Final = np.deg2rad(0.5)  # an edge nearer than this to an axis is on it


def leaves_chord(points: Floats) -> bool:
    """Say whether points [n, 2] are so far from their chord that no line is near all of them."""
    if len(points) < 3:
        return False
    (x, y), (u, v) = (points - points[0]).T, points[-1] - points[0]
    return bool(np.abs(x * v - y * u).max() > (2 * BESIDE + 0.1) * np.hypot(u, v))


def find_axis(points: Floats, forward: Floats) -> Floats:
    """Return the unit direction along which points [n, 2] about their mean spread most, not against `forward` [2]."""
    x, y = points.T
    angle = 0.5 * np.arctan2(2 * (x * y).sum(), (x * x).sum() - (y * y).sum())
    axis = np.array([np.cos(angle), np.sin(angle)])
    return axis if axis @ forward >= 0 else -axis


def is_straight(u: Floats, v: Floats, flat: float, level: float) -> bool:
    """Say whether points `v` beside a line and `u` along it are that line, wobbling perhaps."""
    most, length = np.abs(v).max(), np.ptp(u)
    if most > WOBBLY:
        return False
    basis = np.linalg.qr(np.vander(u / max(length, 1e-9), 4, increasing=True))[0]
    parts = v @ basis
    # A parabola of this sagitta turns by 8 sagittas over its chord.
    bend = 8 * abs(parts[2]) * np.ptp(basis[:, 2]) / max(length, 1e-9)
    if most < flat and (length < 4 or bend < level):
        return True
    # What a cubic explains is shape; what it does not is noise.
    left = v - basis @ parts
    return bool(length > 12 and left @ left > NOISY * (v @ v))


def set_upright(direction: Floats) -> Floats:
    """Return a unit direction, exactly on an axis where it is all but."""
    slim = np.abs(direction) < np.sin(_UPRIGHT)
    return np.where(slim, 0.0, np.sign(direction)) if slim.any() else direction
