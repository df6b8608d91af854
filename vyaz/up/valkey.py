"""The embedded Valkey: our own configuration, never the wheel's (which keeps nothing and asks for no password).

It listens on a Unix socket in a folder of mode 0700 and nowhere else, and appends every change to a file once a second.
All it holds are rings; so a file it cannot read any more is set aside rather than letting Vyaz stand still.
"""

import hashlib
import logging
import shutil
import signal
import socket
import threading

from core.errors import VyazError
from vyaz.up import orphans
from vyaz.up.folder import DataFolder, write_file
from vyaz.up.processes import Child, Command, Place, start, wait_for
from vyaz.up.wheels import find_valkey

logger = logging.getLogger(__name__)

NAME = "valkey"
START = 60.0  # seconds; loading the append-only file
STOP = 10.0

CONFIGURATION = """\
# Written by `vyaz up` at every start.
port 0
unixsocket "{socket}"
unixsocketperm 700
protected-mode yes
dir "{folder}"
daemonize no
logfile ""
databases 64
save ""
appendonly yes
appendfsync {sync}
maxmemory-policy noeviction
enable-debug-command no
enable-module-command no
enable-protected-configs no
user default reset on #{digest} ~* &* +@all {denied}
"""
# What reads or writes files, loads code, or hands the data to another server is not for a client.
DENIED = "-debug -module -replicaof -slaveof -failover -migrate -acl -config +config|get"


class Valkey:
    """The server of one data folder. The folder must be held (see `folder.hold`)."""

    def __init__(self, folder: DataFolder, *, durable: bool = True) -> None:
        """`durable=False` leaves syncing to the kernel: for tests only."""
        self._folder = folder
        self._sync = "everysec" if durable else "no"
        self._program = find_valkey()
        self._socket = folder.sockets / "valkey.sock"

    @property
    def url(self) -> str:
        """As Celery spells a Unix socket; another logical database is named by `?virtual_host=N`."""
        return f"redis+socket://:{self._folder.password(NAME)}@{self._socket}"

    @property
    def client_url(self) -> str:
        """As redis-py spells it; another logical database is named by `?db=N`."""
        return f"unix://:{self._folder.password(NAME)}@{self._socket}"

    def launch(self, stopping: threading.Event) -> Child:
        """Start and wait until it answers; raises `Unavailable`."""
        child = self._start()
        try:
            wait_for(child, self._answers, START, stopping)
        except VyazError:
            unreadable = child.ending() is not None
            child.end()
            if not unreadable or not self._set_aside():
                raise
            return self.launch(stopping)
        return child

    def leftovers(self) -> list[orphans.Sight]:
        """Servers of this folder that still live, whoever started them."""
        return orphans.find_programs("valkey-server", self._folder.valkey)

    def _start(self) -> Child:
        digest = hashlib.sha256(self._folder.password(NAME).encode()).hexdigest()
        folder = str(self._folder.valkey).replace("\\", "\\\\").replace('"', '\\"')
        text = CONFIGURATION.format(socket=self._socket, folder=folder, sync=self._sync, digest=digest, denied=DENIED)
        configuration = self._folder.valkey / "valkey.conf"
        write_file(configuration, text)
        self._socket.unlink(missing_ok=True)
        place = Place(self._folder.valkey, self._folder.log(NAME), self._folder.record(NAME))
        argv = (str(self._program), str(configuration))
        return start(Command(NAME, argv, stop=signal.SIGTERM, grace=STOP), place)

    def _answers(self) -> bool:
        password = self._folder.password(NAME)
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(2)
                connection.connect(str(self._socket))
                connection.sendall(f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
                with connection.makefile("rb") as answer:
                    return answer.read() == b"+OK\r\n+PONG\r\n+OK\r\n"
        except OSError:  # no socket yet
            return False

    def _set_aside(self) -> bool:
        """Move the append-only file out of the way; False when there is none to blame."""
        kept = self._folder.valkey / "appendonlydir"
        if not kept.exists():
            return False
        aside = self._folder.valkey / "appendonlydir.unreadable"
        logger.warning("valkey cannot read %s: set aside as %s, starting empty (no work is lost)", kept, aside.name)
        shutil.rmtree(aside, ignore_errors=True)
        kept.rename(aside)
        return True
