"""scikit-learn's face of the package: parameters in, stage functions called, attributes out."""

import threading
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

try:
    from sklearn.base import BaseEstimator, RegressorMixin
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        "LMMLasso needs scikit-learn 1.6 or later, which is not installed; "
        "run: pip install 'lmmlasso-fast[sklearn]'"
    ) from error

from lmmlasso_fast.errors import CovariateError, KinshipError
from lmmlasso_fast.genotypes import Genotypes, inverse_or_zero
from lmmlasso_fast.kinship import as_kinship, kinship
from lmmlasso_fast.null_model import fit_null
from lmmlasso_fast.path import lasso_path
from lmmlasso_fast.prediction import build_model

#: Estimators with a fit under way, by id. Kept here and not on the object, so that an estimator
#: holds nothing that cannot be cloned, copied or pickled.
_fitting: set[int] = set()
_fitting_lock = threading.Lock()


class LMMLasso(RegressorMixin, BaseEstimator):
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
    penalty_factors : array_like, shape (p,), optional
        pi_j; 0 = unpenalised, infinity = left out. Default 1.

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
        alpha=0.1,
        *,
        l1_ratio=1.0,
        tol=1e-6,
        method="ml",
        log_delta=None,
        fit_intercept=True,
        max_iter=50,
        penalty_factors=None,
    ):
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.tol = tol
        self.method = method
        self.log_delta = log_delta
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.penalty_factors = penalty_factors

    def fit(self, X, y, K=None, covariates=None):
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
            X, y = validate_data(
                self, X, y, y_numeric=True, ensure_all_finite="allow-nan", ensure_min_samples=3
            )
            genotypes = Genotypes.from_array(X)
            null = fit_null(
                y,
                kinship(genotypes) if K is None else _given_kinship(K, len(X)),
                covariates,
                self.method,
                self.log_delta,
                intercept=self.fit_intercept,
            )
            path = lasso_path(
                genotypes,
                y,
                null,
                alphas=[self.alpha],
                tol=self.tol,
                l1_ratio=self.l1_ratio,
                penalty_factors=self.penalty_factors,
                max_iter=self.max_iter,
            )
            if K is not None:
                # Even a relationship matrix may be one of other SNPs than X: K_new is asked for.
                given = replace(null, kinship=replace(null.kinship, estimator="given"))
                path = replace(path, null=given)
            self.null_model_ = null
            self.model_ = build_model(path, genotypes)
            self.coef_std_ = path.coefs[:, [0]].toarray()[:, 0]
            self.coef_ = self.coef_std_ * inverse_or_zero(genotypes.sd)
            self.intercept_ = float(path.intercepts[0] - genotypes.mean @ self.coef_)
            self._set_covariates(covariates, path)
            self.dual_gap_ = float(path.dual_gaps[0])
            self.n_iter_ = int(path.n_passes[0])
        return self

    def predict(self, X, K_new=None, covariates=None):
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
        X = validate_data(self, X, reset=False, ensure_all_finite="allow-nan")
        if covariates is not None:
            covariates = self._kept_covariates(covariates)
        prediction = self.model_.predict_in_order(
            Genotypes.from_array(X), covariates=covariates, kinship=K_new
        )
        return prediction.total

    def _set_covariates(self, covariates, path) -> None:
        """Remember which covariates were kept, and all their effects."""
        k = 0 if covariates is None else _two_dimensional(covariates).shape[1]
        names = path.design.names
        self._kept = np.array([f"covariate{j + 1}" in names for j in range(k)], dtype=bool)
        self.covariate_coef_ = np.zeros(k)
        self.covariate_coef_[self._kept] = path.gammas[path.design.has_intercept :, 0]

    def _kept_covariates(self, covariates) -> np.ndarray:
        covariates = _two_dimensional(covariates)
        if covariates.shape[1] != len(self._kept):
            raise CovariateError(
                f"covariates: expected the {len(self._kept)} columns of the fit, found shape "
                f"{covariates.shape}"
            )
        return covariates[:, self._kept]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


@contextmanager
def _one_at_a_time(estimator):
    """Refuse a second fit of the same object while one is under way."""
    with _fitting_lock:
        if id(estimator) in _fitting:
            raise RuntimeError(
                "another fit of this LMMLasso is under way in another thread; "
                "fit sklearn.base.clone(estimator) instead"
            )
        _fitting.add(id(estimator))
    try:
        yield
    finally:
        with _fitting_lock:
            _fitting.remove(id(estimator))


def _given_kinship(K, n_samples: int):
    K = as_kinship(K)
    if K.n_samples != n_samples:
        raise KinshipError(
            f"kinship: expected the {n_samples} samples of X, found {K.n_samples}; take the same "
            "subset of both"
        )
    return K


def _two_dimensional(covariates) -> np.ndarray:
    covariates = np.asarray(covariates, dtype=np.float64)
    return covariates[:, None] if covariates.ndim == 1 else covariates
