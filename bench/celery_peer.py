"""A peer of `bench.peers`: Celery as its first page teaches it, one task an image, one file an image, one INSERT.

An application of its own on the same broker: JSON, a queue of its own, Celery's default prefetch, no result backend.
The model is loaded once in each process, and every process computes with one thread, as Vyaz's slots beside it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
from celery import Celery, signals

from core.settings import Settings

if TYPE_CHECKING:
    from bench.singly import Singles

QUEUE: Final = "peer-images"
TASK: Final = "bench.peer.image"
TABLE: Final = "peer_image"
INSERT: Final = (
    f'INSERT INTO {TABLE} (job_number, index, letters, layout, shard_id, "offset", length, digest, ink, score) '  # noqa: S608
    "VALUES (0, %s, %s, 'straight', 0, 0, %s, ''::bytea, %s, %s)"
)


def connect(broker_url: str) -> Celery:
    """The application, with its task."""
    app = Celery("bench-peer", broker=broker_url, set_as_current=False)
    app.conf.update(task_default_queue=QUEUE, task_ignore_result=True, broker_connection_retry_on_startup=True)
    app.task(make_image, name=TASK)
    return app


def make_image(seed: int, letters: str, folder: str) -> None:
    """Draw, save and record one image."""
    import torch
    from torchvision.utils import save_image

    singles, connection = _mine[0]
    pixels, score = singles.script(seed)
    path = Path(folder) / f"{seed:08d}.png"
    save_image(torch.from_numpy(pixels)[None] / 255, path)
    ink = 1 - float(pixels.mean()) / 255
    connection.execute(INSERT, (seed, letters, path.stat().st_size, ink, score))


def _load(**_: object) -> None:
    """After the fork: take the model and a connection of which every statement is a transaction."""
    from bench.singly import Singles

    url = Settings().database_url.get_secret_value()
    _mine.append((Singles(), psycopg.connect(url, autocommit=True)))


_mine: "list[tuple[Singles, psycopg.Connection]]" = []
signals.worker_process_init.connect(_load, weak=False)
app = connect(Settings().broker_url.get_secret_value())
