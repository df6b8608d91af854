"""`vyaz models`."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from core.errors import Invalid
from vyaz.cli.output import deliver, emit_facts, emit_json, emit_table, say
from vyaz.cli.progress import conclude, follow
from vyaz.cli.session import AsJson, Data, connect
from vyaz.client import Client
from vyaz.resources.jobs import Job
from vyaz.resources.models import Model, Version

app = typer.Typer(no_args_is_help=True, help="Models and their versions.")

SHOWN: Final = ("legibility", "worst_letter", "new_share")  # figures in a list of versions

Reference = Annotated[str, typer.Argument(metavar="MODEL", help="letters, letters:3 or letters@alias.")]
Dataset = Annotated[str | None, typer.Option(help="Real letters beside it; else those it was trained on.")]
Seed = Annotated[int, typer.Option(help="Of the styles that are drawn.")]


@app.command("list")
def list_models(as_json: AsJson = False, data: Data = None) -> None:
    """List models with their versions."""
    with connect(data) as client:
        models = list(client.models.list())
    if as_json:
        emit_json(models)
        return
    rows = [row for model in models for row in _rows(model)]
    columns = ("version", "family", "aliases", "dataset", "digest", "created", *map(_spell, SHOWN))
    emit_table(columns, rows)


@app.command()
def show(model: Reference = "letters", as_json: AsJson = False, data: Data = None) -> None:
    """Show one version: what it is, and the figures of its last evaluation."""
    name, _, number = model.partition(":")
    plain, _, alias = name.partition("@")
    with connect(data) as client:
        found = client.models.get(plain)
    if as_json:
        emit_json(found)
        return
    version = _choose(found, number, alias)
    facts: dict[str, object] = {
        "version": f"{plain}:{version.number}",
        "family": version.family,
        "aliases": _aliases(found, version),
    }
    facts |= {"dataset": version.dataset, "sha256": version.digest, "bytes": version.size, "steps": version.step}
    emit_facts([*facts.items(), ("created", version.created_at), *_told(version.figures or {})])


@app.command()
def evaluate(
    model: Reference = "letters",
    dataset: Dataset = None,
    styles: Annotated[int, typer.Option(help="How many to draw; everything else in proportion.")] = 100,
    seed: Seed = 0,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Measure a version beside real letters, and keep the figures with it. Takes minutes."""
    with connect(data) as client:
        job = _finish(client, client.jobs.evaluate(model, dataset=dataset, styles=styles, seed=seed))
    figures = job.result["figures"]
    if as_json:
        emit_json(figures)
    else:
        emit_facts([("version", job.model), *_told(figures)])


@app.command()
def sheet(
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where to write; - is stdout.")],
    model: Reference = "letters",
    dataset: Dataset = None,
    seed: Seed = 0,
    data: Data = None,
) -> None:
    """Draw what a version draws: alphabets, an interpolation, large letters."""
    with connect(data) as client:
        job = _finish(client, client.jobs.sheet(model, dataset=dataset, seed=seed))
        deliver(client.jobs.image(job.id), output)
    if output != "-":
        say(f"Wrote {output}: {job.model}, seed {seed}.")


@app.command()
def invert(
    file: Annotated[Path, typer.Argument(metavar="IMAGE|FONT", help="TTF, OTF, WOFF or WOFF2; PNG or JPEG.")],
    model: Annotated[str, typer.Option(help="letters, letters:3 or letters@alias.")] = "letters",
    letter: Annotated[str | None, typer.Option(help="Which letter a picture shows.")] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where the style goes, as JSON; - is stdout.")
    ] = "-",
    picture: Annotated[
        str | None, typer.Option(metavar="FILE", help="Also draw the original above what was found.")
    ] = None,
    data: Data = None,
) -> None:
    """Find the style nearest to a font, or to the picture of one letter: vyaz generate --style FILE draws in it."""
    from json import dumps

    brought = _bring(file)
    with connect(data) as client:
        job = _finish(client, client.jobs.invert(brought, file.name, model, letter))
        found = {"model": job.model, **{name: job.result[name] for name in ("iou", "letters", "w")}}
        deliver((dumps(found, ensure_ascii=False) + "\n").encode(), output)
        if picture is not None:
            deliver(client.jobs.image(job.id), picture)
    say(f"Found: mean IoU {found['iou']:.3f} of {len(found['letters'])} letters.")


def _bring(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Invalid(f"cannot read {file}: {error.strerror or error}") from error


def _finish(client: Client, job: Job) -> Job:
    """Watch a job to its good end; exit 3 at a bad one."""
    job = follow(client, job)
    conclude(job)
    return job


def _choose(model: Model, number: str, alias: str) -> Version:
    """The version meant: by number, by alias, else the one in production, else the newest."""
    wanted = number or str(
        model.aliases.get(alias or "production", "" if alias else model.newest and model.newest.number)
    )
    for version in model.versions:
        if str(version.number) == wanted:
            return version
    known = ", ".join(f"{model.name}:{version.number}" for version in model.versions) or "none"
    raise Invalid(f"{model.name} has no version {number or alias or 'yet'}; there are: {known}")


def _rows(model: Model) -> list[tuple[object, ...]]:
    return [
        (
            f"{model.name}:{version.number}",
            version.family,
            _aliases(model, version),
            version.dataset,
            version.digest[:12],
            version.created_at,
            *((version.figures or {}).get(name) for name in SHOWN),
        )
        for version in sorted(model.versions, key=lambda version: -version.number)
    ]


def _aliases(model: Model, version: Version) -> str:
    return " ".join(sorted(alias for alias, number in model.aliases.items() if number == version.number))


def _told(figures: dict[str, Any]) -> list[tuple[str, object]]:
    """Figures for people; what was not measured is left out."""
    return [(_spell(name), f"{value:.4g}" if isinstance(value, float) else value) for name, value in figures.items()]


def _spell(name: str) -> str:
    return name.replace("_", " ")
