"""`lmmlasso simulate`: a fileset and a phenotype whose truth is known, of any size."""

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

from lmmlasso_fast.cli import options
from lmmlasso_fast.cli.run import Run, execute
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.io.atomic import together
from lmmlasso_fast.io.results import write_table
from lmmlasso_fast.simulation import (
    GenotypeStream,
    PhenotypeStream,
    SimulatedPhenotype,
    plink_writer,
)

#: What a simulation writes besides P.truth.tsv, by which its files are told from anybody else's.
_FILES = ("bed", "bim", "fam", "pheno.tsv")


@click.command()
@click.option("--n-samples", type=click.IntRange(1), required=True, help="Number of samples.")
@click.option("--n-variants", type=click.IntRange(1), required=True, help="Number of SNPs.")
@click.option(
    "--n-populations",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="Populations, of nearly equal size.",
)
@click.option(
    "--fst",
    type=options.Number(0, 1, max_open=True),
    default=0.1,
    show_default=True,
    help="Divergence of each population from the common ancestor.",
)
@click.option(
    "--ld",
    type=options.Number(0, 1),
    default=0.9,
    show_default=True,
    help="Probability that a haplotype goes on unbroken from one SNP to the next.",
)
@click.option(
    "--missing-rate",
    type=options.Number(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Share of the genotypes that is missing.",
)
@click.option("--inbred", is_flag=True, help="No heterozygotes: one haplotype per sample.")
@click.option(
    "--n-chromosomes",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Chromosomes, of nearly equal numbers of SNPs.",
)
@click.option(
    "--n-causal",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="SNPs with an effect.",
)
@click.option(
    "--h2-snp",
    type=options.Number(0, 1),
    default=0.3,
    show_default=True,
    help="Variance of the phenotype that the causal SNPs explain.",
)
@click.option(
    "--h2-structure",
    type=options.Number(0, 1),
    default=0.3,
    show_default=True,
    help="Variance of the random effect, whose covariance is the kinship; the rest is noise.",
)
@options.seed("Of all random numbers.", default=1)
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=None,
    help="2 or more draw random numbers ahead; the files are the same [default: all available].",
)
@click.option("--out", required=True, metavar="P", help="Prefix of the result files.")
def simulate(**flags):
    """Simulate genotypes of a structured population, and a phenotype whose truth is known.

    Writes the fileset P.bed, .bim, .fam, the phenotype P.pheno.tsv and the causal SNPs
    P.truth.tsv. The genotypes are never in memory as a whole.

    Example: lmmlasso simulate --n-samples 1000 --n-variants 100000 --out sim
    """

    def body(run):
        genotypes = GenotypeStream(
            flags["n_samples"],
            flags["n_variants"],
            n_populations=flags["n_populations"],
            fst=flags["fst"],
            missing_rate=flags["missing_rate"],
            ld=flags["ld"],
            inbred=flags["inbred"],
            n_chromosomes=flags["n_chromosomes"],
            seed=flags["seed"],
        )
        phenotype = PhenotypeStream(
            flags["n_samples"],
            n_causal=flags["n_causal"],
            h2_snp=flags["h2_snp"],
            h2_structure=flags["h2_structure"],
            seed=flags["seed"],
        )
        with run.progress("simulate", genotypes.n_variants) as progress:
            write_simulated(run, genotypes, phenotype, progress)

    execute("simulate", flags, body)


def write_simulated(
    run: Run,
    genotypes: GenotypeStream,
    phenotype: PhenotypeStream,
    progress: Callable[[int, int], None] | None = None,
):
    """Write P.bed, .bim, .fam, .pheno.tsv and .truth.tsv, all or none; return the truth's table."""
    import polars as pl

    _refuse_another_fileset(run)
    with run.stage("simulate"), together():
        samples = genotypes.samples
        with plink_writer(run.out, samples) as fileset:
            for dosages in genotypes.blocks(n_threads=run.threads):
                first = fileset.n_variants
                index = np.arange(first, first + dosages.shape[1])
                fileset.append(dosages, genotypes.variants(index))
                phenotype.add(dosages)
                if progress is not None:
                    progress(fileset.n_variants, genotypes.n_variants)
            drawn = phenotype.finish(fileset.dosages)
        truth = _truth_table(genotypes, drawn)
        write_table(samples.with_columns(pl.Series("Y", drawn.y)), f"{run.out}.pheno.tsv")
        write_table(truth, f"{run.out}.truth.tsv")
    run.counts |= {"samples": genotypes.n_samples, "variants": genotypes.n_variants}
    run.say(
        f"simulated {genotypes.n_samples} samples of {len(genotypes.frequencies)} populations, "
        f"{genotypes.n_variants} SNPs, {len(drawn.causal)} of them causal; variance: SNPs "
        f"{drawn.h2_snp:.0%}, structure {drawn.h2_structure:.0%}, noise "
        f"{1 - drawn.h2_snp - drawn.h2_structure:.0%}; wrote {run.out}.* "
        f"({', '.join(_FILES)}, truth.tsv)"
    )
    return truth


def _refuse_another_fileset(run: Run) -> None:
    if Path(f"{run.out}.truth.tsv").exists():
        return
    for suffix in _FILES:
        path = Path(f"{run.out}.{suffix}")
        if path.exists():
            raise InputError(
                f"{path}: expected no file, or one of an earlier simulation (with "
                f"{run.out}.truth.tsv), found another one, which `lmmlasso {run.command}` would "
                "overwrite; choose another --out"
            )


def _truth_table(genotypes: GenotypeStream, phenotype: SimulatedPhenotype):
    """P.truth.tsv: one row per causal SNP; ROW is its place in the fileset, from 0."""
    import polars as pl

    causal = phenotype.causal
    snps = genotypes.variants(causal)
    return snps.select(
        pl.Series("ROW", causal),
        "CHROM",
        "POS",
        "ID",
        pl.col("A1").alias("EFFECT_ALLELE"),
        pl.Series("BETA", phenotype.effects_per_allele),
        pl.Series("BETA_STD", phenotype.effects),
    )
