"""Precision-recall and ROC curves of what a ranking finds, with their areas."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast.checks import as_integer, as_number, as_numbers
from lmmlasso_fast.display import Result
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.evaluation.loci import Hits
from lmmlasso_fast.evaluation.nearness import block_length, nearness
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.threads import blas_cap

if TYPE_CHECKING:
    import polars as pl


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

        Raises
        ------
        InputError
            A recall that is not in [0, 1].
        """
        recall = as_numbers(recall, "recall", InputError, booleans=False)
        if not ((recall >= 0) & (recall <= 1)).all():
            raise InputError(f"recall: expected numbers in [0, 1], found {recall}")
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
        x = as_numbers(false_positive_rate, "false_positive_rate", InputError, booleans=False)
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
    max_fpr = as_number("max_fpr", max_fpr, high=1, above=0)
    if genotypes.n_variants != hits.n_variants:
        raise InputError(
            f"genotypes: expected the {hits.n_variants} SNPs of the hits, found "
            f"{genotypes.n_variants}"
        )
    snps = np.flatnonzero(genotypes.included)
    if max_negatives is not None:
        max_negatives = as_integer("max_negatives", max_negatives, 1)
        snps = snps[:: -(-len(snps) // max_negatives) or 1]
    misses = np.flatnonzero(hits.locus < 0)
    with blas_cap(1):
        near = nearness(genotypes, hits.causal, hits.window, hits.r2)
        block = block_length(genotypes)
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
