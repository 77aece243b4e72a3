"""The whitened problem of a path: data, covariates and penalty factors, checked once."""

import warnings

import numpy as np

from lmmlasso_fast.checks import as_numbers
from lmmlasso_fast.covariates import (
    Design,
    as_design,
    independent_columns,
    without_fixed_effects,
)
from lmmlasso_fast.errors import DataWarning, InputError, SampleMatchError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.io.ids import ids_in_common
from lmmlasso_fast.norms import whitened_factors
from lmmlasso_fast.threads import blas_threads_for
from lmmlasso_fast.whitening import Precision
from lmmlasso_fast.working_set import WorkingSet

#: Penalty factors that are the lengths of the whitened SNPs.
WHITENED = "whitened"
#: A correlation with the phenotype below this is rounding.
_ROUNDING = 1e-12
#: Penalty factors neither 0 nor infinite are within these: products with alpha must be numbers.
_SMALLEST, _LARGEST = 1e-32, 1e32
#: SNPs looked at together.
_BLOCK = 16


class Problem:
    """Everything that does not change along the path; y scaled by a power of two (exactly)."""

    def __init__(self, genotypes, y, null, design, options, n_threads):
        self.genotypes = genotypes
        self.n = genotypes.n_samples
        self.n_threads = n_threads
        self.y = y
        self.exponent = int(np.frexp(np.abs(y).max())[1])
        #: as they are reported
        self.penalty_factors = as_penalty_factors(genotypes, options.penalty_factors)
        free = np.flatnonzero(self.penalty_factors == 0)
        C = design.matrix
        if len(free):
            C, free = _with_unpenalised(C, genotypes, free)
        self.unpenalised = free
        if null is None:
            self.precision = Precision(C)
        else:
            self.precision = Precision(C, null.kinship, null.delta)
        if is_whitened(options.penalty_factors):
            # where BLAS has the threads, blocks of SNPs come one after the other
            n_workers = n_threads if blas_threads_for(self.n, n_threads) == 1 else 1
            self.penalty_factors = whitened_factors(genotypes, C, self.precision, n_workers)
        # Unpenalised SNPs are covariates of the Lasso; out of the penalised problem they are gone.
        self.factors = np.where(self.penalty_factors == 0, np.inf, self.penalty_factors)
        # SNPs that are not offered have a gradient of zero, so that one number need not be read.
        one = np.array_equal(self.factors == 1.0, genotypes.included)
        self.divisors = None if one else self.factors
        _, rest = without_fixed_effects(C, np.ldexp(y, -self.exponent))
        self.working = WorkingSet(genotypes, self.precision, rest, options.gram_limit)
        self.gradient_at_zero = self.gradients(self.working.Py[None], n_exact=1)[0]
        #: in units of the scaled y
        self.scaled_alpha_max = self._largest_score() / (self.n * options.l1_ratio)

    def _largest_score(self) -> float:
        """max_j |x_j'P y| / pi_j; 0 where that is only rounding (SNPs in the span of C)."""
        score = np.abs(self.gradient_at_zero) / self.factors
        length_v = np.linalg.norm(self.working.Py)
        for snps in _descending(score):
            length = np.linalg.norm(self.genotypes.columns(snps), axis=0)
            real = np.abs(self.gradient_at_zero[snps]) > _ROUNDING * length * length_v
            if real.any():
                return float(score[snps[real.argmax()]])
        return 0.0

    @property
    def alpha_max(self) -> float:
        return float(np.ldexp(self.scaled_alpha_max, self.exponent))

    def gradients(self, V: np.ndarray, *, n_exact: int) -> np.ndarray:
        """Return X'v for every row v of V (m x n) as the rows of m x p, in one pass.

        Those after n_exact have float32's accuracy.
        """
        screening = np.arange(len(V)) >= n_exact
        out = self.genotypes.gradient(V.T, screening=screening, n_threads=self.n_threads)
        return np.ascontiguousarray(out.T)


def _descending(score: np.ndarray):
    """Yield indices of scores, the largest first, without sorting if that is all."""
    yield np.array([score.argmax()])
    order = np.argsort(-score, kind="stable")[: np.count_nonzero(score)]
    for start in range(0, len(order), _BLOCK):
        yield order[start : start + _BLOCK]


def design_of(genotypes, null, covariates, intercept, names=None) -> Design:
    if null is None:
        return as_design(covariates, genotypes.n_samples, intercept=intercept, names=names)
    if covariates is not None or names is not None or not intercept:
        raise InputError(
            "covariates, covariate_names, intercept: the null model brings its own; give them to "
            "fit_null"
        )
    if null.n_samples != genotypes.n_samples:
        raise SampleMatchError(
            f"null model: expected the {genotypes.n_samples} samples of the genotypes, found "
            f"{null.n_samples}; take the same subset of both"
        )
    check_same_samples(genotypes, null.kinship)
    return null.design


def check_same_samples(genotypes: Genotypes, kinship) -> None:
    """Raise SampleMatchError unless both have the same ids in the same order (if both have ids).

    IID alone decides if one of them has no FID.
    """
    if not genotypes.has_sample_ids or kinship.samples is None:
        return
    by = ids_in_common(genotypes.samples, kinship.samples)
    # columns, not frames: of these polars takes threads, which a child of a fork lacks
    if all(genotypes.samples[name].equals(kinship.samples[name]) for name in by):
        return
    ids, others = (
        list(zip(*(frame[name].to_list() for name in by), strict=True))
        for frame in (genotypes.samples, kinship.samples)
    )
    k = next(row for row, pair in enumerate(zip(ids, others, strict=True)) if pair[0] != pair[1])
    one, other = (" ".join(filter(None, side[k])) for side in (ids, others))
    raise SampleMatchError(
        f"kinship: its samples are not those of the genotypes in the same order; sample {k + 1} is "
        f"{one} in the genotypes and {other} in the kinship; reorder with Kinship.subset"
    )


def is_whitened(factors) -> bool:
    """Whether penalty factors are yet to be made of the lengths of the whitened SNPs."""
    return isinstance(factors, str)


def as_penalty_factors(genotypes, factors) -> np.ndarray:
    """Check penalty factors, default 1; infinity for SNPs that are not offered.

    For "whitened" it is 1 too: who can enter. The factors are those of each `Problem`.
    """
    p = genotypes.n_variants
    if is_whitened(factors):
        if factors != WHITENED:
            raise InputError(
                f"penalty_factors: expected numbers or {WHITENED!r}, found {factors!r}"
            )
        factors = None
    factors = (
        np.ones(p)
        if factors is None
        else as_numbers(factors, "penalty_factors", InputError, booleans=False)
    )
    if factors.shape != (p,):
        raise InputError(
            f"penalty_factors: expected {p} numbers, one per SNP, found shape {factors.shape}"
        )
    if np.isnan(factors).any() or (factors < 0).any():
        j = int(np.flatnonzero(~(factors >= 0))[0])
        raise InputError(
            f"penalty_factors: expected numbers from 0 to infinity, found {factors[j]} for SNP {j}"
        )
    odd = (factors > 0) & (factors < np.inf) & ((factors < _SMALLEST) | (factors > _LARGEST))
    if odd.any():
        j = int(odd.argmax())
        raise InputError(
            f"penalty_factors: expected 0, infinity or numbers from {_SMALLEST:g} to "
            f"{_LARGEST:g}, found {factors[j]:g} for SNP {j}; 0 is unpenalised, infinity left out"
        )
    factors[~genotypes.included] = np.inf
    return factors


def _with_unpenalised(C, genotypes, snps):
    """Append unpenalised SNPs to the covariates; those collinear with what is there stay at 0."""
    both = np.column_stack([C, genotypes.columns(snps)])
    keep = [j for j in independent_columns(both) if j >= C.shape[1]]
    kept = snps[[j - C.shape[1] for j in keep]]
    if len(kept) < len(snps):
        warnings.warn(
            f"{len(snps) - len(kept)} unpenalised SNPs are collinear with covariates or with each "
            "other; their effects are set to zero",
            DataWarning,
            stacklevel=4,
        )
    if C.shape[1] + len(kept) >= len(C):
        raise InputError(
            "penalty_factors: expected fewer unpenalised SNPs, found that "
            f"{len(kept)} and {C.shape[1]} covariates leave no degree of freedom for "
            f"{len(C)} samples; penalise some of them"
        )
    return np.column_stack([C, both[:, keep]]), kept
