"""What users write, for the type checker: `mypy --strict` on this file has no complaint.

It is never run. `assert_type` is what keeps a type from being lost.
"""

from pathlib import Path
from typing import assert_type

import numpy as np
import polars as pl

import lmmlasso_fast as ll
from lmmlasso_fast import compat, error_bounds, evaluation, simulation
from lmmlasso_fast.errors import InputError, KinshipError


def read(folder: Path) -> tuple[ll.Genotypes, np.ndarray]:
    genotypes: ll.Genotypes = ll.read_plink(folder / "mouse")
    genotypes = genotypes.filter(maf=0.01, chromosomes=["1", "2"]).collapse_duplicates()
    assert_type(genotypes.n_samples, int)
    assert_type(genotypes.variants, pl.DataFrame)
    assert_type(genotypes.subset([0, 1, 2]), ll.Genotypes)
    y = pl.read_csv(folder / "y.tsv", separator="\t")["Y"].to_numpy()
    return genotypes, y


def kinships(genotypes: ll.Genotypes, folder: Path) -> ll.Kinship:
    K = ll.kinship(genotypes)
    for estimator in ("ibs", "gcta", "centred"):
        K = ll.kinship(genotypes, estimator, n_threads=2)
    for chromosome, without in ll.kinship_loco(genotypes):
        assert_type(chromosome, str)
        assert_type(without, ll.Kinship)
    expected = ll.pedigree_kinship(ll.read_pedigree(folder / "mouse.fam"), genotypes.samples)
    assert_type(expected, ll.Kinship)
    given = ll.Kinship.from_matrix(np.eye(3)).subset([0, 1])
    assert_type(given.spectrum, ll.Spectrum)
    ll.save_kinship(K, folder / "K.npz")
    return ll.read_kinship(folder / "K.npz")


def fit(genotypes: ll.Genotypes, y: np.ndarray, K: ll.Kinship, folder: Path) -> pl.DataFrame:
    try:
        null = ll.fit_null(y, K, covariates=np.ones((len(y), 1)), method="reml")
    except KinshipError as error:
        raise SystemExit(str(error)) from error
    assert_type(null, ll.NullModel)
    assert_type(null.h2_se, float | None)
    path = ll.lasso_path(genotypes, y, null, max_active=20, penalty_factors=[1.0, 2.0])
    assert_type(path, ll.LassoPath)
    coef = path.coefs.toarray()
    split = ll.variance_split(path, genotypes, y)
    assert_type(split, ll.VarianceSplit)
    model = ll.build_model(path, genotypes, alphas=[0.1])
    ll.save_model(model, folder / "m.npz")
    prediction = ll.load_model(folder / "m.npz").predict(genotypes, covariates=None)
    assert_type(prediction, ll.Prediction)
    refitted = ll.refit_path(genotypes, y, null, fractions=[1, 0.5])
    assert_type(refitted.at(-1), ll.LassoPath)
    assert_type(ll.calibrated_alpha(genotypes, y, null).p_value, float)
    print(coef.shape, null._repr_html_(), path.plot(genotypes))
    return path.to_frame()


def choose(genotypes: ll.Genotypes, y: np.ndarray) -> list[pl.DataFrame]:
    cv = ll.cross_validate(genotypes, y, n_folds=5, groups=["a", "b"], seed=1)
    assert_type(cv, ll.CrossValidation)
    assert_type(cv.folds, tuple[ll.Fold, ...])
    stability = ll.stability_selection(genotypes, y, n_active=10, n_replicates=50, n_jobs=2)
    assert_type(stability, ll.StabilityResult)
    assert_type(stability.bound(0.8), float)
    assert_type(stability.groups, ll.LDGroups)
    splits = ll.multi_split(genotypes, y, n_splits=20)
    scan = ll.association_scan(genotypes, y)
    loco = ll.association_scan_loco(genotypes, y, method="reml")
    assert_type(loco, ll.AssociationScan)
    assert_type(loco.genomic_lambda, float)
    assert_type(ll.clump(genotypes, [1, 2], [0.5, 0.6]), ll.LDGroups)
    return [cv.to_frame(), *(found.to_frame(genotypes) for found in (stability, splits, scan))]


def simulate() -> float:
    drawn = simulation.simulate_genotypes(100, 1000, seed=1)
    phenotype = simulation.simulate_phenotype(drawn.dosages, n_causal=5, seed=1)
    assert_type(phenotype, simulation.SimulatedPhenotype)
    genotypes = ll.Genotypes.from_array(drawn.dosages, drawn.samples, drawn.variants)
    scan = ll.association_scan(genotypes, phenotype.y)
    found = evaluation.hits(
        evaluation.rank_snps(scan.log10p), phenotype.causal, genotypes, window=1e5
    )
    curve = evaluation.precision_recall(found)
    assert_type(curve.to_frame(), pl.DataFrame)
    print(error_bounds.expected_false(20, 0.7, 1000, 100))
    return curve.area


def other_faces(X: np.ndarray, y: np.ndarray, K: np.ndarray) -> np.ndarray:
    fitted = ll.LMMLasso(alpha=0.1, l1_ratio=0.9).fit(X, y)
    assert_type(fitted, ll.LMMLasso)
    assert_type(ll.LMMLassoCV(cv=5).fit(X, y, groups=[1, 2]), ll.LMMLassoCV)
    values, transform = ll.transform_phenotype(y, "boxcox")
    assert_type(transform, ll.Transform)
    result = compat.train(X, K, values, 0.1)
    print(result["ldelta0"], compat.stability_selection(X, K, y, 0.1, 10, 0.5))
    return fitted.predict(X)


if __name__ == "__main__":
    try:
        simulate()
    except InputError as error:
        print(error)
