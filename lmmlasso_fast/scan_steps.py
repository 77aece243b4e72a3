"""The steps of the univariate scan: its data, and blocks of SNPs with one delta or their own.

`lmmlasso_fast.association` has the formulas and puts the steps together.
"""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lmmlasso_fast import _core
from lmmlasso_fast.covariates import Design, without_fixed_effects
from lmmlasso_fast.error_control import norms_of
from lmmlasso_fast.errors import CovariateError, GenotypeError
from lmmlasso_fast.genotypes import Genotypes, why_excluded
from lmmlasso_fast.kinship import Kinship
from lmmlasso_fast.null_model import NullModel
from lmmlasso_fast.parallel import poll
from lmmlasso_fast.threads import blas_cap, blas_threads_for, for_each
from lmmlasso_fast.whitening import Precision

#: Where delta is searched for a single SNP: GEMMA's lambda = 1 / delta from 1e-5 to 1e5. Between
#: two points the derivative of the likelihood is taken to change its sign once.
EXACT_GRID = np.linspace(-11.5, 11.5, 24)
#: SNPs (at most) of a block: fixed, as bits are.
_BLOCK = 256
#: Arrays of the size of a block that are held at a time, and bytes for those of all threads.
_ARRAYS, _WORKERS_BYTES = 4, 1 << 29
#: The float32 factor of P costs what the lengths of so many times n SNPs do in float64.
_WORTH_A_FACTOR = 3
#: A length x'P x below this share of that of an average direction is computed again in float64.
_CANCELLED = 0.03
#: So is one of a SNP that explains more than this share of y'P y: a small rss has all of its error.
_MOSTLY = 0.5
#: Squared share of a SNP's length outside the span of the covariates that is only rounding.
_IN_SPAN = 1e-14
#: rss below this share of y'P y is only rounding.
_EXPLAINED = 1e-15


@dataclass(frozen=True)
class ScanData:
    """What is tested: the offered SNPs, and the phenotype without what least squares explains.

    Attributes
    ----------
    genotypes : Genotypes
    snps : ndarray of int64
        Those offered.
    design : Design
    y : ndarray, shape (n,)
        Times 2^-exponent, which is exact and keeps its squares away from over- and underflow.
    exponent : int
    df : int
    """

    genotypes: Genotypes
    snps: np.ndarray
    design: Design
    y: np.ndarray
    exponent: int
    df: int

    @classmethod
    def of(cls, genotypes: Genotypes, y: np.ndarray, design: Design) -> "ScanData":
        n, c = design.matrix.shape
        require_freedom(design)
        snps = np.flatnonzero(genotypes.included)
        if len(snps) == 0:
            raise GenotypeError(
                f"no SNP is left to be tested: {why_excluded(genotypes)}; relax the filters"
            )
        exponent = int(np.frexp(np.abs(y).max())[1])
        _, rest = without_fixed_effects(design.matrix, np.ldexp(y, -exponent))
        return cls(genotypes, snps, design, rest, exponent, n - c - 1)

    def every(self, values: np.ndarray) -> np.ndarray:
        """Return an array over all p SNPs: NaN for those that are not offered."""
        result = np.full(self.genotypes.n_variants, math.nan)
        result[self.snps] = values
        return result


def require_freedom(design: Design) -> None:
    """Raise CovariateError unless a degree of freedom is left beside a SNP: n - c - 1 > 0."""
    n, c = design.matrix.shape
    if n - c < 2:
        raise CovariateError(
            f"covariates: expected a degree of freedom that is left beside a SNP, found {c} "
            f"independent columns and {n} samples; leave some of them out, or take more samples"
        )


class Progress:
    """Counts what threads have done, and says so."""

    def __init__(self, report: Callable[[int, int], None] | None, total: int):
        self._report, self._total = report, total
        self._n_done, self._lock = 0, threading.Lock()

    def __call__(self, n: int) -> None:
        if self._report is not None:
            with self._lock:
                self._n_done += n
                self._report(self._n_done, self._total)


def rss_of(yPy: float, xx: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Return y'P y - (x'P y)^2 / x'P x."""
    explained = np.divide(xy**2, xx, out=np.zeros(len(xx)), where=xx > 0)
    return np.maximum(yPy - explained, _EXPLAINED * yPy)


# ---- delta of the null model ---------------------------------------------------------------------


def with_delta(
    data: ScanData, null: NullModel | None, snps: np.ndarray, n_threads: int, done: Progress
) -> tuple[np.ndarray, float, np.ndarray]:
    """Return v = P y, y'P y, and x'P x of some SNPs (0 in the span of C)."""
    with blas_cap(blas_threads_for(len(data.y), n_threads)):
        if null is None:
            precision = Precision(data.design.matrix)
        else:
            precision = Precision(data.design.matrix, null.kinship, null.delta)
        v = precision.apply(data.y)
        yPy = float(data.y @ v)
        in_float32 = (
            null is not None
            and len(snps) > _WORTH_A_FACTOR * len(data.y)
            and not np.isnan(data.genotypes.frequency[snps]).any()
        )
        factor = _factor(data, precision) if in_float32 else None
    if factor is None:
        xx = norms_of(data.genotypes, snps, precision, n_threads, done)
    else:
        u = v / math.sqrt(yPy)
        xx, explained = _float32_norms(data.genotypes, snps, factor, u, n_threads, done)
        # x'x = n without missing genotypes
        average = factor.mean * (data.genotypes.n_samples - data.genotypes.n_missing[snps])
        again = np.flatnonzero((xx < _CANCELLED * average) | (explained > _MOSTLY * xx))
        if len(again):
            xx[again] = norms_of(data.genotypes, snps[again], precision, n_threads)
    return v, yPy, xx


@dataclass(frozen=True)
class _Factor:
    """F in float32 with P = F F', and the mean eigenvalue of P."""

    matrix: np.ndarray
    mean: float


def _factor(data: ScanData, precision: Precision) -> _Factor | None:
    """Return F; None where float32 would not do, or P is too ill-conditioned for a factor.

    With Q an orthonormal basis of C and t > 0, P + t Q Q' = G G' is positive definite, and F = G -
    Q Q'G. Columns of F are orthogonal to the constant, if that is in the span of C: that allows a
    shift of x, without which float32 loses digits to rare SNPs.
    """
    n = len(data.y)
    Q = np.linalg.qr(data.design.matrix)[0]
    if np.linalg.norm(1.0 - Q @ Q.sum(axis=0)) > 1e-8 * math.sqrt(n):
        return None
    P = precision.apply_rows(np.eye(n))
    P = (P + P.T) / 2
    mean = float(np.trace(P)) / n
    try:
        G = np.linalg.cholesky(P + mean * Q @ Q.T)
    except np.linalg.LinAlgError:
        return None
    return _Factor((G - Q @ (Q.T @ G)).astype(np.float32), mean)


def _float32_norms(
    genotypes: Genotypes,
    snps: np.ndarray,
    factor: _Factor,
    u: np.ndarray,
    n_threads: int,
    done: Progress,
) -> tuple[np.ndarray, np.ndarray]:
    """Return ||F'x||^2 and (u'x)^2, x shifted so that it is zero at the more frequent homozygote.

    Sums over the many samples that have it are exact then. Of a rare SNP they are most of the sum,
    and rounding would go one way in all of them.
    """
    mean, sd = genotypes.mean[snps], genotypes.sd[snps]
    shift = ((mean - 2.0 * (mean > 1)) / sd).astype(np.float32)

    u = u.astype(np.float32)
    norms, products = np.empty((2, len(snps)))

    def measure(some: slice) -> None:
        X = genotypes.columns(snps[some], np.float32).T
        X += shift[some, None]
        norms[some] = _core.row_squares(X @ factor.matrix)
        products[some] = X @ u  # u is orthogonal to the constant, as F is

    _in_blocks(measure, len(snps), genotypes.n_samples, n_threads, done)
    return norms, products**2


def _in_blocks(function, n_snps: int, n_samples: int, n_threads: int, done: Progress) -> None:
    """Call `function(slice)` for blocks of SNPs, side by side, with one BLAS thread each."""
    n_blocks = -(-n_snps // _BLOCK)
    bounds = n_snps * np.arange(n_blocks + 1) // max(n_blocks, 1)

    def block(k: int) -> None:
        poll()
        function(slice(bounds[k], bounds[k + 1]))
        done(int(bounds[k + 1] - bounds[k]))

    n_workers = max(1, min(n_threads, _WORKERS_BYTES // (8 * _ARRAYS * n_samples * _BLOCK)))
    with blas_cap(1):
        for_each(block, n_blocks, n_workers)


# ---- delta of every SNP --------------------------------------------------------------------------


class Rotated:
    """The data in the eigenvectors U of K outside the span of C, and the likelihood's grid.

    There K + delta I is diag(s + delta); K's eigenvalues below zero are set to zero.
    """

    def __init__(self, K: Kinship, data: ScanData, n_threads: int):
        K.require_semidefinite()
        self.genotypes = data.genotypes
        n, c = data.design.matrix.shape
        with blas_cap(blas_threads_for(n, n_threads)):
            Q = np.linalg.qr(data.design.matrix)[0]
            # (I - QQ') K (I - QQ') + above QQ': the span of C has the largest eigenvalues
            above = 2.0 * np.abs(K.matrix).sum(axis=0).max()
            KQ = K.matrix @ Q
            half = (KQ - Q @ (Q.T @ KQ + above * np.eye(c)) / 2) @ Q.T
            s, U = np.linalg.eigh(K.matrix - (half + half.T))
            self.U = np.ascontiguousarray(U[:, : n - c])
            self.y = data.y @ self.U
        self.s = np.maximum(s[: n - c], 0.0)
        w = 1.0 / (self.s[:, None] + np.exp(EXACT_GRID))
        self._weights = np.hstack([w, w**2])
        self._weights_y = self._weights * self.y[:, None]
        of_y = (self.y @ self._weights_y).reshape(2, -1)
        self._of_y = np.column_stack([-np.log(w).sum(axis=0), w.sum(axis=0), *of_y])

    def scan(self, snps: np.ndarray, n_threads: int, done: Progress) -> np.ndarray:
        """Return log delta, x'P x, x'P y and rss of some SNPs, 4 x k; x'P x = 0 in the span."""
        found = np.empty((len(snps), 4))

        def optimise(some: slice) -> None:
            X = np.ascontiguousarray(self.genotypes.columns(snps[some]).T)
            Z = X @ self.U
            squares = Z * Z
            rows = _core.reml_scan(
                self.s,
                self.y,
                EXACT_GRID,
                self._of_y,
                Z,
                squares @ self._weights,
                Z @ self._weights_y,
            )
            rows[squares.sum(axis=1) <= _IN_SPAN * np.einsum("ij,ij->i", X, X), 1] = 0.0
            found[some] = rows

        _in_blocks(optimise, len(snps), self.genotypes.n_samples, n_threads, done)
        return found.T
