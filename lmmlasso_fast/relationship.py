"""Sums over SNPs of products between samples: what every kinship from genotypes is made of.

The genotypes stay in their two bits; a block of SNPs at a time is decoded to float32.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lmmlasso_fast import _core
from lmmlasso_fast.errors import KinshipError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.parallel import poll
from lmmlasso_fast.threads import as_n_threads, blas_cap, blas_threads_for, for_each

#: Columns (at most) summed in float32 before they are added to the float64 matrix: fixed, as bits
#: are. These sums are rounded to a grid on which adding is exact, so that any thread may add any
#: block; counts are exact in any case.
_BLOCK = 2048
#: For the blocks that threads hold at a time.
_WORKERS_BYTES = 1 << 29
#: Sums beyond it, or below its inverse, are infinite or zero in float32 anyway.
_LARGEST = 2.0**200

#: Kinship from genotypes, by estimator: how a SNP is scaled (None: identity by state).
_SCALES: dict[str, Callable[[Genotypes], np.ndarray] | None] = {
    "rrm": lambda genotypes: genotypes.sd,
    "centred": lambda genotypes: (genotypes.sd > 0).astype(np.float64),
    "standardised": lambda genotypes: genotypes.sd * np.sqrt(_share_present(genotypes)),
    "gcta": lambda genotypes: np.sqrt(_hardy_weinberg_variance(genotypes)),
    "ibs": None,
}
ESTIMATORS = tuple(_SCALES)
#: The sum of a pair of samples is divided by the SNPs that both have, not by all SNPs.
_PAIRWISE = frozenset({"gcta", "ibs"})


@dataclass(frozen=True)
class SnpSums:
    """The sum over SNPs behind a kinship matrix, and what to divide it by.

    Attributes
    ----------
    products : ndarray, shape (n, n)
    n_snps : int
        All SNPs of the sum.
    n_common : ndarray, shape (n, n), or None
        SNPs that both samples have; None where this is `n_snps` for every pair, or where the
        estimator takes missing genotypes to be at the mean.
    """

    products: np.ndarray
    n_snps: int
    n_common: np.ndarray | None

    def plus(self, other: "SnpSums") -> "SnpSums":
        """Return the sums over the SNPs of both."""
        return self._with(other, np.add)

    def minus(self, part: "SnpSums") -> "SnpSums":
        """Return the sums over the SNPs that are not in `part`."""
        return self._with(part, np.subtract)

    def _with(self, other: "SnpSums", operation: Callable) -> "SnpSums":
        n_common = None
        if self.n_common is not None or other.n_common is not None:
            n_common = operation(self._divisors(), other._divisors())
        return SnpSums(
            operation(self.products, other.products),
            int(operation(self.n_snps, other.n_snps)),
            n_common,
        )

    def _divisors(self) -> np.ndarray | int:
        return self.n_snps if self.n_common is None else self.n_common


def sum_over(
    genotypes: Genotypes, snps: np.ndarray, estimator: str, n_threads: int | None = None
) -> SnpSums:
    """Sum the products of an estimator over some SNPs.

    Raises
    ------
    KinshipError
        Genotypes that are not dosages, for an estimator of allele counts.
    """
    if estimator in _PAIRWISE and np.isnan(genotypes.frequency[snps]).any():
        raise KinshipError(
            f"estimator {estimator!r}: expected dosages 0, 1, 2, found other numbers; take 'rrm' "
            "or 'centred'"
        )
    n, incomplete = genotypes.n_samples, snps[genotypes.n_missing[snps] > 0]
    n_common = None
    if estimator in _PAIRWISE and len(incomplete):
        missing = _sum_blocks(n, incomplete, lambda some: _missing(genotypes, some), 1.0, n_threads)
        of_sample = np.diag(missing)
        n_common = len(snps) - of_sample[:, None] - of_sample + missing
    if estimator == "ibs":
        products = _sum_blocks(
            n, snps, lambda some: _indicators(genotypes, some), 1.0, n_threads, width=2
        )
        products += len(snps) if n_common is None else n_common
        products /= 2
        return SnpSums(products, len(snps), n_common)
    scale = _SCALES[estimator](genotypes)
    # x_j'x_j is at most (sd / scale)^2 times that of the column that the model has
    ratio = np.divide(
        genotypes.sd[snps], scale[snps], out=np.ones(len(snps)), where=scale[snps] > 0
    )
    bound = len(snps) * genotypes.largest_square_sum * np.square(ratio.max(initial=0.0))
    grid = 2.0 ** (int(np.ceil(np.log2(np.clip(bound, 1 / _LARGEST, _LARGEST)))) - 51)
    statistics = (genotypes.mean, scale)
    products = _sum_blocks(
        n,
        snps,
        lambda some: genotypes.columns(some, np.float32, statistics),
        grid,
        n_threads,
    )
    return SnpSums(products, len(snps), n_common)


def _sum_blocks(
    n: int,
    snps: np.ndarray,
    block_of: Callable[[np.ndarray], np.ndarray],
    grid: float,
    n_threads: int | None,
    width: int = 1,
) -> np.ndarray:
    """Return the sum of B B' over blocks of SNPs, B = block_of(SNPs), n x (width columns a SNP).

    Sums of blocks are rounded to multiples of `grid`, a power of two.
    """
    n_blocks = -(-len(snps) * width // _BLOCK)
    bounds = len(snps) * np.arange(n_blocks + 1) // max(n_blocks, 1)
    blas_threads = blas_threads_for(n, n_threads)
    # Either BLAS has the threads or the blocks do, as many as may hold a block and its product.
    n_workers = max(1, min(as_n_threads(n_threads), _WORKERS_BYTES // (4 * n * (n + _BLOCK))))
    total, lock = np.zeros((n, n)), threading.Lock()

    def add_block(k: int) -> None:
        poll()
        block = block_of(snps[bounds[k] : bounds[k + 1]])
        with np.errstate(over="ignore", invalid="ignore"):  # the caller refuses what is infinite
            product = block @ block.T  # NumPy sees A A' and calls SYRK, without the GIL
        with lock:
            _core.add_rounded(product, grid, total)

    with blas_cap(blas_threads):
        for_each(add_block, n_blocks, n_workers if blas_threads == 1 else 1)
    return total


# ---- what is summed ------------------------------------------------------------------------------


def _dosages_from_one(genotypes: Genotypes, snps: np.ndarray) -> np.ndarray:
    """Return dosage + 1 of some SNPs, 0 where missing."""
    p = genotypes.n_variants
    return genotypes.columns(snps, np.float32, (np.full(p, -1.0), np.ones(p)))


def _missing(genotypes: Genotypes, snps: np.ndarray) -> np.ndarray:
    return (_dosages_from_one(genotypes, snps) == 0).astype(np.float32)


def _indicators(genotypes: Genotypes, snps: np.ndarray) -> np.ndarray:
    """Return B with B B' = 2 (sum of IBS / 2) - (SNPs that both samples have).

    For dosages a, b in {0, 1, 2}: 1 - |a - b| / 2 = (1 + (a - 1)(b - 1) + [a = 1][b = 1]) / 2.
    """
    dosages = _dosages_from_one(genotypes, snps)
    if (dosages != np.rint(dosages)).any():
        raise KinshipError(
            "kinship: identity by state is of genotypes 0, 1, 2; found dosages between them; take "
            "another estimator, or the hard calls (on the command line --dosage GT)"
        )
    n, k = dosages.shape
    block = np.empty((n, 2 * k), dtype=np.float32, order="F")
    np.equal(dosages, 2, out=block[:, k:])
    np.subtract(dosages, 2, out=block[:, :k])
    block[:, :k][dosages == 0] = 0
    return block


# ---- how a SNP is scaled -------------------------------------------------------------------------


def _share_present(genotypes: Genotypes) -> np.ndarray:
    return 1 - genotypes.n_missing / genotypes.n_samples


def _hardy_weinberg_variance(genotypes: Genotypes) -> np.ndarray:
    """2 q (1 - q), q the frequency of A1 among the genotypes that are there; 0 if not offered."""
    q = np.where(genotypes.included, genotypes.frequency, 0.0)
    return 2 * q * (1 - q)
