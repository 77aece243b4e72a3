"""SNPs in an order, the best first: by a score, or by entry into the model."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast.checks import as_number, as_numbers
from lmmlasso_fast.display import Result, name_snps
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.path import LassoPath

if TYPE_CHECKING:
    import polars as pl


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
    scores = as_numbers(scores, "scores", InputError)
    if scores.ndim != 1:
        raise InputError(
            f"scores: expected one number for every SNP, found an array of shape {scores.shape}"
        )
    above = (
        None
        if above is None
        else as_number("above", above, infinite=True, advice="leave it out to rank all SNPs")
    )
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
