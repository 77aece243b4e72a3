"""`lmmlasso simulate`: genotypes and a phenotype whose truth is known, or the phenotype alone."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click
import numpy as np

from lmmlasso_fast.cli import options
from lmmlasso_fast.cli.execution import execute
from lmmlasso_fast.cli.inputs import SOURCES, located, open_genotypes
from lmmlasso_fast.cli.recording import Run
from lmmlasso_fast.errors import InputError, TableError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.io.atomic import together
from lmmlasso_fast.io.ids import match_samples
from lmmlasso_fast.io.results import write_table
from lmmlasso_fast.io.tables import read_phenotypes
from lmmlasso_fast.simulation import (
    GenotypeStream,
    PhenotypeStream,
    SimulatedPhenotype,
    plink_writer,
    simulate_on,
)
from lmmlasso_fast.simulation.causal import EFFECTS
from lmmlasso_fast.simulation.semi_empirical import as_background

#: What a simulation writes besides P.truth.tsv, by which its files are told from anybody else's.
_FILES = ("bed", "bim", "fam", "pheno.tsv")
#: Causal SNPs, unless --n-causal says how many or --h2-snp that there are none.
_N_CAUSAL = 10
#: Flags that name genotypes which exist.
_EXISTING = (*SOURCES, "bed", "bim", "fam")
#: Flags of genotypes that are drawn, and of a phenotype on those that exist.
_DRAWN = {"n_samples", "n_variants", "n_populations", "fst", "ld", "missing_rate"}
_DRAWN |= {"inbred", "n_chromosomes", "family_size"}
_OF_EXISTING = {"background", "background_name", "missing_code"}.union(*SOURCES.values())


@click.command(short_help="Simulate structured genotypes and a phenotype.")
@click.option(
    "--n-samples", type=options.Whole(1), help="Number of samples; needed to draw genotypes."
)
@click.option(
    "--n-variants", type=options.Whole(1), help="Number of SNPs; needed to draw genotypes."
)
@click.option(
    "--n-populations",
    type=options.Whole(1),
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
    type=options.Whole(1),
    default=5,
    show_default=True,
    help="Chromosomes, of nearly equal numbers of SNPs.",
)
@click.option(
    "--family-size",
    type=options.Whole(1),
    default=1,
    show_default=True,
    help="Full siblings per family; FID is the family's from 2 on.",
)
@options.genotypes
@click.option(
    "--n-causal",
    type=options.Whole(0),
    help="SNPs with an effect [default: 10; 0 with --h2-snp 0].",
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
    help="Variance of the random effect, whose covariance is the kinship, or of --background; the "
    "rest is noise.",
)
@click.option(
    "--background",
    metavar="FILE",
    help="Table with a real phenotype whose values are the structure; samples without one are "
    "left out.",
)
@click.option("--background-name", metavar="COLUMN", help="Its column [default: the only one].")
@click.option(
    "--missing-code",
    multiple=True,
    metavar="CODE",
    help="A value that means missing in --background; 'none': -9 is a value.",
)
@click.option(
    "--effects",
    type=click.Choice(EFFECTS),
    default="normal",
    show_default=True,
    help="Distribution of the causal SNPs' effects; all but the normal have random signs.",
)
@click.option(
    "--min-frequency",
    type=options.Number(0, 0.5),
    help="Smallest minor allele frequency of a causal SNP [default: 0.05 on existing genotypes, "
    "else any].",
)
@click.option(
    "--min-distance",
    type=options.Whole(0),
    default=0,
    show_default=True,
    help="Smallest distance in base pairs between causal SNPs of one chromosome.",
)
@options.seed("Of all random numbers.", default=1)
@click.option(
    "--threads",
    type=options.Whole(1),
    default=None,
    help="2 or more draw, or decode, SNPs ahead; the files are the same [default: all available].",
)
@click.option("--out", required=True, metavar="P", help="Prefix of the result files.")
def simulate(**flags):
    """Simulate genotypes of a structured population, and a phenotype whose truth is known.

    Writes the fileset P.bed, .bim, .fam, the phenotype P.pheno.tsv and the causal SNPs
    P.truth.tsv. With --bfile (or --bed, --bim and --fam) the genotypes are those of a fileset, and
    P.pheno.tsv and P.truth.tsv alone are written; the shares of the variance are then met exactly,
    and else in expectation. The genotypes are never in memory as a whole.
    """

    def body(run):
        _check(flags)
        if _on_existing(flags):
            _simulate_on(run, flags)
        else:
            _simulate(run, flags)

    execute("simulate", flags, body)


def _on_existing(flags: dict) -> bool:
    return any(flags[name] is not None for name in _EXISTING)


def _check(flags: dict) -> None:
    """Refuse flags that change nothing beside others, and genotypes of no size."""
    if _on_existing(flags):
        options.ignored(_DRAWN, "on genotypes that exist")
    else:
        options.ignored(_OF_EXISTING, "without --bfile or genotypes of another format")
        context = click.get_current_context()
        for parameter in context.command.params:
            if parameter.name in ("n_samples", "n_variants") and flags[parameter.name] is None:
                raise click.MissingParameter(ctx=context, param=parameter)
    if flags["background"] is None:
        options.ignored({"background_name", "missing_code"}, "without --background")
    if flags["h2_structure"] == 0:
        options.ignored({"background"}, "with --h2-structure 0")
    of_causal = {"effects", "min_frequency", "min_distance"}
    if flags["n_causal"] == 0:
        options.ignored(of_causal, "with --n-causal 0")
    if flags["h2_snp"] == 0:
        options.ignored(of_causal, "with --h2-snp 0")


def _simulate(run: Run, flags: dict) -> None:
    drawn = {name: flags[name] for name in _DRAWN}
    genotypes = GenotypeStream(**drawn, seed=flags["seed"])
    phenotype = PhenotypeStream(flags["n_samples"], **_of_phenotype(flags))
    with run.progress("simulate", genotypes.n_variants) as progress:
        write_simulated(run, genotypes, phenotype, progress)


def _of_phenotype(flags: dict) -> dict:
    """Return what `PhenotypeStream` and `simulate_on` are both told of the phenotype."""
    names = {"n_causal", "h2_snp", "h2_structure", "effects", "min_distance", "seed"}
    if flags["min_frequency"] is not None:  # else what each of them has as its default
        names.add("min_frequency")
    arguments = {name: flags[name] for name in names}
    if flags["n_causal"] is None:
        arguments["n_causal"] = _N_CAUSAL if flags["h2_snp"] > 0 else 0
    return arguments


def write_simulated(
    run: Run,
    genotypes: GenotypeStream,
    phenotype: PhenotypeStream,
    progress: Callable[[int, int], None] | None = None,
):
    """Write P.bed, .bim, .fam, .pheno.tsv and .truth.tsv, all or none; return the truth's table."""
    import polars as pl

    _refuse_another_fileset(run, "overwrite")
    with run.stage("simulate"), together():
        samples = genotypes.samples
        with (
            plink_writer(run.out, genotypes.pedigree) as fileset,
            closing(genotypes.blocks(n_threads=run.threads)) as blocks,
        ):
            for dosages in blocks:
                first = fileset.n_variants
                index = np.arange(first, first + dosages.shape[1])
                fileset.append(dosages, genotypes.variants(index))
                phenotype.add(dosages)
                if progress is not None:
                    progress(fileset.n_variants, genotypes.n_variants)
            drawn = phenotype.finish(fileset.dosages, genotypes.variants)
        truth = _truth_table(genotypes.variants(drawn.causal), drawn)
        write_table(samples.with_columns(pl.Series("Y", drawn.y)), f"{run.out}.pheno.tsv")
        write_table(truth, f"{run.out}.truth.tsv")
    run.counts |= {"samples": genotypes.n_samples, "variants": genotypes.n_variants}
    n_families = int(genotypes.family[-1]) + 1
    families = f" and {n_families} families" if n_families < genotypes.n_samples else ""
    run.say(
        f"simulated {genotypes.n_samples} samples of {len(genotypes.frequencies)} populations"
        f"{families}, {genotypes.n_variants} SNPs, {len(drawn.causal)} of them causal; "
        f"{_shares(drawn)}; wrote {run.out}.* ({', '.join(_FILES)}, truth.tsv)"
    )
    return truth


def _simulate_on(run: Run, flags: dict) -> None:
    """Have P.pheno.tsv and P.truth.tsv written for genotypes that exist."""
    import polars as pl

    # a truth beside somebody's fileset would make that a simulation's, to be overwritten next time
    _refuse_another_fileset(run, "take for its own")
    genotypes = open_genotypes(run, flags)
    background = None
    if flags["background"] is not None:
        values = _read_background(run, flags, genotypes)
        known = ~np.isnan(values)
        background, genotypes = values[known], genotypes.subset(known)
    with run.stage("simulate"):
        drawn = simulate_on(
            genotypes,
            background=background,
            n_threads=run.threads,
            **_of_phenotype(flags),
        )
    phenotype = genotypes.samples.with_columns(pl.Series("Y", drawn.y))
    truth = _truth_table(genotypes.variants[drawn.causal], drawn)
    run.write("pheno.tsv", lambda path: write_table(phenotype, path))
    run.write("truth.tsv", lambda path: write_table(truth, path))
    n_offered = int(genotypes.included.sum())
    run.counts |= {"samples": genotypes.n_samples, "variants": n_offered}
    run.say(
        f"simulated a phenotype of {genotypes.n_samples} samples, {len(drawn.causal)} of "
        f"{n_offered} SNPs causal; {_shares(drawn)}"
    )


def _read_background(run: Run, flags: dict, genotypes: Genotypes) -> np.ndarray:
    """Return for every sample of the fileset the phenotype of --background, NaN where missing."""
    path = flags["background"]
    run.note_input(path)
    table = read_phenotypes(path, flags["background_name"], flags["missing_code"])
    names = table.columns[2:]
    if len(names) != 1:
        raise TableError(
            f"{path}: expected one phenotype, found {len(names)} ({', '.join(names[:10])}); "
            "choose one with --background-name"
        )
    rows = match_samples(genotypes.samples, table, f"background {path}")
    values = table[names[0]].fill_null(float("nan")).to_numpy()
    values = np.where(rows >= 0, values[np.maximum(rows, 0)], np.nan)
    known = ~np.isnan(values)
    run.say(
        f"background {names[0]}: {int(known.sum())} samples have it, {int((~known).sum())} do not "
        "and are left out"
    )
    with located(f"background {names[0]} of {path}"):
        as_background(values[known], int(known.sum()))
    return values


def _shares(phenotype: SimulatedPhenotype) -> str:
    snp, structure = phenotype.h2_snp, phenotype.h2_structure
    noise = max(0.0, 1 - snp - structure)
    return f"variance: SNPs {snp:.0%}, structure {structure:.0%}, noise {noise:.0%}"


def _refuse_another_fileset(run: Run, would: str) -> None:
    if Path(f"{run.out}.truth.tsv").exists():
        return
    for suffix in _FILES:
        path = Path(f"{run.out}.{suffix}")
        if path.exists():
            raise InputError(
                f"{path}: expected no file, or one of an earlier simulation (with "
                f"{run.out}.truth.tsv), found another one, which `lmmlasso {run.command}` would "
                f"{would}; choose another --out"
            )


def _truth_table(snps, phenotype: SimulatedPhenotype):
    """P.truth.tsv: one row per causal SNP; ROW is its place in the fileset, from 0."""
    import polars as pl

    return snps.select(
        pl.Series("ROW", phenotype.causal),
        "CHROM",
        "POS",
        "ID",
        pl.col("A1").alias("EFFECT_ALLELE"),
        pl.Series("BETA", phenotype.effects_per_allele),
        pl.Series("BETA_STD", phenotype.effects),
    )
