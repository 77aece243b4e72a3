"""Genotypes in two bits: PLINK's .bed, mapped or in memory, never expanded."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from lmmlasso_fast import _core
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
from lmmlasso_fast.mapped import MapName, name_of, open_again, reads, to_send, unchanged
from lmmlasso_fast.parallel import poll
from lmmlasso_fast.threads import over_ranges, steps

if TYPE_CHECKING:
    import polars as pl

#: X'v over fewer genotypes than this is not worth a second thread.
_THREADS_FROM = 1 << 24
#: Chosen samples are packed again, for shorter passes, if this many bytes hold them.
_COMPRESS_UP_TO = 1 << 26
#: Two-bit codes by dosage; the last one is missing.
_CODE_OF_DOSAGE = np.array([3, 2, 0, 1], dtype=np.uint8)


class PackedGenotypes(Genotypes):
    """Two-bit genotypes of a file or an array, seen through a choice of samples.

    X'v is summed in integers (v in base-256 digits): the same bits for any number of threads,
    chunk, instruction set, and whether or not the samples are all that the file has.
    """

    def __init__(
        self,
        data: np.ndarray,
        n_file: int,
        index: np.ndarray | None = None,
        samples: "pl.DataFrame | None" = None,
        variants: "pl.DataFrame | None" = None,
        reasons: np.ndarray | None = None,
    ):
        index = np.arange(n_file, dtype=np.int64) if index is None else index
        super().__init__(len(index), data.shape[0], samples, variants)
        self._data = data
        self._n_file = int(n_file)
        self._index = index
        self._source = None  # (data, n_file, index) that the data was made of, if it was
        self._mask = _core.mask(index, self._n_file)
        self._duplicate_pairs = None
        counts = np.empty((self.n_variants, 4), dtype=np.int32)
        with unchanged(data):
            for start, stop in _steps(data):
                _core.counts(data, self._n_file, self._mask, start, counts[start:stop])
        self._set_statistics(counts, reasons)

    def _set_statistics(self, counts: np.ndarray, reasons: np.ndarray | None) -> None:
        """Mean, sd and what cannot be used, from integer counts: no rounding decides."""
        two, missing, one, _ = (counts[:, k].astype(np.int64) for k in range(4))
        present = self.n_samples - missing
        allele_count = 2 * two + one
        # n^2 times the variance, exactly: n sum d^2 - (sum d)^2
        spread = present * (4 * two + one) - allele_count**2
        self.reasons = (
            np.zeros(self.n_variants, dtype=np.uint8) if reasons is None else reasons.copy()
        )
        free = self.reasons == 0
        self.reasons[free & (present == 0)] = _CODE["all_missing"]
        self.reasons[free & (present > 0) & (spread == 0)] = _CODE["monomorphic"]
        self.n_missing = counts[:, 1].copy()
        divisor = np.maximum(present, 1)
        with np.errstate(invalid="ignore"):
            self.frequency = np.where(present > 0, allele_count / (2 * divisor), np.nan)
        use = self.reasons == 0
        self.mean = np.where(use, allele_count / divisor, 0.0)
        self.sd = np.where(use, np.sqrt(spread.astype(np.float64)) / divisor, 0.0)
        self._inverse_sd = inverse_or_zero(self.sd)

    @property
    def memory(self) -> int:
        return 0 if isinstance(self._data, np.memmap) else self._data.nbytes

    # -- to another process: a file is opened again there, by its name -----------------------------

    def __getstate__(self):
        state = self.__dict__ | {"_duplicate_pairs": None}
        if self._source is not None:
            data, n_file, index = self._source
            if (name := name_of(data)) is not None:
                state |= {"_data": None, "_source": (name, n_file, index)}
        else:
            state["_data"] = to_send(self._data)
        return state

    def _opened(self, state):
        if state["_data"] is None:
            name, n_file, index = state["_source"]
            data = open_again(name)
            compressed = _compress(data, n_file, index)
            if compressed is None:  # another type of processor
                state |= {"_data": data, "_n_file": n_file, "_index": index, "_source": None}
                state["_mask"] = _core.mask(index, n_file)
            else:
                state |= {"_data": compressed, "_source": (data, n_file, index)}
        elif isinstance(state["_data"], MapName):
            state["_data"] = open_again(state["_data"])
        return state

    # -- the protocol ------------------------------------------------------------------------------

    def gradient(
        self, v: ArrayLike, *, screening: ArrayLike = False, n_threads: int = 1
    ) -> np.ndarray:
        v = as_vectors(v, self.n_samples)
        rows = np.ascontiguousarray(v.T if v.ndim == 2 else v[None])
        screening, n_threads = as_gradient_options(screening, n_threads, len(rows))
        n_limbs = np.where(screening, _core.SCREENING, _core.CERTIFICATE)
        out = np.empty((len(rows), self.n_variants))
        for first in range(0, len(rows), _core.MAX_VECTORS):
            chosen = slice(first, first + _core.MAX_VECTORS)
            self._gradient(rows[chosen], n_limbs[chosen], n_threads, out[chosen])
        return out.T if v.ndim == 2 else out[0]

    @reads("_data")
    def _gradient(self, rows, n_limbs, n_threads, out):
        """Fill out (m x p) for the vectors that one pass takes."""
        vectors = [
            _core.limbs(row, self._index, self._n_file, int(n))
            for row, n in zip(rows, n_limbs, strict=True)
        ]

        def part(start, stop):
            poll()
            _core.gradient(
                self._data,
                self._n_file,
                self.mean,
                self._inverse_sd,
                self.n_missing,
                vectors,
                start,
                stop,
                out,
            )

        worth = self.n_variants * self._n_file >= _THREADS_FROM
        over_ranges(part, self.n_variants, n_threads if worth else 1, self._data.shape[1])

    @reads("_data")
    def columns(
        self,
        index: ArrayLike,
        dtype: DTypeLike = np.float64,
        statistics: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> np.ndarray:
        index = as_snp_index(index, self.n_variants)
        mean, sd = (self.mean, self.sd) if statistics is None else statistics
        mean, inverse_sd = mean[index], inverse_or_zero(sd[index])
        out = np.empty((len(index), self.n_samples), dtype=dtype)
        _core.decode(self._data, self._n_file, index, mean, inverse_sd, self._index, out)
        return out.T

    @reads("_data")
    def dosages(self, index: ArrayLike) -> np.ndarray:
        """Return the dosages of the SNPs `index` as n x k int8, -1 for missing."""
        index = as_snp_index(index, self.n_variants)
        codes = np.empty((len(index), self.n_samples), dtype=np.uint8)
        _core.decode_codes(self._data, self._n_file, index, self._index, codes)
        return np.array([2, -1, 1, 0], dtype=np.int8)[codes].T

    def subset(self, samples: ArrayLike) -> "PackedGenotypes":
        chosen = as_sample_index(samples, self.n_samples)
        reasons = self.reasons.copy()
        # these two depend on the samples and are found again
        reasons[(reasons == _CODE["monomorphic"]) | (reasons == _CODE["all_missing"])] = 0
        index = self._index[chosen]
        samples = None if self._samples is None else rows_of(self._samples, chosen)
        compressed = _compress(self._data, self._n_file, index)
        if compressed is None:
            return PackedGenotypes(
                self._data, self._n_file, index, samples, self._variants, reasons
            )
        part = PackedGenotypes(compressed, len(index), None, samples, self._variants, reasons)
        if self._source is None:
            part._source = (self._data, self._n_file, index)
        else:
            data, n_file, origin = self._source
            part._source = (data, n_file, origin[chosen])
        return part

    @reads("_data")
    def sample_missing_rate(self) -> np.ndarray:
        use = self.included.astype(np.uint8)
        missing = np.zeros(self._n_file, dtype=np.int64)
        for start, stop in _steps(self._data):
            some = self._data[start:stop]
            missing += _core.sample_missing(some, self._n_file, use[start:stop])
        return missing[self._index] / max(int(use.sum()), 1)

    def duplicate_pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self._duplicate_pairs is None:
            self._duplicate_pairs = self._find_duplicates()
        return self._duplicate_pairs

    @reads("_data")
    def _find_duplicates(self):
        hashes = np.empty(self.n_variants, dtype=np.uint64)
        for start, stop in _steps(self._data):
            hashes[start:stop] = _core.hashes(self._data[start:stop], self._n_file, self._mask)
        rows = np.flatnonzero(self.included)
        rows = rows[np.argsort(hashes[rows], kind="stable")]
        original, sign = _core.duplicates(self._data, self._n_file, self._mask, rows, hashes[rows])
        found = np.flatnonzero(original != rows)
        found = found[np.argsort(rows[found])]
        return rows[found], original[found], sign[found].astype(np.int64)

    def _with_reasons(self, reasons):
        result = PackedGenotypes(
            self._data, self._n_file, self._index, self._samples, self._variants, reasons
        )
        result._source = self._source
        return result


def _compress(data: np.ndarray, n_file: int, index: np.ndarray) -> np.ndarray | None:
    """Return the chosen samples packed again, None where that does not pay or is not possible."""
    size = data.shape[0] * ((len(index) + 3) // 4)
    if len(index) == n_file or size > _COMPRESS_UP_TO or (np.diff(index) <= 0).any():
        return None
    out = np.empty((data.shape[0], (len(index) + 3) // 4), dtype=np.uint8)
    if out.size == 0:
        return None
    with unchanged(data):
        mask = _core.mask(index, n_file)
        for start, stop in _steps(data):
            if not _core.compress(data[start:stop], n_file, mask, out[start:stop]):
                return None
        return out


def _steps(data: np.ndarray) -> Iterator[tuple[int, int]]:
    """Parts of the SNPs that one call of C goes through."""
    for part in steps(0, *data.shape):
        poll()
        yield part


def pack(X: np.ndarray) -> np.ndarray | None:
    """Return the packed rows of a dosage matrix (n x p), or None if X holds other numbers.

    Missing is NaN or, in a masked array, masked. Works through blocks of SNPs.
    """
    n, p = X.shape
    stride = (n + 3) // 4
    data = np.empty((p, stride), dtype=np.uint8)
    block = max(1, (1 << 22) // max(n, 1))
    for start in range(0, p, block):
        part = X[:, start : start + block]
        dosage = np.ma.getdata(part)
        missing = np.ma.getmaskarray(part).copy()
        if dosage.dtype.kind == "f":
            missing |= np.isnan(dosage)
        known = missing | (dosage == 0) | (dosage == 1) | (dosage == 2)
        if not known.all():
            return None
        codes = np.zeros((4 * stride, part.shape[1]), dtype=np.uint8)
        codes[:n] = _CODE_OF_DOSAGE[np.where(missing, 3, dosage).astype(np.int64)]
        quads = codes.reshape(stride, 4, -1)
        packed = quads[:, 0] | quads[:, 1] << 2 | quads[:, 2] << 4 | quads[:, 3] << 6
        data[start : start + block] = packed.T
    return data
