"""Kinships that leave one chromosome out, for tests of that chromosome's SNPs."""

from collections.abc import Iterator

import numpy as np

from lmmlasso_fast.checks import as_choice
from lmmlasso_fast.errors import InputError, KinshipError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.kinship import Kinship, from_sums
from lmmlasso_fast.relationship import ESTIMATORS, SnpSums, sum_over

#: Chromosomes' sums of products are kept up to this size, and computed twice beyond it.
KEPT_BYTES = 1 << 30


class LeaveOneOut:
    """The kinships of the SNPs of all chromosomes but one.

    The sums over a chromosome are subtracted from those over all SNPs: together the kinships cost
    what one does (twice that where the sums take more than 1 GB).

    Parameters
    ----------
    genotypes : Genotypes, n samples
        Of at least two chromosomes; their names may be any text.
    estimator : str, default "rrm"
        As in `lmmlasso_fast.kinship`.
    n_threads : int, optional

    Attributes
    ----------
    chromosomes : list of str
        Those with SNPs that are offered, by first occurrence.
    snps : list of ndarray
        These SNPs.

    Raises
    ------
    KinshipError
        As `lmmlasso_fast.kinship`.
    InputError
        SNPs of a single chromosome.
    """

    def __init__(self, genotypes: Genotypes, estimator: str = "rrm", n_threads: int | None = None):
        estimator = as_choice("estimator", estimator, ESTIMATORS, error=KinshipError)
        self.chromosomes, self.snps = offered_by_chromosome(genotypes)
        if len(self.chromosomes) < 2:
            found = f"only {self.chromosomes[0]!r}" if self.chromosomes else "none"
            raise InputError(
                f"leave one chromosome out: expected SNPs on at least two chromosomes, found "
                f"{found}; take association_scan, or a kinship of all SNPs (on the command line "
                "leave --loco out)"
            )
        self._genotypes, self._estimator = genotypes, estimator
        n_sums = len(self.snps) * (2 if genotypes.n_missing.any() else 1)
        self._kept: list[SnpSums] | None = None
        if 8 * genotypes.n_samples**2 * n_sums <= KEPT_BYTES:
            self._kept = [self._of(k, n_threads) for k in range(len(self.snps))]
        total = self._of(0, n_threads)
        for k in range(1, len(self.snps)):
            total = total.plus(self._of(k, n_threads))
        self._total = total

    def _of(self, k: int, n_threads: int | None) -> SnpSums:
        if self._kept is not None:
            return self._kept[k]
        return sum_over(self._genotypes, self.snps[k], self._estimator, n_threads)

    def without(self, k: int, n_threads: int | None = None) -> Kinship:
        """Return the kinship of the SNPs that are not on chromosome k."""
        sums = self._total.minus(self._of(k, n_threads))
        return from_sums(sums, self._genotypes, self._estimator)


def kinship_loco(
    genotypes: Genotypes, estimator: str = "rrm", *, n_threads: int | None = None
) -> Iterator[tuple[str, Kinship]]:
    """Iterate over (chromosome, kinship of the SNPs of all others), one matrix at a time.

    `association_scan_loco` does this by itself, with "rrm".

    Parameters
    ----------
    genotypes, estimator, n_threads
        As in `kinship`; SNPs of at least two chromosomes.

    Raises
    ------
    InputError
        As `LeaveOneOut`.
    """
    kinships = LeaveOneOut(genotypes, estimator, n_threads)
    names = enumerate(kinships.chromosomes)
    return ((name, kinships.without(k, n_threads)) for k, name in names)


def offered_by_chromosome(genotypes: Genotypes) -> tuple[list[str], list[np.ndarray]]:
    """Return the names of the chromosomes with offered SNPs, by first occurrence, and these."""
    offered = np.flatnonzero(genotypes.included)
    groups: dict[str, list[int]] = {}
    for name, snp in zip(genotypes.variants["CHROM"].gather(offered), offered, strict=True):
        groups.setdefault(name, []).append(snp)
    return list(groups), [np.array(snps) for snps in groups.values()]
