"""Penalty factors that are the lengths of the whitened SNPs: their definition, and who uses them.

Folds and replicates, each with its own factors, are held against the oracle in
test_cross_validation.py and test_stability.py.
"""

import json
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import reference as ref
from cli_files import decode, lmmlasso, read, run_json
from numpy.testing import assert_allclose, assert_array_equal
from problems import certify, covariance, dense, from_array, mixed_problem, plain_problem
from sklearn.base import clone

import lmmlasso_fast as ll
from lmmlasso_fast import norms
from lmmlasso_fast.errors import GenotypeError, InputError
from lmmlasso_fast.p_values import make_plan, run_splits
from lmmlasso_fast.path import PathOptions
from lmmlasso_fast.refit import refit_path
from lmmlasso_fast.stability import stability_selection

pytestmark = pytest.mark.promise("peers")

LOG_DELTAS = [-5.0, 0.5, 5.0, np.nan]
#: What float32 may have wrong of a length, and nothing else.
FLOAT32 = 1e-6


def example(seed, log_delta, **options):
    """(problem, what `lasso_path` takes besides); log_delta nan: no random effect.

    The covariate is SNP 20, of which 21 is a copy and 22 one with swapped alleles.
    """
    drawn = plain_problem(seed, n_covariates=1, missing=0.0, **options)
    D = drawn.D
    D[:, 21], D[:, 22] = D[:, 20], 2 - D[:, 20]
    X, _, _ = ref.standardise(D)
    problem = SimpleNamespace(D=D, X=X, y=drawn.y, n=drawn.n, p=drawn.p, genotypes=from_array(D))
    problem.C = np.column_stack([np.ones(drawn.n), D[:, 20]])
    if np.isnan(log_delta):
        return problem, {"null": None, "covariates": D[:, [20]]}
    K = ll.kinship(problem.genotypes)
    null = ll.fit_null(problem.y, K, D[:, [20]], log_delta=log_delta)
    return problem, {"null": null}


def expected_factors(X, path):
    null = path.null
    K, delta = (None, None) if null is None else (covariance(null), null.delta)
    return ref.whitened_factors(X, K, delta, path.design.matrix)


def assert_same_solutions(one, other):
    for field in fields(one):
        if field.name in ("null", "design", "coefs", "whitened_factors"):
            continue
        assert_array_equal(getattr(one, field.name), getattr(other, field.name), field.name)
    assert (one.coefs != other.coefs).nnz == 0


# ---- the definition --------------------------------------------------------------------------


@pytest.mark.parametrize("log_delta", LOG_DELTAS)
@pytest.mark.parametrize("form", ["spectrum", "tridiagonal"])
@pytest.mark.parametrize("kind", ["packed", "dense", "in_float32"])
def test_the_path_is_the_lasso_with_the_lengths_as_factors(
    log_delta, form, kind, request, monkeypatch
):
    if form == "tridiagonal":
        request.getfixturevalue("tridiagonal_form")
    worth = 0 if kind == "in_float32" else np.inf
    monkeypatch.setattr(norms, "_WORTH_A_FACTOR", worth)
    problem, options = example(1, log_delta, n=45, p=90)
    genotypes = dense(problem.D) if kind == "dense" else problem.genotypes
    path = ll.lasso_path(
        genotypes, problem.y, n_alphas=15, eps=0.05, penalty_factors="whitened", **options
    )
    expected = expected_factors(problem.X, path)
    assert_allclose(path.penalty_factors, expected, rtol=FLOAT32 if worth == 0 else 1e-9)
    # in the span of the covariates; the constant SNPs
    assert_array_equal(np.flatnonzero(np.isinf(expected)), [9, 10, 20, 21, 22])
    finite = path.penalty_factors[np.isfinite(expected)]
    assert finite.mean() == pytest.approx(1.0, rel=1e-12)
    assert path.whitened_factors
    assert path.converged.all()
    certify(path, problem.X, problem.y, path.penalty_factors)
    # every SNP that may enter has the same length where the Lasso sees it
    first = np.flatnonzero(path.alpha_entry == np.nanmax(path.alpha_entry))
    K, delta = (None, None) if path.null is None else (covariance(path.null), path.null.delta)
    W, M = ref.whitening(K, delta, problem.C)
    offered = np.isfinite(expected)
    Xw = M @ W @ problem.X[:, offered]
    correlations = np.abs(Xw.T @ (M @ W @ problem.y)) / np.linalg.norm(Xw, axis=0)
    assert np.flatnonzero(offered)[correlations.argmax()] in first


@pytest.mark.parametrize("log_delta", [0.5, np.nan])
@pytest.mark.parametrize("p", [90, 400])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_the_factors_of_the_path_reproduce_it_bit_for_bit(log_delta, p, l1_ratio):
    """With 400 SNPs they are computed in float32."""
    problem, options = example(2, log_delta, n=60, p=p)
    options |= {"n_alphas": 20, "eps": 0.05, "l1_ratio": l1_ratio}
    path = ll.lasso_path(problem.genotypes, problem.y, penalty_factors="whitened", **options)
    given = ll.lasso_path(
        problem.genotypes, problem.y, penalty_factors=path.penalty_factors, **options
    )
    assert_same_solutions(path, given)
    assert not given.whitened_factors
    for n_threads in (1, 2, 3):
        again = ll.lasso_path(
            problem.genotypes, problem.y, penalty_factors="whitened", n_threads=n_threads, **options
        )
        assert_same_solutions(path, again)


@pytest.mark.parametrize("worth", [0, np.inf])
def test_copies_of_a_snp_tie_exactly(worth, monkeypatch):
    monkeypatch.setattr(norms, "_WORTH_A_FACTOR", worth)
    problem = mixed_problem(3, n=50, p=300, missing=0.1)
    D = np.hstack([problem.D, 2 - problem.D[:, ::-1], problem.D])
    genotypes = from_array(D)
    null = ll.fit_null(problem.y, ll.kinship(genotypes))
    path = ll.lasso_path(genotypes, problem.y, null, n_alphas=20, penalty_factors="whitened")
    first, flipped, again = path.penalty_factors.reshape(3, -1)
    assert_array_equal(first, flipped[::-1])
    assert_array_equal(first, again)
    assert path.converged.all()


def test_filtered_snps_do_not_count():
    problem = mixed_problem(4, n=50, p=80)
    half = problem.genotypes._exclude(np.arange(80) % 2 == 1, "exclude")
    options = {"n_alphas": 8, "penalty_factors": "whitened"}
    path = ll.lasso_path(half, problem.y, problem.null, **options)
    assert np.isinf(path.penalty_factors[1::2]).all()
    alone = from_array(problem.D[:, ::2])
    other = ll.lasso_path(alone, problem.y, problem.null, **options)
    assert_allclose(path.penalty_factors[::2], other.penalty_factors, rtol=1e-12)
    assert_allclose(path.coefs.toarray()[::2], other.coefs.toarray(), rtol=1e-8, atol=1e-10)


def test_units_and_the_scale_of_the_kinship_change_nothing():
    problem = mixed_problem(5, n=50, p=80)

    def fit(y, K):
        null = ll.fit_null(y, K, problem.covariates, log_delta=0.5)
        return ll.lasso_path(
            problem.genotypes, y, null, n_alphas=8, eps=0.2, penalty_factors="whitened"
        )

    one, other = fit(problem.y, problem.K), fit(-8.0 * problem.y, 7 * problem.K)
    assert_allclose(other.penalty_factors, one.penalty_factors, rtol=1e-9)
    assert_allclose(other.alphas, 8 * one.alphas, rtol=1e-9)
    assert_allclose(other.coefs.toarray(), -8 * one.coefs.toarray(), rtol=1e-6, atol=1e-8)


def test_it_has_to_be_that_word():
    problem = mixed_problem(6, n=40, p=30)
    message = "penalty_factors: expected numbers or 'whitened', found 'standardized'"
    for function in (
        lambda **options: ll.lasso_path(problem.genotypes, problem.y, problem.null, **options),
        lambda **options: ll.cross_validate(problem.genotypes, problem.y, **options),
        lambda **options: ll.stability_selection(problem.genotypes, problem.y, **options),
        lambda **options: ll.multi_split(problem.genotypes, problem.y, **options),
        lambda **options: ll.whitened_norms(problem.genotypes, problem.null, **options),
    ):
        with pytest.raises(InputError, match=message):
            function(penalty_factors="standardized")


def test_no_snp_outside_the_span_of_the_covariates():
    D = np.array([[0.0, 1, 2, 0, 1, 2], [2.0, 1, 0, 2, 1, 0]]).T
    genotypes, y = from_array(D), np.array([1.0, 3, 2, 5, 4, 4])
    options = {"covariates": D[:, [0]], "penalty_factors": "whitened"}
    with pytest.raises(GenotypeError, match="no SNP is left that could enter the model"):
        ll.lasso_path(genotypes, y, **options)
    path = ll.lasso_path(genotypes, y, alphas=[1.0], **options)
    assert np.isinf(path.penalty_factors).all()
    assert path.coefs.nnz == 0


# ---- who uses them ---------------------------------------------------------------------------


@pytest.mark.parametrize("log_delta", [0.5, np.nan])
def test_calibrated_alpha_and_marginal_fdr(log_delta):
    problem, options = example(7, log_delta, n=50, p=90)
    genotypes, y = problem.genotypes, problem.y
    path = ll.lasso_path(genotypes, y, n_alphas=12, eps=0.2, penalty_factors="whitened", **options)
    rates = ll.marginal_fdr(path, genotypes, y)
    given = ll.lasso_path(
        genotypes, y, n_alphas=12, eps=0.2, penalty_factors=path.penalty_factors, **options
    )
    assert_array_equal(rates, ll.marginal_fdr(given, genotypes, y))
    # all SNPs have the same threshold, so that all terms of the sum are the same
    k = int(np.flatnonzero(path.n_active)[0])
    lengths = np.sqrt(ll.whitened_norms(genotypes, **options))
    offered = np.isfinite(path.penalty_factors)
    ratios = path.penalty_factors[offered] / lengths[offered]
    assert_allclose(ratios, ratios[0], rtol=FLOAT32)
    assert 0 < rates[k] <= 1

    draws = {"n_draws": 50, "seed": 3, **options}
    one = ll.calibrated_alpha(genotypes, y, penalty_factors="whitened", **draws)
    other = ll.calibrated_alpha(genotypes, y, penalty_factors=path.penalty_factors, **draws)
    assert_array_equal(one.draws, other.draws)
    assert (one.alpha, one.p_value) == (other.alpha, other.p_value)
    assert one.alpha_max == path.alpha_max
    assert not np.allclose(one.draws, ll.calibrated_alpha(genotypes, y, **draws).draws, rtol=1e-3)


def test_every_step_of_a_refitted_path_has_the_factors_of_its_delta():
    rng = np.random.default_rng(8)
    problem = plain_problem(8, n=60, p=120, effects=0)
    y = problem.X[:, [30, 60]].sum(axis=1) + rng.standard_normal(60)
    null = ll.fit_null(y, ll.kinship(problem.genotypes), problem.covariates)
    found = refit_path(
        problem.genotypes, y, null, fractions=[1.0, 0.6, 0.4], penalty_factors="whitened"
    )
    assert len(np.unique(found.log_delta)) == 3
    for k in range(3):
        path = found.at(k)
        assert_allclose(path.penalty_factors, expected_factors(problem.X, path), rtol=1e-6)
        certify(path, problem.X, y, path.penalty_factors)
    first, last = found.at(0).penalty_factors, found.at(2).penalty_factors
    offered = np.isfinite(first)
    assert np.abs(first[offered] / last[offered] - 1).max() > 0.01


def test_every_split_selects_with_the_factors_of_its_half():
    problem = plain_problem(9, n=70, p=80, hostile=False)
    plan = make_plan(
        problem.genotypes, problem.y, covariates=problem.covariates, n_active=5, seed=3,
        options=PathOptions(penalty_factors="whitened"),
    )  # fmt: skip
    for split, result in run_splits(plan, range(2), 1):
        first, _ = plan.draw(split)
        X, _, _ = ref.standardise(problem.D[first])
        K, _ = ref.scale_to_unit_diagonal(plan.study.kinship.matrix[np.ix_(first, first)])
        delta = np.exp(result["log_delta"][0])
        W, M = ref.whitening(K, delta, problem.C[first])
        factors = ref.whitened_factors(X, K, delta, problem.C[first])
        Xw, yw = M @ W @ X[:, np.isfinite(factors)], M @ W @ problem.y[first]
        unit = Xw / factors[np.isfinite(factors)]  # the plain Lasso on SNPs of equal length
        alpha, beta = ref.alpha_max(unit, yw), np.zeros(unit.shape[1])
        while np.count_nonzero(beta) < 5:
            alpha *= 0.99
            beta = ref.lasso_cd(unit, yw, alpha, beta=beta, tol=1e-9)
        assert_array_equal(np.flatnonzero(np.isfinite(factors))[beta != 0], result["snps"])


def test_results_do_not_depend_on_the_number_of_workers():
    problem = plain_problem(10, n=60, p=200, hostile=False)
    options = {"penalty_factors": "whitened", "covariates": problem.covariates}
    data = problem.genotypes, problem.y

    def results(n_jobs):
        stable = stability_selection(*data, n_active=5, n_replicates=6, n_jobs=n_jobs, **options)
        splits = ll.multi_split(*data, n_splits=4, n_jobs=n_jobs, **options)
        cv = ll.cross_validate(*data, n_folds=3, n_alphas=6, n_jobs=n_jobs, **options)
        return stable._results, splits.p_values.tobytes(), cv.predictions.tobytes()

    assert results(1) == results(3)


@pytest.mark.parametrize("log_delta", [None, 0.5])
def test_estimators(log_delta):
    problem = plain_problem(11, n=60, p=90)
    null = ll.fit_null(problem.y, ll.kinship(problem.genotypes), log_delta=log_delta)
    path = ll.lasso_path(
        problem.genotypes, problem.y, null, alphas=[0.1], penalty_factors="whitened"
    )
    model = clone(ll.LMMLasso(0.1, log_delta=log_delta, penalty_factors="whitened"))
    model.fit(problem.D, problem.y)
    assert np.count_nonzero(model.coef_) > 0
    assert_array_equal(model.coef_std_, path.coefs.toarray()[:, 0])
    assert model.model_.whitened_factors
    cv = ll.LMMLassoCV(cv=3, n_alphas=5, penalty_factors="whitened", n_jobs=1)
    cv.fit(problem.D, problem.y)
    expected = ll.cross_validate(
        problem.genotypes, problem.y, n_folds=3, n_alphas=5, penalty_factors="whitened", n_jobs=1
    )
    assert_array_equal(cv.cv_result_.predictions, expected.predictions)


def test_a_path_that_was_fitted_before_is_taken_by_cross_validation():
    problem = mixed_problem(12, n=60, p=80)
    null = ll.fit_null(problem.y, problem.kinship)
    options = {"n_alphas": 5, "eps": 0.2, "penalty_factors": "whitened"}
    path = ll.lasso_path(problem.genotypes, problem.y, null, **options)
    given = ll.cross_validate(problem.genotypes, problem.y, n_folds=3, path=path, **options)
    anew = ll.cross_validate(problem.genotypes, problem.y, n_folds=3, **options)
    assert given.path is path
    assert_array_equal(given.predictions, anew.predictions)
    with pytest.raises(InputError, match="path: expected the penalty factors of the other"):
        ll.cross_validate(problem.genotypes, problem.y, n_folds=3, path=path, n_alphas=5, eps=0.2)


# ---- models and the command line -------------------------------------------------------------


def test_a_model_says_so(tmp_path):
    problem = mixed_problem(13, n=40, p=60)
    for factors in (None, "whitened"):
        named = ll.Genotypes.from_array(problem.D)
        path = ll.lasso_path(named, problem.y, problem.null, n_alphas=4, penalty_factors=factors)
        model = ll.build_model(path, named)
        ll.save_model(model, tmp_path / "m.npz")
        again = ll.load_model(tmp_path / "m.npz")
        assert model.whitened_factors == again.whitened_factors == (factors is not None)


def test_fit_on_the_command_line(small, tmp_path):
    out = tmp_path / "P"
    flags = ["--penalty-factors", "whitened", "--fwer", 0.2, "--n-draws", 50, "--mfdr"]
    lmmlasso("fit", *small.base, *flags, "--out", out)
    genotypes = ll.Genotypes.from_array(decode(small.prefix))
    null = ll.fit_null(small.y, ll.kinship(genotypes))
    found = ll.calibrated_alpha(
        genotypes, small.y, null, level=0.2, n_draws=50, penalty_factors="whitened"
    )
    calibration = json.loads(Path(f"{out}.calibration.json").read_text())
    assert_allclose(calibration["alpha"], found.alpha, rtol=1e-6)
    assert_allclose(calibration["alpha_max"], found.alpha_max, rtol=1e-6)
    table = read(f"{out}.path.tsv")
    path = ll.lasso_path(genotypes, small.y, null, alphas=table.ALPHA, penalty_factors="whitened")
    assert_array_equal(table.N_ACTIVE, path.n_active)
    rates = ll.marginal_fdr(path, genotypes, small.y)
    assert_allclose(table.MFDR, rates, rtol=1e-4, atol=1e-8)
    assert ll.load_model(f"{out}.model.npz").whitened_factors
    assert run_json(out)["options"]["penalty_factors"] == "whitened"
