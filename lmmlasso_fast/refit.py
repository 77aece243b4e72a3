"""Delta estimated again along the path, given the SNPs that are active there.

The published method takes delta from the model without SNPs and keeps it. When a few large loci
carry much of the variance, that model puts their share down to the kinship: delta comes out too
small, and V^-1 takes part of their signal away. Here each step of the path has a delta of its own,
at which two things hold at once:

    beta   = argmin of the Lasso with V = K + delta I, at a fraction of its own alpha_max
    delta  = argmax of the profile likelihood of y - X beta, given the covariates

Found by alternating between the two. What alpha means changes with delta (X~ and y~ do), hence
fractions of alpha_max, as the folds of a cross-validation have them.

The likelihood is that of the residual y - X beta with the Lasso's shrunken beta. The other choice
would be the active SNPs as fixed effects, by REML, without shrinkage. But their number may reach n,
where nothing is left to estimate delta from; and whenever a SNP enters or leaves, delta jumps, and
with it who is active, so that the alternation often goes round in circles. The residual changes
continuously with beta. docs/delta.md has the comparison.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast.checks import as_integer, as_numbers, as_place
from lmmlasso_fast.covariates import Design, independent_columns
from lmmlasso_fast.display import Result, draw
from lmmlasso_fast.errors import ConvergenceWarning, InputError, PhenotypeError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.null_model import NullModel, as_phenotype, fit_null_on_grid
from lmmlasso_fast.path import LassoPath, PathOptions, solve_path
from lmmlasso_fast.problem import as_penalty_factors, design_of
from lmmlasso_fast.threads import as_n_threads, blas_cap, blas_threads_for

if TYPE_CHECKING:
    import polars as pl

#: A change of log delta up to this is none: h2 moves by at most a quarter of it.
SETTLED = 1e-3


@dataclass(frozen=True, eq=False)
class RefittedPath(Result):
    """Solutions at decreasing fractions of alpha_max, each with its own delta.

    Attributes
    ----------
    fractions : ndarray, shape (m,)
        alphas / alpha_max, decreasing.
    log_delta : ndarray, shape (m,)
        At which the Lasso was solved.
    h2 : ndarray, shape (m,)
        1 / (1 + delta): the kinship's share of the variance that the active SNPs leave.
    alphas : ndarray, shape (m,)
        In units of y. They need not decrease, since each belongs to its own delta.
    n_active : ndarray of int, shape (m,)
        Non-zero SNP effects.
    dual_gaps : ndarray, shape (m,)
        Relative to the null deviance y'Py / (2n), at each delta.
    n_rounds : ndarray of int, shape (m,)
        Lasso solutions until delta settled.
    settled : ndarray of bool, shape (m,)
        The likelihood given this solution has its optimum within 0.001 of log_delta.
    coefs : scipy.sparse.csc_array, shape (p, m)
        Effects of the column-standardised SNPs.
    nulls : tuple of NullModel
        The variance components of y - X beta at each log_delta. `h2_se`, `at_boundary`,
        `multimodal` and `profile` are those of the likelihood given the solution, whose optimum is
        log_delta where that settled.
    """

    fractions: np.ndarray
    log_delta: np.ndarray
    h2: np.ndarray
    alphas: np.ndarray
    n_active: np.ndarray
    dual_gaps: np.ndarray = field(repr=False)
    n_rounds: np.ndarray
    settled: np.ndarray
    coefs: Any = field(repr=False)
    nulls: tuple[NullModel, ...] = field(repr=False)
    _paths: tuple[LassoPath, ...] = field(repr=False)

    def to_frame(self) -> "pl.DataFrame":
        """Return one row per step."""
        import polars as pl

        return pl.DataFrame(
            {
                "INDEX": np.arange(len(self.alphas)),
                "FRACTION": self.fractions,
                "ALPHA": self.alphas,
                "LOG_DELTA": self.log_delta,
                "H2": self.h2,
                "N_ACTIVE": self.n_active,
                "DUAL_GAP": self.dual_gaps,
                "N_ROUNDS": self.n_rounds,
                "SETTLED": self.settled,
            }
        )

    def plot(self, genotypes: Genotypes | None = None, **options: Any) -> Any:
        """Draw the coefficients: `lmmlasso_fast.plots.coefficient_path`."""
        return draw("coefficient_path", self, genotypes, **options)

    def at(self, k: int) -> LassoPath:
        """Return step k as a path of one alpha, for `build_model`, `variance_split` and the like.

        Parameters
        ----------
        k : int
            Place in `fractions`; -1 is the last.
        """
        path = self._paths[as_place("k", k)]
        alpha_entry = np.full(path.coefs.shape[0], np.nan)
        alpha_entry[path.coefs.indices] = path.alphas[0]
        return replace(path, alpha_entry=alpha_entry)


def refit_path(
    genotypes: Genotypes,
    y: ArrayLike,
    null: NullModel,
    *,
    n_alphas: int = 20,
    eps: float = 0.05,
    fractions: ArrayLike | None = None,
    max_active: int | None = None,
    tol: float = 1e-6,
    l1_ratio: float = 1.0,
    penalty_factors: ArrayLike | None = None,
    max_rounds: int = 20,
    n_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RefittedPath:
    """Solve the Lasso along a path with delta estimated again at every step.

    For every fraction f, starting from the delta of the one before (the first from the null
    model's), in turn

        beta   <-  argmin of the objective of `lasso_path` with V = K + delta I and
                   alpha = f alpha_max(delta)
        delta  <-  argmax of the profile likelihood (`fit_null`) of y - X beta given C

    until log delta changes by at most 0.001.

    Parameters
    ----------
    genotypes : Genotypes, n samples x p SNPs
    y : array_like, shape (n,)
        Phenotype; alphas and coefficients are in its units.
    null : NullModel
        From `fit_null` on the same samples in the same order. Brings the kinship, the covariates,
        the method (ML or REML) and the interval in which delta is searched.
    n_alphas : int, default 20
        Steps, evenly spaced on the log scale from alpha_max down to `eps` alpha_max.
    eps : float, default 0.05
    fractions : array_like, optional
        Instead of these: fractions of alpha_max in (0, 1], used in decreasing order.
    max_active : int, optional
        The path ends with the last fraction before more SNPs than this are active.
    tol : float, default 1e-6
        Duality gap, relative to the null deviance, at which a solution counts as converged.
    l1_ratio : float in (0, 1], default 1
        Share of the l1 penalty (glmnet's alpha).
    penalty_factors : array_like, shape (p,), or "whitened", optional
        As in `lasso_path`. Unpenalised SNPs are covariates in the likelihood too. "whitened": of
        each delta its own, which takes 2 n^2 p operations a round and 8 p bytes a step.
    max_rounds : int, default 20
        Lasso solutions per fraction.
    n_threads : int, optional
        As in `lasso_path`. Default: all available.
    progress : callable, optional
        Called with (fractions done, fractions in all).

    Returns
    -------
    RefittedPath

    Raises
    ------
    InputError
        An option out of range, a null model with a given delta; GenotypeError, PhenotypeError,
        SampleMatchError for data that do not fit.

    Warns
    -----
    ConvergenceWarning
        A delta did not settle within `max_rounds` (see `settled`), or a gap stayed above `tol`.

    Notes
    -----
    At alpha_max no SNP is active and delta is the null model's, to the last bit.

    The alternation descends on no common objective, and it need not settle: where the likelihood
    of the residual has two optima, a small change of beta moves the best one from one to the other,
    and there may be no delta at which both lines hold. `settled` says so. The solution is then an
    exact one at the log_delta that it is given with, which is that of the last round.

    Towards small alphas the active SNPs stand in for the kinship, whose share of the residual goes
    to zero: delta ends at the upper boundary, where the path is nearly the plain Lasso's.

    A round costs one inverse of V (n^3) and a path of one alpha; the decomposition of K is
    computed once.

    References
    ----------
    Rakitsch et al. 2013, Bioinformatics 29:206 (delta from the null model).
    """
    y = as_phenotype(y, genotypes.n_samples)
    if null is None or null.method == "given":
        found = "none" if null is None else "a given one"
        raise InputError(
            f"null: expected a null model whose delta was estimated, found {found}; fit_null "
            "without log_delta estimates it, lasso_path keeps what it is given"
        )
    max_rounds = as_integer("max_rounds", max_rounds, 1)
    options = PathOptions(None, n_alphas, eps, max_active, tol, l1_ratio, penalty_factors)
    fractions = options.grid(1.0) if fractions is None else _as_fractions(fractions)
    n_threads = as_n_threads(n_threads)
    design_of(genotypes, null, None, True)  # the same samples?

    steps = _Steps(genotypes, y, null, options, max_rounds, n_threads)
    found, log_delta = [], null.log_delta
    with blas_cap(blas_threads_for(len(y), n_threads)):
        for fraction in fractions:
            step = steps.settle(float(fraction), log_delta)
            if max_active is not None and step.path.n_active[0] > max_active:
                break
            found.append(step)
            log_delta = step.path.null.log_delta
            if progress is not None:
                progress(len(found), len(fractions))
    if not found:
        raise InputError(
            f"max_active: already the first fraction has more than {max_active} active SNPs; give "
            "larger fractions"
        )
    refitted = _collect(fractions[: len(found)], found)
    _warn(refitted, tol)
    return refitted


def _as_fractions(fractions) -> np.ndarray:
    grid = np.atleast_1d(as_numbers(fractions, "fractions", InputError, booleans=False))
    if grid.ndim != 1 or len(grid) == 0:
        raise InputError(f"fractions: expected a list of numbers, found shape {grid.shape}")
    wrong = grid[~((grid > 0) & (grid <= 1))]
    if len(wrong):
        raise InputError(
            f"fractions: expected numbers above 0 and at most 1 (alpha_max), found {wrong[0]}"
        )
    return np.sort(grid)[::-1].copy()


@dataclass(frozen=True)
class _AtFraction(PathOptions):
    """Options of a path of one alpha, a fraction of its own alpha_max."""

    fraction: float = 1.0

    def grid(self, alpha_max: float) -> np.ndarray:
        return self.fraction * super().grid(alpha_max)


@dataclass(frozen=True)
class _Step:
    path: LassoPath  # without alpha_entry, which takes 8 p bytes
    n_rounds: int
    settled: bool


class _Steps:
    """What all steps of a refitted path have in common."""

    def __init__(self, genotypes, y, null, options, max_rounds, n_threads):
        self._genotypes = genotypes
        self._y = y
        self._null = null
        self._options = {
            "n_alphas": 1,
            "tol": options.tol,
            "l1_ratio": options.l1_ratio,
            "penalty_factors": options.penalty_factors,
        }
        self._max_rounds = max_rounds
        self._n_threads = n_threads
        self._factors = as_penalty_factors(genotypes, options.penalty_factors)
        # The likelihood is free in the effects of unpenalised SNPs, as in those of covariates.
        self._design = _with_snps(null.design, genotypes, np.flatnonzero(self._factors == 0))

    def settle(self, fraction: float, log_delta: float) -> _Step:
        """Alternate at one fraction, from a log delta on."""
        options = _AtFraction(**self._options, fraction=fraction)
        n_rounds, settled = 0, False
        while True:
            null = replace(self._null, log_delta=log_delta, delta=float(np.exp(log_delta)))
            path = solve_path(self._genotypes, self._y, null, null.design, options, self._n_threads)
            n_rounds += 1
            rest = self._y - self._genotypes.columns(path.coefs.indices) @ path.coefs.data
            best = self._likeliest(rest, fraction)
            settled = abs(best.log_delta - log_delta) <= SETTLED
            if settled or n_rounds == self._max_rounds:
                break
            log_delta = best.log_delta
        null = self._described(self._likeliest(rest, fraction, log_delta), best)
        # one array for all steps, where it is the same, and one that `RefittedPath.at` makes
        factors = path.penalty_factors if path.whitened_factors else self._factors
        path = replace(path, null=null, penalty_factors=factors, alpha_entry=None)
        return _Step(path, n_rounds, settled)

    def _likeliest(
        self, rest: np.ndarray, fraction: float, log_delta: float | None = None
    ) -> NullModel:
        null = self._null
        grid = null.profile.log_delta
        try:
            return fit_null_on_grid(
                rest, null.kinship, self._design, null.method, log_delta, grid, self._n_threads
            )
        except PhenotypeError as error:
            raise InputError(
                f"fractions: expected some that leave a residual to estimate delta from, found "
                f"{fraction:g}, where the active SNPs explain the phenotype; give larger ones"
            ) from error

    def _described(self, at: NullModel, best: NullModel) -> NullModel:
        """The variance components at the Lasso's delta, with what is said of the best delta."""
        design = self._null.design
        return replace(
            at,
            method=best.method,
            h2_se=best.h2_se,
            at_boundary=best.at_boundary,
            multimodal=best.multimodal,
            gamma=at.gamma[: design.matrix.shape[1]],
            design=design,
        )


def _with_snps(design: Design, genotypes: Genotypes, snps: np.ndarray) -> Design:
    """Return the design with more columns, but for those collinear with what is there."""
    if len(snps) == 0:
        return design
    matrix = np.column_stack([design.matrix, genotypes.columns(snps)])
    return replace(design, matrix=np.ascontiguousarray(matrix[:, independent_columns(matrix)]))


def _collect(fractions: np.ndarray, steps: list[_Step]) -> RefittedPath:
    from scipy.sparse import hstack

    paths = [step.path for step in steps]
    nulls = tuple(path.null for path in paths)

    def joined(name):
        return np.concatenate([getattr(path, name) for path in paths])

    return RefittedPath(
        fractions=fractions,
        log_delta=np.array([null.log_delta for null in nulls]),
        h2=np.array([null.h2 for null in nulls]),
        alphas=joined("alphas"),
        n_active=joined("n_active"),
        dual_gaps=joined("dual_gaps"),
        n_rounds=np.array([step.n_rounds for step in steps]),
        settled=np.array([step.settled for step in steps]),
        coefs=hstack([path.coefs for path in paths], format="csc"),
        nulls=nulls,
        _paths=tuple(paths),
    )


def _warn(refitted: RefittedPath, tol: float) -> None:
    m = len(refitted.fractions)
    if not refitted.settled.all():
        warnings.warn(
            f"delta did not settle at {int((~refitted.settled).sum())} of {m} fractions of "
            "alpha_max (see settled); each solution is exact at the delta that it is given with",
            ConvergenceWarning,
            stacklevel=3,
        )
    n_high = int((refitted.dual_gaps > tol).sum())
    if n_high:
        worst = int(refitted.dual_gaps.argmax())
        warnings.warn(
            f"{n_high} of {m} fractions did not reach the relative duality gap {tol:g}; the worst, "
            f"{refitted.dual_gaps[worst]:.3g}, at {refitted.fractions[worst]:.6g}",
            ConvergenceWarning,
            stacklevel=3,
        )
