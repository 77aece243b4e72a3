"""The command line: result files and their columns, against the oracle; the demo."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import click
import numpy as np
import polars as pl
import pytest
import reference as ref
from cli_files import (
    COLUMNS,
    decode,
    design,
    lmmlasso,
    log,
    oracle,
    process,
    read,
    results,
    run_json,
    write_table,
)
from numpy.testing import assert_allclose, assert_array_equal

import lmmlasso_fast
from lmmlasso_fast.cli import main
from lmmlasso_fast.simulation import simulate_genotypes, simulate_phenotype

pytestmark = pytest.mark.promise("no-wrong-answer")

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
    assert set(content["kinship"]) == {"estimator", "samples", "n_variants", "scale"}
    assert content["kinship"]["estimator"] == "rrm"
    assert len(content["profile"]["log_delta"]) == len(content["profile"]["nll"]) > 50
    lmmlasso("null", *small.base, *small.covar, "--out", small.folder / "null")
    assert results(small.folder / "null")[".null.json"] == results(small.fit)[".null.json"]


def test_files_of_an_earlier_run_that_this_one_does_not_write_are_removed(small, tmp_path):
    out = ["--out", tmp_path / "P"]
    quick = [*small.base, "--n-alphas", 3]
    null = tmp_path / "P.null.json"
    lmmlasso("scan", *small.base, "--loco", *out)
    assert null.exists()
    lmmlasso("scan", *small.base, "--no-kinship", "--chr", "99", *out, code=3)
    assert null.exists(), "nothing has been replaced"
    lmmlasso("scan", *small.base, "--no-kinship", *out)
    assert not null.exists()
    calibrated = ["--fwer", 0.5, "--n-draws", 5]
    lmmlasso("fit", *quick, *calibrated, *out)
    found = null.read_bytes()
    lmmlasso("scan", *small.base, "--no-kinship", *out)
    assert null.read_bytes() == found, "it is of another subcommand"
    assert (tmp_path / "P.calibration.json").exists()
    lmmlasso("fit", *quick, "--no-kinship", *out)
    assert not null.exists()
    assert not (tmp_path / "P.calibration.json").exists()
    assert (tmp_path / "P.scan.tsv").exists()
    assert run_json(tmp_path / "P")["files"]["scan.tsv"] == "scan"


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"files": 3}', '{"files": {"x": []}}', "[" * 5000],
    ids=["nothing", "a list", "no files", "a number", "a list for a file", "lists in lists"],
)
def test_an_earlier_record_that_says_nothing(small, tmp_path, content):
    (tmp_path / "P.run.json").write_text(content)
    (tmp_path / "P.null.json").write_text("mine")
    lmmlasso("scan", *small.base, "--no-kinship", "--out", tmp_path / "P")
    assert (tmp_path / "P.null.json").read_text() == "mine"


def test_files_of_other_phenotypes_stay(small, tmp_path):
    two = ["--bfile", small.prefix, "--pheno", small.folder / "two.tsv"]
    lmmlasso("scan", *two, "--pheno-name", "Y,Z", "--out", tmp_path / "P")
    lmmlasso("scan", *two, "--pheno-name", "Y", "--no-kinship", "--out", tmp_path / "P")
    assert (tmp_path / "P.Y.null.json").exists()
    lmmlasso("scan", *two, "--pheno-name", "Y,Z", "--no-kinship", "--out", tmp_path / "P")
    assert not list(tmp_path.glob("P.*.null.json"))


def test_run_json(small):
    content = run_json(small.fit)
    assert content["exit"] == {"code": 0, "state": "ok"}
    assert {f".{suffix}" for suffix in content["outputs"]} == set(results(small.fit))
    assert content["version"] == lmmlasso_fast.__version__
    assert content["subcommand"] == "fit"
    assert content["options"]["tol"] == 1e-6
    assert {"numpy", "scipy"} <= set(content["packages"])
    assert content["kernels"] in ("generic", "avx2", "avx512", "amx")
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
        assert "None" not in text  # as of a range that is none
        for parameter in command.params:
            assert all(name in text for name in parameter.opts)
            assert isinstance(parameter, click.Argument) or parameter.help, parameter.name


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


# --- simulation ----------------------------------------------------------------------------------

SIMULATED = {".bed", ".bim", ".fam", ".pheno.tsv", ".truth.tsv"}


def simulate(out, *arguments, code=0):
    return lmmlasso("simulate", *arguments, "--out", out, code=code)


def test_simulate_writes_what_the_functions_draw(tmp_path):
    numbers = {"n_populations": 3, "fst": 0.2, "ld": 0.8, "missing_rate": 0.05, "n_chromosomes": 2}
    trait = {"n_causal": 4, "h2_snp": 0.5, "h2_structure": 0.2}
    flags = [
        part
        for name, value in (numbers | trait).items()
        for part in ("--" + name.replace("_", "-"), value)
    ]
    out = tmp_path / "P"
    err = simulate(out, "--n-samples", 50, "--n-variants", 400, *flags, "--inbred", "--seed", 7)
    assert set(results(out)) == SIMULATED
    expected = simulate_genotypes(50, 400, **numbers, inbred=True, seed=7)
    genotypes = lmmlasso_fast.read_plink(out)
    assert_array_equal(genotypes.dosages(np.arange(400)), expected.dosages)
    assert genotypes.variants.equals(expected.variants)
    assert genotypes.samples.equals(expected.samples)
    phenotype = simulate_phenotype(expected.dosages, **trait, seed=7)
    table = pl.read_csv(f"{out}.pheno.tsv", separator="\t")
    assert table.columns == ["FID", "IID", "Y"]
    assert table["IID"].equals(expected.samples["IID"])
    assert_array_equal(table["Y"].to_numpy(), phenotype.y)
    truth = read(f"{out}.truth.tsv")
    assert truth.header == ["ROW", "CHROM", "POS", "ID", "EFFECT_ALLELE", "BETA", "BETA_STD"]
    assert_array_equal(truth.ROW, phenotype.causal)
    assert list(truth.ID) == expected.variants["ID"][phenotype.causal].to_list()
    assert_array_equal(truth.BETA, phenotype.effects_per_allele)
    assert_array_equal(truth.BETA_STD, phenotype.effects)
    assert "simulated 50 samples of 3 populations, 400 SNPs, 4 of them causal" in err
    assert run_json(out)["counts"] == {"samples": 50, "variants": 400}
    assert run_json(out)["exit"] == {"code": 0, "state": "ok"}


def test_simulate_twice_gives_the_same_bytes(tmp_path):
    arguments = ["--n-samples", 30, "--n-variants", 200, "--missing-rate", 0.1]
    simulate(tmp_path / "a", *arguments)
    first = results(tmp_path / "a")
    simulate(tmp_path / "a", *arguments)  # over its own files
    simulate(tmp_path / "b", *arguments)
    assert results(tmp_path / "a") == results(tmp_path / "b") == first


def test_the_demo_is_a_simulation(demo, tmp_path):
    numbers = ["--n-samples", 600, "--n-variants", 6000, "--missing-rate", 0.01]
    simulate(tmp_path / "P", *numbers, "--n-causal", 8, "--h2-snp", 0.4)
    expected = results(demo[0])
    assert results(tmp_path / "P") == {suffix: expected[suffix] for suffix in SIMULATED}


def test_simulated_files_are_input_of_fit(tmp_path):
    out = tmp_path / "P"
    simulate(out, "--n-samples", 60, "--n-variants", 200)
    lmmlasso("fit", "--bfile", out, "--pheno", f"{out}.pheno.tsv", "--max-active", 3, "--out", out)
    assert results(out).keys() > SIMULATED


@pytest.mark.parametrize("suffix", ["bed", "bim", "fam", "pheno.tsv"])
def test_simulate_does_not_overwrite_other_files(tmp_path, suffix):
    mine = tmp_path / f"mine.{suffix}"
    mine.write_text("precious")
    err = simulate(tmp_path / "mine", "--n-samples", 9, "--n-variants", 9, code=3)
    assert f"{mine}: expected no file, or one of an earlier simulation" in err
    assert "which `lmmlasso simulate` would overwrite; choose another --out" in err
    assert results(tmp_path / "mine") == {f".{suffix}": b"precious"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--n-populations", 10],
            "error: --n-populations: expected between 1 and --n-samples, found 10",
        ),
        (
            ["--n-chromosomes", 21],
            "error: --n-chromosomes: expected between 1 and --n-variants, found 21",
        ),
        (
            ["--h2-snp", 0.8],
            "error: --h2-structure: expected between 0 and 0.2 (1 - --h2-snp), found 0.3",
        ),
        (["--n-causal", 0], "error: --h2-snp: expected 0 when --n-causal is 0, found 0.3"),
        (
            ["--h2-snp", 0, "--n-causal", 3],
            "error: --n-causal: expected 0 when --h2-snp is 0, found 3",
        ),
        (["--n-causal", 21], "error: --n-causal: expected at most"),
    ],
)
def test_simulations_that_cannot_be(tmp_path, arguments, message):
    out = tmp_path / "P"
    err = simulate(out, "--n-samples", 9, "--n-variants", 20, "--seed", 2, *arguments, code=3)
    assert message in err
    assert results(out) == {}
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("flag", ["--n-samples", "--n-variants"])
def test_simulate_needs_its_size(tmp_path, flag):
    given = [*{"--n-samples": 9, "--n-variants": 9}.items()]
    arguments = [part for name, value in given if name != flag for part in (name, value)]
    assert f"Missing option '{flag}'" in simulate(tmp_path / "P", *arguments, code=2)


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


def test_the_demo_does_not_overwrite_another_fileset(small, tmp_path):
    for end in ("bed", "bim", "fam"):
        shutil.copy(f"{small.prefix}.{end}", tmp_path / f"mine.{end}")
    before = (tmp_path / "mine.bed").read_bytes()
    err = lmmlasso("demo", "--out", tmp_path / "mine", code=3)
    assert "which `lmmlasso demo` would overwrite; choose another --out" in err
    assert (tmp_path / "mine.bed").read_bytes() == before


def test_errors_of_values_name_their_file(small, tmp_path):
    A = -np.eye(90) + 2 * np.ones((90, 90))
    np.savetxt(tmp_path / "indefinite.cXX.txt", A)
    given = ["--kinship", tmp_path / "indefinite.cXX.txt"]
    err = lmmlasso("null", *small.base, *given, "--out", tmp_path / "P", code=3)
    assert "indefinite.cXX.txt: kinship: expected a positive semi-definite matrix, found" in err
    ids = {name: small.samples[name].to_list() for name in ("FID", "IID")}
    path = write_table(tmp_path / "constant.tsv", **ids, Y=[1.0] * 90)
    base = ["--bfile", small.prefix, "--pheno", path]
    err = lmmlasso("null", *base, "--out", tmp_path / "P", code=3)
    assert f"phenotype Y of {path}: " in err
