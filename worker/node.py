"""A node: one Celery parent and its children, each child one slot. Here Celery's signals meet the ledger."""

import contextlib
import os
import signal
import threading
import time
from types import FrameType

import sqlalchemy as sa
import structlog
from billiard.process import active_children
from celery import signals

from core.broker import connect
from core.catalogue.database import Database
from core.catalogue.tables import Worker
from core.errors import Unavailable
from core.ledger.rings import Ringer
from core.ledger.slots import lose_dead
from core.settings import Settings
from worker.device import machine
from worker.heartbeat import Drain
from worker.runner import Slot

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.5
NO_SLOT_EXIT = 71
DRAIN = signal.SIGUSR2
"""Tells a busy child to drain: Celery's own SIGTERM does not reach it."""
STOPS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""What asks a child itself to end. Celery would have it raise `SystemExit` wherever it is, be it in a commit."""
LAST_SECONDS = 8.5
"""When a node that was asked to stop ends whatever still runs: it promised to be gone in 10 s."""
SILENT_LEASES = 3.0
"""So many leases may pass without a beat of a child that lives: then it is stopped, or holds the interpreter's lock."""
SILENT_SECONDS = 15.0
"""And at least so long."""

_slot: list[Slot] = []
_last_words = threading.Event()
_stopping = Drain()


def this_slot() -> Slot:
    """The slot of this child process; ends it if it could not take one, for it would swallow rings for ever."""
    if not _slot:
        log.critical("this process has no slot; ending it, so that another may try")
        os._exit(NO_SLOT_EXIT)
    for number in STOPS:
        # Only now: Celery sets its own handlers after the child has taken its slot.
        signal.signal(number, _stop)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # Celery's soft time limit: an exception in any place
    return _slot[0]


def _drain(*_: object) -> None:
    if not _slot:
        os._exit(0)  # it still waits for the database, and holds nothing
    for slot in _slot:
        slot.drain()


def _stop(_: int, __: FrameType | None) -> None:
    """End after the block in hand; at once when idle; never in the middle of saying goodbye."""
    for slot in _slot:
        slot.drain(leave=True)
        if slot.busy:
            return
    if not _last_words.is_set():
        raise SystemExit(0)


def watch(settings: Settings) -> None:
    """Connect the signals of a worker's life: parent up, child up, parent going down, child going down."""

    def _look_after_children(**_: object) -> None:
        threading.Thread(target=_watch_children, args=(settings,), name="node", daemon=True).start()

    def _take_slot(**_: object) -> None:
        # First of all: taking the slot waits for the database, and by itself this signal would kill.
        signal.signal(DRAIN, _drain)
        _slot.append(Slot(settings, node_name(os.getppid())))

    def _keep_promise(**_: object) -> None:
        threading.Thread(target=_end_late, name="deadline", daemon=True).start()

    def _drain_children(**_: object) -> None:
        _stopping.ask()
        for child in active_children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, DRAIN)

    def _leave_slot(**_: object) -> None:
        _last_words.set()
        if _slot:
            _slot[0].leave()
        _last_words.clear()

    signals.worker_init.connect(_keep_promise, weak=False)
    signals.worker_ready.connect(_look_after_children, weak=False)
    signals.worker_process_init.connect(_take_slot, weak=False)
    signals.worker_shutting_down.connect(_drain_children, weak=False)
    signals.worker_process_shutdown.connect(_leave_slot, weak=False)


def _end_late() -> None:
    """Keep the promise of a drain whatever hangs: the broker's socket, a child, Celery's own shutdown."""
    while _stopping.seconds < LAST_SECONDS:
        time.sleep(0.1)
    log.warning("this node was asked to stop and still waits for something; ending it")
    os._exit(0)  # and with it, by Celery's PDEATHSIG, its children


def node_name(parent_pid: int) -> str:
    """Machine and parent process: the unit that lives and dies together."""
    return f"{machine()}:{parent_pid}"


def _watch_children(settings: Settings) -> None:
    """Take the shards of dead children back at once, instead of when their leases run out; end those that hang."""
    database = Database(settings.database_url.get_secret_value(), pooled=False)
    ringer = Ringer(connect(settings))
    here = machine()
    silent: dict[int, float] = {}
    try:
        while True:
            try:
                _look_once(database, ringer, here)
                silent = _end_silent(database, settings, silent)
            except Unavailable as error:
                log.warning("cannot look after children", reason=str(error))
                silent = {}
            time.sleep(LOOK_SECONDS)
    finally:
        # A node that does not look after its children is to be started anew.
        os.kill(os.getpid(), signal.SIGTERM)


def _look_once(database: Database, ringer: Ringer, here: str) -> None:
    with database.transaction() as session:
        dead = lose_dead(session, here, _is_alive)
    for slot in dead:
        log.warning("a slot's process died", pid=slot.pid, device=slot.device)
    # The child that replaced it may have looked before its shard came back.
    ringer.ring({slot.queue for slot in dead})


def _end_silent(database: Database, settings: Settings, before: dict[int, float]) -> dict[int, float]:
    """Kill children that live and have not beaten for long; returns who is silent, and since when it was seen.

    Seen for two more beats: after an outage, or when the machine slept, everybody is silent for a moment.
    """
    last = sa.func.max(Worker.heartbeat_at)
    heard = sa.select(Worker.pid).where(Worker.node == node_name(os.getpid())).group_by(Worker.pid)
    limit = sa.func.make_interval(0, 0, 0, 0, 0, 0, max(SILENT_SECONDS, SILENT_LEASES * settings.lease_seconds))
    with database.transaction() as session:
        pids = set(session.scalars(heard.having(last < sa.func.clock_timestamp() - limit)))
    now = time.monotonic()
    silent = {pid: before.get(pid, now) for pid in pids if _is_child(pid)}
    for pid, since in silent.items():
        if now - since > 2 * settings.heartbeat_seconds:
            log.error("a slot's process lives but does not beat; ending it", pid=pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return silent


def _is_child(pid: int) -> bool:
    """Whether a process is a living child of this one; not asked of billiard, whose looking reaps."""
    return _is_alive(pid) and _stat(pid)[1:2] == [str(os.getpid())]


def _is_alive(pid: int) -> bool:
    """Whether a process of this host runs; a zombie does not."""
    return _stat(pid)[:1] not in ([], ["Z"], ["X"])


def _stat(pid: int) -> list[str]:
    """State, parent and more of a process; nothing if there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
