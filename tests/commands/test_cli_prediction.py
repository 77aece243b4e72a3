"""The command line: covariates, transformations, predictions and models."""

import json
import re
import shutil
import subprocess
from pathlib import Path

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
    read,
    results,
    run_json,
    write_table,
)
from numpy.testing import assert_allclose, assert_array_equal

from lmmlasso_fast.io.plink_write import write_plink

pytestmark = pytest.mark.promise("peers")

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


def test_a_number_with_the_name_of_the_level_without_indicator(small, tmp_path):
    ids = {name: small.samples[name].to_list() for name in ("FID", "IID")}
    columns = {"batch": ["1x", "2x", "2x"] * 30, "batch=1x": np.sin(np.arange(90))}
    covar = ["--covar", write_table(tmp_path / "c.tsv", **ids, **columns)]
    lmmlasso("fit", *small.base, *covar, "--n-alphas", 3, "--out", tmp_path / "P")
    model = ["--model", tmp_path / "P.model.npz", "--bfile", small.prefix]
    lmmlasso("predict", *model, *covar, "--out", tmp_path / "Q")
    expected = read(tmp_path / "P.pred.tsv").PRED_COVARIATES
    assert len(np.unique(expected)) == 90
    assert_allclose(read(tmp_path / "Q.pred.tsv").PRED_COVARIATES, expected, rtol=1e-12)


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
    assert "bring the genotypes to the strand" in err


def test_snps_of_other_names_are_refused(small, tmp_path):
    lines = [line.split("\t") for line in Path(f"{small.prefix}.bim").read_text().splitlines()]
    renamed = "\n".join("\t".join([row[0], f"new{row[1]}", *row[2:]]) for row in lines)
    (tmp_path / "new.bim").write_text(renamed + "\n")
    arguments = ["--bfile", small.prefix, "--bim", tmp_path / "new.bim"]
    err = predict(small, tmp_path, *arguments, code=3)
    assert "found none of its" in err
    assert "rename the SNPs" in err


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


# --- P.score.tsv read by PLINK 2 -----------------------------------------------------------------


def plink2(*arguments):
    """Run PLINK 2, or skip the test where there is none."""
    if shutil.which("plink2") is None:
        pytest.skip("needs plink2 (Debian package plink2)")
    command = ["plink2", *(str(part) for part in arguments), "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-500:]}{done.stderr[-500:]}"


@pytest.fixture
def dummy(tmp_path):
    """Flags of data that PLINK 2 makes (some missing, three chromosomes), and the odd ids in it."""
    n, p = 80, 300
    size = ["--dummy", n, p, "0.002", "acgt", "--seed", 3]
    plink2(*size, "--make-bed", "--out", tmp_path / "d")
    rows = [line.split("\t") for line in (tmp_path / "d.bim").read_text().splitlines()]
    odd = {3: "rs=;3|x", 5: "007", 8: "nan", 9: "=cmd()", 11: "größe", 13: "1:5:A:T"}
    for j, row in enumerate(rows):
        row[0], row[1], row[3] = ("1", "7", "22")[j // 100], odd.get(j, row[1]), str(10 + j)
    text = "".join("\t".join(row) + "\n" for row in rows)
    (tmp_path / "d.bim").write_text(text, encoding="utf-8")
    samples = [(f"f{i % 5}", f"{['', '0', 'é-'][i % 3]}{i + 1}") for i in range(n)]
    text = "".join(f"{fid}\t{iid}\t0\t0\t2\t-9\n" for fid, iid in samples)
    (tmp_path / "d.fam").write_text(text, encoding="utf-8")
    copies = np.nan_to_num(decode(tmp_path / "d"))
    # the SNPs of odd ids have effects, so that they are selected
    y = copies[:, list(odd)].sum(axis=1) + np.random.default_rng(3).standard_normal(n) / 4
    ids = {"FID": [fid for fid, _ in samples], "IID": [iid for _, iid in samples]}
    phenotype = ["--pheno", write_table(tmp_path / "y.tsv", **ids, Y=y)]
    return ["--bfile", tmp_path / "d"], phenotype, set(odd.values())


@pytest.fixture
def mouse(data_dir, tmp_path):
    """The same of the mice; PLINK leaves out negative positions, which mean that there is none."""
    folder = data_dir / "mouse_hs1940"
    rows = [line.split("\t") for line in (folder / "mouse_hs1940.bim").read_text().splitlines()]
    chosen = tmp_path / "snps"
    chosen.write_text("".join(f"{row[1]}\n" for row in rows if int(row[3]) >= 0))
    genotypes = ["--bfile", folder / "mouse_hs1940", "--extract", chosen]
    return genotypes, ["--pheno", folder / "phenotypes.tsv", "--pheno-name", "CD8"], set()


@pytest.mark.parametrize("source", ["dummy", "mouse"])
def test_plink2_score_is_pred_snp(source, request, tmp_path):
    """On SNPs without missing genotypes; PLINK writes six digits."""
    genotypes, phenotype, odd = request.getfixturevalue(source)
    out = tmp_path / "P"
    options = ["--geno", 0, "--max-active", 20, "--out", out]
    lmmlasso("fit", *genotypes, *phenotype, *options)
    score = read(f"{out}.score.tsv")
    assert score.n_rows >= 10
    assert len(odd & set(score.ID)) >= len(odd) / 2  # others have missing genotypes
    columns = ["1", "2", "3", "header", "cols=+scoresums"]
    plink2(*genotypes, "--nonfounders", "--score", f"{out}.score.tsv", *columns, "--out", out)
    ours = read(f"{out}.pred.tsv")
    theirs = pl.read_csv(f"{out}.sscore", separator="\t", infer_schema=False)
    sums = {(row["#FID"], row["IID"]): float(row["SCORE1_SUM"]) for row in theirs.to_dicts()}
    expected = [sums[pair] for pair in zip(ours.FID, ours.IID, strict=True)]
    assert np.std(ours.PRED_SNP) > 0.05
    assert_allclose(ours.PRED_SNP, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
