"""The SNPs that the Lasso is solved on: whitened once, with their Gram matrix.

Nothing here looks at SNPs outside the working set; `lmmlasso_fast.path` decides who enters.
"""

import numpy as np

from lmmlasso_fast import _core
from lmmlasso_fast.certificate import Penalty
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.threads import blas_cap, blas_threads_for
from lmmlasso_fast.whitening import Precision

#: SNPs whitened at a time.
_BLOCK = 1024
#: Sweeps of the residual fallback, in all and between two looks at signals.
_MAX_SWEEPS, _SWEEPS_PER_CALL = 1000, 10
#: Operations of one matrix product at most: 0.1 s, and Python answers Ctrl-C in between.
_OPERATIONS = 2e9
#: Exact solutions on the active SNPs at most, each followed by descent where another SNP violates
#: optimality, and the share by which rounding may.
_MAX_FINISHES, _OPTIMAL = 20, 1 + 1e-9


class WorkingSet:
    """min 1/2 beta' G beta - c' beta + penalties over a growing list of SNPs.

    Attributes
    ----------
    index : ndarray of int64, shape (w,)
        The SNPs, in order of entry.
    beta : ndarray, shape (w,)
        The current coefficients: the warm start of the next solution.
    """

    def __init__(self, genotypes: Genotypes, precision: Precision, y: np.ndarray, gram_limit: int):
        self._genotypes = genotypes
        self._precision = precision
        self._gram_limit = gram_limit
        self._solver = _core.GramSolver()
        self._blas_threads = blas_threads_for(genotypes.n_samples)
        self.y = y
        self.Py = precision.apply(y)
        self.yPy = float(y @ self.Py)
        self.index = np.empty(0, dtype=np.int64)
        self.beta = np.empty(0)
        n = genotypes.n_samples
        self._Z = np.empty((0, n))  # rows P x_j
        self._gram = np.empty((0, 0))
        self._c = np.empty(0)
        self._X = None  # rows x_j, kept once the Gram matrix would not fit

    @property
    def uses_gram(self) -> bool:
        """False once the working set has outgrown `gram_limit`."""
        return self._X is None

    def add(self, snps: np.ndarray) -> None:
        """Append SNPs with coefficient zero."""
        for start in range(0, len(snps), _BLOCK):
            self._add(snps[start : start + _BLOCK])

    def _add(self, snps: np.ndarray) -> None:
        old, w = len(self.index), len(self.index) + len(snps)
        X = np.ascontiguousarray(self._genotypes.columns(snps).T)
        self._Z = _with_rows(self._Z, old, w)
        Z = self._Z[old:w]
        zero = self._precision.apply_into(X, Z)
        self._c = _with_rows(self._c, old, w)
        self._c[old:w] = X @ self.Py
        if self.uses_gram and w > self._gram_limit:
            self._X = np.ascontiguousarray(self._genotypes.columns(self.index).T)
            self._gram = None
        if self.uses_gram:
            self._gram = _with_square(self._gram, old, w)
            with blas_cap(self._blas_threads):
                cross = _products(X, self._Z[:w])
            _core.grow_gram(self._gram, old, cross, zero)
        else:
            self._X = _with_rows(self._X, old, w)
            self._X[old:w] = X
        self.index = np.concatenate([self.index, snps])
        self.beta = np.concatenate([self.beta, np.zeros(len(snps))])

    def start_from(self, beta: np.ndarray) -> None:
        """Make `beta`, of the working set as it is or was, the current coefficients."""
        self.beta = np.zeros(len(self.index))
        self.beta[: len(beta)] = beta

    def solve(
        self, penalty: Penalty, alphas: np.ndarray, cd_tols: np.ndarray, before: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Solve for every alpha, each from the solution before, the first from `beta`.

        Parameters
        ----------
        penalty : Penalty
        alphas, cd_tols : ndarray, shape (m,)
            Coordinate descent ends when the largest step lowers the objective by at most cd_tol
            times y'Py.
        before : float
            `beta` is the exact solution at this alpha, and the last that was found: the first step
            follows its tangent. 0 where it is not.

        Returns
        -------
        betas : ndarray, shape (m, w)
        exact : ndarray of bool, shape (m,)
            Whether the solution is exact on the working set (signs and optimality hold).
        V : ndarray, shape (m or m + 1, n)
            P (y - X beta), so that X'v is the gradient. After an exact last solution other than
            zero the last row is d v / d alpha there, with the active set and its signs fixed.
        """
        weight = self._genotypes.n_samples * penalty.factors[self.index]
        self.beta = self.beta.copy()  # the caller may have kept what was here
        if self.uses_gram:
            betas, exact, V = self._solver.solve(
                self._gram,
                self._c,
                self._Z,
                weight,
                penalty.l1,
                penalty.l2,
                alphas,
                cd_tols,
                before,
                self.yPy,
                self.Py,
                self.beta,
            )
            return betas, exact.astype(bool), V
        m = len(alphas)
        betas, V = np.empty((m, len(self.index))), np.empty((m, len(self.Py)))
        exact = np.zeros(m, dtype=bool)
        for k in range(m):
            threshold = alphas[k] * penalty.l1 * weight
            ridge = None if penalty.l2 == 0 else alphas[k] * penalty.l2 * weight
            for _ in range(_MAX_FINISHES):
                self._descend(threshold, ridge, cd_tols[k])
                finished = self._finish(penalty, weight, alphas[k], cd_tols[k])
                V[k] = self.Py - self._combine(self.beta)
                if not finished:
                    break
                score = np.abs(self._X[: len(self.index)] @ V[k])
                exact[k] = (score[self.beta == 0] <= threshold[self.beta == 0] * _OPTIMAL).all()
                if exact[k]:
                    break
            betas[k] = self.beta
        return betas, exact, V

    def _descend(self, threshold: np.ndarray, ridge: np.ndarray | None, cd_tol: float) -> None:
        """Coordinate descent that updates the residual."""
        w = len(self.index)
        norms = np.einsum("ij,ij->i", self._X[:w], self._Z[:w])
        v = self.Py - self._combine(self.beta)
        for _ in range(_MAX_SWEEPS // _SWEEPS_PER_CALL):  # Python answers Ctrl-C in between
            n_sweeps = _core.residual_descent(
                self._X[:w],
                self._Z[:w],
                norms,
                threshold,
                ridge,
                self.yPy,
                self.beta,
                v,
                cd_tol,
                _SWEEPS_PER_CALL,
            )
            if n_sweeps < _SWEEPS_PER_CALL:
                break

    def _finish(self, penalty: Penalty, weight: np.ndarray, alpha: float, cd_tol: float) -> bool:
        """Solve among the active SNPs by their own Gram matrix; whether that was exact.

        Descent alone takes for ever where SNPs are duplicates. The matrix is no larger than the
        rows that are kept anyway, and gone afterwards.
        """
        active = np.flatnonzero(self.beta)
        if len(active) > self._X.shape[1]:
            return False
        Z, beta = self._Z[active], self.beta[active]
        gram = np.empty((len(active), len(active)))
        with blas_cap(self._blas_threads):
            for start in range(0, len(active), _BLOCK):
                rows = slice(start, start + _BLOCK)
                part = _products(self._X[active[rows]], Z[: rows.stop])
                square = part[:, start:]
                square[:] = (square + square.T) / 2
                gram[rows, : rows.stop] = part
                gram[: rows.stop, rows] = part.T
        _, exact, _ = _core.GramSolver().solve(
            gram,
            self._c[active],
            Z,
            weight[active],
            penalty.l1,
            penalty.l2,
            np.array([alpha]),
            np.array([cd_tol]),
            0.0,
            self.yPy,
            self.Py,
            beta,
        )
        self.beta[active] = beta
        return bool(exact[0])

    def _combine(self, weights: np.ndarray) -> np.ndarray:
        """Return the sum over the working set of weights_j P x_j."""
        used = np.flatnonzero(weights)
        with blas_cap(self._blas_threads):
            if 3 * len(used) > len(weights):  # copying the rows would cost more than it saves
                return weights @ self._Z[: len(weights)]
            return weights[used] @ self._Z[used]

    def support_of(self, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (SNPs, coefficients) of the non-zero ones, by SNP."""
        active = np.flatnonzero(beta)
        order = np.argsort(self.index[active])
        return self.index[active][order], beta[active][order]


def _products(X: np.ndarray, Z: np.ndarray) -> np.ndarray:
    """Return X Z', by columns of which each takes little time."""
    out = np.empty((len(X), len(Z)))
    width = max(1, int(_OPERATIONS / (2 * X.size)))
    for start in range(0, len(Z), width):
        columns = slice(start, start + width)
        out[:, columns] = X @ Z[columns].T
    return out


def _with_rows(array: np.ndarray, used: int, rows: int) -> np.ndarray:
    """Return an array of at least `rows` rows that starts with the `used` ones of `array`."""
    if len(array) >= rows:
        return array
    larger = np.empty((max(rows, 2 * len(array), 64), *array.shape[1:]))
    larger[:used] = array[:used]
    return larger


def _with_square(array: np.ndarray, used: int, size: int) -> np.ndarray:
    """The same for the leading block of a square matrix."""
    if len(array) >= size:
        return array
    room = max(size, 2 * len(array), 64)
    larger = np.empty((room, room))
    larger[:used, :used] = array[:used, :used]
    return larger
