"""Lasso paths: the certificate recomputed by the oracle, closed forms, and relations."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import reference as ref
from numpy.testing import assert_allclose, assert_array_equal
from problems import (
    certify,
    dense,
    from_array,
    mixed_problem,
    objectives,
    plain_problem,
    random_dosages,
    sample_table,
)

import lmmlasso_fast as ll
from lmmlasso_fast.covariates import as_design
from lmmlasso_fast.errors import DataWarning, GenotypeError, SampleMatchError
from lmmlasso_fast.path import PathOptions
from lmmlasso_fast.path_solver import PathSolver
from lmmlasso_fast.problem import Problem

pytestmark = pytest.mark.promise("no-wrong-answer")


def random_problem(seed):
    """A problem, a null model or none, and options: everything drawn."""
    rng = np.random.default_rng(1000 + seed)
    n, p = int(rng.integers(8, 45)), int(rng.choice([1, 3, 12, 30, 90, 250]))
    log_delta = rng.choice([-5.0, -1.0, 0.5, 5.0, np.nan])
    make = plain_problem if np.isnan(log_delta) else mixed_problem
    options = {} if np.isnan(log_delta) else {"log_delta": float(log_delta)}
    problem = make(
        seed, n=n, p=p, missing=rng.choice([0.0, 0.1]), n_covariates=int(rng.integers(0, 3)),
        effects=int(rng.integers(1, 6)), **options,
    )  # fmt: skip
    unit = float(rng.choice([1e-150, 1e-6, 1.0, 1e6, 1e150]))
    problem.null = None
    problem.y = problem.y * unit
    if options:
        problem.null = ll.fit_null(problem.y, problem.kinship, problem.covariates, **options)
    options = {"n_alphas": 12, "eps": float(rng.choice([0.3, 0.02, 1e-3]))}
    if problem.null is None:
        options["covariates"] = problem.covariates
    if rng.random() < 0.3:
        options["l1_ratio"] = float(rng.choice([0.95, 0.5, 0.1]))
    if rng.random() < 0.4:
        pi = rng.choice([0.01, 0.5, 1.0, 1.0, 3.0, np.inf], p)
        pi[0] = 1.0
        if p >= 12:
            pi[[3, 5]] = 0.0  # neither duplicates nor without variance
        options["penalty_factors"] = pi
    if rng.random() < 0.25:
        options["gram_limit"] = int(rng.integers(0, 20))
    return problem, options


@pytest.mark.parametrize("seed", range(200))
def test_every_solution_of_a_random_problem_is_certified(seed, request):
    """Duplicates of both signs, missing genotypes, any unit; packed and dense alike."""
    if seed % 2:
        request.getfixturevalue("tridiagonal_form")
    problem, options = random_problem(seed)
    path = ll.lasso_path(problem.genotypes, problem.y, problem.null, **options)
    pi = options.get("penalty_factors")
    certify(path, problem.X, problem.y, pi)
    other = ll.lasso_path(dense(problem.D), problem.y, problem.null, **options)
    certify(other, problem.X, problem.y, pi)
    assert_allclose(other.alphas, path.alphas, rtol=1e-10)
    assert_allclose(
        objectives(other, problem.X, problem.y, pi),
        objectives(path, problem.X, problem.y, pi),
        atol=2e-6,
    )


@pytest.mark.parametrize("late", [0, 1, 2])
def test_nothing_is_taken_before_what_goes_before_it(monkeypatch, late):
    """Of alphas solved together, one that has to be solved again keeps back all after it."""
    gaps_of, held = PathSolver._gaps, []

    def one_too_large(solver, batch, V, gradients):
        gaps, outside = gaps_of(solver, batch, V, gradients)
        if len(batch) > late + 1 and batch[late].n_passes == 0 and batch[late].cd_tol > 1e-12:
            gaps[late] = 1.0
            held.append(batch[late].alpha)
        return gaps, outside

    problem = mixed_problem(2, n=70, p=300)
    monkeypatch.setattr(PathSolver, "_gaps", one_too_large)
    path = ll.lasso_path(problem.genotypes, problem.y, problem.null, n_alphas=60, eps=0.1)
    assert len(held) > 3
    certify(path, problem.X, problem.y)


def test_every_instruction_set(isa):
    problem = mixed_problem(1, n=70, p=300)
    path = ll.lasso_path(problem.genotypes, problem.y, problem.null, n_alphas=20)
    certify(path, problem.X, problem.y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("standardize", [True, False])
def test_linear_combinations(standardize, dtype):
    """Sums of others, multiples and opposites: a Gram matrix that is singular in many ways."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((30, 40)).astype(dtype)
    X -= X.mean(axis=0, dtype=np.float64).astype(dtype)
    X[:, 3] = X[:, 1] + X[:, 2]
    X[:, 6] = X[:, 4] - 2 * X[:, 5]
    X[:, 8] = -X[:, 7]
    X[:, 10] = 4 * X[:, 9]
    X[:, 12:16] = X[:, [11] * 4]
    X[:, 30:] = X[:, :10] @ rng.standard_normal((10, 10)).astype(dtype)
    y = X[:, :12] @ rng.standard_normal(12) + 0.3 * rng.standard_normal(30)
    genotypes = dense(X, standardize=standardize)
    oracle = ref.standardise(X.astype(float))[0] if standardize else X.astype(float)
    K = ll.kinship(from_array(random_dosages(rng, 30, 90)))
    for null in (None, ll.fit_null(y, K, log_delta=-1.0)):
        for options in ({}, {"gram_limit": 15}, {"l1_ratio": 0.7}):
            path = ll.lasso_path(genotypes, y, null, n_alphas=25, eps=1e-3, **options)
            certify(path, oracle, y)


# ---- closed forms ----------------------------------------------------------------------------


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_zero_at_alpha_max_and_not_just_below(l1_ratio):
    for seed in range(5):
        problem = mixed_problem(seed)
        options = {"l1_ratio": l1_ratio}
        top = ll.lasso_path(problem.genotypes, problem.y, problem.null, n_alphas=1, **options)
        W, M = ref.whitening(problem.K, problem.null.delta, problem.C)
        expected = ref.alpha_max(M @ W @ problem.X, M @ W @ problem.y, l1_ratio)
        assert_allclose(top.alpha_max, expected, rtol=1e-10)
        alphas = top.alpha_max * np.array([10.0, 1.0, 1 - 1e-8])
        path = ll.lasso_path(problem.genotypes, problem.y, problem.null, alphas=alphas, **options)
        assert_array_equal(path.n_active > 0, [False, False, True])
        assert (path.dual_gaps <= 1e-14).all()
        assert_allclose(path.gammas[:, 0], problem.null.gamma, rtol=1e-8)


def test_orthonormal_design_is_soft_thresholding():
    H = np.array([[1.0]])
    for _ in range(5):
        H = np.block([[H, H], [H, -H]])
    X, y = H[:, 1:] * 1.0, np.random.default_rng(3).standard_normal(32)
    z = X.T @ y / 32
    for l1_ratio in (1.0, 0.4):
        path = ll.lasso_path(from_array(X + 1), y, n_alphas=20, l1_ratio=l1_ratio, tol=1e-14)
        for k, alpha in enumerate(path.alphas):
            soft = np.sign(z) * np.maximum(np.abs(z) - alpha * l1_ratio, 0)
            expected = soft / (1 + alpha * (1 - l1_ratio))
            assert_allclose(path.coefs[:, [k]].toarray()[:, 0], expected, atol=1e-13)
        assert_allclose(path.intercepts, y.mean(), rtol=1e-12)


def test_least_squares_at_the_end():
    problem = mixed_problem(4, n=60, p=8, missing=0.0, hostile=False)
    path = ll.lasso_path(problem.genotypes, problem.y, problem.null, alphas=[1e-9], tol=1e-12)
    both = np.column_stack([problem.C, problem.X])
    V = problem.K + problem.null.delta * np.eye(60)
    expected, _ = ref.gls(problem.y, V, both)
    assert_allclose(path.coefs.toarray()[:, 0], expected[2:], atol=1e-7)
    assert_allclose(path.gammas[:, 0], expected[:2], atol=1e-7)


@pytest.mark.parametrize(("n", "p"), [(60, 25), (40, 120)])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.6])
def test_without_a_null_model_it_is_scikit_learns(n, p, l1_ratio):
    from sklearn.linear_model import ElasticNet

    problem = plain_problem(5, n=n, p=p, n_covariates=0, hostile=False)
    path = ll.lasso_path(problem.genotypes, problem.y, n_alphas=10, l1_ratio=l1_ratio, tol=1e-14)
    for k in range(1, 10):
        peer = ElasticNet(alpha=path.alphas[k], l1_ratio=l1_ratio, tol=1e-14, max_iter=10**6)
        peer.fit(problem.X, problem.y)
        assert_allclose(path.coefs.toarray()[:, k], peer.coef_, rtol=1e-6, atol=1e-9)
        assert_allclose(path.intercepts[k], peer.intercept_, rtol=1e-9)


def scaled_equal(path, other, factor, rtol):
    """The same solutions at alphas that differ by a factor."""
    assert_allclose(other.alphas * factor, path.alphas, rtol=rtol)
    size = np.abs(path.coefs.toarray()).max()
    assert_allclose(other.coefs.toarray(), path.coefs.toarray(), atol=rtol * size)
    assert_allclose(other.gammas, path.gammas, rtol=10 * rtol, atol=10 * rtol * size)


def test_almost_only_noise_is_the_plain_lasso():
    problem = mixed_problem(6, hostile=False, missing=0.0)
    for log_delta, rtol in ((30.0, 1e-8),):
        null = ll.fit_null(problem.y, problem.kinship, problem.covariates, log_delta=log_delta)
        path = ll.lasso_path(problem.genotypes, problem.y, null, n_alphas=30)
        plain = ll.lasso_path(
            problem.genotypes, problem.y, covariates=problem.covariates, n_alphas=30
        )
        scaled_equal(plain, path, null.delta, rtol)


def test_identity_kinship_is_the_plain_lasso():
    problem = plain_problem(7, hostile=False)
    null = ll.fit_null(problem.y, 5 * np.eye(50), problem.covariates, log_delta=0.7)
    path = ll.lasso_path(problem.genotypes, problem.y, null, n_alphas=30)
    plain = ll.lasso_path(problem.genotypes, problem.y, covariates=problem.covariates, n_alphas=30)
    scaled_equal(plain, path, 1 + null.delta, 1e-9)


@pytest.mark.usefixtures("tridiagonal_form")
@pytest.mark.parametrize("log_delta", [-30.0, -12.0])
def test_almost_no_noise_still_ends_with_a_certificate(log_delta):
    """V is K up to 1e-13, and K has no variance along the constant."""
    problem = mixed_problem(8, n=40, p=120, log_delta=log_delta)
    path = ll.lasso_path(problem.genotypes, problem.y, problem.null, n_alphas=20)
    assert path.converged.all()
    # the oracle without the direction of zero variance, which the intercept covers
    C = problem.C
    Q = np.linalg.qr(C, mode="complete")[0][:, 2:]
    L = np.linalg.cholesky(Q.T @ problem.K @ Q + problem.null.delta * np.eye(38))
    Xw, yw = np.linalg.solve(L, Q.T @ problem.X), np.linalg.solve(L, Q.T @ problem.y)
    for k, alpha in enumerate(path.alphas):
        n_38 = 38 / 40  # the oracle divides by the rows it sees
        gap = ref.relative_gap(path.coefs.toarray()[:, k], Xw, yw, alpha / n_38)
        assert gap <= 1e-6
        assert_allclose(gap, path.dual_gaps[k], atol=1e-9)


# ---- singular things -------------------------------------------------------------------------


def test_a_snp_in_the_span_of_the_covariates_stays_zero():
    problem = mixed_problem(9)
    span = np.column_stack([problem.covariates, problem.X[:, [5]] * 3 + 1, problem.X[:, [8, 13]]])
    null = ll.fit_null(problem.y, problem.kinship, span, log_delta=0.0)
    for options in (
        {},
        {"gram_limit": 0},
        {"penalty_factors": np.where(np.arange(70) == 5, 0.01, 1)},
    ):
        path = ll.lasso_path(problem.genotypes, problem.y, null, eps=1e-4, n_alphas=20, **options)
        coefs = path.coefs.toarray()
        assert not coefs[[5, 8, 13]].any()
        assert path.converged.all()
        assert path.alpha_max < 10 * np.abs(problem.y).max()


@pytest.mark.filterwarnings("ignore::lmmlasso_fast.errors.ConvergenceWarning")
def test_not_even_next_to_no_penalty_lets_it_in():
    """Rounding over next to nothing must become neither alpha_max nor a coefficient."""
    problem = mixed_problem(9)
    null = ll.fit_null(problem.y, problem.kinship, problem.X[:, [5]], log_delta=0.0)
    pi = np.where(np.arange(70) == 5, 1e-30, 1)
    plain = ll.lasso_path(problem.genotypes, problem.y, null, n_alphas=5)
    for gram_limit in (0, 100):
        path = ll.lasso_path(
            problem.genotypes, problem.y, null, penalty_factors=pi, n_alphas=5,
            gram_limit=gram_limit,
        )  # fmt: skip
        assert path.alpha_max == plain.alpha_max
        assert not path.coefs.toarray()[5].any()
        fits = [problem.X @ other.coefs.toarray() for other in (path, plain)]
        assert_allclose(*fits, atol=1e-2)


@pytest.mark.filterwarnings("ignore::lmmlasso_fast.errors.ConvergenceWarning")
@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("n_others", [0, 1, 20])
def test_rounding_is_no_alpha_max_whatever_the_unit_of_the_snps(unit, n_others):
    """It comes first, over next to no penalty, and is passed over for the largest of the others."""
    rng = np.random.default_rng(6)
    X, y = unit * rng.standard_normal((40, 1 + n_others)), rng.standard_normal(40)
    genotypes, span = dense(X, standardize=False), X[:, [0]]
    pi = np.r_[1e-20, np.ones(n_others)]
    if n_others == 0:
        with pytest.raises(GenotypeError, match="span of the covariates"):
            ll.lasso_path(genotypes, y, penalty_factors=pi, covariates=span)
        return
    path = ll.lasso_path(genotypes, y, penalty_factors=pi, covariates=span, n_alphas=2)
    C = np.column_stack([np.ones(40), span])
    residual = y - C @ np.linalg.lstsq(C, y)[0]
    largest = np.abs(X[:, 1:].T @ residual).max() / 40
    assert path.alpha_max == pytest.approx(largest, rel=1e-12)


def test_duplicates_share_one_fit():
    """Which of them carries the effect is free; objective, fit and prediction are not."""
    problem = mixed_problem(10, missing=0.0)
    collapsed = problem.genotypes.collapse_duplicates()
    assert collapsed.included.sum() < problem.n_included
    one = ll.lasso_path(problem.genotypes, problem.y, problem.null, n_alphas=30, tol=1e-12)
    two = ll.lasso_path(collapsed, problem.y, problem.null, n_alphas=30, tol=1e-12)
    assert_allclose(one.alphas, two.alphas, rtol=1e-12)
    assert_allclose(
        objectives(one, problem.X, problem.y), objectives(two, problem.X, problem.y), atol=1e-12
    )
    fits = [problem.X @ path.coefs.toarray() for path in (one, two)]
    assert_allclose(*fits, atol=1e-5 * np.abs(problem.y).max())


# ---- relations -------------------------------------------------------------------------------


def fitted(problem, null=None, D=None, y=None, order=None, **options):
    """The path of a variation of a problem."""
    D = problem.D if D is None else D
    y = problem.y if y is None else y
    options = {"n_alphas": 25, "tol": 1e-12, **options}
    return ll.lasso_path(from_array(D), y, problem.null if null is None else null, **options)


@pytest.fixture(scope="module")
def problem():
    return mixed_problem(11, hostile=False, missing=0.05, log_delta=-0.5)


@pytest.fixture(scope="module")
def path(problem):
    return fitted(problem)


def test_the_order_of_samples(problem, path):
    order = np.random.default_rng(0).permutation(50)
    null = ll.fit_null(
        problem.y[order], problem.kinship.subset(order), problem.covariates[order], log_delta=-0.5
    )
    other = fitted(problem, null, D=problem.D[order], y=problem.y[order])
    scaled_equal(path, other, 1, 1e-9)
    assert_allclose(other.dual, path.dual[order], atol=1e-9)


def test_the_order_of_snps(problem, path):
    order = np.random.default_rng(0).permutation(70)
    other = fitted(problem, D=problem.D[:, order])
    assert_allclose(other.coefs.toarray(), path.coefs.toarray()[order], atol=1e-9)
    assert_array_equal(np.isnan(other.alpha_entry), np.isnan(path.alpha_entry[order]))


def test_the_counted_allele(problem, path):
    flip = np.random.default_rng(0).random(70) < 0.5
    other = fitted(problem, D=np.where(flip, 2 - problem.D, problem.D))
    sign = np.where(flip, -1, 1)[:, None]
    assert_allclose(other.coefs.toarray(), sign * path.coefs.toarray(), atol=1e-9)


@pytest.mark.parametrize("c", [1e-6, 3.0, 1e6])
def test_a_multiple_of_the_kinship(problem, path, c):
    for options in ({"log_delta": -0.5}, {"method": "reml"}):
        null, same = (
            ll.fit_null(problem.y, K, problem.covariates, **options)
            for K in (problem.K * c, problem.K)
        )
        scaled_equal(fitted(problem, same), fitted(problem, null), 1, 1e-8)


@pytest.mark.parametrize("a", [1e-150, -1e-6, 1e6, 1e150])
def test_the_unit_of_the_phenotype(problem, path, a):
    null = ll.fit_null(a * problem.y, problem.kinship, problem.covariates, log_delta=-0.5)
    other = fitted(problem, null, y=a * problem.y)
    assert_allclose(other.alphas, path.alphas * abs(a), rtol=1e-9)
    assert_allclose(other.coefs.toarray() / a, path.coefs.toarray(), atol=1e-9)
    assert_array_equal(other.n_active, path.n_active)
    assert_allclose(other.dual_gaps, path.dual_gaps, atol=1e-11)


@pytest.mark.parametrize("size", [1.0, 1e4, 1e8])
def test_adding_covariates_to_the_phenotype(problem, path, size):
    shift = size * np.array([1.0, -0.5])
    y = problem.y + problem.C @ shift
    null = ll.fit_null(y, problem.kinship, problem.covariates, log_delta=-0.5)
    other = fitted(problem, null, y=y)
    rounding = 1e-14 * size + 1e-9
    assert_allclose(other.coefs.toarray(), path.coefs.toarray(), atol=rounding)
    assert_allclose(other.gammas - shift[:, None], path.gammas, atol=10 * rounding)
    assert other.converged.all()


def test_kinships_without_families(problem):
    """plink2 writes IID alone where there are none, and has FID 0 in other files."""
    n = problem.n
    samples = sample_table(n).with_columns(FID=pl.lit("0"))
    genotypes = from_array(problem.D, samples=samples)
    alone = samples.with_columns(FID=pl.lit(None, pl.String))
    K = replace(problem.kinship, samples=alone)
    null = ll.fit_null(problem.y, K, problem.covariates)
    path = ll.lasso_path(genotypes, problem.y, null, n_alphas=3)
    assert path.converged.all()
    null = ll.fit_null(problem.y, replace(K, samples=alone[::-1]), problem.covariates)
    with pytest.raises(SampleMatchError, match=rf"sample 1 is s0 in the .* and s{n - 1} in the k"):
        ll.lasso_path(genotypes, problem.y, null)


def test_linearly_transformed_covariates(problem, path):
    twisted = problem.covariates * 1e5 + 2e5
    null = ll.fit_null(problem.y, problem.kinship, twisted, log_delta=-0.5)
    other = fitted(problem, null)
    assert_allclose(other.coefs.toarray(), path.coefs.toarray(), atol=1e-8)
    assert_allclose(null.design.matrix @ other.gammas, problem.C @ path.gammas, atol=1e-8)


@pytest.mark.parametrize("unit", [2.0, 4.0])
def test_penalty_factors_in_other_units(problem, path, unit):
    """alpha times pi is what counts, SNP by SNP."""
    other = fitted(problem, penalty_factors=np.full(70, unit))
    scaled_equal(path, other, unit, 1e-9)


def test_unpenalised_snps_are_covariates(problem):
    pi = np.ones(70)
    pi[[6, 30]] = 0
    path = fitted(problem, penalty_factors=pi)
    certify(path, problem.X, problem.y, pi)
    assert (path.n_active >= 2).all()
    assert_array_equal(path.alpha_entry[[6, 30]], path.alphas[0])
    both = np.column_stack([problem.covariates, problem.X[:, [6, 30]]])
    null = ll.fit_null(problem.y, problem.kinship, both, log_delta=-0.5)
    other = fitted(problem, null)
    penalised = np.flatnonzero(pi)
    assert_allclose(path.coefs.toarray()[penalised], other.coefs.toarray()[penalised], atol=1e-9)
    assert_allclose(path.coefs.toarray()[[6, 30]], other.gammas[2:], atol=1e-8)


def test_unpenalised_snps_that_are_collinear_are_named_and_zero(problem):
    D = problem.D.copy()
    D[:, 20], D[:, 21] = D[:, 6], 2 - D[:, 6]
    pi = np.ones(70)
    pi[[6, 20, 21]] = 0
    with pytest.warns(DataWarning, match="2 unpenalised SNPs are collinear"):
        path = fitted(problem, D=D, penalty_factors=pi)
    coefs = path.coefs.toarray()
    assert not coefs[[20, 21]].any()
    assert coefs[6].all()
    assert path.converged.all()


# ---- until so many are active ----------------------------------------------------------------


@pytest.mark.parametrize("n_active", [0, 1, 2, 3, 5, 8, 13, 21, 34])
def test_the_alpha_with_so_many_active_snps(problem, n_active):
    """A grid of five leaps over most numbers; what comes from between is a solution like others."""
    options = PathOptions(n_alphas=5, tol=1e-12)
    whole = Problem(problem.genotypes, problem.y, problem.null, problem.null.design, options, 1)
    grid = options.grid(whole.alpha_max)
    found = list(PathSolver(whole, options).until(n_active, grid))
    alphas = np.array([alpha for alpha, _ in found])
    counts = [len(solution.support) for _, solution in found]
    assert counts[-1] == n_active
    assert max(counts[:-1], default=-1) < n_active
    assert_array_equal(alphas[:-1], grid[: len(alphas) - 1])
    assert (np.diff(alphas) < 0).all()
    direct = ll.lasso_path(problem.genotypes, problem.y, problem.null, alphas=alphas, tol=1e-12)
    for k, (_, solution) in enumerate(found):
        beta = np.zeros(70)
        beta[solution.support] = np.ldexp(solution.beta, whole.exponent)
        assert_allclose(beta, direct.coefs[:, [k]].toarray()[:, 0], atol=1e-9)
        assert abs(solution.gap - direct.dual_gaps[k]) <= 1e-12
        assert solution.n_passes >= 1


def test_a_grid_that_starts_with_more_active_snps_than_asked_for(problem):
    """The alpha comes from above the grid."""
    options = PathOptions(n_alphas=5)
    whole = Problem(problem.genotypes, problem.y, problem.null, problem.null.design, options, 1)
    grid = options.grid(whole.alpha_max)
    for n_active in (1, 3):
        [(alpha, solution)] = PathSolver(whole, options).until(n_active, grid[3:])
        assert len(solution.support) == n_active
        assert grid[3] < alpha < whole.alpha_max


@pytest.mark.parametrize(("max_iter", "n_passes"), [(1, 1), (2, 2), (50, 4)])
def test_the_alpha_with_so_many_counts_all_its_passes(monkeypatch, problem, max_iter, n_passes):
    """A gap that stays too large is tried from closer and closer, as often as allowed."""
    gaps_of = PathSolver._gaps
    monkeypatch.setattr(
        PathSolver, "_gaps", lambda *args: (gaps_of(*args)[0] + 1, gaps_of(*args)[1])
    )
    options = PathOptions(n_alphas=5, max_iter=max_iter)
    whole = Problem(problem.genotypes, problem.y, problem.null, problem.null.design, options, 1)
    *_, (_, solution) = PathSolver(whole, options).until(5, options.grid(whole.alpha_max))
    assert len(solution.support) == 5
    assert solution.n_passes == n_passes


def test_no_alpha_with_so_many_active_snps():
    """Two orthogonal SNPs that enter together: the last alpha with fewer."""
    signs = np.array([[1.0, 1.0], [1.0, -1.0]])
    a, b, c = np.kron(signs, np.kron(signs, signs))[1:4]
    genotypes = from_array(np.column_stack([a, b, c]) + 1)
    y = a + b + c / 8
    options = PathOptions(n_alphas=5)
    whole = Problem(genotypes, y, None, as_design(None, 8), options, 1)
    grid = options.grid(whole.alpha_max)
    for n_active, expected in ((1, [0]), (2, [0, 2]), (3, [0, 2, 3])):
        found = PathSolver(whole, options).until(n_active, grid)
        assert [len(solution.support) for _, solution in found] == expected


# ---- SNPs that leave the active set -------------------------------------------------------------


def leaving(path):
    """SNPs that are active at some alpha and not at a smaller one."""
    active = path.coefs.toarray() != 0
    return np.flatnonzero((active[:, :-1] & ~active[:, 1:]).any(axis=1))


@pytest.mark.parametrize("gram_limit", [16384, 0])
@pytest.mark.parametrize("form", [from_array, dense])
def test_a_proxy_leaves_and_comes_back_with_the_other_sign(form, gram_limit, tally):
    """A SNP close to the sum of two causal ones enters for them; its own effect is the opposite."""
    rng = np.random.default_rng(5)
    D = random_dosages(rng, 200, 40, 0.0, False)
    D[:, 2] = np.clip(np.round((D[:, 0] + D[:, 1]) / 2), 0, 2)
    genotypes = form(D)
    X = genotypes.columns(np.arange(40))
    y = X[:, 0] + X[:, 1] - 0.3 * X[:, 2] + 1e-3 * rng.standard_normal(200)
    path = ll.lasso_path(genotypes, y, n_alphas=100, eps=1e-3, gram_limit=gram_limit)
    certify(path, X, y)
    beta = path.coefs.toarray()[2]
    positive, negative = np.flatnonzero(beta > 0), np.flatnonzero(beta < 0)
    assert 2 in leaving(path)
    assert (beta[positive[-1] + 1 : negative[0]] == 0).all()
    assert positive[-1] + 1 < negative[0]
    assert path.alpha_entry[2] == path.alphas[positive[0]]  # what comes later does not change it
    for k in (positive[-1], positive[-1] + 1, negative[0]):
        cold = ll.lasso_path(genotypes, y, alphas=path.alphas[[k]], gram_limit=gram_limit)
        certify(cold, X, y)
        assert np.sign(cold.coefs.toarray()[2, 0]) == np.sign(beta[k])
    tally(cases=4, left=len(leaving(path)))


@pytest.mark.parametrize("gram_limit", [16384, 0])
def test_snps_that_leave_are_certified_at_every_alpha(gram_limit, tally):
    """Correlated SNPs and a fine grid: many leave, some come back."""
    n_left = n_back = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        base = random_dosages(rng, 60, 15, 0.0, False)
        D = np.repeat(base, 6, axis=1)
        flipped = rng.random(D.shape) < 0.15
        D[flipped] = rng.integers(0, 3, int(flipped.sum()))
        genotypes = from_array(D)
        X = genotypes.columns(np.arange(D.shape[1]))
        y = X[:, ::12].sum(axis=1) - X[:, 1::12].sum(axis=1) + 0.3 * rng.standard_normal(60)
        null = ll.fit_null(y, ll.kinship(genotypes), log_delta=1.0)
        path = ll.lasso_path(
            genotypes, y, null, n_alphas=80, eps=1e-3, max_active=40, gram_limit=gram_limit
        )
        certify(path, X, y)
        active = path.coefs.toarray() != 0
        entered = (np.diff(active.astype(int), axis=1) == 1).sum(axis=1) + active[:, 0]
        n_left += len(leaving(path))
        n_back += int((entered > 1).sum())
        entry = np.array([path.alphas[row.argmax()] if row.any() else np.nan for row in active])
        assert_array_equal(path.alpha_entry, entry)
    assert n_left > 20
    assert n_back > 0
    tally(cases=8, left=n_left, came_back=n_back)
