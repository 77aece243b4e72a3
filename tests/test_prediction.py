"""Prediction from Python: dense algebra, matching of SNPs, transforms, refusals."""

import numpy as np
import pytest
import reference as ref
from numpy.testing import assert_allclose, assert_array_equal
from problems import covariance, from_array, mixed_problem, plain_problem, random_dosages

import lmmlasso_fast as ll
from lmmlasso_fast.errors import CovariateError, InputError, KinshipError, ModelError


@pytest.fixture(scope="module")
def trained():
    """A problem, its path and model, and new samples with the oracle's parts for each alpha."""
    problem = mixed_problem(11, n=70, p=90, n_covariates=1)
    problem.path = ll.lasso_path(
        problem.genotypes, problem.y, problem.null, n_alphas=12, eps=0.05, tol=1e-12
    )
    problem.model = ll.build_model(problem.path, problem.genotypes)
    problem.D_new = random_dosages(np.random.default_rng(12), 9, 90, 0.05, False)
    problem.new_covariates = np.random.default_rng(13).standard_normal((9, 1))
    return problem


def by_dense_algebra(problem, D, covariates, k):
    """The oracle's three parts for new samples at grid point k."""
    _, mean, sd = ref.standardise(problem.D)
    X_new = ref.standardise_with(D, mean, sd)
    C_new = np.column_stack([np.ones(len(D)), covariates])
    K_new = ref.kinship_rrm_new(X_new, problem.X, problem.n_included, problem.kinship.scale)
    beta = problem.path.coefs[:, [k]].toarray()[:, 0]
    delta = problem.null.delta
    return ref.predict(
        beta, problem.y, problem.X, problem.C, covariance(problem.null), delta, X_new, C_new, K_new
    )


@pytest.mark.parametrize("k", [0, 3, 11])
def test_new_samples_by_dense_algebra(trained, k):
    alpha = trained.path.alphas[k]
    found = trained.model.predict(
        from_array(trained.D_new), alpha=alpha, covariates=trained.new_covariates
    )
    expected = by_dense_algebra(trained, trained.D_new, trained.new_covariates, k)
    assert_allclose(found.covariates, expected.covariates, rtol=1e-6, atol=1e-8)
    assert_allclose(found.snp, expected.snps, atol=1e-10)
    assert_allclose(found.random, expected.random, atol=1e-5)  # float32 kinship
    assert_allclose(found.total, found.covariates + found.snp + found.random, rtol=1e-14)
    assert (k == 0) == (not found.snp.any())  # alpha_max is BLUP


def test_training_samples_have_the_predicted_random_effect(trained):
    found = trained.model.predict(trained.genotypes, covariates=trained.covariates)
    beta = trained.path.coefs[:, [-1]].toarray()[:, 0]
    left = trained.y - trained.C @ trained.path.gammas[:, -1] - trained.X @ beta
    # K V^-1 r = r - delta V^-1 r
    expected = left - trained.null.delta * trained.path.dual[:, -1]
    assert_allclose(found.random, expected, atol=1e-5)


def test_a_new_sample_that_is_a_training_sample(trained):
    alone = from_array(trained.D[[4]])
    found = trained.model.predict(alone, covariates=trained.covariates[[4]])
    all_of_them = trained.model.predict(trained.genotypes, covariates=trained.covariates)
    for part in ("total", "covariates", "snp", "random"):
        assert_allclose(getattr(found, part), getattr(all_of_them, part)[[4]], rtol=1e-12)


def test_between_grid_points_everything_is_interpolated(trained):
    a, b = trained.path.alphas[[4, 5]]
    new, covariates = from_array(trained.D_new), trained.new_covariates
    low, high, middle = (
        trained.model.predict(new, alpha=alpha, covariates=covariates).total
        for alpha in (b, a, 0.25 * a + 0.75 * b)
    )
    assert_allclose(middle, 0.25 * high + 0.75 * low, rtol=1e-12)
    assert not np.allclose(low, high)
    above = trained.model.predict(new, alpha=10 * trained.path.alpha_max, covariates=covariates)
    assert not above.snp.any()
    with pytest.raises(InputError, match=r"alpha: expected a number from .*, found"):
        trained.model.predict(new, alpha=0.5 * trained.path.alphas[-1], covariates=covariates)


def test_a_model_kept_at_one_alpha_predicts_there_only(trained):
    alpha = trained.path.alphas[6]
    model = ll.build_model(trained.path, trained.genotypes, alphas=[alpha])
    new, covariates = from_array(trained.D_new), trained.new_covariates
    assert_array_equal(
        model.predict(new, covariates=covariates).total,
        trained.model.predict(new, alpha=alpha, covariates=covariates).total,
    )
    with pytest.raises(InputError, match="alpha"):
        model.predict(new, alpha=1.5 * alpha, covariates=covariates)


def variants_of(p):
    return from_array(np.tile([[0.0], [1.0]], (1, p))).variants


def test_snps_are_matched_by_id_and_alleles(trained):
    import polars as pl

    rng = np.random.default_rng(14)
    variants = variants_of(90)
    order = rng.permutation(90)
    swapped = rng.random(90) < 0.5
    D = np.where(swapped, 2 - trained.D_new, trained.D_new)[:, order]
    frame = variants.with_columns(
        pl.Series("A1", np.where(swapped, variants["A2"], variants["A1"])),
        pl.Series("A2", np.where(swapped, variants["A1"], variants["A2"])),
    )[order]
    extra = frame[:1].with_columns(pl.lit("unknown").alias("ID"))
    new = from_array(np.column_stack([D, D[:, 0]]), variants=pl.concat([frame, extra]))
    found = trained.model.predict(new, covariates=trained.new_covariates)
    plain = trained.model.predict(from_array(trained.D_new), covariates=trained.new_covariates)
    assert_allclose(found.total, plain.total, rtol=1e-10)
    assert_allclose(found.random, plain.random, atol=1e-10)


def test_absent_snps_are_refused_or_put_at_the_mean(trained):
    variants = variants_of(90)
    new = from_array(trained.D_new[:, 1:], variants=variants[1:])
    with pytest.raises(ModelError, match=r"1 of the model's \d+ SNPs are not .* snp0; pass"):
        trained.model.predict(new, covariates=trained.new_covariates)
    found = trained.model.predict(new, covariates=trained.new_covariates, allow_missing=True)
    D = trained.D_new.copy()
    D[:, 0] = np.nan
    filled = trained.model.predict(from_array(D), covariates=trained.new_covariates)
    assert_allclose(found.total, filled.total, rtol=1e-12)


def test_other_alleles_are_refused(trained):
    import polars as pl

    variants = variants_of(90).with_columns(pl.lit("T").alias("A2"))
    with pytest.raises(ModelError, match="SNP snp0: expected the alleles A/B"):
        trained.model.predict(
            from_array(trained.D_new, variants=variants), covariates=trained.new_covariates
        )


def test_a_given_kinship_is_asked_for_on_its_own_scale():
    problem = mixed_problem(15, n=60, p=50)
    G = problem.K + np.eye(60)
    null = ll.fit_null(problem.y, 3.0 * G, log_delta=0.3)
    path = ll.lasso_path(problem.genotypes, problem.y, null, n_alphas=5, eps=0.2)
    model = ll.build_model(path, problem.genotypes)
    found = model.predict(problem.genotypes, kinship=3.0 * G)
    beta = path.coefs[:, [-1]].toarray()[:, 0]
    scaled, C = G / np.trace(G) * 60, np.ones((60, 1))
    parts = ref.predict(beta, problem.y, problem.X, C, scaled, null.delta, problem.X, C, scaled)
    assert_allclose(found.random, parts.random, atol=1e-8)
    with pytest.raises(KinshipError, match="expected the kinship of the 60 new"):
        model.predict(problem.genotypes)
    with pytest.raises(KinshipError, match=r"of shape \(60, 60\)"):
        model.predict(problem.genotypes, kinship=G[:, :-1])


def test_covariates_and_kinship_that_do_not_fit_are_refused(trained):
    new = from_array(trained.D_new)
    for covariates in (None, np.ones((9, 2)), np.full((9, 1), np.nan)):
        with pytest.raises(CovariateError, match="covariates: expected 9 finite rows of 1 columns"):
            trained.model.predict(new, covariates=covariates)
    with pytest.raises(KinshipError, match="expected none"):
        trained.model.predict(new, covariates=trained.new_covariates, kinship=np.eye(9))


@pytest.mark.parametrize("method", ["boxcox", "rint"])
def test_predictions_undo_the_transform(method):
    problem = plain_problem(16, n=60, p=40)
    z, transform = ll.transform_phenotype(np.exp(problem.y / 3), method)
    path = ll.lasso_path(problem.genotypes, z, n_alphas=6, eps=0.1)
    model = ll.build_model(path, problem.genotypes, transform=transform)
    found = model.predict(problem.genotypes)
    parts = found.covariates + found.snp + found.random
    assert_array_equal(found.total, transform.inverse(parts))
    assert np.corrcoef(found.total, np.exp(problem.y / 3))[0, 1] > 0.5
    assert not np.allclose(found.total, parts)
