"""Calibrated alpha and marginal FDR against dense algebra, and what they promise on data."""

import dataclasses

import numpy as np
import pytest
import reference as ref
from numpy.testing import assert_allclose, assert_array_equal
from problems import dense, from_array, mixed_problem, plain_problem, random_dosages, sample_table
from scipy.stats import binom, norm

import lmmlasso_fast as ll
from lmmlasso_fast import error_control
from lmmlasso_fast.error_control import calibrated_alpha, marginal_fdr, whitened_norms
from lmmlasso_fast.errors import GenotypeError, InputError, PhenotypeError, SampleMatchError

pytestmark = pytest.mark.promise("statistics")

LOG_DELTAS = [np.nan, -4.0, 0.5, 20.0]  # nan: no random effect


# ---- the oracle: everything whitened, one formula per function -------------------------------


def reference_problem(X, y, K, delta, C, penalty_factors=None):
    """(W, M, X~ of the penalised SNPs, y~, their indices, their factors)."""
    pi = np.ones(X.shape[1]) if penalty_factors is None else np.array(penalty_factors, float)
    pi[~X.any(axis=0)] = np.inf
    C, keep, factors = ref.split_penalty_factors(X, C, pi)
    W, M = ref.whitening(K, delta, C)
    return W, M, M @ W @ X[:, keep], M @ W @ y, keep, factors


def reference_ratios(W, M, Xw, factors, noise):
    """max_j |x~_j'Mz| / (pi_j ||Mz||) for z = W e, e the rows of `noise`."""
    ratios = []
    for e in noise:
        Mz = M @ (W @ e)
        ratios.append(np.max(np.abs(Xw.T @ Mz) / factors) / np.linalg.norm(Mz))
    return np.array(ratios)


def reference_noise(K, delta, n, n_draws, seed, cholesky=False):
    """Rows e ~ N(0, V), from the generator that the package documents by its seed."""
    z = np.random.default_rng(seed).standard_normal((n_draws, n))
    if K is None:
        return z
    if cholesky:
        return z @ np.linalg.cholesky(K + delta * np.eye(n)).T
    s, U = np.linalg.eigh(K)
    return z @ (U * np.sqrt(np.maximum(s, 0) + delta)) @ U.T


def reference_mfdr(beta, alpha, l1_ratio, Xw, yw, keep, factors, n, n_covariates, free):
    """(expected false discoveries, discoveries, their ratio) as ncvreg defines it, one alpha."""
    residual = yw - Xw @ beta[keep]
    degrees = n - n_covariates - np.count_nonzero(beta)
    sigma = np.sqrt(residual @ residual / degrees)
    n_false = 0.0
    for j, pi in enumerate(factors):
        length = np.linalg.norm(Xw[:, j])
        if length > 1e-6 * np.sqrt(n):
            n_false += 2 * norm.cdf(-n * alpha * l1_ratio * pi / (sigma * length))
    found = np.count_nonzero(beta) - np.count_nonzero(beta[free])
    return n_false, found, min(n_false, found) / found if found else 0.0


def example(seed, log_delta, **options):
    """(problem, its options for the functions, K, delta); log_delta nan: no random effect."""
    if np.isnan(log_delta):
        problem = plain_problem(seed, **options)
        return problem, {"null": None, "covariates": problem.covariates}, None, None
    problem = mixed_problem(seed, log_delta=log_delta, **options)
    return problem, {"null": problem.null}, problem.K, problem.null.delta


def some_factors(rng, p):
    pi = rng.choice([0.5, 1.0, 3.0, np.inf], p)
    pi[[3, 5]] = 0.0
    return pi


# ---- calibrated alpha against the oracle -----------------------------------------------------


@pytest.mark.parametrize("log_delta", LOG_DELTAS)
@pytest.mark.parametrize("form", ["spectrum", "tridiagonal"])
@pytest.mark.parametrize("packed", [True, False])
def test_the_draws_are_those_of_dense_algebra(log_delta, form, packed, request):
    if form == "tridiagonal":
        request.getfixturevalue("tridiagonal_form")
    problem, options, K, delta = example(1, log_delta, n=45, p=90)
    genotypes = problem.genotypes if packed else dense(problem.D)
    pi = some_factors(problem.rng, 90)
    found = calibrated_alpha(
        genotypes, problem.y, n_draws=60, seed=5, level=0.1, penalty_factors=pi, l1_ratio=0.7,
        **options,
    )  # fmt: skip
    W, M, Xw, yw, _, factors = reference_problem(problem.X, problem.y, K, delta, problem.C, pi)
    noise = reference_noise(K, delta, 45, 60, 5, cholesky=form == "tridiagonal")
    expected = np.sort(reference_ratios(W, M, Xw, factors, noise))
    assert_allclose(found.draws, expected, rtol=1e-6)
    # the sixth largest of 60 draws: the data's own ratio is one of 61 equals, 6 of them above
    assert_array_equal(found.quantile, found.draws[54])
    assert_allclose(found.alpha, expected[54] * np.linalg.norm(yw) / (45 * 0.7), rtol=1e-6)
    assert_allclose(found.alpha_max, ref.alpha_max(Xw, yw, 0.7, factors), rtol=1e-10)
    observed = np.max(np.abs(Xw.T @ yw) / factors) / np.linalg.norm(yw)
    assert found.p_value == (1 + np.sum(expected >= observed)) / 61
    assert (found.level, found.n_draws, len(found.draws)) == (0.1, 60, 60)


@pytest.mark.parametrize("form", ["spectrum", "tridiagonal"])
def test_noise_has_the_covariance_of_the_model(form, request):
    """Of K with its eigenvalues below zero at zero; the kinship itself stays as it is."""
    if form == "tridiagonal":
        request.getfixturevalue("tridiagonal_form")
    problem = mixed_problem(2, n=40, missing=0.0)
    ones = np.ones(40) / np.sqrt(40)
    null = ll.fit_null(problem.y, problem.K - 1e-6 * np.outer(ones, ones), log_delta=-2.0)
    K = null.kinship.matrix
    s, U = np.linalg.eigh(K)
    assert s[0] < -5e-7
    before = K.copy()
    root = error_control._root(null)
    assert np.allclose(root, np.tril(root)) == (form == "tridiagonal")
    assert_allclose(root @ root.T, (U * (np.maximum(s, 0) + null.delta)) @ U.T, atol=1e-12)
    assert_array_equal(K, before)


def test_batches_do_not_matter(monkeypatch):
    problem, options, _, _ = example(3, 0.5)
    for genotypes in (problem.genotypes, dense(problem.D)):
        whole = calibrated_alpha(genotypes, problem.y, n_draws=45, **options)
        monkeypatch.setattr(error_control, "_DRAWS_BYTES", 1)
        parts = calibrated_alpha(genotypes, problem.y, n_draws=45, **options)
        monkeypatch.undo()
        assert_allclose(parts.draws, whole.draws, rtol=1e-6)


def test_more_draws_begin_with_the_same_ones():
    problem, options, _, _ = example(4, 0.5)
    few, many = (
        calibrated_alpha(problem.genotypes, problem.y, n_draws=k, level=0.2, **options).draws
        for k in (24, 60)
    )
    at = np.clip(np.searchsorted(many, few), 1, 59)
    nearest = np.minimum(np.abs(many[at] - few), np.abs(many[at - 1] - few))
    assert (nearest < 1e-6 * few).all()


def equal(one, other):
    for field in dataclasses.fields(one):
        assert_array_equal(getattr(one, field.name), getattr(other, field.name))


@pytest.mark.parametrize("log_delta", LOG_DELTAS)
def test_seeds_and_threads(log_delta):
    problem, options, _, _ = example(5, log_delta)
    y = problem.y.copy()
    one = calibrated_alpha(problem.genotypes, problem.y, n_draws=40, n_threads=1, **options)
    for n_threads in (2, 3, None):
        equal(
            one,
            calibrated_alpha(
                problem.genotypes, problem.y, n_draws=40, n_threads=n_threads, **options
            ),
        )
    other = calibrated_alpha(problem.genotypes, problem.y, n_draws=40, seed=1, **options)
    assert not np.isin(one.draws, other.draws).any()
    assert other.alpha_max == one.alpha_max
    assert_array_equal(problem.y, y)


# ---- relations -------------------------------------------------------------------------------


@pytest.mark.parametrize("log_delta", LOG_DELTAS)
def test_pivotal_in_the_scale_and_the_fixed_effects(log_delta):
    problem, options, _, _ = example(6, log_delta)

    def calibrate(y):
        return calibrated_alpha(problem.genotypes, y, n_draws=100, **options)

    one = calibrate(problem.y)
    for unit in (1e-150, 1e6, 1e150):
        other = calibrate(problem.y * unit)
        assert_allclose(other.alpha, one.alpha * unit, rtol=1e-12)
        assert_allclose(other.alpha_max, one.alpha_max * unit, rtol=1e-12)
        assert_array_equal(other.draws, one.draws)
        assert other.p_value == one.p_value
    other = calibrate(problem.y + problem.C @ [1e4, -3e4])
    assert_allclose([other.alpha, other.alpha_max], [one.alpha, one.alpha_max], rtol=1e-9)
    assert_array_equal(other.draws, one.draws)
    other = calibrate(
        problem.rng.standard_normal(50)
    )  # of another phenotype only the length counts
    assert_array_equal(other.draws, one.draws)


def test_alpha_falls_with_the_level_and_agrees_with_the_p_value():
    for seed in range(4):
        problem, options, _, _ = example(seed, 0.5)
        found = [
            calibrated_alpha(problem.genotypes, problem.y, n_draws=99, level=level, **options)
            for level in np.arange(1, 100) / 100
        ]
        for one in found[1:]:
            assert_array_equal(one.draws, found[0].draws)
            assert one.p_value == found[0].p_value
        alphas = np.array([one.alpha for one in found])
        assert_array_equal([one.quantile for one in found], found[0].draws[::-1])
        assert (np.diff(alphas) < 0).all()
        for one in found:
            assert (one.alpha < one.alpha_max) == (one.p_value <= one.level)


def test_above_alpha_there_is_a_snp_exactly_if_it_is_significant():
    outcomes = set()
    for seed in range(6):
        problem, options, _, _ = example(seed, 0.5, effects=seed % 2)
        found = calibrated_alpha(problem.genotypes, problem.y, level=0.3, n_draws=99, **options)
        path = ll.lasso_path(problem.genotypes, problem.y, problem.null, alphas=[found.alpha])
        assert (path.n_active[0] > 0) == (found.p_value <= 0.3)
        outcomes.add(bool(path.n_active[0]))
    assert outcomes == {True, False}


@pytest.mark.parametrize("log_delta", [np.nan, 0.5])
def test_penalty_factors_and_l1_ratio(log_delta):
    problem, options, _, _ = example(7, log_delta)

    def calibrate(**more):
        return calibrated_alpha(problem.genotypes, problem.y, n_draws=50, **options, **more)

    one, rng = calibrate(), problem.rng
    tripled = calibrate(penalty_factors=np.full(70, 3.0))
    assert_allclose(3 * tripled.draws, one.draws, rtol=1e-15)
    assert_allclose(3 * tripled.alpha, one.alpha, rtol=1e-15)
    assert tripled.p_value == one.p_value
    half = calibrate(l1_ratio=0.5)
    assert_array_equal(half.draws, one.draws)
    assert_allclose(half.alpha, 2 * one.alpha, rtol=1e-15)
    # what is infinite, excluded or without variance does not count
    drop = rng.random(70) < 0.4
    pi = np.where(drop, np.inf, rng.uniform(0.5, 2.0, 70))
    left_out = calibrate(penalty_factors=pi)
    ids = problem.genotypes.variants["ID"].to_numpy()
    filtered = problem.genotypes.filter(exclude=set(ids[drop]))
    pi[drop] = 1e-9
    excluded = calibrated_alpha(
        filtered, problem.y, n_draws=50, penalty_factors=pi, **options
    )  # fmt: skip
    equal(left_out, excluded)
    assert (calibrate(penalty_factors=np.where(drop, np.inf, 1.0)).draws <= one.draws).all()


def test_an_unpenalised_snp_is_a_covariate():
    problem = plain_problem(8, missing=0.0)
    pi = np.ones(70)
    pi[3] = 0.0
    one = calibrated_alpha(problem.genotypes, problem.y, n_draws=50, penalty_factors=pi)
    other = calibrated_alpha(problem.genotypes, problem.y, n_draws=50, covariates=problem.D[:, [3]])
    assert_allclose(other.draws, one.draws, rtol=1e-6)
    assert_allclose([other.alpha, other.alpha_max], [one.alpha, one.alpha_max], rtol=1e-6)


def test_almost_only_noise_is_no_random_effect():
    problem = mixed_problem(9, log_delta=30.0)
    options = {"n_draws": 99, "level": 0.1}
    mixed = calibrated_alpha(problem.genotypes, problem.y, problem.null, **options)
    plain = calibrated_alpha(problem.genotypes, problem.y, covariates=problem.covariates, **options)
    assert_allclose(mixed.alpha * problem.null.delta, plain.alpha, rtol=1e-6)
    assert_allclose(mixed.draws * np.sqrt(problem.null.delta), plain.draws, rtol=1e-6)
    assert mixed.p_value == plain.p_value


def test_one_draw_too_many_or_too_few():
    """The levels at which the rounding of level (n_draws + 1) would cost a draw."""
    problem, options, _, _ = example(10, np.nan)
    for level, n_draws in ((0.05, 19), (0.01, 99), (0.29, 99), (0.07, 99), (0.1, 9), (1 / 3, 2)):
        found = calibrated_alpha(
            problem.genotypes, problem.y, level=level, n_draws=n_draws, **options
        )
        above = np.sum(found.draws > found.quantile)
        assert above == round(level * (n_draws + 1)) - 1
    found = calibrated_alpha(
        problem.genotypes, problem.y, level=np.nextafter(1.0, 0.0), n_draws=9, **options
    )
    assert found.quantile == found.draws[0]
    with pytest.raises(InputError, match=r"at least 19 draws for the level 0\.05, found 18"):
        calibrated_alpha(problem.genotypes, problem.y, level=0.05, n_draws=18, **options)


# ---- what it promises ------------------------------------------------------------------------


def structured(rng, n=80, p=300):
    """Genotypes of two populations that differ in every allele frequency."""
    population = np.arange(n) % 2
    frequency = np.clip(rng.uniform(0.1, 0.9, p) + rng.normal(0, 0.15, (2, p)), 0.05, 0.95)
    return from_array(rng.binomial(2, frequency[population]).astype(float))


def phenotype(rng, K, h2=0.7):
    n = K.n_samples
    s, U = np.linalg.eigh(K.matrix)
    random = U @ (np.sqrt(np.maximum(s, 0)) * rng.standard_normal(n))
    return np.sqrt(h2) * random + np.sqrt(1 - h2) * rng.standard_normal(n)


@pytest.fixture(scope="module")
def p_values():
    """Of 60 data sets without any causal SNP: delta known, fitted, no random effect."""
    found = {"known": [], "fitted": [], "none": []}
    for seed in range(60):
        rng = np.random.default_rng([11, seed])
        genotypes = structured(rng)
        K = ll.kinship(genotypes)
        y = phenotype(rng, K)
        nulls = {
            "known": ll.fit_null(y, K, log_delta=np.log(0.3 / 0.7)),
            "fitted": ll.fit_null(y, K),
            "none": None,
        }
        for name, null in nulls.items():
            one = calibrated_alpha(genotypes, y, null, n_draws=199, seed=seed)
            found[name].append(one.p_value)
    return {name: np.array(values) for name, values in found.items()}


@pytest.mark.parametrize("level", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("delta", ["known", "fitted"])
def test_family_wise_error_of_the_first_entry(p_values, delta, level):
    n_wrong = np.sum(p_values[delta] <= level)
    assert binom.ppf(0.001, 60, level) <= n_wrong <= binom.ppf(0.999, 60, level)


def test_structure_without_a_random_effect_breaks_it(p_values):
    assert np.sum(p_values["none"] <= 0.05) > binom.ppf(1 - 1e-6, 60, 0.05)


def test_a_strong_snp_is_found():
    n_found = 0
    for seed in range(5):
        rng = np.random.default_rng([12, seed])
        genotypes = structured(rng)
        K = ll.kinship(genotypes)
        y = phenotype(rng, K) + 1.5 * genotypes.columns([17])[:, 0]
        null = ll.fit_null(y, K)
        found = calibrated_alpha(genotypes, y, null, n_draws=199, seed=seed)
        assert found.p_value == 1 / 200
        path = ll.lasso_path(genotypes, y, null, alphas=[found.alpha_max * (1 - 1e-6)])
        n_found += list(path.coefs.tocoo().coords[0]) == [17]
    assert n_found == 5


# ---- whitened norms --------------------------------------------------------------------------


@pytest.mark.parametrize("log_delta", LOG_DELTAS)
@pytest.mark.parametrize("factors", [True, False])
def test_norms_are_those_of_the_whitened_snps(log_delta, factors):
    problem, options, K, delta = example(13, log_delta, n=45, p=90)
    pi = some_factors(problem.rng, 90) if factors else None
    _, _, Xw, _, keep, _ = reference_problem(problem.X, problem.y, K, delta, problem.C, pi)
    expected = np.zeros(90)
    expected[keep] = np.sum(Xw**2, axis=0)
    for genotypes in (problem.genotypes, dense(problem.D)):
        norms = whitened_norms(genotypes, penalty_factors=pi, **options)
        assert_allclose(norms, expected, rtol=1e-9)
        assert (norms[keep] > 0).all()


@pytest.mark.parametrize("log_delta", [-30.0, -12.0])
def test_norms_when_there_is_almost_no_noise(log_delta):
    """n < p: V is K up to 1e-13, and the norms do not grow with 1 / delta."""
    problem = mixed_problem(14, n=40, p=300, missing=0.0, log_delta=log_delta)
    Q = np.linalg.qr(problem.C, mode="complete")[0][:, 2:]
    L = np.linalg.cholesky(Q.T @ problem.K @ Q + problem.null.delta * np.eye(38))
    expected = np.sum(np.linalg.solve(L, Q.T @ problem.X) ** 2, axis=0)
    norms = whitened_norms(problem.genotypes, problem.null)
    assert_allclose(norms, expected, rtol=1e-5)


def test_norms_do_not_depend_on_threads():
    rng = np.random.default_rng(15)
    genotypes = from_array(random_dosages(rng, 30, 1700, 0.05, hostile=True))
    null = ll.fit_null(rng.standard_normal(30), ll.kinship(genotypes), log_delta=0.0)
    for options in ({"null": null}, {"covariates": rng.standard_normal((30, 2))}):
        one = whitened_norms(genotypes, n_threads=1, **options)
        for n_threads in (2, 3, None):
            assert_array_equal(whitened_norms(genotypes, n_threads=n_threads, **options), one)


def test_a_snp_in_the_span_of_the_covariates_has_none():
    problem = plain_problem(16, missing=0.0)
    norms = whitened_norms(problem.genotypes, covariates=problem.D[:, [2, 6]])
    zero = ~problem.X.any(axis=0)
    zero[[2, 6, 7]] = True  # 7 is 2 with the alleles swapped
    assert_array_equal(norms == 0, zero)
    # unpenalised SNPs are covariates, collinear ones too
    pi = np.ones(70)
    pi[[2, 6, 7]] = 0.0
    free = whitened_norms(problem.genotypes, penalty_factors=pi)
    assert_allclose(free, norms, rtol=1e-9)
    pi[:] = np.inf
    assert not whitened_norms(problem.genotypes, penalty_factors=pi).any()


# ---- marginal false discoveries --------------------------------------------------------------


@pytest.mark.parametrize("log_delta", LOG_DELTAS)
@pytest.mark.parametrize("factors", [True, False])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.6])
def test_marginal_fdr_by_its_formula(log_delta, factors, l1_ratio):
    problem, options, K, delta = example(17, log_delta, n=60, p=90)
    pi = some_factors(problem.rng, 90) if factors else None
    fit = {**options, "penalty_factors": pi, "l1_ratio": l1_ratio}
    path = ll.lasso_path(problem.genotypes, problem.y, n_alphas=15, eps=0.2, tol=1e-10, **fit)
    rates = marginal_fdr(path, problem.genotypes, problem.y)
    _, _, Xw, yw, keep, pi_kept = reference_problem(problem.X, problem.y, K, delta, problem.C, pi)
    free = [3, 5] if factors else []
    coefs = path.coefs.toarray()
    parts = [
        reference_mfdr(coefs[:, k], alpha, l1_ratio, Xw, yw, keep, pi_kept, 60, 2, free)
        for k, alpha in enumerate(path.alphas)
    ]
    assert_allclose(rates, [rate for _, _, rate in parts], rtol=1e-9)
    assert rates[0] == 0
    assert len(np.unique(rates)) > 5
    norms = whitened_norms(problem.genotypes, penalty_factors=pi, **options)
    given = marginal_fdr(path, problem.genotypes, problem.y, norms)
    assert_array_equal(given, rates)
    for n_threads in (1, 3):
        again = marginal_fdr(path, problem.genotypes, problem.y, n_threads=n_threads)
        assert_array_equal(again, rates)


def test_without_a_random_effect_it_is_ncvregs():
    """sigma^2 = RSS / (n - S), S with the intercept; EF = p 2 Phi(-sqrt(n) lambda / sigma)."""
    problem = plain_problem(18, n=80, p=60, missing=0.0, n_covariates=0, hostile=False)
    path = ll.lasso_path(problem.genotypes, problem.y, n_alphas=20, eps=0.1)
    X, coefs = problem.X, path.coefs.toarray()
    expected = []
    for k, alpha in enumerate(path.alphas):
        S = np.count_nonzero(coefs[:, k])
        rss = np.sum((problem.y - path.intercepts[k] - X @ coefs[:, k]) ** 2)
        n_false = 60 * 2 * norm.cdf(-np.sqrt(80) * alpha / np.sqrt(rss / (80 - S - 1)))
        expected.append(min(n_false, S) / S if S else 0.0)
    assert_allclose(marginal_fdr(path, problem.genotypes, problem.y), expected, rtol=1e-9)


def test_it_does_not_depend_on_units_or_on_what_the_covariates_explain():
    problem, _, _, _ = example(19, 0.5)

    def rates(y):
        null = ll.fit_null(y, problem.kinship, problem.covariates, log_delta=0.5)
        path = ll.lasso_path(problem.genotypes, y, null, n_alphas=12, eps=0.3, tol=1e-12)
        return marginal_fdr(path, problem.genotypes, y)

    one = rates(problem.y)
    for y in (1e6 * problem.y, 1e-120 * problem.y, -problem.y, problem.y + problem.C @ [10, -30]):
        assert_allclose(rates(y), one, rtol=1e-6)


def test_an_unpenalised_snp_counts_as_a_covariate():
    problem = plain_problem(20, missing=0.0)
    pi = np.ones(70)
    pi[3] = 0.0
    options = {"n_alphas": 10, "eps": 0.3, "tol": 1e-12}
    one = ll.lasso_path(problem.genotypes, problem.y, penalty_factors=pi, **options)
    other = ll.lasso_path(problem.genotypes, problem.y, covariates=problem.D[:, [3]], **options)
    assert_allclose(
        marginal_fdr(one, problem.genotypes, problem.y),
        marginal_fdr(other, problem.genotypes, problem.y),
        rtol=1e-6,
    )


def test_without_a_degree_of_freedom_nothing_is_known():
    problem = plain_problem(21, n=12, p=80, missing=0.0, n_covariates=0, hostile=False)
    path = ll.lasso_path(problem.genotypes, problem.y, eps=1e-6, n_alphas=40)
    assert path.n_active[-1] == 11
    rates = marginal_fdr(path, problem.genotypes, problem.y)
    assert (rates[path.n_active == 11] == 1).all()
    assert (rates[path.n_active == 0] == 0).all()
    assert ((rates >= 0) & (rates <= 1)).all()
    path = ll.lasso_path(problem.genotypes, problem.y, eps=1e-3, n_alphas=20, l1_ratio=0.1)
    assert path.n_active[-1] > 12
    assert marginal_fdr(path, problem.genotypes, problem.y)[-1] == 1


def test_expected_and_real_false_discoveries_agree():
    """Independent SNPs, 15 of them strong, structure of other ones.

    Somewhat more are expected than come: the strong ones are counted as if they had no effect, and
    what the penalty takes off their effects is counted as noise.
    """
    n, p, n_false, expected = 150, 300, 0, 0.0
    for seed in range(24):
        rng = np.random.default_rng([22, seed])
        K = ll.kinship(structured(rng, n, 400))
        genotypes = from_array(rng.binomial(2, 0.4, (n, p)).astype(float))
        X = genotypes.columns(np.arange(p))
        y = phenotype(rng, K) + X[:, :15] @ rng.choice([-1.0, 1.0], 15)
        null = ll.fit_null(y, K, log_delta=np.log(0.3 / 0.7))
        path = ll.lasso_path(genotypes, y, null, alphas=[0.15 / null.delta])
        rate = marginal_fdr(path, genotypes, y)[0]
        assert 0 < rate < 1
        expected += rate * path.n_active[0]
        n_false += np.count_nonzero(path.coefs.toarray()[15:])
    assert n_false > 60
    assert 0.9 < expected / n_false < 1.5


# ---- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"level": 0.0}, r"level: expected a number in \(0, 1\)"),
        ({"level": 1.0}, "level"),
        ({"level": np.nan}, "level"),
        ({"level": 1e-5}, "n_draws: expected at least 99999"),
        ({"n_draws": 0}, "n_draws: expected an integer"),
        ({"n_draws": 99.0}, "n_draws"),
        ({"n_draws": True}, "n_draws"),
        ({"seed": -1}, "seed: expected an integer of at least 0, found -1"),
        ({"seed": None}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"l1_ratio": 0.0}, "l1_ratio"),
        ({"n_threads": 0}, "n_threads"),
        ({"penalty_factors": np.ones(3)}, "penalty_factors: expected 70 numbers"),
        ({"penalty_factors": -np.ones(70)}, "found -1.0 for SNP 0"),
    ],
)
def test_options_out_of_range_are_refused(options, text):
    problem = plain_problem(23)
    with pytest.raises(InputError, match=text):
        calibrated_alpha(problem.genotypes, problem.y, **options)


def test_data_that_do_not_fit_are_refused():
    problem = mixed_problem(24, missing=0.0)
    genotypes, y, null = problem.genotypes, problem.y, problem.null
    with pytest.raises(InputError, match="the null model brings its own"):
        calibrated_alpha(genotypes, y, null, covariates=problem.covariates)
    with pytest.raises(InputError, match="the null model brings its own"):
        whitened_norms(genotypes, null, intercept=False)
    with pytest.raises(PhenotypeError, match="expected 50 values"):
        calibrated_alpha(genotypes, y[1:], null)
    half = np.arange(25)
    with pytest.raises(SampleMatchError, match="expected the 25 samples"):
        whitened_norms(genotypes.subset(half), null)
    with pytest.raises(GenotypeError, match="no SNP is left"):
        calibrated_alpha(genotypes, y, null, penalty_factors=np.full(70, np.inf))
    named = from_array(problem.D, samples=sample_table(50))
    K = ll.kinship(named)
    other = from_array(problem.D, samples=sample_table(50, "t"))
    with pytest.raises(SampleMatchError, match="not those of the genotypes"):
        calibrated_alpha(other, y, ll.fit_null(y, K))

    path = ll.lasso_path(genotypes, y, null, n_alphas=5, eps=0.5)
    with pytest.raises(GenotypeError, match="50 samples and 70 SNPs of the path, found 25 and 70"):
        marginal_fdr(path, genotypes.subset(half), y[half])
    with pytest.raises(GenotypeError, match="found 50 and 60"):
        marginal_fdr(path, from_array(problem.D[:, :60]), y)
    with pytest.raises(PhenotypeError, match="expected 50 values"):
        marginal_fdr(path, genotypes, y[1:])
    with pytest.raises(InputError, match="n_threads"):
        marginal_fdr(path, genotypes, y, n_threads=0)
    with pytest.raises(InputError, match="norms: expected 70 numbers"):
        marginal_fdr(path, genotypes, y, np.ones(69))
    for bad in (np.nan, -1.0, np.inf):
        with pytest.raises(InputError, match=f"found {bad} for SNP 4"):
            marginal_fdr(path, genotypes, y, np.where(np.arange(70) == 4, bad, 1.0))
