"""The metric of the whitened problem, without whitening anything.

With W'W = V^-1, V = K + delta I, and M the projection off W C (y~ = M W y, X~ = M W X), the Lasso
on M W X and M W y needs X, y and only

    P = W'M W = V^-1 - V^-1 C (C'V^-1 C)^-1 C'V^-1 = B (B'K B + delta I)^-1 B'

with B an orthonormal basis of what is orthogonal to the covariates C, since x~_j'x~_k = x_j'P x_k
and X~'r~ = X'P (y - X beta). B is never formed: [A B] = H is the product of the Householder
reflectors of C = A R, applied to K from both sides. What K has no variance for along C (the
constant, for a realised relationship matrix) weighs 1 / delta in V^-1 and does not come up here.
"""

import numpy as np

from lmmlasso_fast.kinship import Kinship
from lmmlasso_fast.lapack import lapack
from lmmlasso_fast.spectral import Spectrum
from lmmlasso_fast.threads import blas_cap, blas_threads_for

#: Squared share of a SNP's length outside the span of the covariates that is only rounding.
_IN_SPAN = 1e-14


class Precision:
    """P of the module's docstring, for given covariates; without a kinship V = I.

    Parameters
    ----------
    C : ndarray, shape (n, c)
        Linearly independent covariates.
    kinship : Kinship, optional
    delta : float, optional
        With the kinship: V = K + delta I.

    Notes
    -----
    Takes the spectrum where `Kinship.basis` does.
    """

    def __init__(self, C: np.ndarray, kinship: Kinship | None = None, delta: float | None = None):
        self.n_samples = len(C)
        self._blas_threads = blas_threads_for(self.n_samples)
        self._P = self._inverse = None
        basis = None if kinship is None else kinship.basis(delta)
        # before the cap, so that it holds for the library that comes with it
        table = None if basis is None or isinstance(basis, Spectrum) else lapack()
        with blas_cap(self._blas_threads):
            self._basis, self._R = np.linalg.qr(C)
            self._weights = self._basis  # fixed effects are R^-1 weights'y
            if kinship is None:
                return
            if table is not None:
                K = basis.clipped(kinship.matrix)
                self._inverse = _ProjectedInverse.of(table, C, K, delta)
            if self._inverse is None:
                self._from_spectrum(C, kinship.spectrum, delta)
            else:
                # C gamma = y - V P y, and A'P = 0
                rows = self._inverse.apply_rows(self._basis.T @ K)
                self._weights = self._basis - self._off(rows.T)

    def _from_spectrum(self, C: np.ndarray, spectrum: Spectrum, delta: float) -> None:
        """P = V^-1 - G G' with G = W'Q, Q R = W C, where W' is projected off C first.

        P C = 0, and so the 1 / delta of the module's docstring does not drown the rest.
        """
        scaled = spectrum.U / np.sqrt(spectrum.s + delta)  # W'
        Q, self._R = np.linalg.qr(scaled.T @ C)
        self._weights = scaled @ Q
        scaled = self._off(scaled)
        G = scaled @ Q
        self._P = scaled @ scaled.T - G @ G.T

    def _off(self, A: np.ndarray) -> np.ndarray:
        """Return the part of the columns of A that is orthogonal to the covariates."""
        return A - self._basis @ (self._basis.T @ A)

    def apply_rows(self, X: np.ndarray) -> np.ndarray:
        """Return P x for every row x of X (k x n), as rows.

        A row in the span of the covariates gives exactly zero: what rounding leaves of it must
        not be mistaken for a SNP.
        """
        with blas_cap(self._blas_threads):
            outside = X - (X @ self._basis) @ self._basis.T
            if self._inverse is not None:
                rows = self._inverse.apply_rows(outside)
            else:
                rows = outside.copy() if self._P is None else outside @ self._P
        before = np.einsum("ij,ij->i", X, X)
        after = np.einsum("ij,ij->i", outside, outside)
        rows[after <= _IN_SPAN * before] = 0.0
        return rows

    def apply(self, y: np.ndarray) -> np.ndarray:
        """Return P y for one vector y."""
        return self.apply_rows(y[None, :])[0]

    def fixed_effects(self, y: np.ndarray) -> np.ndarray:
        """Return the generalised least-squares fit (C'V^-1 C)^-1 C'V^-1 y; y may be n x k."""
        if self._weights.shape[1] == 0:
            return np.zeros((0, *y.shape[1:]))
        return np.linalg.solve(self._R, self._weights.T @ y)


class _ProjectedInverse:
    """B (B'K B + delta I)^-1 B', by the Cholesky factor of what is in brackets.

    The inverse itself would take twice as long as the factor, and products with it no less time
    than solving.
    """

    def __init__(self, table, C: np.ndarray, K: np.ndarray, delta: float):
        n, c = C.shape
        self._table, self._c = table, c
        self._V, self._T = _reflectors(C)
        self._factor = _congruent(K, self._V, self._T)  # H'K H; B'K B is its block from c on
        self._factor[np.arange(n), np.arange(n)] += delta
        self.is_positive = table.cholesky(self._factor, c)

    @classmethod
    def of(cls, table, C, K, delta) -> "_ProjectedInverse | None":
        """Return it; None if the matrix in brackets has no Cholesky factor."""
        inverse = cls(table, C, K, delta)
        return inverse if inverse.is_positive else None

    def apply_rows(self, X: np.ndarray) -> np.ndarray:
        """Return the product with every row of X."""
        rows = X - (X @ self._V) @ self._T @ self._V.T  # x'H
        rows[:, : self._c] = 0.0
        self._table.solve(self._factor, self._c, rows)
        return rows - (rows @ self._V) @ self._T.T @ self._V.T


def _reflectors(C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return V (n x c) and T (c x c) with H = I - V T V' the product of the reflectors of C.

    Schreiber and Van Loan 1989, SIAM J. Sci. Stat. Comput. 10:53 (LAPACK's dlarft).
    """
    c = C.shape[1]
    packed, tau = np.linalg.qr(C, mode="raw")
    V = np.tril(packed.T, -1)
    V[np.arange(c), np.arange(c)] = 1.0
    T = np.diag(tau)
    for j in range(1, c):
        T[:j, j] = -tau[j] * (T[:j, :j] @ (V[:, :j].T @ V[:, j]))
    return V, T


def _congruent(A: np.ndarray, V: np.ndarray, T: np.ndarray) -> np.ndarray:
    """Return H'A H for symmetric A and H = I - V T V': A - V Y' - Y V'."""
    AV = A @ V
    Y = AV @ T - V @ (T.T @ (V.T @ AV) @ T) / 2
    result = np.hstack([V, Y]) @ np.hstack([Y, V]).T
    return np.subtract(A, result, out=result)
