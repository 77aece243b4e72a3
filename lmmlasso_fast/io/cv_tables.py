"""The table of cross-validation beside that of `CrossValidation.to_frame`."""

import numpy as np

from lmmlasso_fast.cross_validation import CrossValidation
from lmmlasso_fast.genotypes import Genotypes


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
