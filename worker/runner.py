"""A slot at work: claim a shard, keep its lease alive, call into core, report. One slot in one process."""

import contextlib
import importlib
import itertools
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from importlib import metadata
from typing import TypeVar

import structlog
from sqlalchemy.exc import DBAPIError

from core.broker import connect
from core.catalogue import models
from core.catalogue.database import Database
from core.errors import EnvironmentFault, Fenced, Unavailable, Unforeseen, VyazError
from core.failpoints import reach
from core.ledger import leases, slots, tick
from core.ledger.fail import fail
from core.ledger.finish import Keep, Outcome, finish_surely, give_back
from core.ledger.kinds import JobKind
from core.ledger.leases import Lease
from core.ledger.rings import Ringer
from core.recipe import ENGINE
from core.registry import Family
from core.settings import Settings
from core.storage.blobs import Blobs
from worker.device import device_class, memory, pin, queue_of, resident
from worker.heartbeat import Drain, Ear, Hold, Pulse
from worker.watchdog import Watchdog
from worker.work import Ending, Work, Workplace, load

log = structlog.get_logger(__name__)

TURN_SECONDS = 60.0
"""How long a slot goes on for one ring before it lets Celery look after it."""
LEFT_SECONDS = 3600.0
"""Age at which an unfinished object is taken for one that a killed writer left."""
FAULT_PAUSE, ERROR_PAUSE = 4.0, 1.0
"""Seconds before the next claim after a fault of the environment, and after an error of the work's own."""
PATIENCE = (0.2, 1.0, 3.0, 10.0)
"""Seconds between attempts to reach a database that is away."""
FINISH_SECONDS = 120.0
"""How long finished work waits for a database that is away, before it is done again by somebody else."""

T = TypeVar("T")


class Slot:
    """The slot of this process. Made after the fork; never carried over one."""

    def __init__(self, settings: Settings, node: str) -> None:
        self._settings = settings
        self._node = node
        self._queue = queue_of(settings.device)
        self._draining = Drain()
        self._works: dict[str, Work] = {}
        self._place = Workplace(
            settings,
            Database(settings.database_url.get_secret_value(), size=2),
            Blobs.open(settings.store),
            pin(settings.device),
            device_class(settings.device),
        )
        self._ringer = Ringer(connect(settings))
        self._ear = Ear(settings, self._queue, self._ringer)
        self._first_level: int | None = None
        self._carrier = ThreadPoolExecutor(1, "carrier")
        self._carried: Future[None] | None = None
        self.busy = False
        """Whether a ring is being answered. Read by signal handlers and the watchdog."""
        self._pulse = Pulse(settings, self._register_patiently(), self._draining, self._register, self._ear)
        self._pulse.start()
        looks = (lambda: self._pulse.holds, lambda: self.busy)
        Watchdog(settings, self._draining, *looks, self._give_back, self._leave_at_once).start()
        threading.Thread(target=self._preload, name="preload", daemon=True).start()
        self._tidy()
        reach("slot registered")
        self._ringer.ring([self._queue])

    def answer(self, hops: int = 0) -> None:
        """Answer a ring: work for one turn while there is something to claim; else pass it on to whom it concerns."""
        self._ear.hear()
        self.busy = True
        try:
            if not self._take_turn():
                self._pass_on(hops)
        finally:
            self._ear.hear()
            self.busy = False

    def drain(self, leave: bool = False) -> None:
        """Finish the block in hand, return the rest, claim nothing more. Safe in a signal handler.

        With `leave`, the process ends then, too.
        """
        self._draining.ask(leave)

    def leave(self) -> None:
        """Say goodbye; the process is about to end."""
        self._draining.ask()
        self._await_carrier()
        self._pulse.stop()
        reach("drained")
        try:
            with self._place.database.transaction() as session:
                slots.leave(session, self._pulse.slot_id)
        except Unavailable as error:
            log.warning("left without saying so", reason=str(error))
        self._ringer.close()

    def _take_turn(self) -> bool:
        """Work for one turn; whether there was anything to do."""
        until = time.monotonic() + TURN_SECONDS
        lease = self._claim()
        worked = lease is not None
        try:
            while lease is not None:
                lease = self._work_on(lease, until)
        finally:
            self._await_carrier()
        return worked

    def _work_on(self, lease: Lease, until: float) -> Lease | None:
        """Work on a lease, and claim the next unless the turn is over.

        What is only to be stored is stored while the next is worked on. The next is claimed before that begins: so the
        ledger knows, should this process die, that it was not the first that did it. What came back once is stored
        alone: it may have been.
        """
        with contextlib.ExitStack() as held:
            hold = held.enter_context(self._pulse.hold(lease))
            made = self._attempt(lease, hold, partial(self._make, lease, hold))
            self._await_carrier(hold)
            alone = lease.epoch > 1
            if callable(made) and not alone and (following := self._claim_in_turn(until)) is not None:
                self._carried = self._carrier.submit(self._carry, lease, hold, made, held.pop_all())
                return following
            if made is not None:
                self._end(lease, hold, made)
        self._ringer.ring([self._queue])
        reach("rung")
        return self._claim_in_turn(until)

    def _claim_in_turn(self, until: float) -> Lease | None:
        """The next lease of this turn; none where it is over, which the next ring will find."""
        if self._outgrown() or time.monotonic() > until:
            self._ringer.ring([self._queue])
            return None
        return self._claim()

    def _carry(self, lease: Lease, hold: Hold, made: Callable[[], Ending], held: contextlib.ExitStack) -> None:
        with held:
            self._end(lease, hold, made)
        self._ringer.ring([self._queue])
        reach("rung")

    def _await_carrier(self, hold: Hold | None = None) -> None:
        """Wait until what was made before is stored; a hold that waits with us stands still for no fault of its own."""
        carried, self._carried = self._carried, None
        if carried is None:
            return
        while not wait([carried], timeout=1.0).done:
            if hold is not None:
                hold.stir()
        if (error := carried.exception()) is not None:  # no affair of the next shard's; this one's lease runs out
            log.error("the end of a shard went wrong", exc_info=error)

    def _pass_on(self, hops: int) -> None:
        """Send the ring on if an idle slot of the queue could use it, at most once for each; this one cannot."""
        try:
            with self._place.database.transaction() as session:
                peers = tick.peers_in_need(session, self._pulse.slot_id, self._queue)
        except Unavailable as error:
            log.warning("a ring was not passed on; the tick will replace it", reason=str(error))
            return
        if hops < peers:
            self._ringer.pass_on(self._queue, hops + 1)

    def _outgrown(self) -> bool:
        """Whether this process grew so much since its first shard that a fresh one is to take its place; asks for it.

        Memory at this moment, not the most that was ever used: one large shard is no leak.
        """
        level = resident()
        if self._first_level is None:
            self._first_level = level
        limit = self._place.settings.memory_growth << 20
        if not limit or level - self._first_level <= limit:
            return False
        log.warning("grown; a fresh process takes over", mib=level >> 20, first=self._first_level >> 20)
        self._draining.ask(leave=True)
        return True

    def _give_back(self, hold: Hold) -> None:
        """Return a whole shard from the watchdog's thread, on a connection of its own."""
        try:
            with self._unpooled().transaction() as session:
                give_back(session, hold.lease, hold.seconds, reason="the slot was drained")
        except (Fenced, Unavailable) as error:
            log.warning("could not return the shard", shard=hold.lease.shard_id, reason=str(error))

    def _leave_at_once(self) -> None:
        """Say goodbye from the watchdog's thread; the process is about to end."""
        try:
            with self._unpooled().transaction() as session:
                slots.leave(session, self._pulse.slot_id)
        except Unavailable as error:
            log.warning("left without saying so", reason=str(error))
        self._ringer.ring([self._queue])
        self._ringer.close()

    def _unpooled(self) -> Database:
        return Database(self._place.settings.database_url.get_secret_value(), pooled=False)

    def _preload(self) -> None:
        """Import torch where there are models to run: it takes seconds, and whoever rings first would wait for it."""
        try:
            with self._place.database.transaction() as session:
                wanted = models.any_version(session)
        except Unavailable as error:
            log.warning("cannot ask for models", reason=str(error))
            return
        if wanted:
            importlib.import_module(f"worker.kinds.{JobKind.GENERATE}")

    def _tidy(self) -> None:
        """Remove what killed writers left in the store; a store that is away will be noticed by whoever needs it."""
        try:
            self._place.blobs.sweep(older_than=LEFT_SECONDS)
        except EnvironmentFault as error:
            log.warning("could not tidy the store", reason=str(error))

    def _claim(self) -> Lease | None:
        if self._draining.asked:
            return None
        try:
            with self._place.database.statement() as session:
                lease = leases.claim(session, self._pulse.slot_id, self._settings)
        except (Unavailable, DBAPIError) as error:  # whatever it is, what is made and not stored yet must not be lost
            log.warning("cannot claim", reason=str(error))
            return None
        if lease is not None and lease.more:
            self._ringer.ring([self._queue])
        return lease

    def _make(self, lease: Lease, hold: Hold) -> Ending | Callable[[], Ending]:
        reach("claimed")
        return self._work(lease.kind)(lease, hold)

    def _end(self, lease: Lease, hold: Hold, made: Ending | Callable[[], Ending]) -> None:
        """Store what was made, if that is still to be done, and commit it."""

        def end() -> None:
            outcome, keep = made() if callable(made) else made
            reach("worked")
            self._finish(lease, hold, outcome, keep)
            reach("committed")
            self._drop(outcome.obsolete)

        self._attempt(lease, hold, end)

    def _attempt(self, lease: Lease, hold: Hold, step: Callable[[], T]) -> T | None:
        """Take a step for a lease; None if it failed, and the ledger knows."""
        bound = log.bind(job=str(lease.job_id), shard=lease.shard_id, epoch=lease.epoch)
        try:
            return step()
        except Fenced as error:
            bound.info("fenced", reason=str(error))
            self._free(lease, hold.seconds)
        except VyazError as error:
            bound.warning("failed", scope=type(error).__name__, reason=str(error))
            self._report(lease, hold, error)
        except Exception as error:  # the task boundary: whatever a kind's work raises is this shard's failure
            bound.exception("failed unexpectedly")
            self._report(lease, hold, _in_scope(error))
        return None

    def _finish(self, lease: Lease, hold: Hold, outcome: Outcome, keep: Keep | None) -> None:
        """Commit what was made, however long the database is away, as long as nobody else has the shard.

        Trying again is safe: `finish_surely` reads back what became of the try before.
        """
        until = time.monotonic() + FINISH_SECONDS
        for attempt in itertools.count():
            hold.stir()
            try:
                with hold.quiet():
                    finish_surely(self._place.database, lease, outcome, keep)
                    hold.over = True
                return
            except Unavailable as error:
                if time.monotonic() > until:
                    raise
                log.warning("cannot finish yet", shard=lease.shard_id, reason=str(error))
            time.sleep(PATIENCE[min(attempt, len(PATIENCE) - 2)])

    def _drop(self, keys: Sequence[str]) -> None:
        """Delete what the commit made obsolete; what cannot be deleted now is left lying, and costs only space."""
        try:
            for key in keys:
                self._place.blobs.delete(key)
            reach("obsolete dropped")
        except EnvironmentFault as error:
            log.warning("objects left in the store", reason=str(error), keys=len(keys))

    def _report(self, lease: Lease, hold: Hold, error: VyazError) -> None:
        """Tell the ledger; if it cannot be told, the lease runs out and tells it.

        Then breathe: a full disk fails every shard at once, and a slot that goes on claiming would cut a whole job into
        blocks that all wait.
        """
        try:
            with hold.quiet(), self._place.database.transaction() as session:
                fail(session, lease, error, hold.seconds)
                reach("returned")
                hold.over = True
        except (Fenced, Unavailable) as second:
            log.warning("could not report", reason=str(second))
        self._draining.wait(FAULT_PAUSE if isinstance(error, EnvironmentFault | Unavailable) else ERROR_PAUSE)

    def _free(self, lease: Lease, seconds: float) -> None:
        """A cancelled job's shard goes back at once; one that is lost is somebody else's already."""
        try:
            with self._place.database.transaction() as session:
                fail(session, lease, EnvironmentFault("cancelled"), seconds)
        except Fenced:
            self._idle(lease)
        except Unavailable as error:
            log.warning("could not return the shard", reason=str(error))

    def _idle(self, lease: Lease) -> None:
        try:
            with self._place.database.transaction() as session:
                slots.idle(session, self._pulse.slot_id, lease.shard_id)
        except Unavailable as error:
            log.warning("could not say that this slot is idle", reason=str(error))

    def _work(self, kind: str) -> Work:
        if kind not in self._works:
            self._works[kind] = load(JobKind(kind), self._place)
        return self._works[kind]

    def _register_patiently(self) -> uuid.UUID:
        """Register, however long the database is away: a slot that gave up would be replaced by one that gives up."""
        for attempt in range(1_000_000):
            try:
                return self._register()
            except Unavailable as error:
                log.warning("cannot register", reason=str(error))
                time.sleep(PATIENCE[min(attempt, len(PATIENCE) - 1)])
        raise Unavailable("the database never came")

    def _register(self) -> uuid.UUID:
        slot = slots.Slot(
            node=self._node,
            host=socket.gethostname(),
            pid=os.getpid(),
            parent_pid=os.getppid(),
            queue=self._queue,
            device=self._settings.device,
            device_class=self._place.device_class,
            version=metadata.version("vyaz"),
            engine=ENGINE,
            memory=memory(self._settings.device, self._settings.slots),
            kinds=list(JobKind),
            families=list(Family),
        )
        with self._place.database.transaction() as session:
            return slots.register(session, slot)


def _in_scope(error: Exception) -> VyazError:
    """What nobody foresaw, by the damage it is taken to do."""
    if isinstance(error, OSError):
        return EnvironmentFault(str(error))
    first = (str(error).splitlines() or [""])[0]
    return Unforeseen(f"{type(error).__name__}: {first}")
