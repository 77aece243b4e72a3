"""The published way to solve LMM-Lasso: ADMM on the whitened matrix, from its description.

Rakitsch et al. 2013, Bioinformatics 29:206; Boyd et al. 2011, Foundations and Trends in Machine
Learning 3:1, sections 3.3 (stopping), 3.4.3 (relaxation) and 6.4 (the Lasso). For one penalty,

    min 1/2 ||y - X x||^2 + mu ||z||_1   subject to x = z
    x  <- (X'X + rho I)^-1 (X'y + rho (z - u))
    z  <- soft(x^, mu / rho),   x^ = relaxation x + (1 - relaxation) z
    u  <- u + x^ - z
"""

import time
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from bench.performance import filesets, paths, problems
from bench.performance.problems import Whitened
from bench.performance.settings import Settings
from lmmlasso_fast.threads import blas_cap


@dataclass(frozen=True)
class Solution:
    z: np.ndarray
    n_iterations: int
    converged: bool


def solve(
    problem: Whitened,
    *,
    rho: float = 1.0,
    relaxation: float = 1.0,
    max_iter: int = 5000,
    abstol: float = 1e-4,
    reltol: float = 1e-2,
) -> list[Solution]:
    """Solve for every alpha from zero, as published; the factor is shared, as n < p."""
    X, y = problem.X, problem.y
    n, p = X.shape
    factor = cho_factor(np.eye(n) + X @ X.T / rho)
    Xy = X.T @ y
    solutions = []
    for alpha in problem.alphas:
        z, u = np.zeros(p), np.zeros(p)
        n_iterations, converged = 0, False
        while n_iterations < max_iter and not converged:
            n_iterations += 1
            q = Xy + rho * (z - u)
            # (X'X + rho I)^-1 q by the matrix inversion lemma
            x = q / rho - X.T @ cho_solve(factor, X @ q) / rho**2
            before = z
            relaxed = relaxation * x + (1 - relaxation) * before
            shifted = relaxed + u
            z = np.sign(shifted) * np.maximum(np.abs(shifted) - n * alpha / rho, 0.0)
            u = shifted - z
            primal, dual = np.linalg.norm(x - z), rho * np.linalg.norm(z - before)
            primal_size = max(np.linalg.norm(x), np.linalg.norm(z))
            converged = bool(
                primal <= np.sqrt(p) * abstol + reltol * primal_size
                and dual <= np.sqrt(p) * abstol + reltol * rho * np.linalg.norm(u)
            )
        solutions.append(Solution(z, n_iterations, converged))
    return solutions


def run(settings: Settings) -> list[dict]:
    """One alpha in the middle of the path: with rho = 1, as published, it takes `max_iter`."""
    todo = [filesets.simulated(settings, 300, 5_000)]
    if not settings.quick:
        todo.append(filesets.real(settings, "mouse_hs1940", "CD8"))
    with blas_cap(1):
        return [_measure(problems.load(fileset)) for fileset in todo if fileset is not None]


def _measure(problem: problems.Problem) -> dict:
    whitened = problem.whitened.at(len(problem.whitened.alphas) // 2)
    start = time.perf_counter()
    solutions = solve(whitened)
    seconds = time.perf_counter() - start
    coefs = np.column_stack([solution.z for solution in solutions])
    our_seconds, our_coefs = paths.ours(problem, whitened.alphas, 1e-6)
    result = {
        "name": problem.name,
        "n_alphas": len(whitened.alphas),
        "seconds": seconds,
        "gap": problems.worst_gap(whitened, coefs),
        "n_iterations": sum(solution.n_iterations for solution in solutions),
        "n_converged": sum(solution.converged for solution in solutions),
        "n_active": int(np.count_nonzero(coefs[:, -1])),
        "ours": {
            "seconds": our_seconds,
            "gap": problems.worst_gap(whitened, our_coefs),
            "n_active": int(np.count_nonzero(our_coefs[:, -1])),
        },
    }
    print(
        f"\n{problem.name}, {result['n_alphas']} alphas by ADMM: {seconds:.2f} s, gap "
        f"{result['gap']:.1e}, {result['n_iterations']} iterations, {result['n_active']} active "
        f"at the last alpha; ours {our_seconds:.3f} s, gap {result['ours']['gap']:.1e}, "
        f"{result['ours']['n_active']} active"
    )
    return result
