"""The watchdog of a slot: a thread that ends the process when its main thread cannot or will not.

It asks no server, so that nothing that hangs can hold it: a drain that takes too long, a lost lease that is still
worked on, a block that never ends. What ends here has lost nothing; its parent gives the shard to another.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence

import structlog

from core.ledger.kinds import kind_of
from core.settings import Settings
from worker.heartbeat import Drain, Hold

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.1
RETURN_SECONDS = 6.0
"""After so long a drain no longer waits for the block in hand, and the shard is returned as a whole."""
DRAIN_SECONDS = 7.5
"""After so long a drain waits for nothing at all; the parent has 10 s."""
FENCED_GRACE = 10.0
"""Seconds a holder may go on after its lease is lost."""
UNCOUNTED = 12.0
"""So many times longer may work stand still that is not counted in blocks: an evaluation, a choice of the best."""
IDLE_SECONDS = 0.2
"""How long a leaving process is idle before it is told to go, so that Celery has the task's end."""

DRAIN_EXIT, FENCED_EXIT, STALL_EXIT, NO_WATCH_EXIT = 0, 70, 73, 74


class Watchdog(threading.Thread):
    """Looks ten times a second."""

    def __init__(
        self,
        settings: Settings,
        draining: Drain,
        held: Callable[[], Sequence[Hold]],
        busy: Callable[[], bool],
        give_back: Callable[[Hold], None],
        leave: Callable[[], None],
    ) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._settings = settings
        self._draining = draining
        self._held = held
        self._busy = busy
        self._give_back = give_back
        self._leave = leave
        self._idle_since: float | None = None
        self._returning = self._told = False

    def run(self) -> None:
        """Look until the process ends; it does not outlive this thread."""
        try:
            while True:
                time.sleep(LOOK_SECONDS)
                holds = self._held()
                self._mind_drain(holds)
                for hold in holds:
                    self._mind_lease(hold)
                    self._mind_progress(hold)
        finally:
            os._exit(NO_WATCH_EXIT)

    def _mind_drain(self, holds: Sequence[Hold]) -> None:
        seconds = self._draining.seconds
        if seconds > DRAIN_SECONDS:
            log.error("drained for too long; ending this process", seconds=round(seconds, 1))
            os._exit(DRAIN_EXIT)
        if seconds > RETURN_SECONDS and any(not hold.over for hold in holds) and not self._returning:
            self._returning = True
            threading.Thread(target=self._return, daemon=True).start()
        idle = self._draining.leaving and not self._busy()
        self._idle_since = (self._idle_since or time.monotonic()) if idle else None
        if self._idle_since is not None and time.monotonic() - self._idle_since > IDLE_SECONDS and not self._told:
            self._told = True
            os.kill(os.getpid(), signal.SIGTERM)

    def _return(self) -> None:
        """Return the shards of blocks that take too long for a drain, and end; wait for one that is being finished."""
        while left := [hold for hold in self._held() if not hold.over]:
            for hold in left:
                # Held from here on: nobody finishes it any more, nor beats for it.
                if hold.beating.acquire(blocking=False) and not hold.over:
                    log.warning("the block in hand takes too long for a drain", shard=hold.lease.shard_id)
                    self._give_back(hold)
                    hold.over = True
            time.sleep(LOOK_SECONDS)
        self._leave()
        os._exit(DRAIN_EXIT)

    def _mind_lease(self, hold: Hold) -> None:
        if hold.lost_since is not None and time.monotonic() - hold.lost_since > FENCED_GRACE:
            log.error("still working on a lost lease; ending this process", shard=hold.lease.shard_id)
            os._exit(FENCED_EXIT)

    def _mind_progress(self, hold: Hold) -> None:
        counted = kind_of(hold.lease.kind).splits and not hold.lease.closing
        limit = self._settings.stall_seconds * (1.0 if counted else UNCOUNTED)
        if hold.still > limit:
            log.error("no progress; ending this process", shard=hold.lease.shard_id, seconds=round(hold.still, 1))
            os._exit(STALL_EXIT)
