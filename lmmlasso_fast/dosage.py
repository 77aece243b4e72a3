"""Genotypes kept as dosages: imputed allele counts between 0 and 2, one or two bytes each."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from lmmlasso_fast import _core
from lmmlasso_fast.checks import as_bits
from lmmlasso_fast.dense import as_matrix
from lmmlasso_fast.errors import GenotypeError
from lmmlasso_fast.genotypes import (
    _CODE,
    Genotypes,
    as_gradient_options,
    as_sample_index,
    as_snp_index,
    as_vectors,
    inverse_or_zero,
    rows_of,
)
from lmmlasso_fast.mapped import MapName, open_again, own_map, reads, to_send, unchanged
from lmmlasso_fast.parallel import poll
from lmmlasso_fast.threads import over_ranges, steps

if TYPE_CHECKING:
    import polars as pl

#: X'v over fewer dosages than this is not worth a second thread.
_THREADS_FROM = 1 << 21
#: Dosages that a step of the conversion takes at a time.
_BLOCK_VALUES = 1 << 22
#: Dosages this far outside [0, 2] are rounding of the program that wrote them.
_TOLERANCE = 1e-3

#: By the type of the codes: the code of two copies of A1, as the C core has it.
TOP = {np.dtype(np.uint8): 254, np.dtype(np.uint16): 32768}
#: Of the two, the code of a missing dosage.
MISSING = {dtype: int(np.iinfo(dtype).max) for dtype in TOP}


class DosageGenotypes(Genotypes):
    """Dosages in [0, 2] as whole numbers, seen through a choice of samples.

    A dosage d is kept as the code round(d top / 2), with top = 254 in one byte and 32768 in two,
    and the largest number of the type for missing. So |error of a dosage| <= 1 / top: 1/254 or
    1/32768. Whole dosages are exact; two bytes are exact also for those of a .pgen, which are
    multiples of 1/16384. Everything is computed from the codes, in float64: the quantised dosages
    are the data. A SNP with standard deviation s before quantisation (top s > 1) has

        |x_j'v (quantised) - x_j'v| <= 2 sqrt(n) |v|_2 / (top s - 1),

    because the n deviations from the mean change by at most sqrt(n) / top in length, and so s by at
    most 1 / top.

    Each x_j'v is summed by one thread in the order of the samples: the same bits for any number of
    threads and chunk, and whether or not the samples are all that the codes have.

    Parameters
    ----------
    codes : ndarray or memmap of uint8 or uint16, shape (p, n_file)
        One row per SNP, contiguous; referred to, not copied.
    index : ndarray of int64, optional
        The analysed columns of `codes`; all by default.
    samples, variants : polars.DataFrame, optional
        FID, IID; CHROM, ID, POS, A1, A2 (A1 is what the dosage counts).
    reasons : ndarray of uint8, optional
        Why SNPs are not offered.

    Raises
    ------
    GenotypeError
        Codes of another type or layout, or beyond `top`.
    """

    def __init__(
        self,
        codes: np.ndarray,
        index: np.ndarray | None = None,
        samples: "pl.DataFrame | None" = None,
        variants: "pl.DataFrame | None" = None,
        reasons: np.ndarray | None = None,
    ):
        dtype = getattr(codes, "dtype", None)
        if dtype not in TOP or codes.ndim != 2 or not codes.flags.c_contiguous:
            raise GenotypeError(
                "codes: expected a contiguous uint8 or uint16 array, one row per SNP, found "
                f"{dtype} of shape {np.shape(codes)}; use DosageGenotypes.from_dosages"
            )
        if 0 in codes.shape:
            raise GenotypeError(f"codes: expected samples and SNPs, found shape {codes.shape}")
        n = codes.shape[1] if index is None else len(index)
        super().__init__(n, codes.shape[0], samples, variants)
        self._codes = own_map(codes)
        self._index = index  # None: all
        self._per_copy = TOP[dtype] / 2
        self._duplicate_pairs = None
        self._set_statistics(reasons)

    @staticmethod
    def from_dosages(
        X: ArrayLike,
        samples: "pl.DataFrame | None" = None,
        variants: "pl.DataFrame | None" = None,
        *,
        bits: int = 16,
    ) -> "DosageGenotypes":
        """Quantise a matrix of dosages.

        Parameters
        ----------
        X : array_like, shape (n, p)
            Numbers in [0, 2], NaN (or a mask) for missing; never written to.
        samples, variants : polars.DataFrame, optional
            As of the class.
        bits : {16, 8}, default 16
            Of a dosage in memory.

        Raises
        ------
        GenotypeError
            Numbers outside [0, 2] (by more than 0.001), not two-dimensional, empty.
        TypeError
            Complex numbers, text, sparse matrices.
        """
        bits = as_bits(bits)
        X = own_map(as_matrix(X))
        n, p = X.shape
        codes = np.empty((p, n), dtype=np.dtype(f"u{bits // 8}"))
        step = max(1, _BLOCK_VALUES // n)
        with unchanged(X):
            for start in range(0, p, step):
                part = X[:, start : start + step]
                with np.errstate(over="ignore"):  # what float64 cannot hold is infinite, refused
                    dosage = np.asarray(np.ma.getdata(part), dtype=np.float64)
                missing = np.isnan(dosage) | np.ma.getmaskarray(part)
                quantise(dosage.T, missing.T, codes[start : start + step], first=start)
        return DosageGenotypes(codes, samples=samples, variants=variants)

    def _set_statistics(self, reasons: np.ndarray | None) -> None:
        """Mean, sd and what cannot be used, from whole numbers: no rounding decides."""
        sums = np.empty((self.n_variants, 5), dtype=np.int64)
        with unchanged(self._codes):
            for start, stop in self._steps():
                _core.dosage_sums(self._codes, self._index, start, sums[start:stop])
        present, total, squares, low, high = sums.T
        top = TOP[self._codes.dtype]
        if (high > top).any():
            j = int(np.argmax(high > top))
            raise GenotypeError(
                f"codes: expected 0 to {top}, or {MISSING[self._codes.dtype]} for missing, found "
                f"{high[j]} at SNP {j}; use DosageGenotypes.from_dosages"
            )
        self.reasons = (
            np.zeros(self.n_variants, dtype=np.uint8) if reasons is None else reasons.copy()
        )
        free = self.reasons == 0
        self.reasons[free & (present == 0)] = _CODE["all_missing"]
        self.reasons[free & (present > 0) & (low == high)] = _CODE["monomorphic"]
        self.n_missing = (self.n_samples - present).astype(np.int32)
        divisor = np.maximum(present, 1)
        # about the whole number next to the mean, so that nothing cancels
        centre = np.rint(total / divisor).astype(np.int64)
        beside = total - centre * present
        spread = squares - 2 * centre * total + centre**2 * present
        variance = spread / divisor - (beside / divisor) ** 2
        with np.errstate(invalid="ignore"):
            self.frequency = np.where(present > 0, total / divisor / top, np.nan)
        use = self.reasons == 0
        self.mean = np.where(use, total / divisor / self._per_copy, 0.0)
        self.sd = np.where(use, np.sqrt(np.maximum(variance, 0.0)) / self._per_copy, 0.0)

    @property
    def memory(self) -> int:
        return 0 if isinstance(self._codes, np.memmap) else self._codes.nbytes

    # -- to another process: a file is opened again there, by its name -----------------------------

    def __getstate__(self):
        state = self.__dict__ | {"_duplicate_pairs": None}
        return state | {"_codes": to_send(self._codes)}

    def _opened(self, state):
        if isinstance(state["_codes"], MapName):
            state["_codes"] = open_again(state["_codes"])
        return state

    # -- the protocol ------------------------------------------------------------------------------

    @reads("_codes")
    def gradient(
        self, v: ArrayLike, *, screening: ArrayLike = False, n_threads: int = 1
    ) -> np.ndarray:
        v = as_vectors(v, self.n_samples)
        rows = np.ascontiguousarray(v.T if v.ndim == 2 else v[None])
        _, n_threads = as_gradient_options(screening, n_threads, len(rows))
        out = np.empty((len(rows), self.n_variants))
        mean, inverse_sd = self._in_codes(self.mean, self.sd)
        worth = self.n_variants * self.n_samples >= _THREADS_FROM
        for first in range(0, len(rows), _core.MAX_VECTORS):
            chosen = slice(first, first + _core.MAX_VECTORS)

            def part(start, stop, chosen=chosen):
                poll()
                _core.dosage_gradient(
                    self._codes,
                    self._index,
                    mean,
                    inverse_sd,
                    rows[chosen],
                    start,
                    stop,
                    out[chosen],
                )

            over_ranges(part, self.n_variants, n_threads if worth else 1, self._codes.strides[0])
        return out.T if v.ndim == 2 else out[0]

    @reads("_codes")
    def columns(
        self,
        index: ArrayLike,
        dtype: DTypeLike = np.float64,
        statistics: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> np.ndarray:
        index = as_snp_index(index, self.n_variants)
        mean, sd = (self.mean, self.sd) if statistics is None else statistics
        mean, inverse_sd = self._in_codes(mean[index], sd[index])
        out = np.empty((len(index), self.n_samples), dtype=dtype)
        _core.dosage_decode(self._codes, index, mean, inverse_sd, self._index, out)
        return out.T

    def _in_codes(self, mean, sd):
        """Mean and 1 / sd in units of codes."""
        return mean * self._per_copy, inverse_or_zero(sd) / self._per_copy

    @reads("_codes")
    def dosages(self, index: ArrayLike) -> np.ndarray:
        """Return the dosages of the SNPs `index` as n x k float64, NaN for missing."""
        codes = self._codes[as_snp_index(index, self.n_variants)]
        if self._index is not None:
            codes = codes[:, self._index]
        return np.where(codes == MISSING[codes.dtype], np.nan, codes / self._per_copy).T

    def subset(self, samples: ArrayLike) -> "DosageGenotypes":
        chosen = as_sample_index(samples, self.n_samples)
        reasons = self.reasons.copy()
        # these two depend on the samples and are found again
        reasons[(reasons == _CODE["monomorphic"]) | (reasons == _CODE["all_missing"])] = 0
        return DosageGenotypes(
            self._codes,
            chosen if self._index is None else self._index[chosen],
            None if self._samples is None else rows_of(self._samples, chosen),
            self._variants,
            reasons,
        )

    @reads("_codes")
    def sample_missing_rate(self) -> np.ndarray:
        use = self.included.astype(np.uint8)
        missing = np.zeros(self._codes.shape[1], dtype=np.int64)
        for start, stop in self._steps():
            missing += _core.dosage_missing(self._codes[start:stop], use[start:stop])
        missing = missing if self._index is None else missing[self._index]
        return missing / max(int(use.sum()), 1)

    def duplicate_pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self._duplicate_pairs is None:
            self._duplicate_pairs = self._find_duplicates()
        return self._duplicate_pairs

    @reads("_codes")
    def _find_duplicates(self):
        hashes = np.empty(self.n_variants, dtype=np.uint64)
        for start, stop in self._steps():
            hashes[start:stop] = _core.dosage_hashes(self._codes[start:stop], self._index)
        rows = np.flatnonzero(self.included)
        rows = rows[np.argsort(hashes[rows], kind="stable")]
        original, sign = _core.dosage_duplicates(self._codes, self._index, rows, hashes[rows])
        found = np.flatnonzero(original != rows)
        found = found[np.argsort(rows[found])]
        return rows[found], original[found], sign[found].astype(np.int64)

    def _steps(self) -> Iterator[tuple[int, int]]:
        """Parts of the SNPs that one call of C goes through."""
        for part in steps(0, self.n_variants, self._codes.strides[0]):
            poll()
            yield part

    def _with_reasons(self, reasons):
        return DosageGenotypes(self._codes, self._index, self._samples, self._variants, reasons)


def quantise(dosage: np.ndarray, missing: np.ndarray, out: np.ndarray, *, first: int = 0) -> None:
    """Write the codes of dosages in [0, 2] into `out`, all of one shape, one row per SNP.

    `first` is the number of the first row's SNP, for messages.

    Raises
    ------
    GenotypeError
        A dosage that is not missing is outside [0, 2] by more than 0.001.
    """
    with np.errstate(invalid="ignore"):
        fits = (dosage >= -_TOLERANCE) & (dosage <= 2 + _TOLERANCE)
    if not (fits | missing).all():
        row, column = np.unravel_index(np.argmin(fits | missing), fits.shape)
        raise GenotypeError(
            f"dosages: expected numbers from 0 to 2, or missing, found {dosage[row, column]!s} at "
            f"SNP {first + int(row)}, sample {int(column)} (both from 0); give copies of A1"
        )
    top = TOP[out.dtype]
    codes = np.rint(np.clip(np.where(missing, 0.0, dosage), 0.0, 2.0) * (top / 2))
    out[...] = np.where(missing, MISSING[out.dtype], codes)
