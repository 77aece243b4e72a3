"""The table of the univariate scan, and its null models by chromosome."""

from dataclasses import asdict

import numpy as np

from lmmlasso_fast.association import AssociationScan
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.preprocessing import Transform


def scan_table(scan: AssociationScan, genotypes: Genotypes):
    """P.scan.tsv: one row per SNP that is offered, with regenie's names; ALLELE1 is A1."""
    import polars as pl

    snps = np.flatnonzero(genotypes.included)
    return genotypes.variants[snps].select(
        "CHROM",
        pl.col("POS").alias("GENPOS"),
        "ID",
        pl.col("A2").alias("ALLELE0"),
        pl.col("A1").alias("ALLELE1"),
        pl.Series("A1FREQ", genotypes.frequency[snps]),
        pl.lit(scan.n_samples).alias("N"),
        pl.lit(scan.test).alias("TEST"),
        pl.Series("BETA", scan.beta[snps]),
        pl.Series("SE", scan.se[snps]),
        pl.Series("CHISQ", scan.chisq[snps]),
        pl.Series("LOG10P", scan.log10p[snps]),
    )


def loco_content(scan: AssociationScan, method: str, transform: Transform, n_variants: int) -> dict:
    """What P.null.json holds after --loco: `chromosomes` has a null model for each."""
    return {
        "method": method,
        "n_samples": scan.n_samples,
        "n_variants": n_variants,
        "covariates": list(scan.design.names),
        "dropped_covariates": list(scan.design.dropped),
        "transform": transform.to_dict() | {"table": None},
        "kinship": {"estimator": "rrm", "samples": "analysed", "left_out": "own chromosome"},
        "chromosomes": [asdict(null) for null in scan.chromosome_nulls],
    }
