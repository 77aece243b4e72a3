"""LMMLasso: scikit-learn's contract, and the same numbers as the stage functions."""

import copy
import pickle
import subprocess
import sys
import threading

import numpy as np
import polars as pl
import pytest
import reference as ref
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import ElasticNet, Lasso
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import lmmlasso_fast as ll
from lmmlasso_fast.errors import (
    ConvergenceWarning,
    CovariateError,
    DataWarning,
    InputError,
    KinshipError,
    PhenotypeError,
)
from lmmlasso_fast.prediction import build_model

pytestmark = pytest.mark.promise("no-wrong-answer")

ALPHA = 0.12


@parametrize_with_checks([ll.LMMLasso()])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def drawn():
    """Dosages of three populations (one column constant, some genotypes missing), y, K, groups."""
    rng = np.random.default_rng(11)
    n, p = 120, 300
    groups = np.arange(n) % 3
    frequency = rng.uniform(0.2, 0.8, (3, p))
    X = rng.binomial(2, frequency[groups]).astype(np.float64)
    X[:, 5] = 1.0
    missing = rng.random((n, p)) < 0.02
    missing[:, [5, 40, 200]] = False
    X[missing] = np.nan
    y = 2.0 + 0.8 * X[:, 40] - 0.9 * X[:, 200] + 0.7 * groups + rng.standard_normal(n)
    Z = rng.standard_normal((n, 80)) + 2 * np.eye(3)[groups] @ rng.standard_normal((3, 80))
    return X, y, Z @ Z.T / 40, groups


def standardised(X):
    return ref.standardise(X)[0]


# --- the same numbers as the stages -----------------------------------------------------------


def test_without_kinship_it_is_the_chain_of_stages(drawn):
    X, y, _, _ = drawn
    train, new = slice(0, 90), slice(90, None)
    model = ll.LMMLasso(ALPHA, tol=1e-9).fit(X[train], y[train])

    genotypes = ll.Genotypes.from_array(X[train])
    null = ll.fit_null(y[train], ll.kinship(genotypes))
    path = ll.lasso_path(genotypes, y[train], null, alphas=[ALPHA], tol=1e-9)
    predicted = build_model(path, genotypes).predict_in_order(ll.Genotypes.from_array(X[new]))

    assert 0 < np.count_nonzero(model.coef_std_) < 90
    assert_array_equal(model.coef_std_, path.coefs.toarray()[:, 0])
    assert_array_equal(model.predict(X[new]), predicted.total)
    assert model.null_model_.log_delta == null.log_delta
    assert model.dual_gap_ == path.dual_gaps[0] <= 1e-9
    assert model.n_iter_ == path.n_passes[0] >= 1
    assert model.n_features_in_ == 300


def test_the_solution_is_certified_by_the_reference(drawn):
    X, y, K, _ = drawn
    model = ll.LMMLasso(ALPHA).fit(X, y, K=K)
    scaled, _ = ref.scale_to_unit_diagonal(K)
    W, M = ref.whitening(scaled, model.null_model_.delta, np.ones((len(y), 1)))
    whitened = M @ W @ standardised(X), M @ W @ y
    assert model.coef_std_.any()
    assert ref.relative_gap(model.coef_std_, *whitened, ALPHA) <= 1e-6
    assert_allclose(
        model.null_model_.log_delta, ref.fit_null(y, scaled, np.ones((len(y), 1))).log_delta,
        atol=1e-5,
    )  # fmt: skip


def test_coefficients_are_those_of_the_columns_as_given(drawn):
    X, y, _, _ = drawn
    model = ll.LMMLasso(ALPHA).fit(X, y)
    filled = np.where(np.isnan(X), np.nanmean(X, axis=0), X)
    fixed = model.model_.predict_in_order(ll.Genotypes.from_array(X))
    assert_allclose(
        filled @ model.coef_ + model.intercept_, fixed.snp + fixed.covariates, rtol=0, atol=1e-12
    )
    assert model.coef_[5] == 0.0  # constant
    assert_allclose(model.coef_ * np.nanstd(X, axis=0), model.coef_std_, atol=1e-14)


def test_a_given_kinship_predicts_as_dense_algebra(drawn):
    X, y, K, _ = drawn
    train, new = np.arange(90), np.arange(90, 120)
    model = ll.LMMLasso(ALPHA).fit(X[train], y[train], K=K[np.ix_(train, train)])
    S, mean, sd = ref.standardise(X[train])
    Kt, scale = ref.scale_to_unit_diagonal(K[np.ix_(train, train)])
    expected = ref.predict(
        model.coef_std_,
        y[train],
        S,
        np.ones((90, 1)),
        Kt,
        model.null_model_.delta,
        ref.standardise_with(X[new], mean, sd),
        np.ones((30, 1)),
        K[np.ix_(new, train)] / scale,
    )
    predicted = model.predict(X[new], K[np.ix_(new, train)])
    assert_allclose(predicted, expected.total, rtol=1e-10)


def test_the_scale_of_the_kinship_changes_nothing(drawn):
    X, y, K, _ = drawn
    plain = ll.LMMLasso(ALPHA).fit(X, y, K=K)
    scaled = ll.LMMLasso(ALPHA).fit(X, y, K=7 * K)
    assert_allclose(scaled.coef_, plain.coef_, rtol=1e-9)
    assert_allclose(scaled.predict(X, 7 * K), plain.predict(X, K), rtol=1e-9)


def test_a_kinship_object_and_its_matrix_give_the_same(drawn):
    X, y, _, _ = drawn
    K = ll.kinship(ll.Genotypes.from_array(X[:, 150:]))  # of other SNPs than the model's
    matrix = K.matrix * K.scale
    half = X[:, :150]
    model = ll.LMMLasso(ALPHA).fit(half, y, K=K)
    expected = ll.LMMLasso(ALPHA).fit(half, y, K=matrix)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-9)
    assert_allclose(model.predict(half, matrix), expected.predict(half, matrix), rtol=1e-9)
    with pytest.raises(KinshipError, match="expected the kinship of the 120 new"):
        model.predict(half)


# --- plain Lasso as the limit -----------------------------------------------------------------


@pytest.mark.parametrize("l1_ratio", [1.0, 0.4])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_without_random_effect_it_is_scikit_learns(drawn, l1_ratio, fit_intercept):
    """For large delta V^-1 = I / delta (1 + O(1 / delta)), so that our alpha is theirs / delta."""
    X, y, _, _ = drawn
    S = standardised(X)
    alpha, log_delta = 0.15, 30.0
    if l1_ratio == 1:
        peer = Lasso(alpha, fit_intercept=fit_intercept, tol=1e-12, max_iter=100_000)
    else:
        peer = ElasticNet(
            alpha, l1_ratio=l1_ratio, fit_intercept=fit_intercept, tol=1e-12, max_iter=100_000
        )
    peer.fit(S, y)
    model = ll.LMMLasso(
        alpha / np.exp(log_delta),
        l1_ratio=l1_ratio,
        tol=1e-12,
        log_delta=log_delta,
        fit_intercept=fit_intercept,
    ).fit(X, y)
    assert np.count_nonzero(peer.coef_) > 2
    assert_allclose(model.coef_std_, peer.coef_, rtol=0, atol=1e-8 * np.abs(peer.coef_).max())
    assert_allclose(model.predict(X), peer.predict(S), rtol=1e-8)


# --- covariates -------------------------------------------------------------------------------


def test_what_covariates_explain_leaves_the_snps_alone(drawn):
    X, y, _, groups = drawn
    covariates = np.column_stack([groups == 0, np.random.default_rng(3).standard_normal(120)])
    effects = np.array([4.0, -2.5])
    plain = ll.LMMLasso(ALPHA, tol=1e-10).fit(X, y, covariates=covariates)
    shifted = ll.LMMLasso(ALPHA, tol=1e-10).fit(X, y + covariates @ effects, covariates=covariates)
    assert_allclose(shifted.coef_, plain.coef_, atol=1e-8)
    assert_allclose(shifted.covariate_coef_ - plain.covariate_coef_, effects, atol=1e-8)
    assert_allclose(
        shifted.predict(X, covariates=covariates),
        plain.predict(X, covariates=covariates) + covariates @ effects,
        atol=1e-7,
    )
    filled = np.where(np.isnan(X), np.nanmean(X, axis=0), X)
    parts = plain.model_.predict_in_order(ll.Genotypes.from_array(X), covariates=covariates)
    assert_allclose(
        filled @ plain.coef_ + covariates @ plain.covariate_coef_ + plain.intercept_,
        parts.snp + parts.covariates,
        atol=1e-12,
    )


def test_collinear_covariates_are_given_again_and_ignored(drawn):
    X, y, _, groups = drawn
    one = (groups == 1).astype(float)
    with pytest.warns(DataWarning, match="covariate2"):
        model = ll.LMMLasso(ALPHA).fit(X, y, covariates=np.column_stack([one, 2 * one]))
    alone = ll.LMMLasso(ALPHA).fit(X, y, covariates=one)
    assert model.covariate_coef_[1] == 0.0
    assert_array_equal(model.covariate_coef_[:1], alone.covariate_coef_)
    again = np.column_stack([one, 2 * one])
    assert_array_equal(model.predict(X, covariates=again), alone.predict(X, covariates=one))


@pytest.mark.parametrize("covariates", [None, np.zeros((120, 2)), np.full((120, 1), np.nan)])
def test_predict_wants_the_covariates_of_the_fit(drawn, covariates):
    X, y, _, groups = drawn
    model = ll.LMMLasso(ALPHA).fit(X, y, covariates=groups == 1)
    with pytest.raises(CovariateError, match="covariates: expected"):
        model.predict(X, covariates=covariates)


# --- every parameter does something -----------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"alpha": 0.2},
        {"l1_ratio": 0.5},
        {"method": "reml"},
        {"log_delta": 2.0},
        {"fit_intercept": False},
        {"penalty_factors": np.r_[np.full(40, np.inf), 0.0, np.ones(259)]},
        {"penalty_factors": "whitened"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_every_parameter_changes_the_model(drawn, changed):
    X, y, _, _ = drawn
    plain = ll.LMMLasso(ALPHA).fit(X, y)
    other = clone(plain).set_params(**changed).fit(X, y)
    assert not np.allclose(other.coef_, plain.coef_, rtol=1e-4)


def test_penalty_factors_free_and_exclude(drawn):
    X, y, _, _ = drawn
    factors = np.r_[np.full(40, np.inf), 0.0, np.ones(259)]
    model = ll.LMMLasso(10.0, penalty_factors=factors).fit(X, y)
    assert_array_equal(np.flatnonzero(model.coef_), [40])


def test_too_few_passes_are_reported(drawn):
    X, y, _, _ = drawn
    with pytest.warns(ConvergenceWarning, match="1 of 1 alphas"):
        model = ll.LMMLasso(0.01, max_iter=1).fit(X, y)
    assert model.n_iter_ == 1
    assert model.dual_gap_ > model.tol
    enough = ll.LMMLasso(0.01).fit(X, y)
    assert enough.n_iter_ > 1
    assert enough.dual_gap_ <= 1e-6


def test_a_large_alpha_leaves_blup(drawn):
    X, y, _, _ = drawn
    model = ll.LMMLasso(10.0).fit(X, y)
    assert not model.coef_.any()
    assert model.n_iter_ == 1
    S, one = standardised(X), np.ones((120, 1))
    K, _ = ref.scale_to_unit_diagonal(ref.kinship_rrm(S, 299))
    blup = ref.predict(np.zeros(300), y, S, one, K, model.null_model_.delta, S, one, K)
    assert_allclose(model.predict(X), blup.total, rtol=1e-6)


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"y": np.ones(120)}, PhenotypeError, "at least two values"),
        ({"y": np.r_[np.inf, np.ones(119)]}, ValueError, "infinity"),
        ({"X": np.ones((120, 4))}, KinshipError, "no SNP is left"),
        ({"K": np.eye(119)}, KinshipError, "the 120 samples of X, found 119"),
        ({"K": np.ones((60, 120))}, KinshipError, "square"),
        ({"covariates": np.ones((5, 1))}, CovariateError, "expected 120 rows"),
    ],
)
def test_unusable_data_are_named(drawn, change, error, message):
    X, y, _, _ = drawn
    data = {"X": X, "y": y, **change}
    with pytest.raises(error, match=message):
        ll.LMMLasso(ALPHA).fit(**data)


@pytest.mark.parametrize(
    "parameters",
    [{"alpha": 0.0}, {"alpha": -1.0}, {"l1_ratio": 0.0}, {"method": "mle"}, {"max_iter": 0},
     {"tol": -1.0}, {"penalty_factors": [1.0]}],
    ids=lambda parameters: next(iter(parameters)),
)  # fmt: skip
def test_parameters_out_of_range_are_named(drawn, parameters):
    X, y, _, _ = drawn
    with pytest.raises(InputError, match=r"^\w+: expected"):
        ll.LMMLasso(**parameters).fit(X, y)


def test_a_kinship_of_new_samples_is_refused_when_it_comes_from_x(drawn):
    X, y, K, _ = drawn
    with pytest.raises(KinshipError, match="expected none"):
        ll.LMMLasso(ALPHA).fit(X, y).predict(X, K)


def test_inputs_are_left_alone(drawn):
    X, y, K, groups = drawn
    arrays = {"X": X, "y": y, "K": K, "covariates": (groups == 1).astype(float)}
    before = {name: array.copy() for name, array in arrays.items()}
    for array in arrays.values():
        array.flags.writeable = False
    ll.LMMLasso(ALPHA).fit(**arrays)
    for name, array in arrays.items():
        array.flags.writeable = True
        assert_array_equal(array, before[name])


# --- scikit-learn's tools ---------------------------------------------------------------------


def test_pipeline_passes_the_kinship_on(drawn):
    X, y, K, _ = drawn
    filled = np.where(np.isnan(X), np.nanmean(X, axis=0), X)
    alone = ll.LMMLasso(ALPHA).fit(filled, y, K=K)
    pipeline = make_pipeline(StandardScaler(), ll.LMMLasso(ALPHA))
    pipeline.fit(filled, y, lmmlasso__K=K)
    assert_allclose(pipeline[-1].coef_std_, alone.coef_std_, atol=1e-9)
    assert_allclose(pipeline.predict(filled, K_new=K), alone.predict(filled, K), rtol=1e-9)


def test_it_selects_features(drawn):
    X, y, _, _ = drawn
    selected = SelectFromModel(ll.LMMLasso(ALPHA)).fit(X, y).get_support()
    assert selected[[40, 200]].all()
    assert selected.sum() < 30


def test_grid_search_finds_an_alpha(drawn):
    X, y, _, groups = drawn
    search = GridSearchCV(ll.LMMLasso(), {"alpha": [0.05, 0.1, 5.0]}, cv=GroupKFold(3))
    search.fit(X, y, groups=groups)
    assert search.best_params_["alpha"] < 5.0
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert_array_equal(
        search.predict(X), ll.LMMLasso(search.best_params_["alpha"]).fit(X, y).predict(X)
    )


def test_cross_validation_refuses_to_cut_a_kinship_into_rows(drawn):
    X, y, K, _ = drawn
    with pytest.raises(KinshipError, match="square"):
        cross_val_predict(ll.LMMLasso(), X, y, params={"K": K})


def test_column_names_are_kept(drawn):
    X, y, _, _ = drawn
    frame = pl.DataFrame(X, schema=[f"rs{j}" for j in range(300)])
    model = ll.LMMLasso(ALPHA).fit(frame, y)
    assert model.feature_names_in_[7] == "rs7"
    assert_array_equal(model.predict(frame), ll.LMMLasso(ALPHA).fit(X, y).predict(X))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[frame.columns[::-1]])


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies_predict_and_fit(drawn, copied):
    X, y, _, _ = drawn
    model = ll.LMMLasso(ALPHA).fit(X, y)
    twin = copied(model)
    assert_array_equal(twin.predict(X), model.predict(X))
    assert_array_equal(twin.fit(X, y).coef_, model.coef_)


# --- threads ----------------------------------------------------------------------------------


class Slow:
    """An array that is not there until `go` is set; says when it has been asked for."""

    def __init__(self, array):
        self.array, self.asked, self.go = array, threading.Event(), threading.Event()

    def __array__(self, dtype=None, copy=None):
        self.asked.set()
        assert self.go.wait(60)
        return self.array


def test_two_fits_of_one_object_at_once_are_refused(drawn):
    X, y, K, _ = drawn
    model, slow = ll.LMMLasso(ALPHA), Slow(K)
    first = threading.Thread(target=model.fit, args=(X, y, slow))
    first.start()
    assert slow.asked.wait(60)
    with pytest.raises(RuntimeError, match="another fit"):
        model.fit(X, y)
    expected = clone(model).fit(X, y, K)  # another object, at the same time
    for copied in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        copied.fit(X, y, K)
    slow.go.set()
    first.join()
    assert_array_equal(model.coef_, expected.coef_)
    model.fit(X, y)  # and free again


def test_a_fit_that_failed_is_over(drawn):
    X, y, _, _ = drawn
    model = ll.LMMLasso(ALPHA)
    with pytest.raises(PhenotypeError):
        model.fit(X, np.ones(120))
    model.fit(X, y)


# --- scikit-learn is an extra -----------------------------------------------------------------


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_importing_the_package_leaves_scikit_learn_alone():
    code = "import sys, lmmlasso_fast; sys.exit('sklearn' in sys.modules)"
    assert run(code).returncode == 0
    code = (
        "import sys, lmmlasso_fast; lmmlasso_fast.LMMLasso; sys.exit('sklearn' not in sys.modules)"
    )
    assert run(code).returncode == 0


def test_without_scikit_learn_the_error_says_what_to_install():
    block = "import sys; sys.modules['sklearn'] = None; import lmmlasso_fast; "
    for code in ("lmmlasso_fast.LMMLasso", "from lmmlasso_fast import LMMLasso"):
        result = run(block + code)
        assert result.returncode == 1
        assert "ImportError: LMMLasso needs scikit-learn" in result.stderr
        assert "lmmlasso-fast[sklearn]" in result.stderr


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'LMMRidge'"):
        ll.LMMRidge  # noqa: B018 (that looking it up raises is the test)
