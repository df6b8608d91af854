"""A wall clock that is wrong: Python imports this first where it stands on PYTHONPATH.

Only what asks `time.time` is deceived. libfaketime would deceive the C library too, but under it `time.sleep`, which
waits for a moment of the monotonic clock, wakes an hour late.
"""

import os
import time

_right = time.time
_shift = float(os.environ["CLOCK_SHIFT"])


def _wrong() -> float:
    return _right() + _shift


time.time = _wrong
