"""The univariate scan: every SNP tested by itself, with the covariates and the random effect.

    y = C gamma + x_j beta_j + u + e,   u ~ N(0, sigma^2 K),   e ~ N(0, sigma^2 delta I)

With P of `lmmlasso_fast.whitening`, that is for given delta

    beta = x'P y / x'P x      rss = y'P y - beta^2 x'P x      se^2 = rss / ((n - c - 1) x'P x)

The numerators of all SNPs are one pass X'v, v = P y, over the genotypes. The lengths x'P x, with
P = F F' they are ||F'x||^2, take n^2 operations each, in blocks of decoded SNPs.

With delta estimated for every SNP, covariates are gone and the kinship is diagonal in the
eigenvectors U of K outside the span of C: U'U = I, U'C = 0. Restricted likelihood is the likelihood
of U'y, whose only fixed effect is U'x. A SNP is rotated once; a delta then costs n operations.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast import _core
from lmmlasso_fast.checks import as_choice, as_switch
from lmmlasso_fast.covariates import Design, as_design
from lmmlasso_fast.display import Result, check_same_snps, draw
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.loco import LeaveOneOut
from lmmlasso_fast.null_model import (
    NullModel,
    as_phenotype,
    fit_null_on_grid,
)
from lmmlasso_fast.problem import design_of
from lmmlasso_fast.scan_steps import EXACT_GRID, Progress, Rotated, ScanData, rss_of, with_delta
from lmmlasso_fast.threads import SINGLE_THREAD_BELOW, as_n_threads, blas_cap, for_each

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "EXACT_GRID",
    "AssociationScan",
    "ChromosomeNull",
    "association_scan",
    "association_scan_loco",
    "median_of_f",
]


@dataclass(frozen=True)
class ChromosomeNull:
    """The null model for the SNPs of one chromosome; fields as those of `NullModel`.

    Attributes
    ----------
    chromosome : str
    n_variants : int
        SNPs of the other chromosomes, of which the kinship is made.
    """

    chromosome: str
    n_variants: int
    log_delta: float
    sigma_g2: float
    sigma_e2: float
    h2: float
    h2_se: float | None
    log_likelihood: float
    at_boundary: bool
    multimodal: bool
    flat: bool


@dataclass(frozen=True, eq=False)
class AssociationScan(Result):
    """Every SNP's effect and test. NaN for SNPs that are not offered, or lie in the span of C.

    Attributes
    ----------
    test : {"LM", "LMM", "LMM_EXACT", "LMM_LOCO", "LMM_EXACT_LOCO"}
        Without random effect; delta of the null model; delta estimated for every SNP; a kinship
        without the SNP's chromosome.
    beta : ndarray, shape (p,)
        Effect of one copy of A1, in units of y. Missing genotypes are at the mean.
    se : ndarray, shape (p,)
        Its standard error.
    chisq : ndarray, shape (p,)
        (beta / se)^2.
    log10p : ndarray, shape (p,)
        -log10 of P(F(1, df) > chisq).
    log_delta : float or ndarray, shape (p,)
        Of the null model, or that of each SNP; infinite without a random effect.
    n_samples : int
    df : int
        n - c - 1.
    sd : ndarray, shape (p,)
        Standard deviations of the SNPs.
    design : Design
        The covariates in use, intercept first.
    chromosome_nulls : tuple of ChromosomeNull
        Empty unless a chromosome was left out.
    """

    test: str
    beta: np.ndarray = field(repr=False)
    se: np.ndarray = field(repr=False)
    chisq: np.ndarray = field(repr=False)
    log10p: np.ndarray = field(repr=False)
    log_delta: float | np.ndarray = field(repr=False)
    n_samples: int
    df: int
    sd: np.ndarray = field(repr=False)
    design: Design = field(repr=False)
    chromosome_nulls: tuple[ChromosomeNull, ...] = field(default=(), repr=False)

    def to_frame(self, genotypes: Genotypes | None = None) -> "pl.DataFrame":
        """Return P.scan.tsv: one row per SNP that is offered, with regenie's names.

        ALLELE1 is A1. Without genotypes: SNP N TEST BETA SE CHISQ LOG10P.
        """
        import polars as pl

        snps = np.flatnonzero(self.sd > 0)
        if genotypes is None:
            frame = pl.DataFrame({"SNP": snps})
        else:
            check_same_snps(genotypes, len(self.beta))
            frame = genotypes.variants[snps].select(
                "CHROM",
                pl.col("POS").alias("GENPOS"),
                "ID",
                pl.col("A2").alias("ALLELE0"),
                pl.col("A1").alias("ALLELE1"),
                pl.Series("A1FREQ", genotypes.frequency[snps]),
            )
        return frame.with_columns(
            pl.lit(self.n_samples).alias("N"),
            pl.lit(self.test).alias("TEST"),
            pl.Series("BETA", self.beta[snps]),
            pl.Series("SE", self.se[snps]),
            pl.Series("CHISQ", self.chisq[snps]),
            pl.Series("LOG10P", self.log10p[snps]),
        )

    def plot(self, genotypes: Genotypes | None = None, **options: Any) -> Any:
        """Draw `lmmlasso_fast.plots.manhattan`, or without genotypes `lmmlasso_fast.plots.qq`."""
        if genotypes is None:
            return draw("qq", after=self, **options)
        return draw("manhattan", scan=self, genotypes=genotypes, **options)

    @property
    def beta_std(self) -> np.ndarray:
        """Effect of one standard deviation of the SNP, shape (p,)."""
        return self.beta * self.sd

    @property
    def tested(self) -> np.ndarray:
        """The SNPs with a test, as bool, shape (p,)."""
        return ~np.isnan(self.chisq)

    @property
    def genomic_lambda(self) -> float:
        """Genomic-control lambda: the median of chisq over that of F(1, df); NaN without a test.

        With many samples the latter is 0.4549, the median of chi-squared.
        """
        if not self.tested.any():
            return math.nan
        return float(np.median(self.chisq[self.tested])) / median_of_f(self.df)


def median_of_f(df: int) -> float:
    """Return the median of F(1, df): from 1 (df = 1) down to 0.4549."""
    low, high = 0.45, 1.05
    while high - low > 1e-15:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        below = _core.log10_p(np.array([middle]), df)[0] < math.log10(2)
        low, high = (middle, high) if below else (low, middle)
    return high


def association_scan(
    genotypes: Genotypes,
    y: ArrayLike,
    null: NullModel | None = None,
    *,
    covariates: ArrayLike | None = None,
    covariate_names: Sequence[str] | None = None,
    intercept: bool = True,
    exact: bool = False,
    n_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AssociationScan:
    """Test every SNP by itself (Wald test, F(1, n - c - 1)) in the mixed model

        y = C gamma + x_j beta_j + u + e,   u ~ N(0, sigma^2 K),   e ~ N(0, sigma^2 delta I)

    with beta by generalised least squares and sigma^2 = rss / (n - c - 1).

    Parameters
    ----------
    genotypes : Genotypes, n samples x p SNPs
    y : array_like, shape (n,)
        Phenotype, finite.
    null : NullModel, optional
        From `fit_null` on the same samples in the same order; brings kinship, delta and covariates.
        None: no random effect, which is ordinary linear regression.
    covariates, covariate_names, intercept
        Only without a null model, as in `lasso_path`.
    exact : bool, default False
        Estimate delta again for every SNP, by REML with the SNP among the fixed effects, over log
        delta from -11.5 to 11.5 (GEMMA's -lmm 1). Default: delta is the null model's (as EMMAX and
        GCTA's --mlma do), which makes strong effects somewhat weaker.
    n_threads : int, optional
        Each takes its own blocks of SNPs, with one BLAS thread; from 3,000 samples on the
        decomposition of the kinship is BLAS's, and last bits may depend on their number. Default:
        all available.
    progress : callable, optional
        Called with (SNPs done, SNPs in all), from one thread at a time.

    Returns
    -------
    AssociationScan

    Raises
    ------
    InputError
        `exact` without a null model; its subclasses for data that do not fit: GenotypeError,
        PhenotypeError, CovariateError, SampleMatchError, KinshipError.

    Notes
    -----
    With delta fixed, the numerators x'P y have float64's accuracy. The lengths x'P x of more than 3
    n dosages are sums of float32 products: their relative error, of which the standard errors have
    half, stays below 1e-6. Without a random effect or an intercept, and for SNPs of which P leaves
    little, they are float64's.

    References
    ----------
    Kang et al. 2010, Nat. Genet. 42:348 (delta of the null model); Zhou and Stephens 2012, Nat.
    Genet. 44:821 (delta of every SNP).
    """
    exact, n_threads = as_switch("exact", exact), as_n_threads(n_threads)
    y = as_phenotype(y, genotypes.n_samples)
    design = design_of(genotypes, null, covariates, intercept, covariate_names)
    if exact and null is None:
        raise InputError(
            "exact: expected a null model, whose kinship comes with a delta to be estimated, found "
            "none; give one, or leave exact=True out"
        )
    data = ScanData.of(genotypes, y, design)
    done = Progress(progress, len(data.snps))
    if exact:
        rotated = Rotated(null.kinship, data, n_threads)
        log_delta, *found = rotated.scan(data.snps, n_threads, done)
        return _result(data, "LMM_EXACT", data.every(log_delta), *found)
    v, yPy, xx = with_delta(data, null, data.snps, n_threads, done)
    xy = genotypes.gradient(v, n_threads=n_threads)[data.snps]
    log_delta = math.inf if null is None else null.log_delta
    return _result(data, "LM" if null is None else "LMM", log_delta, xx, xy, rss_of(yPy, xx, xy))


def association_scan_loco(
    genotypes: Genotypes,
    y: ArrayLike,
    *,
    covariates: ArrayLike | None = None,
    covariate_names: Sequence[str] | None = None,
    intercept: bool = True,
    method: str = "ml",
    exact: bool = False,
    n_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AssociationScan:
    """Do the same with a kinship that leaves out the chromosome of the tested SNP.

    A SNP in the kinship competes with itself: its effect is partly put down to the random effect.
    Here K is the realised relationship matrix of the SNPs of all other chromosomes, and each
    chromosome has its own null model.

    Parameters
    ----------
    genotypes : Genotypes, n samples x p SNPs
        Of at least two chromosomes; their names may be any text (in a .bim file without blanks).
    y : array_like, shape (n,)
    covariates, covariate_names, intercept
        As in `fit_null`.
    method : {"ml", "reml"}
        Of the null models.
    exact, n_threads, progress
        As in `association_scan`. Below 3,000 samples each thread takes its own chromosomes.

    Returns
    -------
    AssociationScan
        log_delta has one number for each SNP; `chromosome_nulls` are the null models.

    Raises
    ------
    InputError
        SNPs of a single chromosome, an unknown method; subclasses as for `association_scan`.

    Notes
    -----
    X X' of a chromosome is subtracted from that of all SNPs: the kinships together cost what one
    does (twice that where the sums take more than 1 GB).

    References
    ----------
    Listgarten et al. 2012, Nat. Methods 9:525; Yang et al. 2014, Nat. Genet. 46:100.
    """
    n, n_threads = genotypes.n_samples, as_n_threads(n_threads)
    y = as_phenotype(y, n)
    exact = as_switch("exact", exact)
    as_choice("method", method, ("ml", "reml"))
    design = as_design(covariates, n, intercept=intercept, names=covariate_names)
    data = ScanData.of(genotypes, y, design)
    kinships = LeaveOneOut(genotypes, n_threads=n_threads)
    names, snps = kinships.chromosomes, kinships.snps
    done = Progress(progress, len(data.snps))
    # Either chromosomes are side by side, with one BLAS thread, or the threads are BLAS's.
    side_by_side = n < SINGLE_THREAD_BELOW
    each = 1 if side_by_side else n_threads
    nulls: list[ChromosomeNull | None] = [None] * len(names)
    log_delta, xx, xy, rss = np.full((4, genotypes.n_variants), math.nan)
    vectors = np.empty((len(names), n))
    yPys = np.empty(len(names))

    def scan(k: int) -> None:
        K = kinships.without(k, each)
        null = fit_null_on_grid(y, K, design, method, n_threads=each)
        nulls[k] = ChromosomeNull(
            chromosome=names[k],
            n_variants=K.n_variants,
            **{name: getattr(null, name) for name in _OF_NULL},
        )
        if exact:
            rotated = Rotated(K, data, each)
            found = rotated.scan(snps[k], each, done)
            log_delta[snps[k]], xx[snps[k]], xy[snps[k]], rss[snps[k]] = found
        else:
            log_delta[snps[k]] = null.log_delta
            vectors[k], yPys[k], xx[snps[k]] = with_delta(data, null, snps[k], each, done)

    with blas_cap(1) if side_by_side else nullcontext():
        for_each(scan, len(names), n_threads if side_by_side else 1)
    if not exact:
        for first in range(0, len(names), _core.MAX_VECTORS):
            some = range(first, min(first + _core.MAX_VECTORS, len(names)))
            gradients = genotypes.gradient(vectors[some.start : some.stop].T, n_threads=n_threads)
            for k in some:
                xy[snps[k]] = gradients[snps[k], k - first]
                rss[snps[k]] = rss_of(yPys[k], xx[snps[k]], xy[snps[k]])
    offered = data.snps
    test = "LMM_EXACT_LOCO" if exact else "LMM_LOCO"
    return _result(data, test, log_delta, xx[offered], xy[offered], rss[offered], tuple(nulls))


#: What `ChromosomeNull` has of a null model: all but its own fields.
_OF_NULL = [f.name for f in fields(ChromosomeNull) if f.name not in ("chromosome", "n_variants")]


def _result(data: ScanData, test: str, log_delta, xx, xy, rss, nulls=()) -> AssociationScan:
    """Return the scan from x'P x, x'P y and rss of the offered SNPs; xx = 0: in the span."""
    xx = np.where(xx > 0, xx, math.nan)
    unit = np.ldexp(1.0 / data.genotypes.sd[data.snps], data.exponent)
    beta, se = xy / xx * unit, np.sqrt(rss / data.df / xx) * unit
    chisq = (beta / se) ** 2
    if isinstance(log_delta, np.ndarray):
        log_delta[data.snps[np.isnan(xx)]] = math.nan
    return AssociationScan(
        test=test,
        beta=data.every(beta),
        se=data.every(se),
        chisq=data.every(chisq),
        log10p=data.every(_core.log10_p(chisq, data.df)),
        log_delta=log_delta,
        n_samples=len(data.y),
        df=data.df,
        sd=data.genotypes.sd,
        design=data.design,
        chromosome_nulls=nulls,
    )
