"""How good a ranking of SNPs is: what is counted as found, curves, intervals, enrichment.

A method ranks SNPs, the best first: by entry into the model (`entry_order`), by a frequency or a
p-value (`rank_snps`). Where the causal SNPs are known, `hits` counts by locus:

    near         two SNPs of one chromosome, at most `window` base pairs apart, or with r^2 >= `r2`
    causal locus a causal SNP; causal SNPs that are near each other, or linked by others in between,
                 are one locus
    of a locus   a SNP near a causal SNP is of the locus of the nearest one: the least distance or
                 the largest r^2, of equal ones that of the first locus. Found is a locus at the
                 first of its SNPs in the ranking, and the others count for nothing
    miss         a SNP of no causal locus. It opens a false locus, unless it is near the first SNP
                 of an earlier one: then it belongs to the earliest of them, and counts for nothing

With T loci found and F false loci up to a place in the ranking, m causal loci in all, and N0 SNPs
offered to the model that are of no causal locus,

    precision            T / (T + F)
    recall               T / m, also the true positive rate
    false positive rate  (SNPs of these N0 that are near a miss so far) / N0
    average precision    1/m  sum over the loci found of the precision where they are found

A SNP of the N0 is found in error just as a causal SNP is found: by a SNP near it. So the area under
the ROC curve of a ranking by chance is about 1/2, however many SNPs a window holds.

Tied SNPs are taken together: all of a level, or none. Only the end of a level is a point of a
curve, and the order within it does not matter (but for false loci: the SNPs of a level open them
in order of their number).
"""

from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast.checks import require_integer
from lmmlasso_fast.display import Result, name_snps, one_row
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.io.bed_regions import read_bed
from lmmlasso_fast.path import LassoPath
from lmmlasso_fast.threads import blas_cap

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "Enrichment",
    "Hits",
    "Interval",
    "PrecisionRecallCurve",
    "Ranking",
    "RocCurve",
    "adjacent_share",
    "enrichment",
    "entry_order",
    "hits",
    "mean_interval",
    "paired_interval",
    "precision_recall",
    "rank_snps",
    "read_bed",
    "roc",
]

#: An r^2 this much below the threshold is at it: exact duplicates have 1 but for rounding.
_ROUNDING = 1e-12
#: Genotypes decoded at a time, and SNPs at most.
_BLOCK_VALUES = 1 << 22
_BLOCK_SNPS = 1024


# ---- rankings -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Ranking(Result):
    """SNPs in the order of a score, with their ties.

    Attributes
    ----------
    snps : ndarray of int64, shape (k,)
        The best first; of equal score in order of their number.
    level_ends : ndarray of int64, shape (l,)
        SNPs up to the end of each level of the score, ascending; the last is k.
    n_variants : int
        SNPs that had a score or could have had one.
    """

    snps: np.ndarray
    level_ends: np.ndarray = field(repr=False)
    n_variants: int

    def to_frame(self, genotypes: Genotypes | None = None) -> "pl.DataFrame":
        """Return one row per SNP, the best first: LEVEL (from 1; equal if tied) and the SNP."""
        import polars as pl

        level = np.searchsorted(self.level_ends, np.arange(len(self.snps)), side="right") + 1
        names = name_snps(self.snps, genotypes, self.n_variants)
        return pl.concat([pl.DataFrame({"LEVEL": level}), names], how="horizontal")


def rank_snps(scores: ArrayLike, *, above: float | None = None) -> Ranking:
    """Rank SNPs by a score, the highest first, and remember which are tied.

    Parameters
    ----------
    scores : array_like, shape (p,)
        One for every SNP of the genotypes; higher is better (for p-values: -log10 p). NaN: the SNP
        is not ranked.
    above : float, optional
        Only SNPs with a higher score are ranked: 0 for frequencies and absolute effects, where it
        stands for "never selected". Default: all with a score.

    Raises
    ------
    InputError
        Not one number per SNP, or `above` is NaN.
    """
    scores = np.asarray(scores)
    if scores.ndim != 1 or scores.dtype.kind not in "fiub":
        raise InputError(
            f"scores: expected one number for every SNP, found {scores.dtype} of shape "
            f"{scores.shape}"
        )
    scores = scores.astype(np.float64)
    if above is not None and np.isnan(above):
        raise InputError("above: expected a number, found nan; leave it out to rank all SNPs")
    snps = np.flatnonzero(~np.isnan(scores) if above is None else scores > above)
    snps = snps[np.argsort(-scores[snps], kind="stable")]
    ordered = scores[snps]
    is_last = np.append(ordered[1:] != ordered[:-1], np.ones(min(1, len(snps)), dtype=bool))
    return Ranking(snps, np.flatnonzero(is_last) + 1, len(scores))


def entry_order(path: LassoPath) -> np.ndarray:
    """Return the SNPs of a path in the order in which they enter the model.

    By the first alpha at which the SNP is active; of those that enter at the same alpha by the
    absolute coefficient (of the standardised SNP) there, the largest first; of these by number. So
    a finer grid of alphas gives a truer order. What leaves the model later keeps its place.

    Returns
    -------
    ndarray of int64
        The SNPs that are ever active. Those with penalty factor 0, which are covariates, are not
        among them.
    """
    coefs = path.coefs.tocsc()
    column = np.repeat(np.arange(coefs.shape[1]), np.diff(coefs.indptr))
    active = coefs.data != 0
    # columns are stored one after the other: the first occurrence is the first alpha
    snps, first = np.unique(coefs.indices[active], return_index=True)
    column, size = column[active][first], np.abs(coefs.data[active][first])
    order = np.lexsort((snps, -size, column))
    snps = snps[order].astype(np.int64)
    return snps[path.penalty_factors[snps] > 0]


# ---- hits ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Hits(Result):
    """What a ranking finds, counted by locus (see the module).

    Attributes
    ----------
    snps : ndarray of int64, shape (k,)
        The ranking as far as it was followed.
    locus : ndarray of int64, shape (k,)
        The causal locus of each of these SNPs, -1 for a miss.
    false_locus : ndarray of int64, shape (k,)
        The false locus of each miss, numbered in the order in which they were opened; -1 for SNPs
        of causal loci.
    level_ends : ndarray of int64, shape (l,)
        SNPs up to the end of each level; without ties 1, 2, ..., k.
    n_true, n_false : ndarray of int64, shape (l,)
        Causal loci found and false loci opened up to the end of each level: T and F.
    causal : ndarray of int64, shape (q,)
        The causal SNPs, ascending.
    causal_locus : ndarray of int64, shape (q,)
        The locus of each, 0, 1, ... in the order of their first SNPs.
    n_loci : int
        m.
    n_variants : int
    window : float or None
    r2 : float or None
    """

    snps: np.ndarray = field(repr=False)
    locus: np.ndarray = field(repr=False)
    false_locus: np.ndarray = field(repr=False)
    level_ends: np.ndarray = field(repr=False)
    n_true: np.ndarray = field(repr=False)
    n_false: np.ndarray = field(repr=False)
    causal: np.ndarray
    causal_locus: np.ndarray
    n_loci: int
    n_variants: int
    window: float | None
    r2: float | None

    def to_frame(self, genotypes: Genotypes | None = None) -> "pl.DataFrame":
        """Return one row per SNP, the best first: LEVEL, the SNP, LOCUS, FALSE_LOCUS (-1: none)."""
        import polars as pl

        ranking = Ranking(self.snps, self.level_ends, self.n_variants)
        return ranking.to_frame(genotypes).with_columns(
            pl.Series("LOCUS", self.locus), pl.Series("FALSE_LOCUS", self.false_locus)
        )


def hits(
    ranking: "Ranking | ArrayLike",
    causal: ArrayLike,
    genotypes: Genotypes,
    *,
    window: float | None = None,
    r2: float | None = None,
    max_false: int | None = None,
) -> Hits:
    """Count which causal loci a ranking finds, and at the price of how many false ones.

    Parameters
    ----------
    ranking : array_like of int, or Ranking
        Distinct SNPs, the best first, all or only the first of them; see `rank_snps` for ties.
    causal : array_like of int, shape (q,)
        Distinct SNPs. With `window` they need not be offered to the model (an untyped causal SNP
        is found by its neighbours); with `r2` they must be.
    genotypes : Genotypes
        Of the analysed samples.
    window : float, optional
        A SNP is near another one within so many base pairs, on the same chromosome.
    r2 : float in (0, 1], optional
        A SNP is near another one with at least this squared correlation (missing genotypes at the
        mean), on the same chromosome. One of `window` and `r2` is to be given.
    max_false : int, optional
        The ranking is followed to the level with which so many false loci are reached. Default: to
        its end. Each locus that would be found later adds at most 1 / (m + max_false) to the
        average precision. For `r2` and a ranking of all SNPs, which take long.

    Returns
    -------
    Hits
        Up to the level with which all loci are found: what comes later changes no area.

    Raises
    ------
    InputError
        Both or none of `window` and `r2`; an option out of range; SNPs that are not distinct, not
        among the genotypes' or, in the ranking, not offered to the model; `window` where a SNP has
        no position.

    Notes
    -----
    With `window`, sorted positions: time p log p. With `r2`, time n k (q + F) for k SNPs of the
    ranking, in blocks; no more of the ranking is decoded than is followed.
    """
    snps, level_ends = _as_ranking(ranking, genotypes)
    causal = np.sort(_as_snps("causal", causal, genotypes))
    if max_false is not None:
        require_integer("max_false", max_false, 1)
    locus = np.full(len(snps), -1, dtype=np.int64)
    false_locus = locus.copy()
    with blas_cap(1):
        near = _nearness(genotypes, causal, window, r2)
        n_loci = int(near.causal_locus.max(initial=-1)) + 1
        found = np.zeros(n_loci, dtype=bool)
        start, end = 0, len(snps)
        while start < end:
            part = slice(start, min(start + _block_length(genotypes), end))
            of_part = near.locus_of(snps[part])
            missed = of_part < 0
            locus[part] = of_part
            false_locus[part][missed] = near.false_loci(snps[part][missed])
            found[of_part[~missed]] = True
            start = part.stop
            if _is_enough(found.sum(), n_loci, near.n_false, max_false):
                end = int(level_ends[np.searchsorted(level_ends, start)])  # of the level it is in
    level_ends = level_ends[: np.searchsorted(level_ends, end, side="right")]
    n_true, n_false = (_n_distinct(labels, level_ends) for labels in (locus, false_locus))
    enough = _is_enough(n_true, n_loci, n_false, max_false)
    n_levels = int(enough.argmax()) + 1 if enough.any() else len(level_ends)
    level_ends = level_ends[:n_levels]
    followed = slice(0, int(level_ends[-1]) if n_levels else 0)
    return Hits(
        snps=snps[followed],
        locus=locus[followed],
        false_locus=false_locus[followed],
        level_ends=level_ends,
        n_true=n_true[:n_levels],
        n_false=n_false[:n_levels],
        causal=causal,
        causal_locus=near.causal_locus,
        n_loci=n_loci,
        n_variants=genotypes.n_variants,
        window=window,
        r2=r2,
    )


def _is_enough(n_true, n_loci: int, n_false, max_false: int | None):
    """Whether (in numbers or arrays) all loci are found or enough false ones were opened."""
    all_found = np.equal(n_true, n_loci) & (n_loci > 0)
    return all_found | np.greater_equal(n_false, np.inf if max_false is None else max_false)


def _n_distinct(labels: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return how many different labels (other than -1) there are before each of `ends`."""
    labelled = np.flatnonzero(labels >= 0)
    _, first = np.unique(labels[labelled], return_index=True)
    is_new = np.zeros(len(labels), dtype=np.int64)
    is_new[labelled[first]] = 1
    return is_new.cumsum()[ends - 1]


def _as_ranking(ranking, genotypes: Genotypes) -> tuple[np.ndarray, np.ndarray]:
    """Return the SNPs and the ends of levels, checked."""
    if isinstance(ranking, Ranking):
        if ranking.n_variants != genotypes.n_variants:
            raise InputError(
                f"ranking: expected scores of the genotypes' {genotypes.n_variants} SNPs, found "
                f"{ranking.n_variants}; score every SNP, with NaN for those that are not ranked"
            )
        snps, level_ends = ranking.snps, ranking.level_ends
    else:
        snps = _as_snps("ranking", ranking, genotypes)
        level_ends = np.arange(1, len(snps) + 1)
    _require_offered(
        "ranking", snps, genotypes, "leave those out (in scores: NaN) that are in excluded"
    )
    return snps, level_ends


def _as_snps(name: str, snps, genotypes: Genotypes) -> np.ndarray:
    """Return distinct SNP numbers as an int64 array."""
    snps = np.asarray(snps)
    if snps.ndim != 1 or (len(snps) and snps.dtype.kind not in "iu"):
        raise InputError(
            f"{name}: expected a list of SNP numbers, found {snps.dtype} of shape {snps.shape}; "
            "np.flatnonzero makes one of a mask"
        )
    p = genotypes.n_variants
    if len(snps) and (snps.min() < 0 or snps.max() >= p):
        raise InputError(
            f"{name}: expected SNP numbers from 0 to {p - 1}, found {snps.min()} to {snps.max()}; "
            "they are places in the genotypes' variants"
        )
    snps = snps.astype(np.int64)
    values, counts = np.unique(snps, return_counts=True)
    if len(values) < len(snps):
        raise InputError(
            f"{name}: expected every SNP once, found {values[counts.argmax()]} {counts.max()} "
            "times; list it once, at its first place"
        )
    return snps


def _require_offered(name: str, snps: np.ndarray, genotypes: Genotypes, advice: str) -> None:
    excluded = snps[~genotypes.included[snps]]
    if len(excluded):
        raise InputError(
            f"{name}: expected SNPs that are offered to the model, found {len(excluded)} that are "
            f"not, such as {excluded[0]}; {advice}"
        )


# ---- which SNPs are near ------------------------------------------------------------------------


def _nearness(genotypes: Genotypes, causal: np.ndarray, window, r2) -> "_Window | _Correlation":
    if (window is None) == (r2 is None):
        raise InputError(
            f"window, r2: expected one of the two, found window={window!r} and r2={r2!r}; give "
            "base pairs or a squared correlation"
        )
    if r2 is not None:
        if not isinstance(r2, Real) or not 0 < r2 <= 1:
            raise InputError(f"r2: expected a number in (0, 1], found {r2!r}")
        return _Correlation(genotypes, causal, r2)
    return _Window(genotypes, causal, _as_window(window))


def _as_window(window) -> float:
    if not isinstance(window, Real) or not 0 <= window < np.inf:
        raise InputError(f"window: expected at least 0 base pairs, found {window!r}")
    return float(window)


def _block_length(genotypes: Genotypes) -> int:
    """SNPs that are decoded at a time."""
    return max(1, min(_BLOCK_SNPS, _BLOCK_VALUES // genotypes.n_samples))


def _chromosomes(genotypes: Genotypes) -> tuple[np.ndarray, np.ndarray]:
    """Return the names of the chromosomes, ascending, and the number of each SNP's."""
    names = genotypes.variants["CHROM"].to_numpy().astype(str)
    return np.unique(names, return_inverse=True)


def _joined(near: np.ndarray) -> np.ndarray:
    """Return the connected component of each of q SNPs, numbered in the order of their first."""
    label = np.arange(len(near))
    for row in near:
        linked = np.unique(label[row])  # the SNP's own among them
        label[np.isin(label, linked)] = linked[0]
    return np.unique(label, return_inverse=True)[1]


class _SortedMap:
    """Some SNPs in the order of chromosome, position and number.

    Attributes: `snps` in this order, their `chromosome` and `position`, and the `bounds` of the
    chromosomes among them; `place` (p,), -1 for SNPs that are not among them.
    """

    def __init__(self, genotypes: Genotypes, is_among: np.ndarray, advice: str):
        position = genotypes.variants["POS"].to_numpy().astype(np.int64)
        unknown = np.flatnonzero(is_among & (position <= 0))
        if len(unknown):
            raise InputError(
                f"window: expected positions above 0 for all SNPs, found {position[unknown[0]]} "
                f"for SNP {unknown[0]} and {len(unknown)} such SNPs in all; {advice}"
            )
        self.names, chromosome = _chromosomes(genotypes)
        order = np.lexsort((position, chromosome))
        self.snps = order[is_among[order]]
        self.chromosome, self.position = chromosome[self.snps], position[self.snps]
        present, first = np.unique(self.chromosome, return_index=True)
        ends = np.append(first, len(self.snps))[1:]
        self.bounds = list(zip(present.tolist(), first.tolist(), ends.tolist(), strict=True))
        self.place = np.full(len(position), -1, dtype=np.int64)
        self.place[self.snps] = np.arange(len(self.snps))


class _Window:
    """SNPs are near within `window` base pairs of each other."""

    def __init__(self, genotypes: Genotypes, causal: np.ndarray, window: float):
        is_among = genotypes.included.copy()
        is_among[causal] = True
        advice = "use r2 instead, or exclude the SNPs without a position (genotypes.filter)"
        self._map = _SortedMap(genotypes, is_among, advice)
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
        _require_offered("causal (with r2)", causal, genotypes, advice)
        self._genotypes, self._causal, self._least = genotypes, causal, r2 - _ROUNDING
        self._block = _block_length(genotypes)
        self._chromosome = _chromosomes(genotypes)[1]
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


# ---- curves -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve(Result):
    """Precision against recall, one point per level of the ranking.

    Attributes
    ----------
    precision, recall : ndarray, shape (l,)
    area : float
        The average precision: the mean of `at(r)` over r in (0, 1].
    """

    precision: np.ndarray = field(repr=False)
    recall: np.ndarray = field(repr=False)
    area: float

    def to_frame(self) -> "pl.DataFrame":
        """Return the points: RECALL, PRECISION."""
        import polars as pl

        return pl.DataFrame({"RECALL": self.recall, "PRECISION": self.precision})

    def at(self, recall: ArrayLike) -> np.ndarray:
        """Return the precision where this recall is first reached, 0 where it never is.

        For the mean of several curves: their precisions at the same recalls.
        """
        recall = np.asarray(recall, dtype=np.float64)
        index = np.searchsorted(self.recall, recall - 1e-9)  # 3/10 is not 0.1 + 0.1 + 0.1
        return np.append(self.precision, 0.0)[index]


def precision_recall(hits: Hits) -> PrecisionRecallCurve:
    """Return the curve of precision T / (T + F) against recall T / m, and the average precision.

    The area is sum_k (recall_k - recall_{k-1}) precision_k over the levels k: without ties the sum,
    over the loci found, of the precision where they are found, divided by the number m of causal
    loci. Loci that are never found contribute 0. (No interpolation: between two points of a
    precision-recall curve a straight line is too high. It is scikit-learn's
    `average_precision_score`, counted by locus.)

    Raises
    ------
    InputError
        There is no causal SNP.
    """
    _require_loci(hits)
    precision = hits.n_true / (hits.n_true + hits.n_false)
    recall = hits.n_true / hits.n_loci
    area = float(np.diff(recall, prepend=0.0) @ precision)
    return PrecisionRecallCurve(precision, recall, area)


@dataclass(frozen=True, eq=False)
class RocCurve(Result):
    """True against false positive rate, from (0, 0) over the levels of the ranking to (1, 1).

    Attributes
    ----------
    false_positive_rate, true_positive_rate : ndarray
    area : float
        Up to `max_fpr`, divided by it; about `max_fpr` / 2 for a ranking by chance.
    n_negatives : int
        SNPs that the false positive rate is a share of.
    """

    false_positive_rate: np.ndarray = field(repr=False)
    true_positive_rate: np.ndarray = field(repr=False)
    area: float
    n_negatives: int

    def to_frame(self) -> "pl.DataFrame":
        """Return the points: FALSE_POSITIVE_RATE, TRUE_POSITIVE_RATE."""
        import polars as pl

        return pl.DataFrame(
            {
                "FALSE_POSITIVE_RATE": self.false_positive_rate,
                "TRUE_POSITIVE_RATE": self.true_positive_rate,
            }
        )

    def at(self, false_positive_rate: ArrayLike) -> np.ndarray:
        """Return the largest true positive rate at a false positive rate.

        Raises
        ------
        InputError
            A rate that is not in [0, 1].
        """
        x = np.asarray(false_positive_rate, dtype=np.float64)
        if not ((x >= 0) & (x <= 1)).all():
            raise InputError(f"false_positive_rate: expected numbers in [0, 1], found {x}")
        return _interpolate(self.false_positive_rate, self.true_positive_rate, x)


def roc(
    hits: Hits,
    genotypes: Genotypes,
    *,
    max_fpr: float = 1.0,
    max_negatives: int | None = None,
) -> RocCurve:
    """Return the ROC curve: loci found against the share of other SNPs that a miss is near.

    Positive is a causal locus. Negative is a SNP that is offered to the model and of no causal
    locus; it counts as found, in error, with the first miss near it, as a causal SNP would. From
    the last level of the ranking on the curve is the straight line to (1, 1): SNPs that were not
    ranked are tied behind the others.

    Parameters
    ----------
    hits : Hits
    genotypes : Genotypes
        Those of `hits`.
    max_fpr : float in (0, 1], default 1
        The area is taken up to this false positive rate, and divided by it.
    max_negatives : int, optional
        At most so many SNPs, evenly spaced on the map, stand for all that are offered. Default:
        all, which with `r2` takes time n k p at worst.

    Raises
    ------
    InputError
        There is no causal SNP or no negative one, an option is out of range, or the genotypes have
        another number of SNPs.
    """
    _require_loci(hits)
    if not isinstance(max_fpr, Real) or not 0 < max_fpr <= 1:
        raise InputError(f"max_fpr: expected a number in (0, 1], found {max_fpr!r}")
    if genotypes.n_variants != hits.n_variants:
        raise InputError(
            f"genotypes: expected the {hits.n_variants} SNPs of the hits, found "
            f"{genotypes.n_variants}"
        )
    snps = np.flatnonzero(genotypes.included)
    if max_negatives is not None:
        require_integer("max_negatives", max_negatives, 1)
        snps = snps[:: -(-len(snps) // max_negatives) or 1]
    misses = np.flatnonzero(hits.locus < 0)
    with blas_cap(1):
        near = _nearness(genotypes, hits.causal, hits.window, hits.r2)
        block = _block_length(genotypes)
        parts = [snps[start : start + block] for start in range(0, len(snps), block)]
        negatives = np.concatenate([snps[:0], *(part[near.locus_of(part) < 0] for part in parts)])
        first = near.first_near(negatives, hits.snps[misses])
    if len(negatives) == 0:
        raise InputError(
            "hits: expected SNPs that are of no causal locus, found none; take a smaller window or "
            "a larger r2"
        )
    place = misses[first[first < len(misses)]]
    level = np.searchsorted(hits.level_ends, place, side="right")
    n_found = np.bincount(level, minlength=len(hits.level_ends)).cumsum()
    x = np.concatenate([[0.0], n_found / len(negatives), [1.0]])
    y = np.concatenate([[0.0], hits.n_true / hits.n_loci, [1.0]])
    return RocCurve(x, y, _area(x, y, float(max_fpr)) / max_fpr, len(negatives))


def _require_loci(hits: Hits) -> None:
    if hits.n_loci == 0:
        raise InputError(
            "hits: expected at least one causal SNP, found none: there is no recall; count the "
            "false loci (n_false) instead"
        )


def _interpolate(xs: np.ndarray, ys: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return y at x of a curve that never falls, its upper end where it is vertical."""
    k = np.searchsorted(xs, x, side="right")
    after = np.minimum(k, len(xs) - 1)
    width = np.where(k < len(xs), xs[after] - xs[k - 1], 1.0)
    return ys[k - 1] + (x - xs[k - 1]) / width * (ys[after] - ys[k - 1])


def _area(xs: np.ndarray, ys: np.ndarray, end: float) -> float:
    """Return the area under a curve of straight lines from 0 to `end`."""
    k = int(np.searchsorted(xs, end, side="right"))
    xs, ys = np.append(xs[:k], end), np.append(ys[:k], _interpolate(xs, ys, np.array(end)))
    return float(np.diff(xs) @ (ys[1:] + ys[:-1]) / 2)


# ---- intervals ----------------------------------------------------------------------------------


class Interval(NamedTuple):
    """A mean and the limits of its confidence interval."""

    mean: float
    low: float
    high: float


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean over repeats and Student's interval for it: mean -+ t sd / sqrt(k).

    Parameters
    ----------
    values : array_like, shape (k,)
        One per repeat, independent of each other; at least two.
    level : float in (0, 1), default 0.95

    Raises
    ------
    InputError
        Fewer than two values, one that is not finite, or `level` out of range.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise InputError(
            f"values: expected at least two, one per repeat, found shape {values.shape}; one "
            "repeat has no interval"
        )
    if not np.isfinite(values).all():
        k = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InputError(
            f"values: expected finite numbers, found {float(values[k])} in repeat {k}; say what "
            "it counts as, or leave that repeat out everywhere"
        )
    if not isinstance(level, Real) or not 0 < level < 1:
        raise InputError(f"level: expected a number in (0, 1), found {level!r}")
    from scipy.special import stdtrit

    k, mean = len(values), float(values.mean())
    half = float(stdtrit(k - 1, (1 + level) / 2) * values.std(ddof=1) / np.sqrt(k))
    return Interval(mean, mean - half, mean + half)


def paired_interval(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Interval:
    """Return `mean_interval` of a - b, two methods on the same repeats.

    What makes a repeat easy for both cancels: this decides between two methods, not whether their
    own intervals overlap.

    Raises
    ------
    InputError
        As `mean_interval`; different numbers of values.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        raise InputError(
            f"a, b: expected the same repeats of both, found shapes {a.shape} and {b.shape}"
        )
    return mean_interval(a - b, level)


# ---- where selected SNPs are --------------------------------------------------------------------


def adjacent_share(snps: ArrayLike, genotypes: Genotypes) -> float:
    """Return the share of selected SNPs whose next SNP on the map is selected as well.

    Next is the next SNP of the genotypes, in their order, that is offered to the model, if it is on
    the same chromosome. A pair counts once: k selected SNPs in a row have k - 1. NaN if none is
    selected.

    Parameters
    ----------
    snps : array_like of int
        The selected SNPs, distinct, in any order.
    genotypes : Genotypes

    Raises
    ------
    InputError
        SNPs that are not distinct, not among the genotypes' or not offered to the model.
    """
    snps = _as_selected(snps, genotypes)
    if len(snps) == 0:
        return np.nan
    is_selected = np.zeros(genotypes.n_variants, dtype=bool)
    is_selected[snps] = True
    offered = np.flatnonzero(genotypes.included)
    is_selected, chromosome = is_selected[offered], _chromosomes(genotypes)[1][offered]
    is_pair = is_selected[:-1] & is_selected[1:] & (chromosome[:-1] == chromosome[1:])
    return float(is_pair.sum() / len(snps))


def _as_selected(snps, genotypes: Genotypes) -> np.ndarray:
    snps = _as_snps("snps", snps, genotypes)
    _require_offered("snps", snps, genotypes, "a model cannot have selected them: see excluded")
    return snps


@dataclass(frozen=True, eq=False)
class Enrichment(Result):
    """Whether selected SNPs are near genes more often than by chance.

    Attributes
    ----------
    share : float
        Of the selected SNPs, those near a gene; NaN if none is selected.
    expected : float
        The mean of the share over all shifts.
    p_value : float
        (1 + shifts with at least this share) / (1 + n_permutations).
    n_snps, n_near : int
        Selected SNPs, and those of them that are near a gene.
    is_near : ndarray of bool, shape (n_snps,)
        Which, in the order given.
    genes_found : ndarray of int64
        Rows of the genes that a selected SNP is near.
    n_genes : int
        Genes on chromosomes that the genotypes have.
    null : ndarray, shape (n_permutations,)
        The share after each shift.
    """

    share: float
    expected: float
    p_value: float
    n_snps: int
    n_near: int
    is_near: np.ndarray = field(repr=False)
    genes_found: np.ndarray
    n_genes: int
    null: np.ndarray = field(repr=False)

    def to_frame(self) -> "pl.DataFrame":
        """Return one row: the numbers."""
        return one_row(self, ("share", "expected", "p_value", "n_snps", "n_near", "n_genes"))


def enrichment(
    snps: ArrayLike,
    genotypes: Genotypes,
    genes: "pl.DataFrame",
    *,
    window: float,
    n_permutations: int = 10_000,
    seed: int = 0,
) -> Enrichment:
    """Compare how many selected SNPs are near a gene with circular shifts of the selection.

    Near is a SNP within the gene or at most `window` base pairs from it. A permutation moves the
    selected SNPs of each chromosome by the same random number of places along the map of the SNPs
    that are offered to the model, sorted by position, and past its end to its start. So the
    distances between selected SNPs, in SNPs, stay as they are, LD with them, and all of them fall
    on SNPs of the map: where the map is dense, more of them. Every number of places has the same
    probability, 0 included.

    Parameters
    ----------
    snps : array_like of int
        The selected SNPs, distinct.
    genotypes : Genotypes
    genes : polars.DataFrame
        CHROM, START, END as from `read_bed`: a gene covers START + 1 to END. Those on chromosomes
        that the genotypes do not have are left out.
    window : float
        Base pairs.
    n_permutations : int, default 10,000
    seed : int, default 0

    Raises
    ------
    InputError
        An option is out of range; a SNP is not offered to the model or, even one that is not
        selected, has no position; no gene is on a chromosome of the genotypes, or some are under
        another name ("chr5" for "5").
    """
    snps = _as_selected(snps, genotypes)
    window = _as_window(window)
    require_integer("n_permutations", n_permutations, 1)
    require_integer("seed", seed, 0)
    advice = "exclude the SNPs without a position (genotypes.filter)"
    snp_map = _SortedMap(genotypes, genotypes.included, advice)
    of_gene = genes["CHROM"].to_numpy().astype(str)
    _require_chromosomes(of_gene, snp_map.names)
    first = genes["START"].to_numpy().astype(np.int64) + 1 - window
    last = genes["END"].to_numpy().astype(np.int64) + window

    place = snp_map.place[snps]
    is_selected = np.zeros(len(snp_map.snps), dtype=bool)
    is_selected[place] = True
    is_near = np.zeros(len(snp_map.snps), dtype=bool)
    is_found = np.zeros(len(genes), dtype=bool)
    n_near = np.zeros(n_permutations, dtype=np.int64)
    expected = 0.0
    rng = np.random.default_rng(seed)
    for chromosome, a, b in snp_map.bounds:
        rows = np.flatnonzero(of_gene == snp_map.names[chromosome])
        position, chosen = snp_map.position[a:b], np.flatnonzero(is_selected[a:b])
        # in so many genes: begun and not yet ended
        begun = np.searchsorted(np.sort(first[rows]), position, side="right")
        near = begun > np.searchsorted(np.sort(last[rows]), position)
        is_near[a:b] = near
        upto = np.searchsorted(position[chosen], last[rows], side="right")
        is_found[rows] = upto > np.searchsorted(position[chosen], first[rows])
        expected += len(chosen) * near.mean()
        if len(chosen):
            places = rng.integers(0, b - a, n_permutations)
            for k in chosen:
                n_near += near[(places + k) % (b - a)]
    observed, n_snps = int(is_near[place].sum()), len(snps)
    scale = 1 / n_snps if n_snps else np.nan
    return Enrichment(
        share=observed * scale,
        expected=float(expected * scale),
        p_value=float((1 + (n_near >= observed).sum()) / (1 + n_permutations)),
        n_snps=n_snps,
        n_near=observed,
        is_near=is_near[place],
        genes_found=np.flatnonzero(is_found),
        n_genes=int(np.isin(of_gene, snp_map.names).sum()),
        null=n_near * scale,
    )


def _require_chromosomes(of_gene: np.ndarray, names: np.ndarray) -> None:
    """Refuse genes on none of the chromosomes, or on one of them under another name."""
    unknown = np.setdiff1d(of_gene, names)
    same = {_plain(name): name for name in names.tolist()}
    renamed = [name for name in unknown.tolist() if _plain(name) in same]
    if renamed:
        raise InputError(
            f"genes: expected chromosomes by the genotypes' names, found {renamed[0]!r} where they "
            f"have {same[_plain(renamed[0])]!r}; rename the chromosomes of one of the two"
        )
    if len(unknown) and len(unknown) == len(np.unique(of_gene)):
        raise InputError(
            f"genes: expected chromosomes among {', '.join(names[:30])}, found only "
            f"{', '.join(unknown[:30])}; rename the chromosomes of one of the two"
        )


def _plain(chromosome: str) -> str:
    """Return "5" for "chr5", "Chr05" or "chromosome_5"."""
    name = chromosome.lower()
    for prefix in ("chromosome", "chrom", "chr"):
        name = name.removeprefix(prefix)
    return name.lstrip("_0") or "0"
