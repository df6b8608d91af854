"""`vyaz generate` and `vyaz train`; the same options make the requests of schedules."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.main import get_command

from core.registry import Frame, Layout, Ornament
from vyaz.cli.output import emit, emit_json, say, shorten
from vyaz.cli.progress import conclude, count_items, follow
from vyaz.cli.session import AsJson, Data, Wait, connect
from vyaz.resources.requests import generate_request, train_request
from vyaz.transport import Json

Device = Annotated[str, typer.Option(help="Where it may run: auto, cpu or gpu.")]
Priority = Annotated[str, typer.Option(help="interactive, normal or bulk.")]
# Decimal: a GPU of 24 GB reports a little less than 24 times 2^30.
_UNITS: Final = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def _read_bytes(text: str) -> int:
    """`24GB` as bytes; raises the parser's error for anything else."""
    parts = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)\s*([KMGT]B|)", text.strip().upper())
    if parts is None:
        raise typer.BadParameter(f"{text!r} is no size; write one like 24GB or 800MB")
    return int(float(parts[1]) * _UNITS[parts[2]])


MinMemory = Annotated[
    Any,
    typer.Option(parser=_read_bytes, metavar="SIZE", help="What a slot must have: 24GB, 800MB."),
]
WaitForWorker = Annotated[
    bool, typer.Option("--wait-for-worker", help="Submit it even if no worker that is known can do it.")
]


def _read_style(file: str) -> list[float]:
    """The style vector in a file that `vyaz models invert` wrote, or in a plain JSON list."""
    try:
        found = json.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise typer.BadParameter(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise typer.BadParameter(f"{file} is no JSON: {error}") from error
    vector = found.get("w") if isinstance(found, dict) else found
    if not isinstance(vector, list):
        raise typer.BadParameter(f"{file} holds no style vector")
    return [float(number) for number in vector if isinstance(number, int | float)]


def _read_attribute(text: str) -> tuple[str, float]:
    """`weight=1.5` as name and number; the API knows which there are."""
    name, _, number = text.partition("=")
    try:
        return name.strip(), float(number)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no attribute with a number, as weight=1.5") from None


def generate(
    letters: Annotated[list[str], typer.Argument(help="Groups of letters that make one monogram each: AB ЇЖ")],
    count: Annotated[int, typer.Option("--count", "-n", "--of", help="Variants in all.")],
    best: Annotated[
        int | None, typer.Option(help="Of all, keep so many: the best that differ, an equal share of each group.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="letters, letters:3 or letters@alias.")] = None,
    layout: Annotated[
        str | None, typer.Option(help=f"One of: {', '.join(Layout)}; else what suits the letters.")
    ] = None,
    order: Annotated[
        str | None, typer.Option(help="How three initials are given: shown, western or ukrainian.  [default: shown]")
    ] = None,
    frame: Annotated[str | None, typer.Option(help=f"One of: {', '.join(Frame)}.")] = None,
    ornament: Annotated[str | None, typer.Option(help=f"Of the letters, one of: {', '.join(Ornament)}.")] = None,
    min_legibility: Annotated[
        float | None, typer.Option(help="Keep only what the judge reads at least as surely, 0 to 1.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Keep no variant whose layout cannot be made, instead of a plain row.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same variants.")] = 0,
    size: Annotated[int | None, typer.Option(help="Width and height in pixels.  [default: 256]")] = None,
    psi: Annotated[float | None, typer.Option(help="0 draws the mean style, 1 all; else the model's own.")] = None,
    style: Annotated[
        Any, typer.Option(parser=_read_style, metavar="FILE", help="A style, as vyaz models invert writes it.")
    ] = None,
    spread: Annotated[float | None, typer.Option(help="How far from that style variants may go, 0 to 1.")] = None,
    attributes: Annotated[
        list[Any] | None,
        typer.Option(
            "--attribute",
            parser=_read_attribute,
            metavar="NAME=NUMBER",
            help="weight, width, slant, contrast or serif by -3 to 3 deviations: weight=1.5. May be repeated.",
        ),
    ] = None,
    mix: Annotated[float | None, typer.Option(help="Chance that a letter is half of another style.")] = None,
    device: Device = "auto",
    min_memory: MinMemory = None,
    wait_for_worker: WaitForWorker = False,
    priority: Priority = "normal",
    shard_size: Annotated[int | None, typer.Option(help="Variants in a shard; else as many as take 20 s.")] = None,
    wait: Wait = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Submit variants of one or more groups of letters; prints the job's id."""
    request = generate_request(
        letters,
        count,
        model=model,
        layout=layout,
        order=order,
        frame=frame,
        ornament=ornament,
        min_legibility=min_legibility,
        strict=strict or None,
        best=best,
        size=size,
        seed=seed,
        psi=psi,
        style=style,
        spread=spread,
        attributes=attributes,
        mix=mix,
        device=device,
        min_memory=min_memory,
        wait_for_worker=wait_for_worker,
        priority=priority,
        shard_size=shard_size,
    )
    _submit(request, wait, as_json, data)


def train(
    dataset: Annotated[str, typer.Option(help="The letters to learn from: see vyaz datasets list.")] = "fonts",
    family: Annotated[str | None, typer.Option(help="style, mlp or judge.")] = None,
    architecture: Annotated[
        str | None, typer.Option(help="Of a style: default or nano; of a judge: select or report.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model that this makes a version of.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the dataset.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Minutes of training, instead of --epochs.")] = None,
    batch: Annotated[int | None, typer.Option(help="Letters per optimisation step.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and noise.")] = None,
    optimiser: Annotated[str | None, typer.Option(help="adam, adamw, sgd, adagrad, rmsprop or adadelta.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    loss: Annotated[str | None, typer.Option(help="bce, lsgan, wgan-gp or relativistic.")] = None,
    device: Device = "auto",
    min_memory: MinMemory = None,
    wait_for_worker: WaitForWorker = False,
    priority: Priority = "normal",
    wait: Wait = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Submit the training of a model version; prints the job's id."""
    request = train_request(
        dataset,
        family=family,
        architecture=architecture,
        name=name,
        epochs=epochs,
        minutes=minutes,
        device=device,
        min_memory=min_memory,
        wait_for_worker=wait_for_worker,
        priority=priority,
        batch=batch,
        seed=seed,
        optimiser=optimiser,
        lr=lr,
        loss=loss,
    )
    _submit(request, wait, as_json, data)


_REQUESTS: Final[dict[str, Callable[..., Json]]] = {"generate": generate_request, "train": train_request}
_HERE_ONLY: Final = {"wait": "--wait", "as_json": "--json", "data": "--data"}  # options that mean nothing later


def parse_request(arguments: Sequence[str]) -> Json:
    """The request that `vyaz ARGUMENT...` would submit, by the very parser of that command.

    Raises the parser's usage errors.
    """
    name = arguments[0] if arguments else ""
    if name not in _REQUESTS:
        raise typer.BadParameter(f"after -- comes train or generate with its options, not {name or 'nothing'!r}")
    parser: Any = get_command(_app())
    given = parser.commands[name].make_context(f"vyaz {name}", list(arguments[1:])).params
    for parameter, option in _HERE_ONLY.items():
        if given.pop(parameter):
            raise typer.BadParameter(f"{option} means nothing in a schedule")
    return _REQUESTS[name](**given)


def _app() -> typer.Typer:
    app = typer.Typer()
    app.command()(generate)
    app.command()(train)
    return app


def _submit(request: Json, wait: bool, as_json: bool, data: Data) -> None:
    with connect(data) as client:
        job = client.jobs.submit(request)
        short = shorten(job.id)
        model = f" with {job.model}" if job.model else ""
        # A training's total is a guess until it has begun.
        what = count_items(job.kind, job.total) if "count" in request else f"{job.kind} {job.spec.get('name', '')}"
        say(f"Submitted {short}: {what}{model}." + ("" if wait else f" Watch it: vyaz jobs watch {short}"))
        if wait:
            job = follow(client, job)
        if as_json:
            emit_json(job)
        else:
            emit(job.id)
        if wait:
            conclude(job)
