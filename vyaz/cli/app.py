"""The command `vyaz`, put together.

Exit codes: 0 all went well; 1 an error, told in one line; 2 the command line makes no sense; 3 the job that was waited
for failed or was cancelled; 4 what was looked at is damaged; 130 Ctrl-C.
"""

import sys

import typer
from pydantic import ValidationError

from core.errors import VyazError
from vyaz.cli import (
    datasets,
    doctor,
    history,
    jobs,
    keys,
    models,
    schedules,
    submit,
    up,
    upkeep,
    variants,
    worker,
    workers,
)
from vyaz.cli.output import complain

app = typer.Typer(
    name="vyaz",
    help="Trains letterforms and makes monograms by the million.",
    epilog="Exit codes: 0 well, 1 error, 2 usage, 3 the job failed or was cancelled, 4 damage was found, 130 Ctrl-C.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (
    up.up,
    worker.worker,
    submit.train,
    submit.generate,
    variants.sheet,
    variants.export,
    history.audit,
    doctor.doctor,
):
    app.command()(command)
for care in (upkeep.verify, upkeep.repair, upkeep.rebuild, upkeep.gc):
    app.command()(care)
for name, group in {
    "jobs": jobs.app,
    "variants": variants.app,
    "models": models.app,
    "datasets": datasets.app,
    "workers": workers.app,
    "schedules": schedules.app,
    "keys": keys.app,
    "owners": keys.owners,
}.items():
    app.add_typer(group, name=name)


def main() -> None:
    """Run the command line; every failure that we know is one line on stderr and exit code 1."""
    try:
        app(prog_name="vyaz")
    except VyazError as error:
        complain(str(error))
    except ValidationError as error:  # of the settings: nothing else lets one out
        first = error.errors(include_url=False)[0]
        complain(f"VYAZ_{'_'.join(str(part) for part in first['loc']).upper()}: {first['msg']}")
    except OSError as error:
        complain(f"{error.filename or 'the system'}: {error.strerror or error}")
    sys.exit(1)


if __name__ == "__main__":
    main()
