"""Kinship between samples: the covariance of the random effect."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast import _core
from lmmlasso_fast.checks import as_choice, as_integer, as_number, as_numbers, as_text
from lmmlasso_fast.display import Result, draw
from lmmlasso_fast.errors import KinshipError
from lmmlasso_fast.genotypes import Genotypes, as_sample_index, rows_of, why_excluded
from lmmlasso_fast.lazy import computed_once
from lmmlasso_fast.parallel import poll
from lmmlasso_fast.relationship import ESTIMATORS, SnpSums, sum_over
from lmmlasso_fast.spectral import Spectrum, decompose
from lmmlasso_fast.tridiagonal import Tridiagonal, tridiagonalise

if TYPE_CHECKING:
    import polars as pl

#: SNPs summed in float32 before they are added in float64.
_BLOCK = 2048
#: Mean square of a column's entries from which float32's squares have all their digits.
_SMALLEST_SQUARE = 1e-30
#: Samples from which the tridiagonal form pays: below, NumPy's eigendecomposition ends before the
#: library that has the other one, scipy.linalg, would have been imported.
TRIDIAGONAL_FROM = 512
#: An eigenvalue of our own matrix this far below zero, relative to the largest, is rounding.
_FLOAT32_ROUNDING = 1e-5
#: Columns of the matrix that a notebook shows at most.
_SHOWN = 10
#: Summed in float32, as few samples and many SNPs show.
_IN_FLOAT32 = frozenset(ESTIMATORS) - {"ibs"}
#: Largest asymmetry, relative to the largest entry, that is taken for rounding and averaged away.
_SYMMETRIC = 1e-6
#: Sums of as many entries as any matrix has stay finite.
_LARGEST = 1e290


@dataclass(frozen=True)
class Kinship(Result):
    """A kinship matrix with what is needed to know where it came from.

    Attributes
    ----------
    matrix : ndarray of float64, shape (n, n)
        Symmetric, scaled to mean diagonal 1 (so that h2 is a share of the variance), read-only.
    samples : polars.DataFrame or None
        FID, IID in the order of the rows; None if the matrix came without ids.
    estimator : str
        One of `lmmlasso_fast.kinship`, "pedigree", or what the file or caller says.
    n_variants : int or None
        SNPs that it was computed from.
    scale : float
        The matrix as computed or given is `matrix * scale`.
    """

    matrix: np.ndarray = field(repr=False)
    samples: "pl.DataFrame | None" = field(default=None, repr=False)
    estimator: str = "given"
    n_variants: int | None = None
    scale: float = 1.0

    def to_frame(self, above: float | None = None) -> "pl.DataFrame":
        """Return pairs of samples, row by row of the lower triangle with its diagonal.

        FID1 IID1 FID2 IID2 KINSHIP, or without ids SAMPLE1 SAMPLE2 KINSHIP; KINSHIP is an entry of
        `matrix`.

        Parameters
        ----------
        above : float, optional
            Only pairs of different samples with a larger entry. Default: all n (n + 1) / 2.
        """
        import polars as pl

        above = None if above is None else as_number("above", above, infinite=True)
        pairs = np.tril_indices(self.n_samples, k=0 if above is None else -1)
        values = self.matrix[pairs]
        if above is not None:
            large = values > above
            pairs, values = tuple(index[large] for index in pairs), values[large]
        if self.samples is None:
            names = [pl.DataFrame({f"SAMPLE{k}": index}) for k, index in enumerate(pairs, 1)]
        else:
            ids = self.samples.select("FID", "IID")
            names = [
                ids[index].rename(lambda name, k=k: f"{name}{k}")
                for k, index in enumerate(pairs, 1)
            ]
        return pl.concat([*names, pl.DataFrame({"KINSHIP": values})], how="horizontal")

    def _preview(self) -> "pl.DataFrame":
        """Return the matrix with its samples."""
        import polars as pl

        columns = {str(k): column for k, column in enumerate(self.matrix[:, :_SHOWN].T, start=1)}
        matrix = pl.DataFrame(columns)
        if self.samples is None:
            return matrix
        return pl.concat([self.samples.select("FID", "IID"), matrix], how="horizontal")

    def plot(self, **options: Any) -> Any:
        """Draw the matrix: `lmmlasso_fast.plots.kinship_heatmap`."""
        return draw("kinship_heatmap", self, **options)

    @classmethod
    def from_matrix(
        cls,
        A: ArrayLike,
        samples: "pl.DataFrame | None" = None,
        estimator: str = "given",
        n_variants: int | None = None,
    ) -> "Kinship":
        """Check a symmetric matrix and scale it to mean diagonal 1.

        Raises
        ------
        KinshipError
            Not square, not finite or above 1e290, not symmetric, a mean diagonal that is not
            positive or too small to divide by, or another number of sample ids than rows.
        """
        estimator = as_text("estimator", estimator)
        n_variants = None if n_variants is None else as_integer("n_variants", n_variants, 1)
        A = as_numbers(A, "kinship", KinshipError, copy=False)
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
        largest = np.abs(A).max()
        if largest > _LARGEST:
            raise KinshipError(
                f"kinship: expected entries whose sums floating point can hold, found {largest:g} "
                "as the largest; give the matrix in another unit, its scale does not matter"
            )
        asymmetry = np.abs(A - A.T)
        if asymmetry.max() > _SYMMETRIC * largest:
            i, j = np.unravel_index(asymmetry.argmax(), A.shape)
            raise KinshipError(
                f"kinship: expected a symmetric matrix, found {float(A[i, j])!r} in row {i + 1}, "
                f"column {j + 1} and {float(A[j, i])!r} in row {j + 1}, column {i + 1}"
            )
        A = (A + A.T) / 2
        scale = float(np.mean(np.diag(A)))
        if not scale > 0:
            raise KinshipError(
                f"kinship: expected a positive mean diagonal, found {scale!r}; without a random "
                "effect pass no kinship (null=None is the plain Lasso)"
            )
        if largest > _LARGEST * scale:
            raise KinshipError(
                "kinship: expected entries that floating point can divide by the mean diagonal, "
                f"found {largest:g} and a mean diagonal of {scale:g}; check the step that wrote it"
            )
        return cls(_frozen(A / scale), samples, estimator, n_variants, scale)

    @property
    def n_samples(self) -> int:
        return len(self.matrix)

    def subset(self, index: ArrayLike) -> "Kinship":
        """Return K[index, index], rescaled to mean diagonal 1."""
        index = as_sample_index(index, self.n_samples)
        scale = float(np.mean(np.diag(self.matrix)[index]))
        if not scale > 0:
            raise KinshipError(
                f"kinship: the chosen {len(index)} samples have mean diagonal {scale!r}; "
                "expected a positive one"
            )
        samples = None if self.samples is None else rows_of(self.samples, index)
        part = _core.square_subset(self.matrix, index, scale)
        return Kinship(_frozen(part), samples, self.estimator, self.n_variants, self.scale * scale)

    @computed_once
    def spectrum(self) -> Spectrum:
        """Eigendecomposition, computed once (see `lmmlasso_fast.decompose`)."""
        if self.estimator in _IN_FLOAT32:
            return decompose(self, rounding=_FLOAT32_ROUNDING)
        return decompose(self)

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
        delta = as_number("delta", delta, above=0)
        if self.n_samples < TRIDIAGONAL_FROM:
            return self.spectrum
        T = self.tridiagonal
        return T if T.is_accurate_at(delta) else self.spectrum


def kinship(
    genotypes: Genotypes, estimator: str = "rrm", *, n_threads: int | None = None
) -> Kinship:
    """Compute the kinship matrix of the analysed samples from their genotypes.

    All are averages over the p SNPs offered to the model, scaled to mean diagonal 1. With d_j the
    dosages of SNP j, m_j and s_j their mean and standard deviation over the analysed samples,
    q_j = m_j / 2 and p_ik the SNPs that samples i and k both have:

    ============== ========================================= ==============================
    estimator      K_ik                                      missing genotypes
    ============== ========================================= ==============================
    "rrm"          sum_j (d_ij - m_j)(d_kj - m_j) / s_j^2 /p at the mean
    "standardised" the same, s_j^2 over all n samples        at the mean, in s_j too
    "centred"      sum_j (d_ij - m_j)(d_kj - m_j) / p        at the mean
    "gcta"         sum_j (d_ij - m_j)(d_kj - m_j)            left out, pair by pair
                   / (2 q_j (1 - q_j)) / p_ik
    "ibs"          sum_j (1 - |d_ij - d_kj| / 2) / p_ik      left out, pair by pair
    ============== ========================================= ==============================

    "rrm", the realised relationship matrix X X' / p of the SNPs as the model has them, is the
    only one from which `build_model` predicts new samples by their genotypes alone.
    "standardised" is GEMMA's -gk 2 (without missing genotypes also "rrm"), "centred" its -gk 1,
    "gcta" is GCTA's --make-grm and PLINK's --make-rel, "ibs" PLINK's --distance ibs flat-missing.

    Parameters
    ----------
    genotypes : Genotypes, n samples
    estimator : {"rrm", "standardised", "centred", "gcta", "ibs"}
    n_threads : int, optional
        Default: all that the process may use. Below 3,000 samples each takes its own blocks of
        2,048 SNPs, and the bits do not depend on their number; from there on they are BLAS's.

    Returns
    -------
    Kinship

    Raises
    ------
    KinshipError
        Unknown estimator, no SNP offered to the model, genotypes that are not dosages ("gcta",
        "ibs"), two samples without a SNP that both have (these, too), or (columns that are not
        standardised) sums of squares that are zero or beyond float32.

    Notes
    -----
    Averages over the SNPs of each pair need not be positive semi-definite; `decompose` says what
    becomes of negative eigenvalues.

    References
    ----------
    VanRaden 2008, J. Dairy Sci. 91:4414; Hayes et al. 2009, Genet. Res. 91:47 ("rrm"); Yang et al.
    2010, Nat. Genet. 42:565 ("gcta"); Zhou and Stephens 2012, Nat. Genet. 44:821 ("centred").
    """
    estimator = as_choice("estimator", estimator, ESTIMATORS, error=KinshipError)
    offered = np.flatnonzero(genotypes.included)
    if len(offered) == 0:
        raise KinshipError(
            f"kinship: no SNP is left to compute it from: {why_excluded(genotypes)}; relax the "
            "filters"
        )
    return from_sums(sum_over(genotypes, offered, estimator, n_threads), genotypes, estimator)


def from_sums(sums: SnpSums, genotypes: Genotypes, estimator: str) -> Kinship:
    """Return the kinship of sums over SNPs, whose memory it takes over.

    Raises
    ------
    KinshipError
        As `kinship`.
    """
    A, n_snps = sums.products, sums.n_snps
    if sums.n_common is not None:
        if not sums.n_common.all():
            i, k = np.argwhere(sums.n_common == 0)[0]
            raise KinshipError(
                f"kinship: expected SNPs that each two samples have, found none for samples "
                f"{i + 1} and {k + 1}; drop samples by --mind (filter(mind=...)), or take 'rrm'"
            )
        A /= sums.n_common
        A *= n_snps
    scale = float(np.mean(np.diag(A)))
    if not _SMALLEST_SQUARE * n_snps < scale < np.inf:
        raise KinshipError(
            f"kinship: expected SNPs whose squares sum to a positive number that float32 can hold, "
            f"found {scale!r} as the mean diagonal; rescale the columns of X"
        )
    A /= scale
    return Kinship(
        _frozen(A),
        samples=genotypes.samples if genotypes.has_sample_ids else None,
        estimator=estimator,
        n_variants=n_snps,
        scale=scale / n_snps,
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


def as_kinship(K: Kinship | ArrayLike) -> Kinship:
    """Return K as a Kinship: one is passed through, an array is checked and scaled."""
    return K if isinstance(K, Kinship) else Kinship.from_matrix(K)


def _frozen(A: np.ndarray) -> np.ndarray:
    A.flags.writeable = False
    return A
