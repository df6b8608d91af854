"""The pulse of a slot: a thread that keeps its lease alive, or says that the idle slot is still there.

It has a connection of its own, so a busy main thread or a full pool cannot stop it. Liveness is not progress: each beat
also carries how far the work has come. An idle slot for which work is claimable, and which hears no ring, learns here
that its consumer is dead.
"""

import contextlib
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import structlog

from core.catalogue.database import Database
from core.errors import Fenced, Unavailable
from core.failpoints import reach
from core.ledger import leases, slots
from core.ledger.leases import Lease
from core.ledger.rings import Ringer
from core.ledger.states import Instruction
from core.settings import Settings

log = structlog.get_logger(__name__)

NO_PULSE_EXIT = 72
DEAF_TICKS = 5
"""Ticks that an idle slot may leave a ring lying before its consumer is taken for dead."""
DEAF_SECONDS = 60.0
"""How long it may hear none at all, where others may take the rings that are meant for it."""


class Drain:
    """Whether this process is to stop. Plain flags: an Event's lock is not safe in a signal handler."""

    def __init__(self) -> None:
        self.asked = False
        self.since = 0.0
        self.leaving = False
        """Whether the process ends as soon as it is idle, without being told again."""

    def ask(self, leave: bool = False) -> None:
        """Finish the block in hand and begin nothing more. Safe in a signal handler."""
        self.leaving = self.leaving or leave
        if not self.asked:
            self.since = time.monotonic()
            self.asked = True

    @property
    def seconds(self) -> float:
        """How long ago it was asked; 0 if it was not."""
        return time.monotonic() - self.since if self.asked else 0.0

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
        self.since = self.moved = time.monotonic()
        self.lost_since: float | None = None
        self.beating = threading.Lock()
        self.over = False
        self._draining = draining

    @property
    def seconds(self) -> float:
        """How long this lease has been held."""
        return time.monotonic() - self.since

    @property
    def still(self) -> float:
        """Seconds since the work last showed progress."""
        return time.monotonic() - self.moved

    @property
    def waited_for(self) -> bool:
        """Whether somebody else could use this slot."""
        return self.instruction == Instruction.YIELD

    def reached(self, upto: int) -> bool:
        """Note the progress; False means stop here and finish what is done. Raises `Fenced` if all is in vain."""
        self.mark = upto
        self.stir()
        if self.instruction in (Instruction.LOST, Instruction.CANCEL):
            raise Fenced(f"shard {self.lease.shard_id}: {self.instruction}")
        return not (self.instruction == Instruction.PAUSE or self._draining.asked)

    def stir(self) -> None:
        """Note that something goes on, though no item is finished by it."""
        self.moved = time.monotonic()

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """No beats while a finish holds the shard's row."""
        with self.beating:
            yield


class Pulse(threading.Thread):
    """Beats every `heartbeat_seconds`, for the leases in hand or for the idle slot."""

    def __init__(
        self,
        settings: Settings,
        slot_id: uuid.UUID,
        draining: Drain,
        forgotten: Callable[[], uuid.UUID],
        ear: "Ear",
    ) -> None:
        super().__init__(name="pulse", daemon=True)
        self._settings = settings
        self._database = Database(settings.database_url.get_secret_value(), size=1)
        self._forgotten = forgotten
        self._draining = draining
        self._ear = ear
        self._holds: tuple[Hold, ...] = ()
        self._changing = threading.Lock()
        self._stopping = threading.Event()
        self.slot_id = slot_id

    @property
    def holds(self) -> tuple[Hold, ...]:
        """The leases in hand: the one that is worked on, and one that is stored meanwhile."""
        return self._holds

    @contextlib.contextmanager
    def hold(self, lease: Lease) -> Iterator[Hold]:
        """Keep a lease alive for the length of the block, whichever thread ends it."""
        hold = Hold(lease, self._draining)
        with self._changing:
            self._holds = (*self._holds, hold)
        try:
            yield hold
        finally:
            with self._changing:
                self._holds = tuple(each for each in self._holds if each is not hold)

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
                    self._beat_all()
                except Unavailable as error:
                    log.warning("no beat", reason=str(error))
        finally:
            if not self._stopping.is_set():
                log.critical("the pulse stopped; ending this process")
                os._exit(NO_PULSE_EXIT)

    def _beat_all(self) -> None:
        """Beat for each lease in hand, but for one that is being finished: nobody can take it, and it may last."""
        heard = [self._beat(hold) for hold in self._holds]
        if not any(heard):
            self._keep_alive()

    def _beat(self, hold: Hold) -> bool:
        """Whether the slot was heard of."""
        if not hold.beating.acquire(blocking=False):
            return False
        try:
            if hold.over:
                return False
            with self._database.statement() as session:
                hold.instruction = leases.beat(session, self.slot_id, hold.lease, hold.mark, self._settings)
            reach("beaten")
        except Unavailable as error:
            log.warning("no beat", shard=hold.lease.shard_id, reason=str(error))
            return False
        finally:
            hold.beating.release()
        if hold.instruction == Instruction.LOST and hold.lost_since is None:
            hold.lost_since = time.monotonic()
        return True

    def _keep_alive(self) -> None:
        with self._database.transaction() as session:
            known = slots.keep_alive(session, self.slot_id)
            look = known and not self._draining.asked and self._ear.is_due()
            waits = look and leases.claimable(session, self.slot_id)
        if not known and not self._draining.asked:
            log.warning("this slot was taken for dead; registering again")
            self.slot_id = self._forgotten()
        if look and not self._holds and self._ear.is_dead(waits):
            log.critical("work waits for this slot, but its consumer hears no ring; ending this node to start anew")
            os.kill(os.getppid(), signal.SIGTERM)


class Ear:
    """Whether an idle slot still hears rings: its consumer lives in the parent, and may be cut off without knowing."""

    def __init__(self, settings: Settings, queue: str, ringer: Ringer) -> None:
        self._patience = DEAF_TICKS * settings.tick_seconds
        self._queue = queue
        self._ringer = ringer
        self._waiting_since: float | None = None
        self._looked = time.monotonic()

    def hear(self) -> None:
        """Note that a ring came."""
        self._waiting_since = None

    def is_due(self) -> bool:
        """Whether it is time to look for work that waits: that costs a query, and a healthy slot hears of it."""
        due = time.monotonic() - self._looked >= self._patience
        self._looked = time.monotonic() if due else self._looked
        return due

    def is_dead(self, waits: bool) -> bool:
        """Whether no ring came although work waits; to be asked when due. It rings first, so one is there.

        A broker that does not answer proves nothing: nobody could hear it.
        """
        now = time.monotonic()
        if not waits:
            self._waiting_since = None
            return False
        since = self._waiting_since = self._waiting_since or now
        self._ringer.ring([self._queue])
        if now - since < self._patience:
            return False
        lying = self._ringer.lying(self._queue)
        if lying is None:
            self._waiting_since = now
        return bool(lying) or (lying is not None and now - since > DEAF_SECONDS)
