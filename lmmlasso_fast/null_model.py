"""The null model: how the variance splits between kinship and noise before any SNP is fitted."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast.checks import as_choice, as_integer, as_number, as_numbers
from lmmlasso_fast.covariates import Design, as_design, without_fixed_effects
from lmmlasso_fast.display import Result, draw, one_row
from lmmlasso_fast.errors import DataWarning, InputError, PhenotypeError
from lmmlasso_fast.kinship import Kinship, as_kinship
from lmmlasso_fast.threads import blas_cap, blas_threads_for
from lmmlasso_fast.tridiagonal import Profile

if TYPE_CHECKING:
    import polars as pl

#: Beyond it kinship or noise is rounding to the other: exp(40) is 2e17.
MAX_LOG_DELTA = 40.0
#: Grid over log delta of the published method.
DEFAULT_GRID = np.linspace(-5.0, 5.0, 101)
#: More intervals than any likelihood needs, which memory holds.
MOST_INTERVALS = 1_000_000
#: Accuracy of log delta, absolute, where the likelihood allows it.
_ROOT_TOL, _EPS = 1e-13, float(np.finfo(np.float64).eps)
#: A profile that varies by less than this (in log-likelihood) does not identify delta.
_FLAT = 1e-6
#: Of the largest phenotype, to base 2, where variances are wanted.
_LARGEST_EXPONENT = 505
#: The largest phenotype is within these anyway: penalties and effects must be numbers too.
_SMALLEST, _LARGEST = 1e-220, 1e220
#: A second local optimum this close in log-likelihood is inside the 95 % interval (3.84 / 2); the
#: far end of the interval, where the profile only levels off, seldom is.
_RIVAL = 1.92


#: What `NullModel.to_frame` has.
_IN_TABLE = (
    "method",
    "log_delta",
    "delta",
    "sigma_g2",
    "sigma_e2",
    "h2",
    "h2_se",
    "log_likelihood",
    "at_boundary",
    "multimodal",
    "flat",
    "n_samples",
)


@dataclass(frozen=True)
class LikelihoodProfile:
    """Negative log-likelihood over the grid, for plots: `log_delta` and `nll`, same length."""

    log_delta: np.ndarray
    nll: np.ndarray


@dataclass(frozen=True)
class NullModel(Result):
    """y = C gamma + u + e with u ~ N(0, sigma_g2 K), e ~ N(0, sigma_e2 I), K of mean diagonal 1.

    Attributes
    ----------
    method : {"ml", "reml", "given"}
        How log_delta was chosen; variances are ML's unless REML was asked for.
    log_delta, delta : float
        delta = sigma_e2 / sigma_g2.
    sigma_g2, sigma_e2 : float
        In squared units of y.
    h2 : float
        sigma_g2 / (sigma_g2 + sigma_e2) = 1 / (1 + delta).
    h2_se : float or None
        Standard error from the curvature of the profile likelihood; None at the boundary, for a
        flat profile and for a given delta.
    log_likelihood : float
        (Restricted) log-likelihood at log_delta, constants included.
    at_boundary : bool
        The optimum is an end of the search interval.
    multimodal, flat : bool
        Another local optimum within 1.92 units of log-likelihood; a likelihood that does not
        identify delta (K = I).
    profile : LikelihoodProfile
    gamma : ndarray, shape (c,)
        Fixed effects at beta = 0.
    design : Design
        The covariates in use, intercept first.
    kinship : Kinship
    """

    method: str
    log_delta: float
    delta: float
    sigma_g2: float
    sigma_e2: float
    h2: float
    h2_se: float | None
    log_likelihood: float
    at_boundary: bool
    multimodal: bool
    flat: bool
    profile: LikelihoodProfile = field(repr=False)
    gamma: np.ndarray = field(repr=False)
    design: Design = field(repr=False)
    kinship: Kinship = field(repr=False)

    def to_frame(self) -> "pl.DataFrame":
        """Return one row: the numbers of P.null.json, under its names."""
        return one_row(self, _IN_TABLE)

    def plot(self, **options: Any) -> Any:
        """Draw the likelihood profile: `lmmlasso_fast.plots.likelihood_profile`."""
        return draw("likelihood_profile", self, **options)

    @property
    def n_samples(self) -> int:
        return self.kinship.n_samples


def fit_null(
    y: ArrayLike,
    K: Kinship | ArrayLike,
    covariates: ArrayLike | None = None,
    method: str = "ml",
    log_delta: float | None = None,
    *,
    intercept: bool = True,
    covariate_names: Sequence[str] | None = None,
    n_grid: int = 100,
    log_delta_min: float = -5.0,
    log_delta_max: float = 5.0,
    n_threads: int | None = None,
) -> NullModel:
    """Fit the variance components without SNPs, by maximum likelihood or REML.

    Minimises the profiled negative log-likelihood over log delta; with V = K + delta I, RSS the
    generalised residual sum of squares and C the covariates,

        ML    n/2 log(2 pi RSS / n) + n/2 + 1/2 log|V|
        REML  (n-c)/2 log(2 pi RSS / (n-c)) + (n-c)/2 + 1/2 log|V| + 1/2 log|C'V^-1 C|
              - 1/2 log|C'C|

    on an even grid, then finds the zero of its derivative (Chandrupatla 1997) in every interval
    where that changes from minus to plus.

    Parameters
    ----------
    y : array_like, shape (n,)
        Phenotype, finite.
    K : Kinship or array_like, shape (n, n)
        An array is scaled to mean diagonal 1; so K and 7 K give the same model.
    covariates : array_like, shape (n, k), optional
        Fixed effects; collinear ones are dropped with a warning.
    method : {"ml", "reml"}
    log_delta : float, optional
        Fix log(sigma_e2 / sigma_g2) instead of searching for it.
    intercept : bool, default True
    covariate_names : sequence of str, optional
    n_grid : int, default 100
        Intervals of the grid.
    log_delta_min, log_delta_max : float, default -5 and 5
        The interval searched.
    n_threads : int, optional
        BLAS threads of the tridiagonal form from 3,000 samples on; default all available.

    Returns
    -------
    NullModel

    Raises
    ------
    PhenotypeError, CovariateError, KinshipError
        What cannot be used, and why.
    InputError
        An option out of range.

    Notes
    -----
    ML, the published method, prefers small deltas where samples are few or h2 is large. A realised
    relationship matrix is centred, so that the intercept is an eigenvector with the eigenvalue 0: V
    has the eigenvalue delta there, where the covariates explain everything, and the likelihood
    gains 1/2 log(1 / delta) by it, without end. REML leaves that direction out. With 300 samples,
    3,000 SNPs and a true h2 of 0.8, ML's optimum was the lower end of the search interval in 60 %
    of simulations and its mean h2 0.88; REML's in 6 %, and 0.80. For h2 itself take REML.

    References
    ----------
    Lippert et al. 2011, Nature Methods 8:833 (one decomposition for every delta; here a tridiagonal
    one); Rakitsch et al. 2013, Bioinformatics 29:206 (grid and Brent search).
    """
    K = as_kinship(K)
    y = as_phenotype(y, K.n_samples)
    log_delta = as_null_options(method, log_delta)
    n_grid = as_integer("n_grid", n_grid, 1, MOST_INTERVALS)
    low, high = as_interval("log_delta_min", log_delta_min, "log_delta_max", log_delta_max)
    design = as_design(covariates, len(y), intercept=intercept, names=covariate_names)
    grid = np.linspace(low, high, n_grid + 1)
    null = fit_null_on_grid(y, K, design, method, log_delta, grid, n_threads)
    if null.flat and log_delta is None:
        warnings.warn(
            "null model: the likelihood does not depend on delta (is the kinship a multiple of "
            f"the identity?); log delta was set to {null.log_delta:g}",
            DataWarning,
            stacklevel=2,
        )
    return null


def as_null_options(method: str, log_delta: float | None) -> float | None:
    """Return log delta; raise InputError for an unknown method or a log delta that is no use."""
    as_choice("method", method, ("ml", "reml"))
    if log_delta is None:
        return None
    expected = f"a number from -{MAX_LOG_DELTA:g} to {MAX_LOG_DELTA:g}"
    return as_number("log_delta", log_delta, -MAX_LOG_DELTA, MAX_LOG_DELTA, expected=expected)


def as_interval(name_of_low: str, low, name_of_high: str, high) -> tuple[float, float]:
    """Return the ends of a grid over log delta."""
    expected = f"a number within {MAX_LOG_DELTA:g} of zero"
    ends = tuple(
        as_number(name, value, -MAX_LOG_DELTA, MAX_LOG_DELTA, expected=expected)
        for name, value in ((name_of_low, low), (name_of_high, high))
    )
    if not ends[0] < ends[1]:
        raise InputError(
            f"grid: expected {name_of_low} < {name_of_high}, found {ends[0]!r} and {ends[1]!r}; "
            "exchange them, or fix log delta"
        )
    return ends


def fit_null_on_grid(
    y: np.ndarray,
    K: Kinship,
    design: Design,
    method: str = "ml",
    log_delta: float | None = None,
    grid: np.ndarray = DEFAULT_GRID,
    n_threads: int | None = None,
) -> NullModel:
    """`fit_null` on arguments that were checked before; says nothing about a flat likelihood."""
    # Scaling y by a power of two is exact and keeps its squares away from over- and underflow.
    exponent = exponent_of(y)
    least_squares, rest = without_fixed_effects(design.matrix, np.ldexp(y, -exponent))
    with blas_cap(blas_threads_for(K.n_samples, n_threads)):
        lowest = float(grid[0]) if log_delta is None else min(log_delta, float(grid[0]))
        likelihood = _Likelihood(K, rest, design, reml=method == "reml", lowest=lowest)

    nll, slope = likelihood.profile(grid)
    # every value carries the factor 2^exponent of y
    shift = likelihood.degrees * exponent * math.log(2.0)
    flat = bool(np.ptp(nll) < _FLAT)
    given = log_delta is not None
    if given:
        best, at_boundary, multimodal = float(log_delta), False, False
    else:
        best, at_boundary, multimodal = _minimise(likelihood, grid, nll, slope)
    if flat and not given:
        best, at_boundary, multimodal = 0.5 * float(grid[0] + grid[-1]), False, False

    delta = float(np.exp(best))
    rss, gamma = likelihood.fit(best)
    sigma_g2 = float(np.ldexp(rss / likelihood.degrees, 2 * exponent))
    value = float(likelihood.profile(np.array([best]))[0][0])
    return NullModel(
        method="given" if given else method,
        log_delta=best,
        delta=delta,
        sigma_g2=sigma_g2,
        sigma_e2=delta * sigma_g2,
        h2=1.0 / (1.0 + delta),
        h2_se=None if given or flat or at_boundary else _h2_standard_error(likelihood, best),
        log_likelihood=-(value + shift),
        at_boundary=at_boundary,
        multimodal=multimodal,
        flat=flat,
        profile=LikelihoodProfile(grid, nll + shift),
        gamma=np.ldexp(least_squares + gamma, exponent),
        design=design,
        kinship=K,
    )


def exponent_of(y: np.ndarray) -> int:
    """Return that of the largest number to base 2; variances are in squared units of y.

    Raises
    ------
    PhenotypeError
        Squares of numbers of that size are zero or infinite.
    """
    largest = float(np.abs(y).max())
    exponent = int(np.frexp(largest)[1])
    if abs(exponent) > _LARGEST_EXPONENT:
        raise PhenotypeError(
            "phenotype: expected numbers whose squares are neither infinite nor zero, found "
            f"{largest!r} as the largest; give it in another unit"
        )
    return exponent


def as_phenotype(y, n: int | None = None) -> np.ndarray:
    """Return y as float64, shape (n,).

    Raises
    ------
    PhenotypeError
        Wrong shape, not numeric, not finite, constant, or of a size whose products with penalties
        are no numbers.
    """
    y = as_numbers(y, "phenotype", PhenotypeError)
    if y.ndim != 1 or (n is not None and len(y) != n):
        raise PhenotypeError(
            f"phenotype: expected {'one dimension' if n is None else f'{n} values'}, found shape "
            f"{y.shape}"
        )
    if not np.isfinite(y).all():
        i = int(np.flatnonzero(~np.isfinite(y))[0])
        raise PhenotypeError(
            f"phenotype: expected finite numbers, found {float(y[i])} at position {i} "
            f"({int((~np.isfinite(y)).sum())} in all); drop those samples first"
        )
    if len(y) < 3:
        raise PhenotypeError(f"phenotype: expected at least 3 samples, found {len(y)}")
    if y.min() == y.max():
        raise PhenotypeError(
            f"phenotype: expected at least two values, found only {float(y[0])!r}; take samples "
            "among which it differs, or another phenotype"
        )
    largest = float(np.abs(y).max())
    if not _SMALLEST <= largest <= _LARGEST:
        raise PhenotypeError(
            f"phenotype: expected a largest number from {_SMALLEST:g} to {_LARGEST:g}, found "
            f"{largest!r}; give it in another unit"
        )
    return y


class _Likelihood:
    """The profiled negative log-likelihood in a basis in which K is tridiagonal (or diagonal).

    `lowest` is the smallest log delta at which it will be evaluated.
    """

    def __init__(
        self, K: Kinship, y: np.ndarray, design: Design, *, reml: bool, lowest: float = -5.0
    ):
        self.basis = K.basis(math.exp(lowest))
        rotated = self.basis.rotate(np.column_stack([y, design.matrix]))
        self.rows = np.ascontiguousarray(rotated.T)
        self.reml = reml
        n, c = design.matrix.shape
        self.degrees = n - c if reml else n
        self.log_det_CC = 0.0
        if reml and c:
            R = np.linalg.qr(design.matrix, mode="r")
            self.log_det_CC = 2.0 * float(np.log(np.abs(np.diag(R))).sum())

    def profile(self, log_delta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Value and derivative with respect to log delta at every entry."""
        delta, m = np.exp(log_delta), self.degrees
        found = self._at(delta)
        nll = 0.5 * (m * np.log(2 * np.pi * found.rss / m) + m + found.log_det)
        # d RSS / d delta = -|V^-1 (y - C gamma)|^2: gamma is at its optimum
        slope = 0.5 * (found.trace - m * found.once_more / found.rss)
        if self.reml:
            nll += 0.5 * (found.log_det_C - self.log_det_CC)
            slope -= 0.5 * found.trace_C
        return nll, slope * delta

    def fit(self, log_delta: float) -> tuple[float, np.ndarray]:
        """Return RSS and the fixed effects at one delta."""
        found = self._at(np.exp([log_delta]))
        return float(found.rss[0]), found.gamma[0]

    def _at(self, delta: np.ndarray) -> Profile:
        found = self.basis.profile(self.rows, delta)
        if not (found.rss > 0).all():
            raise PhenotypeError(
                "phenotype: expected something left to model, found that the covariates explain it "
                "completely; give fewer covariates"
            )
        return found


def _minimise(likelihood, grid, nll, slope) -> tuple[float, bool, bool]:
    """Return (log delta, at the boundary?, several local minima?)."""
    candidates = []
    if slope[0] >= 0:
        candidates.append((nll[0], grid[0], True))
    if slope[-1] <= 0:
        candidates.append((nll[-1], grid[-1], True))
    # a slope of exactly zero is a minimum on a grid point; at the end it was taken above
    is_zero = slope[1:] == 0
    is_zero[-1:] = False
    for k in np.flatnonzero((slope[:-1] < 0) & ((slope[1:] > 0) | is_zero)):
        root = (
            grid[k + 1]
            if is_zero[k]
            else _root(
                lambda x: float(likelihood.profile(np.array([x]))[1][0]),
                (float(grid[k]), float(slope[k])),
                (float(grid[k + 1]), float(slope[k + 1])),
            )
        )
        value = float(likelihood.profile(np.array([root]))[0][0])
        candidates.append((value, root, False))
    if not candidates:  # a minimum exactly on a grid point: its slope is zero
        k = int(nll.argmin())
        candidates.append((nll[k], grid[k], False))
    candidates.sort()
    lowest, best, at_boundary = candidates[0]
    rivals = [value for value, _, _ in candidates[1:] if value - lowest < _RIVAL]
    return float(best), at_boundary, bool(rivals)


def _root(function, one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return a zero between two points (x, function(x)) with values of opposite sign.

    Chandrupatla 1997, Adv. Eng. Softw. 28:145: inverse quadratic interpolation where the last three
    points make it safe, bisection elsewhere; as fast as Brent's method. (scipy.optimize has both,
    and takes longer to be imported than all of this module takes to run.)
    """
    (b, fb), (a, fa) = one, other
    c, fc = a, fa
    t = 0.5
    while True:
        x = a + t * (b - a)
        fx = function(x)
        if (fx > 0) == (fa > 0):
            c, fc = a, fa
        else:
            c, b, fc, fb = b, a, fb, fa
        a, fa = x, fx
        best = a if abs(fa) < abs(fb) else b
        tolerance = (2 * _EPS * abs(best) + 0.5 * _ROOT_TOL) / abs(b - c)
        if fx == 0 or tolerance > 0.5:
            return best
        xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
        t = 0.5
        if phi**2 < xi and (1 - phi) ** 2 < 1 - xi:
            t = fa / (fb - fa) * fc / (fb - fc)
            t += (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        t = min(1 - tolerance, max(tolerance, t))


def _h2_standard_error(likelihood, log_delta: float) -> float | None:
    """From the curvature in log delta: dh2 / d log delta = -delta / (1 + delta)^2."""
    step = 1e-4
    slopes = likelihood.profile(np.array([log_delta - step, log_delta + step]))[1]
    curvature = (slopes[1] - slopes[0]) / (2 * step)
    if not curvature > 0:
        return None
    delta = np.exp(log_delta)
    return float(delta / (1 + delta) ** 2 / np.sqrt(curvature))
