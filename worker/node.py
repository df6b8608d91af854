"""A node: one Celery parent and its children, each child one slot. Here Celery's signals meet the ledger."""

import contextlib
import os
import signal
import threading
import time

import structlog
from billiard.process import active_children
from celery import signals

from core.broker import connect
from core.catalogue.database import Database
from core.errors import Unavailable
from core.ledger.rings import Ringer
from core.ledger.slots import lose_dead
from core.settings import Settings
from worker.device import machine
from worker.runner import Slot

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.5
NO_SLOT_EXIT = 71
DRAIN = signal.SIGUSR2
"""Tells a busy child to drain: Celery's own SIGTERM does not reach it."""

_slot: list[Slot] = []


def this_slot() -> Slot:
    """The slot of this child process; ends it if it could not take one, for it would swallow rings for ever."""
    if not _slot:
        log.critical("this process has no slot; ending it, so that another may try")
        os._exit(NO_SLOT_EXIT)
    return _slot[0]


def _drain() -> None:
    for slot in _slot:
        slot.drain()


def watch(settings: Settings) -> None:
    """Connect the signals of a worker's life: parent up, child up, parent going down, child going down."""

    def _look_after_children(**_: object) -> None:
        threading.Thread(target=_watch_children, args=(settings,), name="node", daemon=True).start()

    def _take_slot(**_: object) -> None:
        # First of all: taking the slot waits for the database, and by itself this signal would kill.
        signal.signal(DRAIN, lambda *_: _drain())
        _slot.append(Slot(settings, node_name(os.getppid())))

    def _drain_children(**_: object) -> None:
        for child in active_children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, DRAIN)

    def _leave_slot(**_: object) -> None:
        this_slot().leave()

    signals.worker_ready.connect(_look_after_children, weak=False)
    signals.worker_process_init.connect(_take_slot, weak=False)
    signals.worker_shutting_down.connect(_drain_children, weak=False)
    signals.worker_process_shutdown.connect(_leave_slot, weak=False)


def node_name(parent_pid: int) -> str:
    """Machine and parent process: the unit that lives and dies together."""
    return f"{machine()}:{parent_pid}"


def _watch_children(settings: Settings) -> None:
    """Take the shards of dead children back at once, instead of when their leases run out."""
    database = Database(settings.database_url.get_secret_value(), pooled=False)
    ringer = Ringer(connect(settings))
    here = machine()
    try:
        while True:
            _look_once(database, ringer, here)
            time.sleep(LOOK_SECONDS)
    finally:
        # A node that does not look after its children is to be started anew.
        os.kill(os.getpid(), signal.SIGTERM)


def _look_once(database: Database, ringer: Ringer, here: str) -> None:
    try:
        with database.transaction() as session:
            dead = lose_dead(session, here, _is_alive)
        for slot in dead:
            log.warning("a slot's process died", pid=slot.pid, device=slot.device)
        # The child that replaced it may have looked before its shard came back.
        ringer.ring({slot.queue for slot in dead})
    except Unavailable as error:
        log.warning("cannot look after children", reason=str(error))


def _is_alive(pid: int) -> bool:
    """Whether a process of this host runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False
