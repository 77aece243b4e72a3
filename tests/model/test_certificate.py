"""The duality gap alone: the oracle's for any coefficients, also where nothing is left over."""

import numpy as np
import pytest
import reference as ref
from numpy.testing import assert_allclose

from lmmlasso_fast.certificate import Penalty, relative_gaps

pytestmark = pytest.mark.promise("no-wrong-answer")


def gaps_of(X, y, betas, alphas, l1_ratio=1.0, factors=None, inside=None):
    """`relative_gaps` of plain data, with the SNPs `inside` (default: all) in the working set."""
    n, p = X.shape
    pi = np.ones(p) if factors is None else factors
    index = np.arange(p) if inside is None else inside
    residuals = y - betas @ X[:, index].T
    skip = np.zeros(p, np.uint8)
    skip[index] = 1
    gradients = residuals @ X
    gradients[:, np.isinf(pi)] = 0
    skip[np.isinf(pi)] = 1
    penalty = Penalty(l1_ratio, 1 - l1_ratio, pi, None if factors is None else pi)
    return relative_gaps(
        gradients, index, betas, residuals @ y, y @ y, alphas, penalty, n, skip
    ), gradients  # fmt: skip


@pytest.mark.parametrize("l1_ratio", [1.0, 0.7, 0.05])
@pytest.mark.parametrize("with_factors", [False, True])
@pytest.mark.parametrize("size", [0.0, 1e-3, 1.0, 30.0])
def test_any_coefficients(l1_ratio, with_factors, size):
    rng = np.random.default_rng(5)
    X, y = rng.standard_normal((12, 9)), rng.standard_normal(12)
    inside = np.array([4, 0, 7])
    betas, alphas = size * rng.standard_normal((3, 3)), np.array([0.9, 0.2, 1e-3])
    factors = rng.choice([0.25, 1.0, 2.0], 9) if with_factors else None
    if with_factors:
        factors[5] = np.inf
    (gaps, outside), gradients = gaps_of(X, y, betas, alphas, l1_ratio, factors, inside)
    pi = np.ones(9) if factors is None else factors
    offered = np.isfinite(pi)
    for k in range(3):
        beta = np.zeros(9)
        beta[inside] = betas[k]
        expected = ref.relative_gap(
            beta[offered], X[:, offered], y, alphas[k], l1_ratio, pi[offered]
        )
        assert_allclose(gaps[k], expected, rtol=1e-9, atol=1e-13)
    others = np.setdiff1d(np.flatnonzero(offered), inside)
    assert_allclose(outside, (np.abs(gradients) / pi)[:, others].max(axis=1), rtol=1e-14)


def test_where_nothing_is_left_over():
    """A perfect fit has no residual and no gradient: the gap is the penalty, to the last bit."""
    X = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    y = np.array([2.0, -4.0, 0.0])
    (gaps, outside), _ = gaps_of(X, y, np.array([[2.0, -4.0]]), np.array([0.5]))
    assert gaps[0] == 0.5 * 6 / (20 / 6)
    assert outside[0] == 0


def test_coefficients_twice_too_large():
    """v = -y fits as badly as nothing does; scaled by -1 it would be a dual point if feasible."""
    X, _ = np.linalg.qr(np.random.default_rng(7).standard_normal((5, 5)))
    y = np.arange(1.0, 6.0)
    (gaps, _), _ = gaps_of(X, y, (2 * X.T @ y)[None], np.array([1e-6]))
    assert gaps[0] > 1


@pytest.mark.parametrize("unit", [1e-9, 2.0**-20, 1e6])
def test_units_do_not_matter(unit):
    """However small the sum of squares that is left over."""
    rng = np.random.default_rng(8)
    X, y = rng.standard_normal((12, 9)), rng.standard_normal(12)
    betas, alphas = 0.1 * rng.standard_normal((3, 9)), np.array([0.9, 0.2, 1e-3])
    (gaps, _), _ = gaps_of(X, y, betas, alphas)
    (scaled, _), _ = gaps_of(X, unit * y, unit * betas, unit * alphas)
    assert_allclose(scaled, gaps, rtol=1e-9)


def test_a_gap_is_never_negative():
    """At the solution rounding decides the sign of primal minus dual."""
    rng = np.random.default_rng(6)
    for _ in range(100):
        X, y = rng.standard_normal((6, 1)), rng.standard_normal(6)
        alpha = 0.5 * np.abs(X[:, 0] @ y) / 6
        beta = (X[:, 0] @ y - 6 * alpha * np.sign(X[:, 0] @ y)) / (X[:, 0] @ X[:, 0])
        (gaps, _), _ = gaps_of(X, y, np.array([[beta]]), np.array([alpha]))
        assert 0 <= gaps[0] < 1e-14
