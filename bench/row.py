"""One line of the benchmark's table, and what a few samples come to."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Row:
    """A measured figure beside its goal."""

    name: str
    value: float
    goal: float | None
    unit: str
    better: Literal["higher", "lower"]

    @property
    def reached(self) -> bool:
        """Whether the figure is as good as its goal; a figure without one is only told."""
        if self.goal is None:
            return True
        return self.value >= self.goal if self.better == "higher" else self.value <= self.goal

    def as_json(self) -> dict[str, Any]:
        """As it stands in `results.json`."""
        return asdict(self)


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that at least so many per cent of them do not exceed (nearest rank)."""
    return sorted(samples)[max(0, math.ceil(percent / 100 * len(samples)) - 1)]
