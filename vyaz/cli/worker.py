"""`vyaz worker`: a node that joins the fleet named in the settings."""

import os
import sys
from typing import Annotated

import typer

from core.errors import Invalid
from core.settings import Settings
from vyaz.cli.output import say
from vyaz.up.commands import worker as command


def worker(
    queue: Annotated[str | None, typer.Option(help="cpu or gpu; else that of the device.")] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda:N, one process for each GPU.  [default: VYAZ_DEVICE, else cpu]")
    ] = None,
    slots: Annotated[
        int | None, typer.Option(min=1, max=256, help="Slots that share this machine; on the CPU only.  [default: 1]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=0, max=1024, help="CPU threads of a slot; 0: its share of all cores.")
    ] = None,
    number: Annotated[int, typer.Option(min=1, help="Tells nodes of one queue on one machine apart.")] = 1,
) -> None:
    """Work for the fleet that VYAZ_DATABASE_URL, VYAZ_BROKER_URL and VYAZ_STORE_URL name, until SIGTERM or Ctrl-C.

    SIGTERM lets it finish the block in hand and give the rest back.
    """
    settings = Settings()
    device = device or settings.device
    serves = "gpu" if device.startswith("cuda") else "cpu"
    slots = slots or settings.slots
    _check(settings, queue or serves, serves, slots)
    started = command(serves, number, device, threads if threads is not None else settings.threads, slots)
    say(f"{slots} slot{'s' * (slots > 1)} of queue {serves} on {device}.")
    sys.stdout.flush()
    # In the place of this process: whoever started it signals the node itself.
    os.execve(started.argv[0], started.argv, {**os.environ, **started.environment})  # noqa: S606


def _check(settings: Settings, queue: str, serves: str, slots: int) -> None:
    """Raise `Invalid` for a node that could not work."""
    if queue != serves:
        raise Invalid(f"--queue {queue} does not fit the device, which serves {serves}: name another --device")
    if serves == "gpu" and slots > 1:
        raise Invalid("a GPU has one slot: start a worker for each GPU, --device cuda:0, --device cuda:1")
    for name in ("database_url", "broker_url"):
        if not getattr(settings, name).get_secret_value():
            raise Invalid(f"VYAZ_{name.upper()} is not set: a worker joins a fleet by it; alone, use vyaz up")
