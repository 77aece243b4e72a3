"""The command line: stability selection, its tables and options."""

import re

import numpy as np
import pytest
import reference as ref
from cli_files import (
    N_REPLICATES,
    STABILITY_COLUMNS,
    decode,
    lmmlasso,
    log,
    read,
    refused,
    results,
    rows_of,
    run_json,
    select,
    write_table,
)
from numpy.testing import assert_allclose, assert_array_equal

import lmmlasso_fast as ll
from lmmlasso_fast import error_bounds

pytestmark = pytest.mark.promise("whole-files")


@pytest.fixture(scope="module")
def found(small, genotypes):
    """What Python gives for it."""
    table = read(small.folder / "c.tsv")
    batch = [(table.batch == level).astype(float) for level in "bc"]
    columns = [table.age, *batch, table.PC1, table.PC2, table.PC3]
    return ll.stability_selection(
        genotypes,
        small.y,
        n_active=6,
        n_replicates=N_REPLICATES,
        seed=3,
        covariates=np.column_stack(columns),
        ld_r2=0.1,
        ld_window=9000,
    )


# --- the tables ----------------------------------------------------------------------------------


def test_files_and_columns(whole):
    assert set(results(whole)) == {f".{name}" for name in [*STABILITY_COLUMNS, "null.json"]}
    for name, columns in STABILITY_COLUMNS.items():
        assert read(f"{whole}.{name}").header == columns.split(), name
    for suffix, content in results(whole).items():
        assert content.endswith(b"\n")
        assert not re.search(rb"\b(nan|NaN|inf|None|null,)\b", content), suffix


def test_frequencies_are_those_of_python(small, whole, found):
    table = read(f"{whole}.stability.tsv")
    assert np.all(np.diff(table.SEL_FREQ) <= 0)
    row = rows_of(small)
    snps = np.array([row[name] for name in table.ID])
    assert_array_equal(np.sort(snps), np.flatnonzero(found.counts))
    assert_array_equal(table.SEL_FREQ, found.frequency[snps])
    assert_array_equal(table.LD_GROUP, found.groups.of(150)[snps] + 1)
    assert_allclose(table.EAF, ref.allele_frequency(decode(small.prefix))[snps], rtol=1e-12)
    for column, name in (("EFFECT_ALLELE", "A1"), ("OTHER_ALLELE", "A2"), ("POS", "POS")):
        assert list(getattr(table, column)) == small.variants[name][snps].to_list()


def test_selected_are_those_from_the_cutoff_on(small, whole):
    table, selected = read(f"{whole}.stability.tsv"), read(f"{whole}.selected.tsv")
    here = table.SEL_FREQ >= 0.6
    assert 0 < here.sum() < table.n_rows
    for column in STABILITY_COLUMNS["stability.tsv"].split():
        assert list(getattr(selected, column)) == list(getattr(table, column)[here])
    missing = dict(zip(small.variants["ID"], (small.dosages < 0).sum(axis=0), strict=True))
    assert list(selected.N_MISSING) == [missing[name] for name in selected.ID]


def test_loci_are_the_groups_of_the_snps(whole, found):
    table, loci = read(f"{whole}.stability.tsv"), read(f"{whole}.loci.tsv")
    assert_array_equal(loci.LD_GROUP, 1 + np.arange(loci.n_rows))
    assert set(table.LD_GROUP) == set(loci.LD_GROUP)
    assert loci.N_SNPS.max() > 1
    for k in range(loci.n_rows):
        members = loci.LD_GROUP[k] == table.LD_GROUP
        assert loci.N_SNPS[k] == members.sum()
        assert (loci.START[k], loci.END[k]) == (table.POS[members].min(), table.POS[members].max())
        assert set(table.CHROM[members]) == {loci.CHROM[k]}
        lead = table.ID[members].tolist().index(loci.LEAD_ID[k])
        assert loci.SEL_FREQ_LEAD[k] == table.SEL_FREQ[members][lead]
        assert loci.SEL_FREQ_LEAD[k] == table.SEL_FREQ[members].max()
        total = table.SEL_FREQ[members].sum()
        assert loci.SEL_FREQ_LEAD[k] <= loci.SEL_FREQ_GROUP[k] <= min(1, total + 1e-12)
    assert_array_equal(loci.SEL_FREQ_GROUP, found.group_frequency)


def test_bounds(whole):
    table, bounds = read(f"{whole}.stability.tsv"), read(f"{whole}.bounds.tsv")
    loci = read(f"{whole}.loci.tsv")
    assert_array_equal(bounds.CUTOFF, np.arange(7, 13) / 12)
    for k, cutoff in enumerate(bounds.CUTOFF):
        assert bounds.N_SNPS[k] == (cutoff <= table.SEL_FREQ).sum()
        assert bounds.N_GROUPS[k] == (cutoff <= loci.SEL_FREQ_GROUP).sum()
        for assumption in error_bounds.ASSUMPTIONS:
            column = "MAX_FALSE_" + assumption.upper().replace("-", "_")
            expected = error_bounds.expected_false(6, cutoff, 148, N_REPLICATES, assumption)
            assert getattr(bounds, column)[k] == expected


def test_replicates(whole, found):
    table = read(f"{whole}.replicates.tsv")
    assert_array_equal(table.REPLICATE, np.arange(N_REPLICATES))
    assert_array_equal(table.N_SELECTED, found.n_selected)
    assert_array_equal(table.LAST_ALPHA, found.last_alpha)
    assert_array_equal(table.LOG_DELTA, found.log_delta)
    assert_array_equal(table.FAILED, 0)


def test_frequencies_along_the_path(small, whole, found):
    table, loci = read(f"{whole}.stability_path.tsv"), read(f"{whole}.loci.tsv")
    row = rows_of(small)
    assert table.n_rows == 6 * loci.n_rows
    for k in range(loci.n_rows):
        here = k + 1 == table.LD_GROUP
        assert_array_equal(table.N_ACTIVE[here], 1 + np.arange(6))
        assert set(table.ID[here]) == {loci.LEAD_ID[k]}
        column = found.path.snps.tolist().index(row[loci.LEAD_ID[k]])
        assert_array_equal(table.SEL_FREQ[here], found.path.frequency[:, column])
        assert table.SEL_FREQ[here][-1] == loci.SEL_FREQ_LEAD[k]


def test_what_is_said(whole):
    text = log(whole)
    bound = error_bounds.expected_false(6, 0.6, 148, N_REPLICATES)
    n_snps = read(f"{whole}.selected.tsv").n_rows
    assert f"cutoff 0.6: {n_snps} SNPs and " in text
    assert f"expected number of false SNPs at most {bound:.3g}" in text
    assert "replicates: 12 of 12" in text
    assert run_json(whole)["options"]["replicates"] == [0, N_REPLICATES]
    assert run_json(whole)["warnings"] == []


def test_threads_and_repetition_do_not_change_a_byte(small, whole, tmp_path):
    for threads in (1, 2):
        select(small, tmp_path / f"P{threads}", "--replicates", N_REPLICATES, "--threads", threads)
        assert results(tmp_path / f"P{threads}") == results(whole)


# --- options -------------------------------------------------------------------------------------


def test_given_alphas(small, genotypes, tmp_path):
    alphas = ["--alpha", "0.5,0.2", "--replicates", 6]
    lmmlasso("stability", *small.base, *alphas, "--out", tmp_path / "P")
    found = ll.stability_selection(genotypes, small.y, alphas=[0.5, 0.2], n_replicates=6)
    table = read(tmp_path / "P.stability.tsv")
    row = rows_of(small)
    snps = np.array([row[name] for name in table.ID])
    assert_array_equal(np.sort(snps), np.flatnonzero(found.counts))
    assert_array_equal(table.SEL_FREQ, found.frequency[snps])
    path = read(tmp_path / "P.stability_path.tsv")
    assert path.header == ["LD_GROUP", "ID", "ALPHA", "SEL_FREQ"]
    assert_array_equal(path.ALPHA[:2], [0.5, 0.2])
    bounds = read(tmp_path / "P.bounds.tsv")
    q = found.n_selected.mean()
    assert q != round(q)
    assert_array_equal(
        bounds.MAX_FALSE_NONE,
        [error_bounds.expected_false(q, c, 148, 6, "none") for c in bounds.CUTOFF],
    )


def test_max_false_finds_n_active(small, tmp_path):
    arguments = ["--replicates", 10, "--max-false", 2, "--cutoff", 0.8]
    lmmlasso("stability", *small.base, *arguments, "--out", tmp_path / "P")
    n_active = error_bounds.largest_n_active(0.8, 2, 148, 10)
    assert n_active > 1
    assert_array_equal(read(tmp_path / "P.replicates.tsv").N_SELECTED, n_active)
    bounds = read(tmp_path / "P.bounds.tsv")
    assert bounds.MAX_FALSE_UNIMODAL[np.flatnonzero(bounds.CUTOFF >= 0.8)[0]] <= 2
    assert error_bounds.expected_false(n_active + 1, 0.8, 148, 10) > 2
    given = ["--replicates", 10, "--n-active", n_active, "--cutoff", 0.8]
    lmmlasso("stability", *small.base, *given, "--out", tmp_path / "Q")
    assert results(tmp_path / "P") == results(tmp_path / "Q")


@pytest.mark.parametrize("assumption", error_bounds.ASSUMPTIONS)
def test_max_false_finds_the_cutoff(small, tmp_path, assumption):
    arguments = ["--replicates", 10, "--max-false", 0.3, "--n-active", 5]
    arguments += ["--assumption", assumption, "--out", tmp_path / "P"]
    err = lmmlasso("stability", *small.base, *arguments)
    cutoff = error_bounds.smallest_cutoff(5, 0.3, 148, 10, assumption)
    assert 0.5 < cutoff < 1
    assert f"cutoff {cutoff:g}: " in err
    table = read(tmp_path / "P.stability.tsv")
    expected = table.ID[cutoff <= table.SEL_FREQ]
    assert list(read(tmp_path / "P.selected.tsv").ID) == list(expected)


def test_max_false_that_nothing_keeps(small, tmp_path):
    arguments = [*small.base, "--replicates", 10, "--max-false", 1e-6, "--out", tmp_path / "P"]
    message = refused("stability", *arguments)
    assert "--max-false 1e-06: with cutoff 0.75 and 10 replicates not even one SNP" in message
    assert "estimated" not in log(tmp_path / "P")  # that is before the kinship is computed
    message = refused("stability", *arguments, "--n-active", 5)
    assert message.startswith("error: --max-false: expected at least ")
    assert "estimated" not in log(tmp_path / "P")
    assert results(tmp_path / "P") == {}


@pytest.mark.parametrize(
    ("n_active", "expected"),
    [
        (
            100,
            "at most the number of SNPs that can be selected / sqrt(3) = 85.44783984, where the "
            "unimodal bound holds, found 100; select fewer SNPs, or take --assumption none",
        ),
        (
            5000,
            "a number from 0 to the number of SNPs that can be selected = 148, found 5000; "
            "choose another value",
        ),
    ],
)
def test_max_false_of_more_snps_than_are_covered(small, tmp_path, n_active, expected):
    flags = ["--max-false", 1, "--n-active", n_active, "--out", tmp_path / "P"]
    message = refused("stability", *small.base, *flags)
    assert message == f"error: --n-active: expected {expected}"
    assert results(tmp_path / "P") == {}


HALVES = "bounds are of halves, --fraction 0.5"
PAIRS = "with --no-pairs only --assumption none has one"


@pytest.mark.parametrize(
    ("flags", "columns", "why"),
    [
        (["--fraction", 0.4], ["NONE", "UNIMODAL", "R_CONCAVE"], HALVES),
        (["--no-pairs"], ["UNIMODAL", "R_CONCAVE"], PAIRS),
        (["--no-pairs", "--replicates", 7], ["UNIMODAL", "R_CONCAVE"], PAIRS),
        (["--no-pairs", "--fraction", 0.8], ["NONE", "UNIMODAL", "R_CONCAVE"], HALVES),
    ],
)
def test_subsamples_without_a_bound(small, tmp_path, flags, columns, why):
    arguments = ["--replicates", 8, "--n-active", 5, *flags, "--out", tmp_path / "P"]
    err = lmmlasso("stability", *small.base, *arguments)
    assert f"no bound on false selections ({why})\n" in err
    bounds = read(tmp_path / "P.bounds.tsv")
    for name in ("NONE", "UNIMODAL", "R_CONCAVE"):
        known = np.isfinite(getattr(bounds, f"MAX_FALSE_{name}"))
        assert not known.any() if name in columns else known.all()
    assert_array_equal(read(tmp_path / "P.replicates.tsv").N_SELECTED, 5)


def test_a_cutoff_without_a_bound(small, tmp_path):
    arguments = ["--replicates", 10, "--n-active", 60, "--cutoff", 0.6, "--eps", 0.2]
    err = lmmlasso("stability", *small.base, *arguments, "--out", tmp_path / "P")
    [text] = re.findall(r"no bound on false selections \((.*)\)\n", err)
    assert text.startswith("--cutoff: expected above 0.66")
    assert text.endswith("found 0.6; raise it, select fewer SNPs, or take --assumption none")
    # none among 45 individuals can have so many SNPs, at any alpha
    assert "active SNPs; a Lasso of 45 individuals has 44 at most, so give a smaller --n-a" in err
    flags = ["--l1-ratio", 0.5, "--out", tmp_path / "Q"]  # the elastic net can
    err = lmmlasso("stability", *small.base, *arguments, *flags)
    assert "fewer than 60 active SNPs; a smaller --eps lets them go on" in err


def test_plain_lasso(small, genotypes, tmp_path):
    arguments = ["--no-kinship", "--replicates", 4, "--n-active", 5, "--out", tmp_path / "P"]
    lmmlasso("stability", *small.base, *arguments)
    found = ll.stability_selection(
        genotypes, small.y, n_active=5, n_replicates=4, random_effect=False
    )
    table = read(tmp_path / "P.replicates.tsv")
    assert np.isnan(table.LOG_DELTA).all()
    assert_array_equal(table.LAST_ALPHA, found.last_alpha)
    assert ".null.json" not in results(tmp_path / "P")


def test_failed_replicates_are_warned_of(small, tmp_path):
    ids = {name: small.samples[name].to_list() for name in ("FID", "IID")}
    y = write_table(tmp_path / "y.tsv", **ids, Y=[float(k < 2) for k in range(90)])
    arguments = ["--bfile", small.prefix, "--pheno", y, "--replicates", 8, "--n-active", 2]
    err = lmmlasso("stability", *arguments, "--out", tmp_path / "P")
    failed = np.flatnonzero(read(tmp_path / "P.replicates.tsv").FAILED)
    assert 0 < len(failed) < 8
    for replicate in failed:
        assert f"warning: replicate {replicate} failed and counts as selecting nothing: " in err
    assert err.count("failed and counts as") == len(failed)
    assert "phenotype: expected at least two distinct values, found 0 in all 45 samples" in err
    table = read(tmp_path / "P.replicates.tsv")
    assert_array_equal(table.N_SELECTED[failed], 0)
    assert np.isnan(table.LAST_ALPHA[failed]).all()
    assert_allclose(read(tmp_path / "P.stability.tsv").SEL_FREQ.sum(), table.N_SELECTED.sum() / 8)
    # that nothing else explains the phenotype is told of the others
    assert_array_equal(np.delete(table.N_SELECTED, failed), 1)
    assert f"warning: {8 - len(failed)} replicates ended with fewer than 2 active SNPs" in err


def test_paths_that_end_early_are_warned_of(small, tmp_path):
    arguments = ["--replicates", 4, "--n-active", 30, "--eps", 0.5, "--out", tmp_path / "P"]
    err = lmmlasso("stability", *small.base, *arguments)
    assert "warning: 4 replicates ended with fewer than 30 active SNPs; a smaller --eps" in err
    assert read(tmp_path / "P.replicates.tsv").N_SELECTED.max() < 30


def test_few_snps(small, tmp_path):
    """The default number of active SNPs is not more than there are."""
    (tmp_path / "snps").write_text("\n".join(small.variants["ID"][10:15]) + "\n")
    arguments = ["--extract", tmp_path / "snps", "--replicates", 2, "--out", tmp_path / "P"]
    err = lmmlasso("stability", *small.base, *arguments)
    assert read(tmp_path / "P.replicates.tsv").N_SELECTED.max() == 5
    assert read(tmp_path / "P.stability_path.tsv").N_ACTIVE.max() == 5
    assert "fewer than 20" not in err


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (
            ["--replicates", 7],
            2,
            "--replicates 7: pairs make an even number; give another, or --no",
        ),
        (["--replicates", "2:6"], 2, "--replicates A:B is for --partial"),
        (["--replicates", "0"], 2, "holds no replicate"),
        (["--replicates", "5:5", "--partial"], 2, "holds no replicate"),
        (["--replicates", "-2:5", "--partial"], 2, "holds no replicate"),
        (["--replicates", "few"], 2, "neither a number nor a range"),
        (["--replicates", "1:2:3"], 2, "neither a number nor a range"),
        (["--cutoff", 0.5], 2, "0.5"),
        (
            ["--fraction", 0.6],
            2,
            "--fraction 0.6: the halves of a pair have no individual in common",
        ),
        (["--fraction", 0.01], 3, "error: --fraction: expected at least 3 of 90 individuals"),
        (
            ["--covar", "c.tsv", "--fraction", 0.07],
            3,
            "error: --fraction: expected more individuals in a subsample than the 7 covariates",
        ),
        (
            ["--n-active", 151],
            3,
            "error: --n-active: expected an integer from 1 to the 148 SNPs that can be selected",
        ),
        (["--n-alphas", 1], 2, "--n-alphas 1: no SNP is active at the first alpha"),
        (["--alpha", 0.1, "--n-active", 3], 2, "--n-active changes nothing with --alpha"),
        (["--alpha", 0.1, "--max-false", 1], 2, "--max-false changes nothing with --alpha"),
        (["--alpha", 0.1, "--eps", 0.1], 2, "--eps changes nothing with --alpha"),
        (["--no-kinship", "--method", "ml"], 2, "--method changes nothing with --no-kinship"),
        (
            ["--max-false", 1, "--n-active", 3, "--cutoff", 0.8],
            2,
            "give two of --n-active, --cutoff and --max-false",
        ),
        (["--max-false", 1, "--partial"], 2, "--max-false needs the number of all replicates"),
        (["--max-false", 1, "--fraction", 0.4], 2, "--max-false needs --fraction 0.5"),
        (["--max-false", 1, "--no-pairs"], 2, "need --assumption none"),
    ],
)
def test_refused(small, tmp_path, flags, code, message):
    out = tmp_path / "P"
    flags = [small.folder / part if part == "c.tsv" else part for part in flags]
    err = lmmlasso("stability", *small.base, *flags, "--out", out, code=code)
    assert message in err
    assert ("SNPs in the fileset" in err) == (code == 3)
    assert "estimated" not in err  # that is before the kinship is computed
    assert results(out) == {}
