"""Tridiagonal form of the kinship matrix: what delta is searched with, without eigenvectors.

K = Q T Q' with T tridiagonal gives V = K + delta I = Q (T + delta I) Q'. With the Cholesky factor
T + delta I = L D L' (L has ones on its diagonal and one number below each, D is diagonal)

    W = D^(-1/2) L^-1 Q'      W'W = V^-1      log|V| = sum of log D_i

cost O(n) per delta and vector, and Q'b takes n reflectors. Eigenvectors would give the same
likelihood and are most of the work of an eigendecomposition.

Eigenvalues below zero are set to zero, as `lmmlasso_fast.decompose` does. They are few (a kinship
summed in float32 has one, along the constant): with eigenvectors u, the part of b along u is taken
out and appended to Q'b, where T gets a zero on its diagonal, and they are no longer counted.
"""

from dataclasses import dataclass, field

import numpy as np

from lmmlasso_fast import _core
from lmmlasso_fast.errors import KinshipError
from lmmlasso_fast.lapack import lapack
from lmmlasso_fast.threads import blas_cap, blas_threads_for

#: Below zero by more than this share of the largest eigenvalue is more than rounding of float64 ...
_NEGATIVE = 1e-13
#: ... and by more than this one worth a warning (as in `spectral`).
_WORTH_A_WARNING = 1e-6
#: Most negative eigenvalues that are looked for one by one.
_MAX_REMOVED = 8
#: Multiplications that take about a tenth of a second.
_STEPS = 1e8
#: Largest condition number of V for which a Cholesky factor is taken.
_CONDITION = 1e8


@dataclass(frozen=True)
class Profile:
    """What the likelihood of y given covariates C needs of V = K + delta I, for g deltas.

    With r = y - C gamma the generalised least-squares residual.

    Attributes
    ----------
    log_det, trace : ndarray, shape (g,)
        log|V| and trace V^-1.
    rss, once_more : ndarray, shape (g,)
        r'V^-1 r and |V^-1 r|^2.
    log_det_C, trace_C : ndarray, shape (g,)
        log|C'V^-1 C| and trace (C'V^-1 C)^-1 C'V^-2 C.
    gamma : ndarray, shape (g, c)
        (C'V^-1 C)^-1 C'V^-1 y.
    """

    log_det: np.ndarray
    trace: np.ndarray
    rss: np.ndarray
    once_more: np.ndarray
    log_det_C: np.ndarray
    trace_C: np.ndarray
    gamma: np.ndarray


@dataclass(frozen=True)
class Tridiagonal:
    """K = Q T Q' with orthonormal Q, kept as n - 1 Householder reflectors.

    Attributes
    ----------
    d : ndarray, shape (n,)
        Diagonal of T.
    e : ndarray, shape (n - 1,)
        Its off-diagonal.
    reflectors : ndarray, shape (n, n)
        Row i from column i + 2 on: the vector of reflector i.
    tau : ndarray, shape (n - 1,)
        Their factors.
    removed : ndarray, shape (m,)
        Eigenvalues of K below zero, the lowest 9 if there are more.
    vectors : ndarray, shape (m, n)
        Their eigenvectors u.
    """

    d: np.ndarray
    e: np.ndarray
    reflectors: np.ndarray = field(repr=False)
    tau: np.ndarray = field(repr=False)
    removed: np.ndarray
    vectors: np.ndarray = field(repr=False)

    def rotate(self, B: np.ndarray) -> np.ndarray:
        """Return Q'(I - u u')b and below it u'b for a vector b or the columns of n x k."""
        rows = np.array(np.atleast_2d(B.T), dtype=np.float64, order="C")  # a copy: overwritten
        along = rows @ self.vectors.T
        rows -= along @ self.vectors
        _core.tridiagonal_rotate(self.reflectors, self.tau, rows)
        result = np.hstack([rows, along]).T
        return result[:, 0] if B.ndim == 1 else result

    def profile(self, rows: np.ndarray, deltas) -> Profile:
        """Return what the likelihood needs; the rows are Q'y, then Q'C, as `rotate` gives them.

        Raises
        ------
        KinshipError
            Some K + delta I is not positive definite.
        """
        m = len(self.removed)
        d, e = np.append(self.d, np.zeros(m)), np.append(self.e, np.zeros(m))
        return profile(d, e, rows, deltas, self.removed)

    def is_semidefinite(self) -> bool:
        """True if no eigenvalue is below -1e-6 times (a lower bound of) the largest."""
        shift = _WORTH_A_WARNING * _largest(self.d, self.e)
        return _core.tridiagonal_is_positive(self.d, self.e, shift)

    def is_accurate_at(self, delta: float) -> bool:
        """True if V = K + delta I, and with any larger delta, can do without the spectrum.

        Eigenvalues below zero are few, no reason for a warning and at most half of delta, and the
        condition number of V is at most 1e8.
        """
        shift = min(
            _WORTH_A_WARNING * _largest(self.d, self.e),
            delta / 2,
            delta - (_row_sums(self.d, self.e).max() + delta) / _CONDITION,
        )
        few = len(self.removed) <= _MAX_REMOVED
        return few and _core.tridiagonal_is_positive(self.d, self.e, shift)

    def clipped(self, K: np.ndarray) -> np.ndarray:
        """Return K, the matrix that this is the form of, with eigenvalues below zero at zero."""
        if len(self.removed) == 0:
            return K
        below = (self.vectors.T * self.removed) @ self.vectors
        return np.subtract(K, below, out=below)


def tridiagonalise(K: np.ndarray, *, n_threads: int | None = None) -> Tridiagonal:
    """Bring a symmetric matrix to tridiagonal form (LAPACK dsytrd, without the GIL).

    Parameters
    ----------
    K : ndarray, shape (n, n)
    n_threads : int, optional
        BLAS threads from 3,000 samples on; one below, so that the bits do not depend on the
        machine's number of processors.

    References
    ----------
    Golub and Van Loan, Matrix Computations, 8.3.1.
    """
    A = np.array(K, dtype=np.float64, order="C")  # a copy: the reflectors overwrite it
    n = len(A)
    d, e, tau = np.empty(n), np.empty(n - 1), np.empty(n - 1)
    table = lapack()
    with blas_cap(blas_threads_for(n, n_threads)):
        table.tridiagonalise(A, d, e, tau)
        removed, vectors = _below_zero(d, e)
        _core.tridiagonal_rotate(A, tau, vectors, back=True)
    return Tridiagonal(d, e, A, tau, removed, vectors)


def profile(d: np.ndarray, e: np.ndarray, rows: np.ndarray, deltas, removed=()) -> Profile:
    """As `Tridiagonal.profile`, of T with diagonal d and off-diagonal e.

    `removed` are eigenvalues of T that determinant and trace leave out.
    """
    deltas = np.asarray(deltas, dtype=np.float64)
    rows = np.ascontiguousarray(rows)
    width = _deltas_at_a_time(*rows.shape)
    parts = [
        _core.tridiagonal_profile(d, e, rows, deltas[start : start + width])
        for start in range(0, len(deltas), width)
    ]
    if any(part is None for part in parts):
        raise KinshipError(
            f"kinship: expected K + delta I to be positive definite, found that it is not for "
            f"deltas from {deltas.min():.3g} to {deltas.max():.3g}"
        )
    found = np.concatenate(parts)
    log_det, trace, *others = found[:, :6].T
    for s in removed:
        log_det = log_det - np.log(s + deltas)
        trace = trace - 1 / (s + deltas)
    return Profile(log_det, trace, *others, found[:, 6:])


def _deltas_at_a_time(k: int, n: int) -> int:
    """Deltas of one call in C, in which no signal is answered, for k rows of n: multiples of 8."""
    return 8 * max(1, int(_STEPS / (8.0 * n * k**2)))


def _largest(d: np.ndarray, e: np.ndarray) -> float:
    """A lower bound of the largest eigenvalue of T: that of its 2 x 2 diagonal blocks."""
    blocks = (d[1:] + d[:-1]) / 2 + np.hypot((d[1:] - d[:-1]) / 2, e)
    return blocks.max(initial=d[0])


def _row_sums(d: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Absolute row sums of T: the largest bounds its eigenvalues."""
    sums = np.abs(d)
    sums[1:] += np.abs(e)
    sums[:-1] += np.abs(e)
    return sums


def _below_zero(d: np.ndarray, e: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues of T below zero, at most one more than are used, and eigenvectors."""
    rounding = _NEGATIVE * _row_sums(d, e).max()
    if _core.tridiagonal_is_positive(d, e, rounding):
        return np.empty(0), np.empty((0, len(d)))
    # SciPy's functions hold the GIL; this one for some milliseconds (8 at n = 3,000).
    from scipy.linalg import eigh_tridiagonal

    last = min(_MAX_REMOVED, len(d) - 1)
    s, w = eigh_tridiagonal(d, e, select="i", select_range=(0, last))
    return s[s < -rounding], np.ascontiguousarray(w.T[s < -rounding])
