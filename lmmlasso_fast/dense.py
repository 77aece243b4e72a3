"""Genotypes held as an array of any real numbers (dosages, standardised SNPs, features)."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

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
from lmmlasso_fast.mapped import MapName, open_again, own_map, reads, to_send

if TYPE_CHECKING:
    import polars as pl

#: Bytes of float64 that a pass over the array converts at a time.
_BLOCK_BYTES = 1 << 25


def as_matrix(X) -> np.ndarray:
    """Return X as a two-dimensional array of real numbers, without copying one.

    Raises
    ------
    TypeError
        Complex numbers, text, other objects, sparse matrices.
    GenotypeError
        Not two-dimensional, without samples or SNPs, ragged lists, numbers beyond float64.
    """
    if hasattr(X, "tocsc"):
        raise TypeError("X: expected a dense array, found a sparse matrix; use X.toarray()")
    try:
        X = X if isinstance(X, np.ma.MaskedArray) else np.asarray(X)
        if X.dtype.kind == "O":
            if any(isinstance(value, (str, bytes)) for value in X.flat):
                raise TypeError("text")
            X = X.astype(np.float64)
    except TypeError as problem:
        raise TypeError(f"X: expected real numbers, found {problem}") from problem
    except (ValueError, OverflowError) as problem:
        raise GenotypeError(f"X: expected real numbers, found {problem}") from problem
    if X.dtype.kind not in "fiub":
        raise TypeError(f"X: expected real numbers, found dtype {X.dtype}")
    if X.ndim != 2:
        raise GenotypeError(
            f"X: expected a two-dimensional array (samples x SNPs), found {X.ndim} dimension(s)"
        )
    if 0 in X.shape:
        raise GenotypeError(f"X: expected samples and SNPs, found shape {X.shape}")
    return X


class DenseGenotypes(Genotypes):
    """An array of numbers behind the Genotypes protocol; the array is referred to, not copied.

    Parameters
    ----------
    X : array_like, shape (n, p)
    samples, variants : polars.DataFrame, optional
    standardize : bool, default True
        False uses the columns as they are (mean 0, sd 1): no intercept is absorbed.
    """

    def __init__(
        self,
        X: ArrayLike,
        samples: "pl.DataFrame | None" = None,
        variants: "pl.DataFrame | None" = None,
        *,
        standardize: bool = True,
        reasons: np.ndarray | None = None,
    ):
        X = as_matrix(X)
        super().__init__(X.shape[0], X.shape[1], samples, variants)
        self._X = X if isinstance(X, np.ma.MaskedArray) else np.asarray(own_map(X))
        self._standardize = bool(standardize)
        self.reasons = (
            np.zeros(self.n_variants, dtype=np.uint8) if reasons is None else reasons.copy()
        )
        self.frequency = np.full(self.n_variants, np.nan)
        self._set_statistics()

    @reads("_X")
    def _set_statistics(self) -> None:
        p = self.n_variants
        self._largest_entry = 0.0  # of columns taken as they are
        self.n_missing = np.zeros(p, dtype=np.int32)
        self.mean = np.zeros(p)
        self.sd = np.zeros(p)
        free = self.reasons == 0
        for start, stop in self._ranges():
            block, missing = self._block(slice(start, stop))
            present = self.n_samples - missing.sum(axis=0)
            if (np.isinf(block) & ~missing).any():
                raise GenotypeError("X: expected finite numbers or NaN for missing, found infinity")
            low = np.where(missing, np.inf, block).min(axis=0)
            high = np.where(missing, -np.inf, block).max(axis=0)
            constant = low >= high  # the numbers themselves decide, never a rounded sd
            where = slice(start, stop)
            self.n_missing[where] = self.n_samples - present
            reasons = self.reasons[where]
            reasons[free[where] & (present == 0)] = _CODE["all_missing"]
            if not self._standardize:
                zero = free[where] & (low == 0) & (high == 0)
                reasons[zero] = _CODE["monomorphic"]
                self.sd[where] = reasons == 0
                sizes = np.abs(np.where(missing, 0.0, block)).max(axis=0)
                largest = sizes[reasons == 0].max(initial=0.0)
                self._largest_entry = max(self._largest_entry, float(largest))
                continue
            reasons[free[where] & (present > 0) & constant] = _CODE["monomorphic"]
            use = reasons == 0
            filled = _without(missing, block)
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                mean = filled.sum(axis=0) / np.maximum(present, 1)
                centred = filled - mean
                centred[missing] = 0.0
                variance = np.einsum("ij,ij->j", centred, centred) / np.maximum(present, 1)
            bad = use & ~((variance > np.finfo(np.float64).tiny) & np.isfinite(variance))
            if bad.any():
                j = start + int(np.flatnonzero(bad)[0])
                raise GenotypeError(
                    f"X: the variance of column {j} overflows or underflows; expected numbers "
                    f"whose squares are representable, found a range of {low[j - start]!r} to "
                    f"{high[j - start]!r}; rescale the column"
                )
            self.mean[where] = np.where(use, mean, 0.0)
            self.sd[where] = np.where(use, np.sqrt(variance), 0.0)

    # -- to another process: a file is opened again there, by its name -----------------------------

    def __getstate__(self):
        return self.__dict__ | {"_X": to_send(self._X)}

    def _opened(self, state):
        if isinstance(state["_X"], MapName):
            state["_X"] = np.asarray(open_again(state["_X"]))
        return state

    def _ranges(self):
        width = max(1, _BLOCK_BYTES // (8 * self.n_samples))
        return [(a, min(a + width, self.n_variants)) for a in range(0, self.n_variants, width)]

    def _block(self, columns):
        """Return the numbers of some columns as float64 and where they are missing."""
        part = self._X[:, columns]
        with np.errstate(over="ignore"):  # what float64 cannot hold is infinite, and refused
            values = np.asarray(np.ma.getdata(part), dtype=np.float64)
        missing = np.isnan(values) | np.ma.getmaskarray(part)
        return values, missing

    def _standardised(self, values, missing, mean, sd):
        """(values - mean) / sd, 0 where missing or not offered; always a new array in C order."""
        out = _without(missing, values)
        out -= mean
        out *= inverse_or_zero(sd)
        out[missing] = 0.0
        return out

    @property
    def largest_square_sum(self) -> float:
        if self._standardize:
            return super().largest_square_sum
        with np.errstate(over="ignore"):
            return float(self.n_samples * np.square(self._largest_entry))

    # -- the protocol ------------------------------------------------------------------------------

    @reads("_X")
    def gradient(
        self, v: ArrayLike, *, screening: ArrayLike = False, n_threads: int = 1
    ) -> np.ndarray:
        v = as_vectors(v, self.n_samples)
        as_gradient_options(screening, n_threads, v.shape[1] if v.ndim == 2 else 1)
        out = np.empty((self.n_variants, *v.shape[1:]))
        for start, stop in self._ranges():
            block = self._standardised(
                *self._block(slice(start, stop)), self.mean[start:stop], self.sd[start:stop]
            )
            out[start:stop] = block.T @ v
        return out

    @reads("_X")
    def columns(
        self,
        index: ArrayLike,
        dtype: DTypeLike = np.float64,
        statistics: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> np.ndarray:
        index = as_snp_index(index, self.n_variants)
        mean, sd = (self.mean, self.sd) if statistics is None else statistics
        block = self._standardised(*self._block(index), mean[index], sd[index])
        return np.asfortranarray(block, dtype=dtype)

    @reads("_X")
    def subset(self, samples: ArrayLike) -> "DenseGenotypes":
        chosen = as_sample_index(samples, self.n_samples)
        reasons = self.reasons.copy()
        reasons[(reasons == _CODE["monomorphic"]) | (reasons == _CODE["all_missing"])] = 0
        return DenseGenotypes(
            self._X[chosen],
            None if self._samples is None else rows_of(self._samples, chosen),
            self._variants,
            standardize=self._standardize,
            reasons=reasons,
        )

    @reads("_X")
    def sample_missing_rate(self) -> np.ndarray:
        missing = np.zeros(self.n_samples)
        use = self.included
        for start, stop in self._ranges():
            missing += self._block(slice(start, stop))[1][:, use[start:stop]].sum(axis=1)
        return missing / max(int(use.sum()), 1)

    @reads("_X")
    def duplicate_pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return pairs of columns whose numbers are equal, or equal with the other sign."""
        seen: dict[bytes, int] = {}
        duplicate, kept, sign = [], [], []
        for start, stop in self._ranges():
            values, missing = self._block(slice(start, stop))
            values = np.where(missing, np.nan, values) + 0.0  # one kind of NaN and of zero
            for j in range(start, stop):
                if not self.included[j]:
                    continue
                column = np.ascontiguousarray(values[:, j - start])
                flipped = np.where(np.isnan(column), np.nan, 0.0 - column)
                for key, s in ((column.tobytes(), 1), (flipped.tobytes(), -1)):
                    if key in seen:
                        duplicate.append(j)
                        kept.append(seen[key])
                        sign.append(s)
                        break
                else:
                    seen[column.tobytes()] = j
        return tuple(np.array(values, dtype=np.int64) for values in (duplicate, kept, sign))

    def _with_reasons(self, reasons):
        return DenseGenotypes(
            self._X,
            self._samples,
            self._variants,
            standardize=self._standardize,
            reasons=reasons,
        )


def _without(missing: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the values with 0 where missing, in C order: sums must not depend on the layout."""
    filled = np.empty(values.shape)
    np.copyto(filled, values)
    filled[missing] = 0.0
    return filled
