"""The command line: several phenotypes in one call, and the kinship that they may share."""

import sys
from importlib import import_module

import numpy as np
import polars as pl
import pytest
from cli_files import (
    ids_of,
    interrupt,
    lmmlasso,
    log,
    n_records,
    null_of,
    read,
    results,
    run_json,
    write_table,
)
from numpy.testing import assert_allclose

import lmmlasso_fast as ll
from lmmlasso_fast.io.plink_write import write_plink

pytestmark = pytest.mark.promise("same-bytes")

NAMES = ("A", "B", "C", "D")
COMMANDS = {
    "null": [],
    "fit": ["--n-alphas", 20, "--mfdr", "--fwer", 0.5, "--n-draws", 50],
    "cv": ["--folds", 3, "--n-alphas", 20],
    "stability": ["--replicates", 4, "--n-active", 4],
}


def phenotypes_of(small):
    """A and C lack the same samples, B others, D none."""
    rng = np.random.default_rng(2)
    lacking = {"A": (3, 40, 41), "B": range(0, 90, 9), "C": (3, 40, 41), "D": ()}
    columns = {}
    for name in NAMES:
        y = small.y + rng.standard_normal(90)
        columns[name] = [None if i in lacking[name] else value for i, value in enumerate(y)]
    return columns


@pytest.fixture(scope="module")
def base(small, tmp_path_factory):
    """Flags of the fileset with four phenotypes and covariates, one of which a sample lacks."""
    folder = tmp_path_factory.mktemp("phenotypes")
    pheno = write_table(folder / "y.tsv", **ids_of(small), **phenotypes_of(small))
    table = pl.read_csv(small.folder / "c.tsv", separator="\t")
    table = table.with_columns(
        pl.when(pl.int_range(90) == 50).then(None).otherwise("age").alias("age")
    )
    table.write_csv(folder / "c.tsv", separator="\t", null_value="NA")
    return ["--bfile", small.prefix, "--pheno", pheno, "--covar", folder / "c.tsv"]


def of_phenotype(found, name):
    return {
        suffix.removeprefix(f".{name}"): content
        for suffix, content in found.items()
        if suffix.startswith(f".{name}.")
    }


# --- the same as single runs ---------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("shared", [[], ["--kinship-samples", "all", "--collapse-duplicates"]])
def test_results_are_those_of_single_runs(base, tmp_path, command, shared):
    arguments = [*base, *COMMANDS[command], *shared]
    err = lmmlasso(command, *arguments, "--pheno-name", "A,B,C,D", "--out", tmp_path / "P")
    together = results(tmp_path / "P")
    n_files = 0
    for name in NAMES:
        lmmlasso(command, *arguments, "--pheno-name", name, "--out", tmp_path / name)
        expected = results(tmp_path / name)
        assert of_phenotype(together, name) == expected
        assert f"phenotype {name}: files {tmp_path / 'P'}.{name}.*" in err
        n_files += len(expected)
    assert len(together) == n_files
    assert len({content for s, content in together.items() if s.endswith(".null.json")}) == 4


def test_one_phenotype_has_no_name_in_its_files(base, tmp_path):
    for name, out in (("A", "P"), ("A,A", "Q")):
        lmmlasso("null", *base, "--pheno-name", name, "--out", tmp_path / out)
    assert set(results(tmp_path / "P")) == {".null.json", ".excluded.tsv", ".duplicates.tsv"}
    assert results(tmp_path / "Q") == results(tmp_path / "P")


def test_ranges_of_names(small, tmp_path):
    columns = dict(zip(("Y1", "Y2", "Y10"), list(phenotypes_of(small).values())[:3], strict=True))
    pheno = write_table(tmp_path / "y.tsv", **ids_of(small), **columns)
    base = ["--bfile", small.prefix, "--pheno", pheno]
    lmmlasso("null", *base, "--pheno-name", "Y{1:2},Y10", "--out", tmp_path / "P")
    assert {f".{name}.null.json" for name in columns} <= set(results(tmp_path / "P"))


def test_what_is_recorded(base, tmp_path):
    lmmlasso("null", *base, "--pheno-name", "A,B", "--out", tmp_path / "P")
    counts = run_json(tmp_path / "P")["counts"]["phenotypes"]
    assert {name: counts[name]["samples"] for name in counts} == {"A": 86, "B": 79}
    assert counts["A"]["excluded"]
    assert run_json(tmp_path / "P")["blas_threads"] == 1
    text = log(tmp_path / "P")
    assert "phenotype A: 87 samples have it, 3 do not and are dropped" in text
    assert "phenotype B: 80 samples have it, 10 do not and are dropped" in text
    assert text.count("covariates: 1 more samples dropped, which lack one") == 2
    assert len(run_json(tmp_path / "P")["inputs"]) == 5


# --- one kinship and decomposition for the same samples ------------------------------------------


def test_recorded_threads_are_of_the_largest_number_of_samples(base, tmp_path, monkeypatch):
    run = import_module("lmmlasso_fast.cli.recording")
    monkeypatch.setattr(run, "blas_threads_for", lambda n_samples, n_threads: n_samples)
    for names, n_samples in (("A,B", 86), ("B,A", 86), ("B", 79)):
        lmmlasso("null", *base, "--pheno-name", names, "--out", tmp_path / "P")
        assert run_json(tmp_path / "P")["blas_threads"] == n_samples


@pytest.fixture
def calls(monkeypatch):
    """Calls of the functions that are to be called once per set of samples."""
    counts = {"kinship": 0, "decompose": 0, "tridiagonalise": 0}

    def counted(module, name, key):
        function = getattr(sys.modules[module], name)

        def count(*arguments, **options):
            counts[key] += 1
            return function(*arguments, **options)

        monkeypatch.setattr(sys.modules[module], name, count)

    counted("lmmlasso_fast.cli.analysed", "compute_kinship", "kinship")
    counted("lmmlasso_fast.kinship", "decompose", "decompose")
    counted("lmmlasso_fast.kinship", "tridiagonalise", "tridiagonalise")
    return counts


@pytest.mark.parametrize("command", ["null", "fit"])
def test_one_decomposition_per_set_of_samples(base, tmp_path, calls, command):
    arguments = [*base, *COMMANDS[command], "--pheno-name"]
    lmmlasso(command, *arguments, "A,B,C,D", "--out", tmp_path / "P")
    assert calls == {"kinship": 3, "decompose": 3, "tridiagonalise": 0}
    lmmlasso(command, *arguments, "C,A", "--out", tmp_path / "Q")
    assert calls == {"kinship": 4, "decompose": 4, "tridiagonalise": 0}


@pytest.mark.parametrize("command", ["null", "fit"])
def test_one_tridiagonal_form_per_set_of_samples(base, tmp_path, calls, tridiagonal_form, command):
    arguments = [*base, *COMMANDS[command], "--pheno-name", "A,B,C,D", "--out", tmp_path / "P"]
    lmmlasso(command, *arguments)
    assert calls["kinship"] == calls["tridiagonalise"] == 3


def test_covariates_decide_about_the_samples_too(small, base, tmp_path, calls):
    """Phenotypes that differ where a covariate is missing have the same samples."""
    y = [None if i == 50 else value for i, value in enumerate(small.y)]
    pheno = write_table(tmp_path / "y.tsv", **ids_of(small), A=y, B=small.y)
    arguments = [*base[:3], pheno, *base[4:], "--pheno-name", "A,B"]
    lmmlasso("null", *arguments, "--out", tmp_path / "P")
    assert calls["kinship"] == calls["decompose"] == 1
    found = results(tmp_path / "P")
    assert found[".A.null.json"] == found[".B.null.json"]


def test_a_shared_kinship_is_computed_once(base, tmp_path, calls):
    shared = ["--kinship-samples", "all", "--pheno-name", "A,B,C,D", "--out", tmp_path / "P"]
    err = lmmlasso("null", *base, *shared)
    assert calls["kinship"] == 1
    assert calls["decompose"] == 3  # its parts differ
    assert err.count("kinship of all 90 samples, from the SNPs offered to these") == 1


# --- --kinship-samples all -----------------------------------------------------------------------


@pytest.mark.parametrize("keep", [False, True])
def test_shared_kinship_is_a_part_of_that_of_all(small, other, base, tmp_path, keep):
    """Of all samples that --keep leaves: rows and columns of the analysed ones, rescaled."""
    flags = ["--keep", small.folder / "some.txt"] if keep else []
    arguments = ["--bfile", small.prefix, "--pheno", base[3], *flags, "--kinship-samples", "all"]
    lmmlasso("null", *arguments, "--pheno-name", "A,B", "--out", tmp_path / "P")
    n = 60 if keep else 90
    genotypes = ll.read_plink(small.prefix).subset(np.arange(n))
    K = ll.kinship(genotypes)
    for name in ("A", "B"):
        y = np.array(phenotypes_of(small)[name], dtype=float)[:n]
        there = np.flatnonzero(~np.isnan(y))
        part = K.subset(there)
        assert_allclose(np.mean(np.diag(part.matrix)), 1)
        null = ll.fit_null(y[there], part)
        found = null_of(tmp_path / f"P.{name}")
        assert found["kinship"] == {
            "estimator": "rrm",
            "samples": "all",
            "n_variants": K.n_variants,
            "scale": part.scale,
        }
        assert found["log_delta"] == null.log_delta
        assert found["log_likelihood"] == null.log_likelihood
        assert found["n_samples"] == len(there)


def test_the_source_of_the_kinship_is_recorded(small, other, tmp_path):
    for flags, expected in (
        ([], "analysed"),
        (["--kinship-samples", "analysed"], "analysed"),
        (["--kinship-samples", "all"], "all"),
        (["--kinship", small.folder / "half.npz"], "given"),
        (["--grm", small.folder / "half"], "given"),
    ):
        lmmlasso("null", *small.base, *flags, "--out", tmp_path / "P")
        assert null_of(tmp_path / "P")["kinship"]["samples"] == expected


@pytest.mark.parametrize("flags", [[], ["--collapse-duplicates"], ["--maf", 0.1]])
def test_of_phenotypes_without_gaps_all_are_the_analysed_samples(small, tmp_path, flags):
    arguments = ["fit", *small.base, *flags]
    lmmlasso(*arguments, "--kinship-samples", "all", "--out", tmp_path / "P")
    lmmlasso(*arguments, "--out", tmp_path / "Q")
    all_samples, analysed = null_of(tmp_path / "P"), null_of(tmp_path / "Q")
    assert all_samples["kinship"].pop("samples") == "all"
    assert analysed["kinship"].pop("samples") == "analysed"
    assert_allclose(all_samples["kinship"].pop("scale"), analysed["kinship"].pop("scale"))
    assert all_samples["kinship"] == analysed["kinship"]
    assert_allclose(all_samples["log_delta"], analysed["log_delta"], atol=1e-6)
    one, two = (read(tmp_path / f"{name}.pred.tsv") for name in "PQ")
    assert_allclose(one.PRED, two.PRED, rtol=1e-5)


def test_models_of_a_shared_kinship_ask_for_that_of_new_samples(small, base, tmp_path):
    """It is not X X' / p of the analysed samples."""
    arguments = ["--bfile", small.prefix, "--pheno", base[3], "--kinship-samples", "all"]
    lmmlasso("fit", *arguments, "--pheno-name", "A,B", "--out", tmp_path / "P")
    for name in ("A", "B"):
        model = ["--model", tmp_path / f"P.{name}.model.npz", "--bfile", small.prefix]
        err = lmmlasso("predict", *model, "--out", tmp_path / "Q", code=3)
        assert "--kinship" in err
        given = ["--kinship", f"{small.kin}.kinship.npz"]
        lmmlasso("predict", *model, *given, "--out", tmp_path / "Q")
        trained, again = read(tmp_path / f"P.{name}.pred.tsv"), read(tmp_path / "Q.pred.tsv")
        rows = np.isin(again.IID, trained.IID)
        assert_allclose(again.PRED[rows], trained.PRED, rtol=1e-9)


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("null", ["--kinship", "half.npz"], "changes nothing with --kinship or --grm"),
        ("fit", ["--grm", "half"], "changes nothing with --kinship or --grm"),
        ("fit", ["--no-kinship"], "--kinship-samples changes nothing with --no-kinship"),
        ("cv", ["--no-kinship"], "--kinship-samples changes nothing with --no-kinship"),
        ("stability", ["--no-kinship"], "--kinship-samples changes nothing with --no-kinship"),
    ],
)
def test_shared_kinship_is_refused(small, other, tmp_path, command, flags, message):
    flags = [small.folder / part if part.startswith("half") else part for part in flags]
    arguments = [*small.base, "--kinship-samples", "all", *flags, "--out", tmp_path / "P"]
    err = lmmlasso(command, *arguments, code=2)
    assert message in err
    assert "SNPs in the fileset" not in err


def test_samples_that_mind_drops_among_all_but_not_among_these(small, tmp_path):
    """A SNP that is monomorphic among the analysed samples does not count for --mind there."""
    dosages = np.array(small.dosages)
    dosages[dosages < 0] = 0
    dosages[:80, 100:130] = 0  # vary among the last ten samples alone
    dosages[80:, 100:130] = np.arange(10)[:, None] % 3
    dosages[7, 100:130] = -1
    write_plink(tmp_path / "g", dosages, small.samples, small.variants)
    y = [None if i >= 80 else value for i, value in enumerate(small.y)]
    pheno = write_table(tmp_path / "y.tsv", **ids_of(small), Y=y)
    arguments = ["--bfile", tmp_path / "g", "--pheno", pheno, "--mind", 0.1]
    lmmlasso("null", *arguments, "--out", tmp_path / "P")
    assert null_of(tmp_path / "P")["n_samples"] == 80
    shared = ["--kinship-samples", "all", "--out", tmp_path / "Q"]
    err = lmmlasso("null", *arguments, *shared, code=3)
    first = " ".join(small.samples.select("FID", "IID").row(7))
    assert "--kinship-samples all: expected all 80 analysed samples, found 79; the first" in err
    assert f"without is {first}; drop these with --remove" in err


def test_shared_kinship_with_samples_that_mind_drops(small, tmp_path):
    """Sample 5 lacks a third of its genotypes."""
    arguments = ["--bfile", small.prefix, "--pheno", small.folder / "two.tsv", "--pheno-name", "Z"]
    arguments += ["--mind", 0.25, "--kinship-samples", "all", "--out", tmp_path / "P"]
    lmmlasso("null", *arguments)
    kept = np.delete(np.arange(90), 5)
    K = ll.kinship(ll.read_plink(small.prefix).subset(kept))
    there = np.flatnonzero(kept % 9 != 0)
    assert_allclose(null_of(tmp_path / "P")["kinship"]["scale"], K.subset(there).scale)
    null = ll.fit_null((small.y**2)[kept[there]], K.subset(there))
    assert null_of(tmp_path / "P")["log_delta"] == null.log_delta


# --- names ---------------------------------------------------------------------------------------


HOSTILE = {
    "../x": "_x",
    "/etc/passwd": "_etc_passwd",
    "a b": "a_b",
    ".hidden": "hidden",
    "...": "_",
    "=cmd()": "_cmd__",
    "\x1b[31mred": "__31mred",
    "Größe": "Gr__e",
    "<script>": "_script_",
    "C:\\x": "C__x",
    "-rf": "-rf",
}


def test_hostile_names(small, tmp_path):
    columns = {name: small.y + k for k, name in enumerate(HOSTILE)}
    pheno = write_table(tmp_path / "y.tsv", **ids_of(small), **columns)
    text = pheno.read_text().replace('"', "")
    pheno.write_text(text)
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / "P"
    base = ["--bfile", small.prefix, "--pheno", pheno, f"--pheno-name={','.join(HOSTILE)}"]
    err = lmmlasso("null", *base, "--out", out)
    names = {f".{name}.null.json" for name in HOSTILE.values()}
    assert names == {name for name in results(out) if name.endswith(".null.json")}
    assert {path.parent for path in tmp_path.rglob("*.null.json")} == {tmp_path / "out"}
    assert "\x1b" not in err + log(out)
    for k, name in enumerate(HOSTILE.values()):  # each has its own
        covariates = null_of(f"{out}.{name}")["covariates"]
        assert_allclose(
            covariates["intercept"] - k, null_of(f"{out}._x")["covariates"]["intercept"]
        )


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("a b", "a_b"), "a b, a_b: expected names that make different file names, found 'a_b'"),
        (("a", "B", "A"), "a, A: expected names that make different file names, found 'a' for all"),
        (("../x", "/x"), "../x, /x: expected names that"),
    ],
)
def test_names_that_are_one_file_name(small, tmp_path, names, found):
    pheno = write_table(tmp_path / "y.tsv", **ids_of(small), **dict.fromkeys(names, small.y))
    base = ["--bfile", small.prefix, "--pheno", pheno, "--pheno-name", ",".join(names)]
    err = lmmlasso("fit", *base, "--out", tmp_path / "P", code=3)
    assert found in err
    assert "; rename the columns" in err
    assert results(tmp_path / "P") == {}
    lmmlasso("null", *base[:-1], names[0], "--out", tmp_path / "P")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("", "expected"),
        ("A,,B", "expected"),
        ("A,absent", "no column 'absent': expected one of "),
        (None, "expected one phenotype, found 4 (A, B, C, D); choose one with --pheno-name, or"),
    ],
)
def test_names_that_are_none(base, tmp_path, names, message):
    flags = [] if names is None else ["--pheno-name", names]
    err = lmmlasso("null", *base, *flags, "--out", tmp_path / "P", code=3)
    assert message in err
    assert results(tmp_path / "P") == {}


def test_bad_phenotypes_are_named(small, tmp_path):
    columns = {"A": small.y, "B": [1.0] * 90, "C": [None] * 90, "E": [str(v) for v in small.y]}
    columns["E"][4] = "tall"
    pheno = write_table(tmp_path / "y.tsv", **ids_of(small), **columns)
    base = ["null", "--bfile", small.prefix, "--pheno", pheno, "--out", tmp_path / "P"]
    err = lmmlasso(*base, "--pheno-name", "A,B", code=3)
    assert f"error: phenotype B of {pheno}: phenotype: expected at least two distinct" in err
    err = lmmlasso(*base, "--pheno-name", "A,C", code=3)
    assert "error: phenotype C: no sample of the fileset is left with phenotype and" in err
    err = lmmlasso(*base, "--pheno-name", "A,E", code=3)
    assert "column 'E': expected a number, or NA for a missing value, found 'tall'" in err


@pytest.mark.parametrize("transform", ["none", "boxcox", "rint"])
def test_all_phenotypes_are_checked_before_one_is_fitted(small, tmp_path, transform):
    few = [1.0, 2.0] + [None] * 88
    pheno = write_table(tmp_path / "y.tsv", **ids_of(small), A=small.y, B=[1.0] * 90, C=few)
    base = ["--bfile", small.prefix, "--pheno", pheno, "--transform", transform]
    for names, message in (
        ("A,B", f"error: phenotype B of {pheno}: phenotype: expected at least two distinct"),
        ("A,C", f"error: phenotype C of {pheno}: phenotype: expected at least 3 samples, found 2"),
    ):
        err = lmmlasso("null", *base, "--pheno-name", names, "--out", tmp_path / "P", code=3)
        assert message in err
        assert "null model" not in err
        assert results(tmp_path / "P") == {}


# --- checkpoints and parts -----------------------------------------------------------------------


@pytest.mark.promise("interrupts")
def test_interrupted_in_the_second_phenotype(base, tmp_path, monkeypatch):
    """What the first one has is there; --resume goes on with the second."""
    arguments = ["stability", *base, *COMMANDS["stability"], "--pheno-name", "A,B"]
    lmmlasso(*arguments, "--out", tmp_path / "W")
    expected = results(tmp_path / "W")
    with monkeypatch.context() as context:
        interrupt(context, "stability", after=3)
        lmmlasso(*arguments, "--out", tmp_path / "P", code=130)
        assert set(results(tmp_path / "P")) == {".A.stability.checkpoint"}
        lmmlasso(*arguments, "--resume", "--out", tmp_path / "P", code=130)
    found = results(tmp_path / "P")
    assert found.pop(".B.stability.checkpoint").count(b"\n") == 4
    assert found == {s: content for s, content in expected.items() if s.startswith(".A.")}
    err = lmmlasso(*arguments, "--resume", "--out", tmp_path / "P")
    assert "resumed: 3 of 4 replicates were done before" in err
    assert results(tmp_path / "P") == expected


def test_parts_of_several_phenotypes(base, tmp_path):
    """Each phenotype has partial files of its own, which are merged as those of a single run."""
    arguments = ["stability", *base, "--n-active", 4, "--pheno-name", "A,B"]
    lmmlasso(*arguments, "--replicates", 6, "--out", tmp_path / "W")
    for name, replicates in (("x", "0:2"), ("y", "2:6")):
        lmmlasso(*arguments, "--replicates", replicates, "--partial", "--out", tmp_path / name)
    assert n_records(tmp_path / "y.B.partial") == 4
    for name in ("A", "B"):
        files = [tmp_path / f"{part}.{name}.partial" for part in ("y", "x")]
        lmmlasso("merge", *files, "--out", tmp_path / f"M.{name}")
        expected = of_phenotype(results(tmp_path / "W"), name)
        assert results(tmp_path / f"M.{name}") == expected
    mixed = [tmp_path / "x.A.partial", tmp_path / "y.B.partial"]
    err = lmmlasso("merge", *mixed, "--out", tmp_path / "M", code=3)
    assert 'field \'fingerprint.phenotype\': expected "A", found "B"' in err
    # a single run has the same parts
    single = [*arguments[:-1], "B", "--replicates", "0:2", "--partial", "--out", tmp_path / "s"]
    lmmlasso(*single)
    parts = [tmp_path / "s.partial", tmp_path / "y.B.partial"]
    lmmlasso("merge", *parts, "--out", tmp_path / "N")
    assert results(tmp_path / "N") == of_phenotype(results(tmp_path / "W"), "B")


def test_two_values_and_samples_that_are_strangers_are_said(small, tmp_path):
    status = np.where(small.y > np.median(small.y), 2, 1)
    ids = {name: [*values[:-1], "stranger"] for name, values in ids_of(small).items()}
    pheno = write_table(tmp_path / "y.tsv", **ids, status=status)
    base = ["--bfile", small.prefix, "--pheno", pheno, "--max-active", 1]
    lmmlasso("fit", *base, "--out", tmp_path / "P")
    said = log(tmp_path / "P")
    assert "phenotype status: two values, 1 and 2, analysed as numbers" in said
    assert "the first that is not: stranger stranger" in said
