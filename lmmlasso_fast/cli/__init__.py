"""The command line, `lmmlasso`: one module for every subcommand."""

import click

from lmmlasso_fast import __version__
from lmmlasso_fast.cli.cv import cv
from lmmlasso_fast.cli.demo import demo
from lmmlasso_fast.cli.fit import fit
from lmmlasso_fast.cli.kinship import kinship
from lmmlasso_fast.cli.null import null
from lmmlasso_fast.cli.predict import predict
from lmmlasso_fast.cli.simulate import simulate
from lmmlasso_fast.cli.stability import merge, stability


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lmmlasso")
def main():
    """LMM-Lasso: a Lasso over all SNPs plus a kinship random effect.

    Results go to files that start with --out; P.log and P.run.json say what was done. Exit codes:
    0 ok, 2 usage, 3 bad input, 4 not converged (with --strict), 5 output, 70 internal error, 130
    interrupted, 143 terminated.
    """


for command in (demo, simulate, kinship, null, fit, cv, stability, merge, predict):
    main.add_command(command)
