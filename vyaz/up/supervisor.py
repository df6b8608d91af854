"""`vyaz up`: everything under one process. Starts in order, starts again what falls, stops in the reverse order."""

import contextlib
import copy
import errno
import http.client
import importlib.metadata
import itertools
import logging
import logging.handlers
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from core.errors import Conflict, Invalid, VyazError
from core.settings import Settings
from vyaz.up.commands import HOST, commands
from vyaz.up.folder import DataFolder, claim, refuse_held
from vyaz.up.instance import KEY, Instance, announce
from vyaz.up.processes import Child, Command, Place, start, trim, wait_for
from vyaz.up.servers import ServerPair

logger = logging.getLogger(__name__)

PORT = 8765
WATCH = 0.2  # seconds between two looks at the children
READY = 90.0  # seconds for the API to answer
SLOTS_READY = 30.0  # seconds for all slots to register
FIRST_PAUSE, LAST_PAUSE = 0.5, 30.0  # seconds before a fallen process starts again: doubled each time
STEADY = 60.0  # a process that ran this long has nothing to do with its earlier falls
SOURCE = Path(__file__).parents[2]  # where api, core and worker lie: a child imports what its supervisor does


@dataclass(frozen=True)
class Setup:
    """What is done when the servers run and before any process starts; each takes the URL of the database."""

    migrate: Callable[[str], None]
    create_key: Callable[[str], str]
    ship: Callable[[str, str], object] = lambda database_url, store_url: None
    """Registers the weights that come with Vyaz; takes the URL of the store too."""
    count_slots: Callable[[str], int] | None = None
    """How many slots are there; None: nobody waits for them."""


def up(
    data: Path,
    port: int | None = None,
    workers: int = 1,
    device: str = "cpu",
    *,
    ready: Callable[[Instance], None] = lambda instance: None,
) -> int:
    """Run an instance on the folder `data` until SIGINT or SIGTERM; the exit code is 0 then.

    `port` None is 8765, 0 any free one. `ready` is called once, when the API answers and the slots are there. Outside
    servers named in the settings are used instead of embedded ones. To be called in the main thread, which owns the
    signals.

    Raises `Invalid` (folder, port, workers), `Conflict` (runs already, port in use), `Unavailable` (a server or the
    API does not come up; the message has the end of its log).
    """
    if not 1 <= workers <= 256:
        raise Invalid(f"--workers must be 1 to 256, not {workers}")
    refuse_held(claim(data))
    port = choose_port(port)
    setup = Setup(_migrate, _create_key, _ship, _count_slots)
    supervisor = Supervisor(data, port, commands(port, workers, device), setup, ready)
    return supervisor.run(Settings())


def choose_port(wanted: int | None) -> int:
    """A port that is free now. Raises `Conflict` when it is in use, `Invalid` when it cannot be had at all."""
    port = PORT if wanted is None else wanted
    if not 0 <= port <= 65535:
        raise Invalid(f"--port must be 0 to 65535, not {port}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as uvicorn does
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise Invalid(
                    f"port {port} on {HOST} cannot be used ({error.strerror}): choose another --port"
                ) from error
            default = "the default port" if wanted is None else "port"
            raise Conflict(f"{default} {port} on {HOST} is in use: choose another with --port (0 takes any)") from error
        return int(probe.getsockname()[1])


@dataclass
class Charge:
    """One process in the supervisor's care."""

    command: Command
    child: Child
    born: float
    pause: float = FIRST_PAUSE
    next_start: float | None = None

    def fell(self, now: float) -> float:
        """Note a fall; the seconds until it may start again."""
        if now - self.born > STEADY:
            self.pause = FIRST_PAUSE
        pause, self.pause = self.pause, min(2 * self.pause, LAST_PAUSE)
        self.next_start = now + pause
        return pause


class Supervisor:
    """Runs the servers of one data folder and the given processes on them. The first of these is the API."""

    def __init__(
        self,
        data: Path,
        port: int,
        plan: Sequence[Command],
        setup: Setup,
        ready: Callable[[Instance], None] = lambda instance: None,
    ) -> None:
        self._data = data
        self._port = port
        self._plan = plan
        self._setup = setup
        self._ready = ready
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._charges: list[Charge] = []

    def run(self, settings: Settings) -> int:
        """Until asked to stop; see `up`."""
        servers = ServerPair(
            self._data,
            database_url=settings.database_url.get_secret_value(),
            broker_url=settings.broker_url.get_secret_value(),
            stopping=self._stopping,
        )
        with self._signals(), contextlib.suppress(KeyboardInterrupt), servers, _log_to(servers.folder):
            logger.info("servers run; data in %s", servers.folder.path)
            self._serve(servers, settings)
        return 0

    def _serve(self, servers: ServerPair, settings: Settings) -> None:
        folder = servers.folder
        store_url = settings.store_url or folder.store.as_uri()
        self._setup.migrate(servers.database_url)
        self._setup.ship(servers.database_url, store_url)
        key = folder.secret(KEY)
        if key is None:
            key = self._setup.create_key(servers.database_url)
            folder.keep_secret(KEY, key)
        environment = {
            "VYAZ_DATA": str(folder.path),
            "VYAZ_DATABASE_URL": servers.database_url,
            "VYAZ_BROKER_URL": servers.broker_url,
            "VYAZ_STORE_URL": store_url,
        }
        try:
            for command in self._plan:
                command = replace(command, environment={**environment, **command.environment})
                self._charges.append(Charge(command, self._start(command, folder), time.monotonic()))
            wait_for(self._charges[0].child, self._api_answers, READY, self._stopping)
            self._await_slots(servers)
            instance = self._describe(key)
            announce(folder, instance)
            logger.info("ready: %s", instance.url)
            self._ready(instance)
            self._watch(servers)
        finally:
            self._stop(folder)

    def _await_slots(self, servers: ServerPair) -> None:
        """Wait for the slots, for whoever submits at once would hear that nobody can do it; but not for ever."""
        count = self._setup.count_slots
        wanted = sum(charge.command.kind == "worker" for charge in self._charges)
        deadline = time.monotonic() + SLOTS_READY
        while count is not None and count(servers.database_url) < wanted and not self._stopping.wait(WATCH):
            for charge in self._charges:
                self._look_after(charge, servers.folder, time.monotonic())
            if time.monotonic() > deadline:
                logger.warning("not all of %d slots have come; going on without", wanted)
                return

    def _watch(self, servers: ServerPair) -> None:
        """Start again what falls, until asked to stop."""
        pause, next_start = FIRST_PAUSE, 0.0
        while not self._stopping.wait(WATCH):
            now = time.monotonic()
            for charge in self._charges:
                self._look_after(charge, servers.folder, now)
            for log in servers.folder.logs.glob("*.log"):
                trim(log)
            if now < next_start:
                continue
            try:
                servers.revive()
                pause = FIRST_PAUSE
            except KeyboardInterrupt:
                return
            except VyazError as error:
                logger.error("%s; next try in %g s", error, pause)
                pause, next_start = min(2 * pause, LAST_PAUSE), time.monotonic() + pause

    def _look_after(self, charge: Charge, folder: DataFolder, now: float) -> None:
        if charge.next_start is None:
            ending = charge.child.ending()
            if ending is not None:
                charge.child.end(0)  # what it forked
                logger.warning("%s %s: starts again in %g s", charge.command.name, ending, charge.fell(now))
        elif now >= charge.next_start:
            charge.child, charge.born, charge.next_start = self._start(charge.command, folder), now, None

    def _start(self, command: Command, folder: DataFolder) -> Child:
        return start(command, Place(SOURCE, folder.log(command.name), folder.record(command.name)))

    def _stop(self, folder: DataFolder) -> None:
        """Kind by kind, in the reverse order: workers, beat, api. Those of one kind end together."""
        logger.info("stopping")
        for _, group in itertools.groupby(reversed(self._charges), key=lambda charge: charge.command.kind):
            charges = list(group)
            for charge in charges:
                charge.child.ask_to_end()
            deadline = time.monotonic() + max(charge.command.grace for charge in charges)
            while any(charge.child.ending() is None for charge in charges):
                if time.monotonic() > deadline or self._hurry.wait(0.02):
                    break
            for charge in charges:
                if charge.child.ending() is None:
                    logger.warning("%s does not end: killing it", charge.command.name)
                charge.child.end(0)
                folder.record(charge.command.name).unlink(missing_ok=True)

    def _api_answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=2)
        try:
            connection.request("GET", "/livez")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _describe(self, key: str) -> Instance:
        started = datetime.now(UTC).isoformat(timespec="seconds")
        return Instance(f"http://{HOST}:{self._port}", os.getpid(), started, _version(), key)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """The first SIGINT, SIGTERM or SIGHUP stops in order, the second without waiting for anybody's work."""

        def on_signal(number: int, frame: FrameType | None) -> None:
            (self._hurry if self._stopping.is_set() else self._stopping).set()

        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, on_signal) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Line(logging.Formatter):
    """Formats a copy: the stock formatter writes its text into the record, where other handlers would find it."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(copy.copy(record))


@contextlib.contextmanager
def _log_to(folder: DataFolder) -> Iterator[None]:
    """Keep the supervisor's own story in `logs/up.log`."""
    handler = logging.handlers.RotatingFileHandler(folder.log("up"), maxBytes=1 << 20, backupCount=1)
    handler.setFormatter(_Line("%(asctime)s %(levelname)s %(message)s"))
    ours = logging.getLogger("vyaz.up")
    level = ours.level
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    try:
        yield
    finally:
        ours.setLevel(level)
        ours.removeHandler(handler)
        handler.close()


def _migrate(url: str) -> None:
    from core.catalogue.database import migrate

    migrate(url)


def _ship(database_url: str, store_url: str) -> None:
    from core.shipped import register_at

    for reference in register_at(database_url, store_url):
        logger.info("registered %s", reference)


def _create_key(url: str) -> str:
    from core.catalogue import keys
    from core.catalogue.database import Database

    database = Database(url, pooled=False)
    try:
        with database.transaction() as session:
            _, plaintext = keys.create(session, "local", "made by vyaz up", "admin")
            return str(plaintext)
    finally:
        database.close()


def _count_slots(url: str) -> int:
    from core.catalogue.database import Database
    from core.ledger import slots

    database = Database(url, pooled=False)
    try:
        with database.transaction() as session:
            return slots.count_live(session)
    finally:
        database.close()


def _version() -> str:
    try:
        return importlib.metadata.version("vyaz")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
