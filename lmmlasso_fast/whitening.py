"""The metric of the whitened problem, without whitening anything.

With W'W = V^-1, V = K + delta I, and M the projection off W C (y~ = M W y, X~ = M W X), the Lasso
on M W X and M W y needs X, y and only

    P = W'M W = V^-1 - H H',   H = W'Q,   Q R = W C,

since x~_j'x~_k = x_j'P x_k and X~'r~ = X'P (y - X beta).

P C = 0, so W' may be projected off C first: what K has no variance for (the constant, for a
realised relationship matrix) weighs 1 / delta in V^-1, which drowns the rest if delta is small.
"""

import numpy as np

from lmmlasso_fast.spectral import Spectrum
from lmmlasso_fast.threads import blas_cap, blas_threads_for

#: Squared share of a SNP's length outside the span of the covariates that is only rounding.
_IN_SPAN = 1e-14


class Precision:
    """P of the module's docstring, for given covariates; `null=None` means V = I.

    Parameters
    ----------
    C : ndarray, shape (n, c)
        Linearly independent covariates.
    spectrum : Spectrum, optional
    delta : float, optional
        With the spectrum: V = K + delta I.
    """

    def __init__(self, C: np.ndarray, spectrum: Spectrum | None = None, delta: float | None = None):
        self.n_samples = len(C)
        self._blas_threads = blas_threads_for(self.n_samples)
        self._inverse = None
        with blas_cap(self._blas_threads):
            self._basis, self._R = np.linalg.qr(C)
            self.H = self._H_off = self._basis
            if spectrum is not None:
                scaled = spectrum.U / np.sqrt(spectrum.s + delta)  # W'
                Q, self._R = np.linalg.qr(scaled.T @ C)
                self.H = scaled @ Q
                scaled -= self._basis @ (self._basis.T @ scaled)
                self._inverse = scaled @ scaled.T
                self._H_off = scaled @ Q

    def apply_rows(self, X: np.ndarray) -> np.ndarray:
        """Return P x for every row x of X (k x n), as rows.

        A row in the span of the covariates gives exactly zero: what rounding leaves of it must
        not be mistaken for a SNP.
        """
        with blas_cap(self._blas_threads):
            full = X if self._inverse is None else X @ self._inverse
            rows = full - (X @ self._H_off) @ self._H_off.T
            outside = X - (X @ self._basis) @ self._basis.T
        before = np.einsum("ij,ij->i", X, X)
        after = np.einsum("ij,ij->i", outside, outside)
        rows[after <= _IN_SPAN * before] = 0.0
        return rows

    def apply(self, y: np.ndarray) -> np.ndarray:
        """Return P y for one vector y."""
        return self.apply_rows(y[None, :])[0]

    def fixed_effects(self, y: np.ndarray) -> np.ndarray:
        """Return the generalised least-squares fit (C'V^-1 C)^-1 C'V^-1 y; y may be n x k."""
        if self.H.shape[1] == 0:
            return np.zeros((0, *y.shape[1:]))
        return np.linalg.solve(self._R, self.H.T @ y)
