"""Everything at once, and faults drawn by lot: the seed is printed, and draws the same again."""

import os
import random
import signal
import time
import uuid
from collections.abc import Callable

import pytest

from tests.chaos.conftest import MakeRig
from tests.chaos.rig import SLOW, Measure, Rig
from tests.chaos.test_failpoints import SHARD
from tests.chaos.test_servers import empty_valkey, kill_valkey

SEED = int(os.environ.get("CHAOS_SEED", "0")) or time.time_ns() % 1_000_000


def power_cut(rig: Rig) -> float:
    """SIGKILL every process and both servers, start all again; seconds until something more is done."""
    done = sum(job.done for job in rig.jobs())
    rig.kill_all()
    for name in ("postgres", "valkey"):
        rig.end_server(name, signal.SIGKILL)
    rig.pair.revive()
    begun = time.monotonic()
    rig.beat()
    for _ in range(2):
        rig.start_node()
    rig.wait_until(lambda: sum(job.done for job in rig.jobs()) > done or rig.all_done(), "it goes on", 120)
    return time.monotonic() - begun


def cut_power(rig: Rig, times: int) -> list[float]:
    rig.beat()
    for _ in range(2):
        rig.node()
    job = rig.submit(3200, seed=6, spec=SLOW)
    seconds = []
    for _ in range(times):
        if rig.all_done():
            rig.check(job)
            job = rig.submit(3200, seed=6, spec=SLOW)
        time.sleep(1)
        seconds.append(power_cut(rig))
    rig.finished(job, 200)
    rig.check(job)
    return seconds


def test_everything_killed_at_once_twice_costs_nothing(rig: Rig, measure: Measure) -> None:
    measure("everything killed at once", cut_power(rig, 2), worst=30)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_everything_killed_at_once_20_times_costs_nothing(rig: Rig, measure: Measure) -> None:
    measure("everything killed at once", cut_power(rig, 20), worst=30)


def kill_a_child(rig: Rig, lot: random.Random) -> None:
    slots = sorted(rig.slots(), key=lambda slot: slot.pid)
    if slots:
        os.kill(lot.choice(slots).pid, signal.SIGKILL)


def stop_a_child(rig: Rig, lot: random.Random) -> None:
    slots = sorted(rig.slots(), key=lambda slot: slot.pid)
    if slots:
        pid = lot.choice(slots).pid
        os.kill(pid, signal.SIGSTOP)
        time.sleep(lot.uniform(0.5, 5))
        os.kill(pid, signal.SIGCONT)


def end_a_node(rig: Rig, lot: random.Random) -> None:
    nodes = [process for process in rig.processes[1:] if process.poll() is None]
    if nodes:
        os.killpg(lot.choice(nodes).pid, lot.choice([signal.SIGKILL, signal.SIGTERM]))
    rig.start_node()


def meet_a_point(rig: Rig, lot: random.Random) -> None:
    rig.arm(lot.choice(SHARD), lot.choice(["kill", "raise", "stop", "term"]))


def harm_valkey(rig: Rig, lot: random.Random) -> None:
    lot.choice([kill_valkey, empty_valkey])(rig)


def harm_postgres(rig: Rig, lot: random.Random) -> None:
    rig.end_server("postgres", lot.choice([signal.SIGQUIT, signal.SIGKILL]))
    time.sleep(lot.uniform(0, 2))
    rig.pair.revive()


HARMS: tuple[Callable[[Rig, random.Random], None], ...] = (
    kill_a_child,
    stop_a_child,
    end_a_node,
    meet_a_point,
    meet_a_point,
    harm_valkey,
    harm_postgres,
)


def harm_by_lot(rig: Rig, seed: int, faults: int) -> uuid.UUID:
    """Draw faults one after the other while two jobs run; the first job must come out as a clean run."""
    lot = random.Random(seed)
    rig.beat()
    for _ in range(2):
        rig.node()
    jobs = [rig.submit(3200, seed=seed, spec=SLOW), rig.submit(640, seed=seed + 1, spec=SLOW)]
    for _ in range(faults):
        time.sleep(lot.uniform(0.2, 1.5))
        try:
            lot.choice(HARMS)(rig, lot)
        except ProcessLookupError:
            continue  # it was gone before we came
    rig.disarm()
    rig.start_node()
    for job in jobs:
        rig.finished(job, 200)
        rig.check(job)
    return jobs[0]


def test_faults_drawn_by_lot_cost_nothing(rig: Rig, measure: Measure) -> None:
    print(f"CHAOS_SEED={SEED}")
    harm_by_lot(rig, SEED, 6)
    measure.count(f"6 faults by lot, seed {SEED}", "as a clean run", f"{rig.taken()} failpoints met", 1)


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", range(5))
def test_many_faults_drawn_by_lot_cost_nothing(make_rig: MakeRig, measure: Measure, number: int) -> None:
    rig = make_rig()
    seed = SEED + number
    print(f"CHAOS_SEED={seed}")
    harm_by_lot(rig, seed, 25)
    measure.count(f"25 faults by lot, seed {seed}", "as a clean run", f"{rig.taken()} failpoints met", 1)
