"""Eigendecomposition of the kinship matrix."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast.checks import as_number, as_numbers
from lmmlasso_fast.display import Result
from lmmlasso_fast.errors import DataWarning, KinshipError
from lmmlasso_fast.threads import blas_cap, blas_threads_for
from lmmlasso_fast.tridiagonal import Profile, profile

if TYPE_CHECKING:
    import polars as pl

#: An eigenvalue below minus this share of the largest means that the matrix is not a covariance;
#: above it (float32 or pairwise-complete kinship files) it is clipped to zero ...
_INDEFINITE = 1e-3
#: ... with a warning from here on.
_WORTH_A_WARNING = 1e-6


@dataclass(frozen=True)
class Spectrum(Result):
    """K = U diag(s) U', s ascending and not negative.

    Attributes
    ----------
    U : ndarray, shape (n, n)
    s : ndarray, shape (n,)
    """

    U: np.ndarray
    s: np.ndarray

    def to_frame(self) -> "pl.DataFrame":
        """Return the eigenvalues, ascending as they are, and each one's share of their sum."""
        import polars as pl

        return pl.DataFrame({"EIGENVALUE": self.s, "SHARE": self.s / self.s.sum()})

    def rotate(self, B: np.ndarray) -> np.ndarray:
        """Return U'B for a vector or n x k."""
        return self.U.T @ B

    def profile(self, rows: np.ndarray, deltas: ArrayLike) -> Profile:
        """Return what the likelihood needs, as `Tridiagonal.profile`."""
        return profile(self.s, np.zeros(len(self.s) - 1), rows, deltas)


def decompose(
    K: Any, *, n_threads: int | None = None, rounding: float = _WORTH_A_WARNING
) -> Spectrum:
    """Decompose a symmetric matrix: K = U diag(s) U'.

    NumPy's eigh (LAPACK dsyevd) releases the GIL; SciPy's holds it. Below 3,000 samples one BLAS
    thread is used, so that the bits do not depend on the machine's number of processors.

    Parameters
    ----------
    K : Kinship or array_like, shape (n, n)
    n_threads : int, optional
        BLAS threads from 3,000 samples on.
    rounding : float, default 1e-6
        Eigenvalues above minus this share of the largest are set to zero without a warning.

    Raises
    ------
    KinshipError
        An eigenvalue below -0.001 times the largest: K is no covariance matrix.

    Warns
    -----
    DataWarning
        Eigenvalues below -`rounding` times the largest were set to zero.
    """
    rounding = as_number("rounding", rounding, 0)
    A = K.matrix if hasattr(K, "matrix") else as_numbers(K, "kinship", KinshipError, copy=False)
    if A.ndim != 2 or A.shape[0] != A.shape[1] or 0 in A.shape:
        raise KinshipError(f"kinship: expected a square matrix, found shape {A.shape}")
    if not np.isfinite(A).all():
        raise KinshipError(f"kinship: expected finite numbers, found {A[~np.isfinite(A)][0]}")
    with blas_cap(blas_threads_for(len(A), n_threads)):
        s, U = np.linalg.eigh(A)
    largest = s[-1]
    if not largest > 0:
        raise KinshipError("kinship: expected a positive eigenvalue, found none")
    share = -s[0] / largest
    if share > _INDEFINITE:
        raise KinshipError(
            f"kinship: expected a positive semi-definite matrix, found the eigenvalue {s[0]:.4g} "
            f"beside a largest one of {largest:.4g}; check that the file is a kinship matrix of "
            "these samples"
        )
    if share > rounding:
        warnings.warn(
            f"kinship: {int((s < 0).sum())} negative eigenvalues (the lowest {s[0]:.4g}, the "
            f"largest {largest:.4g}) were set to zero",
            DataWarning,
            stacklevel=2,
        )
    return Spectrum(U, np.maximum(s, 0.0))
