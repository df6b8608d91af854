"""The closed sets of the ledger: states, classes, instructions, and which state may follow which."""

from enum import IntEnum, StrEnum


class JobState(StrEnum):
    """Where a job stands. `done` may hold failed items; `retry` opens them again."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def unfinished(self) -> bool:
        """Whether work may still happen."""
        return self in UNFINISHED


UNFINISHED = frozenset({JobState.QUEUED, JobState.RUNNING, JobState.PAUSED})

ALLOWED: dict[str, frozenset[JobState]] = {
    "pause": frozenset({JobState.QUEUED, JobState.RUNNING}),
    "resume": frozenset({JobState.PAUSED}),
    "cancel": UNFINISHED,
    "retry": frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED}),
    "remove": frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED}),
}
"""Which states an order from a user is valid in."""


class ShardState(StrEnum):
    """Where a shard stands. Items not yet in any shard have no row at all."""

    LEASED = "leased"
    RETURNED = "returned"
    DONE = "done"
    SPLIT = "split"
    QUARANTINED = "quarantined"


class Priority(IntEnum):
    """The class of a job; strict, the least first."""

    INTERACTIVE = 0
    NORMAL = 1
    BULK = 2


class Instruction(StrEnum):
    """What a heartbeat's answer tells the holder of a lease."""

    GO_ON = "go on"
    YIELD = "yield"
    PAUSE = "pause"
    CANCEL = "cancel"
    LOST = "lost"


class SlotState(StrEnum):
    """Where a slot stands."""

    IDLE = "idle"
    BUSY = "busy"
    DRAINING = "draining"
    GONE = "gone"
