"""The small data on which the entries' calls run."""

from types import SimpleNamespace

import numpy as np
import polars as pl

import lmmlasso_fast as ll
from lmmlasso_fast.simulation import simulate_genotypes

N, P = 60, 40


def small_problem() -> SimpleNamespace:
    """Genotypes in three forms, a phenotype with SNPs and structure, and what is made of them."""
    drawn = simulate_genotypes(N, P, n_populations=3, missing_rate=0.03, n_chromosomes=2, seed=4)
    packed = drawn.genotypes()
    tables = drawn.samples, drawn.variants
    values = np.where(drawn.dosages < 0, np.nan, drawn.dosages).astype(float)
    rng = np.random.default_rng(2)
    softened = np.clip(values + rng.choice([0, 0.25], values.shape), 0, 2)
    real = values + 0.1 * rng.standard_normal(values.shape)
    X = packed.columns(np.arange(P))
    u = X @ rng.standard_normal(P) / np.sqrt(P)
    y = 5 + X[:, 3] - X[:, 20] + 0.7 * u + 0.5 * rng.standard_normal(N)
    C = np.column_stack([rng.standard_normal(N), drawn.population == 1]).astype(float)
    K = ll.kinship(packed)
    other_K = ll.Kinship.from_matrix(K.matrix / 2 + np.eye(N) / 2, samples=K.samples)
    null = ll.fit_null(y, K, C)
    factors = np.ones(P)
    factors[[3, 5]] = 0, np.inf
    path = ll.lasso_path(packed, y, null, n_alphas=12)
    return SimpleNamespace(
        packed=packed,
        dosage=ll.DosageGenotypes.from_dosages(softened, *tables),
        dense=ll.Genotypes.from_array(real, *tables),
        samples=drawn.samples,
        variants=drawn.variants,
        population=drawn.population,
        dosages=drawn.dosages,
        values=values,
        X=X,
        y=y,
        other_y=y + 0.3 * rng.standard_normal(N),
        C=C,
        K=K,
        other_K=other_K,
        null=null,
        other_null=ll.fit_null(y, K, C[:, :1]),
        reml=ll.fit_null(y, K, C, "reml"),
        factors=factors,
        families=np.repeat(np.arange(N // 4), 4),
        path=path,
        plain_path=ll.lasso_path(packed, y, n_alphas=12),
        scan=ll.association_scan(packed, y, null),
        plain_scan=ll.association_scan(packed, y),
        stability=ll.stability_selection(packed, y, K, n_active=4, n_replicates=6),
        path_of_other_y=ll.lasso_path(packed, y[::-1].copy(), null, n_alphas=12),
        other_stability=ll.stability_selection(packed, y, K, n_active=6, n_replicates=6),
        pedigree=pl.DataFrame(
            {
                "FID": ["f"] * 4,
                "IID": ["a", "b", "c", "d"],
                "FATHER": ["0", "0", "a", "a"],
                "MOTHER": ["0", "0", "b", "0"],
            }
        ),
    )
