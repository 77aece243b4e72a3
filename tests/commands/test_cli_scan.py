"""The command line: `lmmlasso scan`."""

import re

import numpy as np
import polars as pl
import pytest
from cli_files import design, lmmlasso, log, null_of, process, read, results, run_json, write_table
from numpy.testing import assert_allclose, assert_array_equal

import lmmlasso_fast as ll
from lmmlasso_fast.association import association_scan, association_scan_loco
from lmmlasso_fast.cli import estimate, main
from lmmlasso_fast.cli.estimate import Scan, estimate_scan
from lmmlasso_fast.io import matrices

pytestmark = pytest.mark.promise("peers")

COLUMNS = "CHROM GENPOS ID ALLELE0 ALLELE1 A1FREQ N TEST BETA SE CHISQ LOG10P"
KINDS = {
    "LM": ["--no-kinship"],
    "LMM": [],
    "LMM_EXACT": ["--exact"],
    "LMM_LOCO": ["--loco"],
    "LMM_EXACT_LOCO": ["--exact", "--loco"],
}


@pytest.fixture(scope="module")
def runs(small, tmp_path_factory):
    """{test: (prefix, what it said)} of every kind, with covariates."""
    folder = tmp_path_factory.mktemp("scan")
    found = {}
    for name, flags in KINDS.items():
        said = lmmlasso("scan", *small.base, *small.covar, *flags, "--out", folder / name)
        found[name] = folder / name, said
    return found


@pytest.fixture(scope="module")
def scans(small, genotypes):
    """{test: what Python gives for it}."""
    C = {"covariates": design(small)[:, 1:]}
    K = ll.kinship(genotypes)
    null = ll.fit_null(small.y, K, **C)
    return {
        "LM": association_scan(genotypes, small.y, **C),
        "LMM": association_scan(genotypes, small.y, null),
        "LMM_EXACT": association_scan(genotypes, small.y, null, exact=True),
        "LMM_LOCO": association_scan_loco(genotypes, small.y, **C),
        "LMM_EXACT_LOCO": association_scan_loco(genotypes, small.y, method="reml", exact=True, **C),
    }


def refused(*arguments, code=2):
    err = lmmlasso("scan", *arguments, code=code)
    [message] = [line for line in err.splitlines() if line.startswith(("error: ", "Error: "))]
    return message


# --- the table -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_the_table_is_pythons(name, runs, scans, genotypes):
    table, scan = read(f"{runs[name][0]}.scan.tsv"), scans[name]
    assert table.header == COLUMNS.split()
    offered = np.flatnonzero(genotypes.included)
    variants = genotypes.variants[offered]
    assert list(table.ID) == variants["ID"].to_list()
    assert list(table.CHROM) == variants["CHROM"].to_list()
    assert_array_equal(table.GENPOS, variants["POS"])
    assert list(table.ALLELE1) == variants["A1"].to_list()
    assert list(table.ALLELE0) == variants["A2"].to_list()
    assert_array_equal(table.A1FREQ, genotypes.frequency[offered])
    assert set(table.N) == {90}
    assert set(table.TEST) == {name} == {scan.test}
    assert_array_equal(table.BETA, scan.beta[offered])
    assert_array_equal(table.SE, scan.se[offered])
    assert_array_equal(table.CHISQ, scan.chisq[offered])
    assert_array_equal(table.LOG10P, scan.log10p[offered])


@pytest.mark.parametrize("name", KINDS)
def test_what_is_not_offered_is_in_the_other_table(name, runs, genotypes):
    prefix = runs[name][0]
    tested, excluded = read(f"{prefix}.scan.tsv"), read(f"{prefix}.excluded.tsv")
    assert len(set(tested.ID) | set(excluded.ID)) == genotypes.n_variants
    assert not set(tested.ID) & set(excluded.ID)
    assert set(excluded.REASON) == {"monomorphic", "all_missing"}
    files = {".scan.tsv", ".excluded.tsv", ".duplicates.tsv", ".null.json"}
    assert set(results(prefix)) == (files if name != "LM" else files - {".null.json"})


@pytest.mark.parametrize("name", KINDS)
def test_the_log_has_genomic_controls_lambda(name, runs, scans):
    prefix, said = runs[name]
    scan = scans[name]
    assert f"genomic-control lambda {scan.genomic_lambda:.4f}" in log(prefix)
    assert f"largest -log10 p {np.nanmax(scan.log10p):.4f}" in said
    assert f"scan ({name}): {int(scan.tested.sum())} SNPs tested" in said
    assert "scan" in run_json(prefix)["timings"]


def test_the_columns_fit_together(runs):
    table = read(f"{runs['LMM'][0]}.scan.tsv")
    assert_array_equal(table.CHISQ, (table.BETA / table.SE) ** 2)


def test_null_models(runs, scans):
    plain, exact = null_of(runs["LMM"][0]), null_of(runs["LMM_EXACT"][0])
    assert plain["log_delta"] == scans["LMM"].log_delta
    assert plain["method"] == "ml"
    assert exact["method"] == "reml"
    loco = null_of(runs["LMM_LOCO"][0])
    assert [null["chromosome"] for null in loco["chromosomes"]] == ["1", "2", "3", "4", "5"]
    for null, expected in zip(loco["chromosomes"], scans["LMM_LOCO"].chromosome_nulls, strict=True):
        assert null == vars(expected)
    n_offered = read(f"{runs['LMM'][0]}.scan.tsv").n_rows
    assert loco["n_variants"] == n_offered
    assert sum(n_offered - null["n_variants"] for null in loco["chromosomes"]) == n_offered
    assert list(loco["covariates"]) == list(plain["covariates"])
    assert (loco["method"], loco["n_samples"]) == ("ml", 90)


def test_snps_in_the_span_of_the_covariates_have_na(small, genotypes, tmp_path):
    dosage = genotypes.columns([20])[:, 0]
    ids = {name: small.samples[name].to_list() for name in ("FID", "IID")}
    covariates = write_table(tmp_path / "c.tsv", **ids, snp=dosage)
    said = lmmlasso("scan", *small.base, "--covar", covariates, "--out", tmp_path / "P")
    table = pl.read_csv(tmp_path / "P.scan.tsv", separator="\t", infer_schema=False)
    row = table.filter(pl.col("ID") == genotypes.variants["ID"][20])
    assert row.select("BETA", "SE", "CHISQ", "LOG10P").row(0) == ("NA",) * 4
    assert ", 1 in the span of the covariates" in said
    assert (table["BETA"] == "NA").sum() == 1


# --- several phenotypes, other inputs -------------------------------------------------------------


def test_several_phenotypes(small, genotypes, tmp_path):
    two = ["--bfile", small.prefix, "--pheno", small.folder / "two.tsv"]
    lmmlasso("scan", *two, "--pheno-name", "Y,Z", "--out", tmp_path / "P")
    lmmlasso("scan", *two, "--pheno-name", "Z", "--out", tmp_path / "Q")
    assert results(tmp_path / "P.Z") == results(tmp_path / "Q")
    lmmlasso("scan", *small.base, "--out", tmp_path / "R")
    assert results(tmp_path / "P.Y") == results(tmp_path / "R")
    assert set(read(tmp_path / "P.Z.scan.tsv").N) == {80}


def test_a_kinship_in_text_is_read_to_the_last_digit(small, tmp_path):
    """GEMMA's form, in the order of the .fam."""
    K = small.kinship.matrix * small.kinship.scale
    path = tmp_path / "k.sXX.txt"
    path.write_text("".join("\t".join(map(repr, row)) + "\n" for row in K.tolist()))
    assert_array_equal(matrices.read_text_matrix(str(path), None, triangle=False), K)
    for flags in ([], ["--exact"]):
        lmmlasso("scan", *small.base, *flags, "--out", tmp_path / "P")
        lmmlasso("scan", *small.base, *flags, "--kinship", path, "--out", tmp_path / "Q")
        ours, given = (read(tmp_path / f"{name}.scan.tsv") for name in "PQ")
        assert_allclose(given.BETA, ours.BETA, rtol=1e-4, atol=1e-6)
        assert_allclose(given.LOG10P, ours.LOG10P, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("flags", KINDS.values())
def test_threads_do_not_show(small, tmp_path, flags):
    found = []
    for threads in (1, 3):
        out = tmp_path / str(threads) / "P"
        out.parent.mkdir()
        lmmlasso("scan", *small.base, *flags, "--threads", threads, "--out", out)
        found.append(results(out))
    assert found[0] == found[1]


def test_the_estimate_counts_the_tests(small, genotypes, tmp_path, monkeypatch):
    """Slow processors in the estimate, so that it is more than a second for these few samples."""
    monkeypatch.setattr(estimate, "_SYRK", 4e3)
    monkeypatch.setattr(estimate, "_LAPACK", 3e3)
    seconds = {}
    for name, flags in KINDS.items():
        err = lmmlasso("scan", *small.base, *flags, "--out", tmp_path / name)
        [said] = re.findall(r"estimated: (.*) and \d+ MB of memory\n", err)
        seconds[name] = 0 if said == "less than a second" else int(said.removesuffix(" s"))
    n, p = 90, 148
    n_chromosomes = len(set(genotypes.variants["CHROM"].to_list()))
    assert n_chromosomes > 1
    kinship, null = n**2 * p / 4e3, 6 * n**3 / 3e3
    lengths, eigenvectors = 4 * n**2 * p / 3e3, 9 * n**3 / 3e3
    every_delta = (2 * n**2 + 600 * n) * p / 3e3
    assert seconds == {
        "LM": 0,
        "LMM": round(kinship + null + lengths),
        "LMM_EXACT": round(kinship + null + eigenvectors + every_delta),
        "LMM_LOCO": round(kinship + n_chromosomes * null + lengths),
        "LMM_EXACT_LOCO": round(kinship + n_chromosomes * (null + eigenvectors) + every_delta),
    }


def test_estimates_of_long_scans():
    """n^2 p operations are what grows with the SNPs; float32 takes half as many, and faster."""
    n = 2000
    for exact, per_snp in (
        (False, n**2 / 4e10 + 2 * n**2 / 4e10),
        (True, n**2 / 4e10 + (2 * n**2 + 600 * n) / 3e10),
    ):
        scan = Scan(n_kinships=1, exact=exact)
        few, many = (estimate_scan(n, p, scan, workers=1)[0] for p in (10**5, 10**6))
        assert many - few == pytest.approx(9e5 * (per_snp + n / 2e8), rel=1e-12)


def test_estimates_of_memory():
    """As measured, and a little more: megabytes at the peak, with one worker and with two."""
    for n, p, n_kinships, exact, one, two in (
        (1000, 10_000, 1, False, 176, 189),
        (1000, 10_000, 1, True, 180, 193),
        (1000, 10_000, 5, False, 198, 235),
        (1000, 10_000, 0, False, 104, 110),
        (300, 100_000, 1, False, 168, 171),
        (300, 100_000, 5, False, 179, 183),
        (300, 100_000, 0, False, 166, 165),
    ):
        for workers, measured in ((1, one), (2, two)):
            _, found = estimate_scan(n, p, Scan(n_kinships, exact), workers=workers)
            assert measured < found < 1.3 * measured


def test_in_a_process_of_its_own(small, tmp_path):
    with process("scan", *small.base, "--out", tmp_path / "P") as run:
        _, said = run.communicate(timeout=60)
    assert run.returncode == 0
    assert "scan: " in said  # ten lines of progress, where there is no terminal
    lmmlasso("scan", *small.base, "--out", tmp_path / "Q")
    assert results(tmp_path / "P") == results(tmp_path / "Q")


# --- flags ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--no-kinship", "--exact"], "--exact changes nothing with --no-kinship"),
        (["--no-kinship", "--loco"], "--loco changes nothing with --no-kinship"),
        (["--no-kinship", "--method", "ml"], "--method changes nothing with --no-kinship"),
        (["--no-kinship", "--kinship", "k"], "--kinship changes nothing with --no-kinship"),
        (["--loco", "--kinship", "k"], "--kinship changes nothing with --loco"),
        (["--loco", "--grm", "k"], "--grm changes nothing with --loco"),
        (["--loco", "--log-delta", "0"], "--log-delta changes nothing with --loco"),
        (["--loco", "--kinship-samples", "all"], "--kinship-samples changes nothing with --loco"),
        (["--exact", "--method", "reml"], "--method changes nothing with --exact"),
        (["--exact", "--log-delta", "0"], "--log-delta changes nothing with --exact"),
    ],
)
def test_flags_that_change_nothing_are_refused(small, tmp_path, flags, message):
    assert message in refused(*small.base, *flags, "--out", tmp_path / "P")


def test_loco_of_one_chromosome_is_refused(small, tmp_path):
    one = [*small.base, "--loco", "--chr", "2", "--out", tmp_path / "P"]
    message = refused(*one, code=3)
    assert "expected SNPs on at least two chromosomes, found only '2'" in message
    assert message.endswith("(on the command line leave --loco out)")
    assert not results(tmp_path / "P")


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (88, "a degree of freedom that is left beside a SNP, found 89 independent columns and 90"),
        (89, "fewer independent columns than samples, found 90 and 90; leave some of them out, or"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_too_many_covariates_are_refused_before_the_null_model(small, tmp_path, kind, n, expected):
    columns = np.random.default_rng(8).standard_normal((n, 90))
    ids = {name: small.samples[name].to_list() for name in ("FID", "IID")}
    covar = write_table(tmp_path / "c.tsv", **ids, **{f"c{k}": c for k, c in enumerate(columns)})
    arguments = [*small.base, "--covar", covar, *KINDS[kind], "--out", tmp_path / "P"]
    message = refused(*arguments, code=3)
    assert f"covariates: expected {expected}" in message
    assert "; leave some of them out, or take more samples" in message
    assert "null model" not in log(tmp_path / "P")


def test_it_is_a_command():
    assert "scan" in list(main.commands)


@pytest.mark.parametrize(
    ("flags", "operations"),
    [
        (["null"], 4 / 3),
        (["fit", "--n-alphas", 2], 4 / 3),
        (["scan"], 4 / 3),
        (["scan", "--exact"], 9),
        (["fit", "--n-alphas", 2, "--no-kinship"], None),
        (["scan", "--no-kinship"], None),
    ],
)
def test_the_call_that_an_interrupt_waits_for_is_said(
    small, tmp_path, monkeypatch, flags, operations
):
    """One call of LAPACK takes n^3; below a second nothing is said of it."""
    command, *others = flags
    said = r"an interrupt .* one call of LAPACK, which may take (\d+) s\n"
    arguments = [command, *small.base, *others, "--out", tmp_path / "P"]
    assert not re.search(said, lmmlasso(*arguments))
    monkeypatch.setattr(estimate, "_LAPACK", 3e3)
    found = re.findall(said, lmmlasso(*arguments))
    n = 90
    assert found == ([] if operations is None else [f"{operations * n**3 / 3e3:.0f}"])
