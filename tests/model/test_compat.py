"""The published script's functions: same meaning, certified optimum, named errors."""

import inspect

import numpy as np
import pytest
import reference as ref
from numpy.testing import assert_allclose, assert_array_equal

from lmmlasso_fast import compat
from lmmlasso_fast.errors import GenotypeError, InputError, KinshipError, PhenotypeError

pytestmark = pytest.mark.promise("no-wrong-answer")


@pytest.fixture(scope="module")
def drawn():
    """X (n x p, neither centred nor scaled), raw K (mean diagonal not 1), y."""
    rng = np.random.default_rng(6)
    n, p = 60, 150
    X = rng.standard_normal((n, p)) * rng.uniform(0.5, 2, p) + rng.uniform(-1, 1, p)
    Z = rng.standard_normal((n, 90))
    K = Z @ Z.T / 30  # mean diagonal about 3
    K = (K + K.T) / 2
    u = np.linalg.cholesky(K) @ rng.standard_normal(n)
    y = X[:, 4] - X[:, 70] + 0.6 * u + rng.standard_normal(n) + 0.5
    return X, K, y


@pytest.fixture
def published(data_dir):
    """The example of the published script."""
    with np.load(data_dir / "reference_176" / "reference_176.npz") as data:
        X, y = data["X"], data["poppheno"]
    return X, X @ X.T / X.shape[1], y


def whitened(X, K, y, ldelta):
    """Raw K + delta I and no covariates."""
    W, _ = ref.whitening(K, np.exp(ldelta), np.empty((len(y), 0)))
    return W @ X, W @ y


def certificate(weights, X, K, y, mu, ldelta):
    """The reference's relative gap for 1/2 ||y~ - X~ w||^2 + mu ||w||_1."""
    X, y = whitened(X, K, y, ldelta)
    return ref.relative_gap(weights, X, y, mu / len(y))


# --- the published example --------------------------------------------------------------------


def test_weights_of_the_published_example_are_optimal(published):
    X, K, y = published
    result = compat.train(X, K, y, mu=10)
    fit = ref.fit_null(y, K, np.empty((len(y), 0)))
    assert_allclose(result["ldelta0"], fit.log_delta, atol=1e-5)
    assert_allclose(result["monitor_nm"]["nllopt"], fit.nll, atol=1e-8)
    weights = result["weights"]
    assert weights.shape == (1_000,)
    assert 0 < np.count_nonzero(weights) < 176
    assert abs(certificate(weights, X, K, y, 10, result["ldelta0"])) <= 1e-8
    Xw, yw = whitened(X, K, y, result["ldelta0"])
    assert ref.kkt_violation(weights, Xw, yw, 10 / 176) < 1e-4 * 10 / 176
    expected = 0.5 * np.sum((yw - Xw @ weights) ** 2) + 10 * np.abs(weights).sum()
    assert_allclose(result["monitor_lasso"]["objval"], expected, rtol=1e-10)
    assert result["monitor_lasso"]["converged"] is True
    assert result["monitor_lasso"]["n_active"] == np.count_nonzero(weights)


def test_prediction_of_the_published_example(published):
    X, K, y = published
    t, v = np.arange(0, 130), np.arange(130, 176)
    K_tt, K_vt = K[np.ix_(t, t)], K[np.ix_(v, t)]
    fit = compat.train(X[t], K_tt, y[t], mu=10)
    found = compat.predict(y[t], X[t], X[v], K_tt, K_vt, fit["ldelta0"], fit["weights"])
    none = np.empty((len(t), 0)), np.empty((len(v), 0))
    expected = ref.predict(
        fit["weights"], y[t], X[t], none[0], K_tt, np.exp(fit["ldelta0"]), X[v], none[1], K_vt
    )
    assert found.shape == (46,)
    assert_allclose(found, expected.total, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("ldelta", [-40, -30, -10, 0, 10, 800])
def test_prediction_where_the_kinship_is_singular(ldelta):
    """With fewer SNPs than samples, X_v beta with beta = X' (X X' + delta I)^-1 r is known."""
    rng = np.random.default_rng(0)
    X, w = rng.standard_normal((20, 5)), np.array([1.0, 0, 0, 0, 0])
    y, K = X[:, 0] + rng.standard_normal(20), X @ X.T / 5
    arguments = y, X, X[:3], K, K[:3], ldelta, w
    if ldelta < -20:
        with pytest.raises(InputError, match=rf"^ldelta: expected one with .*found {ldelta}"):
            compat.predict(*arguments)
        return
    delta = np.exp(min(ldelta, 700))  # a number
    beta = np.linalg.solve(X.T @ X / 5 + delta * np.eye(5), X.T @ (y - X @ w) / 5)
    assert_allclose(compat.predict(*arguments), X[:3] @ (w + beta), rtol=1e-8)


def test_predictions_beyond_floating_point_are_refused():
    X = np.full((3, 2), 1e200)
    with pytest.raises(InputError, match="X_t, X_v, K_vt, w: expected products that floating"):
        compat.predict(np.ones(3), X, X, np.eye(3), np.eye(3), 0.0, np.full(2, 1e200))


def test_stability_of_the_published_example(published):
    X, K, y = published
    frequency = compat.stability_selection(X, K, y, 10, 4, 0.5, numintervals=20)
    assert frequency.shape == (1_000,)
    assert np.all((frequency >= 0) & (frequency <= 1))
    assert_array_equal(frequency * 4, np.round(frequency * 4))
    assert frequency.max() > 0
    again = compat.stability_selection(X, K, y, 10, 4, 0.5, numintervals=20)
    assert_array_equal(frequency, again)


# --- null model -------------------------------------------------------------------------------


def test_null_model_is_raw(drawn):
    _, K, y = drawn
    S, U, ldelta, monitor = compat.train_nullmodel(y, K)
    assert_allclose(U @ np.diag(S) @ U.T, K, atol=1e-10)
    none = np.empty((len(y), 0))
    fit = ref.fit_null(y, K, none)
    assert_allclose(ldelta, fit.log_delta, atol=1e-5)
    assert_allclose(monitor["nllopt"], fit.nll, atol=1e-9)
    assert monitor["ldeltaopt"] == ldelta
    for x, value in zip(monitor["ldeltagrid"][::10], monitor["nllgrid"][::10], strict=True):
        assert_allclose(value, ref.nll(x, y, K, none), rtol=1e-10)


def test_grid_arguments(drawn):
    _, K, y = drawn
    _, _, _, monitor = compat.train_nullmodel(y, K, 8, -3, 2)
    assert_allclose(monitor["ldeltagrid"], np.linspace(-3, 2, 9))
    assert len(monitor["nllgrid"]) == 9


def test_scaling_the_kinship_shifts_ldelta_only(drawn):
    X, K, y = drawn
    one, five = compat.train(X, K, y, 20.0), compat.train(X, 5 * K, y, 4.0, ldeltamax=7)
    assert_allclose(five["ldelta0"], one["ldelta0"] + np.log(5), atol=1e-6)
    assert_allclose(five["weights"], one["weights"], atol=1e-6)


# --- Lasso ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mu", [0.5, 5.0, 40.0])
def test_weights_are_optimal_for_raw_columns(drawn, mu):
    X, K, y = drawn
    result = compat.train(X, K, y, mu)
    assert abs(certificate(result["weights"], X, K, y, mu, result["ldelta0"])) <= 1e-9
    assert result["monitor_lasso"]["dual_gap"] <= 1e-9
    Xw, yw = whitened(X, K, y, result["ldelta0"])
    expected = ref.lasso_cd(Xw, yw, mu / len(y), tol=1e-12)
    assert_allclose(Xw @ result["weights"], Xw @ expected, atol=1e-4)


def test_zero_from_mu_max_on(drawn):
    X, K, y = drawn
    ldelta = compat.train_nullmodel(y, K)[2]
    Xw, yw = whitened(X, K, y, ldelta)
    top = len(y) * ref.alpha_max(Xw, yw)
    for mu in (top * (1 + 1e-9), 2 * top, 1e6 * top):
        assert_array_equal(compat.train(X, K, y, mu)["weights"], np.zeros(X.shape[1]))
    assert np.count_nonzero(compat.train(X, K, y, 0.99 * top)["weights"]) == 1


def test_a_column_of_zeros_and_a_constant_one(drawn):
    X, K, y = drawn
    X = X.copy()
    X[:, 3] = 0.0
    X[:, 8] = 5.0  # a column like any other here: no intercept absorbs it
    result = compat.train(X, K, y + 10, 20.0)
    assert result["weights"][3] == 0
    assert result["weights"][8] > 1
    assert abs(certificate(result["weights"], X, K, y + 10, 20.0, result["ldelta0"])) <= 1e-9


def test_returned_dict_and_inputs_left_alone(drawn):
    X, K, y = (a.copy() for a in drawn)
    for a in (X, K, y):
        a.flags.writeable = False
    result = compat.train(X, K, y, 10.0)
    assert list(result) == ["ldelta0", "weights", "time", "monitor_lasso", "monitor_nm"]
    assert result["time"] > 0
    column = compat.train(X.astype(np.float32).astype(float, order="F"), K, y[:, None], 10.0)
    assert_allclose(column["weights"], result["weights"], atol=1e-4)
    other = compat.train(X, K, y, 10.0, 100, -5, 5, 3.0, 1.8, False)  # rho and alpha of ADMM
    assert_array_equal(other["weights"], result["weights"])


def test_signatures_are_the_published_ones():
    def spell(function):
        return str(inspect.signature(function))

    assert spell(compat.train) == (
        "(X, K, y, mu, numintervals=100, ldeltamin=-5, ldeltamax=5, rho=1, alpha=1, debug=False)"
    )
    assert spell(compat.predict) == "(y_t, X_t, X_v, K_tt, K_vt, ldelta, w)"
    assert spell(compat.stability_selection) == (
        "(X, K, y, mu, n_reps, f_subset, *, seed=0, **kwargs)"
    )
    assert spell(compat.train_nullmodel) == (
        "(y, K, numintervals=100, ldeltamin=-5, ldeltamax=5, debug=False)"
    )


def test_debug_prints(drawn, capsys):
    X, K, y = drawn
    compat.train(X, K, y, 10.0)
    assert capsys.readouterr().out == ""
    compat.train(X, K, y, 10.0, debug=True)
    null, lasso = capsys.readouterr().out.splitlines()
    assert null.startswith("null model: ldelta0 ")
    assert lasso.startswith("lasso: objval ")


# --- prediction -------------------------------------------------------------------------------


def test_prediction_is_dense_algebra(drawn):
    X, K, y = drawn
    t, v = np.arange(45), np.arange(45, 60)
    K_tt, K_vt = K[np.ix_(t, t)], K[np.ix_(v, t)]
    w = np.linspace(-1, 1, X.shape[1])
    found = compat.predict(y[t][:, None], X[t], X[v], K_tt, K_vt, 0.3, w[:, None])
    V = K_tt + np.exp(0.3) * np.eye(45)
    expected = X[v] @ w + K_vt @ np.linalg.inv(V) @ (y[t] - X[t] @ w)
    assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
    one = compat.predict(y[t], X[t], X[v[:1]], K_tt, K_vt[:1], 0.3, w)
    assert one.shape == (1,)
    assert_allclose(one, found[:1])


# --- stability selection ----------------------------------------------------------------------


def test_stability_repeats_train_on_subsamples(drawn, monkeypatch):
    X, K, y = drawn
    seen = []

    def spy(X_sub, K_sub, y_sub, mu, **kwargs):
        index = np.array([np.flatnonzero(y == value)[0] for value in y_sub])
        assert_array_equal(X_sub, X[index])
        assert_array_equal(K_sub, K[np.ix_(index, index)])
        seen.append((tuple(index), mu, kwargs))
        weights = np.zeros(X.shape[1])
        weights[len(seen) % 2] = -0.1
        return {"weights": weights}

    monkeypatch.setattr(compat, "train", spy)
    frequency = compat.stability_selection(X, K, y, 3.5, 5, 0.51, numintervals=7, debug=True)
    subsamples = [set(index) for index, _, _ in seen]
    assert all(len(s) == int(0.51 * 60) for s in subsamples)
    assert len({frozenset(s) for s in subsamples}) == 5
    assert all(call[1:] == (3.5, {"numintervals": 7, "debug": True}) for call in seen)
    assert_array_equal(frequency[:3], [0.4, 0.6, 0.0])


def test_stability_streams(drawn):
    X, K, y = drawn
    np.random.seed(1)  # noqa: NPY002 - the global state must neither be used nor changed
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - as above
    runs = [compat.stability_selection(X, K, y, 15.0, 6, 0.5, seed=seed) for seed in (0, 0, 1)]
    assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002 - as above
    assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    whole = compat.stability_selection(X, K, y, 15.0, 2, 1.0)
    assert_array_equal(whole, compat.train(X, K, y, 15.0)["weights"] != 0)


# --- errors -----------------------------------------------------------------------------------


def test_kinship_that_does_not_fit(drawn):
    X, K, y = drawn
    askew = K.copy()
    askew[0, 1] += 1
    holes = K.copy()
    holes[2, 2] = np.nan
    for bad in (K[:, :-1], K[:-1], K[:-1, :-1], K[0], askew, holes, -K, K - 5 * np.eye(len(K))):
        with pytest.raises(KinshipError, match="expected"):
            compat.train(X, bad, y, 10.0)
        with pytest.raises(KinshipError, match="expected"):
            compat.train_nullmodel(y, bad)
    w = np.zeros(X.shape[1])
    new, old = slice(40, 60), slice(0, 40)
    with pytest.raises(KinshipError, match=r"K_vt: expected 20 rows and 40 columns, .* \(40, 20\)"):
        compat.predict(y[old], X[old], X[new], K[old, old], K[old, new], 0.0, w)
    with pytest.raises(KinshipError, match="K_tt: expected 40 rows and 40 columns"):
        compat.predict(y[old], X[old], X[new], K[new, new], K[new, old], 0.0, w)


def test_other_arguments_that_do_not_fit(drawn):
    X, K, y = drawn
    with pytest.raises(GenotypeError, match="X: expected 60 rows"):
        compat.train(X.T, K, y, 10.0)
    with pytest.raises(GenotypeError, match="X: expected finite numbers"):
        compat.train(np.where(X > 2, np.nan, X), K, y, 10.0)
    with pytest.raises(GenotypeError, match="X: expected real numbers"):
        compat.train(np.full(X.shape, "a"), K, y, 10.0)
    with pytest.raises(PhenotypeError, match="y: expected one dimension"):
        compat.train(X, K, np.column_stack([y, y]), 10.0)
    with pytest.raises(PhenotypeError, match="y: expected finite numbers"):
        compat.train(X, K, np.where(y > 1, np.nan, y), 10.0)
    for mu in (0, -1.0, np.nan, np.inf):
        with pytest.raises(InputError, match="mu: expected a positive number"):
            compat.train(X, K, y, mu)
    with pytest.raises(InputError, match="grid"):
        compat.train(X, K, y, 1.0, ldeltamin=2, ldeltamax=1)
    w = np.zeros(X.shape[1])
    with pytest.raises(InputError, match="w: expected 150 values"):
        compat.predict(y, X, X, K, K, 0.0, w[:-1])
    with pytest.raises(GenotypeError, match="X_v: expected any rows and 150 columns"):
        compat.predict(y, X, X[:, :9], K, K, 0.0, w)
    with pytest.raises(InputError, match="ldelta: expected a finite number"):
        compat.predict(y, X, X, K, K, np.nan, w)
    with pytest.raises(InputError, match="n_reps: expected at least 1"):
        compat.stability_selection(X, K, y, 10.0, 0, 0.5)
    for share in (0.0, 1.1, 0.01, np.nan):
        with pytest.raises(InputError, match="f_subset: expected a share"):
            compat.stability_selection(X, K, y, 10.0, 2, share)
