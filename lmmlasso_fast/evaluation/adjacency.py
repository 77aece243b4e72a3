"""Whether selected SNPs are neighbours on the map."""

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast.evaluation.maps import chromosomes
from lmmlasso_fast.evaluation.snp_lists import as_selected
from lmmlasso_fast.genotypes import Genotypes


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
    snps = as_selected(snps, genotypes)
    if len(snps) == 0:
        return np.nan
    is_selected = np.zeros(genotypes.n_variants, dtype=bool)
    is_selected[snps] = True
    offered = np.flatnonzero(genotypes.included)
    is_selected, chromosome = is_selected[offered], chromosomes(genotypes)[1][offered]
    is_pair = is_selected[:-1] & is_selected[1:] & (chromosome[:-1] == chromosome[1:])
    return float(is_pair.sum() / len(snps))
