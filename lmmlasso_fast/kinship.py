"""Kinship between samples: the covariance of the random effect."""

import threading
from dataclasses import dataclass, field

import numpy as np

from lmmlasso_fast import _core
from lmmlasso_fast.errors import KinshipError
from lmmlasso_fast.genotypes import Genotypes, as_sample_index, why_excluded
from lmmlasso_fast.lazy import computed_once
from lmmlasso_fast.parallel import poll
from lmmlasso_fast.spectral import Spectrum, decompose
from lmmlasso_fast.threads import as_n_threads, blas_cap, blas_threads_for, for_each
from lmmlasso_fast.tridiagonal import Tridiagonal, tridiagonalise

#: SNPs (at most) summed in float32 before they are added to the float64 matrix: fixed, as bits are.
#: These sums are rounded to a grid on which adding is exact, so that any thread may add any block.
_BLOCK = 2048
#: Mean square of a column's entries from which float32's squares have all their digits.
_SMALLEST_SQUARE = 1e-30
#: For the blocks that threads hold at a time.
_WORKERS_BYTES = 1 << 29
#: Sums beyond it, or below its inverse, are infinite or zero in float32 anyway.
_LARGEST = 2.0**200
#: Samples from which the tridiagonal form pays: below, NumPy's eigendecomposition ends before the
#: library that has the other one, scipy.linalg, would have been imported.
TRIDIAGONAL_FROM = 512
#: An eigenvalue of our own matrix this far below zero, relative to the largest, is rounding.
_FLOAT32_ROUNDING = 1e-5
#: Largest asymmetry, relative to the largest entry, that is taken for rounding and averaged away.
_SYMMETRIC = 1e-6


@dataclass(frozen=True)
class Kinship:
    """A kinship matrix with what is needed to know where it came from.

    Attributes
    ----------
    matrix : ndarray of float64, shape (n, n)
        Symmetric, scaled to mean diagonal 1 (so that h2 is a share of the variance), read-only.
    samples : polars.DataFrame or None
        FID, IID in the order of the rows; None if the matrix came without ids.
    estimator : str
        "rrm", or what the file or caller says.
    n_variants : int or None
        SNPs that it was computed from.
    scale : float
        The matrix as computed or given is `matrix * scale`.
    """

    matrix: np.ndarray = field(repr=False)
    samples: object = field(default=None, repr=False)
    estimator: str = "given"
    n_variants: int | None = None
    scale: float = 1.0

    @classmethod
    def from_matrix(cls, A, samples=None, estimator="given", n_variants=None) -> "Kinship":
        """Check a symmetric matrix and scale it to mean diagonal 1.

        Raises
        ------
        KinshipError
            Not square, not finite, not symmetric, a mean diagonal that is not positive, or
            another number of sample ids than rows.
        """
        A = A.filled(np.nan) if np.ma.is_masked(A) else np.asarray(A)
        if A.dtype.kind not in "fiu":
            raise KinshipError(f"kinship: expected real numbers, found dtype {A.dtype}")
        A = A.astype(np.float64)  # a copy: it is scaled below
        if A.ndim != 2 or A.shape[0] != A.shape[1] or A.shape[0] == 0:
            raise KinshipError(
                f"kinship: expected a square matrix (samples x samples), found shape {A.shape}"
            )
        if samples is not None and len(samples) != len(A):
            raise KinshipError(
                f"kinship: expected one sample id per row, found {len(A)} rows and "
                f"{len(samples)} ids"
            )
        if not np.isfinite(A).all():
            i, j = np.argwhere(~np.isfinite(A))[0]
            raise KinshipError(
                f"kinship: expected finite numbers, found {A[i, j]} in row {i + 1}, column {j + 1}"
            )
        asymmetry = np.abs(A - A.T)
        largest = np.abs(A).max()
        if asymmetry.max() > _SYMMETRIC * largest:
            i, j = np.unravel_index(asymmetry.argmax(), A.shape)
            raise KinshipError(
                f"kinship: expected a symmetric matrix, found {A[i, j]!r} in row {i + 1}, column "
                f"{j + 1} and {A[j, i]!r} in row {j + 1}, column {i + 1}"
            )
        A = (A + A.T) / 2
        scale = float(np.mean(np.diag(A)))
        if not scale > 0:
            raise KinshipError(
                f"kinship: expected a positive mean diagonal, found {scale!r}; without a random "
                "effect pass no kinship (null=None is the plain Lasso)"
            )
        return cls(_frozen(A / scale), samples, estimator, n_variants, scale)

    @property
    def n_samples(self) -> int:
        return len(self.matrix)

    def subset(self, index) -> "Kinship":
        """Return K[index, index], rescaled to mean diagonal 1."""
        index = as_sample_index(index, self.n_samples)
        scale = float(np.mean(np.diag(self.matrix)[index]))
        if not scale > 0:
            raise KinshipError(
                f"kinship: the chosen {len(index)} samples have mean diagonal {scale!r}; "
                "expected a positive one"
            )
        samples = None if self.samples is None else self.samples[index]
        part = _core.square_subset(self.matrix, index, scale)
        return Kinship(_frozen(part), samples, self.estimator, self.n_variants, self.scale * scale)

    @computed_once
    def spectrum(self) -> Spectrum:
        """Eigendecomposition, computed once (see `lmmlasso_fast.decompose`)."""
        if self.estimator == "rrm":  # summed in float32, as few samples and many SNPs show
            return decompose(self.matrix, rounding=_FLOAT32_ROUNDING)
        return decompose(self.matrix)

    def require_semidefinite(self) -> None:
        """Raise and warn as `decompose` does, by whichever form `basis` takes."""
        if self.n_samples < TRIDIAGONAL_FROM:
            self.spectrum  # noqa: B018 (cached)
        else:
            self.tridiagonal  # noqa: B018 (cached)

    @computed_once
    def tridiagonal(self) -> Tridiagonal:
        """Tridiagonal form, computed once; raises and warns where the spectrum would."""
        T = tridiagonalise(self.matrix)
        if not T.is_semidefinite():
            self.spectrum  # noqa: B018 (cached: it knows how far from it, and says so)
        return T

    def basis(self, delta: float) -> Tridiagonal | Spectrum:
        """Return the form of K that V = K + delta I, and with any larger delta, is taken from.

        The tridiagonal one, or the spectrum if there are few samples, V is ill-conditioned or K
        has many eigenvalues below zero, which are set to zero. What was computed before does not
        matter.
        """
        if self.n_samples < TRIDIAGONAL_FROM:
            return self.spectrum
        T = self.tridiagonal
        return T if T.is_accurate_at(delta) else self.spectrum


def kinship(genotypes: Genotypes, method: str = "rrm", *, n_threads: int | None = None) -> Kinship:
    """Compute the kinship matrix of the analysed samples from their genotypes.

    Realised relationship matrix: K = X X' / p over the p SNPs offered to the model, X
    column-standardised over the analysed samples with missing genotypes at the mean (VanRaden
    2008; Hayes et al. 2009), then scaled to mean diagonal 1.

    Parameters
    ----------
    genotypes : Genotypes, n samples
    method : {"rrm"}
    n_threads : int, optional
        Default: all that the process may use. Below 3,000 samples each takes its own blocks of
        2,048 SNPs, and the bits do not depend on their number; from there on they are BLAS's.

    Returns
    -------
    Kinship

    Raises
    ------
    KinshipError
        Unknown method, no SNP offered to the model, or (columns that are not standardised) sums of
        squares that are zero or beyond float32.
    """
    if method != "rrm":
        raise KinshipError(f"method: expected 'rrm', found {method!r}")
    offered = np.flatnonzero(genotypes.included)
    if len(offered) == 0:
        raise KinshipError(
            f"kinship: no SNP is left to compute it from: {why_excluded(genotypes)}; relax the "
            "filters"
        )
    n = genotypes.n_samples
    n_blocks = -(-len(offered) // _BLOCK)
    bounds = len(offered) * np.arange(n_blocks + 1) // n_blocks
    blas_threads = blas_threads_for(n, n_threads)
    # Either BLAS has the threads or the blocks do, as many as may hold a block and its product.
    n_workers = max(1, min(as_n_threads(n_threads), _WORKERS_BYTES // (4 * n * (n + _BLOCK))))
    largest = np.clip(len(offered) * genotypes.largest_square_sum, 1 / _LARGEST, _LARGEST)
    grid = 2.0 ** (int(np.ceil(np.log2(largest))) - 51)
    A, lock = np.zeros((n, n)), threading.Lock()

    def add_block(k: int) -> None:
        poll()
        block = genotypes.columns(offered[bounds[k] : bounds[k + 1]], dtype=np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # refused below
            product = block @ block.T  # NumPy sees A A' and calls SYRK, without the GIL
        with lock:
            _core.add_rounded(product, grid, A)

    with blas_cap(blas_threads):
        for_each(add_block, n_blocks, n_workers if blas_threads == 1 else 1)
    scale = float(np.mean(np.diag(A)))
    if not _SMALLEST_SQUARE * len(offered) < scale < np.inf:
        raise KinshipError(
            f"kinship: expected SNPs whose squares sum to a positive number that float32 can hold, "
            f"found {scale!r} as the mean diagonal; rescale the columns of X"
        )
    A /= scale
    return Kinship(
        _frozen(A),
        samples=genotypes.samples if genotypes.has_sample_ids else None,
        estimator=method,
        n_variants=len(offered),
        scale=scale / len(offered),
    )


def cross_kinship(new: Genotypes, genotypes: Genotypes, kinship: Kinship) -> np.ndarray:
    """Return the kinship K* = X* X' / (p scale) of new samples with those of `kinship`.

    X* is standardised by the means and standard deviations of `genotypes`. Sums as `kinship` does:
    blocks of float32 products, added in float64.

    Parameters
    ----------
    new : Genotypes, n* samples x the same SNPs
    genotypes : Genotypes, n samples
    kinship : Kinship
        The realised relationship matrix of `genotypes`.

    Returns
    -------
    ndarray, shape (n*, n)
    """
    offered = np.flatnonzero(genotypes.included)
    statistics = (genotypes.mean, genotypes.sd)
    A = np.zeros((new.n_samples, genotypes.n_samples))
    for start in range(0, len(offered), _BLOCK):
        snps = offered[start : start + _BLOCK]
        rows = new.columns(snps, np.float32, statistics)
        A += rows @ genotypes.columns(snps, np.float32).T
        poll()
    return A / (len(offered) * kinship.scale)


def as_kinship(K) -> Kinship:
    """Return K as a Kinship: one is passed through, an array is checked and scaled."""
    return K if isinstance(K, Kinship) else Kinship.from_matrix(K)


def _frozen(A: np.ndarray) -> np.ndarray:
    A.flags.writeable = False
    return A
