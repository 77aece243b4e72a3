"""How the variance splits along the path."""

import numpy as np
import pytest
import reference as ref
from numpy.testing import assert_allclose, assert_array_equal
from problems import covariance, mixed_problem, plain_problem
from threadpoolctl import threadpool_limits

import lmmlasso_fast as ll
from lmmlasso_fast.errors import PhenotypeError

pytestmark = pytest.mark.promise("peers")


def oracle(path, problem, k):
    """(snps, random, noise) at grid point k."""
    K, delta = None, None
    if path.null is not None:
        K, delta = covariance(path.null), path.null.delta
    beta = path.coefs.toarray()[:, k]
    return ref.variance_split(beta, problem.y, problem.X, path.design.matrix, K, delta)


def check(split, path, problem):
    for k in range(len(path.alphas)):
        expected = oracle(path, problem, k)
        total = expected.snps + expected.random + expected.noise
        assert_allclose(split.total[k], total, rtol=1e-7)
        assert_allclose(split.snp[k], expected.snps / total, atol=1e-8)
        assert_allclose(split.random[k], expected.random / total, atol=1e-8)
        assert_allclose(split.noise[k], expected.noise / total, atol=1e-8)
    assert_allclose(split.snp + split.random + split.noise, 1, rtol=1e-14)
    for part in (split.snp, split.random, split.noise):
        assert ((part >= 0) & (part <= 1)).all()


@pytest.mark.parametrize("log_delta", [-4.0, 0.0, 4.0])
def test_split_equals_dense_algebra(log_delta):
    problem = mixed_problem(30, log_delta=log_delta)
    path = ll.lasso_path(problem.genotypes, problem.y, problem.null, n_alphas=10)
    split = ll.variance_split(path, problem.genotypes, problem.y)
    check(split, path, problem)
    assert split.snp[0] == 0
    assert split.snp[-1] > 0.1
    # without active SNPs: the null model's maximum likelihood
    assert_allclose(split.random[0], problem.null.h2, rtol=1e-9)
    assert_allclose(split.total[0], problem.null.sigma_g2 + problem.null.sigma_e2, rtol=1e-9)


def test_without_a_random_effect_the_rest_is_noise():
    problem = plain_problem(31)
    path = ll.lasso_path(problem.genotypes, problem.y, covariates=problem.covariates, n_alphas=10)
    split = ll.variance_split(path, problem.genotypes, problem.y)
    check(split, path, problem)
    assert not split.random.any()


def test_unpenalised_snps_count_as_snps():
    problem = mixed_problem(32)
    pi = np.ones(70)
    pi[[5, 6]] = 0
    path = ll.lasso_path(problem.genotypes, problem.y, problem.null, n_alphas=5, penalty_factors=pi)
    check(ll.variance_split(path, problem.genotypes, problem.y), path, problem)


def test_nothing_active_at_all():
    problem = mixed_problem(33)
    path = ll.lasso_path(problem.genotypes, problem.y, problem.null, n_alphas=1)
    assert ll.variance_split(path, problem.genotypes, problem.y).snp.tolist() == [0.0]


@pytest.mark.parametrize("a", [1e-6, 1e6])
def test_the_unit_and_the_mean_of_the_phenotype(a):
    problem = mixed_problem(34)
    splits = []
    for y in (problem.y, a * problem.y, problem.y + 1e6):
        null = ll.fit_null(y, problem.kinship, problem.covariates, log_delta=0.0)
        path = ll.lasso_path(problem.genotypes, y, null, n_alphas=6)
        splits.append(ll.variance_split(path, problem.genotypes, y))
    for other in splits[1:]:
        for name in ("snp", "random", "noise"):
            assert_allclose(getattr(other, name), getattr(splits[0], name), atol=1e-7)
    assert_allclose(splits[1].total, a * a * splits[0].total, rtol=1e-9)


def test_another_phenotype_is_refused():
    problem = mixed_problem(36)
    path = ll.lasso_path(problem.genotypes, problem.y, problem.null, n_alphas=2)
    with pytest.raises(PhenotypeError, match="expected 50 values"):
        ll.variance_split(path, problem.genotypes, problem.y[:-1])


@pytest.mark.parametrize("log_delta", [-4.0, 0.0])
def test_contributions_of_snps_add_up(log_delta):
    problem = mixed_problem(34, log_delta=log_delta)
    path = ll.lasso_path(problem.genotypes, problem.y, problem.null, n_alphas=10)
    split = ll.variance_split(path, problem.genotypes, problem.y)
    beta = path.coefs.toarray()[:, -1]
    found = ll.variance_by_snp(problem.genotypes, beta, split.total[-1])
    part = problem.X @ beta
    covariances = [np.mean((part - part.mean()) * (x - x.mean())) for x in problem.X.T]
    assert_allclose(found, beta * np.array(covariances) / split.total[-1], atol=1e-12)
    assert_allclose(found.sum(), split.snp[-1], rtol=1e-9)
    assert not found[beta == 0].any()


def test_the_threads_of_blas_do_not_matter():
    rng = np.random.default_rng(3)
    genotypes = ll.Genotypes.from_array(rng.integers(0, 3, (500, 3000)))
    y = rng.standard_normal(500)
    path = ll.lasso_path(genotypes, y, n_alphas=30)
    assert path.n_active.max() > 300
    found = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, "blas"):
            split = ll.variance_split(path, genotypes, y)
            coef = path.coefs[:, [-1]].toarray().ravel()
            shares = ll.variance_by_snp(genotypes, coef, split.total[-1])
        found.append([split.snp, split.random, split.noise, split.total, shares])
    for one, other in zip(*found, strict=True):
        assert_array_equal(one, other)
