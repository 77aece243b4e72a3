"""The univariate scan against dense algebra, SciPy and GEMMA, and the relations it must obey."""

import math
import shutil
import subprocess
import warnings
from decimal import Decimal, localcontext

import numpy as np
import pytest
import reference as ref
import scipy.optimize
import scipy.special
import scipy.stats
from cli_files import lmmlasso, read
from numpy.testing import assert_allclose, assert_array_equal
from problems import (
    covariance,
    dense,
    from_array,
    mixed_problem,
    plain_problem,
    random_dosages,
    variant_table,
)

import lmmlasso_fast as ll
from lmmlasso_fast import _core, loco, norms
from lmmlasso_fast.association import (
    EXACT_GRID,
    association_scan,
    association_scan_loco,
    median_of_f,
)
from lmmlasso_fast.errors import (
    CovariateError,
    GenotypeError,
    InputError,
    PhenotypeError,
    SampleMatchError,
)
from lmmlasso_fast.simulation import simulate_genotypes

pytestmark = pytest.mark.promise("peers")

LOG_DELTAS = [np.nan, -4.0, 0.5, 20.0]  # nan: no random effect
NUMBERS = ("beta", "se", "chisq", "log10p")
#: Relative error of beta and se where lengths are float32's.
FLOAT32 = 1e-6


# ---- the oracle: one SNP after the other, dense ----------------------------------------------


def reference_scan(X, sd, y, V, C):
    """beta, se, chisq, log10 p of every SNP (dosage X sd) by generalised least squares with C."""
    n, c = C.shape
    result = np.full((4, X.shape[1]), np.nan)
    for j in np.flatnonzero(sd > 0):
        A = np.column_stack([C, X[:, j] * sd[j]])
        if np.linalg.matrix_rank(A) <= c:
            continue
        gamma, rss = ref.gls(y, V, A)
        sigma2 = rss / (n - c - 1)
        se = np.sqrt(sigma2 * np.linalg.inv(A.T @ np.linalg.solve(V, A))[-1, -1])
        chisq = (gamma[-1] / se) ** 2
        log10p = -scipy.stats.f.logsf(chisq, 1, n - c - 1) / math.log(10)
        result[:, j] = gamma[-1], se, chisq, log10p
    return result


def reference_log_delta(x, y, K, C):
    """log delta by REML with x among the fixed effects: a fine grid, then within its interval."""
    A = np.column_stack([C, x])

    def nll(log_delta):
        return ref.nll(log_delta, y, K, A, "reml")

    grid = np.linspace(EXACT_GRID[0], EXACT_GRID[-1], 185)
    values = [nll(t) for t in grid]
    k = int(np.argmin(values))
    low, high = grid[max(k - 1, 0)], grid[min(k + 1, len(grid) - 1)]
    found = scipy.optimize.minimize_scalar(
        nll, bounds=(low, high), method="bounded", options={"xatol": 1e-9}
    )
    ends = [(values[0], grid[0]), (values[-1], grid[-1])]
    return min([(found.fun, found.x), *ends])[1]


def example(seed, log_delta, **options):
    """(problem, its options for the scan, V)."""
    if np.isnan(log_delta):
        problem = plain_problem(seed, **options)
        return problem, {"covariates": problem.covariates}, np.eye(problem.n)
    problem = mixed_problem(seed, log_delta=log_delta, **options)
    V = covariance(problem.null) + problem.null.delta * np.eye(problem.n)
    return problem, {"null": problem.null}, V


def assert_same(scan, other, rtol=1e-9, sign=1):
    assert_allclose(scan.beta, sign * other.beta, rtol=rtol, atol=rtol * np.nanmax(other.se))
    for name in NUMBERS[1:]:
        assert_allclose(getattr(scan, name), getattr(other, name), rtol=2 * rtol, atol=1e-10)


def assert_same_bits(scan, other):
    for name in (*NUMBERS, "log_delta"):
        assert_array_equal(getattr(scan, name), getattr(other, name))


# ---- delta of the null model -----------------------------------------------------------------


@pytest.mark.parametrize("log_delta", LOG_DELTAS)
@pytest.mark.parametrize("form", ["spectrum", "tridiagonal"])
@pytest.mark.parametrize("kind", ["packed", "dense", "in_float32"])
def test_a_scan_is_generalised_least_squares(log_delta, form, kind, request, monkeypatch):
    if form == "tridiagonal":
        request.getfixturevalue("tridiagonal_form")
    if kind == "in_float32":
        monkeypatch.setattr(norms, "_WORTH_A_FACTOR", 0)
        monkeypatch.setattr(norms, "_SMALL_BLOCK", 16)
    problem, options, V = example(1, log_delta, n=45, p=90, n_covariates=2)
    genotypes = dense(problem.D) if kind == "dense" else problem.genotypes
    scan = association_scan(genotypes, problem.y, **options)
    _, _, sd = ref.standardise(problem.D)
    beta, se, chisq, log10p = reference_scan(problem.X, sd, problem.y, V, problem.C)
    rtol = 1e-9 if kind != "in_float32" or np.isnan(log_delta) else FLOAT32
    assert_allclose(scan.se, se, rtol=rtol)
    assert_allclose(scan.beta, beta, rtol=rtol, atol=1e-10 * np.nanmax(se))
    assert_allclose(scan.chisq, chisq, rtol=4 * rtol, atol=1e-9)
    assert_allclose(scan.log10p, log10p, rtol=4 * rtol, atol=1e-9)
    assert_array_equal(scan.chisq, (scan.beta / scan.se) ** 2)
    assert_allclose(scan.beta_std, beta * sd, rtol=rtol, atol=1e-10)
    assert scan.test == ("LM" if np.isnan(log_delta) else "LMM")
    assert scan.log_delta == (np.inf if np.isnan(log_delta) else log_delta)
    assert (scan.n_samples, scan.df) == (45, 41)


def test_without_a_random_effect_it_is_scipys_regression():
    problem = plain_problem(2, n=60, n_covariates=0, missing=0.0)
    scan = association_scan(problem.genotypes, problem.y)
    for j in np.flatnonzero(problem.genotypes.included):
        found = scipy.stats.linregress(problem.D[:, j], problem.y)
        assert_allclose(scan.beta[j], found.slope, rtol=1e-10)
        assert_allclose(scan.se[j], found.stderr, rtol=1e-10)
        assert_allclose(scan.log10p[j], -np.log10(found.pvalue), rtol=1e-8, atol=1e-10)


def test_missing_genotypes_are_at_the_mean():
    problem = mixed_problem(3, missing=0.2)
    keep = problem.genotypes.included
    D = problem.D[:, keep]
    filled = np.where(np.isnan(D), np.nanmean(D, axis=0), D)
    scan = association_scan(problem.genotypes, problem.y, problem.null)
    other = association_scan(from_array(filled), problem.y, problem.null)
    assert_allclose(scan.beta[keep], other.beta, rtol=1e-9)
    assert_allclose(scan.se[keep], other.se, rtol=1e-9)
    assert np.isnan(scan.beta[~keep]).all()


@pytest.mark.parametrize("log_delta", [-11.0, -5.0, 0.0, 3.0])
@pytest.mark.parametrize("n", [40, 300])
def test_standard_errors_are_accurate_in_float32(log_delta, n, monkeypatch):
    """Rare SNPs, strong structure, a singular kinship (twins), an extreme delta."""
    rng = np.random.default_rng([4, n])
    frequency = rng.beta(0.3, 1.5, 600).clip(0.5 / n, 0.9)
    D = rng.binomial(2, frequency, (n, 600)).astype(float)
    D[: n // 2, 200:400] = rng.binomial(2, np.minimum(1.0, 2 * frequency[200:400]))
    D[-1] = D[-2]
    genotypes = from_array(D)
    y = rng.standard_normal(n)
    null = ll.fit_null(y, ll.kinship(genotypes), log_delta=log_delta)
    scans = []
    for worth in (0, np.inf):
        monkeypatch.setattr(norms, "_WORTH_A_FACTOR", worth)
        scans.append(association_scan(genotypes, y, null))
    fast, exact = scans
    assert_allclose(fast.se, exact.se, rtol=FLOAT32)
    assert_allclose(fast.beta, exact.beta, rtol=2 * FLOAT32)
    if log_delta > -11:  # there everything is done again
        assert not np.array_equal(fast.se, exact.se, equal_nan=True)


@pytest.mark.parametrize(
    ("n", "p", "log_delta", "options"),
    [
        (3, 12, None, {}),
        (4, 30, None, {"missing_rate": 0.1}),
        (8, 60, None, {"missing_rate": 0.1}),
        (300, 2000, -5.0, {"fst": 0.8, "inbred": True}),
    ],
)
def test_standard_errors_of_tiny_and_of_structured_samples(n, p, log_delta, options):
    """Where float32 is worst: SNPs that explain y, or of which P leaves little."""
    n_compared = 0
    for seed in range(40 if n < 300 else 1):
        drawn = simulate_genotypes(n, p, n_populations=min(n, 4), seed=seed, **options)
        genotypes = drawn.genotypes()
        if genotypes.included.sum() <= 3 * n:
            continue
        y = np.random.default_rng(seed).standard_normal(n)
        null = ll.fit_null(y, ll.kinship(genotypes), log_delta=log_delta)
        scan = association_scan(genotypes, y, null)
        # in a basis of what is orthogonal to the intercept
        U = np.linalg.qr(np.ones((n, 1)), mode="complete")[0][:, 1:]
        L = np.linalg.cholesky(U.T @ (null.kinship.matrix + null.delta * np.eye(n)) @ U)
        some = np.flatnonzero(scan.tested)
        Z = np.linalg.solve(L, U.T @ genotypes.columns(some))
        z = np.linalg.solve(L, U.T @ y)
        xx = (Z**2).sum(axis=0)
        rss = np.square(z[:, None] - Z * (z @ Z / xx)).sum(axis=0)
        se = np.sqrt(rss / (n - 2) / xx) / genotypes.sd[some]
        assert_allclose(scan.se[some], se, rtol=FLOAT32)
        n_compared += len(some)
    assert n_compared > 60


def test_what_float32_cannot_do_is_done_again(monkeypatch):
    """A SNP nearly in the span of the covariates, and a design without the constant."""
    rng = np.random.default_rng(5)
    D = random_dosages(rng, 40, 60)
    genotypes = from_array(D)
    y = rng.standard_normal(40)
    K = ll.kinship(genotypes)
    monkeypatch.setattr(norms, "_WORTH_A_FACTOR", 0)
    near = D[:, [3]] + 1e-5 * rng.standard_normal((40, 1))
    for covariates, intercept in ((near, True), (rng.standard_normal((40, 2)), False)):
        null = ll.fit_null(y, K, covariates, log_delta=0.0, intercept=intercept)
        scan = association_scan(genotypes, y, null)
        X, _, sd = ref.standardise(D)
        V = covariance(null) + np.eye(40)
        beta, se, *_ = reference_scan(X, sd, y, V, null.design.matrix)
        assert_allclose(scan.se, se, rtol=FLOAT32)
        assert_allclose(scan.beta, beta, rtol=1e-5, atol=1e-6)


# ---- delta of every SNP ----------------------------------------------------------------------


@pytest.mark.parametrize("missing", [0.0, 0.05])
@pytest.mark.parametrize("intercept", [True, False])
def test_exact_is_dense_reml(missing, intercept):
    problem = plain_problem(6, n=40, p=25, missing=missing, n_covariates=1)
    K = problem.X @ problem.X.T  # in float64, without eigenvalues below zero
    null = ll.fit_null(problem.y, K, problem.covariates, intercept=intercept)
    C = null.design.matrix
    scan = association_scan(problem.genotypes, problem.y, null, exact=True)
    assert scan.test == "LMM_EXACT"
    _, _, sd = ref.standardise(problem.D)
    matrix = covariance(null)
    interior = 0
    for j in np.flatnonzero(problem.genotypes.included):
        log_delta = reference_log_delta(problem.X[:, j], problem.y, matrix, C)
        assert_allclose(scan.log_delta[j], log_delta, atol=1e-4)
        interior += abs(log_delta) < 11.4
        V = matrix + np.exp(scan.log_delta[j]) * np.eye(40)
        expected = reference_scan(problem.X[:, [j]], sd[[j]], problem.y, V, C)[:, 0]
        found = [getattr(scan, name)[j] for name in NUMBERS]
        assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
    assert interior > 10
    assert_array_equal(np.isnan(scan.log_delta), np.isnan(scan.beta))


def test_exact_takes_the_best_of_several_optima():
    """Of few samples the likelihood may have several, or rise to an end of the interval."""
    rng = np.random.default_rng(7)
    grid = np.linspace(EXACT_GRID[0], EXACT_GRID[-1], 300)
    several, at_an_end, inside = 0, 0, 0
    for n in (8, 9, 10, 11, 12, 13, 14, 15):
        s = 10 ** rng.uniform(-4, 2, n)
        U = np.linalg.qr(rng.standard_normal((n, n)))[0]
        K = ll.Kinship.from_matrix(U * s @ U.T)
        y = U @ (np.sqrt(s) * 10 ** rng.uniform(-1, 1, n) * rng.standard_normal(n))
        genotypes = from_array(rng.binomial(2, 0.5, (n, 6)).astype(float))
        scan = association_scan(genotypes, y, ll.fit_null(y, K), exact=True)
        for j in np.flatnonzero(genotypes.included):
            A = np.column_stack([np.ones(n), genotypes.columns([j])])
            values = np.array([ref.nll(t, y, K.matrix, A, "reml") for t in grid])
            minima = (values[1:-1] < values[:-2]) & (values[1:-1] < values[2:])
            several += minima.sum() + (values[0] < values[1]) + (values[-1] < values[-2]) > 1
            ends = scan.log_delta[j] in EXACT_GRID[[0, -1]]
            at_an_end += ends
            inside += not ends
            found = ref.nll(scan.log_delta[j], y, K.matrix, A, "reml")
            assert found < values.min() + 1e-7
    assert several > 3
    assert at_an_end > 3
    assert inside > 3


def test_exact_is_more_certain_of_strong_effects():
    """A delta of the null model counts a strong SNP's variance to kinship and noise."""
    rng = np.random.default_rng(8)
    genotypes = from_array(random_dosages(rng, 120, 200))
    y = rng.standard_normal(120) + 4 * genotypes.columns([50])[:, 0]
    null = ll.fit_null(y, ll.kinship(genotypes))
    fixed = association_scan(genotypes, y, null)
    exact = association_scan(genotypes, y, null, exact=True)
    assert exact.log10p[50] > fixed.log10p[50] + 1
    assert np.nanargmax(exact.log10p) == np.nanargmax(fixed.log10p) == 50


# ---- relations -------------------------------------------------------------------------------


def scans_of(genotypes, y, K, covariates=None):
    """Every kind of scan that takes these."""
    null = ll.fit_null(y, K, covariates)
    return [
        association_scan(genotypes, y, covariates=covariates),
        association_scan(genotypes, y, null),
        association_scan(genotypes, y, null, exact=True),
    ]


def chromosome_problem(seed, chromosomes=("1", "2"), n=50, p=70):
    """`mixed_problem` whose SNPs are on chromosomes."""
    problem = mixed_problem(seed, n=n, p=p)
    problem.genotypes = from_array(problem.D, variants=variant_table(p, chromosomes))
    return problem


def test_the_identity_as_kinship_is_linear_regression():
    problem = plain_problem(9)
    lm = association_scan(problem.genotypes, problem.y, covariates=problem.covariates)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the likelihood does not depend on delta
        null = ll.fit_null(problem.y, np.eye(50), problem.covariates)
    for exact in (False, True):
        scan = association_scan(problem.genotypes, problem.y, null, exact=exact)
        assert_same(scan, lm)


def test_the_kinships_unit_does_not_matter():
    problem = mixed_problem(10)
    for name in range(3):
        one = scans_of(problem.genotypes, problem.y, problem.K)[name]
        other = scans_of(problem.genotypes, problem.y, 7.5 * problem.K)[name]
        assert_same(one, other, 1e-8)


def test_the_order_of_samples_does_not_matter():
    problem = mixed_problem(11)
    order = problem.rng.permutation(50)
    here = scans_of(problem.genotypes, problem.y, problem.K, problem.covariates)
    there = scans_of(
        from_array(problem.D[order]),
        problem.y[order],
        problem.K[np.ix_(order, order)],
        problem.covariates[order],
    )
    for one, other in zip(here, there, strict=True):
        assert_same(one, other, 1e-7)


@pytest.mark.parametrize("worth", [0, np.inf])
def test_the_order_of_snps_and_the_counted_allele(worth, monkeypatch):
    monkeypatch.setattr(norms, "_WORTH_A_FACTOR", worth)
    problem = mixed_problem(12)
    order = problem.rng.permutation(70)
    rtol = 1e-9 if worth else FLOAT32
    here = scans_of(problem.genotypes, problem.y, problem.K)
    for D, sign in ((problem.D[:, order], 1), (2 - problem.D[:, order], -1)):
        for one, other in zip(here, scans_of(from_array(D), problem.y, problem.K), strict=True):
            for name in NUMBERS:
                found = sign * getattr(other, name) if name == "beta" else getattr(other, name)
                expected = getattr(one, name)[order]
                assert_allclose(found, expected, rtol=4 * rtol, atol=rtol)


def test_duplicates_have_the_same_numbers():
    problem = mixed_problem(13, missing=0.0)
    for scan in scans_of(problem.genotypes, problem.y, problem.K):
        assert_allclose(scan.beta[[4, 7]], [scan.beta[1], -scan.beta[2]], rtol=1e-9)
        assert_allclose(scan.log10p[[4, 7]], scan.log10p[[1, 2]], rtol=1e-9)


def test_units_and_shifts_of_the_phenotype():
    problem = mixed_problem(14)
    g, C = problem.genotypes, problem.covariates
    here = scans_of(g, problem.y, problem.K, C)
    for unit in (-3.0, 1e-100, 1e100):
        for one, other in zip(here, scans_of(g, unit * problem.y, problem.K, C), strict=True):
            assert_allclose(other.beta, unit * one.beta, rtol=1e-7, atol=1e-9 * abs(unit))
            assert_allclose(other.se, abs(unit) * one.se, rtol=1e-7)
            assert_allclose(other.log10p, one.log10p, rtol=1e-7, atol=1e-9)
    shifted = problem.y + 1000 + 50 * C[:, 0]
    for one, other in zip(here, scans_of(g, shifted, problem.K, C), strict=True):
        assert_same(one, other, 1e-7)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("worth", [0, np.inf])
def test_neither_threads_nor_blocks_show(exact, worth, monkeypatch):
    monkeypatch.setattr(norms, "_WORTH_A_FACTOR", worth)
    rng = np.random.default_rng(15)
    D = random_dosages(rng, 33, 900, 0.03, hostile=True)
    genotypes = from_array(D, variants=variant_table(900, ("a", "b", "c")))
    y = rng.standard_normal(33)
    null = ll.fit_null(y, ll.kinship(genotypes))
    one = association_scan(genotypes, y, null, exact=exact, n_threads=1)
    loco = association_scan_loco(genotypes, y, exact=exact, n_threads=1)
    for n_threads in (2, 3, None):
        threads = {"n_threads": n_threads}
        assert_same_bits(association_scan(genotypes, y, null, exact=exact, **threads), one)
        assert_same_bits(association_scan_loco(genotypes, y, exact=exact, **threads), loco)
    for size in (32, 1000):
        monkeypatch.setattr(norms, "_SMALL_BLOCK", size)
        assert_same(
            association_scan(genotypes, y, null, exact=exact), one, 1e-10 + FLOAT32 * (not worth)
        )


# ---- leaving one chromosome out --------------------------------------------------------------


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("method", ["ml", "reml"])
def test_loco_is_a_scan_by_chromosome(exact, method):
    """Names are any text, and each chromosome's SNPs may be anywhere."""
    names = ["X", "chr β", "", "scaffold 1; x"]
    problem = plain_problem(16, n=50, p=80)
    which = problem.rng.integers(0, 4, 80)
    table = variant_table(80).with_columns(CHROM=np.array(names)[which])
    genotypes = from_array(problem.D, variants=table)
    scan = association_scan_loco(
        genotypes, problem.y, covariates=problem.covariates, method=method, exact=exact
    )
    assert scan.test == ("LMM_EXACT_LOCO" if exact else "LMM_LOCO")
    nulls = {null.chromosome: null for null in scan.chromosome_nulls}
    assert sorted(nulls) == sorted(names)
    for k, name in enumerate(names):
        here = which == k
        others = ~here & genotypes.included
        K, _ = ref.scale_to_unit_diagonal(problem.X[:, others] @ problem.X[:, others].T)
        null = ll.fit_null(problem.y, K, problem.covariates, method)
        expected = association_scan(genotypes, problem.y, null, exact=exact)
        for field in NUMBERS:
            found = getattr(scan, field)[here]
            assert_allclose(found, getattr(expected, field)[here], rtol=1e-4, atol=1e-5)
        assert nulls[name].n_variants == others.sum()
        assert_allclose(nulls[name].log_delta, null.log_delta, atol=1e-4)
        assert_allclose(nulls[name].h2, null.h2, atol=1e-5)
        if not exact:
            assert_array_equal(scan.log_delta[here & genotypes.included], nulls[name].log_delta)


def test_loco_does_not_depend_on_what_is_kept(monkeypatch):
    problem = chromosome_problem(17, ("1", "2", "3"))
    kept = association_scan_loco(problem.genotypes, problem.y)
    monkeypatch.setattr(loco, "KEPT_BYTES", 0)
    assert_same_bits(association_scan_loco(problem.genotypes, problem.y), kept)


def test_loco_finds_more_than_a_kinship_with_the_snp_itself():
    rng = np.random.default_rng(18)
    D = random_dosages(rng, 150, 60)
    genotypes = from_array(D, variants=variant_table(60, ("1", "2", "3")))
    y = 0.7 * genotypes.columns([30])[:, 0] + rng.standard_normal(150)
    alone = association_scan_loco(genotypes, y)
    null = ll.fit_null(y, ll.kinship(genotypes))
    assert alone.log10p[30] > association_scan(genotypes, y, null).log10p[30] + 1


def test_loco_of_one_chromosome_is_an_error():
    problem = chromosome_problem(19, ("only",))
    with pytest.raises(InputError, match="at least two chromosomes, found only 'only'; take assoc"):
        association_scan_loco(problem.genotypes, problem.y)
    of_two = chromosome_problem(19).genotypes
    with pytest.raises(InputError, match="found only '2'"):
        association_scan_loco(of_two.filter(chromosomes=["2"]), problem.y)
    with pytest.raises(InputError, match="method: expected 'ml' or 'reml', found 'wrong'"):
        association_scan_loco(of_two, problem.y, method="wrong")


# ---- SNPs without a test ---------------------------------------------------------------------


def test_snps_without_a_test_are_nan():
    problem = plain_problem(20, n=50, missing=0.0)
    table = variant_table(70, ("1", "2"))
    genotypes = from_array(problem.D, variants=table).filter(exclude=["rs20"])
    null = ll.fit_null(problem.y, ll.kinship(genotypes), problem.D[:, [2, 6]])
    none = ~genotypes.included
    assert none[[9, 10, 20]].all()
    none[[2, 6, 7]] = True  # 7 is 2 with the alleles swapped
    scans = [
        association_scan(genotypes, problem.y, null),
        association_scan(genotypes, problem.y, null, exact=True),
        association_scan(genotypes, problem.y, covariates=problem.D[:, [2, 6]]),
        association_scan_loco(genotypes, problem.y, covariates=problem.D[:, [2, 6]]),
        association_scan_loco(genotypes, problem.y, covariates=problem.D[:, [2, 6]], exact=True),
    ]
    for scan in scans:
        for name in NUMBERS:
            assert_array_equal(np.isnan(getattr(scan, name)), none)
        assert_array_equal(scan.tested, ~none)
        if isinstance(scan.log_delta, np.ndarray):
            assert_array_equal(np.isnan(scan.log_delta), none)


def test_a_snp_that_explains_everything():
    problem = plain_problem(21, n_covariates=0, missing=0.0)
    y = 2 + 3 * problem.D[:, 5]
    scan = association_scan(problem.genotypes, y)
    assert_allclose(scan.beta[5], 3, rtol=1e-12)
    assert np.isfinite(scan.log10p[problem.genotypes.included]).all()
    assert scan.log10p[5] > 300


def test_genomic_lambda():
    problem = mixed_problem(22)
    scan = association_scan(problem.genotypes, problem.y, problem.null)
    tested = scan.chisq[scan.tested]
    expected = np.median(tested) / scipy.stats.f.median(1, scan.df)
    assert_allclose(scan.genomic_lambda, expected, rtol=1e-12)
    everything = np.column_stack([np.ones(50), problem.D[:, 5]])
    alone = from_array(problem.D[:, [5]])
    scan = association_scan(alone, problem.y, covariates=everything, intercept=False)
    assert not scan.tested.any()
    assert math.isnan(scan.genomic_lambda)
    for df in (1, 2, 7, 100, 1_000_000):
        assert_allclose(median_of_f(df), scipy.stats.f.median(1, df), rtol=1e-9)
    assert_allclose(median_of_f(10**9), 0.4549364, rtol=1e-6)


# ---- p-values --------------------------------------------------------------------------------


def log10_p(chisq, df):
    return _core.log10_p(np.array(chisq, dtype=np.float64), df)


def log_a_beta(a):
    """log(a B(a, 1/2))"""
    return math.log(math.pi) / 2 + math.lgamma(a + 1) - math.lgamma(a + 0.5)


def reference_log10_p(chisq, df):
    """-log10 P(F(1, df) > chisq) for even df, in decimal numbers: with tan(t)^2 = chisq / df

    P = sin t times the sum of binomial(2 k, k) / 4^k cos(t)^(2 k) over k >= df / 2,

    and the sum over all k from 0 is 1 / sin t.
    """
    digits = 60 + round(df / 2 * math.log10(1 + chisq / df))
    with localcontext(prec=40 if chisq > df / 20 else digits):
        x = Decimal(df) / (Decimal(df) + Decimal(chisq))
        term, below = Decimal(1), Decimal(0)
        for k in range(df // 2):
            below += term
            term *= Decimal(2 * k + 1) / (2 * k + 2) * x
        if chisq <= df / 20:
            return float(-(1 - below * (1 - x).sqrt()).log10())
        above, k = Decimal(0), df // 2
        while term > above * Decimal("1e-30"):
            above += term
            term *= Decimal(2 * k + 1) / (2 * k + 2) * x
            k += 1
        return float(-(above * (1 - x).sqrt()).log10())


@pytest.mark.parametrize("df", [1, 2, 3, 7, 30, 497, 10_000, 1_000_000])
def test_p_values_are_scipys_where_it_has_them(df):
    chisq = np.concatenate([np.logspace(-12, 2.8, 400), np.linspace(7.99, 8.01, 11)])
    p = scipy.special.fdtrc(1, df, chisq)
    assert (p > 1e-300).all()
    assert_allclose(log10_p(chisq, df), -np.log10(p), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("df", [2, 4, 30, 498, 5_000])
def test_p_values_neither_overflow_nor_underflow(df):
    chisq = [1e-3, 0.5, 7.9, 8.1, 30.0, 1e3, 1e4, 1e5, 1e6, 1e12]
    expected = [reference_log10_p(value, df) for value in chisq]
    assert_allclose(log10_p(chisq, df), expected, rtol=1e-12, atol=1e-13)


def test_p_values_of_many_samples_and_strong_effects():
    expected = [reference_log10_p(value, 1_000_000) for value in (1e5, 1e6)]
    assert_allclose(log10_p([1e5, 1e6], 1_000_000), expected, rtol=1e-12)


def test_p_values_at_the_ends():
    assert_array_equal(log10_p([0.0, np.inf, np.nan, -1.0], 9), [0.0, np.inf, np.nan, np.nan])
    # log10 of erfc(x) ~ exp(-x^2) / (x sqrt(pi)) with x^2 = f / 2, of F(1, infinity)
    x2 = 5e5
    expected = (x2 + 0.5 * math.log(math.pi * x2) - math.log1p(-1 / (2 * x2))) / math.log(10)
    assert_allclose(log10_p([1e6], 1e13), [expected], rtol=1e-6)
    steps = log10_p(np.linspace(7.9, 8.1, 2001), 50)
    assert (np.diff(steps) > 0).all()


@pytest.mark.parametrize("df", [0.9, 0.5, 0.1, 1e-2, 1e-4, 1e-8, 1e-300])
def test_p_values_of_less_than_one_degree_of_freedom(df):
    """P = x^a / (a B(a, 1/2)) 2F1(a, 1/2; a + 1; x) with a = df / 2, x = df / (df + chisq)."""
    a = df / 2
    x = 1 / (1 + np.logspace(-0.9, 20, 300))
    term, of_a = np.ones(300), np.zeros(300)
    for k in range(1, 500):  # 2F1 = 1 + a times this sum
        term = term * (k - 0.5) / k * x
        of_a += term / (a + k)
    log_p = a * np.log(x) + np.log1p(a * of_a) - log_a_beta(a)
    found = log10_p(df * (1 - x) / x, df)
    assert_allclose(found, -log_p / np.log(10), rtol=1e-12, atol=1e-13)
    assert (log10_p(np.logspace(-300, 300, 100), df) >= 0).all()


@pytest.mark.parametrize(("chisq", "df"), [(1e300, 1e-10), (1e308, 0.5), (1e307, 1e-3)])
def test_p_values_where_chisq_over_df_overflows(chisq, df):
    """P = (chisq / df)^-a / (a B(a, 1/2)) with a = df / 2, but for a relative df / chisq."""
    a = df / 2
    expected = (a * (math.log(chisq) - math.log(df)) + log_a_beta(a)) / math.log(10)
    assert_allclose(log10_p([chisq], df), [expected], rtol=1e-12, atol=1e-15)


# ---- arguments -------------------------------------------------------------------------------


def test_progress_reaches_the_end():
    problem = chromosome_problem(23)
    n_offered = int(problem.genotypes.included.sum())
    for exact in (False, True):
        for function, options in (
            (association_scan, {"null": problem.null}),
            (association_scan_loco, {}),
        ):
            calls = []
            options |= {
                "exact": exact,
                "n_threads": 2,
                "progress": lambda *call, c=calls: c.append(call),
            }
            function(problem.genotypes, problem.y, **options)
            assert calls == sorted(calls)
            assert calls[-1] == (n_offered, n_offered)


def test_arguments_that_do_not_fit():
    problem = chromosome_problem(24)
    genotypes, y, null = problem.genotypes, problem.y, problem.null
    with pytest.raises(InputError, match="exact: expected a null model"):
        association_scan(genotypes, y, exact=True)
    with pytest.raises(InputError, match="the null model brings its own"):
        association_scan(genotypes, y, null, covariates=problem.covariates)
    with pytest.raises(InputError, match="the null model brings its own"):
        association_scan(genotypes, y, null, intercept=False)
    with pytest.raises(PhenotypeError, match="expected 50 values"):
        association_scan(genotypes, y[1:], null)
    with pytest.raises(SampleMatchError, match="expected the 49 samples"):
        association_scan(genotypes.subset(np.arange(49)), y[:49], null)
    with pytest.raises(InputError, match="n_threads"):
        association_scan(genotypes, y, null, n_threads=0)
    many = problem.rng.standard_normal((50, 48))
    with pytest.raises(CovariateError, match="left beside a SNP, found 49 independent columns"):
        association_scan(genotypes, y, covariates=many)
    nothing = genotypes.filter(extract=[])
    for function in (association_scan, association_scan_loco):
        with pytest.raises(GenotypeError, match=r"no SNP is left .*: \d+ extract.*; relax"):
            function(nothing, y)
    with pytest.raises(PhenotypeError, match="the covariates explain it completely"):
        association_scan(genotypes, y, covariates=y)


# ---- GEMMA -----------------------------------------------------------------------------------


def test_exact_is_gemma_on_mouse_cd8(data_dir, tmp_path):
    """-lmm 1 with its own -gk 2 matrix and the same SNPs (its 1 % filter), whole processes."""
    gemma = shutil.which("gemma")
    if gemma is None:
        pytest.skip("GEMMA is not installed: the scan is not compared with it")
    source = data_dir / "mouse_hs1940" / "mouse_hs1940"
    phenotypes = data_dir / "mouse_hs1940" / "phenotypes.tsv"
    name, *values = [line.split("\t")[2] for line in phenotypes.read_text().splitlines()]
    assert name == "CD8"
    (tmp_path / "cd8.txt").write_text("\n".join(values) + "\n")
    common = [gemma, "-bfile", source, "-p", "cd8.txt"]
    for step in (["-gk", "2", "-o", "k"], ["-k", "output/k.sXX.txt", "-lmm", "1", "-o", "lmm"]):
        subprocess.run([*common, *step], cwd=tmp_path, check=True, capture_output=True)
    lmmlasso(
        "scan", "--bfile", source, "--pheno", phenotypes, "--pheno-name", "CD8", "--maf", 0.01,
        "--exact", "--kinship", tmp_path / "output" / "k.sXX.txt", "--out", tmp_path / "P",
    )  # fmt: skip
    ours = read(tmp_path / "P.scan.tsv")
    header, *rows = (tmp_path / "output" / "lmm.assoc.txt").read_text().splitlines()
    theirs = {name: k for k, name in enumerate(header.split("\t"))}
    rows = [row.split("\t") for row in rows]
    assert len(rows) == ours.n_rows == 10_768
    assert [row[theirs["rs"]] for row in rows] == list(ours.ID)
    assert [row[theirs["allele1"]] for row in rows] == list(ours.ALLELE1)
    beta, se, p, frequency = (
        np.array([float(row[theirs[name]]) for row in rows])
        for name in ("beta", "se", "p_wald", "af")
    )
    assert_allclose(ours.SE, se, rtol=1e-5)
    assert_allclose(ours.LOG10P, -np.log10(p), atol=1e-4)
    # GEMMA's lambda is good to 1e-5; what that does to beta is a share of se, not of beta
    assert (np.abs(ours.BETA - beta) <= 2e-5 * np.maximum(np.abs(beta), se)).all()
    clear = np.abs(beta) > 0.1 * se
    assert clear.sum() > 9_000
    assert_allclose(ours.BETA[clear], beta[clear], rtol=1e-4)
    assert_allclose(ours.A1FREQ, frequency, atol=6e-4)
