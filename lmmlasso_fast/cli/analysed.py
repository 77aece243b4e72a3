"""From flags to what is analysed: for every phenotype the samples that have all it needs.

Everything is joined by (FID, IID); what is dropped is counted and said. Phenotypes that the same
samples have share genotypes, kinship and its decomposition.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import click
import numpy as np

from lmmlasso_fast.cli.inputs import (
    fam_path,
    file_prefixes,
    filter_variants,
    given_kinship,
    keep_samples,
    located,
    open_genotypes,
    read_given_kinship,
    report_variants,
    say_estimate,
)
from lmmlasso_fast.cli.recording import Run
from lmmlasso_fast.errors import PhenotypeError, SampleMatchError, TableError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.io.ids import match_samples
from lmmlasso_fast.io.plink_text import read_fam
from lmmlasso_fast.io.tables import (
    encode_covariates,
    expand_names,
    numbers_of,
    read_covariates,
    read_phenotypes,
)
from lmmlasso_fast.io.text import quote
from lmmlasso_fast.kinship import Kinship
from lmmlasso_fast.kinship import kinship as compute_kinship
from lmmlasso_fast.null_model import NullModel, as_phenotype
from lmmlasso_fast.preprocessing import Transform, transform_phenotype
from lmmlasso_fast.threads import blas_cap, blas_threads_for


@dataclass(frozen=True)
class Fileset:
    """What all phenotypes of a run have in common.

    Attributes
    ----------
    genotypes : Genotypes
        Of all samples of the fileset, SNPs unfiltered.
    kept : ndarray of bool
        What --keep and --remove leave of them.
    covariates : polars.DataFrame or None
        One row per sample of the fileset, null where it has none.
    """

    genotypes: Genotypes
    kept: np.ndarray
    covariates: object
    _kinship: list[Kinship] = field(default_factory=list)

    def kinship_of_all(self, run: Run, options: dict) -> Kinship:
        """Return the kinship of all samples kept (but not by --mind), computed once."""
        if not self._kinship:
            genotypes, _ = filter_variants(run, options, self.genotypes.subset(self.kept))
            if options["collapse_duplicates"]:
                genotypes = genotypes.collapse_duplicates()
            run.say(f"kinship of all {genotypes.n_samples} samples, from the SNPs offered to these")
            self._kinship.append(compute_kinship(genotypes, n_threads=run.threads))
        return self._kinship[0]


@dataclass(frozen=True)
class SampleSet:
    """Samples that are analysed together, in the order of the .fam.

    Attributes
    ----------
    fileset : Fileset
    rows : ndarray of int64, shape (n,)
        Their places in it.
    genotypes : Genotypes
        Theirs, filtered.
    covariates : ndarray, shape (n, k)
    covariate_names : list of str
    covariate_levels : dict
        Levels of the categorical ones, by column.
    """

    fileset: Fileset
    rows: np.ndarray
    genotypes: Genotypes
    covariates: np.ndarray
    covariate_names: list[str]
    covariate_levels: dict[str, list[str]]
    _kinship: list[Kinship] = field(default_factory=list)

    def kinship(self, run: Run, options: dict) -> Kinship:
        """Return the samples' kinship: computed, or read and put in their order; once."""
        if not self._kinship:
            say_estimate(run, options, self.genotypes)
            with run.stage("kinship"):
                self._kinship.append(self._load_kinship(run, options))
        return self._kinship[0]

    def _load_kinship(self, run: Run, options: dict) -> Kinship:
        n = self.genotypes.n_samples
        given = given_kinship(options)
        if given is None and options["kinship_samples"] == "analysed":
            return compute_kinship(self.genotypes, n_threads=run.threads)
        if given is None:
            what, matrix = "--kinship-samples all", self.fileset.kinship_of_all(run, options)
        else:
            what = f"kinship {given}"
            matrix = read_given_kinship(run, options, self.fileset.genotypes.samples)
            run.say(f"kinship of {matrix.n_samples} samples read from {given}")
        rows = match_samples(self.genotypes.samples, matrix.samples, what)
        absent = np.flatnonzero(rows < 0)
        if len(absent):
            first = " ".join(self.genotypes.samples.select("FID", "IID").row(int(absent[0])))
            raise SampleMatchError(
                f"{what}: expected all {n} analysed samples, found {n - len(absent)}; "
                f"the first one without is {first}; drop these with --remove"
            )
        # ids as the genotypes write them (the file may have none in its FID column)
        kinship = replace(matrix.subset(rows), samples=self.genotypes.samples)
        with located(what), blas_cap(blas_threads_for(n, run.threads)):
            kinship.require_semidefinite()  # an indefinite matrix is an error of this file
        return kinship


@dataclass(frozen=True)
class Analysed:
    """One phenotype with the samples that have it.

    Attributes
    ----------
    samples : SampleSet
    phenotype : str
        Its name.
    raw : ndarray, shape (n,)
        As read.
    y : ndarray, shape (n,)
        Transformed.
    transform : Transform
    prefix : str
        Of the result files' suffixes: empty, or with several phenotypes its name and a dot.
    nulls : dict
        Null models fitted so far, by how: the steps of one run have them in common.
    """

    samples: SampleSet
    phenotype: str
    raw: np.ndarray
    y: np.ndarray
    transform: Transform
    prefix: str
    nulls: dict[tuple, NullModel] = field(default_factory=dict)

    @property
    def genotypes(self) -> Genotypes:
        return self.samples.genotypes

    @property
    def covariates(self) -> np.ndarray:
        return self.samples.covariates

    @property
    def covariate_names(self) -> list[str]:
        return self.samples.covariate_names

    @property
    def covariate_levels(self) -> dict[str, list[str]]:
        return self.samples.covariate_levels


def analyses(run: Run, options: dict) -> Iterator[Analysed]:
    """Read and join everything; yield each phenotype, those of the same samples in a row.

    The result files of one phenotype are written before the next one is begun.
    """
    if given_kinship(options) and options.get("kinship_samples") == "all":
        raise click.UsageError("--kinship-samples all changes nothing with --kinship or --grm")
    genotypes = open_genotypes(run, options)
    with run.stage("read"):
        kept = keep_samples(run, options, genotypes)
        phenotypes = _read_phenotypes(run, options, genotypes)
        covariates = _read_covariates(run, options, genotypes)
    fileset = Fileset(genotypes, kept, covariates)
    with run.stage("read"):
        masks = {name: _usable(run, fileset, name, y) for name, y in phenotypes.items()}
        for name, y in phenotypes.items():  # all, before the first one is fitted
            _transform(options, name, y[masks[name]])
    several = len(phenotypes) > 1
    prefixes = dict.fromkeys(phenotypes, "")
    if several:
        prefixes = file_prefixes(phenotypes, "phenotypes", "rename the columns")
    for prefix in prefixes.values():
        run.require_names(prefix)
    by_samples: dict[bytes, list[str]] = {}
    for name, mask in masks.items():
        by_samples.setdefault(mask.tobytes(), []).append(name)
    for names in by_samples.values():
        samples = _sample_set(run, options, fileset, masks[names[0]])
        for name in names:
            if several:
                run.say(f"phenotype {name}: files {run.out}.{prefixes[name]}*")
            yield _analysed(run, options, samples, name, phenotypes[name], prefixes[name])
            if several:
                run.write_outputs()


def only_analysis(run: Run, options: dict) -> Analysed:
    """Return the one phenotype of a run that has only one."""
    [analysed] = analyses(run, options)
    return analysed


def _usable(run: Run, fileset: Fileset, name: str, y: np.ndarray) -> np.ndarray:
    """Return the samples that --keep and --remove leave, with this phenotype and covariates."""
    missing = np.isnan(y)
    mask = fileset.kept & ~missing
    run.say(
        f"phenotype {name}: {int(mask.sum())} samples have it, "
        f"{int((fileset.kept & missing).sum())} do not and are dropped"
    )
    values = np.unique(y[mask])
    if len(values) == 2:
        run.say(
            f"phenotype {name}: two values, {values[0]:g} and {values[1]:g}, analysed as numbers"
        )
    if fileset.covariates is not None:
        complete = fileset.covariates.select(~_any_null(fileset.covariates))
        complete = complete.to_series().to_numpy()
        run.say(f"covariates: {int((mask & ~complete).sum())} more samples dropped, which lack one")
        mask &= complete
    if not mask.any():
        raise PhenotypeError(
            f"phenotype {name}: no sample of the fileset is left with phenotype and "
            "covariates; see the counts above"
        )
    return mask


def _sample_set(run: Run, options: dict, fileset: Fileset, mask: np.ndarray) -> SampleSet:
    with run.stage("filter"):
        genotypes, kept = filter_variants(run, options, fileset.genotypes.subset(mask))
    rows = np.flatnonzero(mask)[kept]
    matrix, names, levels = np.empty((len(rows), 0)), [], {}
    if fileset.covariates is not None:
        used = fileset.covariates[rows]
        matrix, names = encode_covariates(used)
        levels = {
            column.name: column.unique().sort().to_list()
            for column in used
            if not column.dtype.is_numeric()
        }
    return SampleSet(fileset, rows, genotypes, matrix, names, levels)


def _analysed(run, options, samples: SampleSet, name, y, prefix) -> Analysed:
    genotypes = report_variants(run, options, samples.genotypes, prefix)
    samples = replace(samples, genotypes=genotypes)  # shares the kinship
    raw = y[samples.rows]
    values, transform = _transform(options, name, raw)
    if transform.lambda_ is not None:
        run.say(f"Box-Cox: lambda {transform.lambda_:.6g}, shift {transform.shift:.6g}")
    run.say(f"{len(raw)} samples analysed")
    return Analysed(samples, name, raw, values, transform, prefix)


def _transform(options: dict, name: str, raw: np.ndarray) -> tuple[np.ndarray, Transform]:
    """Return the transformed phenotype and how; raise if it cannot be analysed."""
    with located(f"phenotype {name} of {options['pheno'] or fam_path(options)}"):
        values, transform = transform_phenotype(raw, options["transform"], options["standardize"])
        return as_phenotype(values), transform


def _read_phenotypes(run, options, genotypes) -> dict[str, np.ndarray]:
    """Return for every phenotype one value per sample of the fileset, NaN for missing."""
    path = options["pheno"]
    codes = options["missing_code"]
    if path is None:
        if options["pheno_name"] is not None:
            raise click.UsageError("--pheno-name names columns of --pheno FILE")
        return {"PHENO": _fam_phenotype(fam_path(options), codes)}
    run.note_input(path)
    table = read_phenotypes(path, options["pheno_name"], codes)
    names = table.columns[2:]
    if len(names) != 1 and options["pheno_name"] is None:
        raise TableError(
            f"{path}: expected one phenotype, found {len(names)} ({', '.join(names[:10])}); "
            "choose one with --pheno-name, or several, which get their own files each"
        )
    rows = match_samples(genotypes.samples, table, f"phenotypes {path}")
    there = rows >= 0
    others = ""
    strangers = np.setdiff1d(np.arange(len(table)), rows)
    if len(strangers):
        ids = [name for name in table.row(int(strangers[0]))[:2] if name is not None]
        others = f"; the first that is not: {' '.join(ids)}"
    run.say(f"{int(there.sum())} of {len(table)} samples of {path} are in the fileset{others}")
    return {
        name: np.where(
            there, table[name].fill_null(float("nan")).to_numpy()[np.maximum(rows, 0)], np.nan
        )
        for name in names
    }


def _fam_phenotype(path: str, codes) -> np.ndarray:
    """Column 6 of the .fam: -9 and NA are missing there by definition."""
    column = read_fam(path)["PHENO"]
    numbers, missing = numbers_of(column, ["-9", *codes])
    bad = ~missing & ~numbers.is_finite().fill_null(False)
    if bad.any():
        row = bad.arg_max()
        raise PhenotypeError(
            f"{path}, sample {row + 1}: column 6: expected a finite number, found "
            f"{quote(column[row])}; correct it, or give the phenotype with --pheno"
        )
    y = numbers.set(missing, np.nan).to_numpy()
    if missing.all():
        raise PhenotypeError(
            f"{path}: column 6: expected phenotypes, found only missing ones; give --pheno FILE"
        )
    return y


def _read_covariates(run, options, genotypes):
    """Covariates in the order of the fileset, or None; null where a sample has none."""
    path = options["covar"]
    if path is None:
        for name in ("covar_name", "cat_covar"):
            if options[name]:
                flag = name.replace("_", "-")
                raise click.UsageError(f"--{flag} names columns of --covar FILE")
        return None
    run.note_input(path)
    categorical = options["cat_covar"] or ()
    table = read_covariates(path, options["covar_name"], options["missing_code"], categorical)
    groups = options.get("groups")
    chosen = expand_names(categorical) if categorical else []
    if options["covar_name"] is None and groups in table.columns[2:] and groups not in chosen:
        run.say(f"--groups: column {groups} of {path} is no covariate")
        table = table.drop(groups)
        if table.width == 2:
            return None
    rows = match_samples(genotypes.samples, table, f"covariates {path}")
    import polars as pl

    index = pl.Series(rows).replace(-1, None).cast(pl.UInt32)
    return table.drop("FID", "IID").select(pl.all().gather(index))


def _any_null(frame):
    import polars as pl

    return pl.any_horizontal(pl.all().is_null())
