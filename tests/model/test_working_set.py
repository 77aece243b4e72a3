"""Matrix products of the working set: what they are, and that each takes little time."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import certify, mixed_problem

import lmmlasso_fast as ll
from lmmlasso_fast import working_set
from lmmlasso_fast.certificate import Penalty
from lmmlasso_fast.path import PathOptions
from lmmlasso_fast.problem import Problem

pytestmark = pytest.mark.promise("interrupts")


class Counted(np.ndarray):
    """Remembers how many operations each product takes."""

    operations: list[int] = []  # noqa: RUF012 (one list for all)

    def __matmul__(self, other):
        self.operations.append(2 * self.size * other.shape[1])
        return np.asarray(self) @ np.asarray(other)


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (3, 5, 7), (40, 30, 200), (2, 900, 3), (120, 100, 3), (64, 64, 0)]
)
def test_products_in_parts(monkeypatch, shape):
    m, n, w = shape
    rng = np.random.default_rng(m + n + w)
    X, Z = rng.standard_normal((m, n)), rng.standard_normal((w, n))
    assert_array_equal(working_set._products(X, Z), X @ Z.T)  # in one part the very same
    monkeypatch.setattr(working_set, "_OPERATIONS", 20_000)
    Counted.operations.clear()
    assert_allclose(working_set._products(X.view(Counted), Z), X @ Z.T, atol=1e-12)
    assert all(found <= max(20_000, 2 * m * n) for found in Counted.operations)
    assert sum(Counted.operations) == 2 * m * n * w


@pytest.mark.parametrize("block", [1, 3, 1024])
def test_gram_matrix_of_the_active_snps_is_made_block_by_block(monkeypatch, block):
    """Beyond gram_limit the last step needs one: symmetric, and the same for any block."""
    problem = mixed_problem(seed=3)
    seen = []
    solver = working_set._core.GramSolver

    class Looking:
        def __init__(self):
            self._solver = solver()

        def solve(self, gram, c, Z, *others):
            seen.append((gram.copy(), Z.copy()))
            return self._solver.solve(gram, c, Z, *others)

    monkeypatch.setattr(working_set._core, "GramSolver", Looking)
    path = ll.lasso_path(problem.genotypes, problem.y, problem.null, gram_limit=0, n_alphas=8)
    certify(path, problem.X, problem.y)
    monkeypatch.setattr(working_set, "_BLOCK", block)
    n_before = len(seen)
    again = ll.lasso_path(problem.genotypes, problem.y, problem.null, gram_limit=0, n_alphas=8)
    assert_allclose(again.coefs.toarray(), path.coefs.toarray(), atol=1e-7)
    assert max(len(gram) for gram, _ in seen) > 3
    for gram, _ in seen[n_before:]:
        assert_array_equal(gram, gram.T)
        assert np.linalg.eigvalsh(gram)[0] > -1e-9


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_what_is_exact_without_a_gram_matrix_says_so(l1_ratio):
    """On the working set every sign and every optimality condition holds: found in numpy."""
    made = mixed_problem(seed=3, hostile=False)
    solved = {}
    for gram_limit in (100, 0):
        options = PathOptions(l1_ratio=l1_ratio, gram_limit=gram_limit)
        design = made.null.design
        problem = Problem(made.genotypes, made.y, made.null, design, options, 1)
        penalty = Penalty(
            l1_ratio, np.ldexp(1 - l1_ratio, problem.exponent), problem.factors, problem.divisors
        )
        alphas = problem.scaled_alpha_max * np.array([0.5, 0.2, 0.1])
        working = problem.working
        working.add(np.flatnonzero(np.isfinite(problem.factors))[:30])
        betas, exact, V = working.solve(penalty, alphas, np.full(3, 1e-9), 0.0)
        assert exact.all()
        solved[gram_limit] = betas
        x = problem.genotypes.columns(working.index)
        for beta, v, alpha in zip(betas, V, alphas, strict=False):
            slack = problem.n * alpha * penalty.l1 * problem.factors[working.index]
            ridge = problem.n * alpha * penalty.l2 * problem.factors[working.index] * beta
            gradient = x.T @ v - ridge
            assert_allclose(gradient[beta != 0], (np.sign(beta) * slack)[beta != 0], rtol=1e-6)
            assert (np.abs(gradient[beta == 0]) <= slack[beta == 0] * (1 + 1e-6)).all()
    assert np.count_nonzero(solved[0][-1]) > 3
    assert_allclose(solved[0], solved[100], atol=1e-9 * np.abs(solved[100]).max())
