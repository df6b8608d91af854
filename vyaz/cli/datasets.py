"""`vyaz datasets`."""

from pathlib import Path
from typing import Annotated

import typer

from vyaz.cli.output import emit, emit_json, emit_table, say
from vyaz.cli.session import AsJson, Data, connect

app = typer.Typer(no_args_is_help=True, help="Datasets: named sources of letters.")


@app.command("list")
def list_datasets(as_json: AsJson = False, data: Data = None) -> None:
    """List the built-in datasets and one's own."""
    with connect(data) as client:
        datasets = list(client.datasets.list())
    if as_json:
        emit_json(datasets)
        return
    rows = [
        (
            each.name,
            each.kind,
            each.path or ("download" if each.kind == "emnist" else "installed font packages"),
            max((v.number for v in each.versions), default=0),
        )
        for each in datasets
    ]
    emit_table(("dataset", "kind", "source", "newest version"), rows)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Small letters, digits, point, hyphen, underscore.")],
    folder: Annotated[
        Path | None, typer.Argument(help="Folder with fonts or idx files, as the workers see it.")
    ] = None,
    path: Annotated[Path | None, typer.Option(help="The folder, by option.")] = None,
    kind: Annotated[str, typer.Option(help="fonts or emnist.")] = "fonts",
    split: Annotated[str | None, typer.Option(help="letters or balanced, for emnist.")] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Register a folder; it is read when a training first uses it, and again whenever it changed.

    EMNIST needs no folder where the workers may download it.
    """
    source = folder or path
    if (source is None and kind != "emnist") or (folder and path):
        raise typer.BadParameter("name one folder with fonts: vyaz datasets add NAME FOLDER")
    with connect(data) as client:
        # A worker has a working folder of its own.
        whole = str(source.expanduser().absolute()) if source else None
        added = client.datasets.add(name, whole, kind, split=split)
    say(f"Added {added.name}. Train on it: vyaz train --dataset {added.name}")
    if as_json:
        emit_json(added)
    else:
        emit(added.name)
