"""Random datasets through GEMMA and PLINK: null models, scans, kinship, counts and scores.

Both write five to seven digits, and that is the tolerance here; test_association.py has the
whole of GEMMA on the mouse data.
"""

import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import reference as ref
from cli_files import lmmlasso, read
from numpy.testing import assert_array_equal
from problems import random_dosages, sample_table, variant_table

import lmmlasso_fast as ll
from lmmlasso_fast.association import association_scan
from lmmlasso_fast.io.kinship_files import write_gemma
from lmmlasso_fast.io.plink_write import write_plink

pytestmark = pytest.mark.promise("peers")


def program(name):
    """A function that runs it in a folder; without it the test is skipped by its name."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install {name}")

    def run(folder, *arguments):
        command = [found, *map(str, arguments)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{command}: {done.stdout[-500:]}{done.stderr[-500:]}"

    return run


def dataset(folder, n_phenotypes, *key, missing):
    """A fileset `g` with phenotypes of some SNPs, structure, covariates and noise."""
    rng = np.random.default_rng(np.random.SeedSequence(19, spawn_key=key))
    n, p = int(rng.integers(70, 160)), int(rng.integers(60, 220))
    D = random_dosages(rng, n, p, missing)
    D[:, :3] = np.array([0, 1, 2])  # monomorphic
    X, _, sd = ref.standardise(D)
    covariates = rng.standard_normal((n, int(rng.integers(0, 4))))
    Y = X @ rng.standard_normal((p, n_phenotypes)) / np.sqrt(p) * rng.uniform(0.3, 2, n_phenotypes)
    Y += X @ np.where(rng.random((p, n_phenotypes)) < 1 / p, 1.0, 0.0)
    Y += covariates.sum(axis=1)[:, None] + rng.standard_normal((n, n_phenotypes))
    dosages = np.asfortranarray(np.where(np.isnan(D), -1, D).astype(np.int8))
    write_plink(folder / "g", dosages, sample_table(n), variant_table(p, ("1", "2")))
    return SimpleNamespace(
        folder=folder, n=n, p=p, X=X, Y=Y, D=D, covariates=covariates,
        genotypes=ll.read_plink(folder / "g"), included=sd > 0,
    )  # fmt: skip


class Worst(dict):
    """The largest difference of every kind, all of them below their limits."""

    def check(self, name, found, expected, limit, unit=1.0):
        difference = np.max(np.abs(np.asarray(found) - expected) / unit, initial=0.0)
        assert difference <= limit, (name, difference)
        self[name] = max(self.get(name, 0.0), float(difference))

    def tally(self, tally, cases):
        tally(cases=cases, **{name: f"differs by {value:.1e}" for name, value in self.items()})


# ---- GEMMA ---------------------------------------------------------------------------------------

#: What GEMMA would leave out otherwise.
EVERYTHING = ("-maf", 0, "-miss", 1, "-r2", 1, "-hwe", 0)
#: log lambda goes from -LAST to LAST, lambda = sigma_g^2 / sigma_e^2 with K as it is in the file.
LAST = np.log(1e5)


def gemma_log(path):
    """{name: number} of lines "## name = number"; "se(pve) in the null model" and the like."""
    lines = [line.partition(" = ") for line in path.read_text().splitlines() if " = " in line]
    found = {}
    for name, _, value in lines:
        try:
            found[name.removeprefix("## ").strip()] = float(value)
        except ValueError:  # the command line
            continue
    return found


def test_gemma(size, tally, tmp_path):
    """-lmm 1: null model by ML and REML with h2 and its error, every SNP's effect and p-value."""
    gemma = program("gemma")
    n_sets, n_phenotypes = size((1, 3), (5, 40))
    worst, n_null, n_snps = Worst(), 0, 0
    for number in range(n_sets):
        folder = tmp_path / str(number)
        folder.mkdir()
        data = dataset(folder, n_phenotypes, 0, number, missing=(0, 0.05)[number % 2])
        K = ll.kinship(data.genotypes)
        write_gemma(K, folder / "k.txt")
        np.savetxt(folder / "y.txt", data.Y, fmt="%.17g")
        np.savetxt(folder / "c.txt", np.column_stack([np.ones(data.n), data.covariates]))
        common = ["-bfile", "g", "-p", "y.txt", "-c", "c.txt", "-k", "k.txt", *EVERYTHING]
        for k in range(n_phenotypes):
            gemma(folder, *common, "-lmm", 1, "-n", k + 1, "-o", k)
            y, log = data.Y[:, k], gemma_log(folder / "output" / f"{k}.log.txt")
            n_null += check_null(worst, log, y, K, data.covariates)
            reml = ll.fit_null(y, K, data.covariates, method="reml")
            scan = association_scan(data.genotypes, y, reml, exact=True)
            rows = read(folder / "output" / f"{k}.assoc.txt")
            check_scan(worst, rows, scan, data)
            n_snps += len(rows.rs)
    assert n_null > 0.5 * n_sets * n_phenotypes
    tally(snps=n_snps)
    worst.tally(tally, n_sets * n_phenotypes)


def check_null(worst, log, y, K, covariates):
    """Whether there was something to compare: an optimum inside GEMMA's interval."""
    middle = -np.log(K.scale)
    grid = {"log_delta_min": middle - LAST, "log_delta_max": middle + LAST, "n_grid": 200}
    reml = ll.fit_null(y, K, covariates, method="reml", **grid)
    ml = ll.fit_null(y, K, covariates, **grid)
    for name, null in (("MLE", ml), ("REMLE", reml)):
        theirs = log[f"{name} log-likelihood in the null model"]
        worst.check(f"{name} log-likelihood", null.log_likelihood, theirs, 1e-3)
    if reml.h2_se is None or not 0.02 < reml.h2 < 0.98:
        return False
    worst.check("h2", reml.h2, log["pve estimate in the null model"], 1e-5)
    # GEMMA's is from the second derivative, too
    worst.check("relative se of h2", reml.h2_se / log["se(pve) in the null model"], 1.0, 1e-4)
    sigma_g2 = log["vg estimate in the null model"] * K.scale
    worst.check("relative sigma_g2", reml.sigma_g2 / sigma_g2, 1.0, 1e-4)
    worst.check(
        "relative sigma_e2", reml.sigma_e2 / log["ve estimate in the null model"], 1.0, 1e-3
    )
    return True


def check_scan(worst, rows, scan, data):
    where = np.array([int(name.removeprefix("rs")) for name in rows.rs])
    assert_array_equal(where, np.flatnonzero(data.included))
    unit = np.maximum(np.abs(rows.beta), rows.se)
    worst.check("relative beta", scan.beta[where], rows.beta, 1e-4, unit)
    worst.check("relative se of beta", scan.se[where] / rows.se, 1.0, 1e-4)
    worst.check("log10 p", scan.log10p[where], -np.log10(rows.p_wald), 1e-4)


def test_gemma_kinship(size, tally, tmp_path):
    """-gk 1 and -gk 2."""
    gemma, worst, n_sets = program("gemma"), Worst(), size(1, 10)
    for number in range(n_sets):
        folder = tmp_path / str(number)
        folder.mkdir()
        data = dataset(folder, 1, 1, number, missing=(0, 0.1)[number % 2])
        np.savetxt(folder / "y.txt", data.Y)
        for k, estimator in ((1, "centred"), (2, "standardised")):
            gemma(folder, "-bfile", "g", "-p", "y.txt", "-gk", k, *EVERYTHING, "-notsnp", "-o", "k")
            theirs = np.loadtxt(folder / "output" / f"k.{'cs'[k - 1]}XX.txt")
            ours = ll.kinship(data.genotypes, estimator)
            worst.check(estimator, ours.matrix * ours.scale, theirs, 3e-6)
    worst.tally(tally, 2 * n_sets)


# ---- PLINK ---------------------------------------------------------------------------------------


def table(path):
    return pl.read_csv(path, separator="\t", infer_schema=False)


def numbers(frame, name):
    return frame[name].replace("NA", None).cast(pl.Float64).to_numpy()


def test_plink2(size, tally, tmp_path):
    """--glm, --freq, --missing and --make-rel of one run per dataset; --distance of PLINK 1.9."""
    plink2, plink = program("plink2"), program("plink1.9")
    n_sets, n_phenotypes = size((1, 3), (20, 10))
    worst, n_snps = Worst(), 0
    for number in range(n_sets):
        folder = tmp_path / str(number)
        folder.mkdir()
        data = dataset(folder, n_phenotypes, 2, number, missing=(0, 0.005, 0.1)[number % 3])
        genotypes, ids = data.genotypes, data.genotypes.samples
        for name, values in (("y", data.Y), ("c", data.covariates)):
            columns = {f"{name.upper()}{k}": column for k, column in enumerate(values.T)}
            frame = ids.with_columns(**{key: pl.Series(value) for key, value in columns.items()})
            frame = frame.rename({"FID": "#FID"})
            frame.write_csv(folder / f"{name}.tsv", separator="\t")
        covar = ["--covar", "c.tsv"] if data.covariates.size else []
        glm = ["--glm", "omit-ref", "hide-covar", *([] if covar else ["allow-no-covars"])]
        one = ["--bfile", "g", "--threads", 1]
        plink2(
            folder, *one, "--pheno", "y.tsv", *covar, *glm, "--freq", "--missing", "--out", "P",
        )  # fmt: skip

        frequency = numbers(table(folder / "P.afreq"), "ALT_FREQS")
        worst.check("frequency", genotypes.frequency[data.included], frequency[data.included], 1e-5)
        missing = numbers(table(folder / "P.vmiss"), "MISSING_CT")
        assert_array_equal(genotypes.n_missing, missing)
        theirs = numbers(table(folder / "P.smiss"), "MISSING_CT")
        assert_array_equal(np.isnan(data.D).sum(axis=1), theirs)
        for k in range(n_phenotypes):
            scan = association_scan(genotypes, data.Y[:, k], covariates=data.covariates)
            rows = table(folder / f"P.Y{k}.glm.linear")
            assert rows["A1"].to_list() == genotypes.variants["A1"].to_list()
            beta, se, p = (numbers(rows, name) for name in ("BETA", "SE", "P"))
            # PLINK leaves samples without the genotype out, this scan has them at the mean
            at = np.flatnonzero((genotypes.n_missing == 0) & data.included)
            assert not np.isnan(p[at]).any()
            unit = np.maximum(np.abs(beta[at]), se[at])
            worst.check("--glm, relative beta", scan.beta[at], beta[at], 1e-5, unit)
            worst.check("--glm, relative se", scan.se[at] / se[at], 1.0, 1e-5)
            worst.check("--glm, log10 p", scan.log10p[at], -np.log10(p[at]), 1e-4)
            n_snps += len(at)
        # PLINK's matrices have monomorphic SNPs among those that they divide by
        snps = genotypes.variants["ID"].filter(data.included)
        (folder / "snps").write_text("\n".join(snps) + "\n")
        one += ["--extract", "snps", "--out", "P"]
        plink2(folder, *one, "--make-rel", "square")
        plink(folder, *one, "--distance", "square", "ibs", "flat-missing")
        for estimator, end in (("gcta", "rel"), ("ibs", "mibs")):
            ours = ll.kinship(genotypes, estimator)
            theirs = np.loadtxt(folder / f"P.{end}")
            worst.check(estimator, ours.matrix * ours.scale, theirs, 2e-5)
    tally(glm_tests=n_snps)
    worst.tally(tally, n_sets * n_phenotypes)


def test_plink2_score(size, tally, tmp_path):
    """P.score.tsv through --score is PRED_SNP, of whole `lmmlasso fit` runs."""
    plink2, worst, n_sets = program("plink2"), Worst(), size(1, 12)
    for number in range(n_sets):
        folder = tmp_path / str(number)
        folder.mkdir()
        data = dataset(folder, 1, 3, number, missing=0.003)
        y = data.genotypes.samples.with_columns(Y=pl.Series(data.Y[:, 0]))
        y.write_csv(folder / "y.tsv", separator="\t")
        lmmlasso(
            "fit", "--bfile", folder / "g", "--pheno", folder / "y.tsv", "--geno", 0,
            "--max-active", 12, "--out", folder / "P",
        )  # fmt: skip
        columns = ["P.score.tsv", 1, 2, 3, "header", "cols=+scoresums"]
        plink2(folder, "--bfile", "g", "--threads", 1, "--score", *columns, "--out", "P")
        expected = numbers(table(folder / "P.sscore"), "SCORE1_SUM")
        ours = read(folder / "P.pred.tsv").PRED_SNP
        assert np.std(ours) > 0
        worst.check("share of the largest score", ours, expected, 2e-5, np.abs(expected).max())
    worst.tally(tally, n_sets)
