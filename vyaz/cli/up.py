"""`vyaz up`."""

import importlib
import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from core import log
from core.settings import Settings
from vyaz.cli import device as devices
from vyaz.cli.output import emit, say


def up(
    data: Annotated[
        Path | None, typer.Option(help="Folder for everything it keeps; else VYAZ_DATA, else your own data folder.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Where the API listens on this machine.  [default: 8765]")] = None,
    workers: Annotated[int, typer.Option(help="How many slots work on the device.")] = 1,
    device: Annotated[str | None, typer.Option(help="cpu or cuda:0; else a GPU if there is one.")] = None,
) -> None:
    """Start servers, API and workers on this machine; Ctrl-C stops them."""
    settings = Settings()
    folder = data or settings.data
    log.configure(settings)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of every plugin
    # The other commands do without the embedded servers' code.
    supervisor: Any = importlib.import_module("vyaz.up.supervisor")

    def tell(instance: Any) -> None:
        emit(instance.url)
        named = f" --data {data}" if data else ""
        say(f"Vyaz runs on {folder}. In another terminal: vyaz doctor{named}   Ctrl-C stops it.")

    raise typer.Exit(supervisor.up(folder, port, workers, device or devices.choose(), ready=tell))
