"""Numbers drawn by lot, the same on every machine and in any order.

Chance comes from raw Philox4x64-10 words (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): the
key is (seed, stream), the counter starts at `index * stride`. So any item can be drawn alone. Words become numbers by
transforms of our own, made of operations that IEEE 754 fixes (no library logarithm or cosine), because NumPy may change
`Generator` and its vector routines differ by processor:

- uniform in [0, 1): the upper 53 bits, divided by 2**53
- normal: Wichura's AS 241 (1988, PPND7: seven digits) of the upper 52 bits plus a half, divided by 2**52
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_WORDS: Final = 4  # words a Philox counter step yields; strides are whole steps

Floats = NDArray[np.float64]


def words(seed: int, stream: int, count: int, start: int, stop: int) -> NDArray[np.uint64]:
    """Return raw words [stop - start, count]; item i owns the counter steps from i * count / 4 on."""
    steps = count // _WORDS
    philox = np.random.Philox(key=np.array([seed, stream], dtype=np.uint64), counter=start * steps)
    return philox.random_raw((stop - start) * count).reshape(stop - start, count)


def uniform(raw: NDArray[np.uint64]) -> Floats:
    """Return numbers in [0, 1), all multiples of 2**-53 equally likely."""
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(raw: NDArray[np.uint64]) -> Floats:
    """Invert the normal distribution (AS 241, PPND7); exact to about 1 in 10**7, and the same on every processor."""
    p = ((raw >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52  # never 0, never 1
    q = p - 0.5
    inner = np.minimum(np.abs(q), 0.425)
    r = 0.180625 - inner * inner
    central = _ratio(
        r,
        (59.109374720, 159.29113202, 50.434271938, 3.3871327179),
        (67.187563600, 78.757757664, 17.895169469, 1.0),
    )
    tail = np.sqrt(-_logarithm(np.minimum(p, 1.0 - p)))
    near = _ratio(
        tail - 1.6, (0.17023821103, 1.3067284816, 2.7568153900, 1.4234372777), (0.12021132975, 0.73700164250, 1.0)
    )
    far = _ratio(
        tail - 5.0, (0.017337203997, 0.42868294337, 3.0812263860, 6.6579051150), (0.012258202635, 0.24197894225, 1.0)
    )
    outer = np.where(tail <= 5.0, near, far)
    return np.where(np.abs(q) <= 0.425, q * central, np.copysign(outer, q))


def _ratio(x: Floats, above: tuple[float, ...], below: tuple[float, ...]) -> Floats:
    return _polynomial(x, above) / _polynomial(x, below)


def _polynomial(x: Floats, coefficients: tuple[float, ...]) -> Floats:
    """Evaluate by Horner's rule, highest power first."""
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value


def _logarithm(x: Floats) -> Floats:
    """Natural logarithm of positive numbers by 2 artanh((m - 1) / (m + 1)), with x = m * 2**e, m near 1."""
    mantissa, exponent = np.frexp(x)
    low = mantissa < 0.5**0.5
    m = np.where(low, 2.0 * mantissa, mantissa)
    e = exponent - low
    s = (m - 1.0) / (m + 1.0)
    series = _polynomial(s * s, tuple(1.0 / odd for odd in range(23, 0, -2)))
    value: Floats = e * 0.6931471805599453 + 2.0 * s * series
    return value
