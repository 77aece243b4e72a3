"""`lmmlasso kinship`: a kinship matrix from genotypes."""

import click

from lmmlasso_fast.cli import options
from lmmlasso_fast.cli.inputs import (
    filter_variants,
    keep_samples,
    open_genotypes,
    report_variants,
    say_estimate,
)
from lmmlasso_fast.cli.recording import execute
from lmmlasso_fast.io.kinship_files import save_kinship, write_gemma, write_grm


@click.command()
@options.genotypes
@options.filters
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["npz", "grm", "gemma"]),
    default=["npz"],
    show_default=True,
    help="P.kinship.npz, P.grm.bin (GCTA) or P.cXX.txt (GEMMA); may be given several times.",
)
@options.output
def kinship(**flags):
    """Compute the realised relationship matrix X X' / p."""
    from lmmlasso_fast.kinship import kinship as compute_kinship

    def body(run):
        genotypes = open_genotypes(run, flags)
        mask = keep_samples(run, flags, genotypes)
        with run.stage("filter"):
            genotypes, _ = filter_variants(run, flags, genotypes.subset(mask))
            genotypes = report_variants(run, flags, genotypes)
        say_estimate(run, flags, genotypes)
        with run.stage("kinship"):
            matrix = compute_kinship(genotypes, n_threads=run.threads)
        writers = {
            "npz": ("kinship.npz", lambda path: save_kinship(matrix, path)),
            "grm": ("grm.bin", lambda _: write_grm(matrix, run.out)),
            "gemma": ("cXX.txt", lambda path: write_gemma(matrix, path)),
        }
        for name in dict.fromkeys(flags["formats"]):
            run.write(*writers[name])

    execute("kinship", flags, body)
