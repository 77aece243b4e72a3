"""The variance split along the path, against the oracle."""

import numpy as np
import pytest
import reference as ref
from numpy.testing import assert_allclose
from problems import covariance, mixed_problem, plain_problem

import lmmlasso_fast as ll
from lmmlasso_fast.errors import PhenotypeError


def oracle(path, problem, K, delta):
    """Shares (snp, random, noise) and the total, alpha by alpha."""
    shares = []
    for beta in path.coefs.toarray().T:
        parts = ref.variance_split(beta, problem.y, problem.X, problem.C, K, delta)
        three = np.array([parts.snps, parts.random, parts.noise])
        shares.append([*(three / three.sum()), three.sum()])
    return np.array(shares).T


def test_shares_are_the_oracles():
    problem = mixed_problem(3, n=60, p=80, n_covariates=2)
    path = ll.lasso_path(problem.genotypes, problem.y, problem.null, n_alphas=15, eps=0.05)
    split = ll.variance_split(path, problem.genotypes, problem.y)
    expected = oracle(path, problem, covariance(problem.null), problem.null.delta)
    assert path.n_active[-1] > 10
    assert_allclose([split.snp, split.random, split.noise, split.total], expected, atol=1e-9)
    assert_allclose(split.snp + split.random + split.noise, 1, rtol=1e-14)


def test_without_a_random_effect_noise_is_the_rest():
    problem = plain_problem(4, n=50, p=70, n_covariates=1)
    path = ll.lasso_path(
        problem.genotypes, problem.y, covariates=problem.covariates, n_alphas=10, eps=0.05
    )
    split = ll.variance_split(path, problem.genotypes, problem.y)
    expected = oracle(path, problem, None, None)
    assert_allclose([split.snp, split.random, split.noise, split.total], expected, atol=1e-9)
    assert not split.random.any()


def test_at_alpha_max_the_split_is_the_null_models():
    problem = mixed_problem(5, n=60, p=80)
    null = ll.fit_null(problem.y, problem.kinship)
    path = ll.lasso_path(problem.genotypes, problem.y, null, n_alphas=2)
    split = ll.variance_split(path, problem.genotypes, problem.y)
    assert path.n_active[0] == 0
    assert split.snp[0] == 0
    assert_allclose(split.random[0], null.h2, rtol=1e-10)
    assert_allclose(split.total[0], null.sigma_g2 + null.sigma_e2, rtol=1e-10)


def test_another_number_of_samples_is_refused():
    problem = plain_problem(6, n=30, p=20)
    path = ll.lasso_path(problem.genotypes, problem.y, n_alphas=2)
    with pytest.raises(PhenotypeError, match="expected 30 values, found shape"):
        ll.variance_split(path, problem.genotypes, problem.y[:-1])
