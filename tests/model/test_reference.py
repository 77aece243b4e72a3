"""The oracle against closed forms, textbook formulas and independent implementations."""

import csv

import numpy as np
import pytest
import reference as ref
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

pytestmark = pytest.mark.promise("peers")


def draw(n=40, p=12, c=2, seed=0):
    """A small random problem: y, X (standardised), C (intercept first), K (mean diagonal 1)."""
    rng = np.random.default_rng(seed)
    dosage = rng.binomial(2, rng.uniform(0.2, 0.8, p), size=(n, p)).astype(float)
    X, _, _ = ref.standardise(dosage)
    C = np.column_stack([np.ones(n), rng.standard_normal((n, c - 1))])
    Z = rng.standard_normal((n, 3 * n))
    K, _ = ref.scale_to_unit_diagonal(Z @ Z.T)
    u = np.linalg.cholesky(K) @ rng.standard_normal(n)
    y = C.sum(axis=1) + 0.8 * X[:, 0] - 0.5 * X[:, 3] + u + 0.7 * rng.standard_normal(n)
    return y, X, C, K


def whitened(y, X, C, K, delta):
    W, M = ref.whitening(K, delta, C)
    return M @ W @ X, M @ W @ y


# --- .bed, counts, standardisation ------------------------------------------------------------


def test_bed_bytes_by_hand():
    # 4 + 2 samples. Variant 1: 2, nan, 1, 0 | 0, 2: codes 00 01 10 11 | 11 00, low bits first.
    dosage = np.array([[2.0, np.nan, 1.0, 0.0, 0.0, 2.0], [0, 0, 0, 0, 1, np.nan]]).T
    data = bytes([0x6C, 0x1B, 0x01, 0b11100100, 0b00000011, 0b11111111, 0b00000110])
    assert ref.encode_bed(dosage) == data
    assert_array_equal(ref.decode_bed(data, 6, 2), dosage)


@pytest.mark.parametrize("n_samples", [1, 2, 3, 4, 5, 64, 67])
def test_bed_round_trip(n_samples):
    rng = np.random.default_rng(n_samples)
    dosage = rng.choice([0.0, 1.0, 2.0, np.nan], size=(n_samples, 17))
    assert_array_equal(ref.decode_bed(ref.encode_bed(dosage), n_samples, 17), dosage)


@pytest.mark.parametrize("data", [b"", b"\x6c\x1b\x00\x00", b"\x6c\x1b\x01", b"\x6c\x1b\x01\0\0"])
def test_bed_of_another_shape_is_refused(data):
    with pytest.raises(ValueError, match=r"not a variant-major \.bed"):
        ref.decode_bed(data, 4, 1)


def test_counts_and_frequency():
    dosage = np.array([[0, 2, np.nan], [1, 2, np.nan], [2, np.nan, np.nan], [1, 2, np.nan]])
    assert_array_equal(ref.genotype_counts(dosage), [[1, 2, 1, 0], [0, 0, 3, 1], [0, 0, 0, 4]])
    a1, a2 = ref.allele_counts(dosage)
    assert_array_equal(a1, [4, 6, 0])
    assert_array_equal(a2, [4, 0, 0])
    assert_array_equal(ref.allele_frequency(dosage), [0.5, 1.0, np.nan])


def test_standardise():
    rng = np.random.default_rng(1)
    dosage = rng.choice([0.0, 1.0, 2.0, np.nan], size=(50, 6))
    dosage[:, 2] = 1.0
    dosage[:, 4] = np.nan
    X, mean, sd = ref.standardise(dosage)
    kept = [0, 1, 3, 5]
    assert_allclose(X.sum(axis=0), 0, atol=1e-12)
    assert_allclose((X**2).sum(axis=0)[kept], (~np.isnan(dosage)).sum(axis=0)[kept])
    assert np.all(X[np.isnan(dosage)] == 0)
    assert np.all(X[:, [2, 4]] == 0)
    assert_array_equal(sd[[2, 4]], 0)
    assert_array_equal(mean[[2, 4]], 0)
    assert_array_equal(ref.standardise_with(dosage[:7], mean, sd), X[:7])


def test_allele_scale_gives_the_same_predictor():
    rng = np.random.default_rng(2)
    dosage = rng.choice([0.0, 1.0, 2.0], size=(30, 5))
    dosage[:, 1] = 2.0
    X, mean, sd = ref.standardise(dosage)
    beta = rng.standard_normal(5)
    per_allele, intercept = ref.to_allele_scale(beta, mean, sd, intercept=3.0)
    assert per_allele[1] == 0
    assert_allclose(dosage @ per_allele + intercept, X @ beta + 3.0)


def test_duplicates_are_equal_columns_up_to_the_counted_allele():
    a = np.array([0.0, 1, 2, 2, np.nan, 0])
    half = np.array([0.0, 0, 1, 1, 0, 0])
    other = np.array([0.0, 1, 2, 2, 0, 0])
    constant = np.array([1.0, 1, 1, 1, np.nan, 1])
    dosage = np.column_stack([a, half, constant, 2 - a, other, a, constant, 2 * half, 2 - half])
    assert ref.duplicates(dosage) == [(3, 0, -1), (5, 0, 1), (8, 1, -1)]
    X, _, _ = ref.standardise(dosage)
    for j, first, sign in ref.duplicates(dosage):
        assert_allclose(X[:, j], sign * X[:, first])
    # The one case left out: 0/1 against 0/2 is another variant, although it standardises alike.
    assert_allclose(X[:, 7], X[:, 1])


# --- likelihood -------------------------------------------------------------------------------


def test_ml_is_the_normal_density():
    y, _, C, K = draw()
    fit = ref.null_model_at(0.3, y, K, C)
    cov = fit.sigma_g2 * K + fit.sigma_e2 * np.eye(len(y))
    density = stats.multivariate_normal(C @ fit.gamma, cov).logpdf(y)
    assert_allclose(fit.nll, -density, rtol=1e-12)


def test_reml_is_the_density_of_the_error_contrasts():
    y, _, C, K = draw(c=3)
    contrasts = np.linalg.svd(C)[0][:, C.shape[1] :]  # A'C = 0, A'A = I
    fit = ref.null_model_at(-0.4, y, K, C, "reml")
    cov = contrasts.T @ (fit.sigma_g2 * K + fit.sigma_e2 * np.eye(len(y))) @ contrasts
    density = stats.multivariate_normal(cov=cov).logpdf(contrasts.T @ y)
    assert_allclose(fit.nll, -density, rtol=1e-12)


@pytest.mark.parametrize("method", ["ml", "reml"])
def test_null_model_scales_as_it_should(method):
    y, _, C, K = draw(seed=3)
    fit = ref.fit_null(y, K, C, method)
    assert not fit.at_boundary
    scaled_kinship = ref.fit_null(y, 3 * K, C, method)
    assert_allclose(scaled_kinship.nll, fit.nll, rtol=1e-12)
    assert_allclose(scaled_kinship.log_delta, fit.log_delta + np.log(3), atol=1e-6)
    assert_allclose(3 * scaled_kinship.sigma_g2, fit.sigma_g2, rtol=1e-6)
    affine = ref.fit_null(5 * y + C @ np.array([2.0, -1.0]), K, C, method)
    assert_allclose(affine.log_delta, fit.log_delta, atol=1e-6)
    assert_allclose(affine.sigma_e2, 25 * fit.sigma_e2, rtol=1e-6)


def test_null_model_is_the_minimum_and_flags_the_boundary():
    y, _, C, K = draw(seed=3)
    fit = ref.fit_null(y, K, C)
    assert fit.n_local_minima == 1
    grid = np.linspace(-5, 5, 41)
    assert fit.nll <= min(ref.nll(x, y, K, C) for x in grid)
    noise = np.linalg.eigh(K)[1][:, :5].sum(axis=1)  # where K has least variance
    fit = ref.fit_null(noise, K, C[:, :1])
    assert fit.at_boundary
    assert fit.log_delta == 5.0


def test_h2_standard_error_is_the_curvature_of_the_profile():
    y, _, C, K = draw(n=80, seed=5)
    fit = ref.fit_null(y, K, C)
    step = 1e-3
    values = [ref.nll(fit.log_delta + k * step, y, K, C) for k in (-1, 0, 1)]
    curvature = (values[0] - 2 * values[1] + values[2]) / step**2
    slope = fit.h2 * (1 - fit.h2)  # |d h2 / d log delta|
    se = ref.h2_standard_error(fit.log_delta, y, K, C)
    assert_allclose(se, slope / np.sqrt(curvature), rtol=1e-3)


# --- whitening --------------------------------------------------------------------------------


def test_whitening_is_the_inverse_square_root():
    _, _, C, K = draw()
    delta = 0.6
    W, M = ref.whitening(K, delta, C)
    assert_allclose(W.T @ W, np.linalg.inv(K + delta * np.eye(len(K))), atol=1e-12)
    assert_allclose(M @ W @ C, 0, atol=1e-12)
    assert_allclose(M @ M, M, atol=1e-12)
    assert_allclose(W.T @ M @ W, ref.precision(K, delta, C), atol=1e-12)
    W, M = ref.whitening(None, None, C)
    assert_allclose(W.T @ M @ W, ref.precision(None, None, C), atol=1e-12)


def test_no_covariates_at_all():
    y, _, C, K = draw()
    none = C[:, :0]
    assert_array_equal(ref.whitening(K, 0.5, none)[1], np.eye(len(y)))
    fit = ref.null_model_at(0.0, y, K, none)
    cov = fit.sigma_g2 * (K + np.eye(len(y)))
    assert_allclose(fit.nll, -stats.multivariate_normal(cov=cov).logpdf(y), rtol=1e-12)


# --- the penalised problem --------------------------------------------------------------------


@pytest.mark.parametrize("l1_ratio", [1.0, 0.6])
def test_orthonormal_design_is_soft_thresholding(l1_ratio):
    rng = np.random.default_rng(7)
    n, p = 30, 8
    X = np.linalg.qr(rng.standard_normal((n, p)))[0] * np.sqrt(n)  # X'X = n I
    y = rng.standard_normal(n)
    factors = rng.uniform(0.5, 2, p)
    z = X.T @ y / n
    alpha = 0.5 * np.median(np.abs(z))
    expected = np.sign(z) * np.maximum(np.abs(z) - alpha * l1_ratio * factors, 0)
    expected /= 1 + alpha * (1 - l1_ratio) * factors
    beta = ref.lasso_cd(X, y, alpha, l1_ratio, factors)
    assert 0 < np.count_nonzero(expected) < p
    assert_allclose(beta, expected, atol=1e-12)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_zero_at_alpha_max_and_not_just_below(l1_ratio):
    y, X, C, K = draw()
    X, y = whitened(y, X, C, K, 0.8)
    top = ref.alpha_max(X, y, l1_ratio)
    zero = np.zeros(X.shape[1])
    assert ref.relative_gap(zero, X, y, top, l1_ratio) < 1e-14
    assert_array_equal(ref.lasso_cd(X, y, top * (1 + 1e-12), l1_ratio), zero)
    assert np.count_nonzero(ref.lasso_cd(X, y, 0.999 * top, l1_ratio)) == 1


@pytest.mark.parametrize("l1_ratio", [1.0, 0.3])
def test_gap_bounds_the_error_and_vanishes_at_the_optimum(l1_ratio):
    y, X, C, K = draw(n=30, p=50)
    X, y = whitened(y, X, C, K, 0.8)
    rng = np.random.default_rng(1)
    factors = rng.uniform(0.5, 2, 50)
    alpha = 0.1 * ref.alpha_max(X, y, l1_ratio, factors)
    args = (X, y, alpha, l1_ratio, factors)
    best = ref.lasso_cd(*args)
    optimum = ref.objective(best, *args)
    assert 0 < np.count_nonzero(best) < 50
    assert abs(ref.relative_gap(best, *args)) <= 1e-12
    assert ref.kkt_violation(best, *args) < 1e-6 * alpha
    for size in 10.0 ** np.arange(-6, 4):
        beta = best + size * rng.standard_normal(50)
        error = ref.objective(beta, *args) - optimum
        assert error > 0
        assert ref.duality_gap(beta, *args) >= error
        assert ref.kkt_violation(beta, *args) > 0


def test_elastic_net_is_the_lasso_of_the_augmented_problem():
    y, X, C, K = draw(n=30, p=20)
    X, y = whitened(y, X, C, K, 0.8)
    n, p = X.shape
    alpha, l1_ratio = 0.3 * ref.alpha_max(X, y), 0.4
    factors = np.linspace(0.5, 2, p)
    rows = np.diag(np.sqrt(n * alpha * (1 - l1_ratio) * factors))
    # The augmented problem has n + p rows: its own n is absorbed in the penalty.
    args = np.vstack([X, rows]), np.r_[y, np.zeros(p)], alpha * l1_ratio * n / (n + p), 1.0, factors
    beta = ref.lasso_cd(X, y, alpha, l1_ratio, factors)
    assert_allclose(ref.lasso_cd(*args), beta, atol=1e-7)
    for b in (beta, np.ones(p)):
        net = ref.objective(b, X, y, alpha, l1_ratio, factors)
        assert_allclose(net * n, ref.objective(b, *args) * (n + p), rtol=1e-12)
        net = ref.duality_gap(b, X, y, alpha, l1_ratio, factors)
        assert_allclose(net * n, ref.duality_gap(b, *args) * (n + p), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.7])
def test_against_scikit_learn(l1_ratio):
    linear_model = pytest.importorskip("sklearn.linear_model")
    y, X, C, K = draw(n=50, p=80, seed=4)
    X, y = whitened(y, X, C, K, 0.5)
    alphas = ref.alpha_max(X, y, l1_ratio) * np.array([0.5, 0.2, 0.05])
    coefs = ref.lasso_path(X, y, alphas, l1_ratio)
    for alpha, beta in zip(alphas, coefs.T, strict=True):
        other = linear_model.ElasticNet(
            alpha=alpha, l1_ratio=l1_ratio, fit_intercept=False, tol=1e-13, max_iter=1_000_000
        ).fit(X, y)
        assert_allclose(beta, other.coef_, atol=1e-6)
        assert abs(ref.relative_gap(other.coef_, X, y, alpha, l1_ratio)) < 1e-11


def test_least_squares_limit():
    y, X, C, K = draw(n=40, p=5)
    delta = 0.5
    Xw, yw = whitened(y, X, C, K, delta)
    beta = ref.lasso_cd(Xw, yw, 1e-9 * ref.alpha_max(Xw, yw), tol=1e-13)
    both = np.hstack([C, X])
    expected, _ = ref.gls(y, K + delta * np.eye(len(y)), both)
    assert_allclose(beta, expected[C.shape[1] :], rtol=1e-5)
    assert_allclose(ref.fixed_effects(beta, y, X, C, K, delta), expected[: C.shape[1]], rtol=1e-5)


def test_duplicated_columns_share_one_effect():
    y, X, C, K = draw()
    Xw, yw = whitened(y, X, C, K, 0.5)
    alpha = 0.3 * ref.alpha_max(Xw, yw)
    beta = ref.lasso_cd(Xw, yw, alpha)
    doubled = ref.lasso_cd(np.hstack([Xw, -Xw[:, :1], Xw[:, 3:4]]), yw, alpha)
    total = doubled[:-2].copy()
    total[0] -= doubled[-2]
    total[3] += doubled[-1]
    assert_allclose(total, beta, atol=1e-6)


def test_penalty_factors():
    y, X, C, K = draw(p=10)
    delta = 0.7
    factors = np.ones(10)
    factors[[2, 5, 7]] = 0.0, np.inf, 2.0
    C_all, keep, pi = ref.split_penalty_factors(X, C, factors)
    assert_array_equal(keep, [0, 1, 3, 4, 6, 7, 8, 9])
    assert_array_equal(C_all, np.column_stack([C, X[:, 2]]))
    Xw, yw = whitened(y, X[:, keep], C_all, K, delta)
    alpha = 0.2 * ref.alpha_max(Xw, yw, 1.0, pi)
    beta = np.zeros(10)
    beta[keep] = ref.lasso_cd(Xw, yw, alpha, 1.0, pi)
    beta[2] = ref.fixed_effects(beta[keep], y, X[:, keep], C_all, K, delta)[-1]
    # Optimality of the whole vector: gradient 0 where the factor is 0, bounded by it elsewhere.
    Xc, yc = whitened(y, X, C, K, delta)
    gradient = Xc.T @ (yc - Xc @ beta) / len(y)
    assert abs(gradient[2]) < 1e-12
    assert np.all(np.abs(gradient[keep]) <= alpha * pi * (1 + 1e-6))
    # A factor is the same as dividing the column by it.
    same = ref.lasso_cd(Xw / pi, yw, alpha)
    assert_allclose(same / pi, beta[keep], atol=1e-6)


def test_not_converged_is_an_error():
    y, X, C, K = draw(n=20, p=60)
    Xw, yw = whitened(y, X, C, K, 0.5)
    with pytest.raises(RuntimeError, match="gap above"):
        ref.lasso_cd(Xw, yw, 0.01 * ref.alpha_max(Xw, yw), max_sweeps=1)


# --- prediction and variances -----------------------------------------------------------------


def test_blup_solves_the_mixed_model_equations():
    y, X, C, K = draw()
    n, c = C.shape
    delta = 0.8
    # Henderson: [C'C, C'; C, I + delta K^-1] (gamma, u) = (C'y, y)
    left = np.block([[C.T @ C, C.T], [C, np.eye(n) + delta * np.linalg.inv(K)]])
    solution = np.linalg.solve(left, np.r_[C.T @ y, y])
    fit = ref.predict(np.zeros(X.shape[1]), y, X, C, K, delta, X, C, K)
    assert_allclose(fit.covariates, C @ solution[:c], rtol=1e-9)
    assert_allclose(fit.random, solution[c:], rtol=1e-9, atol=1e-10)
    assert_array_equal(fit.snps, 0)


def test_prediction_parts_and_new_samples():
    y, X, C, K = draw()
    delta, beta = 0.8, np.linspace(-1, 1, X.shape[1])
    everyone = ref.predict(beta, y, X, C, K, delta, X, C, K)
    assert_array_equal(everyone.total, everyone.covariates + everyone.snps + everyone.random)
    assert_allclose(everyone.snps, X @ beta)
    one = ref.predict(beta, y, X, C, K, delta, X[[4]], C[[4]], K[[4]])  # a copy of sample 4
    assert_allclose(one.total, everyone.total[[4]])
    plain = ref.predict(beta, y, X, C, None, None, X, C, None)
    gamma = np.linalg.lstsq(C, y - X @ beta, rcond=None)[0]
    assert_allclose(plain.total, C @ gamma + X @ beta)
    # y - y_hat = delta V^-1 r on the training samples
    r = y - C @ ref.fixed_effects(beta, y, X, C, K, delta) - X @ beta
    V = K + delta * np.eye(len(y))
    assert_allclose(y - everyone.total, delta * np.linalg.solve(V, r))


def test_kinship_of_a_new_sample_equal_to_an_old_one():
    rng = np.random.default_rng(3)
    dosage = rng.choice([0.0, 1.0, 2.0, np.nan], size=(20, 40))
    X, mean, sd = ref.standardise(dosage)
    K, scale = ref.scale_to_unit_diagonal(ref.kinship_rrm(X, 40))
    X_new = ref.standardise_with(dosage[[3, 8]], mean, sd)
    assert_allclose(ref.kinship_rrm_new(X_new, X, 40, scale), K[[3, 8]], rtol=1e-12)
    assert_allclose(np.trace(K), 20)


def test_variance_split_starts_at_the_null_model():
    y, X, C, K = draw()
    fit = ref.fit_null(y, K, C)
    zero = ref.variance_split(np.zeros(X.shape[1]), y, X, C, K, fit.delta)
    assert zero.snps == 0
    assert_allclose([zero.random, zero.noise], [fit.sigma_g2, fit.sigma_e2])
    beta = np.full(X.shape[1], 0.1)
    plain = ref.variance_split(beta, y, X, C, None, None)
    assert plain.random == 0
    assert_allclose(plain.snps, np.var(X @ beta))


# --- known figures ----------------------------------------------------------------------------


def test_mouse_cd8_figures(data_dir):
    """1,410 mice with CD8, 10,992 polymorphic SNPs, RRM and an intercept."""
    folder = data_dir / "mouse_hs1940"
    with (folder / "phenotypes.tsv").open(newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    with (folder / "mouse_hs1940.fam").open() as handle:
        assert [line.split()[:2] for line in handle] == [[r["FID"], r["IID"]] for r in rows]
    measured = np.array([row["CD8"] != "NA" for row in rows])
    y = np.array([float(row["CD8"]) for row in rows if row["CD8"] != "NA"])
    bed = (folder / "mouse_hs1940.bed").read_bytes()
    X, _, sd = ref.standardise(ref.decode_bed(bed, len(rows), 12_226)[measured])
    p = np.count_nonzero(sd)
    K, C = ref.kinship_rrm(X, p), np.ones((len(y), 1))
    assert (len(y), p) == (1_410, 10_992)
    fits = {m: ref.fit_null(y, K, C, m, n_grid=3, low=-1, high=0.5) for m in ("ml", "reml")}
    assert_allclose(fits["ml"].log_delta, -0.394077, atol=1e-5)
    assert_allclose(fits["reml"].log_delta, -0.391439, atol=1e-5)
    assert_allclose(fits["ml"].nll, 1586.778024, atol=1e-4)
    standardised = (y - y.mean()) / y.std()
    assert_allclose(ref.nll(-0.394077, standardised, K, C), 1587.430366, atol=1e-4)
