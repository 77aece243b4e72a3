"""The tables of cross-validation."""

import numpy as np

from lmmlasso_fast.cross_validation import CrossValidation
from lmmlasso_fast.genotypes import Genotypes


def scores_table(found: CrossValidation):
    """P.cv.tsv: one row per alpha; EV_k is the score of fold k, repeats one after the other."""
    import polars as pl

    return pl.DataFrame(
        {
            "ALPHA": found.alphas,
            "N_ACTIVE": found.n_active,
            "EXPLAINED_VARIANCE": found.explained_variance,
            "SE": found.se,
            "CORRELATION": found.correlation,
        }
        | {f"EV_{k}": scores for k, scores in enumerate(found.fold_scores, start=1)}
    )


def held_out_table(found: CrossValidation, genotypes: Genotypes, y: np.ndarray, index: int):
    """P.cv_pred.tsv: every sample's prediction by the fold that held it out, at one alpha.

    FOLD counts as the EV columns of P.cv.tsv do.
    """
    import polars as pl

    parts = []
    for number, fold in enumerate(found.folds, start=1):
        ids = genotypes.samples.select("FID", "IID")[fold.test]
        parts.append(
            ids.with_columns(
                pl.lit(number).alias("FOLD"),
                pl.Series("PHENOTYPE", y[fold.test]),
                pl.Series("PRED", found.predictions[fold.repeat, fold.test, index]),
            )
        )
    return pl.concat(parts)
