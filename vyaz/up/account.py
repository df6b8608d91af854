"""Who PostgreSQL runs as: it refuses root, and it refuses a user without a name.

Root keeps its files and only *looks* like another user inside a user namespace; so nothing is chown-ed or chmod-ed and
no user is added. Where namespaces are forbidden (a container's seccomp rules), root's PostgreSQL really becomes an
existing unprivileged user, who then owns the folder `postgres/` and nothing else.
"""

import contextlib
import dataclasses
import json
import os
import pwd
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import Invalid

GUARD = Path(__file__).with_name("guard.py")
PREFERRED = ("nobody", "daemon")  # present on every Linux we know of, and not a person's


@dataclass(frozen=True)
class Account:
    """`self`: as we are. `namespace`: we, looking like `uid` to ourselves. `user`: the real `uid` and `gid`."""

    kind: Literal["self", "namespace", "user"] = "self"
    uid: int = -1
    gid: int = -1

    def own(self, folder: Path) -> None:
        """Hand a folder with all it holds to a real other user; otherwise it is ours already."""
        if self.kind != "user" or (folder.stat().st_uid == self.uid):
            return
        for path in (*folder.rglob("*"), folder):
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def give(self, path: Path) -> None:
        """Hand one file to a real other user."""
        if self.kind == "user":
            os.chown(path, self.uid, self.gid)

    def open_way(self, *folders: Path) -> None:
        """Let a real other user pass through folders of ours (search, not read)."""
        if self.kind == "user":
            for folder in folders:
                folder.chmod(stat.S_IMODE(folder.stat().st_mode) | stat.S_IXGRP | stat.S_IXOTH)

    def check_way(self, *paths: Path) -> None:
        """Raise `Invalid` when a real other user cannot reach one of these."""
        if self.kind != "user":
            return
        for path in paths:
            for folder in path.parents:
                if not folder.stat().st_mode & stat.S_IXOTH and folder.stat().st_uid != self.uid:
                    raise Invalid(
                        f"PostgreSQL refuses root, user namespaces are forbidden here, and user {self.uid} cannot "
                        f"enter {folder} (needed for {path}): choose another --data, or run vyaz as an ordinary user"
                    )


def choose_account(program: Path, folder: Path) -> Account:
    """The account for `program` (PostgreSQL's) working in `folder`, on this machine.

    Raises `Invalid` when there is none: a user without a name where namespaces are forbidden, too.
    """
    uid = os.geteuid()
    owner = folder.stat()
    if uid == 0 and owner.st_uid != 0:  # an earlier start had to hand it over
        return Account("user", owner.st_uid, owner.st_gid)
    if uid != 0 and _has_name(uid):
        return Account()
    other = _find_ordinary()
    disguised = Account("namespace", other.pw_uid, other.pw_gid)
    if _works(disguised, program):
        return disguised
    if uid == 0:
        return dataclasses.replace(disguised, kind="user")
    raise Invalid(
        f"user {uid} has no entry in /etc/passwd, which PostgreSQL needs, and user namespaces are forbidden here: "
        "add an entry, or set VYAZ_DATABASE_URL to a server of your own"
    )


def _has_name(uid: int) -> bool:
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwuid(uid).pw_name)
    return False


def _find_ordinary() -> pwd.struct_passwd:
    for name in PREFERRED:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    for entry in pwd.getpwall():
        if entry.pw_uid != 0:
            return entry
    raise Invalid("PostgreSQL refuses root, and /etc/passwd names nobody else: run vyaz as an ordinary user")


def _works(account: Account, program: Path) -> bool:
    """Can a child take on this account and run the program?"""
    order = {
        "name": "probe",
        "parent": os.getpid(),
        "stop": 9,
        "record": "",
        "account": dataclasses.asdict(account),
    }
    argv = [sys.executable, "-I", "-S", str(GUARD), json.dumps(order), str(program), "--version"]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0
