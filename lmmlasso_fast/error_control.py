"""Error control without refitting: the alpha of the first entry, false inclusions along a path.

Both rest on what a SNP without effect does in whitened coordinates, where the noise z is
independent: x~_j'z is normal with variance ||x~_j||^2. They need gradients X'v and the lengths of
the whitened SNPs, never all of these at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast.checks import MOST_TIMES, as_integer, as_number, as_numbers
from lmmlasso_fast.covariates import Design, independent_columns
from lmmlasso_fast.display import Result, one_row
from lmmlasso_fast.errors import GenotypeError, InputError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.norms import norms_of
from lmmlasso_fast.null_model import NullModel, as_phenotype
from lmmlasso_fast.path import LassoPath, PathOptions
from lmmlasso_fast.problem import Problem, as_penalty_factors, design_of
from lmmlasso_fast.spectral import Spectrum
from lmmlasso_fast.threads import as_n_threads, blas_cap, blas_threads_for, for_each
from lmmlasso_fast.variance import variance_split
from lmmlasso_fast.whitening import Precision

if TYPE_CHECKING:
    import polars as pl

#: For the scores of the draws that are made together, and for the draws themselves.
_DRAWS_BYTES = 1 << 26
#: Draws that one pass over packed genotypes takes: batches are multiples of it.
_PASS = 8
#: level (n_draws + 1) this close below an integer is that integer: .29 of 100 is not 28.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class CalibratedAlpha(Result):
    """The alpha below which a first SNP enters by chance with a given probability.

    Attributes
    ----------
    alpha : float
        In units of y; a SNP that is active at an alpha of at least this is significant at `level`.
    level : float
        Family-wise error: the probability that, without any effect, a SNP enters above `alpha`.
    alpha_max : float
        Where the first SNP enters; above `alpha` exactly if p_value <= level.
    p_value : float
        Of the first entry, family-wise: (1 + draws at least as large as observed) / (1 + n_draws).
    quantile : float
        Of the draws: alpha without the phenotype's scale.
    draws : ndarray, shape (n_draws,)
        max_j |x~_j'Mz| / (pi_j ||Mz||), ascending.
    n_draws : int
    """

    alpha: float
    level: float
    alpha_max: float
    p_value: float
    quantile: float
    draws: np.ndarray = field(repr=False)
    n_draws: int

    def to_frame(self) -> "pl.DataFrame":
        """Return one row: all but the draws."""
        return one_row(self, ("alpha", "level", "alpha_max", "p_value", "quantile", "n_draws"))


def calibrated_alpha(
    genotypes: Genotypes,
    y: ArrayLike,
    null: NullModel | None = None,
    *,
    level: float = 0.05,
    n_draws: int = 1000,
    seed: int = 0,
    covariates: ArrayLike | None = None,
    covariate_names: Sequence[str] | None = None,
    intercept: bool = True,
    penalty_factors: ArrayLike | None = None,
    l1_ratio: float = 1.0,
    n_threads: int | None = None,
) -> CalibratedAlpha:
    """Find the alpha whose model, without any effect, has a SNP with probability `level`:

        alpha = quantile_(1 - level) of max_j |x~_j'Mz| / (pi_j ||Mz||)
                times ||y~|| / (n l1_ratio),   z ~ N(0, I)

    Without effects y~ is sigma_g Mz, and sigma_g drops out of the ratio. (Permuting y is no
    alternative: under a kinship its entries are not exchangeable.)

    Parameters
    ----------
    genotypes : Genotypes, n samples x p SNPs
    y : array_like, shape (n,)
        Phenotype; alpha is in its units.
    null : NullModel, optional
        From `fit_null` on the same samples in the same order; brings delta and the covariates.
        None: no random effect.
    level : float in (0, 1), default 0.05
    n_draws : int, default 1000
        At least 1 / level - 1.
    seed : int, default 0
    covariates, covariate_names, intercept
        Only without a null model, as in `lasso_path`.
    penalty_factors : array_like, shape (p,), or "whitened", optional
        As in `lasso_path`: SNPs with 0 are covariates, those with infinity do not count. With
        "whitened" every SNP has the same share in the draws' maximum.
    l1_ratio : float in (0, 1], default 1
    n_threads : int, optional
        As in `lasso_path`: below 3,000 samples the bits do not depend on it. Default: all
        available.

    Returns
    -------
    CalibratedAlpha

    Raises
    ------
    InputError
        An option out of range, too few draws for the level; GenotypeError, PhenotypeError,
        SampleMatchError for data that do not fit.

    Notes
    -----
    The quantile is the draw that floor(level (n_draws + 1)) - 1 draws exceed, so that the test is
    exact with any number of draws: the data's own ratio is one more draw. That holds for normal
    noise (`transform_phenotype` makes a skewed phenotype so) and for the delta of the null model;
    that delta was fitted to the same y is not accounted for.

    Nothing is rotated. With e ~ N(0, V) and v = P e, P = W'M W, the numerator is x_j'v and ||Mz||^2
    is e'P e. The gradients x_j'v of the draws have float32's accuracy, 1e-6 of a ratio.

    References
    ----------
    Dufour 2006, J. Econom. 133:443 (Monte-Carlo tests are exact). Belloni, Chernozhukov, Wang 2011,
    Biometrika 98:791 (the pivotal ratio).
    """
    options = PathOptions(l1_ratio=l1_ratio, penalty_factors=penalty_factors)
    n_entries = _n_entries(level, n_draws)
    seed = as_integer("seed", seed, 0)
    y = as_phenotype(y, genotypes.n_samples)
    n_threads = as_n_threads(n_threads)
    design = design_of(genotypes, null, covariates, intercept, covariate_names)
    with blas_cap(blas_threads_for(genotypes.n_samples, n_threads)):
        problem = Problem(genotypes, y, null, design, options, n_threads)
        alpha_max = float(options.grid(problem.alpha_max)[0])  # refuses if no SNP could enter
        draws = _draws(problem, null, n_draws, np.random.default_rng(seed))
    draws.sort()
    # ratio times scale = alpha
    scale = np.sqrt(problem.working.yPy) / (problem.n * l1_ratio)
    observed = problem.scaled_alpha_max / scale
    quantile = float(draws[n_draws - n_entries])
    n_larger = n_draws - int(np.searchsorted(draws, observed, side="left"))
    return CalibratedAlpha(
        alpha=float(np.ldexp(quantile * scale, problem.exponent)),
        level=float(level),
        alpha_max=alpha_max,
        p_value=(1 + n_larger) / (1 + n_draws),
        quantile=quantile,
        draws=draws,
        n_draws=n_draws,
    )


def _n_entries(level: float, n_draws: int) -> int:
    """Return how many of n_draws + 1 equal ranks may be above alpha: floor(level (n_draws + 1))."""
    level = as_number("level", level, above=0, below=1)
    n_draws = as_integer("n_draws", n_draws, 1, MOST_TIMES)
    n_entries = int(level * (n_draws + 1) * (1 + _ROUNDING))
    if n_entries == 0:
        with np.errstate(over="ignore"):
            least = np.ceil(1 / np.float64(level) * (1 - _ROUNDING)) - 1
        raise InputError(
            f"n_draws: expected at least {least:.10g} draws for "
            f"the level {level!r}, found {n_draws}; a p-value cannot be below 1 / (n_draws + 1)"
        )
    return min(n_entries, n_draws)


def _draws(problem: Problem, null: NullModel | None, n_draws: int, rng) -> np.ndarray:
    """Return max_j |x_j'v| / (pi_j sqrt(e'v)) with v = P e for independent e ~ N(0, V)."""
    genotypes, n = problem.genotypes, problem.n
    root = None if null is None else _root(null)
    width = _DRAWS_BYTES // (8 * max(n, genotypes.n_variants))
    width = max(_PASS, width // _PASS * _PASS)
    draws = np.empty(n_draws)
    for start in range(0, n_draws, width):
        e = rng.standard_normal((min(width, n_draws - start), n))
        if root is not None:
            e = e @ root.T
        v = problem.precision.apply_rows(e)
        scores = genotypes.gradient(v.T, screening=True, n_threads=problem.n_threads)
        np.abs(scores, out=scores)
        if problem.divisors is not None:
            scores /= problem.divisors[:, None]
        draws[start : start + width] = scores.max(axis=0) / np.sqrt(np.einsum("ij,ij->i", e, v))
    return draws


def _root(null: NullModel) -> np.ndarray:
    """Return a root F of V = K + delta I = F F' that depends continuously on V.

    The symmetric one, or the Cholesky factor where V is well-conditioned: eigenvectors alone have
    an arbitrary sign, which another machine would draw other noise for.
    """
    kinship, delta = null.kinship, null.delta
    basis = kinship.basis(delta)
    if isinstance(basis, Spectrum):
        return (basis.U * np.sqrt(basis.s + delta)) @ basis.U.T
    V = basis.clipped(kinship.matrix).copy()  # it may be the kinship's own matrix
    V[np.arange(len(V)), np.arange(len(V))] += delta
    return np.linalg.cholesky(V)


def whitened_norms(
    genotypes: Genotypes,
    null: NullModel | None = None,
    *,
    covariates: ArrayLike | None = None,
    covariate_names: Sequence[str] | None = None,
    intercept: bool = True,
    penalty_factors: ArrayLike | None = None,
    n_threads: int | None = None,
) -> np.ndarray:
    """Return ||x~_j||^2 = x_j'P x_j, P = W'M W, of every SNP: 2 n^2 p operations in float64.

    Parameters
    ----------
    genotypes : Genotypes, n samples x p SNPs
    null : NullModel, optional
        As in `lasso_path`; None: no random effect, P is the projection off the covariates.
    covariates, covariate_names, intercept
        Only without a null model, as in `lasso_path`.
    penalty_factors : array_like, shape (p,), optional
        As in `lasso_path`: SNPs with 0 are covariates too, those with infinity are left out.
    n_threads : int, optional
        Each takes its own blocks of SNPs, with one BLAS thread; from 3,000 samples on P is BLAS's,
        and its last bits may depend on their number. Default: all available.

    Returns
    -------
    ndarray, shape (p,)
        Squared lengths; 0 for SNPs that are not offered or lie in the span of the covariates.

    Raises
    ------
    InputError
        Penalty factors that are none; CovariateError, SampleMatchError for data that do not fit.
    """
    n_threads = as_n_threads(n_threads)
    design = design_of(genotypes, null, covariates, intercept, covariate_names)
    factors = as_penalty_factors(genotypes, penalty_factors)
    return _whitened_norms(genotypes, null, design, factors, n_threads)


def _whitened_norms(
    genotypes: Genotypes,
    null: NullModel | None,
    design: Design,
    factors: np.ndarray,
    n_threads: int,
) -> np.ndarray:
    n = genotypes.n_samples
    C = np.column_stack([design.matrix, genotypes.columns(np.flatnonzero(factors == 0))])
    C = C[:, independent_columns(C)]
    with blas_cap(blas_threads_for(n, n_threads)):
        precision = Precision(C) if null is None else Precision(C, null.kinship, null.delta)
    snps = np.flatnonzero(_is_penalised(factors))
    norms = np.zeros(genotypes.n_variants)
    norms[snps] = norms_of(genotypes, snps, precision, n_threads)
    return norms


def _is_penalised(factors: np.ndarray) -> np.ndarray:
    """SNPs that the penalty keeps out or lets in; unpenalised ones are covariates."""
    return (factors > 0) & (factors < np.inf)


def marginal_fdr(
    path: LassoPath,
    genotypes: Genotypes,
    y: ArrayLike,
    norms: np.ndarray | None = None,
    *,
    n_threads: int | None = None,
) -> np.ndarray:
    """Return the expected share of marginal false discoveries at every alpha of a path,

        mFDR = min(1, sum_j 2 Phi(-n alpha l1_ratio pi_j / (sigma ||x~_j||)) / n_active)
        sigma^2 = ||y~ - X~ beta||^2 / (n - c - n_active)

    A discovery is false marginally if the SNP is independent of the phenotype given the random
    effect; one that stands in for a causal SNP in its neighbourhood is not. All SNPs that are
    offered are counted as if they had no effect.

    Parameters
    ----------
    path : LassoPath
    genotypes, y
        What the path was fitted on.
    norms : array_like, shape (p,), optional
        `whitened_norms` of the same null model, covariates and penalty factors. Default: computed.
    n_threads : int, optional
        Default: all available; the result depends on it as `whitened_norms` does.

    Returns
    -------
    ndarray, shape (m,)
        0 where no penalised SNP is active; 1 where no degree of freedom is left for sigma.
        Unpenalised SNPs take a degree of freedom each and are no discoveries.

    Raises
    ------
    InputError
        Norms that are none, or of another number of SNPs; GenotypeError, PhenotypeError for other
        data than the path's.

    References
    ----------
    Breheny 2019, Biostatistics 20:299 (R's ncvreg::mfdr, which it equals without random effect and
    missing genotypes); Yi, Breheny, Imam, Liu, Hoeschele 2015, Genetics 199:205.
    """
    n_threads = as_n_threads(n_threads)
    factors, p = path.penalty_factors, genotypes.n_variants
    if (genotypes.n_samples, p) != (path.n_samples, path.coefs.shape[0]):
        raise GenotypeError(
            f"genotypes: expected the {path.n_samples} samples and {path.coefs.shape[0]} SNPs of "
            f"the path, found {genotypes.n_samples} and {p}; give those that it was fitted on"
        )
    split = variance_split(path, genotypes, y)
    if norms is None:
        norms = _whitened_norms(genotypes, path.null, path.design, factors, n_threads)
    norms = _as_norms(norms, p)
    n, c = path.design.matrix.shape
    rss = n * split.total * (split.noise if path.null is None else split.random)
    degrees = n - c - path.n_active
    unpenalised = path.coefs.tocsr()[np.flatnonzero(factors == 0)].toarray()
    n_discovered = path.n_active - np.count_nonzero(unpenalised, axis=0)
    offered = _is_penalised(factors) & (norms > 0)
    weights = n * path.l1_ratio * factors[offered] / np.sqrt(norms[offered])
    return _rates(weights, path.alphas, rss, degrees, n_discovered, n_threads)


def _rates(weights, alphas, rss, degrees, n_discovered, n_threads) -> np.ndarray:
    """Return min(1, sum of 2 Phi(-alpha weights / sigma) / n_discovered) for every alpha."""
    from scipy.special import ndtr

    rates = np.zeros(len(alphas))

    def rate(k: int) -> None:
        if n_discovered[k] == 0:
            return
        if degrees[k] <= 0:
            rates[k] = 1.0
            return
        with np.errstate(divide="ignore"):  # nothing left: no SNP comes in by noise
            inverse_sigma = 1.0 / np.sqrt(max(rss[k], 0.0) / degrees[k])
        n_false = 2.0 * ndtr(-alphas[k] * inverse_sigma * weights).sum()
        rates[k] = min(1.0, n_false / n_discovered[k])

    for_each(rate, len(alphas), n_threads)
    return rates


def _as_norms(norms, p: int) -> np.ndarray:
    norms = as_numbers(norms, "norms", InputError, copy=False, booleans=False)
    if norms.shape != (p,):
        raise InputError(f"norms: expected {p} numbers, one per SNP, found shape {norms.shape}")
    if not ((norms >= 0) & (norms < np.inf)).all():
        j = int(np.flatnonzero(~((norms >= 0) & (norms < np.inf)))[0])
        raise InputError(
            f"norms: expected the finite squared lengths of whitened_norms, found {norms[j]} for "
            f"SNP {j}"
        )
    return norms
