"""`vyaz verify`, `vyaz repair`, `vyaz rebuild` and `vyaz gc`: looking after what jobs made.

Exit code 0 only when nothing is wrong, or nothing is left wrong.
"""

from typing import Annotated, Any, Final

import typer

from core.errors import Invalid
from vyaz.cli.output import complain, emit_json, emit_table, say
from vyaz.cli.progress import conclude, follow
from vyaz.cli.session import AsJson, Data, JobId, connect, resolve
from vyaz.resources.jobs import Job

EXIT_DAMAGED: Final = 4  # something is wrong, or could not be put right

SomeJob = Annotated[str | None, typer.Argument(metavar="[JOB]", help="A job's id, or its last eight digits or more.")]


def verify(
    job: JobId,
    sample: Annotated[int, typer.Option(min=0, max=1000, help="Make so many variants again, drawn by lot.")] = 16,
    every: Annotated[bool, typer.Option("--all", help="Make every variant again.")] = False,
    seed: Annotated[int, typer.Option(help="The same seed draws the same variants.")] = 0,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Hold what a job stored against the catalogue, and make some of it again; exit code 4 if anything is wrong."""
    with connect(data) as client:
        done = follow(client, client.jobs.verify(resolve(client, job), None if every else sample, seed=seed))
    counts = _counts(done)
    _show(done, as_json)
    say(
        f"Looked at {counts['shards']:,} shards with {counts['rows']:,} variants and {_size(counts['bytes'])}; "
        f"{counts['objects']:,} other objects."
    )
    if counts["made_again"]:
        say(f"Made {counts['made_again']:,} variants again: {counts['same']:,} came out the same.")
    if counts["other_class"]:
        say(f"{counts['other_class']:,} came out otherwise, on another device class than first: that is no damage.")
    if counts["other_engine"]:
        say(f"{counts['other_engine']:,} were made by another engine, and not made again.")
    _end(done, counts["damaged"], "damaged: vyaz repair mends shards and rows")


def repair(job: JobId, as_json: AsJson = False, data: Data = None) -> None:
    """Make damaged and lost shards of a job again; exit code 4 if something is left wrong."""
    with connect(data) as client:
        done = follow(client, client.jobs.repair(resolve(client, job)))
    counts = _counts(done)
    _show(done, as_json)
    say(
        f"Of {counts['shards']:,} shards {counts['restored']:,} were restored byte for byte, {counts['replaced']:,} "
        f"replaced by others; rows of {counts['rows_mended']:,} were written anew."
    )
    _end(done, counts["left"], "left as they are: see the reasons")


def rebuild(
    job: SomeJob = None,
    every: Annotated[
        bool, typer.Option("--all", help="All jobs that only the store knows; for administrators.")
    ] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make a job's rows again from its shards alone; with --all, the jobs of a store whose database is lost."""
    if (job is None) != every:
        raise Invalid("name a job, or say --all")
    with connect(data) as client:
        done = follow(client, client.jobs.rebuild(resolve(client, job) if job is not None else None))
    counts = _counts(done)
    _show(done, as_json)
    jobs = f"{counts['jobs']:,} jobs, " if every else ""
    say(f"Made again: {jobs}the rows of {counts['rebuilt']:,} of {counts['shards']:,} shards.")
    _end(done, counts["left"], "left as they are: see the reasons")


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    grace: Annotated[float, typer.Option(metavar="SECONDS", help="Leave what was put since then.")] = 3600.0,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Delete what nothing refers to from the store; for administrators."""
    with connect(data) as client:
        done = follow(client, client.jobs.gc(dry_run=dry_run, grace_seconds=grace))
    conclude(done)
    counts = _counts(done)
    if as_json:
        emit_json(done)
    else:
        emit_table(("key", "bytes"), [(each["key"], each["bytes"]) for each in done.result["findings"]])
    would = "Would delete" if dry_run else "Deleted"
    say(f"{would} {counts['deleted']:,} objects, {_size(counts['deleted_bytes'])}.")
    say(f"{counts['referenced']:,} are referred to ({_size(counts['referenced_bytes'])}).")
    for name, why in _LEFT.items():
        if counts[name]:
            say(f"{counts[name]:,} are left: {why}.")
    if counts["aborted_uploads"]:
        say(f"{would.replace('delete', 'abort').replace('Deleted', 'Aborted')} {counts['aborted_uploads']:,} uploads.")


_LEFT: Final = {
    "in_flight": "somebody may be about to refer to them",
    "young": "they were put within the grace period",
    "older_than_catalogue": "they are older than this catalogue; is it the right one? vyaz rebuild --all takes them in",
}


class _Counts(dict[str, int]):
    def __missing__(self, name: str) -> int:
        return 0


def _counts(job: Job) -> _Counts:
    return _Counts(job.result.get("counts", {}))


def _show(job: Job, as_json: bool) -> None:
    """Give what was found: a line an object."""
    conclude(job)
    if as_json:
        emit_json(job)
        return
    found: list[dict[str, Any]] = job.result.get("findings", [])
    if found:
        rows = [(*each["items"], each["key"], "; ".join(each["reasons"]), each.get("outcome")) for each in found]
        emit_table(("from", "to", "object", "reasons", "outcome"), rows)


def _end(job: Job, wrong: int, what: str) -> None:
    """Exit 4 where something is wrong; a round that could not look everywhere has not found all well."""
    if job.failed:
        complain(f"{job.failed:,} items could not be looked at; see vyaz jobs show")
    if wrong:
        complain(f"{wrong:,} {what}")
    if wrong or job.failed:
        raise typer.Exit(EXIT_DAMAGED)


def _size(count: int) -> str:
    """`12.3 MB`."""
    size = float(count)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"
