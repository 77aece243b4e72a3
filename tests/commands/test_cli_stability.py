"""The command line: stability selection, what is merged, what is resumed."""

import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import reference as ref
from cli_files import (
    STABILITY_COLUMNS,
    decode,
    interrupt,
    lmmlasso,
    log,
    n_records,
    process,
    read,
    results,
    run_json,
    write_table,
)
from numpy.testing import assert_allclose, assert_array_equal

import lmmlasso_fast as ll
from lmmlasso_fast import error_bounds
from lmmlasso_fast.cli.estimate import Refits, estimate_refits
from lmmlasso_fast.io.journal import Journal, read_journal
from lmmlasso_fast.io.kinship_files import save_kinship, write_grm
from lmmlasso_fast.kinship import Kinship

pytestmark = pytest.mark.promise("whole-files")

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")

#: What `whole` was asked for: groups of several SNPs, samples with different covariates.
OPTIONS = ["--n-active", 6, "--seed", 3, "--ld-r2", 0.1, "--ld-window", 9000, "--cutoff", 0.6]
N = 12


def select(small, out, *arguments, code=0):
    return lmmlasso(
        "stability", *small.base, *small.covar, *OPTIONS, *arguments, "--out", out, code=code
    )


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory):
    """One run of all replicates."""
    out = tmp_path_factory.mktemp("whole") / "P"
    select(small, out, "--replicates", N, "--threads", 1)
    return out


@pytest.fixture(scope="module")
def genotypes(small):
    return ll.read_plink(small.prefix)


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
        n_replicates=N,
        seed=3,
        covariates=np.column_stack(columns),
        ld_r2=0.1,
        ld_window=9000,
    )


@pytest.fixture
def files(small, tmp_path):
    """A copy of the inputs, to spoil, and a folder for results."""
    for name in ("g.bed", "g.bim", "g.fam", "y.tsv", "c.tsv", "two.tsv"):
        shutil.copy(small.folder / name, tmp_path)
    (tmp_path / "out").mkdir()
    return tmp_path


def inputs(files):
    return ["--bfile", files / "g", "--pheno", files / "y.tsv"]


def refused(command, *arguments, code=3):
    """Run a command that must fail; return its message."""
    err = lmmlasso(command, *arguments, code=code)
    [message] = [line for line in err.splitlines() if line.startswith(("error: ", "Error: "))]
    return message


def rows_of(small):
    return {name: j for j, name in enumerate(small.variants["ID"])}


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
            expected = error_bounds.expected_false(6, cutoff, 148, N, assumption)
            assert getattr(bounds, column)[k] == expected


def test_replicates(whole, found):
    table = read(f"{whole}.replicates.tsv")
    assert_array_equal(table.REPLICATE, np.arange(N))
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
    bound = error_bounds.expected_false(6, 0.6, 148, N)
    n_snps = read(f"{whole}.selected.tsv").n_rows
    assert f"cutoff 0.6: {n_snps} SNPs and " in text
    assert f"expected number of false SNPs at most {bound:.3g}" in text
    assert "replicates: 12 of 12" in text
    assert run_json(whole)["options"]["replicates"] == [0, N]
    assert run_json(whole)["warnings"] == []


def test_threads_and_repetition_do_not_change_a_byte(small, whole, tmp_path):
    for threads in (1, 2):
        select(small, tmp_path / f"P{threads}", "--replicates", N, "--threads", threads)
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


# --- partial files and merge ---------------------------------------------------------------------

RANGES = ("0:3", "3:4", "4:9", "9:12", "2:6")


@pytest.fixture(scope="module")
def parts(small, tmp_path_factory):
    """{range: partial file}, by uneven numbers of replicates, one of which overlaps others."""
    folder = tmp_path_factory.mktemp("parts")
    made = {}
    for replicates in RANGES:
        out = folder / replicates.replace(":", "-")
        err = select(small, out, "--replicates", replicates, "--partial", "--threads", 1)
        first, last = map(int, replicates.split(":"))
        assert f"replicates {first} to {last - 1} are in {out}.partial" in err
        made[replicates] = f"{out}.partial"
        # what does not depend on the replicates, and nothing that could be taken for a result
        assert set(results(out)) == {
            ".partial",
            ".null.json",
            ".excluded.tsv",
            ".duplicates.tsv",
        }
        assert n_records(made[replicates]) == last - first
    return made


@pytest.mark.parametrize(
    "order",
    [RANGES[:4], ("9:12", "0:3", "4:9", "3:4"), ("2:6", "9:12", "4:9", "0:3"), RANGES],
)
def test_merged_files_are_one_run(whole, parts, tmp_path, order):
    err = lmmlasso("merge", *(parts[name] for name in order), "--out", tmp_path / "M")
    assert f"12 replicates, 0 to 11, in {len(order)} files" in err
    assert results(tmp_path / "M") == results(whole)
    noted = [item["path"] for item in run_json(tmp_path / "M")["inputs"]]
    assert set(noted) > {parts[name] for name in order}
    assert all(item["sha256"] for item in run_json(tmp_path / "M")["inputs"])


def test_one_part_of_everything_and_the_same_twice(small, whole, tmp_path):
    select(small, tmp_path / "P", "--replicates", N, "--partial")
    lmmlasso("merge", *2 * [tmp_path / "P.partial"], "--threads", 1, "--out", tmp_path / "M")
    assert results(tmp_path / "M") == results(whole)


def test_parts_that_were_made_elsewhere(small, whole, tmp_path, monkeypatch):
    """In another folder with relative names, with other threads: nothing of it shows."""
    places = [tmp_path / name for name in ("one", "two", "three")]
    for place in places:
        place.mkdir()
    monkeypatch.chdir(small.folder)
    relative = ["--bfile", "g", "--pheno", "y.tsv", "--covar", "c.tsv", *OPTIONS, "--partial"]
    first = ["--replicates", "0:5", "--threads", 1, "--out", places[0] / "x"]
    lmmlasso("stability", *relative, *first)
    monkeypatch.chdir(places[1])
    for name in ("g.bed", "g.bim", "g.fam", "y.tsv", "c.tsv"):
        shutil.copy(small.folder / name, places[1] / f"renamed.{name}")
    renamed = [f"--{end}={places[1] / 'renamed.g'}.{end}" for end in ("bed", "bim", "fam")]
    renamed += ["--pheno", "renamed.y.tsv", "--covar", "renamed.c.tsv", *OPTIONS, "--partial"]
    last = ["--replicates", "5:12", "--threads", 2, "--out", "y"]
    lmmlasso("stability", *renamed, *last)
    files = [places[0] / "x.partial", places[1] / "y.partial"]
    monkeypatch.chdir(places[2])
    lmmlasso("merge", *files, "--out", "M")
    lmmlasso("merge", *files[::-1], "--out", "W")
    assert results(places[2] / "M") == results(places[2] / "W") == results(whole)


@pytest.mark.parametrize(
    ("order", "n_found", "absent"),
    [
        (("0:3", "3:4", "9:12"), 7, "4 to 8"),
        (("3:4", "4:9", "9:12"), 9, "0 to 2"),
        (("9:12",), 3, "0 to 8"),
        (("0:3", "4:9"), 8, "3"),
        (("3:4", "9:12"), 4, "0 to 2, 4 to 8"),
    ],
)
def test_missing_replicates_are_named(parts, tmp_path, order, n_found, absent):
    message = refused("merge", *(parts[name] for name in order), "--out", tmp_path / "M")
    n = max(int(name.split(":")[1]) for name in order)
    assert (
        f"merge: expected the replicates 0 to {n - 1} at least, found {n_found} of these {n}; "
        in (message)
    )
    assert f"; missing are {absent}: give the files with these too" in message
    assert results(tmp_path / "M") == {}


def test_a_part_that_was_interrupted_is_not_taken_for_all(small, whole, parts, tmp_path):
    """Replicates 0 to 9 would be a run of their own."""
    lines = Path(parts["9:12"]).read_bytes().splitlines(keepends=True)
    out = tmp_path / "P"
    for kept in (1, 2, 3):
        (tmp_path / "P.partial").write_bytes(b"".join(lines[:kept]) + lines[kept][:20])
        files = [*(parts[name] for name in RANGES[:3]), f"{out}.partial"]
        message = refused("merge", *files, "--out", tmp_path / "M")
        absent = "11" if kept == 3 else f"{8 + kept} to 11"
        assert f"missing are {absent}: give the files with these too, or end" in message
        assert "(--resume)" in message
    select(small, out, "--replicates", "9:12", "--partial", "--resume", "--threads", 1)
    assert (tmp_path / "P.partial").read_bytes() == Path(parts["9:12"]).read_bytes()
    lmmlasso("merge", *files, "--out", tmp_path / "M")
    assert results(tmp_path / "M") == results(whole)


def test_an_odd_number_of_replicates_is_not_merged(parts, tmp_path):
    message = refused("merge", parts["0:3"], "--out", tmp_path / "M")
    assert "merge: expected an even number of replicates, as they are pairs, found 3, 0 to 2" in (
        message
    )
    assert "; give the file with replicate 3 too" in message


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (["--seed", 4], "fingerprint.options.seed"),
        (["--n-active", 7], "fingerprint.replicates.n_active"),
        (["--fraction", 0.45], "fingerprint.options.fraction"),
        (["--method", "reml"], "fingerprint.options.method"),
        (["--covar-name", "age"], "fingerprint.options.covar_name"),
        (["--pheno", "two.tsv", "--pheno-name", "Y"], "fingerprint.inputs.pheno.size"),
        (["--pheno", "two.tsv", "--pheno-name", "Z"], "fingerprint.phenotype"),
        (["--bfile", "other"], "fingerprint.inputs.bed.sha256"),
        (["--keep", "some.txt"], "fingerprint.samples"),
        (["--cutoff", 0.9], "cutoff"),
        (["--ld-r2", 0.3], "ld_r2"),
        (["--ld-window", 5], "ld_window"),
        (["--assumption", "none"], "assumption"),
    ],
)
def test_parts_of_another_run(small, other, parts, tmp_path, change, field):
    names = ("two.tsv", "other", "some.txt")
    change = [small.folder / part if part in names else part for part in change]
    select(small, tmp_path / "P", "--replicates", "3:12", "--partial", *change)
    files = [parts["0:3"], tmp_path / "P.partial"]
    message = refused("merge", *files, "--out", tmp_path / "M")
    assert f"P.partial: not of the same run as {parts['0:3']}, field '{field}': " in message or (
        f"P.partial: asked for another report than {parts['0:3']}, field '{field}': " in message
    )
    assert re.search("expected .*, found .*; use the same input and options", message)
    assert results(tmp_path / "M") == {}


@pytest.mark.parametrize("name", ["g.bed", "g.bim", "g.fam", "y.tsv"])
def test_inputs_that_changed_since(files, name):
    """By something that the analysis itself would not notice."""
    arguments = [*inputs(files), "--replicates", 2, "--n-active", 3, "--partial"]
    lmmlasso("stability", *arguments, "--out", files / "P")
    content = bytearray((files / name).read_bytes())
    if name == "g.bed":
        content[2000] ^= 0b01000001
    elif name == "y.tsv":
        content = content.replace(b"\t", b" ")
    else:
        content = content.replace(b"\n", b" \n" if name == "g.fam" else b"\r\n")
    (files / name).write_bytes(content)
    message = refused("merge", files / "P.partial", "--out", files / "out" / "M")
    role = {"y.tsv": "pheno"}.get(name, name[2:])
    assert f"P.partial: its input, field 'inputs.{role}." in message
    assert results(files / "out" / "M") == {}


def test_inputs_that_are_gone(files):
    arguments = [*inputs(files), "--replicates", 2, "--n-active", 3, "--partial"]
    lmmlasso("stability", *arguments, "--out", files / "P")
    (files / "y.tsv").unlink()
    message = refused("merge", files / "P.partial", "--out", files / "out" / "M")
    assert "y.tsv" in message
    assert "No such file" in message


def test_damaged_parts(parts, tmp_path):
    content = bytearray(Path(parts["0:3"]).read_bytes())
    lines = content.splitlines(keepends=True)
    content[len(lines[0]) + len(lines[1]) // 2] ^= 1
    (tmp_path / "P.partial").write_bytes(content)
    files = [tmp_path / "P.partial", parts["3:4"]]
    message = refused("merge", *files, "--out", tmp_path / "M")
    assert "P.partial, line 2: a damaged line: expected its checksum" in message


def test_files_that_are_no_parts(small, parts, tmp_path):
    message = refused("merge", small.folder / "y.tsv", "--out", tmp_path / "M")
    assert "y.tsv, line 1: not a checkpoint or partial result: expected a header" in message
    message = refused("merge", parts["0:3"], f"{small.prefix}.bed", "--out", tmp_path / "M")
    assert "g.bed, line 1: not a checkpoint" in message
    message = refused("merge", tmp_path / "absent", "--out", tmp_path / "M")
    assert "absent: the file cannot be read: expected" in message
    (tmp_path / "empty").touch()
    message = refused("merge", tmp_path / "empty", "--out", tmp_path / "M")
    assert "empty: not a checkpoint or partial result: expected at least a header" in message
    assert "Missing argument" in lmmlasso("merge", "--out", tmp_path / "M", code=2)


def test_parts_of_another_command_or_version(parts, tmp_path):
    _, fingerprint, options, done = read_journal(parts["0:3"])
    for name, kind, version in (("cv", "cv", ll.__version__), ("new", "stability", "99")):
        with Journal.create(
            tmp_path / name, kind, fingerprint | {"version": version}, options
        ) as journal:
            for task, result in done.items():
                journal.append(task, result)
    message = refused("merge", tmp_path / "cv", "--out", tmp_path / "M")
    assert "cv: expected results of lmmlasso stability --partial, found a checkpoint of cv" in (
        message
    )
    message = refused("merge", tmp_path / "new", "--out", tmp_path / "M")
    assert "new: of another version, field 'version': expected" in message
    assert ', found "99"' in message


def test_column_names_that_are_lists_elsewhere(files):
    """A table's only column needs no --pheno-name, which would take its name apart."""
    text = (files / "y.tsv").read_text().replace("\tY\n", "\tY,Z{1:2}\n", 1)
    (files / "y.tsv").write_text(text)
    arguments = [*inputs(files), "--replicates", 2, "--n-active", 3]
    lmmlasso("stability", *arguments, "--partial", "--out", files / "P")
    lmmlasso("stability", *arguments, "--out", files / "out" / "W")
    lmmlasso("merge", files / "P.partial", "--out", files / "out" / "M")
    assert results(files / "out" / "M") == results(files / "out" / "W")


def test_parts_with_a_given_kinship_and_lists(small, other, tmp_path):
    """All files that can be named are looked for where they were, and are the same."""
    arguments = [*small.base, "--kinship", small.folder / "half.npz", "--n-active", 3]
    arguments += ["--keep", small.folder / "some.txt", "--extract", small.folder / "snps.txt"]
    lmmlasso("stability", *arguments, "--replicates", 4, "--out", tmp_path / "W")
    for name, replicates in (("a", "0:2"), ("b", "2:4")):
        part = ["--replicates", replicates, "--partial", "--out", tmp_path / name]
        lmmlasso("stability", *arguments, *part)
    files = [tmp_path / "a.partial", tmp_path / "b.partial"]
    lmmlasso("merge", *files, "--out", tmp_path / "M")
    assert results(tmp_path / "M") == results(tmp_path / "W")


def test_parts_of_the_phenotype_of_the_fam(small, other, tmp_path):
    """There are no names then, and the files of the fileset have none in common."""
    ends = {end: f"{small.prefix}.{end}" for end in ("bed", "bim")}
    ends["fam"] = small.folder / "y.fam"
    arguments = [f"--{end}={path}" for end, path in ends.items()]
    arguments += ["--n-active", 3, "--replicates", 2]
    lmmlasso("stability", *arguments, "--out", tmp_path / "W")
    lmmlasso("stability", *arguments, "--partial", "--out", tmp_path / "P")
    lmmlasso("merge", tmp_path / "P.partial", "--out", tmp_path / "M")
    assert results(tmp_path / "M") == results(tmp_path / "W")


# --- checkpoints ---------------------------------------------------------------------------------


@pytest.fixture
def begun(files, monkeypatch):
    """Arguments of a run that ended after 3 of its 8 replicates, and what it would have written."""
    arguments = [*inputs(files), "--n-active", 4, "--replicates", 8]
    lmmlasso("stability", *arguments, "--out", files / "out" / "W")
    arguments += ["--out", files / "out" / "P"]
    with monkeypatch.context() as context:
        interrupt(context, "stability", after=3)
        err = lmmlasso("stability", *arguments, code=130)
    kept = f"{files / 'out' / 'P'}.stability.checkpoint is kept"
    assert f"error: interrupted; {kept}, and the same command with --resume goes on from it" in err
    assert run_json(files / "out" / "P")["exit"] == {"code": 130, "state": "interrupted"}
    assert set(results(files / "out" / "P")) == {".stability.checkpoint"}
    assert n_records(files / "out" / "P.stability.checkpoint") == 3
    return arguments, results(files / "out" / "W")


def test_resume_does_what_was_left(files, begun, monkeypatch):
    arguments, expected = begun
    module = sys.modules["lmmlasso_fast.cli.stability"]
    run, asked = module.run_replicates, []
    monkeypatch.setattr(
        module, "run_replicates", lambda plan, tasks, n: asked.append(tasks) or run(plan, tasks, n)
    )
    done = set(read_journal(files / "out" / "P.stability.checkpoint")[3])
    err = lmmlasso("stability", *arguments, "--resume")
    assert asked == [sorted(set(range(8)) - done)]
    assert "resumed: 3 of 8 replicates were done before" in err
    assert results(files / "out" / "P") == expected  # no checkpoint any more


def test_resume_again_and_again(files, begun, monkeypatch):
    arguments, expected = begun
    for done in (4, 5, 6, 7, 8):
        with monkeypatch.context() as context:
            interrupt(context, "stability", after=1)
            lmmlasso("stability", *arguments, "--resume", code=130 if done < 8 else 0)
        if done < 8:
            assert n_records(files / "out" / "P.stability.checkpoint") == done
    assert results(files / "out" / "P") == expected


def test_resume_without_a_checkpoint(files, begun):
    arguments, expected = begun
    (files / "out" / "P.stability.checkpoint").unlink()
    err = lmmlasso("stability", *arguments, "--resume")
    assert "resumed" not in err
    assert results(files / "out" / "P") == expected
    lmmlasso("stability", *arguments, "--resume")  # after it has ended
    assert results(files / "out" / "P") == expected


def test_without_resume_a_checkpoint_is_replaced(files, begun):
    arguments, expected = begun
    err = lmmlasso("stability", *arguments)
    assert "resumed" not in err
    assert results(files / "out" / "P") == expected
    (files / "out" / "P.stability.checkpoint").write_text("of something else")
    lmmlasso("stability", *arguments)
    assert results(files / "out" / "P") == expected


def test_resume_does_not_write_over_another_file(files, begun):
    arguments, _ = begun
    (files / "out" / "P.stability.checkpoint").write_text("of something else")
    message = refused("stability", *arguments, "--resume")
    assert "P.stability.checkpoint, line 1: not a checkpoint or partial result" in message
    assert (files / "out" / "P.stability.checkpoint").read_text() == "of something else"


@pytest.mark.parametrize("flags", [["--threads", 1], ["--cutoff", 1], ["--replicates", 6]])
def test_what_may_be_different_when_resumed(files, begun, flags):
    arguments, _ = begun
    lmmlasso("stability", *arguments, *flags, "--resume")
    lmmlasso("stability", *arguments, *flags, "--out", files / "out" / "W")
    assert results(files / "out" / "P") == results(files / "out" / "W")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (["--seed", 1], "options.seed"),
        (["--eps", 0.02], "options.eps"),
        (["--maf", 0.01], "options.maf"),
        (["--penalty-factors", "whitened"], "options.penalty_factors"),
        (["--no-pairs"], "options.no_pairs"),
        (["--n-active", 5], "replicates.n_active"),
        (["--alpha", 0.1], "options.alphas"),
        (["--pheno", "two.tsv", "--pheno-name", "Y"], "inputs.pheno.size"),
        (["--covar", "c.tsv"], "inputs.covar"),
        (["--keep", "ids"], "inputs.keep"),
    ],
)
def test_resume_refuses_another_run(files, small, begun, change, field):
    arguments, _ = begun
    small.samples.select("FID", "IID").write_csv(files / "ids", separator="\t")
    before = (files / "out" / "P.stability.checkpoint").read_bytes()
    if "--alpha" in change:
        arguments = [*arguments[:4], "--replicates", 8, "--out", files / "out" / "P"]
    names = ("two.tsv", "c.tsv", "ids")
    change = [files / part if part in names else part for part in change]
    message = refused("stability", *arguments, *change, "--resume")
    assert f"P.stability.checkpoint: the checkpoint of another run, field '{field}" in message
    assert re.search("expected .*, found .*; use the same input and options", message)
    assert (files / "out" / "P.stability.checkpoint").read_bytes() == before


def test_resume_refuses_changed_inputs(files, begun):
    arguments, _ = begun
    text = (files / "y.tsv").read_text()
    digit = text[-3]
    (files / "y.tsv").write_text(f"{text[:-3]}{(int(digit) + 1) % 10}{text[-2:]}")
    message = refused("stability", *arguments, "--resume")
    assert "the checkpoint of another run, field 'inputs.pheno.sha256': expected" in message


@pytest.mark.parametrize("flag", ["--kinship", "--grm"])
def test_resume_refuses_another_kinship(files, small, other, monkeypatch, flag):
    for name in ("half.npz", "half.grm.bin", "half.grm.id", "half.grm.N.bin"):
        shutil.copy(small.folder / name, files)
    given = [flag, files / ("half.npz" if flag == "--kinship" else "half")]
    arguments = [*inputs(files), *given, "--n-active", 3, "--replicates", 4]
    arguments += ["--out", files / "out" / "P"]
    with monkeypatch.context() as context:
        interrupt(context, "stability", after=1)
        lmmlasso("stability", *arguments, code=130)
    K = Kinship.from_matrix(small.kinship.matrix, samples=small.kinship.samples)
    save_kinship(K, files / "half.npz")
    write_grm(K, files / "half")
    message = refused("stability", *arguments, "--resume")
    assert "the checkpoint of another run, field 'inputs.kinship.0." in message
    assert "resumed" not in lmmlasso("stability", *arguments)


def test_files_count_by_what_they_are_for(files, monkeypatch):
    """Not by their name: the halves of a list, or two tables of one name, are not the same."""
    text = (files / "g.bim").read_text().splitlines()
    (files / "half").write_text("\n".join(line.split("\t")[1] for line in text[::2]) + "\n")
    base = [*inputs(files), "--n-active", 3, "--replicates", 4, "--out", files / "out" / "P"]
    with monkeypatch.context() as context:
        interrupt(context, "stability", after=1)
        lmmlasso("stability", *base, "--extract", files / "half", code=130)
    message = refused("stability", *base, "--exclude", files / "half", "--resume")
    assert "field 'inputs.exclude': expected " in message
    assert "found no such field" in message

    (files / "more").mkdir()
    shutil.copy(files / "c.tsv", files / "more" / "y.tsv")
    base += ["--covar", files / "more" / "y.tsv"]
    with monkeypatch.context() as context:
        interrupt(context, "stability", after=1)
        lmmlasso("stability", *base, code=130)
    for name, role in ((files / "y.tsv", "pheno"), (files / "more" / "y.tsv", "covar")):
        before = name.read_text()
        name.write_text(before.replace("\n", "\n\n", 1))
        message = refused("stability", *base, "--resume")
        assert f"field 'inputs.{role}.size': expected " in message
        name.write_text(before)
    lmmlasso("stability", *base, "--resume")


def test_resume_with_files_that_were_moved(files, begun):
    arguments, expected = begun
    (files / "moved").mkdir()
    for name in ("g.bed", "g.bim", "g.fam", "y.tsv"):
        (files / name).rename(files / "moved" / name.replace("g.", "h."))
    moved = ["--bfile", files / "moved" / "h", "--pheno", files / "moved" / "y.tsv"]
    err = lmmlasso("stability", *moved, *arguments[4:], "--resume")
    assert "resumed: 3 of 8" in err
    assert results(files / "out" / "P") == expected


def test_a_full_disk_keeps_what_was_done(files, begun, monkeypatch):
    arguments, expected = begun
    from lmmlasso_fast.errors import OutputError

    def full(*_):
        raise OutputError("P.selected.tsv: cannot be written: no space")

    with monkeypatch.context() as context:
        context.setattr(sys.modules["lmmlasso_fast.cli.stability"], "write_table", full)
        lmmlasso("stability", *arguments, "--resume", code=5)
    assert set(results(files / "out" / "P")) == {".stability.checkpoint"}
    assert n_records(files / "out" / "P.stability.checkpoint") == 8
    assert "resumed: 8 of 8" in lmmlasso("stability", *arguments, "--resume")
    assert results(files / "out" / "P") == expected


@pytest.mark.parametrize("command", ["stability", "cv"])
def test_memory_counts_those_at_work(small, tmp_path, monkeypatch, command):
    """Of what runs at a time, each task has matrices of its own."""
    found = {}
    for workers in (1, 3, 1000):
        monkeypatch.setattr(
            sys.modules["lmmlasso_fast.cli.recording"], "as_n_jobs", lambda _, n=workers: n
        )
        flags = {"stability": ["--replicates", 600], "cv": ["--folds", 60, "--repeats", 10]}[
            command
        ]
        with monkeypatch.context() as context:
            interrupt(context, command, after=0)
            err = lmmlasso(command, *small.base, *flags, "--out", tmp_path / "P", code=130)
        [first, tasks] = re.findall(r"estimated: (.*)\n", err)
        found[workers] = int(re.search(r"and (\d+) MB of memory", first)[1])
        assert " for 600 " in tasks
    share = {"stability": 0.5, "cv": 59 / 60}[command]
    matrices = 8e-6 * 6 * (share * 90) ** 2  # a few of the size of the part
    assert found[1] < found[3] <= found[1] + 20
    assert found[1000] - found[1] > 599 * matrices  # no more at a time than there are tasks
    assert found[1000] - found[1] < 599 * 4 * matrices


def test_estimates_of_memory():
    """As measured, and a little more: megabytes at the peak, with one worker and with two."""
    for n, p, refits, one, two in (
        (1400, 11_000, Refits(8, 0.5, 20), 174, 197),
        (1400, 11_000, Refits(4, 0.75), 228, 302),
        (3000, 20_000, Refits(8, 0.5, 20), 353, 436),
        (3000, 20_000, Refits(8, 0.5, 300), 380, 473),
        (3000, 20_000, Refits(4, 0.75), 661, 969),
        (300, 400_000, Refits(8, 0.5, 20), 280, 378),
        (300, 400_000, Refits(4, 0.75), 314, 427),
    ):
        for workers, measured in ((1, one), (2, two)):
            found = estimate_refits(n, p, refits, workers=workers)
            assert measured < found < 1.5 * measured


# --- signals -------------------------------------------------------------------------------------

#: Arguments that take two seconds on a machine with nothing else to do, and their tasks.
LONG = {
    "stability": (["--replicates", 200], 200),
    "cv": (["--folds", 40, "--repeats", 2, "--n-alphas", 60], 80),
}


def wait_for(child, checkpoint, n):
    """Wait until a run has so many tasks in its checkpoint, or has ended."""
    while child.poll() is None and n_records(checkpoint) < n:
        time.sleep(0.002)


@posix
@pytest.mark.parametrize("command", LONG)
def test_killed_at_random_moments(small, tmp_path, command):
    """kill -9 leaves nothing half-written, and in the end there are the bytes of one run.

    LMMLASSO_KILLS is the number of kills.
    """
    flags, n_tasks = LONG[command]
    lmmlasso(command, *small.base, *flags, "--threads", 1, "--out", tmp_path / "W")
    expected = results(tmp_path / "W")
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / "P"
    suffix = f".{command}.checkpoint"
    checkpoint = tmp_path / "out" / f"P{suffix}"
    n_kills = int(os.environ.get("LMMLASSO_KILLS", 3))
    rng = np.random.default_rng([n_kills, len(command)])
    killed = 0
    for k in range(n_kills):
        child = process(command, *small.base, *flags, "--resume", "--out", out)
        before = n_records(checkpoint)
        if k % 4 == 3:  # while it begins, too
            time.sleep(rng.uniform(0, 1))
        else:  # about an even share of what is left, and a little further
            share = rng.uniform() * 2 / (n_kills - k + 1)
            wait_for(child, checkpoint, before + share * (n_tasks - before))
            time.sleep(rng.uniform(0, 0.02))
        child.send_signal(signal.SIGKILL)
        _, err = child.communicate()
        assert child.returncode in (0, -signal.SIGKILL), err
        killed += child.returncode != 0
        found = results(out)
        assert found.keys() <= {suffix} or {**found, **expected} == found
        if suffix in found:
            assert n_records(checkpoint) >= before
    assert killed > 0
    lmmlasso(command, *small.base, *flags, "--resume", "--out", out)
    assert results(out) == expected
    if sys.platform == "linux":  # elsewhere it is not known who wrote a file that is left
        assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.promise("interrupts")
@posix
@pytest.mark.parametrize(
    ("number", "code", "state"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_signals_keep_the_checkpoint(small, tmp_path, number, code, state):
    flags = ["--replicates", 20_000, "--n-active", 2]
    child = process("stability", *small.base, *flags, "--out", tmp_path / "P")
    wait_for(child, tmp_path / "P.stability.checkpoint", 5)
    child.send_signal(number)
    _, err = child.communicate(timeout=10)
    assert child.returncode == code, err
    assert f"error: {state}; {tmp_path / 'P'}.stability.checkpoint is kept" in err
    assert "Traceback" not in err
    assert set(results(tmp_path / "P")) == {".stability.checkpoint"}
    assert json.loads((tmp_path / "P.run.json").read_text())["exit"]["state"] == state
    n = n_records(tmp_path / "P.stability.checkpoint")
    assert 4 <= n < 20_000  # of 5: one that is being written when the signal comes is cut off
    # nothing is torn, and a run of fewer replicates goes on with it
    fewer = ["--replicates", n + n % 2 + 2, "--n-active", 2]
    err = lmmlasso("stability", *small.base, *fewer, "--resume", "--out", tmp_path / "P")
    assert "resumed: " in err
    lmmlasso("stability", *small.base, *fewer, "--out", tmp_path / "W")
    assert results(tmp_path / "P") == results(tmp_path / "W")


@posix
def test_the_checkpoint_of_another_run_stays(files, monkeypatch):
    """Which began after this one, under the same name."""
    checkpoint = files / "out" / "P.stability.checkpoint"
    module = sys.modules["lmmlasso_fast.cli.stability"]
    run = module.run_replicates

    def overtaken(*arguments):
        with Journal.create(checkpoint, "stability", {"of": "another run"}, {}) as journal:
            journal.append(0, {})
        return run(*arguments)

    monkeypatch.setattr(module, "run_replicates", overtaken)
    arguments = [*inputs(files), "--n-active", 3, "--replicates", 4]
    lmmlasso("stability", *arguments, "--out", files / "out" / "P")
    assert read_journal(checkpoint)[3] == {0: {}}
    assert ".stability.tsv" in results(files / "out" / "P")


def test_partial_results_are_not_replaced_without_a_word(small, tmp_path):
    arguments = [*small.base, "--partial", "--n-active", 3, "--out", tmp_path / "P"]
    lmmlasso("stability", *arguments, "--replicates", "0:4")
    before = (tmp_path / "P.partial").read_bytes()
    message = lmmlasso("stability", *arguments, "--replicates", "4:6", code=3)
    assert "found one with 4 finished replicates; add --resume" in message
    assert (tmp_path / "P.partial").read_bytes() == before
