"""One line of the benchmark's table."""

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
