"""The tables of stability selection, beside that of `StabilityResult.to_frame`."""

import numpy as np

from lmmlasso_fast.error_bounds import ASSUMPTIONS
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.stability import StabilityResult


def selected_table(found: StabilityResult, genotypes: Genotypes, cutoff: float):
    """P.selected.tsv: the SNPs from a frequency on."""
    import polars as pl

    snps = found.selected(cutoff)
    table = found.frame_of(snps, genotypes)
    missing = pl.Series("N_MISSING", genotypes.n_missing[snps])
    return table.insert_column(table.columns.index("EAF") + 1, missing)


def loci_table(found: StabilityResult, genotypes: Genotypes):
    """P.loci.tsv: one row per LD group, from its first to its last SNP that was ever selected."""
    import polars as pl

    groups = found.groups
    variants = genotypes.variants
    members = [groups.members(k) for k in range(len(groups.leads))]
    position = variants["POS"].to_numpy()
    spans = np.array([_span(position[snps]) for snps in members], dtype=np.int64).reshape(-1, 2)
    return pl.DataFrame(
        {
            "LD_GROUP": np.arange(1, len(members) + 1),
            "CHROM": variants["CHROM"][groups.leads],
            "START": spans[:, 0],
            "END": spans[:, 1],
            "N_SNPS": np.array([len(snps) for snps in members], dtype=np.int64),
            "LEAD_ID": variants["ID"][groups.leads],
            "SEL_FREQ_GROUP": found.group_frequency,
            "SEL_FREQ_LEAD": found.frequency[groups.leads],
        }
    )


def _span(positions: np.ndarray) -> tuple[int, int]:
    """The first and the last position, of those that are known if any is."""
    known = positions[positions > 0]
    positions = known if len(known) else positions
    return int(positions.min()), int(positions.max())


def bounds_table(found: StabilityResult):
    """P.bounds.tsv: for every cutoff what it selects, and the bounds on what of it is false.

    NA where a bound does not hold.
    """
    import polars as pl

    n = found.n_replicates
    cutoffs = np.arange(n // 2 + 1, n + 1) / n
    table = {
        "CUTOFF": cutoffs,
        "N_SNPS": np.array([int((found.frequency >= c).sum()) for c in cutoffs]),
        "N_GROUPS": np.array([int((found.group_frequency >= c).sum()) for c in cutoffs]),
    }
    for assumption in ASSUMPTIONS:
        name = "MAX_FALSE_" + assumption.upper().replace("-", "_")
        table[name] = np.array([_bound(found, c, assumption) for c in cutoffs])
    return pl.DataFrame(table)


def _bound(found: StabilityResult, cutoff: float, assumption: str) -> float:
    try:
        return found.bound(float(cutoff), assumption)
    except InputError:
        return np.nan


def path_table(found: StabilityResult, genotypes: Genotypes):
    """P.stability_path.tsv: the leads' frequencies along the path."""
    import polars as pl

    path = found.path
    leads = found.groups.leads
    columns = np.searchsorted(path.snps, leads)
    level = "N_ACTIVE" if found.alphas is None else "ALPHA"
    return pl.DataFrame(
        {
            "LD_GROUP": np.repeat(np.arange(1, len(leads) + 1), len(path.levels)),
            "ID": genotypes.variants["ID"][np.repeat(leads, len(path.levels))],
            level: np.tile(path.levels, len(leads)),
            "SEL_FREQ": path.frequency[:, columns].T.ravel(),
        }
    )


def replicates_table(found: StabilityResult):
    """P.replicates.tsv: one row per fit."""
    import polars as pl

    return pl.DataFrame(
        {
            "REPLICATE": np.arange(found.n_replicates),
            "N_SELECTED": found.n_selected,
            "LAST_ALPHA": found.last_alpha,
            "LOG_DELTA": found.log_delta,
            "CONVERGED": found.converged,
            "FAILED": np.isin(np.arange(found.n_replicates), list(found.failures)),
        }
    )
