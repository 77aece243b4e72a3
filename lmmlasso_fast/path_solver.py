"""From one alpha to the next: who is tried, what is solved, what is certified.

Alphas are taken in batches. For a batch: foresee from the tangent of the path which SNPs will be
active, solve for each of its alphas on those, take the gradients X'v of *all* SNPs at all its
solutions in one pass over the genotypes, and accept the solutions up to the first that a SNP left
out violates; that SNP joins and the rest is solved again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from lmmlasso_fast import _core
from lmmlasso_fast.certificate import Penalty, relative_gaps
from lmmlasso_fast.problem import Problem

#: |x_j'v| may exceed n alpha pi_j by this share before SNP j is admitted: far below what any gap
#: can see, far above rounding.
_VIOLATION = 1e-9
#: SNPs expected to come within this share of a step in alpha below the threshold are tried at
#: once: 0.25 left no SNP to be admitted later on the mouse data, and a fifth fewer than the strong
#: rule admits.
_MARGIN = 0.25
#: An alpha this close to alpha_max has the zero solution, whatever rounding says.
AT_MAX = 1e-12
#: Alphas per pass at most: with the tangent four fill the 32 columns that matrix instructions take.
_BATCH = 4
#: Where coordinate descent ends and the exact finish takes over; the finish does not depend on it,
#: and each sweep that it saves is worth more than the steps that it adds.
_CD_TOL, _CD_TOL_LAST = 1e-6, 1e-24
#: Of a step of the grid, to find the alpha with a given number of active SNPs.
_HALVINGS = 40
#: An exact finish from here on is as good as it gets.
_CD_TOL_EXACT = 1e-12


@dataclass(frozen=True)
class Solution:
    """One alpha's certified result, in units of the scaled y."""

    support: np.ndarray
    beta: np.ndarray
    v: np.ndarray
    gap: float
    n_passes: int


@dataclass
class _Candidate:
    """One alpha on its way: solved on the working set, not yet held against all SNPs."""

    alpha: float
    n_passes: int = 0
    cd_tol: float = _CD_TOL
    beta: np.ndarray | None = None  # on the working set as it was; None: not solved yet
    exact: bool = False


class PathSolver:
    """Carries the working set, the last full gradient and its tangent along the path."""

    def __init__(self, problem: Problem, options):
        self._problem = problem
        self._working = problem.working
        self._tol = options.tol
        self._max_iter = options.max_iter
        l1 = options.l1_ratio
        l2 = float(np.ldexp(1 - l1, problem.exponent))
        self._penalty = Penalty(l1, l2, problem.factors, problem.divisors)
        # in the working set, or not in the problem
        self._skip = np.isinf(problem.factors).astype(np.uint8)
        # at the last certified alpha:
        self._alpha = problem.scaled_alpha_max
        self._gradient = problem.gradient_at_zero
        self._slope = None  # of the gradient in alpha; None where it is not known

    def solutions(self, grid: np.ndarray) -> Iterator[Solution]:
        """Yield a solution for every alpha of a decreasing grid (in units of y)."""
        problem = self._problem
        candidates = map(self._candidate, grid)
        waiting: list[_Candidate] = []  # begun, and not accepted yet
        for first in candidates:
            if first.alpha < problem.scaled_alpha_max * (1 - AT_MAX):
                waiting.append(first)
                break
            yield self._zero_at(first.alpha)
        width = 1
        while waiting:
            batch = waiting[:width]
            if batch[0].beta is None:
                self._foresee(batch)
            accepted = self._solve(batch)
            yield from accepted
            del waiting[: len(accepted)]
            if len(accepted) < len(batch):
                width = len(batch) - len(accepted)
            else:
                width = 1 if self._slope is None else min(2 * width, _BATCH)
            waiting += islice(candidates, max(width - len(waiting), 0))

    def until(self, n_active: int, grid: np.ndarray) -> Iterator[tuple[float, Solution]]:
        """Yield (alpha, solution) down a decreasing grid, until n_active SNPs are active.

        Where a step of the grid leaps over that number (the first one starts at alpha_max), the
        last solution comes from between its ends; it is the last one with fewer if no alpha has
        exactly that many.
        """
        before = self._problem.alpha_max
        for alpha, solution in zip(grid, self.solutions(grid), strict=False):
            found = len(solution.support)
            if found > n_active:
                between = self._last_with(n_active, before, float(alpha))
                if between is not None:
                    yield between
                return
            yield float(alpha), solution
            if found == n_active:
                return
            before = float(alpha)

    def _last_with(
        self, n_active: int, upper: float, lower: float
    ) -> tuple[float, Solution] | None:
        """Return (alpha, solution) with n_active SNPs, by bisection between two alphas of the path.

        At `upper` there are fewer, at `lower` more. If no alpha with exactly that many is found,
        the smallest one found with fewer; None if that is `upper` itself. Only the result is held
        against all SNPs, the alphas on the way to it are solved on the working set.
        """
        cd_tol, n_passes = _CD_TOL, 0
        while True:
            best, high, low = None, upper, lower
            for _ in range(_HALVINGS):
                candidate = self._candidate((high + low) / 2)
                candidate.cd_tol = cd_tol
                V = self._solve_on_working_set([candidate])
                found = np.count_nonzero(candidate.beta)
                if found > n_active:
                    low = (high + low) / 2
                    continue
                high = (high + low) / 2
                best = candidate, V[:1]
                if found == n_active:
                    break
            if best is None:
                return None
            candidate, V = best
            candidate.n_passes = n_passes
            accepted = self._judge([candidate], V, self._problem.gradients(V, n_exact=1))
            if accepted:
                return high, accepted[0]
            cd_tol, n_passes = candidate.cd_tol, candidate.n_passes

    def _candidate(self, alpha: float) -> _Candidate:
        return _Candidate(float(np.ldexp(alpha, -self._problem.exponent)))

    def _zero_at(self, alpha: float) -> Solution:
        """Return the solution at an alpha that no SNP passes."""
        working = self._working
        candidate = _Candidate(alpha, beta=working.beta[:0])
        gaps, _ = self._gaps([candidate], working.Py[None], self._problem.gradient_at_zero[None])
        return Solution(*working.support_of(candidate.beta), working.Py, float(gaps[0]), 1)

    def _foresee(self, batch: list[_Candidate]) -> None:
        """Admit the SNPs that may be active at the batch's alphas.

        Between two SNPs' entering or leaving the path is a straight line, so that its tangent
        foresees who will be active far better than a bound on the gradient's slope. It decides
        nothing but who is tried first, and so float32's accuracy will do for it.
        """
        l1 = self._problem.n * self._penalty.l1
        last = batch[-1].alpha
        if self._slope is None:  # sequential strong rule
            self._admit(self._gradient, l1 * (2 * last - self._alpha))
            return
        step = (self._alpha - last) / len(batch)
        threshold = l1 * (last - _MARGIN * step)
        self._admit(self._gradient, threshold, self._slope, last - self._alpha)

    def _solve(self, batch: list[_Candidate]) -> list[Solution]:
        """Solve a batch on the working set; return those, from the first on, that hold everywhere.

        What a SNP outside violates is solved again in the next call, with that SNP.
        """
        before = 0.0
        if batch[0].beta is not None:
            self._working.start_from(batch[0].beta)
        elif self._slope is not None:
            before = self._alpha
        V = self._solve_on_working_set(batch, before)
        gradients = self._problem.gradients(V, n_exact=len(batch))
        accepted = self._judge(batch, V, gradients)
        if accepted:
            last = len(accepted) - 1
            self._alpha, self._gradient = batch[last].alpha, gradients[last]
        has_slope = len(V) > len(batch) == len(accepted)
        self._slope = gradients[-1] if has_slope else None
        return accepted

    def _solve_on_working_set(self, batch: list[_Candidate], before: float = 0.0) -> np.ndarray:
        """Fill in the candidates' coefficients; return their v and perhaps the tangent's."""
        alphas = np.array([candidate.alpha for candidate in batch])
        cd_tols = np.array([candidate.cd_tol for candidate in batch])
        betas, exact, V = self._working.solve(self._penalty, alphas, cd_tols, before)
        for k, candidate in enumerate(batch):
            candidate.beta, candidate.exact = betas[k], bool(exact[k])
        return V

    def _judge(
        self, batch: list[_Candidate], V: np.ndarray, gradients: np.ndarray
    ) -> list[Solution]:
        """Hold solutions against all SNPs; return those up to the first to be solved again."""
        gaps, outside = self._gaps(batch, V, gradients)
        accepted = []
        for k, candidate in enumerate(batch):
            threshold = self._problem.n * self._penalty.l1 * candidate.alpha * (1 + _VIOLATION)
            n_new = self._admit(gradients[k], threshold) if outside[k] >= threshold else 0
            if len(accepted) < k:
                continue
            candidate.n_passes += 1
            if candidate.n_passes < self._max_iter:
                if n_new:
                    continue
                cannot_improve = candidate.exact and candidate.cd_tol <= _CD_TOL_EXACT
                if gaps[k] > self._tol and not cannot_improve:
                    candidate.cd_tol = max(candidate.cd_tol * 1e-3, _CD_TOL_LAST)
                    continue
            support, beta = self._working.support_of(candidate.beta)
            accepted.append(Solution(support, beta, V[k], float(gaps[k]), candidate.n_passes))
        return accepted

    def _gaps(self, batch: list[_Candidate], V: np.ndarray, gradients: np.ndarray):
        """Return the relative duality gaps, and the largest |x_j'v| / pi_j outside."""
        working, m = self._working, len(batch)
        betas = np.array([candidate.beta for candidate in batch])
        return relative_gaps(
            gradients[:m],
            working.index[: betas.shape[1]],
            betas,
            V[:m] @ working.y,
            working.yPy,
            np.array([candidate.alpha for candidate in batch]),
            self._penalty,
            self._problem.n,
            self._skip,
        )

    def _admit(self, gradient, threshold: float, slope=None, change: float = 0.0) -> int:
        """Let SNPs with |x_j'v| >= pi_j threshold into the working set, the largest first.

        x_j'v is the gradient, or what it is expected to be after a change of alpha. At most as many
        as are active (at least 100): a far jump in alpha would otherwise admit everything. Those
        left out come in the next round.
        """
        found, score = _core.scores_above(
            gradient, slope, change, self._problem.divisors, self._skip, threshold
        )
        room = max(100, np.count_nonzero(self._working.beta))
        if len(found) > room:
            found = np.sort(found[np.argsort(-score, kind="stable")[:room]])
        self._working.add(found)
        self._skip[found] = 1
        return len(found)
