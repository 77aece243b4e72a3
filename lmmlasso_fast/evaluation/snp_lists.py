"""Lists of SNP numbers as arguments, checked."""

import numpy as np

from lmmlasso_fast.checks import as_indices
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.genotypes import Genotypes


def as_snps(name: str, snps, genotypes: Genotypes) -> np.ndarray:
    """Return distinct SNP numbers as an int64 array."""
    snps = as_indices(snps, name, InputError)
    p = genotypes.n_variants
    if len(snps) and (snps.min() < 0 or snps.max() >= p):
        raise InputError(
            f"{name}: expected SNP numbers from 0 to {p - 1}, found {snps.min()} to {snps.max()}; "
            "they are places in the genotypes' variants"
        )
    values, counts = np.unique(snps, return_counts=True)
    if len(values) < len(snps):
        raise InputError(
            f"{name}: expected every SNP once, found {values[counts.argmax()]} {counts.max()} "
            "times; list it once, at its first place"
        )
    return snps


def require_offered(name: str, snps: np.ndarray, genotypes: Genotypes, advice: str) -> None:
    """Refuse SNPs that are excluded."""
    excluded = snps[~genotypes.included[snps]]
    if len(excluded):
        raise InputError(
            f"{name}: expected SNPs that are offered to the model, found {len(excluded)} that are "
            f"not, such as {excluded[0]}; {advice}"
        )


def as_selected(snps, genotypes: Genotypes) -> np.ndarray:
    """Return distinct SNP numbers that a model can have selected."""
    snps = as_snps("snps", snps, genotypes)
    require_offered("snps", snps, genotypes, "a model cannot have selected them: see excluded")
    return snps
