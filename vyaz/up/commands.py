"""The exact command of every Vyaz process: `vyaz up` starts these, and docker-compose.yml is tested against them."""

import os
import sys

from vyaz.up.processes import Command

HOST = "127.0.0.1"
WORKER_GRACE = 15.0  # seconds: a worker finishes its block, uploads and commits
OTHER_GRACE = 10.0


def commands(port: int, workers: int, device: str, host: str = HOST) -> tuple[Command, ...]:
    """All processes in the order in which they start; they stop in the reverse order.

    `workers` slots work on `device` (`cpu`, `cuda:0`...); beside a GPU's one more works on `cpu`.
    """
    queue = "cpu" if device == "cpu" else "gpu"
    # Slots that all take every core get in each other's way: two of them were slower than one.
    threads = max(1, len(os.sched_getaffinity(0)) // workers)
    slots = [worker(queue, number, device, threads) for number in range(1, workers + 1)]
    if queue == "gpu":
        slots.append(worker("cpu", 1, "cpu"))
    return (api(host, port), beat(), *slots)


def api(host: str, port: int) -> Command:
    """The API on one address."""
    # An open event stream would hold a graceful shutdown for ever.
    argv = ("uvicorn", "api.app:create_app", "--factory", "--host", host, "--port", str(port))
    return _module("api", *argv, "--no-access-log", "--timeout-graceful-shutdown", "5", grace=OTHER_GRACE)


def beat() -> Command:
    """The ticks."""
    argv = ("celery", "--app", "worker.app", "beat", "--scheduler", "worker.beat:TickScheduler")
    return _module("beat", *argv, grace=OTHER_GRACE)


def worker(queue: str, number: int, device: str, threads: int = 0, slots: int = 1) -> Command:
    """A node: a Celery parent with a child for each slot. `number` tells the nodes of one queue on one machine apart.

    `threads` is how many of the CPU's a slot may use; 0 is its share of all.
    """
    name = f"{queue}{number}"
    argv = ("celery", "--app", "worker.app", "worker", "--queues", queue, "--concurrency", str(slots))
    flags = ("--hostname", f"{name}@%h", "--without-gossip", "--without-mingle")
    environment = {"VYAZ_DEVICE": device, "VYAZ_THREADS": str(threads), "VYAZ_SLOTS": str(slots)}
    return _module(f"worker-{name}", *argv, *flags, environment=environment, grace=WORKER_GRACE)


def _module(name: str, *argv: str, grace: float, environment: dict[str, str] | None = None) -> Command:
    # `python -m`, so that no console script needs to be on the path.
    return Command(name, (sys.executable, "-m", *argv), environment or {}, grace=grace)
