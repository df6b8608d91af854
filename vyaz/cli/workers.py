"""`vyaz workers`."""

import typer

from vyaz.cli.output import emit_json, emit_table, shorten
from vyaz.cli.session import AsJson, Data, connect

app = typer.Typer(no_args_is_help=True, help="Workers: the slots that do the work.")


@app.command("list")
def list_workers(as_json: AsJson = False, data: Data = None) -> None:
    """List slots."""
    with connect(data) as client:
        workers = list(client.workers.list())
    if as_json:
        emit_json(workers)
        return
    columns = ("node", "queue", "device", "state", "job", "version", "heartbeat")
    rows = [
        (each.node, each.queue, each.device, each.state, shorten(each.job or ""), each.version, each.heartbeat_at)
        for each in workers
    ]
    emit_table(columns, rows)
