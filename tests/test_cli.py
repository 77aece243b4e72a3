"""The command line: files, columns, flags, invariances and predictions, against the oracle."""

import gzip
import json
import os
import re
import shutil
import sys
from functools import partial
from pathlib import Path

import click
import numpy as np
import polars as pl
import pytest
import reference as ref
from cli_files import (
    COLUMNS,
    decode,
    edit_fam,
    lmmlasso,
    log,
    process,
    read,
    results,
    run_json,
    small_fileset,
    write_table,
)
from numpy.testing import assert_allclose, assert_array_equal

import lmmlasso_fast
from lmmlasso_fast.cli import main
from lmmlasso_fast.io.kinship_files import load_kinship, save_kinship, write_gemma, write_grm
from lmmlasso_fast.io.plink_write import write_plink
from lmmlasso_fast.kinship import Kinship


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The fileset, one fit of it with covariates (`fit`) and one without (`plain`), a kinship."""
    small = small_fileset(tmp_path_factory.mktemp("small"))
    small.base = ["--bfile", small.prefix, "--pheno", small.folder / "y.tsv"]
    small.covar = ["--covar", small.folder / "c.tsv"]
    small.fit, small.plain, small.kin = (small.folder / name for name in ("fit", "plain", "kin"))
    small.err = lmmlasso("fit", *small.base, *small.covar, "--out", small.fit)
    lmmlasso("fit", *small.base, "--out", small.plain)
    lmmlasso("kinship", "--bfile", small.prefix, "--out", small.kin)
    small.kinship = load_kinship(f"{small.kin}.kinship.npz")
    # eigenvalues below zero, by as much as float32 sums have wrong, count as zero
    s, U = np.linalg.eigh(small.kinship.matrix)
    assert s.min() > -1e-6
    small.K = (U * np.maximum(s, 0)) @ U.T
    return small


@pytest.fixture
def fit(small, tmp_path):
    """A function that fits the fileset and returns the result files, {suffix: bytes}."""

    def run(*arguments, base=None, name="P"):
        lmmlasso("fit", *(base or small.base), *arguments, "--out", tmp_path / name)
        return results(tmp_path / name)

    return run


def design(small, *names):
    """Intercept, age and the indicators of batch b and c, in the order of c.tsv."""
    table = read(small.folder / "c.tsv")
    batch = [table.batch == level for level in "bc"]
    columns = [table.age, *batch, table.PC1, table.PC2, table.PC3]
    return np.column_stack([np.ones(90), *columns]).astype(float)


def oracle(small):
    """Dosages, standardised SNPs (zero where not offered), their mean and sd, by the oracle."""
    dosage = decode(small.prefix)
    return dosage, *ref.standardise(dosage)


# --- files and columns ---------------------------------------------------------------------------


def test_fit_writes_the_documented_files(small):
    names = {f".{name}" for name in [*COLUMNS, "null.json", "model.npz"]}
    assert set(results(small.fit)) == names
    for name, columns in COLUMNS.items():
        assert read(f"{small.fit}.{name}").header == columns.split(), name


def test_tables_are_plain(small):
    for suffix, content in results(small.fit).items():
        if suffix.endswith((".tsv", ".json")):
            assert content.endswith(b"\n")
            assert b"\r" not in content
            assert not re.search(rb"\b(nan|NaN|inf|Infinity|None|null,)\b", content), suffix


def test_null_json(small):
    content = json.loads(Path(f"{small.fit}.null.json").read_text())
    wanted = (
        "method log_delta delta sigma_g2 sigma_e2 h2 h2_se log_likelihood at_boundary n_samples "
        "n_variants kinship profile"
    )
    assert set(wanted.split()) <= set(content)
    assert content["method"] == "ml"
    assert content["n_samples"] == 90
    assert set(content["kinship"]) == {"estimator", "n_variants", "scale"}
    assert content["kinship"]["estimator"] == "rrm"
    assert len(content["profile"]["log_delta"]) == len(content["profile"]["nll"]) > 50
    lmmlasso("null", *small.base, *small.covar, "--out", small.folder / "null")
    assert results(small.folder / "null")[".null.json"] == results(small.fit)[".null.json"]


def test_run_json(small):
    content = run_json(small.fit)
    assert content["exit"] == {"code": 0, "state": "ok"}
    assert content["version"] == lmmlasso_fast.__version__
    assert content["subcommand"] == "fit"
    assert content["options"]["tol"] == 1e-6
    assert {"numpy", "scipy"} <= set(content["packages"])
    assert content["kernels"] in ("generic", "avx2", "avx512")
    assert content["timings"]["total"] > 0
    names = {Path(item["path"]).name: item for item in content["inputs"]}
    assert set(names) == {"g.bed", "g.bim", "g.fam", "y.tsv", "c.tsv"}
    import hashlib

    for name, item in names.items():
        data = (small.folder / name).read_bytes()
        assert item["size"] == len(data)
        assert item["sha256"] == hashlib.sha256(data).hexdigest()
    assert content["counts"]["samples"] == 90
    assert content["counts"]["variants"] == 148
    assert content["counts"]["excluded"] == {"monomorphic": 1, "all_missing": 1}
    assert content["counts"]["duplicates"] == 2


def test_log(small):
    text = log(small.fit)
    assert text.startswith(f"lmmlasso {lmmlasso_fast.__version__} (")
    assert "\ncommand: " in text
    assert "90 samples and 150 SNPs in the fileset" in text
    assert "148 SNPs offered to the model, 2 not (" in text
    assert "1 monomorphic" in text
    assert "1 all_missing" in text
    assert re.search(r"\nestimated: .* and \d+ MB of memory\n", text)
    assert text.splitlines()[-1].startswith("end: ok (exit code 0, ")
    for line in small.err.splitlines():
        assert line in text


def test_dropped_samples_are_counted(fit, small, tmp_path):
    table = pl.read_csv(small.folder / "c.tsv", separator="\t")
    table = table.with_columns(
        pl.when(pl.int_range(90) < 4).then(None).otherwise(pl.col("age")).alias("age")
    )
    table.head(88).write_csv(tmp_path / "c.tsv", separator="\t", null_value="NA")
    base = ["--bfile", small.prefix, "--pheno", small.folder / "two.tsv", "--pheno-name", "Z"]
    fit("--covar", tmp_path / "c.tsv", base=base)
    text = log(tmp_path / "P")
    assert "phenotype Z: 80 samples have it, 10 do not and are dropped" in text
    # samples 0 to 3 and the last two lack covariates; 0 has no Z either
    assert "covariates: 5 more samples dropped, which lack one" in text
    assert "\n75 samples analysed\n" in text
    assert run_json(tmp_path / "P")["counts"]["samples"] == 75


def test_excluded_and_duplicates(fit, small, tmp_path):
    fit("--maf", "0.05", "--geno", "0.5")
    excluded = read(tmp_path / "P.excluded.tsv")
    reasons = dict(zip(excluded.ID, excluded.REASON, strict=True))
    assert reasons["v004"] == "monomorphic"
    assert reasons["v005"] == "maf"
    assert reasons["v006"] == "geno"
    assert reasons["v007"] == "all_missing"
    frequency = ref.allele_frequency(decode(small.prefix))
    rare = np.minimum(frequency, 1 - frequency) < 0.05
    assert set(reasons) == {
        name
        for j, name in enumerate(small.variants["ID"])
        if rare[j] or np.isnan(frequency[j]) or j in (3, 5)
    }
    duplicates = read(tmp_path / "P.duplicates.tsv")
    assert list(duplicates.ID) == ["v002", "v003"]
    assert list(duplicates.KEPT_ID) == ["v001", "v001"]
    assert list(duplicates.SIGN) == [1, -1]
    fit("--collapse-duplicates", name="C")
    excluded = read(tmp_path / "C.excluded.tsv")
    assert [i for i, r in zip(excluded.ID, excluded.REASON, strict=True) if r == "duplicate"] == [
        "v002",
        "v003",
    ]
    assert read(tmp_path / "C.duplicates.tsv").n_rows == 2


def test_version_and_help():
    runner = click.testing.CliRunner()
    assert lmmlasso_fast.__version__ in runner.invoke(main, ["--version"]).stdout
    for command in main.commands.values():
        text = runner.invoke(main, [command.name, "--help"]).stdout
        for parameter in command.params:
            assert all(name in text for name in parameter.opts)
            assert parameter.help, parameter.name


# --- against the oracle --------------------------------------------------------------------------


def test_kinship_is_the_oracles(small, tmp_path):
    """Up to the float32 in which it is summed; what follows takes it as it is."""
    _, X, _, sd = oracle(small)
    K, scale = ref.scale_to_unit_diagonal(ref.kinship_rrm(X, (sd > 0).sum()))
    assert_allclose(small.kinship.matrix, K, atol=1e-5)
    assert_allclose(small.kinship.scale, scale, rtol=1e-6)
    assert small.kinship.n_variants == 148
    assert small.kinship.samples.equals(small.samples.select("FID", "IID"))
    arguments = ["--bfile", small.prefix, "--out", tmp_path / "K"]
    formats = ["--format", "grm", "--format", "gemma", "--format", "npz"]
    lmmlasso("kinship", *arguments, *formats)
    files = {f".{name}" for name in ("excluded.tsv", "duplicates.tsv", "kinship.npz", "cXX.txt")}
    files |= {f".grm.{name}" for name in ("bin", "id", "N.bin")}
    assert set(results(tmp_path / "K")) == files
    assert_allclose(np.loadtxt(tmp_path / "K.cXX.txt"), scale * K, atol=1e-5)
    assert results(tmp_path / "K")[".kinship.npz"] == results(small.kin)[".kinship.npz"]


def test_null_model_is_the_oracles(small, tmp_path):
    K = small.K
    for method in ("ml", "reml"):
        out = tmp_path / method
        lmmlasso("null", *small.base, *small.covar, "--method", method, "--out", out)
        found = json.loads(Path(f"{out}.null.json").read_text())
        C = design(small)
        fit = ref.fit_null(small.y, K, C, method)
        for name in ("log_delta", "delta", "sigma_g2", "sigma_e2", "h2"):
            assert_allclose(found[name], getattr(fit, name), rtol=1e-6, err_msg=name)
        assert_allclose(found["log_likelihood"], -fit.nll, rtol=1e-10)
        error = ref.h2_standard_error(fit.log_delta, small.y, K, C, method)
        assert_allclose(found["h2_se"], error, rtol=1e-3)
        assert found["kinship"]["n_variants"] == 148
        assert_allclose(found["kinship"]["scale"], small.kinship.scale, rtol=1e-12)
        for x, value in list(zip(*found["profile"].values(), strict=True))[::20]:
            assert_allclose(value, ref.nll(x, small.y, K, C, method), rtol=1e-10)
        assert next(iter(found["covariates"])) == "intercept"


def test_path_is_certified_and_split_by_the_oracle(small):
    _, X, _, sd = oracle(small)
    K = small.K
    null = json.loads(Path(f"{small.fit}.null.json").read_text())
    C = design(small)
    W, M = ref.whitening(K, null["delta"], C)
    Xw, yw = M @ W @ X, M @ W @ small.y
    path, coef = read(f"{small.fit}.path.tsv"), read(f"{small.fit}.coef.tsv")
    assert_array_equal(path.INDEX, np.arange(100))
    assert_allclose(path.MU, 90 * path.ALPHA)
    assert_allclose(path.ALPHA[0], ref.alpha_max(Xw, yw), rtol=1e-10)
    assert_allclose(path.ALPHA[-1], 0.01 * path.ALPHA[0])
    assert_array_equal(path.CONVERGED, 1)
    row = {name: j for j, name in enumerate(small.variants["ID"])}
    for k in range(100):
        here = k == coef.INDEX
        beta = np.zeros(150)
        beta[[row[name] for name in coef.ID[here]]] = coef.BETA_STD[here]
        assert np.count_nonzero(beta) == path.N_ACTIVE[k]
        gap = ref.relative_gap(beta, Xw, yw, path.ALPHA[k])
        assert gap < 1e-6
        assert_allclose(path.DUAL_GAP[k], gap, atol=1e-12)
        if k % 20 == 0:
            split = ref.variance_split(beta, small.y, X, C, K, null["delta"])
            total = split.snps + split.random + split.noise
            assert_allclose(path.VAR_SNP[k], split.snps / total, rtol=1e-9, atol=1e-12)
            assert_allclose(path.VAR_RANDOM[k], split.random / total, rtol=1e-9)
            assert_allclose(path.VAR_NOISE[k], split.noise / total, rtol=1e-9)
    columns = np.array([row[name] for name in coef.ID])
    frequency = ref.allele_frequency(decode(small.prefix))
    assert_allclose(coef.EAF, frequency[columns], rtol=1e-12)
    assert_allclose(coef.BETA, coef.BETA_STD / sd[columns], rtol=1e-12)
    assert list(coef.EFFECT_ALLELE) == [small.variants["A1"][int(j)] for j in columns]
    assert list(coef.OTHER_ALLELE) == [small.variants["A2"][int(j)] for j in columns]
    assert list(coef.CHROM) == [small.variants["CHROM"][int(j)] for j in columns]
    assert list(coef.POS) == [small.variants["POS"][int(j)] for j in columns]


def test_selected_are_those_of_the_last_alpha(small):
    path, coef = read(f"{small.fit}.path.tsv"), read(f"{small.fit}.coef.tsv")
    selected = read(f"{small.fit}.selected.tsv")
    last = coef.INDEX == 99
    assert set(selected.ID) == set(coef.ID[last])
    assert np.all(np.diff(selected.ALPHA_ENTRY) <= 0)
    effects = dict(zip(coef.ID[last], coef.BETA_STD[last], strict=True))
    missing = dict(zip(small.variants["ID"], (small.dosages < 0).sum(axis=0), strict=True))
    for k, name in enumerate(selected.ID):
        assert selected.BETA_STD[k] == effects[name]
        assert selected.N_MISSING[k] == missing[name]
        first = coef.INDEX[name == coef.ID].min()
        assert selected.ALPHA_ENTRY[k] == path.ALPHA[int(first)]


def test_predictions_are_the_oracles(small):
    dosage, X, mean, _ = oracle(small)
    K = small.K
    null = json.loads(Path(f"{small.fit}.null.json").read_text())
    found, score = read(f"{small.fit}.pred.tsv"), read(f"{small.fit}.score.tsv")
    coef = read(f"{small.fit}.coef.tsv")
    row = {name: j for j, name in enumerate(small.variants["ID"])}
    last = coef.INDEX == 99
    beta = np.zeros(150)
    beta[[row[name] for name in coef.ID[last]]] = coef.BETA_STD[last]
    C = design(small)
    wanted = ref.predict(beta, small.y, X, C, K, null["delta"], X, C, K)
    assert list(found.IID) == small.samples["IID"].to_list()
    assert list(found.FID) == small.samples["FID"].to_list()
    # the random part comes from X X' in float64, the model from K, summed in float32
    assert_allclose(found.PRED_RANDOM, wanted.random, atol=1e-5 * np.abs(wanted.random).max())
    assert_allclose(found.PRED, wanted.total, rtol=1e-7)
    fixed = found.PRED_COVARIATES + found.PRED_SNP
    assert_allclose(fixed, wanted.covariates + wanted.snps, rtol=1e-9)
    assert_allclose(found.PRED, found.PRED_COVARIATES + found.PRED_SNP + found.PRED_RANDOM)
    # P.score.tsv by hand: copies of A1 times BETA, missing genotypes at the mean
    columns = [row[name] for name in score.ID]
    assert list(score.A1) == [small.variants["A1"][j] for j in columns]
    copies = np.where(np.isnan(dosage), mean, dosage)[:, columns]
    assert_allclose(found.PRED_SNP, copies @ score.BETA, rtol=1e-10, atol=1e-12)


# --- every flag changes something ----------------------------------------------------------------


class Refused(tuple):
    """Arguments that the command refuses with exit code 3."""


@pytest.fixture(scope="module")
def other(small):
    """Variants of every input file, and models and kinships made from them."""
    folder = small.folder
    names = {name: folder / name for name in ("other", "last", "flip")}
    write_plink(names["other"], small.dosages[:, ::-1].copy(), small.samples, small.variants)
    reference_last = small.dosages.copy()
    reference_last[-1] = 2
    write_plink(names["last"], reference_last, small.samples, small.variants)
    shutil.copy(f"{names['last']}.fam", folder / "y.fam")
    edit_fam(folder / "y", phenotypes=[str(value) for value in small.y])
    reverse = Path(f"{small.prefix}.fam").read_text().splitlines()[::-1]
    (folder / "reverse.fam").write_text("\n".join(reverse) + "\n")
    bim = [line.split("\t") for line in Path(f"{small.prefix}.bim").read_text().splitlines()]
    bim = [[chrom, name, cm, str(int(pos) + 1), a2, a1] for chrom, name, cm, pos, a1, a2 in bim]
    (folder / "swapped.bim").write_text("".join("\t".join(row) + "\n" for row in bim))
    ids = small.samples.select("FID", "IID")
    ids[:60].write_csv(folder / "some.txt", separator="\t", include_header=False)
    (folder / "snps.txt").write_text("\n".join(small.variants["ID"][:100]) + "\n")
    short = small.dosages[:, :-1]
    write_plink(folder / "short", short, small.samples, small.variants[:-1])
    text = (folder / "y.tsv").read_text().splitlines()
    fields = text[3].split("\t")
    text[3] = "\t".join([*fields[:2], "-9"])
    (folder / "minus9.tsv").write_text("\n".join(text) + "\n")
    lines = (folder / "c.tsv").read_text().splitlines()
    lines[3] = lines[3].replace(lines[3].split("\t")[2], "-9", 1)
    (folder / "c9.tsv").write_text("\n".join(lines) + "\n")
    half = 0.5 * small.kinship.matrix + 0.5 * np.eye(90)
    other = Kinship.from_matrix(half, samples=small.kinship.samples)
    save_kinship(other, folder / "half.npz")
    write_grm(other, folder / "half")
    lmmlasso("fit", *small.base, "--kinship", folder / "half.npz", "--out", folder / "given")
    lmmlasso("fit", *small.base, *small.covar, "--log-delta", 1, "--out", folder / "second")
    for line in ("fit", "kin"):
        assert Path(f"{folder / line}.log").exists()
    return names


def flag_cases(small, command):
    """{parameter: (arguments before, arguments after)} whose results must differ; None: a test of
    its own, named below."""
    f = small.folder
    base = {
        "fit": [*small.base],
        "null": [*small.base],
        "kinship": ["--bfile", small.prefix],
        "predict": ["--model", f"{small.plain}.model.npz", "--bfile", small.prefix],
        "demo": [],
    }[command]

    def plus(*arguments):
        return base, [*base, *arguments]

    two = ["--bfile", small.prefix, "--pheno", f / "two.tsv"]
    minus9 = ["--bfile", small.prefix, "--pheno", f / "minus9.tsv"]
    last = ["--bfile", f / "last"]
    with_covar = ["--model", f"{small.fit}.model.npz", "--bfile", small.prefix]
    given = ["--model", f / "given.model.npz", "--bfile", small.prefix]
    cases = {
        "bfile": plus("--bfile", f / "other"),
        "bed": plus("--bed", f / "other.bed"),
        "bim": plus("--bim", f / "swapped.bim"),
        "fam": plus("--fam", f / "reverse.fam"),
        "keep": plus("--keep", f / "some.txt"),
        "remove": plus("--remove", f / "some.txt"),
        "extract": plus("--extract", f / "snps.txt"),
        "exclude": plus("--exclude", f / "snps.txt"),
        "chromosomes": plus("--chr", "1,3"),
        "maf": plus("--maf", 0.1),
        "geno": plus("--geno", 0.5),
        "mind": plus("--mind", 0.25),
        "collapse_duplicates": plus("--collapse-duplicates"),
        "pheno": plus("--pheno", f / "two.tsv", "--pheno-name", "Z"),
        "pheno_name": (Refused(two), [*two, "--pheno-name", "Y"]),
        "covar": plus("--covar", f / "c.tsv"),
        "covar_name": (
            [*base, "--covar", f / "c.tsv"],
            [*base, "--covar", f / "c.tsv", "--covar-name", "age"],
        ),
        "missing_code": (Refused(minus9), [*minus9, "--missing-code", "-9"]),
        "transform": plus("--transform", "rint"),
        "standardize": plus("--standardize"),
        "kinship_file": plus("--kinship", f / "half.npz"),
        "grm": plus("--grm", f / "half"),
        "method": plus("--method", "reml"),
        "log_delta": plus("--log-delta", 1),
        "n_alphas": plus("--n-alphas", 7),
        "eps": plus("--eps", 0.3),
        "alphas": plus("--alpha", "0.3,0.2"),
        "max_active": plus("--max-active", 3),
        "l1_ratio": plus("--l1-ratio", 0.5),
        "tol": plus("--tol", 0),
        "model_alphas": plus("--model-alphas", "last"),
        "no_kinship": plus("--no-kinship"),
        "formats": plus("--format", "grm"),
        "seed": plus("--seed", 2),
        "accept_reference_samples": (
            Refused([*base, *last]),
            [*base, *last, "--accept-reference-samples"],
        ),
        # results do not depend on it: P.run.json does
        "threads": None,
        "out": None,
        "strict": None,
    }
    if command == "predict":
        cases |= {
            "model_file": plus("--model", f / "given.model.npz", "--kinship", f / "half.npz"),
            "covar": (Refused(with_covar), [*with_covar, "--covar", f / "c.tsv"]),
            "missing_code": (
                Refused([*with_covar, "--covar", f / "c9.tsv"]),
                [*with_covar, "--covar", f / "c9.tsv", "--missing-code", "none"],
            ),
            "alpha": plus("--alpha", read(f"{small.plain}.path.tsv").ALPHA[20]),
            "allow_missing": (
                Refused([*base, "--bfile", f / "short"]),
                [*base, "--bfile", f / "short", "--allow-missing"],
            ),
            "kinship_file": (Refused(given), [*given, "--kinship", f / "half.npz"]),
            "grm": (Refused(given), [*given, "--grm", f / "half"]),
        }
    return cases


FLAGS = [(name, p.name) for name, command in main.commands.items() for p in command.params]


@pytest.mark.parametrize(("command", "flag"), FLAGS)
def test_every_flag_changes_something(small, other, tmp_path, command, flag):
    cases = flag_cases(small, command)
    assert flag in cases, f"no test covers the flag {flag} of {command}: add one"
    if cases[flag] is None:
        assert f"test_{flag}" in globals()
        return
    found = []
    for name, arguments in zip(("before", "after"), cases[flag], strict=True):
        out = tmp_path / name / "P"
        out.parent.mkdir()
        refused = isinstance(arguments, Refused)
        lmmlasso(command, *arguments, "--out", out, code=3 if refused else 0)
        assert bool(results(out)) != refused
        found.append(results(out))
    before, after = found
    assert before != after
    parameter = next(p for p in main.commands[command].params if p.name == flag)
    assert run_json(out)["options"][parameter.name] != parameter.default


def test_out(small, tmp_path):
    (tmp_path / "a b").mkdir()
    lmmlasso("null", *small.base, "--out", tmp_path / "a b" / "x.y")
    assert {path.name for path in (tmp_path / "a b").iterdir()} == {
        f"x.y.{end}" for end in ("log", "run.json", "null.json", "excluded.tsv", "duplicates.tsv")
    }


@pytest.mark.parametrize("command", ["fit", "null", "kinship", "predict", "demo"])
def test_threads(small, tmp_path, command):
    arguments = {
        "kinship": ["--bfile", small.prefix],
        "predict": ["--model", f"{small.plain}.model.npz", "--bfile", small.prefix],
        "demo": [],
    }.get(command, small.base)
    found = []
    for threads in (1, 3):
        out = tmp_path / str(threads) / "P"
        out.parent.mkdir()
        lmmlasso(command, *arguments, "--threads", threads, "--out", out)
        assert run_json(out)["threads"] == threads
        found.append(results(out))
    assert found[0] == found[1]


def test_aliases(fit, small):
    base = ["--bfile", small.prefix, "--phenoFile", small.folder / "two.tsv", "--phenoCol", "Z"]
    covariates = ["--covarFile", small.folder / "c.tsv", "--covarColList", "age,PC{1:3}"]
    plain = ["--bfile", small.prefix, "--pheno", small.folder / "two.tsv", "--pheno-name", "Z"]
    names = ["--covar", small.folder / "c.tsv", "--covar-name", "age,PC1,PC2,PC3"]
    assert fit(*covariates, base=base) == fit(*names, base=plain, name="Q")


def test_strict(small, tmp_path, monkeypatch):
    fit_command = sys.modules["lmmlasso_fast.cli.fit"]  # the name in the package is the command
    once = partial(fit_command.lasso_path, max_iter=1)
    monkeypatch.setattr(fit_command, "lasso_path", once)
    path = ["--n-alphas", 2, "--eps", 0.02]
    lmmlasso("fit", *small.base, *path, "--out", tmp_path / "P")
    err = lmmlasso("fit", *small.base, *path, "--strict", "--out", tmp_path / "S", code=4)
    assert results(tmp_path / "P") == results(tmp_path / "S")
    assert set(results(tmp_path / "S")) == set(results(small.fit))
    table = read(tmp_path / "S.path.tsv")
    assert list(table.CONVERGED) == [1, 0]
    assert table.DUAL_GAP[1] > 1e-6
    assert "warning: 1 of 2 alphas did not reach the relative duality gap 1e-06" in err
    assert run_json(tmp_path / "S")["exit"] == {"code": 4, "state": "not converged"}
    assert run_json(tmp_path / "P")["exit"] == {"code": 0, "state": "ok"}
    assert len(run_json(tmp_path / "P")["warnings"]) == 1


# --- what must not change anything ---------------------------------------------------------------


def test_twice_gives_the_same_bytes(fit, small):
    assert fit(*small.covar) == results(small.fit)
    assert fit(*small.covar, name="again") == results(small.fit)


def test_ids_are_joined_not_aligned(fit, small, tmp_path):
    rng = np.random.default_rng(1)
    for name in ("y.tsv", "c.tsv"):
        header, *lines = (small.folder / name).read_text().splitlines()
        rng.shuffle(lines)
        (tmp_path / name).write_text("\n".join([header, *lines]) + "\n")
    base = ["--bfile", small.prefix, "--pheno", tmp_path / "y.tsv", "--covar", tmp_path / "c.tsv"]
    assert fit(base=base) == results(small.fit)


def test_kinship_is_joined_not_aligned(fit, small, tmp_path):
    order = np.random.default_rng(2).permutation(90)
    K = small.kinship
    shuffled = Kinship(K.matrix[np.ix_(order, order)], K.samples[order], K.estimator, K.n_variants)
    for name, kinship in (
        ("a", Kinship(K.matrix, K.samples, "rrm", K.n_variants)),
        ("b", shuffled),
    ):
        save_kinship(kinship, tmp_path / f"{name}.npz")
    assert fit("--kinship", tmp_path / "a.npz") == fit("--kinship", tmp_path / "b.npz", name="Q")


@pytest.mark.parametrize("end", ["\r\n", "\n\n", ""])
def test_line_ends_and_gzip(fit, small, tmp_path, end):
    for name in ("y.tsv", "c.tsv"):
        lines = (small.folder / name).read_text().splitlines()
        text = (end or "\n").join(lines) + end
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    base = ["--bfile", small.prefix, "--pheno", tmp_path / "y.tsv.gz"]
    assert fit("--covar", tmp_path / "c.tsv.gz", base=base) == results(small.fit)


@pytest.mark.parametrize("header", ["FID IID Y", "#FID\tIID\tY", "#IID Y"])
def test_headers_and_blanks(fit, small, tmp_path, header):
    lines = (small.folder / "y.tsv").read_text().splitlines()[1:]
    rows = [line.split("\t")[header.startswith("#IID") :] for line in lines]
    separator = "\t" if "\t" in header else "  \t "
    text = "\n".join([header, *(separator.join(row) for row in rows)])
    (tmp_path / "y").write_text(text)
    assert fit(base=["--bfile", small.prefix, "--pheno", tmp_path / "y"]) == results(small.plain)


def test_phenotype_of_the_fam(fit, small, tmp_path):
    for end in ("bed", "bim", "fam"):
        shutil.copy(f"{small.prefix}.{end}", tmp_path / f"g.{end}")
    values = [str(value) for value in small.y]
    values[3], values[4], values[5] = "-9", "NA", "-9.000"
    edit_fam(tmp_path / "g", phenotypes=values)
    found = fit(base=["--bfile", tmp_path / "g"])
    ids = small.samples.select("FID", "IID")
    write_table(
        tmp_path / "y.tsv",
        FID=ids["FID"],
        IID=ids["IID"],
        Y=[None if i in (3, 4, 5) else value for i, value in enumerate(small.y)],
    )
    table = fit(base=["--bfile", small.prefix, "--pheno", tmp_path / "y.tsv"], name="Q")
    found.pop(".model.npz"), table.pop(".model.npz")  # the model holds the phenotype's name
    assert found == table


def test_leading_zeros_matter(tmp_path):
    small = small_fileset(tmp_path)
    for name in ("g.fam", "y.tsv"):
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(re.sub(r"pop\d\ts(\d+)", r"0\t0\1", text))
    lmmlasso(
        "null", "--bfile", small.prefix, "--pheno", tmp_path / "y.tsv", "--out", tmp_path / "P"
    )
    text = (tmp_path / "y.tsv").read_text()
    (tmp_path / "y.tsv").write_text(re.sub(r"0\t0+(\d+)", r"0\t\1", text))
    err = lmmlasso(
        *("null", "--bfile", small.prefix, "--pheno", tmp_path / "y.tsv"),
        *("--out", tmp_path / "Q"),
        code=3,
    )
    assert "leading zeros included" in err


def test_ids_that_look_like_something_else(tmp_path):
    small = small_fileset(tmp_path)
    hostile = [
        "<script>alert(1)</script>",
        "=cmd()|'/c'!A1",
        "\x1b[31mred\x07",
        "../../x",
        '"quoted"',
        "'single'",
        "NA",
        "nan",
        "-9",
        "1e5",
        "100000",
        "0",
        "00",
        "Ünïcode☃",
        "x" * 3000,
        "FID",
        "#hash",
        "a,b",
        "%s{0}",
    ]
    fam = [line.split("\t") for line in (tmp_path / "g.fam").read_text().splitlines()]
    bim = [line.split("\t") for line in (tmp_path / "g.bim").read_text().splitlines()]
    table = [line.split("\t") for line in (tmp_path / "y.tsv").read_text().splitlines()]
    for k, name in enumerate(hostile):
        fam[k][:2] = table[k + 1][:2] = [name[:40], name]
        bim[10 + k][1] = name
    bim[9][0], bim[9][4] = "=1+1", "<DEL>"
    for name, rows in (("g.fam", fam), ("g.bim", bim), ("y.tsv", table)):
        (tmp_path / name).write_text("".join("\t".join(row) + "\n" for row in rows))
    base = ["--bfile", small.prefix, "--pheno", tmp_path / "y.tsv"]
    err = lmmlasso("fit", *base, "--out", tmp_path / "P")
    found = read(tmp_path / "P.pred.tsv")
    assert list(found.IID[: len(hostile)]) == hostile
    assert list(read(tmp_path / "P.score.tsv").header) == ["ID", "A1", "BETA"]
    model = f"{tmp_path / 'P'}.model.npz"
    lmmlasso("predict", "--model", model, "--bfile", small.prefix, "--out", tmp_path / "Q")
    assert results(tmp_path / "Q")[".pred.tsv"] == results(tmp_path / "P")[".pred.tsv"]
    # duplicated samples and absent SNPs are named in errors, without terminal escapes
    (tmp_path / "twice.tsv").write_text(
        (tmp_path / "y.tsv").read_text() + "\t".join(table[3]) + "\n"
    )
    err = lmmlasso(
        *("null", "--bfile", small.prefix, "--pheno", tmp_path / "twice.tsv"),
        *("--out", tmp_path / "R"),
        code=3,
    )
    assert "[31mred" in err
    assert "\x1b" not in err + log(tmp_path / "R")
    (tmp_path / "named.tsv").write_text(
        (tmp_path / "y.tsv").read_text().replace("\tY\n", "\t\x1b[2Jbad\n", 1)
    )
    err = lmmlasso(
        *("null", "--bfile", small.prefix, "--pheno", tmp_path / "named.tsv"),
        *("--out", tmp_path / "S"),
    )
    assert "[2Jbad" in err
    assert "\x1b" not in err + log(tmp_path / "S")


def test_kinship_times_eight_gives_the_same_bytes(fit, small, tmp_path):
    found = []
    for factor in (1, 8):
        path = tmp_path / f"K{factor}.txt"
        np.savetxt(path, factor * small.kinship.matrix, fmt="%.17g")
        found.append(fit("--kinship", path, name=f"P{factor}"))
    one, eight = found
    names = {suffix for suffix in one if one[suffix] != eight[suffix]}
    assert names == {".null.json", ".model.npz"}
    null_one, null_eight = (json.loads(content[".null.json"]) for content in found)
    assert null_eight["kinship"].pop("scale") == 8 * null_one["kinship"].pop("scale")
    assert null_one == null_eight
    with (
        np.load(tmp_path / "P1.model.npz", allow_pickle=False) as model_one,
        np.load(tmp_path / "P8.model.npz", allow_pickle=False) as model_eight,
    ):
        for name in model_one.files:
            if name == "kinship_scale":
                assert model_eight[name] == 8 * model_one[name]
            else:
                assert model_one[name].tobytes() == model_eight[name].tobytes()


def test_kinship_times_seven_is_equal(fit, small, tmp_path):
    for factor in (1, 7):
        np.savetxt(tmp_path / f"K{factor}.txt", factor * small.kinship.matrix, fmt="%.17g")
        fit("--kinship", tmp_path / f"K{factor}.txt", "--collapse-duplicates", name=f"P{factor}")
    for name in COLUMNS:
        one, seven = (read(tmp_path / f"P{factor}.{name}") for factor in (1, 7))
        for column in one.header:
            expected, found = getattr(one, column), getattr(seven, column)
            if column == "DUAL_GAP":
                assert found.max() < 1e-6
            elif expected.dtype == object:
                assert_array_equal(found, expected)
            else:
                largest = np.abs(expected).max(initial=0)
                assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * largest, err_msg=name)
    one, seven = (json.loads((tmp_path / f"P{k}.null.json").read_text()) for k in (1, 7))
    assert_allclose(seven["kinship"]["scale"], 7 * one["kinship"]["scale"], rtol=1e-12)
    for name in ("delta", "sigma_g2", "sigma_e2", "h2", "h2_se", "log_likelihood"):
        assert_allclose(seven[name], one[name], rtol=1e-9, err_msg=name)


# --- a kinship that is given ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["npz", "gemma", "grm", "grm.bin", "kinship-grm", "rel"])
def test_given_kinship_equals_the_computed_one(small, tmp_path, kind):
    formats = {"npz": "npz", "gemma": "gemma"}.get(kind, "grm")
    lmmlasso("kinship", "--bfile", small.prefix, "--format", formats, "--out", tmp_path / "K")
    given = {
        "npz": ["--kinship", tmp_path / "K.kinship.npz"],
        "gemma": ["--kinship", tmp_path / "K.cXX.txt"],
        "grm": ["--grm", tmp_path / "K"],
        "grm.bin": ["--grm", tmp_path / "K.grm.bin"],
        "kinship-grm": ["--kinship", tmp_path / "K"],
        "rel": ["--kinship", tmp_path / "R.rel"],
    }[kind]
    if kind == "rel":
        write_gemma(small.kinship, tmp_path / "R.rel")
        small.samples.select(pl.col("FID").alias("#FID"), "IID").write_csv(
            tmp_path / "R.rel.id", separator="\t"
        )
    lmmlasso("fit", *small.base, *given, "--out", tmp_path / "P")
    noted = {Path(item["path"]).name for item in run_json(tmp_path / "P")["inputs"]}
    assert (
        noted - {"g.bed", "g.bim", "g.fam", "y.tsv"}
        == {
            "npz": {"K.kinship.npz"},
            "gemma": {"K.cXX.txt"},
            "grm": {"K.grm.bin", "K.grm.id", "K.grm.N.bin"},
            "grm.bin": {"K.grm.bin", "K.grm.id", "K.grm.N.bin"},
            "kinship-grm": {"K.grm.bin", "K.grm.id", "K.grm.N.bin"},
            "rel": {"R.rel", "R.rel.id"},
        }[kind]
    )
    assert all(item["size"] > 0 for item in run_json(tmp_path / "P")["inputs"])
    # the random part comes from X X' in float64 (npz) or from K, summed or stored in float32
    tolerance = {"npz": 1e-9, "gemma": 1e-6, "rel": 1e-6}.get(kind, 1e-4)
    one, two = (read(f"{out}.pred.tsv") for out in (small.plain, tmp_path / "P"))
    for column in ("PRED", "PRED_SNP", "PRED_RANDOM"):
        expected = getattr(one, column)
        assert_allclose(getattr(two, column), expected, rtol=0, atol=np.ptp(expected) * tolerance)
    null_one, null_two = (
        json.loads(Path(f"{out}.null.json").read_text()) for out in (small.plain, tmp_path / "P")
    )
    assert_allclose(null_two["log_delta"], null_one["log_delta"], atol=tolerance)
    assert_allclose(null_two["kinship"]["scale"], null_one["kinship"]["scale"], rtol=1e-6)
    assert null_two["kinship"]["estimator"] == {
        "npz": "rrm",
        "gemma": "gemma-centered",
        "rel": "plink",
    }.get(kind, "gcta")


def test_kinship_of_more_samples_is_used_consistently(small, other, tmp_path):
    """An rrm of 90 samples is not X X' / p over 60 of them: the random part must not mix both."""
    f = small.folder
    lmmlasso(
        *("fit", *small.base, "--keep", f / "some.txt", "--kinship", f"{small.kin}.kinship.npz"),
        *("--out", tmp_path / "P"),
    )
    null = json.loads((tmp_path / "P.null.json").read_text())
    K = small.kinship.matrix[:60, :60]
    K = K / np.mean(np.diag(K))
    dosage = decode(small.prefix)[:60]
    X, *_ = ref.standardise(dosage)
    coef = read(tmp_path / "P.coef.tsv")
    row = {name: j for j, name in enumerate(small.variants["ID"])}
    last = coef.INDEX == 99
    beta = np.zeros(150)
    beta[[row[name] for name in coef.ID[last]]] = coef.BETA_STD[last]
    C = np.ones((60, 1))
    wanted = ref.predict(beta, small.y[:60], X, C, K, null["delta"], X, C, K)
    found = read(tmp_path / "P.pred.tsv")
    assert_allclose(found.PRED_RANDOM, wanted.random, atol=1e-8)
    assert_allclose(found.PRED, wanted.total, rtol=1e-9)
    # such a model asks for the kinship of new samples, and is then right for them
    model = ["--model", tmp_path / "P.model.npz", "--bfile", small.prefix]
    err = lmmlasso("predict", *model, "--out", tmp_path / "Q", code=3)
    assert "--kinship" in err
    lmmlasso(*("predict", *model, "--kinship", f"{small.kin}.kinship.npz", "--out", tmp_path / "Q"))
    again = read(tmp_path / "Q.pred.tsv")
    assert_allclose(again.PRED[:60], wanted.total, rtol=1e-9)
    full = decode(small.prefix)
    _, mean, sd = ref.standardise(dosage)
    X_new = ref.standardise_with(full, mean, sd)
    K_new = small.kinship.matrix[:, :60] / np.mean(np.diag(small.kinship.matrix[:60, :60]))
    wanted = ref.predict(beta, small.y[:60], X, C, K, null["delta"], X_new, np.ones((90, 1)), K_new)
    assert_allclose(again.PRED, wanted.total, rtol=1e-9)


def test_kinship_of_other_snps_is_used(small, tmp_path):
    """Filters of the SNPs of the Lasso do not have to be those of a given kinship."""
    given = ["--kinship", f"{small.kin}.kinship.npz"]
    lmmlasso("fit", *small.base, "--maf", 0.2, *given, "--out", tmp_path / "P")
    null, all_snps = (
        json.loads(Path(f"{out}.null.json").read_text()) for out in (tmp_path / "P", small.plain)
    )
    assert_allclose(null["log_delta"], all_snps["log_delta"], atol=1e-9)
    assert null["n_variants"] == 150 - read(tmp_path / "P.excluded.tsv").n_rows
    assert null["kinship"]["n_variants"] == all_snps["n_variants"] == 148
    model = ["--model", tmp_path / "P.model.npz", "--bfile", small.prefix]
    lmmlasso("predict", *model, *given, "--out", tmp_path / "Q")
    first, second = read(tmp_path / "P.pred.tsv"), read(tmp_path / "Q.pred.tsv")
    assert_allclose(second.PRED, first.PRED, rtol=1e-12)
    assert_allclose(second.PRED_RANDOM, first.PRED_RANDOM, atol=1e-12)


def test_predict_with_a_scaled_kinship_file(small, tmp_path):
    """The scale that training divided by is the one that new rows are divided by."""
    for factor in (1, 8):
        kinship = Kinship.from_matrix(factor * small.kinship.matrix, samples=small.samples)
        save_kinship(kinship, tmp_path / f"{factor}.npz")
        write_grm(kinship, tmp_path / f"{factor}")
        given = ["--kinship", tmp_path / f"{factor}.npz"]
        out = tmp_path / f"P{factor}"
        lmmlasso("fit", *small.base, *given, "--out", out)
        model = ["--model", f"{out}.model.npz", "--bfile", small.prefix]
        lmmlasso("predict", *model, *given, "--out", tmp_path / f"Q{factor}")
        first, again = read(f"{out}.pred.tsv"), read(tmp_path / f"Q{factor}.pred.tsv")
        assert_allclose(again.PRED, first.PRED, rtol=1e-12)
        lmmlasso("predict", *model, "--grm", tmp_path / f"{factor}", "--out", tmp_path / "G")
        single = read(tmp_path / "G.pred.tsv")
        assert_allclose(single.PRED_RANDOM, first.PRED_RANDOM, atol=1e-5)
    one, eight = (results(tmp_path / f"Q{factor}")[".pred.tsv"] for factor in (1, 8))
    assert one == eight


# --- covariates ----------------------------------------------------------------------------------


def covariates_of(prefix):
    return json.loads(Path(f"{prefix}.null.json").read_text())["covariates"]


def test_covariates_are_encoded(small, fit, tmp_path):
    assert list(covariates_of(small.fit)) == [
        *("intercept", "age", "batch=b", "batch=c", "PC1", "PC2", "PC3"),
    ]
    fit(*small.covar, "--covar-name", "PC{1:2},age")
    assert list(covariates_of(tmp_path / "P")) == ["intercept", "PC1", "PC2", "age"]


def test_collinear_covariates_are_dropped_by_name(small, tmp_path):
    table = pl.read_csv(small.folder / "c.tsv", separator="\t")
    table = table.with_columns(months=12 * pl.col("age"), one=pl.lit(1))
    table.write_csv(tmp_path / "c.tsv", separator="\t")
    for flags in ([], ["--no-kinship"]):
        out = tmp_path / f"P{len(flags)}"
        arguments = [*small.base, "--covar", tmp_path / "c.tsv", *flags]
        err = lmmlasso("fit", *arguments, "--out", out)
        assert re.search(r"warning: covariates: months, one dropped: .*collinear", err)
        assert "months" in run_json(out)["warnings"][0]
        assert "warning: covariates: months, one" in log(out)
        model = ["--model", f"{out}.model.npz", "--bfile", small.prefix]
        lmmlasso("predict", *model, *small.covar, "--out", tmp_path / "Q")
        assert results(tmp_path / "Q")[".pred.tsv"] == results(out)[".pred.tsv"]
    content = json.loads((tmp_path / "P0.null.json").read_text())
    assert content["dropped_covariates"] == ["months", "one"]
    without = results(small.fit)
    for suffix in (".coef.tsv", ".path.tsv", ".pred.tsv"):
        assert results(tmp_path / "P0")[suffix] == without[suffix]


def test_plain_lasso_keeps_the_names_of_covariates(fit, small, tmp_path):
    fit("--no-kinship", *small.covar)
    assert not (tmp_path / "P.null.json").exists()
    assert np.all(read(tmp_path / "P.pred.tsv").PRED_RANDOM == 0)
    model = ["--model", tmp_path / "P.model.npz", "--bfile", small.prefix]
    lmmlasso("predict", *model, *small.covar, "--out", tmp_path / "Q")
    assert results(tmp_path / "Q")[".pred.tsv"] == results(tmp_path / "P")[".pred.tsv"]
    X = oracle(small)[1]
    W, M = ref.whitening(None, 1.0, design(small))
    path, coef = read(tmp_path / "P.path.tsv"), read(tmp_path / "P.coef.tsv")
    row = {name: j for j, name in enumerate(small.variants["ID"])}
    beta = np.zeros(150)
    last = coef.INDEX == 99
    beta[[row[name] for name in coef.ID[last]]] = coef.BETA_STD[last]
    assert ref.relative_gap(beta, M @ W @ X, M @ W @ small.y, path.ALPHA[-1]) < 1e-6


@pytest.mark.parametrize("levels", ["abc", "123", "12x", "a=b,c=d,c"])
def test_categories_of_new_samples(small, tmp_path, levels):
    """Indicators of new samples are those of training, also where the table has numbers only."""
    names = levels.split(",") if "," in levels else list(levels)
    values = [names[i % 3] for i in range(90)]
    ids = {name: small.samples[name].to_list() for name in ("FID", "IID")}
    values = values if levels != "123" else [f"b{value}" for value in values]
    table = write_table(tmp_path / "c.tsv", **ids, **{"k=l": values, "w": list(range(90))})
    covar = ["--covar", table]
    lmmlasso("fit", *small.base, *covar, "--out", tmp_path / "P")
    model = ["--model", tmp_path / "P.model.npz", "--bfile", small.prefix]
    lmmlasso("predict", *model, *covar, "--out", tmp_path / "Q")
    expected = read(tmp_path / "P.pred.tsv").PRED_COVARIATES
    assert_allclose(read(tmp_path / "Q.pred.tsv").PRED_COVARIATES, expected, rtol=1e-12)
    some = [i for i in range(90) if i % 3 != 2]
    samples = small.samples[some].select("FID", "IID")
    samples.write_csv(tmp_path / "keep.txt", separator="\t", include_header=False)
    pl.read_csv(table, separator="\t", infer_schema=False)[some].write_csv(
        tmp_path / "some.tsv", separator="\t"
    )
    arguments = ["--covar", tmp_path / "some.tsv", "--keep", tmp_path / "keep.txt"]
    lmmlasso("predict", *model, *arguments, "--out", tmp_path / "R")
    assert_allclose(read(tmp_path / "R.pred.tsv").PRED_COVARIATES, expected[some], rtol=1e-12)


def test_new_categories_and_text_are_refused(small, tmp_path):
    model = ["--model", f"{small.fit}.model.npz", "--bfile", small.prefix]
    table = pl.read_csv(small.folder / "c.tsv", separator="\t", infer_schema=False)
    for column, value, found in (
        ("batch", "z", r"column 'batch': expected a category .*\('a', 'b', 'c'\), found 'z'"),
        ("age", "old", r"column 'age': expected numbers, as in training, found text"),
        ("PC1", None, r"expected age, batch, PC1.* of all 90 samples, found 1 samples without"),
    ):
        changed = table.with_columns(
            pl.when(pl.int_range(90) == 7)
            .then(pl.lit(value))
            .otherwise(pl.col(column))
            .alias(column)
        )
        changed.write_csv(tmp_path / "c.tsv", separator="\t", null_value="NA")
        err = lmmlasso(
            *("predict", *model, "--covar", tmp_path / "c.tsv", "--out", tmp_path / "P"), code=3
        )
        assert re.search(found, err), err
        assert not results(tmp_path / "P")


# --- transformations -----------------------------------------------------------------------------


def test_boxcox_predictions_are_in_the_phenotypes_units(fit, small, tmp_path):
    ids = {name: small.samples[name].to_list() for name in ("FID", "IID")}
    y = np.exp(small.y / 4)
    base = ["--bfile", small.prefix, "--pheno", write_table(tmp_path / "y.tsv", **ids, Y=y)]
    fit("--transform", "boxcox", base=base)
    transform = json.loads((tmp_path / "P.null.json").read_text())["transform"]
    found = read(tmp_path / "P.pred.tsv")
    z = found.PRED_COVARIATES + found.PRED_SNP + found.PRED_RANDOM
    power = z * transform["sd"] + transform["mean"]
    lam = transform["lambda"]
    by_hand = (lam * power + 1) ** (1 / lam) * transform["scale"] - transform["shift"]
    assert_allclose(found.PRED, by_hand, rtol=1e-9)
    assert np.corrcoef(found.PRED, y)[0, 1] > 0.5
    assert y.min() * 0.2 < found.PRED.min() < found.PRED.max() < 5 * y.max()
    assert f"Box-Cox: lambda {lam:.6g}" in log(tmp_path / "P")
    model = ["--model", tmp_path / "P.model.npz", "--bfile", small.prefix]
    lmmlasso("predict", *model, "--out", tmp_path / "Q")
    assert results(tmp_path / "Q")[".pred.tsv"] == results(tmp_path / "P")[".pred.tsv"]


def test_rint_predictions_are_in_the_phenotypes_units(fit, small, tmp_path):
    from scipy.stats import norm, rankdata

    fit("--transform", "rint")
    found = read(tmp_path / "P.pred.tsv")
    scores = norm.ppf((rankdata(small.y) - 3 / 8) / (90 + 1 / 4))
    z = (scores - scores.mean()) / scores.std()
    sum_of_parts = found.PRED_COVARIATES + found.PRED_SNP + found.PRED_RANDOM
    by_hand = np.interp(sum_of_parts, np.sort(z), np.sort(small.y))
    assert_allclose(found.PRED, by_hand, rtol=1e-9)
    model = ["--model", tmp_path / "P.model.npz", "--bfile", small.prefix]
    lmmlasso("predict", *model, "--out", tmp_path / "Q")
    assert results(tmp_path / "Q")[".pred.tsv"] == results(tmp_path / "P")[".pred.tsv"]


def test_standardize(fit, small, tmp_path):
    fit("--standardize")
    scaled, plain = read(tmp_path / "P.pred.tsv"), read(f"{small.plain}.pred.tsv")
    assert_allclose(scaled.PRED, plain.PRED, rtol=1e-9)
    alphas = read(tmp_path / "P.path.tsv").ALPHA
    assert_allclose(alphas * small.y.std(), read(f"{small.plain}.path.tsv").ALPHA, rtol=1e-9)
    fit("--transform", "rint", "--no-standardize", name="Q")
    fit("--transform", "rint", name="R")
    assert results(tmp_path / "Q") != results(tmp_path / "R")


# --- predictions ---------------------------------------------------------------------------------


def predict(small, tmp_path, *arguments, name="Q", model=None, code=0):
    model = ["--model", f"{model or small.plain}.model.npz"]
    err = lmmlasso("predict", *model, *arguments, "--out", tmp_path / name, code=code)
    return err if code else read(tmp_path / f"{name}.pred.tsv")


def test_predicting_the_training_samples_gives_their_file(small, tmp_path):
    predict(small, tmp_path, "--bfile", small.prefix)
    assert results(tmp_path / "Q") == {".pred.tsv": results(small.plain)[".pred.tsv"]}
    predict(small, tmp_path, "--bfile", small.prefix, *small.covar, model=small.fit)
    assert results(tmp_path / "Q") == {".pred.tsv": results(small.fit)[".pred.tsv"]}


def test_predicting_some_samples(small, other, tmp_path):
    found = predict(
        small, tmp_path, "--bfile", small.prefix, "--keep", small.folder / "some.txt", name="K"
    )
    expected = read(f"{small.plain}.pred.tsv")
    assert_allclose(found.PRED, expected.PRED[:60], rtol=1e-12)
    (tmp_path / "one").write_text("{}\t{}\n".format(*small.samples.row(4)[:2]))
    found = predict(small, tmp_path, "--bfile", small.prefix, "--keep", tmp_path / "one")
    assert found.n_rows == 1
    assert_allclose(found.PRED, expected.PRED[4], rtol=1e-12)


def test_snps_permuted_flipped_and_extra(small, tmp_path):
    order = np.random.default_rng(4).permutation(150)
    dosages = small.dosages[:, order].copy(order="F")
    variants = small.variants[order]
    flip = np.arange(150) % 3 == 0
    dosages[:, flip] = np.where(dosages[:, flip] < 0, -1, 2 - dosages[:, flip])
    a1, a2 = variants["A1"].to_numpy().copy(), variants["A2"].to_numpy().copy()
    a1[flip], a2[flip] = a2[flip].copy(), a1[flip].copy()
    variants = variants.with_columns(pl.Series("A1", a1.tolist()), pl.Series("A2", a2.tolist()))
    extra = pl.DataFrame(
        {"CHROM": ["9"], "ID": ["new"], "POS": [5], "A1": ["C"], "A2": ["T"]}
    ).select(variants.columns)
    dosages = np.column_stack([np.ones(90, dtype=np.int8), dosages])
    write_plink(tmp_path / "new", dosages, small.samples, pl.concat([extra, variants]))
    found, expected = (
        predict(small, tmp_path, "--bfile", tmp_path / "new"),
        read(f"{small.plain}.pred.tsv"),
    )
    for column in ("PRED", "PRED_SNP", "PRED_RANDOM", "PRED_COVARIATES"):
        assert_allclose(getattr(found, column), getattr(expected, column), rtol=1e-9, atol=1e-11)


def test_missing_snps(small, tmp_path):
    lacking = read(f"{small.plain}.selected.tsv").ID[:3]
    keep = ~np.isin(small.variants["ID"].to_numpy(), lacking)
    columns = np.flatnonzero(keep)
    write_plink(tmp_path / "new", small.dosages[:, columns], small.samples, small.variants[columns])
    err = predict(small, tmp_path, "--bfile", tmp_path / "new", code=3)
    assert re.search(r"3 of the model's 148 SNPs .* the first is v\d+; pass --allow-missing", err)
    found = predict(small, tmp_path, "--bfile", tmp_path / "new", "--allow-missing")
    expected = read(f"{small.plain}.pred.tsv")
    dosage, _, mean, _ = oracle(small)
    score = read(f"{small.plain}.score.tsv")
    row = {name: j for j, name in enumerate(small.variants["ID"])}
    snp = expected.PRED_SNP.copy()
    for name, beta in zip(score.ID, score.BETA, strict=True):
        if name in lacking:
            j = row[name]
            snp += beta * (mean[j] - np.where(np.isnan(dosage[:, j]), mean[j], dosage[:, j]))
    assert_allclose(found.PRED_SNP, snp, rtol=1e-9, atol=1e-11)


def test_other_alleles_are_refused(small, tmp_path):
    text = Path(f"{small.prefix}.bim").read_text()
    (tmp_path / "new.bim").write_text(text.replace("\tA\tG\n", "\tA\tT\n"))
    arguments = ["--bfile", small.prefix, "--bim", tmp_path / "new.bim"]
    err = predict(small, tmp_path, *arguments, code=3)
    assert "expected the alleles A/G of the model, found A/T (148 SNPs in all)" in err


def test_alpha_of_predictions(small, tmp_path):
    alphas = read(f"{small.plain}.path.tsv").ALPHA
    coef = read(f"{small.plain}.coef.tsv")
    dosage, _, mean, _ = oracle(small)
    row = {name: j for j, name in enumerate(small.variants["ID"])}
    copies = np.where(np.isnan(dosage), mean, dosage)
    for k in (0, 30, 99):
        found = predict(small, tmp_path, "--bfile", small.prefix, "--alpha", float(alphas[k]))
        here = k == coef.INDEX
        columns = [row[name] for name in coef.ID[here]]
        assert_allclose(found.PRED_SNP, copies[:, columns] @ coef.BETA[here], atol=1e-10)
    between = predict(
        small, tmp_path, "--bfile", small.prefix, "--alpha", (alphas[30] + alphas[31]) / 2
    )
    assert np.isfinite(between.PRED).all()
    err = predict(small, tmp_path, "--bfile", small.prefix, "--alpha", alphas[-1] / 2, code=3)
    assert "alpha: expected" in err


def test_the_fit_predicts_at_its_last_alpha(fit, small, tmp_path):
    alphas = read(f"{small.plain}.path.tsv").ALPHA
    fit("--alpha", ",".join(repr(float(a)) for a in alphas[[40, 10, 20]]))
    assert list(read(tmp_path / "P.path.tsv").ALPHA) == list(alphas[[10, 20, 40]])
    found = predict(small, tmp_path, "--bfile", small.prefix, "--alpha", float(alphas[40]))
    assert_allclose(read(tmp_path / "P.pred.tsv").PRED, found.PRED, rtol=1e-6)


def test_blup_above_alpha_max(fit, small, tmp_path):
    fit("--alpha", 1e6)
    assert read(tmp_path / "P.coef.tsv").n_rows == 0
    assert read(tmp_path / "P.score.tsv").n_rows == 0
    assert read(tmp_path / "P.selected.tsv").header == COLUMNS["selected.tsv"].split()
    X, K = oracle(small)[1], small.K
    null = json.loads((tmp_path / "P.null.json").read_text())
    C = np.ones((90, 1))
    blup = ref.predict(np.zeros(150), small.y, X, C, K, null["delta"], X, C, K)
    found = read(tmp_path / "P.pred.tsv")
    assert_allclose(found.PRED, blup.total, rtol=1e-6)
    assert np.all(found.PRED_SNP == 0)


def test_max_active(fit, small, tmp_path):
    whole = read(f"{small.plain}.path.tsv")
    for limit in (0, 1, 7):
        fit("--max-active", limit)
        part = read(tmp_path / "P.path.tsv")
        assert part.N_ACTIVE.max() <= limit
        assert whole.N_ACTIVE[part.n_rows] > limit
        assert_array_equal(part.ALPHA, whole.ALPHA[: part.n_rows])


def test_repeated_alphas_count_once(fit, small, tmp_path):
    fit("--alpha", "0.2,0.2,0.1,0.2")
    assert list(read(tmp_path / "P.path.tsv").ALPHA) == [0.2, 0.1]
    predict(small, tmp_path, "--bfile", small.prefix, model=tmp_path / "P")


def test_model_alphas(fit, small, tmp_path):
    alphas = read(f"{small.plain}.path.tsv").ALPHA
    whole, last = fit("--model-alphas", "all"), fit("--model-alphas", "last", name="L")
    assert len(last[".model.npz"]) < len(whole[".model.npz"]) / 3
    whole.pop(".model.npz"), last.pop(".model.npz")
    assert whole == last
    arguments = ["--bfile", small.prefix]
    predict(small, tmp_path, *arguments, model=tmp_path / "L")
    assert results(tmp_path / "Q") == {".pred.tsv": last[".pred.tsv"]}
    err = predict(small, tmp_path, *arguments, "--alpha", alphas[50], model=tmp_path / "L", code=3)
    assert "--model-alphas" in err or "alpha: expected" in err


# --- the demonstration ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "demo"
    return out, lmmlasso("demo", "--out", out)


def test_demo_writes_every_file(demo):
    out, err = demo
    extra = {".bed", ".bim", ".fam", ".pheno.tsv", ".truth.tsv", ".null.json", ".model.npz"}
    assert set(results(out)) == extra | {f".{name}" for name in COLUMNS}
    for name, columns in COLUMNS.items():
        assert read(f"{out}.{name}").header == columns.split()
    assert run_json(out)["exit"]["state"] == "ok"
    assert run_json(out)["timings"]["total"] < 20
    assert re.search(r"found (\d) of 8 causal loci; \d+ of \d+ selected SNPs stand for one", err)


def test_demo_finds_what_is_there(demo):
    out, err = demo
    truth, selected = read(f"{out}.truth.tsv"), read(f"{out}.selected.tsv")
    assert truth.n_rows == 8
    strongest = truth.ID[np.argmax(np.abs(truth.BETA_STD))]
    assert strongest in selected.ID
    found = int(re.search(r"found (\d) of 8", err)[1])
    assert found >= 4
    assert set(truth.ID) & set(selected.ID)


def test_demo_files_are_input_of_fit(demo, tmp_path):
    out, _ = demo
    arguments = ["--bfile", out, "--pheno", f"{out}.pheno.tsv", "--max-active", 16]
    lmmlasso("fit", *arguments, "--out", tmp_path / "P")
    expected = results(out)
    assert all(expected[suffix] == content for suffix, content in results(tmp_path / "P").items())


# --- a terminal ----------------------------------------------------------------------------------


def test_plain_lines_without_a_terminal(small):
    lines = [line for line in small.err.splitlines() if re.fullmatch(r"path: \d+ of 100", line)]
    assert lines == [f"path: {k} of 100" for k in range(10, 101, 10)]
    assert "\r" not in small.err


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
def test_progress_bar_on_a_terminal(small, tmp_path):
    import pty

    ours, theirs = pty.openpty()
    arguments = [*small.base, "--out", tmp_path / "P"]
    child = process("fit", *arguments, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # Linux's way of telling the end
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert child.wait() == 0
    assert b"100%" in shown
    assert b"path: 10 of 100" not in shown
    assert results(tmp_path / "P") == results(small.plain)
