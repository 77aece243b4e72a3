"""Tridiagonal whitening against dense algebra, and against the likelihood in the eigenbasis."""

import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import reference as ref
from numpy.testing import assert_allclose, assert_array_equal
from problems import from_array, random_dosages
from threadpoolctl import threadpool_limits

import lmmlasso_fast as ll
from lmmlasso_fast import tridiagonal
from lmmlasso_fast.covariates import as_design
from lmmlasso_fast.errors import DataWarning, KinshipError, LMMLassoError
from lmmlasso_fast.lapack import integer_bytes, lapack
from lmmlasso_fast.null_model import _Likelihood
from lmmlasso_fast.tridiagonal import Tridiagonal, tridiagonalise
from lmmlasso_fast.whitening import Precision

pytestmark = [pytest.mark.promise("peers"), pytest.mark.usefixtures("tridiagonal_form")]

DELTAS = np.exp([-5.0, -1.0, 0.0, 2.0, 5.0])


def covariance(n, rank=None, seed=0):
    Z = np.random.default_rng(seed).standard_normal((n, rank or 2 * n))
    return Z @ Z.T / Z.shape[1]


def with_eigenvalues(s, seed=0):
    U, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(s), len(s))))
    A = (U * s) @ U.T
    return (A + A.T) / 2


def centred(n, seed=0):
    """K 1 = 0 but for rounding of float64."""
    A = covariance(n, seed=seed)
    A = A - A.mean(axis=0)
    A = A - A.mean(axis=1)[:, None]
    return (A + A.T) / 2


def blocks():
    """Families without relatives elsewhere, one of them of one sample."""
    K = np.zeros((13, 13))
    for start, stop in ((0, 4), (4, 5), (5, 13)):
        K[start:stop, start:stop] = covariance(stop - start)
    return K


MATRICES = {
    "random": covariance(60),
    "low rank": covariance(40, rank=7),
    "rank one": np.outer(np.arange(1.0, 9.0), np.arange(1.0, 9.0)),
    "identity": np.eye(9),
    "blocks": blocks(),
    "diagonal": np.diag(np.arange(1.0, 8.0)),
    "all the same": np.ones((6, 6)),
    "centred": centred(30),
    "3": covariance(3),
    "2": covariance(2),
    "1": np.array([[1.3]]),
}


@pytest.fixture(params=MATRICES, ids=MATRICES)
def K(request):
    return MATRICES[request.param]


# ---- the form --------------------------------------------------------------------------------


def test_it_is_the_same_matrix(K):
    n, size = len(K), np.linalg.norm(K)
    T = tridiagonalise(K)
    assert (T.d.shape, T.e.shape, T.removed.shape) == ((n,), (n - 1,), (0,))
    Q = T.rotate(np.eye(n)).T
    assert_allclose(Q.T @ Q, np.eye(n), atol=1e-14 * n)
    dense = np.diag(T.d) + np.diag(T.e, 1) + np.diag(T.e, -1)
    assert_allclose(Q @ dense @ Q.T, K, atol=1e-14 * n * size)
    b = np.arange(1.0, n + 1)
    assert_allclose(T.rotate(b), Q.T @ b, atol=1e-13 * n)
    assert T.rotate(b).shape == (n,)
    B = np.asfortranarray(np.outer(b, [1.0, -2.0]))
    assert_allclose(T.rotate(B), Q.T @ B, atol=1e-13 * n)


def check_profile(found, V, y, C, **tolerance):
    """Every number of a profile at one delta, by dense algebra."""
    V_inv = np.linalg.inv(V)
    A = C.T @ V_inv @ C
    gamma = np.linalg.solve(A, C.T @ V_inv @ y) if C.shape[1] else np.zeros(0)
    r = y - C @ gamma
    trace_C = np.trace(np.linalg.solve(A, C.T @ V_inv @ V_inv @ C)) if C.shape[1] else 0.0
    expected = {
        "log_det": np.linalg.slogdet(V)[1],
        "trace": np.trace(V_inv),
        "rss": r @ V_inv @ r,
        "once_more": (V_inv @ r) @ (V_inv @ r),
        "log_det_C": np.linalg.slogdet(A)[1] if C.shape[1] else 0.0,
        "trace_C": trace_C,
        "gamma": gamma,
    }
    for name, value in expected.items():
        assert_allclose(getattr(found, name), value, err_msg=name, **tolerance)


def one_of(found, g):
    return replace(found, **{name: values[g] for name, values in vars(found).items()})


@pytest.mark.parametrize("c", [0, 1, 2, 12])
def test_profile(K, c):
    n = len(K)
    if n <= c:
        c = 0
    T = tridiagonalise(K)
    B = np.random.default_rng(1).standard_normal((n, 1 + c))
    found = T.profile(T.rotate(B).T, DELTAS)
    assert found.gamma.shape == (5, c)
    for g, delta in enumerate(DELTAS):
        V = K + delta * np.eye(n)
        tolerance = {"rtol": 1e-13 * np.linalg.cond(V), "atol": 1e-13 * np.linalg.cond(V)}
        check_profile(one_of(found, g), V, B[:, 0], B[:, 1:], **tolerance)


@pytest.mark.parametrize("c", [0, 2, 8, 9, 20])
def test_many_deltas_are_as_one_by_one(c, monkeypatch):
    monkeypatch.setattr(tridiagonal, "_STEPS", 1e6 / 64)
    T = tridiagonalise(covariance(30))
    rows = T.rotate(np.random.default_rng(1).standard_normal((30, 1 + c))).T
    deltas = np.exp(np.linspace(-40.0, 40.0, 21))
    together = T.profile(rows, deltas)
    for g, delta in enumerate(deltas):
        alone = T.profile(rows, [delta])
        for name, values in vars(together).items():
            assert np.array_equal(values[g], getattr(alone, name)[0]), name


def test_nearly_collinear_covariates():
    """Gram and Schmidt's single pass loses half the digits here."""
    rng = np.random.default_rng(2)
    K, C = covariance(40), rng.standard_normal((40, 3))
    C[:, 2] = C[:, 0] + C[:, 1] + 1e-7 * C[:, 2]
    y = rng.standard_normal(40)
    T = tridiagonalise(K)
    found = T.profile(T.rotate(np.column_stack([y, C])).T, [0.7])
    W = np.linalg.cholesky(np.linalg.inv(K + 0.7 * np.eye(40))).T
    Q, R = np.linalg.qr(W @ C)
    r = W @ y - Q @ (Q.T @ (W @ y))
    assert_allclose(found.rss[0], r @ r, rtol=1e-8)
    assert_allclose(found.log_det_C[0], 2 * np.log(np.abs(np.diag(R))).sum(), rtol=1e-8)


def test_what_is_not_positive_definite_is_refused():
    T = tridiagonalise(covariance(20, rank=5))
    for deltas in ([1.0, -0.5], [np.nan]):
        with pytest.raises(KinshipError, match="positive definite"):
            T.profile(np.ones((1, 20)), deltas)


@pytest.mark.parametrize("lowest", [-1e-9, -1e-5, -0.9e-6 * 3])
@pytest.mark.parametrize("m", [1, 2, 8])
def test_eigenvalues_below_zero_count_as_zero(lowest, m):
    K = with_eigenvalues(np.r_[lowest * np.linspace(0.1, 1.0, m), np.linspace(0.01, 30.0, 40 - m)])
    T = tridiagonalise(K)
    assert_allclose(T.removed, np.linalg.eigvalsh(K)[:m], atol=1e-13)
    s, U = np.linalg.eigh(K)
    clipped = (U * np.maximum(s, 0)) @ U.T
    assert_allclose(T.clipped(K), clipped, atol=1e-13)
    B = np.random.default_rng(1).standard_normal((40, 2))
    spectrum = ll.decompose(K)
    found = T.profile(T.rotate(B).T, DELTAS)
    spectral = spectrum.profile(spectrum.rotate(B).T, DELTAS)
    for g, delta in enumerate(DELTAS):
        V = clipped + delta * np.eye(40)
        for profile in (found, spectral):
            check_profile(one_of(profile, g), V, B[:, 0], B[:, 1:], rtol=1e-10, atol=1e-11)


# ---- when it is taken ------------------------------------------------------------------------


def basis_of(K, delta):
    return ll.Kinship.from_matrix(K).basis(delta)


@pytest.mark.parametrize("log_delta", [-5.0, 0.0, 5.0, 40.0])
def test_it_is_taken_for_the_usual_deltas(K, log_delta):
    assert isinstance(basis_of(K, np.exp(log_delta)), Tridiagonal)


def test_the_spectrum_where_delta_is_rounding_to_the_kinship_or_much_is_negative():
    singular, regular = covariance(40, rank=7), np.eye(40) + covariance(40)
    for log_delta in (-40.0, -20.0):
        delta = np.exp(log_delta)
        assert isinstance(basis_of(singular, delta), ll.Spectrum)
        assert isinstance(basis_of(regular, delta), Tridiagonal)
    single = with_eigenvalues(np.r_[-1e-5, np.linspace(0.1, 30.0, 39)])
    assert isinstance(basis_of(single, 1e-2), Tridiagonal)
    assert isinstance(basis_of(single, 1e-6), ll.Spectrum)
    many = with_eigenvalues(np.r_[np.full(9, -1e-6), np.linspace(0.1, 30.0, 31)])
    assert isinstance(basis_of(many, 1e-2), ll.Spectrum)


def test_indefinite_matrices_warn_and_raise_as_the_spectrum_does():
    slightly = ll.Kinship.from_matrix(with_eigenvalues(np.r_[-1e-3, np.linspace(0.1, 30.0, 39)]))
    with pytest.warns(DataWarning, match="1 negative eigenvalues"):
        assert isinstance(slightly.basis(1.0), ll.Spectrum)
    indefinite = ll.Kinship.from_matrix(with_eigenvalues(np.r_[-1.0, np.linspace(0.1, 30.0, 39)]))
    for _ in range(2):
        with pytest.raises(KinshipError, match="positive semi-definite"):
            indefinite.basis(1.0)


@pytest.mark.parametrize("log_delta", [None, -20.0])
def test_what_was_computed_before_does_not_matter(log_delta):
    A, y = covariance(40, rank=7), np.random.default_rng(2).standard_normal(40)
    results = set()
    for before in ((), ("spectrum",), ("tridiagonal",), ("tridiagonal", "spectrum")):
        K = ll.Kinship.from_matrix(A)
        for name in before:
            getattr(K, name)
        if before:
            ll.fit_null(y, K, log_delta=-30.0)
        null = ll.fit_null(y, K, log_delta=log_delta)
        P = Precision(np.ones((40, 1)), K, null.delta)
        results.add((null.log_delta, null.log_likelihood, null.h2_se, P.apply(y).tobytes()))
    assert len(results) == 1


@pytest.mark.parametrize("c", [0.125, 8.0])
def test_a_kinship_times_a_power_of_two_gives_the_same_bits(c):
    y, results = np.random.default_rng(3).standard_normal(60), set()
    for A in (covariance(60), c * covariance(60)):
        null = ll.fit_null(y, A, method="reml")
        P = Precision(null.design.matrix, null.kinship, null.delta)
        results.add((null.log_delta, null.log_likelihood, null.h2_se, P.apply(y).tobytes()))
    assert len(results) == 1


def test_two_threads_and_two_blas_threads_give_the_same_bits():
    A, y = covariance(150), np.random.default_rng(4).standard_normal(150)
    shared, results = tridiagonalise(A), []

    def work():
        T = tridiagonalise(A)
        P = Precision(np.ones((150, 1)), ll.Kinship.from_matrix(A), 0.5)
        arrays = T.d, T.e, T.reflectors, T.rotate(y), shared.rotate(y), P.apply(y)
        results.append(b"".join(array.tobytes() for array in arrays))

    for n_threads in (1, 2):
        with threadpool_limits(n_threads, user_api="blas"):
            workers = [threading.Thread(target=work) for _ in range(3)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join(60)
    assert len(results) == 6
    assert len(set(results)) == 1


def test_nothing_of_the_caller_is_overwritten():
    A, C = covariance(30), np.column_stack([np.ones(30), np.arange(30.0)])
    y, before = np.arange(30.0) ** 2, covariance(30)
    T = tridiagonalise(A)
    T.rotate(C)
    rows = T.rotate(y)[None, :]
    kept = rows.copy(), T.reflectors.copy(), T.d.copy()
    T.profile(rows, [1.0])
    K = ll.Kinship.from_matrix(A)
    Precision(C, K, 0.5).apply(y)
    for array, expected in (
        (A, before), (K.matrix * K.scale, before), (C[:, 1], np.arange(30)), (rows, kept[0]),
        (y, np.arange(30.0) ** 2), (T.reflectors, kept[1]), (T.d, kept[2]),
    ):  # fmt: skip
        assert_allclose(array, expected, rtol=1e-15)


# ---- the null model --------------------------------------------------------------------------


def kinships():
    rng = np.random.default_rng(5)
    summed_in_float32 = ll.kinship(from_array(random_dosages(rng, 40, 300, missing=0.1))).matrix
    return {
        "random": covariance(40), "low rank": covariance(40, rank=7), "centred": centred(40),
        "float32": summed_in_float32, "identity and more": np.eye(40) + 0.1 * covariance(40),
        "below zero": with_eigenvalues(np.r_[-2e-5, np.linspace(0.0, 30.0, 39)]),
    }  # fmt: skip


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("k", [0, 3, 36])
@pytest.mark.parametrize("name", kinships())
def test_the_likelihood_is_that_of_the_spectrum(name, k, method):
    """Value and derivative; k = 36 covariates leave three degrees of freedom."""
    K, rng = ll.Kinship.from_matrix(kinships()[name]), np.random.default_rng(6)
    y, covariates = rng.standard_normal(40), rng.standard_normal((40, k))
    design = as_design(covariates, 40)
    likelihood = _Likelihood(K, y, design, reml=method == "reml")
    assert isinstance(likelihood.basis, Tridiagonal)
    grid = np.linspace(-5, 5, 21)
    nll, slope = likelihood.profile(grid)
    expected = [ref.spectral_profile(x, y, K.matrix, design.matrix, method) for x in grid]
    assert_allclose(nll, [value for value, _ in expected], rtol=1e-10, atol=1e-10)
    assert_allclose(slope, [slope for _, slope in expected], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", ["ml", "reml"])
def test_the_null_model_is_that_of_the_spectrum(method, monkeypatch):
    rng = np.random.default_rng(7)
    D = random_dosages(rng, 80, 200, missing=0.05)
    genotypes = from_array(D)
    X, *_ = ref.standardise(D)
    y = X @ rng.standard_normal(200) / 14 + rng.standard_normal(80)
    covariates = rng.standard_normal((80, 2))
    one = ll.fit_null(y, ll.kinship(genotypes), covariates, method=method)
    monkeypatch.setattr(Tridiagonal, "is_accurate_at", lambda self, delta: False)
    other = ll.fit_null(y, ll.kinship(genotypes), covariates, method=method)
    assert one.h2_se is not None
    assert_allclose(one.log_delta, other.log_delta, rtol=1e-11)
    for name in ("log_likelihood", "sigma_g2", "h2", "gamma"):
        assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-11, err_msg=name)
    assert_allclose(one.h2_se, other.h2_se, rtol=1e-8)  # a difference of slopes, step 1e-4


@pytest.mark.parametrize("n", [3, 4])
def test_the_smallest_studies(n):
    y = np.array([1.0, -0.5, 2.0, 0.3])[:n]
    K = covariance(n) + np.eye(n)
    null = ll.fit_null(y, K, log_delta=0.3)
    expected = ref.null_model_at(0.3, y, null.kinship.matrix, np.ones((n, 1)))
    assert_allclose(-null.log_likelihood, expected.nll, rtol=1e-12)
    P = Precision(np.ones((n, 1)), null.kinship, null.delta)
    wanted = ref.precision(null.kinship.matrix, null.delta, np.ones((n, 1)))
    assert_allclose(P.apply_rows(np.eye(n)), wanted, atol=1e-14)


# ---- the precision ---------------------------------------------------------------------------


@pytest.mark.parametrize("log_delta", [-5.0, 0.0, 5.0, 30.0])
@pytest.mark.parametrize("c", [0, 1, 4, 38, 39])
@pytest.mark.parametrize("name", kinships())
def test_precision_and_fixed_effects_are_dense_algebra(name, c, log_delta):
    K, rng = ll.Kinship.from_matrix(kinships()[name]), np.random.default_rng(8)
    C = np.column_stack([np.ones(40), rng.standard_normal((40, 39))])[:, :c]
    delta, s, U = np.exp(log_delta), *np.linalg.eigh(K.matrix)
    clipped = (U * np.maximum(s, 0)) @ U.T
    P = Precision(C, K, delta)
    wanted = ref.precision(clipped, delta, C)
    X = rng.standard_normal((5, 40))
    size = np.abs(wanted).max()
    assert_allclose(P.apply_rows(X), X @ wanted, atol=1e-9 * size)
    y = rng.standard_normal((40, 2)) * 1e6
    gamma = P.fixed_effects(y)
    assert gamma.shape == (c, 2)
    if c:
        V = clipped + delta * np.eye(40)
        for k in range(2):
            expected = ref.gls(y[:, k], V, C)[0]
            assert_allclose(gamma[:, k], expected, rtol=1e-8, atol=1e-9 * np.abs(expected).max())
        assert_allclose(P.fixed_effects(y[:, 0]), gamma[:, 0], rtol=1e-12)
        assert_allclose(P.fixed_effects(C @ np.arange(1.0, c + 1)), np.arange(1.0, c + 1))


@pytest.mark.parametrize("log_delta", [-40.0, -14.0, -5.0, 0.0])
@pytest.mark.parametrize("with_kinship", [True, False])
def test_rows_in_the_span_of_the_covariates_give_zero(with_kinship, log_delta):
    rng = np.random.default_rng(9)
    C = np.column_stack([np.ones(30), rng.standard_normal((30, 2))])
    K = ll.Kinship.from_matrix(centred(30)) if with_kinship else None
    P = Precision(C, K, np.exp(log_delta))
    inside = rng.standard_normal((4, 3)) @ C.T
    assert_array_equal(P.apply_rows(inside), 0.0)
    rows = P.apply_rows(rng.standard_normal((4, 30)))
    assert_allclose(rows @ C, 0.0, atol=1e-11 * np.abs(rows).max())


@pytest.mark.parametrize("log_delta", [-12.0, -8.0])
def test_a_constant_without_variance_does_not_drown_the_rest(log_delta):
    """K 1 = 0: V^-1 has 1 / delta along the constant, P has nothing there."""
    A, delta = centred(40, seed=3), np.exp(log_delta)
    K = ll.Kinship.from_matrix(A)
    assert isinstance(K.basis(delta), Tridiagonal)
    s, U = np.linalg.eigh(K.matrix)
    assert s[1] > 1e-3
    wanted = (U[:, 1:] / (s[1:] + delta)) @ U[:, 1:].T
    P = Precision(np.ones((40, 1)), K, delta)
    y = np.random.default_rng(10).standard_normal(40)
    assert_allclose(P.apply(y), wanted @ y, atol=1e-11 * np.linalg.norm(wanted @ y))
    assert_allclose(P.fixed_effects(y), y.mean(), atol=1e-12)


def test_one_precision_is_the_spectrums(monkeypatch):
    """The fallback, forced where both can be had."""
    K, rng = ll.Kinship.from_matrix(covariance(40)), np.random.default_rng(11)
    C = np.column_stack([np.ones(40), rng.standard_normal((40, 2))])
    y = rng.standard_normal((3, 40))
    one = Precision(C, K, 0.2)
    monkeypatch.setattr(Tridiagonal, "is_accurate_at", lambda self, delta: False)
    other = Precision(C, K, 0.2)
    assert_allclose(one.apply_rows(y), other.apply_rows(y), atol=1e-12)
    assert_allclose(one.fixed_effects(y.T), other.fixed_effects(y.T), atol=1e-12)


def test_a_failing_cholesky_falls_back(monkeypatch):
    K, y = ll.Kinship.from_matrix(covariance(20)), np.arange(20.0)
    expected = Precision(np.ones((20, 1)), K, 0.2).apply(y)

    class Failing:
        def cholesky(self, A, start):
            A[:] = np.nan
            return False

    monkeypatch.setattr("lmmlasso_fast.whitening.lapack", Failing)
    assert_allclose(Precision(np.ones((20, 1)), K, 0.2).apply(y), expected, atol=1e-11)


# ---- the table of functions ------------------------------------------------------------------


SCIPY = "__pyx_t_5scipy_6linalg_13cython_lapack_d *"


@pytest.mark.parametrize(("integer", "width"), [("int *", 4), ("int64_t *", 8)])
@pytest.mark.parametrize("double", [SCIPY, "double *"])
def test_the_width_of_integers_is_in_the_signature(integer, width, double):
    i, d = integer, double
    assert integer_bytes("dpotrf", f"void (char *, {i}, {d}, {i}, {i})") == width
    arguments = ", ".join(["char *", i, d, i, d, d, d, d, i, i])
    assert integer_bytes("dsytrd", f"void ({arguments})") == width


@pytest.mark.parametrize(
    "signature",
    [
        f"void (char *, int *, {SCIPY}, int *)",  # an argument is missing
        f"void (char *, int *, {SCIPY}, int64_t *, int *)",  # mixed
        f"void (char *, blas_int *, {SCIPY}, blas_int *, blas_int *)",  # of unknown width
        f"int (char *, int *, {SCIPY}, int *, int *)",
        "void (char *, int *, float *, int *, int *)",
        "void (char *, int, double *, int, int *)",
        "",
    ],
)
def test_signatures_that_are_not_understood_are_refused(signature):
    with pytest.raises(LMMLassoError, match=r"dpotrf: expected a C function .* report it") as error:
        integer_bytes("dpotrf", signature)
    assert repr(signature) in str(error.value)


def test_functions_that_disagree_on_integers_are_refused(monkeypatch):
    widths = {"dsytrd": 4, "dpotrf": 8, "dpotrs": 4}
    module = import_module("lmmlasso_fast.lapack")
    monkeypatch.setattr(module, "integer_bytes", lambda name, signature: widths[name])
    with pytest.raises(LMMLassoError, match=r"SciPy's LAPACK mixes integers of \[4, 8\] bytes"):
        lapack.__wrapped__()


def test_no_rows_to_solve_for_and_a_matrix_that_is_not_positive_definite():
    table, A = lapack(), np.eye(3)
    table.solve(A, np.zeros((1, 3)), np.zeros((1, 1)), np.empty((0, 3)))
    assert not table.cholesky(-A, 1)


def test_lapack_runs_without_the_gil():
    """A thread that needs the GIL gets on during one call, although Python would not switch."""
    A = covariance(700)
    d, e, tau = np.empty(700), np.empty(699), np.empty(699)
    table, count, stop = lapack(), [0], threading.Event()

    def work():
        while not stop.is_set():
            count[0] += 1
            time.sleep(0)

    worker = threading.Thread(target=work)
    interval = sys.getswitchinterval()
    worker.start()
    try:
        sys.setswitchinterval(60)
        time.sleep(0.01)  # what was asked for under the interval before is over
        before = count[0]
        table.tridiagonalise(A, d, e, tau)
        after = count[0]
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        worker.join(60)
    assert after > before


def test_importing_the_package_does_not_import_scipys_linear_algebra():
    code = "import sys, lmmlasso_fast; sys.exit('scipy.linalg' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
