"""scikit-learn's face of the package: parameters in, stage functions called, attributes out."""

import os
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

try:
    from sklearn.base import BaseEstimator, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        "LMMLasso needs scikit-learn 1.6 or later, which is not installed; "
        "run: pip install 'lmmlasso-fast[sklearn]'"
    ) from error

from lmmlasso_fast.checks import as_choice, as_integer, as_number, as_numbers, as_switch, plain
from lmmlasso_fast.cross_validation import cross_validate
from lmmlasso_fast.errors import CovariateError, InputError, KinshipError
from lmmlasso_fast.genotypes import Genotypes, inverse_or_zero
from lmmlasso_fast.kinship import Kinship, as_kinship, kinship
from lmmlasso_fast.null_model import fit_null
from lmmlasso_fast.path import LARGEST_ALPHA, LassoPath, lasso_path
from lmmlasso_fast.prediction import build_model

#: Estimators with a fit under way, by id. Kept here and not on the object, so that an estimator
#: holds nothing that cannot be cloned, copied or pickled.
_fitting: dict[int, object] = {}
_fitting_lock = threading.Lock()


class _Regressor(RegressorMixin, BaseEstimator):
    """What the estimators share: what a solution leaves behind, and prediction from it."""

    def _validated(self, X, y, K, min_samples: int):
        """Return (genotypes, y, kinship or None)."""
        X, y = _validate(self, X, y, y_numeric=True, ensure_min_samples=min_samples)
        return Genotypes.from_array(X), y, None if K is None else _given_kinship(K, len(X))

    def _set_solution(self, path: LassoPath, k: int, genotypes, covariates, K) -> None:
        """Set the attributes of the path's solution at grid point k."""
        self.null_model_ = path.null
        if K is not None:
            # Even a relationship matrix may be one of other SNPs than X: K_new is asked for.
            given = replace(path.null, kinship=replace(path.null.kinship, estimator="given"))
            path = replace(path, null=given)
        self.model_ = build_model(path, genotypes, alphas=path.alphas[[k]])
        self.coef_std_ = path.coefs[:, [k]].toarray()[:, 0]
        self.coef_ = self.coef_std_ * inverse_or_zero(genotypes.sd)
        self.intercept_ = float(path.intercepts[k] - genotypes.mean @ self.coef_)
        n_covariates = 0 if covariates is None else _two_dimensional(covariates).shape[1]
        names = path.design.names
        self._kept = np.array([f"covariate{j + 1}" in names for j in range(n_covariates)], bool)
        self.covariate_coef_ = np.zeros(n_covariates)
        self.covariate_coef_[self._kept] = path.gammas[path.design.has_intercept :, k]
        self.dual_gap_ = float(path.dual_gaps[k])
        self.n_iter_ = int(path.n_passes[k])

    def predict(
        self, X: ArrayLike, K_new: ArrayLike | None = None, covariates: ArrayLike | None = None
    ) -> np.ndarray:
        """Predict fixed effects, SNPs and random effect together.

        Parameters
        ----------
        X : array_like, shape (n*, p)
            The columns of `fit`; standardised with the training mean and sd.
        K_new : array_like, shape (n*, n), optional
            Kinship of new (rows) with training samples (columns), on the scale of the K given
            to `fit`; needed if there was one.
        covariates : array_like, shape (n*, k), optional
            The columns of `fit`.

        Returns
        -------
        ndarray, shape (n*,)

        Raises
        ------
        InputError
            (a ValueError) a kinship or covariates missing, superfluous or of the wrong shape.
        """
        check_is_fitted(self)
        X = _validate(self, X, reset=False)
        if covariates is not None:
            covariates = self._kept_covariates(covariates)
        prediction = self.model_.predict_in_order(
            Genotypes.from_array(X), covariates=covariates, kinship=K_new
        )
        return prediction.total

    def _kept_covariates(self, covariates) -> np.ndarray:
        covariates = _two_dimensional(covariates)
        if covariates.shape[1:] != (len(self._kept),):
            raise CovariateError(
                f"covariates: expected the {len(self._kept)} columns of the fit, found shape "
                f"{covariates.shape}"
            )
        return covariates[:, self._kept]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


class LMMLasso(_Regressor):
    """Lasso over all SNPs plus a random effect with the kinship as its covariance, at one alpha.

    With X the standardised SNPs, C the covariates (intercept included), K the kinship scaled to
    mean diagonal 1 and V = K + delta I, delta chosen without SNPs by maximum likelihood,

        minimise over gamma, beta
            1/(2n) (y - C gamma - X beta)' V^-1 (y - C gamma - X beta)
            + alpha sum_j pi_j (l1_ratio |beta_j| + (1 - l1_ratio) beta_j^2 / 2)

    Parameters
    ----------
    alpha : float, default 0.1
        Penalty, positive, in units of y. V^-1 is part of the loss, so that values from a plain
        Lasso do not carry over. The default is meant for a y of standard deviation 1, for which
        it usually leaves few SNPs or none; `lasso_path` and cross-validation find a better one.
    l1_ratio : float in (0, 1], default 1
        Share of the l1 penalty.
    tol : float, default 1e-6
        Duality gap, relative to the null deviance, at which the solution counts as converged.
    method : {"ml", "reml"}, default "ml"
        How delta is chosen.
    log_delta : float, optional
        Fix log delta = log(sigma_e^2 / sigma_g^2) instead.
    fit_intercept : bool, default True
        Without an intercept the SNPs are still centred: the constant is left out of C.
    max_iter : int, default 50
        Most passes over all SNPs.
    penalty_factors : array_like, shape (p,), or "whitened", optional
        pi_j; 0 = unpenalised, infinity = left out, "whitened" = in proportion to the lengths of the
        whitened SNPs (`lasso_path`). Default 1.

    Attributes
    ----------
    coef_ : ndarray, shape (p,)
        Effects on the columns as given; zero for constant columns.
    coef_std_ : ndarray, shape (p,)
        Effects on the standardised columns.
    intercept_ : float
        X @ coef_ + covariates @ covariate_coef_ + intercept_ is the fixed part of a prediction.
    covariate_coef_ : ndarray, shape (k,)
        Zero for covariates that were dropped as collinear.
    dual_gap_ : float
        Certificate of the solution, relative to the null deviance.
    n_iter_ : int
        Passes over all SNPs.
    null_model_ : NullModel
        Variance components without SNPs.
    model_ : Model
        What `predict` uses.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        If X came with column names.

    Notes
    -----
    NaN in X is a missing genotype and counts as the column's mean. The stages, and what they
    raise, are those of `fit_null`, `lasso_path` and `build_model`.

    References
    ----------
    Rakitsch, Lippert, Stegle and Borgwardt 2013, Bioinformatics 29:206.

    Examples
    --------
    >>> import numpy as np
    >>> from lmmlasso_fast import LMMLasso
    >>> X = np.random.default_rng(0).integers(0, 3, (100, 50))
    >>> y = X[:, 7] - X[:, 20]
    >>> np.flatnonzero(LMMLasso(alpha=0.1).fit(X, y).coef_)
    array([ 7, 20])
    """

    def __init__(
        self,
        alpha: float = 0.1,
        *,
        l1_ratio: float = 1.0,
        tol: float = 1e-6,
        method: str = "ml",
        log_delta: float | None = None,
        fit_intercept: bool = True,
        max_iter: int = 50,
        penalty_factors: ArrayLike | None = None,
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.tol = tol
        self.method = method
        self.log_delta = log_delta
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.penalty_factors = penalty_factors

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        K: Kinship | ArrayLike | None = None,
        covariates: ArrayLike | None = None,
    ) -> "LMMLasso":
        """Fit the variance components, then the Lasso with their ratio fixed.

        Parameters
        ----------
        X : array_like, shape (n, p)
            SNPs or other features; NaN = missing.
        y : array_like, shape (n,)
        K : Kinship or array_like, shape (n, n), optional
            Default: the realised relationship matrix of X. With a kinship that is given,
            `predict` asks for that of the new samples. Cross-validators cut arrays into rows,
            which is wrong for K: leave it out there.
        covariates : array_like, shape (n, k), optional
            Fixed effects besides the intercept.

        Returns
        -------
        LMMLasso
            The estimator itself.

        Raises
        ------
        RuntimeError
            Another fit of the same object is under way.
        InputError
            (a ValueError) data or parameters that cannot be used.
        """
        with _one_at_a_time(self):
            genotypes, y, K = self._validated(X, y, K, min_samples=3)
            alpha = as_number("alpha", self.alpha, high=LARGEST_ALPHA, above=0)
            intercept = as_switch("fit_intercept", self.fit_intercept)
            null = fit_null(
                y,
                kinship(genotypes) if K is None else K,
                covariates,
                self.method,
                self.log_delta,
                intercept=intercept,
            )
            path = lasso_path(
                genotypes,
                y,
                null,
                alphas=[alpha],
                tol=self.tol,
                l1_ratio=self.l1_ratio,
                penalty_factors=self.penalty_factors,
                max_iter=self.max_iter,
            )
            self._set_solution(path, 0, genotypes, covariates, K)
        return self


class LMMLassoCV(_Regressor):
    """`LMMLasso` at the alpha that predicts held-out samples best.

    Every fold refits all of it on its training samples: kinship, delta, intercept and covariates,
    and the path at the same fractions of its own alpha_max (`cross_validate`). The solution at the
    chosen alpha is that of all samples.

    Parameters
    ----------
    eps : float, default 0.01
        The smallest alpha, as a share of alpha_max.
    n_alphas : int, default 100
    alphas : array_like, optional
        In units of y, instead of n_alphas values from alpha_max down to eps alpha_max.
    cv : int, splitter, iterable or None, default 10
        Number of folds (None: 10), drawn at random, of whole groups if `fit` is given some; a
        scikit-learn splitter; or pairs (train, test) of indices.
    selection : {"best", "one_se"}, default "best"
        The alpha of the largest explained variance, or the largest alpha within one standard error
        of it.
    l1_ratio, tol, method, log_delta, fit_intercept, max_iter, penalty_factors
        As in `LMMLasso`.
    n_jobs : int, optional
        Folds at a time; plays no part in the result. Default: what `joblib.parallel_config` says,
        else all processors, 1 within a worker.
    random_state : int, RandomState or None, default 0
        Of the folds, where cv is a number; None draws others in each fit.

    Attributes
    ----------
    alpha_ : float
        The chosen one.
    alphas_ : ndarray, shape (m,)
        The alphas with scores, decreasing.
    cv_result_ : CrossValidation
        Scores, out-of-fold predictions, and the path of all samples.
    coef_, coef_std_, intercept_, covariate_coef_, dual_gap_, n_iter_, null_model_, model_
        Of the fit to all samples at alpha_, as in `LMMLasso`.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        If X came with column names.

    References
    ----------
    Rakitsch, Lippert, Stegle and Borgwardt 2013, Bioinformatics 29:206.

    Examples
    --------
    >>> import numpy as np
    >>> from lmmlasso_fast.estimators import LMMLassoCV
    >>> X = np.random.default_rng(0).integers(0, 3, (100, 50))
    >>> y = X[:, 7] - X[:, 20]
    >>> model = LMMLassoCV(cv=5, selection="one_se").fit(X, y)
    >>> np.flatnonzero(model.coef_)
    array([ 7, 20])
    """

    def __init__(
        self,
        *,
        eps: float = 0.01,
        n_alphas: int = 100,
        alphas: ArrayLike | None = None,
        cv: Any = 10,
        selection: str = "best",
        l1_ratio: float = 1.0,
        tol: float = 1e-6,
        method: str = "ml",
        log_delta: float | None = None,
        fit_intercept: bool = True,
        max_iter: int = 50,
        penalty_factors: ArrayLike | None = None,
        n_jobs: int | None = None,
        random_state: Any = 0,
    ) -> None:
        self.eps = eps
        self.n_alphas = n_alphas
        self.alphas = alphas
        self.cv = cv
        self.selection = selection
        self.l1_ratio = l1_ratio
        self.tol = tol
        self.method = method
        self.log_delta = log_delta
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.penalty_factors = penalty_factors
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        K: Kinship | ArrayLike | None = None,
        covariates: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> "LMMLassoCV":
        """Cross-validate, and keep the fit to all samples at the chosen alpha.

        Parameters
        ----------
        X : array_like, shape (n, p)
            SNPs or other features; NaN = missing.
        y : array_like, shape (n,)
        K : Kinship or array_like, shape (n, n), optional
            Default: in each fold the realised relationship matrix of its training samples. A
            kinship that is given may have seen the test samples, which flatters the scores; and
            `predict` asks for that of the new samples.
        covariates : array_like, shape (n, k), optional
            Fixed effects besides the intercept.
        groups : array_like, shape (n,), optional
            Samples with one label (a family) are in one fold.

        Returns
        -------
        LMMLassoCV
            The estimator itself.

        Raises
        ------
        RuntimeError
            Another fit of the same object is under way.
        InputError
            (a ValueError) data or parameters that cannot be used.
        """
        with _one_at_a_time(self):
            as_choice("selection", self.selection, ("best", "one_se"))
            genotypes, y, K = self._validated(X, y, K, min_samples=4)
            result = cross_validate(
                genotypes,
                y,
                K,
                groups=groups,
                **self._folds(len(y)),
                n_jobs=self.n_jobs,
                covariates=covariates,
                intercept=as_switch("fit_intercept", self.fit_intercept),
                method=self.method,
                log_delta=self.log_delta,
                alphas=self.alphas,
                n_alphas=self.n_alphas,
                eps=self.eps,
                tol=self.tol,
                l1_ratio=self.l1_ratio,
                penalty_factors=self.penalty_factors,
                max_iter=self.max_iter,
            )
            k = result.best_index if self.selection == "best" else result.one_se_index
            self._set_solution(result.path, k, genotypes, covariates, K)
            self.alpha_ = float(result.alphas[k])
            self.alphas_ = result.alphas
            self.cv_result_ = result
        return self

    def _folds(self, n_samples: int) -> dict:
        """Return `cv` and `random_state` as arguments of `cross_validate`."""
        cv, seed = plain(self.cv), self.random_state
        if seed is None or isinstance(seed, np.random.RandomState):
            seed = check_random_state(seed).randint(np.iinfo(np.int32).max)
        else:
            expected = "an integer of at least 0, a RandomState or None"
            seed = as_integer("random_state", seed, 0, expected=expected)
        if cv is None:
            return {"n_folds": 10, "seed": seed}
        if isinstance(cv, int | float | str):
            expected = f"an integer from 2 to the {n_samples} samples, or a splitter"
            return {"n_folds": as_integer("cv", cv, 2, n_samples, expected=expected), "seed": seed}
        return {"splitter": cv}


@contextmanager
def _one_at_a_time(estimator):
    """Refuse a second fit of the same object while one is under way."""
    # a signal is looked for after calls, and there is none between these changes and their checks
    key, own = id(estimator), object()
    try:
        with _fitting_lock:
            if key in _fitting:
                raise RuntimeError(
                    f"another fit of this {type(estimator).__name__} is under way in another "
                    "thread; fit sklearn.base.clone(estimator) instead"
                )
            _fitting[key] = own
        yield
    finally:
        with _fitting_lock:
            if key in _fitting and _fitting[key] is own:  # a fork may have emptied it
                del _fitting[key]


def _no_fit_is_under_way() -> None:
    """In the child of a fork, which has none of the other threads."""
    global _fitting_lock
    _fitting_lock = threading.Lock()
    _fitting.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_no_fit_is_under_way)


def _given_kinship(K, n_samples: int):
    K = as_kinship(K)
    if K.n_samples != n_samples:
        raise KinshipError(
            f"kinship: expected the {n_samples} samples of X, found {K.n_samples}; take the same "
            "subset of both"
        )
    return K


def _validate(estimator, *arrays, **options):
    """`validate_data` of X, or X and y, with NaN for missing genotypes."""
    arrays = [_unmasked(values) for values in arrays]
    try:
        return validate_data(estimator, *arrays, ensure_all_finite="allow-nan", **options)
    except OverflowError as problem:
        raise InputError(f"X, y: expected real numbers, found {problem}") from problem


def _unmasked(values):
    """Return what a masked array hides as NaN; scikit-learn would take the hidden numbers."""
    return values.astype(np.float64).filled(np.nan) if np.ma.is_masked(values) else values


def _two_dimensional(covariates) -> np.ndarray:
    covariates = as_numbers(covariates, "covariates", CovariateError, copy=False)
    return covariates[:, None] if covariates.ndim == 1 else covariates
