"""The null model against the oracle, and the relations that it must obey."""

import numpy as np
import pytest
import reference as ref
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal
from threadpoolctl import threadpool_limits

import lmmlasso_fast as ll
from lmmlasso_fast.covariates import as_design
from lmmlasso_fast.errors import (
    CovariateError,
    DataWarning,
    InputError,
    KinshipError,
    PhenotypeError,
)
from lmmlasso_fast.null_model import _Likelihood, _minimise

pytestmark = pytest.mark.promise("peers")


def example(seed, n=40, k=2, rank=None, h2=0.5):
    """(y, K of mean diagonal 1, covariates, C) with variance shares h2 and 1 - h2."""
    rng = np.random.default_rng(seed)
    p = rank or 2 * n
    X = rng.standard_normal((n, p)) * np.linspace(1, 0.1, p) ** 2  # eigenvalues of all sizes
    X /= np.sqrt(np.mean(np.sum(X**2, axis=1)))
    K = X @ X.T
    covariates = rng.standard_normal((n, k))
    u = X @ rng.standard_normal(p)
    y = 2 + covariates.sum(axis=1) + np.sqrt(h2) * u + np.sqrt(1 - h2) * rng.standard_normal(n)
    return y, K, covariates, np.column_stack([np.ones(n), covariates])


def check(null, y, K, C, method="ml"):
    """Everything that a null model says, at its log delta."""
    expected = ref.null_model_at(null.log_delta, y, K, C, method)
    size = np.abs(y).max()
    for name in ("delta", "sigma_g2", "sigma_e2", "h2"):
        assert_allclose(getattr(null, name), getattr(expected, name), rtol=1e-8, err_msg=name)
    assert_allclose(null.gamma, expected.gamma, rtol=1e-8, atol=1e-9 * size)
    assert_allclose(-null.log_likelihood, expected.nll, rtol=1e-9, atol=1e-8)
    at = np.arange(0, len(null.profile.nll), 17)
    values = [ref.nll(null.profile.log_delta[k], y, K, C, method) for k in at]
    assert_allclose(null.profile.nll[at], values, rtol=1e-9, atol=1e-8)


# ---- against the oracle ----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize(
    ("seed", "k", "rank"), [(0, 0, None), (1, 2, None), (2, 5, None), (3, 1, 12), (4, 0, 1)]
)
def test_optimum_of_the_likelihood(seed, k, rank, method):
    """Full and low rank: the null directions of K stay in determinant and residual."""
    y, K, covariates, C = example(seed, k=k, rank=rank)
    null = ll.fit_null(y, K, covariates, method=method)
    best = ref.fit_null(y, K, C, method)
    assert -null.log_likelihood <= best.nll + 1e-9
    assert null.at_boundary == best.at_boundary
    assert_allclose(null.log_delta, best.log_delta, atol=1e-4)
    assert null.method == method
    check(null, y, K, C, method)


def test_log_likelihood_is_the_density_of_the_model():
    y, K, covariates, _ = example(5)
    null = ll.fit_null(y, K, covariates)
    V = null.sigma_g2 * K + null.sigma_e2 * np.eye(40)
    density = multivariate_normal(null.design.matrix @ null.gamma, V).logpdf(y)
    assert_allclose(null.log_likelihood, density, rtol=1e-10)


@pytest.mark.parametrize("log_delta", [-30.0, -5.0, 0.3, 5.0, 30.0])
@pytest.mark.parametrize("method", ["ml", "reml"])
def test_a_given_delta_is_taken(log_delta, method):
    y, K, covariates, C = example(6)
    null = ll.fit_null(y, K, covariates, method=method, log_delta=log_delta)
    assert (null.log_delta, null.method, null.h2_se) == (log_delta, "given", None)
    assert not null.at_boundary
    if log_delta > -20:  # the oracle inverts V, whose condition number is 1 / delta
        check(null, y, K, C, method)
    assert np.isfinite([null.sigma_g2, null.h2, null.log_likelihood, *null.gamma]).all()


@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("k", [0, 3])
def test_the_derivative_is_one(reml, k):
    y, K, covariates, _ = example(7, k=k)
    likelihood = _Likelihood(ll.Kinship.from_matrix(K), y, as_design(covariates, 40), reml=reml)
    x, step = np.linspace(-4.5, 4.5, 19), 1e-5
    difference = likelihood.profile(x + step)[0] - likelihood.profile(x - step)[0]
    assert_allclose(likelihood.profile(x)[1], difference / (2 * step), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["ml", "reml"])
def test_standard_error_of_h2_from_the_curvature(method):
    n_interior = 0
    for seed in range(8):
        y, K, covariates, C = example(seed, n=60)
        null = ll.fit_null(y, K, covariates, method=method)
        if null.at_boundary:
            assert null.h2_se is None
            continue
        n_interior += 1
        expected = ref.h2_standard_error(null.log_delta, y, K, C, method, step=1e-4)
        assert_allclose(null.h2_se, expected, rtol=1e-3)
    assert n_interior >= 4


# ---- odd likelihoods -------------------------------------------------------------------------


def test_all_noise_and_no_noise_end_at_the_boundary():
    y, K, _, C = example(9, n=60, k=0, h2=1.0)
    for pheno, end, h2 in ((y, -5.0, 1 / (1 + np.exp(-5))), (None, 5.0, 1 / (1 + np.exp(5)))):
        if pheno is None:  # smallest along the large eigenvalues: less similar than unrelated
            s, U = np.linalg.eigh(K)
            pheno = U @ (np.random.default_rng(1).standard_normal(60) / (1 + s))
        null = ll.fit_null(pheno, K)
        assert (null.log_delta, null.at_boundary, null.h2_se) == (end, True, None)
        assert_allclose(null.h2, h2)
        check(null, pheno, K, C)


class Cubic:
    """x^3 / 3 + 2 x^2, or its mirror image: minima at 0 and beyond -6, a maximum at -4."""

    def __init__(self, sign):
        self.sign = sign

    def profile(self, x):
        x = self.sign * x
        return x**3 / 3 + 2 * x**2, self.sign * x * (x + 4)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_end_of_the_grid_against_the_minimum_inside(sign):
    """Values at the end and inside are compared, not those of its neighbours."""
    for low, expected in ((-7.0, (-7.0, True)), (-5.0, (0.0, False)), (-3.0, (0.0, False))):
        grid = np.sort(sign * np.linspace(low, 3.0, 5))
        found, at_boundary, _ = _minimise(Cubic(sign), grid, *Cubic(sign).profile(grid))
        assert_allclose(found, sign * expected[0], atol=1e-6)
        assert at_boundary == expected[1]


@pytest.mark.parametrize("method", ["ml", "reml"])
def test_identity_does_not_identify_delta(method):
    y, _, covariates, C = example(10)
    with pytest.warns(DataWarning, match="does not depend on delta"):
        null = ll.fit_null(y, 3 * np.eye(40), covariates, method=method)
    assert null.flat
    assert (null.log_delta, null.h2_se, null.at_boundary, null.multimodal) == (
        0.0,
        None,
        False,
        False,
    )
    check(null, y, np.eye(40), C, method)
    assert not ll.fit_null(*example(10)[:2]).flat


def several_minima(seed):
    """Eigenvalues of three sizes, and a phenotype whose variance along them is erratic."""
    rng, n = np.random.default_rng(seed), 12
    s = np.array([0.01] * 4 + [0.3] * 4 + [5.0] * 4) * np.exp(rng.normal(size=n) * 0.3)
    U, _ = np.linalg.qr(rng.normal(size=(n, n)))
    K, _ = ref.scale_to_unit_diagonal((U * s) @ U.T)
    return U @ (rng.normal(size=n) * np.sqrt(s) * np.exp(rng.normal(size=n) * 0.7)), (K + K.T) / 2


@pytest.mark.parametrize("seed", [14, 52, 97, 108, 110, 244, 351, 530])
def test_the_best_of_several_minima_is_found_and_flagged(seed):
    y, K = several_minima(seed)
    null = ll.fit_null(y, K, intercept=False)
    best = ref.fit_null(y, K, np.empty((12, 0)))
    assert best.n_local_minima > 1
    assert null.multimodal
    assert_allclose(null.log_delta, best.log_delta, atol=1e-4)
    assert -null.log_likelihood <= best.nll + 1e-9


def test_one_minimum_is_not_several():
    flags = [ll.fit_null(*several_minima(seed), intercept=False).multimodal for seed in range(14)]
    assert flags == [ref.fit_null(*several_minima(seed), np.empty((12, 0))).n_local_minima > 1
                     for seed in range(14)]  # fmt: skip
    assert not all(flags)


def test_slightly_indefinite_kinship_works_with_a_warning():
    y, K, _, _ = example(11, rank=20)
    s, U = np.linalg.eigh(K)
    s[0] = -1e-4 * s[-1]
    with pytest.warns(DataWarning, match="negative eigenvalues"):
        null = ll.fit_null(y, (U * s) @ U.T)
    assert_allclose(null.h2, ll.fit_null(y, K).h2, atol=1e-3)


@pytest.mark.parametrize("log_delta", [-800, 800, 40.1, float("inf"), float("nan")])
def test_a_delta_that_is_rounding_to_the_kinship_or_the_other_way_round_is_an_error(log_delta):
    y, K, _, _ = example(12, rank=5)
    with pytest.raises(InputError, match="log_delta: expected a number from -40 to 40, found"):
        ll.fit_null(y, K, log_delta=log_delta)
    with pytest.raises(InputError, match="within 40 of zero"):
        ll.fit_null(y, K, log_delta_max=log_delta, log_delta_min=-log_delta)


def test_a_tiny_delta_with_a_low_rank_kinship_is_finite():
    y, K, _, _ = example(12, rank=5)
    assert np.isfinite(ll.fit_null(y, K, log_delta=-40).log_likelihood)


# ---- relations -------------------------------------------------------------------------------


def same(a, b, **options):
    assert a.h2_se is not None  # an interior optimum, where there is something to compare
    tolerance = {"rtol": 1e-7, **options}
    for name in ("log_delta", "h2", "h2_se", "sigma_g2"):
        assert_allclose(getattr(a, name), getattr(b, name), err_msg=name, **tolerance)


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("c", [1e-8, 0.3, 3.0, 1e8])
def test_a_multiple_of_the_kinship_changes_nothing(c, method):
    y, K, covariates, _ = example(13, h2=0.6)
    one = ll.fit_null(y, K, covariates, method=method)
    other = ll.fit_null(y, c * K, covariates, method=method)
    same(one, other, atol=1e-8)
    assert_allclose(other.log_likelihood, one.log_likelihood, rtol=1e-10)
    assert_allclose(other.kinship.scale, c, rtol=1e-12)


@pytest.mark.parametrize("a", [1e-150, 1e-6, -1.0, 1e6, 1e150])
def test_the_unit_of_the_phenotype(a):
    y, K, covariates, _ = example(14)
    one, other = ll.fit_null(y, K, covariates), ll.fit_null(a * y, K, covariates)
    assert_allclose(other.log_delta, one.log_delta, rtol=1e-9)
    assert_allclose(other.h2_se, one.h2_se, rtol=1e-7)
    assert_allclose(other.sigma_g2 / a / a, one.sigma_g2, rtol=1e-9)
    assert_allclose(other.gamma / a, one.gamma, rtol=1e-9)
    assert_allclose(other.log_likelihood, one.log_likelihood - 40 * np.log(abs(a)), rtol=1e-10)


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("size", [1.0, 1e4, 1e8])
def test_adding_covariates_to_the_phenotype_moves_only_their_effects(size, method):
    y, K, covariates, C = example(15)
    shift = size * np.array([1.0, -2.0, 0.5])
    one = ll.fit_null(y, K, covariates, method=method)
    other = ll.fit_null(y + C @ shift, K, covariates, method=method)
    same(one, other, rtol=1e-15 * size + 1e-8)
    assert_allclose(other.gamma - shift, one.gamma, atol=1e-14 * size + 1e-9)


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("c", [1e-8, 1e8])
def test_the_units_of_covariates(c, method):
    y, K, covariates, _ = example(16)
    scale = np.array([1.0, c])
    one = ll.fit_null(y, K, covariates, method=method)
    other = ll.fit_null(y, K, covariates * scale, method=method)
    same(one, other)
    assert_allclose(other.log_likelihood, one.log_likelihood, rtol=1e-9)
    assert_allclose(other.gamma[1:] * scale, one.gamma[1:], rtol=1e-7)


def test_the_order_of_samples():
    y, K, covariates, _ = example(17)
    order = np.random.default_rng(0).permutation(40)
    same(
        ll.fit_null(y, K, covariates),
        ll.fit_null(y[order], K[np.ix_(order, order)], covariates[order]),
        atol=1e-7,
    )


def test_the_bits_do_not_depend_on_blas_threads():
    y, K, covariates, _ = example(18, n=120)
    results = set()
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, user_api="blas"):
            null = ll.fit_null(y, K, covariates, method="reml")
            results.add((null.log_delta, null.h2_se, null.sigma_g2, null.profile.nll.tobytes()))
    assert len(results) == 1


# ---- covariates ------------------------------------------------------------------------------


def test_without_any_covariate():
    y, K, _, _ = example(19)
    y = y - y.mean()
    for method in ("ml", "reml"):  # without covariates they are the same
        null = ll.fit_null(y, K, intercept=False, method=method)
        check(null, y, K, np.empty((40, 0)))
        assert null.gamma.shape == (0,)
        assert null.design.names == ()
    assert ll.fit_null(y, K, np.ones((40, 1)), intercept=False).design.names == ("covariate1",)


def test_collinear_and_constant_covariates_are_dropped_by_name():
    y, K, covariates, C = example(20)
    twice = np.column_stack(
        [np.full(40, 7.0), covariates[:, 0], covariates @ [1, 2] + 3, covariates[:, 1],
         np.zeros(40)]
    )  # fmt: skip
    with pytest.warns(DataWarning, match="sex, height, nothing dropped"):
        null = ll.fit_null(
            y, K, twice, covariate_names=["sex", "age", "mixed", "height", "nothing"]
        )
    assert null.design.names == ("intercept", "age", "mixed")
    assert null.design.dropped == ("sex", "height", "nothing")
    same(null, ll.fit_null(y, K, covariates))
    assert_allclose(null.design.matrix @ null.gamma, C @ ll.fit_null(y, K, covariates).gamma)


@pytest.mark.parametrize(
    ("covariates", "text"),
    [
        (np.random.default_rng(0).standard_normal((12, 11)), "found 12 and 12"),
        (np.random.default_rng(0).standard_normal((12, 30)), "found 12 and 12|dropped"),
        (np.ones((11, 1)), r"expected 12 rows.*\(11, 1\)"),
        (np.ones((12, 2, 1)), "expected 12 rows"),
        (np.where(np.arange(12) == 3, np.nan, 1.0), "nan in row 4, column 1"),
        (np.where(np.arange(12) == 3, np.inf, 1.0), "inf in row 4"),
        (np.array(["a", "b"] * 6), "real numbers"),
        (np.ones(12) + 1j, "complex"),
        (np.ma.masked_equal(np.arange(12), 5), "nan in row 6"),
    ],
)
def test_covariates_that_cannot_be_used_are_refused(covariates, text):
    y, K = several_minima(0)
    with pytest.raises((CovariateError, DataWarning), match=text):
        ll.fit_null(y, K, covariates)


def test_names_must_be_as_many_as_columns():
    y, K, covariates, _ = example(21)
    with pytest.raises(CovariateError, match="expected 2 names, found 3"):
        ll.fit_null(y, K, covariates, covariate_names=["a", "b", "c"])


# ---- phenotypes and options ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda y: np.ones(12), "at least two values, found only 1.0; take samples"),
        (lambda y: np.where(np.arange(12) == 5, np.nan, y), "nan at position 5"),
        (lambda y: np.where(np.arange(12) == 5, -np.inf, y), "inf at position 5"),
        (lambda y: np.ma.masked_array(y, np.arange(12) == 5), "nan at position 5"),
        (lambda y: y[:-1], "expected 12 values"),
        (lambda y: y[:, None], r"\(12, 1\)"),
        (lambda y: y.astype(str), "real numbers"),
        (lambda y: ["tall"] * 12, "real numbers"),
        (lambda y: y + 1j, "complex"),
        (lambda y: [None, {}] * 6, "dict"),
    ],
)
def test_phenotypes_that_cannot_be_used_are_refused(change, text):
    y, K = several_minima(0)
    with pytest.raises(PhenotypeError, match=text):
        ll.fit_null(change(y), K)


@pytest.mark.parametrize("a", [1e-300, 1e-160, 1e160, 1e300])
def test_a_phenotype_whose_variance_is_no_number_is_refused(a):
    y, K = several_minima(0)
    with pytest.raises(PhenotypeError, match="another unit"):
        ll.fit_null(a * y, K)


def test_a_phenotype_that_the_covariates_explain_is_refused():
    _, K, covariates, C = example(22)
    with pytest.raises(PhenotypeError, match="explain it completely"):
        ll.fit_null(C @ [3.0, 1.0, -2.0], K, covariates)


@pytest.mark.parametrize(
    "options",
    [
        {"method": "mle"}, {"n_grid": 0}, {"log_delta": np.nan}, {"log_delta": np.inf},
        {"log_delta_min": 1.0, "log_delta_max": 1.0},
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused(options):
    y, K, _, _ = example(23)
    with pytest.raises(InputError, match="expected"):
        ll.fit_null(y, K, **options)
    with pytest.raises(KinshipError, match="square"):
        ll.fit_null(y, K[:, 1:])


def test_every_option_changes_something():
    y, K, covariates, _ = example(24)
    null = ll.fit_null(y, K, covariates)
    assert len(ll.fit_null(y, K, covariates, n_grid=10).profile.nll) == 11
    short = ll.fit_null(y, K, covariates, log_delta_min=2.0, log_delta_max=3.0)
    assert 2 <= short.log_delta <= 3
    assert (short.profile.log_delta[0], short.profile.log_delta[-1]) == (2.0, 3.0)
    assert null.log_delta != ll.fit_null(y, K, covariates, method="reml").log_delta
    assert null.log_delta != ll.fit_null(y, K, covariates, intercept=False).log_delta
    assert null.log_delta != ll.fit_null(y, K).log_delta


@pytest.mark.parametrize("n_threads", [0, -1, True, "x", 1.5])
def test_numbers_of_threads_are_checked_for_small_matrices_too(n_threads):
    y = np.random.default_rng(0).standard_normal(12)
    for function in (
        lambda **o: ll.fit_null(y, np.eye(12), **o),
        lambda **o: ll.decompose(np.eye(3), **o),
    ):
        with pytest.raises(InputError, match="n_threads"):
            function(n_threads=n_threads)
