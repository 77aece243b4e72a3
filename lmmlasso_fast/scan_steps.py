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
from lmmlasso_fast.errors import CovariateError, GenotypeError
from lmmlasso_fast.genotypes import Genotypes, why_excluded
from lmmlasso_fast.kinship import Kinship
from lmmlasso_fast.norms import fast_norms_of, in_blocks
from lmmlasso_fast.null_model import NullModel
from lmmlasso_fast.threads import blas_cap, blas_threads_for
from lmmlasso_fast.whitening import Precision

#: Where delta is searched for a single SNP: GEMMA's lambda = 1 / delta from 1e-5 to 1e5. Between
#: two points the derivative of the likelihood is taken to change its sign once.
EXACT_GRID = np.linspace(-11.5, 11.5, 24)
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
    u = v / math.sqrt(yPy)
    xx = fast_norms_of(data.genotypes, snps, data.design.matrix, precision, n_threads, done, u=u)
    return v, yPy, xx


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

        in_blocks(optimise, len(snps), self.genotypes.n_samples, n_threads, done)
        return found.T
