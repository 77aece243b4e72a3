"""The Lasso path on whitened data, without rotating the genotypes.

For every alpha: predict which SNPs can be active, solve on those (`working_set`), take the gradient
X'v of *all* SNPs from the packed genotypes, admit those that violate optimality, and stop when none
does and the duality gap is certified (`path_solver`). Here are the options and the result.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast.checks import as_integer, as_number, as_numbers
from lmmlasso_fast.covariates import Design
from lmmlasso_fast.display import Result, draw
from lmmlasso_fast.errors import (
    ConvergenceWarning,
    GenotypeError,
    InputError,
)
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.null_model import NullModel, as_phenotype
from lmmlasso_fast.path_solver import AT_MAX, PathSolver
from lmmlasso_fast.problem import Problem, design_of, is_whitened
from lmmlasso_fast.threads import as_n_threads, blas_cap, blas_threads_for

if TYPE_CHECKING:
    import polars as pl

#: More than any path needs, which memory holds.
_MOST_ALPHAS = 1_000_000
#: Beyond these products of alpha, penalty factors and samples would not be numbers.
LARGEST_ALPHA = 1e265
SMALLEST_SHARE, SMALLEST_RATIO = 1e-20, 1e-10


@dataclass(frozen=True)
class LassoPath(Result):
    """Solutions for a decreasing sequence of alphas, each with its certificate.

    Attributes
    ----------
    alphas : ndarray, shape (m,)
        Decreasing, in units of y (scikit-learn's and glmnet's scale).
    mus : ndarray, shape (m,)
        n alphas: the unnormalised penalty of the original publication.
    coefs : scipy.sparse.csc_array, shape (p, m)
        Effects of the column-standardised SNPs.
    intercepts : ndarray, shape (m,)
        Coefficient of the constant column, SNPs being standardised; 0 without an intercept.
    gammas : ndarray, shape (c, m)
        Coefficients of the covariates, the intercept included.
    n_active : ndarray of int, shape (m,)
        Non-zero SNP effects.
    dual_gaps : ndarray, shape (m,)
        Relative to the null deviance y'Py / (2n).
    converged : ndarray of bool, shape (m,)
        dual_gaps <= tol.
    n_passes : ndarray of int, shape (m,)
        Passes over all SNPs that the alpha's solutions were held against; 1, the one at zero, where
        none is active. One pass serves several alphas.
    alpha_entry : ndarray, shape (p,)
        The largest alpha at which the SNP is active, NaN if it never is.
    alpha_max : float
        The smallest alpha without an active penalised SNP.
    l1_ratio, tol : float
    penalty_factors : ndarray, shape (p,)
        As given, or 1, or the lengths of the whitened SNPs divided by their mean; infinite for SNPs
        that were not offered.
    whitened_factors : bool
        They are those lengths, computed for this path.
    n_samples : int
    null : NullModel or None
        None: no random effect (plain Lasso).
    design : Design
        The covariates.
    dual : ndarray, shape (n, m)
        V^-1 (y - C gamma - X beta): K V^-1 (...) is the random part of a prediction.
    """

    alphas: np.ndarray
    mus: np.ndarray
    coefs: Any = field(repr=False)
    intercepts: np.ndarray = field(repr=False)
    gammas: np.ndarray = field(repr=False)
    n_active: np.ndarray
    dual_gaps: np.ndarray = field(repr=False)
    converged: np.ndarray = field(repr=False)
    n_passes: np.ndarray = field(repr=False)
    alpha_entry: np.ndarray = field(repr=False)
    alpha_max: float
    l1_ratio: float
    tol: float
    penalty_factors: np.ndarray = field(repr=False)
    whitened_factors: bool
    n_samples: int
    null: NullModel | None = field(repr=False)
    design: Design = field(repr=False)
    dual: np.ndarray = field(repr=False)

    def to_frame(self) -> "pl.DataFrame":
        """Return one row per alpha: P.path.tsv without the columns of `variance_split`."""
        import polars as pl

        return pl.DataFrame(
            {
                "INDEX": np.arange(len(self.alphas)),
                "ALPHA": self.alphas,
                "MU": self.mus,
                "N_ACTIVE": self.n_active,
                "DUAL_GAP": self.dual_gaps,
                "CONVERGED": self.converged,
            }
        )

    def plot(self, genotypes: Genotypes | None = None, **options: Any) -> Any:
        """Draw the coefficients: `lmmlasso_fast.plots.coefficient_path`."""
        return draw("coefficient_path", self, genotypes, **options)

    def at(self, alpha: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (coef, gamma, dual) at an alpha on or between grid points (`interpolate`)."""
        weights = interpolation(self.alphas, alpha, self.alpha_max)

        def coef(k):
            return self.coefs[:, [k]].toarray()[:, 0]

        return (
            interpolate(weights, coef),
            interpolate(weights, lambda k: self.gammas[:, k]),
            interpolate(weights, lambda k: self.dual[:, k]),
        )


def interpolation(
    alphas: np.ndarray, alpha: float, alpha_max: float, name: str = "alpha"
) -> dict[int, float]:
    """Return {grid index: weight} for an alpha on or between decreasing `alphas`.

    Linear between grid points, which for the Lasso is exact as long as no SNP enters or leaves
    in between; above alpha_max the solution does not change any more.

    Raises
    ------
    InputError
        alpha is not a number, below the last, or above the first one while that has active SNPs.
    """
    top = np.inf if alphas[0] >= alpha_max * (1 - AT_MAX) else float(alphas[0])
    low = float(alphas[-1])
    alpha = as_number(
        name,
        alpha,
        low,
        top,
        expected=f"a number from {low!r} to {top!r}, which the solutions span",
        advice="fit a longer path, or this alpha",
    )
    k = int(np.searchsorted(-alphas, -alpha))  # alphas[k - 1] > alpha >= alphas[k]
    if k == 0 or alphas[k] == alpha:
        return {k: 1.0}
    weight = float((alpha - alphas[k]) / (alphas[k - 1] - alphas[k]))
    return {k - 1: weight, k: 1.0 - weight}


def interpolate(weights: dict[int, float], values: Callable[[int], np.ndarray]) -> np.ndarray:
    """Return the weighted sum of values(k); one grid point's own numbers come back unchanged."""
    if len(weights) == 1:
        return values(next(iter(weights)))
    return sum(weight * values(k) for k, weight in weights.items())


def lasso_path(
    genotypes: Genotypes,
    y: ArrayLike,
    null: NullModel | None = None,
    *,
    alphas: ArrayLike | None = None,
    n_alphas: int = 100,
    eps: float = 0.01,
    max_active: int | None = None,
    tol: float = 1e-6,
    l1_ratio: float = 1.0,
    penalty_factors: ArrayLike | None = None,
    covariates: ArrayLike | None = None,
    covariate_names: Sequence[str] | None = None,
    intercept: bool = True,
    max_iter: int = 50,
    gram_limit: int = 16384,
    n_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LassoPath:
    """Minimise, for every alpha of a path,

        1/(2n) || M W (y - X beta) ||^2 + alpha sum_j pi_j (l1_ratio |beta_j|
                                                         + (1 - l1_ratio) beta_j^2 / 2)

    with X the standardised SNPs, W'W = (K + delta I)^-1 and M the projection off the whitened
    covariates (Rakitsch et al. 2013). Without a null model W = I: the plain Lasso.

    Parameters
    ----------
    genotypes : Genotypes, n samples x p SNPs
    y : array_like, shape (n,)
        Phenotype; alphas and coefficients are in its units.
    null : NullModel, optional
        From `fit_null` on the same samples in the same order; brings delta and the covariates.
    alphas : array_like, optional
        The penalties, used in decreasing order. Default: `n_alphas` values, evenly spaced on the
        log scale, from alpha_max down to `eps` alpha_max.
    n_alphas : int, default 100
    eps : float in [1e-20, 1), default 0.01
    max_active : int, optional
        The path ends with the last alpha before more SNPs than this are active.
    tol : float, default 1e-6
        Duality gap, relative to the null deviance, at which an alpha counts as converged.
    l1_ratio : float in [1e-10, 1], default 1
        Share of the l1 penalty (glmnet's alpha).
    penalty_factors : array_like, shape (p,), or "whitened", optional
        pi_j from 1e-32 to 1e32; 0 = unpenalised (fitted as a covariate, its effect reported in
        `coefs`), infinity = left out. Default 1: the published scale. "whitened": the length
        ||M W x_j|| divided by its mean over the SNPs, so that all have the same length where the
        Lasso sees them; infinity in the span of the covariates. It ranks causal SNPs better (see
        Notes).
    covariates : array_like, shape (n, k), optional
        Only without a null model, which brings its own.
    covariate_names : sequence of str, optional
        Names of the k columns, for messages and results. Only without a null model.
    intercept : bool, default True
        Only without a null model.
    max_iter : int, default 50
        Full passes over the genotypes per alpha.
    gram_limit : int, default 16384
        Largest working set whose Gram matrix (8 w^2 bytes) is kept; beyond it coordinate descent
        updates the residual instead, and a Gram matrix of the active SNPs alone ends each alpha.
    n_threads : int, optional
        Threads of the passes over the genotypes, on which the result does not depend, and, from
        3,000 samples on, of BLAS, on which its last bits may. Default: all available.
    progress : callable, optional
        Called with (alphas done, alphas in all).

    Returns
    -------
    LassoPath

    Raises
    ------
    InputError
        An option out of range; GenotypeError, PhenotypeError, SampleMatchError for data that do
        not fit.

    Warns
    -----
    ConvergenceWarning
        An alpha's gap stayed above `tol` after `max_iter` passes (see `converged`).

    Notes
    -----
    Stopping rule: no SNP outside the working set violates |x_j'P(y - X beta)| <= n alpha pi_j,
    and the duality gap, from the gradient of all SNPs in float64's accuracy, is at most `tol`.

    "whitened" takes 2 n^2 p operations, which is more than the path itself. The lengths may be
    float32's, right to 1e-6 (and from 3,000 samples on the same to 1e-6 for any `n_threads`); the
    solutions are exact for the factors of the result, which give the same path when they are
    passed. Why and when: docs/model_selection.md.

    References
    ----------
    Rakitsch, Lippert, Stegle, Borgwardt 2013, Bioinformatics 29:206. Tibshirani et al. 2012,
    JRSS B 74:245 (strong rules). Friedman, Hastie, Tibshirani 2010, J. Stat. Softw. 33:1
    (covariance updates).
    """
    y = as_phenotype(y, genotypes.n_samples)
    options = PathOptions(
        alphas, n_alphas, eps, max_active, tol, l1_ratio, penalty_factors, max_iter, gram_limit
    )
    n_threads = as_n_threads(n_threads)
    design = design_of(genotypes, null, covariates, intercept, covariate_names)
    path = solve_path(genotypes, y, null, design, options, n_threads, progress)
    if not path.converged.all():
        worst = int(path.dual_gaps.argmax())
        warnings.warn(
            f"{int((~path.converged).sum())} of {len(path.alphas)} alphas did not reach the "
            f"relative duality gap {tol:g}; the worst, {path.dual_gaps[worst]:.3g}, at alpha = "
            f"{path.alphas[worst]:.6g}",
            ConvergenceWarning,
            stacklevel=2,
        )
    return path


@dataclass(frozen=True)
class PathOptions:
    """What `lasso_path` takes besides the data, checked."""

    alphas: np.ndarray | None = None
    n_alphas: int = 100
    eps: float = 0.01
    max_active: int | None = None
    tol: float = 1e-6
    l1_ratio: float = 1.0
    penalty_factors: ArrayLike | None = field(default=None, repr=False)
    max_iter: int = 50
    gram_limit: int = 16384
    fractions: np.ndarray | None = field(default=None, repr=False)  # of alpha_max: the alphas

    def __post_init__(self):
        def keep(name: str, checked: Callable, *bounds, **further) -> None:
            object.__setattr__(self, name, checked(name, getattr(self, name), *bounds, **further))

        keep("n_alphas", as_integer, 1, _MOST_ALPHAS)
        keep("max_iter", as_integer, 1)
        keep("gram_limit", as_integer, 0)
        if self.max_active is not None:
            keep("max_active", as_integer, 0)
        expected = f"a number in (0, 1), from {SMALLEST_SHARE:g} on"
        keep("eps", as_number, SMALLEST_SHARE, below=1, expected=expected)
        keep("tol", as_number, 0)
        expected = f"a number in (0, 1], from {SMALLEST_RATIO:g} on (0 would be BLUP: no path)"
        keep("l1_ratio", as_number, SMALLEST_RATIO, 1, expected=expected)
        if self.alphas is not None:
            object.__setattr__(self, "alphas", as_grid(self.alphas))

    def grid(self, alpha_max: float) -> np.ndarray:
        """Return the alphas, decreasing, of data whose smallest alpha without a SNP is this.

        Raises
        ------
        InputError
            One is so small that products with it are no numbers.
        """
        grid = self._grid(alpha_max)
        if grid[-1] < SMALLEST_SHARE * alpha_max:
            raise InputError(
                f"{'eps' if self.alphas is None else 'alphas'}: expected alphas of at least "
                f"{SMALLEST_SHARE:g} alpha_max ({alpha_max:g}), found {grid[-1]:g}; give larger "
                "ones"
            )
        return grid

    def _grid(self, alpha_max: float) -> np.ndarray:
        if self.alphas is not None:
            return self.alphas
        if not alpha_max > 0:
            raise no_snp_can_enter()
        if self.fractions is not None:
            return alpha_max * self.fractions
        if self.n_alphas == 1:
            return np.array([alpha_max])
        return alpha_max * self.eps ** (np.arange(self.n_alphas) / (self.n_alphas - 1))


def no_snp_can_enter() -> GenotypeError:
    """The error where alpha_max is 0."""
    return GenotypeError(
        "SNPs: expected some to choose from, found that no SNP is left that could enter the model: "
        "none is offered, or all lie in the span of the covariates; relax the filters, or give "
        "fewer covariates"
    )


def as_grid(alphas) -> np.ndarray:
    """Return a number or a list of positive finite ones as an array, decreasing."""
    grid = np.atleast_1d(as_numbers(alphas, "alphas", InputError, booleans=False))
    if grid.ndim != 1 or len(grid) == 0:
        raise InputError(f"alphas: expected a list of numbers, found shape {grid.shape}")
    wrong = grid[~((grid > 0) & (grid <= LARGEST_ALPHA))]
    if len(wrong):
        raise InputError(
            f"alphas: expected positive numbers up to {LARGEST_ALPHA:g}, found {float(wrong[0])!r}"
        )
    return np.sort(grid)[::-1].copy()


def solve_path(
    genotypes: Genotypes,
    y: np.ndarray,
    null: NullModel | None,
    design: Design,
    options: PathOptions,
    n_threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> LassoPath:
    """`lasso_path` on arguments that were checked before; says nothing of what did not converge."""
    with blas_cap(blas_threads_for(genotypes.n_samples, n_threads)):
        problem = Problem(genotypes, y, null, design, options, n_threads)
        grid = options.grid(problem.alpha_max)
        solutions = []
        for solution in PathSolver(problem, options).solutions(grid):
            n_active = len(solution.support) + len(problem.unpenalised)
            if options.max_active is not None and n_active > options.max_active:
                break
            solutions.append(solution)
            if progress is not None:
                progress(len(solutions), len(grid))
        if not solutions:
            raise InputError(
                f"max_active: expected at least {n_active}, found {options.max_active}: already "
                f"the first alpha has more than {options.max_active} active SNPs; give larger "
                "alphas"
            )
        return _assemble(problem, null, design, grid[: len(solutions)], solutions, options)


# ---- the result ---------------------------------------------------------------------------------


def _assemble(problem, null, design, alphas, solutions, options) -> LassoPath:
    from scipy.sparse import csc_array

    p, m = problem.genotypes.n_variants, len(solutions)
    ever = np.unique(np.concatenate([s.support for s in solutions]))
    dense = np.zeros((len(ever), m))
    for k, solution in enumerate(solutions):
        dense[np.searchsorted(ever, solution.support), k] = solution.beta
    dense = np.ldexp(dense, problem.exponent)
    # Fixed effects given the SNPs: those of y minus those of each SNP times its effect.
    X = problem.genotypes.columns(ever)
    fixed = problem.precision.fixed_effects(problem.y)[:, None]
    fixed = fixed - problem.precision.fixed_effects(X) @ dense
    c = design.matrix.shape[1]
    gammas = fixed[:c]

    rows = np.concatenate([ever, problem.unpenalised])
    values = np.vstack([dense, fixed[c:]])
    order = np.argsort(rows, kind="stable")
    rows, values = rows[order], values[order]
    column, row = np.nonzero(values.T)
    indptr = np.concatenate([[0], np.cumsum((values != 0).sum(axis=0))])
    coefs = csc_array((values[row, column], rows[row], indptr), shape=(p, m))

    alpha_entry = np.full(p, np.nan)
    active = values != 0
    alpha_entry[rows[active.any(axis=1)]] = alphas[active.argmax(axis=1)[active.any(axis=1)]]
    gaps = np.array([s.gap for s in solutions])
    return LassoPath(
        alphas=alphas,
        mus=problem.n * alphas,
        coefs=coefs,
        intercepts=gammas[0] if design.has_intercept else np.zeros(m),
        gammas=gammas,
        n_active=active.sum(axis=0),
        dual_gaps=gaps,
        converged=gaps <= options.tol,
        n_passes=np.array([s.n_passes for s in solutions]),
        alpha_entry=alpha_entry,
        alpha_max=problem.alpha_max,
        l1_ratio=options.l1_ratio,
        tol=options.tol,
        penalty_factors=problem.penalty_factors,
        whitened_factors=is_whitened(options.penalty_factors),
        n_samples=problem.n,
        null=null,
        design=design,
        dual=np.ldexp(np.column_stack([s.v for s in solutions]), problem.exponent),
    )
