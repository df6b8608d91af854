"""What kinds of job there are, and how each is cut, bounded and taken apart after a crash."""

from dataclasses import dataclass
from enum import StrEnum

from core.errors import Invalid
from core.ledger.states import Priority


class JobKind(StrEnum):
    """The names of the kinds, as users and the table `job` spell them."""

    GENERATE = "generate"
    TRAIN = "train"
    DATASET = "dataset"
    EVALUATE = "evaluate"
    EXPORT = "export"
    SHEET = "sheet"
    INVERT = "invert"
    VERIFY = "verify"
    REPAIR = "repair"
    REBUILD = "rebuild"
    GC = "gc"
    NULL = "null"


@dataclass(frozen=True)
class Kind:
    """The ledger's view of a job kind."""

    name: JobKind
    item: str
    """What one item is, for people."""
    splits: bool
    """Whether a crash halves the shard until the guilty item is alone."""
    whole: bool = False
    """Whether one shard takes all that is left; it ends early at a checkpoint instead."""
    in_flight_limit: int | None = None
    closing: bool = False
    """Whether one more shard runs when all items are finished."""
    losses: int = 3
    """How many crashes a shard that cannot be split survives."""
    priority: Priority = Priority.NORMAL
    """The class of a job whose request names none."""


def _question(name: JobKind, item: str) -> Kind:
    """One item that somebody waits for."""
    return Kind(name, item, splits=False, whole=True, in_flight_limit=1, priority=Priority.INTERACTIVE)


KINDS: dict[JobKind, Kind] = {
    kind.name: kind
    for kind in (
        Kind(JobKind.GENERATE, item="variant", splits=True),
        Kind(JobKind.TRAIN, item="optimisation step", splits=False, whole=True, in_flight_limit=1),
        Kind(JobKind.DATASET, item="source file", splits=True, closing=True),
        Kind(JobKind.EXPORT, item="variant", splits=False, whole=True, in_flight_limit=1),
        _question(JobKind.EVALUATE, item="evaluation"),
        _question(JobKind.SHEET, item="sheet"),
        _question(JobKind.INVERT, item="inversion"),
        Kind(JobKind.VERIFY, item="item", splits=True, closing=True),
        Kind(JobKind.REPAIR, item="item", splits=True, closing=True),
        Kind(JobKind.REBUILD, item="item", splits=True, closing=True),
        Kind(JobKind.GC, item="sweep", splits=False, whole=True, in_flight_limit=1),
        Kind(JobKind.NULL, item="nothing", splits=True),
    )
}


def kind_of(name: str) -> Kind:
    """The kind by its name; raises `Invalid` naming the known ones."""
    try:
        return KINDS[JobKind(name)]
    except ValueError:
        raise Invalid(f"unknown kind of job {name!r}; known: {', '.join(JobKind)}", "/kind") from None
