"""Cross-validation: dense algebra fold by fold, nothing leaks, scores by their formulas."""

import json
import warnings

import joblib
import numpy as np
import pytest
import reference as ref
from numpy.testing import assert_allclose, assert_array_equal
from problems import dense, from_array, plain_problem, random_dosages
from scipy.optimize import brentq
from sklearn.linear_model import ElasticNet
from sklearn.model_selection import GroupKFold, KFold, RepeatedKFold, ShuffleSplit, StratifiedKFold

import lmmlasso_fast as ll
from lmmlasso_fast.cross_validation import (
    collect,
    cross_validate,
    make_plan,
    run_folds,
)
from lmmlasso_fast.errors import (
    ConvergenceWarning,
    GenotypeError,
    InputError,
    KinshipError,
    PhenotypeError,
)
from lmmlasso_fast.folds import kinship_groups, make_folds

pytestmark = pytest.mark.promise("no-wrong-answer")

# ---- the oracle ------------------------------------------------------------------------------


def oracle_log_delta(y, K, C, method):
    """The minimum of the likelihood: of every root of its slope and the two ends the lowest."""

    def at(x):
        return ref.spectral_profile(x, y, K, C, method)

    grid = np.linspace(-5, 5, 101)
    slopes = [at(x)[1] for x in grid]
    candidates = [-5.0, 5.0]
    for k in range(100):
        if slopes[k] < 0 < slopes[k + 1]:
            candidates.append(brentq(lambda x: at(x)[1], grid[k], grid[k + 1], xtol=1e-13))
    return min(candidates, key=lambda x: at(x)[0])


def oracle_fold(
    D, y, C, train, test, fractions, *, K=None, random_effect=True, method="ml", log_delta=None,
    l1_ratio=1.0, penalty_factors=None, transform="none",
):  # fmt: skip
    """(predictions of the test rows at every fraction, log delta, alpha_max), all dense."""
    X, mean, sd = ref.standardise(D[train])
    X_test = ref.standardise_with(D[test], mean, sd)
    offered = sd > 0
    y, transformed = ll.transform_phenotype(y[train], transform)
    C, C_test = C[train], C[test]
    if np.linalg.matrix_rank(C) < C.shape[1]:  # the last one is constant here
        C, C_test = C[:, :-1], C_test[:, :-1]
    K_test, delta = None, None
    if not random_effect:
        K = None
    elif K is None:
        K, scale = ref.scale_to_unit_diagonal(ref.kinship_rrm(X, offered.sum()))
        K_test = ref.kinship_rrm_new(X_test, X, offered.sum(), scale)
    else:
        K_test = K[np.ix_(test, train)]
        K, scale = ref.scale_to_unit_diagonal(K[np.ix_(train, train)])
        K_test = K_test / scale
    if random_effect:
        log_delta = oracle_log_delta(y, K, C, method) if log_delta is None else log_delta
        delta = np.exp(log_delta)
    if isinstance(penalty_factors, str):
        factors = ref.whitened_factors(X, K, delta, C)
    else:
        factors = np.where(offered, 1.0 if penalty_factors is None else penalty_factors, np.inf)
    free = factors == 0
    C, keep, factors = ref.split_penalty_factors(X, C, factors)
    C_test = np.hstack([C_test, X_test[:, free]])
    W, M = ref.whitening(K, delta, C)
    Xw, yw = M @ W @ X[:, keep], M @ W @ y
    alpha_max = ref.alpha_max(Xw, yw, l1_ratio, factors)
    coefs = ref.lasso_path(Xw, yw, fractions * alpha_max, l1_ratio, factors, tol=1e-13)
    predicted = [
        ref.predict(beta, y, X[:, keep], C, K, delta, X_test[:, keep], C_test, K_test).total
        for beta in coefs.T
    ]
    return transformed.inverse(np.column_stack(predicted)), log_delta, alpha_max


def oracle(D, y, C, folds, fractions, **options):
    """[(predictions, log delta, alpha_max)] of every fold."""
    return [oracle_fold(D, y, C, fold.train, fold.test, fractions, **options) for fold in folds]


def explained_variance(y, folds, predicted):
    """1 - SSE / SST over the folds of one repeat, each about its training mean."""
    pairs = zip(folds, predicted, strict=True)
    sse = sum(np.sum((y[fold.test, None] - f) ** 2, axis=0) for fold, f in pairs)
    sst = sum(np.sum((y[fold.test] - y[fold.train].mean()) ** 2) for fold in folds)
    return 1 - sse / sst


# ---- problems --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def problem():
    """48 samples, 40 SNPs: one with a single carrier, which is monomorphic in a training fold.

    No SNP is the copy of another one in a training fold and not in its test fold, where the Lasso
    has no unique prediction.
    """
    problem = plain_problem(21, n=48, p=40, missing=0.03, hostile=False)
    problem.D[:, 11] = 0.0
    problem.D[7, 11] = 1.0
    problem.genotypes = from_array(problem.D)
    Z = problem.rng.standard_normal((48, 70))
    problem.K = Z @ Z.T * 3
    problem.groups = np.array([f"family{i // 5}" for i in range(48)])
    return problem


def run(problem, K=None, **options):
    return cross_validate(
        problem.genotypes, problem.y, K,
        **{"n_folds": 4, "n_alphas": 6, "eps": 0.05, "covariates": problem.covariates, **options},
    )  # fmt: skip


# ---- dense algebra ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"make": dense},
        {"K": True},
        {"random_effect": False},
        {"method": "reml"},
        {"log_delta": -3.0},
        {"log_delta": 4.0, "K": True},
        {"l1_ratio": 0.5},
        {"penalty_factors": np.r_[0.0, 0.5, np.inf, 2.0, np.ones(36)]},
        {"penalty_factors": "whitened"},
        {"penalty_factors": "whitened", "random_effect": False},
        {"transform": "boxcox"},
        {"transform": "rint", "K": True},
    ],
    ids=lambda options: " ".join(options) or "plain",
)
def test_every_fold_is_dense_algebra(problem, options):
    """K is summed in float32: 1e-7 of its entries, times the condition of V."""
    options = options.copy()
    make = options.pop("make", from_array)
    K = problem.K if options.pop("K", False) else None
    y = np.exp(problem.y / 6) if "transform" in options else problem.y
    cv = cross_validate(
        make(problem.D), y, K, covariates=problem.covariates, n_folds=4, n_alphas=6, eps=0.05,
        tol=1e-12, **options,
    )  # fmt: skip
    assert_array_equal([len(fold.test) for fold in cv.folds], 12)
    expected = oracle(problem.D, y, problem.C, cv.folds, cv.fractions, K=K, **options)
    assert_allclose(cv.fractions, np.geomspace(1, 0.05, 6), rtol=1e-12)
    assert_allclose(cv.alphas, cv.fractions * cv.path.alpha_max, rtol=1e-12)
    spread = np.ptp(y)
    for k, (predicted, log_delta, alpha_max) in enumerate(expected):
        fold = cv.folds[k]
        assert_allclose(cv.predictions[0, fold.test], predicted, atol=2e-5 * spread, err_msg=str(k))
        assert_allclose(cv.alpha_max[k], alpha_max, rtol=1e-5)
        log_delta = np.nan if log_delta is None else log_delta
        assert_allclose(cv.log_delta[k], log_delta, atol=1e-4)
    assert_allclose(
        cv.explained_variance,
        explained_variance(y, cv.folds, [predicted for predicted, _, _ in expected]),
        atol=2e-6,
    )
    assert cv.kinship_saw_test_rows == (K is not None)
    assert cv.converged.all()
    # the fit to all samples
    everything = np.arange(48)
    _, log_delta, alpha_max = oracle_fold(
        problem.D, y, problem.C, everything, everything[:3], cv.fractions[:1], K=K, **options
    )
    assert_allclose(cv.path.alpha_max, alpha_max, rtol=1e-5)
    if cv.path.null is not None:
        assert_allclose(cv.path.null.log_delta, log_delta, atol=1e-4)
    assert_array_equal(cv.n_active, (cv.path.coefs.toarray() != 0).sum(axis=0))


def test_at_alpha_max_and_beyond_it_is_blup(problem):
    cv = run(problem, log_delta=0.5)
    top = cv.path.alpha_max
    beyond = run(problem, log_delta=0.5, alphas=[5 * top, top])
    for k, fold in enumerate(cv.folds):
        X, mean, sd = ref.standardise(problem.D[fold.train])
        K, scale = ref.scale_to_unit_diagonal(ref.kinship_rrm(X, (sd > 0).sum()))
        X_test = ref.standardise_with(problem.D[fold.test], mean, sd)
        K_test = ref.kinship_rrm_new(X_test, X, (sd > 0).sum(), scale)
        C, y = problem.C[fold.train], problem.y[fold.train]
        V = K + np.exp(0.5) * np.eye(len(y))
        gamma, _ = ref.gls(y, V, C)
        blup = problem.C[fold.test] @ gamma + K_test @ np.linalg.solve(V, y - C @ gamma)
        assert_allclose(cv.predictions[0, fold.test, 0], blup, atol=1e-5, err_msg=str(k))
        for column in range(2):
            assert_allclose(beyond.predictions[0, fold.test, column], blup, atol=1e-5)
    assert_allclose(beyond.fractions, [5, 1], rtol=1e-12)
    assert_array_equal(beyond.n_active, 0)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.6])
@pytest.mark.parametrize("intercept", [True, False])
def test_without_a_random_effect_it_is_a_loop_of_scikit_learns(problem, l1_ratio, intercept):
    cv = cross_validate(
        problem.genotypes, problem.y, random_effect=False, n_folds=5, n_alphas=8, eps=0.1,
        l1_ratio=l1_ratio, intercept=intercept, tol=1e-12,
    )  # fmt: skip
    for fold in cv.folds:
        X, mean, sd = ref.standardise(problem.D[fold.train])
        y = problem.y[fold.train]
        top = np.abs(X.T @ (y - y.mean() * intercept)).max() / (len(y) * l1_ratio)
        for k, fraction in enumerate(cv.fractions):
            peer = ElasticNet(
                fraction * top, l1_ratio=l1_ratio, fit_intercept=intercept, tol=1e-12,
                max_iter=100_000,
            )  # fmt: skip
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                peer.fit(X, y)
            expected = peer.predict(ref.standardise_with(problem.D[fold.test], mean, sd))
            assert_allclose(cv.predictions[0, fold.test, k], expected, atol=1e-6)
    assert np.isnan(cv.log_delta).all()
    # without SNPs and intercept all predictions are zero
    assert np.isnan(cv.correlation[0]) == (not intercept)
    assert np.isfinite(cv.correlation[1:]).all()


def test_fractions_of_given_alphas(problem):
    """A fold's alpha is the same share of its own alpha_max; the order does not matter."""
    top = run(problem).path.alpha_max
    cv = run(problem, alphas=[0.1 * top, 0.5 * top])
    assert_array_equal(cv.alphas, [0.5 * top, 0.1 * top])
    assert_allclose(cv.fractions, [0.5, 0.1], rtol=1e-14)
    two = run(problem, n_alphas=2, eps=0.1)
    assert_allclose(cv.predictions[0, :, 1], two.predictions[0, :, 1], rtol=1e-9)
    assert_array_equal(cv.alpha_max, two.alpha_max)


# ---- nothing leaks ---------------------------------------------------------------------------


@pytest.mark.parametrize("K", [False, True])
@pytest.mark.parametrize("transform", ["none", "boxcox"])
def test_test_rows_do_not_show_in_what_a_fold_learns(problem, K, transform):
    """Other phenotypes: the same predictions. Other genotypes: the same but for X* and K*."""
    y, D = np.exp(problem.y / 6), problem.D
    K = problem.K if K else None
    folds = make_folds(48, 4, seed=9)
    pairs = [(fold.train, fold.test) for fold in folds]
    before = make_plan(from_array(D), y, K, splitter=pairs, transform=transform)
    test = folds[1].test
    other_y, other_D = y.copy(), D.copy()
    rng = np.random.default_rng(0)
    other_y[test] = rng.uniform(0.1, 40, len(test))
    other_D[test] = rng.integers(0, 3, (len(test), 40))
    learnt = dict(run_folds(before, [1]))[1]

    plan = make_plan(from_array(D), other_y, K, splitter=pairs, transform=transform)
    assert dict(run_folds(plan, [1]))[1] == learnt
    plan = make_plan(from_array(other_D), other_y, K, splitter=pairs, transform=transform)
    other = dict(run_folds(plan, [1]))[1]
    assert other["predictions"] != learnt["predictions"]
    for name in ("log_delta", "alpha_max", "gaps"):
        assert other[name] == learnt[name]
    # nor do the rest of the test rows show in the prediction of one
    one = test[:1]
    mixed = other_D.copy()
    mixed[one] = D[one]
    plan = make_plan(from_array(mixed), other_y, K, splitter=pairs, transform=transform)
    assert_allclose(
        dict(run_folds(plan, [1]))[1]["predictions"][0], learnt["predictions"][0], rtol=1e-12
    )


def test_the_transform_is_fitted_to_the_training_rows(problem):
    y = np.exp(problem.y / 4)
    cv = run_with(problem, y, transform="boxcox")
    all_rows = run_with(problem, ll.transform_phenotype(y, "boxcox")[0])
    lambdas = {ll.transform_phenotype(y[fold.train], "boxcox")[1].lambda_ for fold in cv.folds}
    assert len(lambdas) == 4
    back = ll.transform_phenotype(y, "boxcox")[1].inverse(all_rows.predictions)
    assert not np.allclose(back, cv.predictions, rtol=1e-3)
    assert_allclose(
        run_with(problem, y, transform="boxcox", standardize=False).predictions,
        cv.predictions, rtol=1e-4,
    )  # fmt: skip
    assert not np.array_equal(
        run_with(problem, y, transform="boxcox", standardize=False).alphas, cv.alphas
    )


def run_with(problem, y, **options):
    return cross_validate(
        problem.genotypes, y, n_alphas=6, eps=0.05, covariates=problem.covariates,
        **{"n_folds": 4, **options},
    )  # fmt: skip


# ---- scores ----------------------------------------------------------------------------------


def check_scores(cv, y):
    """Every score from the out-of-fold predictions, for folds that test each sample once."""
    n_repeats = cv.predictions.shape[0]
    evs, variances, correlations, position = [], [], [], 0
    for repeat in range(n_repeats):
        folds = [fold for fold in cv.folds if fold.repeat == repeat]
        scores = cv.fold_scores[position : position + len(folds)]
        position += len(folds)
        f = cv.predictions[repeat]
        predicted = [f[fold.test] for fold in folds]
        evs.append(explained_variance(y, folds, predicted))
        n_k = np.array([len(fold.test) for fold in folds])
        sst = sum(np.sum((y[fold.test] - y[fold.train].mean()) ** 2) for fold in folds)
        for fold, score in zip(folds, scores, strict=True):
            mse = np.mean((y[fold.test, None] - f[fold.test]) ** 2, axis=0)
            assert_allclose(score, 1 - mse / (sst / n_k.sum()), rtol=1e-10, atol=1e-12)
        assert_allclose(np.average(scores, axis=0, weights=n_k), evs[-1], rtol=1e-10, atol=1e-12)
        spread = np.average((scores - evs[-1]) ** 2, axis=0, weights=n_k)
        variances.append(spread / (len(folds) - 1))
        if len(set(n_k)) == 1:
            assert_allclose(variances[-1], np.var(scores, axis=0, ddof=1) / len(folds), rtol=1e-9)
        tested = np.concatenate([fold.test for fold in folds])
        correlations.append([np.corrcoef(y[tested], column)[0, 1] for column in f[tested].T])
    assert position == len(cv.folds) == len(cv.fold_scores)
    assert_allclose(cv.explained_variance, np.mean(evs, axis=0), rtol=1e-10, atol=1e-12)
    assert_allclose(cv.se, np.sqrt(np.mean(variances, axis=0)), rtol=1e-9)
    assert_allclose(cv.correlation, np.mean(correlations, axis=0), rtol=1e-9)
    best = int(np.argmax(cv.explained_variance))
    enough = cv.explained_variance >= cv.explained_variance[best] - cv.se[best]
    assert (cv.best_index, cv.one_se_index) == (best, int(np.flatnonzero(enough)[0]))
    assert cv.alpha_best == cv.alphas[best]
    assert cv.alpha_one_se == cv.alphas[cv.one_se_index] >= cv.alpha_best


def test_scores_of_folds_of_equal_and_other_sizes(problem):
    for options in ({}, {"n_folds": 7}, {"groups": problem.groups}, {"n_folds": 48}):
        check_scores(run(problem, **options), problem.y)
    sizes = {len(fold.test) for fold in run(problem, groups=problem.groups).folds}
    assert len(sizes) > 1


def test_repeats(problem):
    cv = run(problem, n_repeats=3)
    check_scores(cv, problem.y)
    assert cv.predictions.shape == (3, 48, 6)
    assert [fold.repeat for fold in cv.folds] == [0] * 4 + [1] * 4 + [2] * 4
    assert np.isfinite(cv.predictions).all()
    first = run(problem)
    assert_array_equal(cv.predictions[0], first.predictions[0])
    assert_array_equal(cv.fold_scores[:4], first.fold_scores)
    assert len({cv.predictions[repeat].tobytes() for repeat in range(3)}) == 3


def test_the_unit_of_the_phenotype_plays_no_part(problem):
    mixed, plain = {"tol": 1e-12}, {"tol": 1e-12, "random_effect": False}
    for unit, options in ((1e-6, mixed), (1e6, mixed), (1e-200, plain), (1e200, plain)):
        cv = run_with(problem, problem.y, **options)
        scaled = run_with(problem, unit * problem.y, **options)
        for name in ("explained_variance", "se", "correlation", "fold_scores", "log_delta"):
            assert_allclose(getattr(scaled, name), getattr(cv, name), rtol=1e-7, err_msg=name)
        assert_allclose(scaled.alphas / unit, cv.alphas, rtol=1e-9)
        assert_allclose(scaled.predictions / unit, cv.predictions, rtol=1e-7)


def test_one_fold_is_enough_for_bad_news(problem):
    """A gap above the tolerance; a prediction (a transform undone) whose square is infinite."""
    plan = make_plan(problem.genotypes, problem.y, n_folds=3)
    results = [dict(run_folds(plan, [k]))[k] for k in range(3)]
    results[1]["predictions"][0][2] = np.finfo(float).max
    results[2]["gaps"][3] = 1e-3
    cv = collect(plan, results)
    assert_array_equal(np.flatnonzero(~cv.converged), [3])
    assert cv.explained_variance[2] == -np.inf
    assert np.isnan(cv.se[2])
    assert cv.best_index != 2
    assert np.isfinite(np.delete(cv.explained_variance, 2)).all()


def test_index_with_active(problem):
    cv = run(problem, n_alphas=30)
    for n_active in range(cv.n_active.max() + 2):
        k = cv.index_with_active(n_active)
        assert cv.n_active[k] <= n_active
        assert (cv.n_active[k + 1 :] > n_active).all()
    assert cv.index_with_active(1000) == 29
    top = run(problem, alphas=[0.1 * cv.path.alpha_max])
    with pytest.raises(InputError, match=r"n_active: expected at least \d+.*found 0"):
        top.index_with_active(0)


# ---- folds -----------------------------------------------------------------------------------


def test_seed_groups_and_kinship_threshold(problem):
    same, other = run(problem, seed=3), run(problem, seed=4)
    assert_array_equal(run(problem, seed=3).predictions, same.predictions)
    assert not np.array_equal(same.predictions, other.predictions)
    grouped = run(problem, groups=problem.groups)
    for fold in grouped.folds:
        assert not set(problem.groups[fold.train]) & set(problem.groups[fold.test])
    for K in (None, problem.K):
        whole = ll.kinship(problem.genotypes) if K is None else ll.Kinship.from_matrix(K)
        threshold = float(np.sort(whole.matrix[np.triu_indices(48, 1)])[-6])
        groups = kinship_groups(whole, threshold, 4)
        assert len(set(groups)) < 48
        expected = make_folds(48, 4, groups=groups)
        for random_effect in (True, False) if K is None else (True,):
            options = {"kinship_threshold": threshold, "random_effect": random_effect}
            for fold, wanted in zip(run(problem, K, **options).folds, expected, strict=True):
                assert_array_equal(fold.test, wanted.test)
    with pytest.raises(InputError, match="groups: expected none with kinship_threshold"):
        run(problem, groups=problem.groups, kinship_threshold=0.5)
    with pytest.raises(InputError, match="the lowest threshold that works is"):
        run(problem, kinship_threshold=-1.0)


def test_splitters_and_pairs(problem):
    kfold = KFold(4, shuffle=True, random_state=0)
    cv = run(problem, splitter=kfold)
    check_scores(cv, problem.y)
    pairs = list(kfold.split(problem.D))
    assert_array_equal(run(problem, splitter=pairs).predictions, cv.predictions)
    grouped = run(problem, splitter=GroupKFold(3), groups=problem.groups)
    check_scores(grouped, problem.y)
    assert len(grouped.folds) == 3
    K = ll.kinship(problem.genotypes).matrix
    threshold = float(np.sort(K[np.triu_indices(48, 1)])[-6])
    options = {"kinship_threshold": threshold, "n_folds": 48}  # more than there are groups
    assert len(run(problem, splitter=GroupKFold(11), **options).folds) == 11
    cases = (problem.y > np.median(problem.y)).astype(float)
    for fold in run_with(problem, cases, splitter=StratifiedKFold(4)).folds:
        assert cases[fold.test].sum() == 6


def test_test_parts_that_overlap_or_leave_samples_out(problem):
    repeated = run(problem, splitter=RepeatedKFold(n_splits=4, n_repeats=2, random_state=0))
    assert repeated.predictions.shape[0] == 1
    assert len(repeated.folds) == 8
    halves = [
        run(problem, splitter=[(fold.train, fold.test) for fold in repeated.folds[start:start + 4]])
        for start in (0, 4)
    ]  # fmt: skip
    assert_allclose(
        repeated.predictions, (halves[0].predictions + halves[1].predictions) / 2, rtol=1e-12
    )
    predicted = [halves[k // 4].predictions[0, fold.test] for k, fold in enumerate(repeated.folds)]
    assert_allclose(
        repeated.explained_variance,
        explained_variance(problem.y, repeated.folds, predicted),
        rtol=1e-10,
    )
    tested = np.concatenate([fold.test for fold in repeated.folds])
    for k, r in enumerate(repeated.correlation):
        f = np.concatenate([part[:, k] for part in predicted])
        assert_allclose(r, np.corrcoef(problem.y[tested], f)[0, 1], rtol=1e-9)

    once = run(problem, splitter=ShuffleSplit(1, test_size=10, random_state=1))
    test = once.folds[0].test
    assert_array_equal(np.isfinite(once.predictions[0]).all(axis=1), np.isin(np.arange(48), test))
    assert np.isnan(once.predictions[0, once.folds[0].train]).all()
    assert_allclose(once.fold_scores[0], once.explained_variance)
    assert np.isnan(once.se).all()
    assert once.one_se_index == once.best_index


def test_one_test_row_and_nothing_to_explain(problem):
    """y of one test row, correlation undefined; equal to the training mean, so is all."""
    train = np.arange(47)
    cv = run(problem, splitter=[(train, [47])])
    assert np.isnan(cv.correlation).all()
    y = problem.y.copy()
    y[:47] = np.round(y[:47] * 8) / 8
    y[0] -= y[:47].sum() - 47  # the mean is exactly one
    y[47] = 1.0
    with pytest.raises(PhenotypeError, match="differ from the mean of their training rows"):
        run_with_pairs(problem, y, [(train, [47])])


def run_with_pairs(problem, y, pairs):
    return cross_validate(problem.genotypes, y, splitter=pairs, n_alphas=2)


def test_folds_may_be_of_other_paths_lengths(problem):
    """max_active ends them at different alphas; scores go as far as all of them."""
    full = run(problem, n_alphas=20)
    cv = run(problem, n_alphas=20, max_active=8)
    alone = []
    for fold in cv.folds:
        null = ll.fit_null(
            problem.y[fold.train], ll.kinship(problem.genotypes.subset(fold.train)),
            problem.covariates[fold.train],
        )  # fmt: skip
        genotypes = problem.genotypes.subset(fold.train)
        path = ll.lasso_path(
            genotypes, problem.y[fold.train], null, n_alphas=20, eps=0.05, max_active=8
        )
        alone.append(len(path.alphas))
    m = min(*alone, len(cv.path.alphas))
    assert len(set(alone)) > 1
    assert 1 < m < 20
    for values in (cv.alphas, cv.fractions, cv.se, cv.correlation, cv.n_active, cv.converged):
        assert values.shape == (m,)
    assert cv.fold_scores.shape == (4, m)
    assert cv.predictions.shape == (1, 48, m)
    assert_array_equal(cv.alphas, full.alphas[:m])
    assert_allclose(cv.predictions, full.predictions[:, :, :m], atol=1e-5)
    check_scores(cv, problem.y)


def test_a_covariate_constant_among_training_rows_plays_no_part_in_that_fold(problem):
    """The oracle drops it as well; its value in the test rows must not matter."""
    folds = make_folds(48, 4, seed=0)
    carriers = np.zeros(48)
    carriers[folds[2].test[:3]] = 1.0
    covariates = np.column_stack([problem.covariates, carriers])
    pairs = [(fold.train, fold.test) for fold in folds]
    options = {"splitter": pairs, "n_alphas": 6, "eps": 0.05, "tol": 1e-12}
    cv = cross_validate(problem.genotypes, problem.y, covariates=covariates, **options)
    C = np.column_stack([problem.C, carriers])
    for fold, (predicted, _, _) in zip(
        folds, oracle(problem.D, problem.y, C, folds, cv.fractions), strict=True
    ):
        assert_allclose(cv.predictions[0, fold.test], predicted, atol=2e-5)
    # first among the columns, and twice as large: the names say which ones are left
    swapped = np.column_stack([2 * carriers, problem.covariates])
    again = cross_validate(problem.genotypes, problem.y, covariates=swapped, **options)
    assert_allclose(again.predictions, cv.predictions, atol=1e-6)


def test_a_fold_that_fails_is_named(problem):
    y = np.zeros(48)
    y[[3, 40]] = 1.0, 2.0
    pairs = [(np.arange(48) % 4 != k, np.arange(48) % 4 == k) for k in range(4)]
    pairs[1] = (np.arange(4, 40), np.arange(4))
    for n_jobs in (1, 2):
        with pytest.raises(PhenotypeError, match=r"^fold 2 of 4: phenotype: expected at least two"):
            cross_validate(problem.genotypes, y, splitter=pairs, n_jobs=n_jobs)
    D = np.repeat((np.arange(48) < 4)[:, None], 3, axis=1).astype(float)
    D[5:7, 0] = 1.0
    pairs[1] = (np.arange(8, 48), np.arange(8))
    with pytest.raises(KinshipError, match=r"^fold 2 of 4: kinship: no SNP is left"):
        cross_validate(from_array(D), problem.y, splitter=pairs)
    with pytest.raises(GenotypeError, match=r"^fold 2 of 4: SNPs: .* no SNP is left"):
        cross_validate(from_array(D), problem.y, splitter=pairs, random_effect=False)


# ---- the fit to all samples ------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"log_delta": 1.0},
        {"method": "reml"},
        {"alphas": [0.3, 0.1]},
        {"max_active": 4, "l1_ratio": 0.7},
        {"random_effect": False},
        {"K": True},
        {"transform": "boxcox"},
    ],
    ids=lambda options: " ".join(options) or "plain",
)
def test_a_path_that_is_there_already(problem, options):
    options = options.copy()
    K = problem.K if options.pop("K", False) else None
    y = np.exp(problem.y / 6)
    z, _ = ll.transform_phenotype(y, options.get("transform", "none"))
    null = None
    if options.get("random_effect", True):
        matrix = ll.kinship(problem.genotypes) if K is None else K
        chosen = {name: options[name] for name in ("method", "log_delta") if name in options}
        null = ll.fit_null(z, matrix, problem.covariates, **chosen)
    chosen = {"n_alphas": 6, "eps": 0.05} | {
        name: options[name] for name in ("alphas", "max_active", "l1_ratio") if name in options
    }
    if null is None:
        chosen["covariates"] = problem.covariates
    path = ll.lasso_path(problem.genotypes, z, null, **chosen)
    call = {"n_folds": 4, "n_alphas": 6, "eps": 0.05, "covariates": problem.covariates, **options}
    here = cross_validate(problem.genotypes, y, K, **call)
    there = cross_validate(problem.genotypes, y, K, path=path, **call)
    assert there.path is path
    for name in ("alphas", "explained_variance", "se", "predictions", "n_active", "fractions"):
        assert_array_equal(getattr(there, name), getattr(here, name), err_msg=name)
    assert_array_equal(here.path.coefs.toarray(), path.coefs.toarray())
    assert_array_equal(here.path.gammas, path.gammas)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"genotypes": lambda p: p.genotypes.subset(np.arange(40))}, "samples"),
        ({"genotypes": lambda p: from_array(p.D[:, :39])}, "SNPs"),
        ({"random_effect": lambda p: False}, "random effect"),
        ({"covariates": lambda p: None}, "covariates"),
        ({"covariates": lambda p: -p.covariates}, "covariates"),
        ({"intercept": lambda p: False}, "covariates"),
        ({"l1_ratio": lambda p: 0.5}, "l1_ratio"),
        ({"tol": lambda p: 1e-3}, "tol"),
        ({"method": lambda p: "reml"}, "method"),
        ({"log_delta": lambda p: 0.0}, "log_delta"),
        ({"n_alphas": lambda p: 7}, "alphas"),
        ({"eps": lambda p: 0.1}, "alphas"),
        ({"alphas": lambda p: [0.1]}, "alphas"),
        ({"max_active": lambda p: 5}, "alphas"),
        ({"K": lambda p: p.K}, "K"),
        ({"K": lambda p: None}, "kinship"),
    ],
)
def test_a_path_of_something_else_is_refused(problem, changed, text):
    null = ll.fit_null(problem.y, ll.kinship(problem.genotypes), problem.covariates)
    path = ll.lasso_path(problem.genotypes, problem.y, null, n_alphas=6, eps=0.05)
    call = {
        "genotypes": problem.genotypes, "y": problem.y, "covariates": problem.covariates,
        "n_alphas": 6, "eps": 0.05, "path": path, "n_folds": 4,
    }  # fmt: skip
    cross_validate(**call)
    if text == "kinship":
        null = ll.fit_null(problem.y, problem.K, problem.covariates)
        call["path"] = ll.lasso_path(problem.genotypes, problem.y, null, n_alphas=6, eps=0.05)
    call |= {name: make(problem) for name, make in changed.items()}
    n = call["genotypes"].n_samples
    call["y"] = problem.y[:n]
    if call["covariates"] is not None:
        call["covariates"] = call["covariates"][:n]
    with pytest.raises(InputError, match=f"path: expected the {text} of the other arguments"):
        cross_validate(**call)


# ---- in parts, and side by side --------------------------------------------------------------


def test_folds_one_by_one_through_json(problem):
    plan = make_plan(
        problem.genotypes, problem.y, covariates=problem.covariates, n_folds=4, n_repeats=2
    )
    results = {}
    for chosen in ([5, 0], [7, 1, 6], [2, 3, 4]):
        for number, result in run_folds(plan, chosen, n_jobs=1):
            results[number] = json.loads(json.dumps(result))
    cv = collect(plan, [results[k] for k in range(8)])
    straight = run(problem, n_repeats=2, n_alphas=100, eps=0.01)
    for name in ("explained_variance", "se", "predictions", "log_delta", "alpha_max", "converged"):
        assert_array_equal(getattr(cv, name), getattr(straight, name), err_msg=name)


@pytest.mark.parametrize("K", [False, True])
def test_the_bits_do_not_depend_on_workers(problem, K):
    K = problem.K if K else None
    results = [run(problem, K, n_jobs=n_jobs) for n_jobs in (1, 2, 3)]
    for other in results[1:]:
        for name in ("predictions", "fold_scores", "se", "correlation", "log_delta", "alphas"):
            assert_array_equal(getattr(other, name), getattr(results[0], name), err_msg=name)


def test_the_bits_do_not_depend_on_the_backend(problem):
    expected = run(problem, n_jobs=1)
    with joblib.parallel_config("loky", n_jobs=2):
        assert_array_equal(run(problem).predictions, expected.predictions)


def test_packed_and_dense_genotypes_agree(problem):
    packed = run(problem, tol=1e-12)
    other = cross_validate(
        dense(problem.D), problem.y, covariates=problem.covariates, n_folds=4, n_alphas=6,
        eps=0.05, tol=1e-12,
    )  # fmt: skip
    assert_allclose(other.predictions, packed.predictions, atol=1e-5)
    assert_allclose(other.explained_variance, packed.explained_variance, atol=1e-6)
    assert_allclose(other.log_delta, packed.log_delta, atol=1e-5)


def test_progress_and_inputs(problem):
    arrays = [problem.y.copy(), problem.K.copy(), problem.covariates.copy()]
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    steps = []
    cv = cross_validate(
        problem.genotypes, arrays[0], arrays[1], covariates=arrays[2], n_folds=3, n_alphas=3,
        progress=lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    assert steps == [(1, 3), (2, 3), (3, 3)]
    for array, values in zip(arrays, before, strict=True):
        assert_array_equal(array, values)
    with pytest.raises(AttributeError):
        cv.alphas = None


def test_an_exception_in_progress_ends_it(problem):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(problem, progress=stop, n_jobs=1)


# ---- options ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"n_folds": 3}, {"groups": np.arange(48) // 4}, {"kinship_threshold": 0.6},
        {"splitter": KFold(4)}, {"n_repeats": 2}, {"seed": 1}, {"covariates": None},
        {"intercept": False}, {"random_effect": False}, {"method": "reml"}, {"log_delta": -1.0},
        {"alphas": [0.1]}, {"n_alphas": 5}, {"eps": 0.1}, {"max_active": 3},
        {"l1_ratio": 0.5}, {"penalty_factors": np.r_[0.0, np.ones(39)]}, {"transform": "rint"},
        {"penalty_factors": "whitened"},
        {"standardize": True}, {"K": np.eye(48) + 0.5},
    ],
    ids=lambda changed: next(iter(changed)),
)  # fmt: skip
def test_every_option_changes_something(problem, changed):
    plain, other = run(problem), run(problem, **changed)
    same = plain.predictions.shape == other.predictions.shape and np.allclose(
        plain.predictions, other.predictions, rtol=1e-9
    )
    assert not same or not np.allclose(plain.alphas, other.alphas)


def test_names_are_those_of_the_covariates(problem):
    with pytest.raises(InputError, match="covariates: expected 2 names, found 1"):
        run(problem, covariates=np.ones((48, 2)), covariate_names=["age"])
    cv = run(problem, covariate_names=["age"])
    assert cv.path.design.names == ("intercept", "age")
    assert_array_equal(cv.predictions, run(problem).predictions)


def test_the_scale_of_a_given_kinship_changes_nothing(problem):
    expected = run(problem, problem.K, tol=1e-12)
    for c in (1e-3, 50.0):
        scaled = run(problem, c * problem.K, tol=1e-12)
        assert_allclose(scaled.predictions, expected.predictions, rtol=1e-8)
        assert_allclose(scaled.alphas, expected.alphas, rtol=1e-9)


def test_too_few_passes_are_reported(problem):
    rng = np.random.default_rng(6)
    D = random_dosages(rng, 60, 300)
    y = D[:, [3, 20]] @ [3.0, -3.0] + rng.standard_normal(60)
    with pytest.warns(ConvergenceWarning, match="of 2 alphas a fold") as caught:
        cv = cross_validate(from_array(D), y, n_folds=3, max_iter=1, alphas=[0.1, 100.0])
    assert caught[0].filename == __file__
    assert_array_equal(cv.alphas, [100.0, 0.1])
    assert_array_equal(cv.converged, [True, False])
    satisfied = cross_validate(
        from_array(D), y, n_folds=3, max_iter=1, alphas=[0.1, 100.0], tol=10.0
    )
    assert satisfied.converged.all()
    assert_array_equal(satisfied.predictions, cv.predictions)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n_folds": 1}, "n_folds: expected"),
        ({"n_folds": 49}, "n_folds: expected"),
        ({"n_repeats": 0}, "n_repeats: expected"),
        ({"seed": -1}, "seed: expected"),
        ({"n_jobs": 0}, "n_jobs: expected"),
        ({"method": "mle"}, "method: expected"),
        ({"alphas": [-1.0]}, "alphas: expected"),
        ({"l1_ratio": 0.0}, "l1_ratio: expected"),
        ({"max_active": 0, "alphas": [0.01]}, "max_active: expected at least .*: already"),
        ({"splitter": 5}, "splitter: expected"),
        ({"groups": np.zeros(47)}, "groups: expected"),
        ({"K": np.eye(47)}, "K: expected the 48 samples"),
        ({"K": np.eye(48), "random_effect": False}, "K: expected none"),
        ({"kinship_threshold": np.nan}, "threshold: expected"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_options_out_of_range_are_refused(problem, options, text):
    with pytest.raises(InputError, match=text):
        run(problem, **options)


def test_no_snp_that_could_enter(problem):
    nothing = {"penalty_factors": np.full(40, np.inf), "random_effect": False}
    for options in (nothing, {**nothing, "alphas": [1.0]}):
        with pytest.raises(GenotypeError, match="no SNP is left that could enter the model"):
            run(problem, **options)


def test_a_path_of_another_phenotype_or_penalty_is_refused():
    problem = plain_problem(4, n=60, p=40, missing=0.0, hostile=False)
    null = ll.fit_null(problem.y, ll.kinship(problem.genotypes))
    options = {"n_alphas": 5, "eps": 0.2}
    path = ll.lasso_path(problem.genotypes, problem.y, null, **options)
    one = cross_validate(problem.genotypes, problem.y, n_folds=3, path=path, **options)
    assert one.path is path
    for changed, message in (
        ({"y": problem.y + np.linspace(-1, 1, 60)}, "phenotype"),
        ({"y": problem.y, "transform": "rint"}, "phenotype"),
        ({"y": problem.y, "penalty_factors": np.full(40, 2.0)}, "penalty factors"),
        ({"y": problem.y, "penalty_factors": "whitened"}, "penalty factors"),
    ):
        with pytest.raises(InputError, match=f"path: expected the {message} of the other"):
            cross_validate(problem.genotypes, n_folds=3, path=path, **options | changed)
