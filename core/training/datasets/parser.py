"""The child process that reads one font: `python -m core.training.datasets.parser NAME [LICENCE]`, bytes in, npz out.

It limits itself before it touches the font, so that a hostile or broken file costs one process, a minute of CPU and a
gigabyte at most. Exit status: 0 a part on stdout; 3 the font is refused, the reason on stderr; anything else a crash.
"""

import resource
import sys
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.alphabet import CAP_HEIGHT, position
from core.errors import Invalid
from core.training.datasets import archive, faces, licences
from core.training.datasets.outlines import Floats, measure

REFUSED: Final = 3
CPU_SECONDS: Final = 60
MEMORY_BYTES: Final = 1 << 30

# The thinnest stroke of a style, as a share of the cap height, below which its strokes are raised.
STROKE_FLOOR: Final = 0.04
# Letters that show the stems and the hairlines of a style.
_TYPICAL: Final = frozenset("AEHNOVЖИНФ")
# Raising moves the edge outwards, so distances must be known a little beyond the clamp.
_REACH: Final = archive.CLAMP + STROKE_FLOOR * CAP_HEIGHT / 2


def read(data: bytes, name: str, neighbour: str | None) -> archive.Arrays:
    """Read one font into the arrays of a part; raise `Invalid` if it cannot or may not be used."""
    font = faces.open_face(data)
    licence = licences.decide(faces.licence_texts(font), neighbour)
    if licence is None:
        raise Invalid(f"no licence of the allow-list found ({', '.join(licences.ALLOWED)})")
    rows: list[archive.Arrays] = []
    styles: list[dict[str, Any]] = []
    for instance in faces.instances(font):
        if not instance.letters:
            continue
        fields = np.stack([measure(letter.segments, archive.SIZE, _REACH) for letter in instance.letters])
        typical = [letter.sign in _TYPICAL for letter in instance.letters]
        stroke = thinnest_stroke(fields[typical])
        lift = max(0.0, (STROKE_FLOOR * CAP_HEIGHT - stroke) / 2)
        rows.append(_arrange(instance, fields + lift, len(styles)))
        style = {"name": instance.name, "masked": instance.masked, "stroke": stroke + 2 * lift, "raised": lift > 0}
        styles.append(style)
    if not rows:
        raise Invalid("none of its letters can be used")
    meta = {"source": name, "family": faces.family(font) or name, "licence": licence, "styles": styles}
    arrays = {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
    return arrays | {"meta": archive.text(meta)}


def _arrange(instance: faces.Instance, fields: Floats, style: int) -> archive.Arrays:
    steps = np.clip(np.rint(fields * (127 / archive.CLAMP)), -127, 127)
    letters = instance.letters
    return {
        "fields": steps.astype(np.int8),
        "labels": np.array([position(letter.sign) for letter in letters], dtype=np.int16),
        "styles": np.full(len(letters), style, dtype=np.int32),
        "advances": np.array([letter.advance for letter in letters], dtype=np.float32),
        "bearings": np.array([letter.bearings for letter in letters], dtype=np.float32),
    }


def thinnest_stroke(fields: Floats) -> float:
    """Return the thickness that a tenth of all stroke cells of a style `[N, H, W]` stay under, in canvas units.

    Across a stroke the field is a tent of slope 1, so three neighbours on its ridge give the height of the tip.
    """
    cell = 1 / fields.shape[-1]
    thickness: list[NDArray[np.float64]] = []
    for axis in (1, 2):
        before, here, after = (np.take(fields, np.arange(k, fields.shape[axis] - 2 + k), axis) for k in range(3))
        bend = before + after - 2 * here
        ridge = (here > -cell / 2) & (here >= before) & (here >= after) & (bend < -0.9 * cell)
        thickness.append(2 * (here + cell + bend / 2)[ridge])
    found = np.concatenate(thickness)
    return float(np.quantile(found, 0.1)) if len(found) else CAP_HEIGHT


def limit_process() -> None:
    """Give up what reading one file does not need. What a platform cannot limit (memory on macOS) is left."""
    limits = {
        resource.RLIMIT_CPU: CPU_SECONDS,
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, wanted in limits.items():
        _, hard = resource.getrlimit(kind)
        ceiling = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(kind, (ceiling, ceiling))
        except (OSError, ValueError):
            continue


def main(arguments: list[str]) -> int:
    """Read a font from stdin and write its part to stdout."""
    limit_process()
    name, neighbour = (*arguments, None)[:2]
    try:
        arrays = read(sys.stdin.buffer.read(faces.MAX_BYTES + 1), str(name), neighbour)
    except Invalid as refusal:
        sys.stderr.write(str(refusal))
        return REFUSED
    sys.stdout.buffer.write(archive.pack(arrays, level=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
