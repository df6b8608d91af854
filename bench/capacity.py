"""What one PostgreSQL carries: devices that claim, beat and finish, one event after another.

A server of one queue does each piece of work in turn: a claim, a heartbeat, a finish with its rows, each as long as
`bench.claims` and `bench.ingest` measured it last on this machine, or as their goals say where they were not run.
Devices work a shard, hand it in, and stand idle until they hold the next one. The share of their time that they work is
what a fleet is for; the docs draw from it where the first bottleneck comes.
"""

import heapq
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from bench import results
from bench.row import Row

FLEETS: Final = (1, 100, 1_000, 10_000)  # devices
SHARD_SECONDS: Final = 20.0
RATE: Final = 20.0  # variants a second of one device: about what a core makes of two letters
BEAT_SECONDS: Final = 3.0
SPAN: Final = 200.0  # seconds simulated
SPREAD: Final = 0.1  # of a shard's seconds

CYCLES: Final = "claim and finish, 64 slots back to back"
BEATS: Final = "heartbeats of 64 slots with a shard, back to back"
ROWS: Final = "catalogue rows, ingest indexes on"
GOALS: Final = {CYCLES: 200.0, BEATS: 2_000.0, ROWS: 20_000.0}


@dataclass(frozen=True)
class Costs:
    """Seconds of PostgreSQL for one claim with its finish, one heartbeat, one row."""

    cycle: float
    beat: float
    row: float


def measure() -> list[Row]:
    """Simulate every fleet, as it is set up, and the largest with shards and heartbeats ten times as long."""
    costs, largest = measured(), FLEETS[-1]
    rarely = simulate(largest, costs, shard=10 * SHARD_SECONDS, beat=10 * BEAT_SECONDS)
    return [
        *(_row(f"{devices:,} devices: share of their time at work", simulate(devices, costs)) for devices in FLEETS),
        _row(f"{largest:,} devices, shards and beats ten times as long", rarely),
        _carried("devices that one PostgreSQL carries", costs),
        _carried("the same, if only claims and finishes cost", replace(costs, beat=0.0, row=0.0)),
        _carried("the same, if only heartbeats cost", replace(costs, cycle=0.0, row=0.0)),
        _carried("the same, if only rows cost", replace(costs, cycle=0.0, beat=0.0)),
    ]


def measured() -> Costs:
    """What the last runs on this machine say, else the goals."""
    told = {row["name"]: float(row["value"]) for row in results.kept()}
    cycle, beat, row = (1 / told.get(name, GOALS[name]) for name in (CYCLES, BEATS, ROWS))
    return Costs(cycle, beat, row)


def simulate(devices: int, costs: Costs, shard: float = SHARD_SECONDS, beat: float = BEAT_SECONDS) -> float:
    """The share of their time that devices work, once the rush of the beginning is over.

    A shard's finish and the next claim are one piece of work; heartbeats take what is theirs from the server's speed.
    """
    lot = np.random.default_rng(devices)
    speed = 1 - devices * costs.beat / beat
    if speed <= 0:
        return 0.0
    service = (costs.cycle + costs.row * RATE * shard) / speed
    ends = [(shard * float(share), number) for number, share in enumerate(lot.random(devices))]
    heapq.heapify(ends)
    free, worked = 0.0, 0.0
    while ends and ends[0][0] < 2 * SPAN + shard:
        done, number = heapq.heappop(ends)
        free = max(free, done) + service
        seconds = shard * float(lot.uniform(1 - SPREAD, 1 + SPREAD))
        worked += max(0.0, min(free + seconds, 2 * SPAN) - max(free, SPAN))
        heapq.heappush(ends, (free + seconds, number))
    return worked / (devices * SPAN)


def _row(name: str, share: float) -> Row:
    return Row(name, share, None, "share", "higher")


def _carried(name: str, costs: Costs) -> Row:
    """Devices whose work fills PostgreSQL's time."""
    load = costs.cycle / SHARD_SECONDS + costs.row * RATE + costs.beat / BEAT_SECONDS
    return Row(name, 1 / load, None, "devices", "higher")
