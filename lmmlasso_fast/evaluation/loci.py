"""Which causal loci a ranking finds, and which false ones it opens; `lmmlasso_fast.evaluation`
defines both.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast.checks import as_integer
from lmmlasso_fast.display import Result
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.evaluation.nearness import block_length, nearness
from lmmlasso_fast.evaluation.rankings import Ranking
from lmmlasso_fast.evaluation.snp_lists import as_snps, require_offered
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.threads import blas_cap

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, eq=False)
class Hits(Result):
    """What a ranking finds, counted by locus (see `lmmlasso_fast.evaluation`).

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
    ranking: Ranking | ArrayLike,
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
    causal = np.sort(as_snps("causal", causal, genotypes))
    max_false = None if max_false is None else as_integer("max_false", max_false, 1)
    locus = np.full(len(snps), -1, dtype=np.int64)
    false_locus = locus.copy()
    with blas_cap(1):
        near = nearness(genotypes, causal, window, r2)
        n_loci = int(near.causal_locus.max(initial=-1)) + 1
        found = np.zeros(n_loci, dtype=bool)
        start, end = 0, len(snps)
        while start < end:
            part = slice(start, min(start + block_length(genotypes), end))
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
        snps = as_snps("ranking", ranking, genotypes)
        level_ends = np.arange(1, len(snps) + 1)
    require_offered(
        "ranking", snps, genotypes, "leave those out (in scores: NaN) that are in excluded"
    )
    return snps, level_ends
