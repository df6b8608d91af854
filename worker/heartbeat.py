"""The pulse of a slot: a thread that keeps its lease alive, or says that the idle slot is still there.

It has a connection of its own, so a busy main thread or a full pool cannot stop it. Liveness is not progress: each beat
also carries how far the work has come.
"""

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import structlog

from core.catalogue.database import Database
from core.errors import Fenced, Unavailable
from core.ledger import leases, slots
from core.ledger.leases import Lease
from core.ledger.states import Instruction
from core.settings import Settings

log = structlog.get_logger(__name__)

FENCED_GRACE = 10.0
"""Seconds a holder may go on after its lease is lost; then the process ends itself."""
FENCED_EXIT = 70
NO_PULSE_EXIT = 72


class Drain:
    """Whether this process is to stop. A plain flag: an Event's lock is not safe in a signal handler."""

    def __init__(self) -> None:
        self.asked = False

    def wait(self, seconds: float) -> None:
        """Sleep, but not longer than until asked."""
        until = time.monotonic() + seconds
        while not self.asked and time.monotonic() < until:
            time.sleep(0.05)


class Hold:
    """A lease in hand: where the work stands, and what the ledger last said."""

    def __init__(self, lease: Lease, draining: Drain) -> None:
        self.lease = lease
        self.mark = lease.start
        self.instruction = Instruction.GO_ON
        self.since = time.monotonic()
        self.lost_since: float | None = None
        self.beating = threading.Lock()
        self.over = False
        self._draining = draining

    @property
    def seconds(self) -> float:
        """How long this lease has been held."""
        return time.monotonic() - self.since

    @property
    def waited_for(self) -> bool:
        """Whether somebody else could use this slot."""
        return self.instruction == Instruction.YIELD

    def reached(self, upto: int) -> bool:
        """Note the progress; False means stop here and finish what is done. Raises `Fenced` if all is in vain."""
        self.mark = upto
        if self.instruction in (Instruction.LOST, Instruction.CANCEL):
            raise Fenced(f"shard {self.lease.shard_id}: {self.instruction}")
        return not (self.instruction == Instruction.PAUSE or self._draining.asked)

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """No beats while a finish holds the shard's row."""
        with self.beating:
            yield


class Pulse(threading.Thread):
    """Beats every `heartbeat_seconds`, for the lease in hand or for the idle slot."""

    def __init__(
        self,
        settings: Settings,
        slot_id: uuid.UUID,
        draining: Drain,
        forgotten: Callable[[], uuid.UUID],
    ) -> None:
        super().__init__(name="pulse", daemon=True)
        self._settings = settings
        self._database = Database(settings.database_url.get_secret_value(), size=1)
        self._forgotten = forgotten
        self._draining = draining
        self._hold: Hold | None = None
        self._stopping = threading.Event()
        self.slot_id = slot_id

    @contextlib.contextmanager
    def hold(self, lease: Lease) -> Iterator[Hold]:
        """Keep a lease alive for the length of the block."""
        hold = Hold(lease, self._draining)
        self._hold = hold
        try:
            yield hold
        finally:
            self._hold = None

    def stop(self) -> None:
        """End the thread after the beat it is in."""
        self._stopping.set()

    def run(self) -> None:
        """Beat until stopped. A database that is away is no reason to stop: it may be back for the next beat.

        A process without a pulse would swallow rings and hold nothing, so it does not outlive this thread.
        """
        try:
            while not self._stopping.wait(self._settings.heartbeat_seconds):
                try:
                    self._beat(self._hold)
                except Unavailable as error:
                    log.warning("no beat", reason=str(error))
                self._end_if_fenced(self._hold)
        finally:
            if not self._stopping.is_set():
                log.critical("the pulse stopped; ending this process")
                os._exit(NO_PULSE_EXIT)

    def _beat(self, hold: Hold | None) -> None:
        if hold is None or hold.over:
            self._keep_alive()
            return
        with hold.beating:
            if not hold.over:
                with self._database.transaction() as session:
                    hold.instruction = leases.beat(session, self.slot_id, hold.lease, hold.mark, self._settings)
        if hold.instruction == Instruction.LOST and hold.lost_since is None:
            hold.lost_since = time.monotonic()

    def _keep_alive(self) -> None:
        with self._database.transaction() as session:
            known = slots.keep_alive(session, self.slot_id)
        if not known and not self._draining.asked:
            log.warning("this slot was taken for dead; registering again")
            self.slot_id = self._forgotten()

    def _end_if_fenced(self, hold: Hold | None) -> None:
        if hold is None or hold.lost_since is None or time.monotonic() - hold.lost_since < FENCED_GRACE:
            return
        log.error("still working on a lost lease; ending this process", shard=hold.lease.shard_id)
        os._exit(FENCED_EXIT)
