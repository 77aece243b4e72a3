"""LMMLassoCV: scikit-learn's contract, and the same numbers as `cross_validate`."""

import copy
import pickle
import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import random_dosages
from reference import standardise
from sklearn.base import clone
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import Lasso
from sklearn.model_selection import GroupKFold, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import lmmlasso_fast as ll
from lmmlasso_fast.cross_validation import cross_validate
from lmmlasso_fast.errors import (
    ConvergenceWarning,
    CovariateError,
    DataWarning,
    InputError,
    KinshipError,
)
from lmmlasso_fast.estimators import LMMLassoCV

pytestmark = pytest.mark.promise("no-wrong-answer")


@parametrize_with_checks([LMMLassoCV(n_alphas=5)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def drawn():
    """Dosages (some missing, one column constant), y of four SNPs, a covariate, families."""
    rng = np.random.default_rng(5)
    n, p = 60, 80
    X = random_dosages(rng, n, p, missing=0.02)
    X[:, 5] = 1.0
    covariate = rng.standard_normal(n)
    filled = np.where(np.isnan(X), 0.0, X)
    y = 2 + filled[:, [3, 20, 40, 70]] @ [3.0, -3.0, 1.0, 0.8] + covariate + rng.standard_normal(n)
    Z = rng.standard_normal((n, 80))
    return X, y, Z @ Z.T / 40, covariate, np.arange(n) // 4


def fast(**parameters):
    return LMMLassoCV(**{"n_alphas": 8, "cv": 4, **parameters})


# ---- the same numbers as the stages ----------------------------------------------------------


@pytest.mark.parametrize("selection", ["best", "one_se"])
def test_it_is_cross_validate_and_the_estimator_at_one_alpha(drawn, selection):
    X, y, _, covariate, groups = drawn
    model = fast(selection=selection, random_state=3)
    model.fit(X, y, covariates=covariate, groups=groups)
    cv = cross_validate(
        ll.Genotypes.from_array(X), y, covariates=covariate, groups=groups, n_folds=4, seed=3,
        n_alphas=8,
    )  # fmt: skip
    assert_array_equal(model.cv_result_.predictions, cv.predictions)
    assert_array_equal(model.alphas_, cv.alphas)
    assert cv.best_index != cv.one_se_index
    assert model.alpha_ == (cv.alpha_best if selection == "best" else cv.alpha_one_se)

    alone = ll.LMMLasso(model.alpha_).fit(X, y, covariates=covariate)
    assert alone.coef_.any()
    for name in ("coef_", "coef_std_", "intercept_", "covariate_coef_"):
        assert_allclose(getattr(model, name), getattr(alone, name), atol=1e-5, err_msg=name)
    assert_allclose(
        model.predict(X, covariates=covariate), alone.predict(X, covariates=covariate), atol=1e-5
    )
    assert model.null_model_.log_delta == alone.null_model_.log_delta
    assert 0 <= model.dual_gap_ <= model.tol
    assert model.n_iter_ >= 1
    assert (model.n_features_in_, model.model_.alphas) == (80, [model.alpha_])


def test_a_given_kinship_is_asked_for_again(drawn):
    X, y, K, _, _ = drawn
    model = fast().fit(X, y, K)
    assert model.cv_result_.kinship_saw_test_rows
    alone = ll.LMMLasso(model.alpha_).fit(X, y, K)
    assert_allclose(model.predict(X, K), alone.predict(X, K), atol=1e-5)
    with pytest.raises(KinshipError, match="expected the kinship of the 60 new"):
        model.predict(X)
    with pytest.raises(KinshipError, match="expected none"):
        fast().fit(X, y).predict(X, K)
    # even a relationship matrix may be one of other SNPs
    model = fast().fit(X, y, ll.kinship(ll.Genotypes.from_array(X)))
    assert model.null_model_.kinship.estimator == "rrm"
    with pytest.raises(KinshipError, match="expected the kinship"):
        model.predict(X)


def test_collinear_covariates_are_given_again_and_ignored(drawn):
    X, y, _, covariate, _ = drawn
    twice = np.column_stack([covariate, 2 * covariate])
    with pytest.warns(DataWarning, match="covariate2"):
        model = fast().fit(X, y, covariates=twice)
    alone = fast().fit(X, y, covariates=covariate)
    assert_array_equal(model.covariate_coef_, [alone.covariate_coef_[0], 0])
    assert_array_equal(model.predict(X, covariates=twice), alone.predict(X, covariates=covariate))
    with pytest.raises(CovariateError, match="2 columns"):
        model.predict(X, covariates=covariate)


def test_without_random_effect_it_is_scikit_learns(drawn):
    """For large delta V^-1 = I / delta (1 + O(1 / delta)), so that our alpha is theirs / delta."""
    X, y, _, _, _ = drawn
    S = standardise(X)[0]
    folds = list(KFold(5, shuffle=True, random_state=1).split(X))
    unit = np.exp(30.0)
    model = LMMLassoCV(cv=folds, log_delta=30.0, n_alphas=12, tol=1e-12).fit(X, y)
    top = np.abs(S.T @ (y - y.mean())).max() / len(y)
    assert_allclose(model.alphas_ * unit, np.geomspace(1, 0.01, 12) * top, rtol=1e-8)
    peer = Lasso(model.alpha_ * unit, tol=1e-12, max_iter=100_000).fit(S, y)
    assert np.count_nonzero(peer.coef_) > 2
    assert_allclose(model.coef_std_, peer.coef_, atol=1e-7)
    assert_allclose(model.predict(X), peer.predict(S), atol=1e-7)


# ---- every parameter does something ----------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"eps": 0.1},
        {"n_alphas": 5},
        {"alphas": [0.5, 0.2]},
        {"cv": 3},
        {"cv": KFold(4)},
        {"selection": "one_se"},
        {"l1_ratio": 0.5},
        {"method": "reml"},
        {"log_delta": 2.0},
        {"fit_intercept": False},
        {"penalty_factors": np.r_[np.full(40, np.inf), 0.0, np.ones(39)]},
        {"penalty_factors": "whitened"},
        {"random_state": 1},
        {"random_state": None},
        {"random_state": np.random.RandomState(5)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_every_parameter_changes_something(drawn, changed):
    X, y, _, _, _ = drawn
    plain, other = fast().fit(X, y), fast(**changed).fit(X, y)
    same = len(plain.alphas_) == len(other.alphas_) and np.allclose(
        plain.cv_result_.explained_variance, other.cv_result_.explained_variance, rtol=1e-6
    )
    assert not same or plain.alpha_ != other.alpha_


def test_too_few_passes_are_reported():
    rng = np.random.default_rng(6)
    X = random_dosages(rng, 60, 300)
    y = X[:, [3, 20]] @ [3.0, -3.0] + rng.standard_normal(60)
    with pytest.warns(ConvergenceWarning, match="at 1 of 1 alphas a fold, and at 1 of 1 the fit"):
        few = fast(max_iter=1, alphas=[0.01]).fit(X, y)
    assert few.n_iter_ == 1
    assert few.dual_gap_ > few.tol
    enough = fast(alphas=[0.01]).fit(X, y)
    assert enough.n_iter_ > 1
    assert enough.dual_gap_ <= 1e-6
    satisfied = fast(tol=10.0, max_iter=1, alphas=[0.01]).fit(X, y)
    assert satisfied.dual_gap_ == few.dual_gap_


def test_n_jobs_changes_nothing(drawn):
    X, y, _, _, _ = drawn
    one, two = fast(n_jobs=1).fit(X, y), fast(n_jobs=2).fit(X, y)
    assert_array_equal(one.cv_result_.predictions, two.cv_result_.predictions)
    assert_array_equal(one.coef_, two.coef_)
    with pytest.raises(InputError, match="n_jobs: expected"):
        fast(n_jobs=0).fit(X, y)


def test_folds_of_a_number_are_drawn_anew_without_a_seed(drawn):
    X, y, _, _, _ = drawn
    parts = [fast(random_state=None).fit(X, y).cv_result_.folds[0].test for _ in range(2)]
    assert not np.array_equal(*parts)
    assert_array_equal(
        fast(cv=None, n_alphas=2).fit(X, y).cv_result_.predictions,
        fast(cv=10, n_alphas=2).fit(X, y).cv_result_.predictions,
    )


# ---- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"selection": "median"}, "selection: expected 'best' or 'one_se', found 'median'"),
        ({"cv": 1}, "cv: expected an integer from 2 to the 60 samples, or a splitter, found 1"),
        ({"cv": 61}, "found 61"),
        ({"cv": True}, "cv: expected an integer"),
        ({"cv": "loo"}, "cv: expected .* or a splitter"),
        ({"cv": 2.5}, "cv: expected .* or a splitter"),
        ({"random_state": -1}, "random_state: expected"),
        ({"alphas": [0.0]}, "alphas: expected"),
        ({"eps": 1.0}, "eps: expected"),
        ({"n_alphas": 0}, "n_alphas: expected"),
        ({"method": "mle"}, "method: expected"),
        ({"penalty_factors": [1.0]}, "penalty_factors: expected"),
    ],
    ids=str,
)
def test_parameters_out_of_range_are_named(drawn, parameters, text):
    X, y, _, _, _ = drawn
    with pytest.raises(InputError, match=text):
        fast(**parameters).fit(X, y)


def test_data_that_cannot_be_used_are_named(drawn):
    X, y, _, _, groups = drawn
    with pytest.raises(KinshipError, match="the 60 samples of X, found 59"):
        fast().fit(X, y, np.eye(59))
    with pytest.raises(InputError, match="fewer folds or smaller groups"):
        fast(cv=20).fit(X, y, groups=groups)
    with pytest.raises(ValueError, match="minimum of 4"):
        fast().fit(X[:3], y[:3])
    with pytest.raises(InputError, match=r"fold [1-4] of 4: phenotype"):
        fast(cv=KFold(4)).fit(X, np.r_[1.0, np.zeros(59)])


# ---- scikit-learn's tools --------------------------------------------------------------------


def test_splitters_take_the_groups(drawn):
    X, y, _, _, groups = drawn
    folds = fast(cv=GroupKFold(3)).fit(X, y, groups=groups).cv_result_.folds
    assert len(folds) == 3
    for fold in folds:
        assert not set(groups[fold.train]) & set(groups[fold.test])


def test_it_works_within_scikit_learns_tools(drawn):
    X, y, K, _, _ = drawn
    filled = np.where(np.isnan(X), np.nanmean(X, axis=0), X)
    pipeline = make_pipeline(StandardScaler(), fast()).fit(filled, y, lmmlassocv__K=K)
    alone = fast().fit(filled, y, K)
    assert_allclose(pipeline.predict(filled, K_new=K), alone.predict(filled, K), rtol=1e-6)
    assert SelectFromModel(fast()).fit(X, y).get_support()[[3, 20]].all()
    assert np.isfinite(cross_val_score(fast(), X, y, cv=3)).all()


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies_predict_and_fit(drawn, copied):
    X, y, _, _, _ = drawn
    model = fast().fit(X, y)
    twin = copied(model)
    assert_array_equal(twin.predict(X), model.predict(X))
    assert_array_equal(twin.cv_result_.se, model.cv_result_.se)
    assert_array_equal(twin.fit(X, y).coef_, model.coef_)
    assert_array_equal(clone(model).fit(X, y).coef_, model.coef_)


def test_inputs_are_left_alone(drawn):
    X, y, K, covariate, groups = (array.copy() for array in drawn)
    arrays = {"X": X, "y": y, "K": K, "covariates": covariate, "groups": groups}
    for array in arrays.values():
        array.flags.writeable = False
    fast().fit(**arrays)
    for array, before in zip(arrays.values(), drawn, strict=True):
        assert_array_equal(array, before)


def test_two_fits_of_one_object_at_once_are_refused(drawn):
    X, y, K, _, _ = drawn
    asked, go = threading.Event(), threading.Event()

    class Slow:
        def __array__(self, dtype=None, copy=None):
            asked.set()
            assert go.wait(60)
            return K

    model = fast()
    first = threading.Thread(target=model.fit, args=(X, y, Slow()))
    first.start()
    assert asked.wait(60)
    with pytest.raises(RuntimeError, match="another fit of this LMMLassoCV"):
        model.fit(X, y)
    expected = clone(model).fit(X, y, K)
    go.set()
    first.join()
    assert_array_equal(model.coef_, expected.coef_)
