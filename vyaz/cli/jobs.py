"""`vyaz jobs`."""

from typing import Annotated

import typer

from core.errors import NotFound
from vyaz.cli import history
from vyaz.cli.output import emit, emit_facts, emit_json, emit_table, say, shorten
from vyaz.cli.progress import conclude, follow
from vyaz.cli.session import AsJson, Data, JobId, connect, resolve
from vyaz.client import Client
from vyaz.resources.jobs import Job

app = typer.Typer(no_args_is_help=True, help="Jobs: what was submitted, how far it is, orders to it.")
app.command()(history.history)

NewestOrId = Annotated[
    str | None, typer.Argument(metavar="[JOB]", help="A job's id, or its last eight digits; else the newest job.")
]


@app.command("list")
def list_jobs(
    state: Annotated[str | None, typer.Option(help="queued, running, paused, done, failed or cancelled.")] = None,
    kind: Annotated[str | None, typer.Option(help="generate, train, verify, gc, ...")] = None,
    limit: Annotated[int, typer.Option(help="At most so many, the newest.", min=1)] = 20,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List jobs, the newest first."""
    with connect(data) as client:
        jobs = list(client.jobs.list(state, kind, limit))
    if as_json:
        emit_json(jobs)
        return
    columns = ("job", "kind", "state", "done", "failed", "total", "priority", "model", "created")
    emit_table(columns, [_row(job) for job in jobs])


@app.command()
def show(job: NewestOrId = None, as_json: AsJson = False, data: Data = None) -> None:
    """Show one job."""
    with connect(data) as client:
        found = client.jobs.get(_meant(client, job))
    if as_json:
        emit_json(found)
    else:
        emit_facts([(name.replace("_", " "), getattr(found, name)) for name in _SHOWN])


@app.command()
def watch(job: NewestOrId = None, as_json: AsJson = False, data: Data = None) -> None:
    """Watch a job until it is finished; exit code 3 if it fails or is cancelled."""
    with connect(data) as client:
        found = follow(client, client.jobs.get(_meant(client, job)))
    if as_json:
        emit_json(found)
    else:
        emit(found.id)
    conclude(found)


@app.command()
def pause(job: JobId, as_json: AsJson = False, data: Data = None) -> None:
    """Let no more of a job start; what was begun is finished."""
    _order("pause", job, as_json, data)


@app.command()
def resume(job: JobId, as_json: AsJson = False, data: Data = None) -> None:
    """Let a paused job go on."""
    _order("resume", job, as_json, data)


@app.command()
def cancel(job: JobId, as_json: AsJson = False, data: Data = None) -> None:
    """Stop a job for good; what was made stays."""
    _order("cancel", job, as_json, data)


@app.command()
def retry(job: JobId, as_json: AsJson = False, data: Data = None) -> None:
    """Work again on what failed, or on what a cancelled job left."""
    _order("retry", job, as_json, data)


@app.command()
def priority(
    job: JobId,
    to: Annotated[str, typer.Argument(metavar="CLASS", help="interactive, normal or bulk.")],
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Move a job to another class."""
    with connect(data) as client:
        _tell(client.jobs.reprioritise(resolve(client, job), to), as_json)


@app.command("rm")
def remove(job: JobId, data: Data = None) -> None:
    """Delete a finished job with its variants and pictures."""
    with connect(data) as client:
        job_id = resolve(client, job)
        client.jobs.remove(job_id)
    say(f"Removed {job_id}.")


_SHOWN = (
    "id",
    "kind",
    "state",
    "reason",
    "total",
    "done",
    "failed",
    "rate",
    "eta_seconds",
    "workers",
    "priority",
    "model",
    "seed",
    "spec",
    "after",
    "result",
    "device_seconds",
    "created_at",
    "started_at",
    "finished_at",
)


def _row(job: Job) -> tuple[object, ...]:
    counts = (job.done, job.failed, job.total)
    return (shorten(job.id), job.kind, job.state, *counts, job.priority, job.model, job.created_at)


def _meant(client: Client, job: str | None) -> str:
    if job is not None:
        return resolve(client, job)
    for newest in client.jobs.list(limit=1):
        return newest.id
    raise NotFound("there is no job yet; submit one: vyaz generate AB --count 10")


def _order(verb: str, job: str, as_json: bool, data: Data) -> None:
    with connect(data) as client:
        orders = {each.__name__: each for each in (client.jobs.pause, client.jobs.resume, client.jobs.cancel)}
        order = {**orders, "retry": client.jobs.retry}[verb]
        _tell(order(resolve(client, job)), as_json)


def _tell(job: Job, as_json: bool) -> None:
    say(f"Job {shorten(job.id)} is {job.state}, {job.priority}.")
    if as_json:
        emit_json(job)
    else:
        emit(job.id)
