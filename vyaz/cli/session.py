"""What every command that talks to an instance shares: its options, its client, and job ids in short."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from core.errors import Invalid, NotFound, Unauthorized
from vyaz.cli.output import shorten
from vyaz.client import Client

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Data folder of the instance; else VYAZ_URL with VYAZ_API_KEY, else VYAZ_DATA."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Wait = Annotated[bool, typer.Option("--wait", help="Return when the job is finished.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="A job's id, or its last eight digits or more.")]

SEARCHED: Final = 1_000  # newest jobs among which a short id is looked for
_SHORT: Final = re.compile(r"[0-9a-f]{8,31}")


@contextmanager
def connect(data: Path | None) -> Iterator[Client]:
    """A client of the instance meant; a refusal of its key is told with the remedy."""
    with Client(data=data) as client:
        try:
            yield client
        except Unauthorized as error:
            raise Unauthorized(f"{error}; set VYAZ_API_KEY to a key of {client.url} (vyaz keys create)") from error


def resolve(client: Client, text: str) -> str:
    """A job's full id from a full or a short one.

    Raises `Invalid` for what is no id or fits several jobs, `NotFound` for a short one that fits none of the newest.
    """
    given = text.strip().lower()
    try:
        return str(uuid.UUID(given))
    except ValueError:
        digits = given.replace("-", "")
    if not _SHORT.fullmatch(digits):
        raise Invalid(f"{text!r} is no job id; see vyaz jobs list")
    fitting = [job.id for job in client.jobs.list(limit=SEARCHED) if job.id.replace("-", "").endswith(digits)]
    if len(fitting) > 1:
        raise Invalid(f"{text!r} fits several jobs; name one in full: {', '.join(fitting)}")
    if not fitting:
        raise NotFound(f"none of the newest {SEARCHED:,} jobs ends in {text!r}; see vyaz jobs list, or name it in full")
    return fitting[0]


def resolve_variant(client: Client, text: str) -> str:
    """A variant's full id, `JOB.INDEX`, where the job may be a short id."""
    job, dot, index = text.rpartition(".")
    if not dot or not index.isdecimal():
        raise Invalid(f"{text!r} is no variant id; it looks like {shorten('0' * 8)}.12: a job's id, a point, an index")
    return f"{resolve(client, job)}.{int(index)}"
