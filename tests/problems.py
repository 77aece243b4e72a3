"""Small problems with everything that goes wrong in real ones, and the check of what comes back.

The oracle is tests/reference.py throughout: nothing here shares code with the package.
"""

from types import SimpleNamespace

import numpy as np
import polars as pl
import reference as ref
from numpy.testing import assert_allclose, assert_array_equal

import lmmlasso_fast as ll


def random_dosages(rng, n, p, missing=0.0, hostile=False):
    """n x p copies of A1 with nan for missing; neighbouring SNPs are correlated.

    `hostile` puts in a duplicate, one with the alleles swapped, a monomorphic SNP, one that is
    missing everywhere and one with a single carrier (p of at least 12).
    """
    D = np.empty((n, p))
    for j in range(p):
        D[:, j] = rng.binomial(2, rng.uniform(0.1, 0.9), n)
        if j % 3:
            copied = rng.random(n) < 0.7
            D[copied, j] = D[copied, j - 1]
    D[rng.random((n, p)) < missing] = np.nan
    if hostile:
        D[:, 4] = D[:, 1]
        D[:, 7] = 2 - D[:, 2]
        D[:, 9] = np.where(np.isnan(D[:, 9]), np.nan, 1.0)
        D[:, 10] = np.nan
        D[:, 11] = 0.0
        D[n // 2, 11] = 1.0
    return D


def sample_table(n, prefix="s"):
    return pl.DataFrame(
        {"FID": [f"{prefix}{i}" for i in range(n)], "IID": [f"{prefix}{i}" for i in range(n)]}
    )


def variant_table(p, chromosomes=("1",)):
    return pl.DataFrame(
        {
            "CHROM": [chromosomes[j * len(chromosomes) // p] for j in range(p)],
            "ID": [f"rs{j}" for j in range(p)],
            "POS": np.arange(1, p + 1) * 10,
            "A1": ["A"] * p,
            "A2": ["G"] * p,
        }
    )


def plain_problem(seed, n=50, p=70, missing=0.05, n_covariates=1, effects=4, hostile=True):
    """Genotypes and a phenotype of some SNPs, population structure, covariates and noise."""
    rng = np.random.default_rng(seed)
    D = random_dosages(rng, n, p, missing, hostile and p >= 12)
    X, _, sd = ref.standardise(D)
    covariates = rng.standard_normal((n, n_covariates))
    beta = np.zeros(p)
    beta[rng.permutation(p)[:effects]] = rng.standard_normal(min(effects, p))
    structure = X @ rng.standard_normal(p) / np.sqrt(p)
    y = 3 + X @ beta + covariates.sum(axis=1) + 0.7 * structure + rng.standard_normal(n)
    return SimpleNamespace(
        rng=rng, n=n, p=p, D=D, X=X, y=y, covariates=covariates, genotypes=from_array(D),
        C=np.column_stack([np.ones(n), covariates]), n_included=int((sd > 0).sum()),
    )  # fmt: skip


def mixed_problem(seed, log_delta=0.0, **options):
    """The same with the kinship of the genotypes and a null model with a given delta."""
    problem = plain_problem(seed, **options)
    problem.kinship = ll.kinship(problem.genotypes)
    problem.K = problem.kinship.matrix
    problem.null = ll.fit_null(problem.y, problem.kinship, problem.covariates, log_delta=log_delta)
    return problem


def from_array(X, **options):
    return ll.Genotypes.from_array(X, **options)


def dense(X, **options):
    """The same genotypes as an array of numbers that does not fit two bits."""
    from lmmlasso_fast.dense import DenseGenotypes

    return DenseGenotypes(X, **options)


def covariance(null):
    """K of a null model without its negative eigenvalues, which are rounding of float32."""
    s, U = np.linalg.eigh(null.kinship.matrix)
    return (U * np.maximum(s, 0)) @ U.T


def whitened(path, X, y, penalty_factors=None):
    """(X~, y~, penalised SNPs, their factors, C with the unpenalised SNPs), all by the oracle.

    SNPs without variance are left out; unpenalised ones must not be collinear.
    """
    pi = np.ones(X.shape[1]) if penalty_factors is None else np.array(penalty_factors, float)
    pi[~X.any(axis=0)] = np.inf
    C, keep, factors = ref.split_penalty_factors(X, path.design.matrix, pi)
    K, delta = None, None
    if path.null is not None:
        K, delta = covariance(path.null), path.null.delta
    W, M = ref.whitening(K, delta, C)
    return M @ W @ X[:, keep], M @ W @ y, keep, factors, C


def certify(path, X, y, penalty_factors=None, *, tol=None, rounding=1e-11):
    """Check every solution of a path against the oracle: gap, KKT, fixed effects, bookkeeping.

    A relative gap g bounds how far the fit is from the best one, ||X~(beta - beta*)||^2 <= 2 g
    times n times the null deviance, and so how far any SNP's gradient is from its optimal value.
    """
    tol = path.tol if tol is None else tol
    n, p = X.shape
    Xw, yw, keep, factors, C = whitened(path, X, y, penalty_factors)
    V = np.eye(n) if path.null is None else covariance(path.null) + path.null.delta * np.eye(n)
    c = path.design.matrix.shape[1]
    free = X.any(axis=0) & (penalty_factors == np.zeros(p))
    norms = np.sqrt(np.sum(Xw**2, axis=0))
    coefs = path.coefs.toarray()
    assert coefs.shape == (p, len(path.alphas))
    for k, alpha in enumerate(path.alphas):
        beta = coefs[:, k]
        outside = np.ones(p, bool)
        outside[keep] = False
        assert not beta[outside & ~free].any()
        gap = ref.relative_gap(beta[keep], Xw, yw, alpha, path.l1_ratio, factors)
        assert gap <= tol * (1 + 1e-6) + rounding, (k, gap)
        assert abs(gap - path.dual_gaps[k]) <= 1e-6 * gap + rounding, (k, gap, path.dual_gaps[k])
        # KKT: what the certified gap allows at most
        ridge = alpha * (1 - path.l1_ratio) * factors
        slack = np.sqrt(norms**2 + n * ridge) * np.sqrt((gap + rounding) * (yw @ yw)) / n
        g = Xw.T @ (yw - Xw @ beta[keep]) / n - ridge * beta[keep]
        assert (np.abs(g) <= alpha * path.l1_ratio * factors + slack).all()
        # fixed effects, and V^-1 times what is left
        gamma, _ = ref.gls(y - X[:, keep] @ beta[keep], V, C)
        size = np.abs(gamma).max(initial=0) + np.abs(y).max()
        assert_allclose(path.gammas[:, k], gamma[:c], rtol=1e-7, atol=1e-8 * size)
        assert_allclose(beta[free], gamma[c:], rtol=1e-7, atol=1e-8 * size)
        left = np.linalg.solve(V, y - C @ gamma - X[:, keep] @ beta[keep])
        assert_allclose(path.dual[:, k], left, atol=1e-7 * np.abs(left).max())
    check_bookkeeping(path, coefs)


def check_bookkeeping(path, coefs):
    """The fields that follow from alphas, coefficients and gaps."""
    assert_allclose(path.mus, path.n_samples * path.alphas, rtol=1e-15)
    assert_array_equal(path.n_active, (coefs != 0).sum(axis=0))
    assert path.coefs.nnz == (coefs != 0).sum()
    assert_array_equal(path.converged, path.dual_gaps <= path.tol)
    assert (np.diff(path.alphas) <= 0).all()
    for j in range(coefs.shape[0]):
        active = np.flatnonzero(coefs[j])
        entry = path.alphas[active[0]] if len(active) else np.nan
        assert_array_equal(path.alpha_entry[j], entry)
    has_intercept = path.design.names[:1] == ("intercept",)
    assert_array_equal(path.intercepts, path.gammas[0] if has_intercept else 0 * path.alphas)


def objectives(path, X, y, penalty_factors=None):
    """F at every alpha, relative to the null deviance, by the oracle: what must be unique."""
    Xw, yw, keep, factors, _ = whitened(path, X, y, penalty_factors)
    coefs = path.coefs.toarray()[keep]
    scale = yw @ yw / (2 * len(y))
    return np.array(
        [
            ref.objective(coefs[:, k], Xw, yw, alpha, path.l1_ratio, factors) / scale
            for k, alpha in enumerate(path.alphas)
        ]
    )
