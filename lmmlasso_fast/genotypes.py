"""The Genotypes protocol: everything above it works on `gradient`, `columns` and a few vectors.

Three kinds implement it: packed 2-bit genotypes (`lmmlasso_fast.packed`), dosages of one or two
bytes (`lmmlasso_fast.dosage`) and dense arrays (`lmmlasso_fast.dense`). SNPs are standardised over
the analysed samples, missing genotypes are at the mean, and a SNP that is not offered to the model
(monomorphic, filtered out, ...) keeps its place: its mean and column are zero, so that p means the
same everywhere.
"""

import copy
import warnings
from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from lmmlasso_fast.checks import as_indices, as_integer, as_number, as_numbers
from lmmlasso_fast.errors import DataWarning, FileChangedError, GenotypeError
from lmmlasso_fast.suggestions import listed

if TYPE_CHECKING:
    import polars as pl

#: Why a SNP is not offered to the model; index 0 means that it is.
REASONS = (
    "",
    "chr",
    "extract",
    "exclude",
    "all_missing",
    "monomorphic",
    "geno",
    "maf",
    "duplicate",
)
_CODE = {reason: code for code, reason in enumerate(REASONS)}


class Genotypes(ABC):
    """SNPs of n samples, column-standardised on demand.

    Attributes
    ----------
    n_samples, n_variants : int
        n, and p: all SNPs, those not offered to the model included.
    mean, sd, frequency : ndarray of float64, shape (p,)
        Mean dosage, standard deviation (divisor: the number of genotypes that are there) and
        frequency of A1 over the analysed samples; zero for SNPs that are not offered (frequency:
        NaN where there is none to speak of).
    n_missing : ndarray of int32, shape (p,)
        Missing genotypes among the analysed samples.
    included : ndarray of bool, shape (p,)
        The SNPs that are offered to the model.
    reasons : ndarray of uint8, shape (p,)
        Indices into `lmmlasso_fast.genotypes.REASONS`.
    """

    n_samples: int
    n_variants: int
    mean: np.ndarray
    sd: np.ndarray
    frequency: np.ndarray
    n_missing: np.ndarray
    reasons: np.ndarray

    def __init__(
        self,
        n_samples: int,
        n_variants: int,
        samples: "pl.DataFrame | None",
        variants: "pl.DataFrame | None",
    ):
        self.n_samples = int(n_samples)
        self.n_variants = int(n_variants)
        self._samples = samples
        self._variants = variants
        for frame, n, what in ((samples, n_samples, "samples"), (variants, n_variants, "variants")):
            if frame is not None and len(frame) != n:
                raise GenotypeError(
                    f"{what}: expected a table of {n} rows, one for each of the genotypes' "
                    f"{what}, found {len(frame)}"
                )

    # -- copies, here and in another process -------------------------------------------------------

    def __copy__(self):
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __setstate__(self, state):
        try:
            self.__dict__.update(self._opened(state))
        except FileChangedError as problem:  # raised here, it would be a worker that died
            self._problem = problem

    def _opened(self, state: dict) -> dict:
        """Return the attributes that were sent, with files opened again."""
        return state

    def __getattr__(self, name):
        """Raise why there is no such attribute: in a worker, what its file was found to be."""
        problem = self.__dict__.get("_problem")
        if problem is None or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise problem

    def without_tables(self) -> "Genotypes":
        """Return the same genotypes without ids of samples and SNPs, for work that needs none."""
        bare = copy.copy(self)
        bare._samples = bare._variants = None
        return bare

    # -- tables ------------------------------------------------------------------------------

    @property
    def has_sample_ids(self) -> bool:
        """Whether the samples came with ids (arrays may not)."""
        return self._samples is not None

    @property
    def samples(self) -> "pl.DataFrame":
        """polars DataFrame FID, IID; made-up ids when none were given."""
        if self._samples is not None:
            return self._samples
        import polars as pl

        ids = [f"sample{i}" for i in range(self.n_samples)]
        return pl.DataFrame({"FID": ids, "IID": ids})

    @property
    def variants(self) -> "pl.DataFrame":
        """polars DataFrame CHROM, ID, POS, A1, A2; A1 is the counted (effect) allele."""
        if self._variants is None:
            import polars as pl

            p = self.n_variants
            self._variants = pl.DataFrame(
                {
                    "CHROM": ["0"] * p,
                    "ID": [f"snp{j}" for j in range(p)],
                    "POS": np.zeros(p, dtype=np.int64),
                    "A1": ["A"] * p,
                    "A2": ["B"] * p,
                }
            )
        return self._variants

    @property
    def largest_square_sum(self) -> float:
        """A bound on x_j'x_j over the SNPs: n, as missing genotypes are at the mean."""
        return float(self.n_samples)

    @property
    def memory(self) -> int:
        """Bytes of memory that the genotypes take; those in a mapped file take none."""
        return 0

    @property
    def included(self) -> np.ndarray:
        return self.reasons == 0

    @property
    def excluded(self) -> "pl.DataFrame":
        """polars DataFrame CHROM, POS, ID, REASON of the SNPs not offered to the model."""
        import polars as pl

        rows = np.flatnonzero(self.reasons)
        names = np.array(REASONS, dtype=object)[self.reasons[rows]]
        return self.variants[rows].select(
            "CHROM", "POS", "ID", pl.Series("REASON", names, dtype=pl.String)
        )

    @property
    def duplicates(self) -> "pl.DataFrame":
        """polars DataFrame ID, KEPT_ID, SIGN: exact duplicates over the analysed samples.

        KEPT_ID is the first of the group, SIGN is -1 when the alleles are swapped.
        """
        import polars as pl

        rows, kept, sign = self.duplicate_pairs()
        ids = self.variants["ID"]
        return pl.DataFrame({"ID": ids[rows], "KEPT_ID": ids[kept], "SIGN": sign})

    # -- what implementations provide ----------------------------------------------------------

    @abstractmethod
    def gradient(self, v: ArrayLike, *, screening: bool = False, n_threads: int = 1) -> np.ndarray:
        """Return X'v for v of shape (n,) or (n, m).

        `screening` (one bool, or one per column of v) allows, but does not demand, float32's
        accuracy (relative to the largest entry of v); the default is float64's. SNPs that are not
        offered have 0. Columns are taken together: the genotypes are read once for up to eight.
        """

    @abstractmethod
    def columns(
        self,
        index: ArrayLike,
        dtype: DTypeLike = np.float64,
        statistics: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> np.ndarray:
        """Return the standardised SNPs `index` as an n x k array (Fortran-ordered).

        `statistics` = (mean, sd) of all p SNPs standardises by another sample's instead.
        """

    @abstractmethod
    def subset(self, samples: ArrayLike) -> "Genotypes":
        """Return the genotypes of the chosen samples (integer index or boolean mask)."""

    @abstractmethod
    def duplicate_pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (duplicate, kept, sign): indices of SNPs equal to an earlier one, which, how."""

    @abstractmethod
    def _with_reasons(self, reasons: np.ndarray) -> "Genotypes":
        """Return the same genotypes with these exclusion reasons."""

    @abstractmethod
    def sample_missing_rate(self) -> np.ndarray:
        """Return each sample's share of missing genotypes among the offered SNPs."""

    # -- filters ---------------------------------------------------------------------------------

    def filter(
        self,
        *,
        chromosomes: Collection[str] | None = None,
        extract: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
        mind: float | None = None,
        geno: float | None = None,
        maf: float | None = None,
    ) -> "Genotypes":
        """Return genotypes with fewer SNPs (and, with `mind`, samples) offered to the model.

        Applied in this order, as PLINK does; the first reason that applies is recorded.

        Parameters
        ----------
        chromosomes, extract, exclude : collection of str, optional
            Chromosome names to keep, SNP ids to keep, SNP ids to drop.
        mind : float, optional
            Largest share of missing genotypes of a sample.
        geno : float, optional
            Largest share of missing genotypes of a SNP.
        maf : float, optional
            Smallest minor allele frequency.

        Raises
        ------
        GenotypeError
            A share outside [0, 1], a chromosome that does not occur, or `maf` on genotypes that
            are not dosages.
        """
        for name, value, top in (("mind", mind, 1), ("geno", geno, 1), ("maf", maf, 0.5)):
            if value is not None:
                as_number(name, value, 0, top, error=GenotypeError)
        result = self
        if chromosomes is not None:
            wanted = {str(name) for name in chromosomes}
            present = set(self.variants["CHROM"].unique())
            if wanted - present:
                absent = sorted(wanted - present)
                raise GenotypeError(
                    f"chromosomes: expected names among {listed(absent[0], sorted(present))}, "
                    f"found {', '.join(absent)}; names are text, as in the .bim"
                )
            result = result._exclude(~_is_in(self.variants["CHROM"], wanted), "chr")
        if extract is not None:
            result = result._exclude(~_is_in(self.variants["ID"], extract), "extract")
        if exclude is not None:
            result = result._exclude(_is_in(self.variants["ID"], exclude), "exclude")
        if mind is not None:
            keep = result.sample_missing_rate() <= mind
            if not keep.all():
                result = result.subset(keep)
        if geno is not None:
            result = result._exclude(result.n_missing / result.n_samples > geno, "geno")
        if maf is not None:
            frequency = result.frequency
            if np.isnan(frequency[result.included]).any():
                raise GenotypeError("maf: expected dosages 0, 1, 2; found other numbers")
            minor = np.minimum(frequency, 1 - frequency)
            # 1 - 0.9 < 0.1 in floating point: which allele is counted must not decide
            result = result._exclude(minor < maf * (1 - 1e-12), "maf")
        return result

    def collapse_duplicates(self) -> "Genotypes":
        """Return genotypes that offer the first SNP of every group of exact duplicates only."""
        drop = np.zeros(self.n_variants, dtype=bool)
        drop[self.duplicate_pairs()[0]] = True
        return self._exclude(drop, "duplicate")

    def _exclude(self, drop: np.ndarray, reason: str) -> "Genotypes":
        reasons = self.reasons.copy()
        reasons[drop & (reasons == 0)] = _CODE[reason]
        return self._with_reasons(reasons)

    # -- construction ------------------------------------------------------------------------------

    @staticmethod
    def from_array(
        X: ArrayLike, samples: "pl.DataFrame | None" = None, variants: "pl.DataFrame | None" = None
    ) -> "Genotypes":
        """Make genotypes of a numpy array (samples x SNPs).

        Dosages 0, 1, 2 (NaN or a mask for missing) are packed into two bits each; any other
        numbers are kept as they are, by reference, and standardised on demand.

        Parameters
        ----------
        X : array_like, shape (n, p)
            Numbers of any real type and memory order; never written to.
        samples, variants : polars.DataFrame, optional
            FID, IID; CHROM, ID, POS, A1, A2 (A1 is what the dosage counts).

        Raises
        ------
        GenotypeError
            Not two-dimensional, empty, infinite, or of a magnitude whose squares overflow.
        TypeError
            Complex numbers, text, sparse matrices.
        """
        from lmmlasso_fast.dense import DenseGenotypes, as_matrix
        from lmmlasso_fast.mapped import own_map, unchanged
        from lmmlasso_fast.packed import PackedGenotypes, pack

        X = own_map(as_matrix(X))
        with unchanged(X):
            packed = pack(X)
        if packed is not None:
            return PackedGenotypes(packed, X.shape[0], samples=samples, variants=variants)
        if X.dtype.kind == "i" and X.min() < 0:
            warnings.warn(
                f"X: integers down to {X.min()} are taken as they are, not as missing genotypes; "
                "for those use NaN or a masked array",
                DataWarning,
                stacklevel=2,
            )
        return DenseGenotypes(X, samples=samples, variants=variants)


def rows_of(table: "pl.DataFrame", rows: np.ndarray) -> "pl.DataFrame":
    """Return some rows of a table.

    Column by column: for all at a time Polars takes its threads, which the child of a fork does not
    have, and waits for them for ever.
    """
    import polars as pl

    return pl.DataFrame([column.gather(rows) for column in table.iter_columns()])


def as_sample_index(samples, n_samples: int) -> np.ndarray:
    """Return an int64 index of distinct samples from an integer index or a boolean mask.

    Raises
    ------
    GenotypeError
        Wrong length of the mask, an index out of range, a repeated or no sample.
    """
    index = as_indices(samples, "samples", GenotypeError, mask_length=n_samples)
    if len(index) == 0:
        raise GenotypeError(
            "samples: expected at least one, found that none is left; check --keep, --remove and "
            "the phenotype's ids"
        )
    low, high, distinct = int(index.min()), int(index.max()), len(np.unique(index))
    if low < 0 or high >= n_samples:
        raise GenotypeError(
            f"samples: expected indices in [0, {n_samples}), found {low if low < 0 else high}"
        )
    if distinct < len(index):
        raise GenotypeError(
            f"samples: expected every sample at most once, found {len(index)} indices of {distinct}"
        )
    return index


def as_vectors(v, n_samples: int) -> np.ndarray:
    """Return one vector (n,) or several (n, m), finite, as float64; one that is so is not copied.

    Raises
    ------
    GenotypeError
        Another shape, or not finite numbers.
    """
    if not isinstance(v, np.ndarray) or np.ma.isMaskedArray(v) or v.dtype != np.float64:
        v = as_numbers(v, "v", GenotypeError)
    if v.ndim not in (1, 2) or v.shape[0] != n_samples:
        raise GenotypeError(f"v: expected {n_samples} entries, found shape {v.shape}")
    if not np.isfinite(v).all():
        raise GenotypeError(f"v: expected finite numbers, found {v[~np.isfinite(v)][0]}")
    return v


def as_gradient_options(screening, n_threads, n_vectors: int) -> tuple[np.ndarray, int]:
    """Return one bool per vector, and the number of threads.

    Raises
    ------
    GenotypeError
        Not one bool, or one per vector.
    InputError
        Not an integer of at least 1.
    """
    flags = np.asarray(screening) if isinstance(screening, bool | np.bool_ | np.ndarray) else None
    if flags is None or flags.dtype != bool or flags.shape not in ((), (n_vectors,)):
        raise GenotypeError(
            f"screening: expected True or False, or an array of one for each of the {n_vectors} "
            f"vectors, found {screening!r}"
        )
    return np.broadcast_to(flags, n_vectors), as_integer("n_threads", n_threads, 1)


def as_snp_index(snps, n_variants: int) -> np.ndarray:
    """Return an int64 index of SNPs.

    Raises
    ------
    GenotypeError
        Another shape or type, an index out of range.
    """
    index = as_indices(snps, "SNPs", GenotypeError)
    if len(index) and not 0 <= index.min() <= index.max() < n_variants:
        raise GenotypeError(
            f"SNPs: expected indices in [0, {n_variants}), found {index.min()} to {index.max()}"
        )
    return index


def excluded_counts(genotypes: Genotypes) -> dict[str, int]:
    """Return how many SNPs are not offered to the model for each reason, the most frequent first.

    Of equally frequent ones that of the earlier SNP is first.
    """
    codes, first, counts = np.unique(genotypes.reasons, return_index=True, return_counts=True)
    order = np.lexsort((first, -counts))
    return {REASONS[codes[k]]: int(counts[k]) for k in order if codes[k]}


def why_excluded(genotypes: Genotypes) -> str:
    """Return the same for a message, such as "3 maf, 1 monomorphic"; empty if there is no SNP."""
    return ", ".join(f"{count} {reason}" for reason, count in excluded_counts(genotypes).items())


def inverse_or_zero(sd: np.ndarray) -> np.ndarray:
    """1 / sd; 0 where sd is 0, which takes a SNP out of every product."""
    return np.divide(1.0, sd, out=np.zeros(np.shape(sd)), where=np.asarray(sd) > 0)


def _is_in(column, names) -> np.ndarray:
    import polars as pl

    return column.is_in(pl.Series(list(names), dtype=pl.String).implode()).to_numpy()
