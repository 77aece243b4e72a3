"""Prediction equals dense algebra: covariates, SNPs, random effect, and SNPs that must match."""

import numpy as np
import polars as pl
import pytest
import reference as ref
from numpy.testing import assert_allclose, assert_array_equal
from problems import covariance, dense, from_array, random_dosages, variant_table

import lmmlasso_fast as ll
from lmmlasso_fast.errors import CovariateError, InputError, KinshipError, ModelError

pytestmark = pytest.mark.promise("peers")

N, N_NEW, P = 40, 15, 60
PARTS = ("total", "covariates", "snp", "random")


class Study:
    """Training and new samples, a path on the first, all by the package; the rest by the oracle."""

    def __init__(self, seed=0, kinship="rrm", log_delta=0.0, make=from_array, **options):
        rng = np.random.default_rng(seed)
        D = random_dosages(rng, N + N_NEW, P, missing=0.05, hostile=True)
        D[:N, 15], D[N:, 15] = 1.0, 2.0  # monomorphic in training only
        D[:N, 16], D[N:, 16] = np.arange(N) % 3, 0.0  # monomorphic among the new ones only
        self.D, self.D_new = D[:N], D[N:]
        self.X, self.mean, self.sd = ref.standardise(self.D)
        self.X_new = ref.standardise_with(self.D_new, self.mean, self.sd)
        self.covariates = rng.standard_normal((N + N_NEW, 2))
        self.C = np.column_stack([np.ones(N + N_NEW), self.covariates])
        self.y = 3 + self.X[:, :5] @ rng.standard_normal(5) + self.C[:N, 1] + rng.standard_normal(N)
        self.variants = variant_table(P, "123")
        self.genotypes = make(self.D, variants=self.variants)
        self.p = np.sum(self.sd > 0)
        self.K_new = ref.kinship_rrm_new(self.X_new, self.X, self.p)
        self.K = ref.kinship_rrm(self.X, self.p)
        if kinship == "rrm":
            K = ll.kinship(self.genotypes)
        else:
            K = ll.Kinship.from_matrix(kinship * self.K)
            self.K_new = kinship * self.K_new
        self.null = ll.fit_null(self.y, K, self.covariates[:N], log_delta=log_delta)
        self.path = ll.lasso_path(self.genotypes, self.y, self.null, n_alphas=8, **options)
        self.model = ll.build_model(self.path, self.genotypes)

    def new(self, D=None, **options):
        return from_array(self.D_new if D is None else D, variants=self.variants, **options)

    def expected(self, k, X_new, C_new, K_new):
        """The oracle's prediction at grid point k."""
        beta = self.path.coefs.toarray()[:, k]
        K, delta = covariance(self.null), self.null.delta
        K_new = K_new / self.null.kinship.scale
        return ref.predict(beta, self.y, self.X, self.C[:N], K, delta, X_new, C_new, K_new)


def check(got, expected, atol=1e-5):
    """K is summed in float32: 1e-7 of its entries, times the condition of V."""
    assert_allclose(got.total, expected.total, atol=atol)
    assert_allclose(got.covariates, expected.covariates, atol=atol)
    assert_allclose(got.snp, expected.snps, atol=atol)
    assert_allclose(got.random, expected.random, atol=atol)
    assert_allclose(got.total, got.covariates + got.snp + got.random, atol=1e-12)


def equal(a, b, atol=1e-10, rows=slice(None)):
    for name in PARTS:
        assert_allclose(getattr(a, name), getattr(b, name)[rows], atol=atol, err_msg=name)


@pytest.fixture(scope="module")
def study():
    return Study()


@pytest.fixture(scope="module")
def new(study):
    """The prediction of the new samples at the last alpha."""
    return study.model.predict(study.new(), covariates=study.covariates[N:])


# ---- dense algebra ---------------------------------------------------------------------------


@pytest.mark.parametrize("log_delta", [-3.0, 0.0, 4.0])
@pytest.mark.parametrize("make", [from_array, dense])
def test_training_and_new_samples_equal_dense_algebra(log_delta, make):
    study = Study(1, log_delta=log_delta, make=make)
    for k, alpha in enumerate(study.path.alphas):
        got = study.model.predict(study.new(), alpha=alpha, covariates=study.covariates[N:])
        check(got, study.expected(k, study.X_new, study.C[N:], study.K_new))
        got = study.model.predict(study.genotypes, alpha=alpha, covariates=study.covariates[:N])
        check(got, study.expected(k, study.X, study.C[:N], study.K))
        # y = C gamma + X beta + K V^-1 r + delta V^-1 r, without any inverse
        left = study.null.delta * study.path.dual[:, k]
        assert_allclose(got.total + left, study.y, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_alpha_max_is_blup(seed):
    study = Study(seed)
    model, alpha = study.model, study.path.alpha_max
    V = covariance(study.null) + study.null.delta * np.eye(N)
    gamma, _ = ref.gls(study.y, V, study.C[:N])
    u = study.K_new / study.null.kinship.scale @ np.linalg.solve(V, study.y - study.C[:N] @ gamma)
    for a in (alpha, 3 * alpha, 1e9 * alpha):
        got = model.predict(study.new(), alpha=a, covariates=study.covariates[N:])
        assert not got.snp.any()
        assert_allclose(got.random, u, atol=1e-6)
        assert_allclose(got.total, study.C[N:] @ gamma + u, atol=1e-6)


def test_without_a_random_effect(study):
    path = ll.lasso_path(study.genotypes, study.y, covariates=study.covariates[:N], n_alphas=8)
    model = ll.build_model(path, study.genotypes)
    got = model.predict(study.new(), covariates=study.covariates[N:])
    beta = path.coefs.toarray()[:, -1]
    expected = ref.predict(
        beta, study.y, study.X, study.C[:N], None, None, study.X_new, study.C[N:], None
    )
    check(got, expected, atol=1e-9)
    assert not got.random.any()
    assert (model.random, model.log_delta, model.h2) == ("none", None, None)


def test_without_intercept_and_covariates(study):
    path = ll.lasso_path(study.genotypes, study.y, intercept=False, n_alphas=5)
    got = ll.build_model(path, study.genotypes).predict(study.new())
    assert not got.covariates.any()
    assert_allclose(got.total, study.X_new @ path.coefs.toarray()[:, -1], atol=1e-10)


def test_unpenalised_snps_predict_too():
    pi = np.ones(P)
    pi[[5, 6]] = 0
    study = Study(2, penalty_factors=pi)
    got = study.model.predict(study.new(), covariates=study.covariates[N:])
    assert study.path.coefs.toarray()[[5, 6]].all()
    check(got, study.expected(-1, study.X_new, study.C[N:], study.K_new))


# ---- new samples -----------------------------------------------------------------------------


def test_a_new_sample_identical_to_a_training_one_gets_its_prediction(study):
    got = study.model.predict(study.new(study.D[[7, 7, 3]]), covariates=study.covariates[[7, 7, 3]])
    training = study.model.predict(study.genotypes, covariates=study.covariates[:N])
    equal(got, training, rows=[7, 7, 3])


def test_one_new_sample_is_what_it_is_among_many(study, new):
    """Its own frequencies play no part: training mean and sd."""
    for i in range(N_NEW):
        one = study.model.predict(study.new(study.D_new[[i]]), covariates=study.covariates[[N + i]])
        equal(one, new, rows=[i])
    chosen = study.new().subset([9, 2, 5])
    equal(study.model.predict(chosen, covariates=study.covariates[[N + 9, N + 2, N + 5]]), new,
          rows=[9, 2, 5])  # fmt: skip


def test_new_genotypes_may_be_numbers(study, new):
    got = study.model.predict(
        dense(study.D_new, variants=study.variants), covariates=study.covariates[N:]
    )
    equal(got, new)


def test_filters_of_the_new_genotypes_play_no_part(study, new):
    kept = study.new().filter(maf=0.3)
    assert kept.included.sum() < P
    equal(study.model.predict(kept, covariates=study.covariates[N:]), new)


# ---- SNPs ------------------------------------------------------------------------------------


def test_permuted_and_extra_snps(study, new):
    rng = np.random.default_rng(3)
    order = rng.permutation(P)
    extra = random_dosages(rng, N_NEW, 4)
    D = np.column_stack([extra, study.D_new[:, order]])
    table = pl.concat(
        [study.variants[:4].with_columns(ID=pl.Series(["x1", "x2", "x3", "x4"])),
         study.variants[order]]
    )  # fmt: skip
    got = study.model.predict(from_array(D, variants=table), covariates=study.covariates[N:])
    equal(got, new)


def test_an_allele_counted_the_other_way_round_is_flipped(study, new):
    flip = np.random.default_rng(4).random(P) < 0.5
    D = np.where(flip, 2 - study.D_new, study.D_new)
    a1, a2 = np.where(flip, "G", "A"), np.where(flip, "A", "G")
    table = study.variants.with_columns(A1=pl.Series(a1), A2=pl.Series(a2))
    got = study.model.predict(from_array(D, variants=table), covariates=study.covariates[N:])
    equal(got, new)


def test_other_alleles_are_refused_whether_used_or_not(study):
    for j in (0, 59):
        a2 = np.where(np.arange(P) == j, "T", "G")
        table = study.variants.with_columns(A2=pl.Series(a2))
        with pytest.raises(ModelError, match=f"SNP rs{j}: expected the alleles A/G .* found A/T"):
            study.model.predict(
                from_array(study.D_new, variants=table), covariates=study.covariates[N:]
            )


def test_missing_snps_are_refused_or_put_at_the_mean(study):
    keep = np.setdiff1d(np.arange(P), [0, 3, 30])
    part = from_array(study.D_new[:, keep], variants=study.variants[keep])
    with pytest.raises(ModelError, match=r"3 of the model's .* the first is rs0; .*allow_missing"):
        study.model.predict(part, covariates=study.covariates[N:])
    got = study.model.predict(part, covariates=study.covariates[N:], allow_missing=True)
    D = study.D_new.copy()
    D[:, [0, 3, 30]] = np.nan
    equal(got, study.model.predict(study.new(D), covariates=study.covariates[N:]))


def test_a_snp_that_was_not_offered_is_not_asked_for(study, new):
    keep = np.flatnonzero(study.sd > 0)
    assert len(keep) < P
    part = from_array(study.D_new[:, keep], variants=study.variants[keep])
    equal(study.model.predict(part, covariates=study.covariates[N:]), new)


def test_in_order_needs_no_ids_but_the_same_number_of_snps(study, new):
    plain = from_array(study.D_new)
    equal(study.model.predict_in_order(plain, covariates=study.covariates[N:]), new)
    for columns in (P - 1, 3):
        with pytest.raises(ModelError, match=r"expected .*found"):
            study.model.predict_in_order(
                from_array(study.D_new[:, :columns]), covariates=study.covariates[N:]
            )


# ---- kinship ---------------------------------------------------------------------------------


@pytest.mark.parametrize("c", [1e-3, 1.0, 50.0])
def test_a_given_kinship_has_one_scale_for_all_its_blocks(c):
    study = Study(5, kinship=c)
    assert study.model.random == "sample"
    assert_allclose(study.model.kinship_scale, c * np.mean(np.diag(study.K)))
    for k in (0, -1):
        got = study.model.predict(
            study.new(), alpha=study.path.alphas[k], covariates=study.covariates[N:],
            kinship=study.K_new,
        )  # fmt: skip
        check(got, study.expected(k, study.X_new, study.C[N:], study.K_new), atol=1e-8)
    # a new sample with a training one's rows everywhere is that sample
    got = study.model.predict(study.genotypes, covariates=study.covariates[:N], kinship=c * study.K)
    left = study.null.delta * study.path.dual[:, -1]
    assert_allclose(got.total + left, study.y, atol=1e-9)


@pytest.mark.parametrize(
    "kinship",
    [None, np.eye(N), np.ones((N_NEW, N - 1)), np.ones((N, N_NEW)), np.full((N_NEW, N), np.nan)],
)
def test_a_kinship_of_other_samples_is_refused(kinship):
    study = Study(5, kinship=2.0)
    with pytest.raises(KinshipError, match=r"expected .*found"):
        study.model.predict(study.new(), covariates=study.covariates[N:], kinship=kinship)


def test_a_kinship_that_is_not_needed_is_refused(study):
    with pytest.raises(KinshipError, match="expected none, found one"):
        study.model.predict(
            study.new(), covariates=study.covariates[N:], kinship=np.ones((N_NEW, N))
        )


def test_a_kinship_of_more_samples_or_other_snps_is_not_taken_for_that_of_the_genotypes():
    """K[I, I] is standardised over all samples; as many SNPs does not make them the same."""
    study = Study(6)
    half = np.arange(0, N, 2)
    part = study.genotypes.subset(half)
    swapped = random_dosages(np.random.default_rng(7), N, P, missing=0.05)
    swapped[:, study.sd == 0] = 1.0
    for genotypes, K, rows in (
        (part, ll.kinship(study.genotypes).subset(half), half),
        (study.genotypes, ll.kinship(from_array(swapped)), np.arange(N)),
    ):
        null = ll.fit_null(study.y[rows], K, log_delta=0.0)
        path = ll.lasso_path(genotypes, study.y[rows], null, n_alphas=4)
        model = ll.build_model(path, genotypes)
        assert model.random == "sample"
        got = model.predict(genotypes, kinship=K.matrix * K.scale)
        assert_allclose(got.total + path.dual[:, -1], study.y[rows], atol=1e-5)
    null = ll.fit_null(study.y[half], ll.kinship(part), log_delta=0.0)
    path = ll.lasso_path(part, study.y[half], null, n_alphas=4)
    assert ll.build_model(path, part).random == "snp"


# ---- covariates, alphas, transforms ----------------------------------------------------------


@pytest.mark.parametrize(
    "covariates",
    [
        None, np.ones((N_NEW, 1)), np.ones((N_NEW, 3)), np.ones((N_NEW - 1, 2)),
        np.full((N_NEW, 2), np.nan), np.full((N_NEW, 2), np.inf), np.full((N_NEW, 2), "a"),
        np.ma.masked_all((N_NEW, 2)), np.ones((N_NEW, 2)) + 1j,
    ],
)  # fmt: skip
def test_covariates_must_be_those_of_training(study, covariates):
    with pytest.raises(CovariateError, match=r"covariates: expected .*found"):
        study.model.predict(study.new(), covariates=covariates)


def test_alphas_between_grid_points_and_beyond(study):
    a, b = study.path.alphas[5:7]
    options = {"covariates": study.covariates[N:]}
    first, second, between = (
        study.model.predict(study.new(), alpha=alpha, **options) for alpha in (a, b, (a + b) / 2)
    )
    for name in PARTS:
        mean = (getattr(first, name) + getattr(second, name)) / 2
        assert_allclose(getattr(between, name), mean, atol=1e-10)
    last = study.model.predict(study.new(), alpha=study.path.alphas[-1], **options)
    equal(study.model.predict(study.new(), **options), last, atol=0)
    for alpha in (study.path.alphas[-1] / 2, 0, np.nan):
        with pytest.raises(InputError, match="alpha"):
            study.model.predict(study.new(), alpha=alpha, **options)


def test_a_model_of_chosen_alphas(study):
    alphas = [study.path.alphas[6], (study.path.alphas[2] + study.path.alphas[3]) / 2]
    small = ll.build_model(study.path, study.genotypes, alphas=alphas)
    assert_array_equal(small.alphas, sorted(alphas, reverse=True))
    for alpha in alphas:
        got, expected = (
            model.predict(study.new(), alpha=alpha, covariates=study.covariates[N:])
            for model in (small, study.model)
        )
        equal(got, expected)
    with pytest.raises(InputError, match="alpha"):
        ll.build_model(study.path, study.genotypes, alphas=[study.path.alphas[-1] / 2])


@pytest.mark.parametrize("method", ["boxcox", "rint", "none"])
def test_transforms_are_undone(study, method):
    positive = np.exp(study.y / 4)
    y, transform = ll.transform_phenotype(positive, method)
    null = ll.fit_null(y, ll.kinship(study.genotypes), study.covariates[:N], log_delta=0.0)
    path = ll.lasso_path(study.genotypes, y, null, n_alphas=5)
    model = ll.build_model(path, study.genotypes, transform=transform)
    got = model.predict(study.genotypes, covariates=study.covariates[:N])
    parts = got.covariates + got.snp + got.random
    assert_allclose(got.total, transform.inverse(parts), rtol=1e-12)
    assert_allclose(parts + path.dual[:, -1], y, atol=1e-5)
    assert np.corrcoef(got.total, positive)[0, 1] > 0.5


def test_inputs_stay_untouched_and_the_model_is_frozen(study):
    D = study.D_new.copy()
    D.flags.writeable = False
    covariates = study.covariates[N:].copy()
    covariates.flags.writeable = False
    study.model.predict(study.new(D), covariates=covariates)
    assert_array_equal(D, study.D_new)
    with pytest.raises(AttributeError):
        study.model.alphas = [1.0]
