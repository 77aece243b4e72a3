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

from lmmlasso_fast import _core
from lmmlasso_fast.kinship import Kinship
from lmmlasso_fast.lapack import lapack
from lmmlasso_fast.lazy import computed_once
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
            self._basis_rows = np.ascontiguousarray(self._basis.T)
            if kinship is None:
                return
            if table is not None:
                self._K = basis.clipped(kinship.matrix)
                self._inverse = _ProjectedInverse.of(table, C, self._K, delta)
            if self._inverse is None:
                self._from_spectrum(C, kinship.spectrum, delta)

    def _from_spectrum(self, C: np.ndarray, spectrum: Spectrum, delta: float) -> None:
        """P = V^-1 - G G' with G = W'Q, Q R = W C, where W' is projected off C first.

        P C = 0, and so the 1 / delta of the module's docstring does not drown the rest.
        """
        scaled = spectrum.U / np.sqrt(spectrum.s + delta)  # W'
        Q, self._R = np.linalg.qr(scaled.T @ C)
        self._weights = scaled @ Q  # instead of what would be computed below
        scaled = self._off(scaled)
        G = scaled @ Q
        self._P = scaled @ scaled.T - G @ G.T

    @property
    def is_projection(self) -> bool:
        """V = I: P is the projection off the covariates."""
        return self._inverse is None and self._P is None

    def _off(self, A: np.ndarray) -> np.ndarray:
        """Return the part of the columns of A that is orthogonal to the covariates."""
        return A - self._basis @ (self._basis.T @ A)

    def apply_rows(self, X: np.ndarray) -> np.ndarray:
        """Return P x for every row x of X (k x n), as rows.

        A row in the span of the covariates gives exactly zero: what rounding leaves of it must
        not be mistaken for a SNP.
        """
        rows = np.empty(X.shape)
        self.apply_into(X, rows)
        return rows

    def apply_into(self, X: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Do the same into `rows` (k x n); return as uint8 which rows are zero."""
        np.copyto(rows, X)
        in_span = _core.project_off(self._basis_rows, rows, _IN_SPAN)
        with blas_cap(self._blas_threads):
            if self._inverse is not None:
                self._inverse.apply_to(rows)
            elif self._P is not None:
                rows[...] = rows @ self._P
        if in_span.any():
            rows[in_span == 1] = 0.0
        return in_span

    def apply(self, y: np.ndarray) -> np.ndarray:
        """Return P y for one vector y."""
        return self.apply_rows(y[None, :])[0]

    @computed_once
    def _weights(self) -> np.ndarray:
        """Fixed effects are R^-1 weights'y."""
        if self._inverse is None:
            return self._basis
        # C gamma = y - V P y, and A'P = 0
        with blas_cap(self._blas_threads):
            rows = self._basis.T @ self._K
            self._inverse.apply_to(rows)
            return self._basis - self._off(rows.T)

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
        c = C.shape[1]
        self._table = table
        V, self._T = _reflectors(C)
        self._V = np.ascontiguousarray(V.T)
        # H'(K + delta I) H, whose block from c on is B'(K + delta I) B
        self._factor = _core.symmetric_difference(K, self._V, _companion(K, V, self._T), delta)
        self.is_positive = table.cholesky(self._factor, c)

    @classmethod
    def of(cls, table, C, K, delta) -> "_ProjectedInverse | None":
        """Return it; None if the matrix in brackets has no Cholesky factor."""
        inverse = cls(table, C, K, delta)
        return inverse if inverse.is_positive else None

    def apply_to(self, rows: np.ndarray) -> None:
        """Overwrite every row by the product with it."""
        self._table.solve(self._factor, self._V, self._T, rows)


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


def _companion(A: np.ndarray, V: np.ndarray, T: np.ndarray) -> np.ndarray:
    """Return Y', c x n, with H'A H = A - V Y' - Y V' for symmetric A and H = I - V T V'."""
    AV = A @ V
    return np.ascontiguousarray((AV @ T - V @ (T.T @ (V.T @ AV) @ T) / 2).T)
