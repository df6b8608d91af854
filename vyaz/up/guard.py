"""The last step before a child becomes itself: run as a script, it prepares its own process and execs the real program.

It leaves a record by which a later start finds an orphan, takes on the account asked for, and ties its life to the
supervisor's. Doing this after the fork and in a process of its own keeps Python code out of the fork (`preexec_fn` may
deadlock in a program with threads), and leaves no moment in which a child runs unrecorded or untied.

Standard library only: it runs with `-I -S` and costs about 12 ms.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1


def main() -> None:
    """`guard.py ORDER PROGRAM ARGUMENT...`, where ORDER is JSON: name, parent, stop, record, account."""
    order: dict[str, Any] = json.loads(sys.argv[1])
    program = sys.argv[2:]
    os.umask(0o077)
    try:
        if order["record"]:
            _leave_record(order)
        _become(**order["account"])
        _die_with(order["parent"], order["stop"])
    except OSError as error:
        sys.exit(f"vyaz guard: {order['name']}: {error}")
    # Python ignores these two, and a program inherits what is ignored; the mask is inherited as well.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.execv(program[0], program)  # noqa: S606 - a program needs no shell


def _leave_record(order: dict[str, Any]) -> None:
    """Process number, start in clock ticks and boot id together name one process for ever."""
    start = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    record = {"name": order["name"], "pid": os.getpid(), "start": start, "boot": boot, "stop": order["stop"]}
    path = Path(order["record"])
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(record))
    draft.replace(path)


def _become(kind: str, uid: int, gid: int) -> None:
    """Keep the account (`self`), look like another inside a user namespace (`namespace`), or be another (`user`)."""
    if kind == "namespace":
        outside = os.geteuid()
        _call("unshare", CLONE_NEWUSER)
        Path("/proc/self/uid_map").write_text(f"{uid} {outside} 1\n")
    elif kind == "user":
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def _die_with(parent: int, stop: int) -> None:
    """Be sent `stop` when the parent ends. Comes after the change of account, which would clear it."""
    _call("prctl", PR_SET_PDEATHSIG, stop)
    if os.getppid() != parent:
        sys.exit(f"vyaz guard: the supervisor {parent} has gone")


def _call(name: str, *arguments: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*(ctypes.c_ulong(argument) for argument in arguments)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    main()
