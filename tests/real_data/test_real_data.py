"""Real genotypes: what the command line must find in the mouse and Arabidopsis data.

Everything needs the folder of LMMLASSO_DATA (see conftest.py). The published example of 176 samples
is in test_compat.py.
"""

import json
import shutil
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import reference as ref
from cli_files import COLUMNS, decode, lmmlasso, log, read, results, run_json
from numpy.testing import assert_allclose, assert_array_equal

import lmmlasso_fast as ll

pytestmark = pytest.mark.promise("peers")


def fileset(data_dir, name):
    folder = data_dir / name
    return ["--bfile", folder / name, "--pheno", folder / "phenotypes.tsv"]


def null_json(prefix):
    return json.loads(Path(f"{prefix}.null.json").read_text())


def coefficients(prefix, ids):
    """(alphas, p x m coefficients of standardised SNPs) from P.path.tsv and P.coef.tsv."""
    path, coef = read(f"{prefix}.path.tsv"), read(f"{prefix}.coef.tsv")
    row = {name: j for j, name in enumerate(ids)}
    assert len(row) == len(ids)
    beta = np.zeros((len(ids), path.n_rows))
    beta[[row[name] for name in coef.ID], coef.INDEX.astype(int)] = coef.BETA_STD
    return path.ALPHA, beta


# --- mouse --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mouse(data_dir, tmp_path_factory):
    """CD8, standardised, 100 alphas down to a tenth of alpha_max; and everything dense."""
    folder = tmp_path_factory.mktemp("mouse")
    base = [*fileset(data_dir, "mouse_hs1940"), "--pheno-name", "CD8"]
    prefix = folder / "cd8"
    lmmlasso("fit", *base, "--standardize", "--eps", 0.1, "--out", prefix)
    source = data_dir / "mouse_hs1940" / "mouse_hs1940"
    cd8 = read(data_dir / "mouse_hs1940" / "phenotypes.tsv").CD8
    has = ~np.isnan(cd8)
    dosage = decode(source)
    X, mean, sd = ref.standardise(dosage[has])
    ids = [line.split("\t")[1] for line in Path(f"{source}.bim").read_text().splitlines()]
    K, scale = ref.scale_to_unit_diagonal(ref.kinship_rrm(X, (sd > 0).sum()))
    return SimpleNamespace(
        base=base, prefix=prefix, source=source, y=cd8[has], has=has, dosage=dosage, X=X,
        mean=mean, sd=sd, ids=ids, K=K, scale=scale, folder=folder,
    )  # fmt: skip


@pytest.fixture(scope="module")
def mouse_kinship(mouse):
    genotypes = ll.read_plink(mouse.source).subset(mouse.has)
    return ll.kinship(genotypes)


def test_mouse_counts(mouse):
    counts = run_json(mouse.prefix)["counts"]
    assert counts["samples"] == 1410
    assert counts["variants"] == 10_992
    assert counts["excluded"] == {"monomorphic": 1234}
    excluded = read(f"{mouse.prefix}.excluded.tsv")
    assert excluded.n_rows == 1234
    assert set(excluded.REASON) == {"monomorphic"}
    assert set(excluded.ID) == {mouse.ids[j] for j in np.flatnonzero(mouse.sd == 0)}
    text = log(mouse.prefix)
    assert "1410 samples have it, 530 do not and are dropped" in text
    assert "10992 SNPs offered to the model, 1234 not (1234 monomorphic)" in text
    assert set(results(mouse.prefix)) == {
        f".{name}" for name in [*COLUMNS, "null.json", "model.npz"]
    }


def test_mouse_duplicates(mouse):
    duplicates = read(f"{mouse.prefix}.duplicates.tsv")
    expected = ref.duplicates(mouse.dosage[mouse.has])
    found = zip(duplicates.ID, duplicates.KEPT_ID, duplicates.SIGN, strict=True)
    assert list(found) == [(mouse.ids[j], mouse.ids[k], sign) for j, k, sign in expected]


def test_mouse_without_phenotype_has_fewer_monomorphic_snps(mouse, tmp_path):
    genotypes = ll.read_plink(mouse.source)
    assert len(genotypes.excluded) == 1230
    assert (ref.standardise(mouse.dosage)[2] == 0).sum() == 1230


def test_mouse_null_model(mouse, mouse_kinship):
    ml = ll.fit_null(mouse.y, mouse_kinship)
    assert_allclose(ml.log_delta, -0.394077, atol=1e-5)
    assert_allclose(-ml.log_likelihood, 1586.778024, atol=1e-4)
    reml = ll.fit_null(mouse.y, mouse_kinship, method="reml")
    assert_allclose(reml.log_delta, -0.391439, atol=1e-5)
    null = null_json(mouse.prefix)  # of the standardised phenotype
    assert_allclose(null["log_delta"], -0.394077, atol=1e-5)
    assert_allclose(-null["log_likelihood"], 1587.430366, atol=1e-4)
    assert null["n_samples"] == 1410
    assert null["kinship"]["n_variants"] == 10_992
    assert null["at_boundary"] is False
    assert null["multimodal"] is False
    assert_allclose(null["h2"], 1 / (1 + null["delta"]))
    assert_allclose(null["kinship"]["scale"], mouse.scale, rtol=1e-6)


def test_mouse_gaps_recomputed_from_the_coefficients(mouse):
    """All 100 alphas, in float64 numpy and with a kinship that the package did not compute."""
    y = (mouse.y - mouse.y.mean()) / mouse.y.std()
    n = len(y)
    alphas, beta = coefficients(mouse.prefix, mouse.ids)
    assert len(alphas) == 100
    assert_allclose(alphas[-1], 0.1 * alphas[0])
    P = ref.precision(mouse.K, null_json(mouse.prefix)["delta"], np.ones((n, 1)))
    used = np.flatnonzero(beta.any(axis=1))
    residual = y[:, None] - mouse.X[:, used] @ beta[used]
    v = P @ residual
    gradient = np.abs(mouse.X.T @ v).max(axis=0)
    rr, yr, yy = np.sum(residual * v, axis=0), y @ v, y @ P @ y
    penalty = alphas * np.abs(beta).sum(axis=0)
    primal = rr / (2 * n) + penalty
    scale = np.minimum(yr / rr, n * alphas / gradient)
    dual = (scale * yr - scale**2 * rr / 2) / n
    gaps = (primal - dual) / (yy / (2 * n))
    assert gaps.max() <= 1e-6
    assert read(f"{mouse.prefix}.path.tsv").CONVERGED.all()
    assert_allclose(alphas[0], np.abs(mouse.X.T @ (P @ y)).max() / n, rtol=1e-5)
    # the objective on the scale of the original publication
    assert_allclose(n * primal[-1], 249.62262, atol=5e-4)


def test_mouse_predictions_are_dense_algebra(mouse):
    y = (mouse.y - mouse.y.mean()) / mouse.y.std()
    _, beta = coefficients(mouse.prefix, mouse.ids)
    C = np.ones((len(y), 1))
    delta = null_json(mouse.prefix)["delta"]
    wanted = ref.predict(beta[:, -1], y, mouse.X, C, mouse.K, delta, mouse.X, C, mouse.K)
    found = read(f"{mouse.prefix}.pred.tsv")
    assert_allclose(found.PRED_RANDOM, wanted.random, atol=2e-5)
    assert_allclose(found.PRED, mouse.y.mean() + mouse.y.std() * wanted.total, atol=2e-5)
    score = read(f"{mouse.prefix}.score.tsv")
    row = {name: j for j, name in enumerate(mouse.ids)}
    columns = [row[name] for name in score.ID]
    copies = mouse.dosage[mouse.has][:, columns]
    copies = np.where(np.isnan(copies), mouse.mean[columns], copies)
    assert_allclose(found.PRED_SNP, copies @ score.BETA, atol=1e-9)


def test_mouse_model_predicts_from_a_file(mouse, tmp_path):
    model = ["--model", f"{mouse.prefix}.model.npz", "--bfile", mouse.source]
    lmmlasso("predict", *model, "--out", tmp_path / "P")
    everybody, trained = read(tmp_path / "P.pred.tsv"), read(f"{mouse.prefix}.pred.tsv")
    assert everybody.n_rows == 1940
    assert list(everybody.IID[mouse.has]) == list(trained.IID)
    assert_allclose(everybody.PRED[mouse.has], trained.PRED, atol=1e-12)


def test_mouse_train_and_test(mouse, data_dir, tmp_path):
    """Train on one half, predict the other as a breeder would, against dense algebra."""
    base = [*fileset(data_dir, "mouse_hs1940"), "--pheno-name", "CD8_train"]
    lmmlasso("fit", *base, "--eps", 0.1, "--n-alphas", 20, "--out", tmp_path / "P")
    model = ["--model", tmp_path / "P.model.npz", "--bfile", mouse.source]
    lmmlasso("predict", *model, "--out", tmp_path / "Q")
    table = read(data_dir / "mouse_hs1940" / "phenotypes.tsv")
    train, test = ~np.isnan(table.CD8_train), ~np.isnan(table.CD8_test)
    assert not (train & test).any()
    X, mean, sd = ref.standardise(mouse.dosage[train])
    X_new = ref.standardise_with(mouse.dosage[test], mean, sd)
    p = (sd > 0).sum()
    K, scale = ref.scale_to_unit_diagonal(ref.kinship_rrm(X, p))
    K_new = ref.kinship_rrm_new(X_new, X, p, scale)
    _, beta = coefficients(tmp_path / "P", mouse.ids)
    C, C_new = np.ones((len(X), 1)), np.ones((len(X_new), 1))
    delta = null_json(tmp_path / "P")["delta"]
    y = table.CD8_train[train]
    wanted = ref.predict(beta[:, -1], y, X, C, K, delta, X_new, C_new, K_new)
    found = read(tmp_path / "Q.pred.tsv").PRED[test]
    assert_allclose(found, wanted.total, atol=2e-5)
    assert np.corrcoef(found, table.CD8_test[test])[0, 1] > 0.45


def test_mouse_with_the_kinship_of_gemma(mouse, tmp_path):
    """`gemma -gk 2` on the same fileset: PVE 0.6015, standard error 0.0327."""
    gemma = shutil.which("gemma")
    if gemma is None:
        pytest.skip("needs the program gemma: install the Debian package gemma")
    # GEMMA leaves samples out whose column 6 of the .fam is NA: it must hold CD8, as here.
    sixth = [line.split("\t")[5] for line in Path(f"{mouse.source}.fam").read_text().splitlines()]
    assert [text != "NA" for text in sixth] == list(mouse.has)
    subprocess.run(
        [gemma, "-bfile", mouse.source, "-gk", "2", "-o", "g", "-outdir", tmp_path],
        check=True,
        capture_output=True,
    )
    given = ["--kinship", tmp_path / "g.sXX.txt", "--method", "reml"]
    lmmlasso("null", *mouse.base, *given, "--out", tmp_path / "P")
    null = null_json(tmp_path / "P")
    print(f"GEMMA's matrix: h2 {null['h2']:.6f}, standard error {null['h2_se']:.6f}")
    assert null["method"] == "reml"
    assert null["kinship"]["estimator"] == "gemma-standardized"
    assert_allclose(null["h2"], 0.6015, atol=0.001)
    assert_allclose(null["h2_se"], 0.0327, atol=0.001)


def test_mouse_categorical_covariates(data_dir, tmp_path):
    """The other release: sex, season and cage density as covariates of a blood value."""
    base = fileset(data_dir, "mouse_hs1814")
    table = data_dir / "mouse_hs1814" / "phenotypes.tsv"
    arguments = ["--pheno-name", "Biochem.ALP", "--covar", table]
    names = ["GENDER", "Obesity.Date.Season", "CageDensity"]
    lmmlasso("null", *base, *arguments, "--covar-name", ",".join(names), "--out", tmp_path / "P")
    columns = [getattr(read(table), name) for name in ("Biochem.ALP", *names)]
    complete = np.ones(1814, dtype=bool)
    for column in columns:
        complete &= np.array([value == value and value != "NA" for value in column])
    null = null_json(tmp_path / "P")
    assert null["n_samples"] == complete.sum() > 1000
    gender, season = (sorted(set(column[complete])) for column in columns[1:3])
    assert list(null["covariates"]) == [
        "intercept",
        *(f"GENDER={level}" for level in gender[1:]),
        *(f"Obesity.Date.Season={level}" for level in season[1:]),
        "CageDensity",
    ]
    assert 0 < null["h2"] < 1
    assert null["h2_se"] > 0


# --- Arabidopsis --------------------------------------------------------------------------------


def test_arabidopsis_whole_genome(data_dir, tmp_path):
    """84 x 216,100 in under 10 s, kinship included; the optimum is an end of the interval."""
    start = time.perf_counter()
    lmmlasso("fit", *fileset(data_dir, "arabidopsis_84"), "--out", tmp_path / "P")
    assert time.perf_counter() - start < 10
    null = null_json(tmp_path / "P")
    assert null["at_boundary"] is True
    assert null["log_delta"] == -5
    assert null["h2_se"] is None
    assert run_json(tmp_path / "P")["exit"] == {"code": 0, "state": "ok"}
    assert "at the boundary of the search interval" in log(tmp_path / "P")
    path = read(tmp_path / "P.path.tsv")
    assert path.n_rows == 100
    assert path.CONVERGED.all()
    model = ["--model", tmp_path / "P.model.npz", *fileset(data_dir, "arabidopsis_84")[:2]]
    lmmlasso("predict", *model, "--out", tmp_path / "Q")
    assert results(tmp_path / "Q")[".pred.tsv"] == results(tmp_path / "P")[".pred.tsv"]


def test_arabidopsis_flowering_time(data_dir, tmp_path):
    base = [*fileset(data_dir, "arabidopsis_chr5"), "--pheno-name", "FT16"]
    lmmlasso("fit", *base, "--eps", 0.1, "--out", tmp_path / "P")
    null, counts = null_json(tmp_path / "P"), run_json(tmp_path / "P")["counts"]
    source = data_dir / "arabidopsis_chr5" / "arabidopsis_chr5"
    table = read(data_dir / "arabidopsis_chr5" / "phenotypes.tsv")
    has = ~np.isnan(table.FT16)
    assert counts["samples"] == has.sum()
    assert counts["variants"] + sum(counts["excluded"].values()) == 53_859
    X, _, sd = ref.standardise(decode(source)[has])
    assert counts["variants"] == (sd > 0).sum()
    K, _ = ref.scale_to_unit_diagonal(ref.kinship_rrm(X, (sd > 0).sum()))
    y, C = table.FT16[has], np.ones((has.sum(), 1))
    if not null["at_boundary"]:
        assert_allclose(null["log_delta"], ref.fit_null(y, K, C).log_delta, atol=1e-4)
    W, M = ref.whitening(K, null["delta"], C)
    Xw, yw = M @ (W @ X), M @ (W @ y)
    ids = [line.split("\t")[1] for line in Path(f"{source}.bim").read_text().splitlines()]
    alphas, beta = coefficients(tmp_path / "P", ids)
    assert len(alphas) == 100
    for k in range(0, 100, 9):
        assert ref.relative_gap(beta[:, k], Xw, yw, alphas[k]) <= 1e-6


def test_large_delta_is_the_plain_lasso(data_dir):
    """log delta = 30 at tol 1e-12, null=None and scikit-learn agree at 1e-8, alpha rescaled."""
    from sklearn.linear_model import Lasso

    source = data_dir / "arabidopsis_chr5" / "arabidopsis_chr5"
    table = read(data_dir / "arabidopsis_chr5" / "phenotypes.tsv")
    has = ~np.isnan(table.FT16)
    y = table.FT16[has]
    genotypes = ll.read_plink(source).subset(has)
    delta = np.exp(30.0)
    plain = ll.lasso_path(genotypes, y, n_alphas=6, eps=0.3, tol=1e-12)
    null = ll.fit_null(y, ll.kinship(genotypes), log_delta=30.0)
    whitened = ll.lasso_path(genotypes, y, null, alphas=plain.alphas / delta, tol=1e-12)
    assert plain.converged.all()
    assert whitened.converged.all()
    X, *_ = ref.standardise(decode(source)[has])
    X = np.asfortranarray(X)

    def solution(beta, alpha):
        fitted = X @ beta
        residual = y - y.mean() - (fitted - fitted.mean())
        value = residual @ residual / (2 * len(y)) + alpha * np.abs(beta).sum()
        return value, fitted - fitted.mean()

    for k, alpha in enumerate(plain.alphas):
        one, two = (path.coefs[:, [k]].toarray()[:, 0] for path in (plain, whitened))
        value, fitted = solution(one, alpha)
        other_value, other_fitted = solution(two, alpha)
        spread = np.abs(y - y.mean()).max()
        assert_allclose(other_value, value, rtol=1e-8)
        assert_allclose(other_fitted, fitted, rtol=0, atol=1e-8 * spread)
        if k in (2, 5):
            lasso = Lasso(alpha=alpha, tol=1e-14, max_iter=100_000).fit(X, y)
            sklearn_value, sklearn_fitted = solution(lasso.coef_, alpha)
            assert_allclose(value, sklearn_value, rtol=1e-8)
            assert_allclose(fitted, sklearn_fitted, rtol=0, atol=1e-8 * spread)


def test_an_accession_that_is_the_reference_may_be_the_last(data_dir, tmp_path):
    """Accession 7000 is 00 at all 53,859 SNPs: where it is the last, it looks like unused bits."""
    folder = data_dir / "arabidopsis_chr5"
    given = ll.read_plink(folder / "arabidopsis_chr5")
    assert given.samples["IID"][0] == "7000"
    order = np.append(np.arange(1, given.n_samples), 0)
    dosages = decode(folder / "arabidopsis_chr5")[order].astype(np.int8)  # none is missing
    assert not given.n_missing.any()
    assert (dosages[-1] == 2).all()
    samples = given.samples[order.tolist()]
    ll.simulation.write_plink(tmp_path / "last", dosages, samples, given.variants)
    with pytest.raises(ll.errors.PlinkFormatError, match=r"the last 1 of its 162 .*--accept-ref"):
        ll.read_plink(tmp_path / "last")
    found = ll.read_plink(tmp_path / "last", accept_reference_samples=True)
    assert_array_equal(found.mean, given.mean)
    assert_array_equal(found.n_missing, given.n_missing)
    rows = np.arange(0, given.n_variants, 1000)
    assert_array_equal(found.columns(rows), given.columns(rows)[order])
    out = tmp_path / "P"
    arguments = ["null", "--bfile", tmp_path / "last", "--pheno", folder / "phenotypes.tsv"]
    arguments += ["--pheno-name", "FT10", "--out", out]
    assert "--accept-reference-samples" in lmmlasso(*arguments, code=3)
    assert not Path(f"{out}.null.json").exists()
    lmmlasso(*arguments, "--accept-reference-samples")
    h2 = null_json(out)["h2"]
    lmmlasso("null", *fileset(data_dir, "arabidopsis_chr5"), "--pheno-name", "FT10", "--out", out)
    assert_allclose(h2, null_json(out)["h2"], rtol=1e-9)
