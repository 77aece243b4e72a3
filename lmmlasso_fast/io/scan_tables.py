"""The null models of a univariate scan by chromosome; its table is `AssociationScan.to_frame`."""

from dataclasses import asdict

from lmmlasso_fast.association import AssociationScan
from lmmlasso_fast.preprocessing import Transform


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
