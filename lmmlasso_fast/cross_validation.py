"""Cross-validation: how well the model predicts samples that it has not seen, at every alpha.

Each fold is an analysis of its own: the phenotype's transform, SNP means and standard deviations,
kinship, delta, covariates and intercept come from its training rows. Folds have in common the
*fractions* of alpha_max, each fold of its own, at which they are fitted.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast.checks import as_integer, as_number
from lmmlasso_fast.display import Result, draw
from lmmlasso_fast.errors import (
    ConvergenceWarning,
    InputError,
    LMMLassoError,
    PhenotypeError,
)
from lmmlasso_fast.folds import Fold, kinship_groups, make_folds
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.kinship import Kinship, as_kinship, cross_kinship, kinship
from lmmlasso_fast.null_model import as_phenotype, fit_null_on_grid
from lmmlasso_fast.parallel import each, poll
from lmmlasso_fast.path import LassoPath, PathOptions, no_snp_can_enter, solve_path
from lmmlasso_fast.preprocessing import transform_phenotype
from lmmlasso_fast.problem import as_penalty_factors, is_whitened
from lmmlasso_fast.study import Part, Study, make_study
from lmmlasso_fast.threads import as_n_threads

if TYPE_CHECKING:
    import polars as pl

#: A path whose fit misses the phenotype by more than this share of its largest value has another.
_SAME_PHENOTYPE = 1e-3


@dataclass(frozen=True, eq=False)
class CrossValidation(Result):
    """Scores of held-out samples along the path.

    With f_i the prediction of a test row by its fold's model, m_i the mean of y over that fold's
    training rows, n_k the test rows of fold k, and sums over the test rows of one repeat,

        SST = sum_i (y_i - m_i)^2
        explained variance  1 - sum_i (y_i - f_i)^2 / SST
        fold score          s_k = 1 - (sum_{i in k} (y_i - f_i)^2 / n_k) / (SST / sum_k n_k)

    so that the mean of the fold scores, weighted by n_k, is the explained variance. All on the
    phenotype's own scale, a transform undone; 0 is as good as the training mean.

    Attributes
    ----------
    alphas : ndarray, shape (m,)
        Decreasing; of the fit to all samples, which a fold's alpha corresponds to by its fraction.
        Ends where the first fold's path ended (max_active), or that of all samples.
    fractions : ndarray, shape (m,)
        alphas / alpha_max: at these of its own alpha_max each fold was fitted.
    explained_variance : ndarray, shape (m,)
        Mean over the repeats.
    se : ndarray, shape (m,)
        Its standard error over folds: the weighted standard deviation of the fold scores over the
        square root of their number; see the notes. NaN for a single fold.
    correlation : ndarray, shape (m,)
        Pearson's, of predictions with y over the test rows of all folds; mean over the repeats.
        NaN where one of the two is constant.
    n_active : ndarray of int, shape (m,)
        SNPs in the fit to all samples.
    fold_scores : ndarray, shape (n_folds n_repeats, m)
        Repeat by repeat.
    best_index : int
        Of the largest explained variance; of equal ones the largest alpha.
    one_se_index : int
        Of the largest alpha whose explained variance is at least the best one minus its standard
        error; best_index for a single fold.
    predictions : ndarray, shape (n_repeats, n, m)
        Out-of-fold, 8 n m bytes per repeat. NaN for samples in no test part; the mean for those
        that a splitter put into several.
    folds : tuple of Fold
    log_delta : ndarray, shape (n_folds n_repeats,)
        Each fold's; NaN without a random effect.
    alpha_max : ndarray, shape (n_folds n_repeats,)
        Each fold's.
    converged : ndarray of bool, shape (m,)
        Every fold's relative duality gap is at most the tolerance.
    kinship_saw_test_rows : bool
        K was given. Made from all samples as it may be, it flatters the scores.
    path : LassoPath
        The fit to all samples.

    Notes
    -----
    The variance of a repeat's explained variance is sum_k w_k (s_k - sum_j w_j s_j)^2 / (K - 1)
    with w_k = n_k / sum_j n_j: glmnet's. Weighted, because what it belongs to is a weighted mean,
    and because the scores of small folds (small families) scatter most; for folds of equal size it
    is the usual variance over K. Repeats share all samples: the mean of their variances is taken
    and not divided by their number, since repeating removes the luck of the division alone.
    """

    alphas: np.ndarray
    fractions: np.ndarray = field(repr=False)
    explained_variance: np.ndarray
    se: np.ndarray
    correlation: np.ndarray = field(repr=False)
    n_active: np.ndarray
    fold_scores: np.ndarray = field(repr=False)
    best_index: int
    one_se_index: int
    predictions: np.ndarray = field(repr=False)
    folds: tuple[Fold, ...] = field(repr=False)
    log_delta: np.ndarray = field(repr=False)
    alpha_max: np.ndarray = field(repr=False)
    converged: np.ndarray = field(repr=False)
    kinship_saw_test_rows: bool
    path: LassoPath = field(repr=False)

    def to_frame(self) -> "pl.DataFrame":
        """Return P.cv.tsv: one row per alpha; EV_k is the score of fold k, repeat by repeat."""
        import polars as pl

        return pl.DataFrame(
            {
                "ALPHA": self.alphas,
                "N_ACTIVE": self.n_active,
                "EXPLAINED_VARIANCE": self.explained_variance,
                "SE": self.se,
                "CORRELATION": self.correlation,
            }
            | {f"EV_{k}": scores for k, scores in enumerate(self.fold_scores, start=1)}
        )

    def plot(self, **options: Any) -> Any:
        """Draw the explained variance along the path: `lmmlasso_fast.plots.cv_curve`."""
        return draw("cv_curve", self, **options)

    @property
    def alpha_best(self) -> float:
        return float(self.alphas[self.best_index])

    @property
    def alpha_one_se(self) -> float:
        return float(self.alphas[self.one_se_index])

    def index_with_active(self, n_active: int) -> int:
        """Return the index of the smallest alpha at which at most so many SNPs are active.

        In the fit to all samples.

        Raises
        ------
        InputError
            More are active at every alpha.
        """
        n_active = as_integer("n_active", n_active, 0)
        found = np.flatnonzero(self.n_active <= n_active)
        if len(found) == 0:
            raise InputError(
                f"n_active: expected at least {self.n_active.min()}, the fewest active SNPs at "
                f"any alpha, found {n_active!r}; give larger alphas"
            )
        return int(found[-1])


def cross_validate(
    genotypes: Genotypes,
    y: ArrayLike,
    K: Kinship | ArrayLike | None = None,
    *,
    n_folds: int = 10,
    groups: ArrayLike | None = None,
    kinship_threshold: float | None = None,
    splitter: Any = None,
    n_repeats: int = 1,
    seed: int = 0,
    n_jobs: int | None = None,
    covariates: ArrayLike | None = None,
    covariate_names: Sequence[str] | None = None,
    intercept: bool = True,
    random_effect: bool = True,
    method: str = "ml",
    log_delta: float | None = None,
    alphas: ArrayLike | None = None,
    n_alphas: int = 100,
    eps: float = 0.01,
    max_active: int | None = None,
    tol: float = 1e-6,
    l1_ratio: float = 1.0,
    penalty_factors: ArrayLike | None = None,
    max_iter: int = 50,
    transform: str = "none",
    standardize: bool | None = None,
    path: LassoPath | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CrossValidation:
    """Predict each fold's test rows by a model of its training rows, at every alpha of a path.

    Parameters
    ----------
    genotypes : Genotypes, n samples x p SNPs
    y : array_like, shape (n,)
        Phenotype, not transformed.
    K : Kinship or array_like, shape (n, n), optional
        Default: each fold computes the realised relationship matrix of its training rows t. With a
        K that is given a fold takes K[t, t], rescaled to mean diagonal 1, and K[v, t] for its test
        rows v; such a K may have seen the test rows, and the result says so.
    n_folds : int from 2 to n, default 10
    groups : array_like, shape (n,), optional
        Samples with one label (a family) are in one fold. Relatives in two flatter the scores.
    kinship_threshold : float, optional
        Instead of groups: samples with a larger kinship (of mean diagonal 1) are in one fold,
        directly or through others (`folds.kinship_groups`).
    splitter : object or iterable, optional
        Instead of n_folds and seed: a scikit-learn splitter, or pairs (train, test) of indices
        (`folds.make_folds`). Repeats of a splitter count as further folds, which makes the
        standard error too small; `n_repeats` does not.
    n_repeats : int, default 1
        Divisions into folds.
    seed : int, default 0
        Of the folds.
    n_jobs : int, optional
        Folds at a time, each with one thread. Default: what `joblib.parallel_config` says, else
        all processors that the process may use, 1 within a worker. Plays no part in the result.
    covariates, covariate_names, intercept, method, log_delta
        Of the null model (`fit_null`), which every fold fits anew.
    random_effect : bool, default True
        False: plain Lasso.
    alphas : array_like, optional
        In units of the analysed phenotype, for the fit to all samples; a fold takes the same
        fractions of its own alpha_max. Default: `n_alphas` values from alpha_max down to `eps`
        alpha_max.
    n_alphas, eps, max_active, tol, l1_ratio, penalty_factors, max_iter
        Of the paths (`lasso_path`). The alphas end where the first fold has more than max_active
        active SNPs. With "whitened" penalty factors each fold has its own.
    transform, standardize
        Of the phenotype (`transform_phenotype`), fitted to the training rows and undone in
        the predictions.
    path : LassoPath, optional
        The fit to all samples, if it was done before, by the same options on the transformed
        phenotype. Default: it is done here. That it is of these genotypes is taken on trust.
    progress : callable, optional
        Called with (folds done, folds in all).

    Returns
    -------
    CrossValidation

    Raises
    ------
    InputError
        And its subclasses: options out of range, data that cannot be used, a path of other options
        or data. What fails in one fold ends the run and names the fold.

    Warns
    -----
    ConvergenceWarning
        A fold's gap stayed above `tol` after `max_iter` passes (see `converged`).

    Notes
    -----
    Covariates that are collinear (or constant) among training rows, and SNPs monomorphic among
    them, play no part in that fold. Filters that were applied to the genotypes (`Genotypes.filter`)
    have seen all samples, though no phenotype.

    References
    ----------
    Rakitsch et al. 2013, Bioinformatics 29:206. Friedman, Hastie, Tibshirani 2010, J. Stat. Softw.
    33:1 (weighted standard error, one-standard-error rule).
    """
    plan = make_plan(
        genotypes,
        y,
        K,
        path=path,
        n_folds=n_folds,
        groups=groups,
        kinship_threshold=kinship_threshold,
        splitter=splitter,
        n_repeats=n_repeats,
        seed=seed,
        covariates=covariates,
        covariate_names=covariate_names,
        intercept=intercept,
        random_effect=random_effect,
        method=method,
        log_delta=log_delta,
        options=PathOptions(
            alphas, n_alphas, eps, max_active, tol, l1_ratio, penalty_factors, max_iter
        ),
        transform=transform,
        standardize=standardize,
    )
    n_tasks = len(plan.folds)
    results: dict[int, dict] = {}
    with closing(run_folds(plan, range(n_tasks), n_jobs)) as finished:
        for number, result in finished:
            results[number] = result
            if progress is not None:
                progress(len(results), n_tasks)
    cv = collect(plan, [results[k] for k in range(n_tasks)])
    if not (cv.converged.all() and cv.path.converged.all()):
        warnings.warn(
            f"at {int((~cv.converged).sum())} of {len(cv.alphas)} alphas a fold, and at "
            f"{int((~cv.path.converged).sum())} of {len(cv.path.alphas)} the fit to all samples, "
            f"did not reach the relative duality gap {tol:g}",
            ConvergenceWarning,
            stacklevel=2,
        )
    return cv


# ---- what is to be done --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class CvPlan:
    """What folds are to be run, after the fit to all samples.

    Attributes
    ----------
    study : Study
    folds : tuple of Fold
    fractions : ndarray
        Of each fold's alpha_max: the alphas.
    path : LassoPath or None
        The fit to all samples; folds do without.
    """

    study: Study
    folds: tuple[Fold, ...]
    fractions: np.ndarray
    path: LassoPath | None


def make_plan(
    genotypes: Genotypes,
    y,
    K=None,
    *,
    path: LassoPath | None = None,
    n_folds: int = 10,
    groups=None,
    kinship_threshold: float | None = None,
    splitter=None,
    n_repeats: int = 1,
    seed: int = 0,
    **study,
) -> CvPlan:
    """Check the arguments of `cross_validate`, make folds, fit all samples unless that was done.

    `study` is what `make_study` takes.

    Raises
    ------
    InputError
    """
    if kinship_threshold is not None:
        kinship_threshold = as_number("kinship_threshold", kinship_threshold)
    if groups is not None and kinship_threshold is not None:
        raise InputError(
            "groups: expected none with kinship_threshold, which makes its own, found some; leave "
            "one of the two out"
        )
    K = None if K is None else as_kinship(K)
    study = make_study(genotypes, y, K, **study)
    if path is not None:
        _check_path(path, study, K)
        K = path.null.kinship if path.null is not None else None
    if K is None and (kinship_threshold is not None or (study.random_effect and path is None)):
        K = kinship(genotypes)
    if kinship_threshold is not None:
        # a splitter knows itself how many groups it needs
        groups = kinship_groups(K, kinship_threshold, n_folds if splitter is None else 2)
    folds = make_folds(
        study.n_samples,
        n_folds,
        groups=groups,
        n_repeats=n_repeats,
        seed=seed,
        splitter=splitter,
        y=study.y,
    )
    if path is None:
        path = _fit_all(study, genotypes, K)
    if not path.alpha_max > 0:
        raise no_snp_can_enter()
    if study.options.alphas is None:
        # not a quotient: nothing of all samples, rounding included, is to show in the folds
        fractions = study.options.grid(1.0)[: len(path.alphas)]
    else:
        fractions = path.alphas / path.alpha_max
    return CvPlan(study, folds, fractions, path)


def _fit_all(study: Study, genotypes: Genotypes, K: Kinship | None) -> LassoPath:
    y, _ = transform_phenotype(study.y, study.transform, study.standardize)
    y, null = as_phenotype(y), None
    if study.random_effect:
        null = fit_null_on_grid(y, K, study.design, study.method, study.log_delta)
    return solve_path(genotypes, y, null, study.design, study.options, as_n_threads(None))


def _check_path(path: LassoPath, study: Study, K: Kinship | None) -> None:
    """Raise InputError unless the path is, as far as it tells, the fit of the study."""
    options, null, design = study.options, path.null, path.design
    grid, most = options.grid(path.alpha_max), np.inf
    if options.max_active is not None:
        grid, most = grid[: len(path.alphas)], options.max_active
    tests = {
        "samples": (study.n_samples, path.n_samples),
        "SNPs": (study.genotypes.n_variants, path.coefs.shape[0]),
        "random effect": (study.random_effect, null is not None),
        "covariates": (study.design.names, design.names),
        "l1_ratio": (options.l1_ratio, path.l1_ratio),
        "tol": (options.tol, path.tol),
    }
    if null is not None and study.log_delta is not None:
        tests["log_delta"] = (study.log_delta, null.log_delta)
    elif null is not None:
        tests["method"] = (study.method, null.method)
    if null is not None and K is None:
        tests["kinship"] = ("rrm", null.kinship.estimator)
    for name, (expected, found) in tests.items():
        if expected != found:
            raise InputError(
                f"path: expected the {name} of the other arguments, {expected!r}, found {found!r}; "
                "fit it by the same data and options, or leave it out"
            )
    same = {
        "covariates": np.array_equal(study.design.matrix, design.matrix),
        "alphas": np.array_equal(grid, path.alphas) and path.n_active.max() <= most,
        "K": null is None or K is None or np.array_equal(K.matrix, null.kinship.matrix),
        "penalty factors": _has_factors(path, study),
        "phenotype": _is_of_phenotype(path, study),
    }
    for name, equal in same.items():
        if not equal:
            raise InputError(
                f"path: expected the {name} of the other arguments, found others; fit it by the "
                "same data and options, or leave it out"
            )


def _has_factors(path: LassoPath, study: Study) -> bool:
    if is_whitened(study.options.penalty_factors):
        return path.whitened_factors
    factors = as_penalty_factors(study.genotypes, study.options.penalty_factors)
    return np.array_equal(factors, path.penalty_factors)


def _is_of_phenotype(path: LassoPath, study: Study) -> bool:
    """Whether y = C gamma + X beta + V dual at the first alpha, y the study's, transformed."""
    y, _ = transform_phenotype(study.y, study.transform, study.standardize)
    snps = path.coefs[:, [0]].tocoo()
    fitted = path.design.matrix @ path.gammas[:, 0]
    fitted = fitted + study.genotypes.columns(snps.coords[0]) @ snps.data
    if path.null is None:
        fitted += path.dual[:, 0]
    else:
        fitted += path.null.kinship.matrix @ path.dual[:, 0] + path.null.delta * path.dual[:, 0]
    return float(np.abs(fitted - y).max()) <= _SAME_PHENOTYPE * float(np.abs(y).max())


# ---- folds --------------------------------------------------------------------------------------


def run_folds(
    plan: CvPlan, folds: Iterable[int], n_jobs: int | None = None
) -> Iterator[tuple[int, dict]]:
    """Yield (number, result) of folds in the order in which they end.

    A result is what a JSON file can hold: `predictions` (for every test row its predictions along
    the path, which may have ended early), `gaps`, `alpha_max` and `log_delta`.

    Raises
    ------
    LMMLassoError
        Names the fold that failed.
    """
    return each(_run_fold, replace(plan, path=None), folds, n_jobs)


def _run_fold(plan: CvPlan, number: int) -> dict:
    try:
        return _fit_and_predict(plan.study, plan.folds[number], plan.fractions)
    except LMMLassoError as error:
        raise type(error)(f"fold {number + 1} of {len(plan.folds)}: {error}") from error


def _fit_and_predict(study: Study, fold: Fold, fractions: np.ndarray) -> dict:
    part = study.part(fold.train)
    poll()
    path = solve_path(
        part.genotypes,
        part.y,
        part.null,
        part.design,
        replace(study.options, alphas=None, fractions=fractions),
        progress=lambda done, total: poll(),
    )
    predictions = part.transform.inverse(_predict(study, part, path, fold.test))
    return {
        "predictions": predictions.tolist(),
        "gaps": path.dual_gaps.tolist(),
        "alpha_max": path.alpha_max,
        "log_delta": None if part.null is None else part.null.log_delta,
    }


def _predict(study: Study, part: Part, path: LassoPath, test: np.ndarray) -> np.ndarray:
    """Return C* gamma + X* beta + K* V^-1 (y - C gamma - X beta), test rows x alphas."""
    kept = [study.design.names.index(name) for name in part.design.names]
    total = study.design.matrix[np.ix_(test, kept)] @ path.gammas
    genotypes = study.genotypes.subset(test)
    effects = path.coefs.tocsr()
    active = np.flatnonzero(np.diff(effects.indptr))
    statistics = (part.genotypes.mean, part.genotypes.sd)
    total += genotypes.columns(active, statistics=statistics) @ effects[active].toarray()
    if part.null is not None:
        if study.kinship is None:
            K = cross_kinship(genotypes, part.genotypes, part.null.kinship)
        else:
            # what `subset` divided K[t, t] by
            scale = part.null.kinship.scale / study.kinship.scale
            K = study.kinship.matrix[np.ix_(test, part.index)] / scale
        total += K @ path.dual
    return total


# ---- scores -------------------------------------------------------------------------------------


def collect(plan: CvPlan, results: list[dict]) -> CrossValidation:
    """Score what `run_folds` found in folds 0, 1, ...

    Raises
    ------
    PhenotypeError
        The phenotype of every test row is the mean of its training rows: nothing to explain.
    """
    study, path, folds = plan.study, plan.path, plan.folds
    m = min(len(path.alphas), *(len(result["gaps"]) for result in results))
    predicted = [np.array(result["predictions"])[:, :m] for result in results]
    n_repeats = folds[-1].repeat + 1
    repeats = [
        [k for k, fold in enumerate(folds) if fold.repeat == repeat] for repeat in range(n_repeats)
    ]
    scored = [
        _score(study.y, [folds[k] for k in chosen], [predicted[k] for k in chosen])
        for chosen in repeats
    ]
    explained = np.mean([scores.explained_variance for scores in scored], axis=0)
    se = np.sqrt(np.mean([scores.variance for scores in scored], axis=0))
    best, one_se = best_and_one_se(explained, se)
    gaps = np.array([result["gaps"][:m] for result in results])
    return CrossValidation(
        alphas=path.alphas[:m],
        fractions=plan.fractions[:m],
        explained_variance=explained,
        se=se,
        correlation=np.mean([scores.correlation for scores in scored], axis=0),
        n_active=path.n_active[:m],
        fold_scores=np.concatenate([scores.fold_scores for scores in scored]),
        best_index=best,
        one_se_index=one_se,
        predictions=_out_of_fold(study.n_samples, n_repeats, folds, predicted),
        folds=folds,
        log_delta=np.array([result["log_delta"] for result in results], dtype=np.float64),
        alpha_max=np.array([result["alpha_max"] for result in results]),
        converged=(gaps <= study.options.tol).all(axis=0),
        kinship_saw_test_rows=study.kinship is not None,
        path=path,
    )


def best_and_one_se(explained: np.ndarray, se: np.ndarray) -> tuple[int, int]:
    """Return `best_index` and `one_se_index` of explained variances and their standard errors."""
    best = int(explained.argmax())
    # a standard error that is not known counts as none: then this is the best one
    return best, int((explained >= explained[best] - np.nan_to_num(se[best])).argmax())


@dataclass(frozen=True)
class _Scores:
    """Of one repeat: see CrossValidation."""

    explained_variance: np.ndarray
    variance: np.ndarray
    fold_scores: np.ndarray
    correlation: np.ndarray


def _score(y: np.ndarray, folds: list[Fold], predicted: list[np.ndarray]) -> _Scores:
    # A power of two as the unit keeps squares of tiny and large phenotypes away from zero and
    # infinity. Predictions may be infinitely bad all the same, where a transform is undone.
    exponent = int(np.frexp(np.abs(y).max())[1])
    y = np.ldexp(y, -exponent)
    sizes = np.array([len(fold.test) for fold in folds])
    weights = sizes / sizes.sum()
    total = sum(float(np.sum((y[fold.test] - y[fold.train].mean()) ** 2)) for fold in folds)
    if not total > 0:
        raise PhenotypeError(
            "phenotype: expected test rows that differ from the mean of their training rows, found "
            "none; choose other folds"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        predicted = [np.ldexp(values, -exponent) for values in predicted]
        errors = np.array(
            [
                np.sum((y[fold.test, None] - values) ** 2, axis=0)
                for fold, values in zip(folds, predicted, strict=True)
            ]
        )
        scores = 1 - errors / sizes[:, None] / (total / sizes.sum())
        explained = weights @ scores
        variance = np.full(len(explained), np.nan)
        if len(folds) > 1:
            variance = weights @ (scores - explained) ** 2 / (len(folds) - 1)
    tested = np.concatenate([fold.test for fold in folds])
    return _Scores(explained, variance, scores, _correlations(y[tested], np.vstack(predicted)))


def _correlations(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the correlation of y with every column, NaN where one of the two is constant."""

    def unit(values):
        values = values / np.abs(values).max(axis=0)
        constant = values.min(axis=0) == values.max(axis=0)
        values = values - values.mean(axis=0)
        return np.where(constant, np.nan, values) / np.linalg.norm(values, axis=0)

    with np.errstate(divide="ignore", invalid="ignore"):
        return unit(y) @ unit(predicted)


def _out_of_fold(
    n: int, n_repeats: int, folds: tuple[Fold, ...], predicted: list[np.ndarray]
) -> np.ndarray:
    """Return predictions by repeat and sample; NaN for none, the mean of several."""
    sums = np.zeros((n_repeats, n, predicted[0].shape[1]))
    counts = np.zeros((n_repeats, n))
    for fold, values in zip(folds, predicted, strict=True):
        sums[fold.repeat, fold.test] += values
        counts[fold.repeat, fold.test] += 1
    counts[counts == 0] = np.nan
    sums /= counts[:, :, None]
    return sums
