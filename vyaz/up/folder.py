"""The data folder of one embedded instance: what lies where, whose it is, and who may use it now.

vyaz.json        says that the folder is ours, and in which format
vyaz.lock        held by the one running supervisor
postgres/        data/ is the cluster
valkey/          configuration and append-only file
store/           pixels, weights, datasets
logs/            one file a process
secrets/         passwords and the first API key
run/             what holds only while it runs: records of processes, instance.json, sockets
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import Conflict, Invalid

FORMAT = 1
MARKER = "vyaz.json"
LOCK = "vyaz.lock"
FOLDERS = ("postgres", "valkey", "store", "logs", "secrets", "run")
NOT_CONTENT = {LOCK, f"{MARKER}.new", "lost+found"}  # an interrupted first start, and a fresh file system

# sun_path holds 107 bytes and an end mark; PostgreSQL's socket has the longest name under the folder of sockets.
LONGEST_SOCKET = "postgres/.s.PGSQL.5432"
SUN_PATH = 107
PLAIN = re.compile(r"[A-Za-z0-9._/-]+")  # needs no quoting in a URL or in the servers' configuration


@dataclass(frozen=True)
class DataFolder:
    """A folder that is ours. Made by `claim`; every path in it is asked of this class."""

    path: Path

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def valkey(self) -> Path:
        return self.path / "valkey"

    @property
    def store(self) -> Path:
        return self.path / "store"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def instance(self) -> Path:
        return self.run / "instance.json"

    @property
    def sockets(self) -> Path:
        """Where sockets lie: `run/`, or a private folder with a short plain name when the path of `run/` is neither."""
        if _fits(self.run):
            return self.run
        name = f"vyaz-{os.geteuid()}-{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]}"
        for parent in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - made private and checked below
            if _fits(parent / name):
                return parent / name
        raise Invalid(f"no folder with a short enough name for sockets: {parent / name}")

    def log(self, name: str) -> Path:
        """The log of one process."""
        return self.logs / f"{name}.log"

    def record(self, name: str) -> Path:
        """The record that one process leaves of itself."""
        return self.run / f"{name}.pid.json"

    def secret(self, name: str) -> str | None:
        """A secret that was kept; None when there is none yet."""
        with contextlib.suppress(FileNotFoundError):
            return (self.path / "secrets" / name).read_text().strip()
        return None

    def password(self, name: str) -> str:
        """A password of 256 bits, made at the first call and kept. Its signs need no quoting in a URL."""
        kept = self.secret(name)
        if kept is None:
            kept = secrets.token_urlsafe(32)
            self.keep_secret(name, kept)
        return kept

    def keep_secret(self, name: str, value: str) -> None:
        """Keep a secret, readable by the owner only."""
        write_file(self.path / "secrets" / name, value + "\n")

    def prepare_sockets(self) -> None:
        """Make the folder of sockets.

        Raises `Conflict` when it lies outside the data folder and is not private: somebody else made it.
        """
        folder = self.sockets
        folder.mkdir(mode=0o700, exist_ok=True)
        seen = folder.lstat()
        private = stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid()
        if folder != self.run and (not private or seen.st_mode & 0o066):
            raise Conflict(f"{folder} should be a private folder for sockets, but somebody else made it: remove it")

    def remove_sockets(self) -> None:
        """Leave nothing outside the data folder."""
        if self.sockets != self.run:
            shutil.rmtree(self.sockets, ignore_errors=True)


def claim(path: Path) -> DataFolder:
    """Take a folder that is empty, missing or already ours.

    Raises `Invalid` when it holds something else, belongs to somebody else, or is of a newer format.
    """
    path = path.expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = path.resolve(strict=True)
        strangers = sorted(entry.name for entry in path.iterdir() if entry.name not in NOT_CONTENT)
    except OSError as error:
        raise Invalid(f"{path} cannot be the data folder: {error.strerror}") from error
    if path.stat().st_uid != os.geteuid():
        raise Invalid(f"{path} belongs to user {path.stat().st_uid}, not to {os.geteuid()}: start vyaz as its owner")
    if strangers and MARKER not in strangers:
        raise Invalid(f"{path} is not empty and not a Vyaz data folder (it holds {strangers[0]}): choose another")
    if strangers:
        _check_format(path)
    return DataFolder(path)


def recognise(path: Path) -> DataFolder | None:
    """The data folder at `path`, if it is one; nothing is made or changed."""
    path = path.expanduser().absolute()
    return DataFolder(path.resolve()) if (path / MARKER).is_file() else None


@contextlib.contextmanager
def hold(folder: DataFolder) -> Iterator[None]:
    """Hold the folder for this process alone, with all of its sub-folders made.

    Raises `Conflict` when another process holds it.
    """
    with (folder.path / LOCK).open("a+") as lock:
        if not _try_lock(lock.fileno()):
            raise Conflict(f"{folder.path}: already running ({_describe_holder(folder)})")
        folder.instance.unlink(missing_ok=True)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        if not (folder.path / MARKER).exists():
            write_file(folder.path / MARKER, json.dumps({"format": FORMAT}) + "\n")
        for name in FOLDERS:
            (folder.path / name).mkdir(mode=0o700, exist_ok=True)
        folder.prepare_sockets()
        try:
            yield
        finally:
            folder.instance.unlink(missing_ok=True)


def refuse_held(folder: DataFolder) -> None:
    """Raise `Conflict` when another process holds the folder now."""
    if is_held(folder):
        raise Conflict(f"{folder.path}: already running ({_describe_holder(folder)})")


def is_held(folder: DataFolder) -> bool:
    """Does a living process hold the folder? A killed one does not: the kernel lets its lock go."""
    try:
        lock = os.open(folder.path / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def write_file(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a whole file or none: under another name, to the disk, then renamed."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename inside the folder outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _fits(folder: Path) -> bool:
    longest = str(folder / LONGEST_SOCKET)
    return len(longest) <= SUN_PATH and PLAIN.fullmatch(longest) is not None


def _check_format(path: Path) -> None:
    try:
        found = json.loads((path / MARKER).read_text())["format"]
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise Invalid(f"{path / MARKER} cannot be read: {error!r}") from error
    if found != FORMAT:
        raise Invalid(f"{path} has format {found}, this version of Vyaz knows {FORMAT}: use the version that made it")


def _try_lock(lock: int) -> bool:
    # `is_held` of a client may hold it for an instant.
    for _ in range(25):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.02)
    return False


def _describe_holder(folder: DataFolder) -> str:
    pid = (folder.path / LOCK).read_text().strip()
    with contextlib.suppress(OSError, ValueError, KeyError):
        return f"pid {pid}, url {json.loads(folder.instance.read_text())['url']}"
    return f"pid {pid}, still starting"
