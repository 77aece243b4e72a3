"""Groups of SNPs in linkage disequilibrium: r^2 clumps around leads, as PLINK's --clump makes them.

Correlated SNPs take votes from each other when a sparse model has to choose one of them. A group
collects what votes for one locus.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast.checks import (
    MOST_ROWS,
    as_indices,
    as_integer,
    as_number,
    as_numbers,
    as_place,
    plain,
)
from lmmlasso_fast.display import Result, name_snps
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.genotypes import Genotypes, rows_of
from lmmlasso_fast.threads import blas_cap

if TYPE_CHECKING:
    import polars as pl

#: An r^2 this much below the threshold is at it: exact duplicates have 1 but for rounding.
_ROUNDING = 1e-12
#: Genotypes decoded at a time.
_BLOCK_VALUES = 1 << 22
#: At most so many SNPs that may become leads have their correlations found together: the others are
#: decoded once for all of them.
_AHEAD = 128


@dataclass(frozen=True, eq=False)
class LDGroups(Result):
    """Clumps, the best lead first.

    Attributes
    ----------
    snps : ndarray of int64, shape (m,)
        The SNPs that were grouped, ascending.
    group : ndarray of int64, shape (m,)
        The group of each: 0, 1, ... in the order of the leads.
    leads : ndarray of int64, shape (g,)
    """

    snps: np.ndarray
    group: np.ndarray
    leads: np.ndarray

    def to_frame(self, genotypes: Genotypes | None = None) -> "pl.DataFrame":
        """Return one row per SNP, by group: LD_GROUP (from 1), the SNP, IS_LEAD."""
        import polars as pl

        order = np.argsort(self.group, kind="stable")
        snps = self.snps[order]
        n_variants = (
            int(self.snps.max(initial=-1)) + 1 if genotypes is None else genotypes.n_variants
        )
        return pl.concat(
            [
                pl.DataFrame({"LD_GROUP": self.group[order] + 1}),
                name_snps(snps, genotypes, n_variants),
                pl.DataFrame({"IS_LEAD": np.isin(snps, self.leads)}),
            ],
            how="horizontal",
        )

    def members(self, k: int) -> np.ndarray:
        """Return the SNPs of group k, its lead included, ascending; -1 is the last group."""
        k = range(len(self.leads))[as_place("k", k)]
        return self.snps[self.group == k]

    def of(self, n_variants: int) -> np.ndarray:
        """Return the group of each of p SNPs, -1 where it was not grouped."""
        least = int(self.snps.max(initial=-1)) + 1
        n_variants = as_integer("n_variants", n_variants, least, MOST_ROWS)
        groups = np.full(n_variants, -1, dtype=np.int64)
        groups[self.snps] = self.group
        return groups


def clump(
    genotypes: Genotypes,
    snps: ArrayLike,
    score: ArrayLike,
    *,
    r2: float = 0.5,
    window: int | None = 1_000_000,
) -> LDGroups:
    """Group SNPs around the best of them.

    The ungrouped SNP of the largest score (of equal ones the first) becomes a lead; every ungrouped
    SNP of its chromosome, at most `window` base pairs away and with r^2 >= `r2` to it, joins; and
    so on. r^2 is the squared correlation of the dosages, missing ones at the mean.

    Parameters
    ----------
    genotypes : Genotypes
        A SNP without a position (0 or below) is within the window of its whole chromosome.
    snps : array_like of int, shape (m,)
        The SNPs to be grouped, each once.
    score : array_like, shape (m,)
    r2 : float in (0, 1], default 0.5
    window : int, optional
        None: anywhere, on other chromosomes too.

    Raises
    ------
    InputError
        An option out of range, or a SNP that occurs twice or is not offered to the model.
    """
    r2, window = as_clumping(r2, window)
    snps = as_indices(snps, "snps", InputError)
    score = as_numbers(score, "score", InputError, booleans=False)
    n_distinct = len(np.unique(snps))
    if snps.shape != score.shape or n_distinct < len(snps):
        raise InputError(
            f"snps: expected distinct SNPs with one score each, found {len(snps)} SNPs, "
            f"{n_distinct} of them distinct, and scores of shape {score.shape}"
        )
    ascending = np.argsort(snps)
    snps, score = snps[ascending], score[ascending]
    if len(snps) and (snps[0] < 0 or snps[-1] >= genotypes.n_variants):
        raise InputError(f"snps: expected indices in [0, {genotypes.n_variants})")
    if not genotypes.included[snps].all():
        raise InputError("snps: expected SNPs that are offered to the model")
    if np.isnan(score).any():
        raise InputError("score: expected numbers, found NaN")

    near = _nearness(genotypes, snps, window)
    order = np.argsort(-score, kind="stable")
    group = np.full(len(snps), -1, dtype=np.int64)
    leads = []
    n_ahead = min(_AHEAD, max(1, _BLOCK_VALUES // genotypes.n_samples))
    while len(order := order[group[order] < 0]):
        ahead = order[:n_ahead]
        joins = _joins(genotypes, snps, ahead, np.flatnonzero(group < 0), near, r2)
        for k, with_k in zip(ahead, joins, strict=True):
            if group[k] < 0:  # no better one of those ahead has taken it
                with_k = with_k[group[with_k] < 0]
                group[k] = group[with_k] = len(leads)
                leads.append(snps[k])
    return LDGroups(snps, group, np.array(leads, dtype=np.int64))


def as_clumping(
    r2: float, window: float | None, name_of_r2: str = "r2", name_of_window: str = "window"
) -> tuple[float, float | None]:
    """Return the options of `clump`, checked; other functions have other names for them."""
    r2 = as_number(name_of_r2, r2, high=1, above=0)
    if window is None:
        return r2, None
    expected = "None or at least 0 base pairs"
    as_number(name_of_window, window, 0, infinite=True, expected=expected)
    return r2, plain(window)


def r_squared(genotypes: Genotypes, snp: int, others) -> np.ndarray:
    """Return r^2 of one SNP with others: squared correlations of dosages, missing at the mean.

    Parameters
    ----------
    genotypes : Genotypes
    snp : int
        Offered to the model.
    others : array_like of int, shape (m,)

    Returns
    -------
    ndarray, shape (m,)
        NaN for SNPs that are not offered.
    """
    others = np.asarray(others, dtype=np.int64)
    x = genotypes.columns([snp])[:, 0]
    found = np.empty(len(others))
    block = max(1, _BLOCK_VALUES // len(x))
    for start in range(0, len(others), block):
        part = slice(start, start + block)
        Z = genotypes.columns(others[part])
        with np.errstate(invalid="ignore"):
            found[part] = (x @ Z) ** 2 / (np.square(x).sum() * _lengths(Z))
    return found


def _nearness(genotypes: Genotypes, snps: np.ndarray, window: int | None):
    """Return a function of k and others: which of them are on k's chromosome and near it."""
    if window is None or len(snps) == 0:
        return lambda k, others: np.ones(len(others), dtype=bool)
    table = rows_of(genotypes.variants, snps)
    _, chromosome = np.unique(table["CHROM"].to_numpy().astype(str), return_inverse=True)
    position = table["POS"].to_numpy().astype(np.int64)  # differences of unsigned ones wrap around
    unknown = position <= 0

    def near(k, others):
        within = np.abs(position[others] - position[k]) <= window
        return (chromosome[others] == chromosome[k]) & (within | unknown[others] | unknown[k])

    return near


def _joins(genotypes, snps, ahead, others, near, r2) -> list[np.ndarray]:
    """Return for each SNP ahead which of the others are near it and correlate with it."""
    is_near = np.array([near(k, others) for k in ahead])
    needed = np.flatnonzero(is_near.any(axis=0))
    others, is_near = others[needed], is_near[:, needed]
    X = genotypes.columns(snps[ahead])
    lengths = _lengths(X)
    block = max(1, _BLOCK_VALUES // len(X))
    for start in range(0, len(others), block):
        part = slice(start, start + block)
        Z = genotypes.columns(snps[others[part]])
        with blas_cap(1):
            products = X.T @ Z
        r_squared = products**2 / np.outer(lengths, _lengths(Z))
        is_near[:, part] &= r_squared >= r2 - _ROUNDING
    return [others[row] for row in is_near]


def _lengths(X: np.ndarray) -> np.ndarray:
    """x_j'x_j, summed pairwise: einsum's running sum is off by 1e-12 at 200,000 samples."""
    return np.square(X).sum(axis=0)
