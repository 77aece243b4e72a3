"""`lmmlasso kinship`: a kinship matrix from genotypes or a pedigree."""

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

from lmmlasso_fast.cli import options
from lmmlasso_fast.cli.execution import execute
from lmmlasso_fast.cli.inputs import (
    fam_path,
    file_prefixes,
    filter_variants,
    keep_samples,
    located,
    open_genotypes,
    report_variants,
    say_estimate,
)
from lmmlasso_fast.cli.recording import Run
from lmmlasso_fast.io.kinship_files import save_kinship, write_gemma, write_grm
from lmmlasso_fast.io.pedigrees import read_pedigree
from lmmlasso_fast.kinship import Kinship
from lmmlasso_fast.kinship import kinship as compute_kinship
from lmmlasso_fast.loco import LeaveOneOut
from lmmlasso_fast.pedigree import pedigree_kinship
from lmmlasso_fast.relationship import ESTIMATORS

#: What a pedigree does not look at.
_OF_SNPS = {"extract", "exclude", "chromosomes", "maf", "geno", "mind", "collapse_duplicates"}


@click.command(short_help="Compute the kinship from SNPs or a pedigree.")
@options.genotypes
@click.option(
    "--estimator",
    type=click.Choice([*ESTIMATORS, "pedigree"]),
    default="rrm",
    show_default=True,
    help="Realised relationship X X' / p; GEMMA's -gk 1 (centred) or 2 (standardised); GCTA's; "
    "identity by state; or what the pedigree lets expect.",
)
@click.option(
    "--pedigree",
    "pedigree_file",
    metavar="FILE",
    help="FID IID FATHER MOTHER, for --estimator pedigree [default: the .fam].",
)
@click.option(
    "--loco",
    is_flag=True,
    help="One matrix per chromosome, of the SNPs of all others: P.loco.NAME.*. (scan --loco needs "
    "none of them.)",
)
@options.filters
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["npz", "grm", "gemma"]),
    default=["npz"],
    show_default=True,
    help="P.kinship.npz, P.grm.bin (GCTA) or P.cXX.txt (GEMMA; P.sXX.txt of standardised); may be "
    "given several times.",
)
@options.output
def kinship(**flags):
    """Compute the kinship of all samples, from their SNPs or a pedigree."""
    estimator = flags["estimator"]
    if estimator == "pedigree":
        options.ignored({"loco", *_OF_SNPS}, "with --estimator pedigree")
    else:
        options.ignored({"pedigree_file"}, "without --estimator pedigree")

    def body(run):
        genotypes = open_genotypes(run, flags)
        mask = keep_samples(run, flags, genotypes)
        if estimator == "pedigree":
            _write(run, flags, _of_pedigree(run, flags, genotypes.samples.filter(mask)))
            return
        with run.stage("filter"):
            genotypes, _ = filter_variants(run, flags, genotypes.subset(mask))
            genotypes = report_variants(run, flags, genotypes)
        say_estimate(run, flags, genotypes)
        with run.stage("kinship"):
            if flags["loco"]:
                _write_loco(run, flags, LeaveOneOut(genotypes, estimator, run.threads))
            else:
                _write(run, flags, compute_kinship(genotypes, estimator, n_threads=run.threads))

    execute("kinship", flags, body)


def _of_pedigree(run: Run, flags: dict, samples) -> Kinship:
    """Compute 2 phi of some samples of the fileset."""
    path = flags["pedigree_file"] or fam_path(flags)
    run.note_input(path)
    pedigree = read_pedigree(path)
    with run.stage("kinship"), located(path):
        matrix = pedigree_kinship(pedigree, samples)
    run.counts["samples"] = matrix.n_samples
    n_related = int((np.count_nonzero(matrix.matrix, axis=1) > 1).sum())
    run.say(f"pedigree: {n_related} of {matrix.n_samples} samples have relatives among them")
    if n_related == 0:
        run.warn(
            "the kinship is the identity: nothing in it tells the random effect from the noise"
        )
    return matrix


def _write(run: Run, flags: dict, matrix: Kinship) -> None:
    for name in dict.fromkeys(flags["formats"]):
        suffix, write = _writer(run, flags, name)
        run.write(suffix, lambda path, write=write: write(matrix, path))


def _write_loco(run: Run, flags: dict, kinships: LeaveOneOut) -> None:
    """Have one matrix at a time made and written: together they may not fit into memory."""
    names = file_prefixes(kinships.chromosomes, "chromosomes", "rename them in the .bim")
    for k, chromosome in enumerate(kinships.chromosomes):
        prefix = f"loco.{names[chromosome]}"
        run.require_names(prefix)
        for name in dict.fromkeys(flags["formats"]):
            suffix, write = _writer(run, flags, name, prefix)
            run.write(
                suffix,
                lambda path, write=write, k=k: write(kinships.without(k, run.threads), path),
            )


def _writer(
    run: Run, flags: dict, name: str, prefix: str = ""
) -> tuple[str, Callable[[Kinship, Path], None]]:
    """Return the suffix of a format's file, and what writes it."""
    if name == "npz":
        return f"{prefix}kinship.npz", save_kinship
    if name == "gemma":
        kind = "sXX" if flags["estimator"] == "standardised" else "cXX"
        return f"{prefix}{kind}.txt", write_gemma
    return f"{prefix}grm.bin", lambda matrix, path: write_grm(
        matrix, str(path).removesuffix(".grm.bin")
    )
