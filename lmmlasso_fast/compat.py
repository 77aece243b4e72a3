"""The four functions of the published LMM-Lasso script, same names, arguments and meaning.

An existing script switches by importing this module in its place. Unlike the rest of the package
these functions take everything raw: the kinship matrix is not scaled, the SNPs are not
standardised, there is no intercept, and the penalty `mu` is not divided by the number of samples.
With V = K + delta I and W'W = V^-1, `train` minimises

    1/2 || W y - W X w ||^2 + mu sum_j |w_j|

by the solver of this package (mu = n alpha in its terms), so the weights are the optimum, certified
by a duality gap, and not where a fixed number of ADMM iterations ended.

References
----------
Rakitsch, Lippert, Stegle and Borgwardt 2013, Bioinformatics 29:206.
"""

import time

import numpy as np

from lmmlasso_fast.checks import MOST_TIMES as _MOST_TIMES
from lmmlasso_fast.checks import as_integer, as_number, as_numbers, as_switch
from lmmlasso_fast.dense import DenseGenotypes
from lmmlasso_fast.errors import GenotypeError, InputError, KinshipError, PhenotypeError
from lmmlasso_fast.kinship import Kinship
from lmmlasso_fast.null_model import MOST_INTERVALS as _MOST_INTERVALS
from lmmlasso_fast.null_model import NullModel, as_interval, fit_null
from lmmlasso_fast.path import LARGEST_ALPHA, lasso_path

#: Duality gap of the weights, relative to 1/2 ||W y||^2.
_TOL = 1e-10
#: Largest over smallest eigenvalue of V: up to this, six digits of V^-1 are right.
_WORST_CONDITION = 1e10


def train(
    X,
    K,
    y,
    mu,
    numintervals=100,
    ldeltamin=-5,
    ldeltamax=5,
    rho=1,
    alpha=1,
    debug=False,
):
    """Fit the null model, then the Lasso with its variance ratio fixed.

    Parameters
    ----------
    X : array_like, shape (n, p)
        SNPs, used as they are (standardise them first). A column of zeros has weight 0.
    K : array_like, shape (n, n)
        Kinship matrix, used as it is.
    y : array_like, shape (n,) or (n, 1)
        Phenotype, used as it is (centre it first: there is no intercept).
    mu : float
        Penalty, positive. From max_j |(W X)_j' W y| on all weights are zero.
    numintervals, ldeltamin, ldeltamax : int, float, float, default 100, -5 and 5
        Grid over log delta, see `train_nullmodel`.
    rho, alpha : float, default 1
        Step size and relaxation of the ADMM of the published script. Accepted so that calls keep
        working, and unused: this solver has neither, and the optimum does not depend on them.
    debug : bool, default False
        Print one line about the null model and one about the Lasso.

    Returns
    -------
    dict
        ldelta0 : float
            log delta of the null model.
        weights : ndarray, shape (p,)
            The optimal w.
        time : float
            Seconds of the whole call.
        monitor_lasso : dict
            objval (the minimum reached), dual_gap (relative to 1/2 ||W y||^2), converged (whether
            it is below 1e-10), n_active.
        monitor_nm : dict
            As returned by `train_nullmodel`.

    Raises
    ------
    GenotypeError, KinshipError, PhenotypeError
        Wrong shape or orientation, numbers that are not finite, K not symmetric or indefinite, y
        constant.
    InputError
        mu is not positive, or the grid is empty.
    """
    started = time.perf_counter()
    y = _phenotype(y, "y")
    K = _raw_kinship(K, len(y), "K")
    X = _matrix(X, "X", GenotypeError, rows=len(y))
    most = LARGEST_ALPHA * len(y)
    mu = as_number("mu", mu, high=most, above=0, expected=f"a positive number up to {most:g}")
    null = _fit_null(y, K, numintervals, ldeltamin, ldeltamax, debug)
    path = lasso_path(DenseGenotypes(X, standardize=False), y, null, alphas=[mu / len(y)], tol=_TOL)
    weights = path.coefs[:, [0]].toarray().ravel()
    monitor = {
        "objval": _objective(null, y - X @ weights, mu, weights),
        "dual_gap": float(path.dual_gaps[0]),
        "converged": bool(path.converged[0]),
        "n_active": int(np.count_nonzero(weights)),
    }
    if debug:
        print("lasso: " + ", ".join(f"{name} {value}" for name, value in monitor.items()))
    return {
        "ldelta0": null.log_delta,
        "weights": weights,
        "time": time.perf_counter() - started,
        "monitor_lasso": monitor,
        "monitor_nm": _monitor(null),
    }


def predict(y_t, X_t, X_v, K_tt, K_vt, ldelta, w):
    """Predict the phenotype of new samples from SNPs and relatedness.

        y_v = X_v w + K_vt (K_tt + delta I)^-1 (y_t - X_t w),   delta = exp(ldelta)

    Parameters
    ----------
    y_t : array_like, shape (n_t,) or (n_t, 1)
        Phenotype of the training samples.
    X_t, X_v : array_like, shape (n_t, p) and (n_v, p)
        SNPs of the training and of the new samples, both standardised the same way.
    K_tt : array_like, shape (n_t, n_t)
        Kinship of the training samples, as given to `train`.
    K_vt : array_like, shape (n_v, n_t)
        Kinship with the new samples in the rows and the training samples in the columns.
    ldelta : float
        log delta from `train`.
    w : array_like, shape (p,) or (p, 1)
        Weights from `train`.

    Returns
    -------
    y_v : ndarray, shape (n_v,)

    Raises
    ------
    GenotypeError, KinshipError, PhenotypeError
        Wrong shape or orientation, numbers that are not finite, K_tt not symmetric.
    InputError
        ldelta is not finite, or so small that K_tt + delta I cannot be inverted to six digits; w
        does not have p values; a product is beyond floating point.
    """
    y_t = _phenotype(y_t, "y_t")
    K_tt = _raw_kinship(K_tt, len(y_t), "K_tt").matrix
    X_t = _matrix(X_t, "X_t", GenotypeError, rows=len(y_t))
    X_v = _matrix(X_v, "X_v", GenotypeError, columns=X_t.shape[1])
    K_vt = _matrix(
        K_vt, "K_vt", KinshipError, rows=len(X_v), columns=len(y_t),
        advice="new samples are in the rows and training samples in the columns",
    )  # fmt: skip
    w = _vector(w, "w", InputError)
    if len(w) != X_t.shape[1]:
        raise InputError(
            f"w: expected {X_t.shape[1]} values, one per column of X_t, found {len(w)}; pass the "
            "weights that were trained on these SNPs"
        )
    ldelta = as_number("ldelta", ldelta, advice="take ldelta0")
    s, U = np.linalg.eigh(K_tt)
    with np.errstate(all="ignore"):
        s = s + np.exp(ldelta)
        if not (s[0] > 0 and s[-1] <= _WORST_CONDITION * s[0]):
            raise InputError(
                f"ldelta: expected one with which K_tt + exp(ldelta) I can be inverted, found "
                f"{ldelta!r}, and eigenvalues from {s[0]:.3g} to {s[-1]:.3g}; give a larger one"
            )
        y_v = X_v @ w + K_vt @ (U @ (U.T @ (y_t - X_t @ w) / s))
    if not np.isfinite(y_v).all():
        raise InputError(
            "X_t, X_v, K_vt, w: expected products that floating point holds, found larger ones; "
            "give them in other units"
        )
    return y_v


def stability_selection(X, K, y, mu, n_reps, f_subset, *, seed=0, **kwargs):
    """Share of random subsamples of the individuals in which each SNP is selected.

    Each repetition draws int(f_subset n) individuals without replacement and runs `train` on them,
    with their part of K; a SNP is selected if its weight is not zero.

    Parameters
    ----------
    X, K, y, mu
        As in `train`; the same mu is used in every repetition.
    n_reps : int
        Number of repetitions.
    f_subset : float
        Share of the individuals in a subsample, above 0 and at most 1.
    seed : int, default 0
        Seed of the draws, one stream for each repetition (an addition to the published script,
        which used NumPy's global state; that is neither read nor changed here).
    **kwargs
        Passed to `train`.

    Returns
    -------
    frequency : ndarray, shape (p,)

    Raises
    ------
    InputError
        n_reps below 1, or f_subset out of range or leaving nobody.
    GenotypeError, KinshipError, PhenotypeError
        As in `train`.
    """
    y = _phenotype(y, "y")
    K = _raw_kinship(K, len(y), "K").matrix
    X = _matrix(X, "X", GenotypeError, rows=len(y))
    n_reps = as_integer(
        "n_reps", n_reps, 1, _MOST_TIMES, expected=f"at least 1 and at most {_MOST_TIMES}"
    )
    seed = as_integer("seed", seed, 0)
    expected = f"a share above 0 and at most 1 that leaves one or more of {len(y)} individuals"
    f_subset = as_number("f_subset", f_subset, high=1, above=0, expected=expected)
    if int(f_subset * len(y)) < 1:
        raise InputError(f"f_subset: expected {expected}, found {f_subset!r}; 0.5 is usual")
    counts = np.zeros(X.shape[1])
    for stream in np.random.default_rng(seed).spawn(n_reps):
        drawn = np.sort(stream.choice(len(y), int(f_subset * len(y)), replace=False))
        fit = train(X[drawn], K[np.ix_(drawn, drawn)], y[drawn], mu, **kwargs)
        counts += fit["weights"] != 0
    return counts / n_reps


def train_nullmodel(y, K, numintervals=100, ldeltamin=-5, ldeltamax=5, debug=False):
    """Fit log delta by maximum likelihood without SNPs and without an intercept.

    Parameters
    ----------
    y : array_like, shape (n,) or (n, 1)
        Phenotype.
    K : array_like, shape (n, n)
        Kinship matrix, used as it is.
    numintervals : int, default 100
        Intervals of the even grid over log delta; every one that holds a minimum is refined.
    ldeltamin, ldeltamax : float, default -5 and 5
        Ends of the grid.
    debug : bool, default False
        Print one line about the fit.

    Returns
    -------
    S : ndarray, shape (n,)
        Eigenvalues of K, ascending; ones below zero by rounding are zero.
    U : ndarray, shape (n, n)
        Eigenvectors, K = U diag(S) U'.
    ldelta0 : float
        The optimum.
    monitor_nm : dict
        ldeltagrid and nllgrid (numintervals + 1 values each: the negative log-likelihood, constants
        included), ldeltaopt and nllopt.

    Raises
    ------
    KinshipError, PhenotypeError
        Wrong shape, numbers that are not finite, K not symmetric or indefinite, y constant.
    InputError
        The grid is empty.
    """
    y = _phenotype(y, "y")
    null = _fit_null(y, _raw_kinship(K, len(y), "K"), numintervals, ldeltamin, ldeltamax, debug)
    spectrum = null.kinship.spectrum
    return spectrum.s, spectrum.U, null.log_delta, _monitor(null)


def _fit_null(y, K, numintervals, ldeltamin, ldeltamax, debug) -> NullModel:
    # by the script's names
    debug = as_switch("debug", debug)
    numintervals = as_integer("numintervals", numintervals, 1, _MOST_INTERVALS)
    ldeltamin, ldeltamax = as_interval("ldeltamin", ldeltamin, "ldeltamax", ldeltamax)
    null = fit_null(
        y,
        K,
        intercept=False,
        n_grid=numintervals,
        log_delta_min=ldeltamin,
        log_delta_max=ldeltamax,
    )
    if debug:
        print(f"null model: ldelta0 {null.log_delta}, nll {-null.log_likelihood}")
    return null


def _monitor(null: NullModel) -> dict:
    return {
        "ldeltagrid": null.profile.log_delta,
        "nllgrid": null.profile.nll,
        "ldeltaopt": null.log_delta,
        "nllopt": -null.log_likelihood,
    }


def _objective(null: NullModel, residual, mu, weights) -> float:
    """1/2 r' V^-1 r + mu ||w||_1."""
    basis = null.kinship.basis(null.delta)
    found = basis.profile(basis.rotate(residual)[None, :], [null.delta])  # no covariates
    return float(0.5 * found.rss[0] + mu * np.sum(np.abs(weights)))


def _raw_kinship(K, n: int, name: str) -> Kinship:
    """K as it is, after the checks that every kinship matrix goes through."""
    K = _matrix(K, name, KinshipError, rows=n, columns=n)
    Kinship.from_matrix(K)
    return Kinship(matrix=(K + K.T) / 2)


def _matrix(values, name, error, *, rows=None, columns=None, advice="") -> np.ndarray:
    array = _numbers(values, name, error)
    if (
        array.ndim != 2
        or (rows is not None and array.shape[0] != rows)
        or (columns is not None and array.shape[1] != columns)
    ):
        rows, columns = ("any" if size is None else size for size in (rows, columns))
        raise error(
            f"{name}: expected {rows} rows and {columns} columns, found shape {array.shape}; "
            f"{advice or 'check the orientation and that the samples are the same ones'}"
        )
    return array


def _phenotype(values, name) -> np.ndarray:
    return _vector(values, name, PhenotypeError)


def _vector(values, name, error) -> np.ndarray:
    array = _numbers(values, name, error)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise error(
            f"{name}: expected one dimension or one column, found shape {array.shape}; pass one "
            "at a time"
        )
    return array


def _numbers(values, name, error) -> np.ndarray:
    array = as_numbers(values, name, error, copy=False)
    if not np.isfinite(array).all():
        raise error(
            f"{name}: expected finite numbers, found {int((~np.isfinite(array)).sum())} that are "
            "not; impute or drop them first"
        )
    return array
