"""Squared lengths ||x~_j||^2 = x_j'P x_j of whitened SNPs, and penalty factors made of them.

In float64, or, where float32 will do, in a third of the time.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lmmlasso_fast import _core
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.parallel import poll
from lmmlasso_fast.threads import blas_cap, blas_threads_for, for_each
from lmmlasso_fast.whitening import Precision

#: SNPs (at most) whitened together: fixed, as bits are. In float32, and where each SNP has more to
#: be kept, fewer.
_BLOCK, _SMALL_BLOCK = 512, 256
#: Arrays of the size of a block that are held while it is whitened, or in `in_blocks`.
_ARRAYS, _FEWER_ARRAYS = 5, 4
#: For the blocks that threads hold at a time.
_WORKERS_BYTES = 1 << 29
#: The float32 factor of P costs what the lengths of so many times n SNPs do in float64.
_WORTH_A_FACTOR = 3
#: A squared length below this share of that of an average direction is computed again in float64.
_CANCELLED = 0.03
#: So is one of a SNP that explains more than this share of y'P y: a small rss has all of its error.
_MOSTLY = 0.5


def norms_of(
    genotypes: Genotypes,
    snps: np.ndarray,
    precision: Precision,
    n_threads: int,
    done: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Return x_j'P x_j of some SNPs, in float64; exactly 0 in the span of the covariates.

    `done` is called with the number of SNPs of each block that is through.
    """
    n = genotypes.n_samples
    blocks = np.array_split(np.arange(len(snps)), max(1, -(-len(snps) // _BLOCK)))
    norms = np.empty(len(snps))

    def measure(k: int) -> None:
        X = np.ascontiguousarray(genotypes.columns(snps[blocks[k]]).T)
        norms[blocks[k]] = np.einsum("ij,ij->i", X, precision.apply_rows(X))
        if done is not None:
            done(len(blocks[k]))

    n_workers = max(1, min(n_threads, _WORKERS_BYTES // (8 * _ARRAYS * n * _BLOCK)))
    with blas_cap(1):
        for_each(measure, len(blocks), n_workers)
    return norms


def fast_norms_of(
    genotypes: Genotypes,
    snps: np.ndarray,
    C: np.ndarray,
    precision: Precision,
    n_threads: int,
    done: Callable[[int], None] | None = None,
    *,
    u: np.ndarray | None = None,
) -> np.ndarray:
    """Return the same to 1e-6 of each, in float32 where the SNPs are many enough for its set-up.

    C are the covariates of `precision`. With u = P y / sqrt(y'P y), SNPs that explain most of y,
    (u'x)^2 close to x'P x, are done in float64.
    """
    n, factor = genotypes.n_samples, None
    many = len(snps) > _WORTH_A_FACTOR * n
    if many and not precision.is_projection and not np.isnan(genotypes.frequency[snps]).any():
        with blas_cap(blas_threads_for(n, n_threads)):
            factor = _factor(C, precision)
    if factor is None:
        return norms_of(genotypes, snps, precision, n_threads, done)
    u = np.zeros(n) if u is None else u
    norms, explained = _float32_norms(genotypes, snps, factor, u, n_threads, done)
    # x'x = n without missing genotypes
    average = factor.mean * (n - genotypes.n_missing[snps])
    again = np.flatnonzero((norms < _CANCELLED * average) | (explained > _MOSTLY * norms))
    if len(again):
        norms[again] = norms_of(genotypes, snps[again], precision, n_threads)
    return norms


@dataclass(frozen=True)
class _Factor:
    """F in float32 with P = F F', and the mean eigenvalue of P."""

    matrix: np.ndarray
    mean: float


def _factor(C: np.ndarray, precision: Precision) -> _Factor | None:
    """Return F; None where float32 would not do, or P is too ill-conditioned for a factor.

    With Q an orthonormal basis of C and t > 0, P + t Q Q' = G G' is positive definite, and F = G -
    Q Q'G. Columns of F are orthogonal to the constant, if that is in the span of C: that allows a
    shift of x, without which float32 loses digits to rare SNPs.
    """
    n = len(C)
    Q = np.linalg.qr(C)[0]
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
    done: Callable[[int], None] | None,
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

    in_blocks(measure, len(snps), genotypes.n_samples, n_threads, done)
    return norms, products**2


def in_blocks(
    function: Callable[[slice], None],
    n_snps: int,
    n_samples: int,
    n_threads: int,
    done: Callable[[int], None] | None = None,
) -> None:
    """Call `function(slice)` for blocks of SNPs, side by side, with one BLAS thread each."""
    n_blocks = -(-n_snps // _SMALL_BLOCK)
    bounds = n_snps * np.arange(n_blocks + 1) // max(n_blocks, 1)

    def block(k: int) -> None:
        poll()
        function(slice(bounds[k], bounds[k + 1]))
        if done is not None:
            done(int(bounds[k + 1] - bounds[k]))

    bytes_each = 8 * _FEWER_ARRAYS * n_samples * _SMALL_BLOCK
    with blas_cap(1):
        for_each(block, n_blocks, max(1, min(n_threads, _WORKERS_BYTES // bytes_each)))


# ---- penalty factors -----------------------------------------------------------------------------


def whitened_factors(
    genotypes: Genotypes, C: np.ndarray, precision: Precision, n_threads: int
) -> np.ndarray:
    """Return penalty factors ||x~_j|| divided by their mean, infinite in the span of C.

    The mean is that over all SNPs that are left, so that alpha keeps its usual size.
    """
    snps = np.flatnonzero(genotypes.included)
    squares = np.zeros(genotypes.n_variants)
    squares[snps] = fast_norms_of(genotypes, snps, C, precision, n_threads)
    # Equal SNPs are to tie exactly, as with equal factors: rounding must not choose between them.
    duplicate, kept, _ = genotypes.duplicate_pairs()
    squares[duplicate] = squares[kept]
    factors = np.full(len(squares), np.inf)
    left = squares > 0
    if left.any():
        lengths = np.sqrt(squares[left])
        factors[left] = lengths / lengths.mean()
    return factors
