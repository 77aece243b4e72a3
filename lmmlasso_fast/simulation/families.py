"""Families of full siblings: which of its parents' haplotypes every child has, along chromosomes.

A gamete carries one of its parent's two haplotypes and changes to the other at crossovers. Every
chromosome is one Morgan long, with crossovers at a rate that is even along its base pairs and
without interference: between two variants d Morgans apart the chance of an odd number of them is
(1 - exp(-2 d)) / 2 (Haldane 1919, Journal of Genetics 8:299).
"""

import numpy as np
from numpy.typing import NDArray


def families_within(population: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return the number of each sample's family: `size` samples in a row of one population.

    The last family of a population may be smaller. `population` is ascending.
    """
    place = np.arange(len(population)) - np.searchsorted(population, population)
    return np.cumsum(place % size == 0) - 1


def crossover_chances(position: NDArray[np.int64], first: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the chance that a gamete changes haplotypes between a variant and the one before.

    `first` has the first variant of each chromosome, where it is 1/2: chromosomes assort
    independently.
    """
    n_variants = np.diff(first, append=len(position))
    length = position[first + n_variants - 1] - position[first]
    morgans = np.diff(position, prepend=0) / np.repeat(np.maximum(length, 1), n_variants)
    chances = (1 - np.exp(-2 * morgans)) / 2
    chances[first] = 0.5
    return chances.astype(np.float32)


class Gametes:
    """The gametes that families are made of, variants in blocks.

    A family has 2 `ploidy` haplotypes in a row, two of each parent; with `ploidy` 1 its parents
    are inbred lines, and what a child doubles is a gamete of their cross. A sample has `ploidy`
    gametes in a row, and each takes from two neighbouring haplotypes.

    Parameters
    ----------
    family : int64 array, n_samples
    ploidy : {1, 2}
    chances : float32 array, n_variants
        As of `crossover_chances`.
    """

    def __init__(self, family: NDArray[np.int64], ploidy: int, chances: NDArray[np.float32]):
        pair = ploidy * family[:, None] + np.arange(ploidy)
        self._haplotype = 2 * pair.ravel()
        self._chances = chances

    def draw(self, rows: slice, stream: np.random.Generator) -> NDArray[np.bool_]:
        """Return before which of the variants each gamete changes haplotypes."""
        shape = (rows.stop - rows.start, len(self._haplotype))
        return stream.random(shape, dtype=np.float32) < self._chances[rows, None]

    def start(self) -> NDArray[np.bool_]:
        """Return the side of every gamete before the first variant."""
        return np.zeros(len(self._haplotype), dtype=bool)

    def transmit(
        self,
        alleles: NDArray[np.bool_],
        changes: NDArray[np.bool_],
        side: NDArray[np.bool_],
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return the alleles of the gametes, variants x gametes, and their side at the last one.

        `alleles` are those of the families' haplotypes, `side` is that before the first variant.
        """
        sides = np.logical_xor.accumulate(np.vstack([side, changes]))[1:]
        here, there = alleles[:, self._haplotype], alleles[:, self._haplotype + 1]
        return np.where(sides, there, here), sides[-1]
