"""Chromosomes and positions of SNPs in order."""

import numpy as np

from lmmlasso_fast.errors import InputError
from lmmlasso_fast.genotypes import Genotypes


def chromosomes(genotypes: Genotypes) -> tuple[np.ndarray, np.ndarray]:
    """Return the names of the chromosomes, ascending, and the number of each SNP's."""
    names = genotypes.variants["CHROM"].to_numpy().astype(str)
    return np.unique(names, return_inverse=True)


class SortedMap:
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
        self.names, chromosome = chromosomes(genotypes)
        order = np.lexsort((position, chromosome))
        self.snps = order[is_among[order]]
        self.chromosome, self.position = chromosome[self.snps], position[self.snps]
        present, first = np.unique(self.chromosome, return_index=True)
        ends = np.append(first, len(self.snps))[1:]
        self.bounds = list(zip(present.tolist(), first.tolist(), ends.tolist(), strict=True))
        self.place = np.full(len(position), -1, dtype=np.int64)
        self.place[self.snps] = np.arange(len(self.snps))
