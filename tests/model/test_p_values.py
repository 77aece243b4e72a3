"""Multi-split p-values against dense algebra, brute force and simulated nulls."""

import json
from dataclasses import replace

import joblib
import numpy as np
import pytest
import reference as ref
from numpy.testing import assert_allclose, assert_array_equal
from problems import dense, from_array, plain_problem
from scipy import stats

import lmmlasso_fast as ll
from lmmlasso_fast.errors import CovariateError, GenotypeError, InputError
from lmmlasso_fast.p_values import (
    _given,
    _smallest_half,
    _test,
    _two_sided,
    aggregate,
    make_plan,
    multi_split,
    run_splits,
)
from lmmlasso_fast.path import PathOptions
from lmmlasso_fast.simulation import simulate_genotypes, simulate_phenotype

pytestmark = pytest.mark.promise("statistics")


def plan_of(problem, **options):
    return make_plan(problem.genotypes, problem.y, covariates=problem.covariates, **options)


def split(plan, k=0):
    (_, result), *_ = run_splits(plan, [k], 1)
    return result


# ---- one split against the oracle ---------------------------------------------------------------


def support_by_reference(X, y, C, K, log_delta, n_active, n_alphas=100, eps=0.01):
    """The SNPs active where the path of a plain coordinate descent first has n_active of them."""
    W, M = ref.whitening(K, None if K is None else np.exp(log_delta), C)
    X, y = M @ W @ X, M @ W @ y
    beta, high = np.zeros(X.shape[1]), ref.alpha_max(X, y)
    for low in high * eps ** (np.arange(n_alphas) / (n_alphas - 1)):
        beta = ref.lasso_cd(X, y, low, beta=beta)
        if np.count_nonzero(beta) > n_active:
            break
        high = low
        if np.count_nonzero(beta) == n_active:
            return np.flatnonzero(beta)
    for _ in range(50):
        middle = (low + high) / 2
        beta = ref.lasso_cd(X, y, middle)
        if np.count_nonzero(beta) == n_active:
            return np.flatnonzero(beta)
        low, high = (middle, high) if np.count_nonzero(beta) > n_active else (low, middle)
    raise AssertionError("no alpha with so many SNPs")


def p_values_by_reference(X, y, C, V, first, second):
    """t-tests of X's columns on half 2, given half 1: one formula after the other."""
    B = V[np.ix_(second, first)] @ np.linalg.inv(V[np.ix_(first, first)])
    V_given = V[np.ix_(second, second)] - B @ V[np.ix_(first, second)]
    A = np.column_stack([C, X])
    A_given, y_given = A[second] - B @ A[first], y[second] - B @ y[first]
    effects, rss = ref.gls(y_given, V_given, A_given)
    degrees = len(second) - A.shape[1]
    covariance = rss / degrees * np.linalg.inv(A_given.T @ np.linalg.solve(V_given, A_given))
    t = effects / np.sqrt(np.diag(covariance))
    return 2 * stats.t.sf(np.abs(t[C.shape[1] :]), degrees)


def check_against_reference(problem, method):
    plan = plan_of(problem, n_active=5, method=method, seed=3)
    result = split(plan)
    first, second = plan.draw(0)
    C, K = problem.C, ll.kinship(problem.genotypes).matrix
    deltas = result["log_delta"]

    X = ref.standardise(problem.D[first])[0]
    K1, _ = ref.scale_to_unit_diagonal(K[np.ix_(first, first)])
    null = ref.fit_null(problem.y[first], K1, C[first], method)
    assert_allclose(deltas[0], null.log_delta, atol=1e-4)
    S = support_by_reference(X, problem.y[first], C[first], K1, deltas[0], 5)
    assert_array_equal(result["snps"], S)

    _, mean, sd = ref.standardise(problem.D[second])
    X = ref.standardise_with(problem.D, mean, sd)[:, S]
    K2, scale = ref.scale_to_unit_diagonal(K[np.ix_(second, second)])
    fixed = np.column_stack([C, X])[second]
    null = ref.fit_null(problem.y[second], K2, fixed, method)
    assert_allclose(deltas[1], null.log_delta, atol=1e-4)
    V = K / scale + np.exp(deltas[1]) * np.eye(len(K))
    assert_allclose(
        result["p_values"], p_values_by_reference(X, problem.y, C, V, first, second), rtol=1e-7
    )
    return deltas


@pytest.mark.parametrize(("method", "seed"), [("ml", 2), ("reml", 5)])
def test_one_split_equals_dense_algebra(method, seed):
    check_against_reference(plain_problem(seed, n=70, p=60, hostile=False), method)


def test_one_split_in_the_tridiagonal_form(tridiagonal_form):
    check_against_reference(plain_problem(2, n=70, p=60, hostile=False), "ml")


def test_one_split_without_a_random_effect():
    problem = plain_problem(4, n=61, p=40, hostile=False)
    plan = plan_of(problem, random_effect=False)
    result = split(plan)
    first, second = plan.draw(0)
    assert (len(first), len(second), plan.n_active) == (30, 31, 5)
    X = ref.standardise(problem.D[first])[0]
    S = support_by_reference(X, problem.y[first], problem.C[first], None, None, 5)
    assert_array_equal(result["snps"], S)
    _, mean, sd = ref.standardise(problem.D[second])
    X = ref.standardise_with(problem.D, mean, sd)[:, S]
    p = p_values_by_reference(X, problem.y, problem.C, np.eye(61), first, second)
    assert_allclose(result["p_values"], p, rtol=1e-8)
    assert result["log_delta"] == [None, None]


def check_what_is_given(log_delta, tolerance):
    """Half 2 given half 1 has covariance I and none with half 1, for V = K + delta I."""
    problem = plain_problem(6, n=40)
    K, delta = ll.kinship(problem.genotypes), np.exp(log_delta)
    s, U = np.linalg.eigh(K.matrix)
    V = (U * (np.maximum(s, 0) + delta)) @ U.T
    second, first = np.arange(0, 40, 2), np.arange(1, 40, 2)
    G = _given(K, delta, first, second, np.eye(40))
    assert G.shape == (40, 20)
    assert_allclose(G.T @ V @ G, np.eye(20), atol=tolerance)
    assert_allclose(G.T @ V[:, first], 0, atol=tolerance)


@pytest.mark.parametrize("log_delta", [-12.0, 0.0, 5.0])
def test_what_is_given(log_delta):
    check_what_is_given(log_delta, 1e-9)


def test_what_is_given_in_the_tridiagonal_form(tridiagonal_form):
    check_what_is_given(-5.0, 1e-11)
    check_what_is_given(5.0, 1e-11)
    check_what_is_given(-20.0, 1e-5)  # too ill-conditioned for it: by the spectrum


def test_tails_of_the_t_distribution():
    t = np.array([0.0, -0.3, 2.0, -30.0, 400.0])
    for degrees in (1, 7, 700):
        assert_allclose(_two_sided(t, degrees), 2 * stats.t.sf(np.abs(t), degrees), rtol=1e-10)


# ---- aggregation --------------------------------------------------------------------------------


def aggregated_by_brute_force(table, gamma_min, n_gammas=20_001):
    """The infimum over a fine grid of gammas; a row of `table` is a SNP, a column a split."""
    p, B = table.shape
    result = np.ones(p)
    gammas = np.linspace(gamma_min, 1, n_gammas)[1:-1]
    kth = np.ceil(gammas * B - 1e-9).astype(int) - 1
    for j in range(p):
        Q = np.minimum(1, np.sort(table[j])[kth] / gammas)
        result[j] = min(1, (1 - np.log(gamma_min)) * Q.min())
    return result


@pytest.mark.parametrize(
    ("B", "gamma_min"), [(1, 0.05), (7, 0.05), (20, 0.05), (50, 0.05), (20, 0.3), (100, 0.29)]
)
def test_aggregation_equals_brute_force(B, gamma_min):
    rng = np.random.default_rng(B)
    table = rng.random((30, B)) ** rng.integers(1, 9, (30, 1))
    table[rng.random((30, B)) < rng.random((30, 1))] = 1.0
    table[3] = 1.0
    table[4, : B // 2] = table[4, 0]  # ties
    snps, splits = np.nonzero(table < 1)
    order = rng.permutation(len(snps))
    exact = aggregate(snps[order], table[snps, splits][order], B, 30, gamma_min)
    brute = aggregated_by_brute_force(table, gamma_min)
    assert (exact <= brute * (1 + 1e-12)).all()
    assert_allclose(exact, brute, rtol=1e-3)
    assert (exact < 1).any()


def test_aggregation_by_hand():
    factor = 1 - np.log(0.05)
    snps = np.array([5] * 20 + [2] * 2 + [1])
    p_values = np.array([1e-3] * 20 + [1e-6, 1e-4] + [1e-9])
    result = aggregate(snps, p_values, 20, 7)
    # every split; the second of 20; and one of 20, which is gamma_min and not above it
    expected = np.ones(7)
    expected[5], expected[2] = factor * 1e-3, factor * 1e-4 * 10
    assert_allclose(result, expected, rtol=1e-14)
    assert_array_equal(aggregate(snps[:0], p_values[:0], 20, 3), np.ones(3))


def test_the_number_of_selected_snps_multiplies():
    problem = plain_problem(7)
    plan = plan_of(problem, n_active=4)
    result = multi_split(
        problem.genotypes, problem.y, covariates=problem.covariates, n_active=4, n_splits=1
    )
    one = split(plan)
    assert len(one["snps"]) == 4
    expected = np.ones(70)
    expected[one["snps"]] = np.minimum(1, (1 - np.log(0.05)) * 4 * np.array(one["p_values"]))
    assert_allclose(result.p_values, expected, rtol=1e-14)
    assert_array_equal(np.flatnonzero(result.selections), one["snps"])
    assert_array_equal(result.n_selected, [4])
    assert_array_equal(result.log_delta, [one["log_delta"]])
    assert json.loads(json.dumps(one)) == one
    assert (result.n_active, result.n_splits, result.n_offered) == (4, 1, problem.n_included)


# ---- halves -------------------------------------------------------------------------------------


def test_groups_stay_together_and_halves_are_even():
    rng = np.random.default_rng(0)
    problem = plain_problem(8, n=90)
    labels = np.array([f"family {k}" for k in rng.integers(0, 17, 90)])
    smallest = min(np.unique(labels, return_counts=True)[1])
    plan = plan_of(problem, groups=labels)
    assert plan.groups_given
    seen = set()
    for k in range(20):
        first, second = plan.draw(k)
        assert_array_equal(np.sort(np.concatenate([first, second])), np.arange(90))
        assert not set(labels[first]) & set(labels[second])
        assert abs(len(first) - len(second)) <= smallest
        seen.add(tuple(first))
    assert len(seen) == 20
    assert len({int(first[0] == 0) for first in seen}) == 2
    renamed = plan_of(problem, groups=[label[::-1] for label in labels])
    assert_array_equal(renamed.draw(3)[0], plan.draw(3)[0])


@pytest.mark.parametrize("n", [60, 61])
def test_everybody_a_group_is_no_groups(n):
    problem = plain_problem(9, n=n)
    alone, grouped = plan_of(problem), plan_of(problem, groups=np.arange(n))
    for k in range(3):
        first, second = alone.draw(k)
        assert (len(first), len(second)) == (n // 2, n - n // 2)
        assert any(np.array_equal(half, first) for half in grouped.draw(k))
    assert not alone.groups_given


def test_the_smaller_half_is_as_large_as_was_said():
    rng = np.random.default_rng(1)
    plan, tight = plan_of(plain_problem(9)), 0
    for _ in range(300):
        sizes = np.ceil(40 * rng.random(rng.integers(1, 9)) ** 3).astype(int)
        n, largest = sizes.sum(), sizes.max()
        plan = replace(plan, groups_given=True, group_of=np.repeat(np.arange(len(sizes)), sizes))
        smaller = min(len(half) for half in plan.draw(0))
        assert smaller >= _smallest_half(n, largest)
        tight += smaller == _smallest_half(n, largest)
        assert 2 * largest < n or smaller == n - largest
    assert tight > 50


def test_two_groups_of_very_different_size():
    problem = plain_problem(10, n=60, n_covariates=0)
    options = {"n_splits": 8, "groups": np.arange(60) < 18}
    result = multi_split(problem.genotypes, problem.y, **options)
    assert not result.failures
    assert (result.n_active, result.groups_given) == (5, True)
    # a half of 18 samples, an intercept
    assert multi_split(problem.genotypes, problem.y, **options, n_active=8).n_active == 8
    with pytest.raises(InputError, match="n_active: expected at most 8, found 9"):
        multi_split(problem.genotypes, problem.y, **options, n_active=9)


# ---- the same numbers ---------------------------------------------------------------------------


def equal(a, b):
    for name in ("p_values", "selections", "n_selected", "log_delta"):
        assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.failures == b.failures


def test_seeds_and_workers():
    problem = plain_problem(11)
    calls = []

    def run(**options):
        return multi_split(
            problem.genotypes, problem.y, covariates=problem.covariates, n_splits=6, **options
        )

    one = run(n_jobs=1, progress=lambda done, of: calls.append((done, of)))
    assert calls == [(k, 6) for k in range(1, 7)]
    equal(run(n_jobs=3), one)
    with joblib.parallel_config("loky", n_jobs=2):
        equal(run(), one)
    other = run(n_jobs=1, seed=1)
    assert (other.p_values != one.p_values).any()
    assert (one.seed, other.seed) == (0, 1)
    plan = plan_of(problem)
    assert {k: r["snps"] for k, r in run_splits(plan, [4, 1], 1)} == {
        k: split(plan, k)["snps"] for k in (1, 4)
    }


def test_every_storage():
    problem = plain_problem(12, missing=0.0)
    packed = multi_split(problem.genotypes, problem.y, n_splits=4)
    other = multi_split(dense(problem.D), problem.y, n_splits=4)
    assert_array_equal(packed.selections, other.selections)
    assert_allclose(packed.p_values, other.p_values, rtol=1e-6)


def test_what_changes_nothing():
    """Unit and mean of y, effects of covariates, scale of K, which allele is counted."""
    problem = plain_problem(13)
    K = ll.kinship(problem.genotypes).matrix

    def run(D, y, K):
        return multi_split(from_array(D), y, K, covariates=problem.covariates, n_splits=3)

    one = run(problem.D, problem.y, K)
    D = problem.D.copy()
    D[:, ::3] = 2 - D[:, ::3]
    shift = 1e4 + 50 * problem.covariates[:, 0]
    for other in (
        run(D, problem.y, K),
        run(problem.D, 1e-6 * problem.y, 7 * K),
        run(problem.D, problem.y + shift, K),
        run(problem.D, -problem.y, K),
    ):
        assert_array_equal(other.selections, one.selections)
        assert_allclose(other.p_values, one.p_values, rtol=1e-5)
    assert one.p_values.min() < 1


def test_unrelated_samples_are_plain_regression():
    problem = plain_problem(14)
    plain = multi_split(problem.genotypes, problem.y, random_effect=False, n_splits=3)
    same = multi_split(problem.genotypes, problem.y, np.eye(50), n_splits=3)
    assert_array_equal(same.selections, plain.selections)
    assert_allclose(same.p_values, plain.p_values, rtol=1e-9)
    assert np.isnan(plain.log_delta).all()
    assert not np.isnan(same.log_delta).any()


def test_unpenalised_snps_are_covariates():
    problem = plain_problem(15, missing=0.0, hostile=False)
    K = ll.kinship(problem.genotypes)
    pi = np.ones(70)
    pi[[8, 30]] = 0
    options = {"n_splits": 3, "log_delta": 0.3}  # half 1 fits delta with covariates, without SNPs
    free = multi_split(problem.genotypes, problem.y, K, penalty_factors=pi, **options)
    pi[[8, 30]] = np.inf
    given = multi_split(
        problem.genotypes,
        problem.y,
        K,
        penalty_factors=pi,
        covariates=problem.D[:, [8, 30]],
        **options,
    )
    assert_array_equal(free.selections, given.selections)
    assert_allclose(free.p_values, given.p_values, rtol=1e-6)
    assert_array_equal(free.selections[[8, 30]], 0)
    assert free.n_offered == 68


def test_delta_as_it_is_asked_for():
    problem = plain_problem(16, n=80)
    results = {
        key: multi_split(problem.genotypes, problem.y, n_splits=4, **options)
        for key, options in {
            "ml": {},
            "reml": {"method": "reml"},
            "given": {"log_delta": 1.5},
            "another": {"log_delta": -1.5},
        }.items()
    }
    assert_array_equal(results["given"].log_delta, np.full((4, 2), 1.5))
    assert (results["ml"].log_delta != results["reml"].log_delta).any()
    assert (results["given"].p_values != results["another"].p_values).any()


# ---- what cannot be told apart ------------------------------------------------------------------


def test_duplicates_and_constant_snps_of_half_2():
    problem = plain_problem(17, n=60, missing=0.0, hostile=False)
    first, second = plan_of(problem).draw(0)
    D = problem.D
    D[second, 21] = 2 - D[second, 20]  # the same SNP there, with the alleles swapped
    D[second, 22] = 1.0
    D[second, 23] = np.nan
    problem.genotypes = from_array(D)
    plan = plan_of(problem)
    p_values, _ = _test(plan, first, second, np.array([20, 21, 22, 23, 30]))
    assert_array_equal(p_values[1:4], 1)
    alone, _ = _test(plan, first, second, np.array([20, 30]))
    assert_array_equal(p_values[[0, 4]], alone)
    assert (alone < 1).all()
    nothing, log_delta = _test(plan, first, second, np.array([22, 23]))
    assert_array_equal(nothing, 1)
    assert log_delta is None


def test_a_batch_that_is_all_in_half_1():
    """Constant in half 2, but what relatives of half 1 say of half 2 depends on its effect."""
    problem = plain_problem(18, n=60)
    first, second = plan_of(problem).draw(0)
    batch = np.zeros(60)
    batch[first[:12]] = 1.0
    snps = np.array([0, 20, 30])
    p_values = []
    for effect in (0.0, 100.0):
        y = problem.y + effect * batch
        plan = make_plan(problem.genotypes, y, covariates=batch, log_delta=-1.0)
        p_values.append(_test(plan, first, second, snps)[0])
    assert_allclose(*p_values, rtol=1e-6)


# ---- failures and refusals ----------------------------------------------------------------------


def test_failed_splits_are_reported_and_count():
    problem = plain_problem(19, n=40)
    y = np.zeros(40)
    y[[3, 17]] = 1.0, -1.0
    options = {"random_effect": False, "n_active": 3}
    result = multi_split(problem.genotypes, y, n_splits=12, **options)
    plan = make_plan(problem.genotypes, y, **options)
    together = [k for k in range(12) if np.isin([3, 17], plan.draw(k)[0]).sum() != 1]
    assert 0 < len(together) < 12
    assert sorted(result.failures) == together
    assert all("PhenotypeError" in message for message in result.failures.values())
    assert_array_equal(result.n_selected[together], 0)
    good = [r for k, r in run_splits(plan, range(12), 1) if k not in result.failures]
    p_values = [np.minimum(1, len(r["snps"]) * np.array(r["p_values"])) for r in good]
    snps = np.concatenate([r["snps"] for r in good])
    assert_array_equal(result.p_values, aggregate(snps, np.concatenate(p_values), 12, 70))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_splits": 0}, InputError, "n_splits: expected an integer of at least 1, found 0"),
        ({"n_active": 0}, InputError, "n_active"),
        ({"n_active": True}, InputError, "n_active"),
        ({"n_active": 13}, InputError, "n_active: expected at most 12, found 13"),
        ({"gamma_min": 0.0}, InputError, "gamma_min"),
        ({"gamma_min": 1.0}, InputError, "gamma_min"),
        ({"gamma_min": np.nan}, InputError, "gamma_min"),
        ({"seed": -1}, InputError, "seed"),
        ({"n_alphas": 1}, InputError, "n_alphas"),
        ({"eps": 1.0}, InputError, "eps"),
        ({"method": "mle"}, InputError, "method"),
        ({"n_jobs": 0}, InputError, "n_jobs"),
        ({"groups": ["a"] * 49}, InputError, "groups: expected 50 labels"),
        ({"groups": ["a"] * 50}, InputError, "groups: expected at least 3 samples in each half"),
        ({"groups": [np.nan] + [1.0] * 49}, InputError, "groups"),
        ({"covariates": np.eye(50)[:, :23]}, InputError, "covariates: expected at least 2 fewer"),
        ({"covariates": np.ones((49, 1))}, CovariateError, "covariates"),
        (
            {"penalty_factors": np.full(70, np.inf)},
            GenotypeError,
            "no SNP is left .*not penalised: all others",
        ),
        ({"penalty_factors": np.full(70, -1.0)}, InputError, "penalty_factors"),
        ({"K": np.eye(50), "random_effect": False}, InputError, "K: expected none"),
    ],
)
def test_refusals(options, error, message):
    problem = plain_problem(20)
    with pytest.raises(error, match=message):
        multi_split(problem.genotypes, problem.y, **options)


def test_levels():
    problem = plain_problem(21, n=40)
    result = multi_split(problem.genotypes, problem.y, n_splits=2)
    result = replace(result, p_values=np.array([1.0, 0.05, 0.01, 0.2, 0.01]))
    assert_array_equal(result.selected(), [2, 4, 1])
    assert_array_equal(result.selected(0.04), [2, 4])
    with pytest.raises(InputError, match="level"):
        result.selected(1.5)


# ---- what is promised ---------------------------------------------------------------------------


def simulated(seed, n, p, **phenotype):
    genotypes = simulate_genotypes(n, p, seed=seed, ld=0.5)
    drawn = simulate_phenotype(genotypes.dosages, seed=seed, **phenotype)
    return from_array(genotypes.dosages.astype(float)), drawn


def test_family_wise_error_under_structure():
    """40 times a background and no effect of a SNP: at most 7 with a finding (5 %, P > 0.999)."""
    found = 0
    for seed in range(40):
        genotypes, drawn = simulated(seed, 100, 200, n_causal=0, h2_snp=0, h2_structure=0.6)
        result = multi_split(genotypes, drawn.y, n_splits=5, seed=seed, n_jobs=1)
        found += len(result.selected(0.05)) > 0
        assert not result.failures
    assert found <= stats.binom.ppf(0.999, 40, 0.05) == 7


def test_p_values_of_a_split_are_uniform_given_half_1():
    """What the regression of half 2 alone does not achieve: relatives are in both halves."""
    given, alone = [], []
    for seed in range(45):
        genotypes, drawn = simulated(seed, 200, 200, n_causal=0, h2_snp=0, h2_structure=0.8)
        plan = make_plan(genotypes, drawn.y, seed=seed, options=PathOptions(), log_delta=-1.386)
        result = split(plan)
        p_values = np.array(result["p_values"])
        tested = p_values < 1  # not those that are constant in half 2
        given.extend(p_values[tested])
        _, second = plan.draw(0)
        X = genotypes.columns(np.array(result["snps"])[tested])
        V = plan.study.kinship.matrix + 0.25 * np.eye(200)
        nobody = np.empty(0, dtype=int)
        alone.extend(p_values_by_reference(X, drawn.y, np.ones((200, 1)), V, nobody, second))
    # n independent p-values below 0.05; those of one data set are nearly so
    low, high = stats.binom.ppf([0.001, 0.999], len(given), 0.05)
    assert low <= np.sum(np.array(given) < 0.05) <= high
    assert stats.kstest(given, "uniform").pvalue > 1e-3
    assert np.sum(np.array(alone) < 0.05) > high


def test_a_strong_snp_is_found():
    genotypes, drawn = simulated(3, 200, 300, n_causal=1, h2_snp=0.35, h2_structure=0.4)
    result = multi_split(genotypes, drawn.y, n_splits=20, groups=np.arange(200) // 4)
    assert_array_equal(result.selected(1e-3)[:1], drawn.causal)
    assert result.selections[drawn.causal[0]] == 20
    assert result.n_not_converged == 0
