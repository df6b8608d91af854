"""What can go wrong, as one tree. No HTTP here: `api/errors.py` maps these to statuses.

VyazError
├── Invalid          the request makes no sense; the message names the value and the remedy
├── Unauthorized     no key, or one that is unknown or revoked
├── Forbidden        the key's scope does not reach
├── NotFound         no such thing, or it belongs to another owner
├── Conflict         the thing is in a state that does not allow this
├── Unavailable      a server behind us is away; trying again later may work
├── Fenced           this lease is over: another epoch owns the shard
└── WorkError        raised while a shard is worked on; the class is the scope
    ├── ItemError          this one item cannot be made; all others can
    ├── ShardError         this attempt failed; another may succeed
    │   └── Unforeseen         an exception that nobody expected; the shard is narrowed to the guilty item
    ├── JobError           no item of this job can ever be made (corrupt weights, impossible spec)
    └── EnvironmentFault   store, disk or database; not the work's fault, no attempt is counted
"""


class VyazError(Exception):
    """Anything Vyaz raises on purpose."""


class Invalid(VyazError):
    """The request makes no sense as it stands. `pointer` is a JSON pointer to the guilty field, if there is one."""

    def __init__(self, message: str, pointer: str | None = None) -> None:
        super().__init__(message)
        self.pointer = pointer


class Unauthorized(VyazError):
    """No key, or one that is unknown or revoked."""


class Forbidden(VyazError):
    """The key's scope does not reach this."""


class NotFound(VyazError):
    """There is no such thing for this owner."""


class Conflict(VyazError):
    """The thing is in a state that does not allow this."""


class Unavailable(VyazError):
    """A server behind us is away; `retry_after` seconds from now may be better."""

    def __init__(self, message: str, retry_after: int = 2) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Fenced(VyazError):
    """The lease is over: the shard belongs to a later epoch, or its job was cancelled."""


class WorkError(VyazError):
    """Raised while a shard is worked on; the subclass is the scope of the damage."""


class ItemError(WorkError):
    """One item cannot be made; all others can."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


class ShardError(WorkError):
    """This attempt at the shard failed; another may succeed."""


class Unforeseen(ShardError):
    """An exception that nobody expected: some item may be poison, so the shard is halved as after a crash."""


class JobError(WorkError):
    """No item of this job can ever be made."""


class EnvironmentFault(WorkError):
    """Store, disk or database: not the work's fault, so no attempt is counted."""
