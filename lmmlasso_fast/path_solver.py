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
from lmmlasso_fast.certificate import Penalty, relative_gap
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
    penalty: Penalty
    n_passes: int = 0
    cd_tol: float = _CD_TOL
    beta: np.ndarray | None = None  # on the working set as it was; None: not solved yet
    v: np.ndarray | None = None
    exact: bool = False


class PathSolver:
    """Carries the working set, the last full gradient and its tangent along the path."""

    def __init__(self, problem: Problem, options):
        self._problem = problem
        self._working = problem.working
        self._l1_ratio = options.l1_ratio
        self._tol = options.tol
        self._max_iter = options.max_iter
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
        for zero in candidates:
            if zero.alpha < problem.scaled_alpha_max * (1 - AT_MAX):
                waiting.append(zero)
                break
            zero.n_passes, zero.v = 1, self._working.Py
            yield self._certify(zero, problem.gradient_at_zero)
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

        Where a step of the grid leaps over that number, the last solution comes from between its
        ends; it is the last one with fewer if no alpha has exactly that many.
        """
        before, fewer = None, True
        for alpha, solution in zip(grid, self.solutions(grid), strict=False):
            found = len(solution.support)
            if found > n_active:
                if fewer and before is not None:
                    between = self._last_with(n_active, before, float(alpha))
                    if between is not None:
                        yield between
                return
            yield float(alpha), solution
            before, fewer = float(alpha), found < n_active
            if not fewer:
                return

    def _last_with(
        self, n_active: int, upper: float, lower: float
    ) -> tuple[float, Solution] | None:
        """Return (alpha, solution) with n_active SNPs, by bisection between two alphas of the path.

        At `upper` there are fewer, at `lower` more. If no alpha with exactly that many is found,
        the smallest one found with fewer; None if that is `upper` itself. Only the result is held
        against all SNPs, the alphas on the way to it are solved on the working set.
        """
        working = self._working
        cd_tol, n_passes = _CD_TOL, 0
        while True:
            best, high, low = None, upper, lower
            for _ in range(_HALVINGS):
                candidate = self._candidate((high + low) / 2)
                candidate.exact = working.solve(candidate.penalty, cd_tol)
                found = np.count_nonzero(working.beta)
                if found > n_active:
                    low = (high + low) / 2
                    continue
                high = (high + low) / 2
                best = candidate
                best.beta = working.beta
                if found == n_active:
                    break
            if best is None:
                return None
            best.cd_tol, best.n_passes = cd_tol, n_passes
            working.start_from(best.beta)
            best.v = working.dual_vector()
            solution = self._judge(best, self._problem.gradients([best.v], n_exact=1)[0])
            if solution is not None:
                return high, solution
            cd_tol, n_passes = best.cd_tol, best.n_passes

    def _candidate(self, alpha: float) -> _Candidate:
        l2 = float(alpha) * (1 - self._l1_ratio)  # not in units of y: it does not scale with it
        alpha = float(np.ldexp(alpha, -self._problem.exponent))
        problem = self._problem
        penalty = Penalty(alpha * self._l1_ratio, l2, problem.factors, problem.divisors)
        return _Candidate(alpha, penalty)

    def _foresee(self, batch: list[_Candidate]) -> None:
        """Admit the SNPs that may be active at the batch's alphas.

        Between two SNPs' entering or leaving the path is a straight line, so that its tangent
        foresees who will be active far better than a bound on the gradient's slope. It decides
        nothing but who is tried first, and so float32's accuracy will do for it.
        """
        l1 = self._problem.n * self._l1_ratio
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
        working = self._working
        last, follow = self._alpha, self._slope is not None
        if batch[0].beta is not None:
            working.start_from(batch[0].beta)
            follow = False
        for candidate in batch:
            if follow:
                self._follow_tangent(candidate.alpha - last)
            candidate.exact = working.solve(candidate.penalty, candidate.cd_tol)
            candidate.beta = working.beta
            candidate.v = working.dual_vector()
            last = candidate.alpha
            follow = candidate.exact and bool(working.beta.any())
        vectors = [candidate.v for candidate in batch]
        if follow:
            vectors.append(working.dual_change(self._tangent()))
        gradients = self._problem.gradients(vectors, n_exact=len(batch))

        accepted = []
        for candidate, gradient in zip(batch, gradients, strict=False):
            solution = self._judge(candidate, gradient)
            if solution is None:
                break
            accepted.append(solution)
            self._alpha, self._gradient = candidate.alpha, gradient
        for k in range(len(accepted) + 1, len(batch)):
            self._admit_violators(batch[k], gradients[k])
        complete = len(accepted) == len(batch)
        self._slope = gradients[-1] if complete and follow else None
        return accepted

    def _judge(self, candidate: _Candidate, gradient: np.ndarray) -> Solution | None:
        """Hold a solution against all SNPs; None if it has to be solved again."""
        candidate.n_passes += 1
        n_new = self._admit_violators(candidate, gradient)
        solution = self._certify(candidate, gradient)
        if candidate.n_passes < self._max_iter:
            if n_new:
                return None
            cannot_improve = candidate.exact and candidate.cd_tol <= _CD_TOL_EXACT
            if solution.gap > self._tol and not cannot_improve:
                candidate.cd_tol = max(candidate.cd_tol * 1e-3, _CD_TOL_LAST)
                return None
        return solution

    def _tangent(self) -> np.ndarray:
        """Return d beta / d alpha on the working set, at the exact solution that it is at."""
        problem, working = self._problem, self._working
        slope = self._l1_ratio * np.sign(working.beta)
        slope += np.ldexp(1 - self._l1_ratio, problem.exponent) * working.beta
        slope *= problem.n * problem.factors[working.index]
        return working.tangent(slope)

    def _follow_tangent(self, change: float) -> None:
        """Move the coefficients along the tangent; who would change sign is set to zero."""
        beta = self._working.beta
        moved = beta + change * self._tangent()
        self._working.start_from(np.where(moved * beta > 0, moved, 0.0))

    def _admit_violators(self, candidate: _Candidate, gradient: np.ndarray) -> int:
        l1 = self._problem.n * self._l1_ratio
        return self._admit(gradient, l1 * candidate.alpha * (1 + _VIOLATION))

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
        if len(found):
            self._working.add(found)
            self._skip[found] = 1
        return len(found)

    def _certify(self, candidate: _Candidate, gradient: np.ndarray) -> Solution:
        working = self._working
        support, beta = working.support_of(candidate.beta)
        gap = relative_gap(
            gradient,
            support,
            beta,
            float(working.y @ candidate.v),
            working.yPy,
            self._problem.n,
            candidate.penalty,
        )
        return Solution(support, beta, candidate.v, gap, candidate.n_passes)
