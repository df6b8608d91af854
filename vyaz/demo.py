"""`python -m vyaz.demo`: the main job end to end on servers of its own, in `out/demo`. It judges itself by exit code.

0: exactly the variants asked for stand in the catalogue and in the store, each a picture of its own that is what the
catalogue says; 1: anything else; 130: Ctrl-C. Its servers and workers are ended in every case.
"""

import contextlib
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from core.errors import VyazError
from core.monogram import picture
from vyaz.cli.output import complain, deliver, spell_seconds
from vyaz.cli.progress import show
from vyaz.cli.variants import draw_sheet
from vyaz.client import Client
from vyaz.resources.jobs import Job, JobFailed
from vyaz.up.instance import find, stop
from vyaz.up.processes import Command, Place, start, wait_for

FOLDER: Final = Path("out/demo")
PAIRS: Final = ("HR", "ЄЩ")
COUNT: Final = 500
WOVEN: Final[dict[str, dict[str, Any]]] = {
    "interlaced": {"letters": ("HR", "ЄН", "АЖ", "OT"), "count": 120, "best": 16, "strict": True},
    "vyaz": {"letters": ("НИВА", "МИКИТА"), "count": 48, "best": 8, "frame": "band"},
}
NANO_COUNT: Final = 64
MINUTES: Final = 1.0
SEED: Final = 2026

START: Final = 180.0  # seconds for servers, API and workers to come up
DOWN: Final = 90.0  # seconds for all of them to stop
BEGAN: Final = time.monotonic()


class DemoFailed(VyazError):
    """What came out is not what was asked for."""


def main() -> int:
    """Run the demo; the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        for name in ("sheet", *WOVEN, "nano"):
            (FOLDER / f"{name}.png").unlink(missing_ok=True)
        with _up(FOLDER / "data", FOLDER / "up.log") as client:
            summary = _work(client)
        _tell("down", "everything stopped in order")
    except KeyboardInterrupt:
        complain("the demo was interrupted; its servers are stopped")
        return 130
    except VyazError as error:
        complain(str(error))
        complain(f"the demo failed; logs: {FOLDER / 'up.log'} and {FOLDER / 'data' / 'logs'}")
        return 1
    print()
    for name, value in (*summary, ("total", spell_seconds(time.monotonic() - BEGAN))):
        print(f"  {name:<9} {value}")
    return 0


def check(client: Client, job: Job, count: int) -> Counter[str]:
    """How many variants there are of each group of letters.

    Raises `DemoFailed` unless the catalogue lists exactly `count` of them, all different, and the store holds the
    picture of each, with the pixels that the catalogue's digest names.
    """
    variants = list(client.variants.list(job=job.id))
    if len(variants) != count or len({variant.id for variant in variants}) != count:
        raise DemoFailed(f"the catalogue lists {len(variants)} variants, not {count} distinct ones")
    digests = set()
    for variant, png in zip(variants, client.variants.images(variant.id for variant in variants), strict=True):
        if png is None:
            raise DemoFailed(f"variant {variant.id} stands in the catalogue, but its picture is not in the store")
        found = picture.digest(picture.decode(png)).hex()
        if found != variant.digest:
            raise DemoFailed(f"the picture of variant {variant.id} is not the one that the catalogue names")
        digests.add(found)
    if len(digests) != count:
        raise DemoFailed(f"of {count} variants only {len(digests)} look different")
    return Counter(variant.letters for variant in variants)


def _work(client: Client) -> list[tuple[str, str]]:
    """Generate with what ships, check and draw; then train a small model and draw with it. What there is to say."""
    sheet, nano = FOLDER / "sheet.png", FOLDER / "nano.png"
    _tell("generate", f"{COUNT} variants of {' and '.join(PAIRS)} with the letters that ship")
    began = time.monotonic()
    made = _finish(client, client.jobs.generate(PAIRS, count=COUNT, seed=SEED))
    seconds = time.monotonic() - began
    _tell("check", "every variant in the catalogue and in the store")
    counts = check(client, made, COUNT)
    _draw(client, made, sheet)
    woven = [_weave(client, layout) for layout in WOVEN]
    _tell("train", f"a nano of your own, {MINUTES:g} min on the installed font packages; reading them comes first")
    trained = _finish(
        client, client.jobs.train("fonts", family="style", architecture="nano", name="nano", minutes=MINUTES)
    )
    small = _finish(client, client.jobs.generate(PAIRS, model="nano", count=NANO_COUNT, seed=SEED))
    check(client, small, NANO_COUNT)
    _draw(client, small, nano)
    of_each = ", ".join(f"{count} {letters}" for letters, count in counts.items())
    return [
        ("variants", f"{COUNT} distinct ({of_each}) in {spell_seconds(seconds)}, {COUNT / seconds:,.0f}/s"),
        ("model", f"{made.model}, which ships; legibility {_legibility(client, made):.3f} by its judge"),
        (
            "trained",
            f"{small.model}, {trained.done:,} optimisation steps, {spell_seconds(trained.device_seconds)} of training",
        ),
        *zip(("woven", "vyaz"), woven, strict=True),
        ("sheets", f"{', '.join(str(FOLDER / f'{name}.png') for name in ('sheet', *WOVEN))} and {nano}"),
        ("data", f"{FOLDER / 'data'}   (look again: vyaz up --data {FOLDER / 'data'})"),
        ("logs", f"{FOLDER / 'data' / 'logs'}"),
    ]


def _weave(client: Client, layout: str) -> str:
    """Make many of one layout, keep the best that differ, check and draw them. What there is to say."""
    wish = dict(WOVEN[layout])
    groups, wanted = wish.pop("letters"), wish["best"]
    _tell("generate", f"{wish['count']} of {layout}, of which the best {wanted} that differ are kept")
    made = _finish(client, client.jobs.generate(groups, layout=layout, seed=SEED, **wish))
    kept = int(made.result["kept"])
    if not 0 < kept <= wanted:
        raise DemoFailed(f"{kept} of {layout} were kept, not up to {wanted}")
    check(client, made, kept)
    _draw(client, made, FOLDER / f"{layout}.png")
    turned = ", ".join(f"{count} {reason}" for reason, count in made.result["rejected"].items())
    return f"the best {kept} of {wish['count']} ({turned})"


def _draw(client: Client, job: Job, path: Path) -> None:
    drawn, shown = draw_sheet(client, job)
    deliver(drawn, str(path))
    _tell("sheet", f"{shown} of them on {path}")


def _legibility(client: Client, job: Job) -> float:
    """How surely the judge reads the variants: the mean of what is stored with each."""
    read = [variant.legibility for variant in client.variants.list(job=job.id)]
    if None in read:
        raise DemoFailed("a variant has no legibility; was it not read by the judge that ships?")
    return sum(value for value in read if value is not None) / len(read)


def _finish(client: Client, job: Job) -> Job:
    job = show(client, job)
    if job.state != "done" or job.failed:
        raise JobFailed(job)
    return job


@contextlib.contextmanager
def _up(data: Path, log: Path) -> Iterator[Client]:
    """A fresh instance as `vyaz up` runs it, in a session of its own, ended with the context."""
    stop(data)  # of a demo that was killed
    shutil.rmtree(data, ignore_errors=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    _tell("up", "PostgreSQL, Valkey, api, beat and a worker")
    argv = (sys.executable, "-m", "vyaz", "up", "--data", str(data), "--port", "0")
    # In a session of its own, so that a Ctrl-C comes to us alone; and should we be killed, it is told to stop.
    child = start(Command("up", argv, grace=DOWN), Place(Path.cwd(), log))
    try:
        wait_for(child, lambda: find(data) is not None, START, threading.Event())
        with Client(data=data) as client:
            yield client
    finally:
        child.end()
    if not child.wait(0):
        raise DemoFailed(f"vyaz up {child.ending()}")


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _tell(step: str, what: str) -> None:
    seconds = int(time.monotonic() - BEGAN)
    print(f"  {seconds // 60}:{seconds % 60:02}  {step:<9} {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
