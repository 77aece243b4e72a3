"""The result files of the command line: tab-separated tables and JSON, the same bytes for the
same result. Floats are written in shortest round-trip form, missing values as NA."""

import json
import os

import numpy as np

from lmmlasso_fast.display import snp_columns
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.io.atomic import atomic_write
from lmmlasso_fast.null_model import NullModel
from lmmlasso_fast.path import LassoPath
from lmmlasso_fast.prediction import Model, Prediction
from lmmlasso_fast.preprocessing import Transform
from lmmlasso_fast.variance import VarianceSplit, variance_by_snp


def write_table(frame, path: str | os.PathLike) -> None:
    """Write a polars DataFrame as a tab-separated table with a header.

    Booleans become 1 and 0; NaN and null become NA.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    import polars as pl
    import polars.selectors as cs

    frame = frame.with_columns(cs.boolean().cast(pl.Int8), cs.float().fill_nan(None))
    with atomic_write(path, "wb") as file:
        file.write(frame.write_csv(separator="\t", null_value="NA", quote_style="never").encode())


def write_json(content: dict, path: str | os.PathLike) -> None:
    """Write JSON, indented, without NaN."""
    with atomic_write(path) as file:
        file.write(json.dumps(content, indent=1, allow_nan=False) + "\n")


def null_model_content(
    null: NullModel, transform: Transform, n_variants: int, kinship_samples: str
) -> dict:
    """What P.null.json holds; `n_variants` are offered to the model.

    The kinship's SNPs were standardised over the "analysed" samples, or over "all"; or it was
    "given".
    """
    return {
        "method": null.method,
        "log_delta": null.log_delta,
        "delta": null.delta,
        "sigma_g2": null.sigma_g2,
        "sigma_e2": null.sigma_e2,
        "h2": null.h2,
        "h2_se": null.h2_se,
        "log_likelihood": null.log_likelihood,
        "at_boundary": null.at_boundary,
        "multimodal": null.multimodal,
        "flat": null.flat,
        "n_samples": null.n_samples,
        "n_variants": n_variants,
        "covariates": dict(zip(null.design.names, null.gamma.tolist(), strict=True)),
        "dropped_covariates": list(null.design.dropped),
        "transform": transform.to_dict() | {"table": None},
        "kinship": {
            "estimator": null.kinship.estimator,
            "samples": kinship_samples,
            "n_variants": null.kinship.n_variants,
            "scale": null.kinship.scale,
        },
        "profile": {
            "log_delta": null.profile.log_delta.tolist(),
            "nll": null.profile.nll.tolist(),
        },
    }


def path_table(path: LassoPath, split: VarianceSplit, further: dict | None = None):
    """P.path.tsv: one row per alpha; `further` are more columns."""
    import polars as pl

    parts = [path.to_frame(), split.to_frame().drop("VAR_TOTAL"), pl.DataFrame(further or {})]
    return pl.concat(parts, how="horizontal")


def coefficient_table(path: LassoPath, genotypes: Genotypes):
    """P.coef.tsv: one row per non-zero coefficient, by alpha, then by SNP."""
    import polars as pl

    coefs = path.coefs.tocsc()
    index = np.repeat(np.arange(len(path.alphas)), np.diff(coefs.indptr))
    return pl.concat(
        [
            pl.DataFrame({"INDEX": index}),
            snp_columns(genotypes, coefs.indices),
            effect_columns(genotypes, coefs.indices, coefs.data),
        ],
        how="horizontal",
    )


def selected_table(path: LassoPath, genotypes: Genotypes, coef: np.ndarray, total: float):
    """P.selected.tsv: the SNPs active at one alpha, first to enter first; `total`: all variance."""
    import polars as pl

    snps = np.flatnonzero(coef)
    snps = snps[np.argsort(-path.alpha_entry[snps], kind="stable")]
    return pl.concat(
        [
            snp_columns(genotypes, snps),
            pl.DataFrame({"N_MISSING": genotypes.n_missing[snps]}),
            effect_columns(genotypes, snps, coef[snps]),
            pl.DataFrame({"ALPHA_ENTRY": path.alpha_entry[snps]}),
            pl.DataFrame({"VAR_EXPLAINED": variance_by_snp(genotypes, coef, total)[snps]}),
        ],
        how="horizontal",
    )


def score_table(genotypes: Genotypes, coef: np.ndarray):
    """P.score.tsv for `plink2 --score`: effects per copy of A1."""
    import polars as pl

    snps = np.flatnonzero(coef)
    ids = genotypes.variants[snps].select("ID", "A1")
    return ids.with_columns(pl.Series("BETA", coef[snps] / genotypes.sd[snps]))


def effect_columns(genotypes: Genotypes, snps: np.ndarray, coef: np.ndarray):
    """BETA per copy of the effect allele and BETA_STD per standard deviation."""
    import polars as pl

    return pl.DataFrame({"BETA": coef / genotypes.sd[snps], "BETA_STD": coef})


def prediction_table(samples, prediction: Prediction, offset: float):
    """P.pred.tsv. PRED_SNP is the sum of BETA x dosage; `offset`, what centring the SNPs subtracts
    from it, is in PRED_COVARIATES, so that the parts add up."""
    import polars as pl

    return prediction.to_frame(samples).with_columns(
        pl.col("PRED_COVARIATES") - offset, pl.col("PRED_SNP") + offset
    )


def dosage_offset(model: Model, alpha: float | None) -> float:
    """Return sum_j beta_j mean_j / sd_j: PRED_SNP on dosages minus that on standardised SNPs."""
    beta = model.coef_at(alpha)
    return float(beta @ (model.mean / model.sd))
