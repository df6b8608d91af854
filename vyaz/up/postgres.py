"""The embedded PostgreSQL: our own cluster, never the wheel's (whose `initdb` trusts everybody).

It listens on a Unix socket in a folder of mode 0700 and nowhere else, asks everybody for a SCRAM password, and keeps
checksums of its pages. Vyaz works as role `vyaz`, which owns database `vyaz` and is no superuser.
"""

import os
import shutil
import signal
import threading

import psycopg
from psycopg import sql

from core.errors import Invalid, Unavailable
from vyaz.up import orphans
from vyaz.up.account import Account, choose_account
from vyaz.up.folder import DataFolder, sync_folder
from vyaz.up.processes import Child, Command, Place, start, wait_for
from vyaz.up.wheels import POSTGRES_MAJOR, find_postgres

NAME = "postgres"
ROLE = "vyaz"  # and the name of its database
SUPERUSER = "postgres"
PORT = 5432  # only part of the socket's name
START = 120.0  # seconds; recovery after a crash reads the log of changes
STOP = 30.0

# Two connections a slot, and the pools of api and beat.
CONFIGURATION = """\
# Written by `vyaz up` at every start. Settings of your own belong in custom.conf beside this file.
listen_addresses = ''
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
port = {port}
max_connections = 200
password_encryption = 'scram-sha-256'
synchronous_commit = on
fsync = {durable}
full_page_writes = {durable}
recovery_init_sync_method = syncfs
shared_buffers = 256MB
max_wal_size = 2GB
wal_compression = on
random_page_cost = 1.1
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
log_line_prefix = '%m [%p] '
include_if_exists 'custom.conf'
"""
HOSTS = "# Written by `vyaz up` at every start.\nlocal all all scram-sha-256\n"


class Postgres:
    """The server of one data folder. The folder must be held (see `folder.hold`)."""

    def __init__(self, folder: DataFolder, *, durable: bool = True, account: Account | None = None) -> None:
        """`durable=False` leaves out fsync: for tests only. `account` overrides the choice made for this machine."""
        self._folder = folder
        self._durable = durable
        self._programs = find_postgres()
        self._account = account or choose_account(self._programs / "postgres", folder.postgres)
        self._data = folder.postgres / "data"
        self._sockets = folder.sockets / NAME

    @property
    def url(self) -> str:
        """Database `vyaz` as role `vyaz`."""
        return self._url(ROLE, self._folder.password("database"), ROLE)

    @property
    def superuser_url(self) -> str:
        """Database `postgres` as the superuser: for making databases and extensions, never given to a process."""
        return self._url(SUPERUSER, self._folder.password("postgres"), "postgres")

    def launch(self, stopping: threading.Event) -> Child:
        """Make the cluster if there is none, start, wait until role and database answer. Raises `Unavailable`."""
        self._prepare()
        if not self._data.exists():
            self._initialise()
        self._check_version()
        self._configure()
        child = self._start()
        try:
            wait_for(child, self._answers, START, stopping)
            self._ensure_role_and_database()
        except BaseException:
            child.end()
            raise
        return child

    def leftovers(self) -> list[orphans.Sight]:
        """Processes of this cluster that still live, whoever started them."""
        return orphans.find_programs("postgres", self._data)

    def _start(self) -> Child:
        # Nothing of ours lives here any more, but a stranger or a zombie may carry the number in this file.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        for left in self._sockets.glob(".s.PGSQL.*"):
            left.unlink()
        argv = (str(self._programs / "postgres"), "-D", str(self._data))
        # SIGINT is PostgreSQL's fast shutdown.
        return start(Command(NAME, argv, stop=signal.SIGINT, grace=STOP), self._place(NAME))

    def _place(self, name: str) -> Place:
        return Place(self._folder.postgres, self._folder.log(name), self._folder.record(name), self._account)

    def _prepare(self) -> None:
        self._sockets.mkdir(mode=0o700, exist_ok=True)
        self._account.open_way(self._folder.path, self._folder.run, self._folder.sockets)
        self._account.check_way(self._folder.postgres, self._sockets, self._programs / "postgres")
        self._account.own(self._sockets)
        self._account.own(self._folder.postgres)

    def _initialise(self) -> None:
        """Make the cluster under another name and rename it, so that there is a whole one or none."""
        draft = self._folder.postgres / "data.new"
        secret = self._folder.postgres / "password.new"
        shutil.rmtree(draft, ignore_errors=True)
        secret.unlink(missing_ok=True)
        with open(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self._folder.password("postgres") + "\n")
        self._account.own(self._folder.postgres)
        self._account.give(secret)
        # C.UTF-8 is built in: code point order as C, but it knows upper and lower case outside ASCII; no ICU, no libc.
        argv = (
            str(self._programs / "initdb"),
            f"--pgdata={draft}",
            f"--username={SUPERUSER}",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--data-checksums",
            "--no-instructions",
            "--sync-method=syncfs" if self._durable else "--no-sync",
        )
        child = start(Command("initdb", argv, stop=signal.SIGKILL), self._place("initdb"))
        made = child.wait(START)
        child.end(0)
        self._folder.record("initdb").unlink(missing_ok=True)
        secret.unlink()
        if not made:
            raise Unavailable(f"PostgreSQL's initdb failed; the end of {child.log}:\n{child.tail()}")
        draft.rename(self._data)
        sync_folder(self._folder.postgres)

    def _check_version(self) -> None:
        found = (self._data / "PG_VERSION").read_text().strip()
        if found != POSTGRES_MAJOR:
            raise Invalid(
                f"{self._data} was made by PostgreSQL {found}, the wheel holds {POSTGRES_MAJOR}: use the older Vyaz, "
                "or carry the data over with pg_dump"
            )

    def _configure(self) -> None:
        durable = "on" if self._durable else "off"
        text = CONFIGURATION.format(sockets=self._sockets, port=PORT, durable=durable)
        for name, content in (("postgresql.conf", text), ("pg_hba.conf", HOSTS)):
            path = self._data / name
            path.write_text(content)
            self._account.give(path)

    def _url(self, user: str, password: str, database: str) -> str:
        return f"postgresql://{user}:{password}@/{database}?host={self._sockets}&port={PORT}"

    def _answers(self) -> bool:
        if not (self._sockets / f".s.PGSQL.{PORT}").exists():
            return False
        try:
            psycopg.connect(self.superuser_url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _ensure_role_and_database(self) -> None:
        """The database comes last: where it is, a first start was not killed half-way."""
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [ROLE]).rowcount:
                # The verifier is computed here, so that no log of the server can hold the password.
                verifier = connection.pgconn.encrypt_password(
                    self._folder.password("database").encode(), ROLE.encode(), b"scram-sha-256"
                )
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                        sql.Identifier(ROLE), sql.Literal(verifier.decode())
                    )
                )
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [ROLE]).rowcount:
                self._add_vector()
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(ROLE), sql.Identifier(ROLE))
                )

    def _add_vector(self) -> None:
        """Only a superuser may add pgvector; in `template1` it is in every database made later."""
        template = self.superuser_url.replace("/postgres?", "/template1?")
        with psycopg.connect(template, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
