"""`vyaz variants` and `vyaz sheet`."""

import re
import sys
from dataclasses import asdict
from io import BytesIO
from typing import Annotated, Any

import typer

from core.errors import NotFound
from core.registry import Format, Layout
from vyaz.cli.output import deliver, emit_json, emit_table, say, shorten, writing
from vyaz.cli.progress import conclude, follow
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
    layout: Annotated[str | None, typer.Option(help=f"One of: {', '.join(Layout)}.")] = None,
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
        (
            f"{shorten(each.job)}.{each.index}",
            each.letters,
            each.layout,
            each.model,
            each.legibility,
            each.score,
            each.digest[:12],
        )
        for each in found
    ]
    emit_table(("variant", "letters", "layout", "model", "legibility", "score", "digest"), rows)


@app.command()
def show(variant: VariantId, as_json: AsJson = False, data: Data = None) -> None:
    """Show one variant."""
    with connect(data) as client:
        name = resolve_variant(client, variant)
        found = client.variants.get(name)
        recipe = client.variants.recipe(name) if as_json else {}
    if as_json:
        emit_json(asdict(found) | recipe)
        return
    ink = None if found.ink is None else f"{found.ink:.1%}"
    row = (found.id, found.letters, found.layout, found.model, ink, found.legibility, found.score, found.digest)
    emit_table(("variant", "letters", "layout", "model", "ink", "legibility", "score", "digest"), [row])


@app.command()
def image(variant: VariantId, output: File, data: Data = None) -> None:
    """Fetch one variant's PNG."""
    with connect(data) as client:
        deliver(client.variants.image(resolve_variant(client, variant)), output)
    if output != "-":
        say(f"Wrote {output}.")


@app.command()
def again(
    variant: VariantId,
    output: File,
    size: Annotated[int | None, typer.Option(help="Pixels of a PNG, 16 to 4096; else as stored.")] = None,
    form: Annotated[str, typer.Option("--format", help=f"One of: {', '.join(Format)}.")] = "png",
    side: Annotated[str, typer.Option("--side", help="What it measures, as 50mm.")] = "50mm",
    data: Data = None,
) -> None:
    """Make one variant again, from its recipe alone: at any size, as any file."""
    with connect(data) as client:
        name = resolve_variant(client, variant)
        stored = client.variants.get(name)
        pixels = size or int(client.variants.recipe(name)["spec"]["size"])
        options: dict[str, Any] = {"formats": [form], "pixels": pixels, "side": read_mm(side), "bare": True}
        job = follow(client, client.jobs.export(variants=[name], priority="interactive", **options))
        conclude(job)
        made = fetch(client, job)
    deliver(made, output)
    if form == Format.PNG and size is None:
        from core.monogram import picture

        same = picture.digest(picture.decode(made)).hex() == stored.digest
        say("The same pixels as stored." if same else "Other pixels than stored: this worker is of another class.")
    if output != "-":
        say(f"Wrote {output}.")


def export(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="All variants of this job, by its id.")] = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="The ZIP; - is stdout.")] = "-",
    ids: Annotated[str | None, typer.Option(help="Instead of a job: variants, JOB.INDEX, with commas between.")] = None,
    formats: Annotated[str, typer.Option("--format", help="svg, png, pdf, dxf; with commas between.")] = "svg",
    size: Annotated[str, typer.Option(help="What each measures, as 50mm.")] = "50mm",
    pixels: Annotated[int | None, typer.Option(help="Of a PNG, 16 to 4096.  [default: 1024]")] = None,
    min_stroke: Annotated[str | None, typer.Option(help="Thicken what is thinner, as 1.2mm.")] = None,
    ink: Annotated[str | None, typer.Option(help="Colour of the letters, as #000000.")] = None,
    ground: Annotated[str | None, typer.Option(help="Colour of the ground, or none.  [default: #ffffff]")] = None,
    name: Annotated[str | None, typer.Option(help="Of the files: {letters}, {index}, {layout}, {job}.")] = None,
    archive: Annotated[bool, typer.Option("--zip", help="One archive: what is made in any case.")] = True,
    data: Data = None,
) -> None:
    """Export variants as files for a workshop, with a report on what can be made of them."""
    spec: dict[str, Any] = {"pixels": pixels, "ink": ink, "name": name, "side": read_mm(size)}
    if min_stroke is not None:
        spec["min_stroke"] = read_mm(min_stroke)
    if ground is not None:
        spec["ground"] = None if ground == "none" else ground
    with connect(data) as client:
        wanted = [resolve_variant(client, each.strip()) for each in ids.split(",")] if ids is not None else []
        whole = resolve(client, job) if job is not None else None
        forms = [each.strip() for each in formats.split(",")]
        done = follow(client, client.jobs.export(whole, wanted, formats=forms, **spec))
        conclude(done)
        save(client, done, output)
    counts = done.result
    mended = f", {counts['repaired']:,} of them thickened" if min_stroke is not None else ""
    say(f"Exported {counts['exported']:,}; {counts['makeable']:,} can be made{mended}.")
    say(f"{counts['stitchable']:,} are coarse enough to be stitched.")
    if output != "-":
        say(f"Wrote {output}.")


def read_mm(text: str) -> float:
    """A length in millimetres: `50mm`, `5cm`, or a plain number."""
    parts = re.fullmatch(r"\s*([-+0-9.eE]+)\s*([a-z]*)\s*", text)
    try:
        number, unit = parts.groups() if parts else ("", "")
        return float(number) * {"": 1.0, "mm": 1.0, "cm": 10.0, "in": 25.4}[unit]
    except (KeyError, ValueError):
        raise typer.BadParameter(f"{text!r} is no length; write 50mm") from None


def fetch(client: Client, job: Job) -> bytes:
    """The file that an export ended in."""
    found = BytesIO()
    client.jobs.file(job.id, found)
    return found.getvalue()


def save(client: Client, job: Job, target: str) -> None:
    """Write the file that an export ended in as it comes, whole or not at all; `-` is stdout."""
    if target == "-":
        client.jobs.file(job.id, sys.stdout.buffer)
        return
    with writing(target) as out:
        client.jobs.file(job.id, out)


def sheet(
    job: JobId,
    output: File,
    limit: Annotated[int, typer.Option(help="Pictures; of more variants an even choice.", min=1)] = SHEET,
    data: Data = None,
) -> None:
    """Draw a contact sheet of a job's variants: a PDF if the file is called so, else a PNG."""
    with connect(data) as client:
        pdf = output.lower().endswith(".pdf")
        drawn, count = draw_sheet(client, client.jobs.get(resolve(client, job)), limit, pdf=pdf)
    deliver(drawn, output)
    if output != "-":
        say(f"Wrote {output}: {count:,} variants.")


def draw_sheet(client: Client, job: Job, limit: int = SHEET, *, pdf: bool = False) -> tuple[bytes, int]:
    """A contact sheet of a job as PNG or PDF, and how many pictures are on it. `NotFound` while there are none."""
    from vyaz import sheet as sheets  # with Pillow and numpy it takes as long to load as all other commands

    groups = [str(group) for group in job.spec.get("letters", ())]
    made = job.done + job.failed  # items are worked on in order, so an unfinished job's pictures are its first ones
    if job.spec.get("best") and job.finished_at is not None:  # all but a few are gone
        chosen = sheets.choose_from([variant.index for variant in client.variants.list(job=job.id)], len(groups), limit)
    else:
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
    return sheets.encode(page, pdf=pdf), len(pictures)
