"""Kinships that leave out one chromosome each, for the scan that does so."""

import numpy as np

from lmmlasso_fast.genotypes import _CODE, Genotypes
from lmmlasso_fast.kinship import Kinship, kinship

#: Chromosomes' sums of products are kept up to this size, and computed twice beyond it.
KEPT_BYTES = 1 << 30


def offered_by_chromosome(genotypes: Genotypes) -> tuple[list[str], list[np.ndarray]]:
    """Return the names of the chromosomes with offered SNPs, by first occurrence, and these."""
    import polars as pl

    offered = np.flatnonzero(genotypes.included)
    table = pl.DataFrame({"name": genotypes.variants["CHROM"][offered], "snp": offered})
    groups = table.group_by("name", maintain_order=True).agg("snp")
    return groups["name"].to_list(), [snps.to_numpy() for snps in groups["snp"]]


class ProductsByChromosome:
    """X X' over the SNPs of all chromosomes but one."""

    def __init__(self, genotypes: Genotypes, snps: list[np.ndarray], n_threads: int):
        n = genotypes.n_samples
        self._genotypes, self._snps = genotypes, snps
        self._n_offered = sum(map(len, snps))
        self._parts: list[np.ndarray] | None = None
        if 8 * n**2 * len(snps) <= KEPT_BYTES:
            self._parts = [self._of(k, n_threads) for k in range(len(snps))]
        self._total = np.zeros((n, n))
        for k in range(len(snps)):
            self._total += self._of(k, n_threads)

    def _of(self, k: int, n_threads: int) -> np.ndarray:
        if self._parts is not None:
            return self._parts[k]
        alone = self._genotypes.without_tables()
        alone.reasons = np.full(alone.n_variants, _CODE["chr"], dtype=np.uint8)
        alone.reasons[self._snps[k]] = 0
        K = kinship(alone, n_threads=n_threads)
        return K.matrix * (K.scale * K.n_variants)

    def kinship_without(self, k: int, n_threads: int) -> Kinship:
        """Return the realised relationship matrix of the SNPs that are not on chromosome k."""
        matrix = self._total - self._of(k, n_threads)
        scale = float(np.mean(np.diag(matrix)))
        matrix /= scale
        matrix.flags.writeable = False
        n_variants = self._n_offered - len(self._snps[k])
        samples = self._genotypes.samples if self._genotypes.has_sample_ids else None
        return Kinship(matrix, samples, "rrm", n_variants, scale / n_variants)
