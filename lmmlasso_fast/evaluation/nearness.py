"""Which SNPs are near each other, by distance or by correlation, and the loci that follow.

`_Window` and `_Correlation` answer the same questions: the causal locus of SNPs, the false loci
that misses open, and the first of some SNPs that is near another one.
"""

import numpy as np

from lmmlasso_fast.checks import as_number
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.evaluation.maps import SortedMap, chromosomes
from lmmlasso_fast.evaluation.snp_lists import require_offered
from lmmlasso_fast.genotypes import Genotypes

#: An r^2 this much below the threshold is at it: exact duplicates have 1 but for rounding.
_ROUNDING = 1e-12
#: Genotypes decoded at a time, and SNPs at most.
_BLOCK_VALUES = 1 << 22
_BLOCK_SNPS = 1024


def nearness(genotypes: Genotypes, causal: np.ndarray, window, r2) -> "_Window | _Correlation":
    """Return what is near by `window` or by `r2`, of which one is to be given."""
    if (window is None) == (r2 is None):
        raise InputError(
            f"window, r2: expected one of the two, found window={window!r} and r2={r2!r}; give "
            "base pairs or a squared correlation"
        )
    if r2 is not None:
        r2 = as_number("r2", r2, high=1, above=0)
        return _Correlation(genotypes, causal, r2)
    return _Window(genotypes, causal, as_window(window))


def as_window(window) -> float:
    """Return base pairs as a float, checked."""
    return as_number("window", window, 0, expected="at least 0 base pairs")


def block_length(genotypes: Genotypes) -> int:
    """SNPs that are decoded at a time."""
    return max(1, min(_BLOCK_SNPS, _BLOCK_VALUES // genotypes.n_samples))


def _joined(near: np.ndarray) -> np.ndarray:
    """Return the connected component of each of q SNPs, numbered in the order of their first."""
    label = np.arange(len(near))
    for row in near:
        linked = np.unique(label[row])  # the SNP's own among them
        label[np.isin(label, linked)] = linked[0]
    return np.unique(label, return_inverse=True)[1]


class _Window:
    """SNPs are near within `window` base pairs of each other."""

    def __init__(self, genotypes: Genotypes, causal: np.ndarray, window: float):
        is_among = genotypes.included.copy()
        is_among[causal] = True
        advice = "use r2 instead, or exclude the SNPs without a position (genotypes.filter)"
        self._map = SortedMap(genotypes, is_among, advice)
        m = len(self._map.snps)
        # distances are whole numbers; no sum of positions and window overflows
        window = int(min(window, self._map.position.max(initial=0)))
        # what is near the SNP at a place are the places from start to stop
        self._start, self._stop = np.empty(m, dtype=np.int64), np.empty(m, dtype=np.int64)
        for _, a, b in self._map.bounds:
            position = self._map.position[a:b]
            self._start[a:b] = a + np.searchsorted(position, position - window)
            self._stop[a:b] = a + np.searchsorted(position, position + window, side="right")
        place = self._map.place[causal]
        inside = (self._start[place, None] <= place) & (place < self._stop[place, None])
        self.causal_locus = _joined(inside)
        self._locus = self._nearest_locus(place)
        self._false = np.full(m, -1, dtype=np.int64)
        self._is_free = bytearray(b"\1" * m)
        self.n_false = 0

    def _nearest_locus(self, causal: np.ndarray) -> np.ndarray:
        """Return the locus of the nearest causal SNP that is near, -1 for none, at every place."""
        m = len(self._map.snps)
        label = np.full(m, -1, dtype=np.int64)
        label[causal] = self.causal_locus
        # causal SNPs of one position are of one locus: the last to the left, the first to the right
        here = np.arange(m)
        before = np.maximum.accumulate(np.where(label >= 0, here, -1))
        after = np.minimum.accumulate(np.where(label >= 0, here, m)[::-1])[::-1]
        nearest, least = np.full(m, -1, dtype=np.int64), np.full(m, np.inf)
        for other in (before, after):
            near = np.flatnonzero((self._start <= other) & (other < self._stop))
            other = other[near]
            distance = np.abs(self._map.position[near] - self._map.position[other])
            is_first = (distance == least[near]) & (label[other] < nearest[near])
            better = (distance < least[near]) | is_first
            nearest[near[better]] = label[other[better]]
            least[near[better]] = distance[better]
        return nearest

    def locus_of(self, snps: np.ndarray) -> np.ndarray:
        """Return the causal locus of each SNP, -1 for none."""
        return self._locus[self._map.place[snps]]

    def false_loci(self, snps: np.ndarray) -> np.ndarray:
        """Return the false locus of each, opening those that are needed, in this order."""
        places = self._map.place[snps]
        for place in places.tolist():
            if self._is_free[place]:
                a, b = int(self._start[place]), int(self._stop[place])
                inside = self._false[a:b]
                inside[inside < 0] = self.n_false
                self._is_free[a:b] = bytes(b - a)
                self.n_false += 1
        return self._false[places]

    def first_near(self, snps: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return the first of `others` that is near each SNP, len(others) for none."""
        first = np.full(len(self._map.snps), len(others), dtype=np.int64)
        first[self._map.place[others]] = np.arange(len(others))
        place = self._map.place[snps]
        return _least_within(first, self._start[place], self._stop[place])


def _least_within(values: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Return min(values[a:b]) for every a of `start` and b > a of `stop`.

    From the minima over all ranges of length 1, 2, 4, ...: two of them cover any range.
    """
    least = np.empty(len(start), dtype=values.dtype)
    exponent = np.frexp(stop - start)[1] - 1  # the largest power of two that fits
    for k in range(int(exponent.max(initial=-1)) + 1):
        if k:
            values = np.minimum(values[: -(1 << (k - 1))], values[1 << (k - 1) :])
        fits = exponent == k
        least[fits] = np.minimum(values[start[fits]], values[stop[fits] - (1 << k)])
    return least


class _Correlation:
    """SNPs are near with a squared correlation of at least `r2`, on one chromosome."""

    def __init__(self, genotypes: Genotypes, causal: np.ndarray, r2: float):
        advice = "use window, or genotypes in which they are not filtered out"
        require_offered("causal (with r2)", causal, genotypes, advice)
        self._genotypes, self._causal, self._least = genotypes, causal, r2 - _ROUNDING
        self._block = block_length(genotypes)
        self._chromosome = chromosomes(genotypes)[1]
        self.causal_locus = _joined(self._r_squared(causal, causal) >= self._least)
        self._leads = np.empty(0, dtype=np.int64)

    @property
    def n_false(self) -> int:
        return len(self._leads)

    def locus_of(self, snps: np.ndarray) -> np.ndarray:
        """Return the causal locus of each SNP, -1 for none; at most a block of SNPs."""
        if len(self._causal) == 0:
            return np.full(len(snps), -1, dtype=np.int64)
        r_squared = self._r_squared(snps, self._causal)
        largest = r_squared.max(axis=1)
        # equal but for rounding: the first locus
        is_nearest = r_squared >= largest[:, None] - _ROUNDING
        locus = np.where(is_nearest, self.causal_locus, len(self._causal)).min(axis=1)
        return np.where(largest >= self._least, locus, -1)

    def false_loci(self, snps: np.ndarray) -> np.ndarray:
        """Return the false locus of each, opening those that are needed, in this order."""
        locus = self.first_near(snps, self._leads)
        left = np.flatnonzero(locus == len(self._leads))
        locus[left] = -1
        near = self._r_squared(snps[left], snps[left]) >= self._least
        opened = []
        for k, j in enumerate(left):
            if locus[j] < 0:
                joins = left[near[k]]
                locus[joins[locus[joins] < 0]] = len(self._leads) + len(opened)
                opened.append(snps[j])
        self._leads = np.append(self._leads, np.array(opened, dtype=np.int64))
        return locus

    def first_near(self, snps: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return the first of `others` that is near each SNP, len(others) for none."""
        if len(snps) > self._block:
            parts = range(0, len(snps), self._block)
            return np.concatenate(
                [self.first_near(snps[a : a + self._block], others) for a in parts]
            )
        first = np.full(len(snps), len(others), dtype=np.int64)
        left = np.arange(len(snps))
        for start in range(0, len(others), self._block):  # most are near an early one
            part = others[start : start + self._block]
            near = self._r_squared(snps[left], part) >= self._least
            is_near = near.any(axis=1)
            first[left[is_near]] = start + near[is_near].argmax(axis=1)
            left = left[~is_near]
            if len(left) == 0:
                break
        return first

    def _r_squared(self, snps: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return r^2, len(snps) x len(others); -1 on different chromosomes."""
        r_squared = np.full((len(snps), len(others)), -1.0)
        of_snp, of_other = self._chromosome[snps], self._chromosome[others]
        for chromosome in np.intersect1d(of_snp, of_other):
            rows = np.flatnonzero(of_snp == chromosome)
            columns = np.flatnonzero(of_other == chromosome)
            X, Z = self._unit_columns(snps[rows]), self._unit_columns(others[columns])
            r_squared[np.ix_(rows, columns)] = np.square(X.T @ Z)
        return r_squared

    def _unit_columns(self, snps: np.ndarray) -> np.ndarray:
        X = self._genotypes.columns(snps)
        return X / np.sqrt(np.square(X).sum(axis=0))  # of offered SNPs, never 0
