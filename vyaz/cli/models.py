"""`vyaz models`."""

import typer

from vyaz.cli.output import emit_json, emit_table
from vyaz.cli.session import AsJson, Data, connect
from vyaz.resources.models import Model

app = typer.Typer(no_args_is_help=True, help="Models and their versions.")


@app.command("list")
def list_models(as_json: AsJson = False, data: Data = None) -> None:
    """List models with their versions."""
    with connect(data) as client:
        models = list(client.models.list())
    if as_json:
        emit_json(models)
        return
    rows = [row for model in models for row in _rows(model)]
    emit_table(("version", "family", "aliases", "dataset", "digest", "created"), rows)


def _rows(model: Model) -> list[tuple[object, ...]]:
    return [
        (
            f"{model.name}:{version.number}",
            version.family,
            " ".join(sorted(alias for alias, number in model.aliases.items() if number == version.number)),
            version.dataset,
            version.digest[:12],
            version.created_at,
        )
        for version in sorted(model.versions, key=lambda version: -version.number)
    ]
