"""`vyaz variants` and `vyaz sheet`."""

from typing import Annotated, Any

import typer

from core.errors import NotFound
from vyaz.cli.output import deliver, emit_json, emit_table, say, shorten
from vyaz.cli.session import AsJson, Data, JobId, connect, resolve, resolve_variant
from vyaz.client import Client
from vyaz.resources.jobs import Job

app = typer.Typer(no_args_is_help=True, help="Variants: what was made.")

SHEET = 80  # pictures on a sheet, if nothing else is asked for
LONGEST_TITLE = 12  # groups of letters named in a sheet's title

VariantId = Annotated[str, typer.Argument(metavar="VARIANT", help="JOB.INDEX; the job may be short.")]
File = Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where to write; - is stdout.")]


@app.command("list")
def list_variants(
    job: Annotated[str | None, typer.Option(help="Of this job.")] = None,
    letters: Annotated[str | None, typer.Option(help="Of exactly these letters.")] = None,
    model: Annotated[str | None, typer.Option(help="letters or letters:3.")] = None,
    layout: Annotated[str | None, typer.Option(help="single or straight.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 20,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List variants."""
    with connect(data) as client:
        job_id = resolve(client, job) if job is not None else None
        filters: dict[str, Any] = {"job": job_id, "letters": letters, "model": model, "layout": layout}
        found = list(client.variants.list(**filters, limit=limit))
    if as_json:
        emit_json(found)
        return
    rows = [
        (f"{shorten(each.job)}.{each.index}", each.letters, each.layout, each.model, each.legibility, each.digest[:12])
        for each in found
    ]
    emit_table(("variant", "letters", "layout", "model", "legibility", "digest"), rows)


@app.command()
def show(variant: VariantId, as_json: AsJson = False, data: Data = None) -> None:
    """Show one variant."""
    with connect(data) as client:
        found = client.variants.get(resolve_variant(client, variant))
    if as_json:
        emit_json(found)
        return
    ink = None if found.ink is None else f"{found.ink:.1%}"
    row = (found.id, found.letters, found.layout, found.model, ink, found.legibility, found.digest)
    emit_table(("variant", "letters", "layout", "model", "ink", "legibility", "digest"), [row])


@app.command()
def image(variant: VariantId, output: File, data: Data = None) -> None:
    """Fetch one variant's PNG."""
    with connect(data) as client:
        deliver(client.variants.image(resolve_variant(client, variant)), output)
    if output != "-":
        say(f"Wrote {output}.")


def sheet(
    job: JobId,
    output: File,
    limit: Annotated[int, typer.Option(help="Pictures; of more variants an even choice.", min=1)] = SHEET,
    data: Data = None,
) -> None:
    """Draw a contact sheet of a job's variants."""
    with connect(data) as client:
        drawn, count = draw_sheet(client, client.jobs.get(resolve(client, job)), limit)
    deliver(drawn, output)
    if output != "-":
        say(f"Wrote {output}: {count:,} variants.")


def draw_sheet(client: Client, job: Job, limit: int = SHEET) -> tuple[bytes, int]:
    """A contact sheet of a job as PNG, and how many pictures are on it. Raises `NotFound` when there are none yet."""
    from vyaz import sheet as sheets  # with Pillow and numpy it takes as long to load as all other commands

    groups = [str(group) for group in job.spec.get("letters", ())]
    made = job.done + job.failed  # items are worked on in order, so an unfinished job's pictures are its first ones
    chosen = sheets.choose(made, max(1, len(groups)), limit)
    images = client.variants.images(f"{job.id}.{index}" for index in chosen)
    pictures = [
        sheets.Picture(png, groups[index % len(groups)] if groups else "", index)
        for index, png in zip(chosen, images, strict=True)
        if png is not None
    ]
    if not pictures:
        raise NotFound(f"job {job.id} has no pictures (yet): it is a {job.kind} job, {job.state}, {job.done:,} done")
    more = " …" if len(groups) > LONGEST_TITLE else ""
    shown = f"{len(pictures):,} of {job.done:,}" if len(pictures) < job.done else f"{job.done:,}"
    note = " · ".join(filter(None, (f"{shown} variants", job.model)))
    page = sheets.draw(pictures, " · ".join(groups[:LONGEST_TITLE]) + more, note)
    return sheets.encode(page), len(pictures)
