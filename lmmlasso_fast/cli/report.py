"""`lmmlasso report`: the result files of a prefix as one HTML page."""

import os
import sys

import click

from lmmlasso_fast.cli.exit_codes import EXIT_INPUT, EXIT_OUTPUT
from lmmlasso_fast.errors import InputError, OutputError
from lmmlasso_fast.report import write_report


@click.command(short_help="Write all results as one HTML page.")
@click.argument("prefix", metavar="PREFIX")
@click.option("--out", metavar="FILE", help="The file to write [default: PREFIX.report.html].")
def report(prefix, out):
    """Write the result files of a prefix as one HTML page, PREFIX.report.html.

    It shows whatever files there are, needs no network and can be mailed. PREFIX.log and
    PREFIX.run.json stay those of the last analysis.
    """
    try:
        target = write_report(prefix, out)
    except InputError as error:
        _end(str(error), EXIT_INPUT)
    except OutputError as error:
        _end(str(error), EXIT_OUTPUT)
    click.echo(f"wrote {target} ({os.path.getsize(target) / 1e6:.1f} MB)", err=True)


def _end(message: str, code: int) -> None:
    click.echo(f"error: {message}", err=True)
    sys.exit(code)
