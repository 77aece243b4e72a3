"""`lmmlasso multiqc`: finished runs as a table for MultiQC's report."""

import os

import click

from lmmlasso_fast.cli.execution import execute
from lmmlasso_fast.io.multiqc import multiqc_content
from lmmlasso_fast.io.result_files import ResultFiles
from lmmlasso_fast.io.results import write_json


@click.command(short_help="Summarise finished runs for MultiQC.")
@click.argument("prefix", nargs=-1, required=True)
@click.option("--out", required=True, metavar="P", help="Prefix of the files.")
def multiqc(**flags):
    """Summarise finished runs for MultiQC: P.lmmlasso_mqc.json, which it finds by its name.

    Each PREFIX is the --out of a run, or OUT.NAME of one of its phenotypes; the files that start
    with the prefix are kept as they are.
    """
    out = os.path.realpath(flags["out"])
    prefixes = [ResultFiles(prefix).run_prefix for prefix in flags["prefix"]]
    for prefix in prefixes:
        if os.path.realpath(prefix) == out:
            raise click.UsageError(
                f"--out {flags['out']!r}: its P.log and P.run.json would replace those of that "
                "run; choose another prefix"
            )

    def body(run):
        for prefix in dict.fromkeys(prefixes):
            run.note_input(f"{prefix}.run.json")
        with run.stage("read"):
            content = multiqc_content(flags["prefix"])
        run.say(f"{len(content['data'])} rows from {len(flags['prefix'])} runs")
        run.write("lmmlasso_mqc.json", lambda path: write_json(content, path))

    execute("multiqc", flags, body)
