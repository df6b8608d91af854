"""`vyaz jobs history` and `vyaz audit`."""

import dataclasses
from typing import Annotated

import typer

from vyaz.cli.output import emit_json, emit_table, say
from vyaz.cli.session import AsJson, Data, JobId, connect, resolve


def history(
    job: JobId,
    limit: Annotated[int | None, typer.Option(help="At most so many, the oldest.", min=1)] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List what happened to a job and its shards, and by whom."""
    with connect(data) as client:
        events = list(client.jobs.history(resolve(client, job), limit))
    if as_json:
        emit_json(events)
        return
    columns = ("at", "what", "shard", "epoch", "actor", "detail")
    emit_table(columns, [(e.at, e.what, e.shard_id, e.epoch, e.actor, e.detail) for e in events])


def audit(job: JobId, as_json: AsJson = False, data: Data = None) -> None:
    """Check a job's history against the rules of the ledger; exit code 1 if something is not legal."""
    with connect(data) as client:
        found = client.jobs.audit(resolve(client, job))
    if as_json:
        emit_json(dataclasses.asdict(found))
    else:
        for problem in found.problems:
            say(problem)
        say(f"{found.events} events of {found.shards} shards: {len(found.problems) or 'no'} problems.")
    if found.problems:
        raise typer.Exit(1)
