"""From flags to what is analysed: genotypes, phenotype, covariates and kinship of the same samples.

Everything is joined by (FID, IID); what is dropped is counted and said.
"""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from os.path import isfile, splitext

import click
import numpy as np

from lmmlasso_fast.cli.estimate import estimate
from lmmlasso_fast.cli.run import Run
from lmmlasso_fast.errors import (
    GenotypeError,
    InputError,
    PhenotypeError,
    SampleMatchError,
    TableError,
)
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.io.ids import match_samples, read_id_list, read_ids
from lmmlasso_fast.io.kinship_files import read_grm, read_kinship
from lmmlasso_fast.io.plink import read_plink
from lmmlasso_fast.io.plink_text import read_fam
from lmmlasso_fast.io.results import write_table
from lmmlasso_fast.io.tables import encode_covariates, read_covariates, read_phenotypes
from lmmlasso_fast.io.text import quote
from lmmlasso_fast.kinship import Kinship
from lmmlasso_fast.kinship import kinship as compute_kinship
from lmmlasso_fast.preprocessing import Transform, transform_phenotype
from lmmlasso_fast.threads import blas_cap, blas_threads_for


@dataclass(frozen=True)
class Analysed:
    """The samples that have everything, in the order of the .fam.

    Attributes
    ----------
    genotypes : Genotypes
    phenotype : str
        Its name.
    y : ndarray, shape (n,)
        Transformed.
    transform : Transform
    covariates : ndarray, shape (n, k)
    covariate_names : list of str
    covariate_levels : dict
        Levels of the categorical ones, by column.
    fam_samples : polars.DataFrame
        All samples of the fileset: the order of a kinship file without ids.
    """

    genotypes: Genotypes
    phenotype: str
    y: np.ndarray
    transform: Transform
    covariates: np.ndarray
    covariate_names: list[str]
    covariate_levels: dict[str, list[str]]
    fam_samples: object


def open_genotypes(run: Run, options: dict) -> Genotypes:
    """Open the fileset that --bfile or --bed, --bim and --fam name."""
    given = {name: options[name] for name in ("bed", "bim", "fam")}
    prefix = options["bfile"]
    if prefix is None and None in given.values():
        raise click.UsageError("give --bfile PREFIX, or --bed, --bim and --fam")
    stem, end = splitext(prefix or "")
    if end in (".bed", ".bim", ".fam") and isfile(prefix) and not isfile(f"{prefix}.bed"):
        raise click.UsageError(f"--bfile takes the common part of the three names: --bfile {stem}")
    for name, path in given.items():
        run.note_input(path or f"{prefix}.{name}")
    with run.stage("read"):
        genotypes = read_plink(
            prefix, **given, accept_reference_samples=options["accept_reference_samples"]
        )
    run.say(f"{genotypes.n_samples} samples and {genotypes.n_variants} SNPs in the fileset")
    return genotypes


def fam_path(options: dict) -> str:
    return options["fam"] or f"{options['bfile']}.fam"


def keep_samples(run: Run, options: dict, genotypes: Genotypes) -> np.ndarray:
    """Return the mask that --keep and --remove leave."""
    mask = np.ones(genotypes.n_samples, dtype=bool)
    for flag in ("keep", "remove"):
        path = options[flag]
        if path is None:
            continue
        run.note_input(path)
        import polars as pl

        rows = read_ids(path)
        if not rows:
            raise TableError(f"{path}: expected sample ids (FID IID), found none")
        listed = pl.DataFrame(
            rows, schema={"FID": pl.String, "IID": pl.String}, orient="row"
        ).unique(maintain_order=True)
        found = match_samples(genotypes.samples, listed, f"--{flag} {path}") >= 0
        run.say(f"--{flag}: {int(found.sum())} of {len(listed)} listed samples found")
        mask &= found if flag == "keep" else ~found
    if not mask.all():
        run.say(f"{int(mask.sum())} samples left by --keep and --remove")
    return mask


def filter_variants(run: Run, options: dict, genotypes: Genotypes) -> tuple[Genotypes, np.ndarray]:
    """Apply the SNP filters and --mind; return the genotypes and the mask of samples kept."""
    names = options["chromosomes"]
    lists = {}
    for flag in ("extract", "exclude"):
        path = options[flag]
        lists[flag] = None
        if path is not None:
            run.note_input(path)
            lists[flag] = read_id_list(path)
            known = set(genotypes.variants["ID"])
            found = sum(name in known for name in set(lists[flag]))
            run.say(f"--{flag}: {found} of {len(set(lists[flag]))} listed SNPs found")
            if found == 0:
                raise TableError(
                    f"--{flag} {path}: expected ids of SNPs in the fileset, found none of them"
                )
    if names is not None:
        names = [name.strip() for name in names.split(",")]
    genotypes = genotypes.filter(chromosomes=names, **lists)
    kept = np.ones(genotypes.n_samples, dtype=bool)
    if options["mind"] is not None:
        rates = genotypes.sample_missing_rate()
        kept = rates <= options["mind"]
        run.say(f"--mind: {int((~kept).sum())} samples dropped")
        if not kept.any():
            raise GenotypeError(
                f"--mind {options['mind']:g}: expected a sample with at most this share of missing "
                f"genotypes, found none; the smallest is {rates.min():.4g}"
            )
        genotypes = genotypes.filter(mind=options["mind"])
    genotypes = genotypes.filter(geno=options["geno"], maf=options["maf"])
    return genotypes, kept


def report_variants(run: Run, options: dict, genotypes: Genotypes) -> Genotypes:
    """Say what is offered and why the rest is not; have both lists written."""
    n_duplicates = len(genotypes.duplicate_pairs()[0])
    duplicates = genotypes.duplicates
    if options["collapse_duplicates"]:
        genotypes = genotypes.collapse_duplicates()
    excluded = genotypes.excluded
    run.write("excluded.tsv", lambda path: write_table(excluded, path))
    run.write("duplicates.tsv", lambda path: write_table(duplicates, path))
    reasons = excluded["REASON"].value_counts(sort=True).rows()
    n_offered = genotypes.n_variants - len(excluded)
    run.counts |= {
        "samples": genotypes.n_samples,
        "variants": n_offered,
        "excluded": {reason: count for reason, count in reasons},
        "duplicates": n_duplicates,
    }
    why = ", ".join(f"{count} {reason}" for reason, count in reasons)
    run.say(
        f"{n_offered} SNPs offered to the model, {len(excluded)} not"
        + (f" ({why})" if why else "")
        + f"; {n_duplicates} exact duplicates"
    )
    if n_offered == 0:
        raise GenotypeError(f"no SNP is left: {why}; relax the filters")
    return genotypes


def load(run: Run, options: dict) -> Analysed:
    """Read, join and filter everything that an analysis needs."""
    given_kinship(options)
    genotypes = open_genotypes(run, options)
    fam_samples = genotypes.samples
    with run.stage("read"):
        mask = keep_samples(run, options, genotypes)
        name, y = _read_phenotype(run, options, genotypes)
        missing = np.isnan(y)
        run.say(
            f"phenotype {name}: {int((mask & ~missing).sum())} samples have it, "
            f"{int((mask & missing).sum())} do not and are dropped"
        )
        mask &= ~missing
        covariates = _read_covariates(run, options, genotypes)
        if covariates is not None:
            complete = covariates.select(~_any_null(covariates)).to_series().to_numpy()
            run.say(
                f"covariates: {int((mask & ~complete).sum())} more samples dropped, which lack one"
            )
            mask &= complete
        if not mask.any():
            raise PhenotypeError(
                f"phenotype {name}: no sample of the fileset is left with phenotype and "
                "covariates; see the counts above"
            )
    with run.stage("filter"):
        genotypes, kept = filter_variants(run, options, genotypes.subset(mask))
        genotypes = report_variants(run, options, genotypes)
    index = np.flatnonzero(mask)[kept]
    matrix, names, levels = np.empty((len(index), 0)), [], {}
    if covariates is not None:
        used = covariates[index]
        matrix, names = encode_covariates(used)
        levels = {
            column.name: column.unique().sort().to_list()
            for column in used
            if not column.dtype.is_numeric()
        }
    with located(f"phenotype {name} of {options['pheno'] or fam_path(options)}"):
        values, transform = transform_phenotype(
            y[index], options["transform"], options["standardize"]
        )
    if transform.lambda_ is not None:
        run.say(f"Box-Cox: lambda {transform.lambda_:.6g}, shift {transform.shift:.6g}")
    run.say(f"{len(index)} samples analysed")
    return Analysed(genotypes, name, values, transform, matrix, names, levels, fam_samples)


def load_kinship(run: Run, options: dict, analysed: Analysed) -> Kinship:
    """The kinship of the analysed samples: computed, or read and put in their order."""
    n = analysed.genotypes.n_samples
    given = given_kinship(options)
    say_estimate(run, options, analysed.genotypes)
    with run.stage("kinship"):
        if given is None:
            return compute_kinship(analysed.genotypes, n_threads=run.threads)
        matrix = read_given_kinship(run, options, analysed.fam_samples)
        rows = match_samples(analysed.genotypes.samples, matrix.samples, f"kinship {given}")
        absent = np.flatnonzero(rows < 0)
        if len(absent):
            first = " ".join(analysed.genotypes.samples.select("FID", "IID").row(int(absent[0])))
            raise SampleMatchError(
                f"kinship {given}: expected all {n} analysed samples, found {n - len(absent)}; "
                f"the first one without is {first}; drop these with --remove"
            )
        run.say(f"kinship of {matrix.n_samples} samples read from {given}")
        # ids as the genotypes write them (the file may have none in its FID column)
        kinship = replace(matrix.subset(rows), samples=analysed.genotypes.samples)
        with located(f"kinship {given}"), blas_cap(blas_threads_for(n, run.threads)):
            kinship.require_semidefinite()  # an indefinite matrix is an error of this file
        return kinship


@contextmanager
def located(where: str):
    """Say in bad input's message where it comes from."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{where}: {error}") from error


def given_kinship(options: dict) -> str | None:
    """The name that --kinship or --grm gives."""
    if options["kinship_file"] and options["grm"]:
        raise click.UsageError("give --kinship or --grm, not both")
    return options["kinship_file"] or options["grm"]


def read_given_kinship(run: Run, options: dict, fam_samples=None) -> Kinship:
    """Read what --kinship or --grm names; `fam_samples` are those of a file without ids."""
    given = given_kinship(options)
    names = [given]
    if options["grm"] or given.endswith((".grm.bin", ".rel", ".rel.gz")) or not isfile(given):
        stem = given.removesuffix(".gz").removesuffix(".grm.bin").removesuffix(".rel")
        ends = ("grm.bin", "grm.id", "grm.N.bin", "rel", "rel.gz", "rel.id")
        names = [name for name in (f"{stem}.{end}" for end in ends) if isfile(name)]
    for name in names:
        run.note_input(name)
    if options["grm"]:
        matrix = read_grm(given.removesuffix(".grm.bin"))
    else:
        matrix = read_kinship(given, samples=fam_samples)
    if matrix.samples is None:
        raise SampleMatchError(
            f"{given}: expected a kinship matrix with sample ids, found none; convert it to .npz, "
            "or to GCTA's .grm.bin with .grm.id"
        )
    return matrix


def say_estimate(run: Run, options: dict, genotypes: Genotypes) -> None:
    """Say what the long part will take."""
    n_alphas = len(options.get("alphas") or []) or options.get("n_alphas", 0)
    seconds, megabytes = estimate(
        genotypes.n_samples, int(genotypes.included.sum()), n_alphas=n_alphas
    )
    time = "less than a second" if seconds < 1 else f"{seconds:.0f} s"
    run.say(f"estimated: {time} and {megabytes:.0f} MB of memory")


def _read_phenotype(run, options, genotypes) -> tuple[str, np.ndarray]:
    """Return the name and one value per sample of the fileset, NaN for missing."""
    path = options["pheno"]
    codes = options["missing_code"]
    if path is None:
        if options["pheno_name"] is not None:
            raise click.UsageError("--pheno-name names a column of --pheno FILE")
        return "PHENO", _fam_phenotype(fam_path(options), codes)
    run.note_input(path)
    table = read_phenotypes(path, options["pheno_name"], codes)
    names = table.columns[2:]
    if len(names) != 1:
        raise TableError(
            f"{path}: expected one phenotype, found {len(names)} ({', '.join(names[:10])}); "
            "choose one with --pheno-name and run once for each"
        )
    rows = match_samples(genotypes.samples, table, f"phenotypes {path}")
    run.say(f"{int((rows >= 0).sum())} of {len(table)} samples of {path} are in the fileset")
    column = table[names[0]].fill_null(float("nan")).to_numpy()
    return names[0], np.where(rows >= 0, column[np.maximum(rows, 0)], np.nan)


def _fam_phenotype(path: str, codes) -> np.ndarray:
    """Column 6 of the .fam: -9 and NA are missing there by definition."""
    values = []
    missing = {-9.0} | {number for number in map(_number, codes) if number is not None}
    for sample, text in enumerate(read_fam(path)["PHENO"], start=1):
        value = _number(text)
        if text.lower() in ("na", ".") or text in codes or value in missing:
            value = np.nan
        elif value is None or np.isinf(value):
            raise PhenotypeError(
                f"{path}, sample {sample}: column 6: expected a finite number, found "
                f"{quote(text)}; correct it, or give the phenotype with --pheno"
            )
        values.append(value)
    y = np.array(values)
    if np.isnan(y).all():
        raise PhenotypeError(
            f"{path}: column 6: expected phenotypes, found only missing ones; give --pheno FILE"
        )
    return y


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _read_covariates(run, options, genotypes):
    """Covariates in the order of the fileset, or None; null where a sample has none."""
    path = options["covar"]
    if path is None:
        if options["covar_name"]:
            raise click.UsageError("--covar-name names columns of --covar FILE")
        return None
    run.note_input(path)
    table = read_covariates(path, options["covar_name"], options["missing_code"])
    rows = match_samples(genotypes.samples, table, f"covariates {path}")
    import polars as pl

    index = pl.Series(rows).replace(-1, None).cast(pl.UInt32)
    return table.drop("FID", "IID").select(pl.all().gather(index))


def _any_null(frame):
    import polars as pl

    return pl.any_horizontal(pl.all().is_null())
