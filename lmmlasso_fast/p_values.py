"""Multi-split p-values: SNPs are chosen on one half of the samples and tested on the other.

Half 1 selects a set S of SNPs by the LMM-Lasso path. On half 2 y is regressed on the covariates and
all of S jointly, by generalised least squares; the t-tests of that regression are ordinary ones, as
half 2 had no part in choosing S. Their p-values, times |S|, are aggregated over many random splits,
which frees the result from the luck of a single one.

Under the model the halves are not independent: with V = K + delta I, what half 1 knows about half 2
is V21 V11^-1 times its own residual. Half 2 is therefore tested given half 1,

    y2 - B y1 = (C2 - B C1) gamma + (X2 - B X1) beta + e,   B = V21 V11^-1,   e independent of y1,

in which whatever in y1 made half 1 choose S does not come up again.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from math import isqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast.checks import MOST_TIMES, as_integer, as_number, as_switch
from lmmlasso_fast.covariates import Design, independent_columns, without_fixed_effects
from lmmlasso_fast.display import Result, name_snps
from lmmlasso_fast.errors import FileChangedError, GenotypeError, InputError, LMMLassoError
from lmmlasso_fast.folds import group_numbers
from lmmlasso_fast.genotypes import Genotypes, why_excluded
from lmmlasso_fast.kinship import Kinship, kinship
from lmmlasso_fast.null_model import as_phenotype, fit_null_on_grid
from lmmlasso_fast.parallel import each, poll
from lmmlasso_fast.path import PathOptions
from lmmlasso_fast.path_solver import PathSolver
from lmmlasso_fast.problem import Problem, as_penalty_factors
from lmmlasso_fast.spectral import Spectrum
from lmmlasso_fast.study import Part, Study, make_study

if TYPE_CHECKING:
    import polars as pl

#: Samples of a half at least: `as_phenotype` asks for as many.
_MIN_HALF = 3


@dataclass(frozen=True, eq=False)
class MultiSplitResult(Result):
    """P-values that hold for all SNPs together.

    Attributes
    ----------
    p_values : ndarray, shape (p,)
        Adjusted for the number of SNPs: those up to a level contain a false one with at most this
        probability (see the Notes of `multi_split`). 1 for SNPs that were never selected.
    selections : ndarray of int64, shape (p,)
        Splits whose half 1 selected the SNP.
    n_splits : int
        Failed ones included: they count as splits in which every p-value is 1.
    n_active : int
        SNPs at which the paths of half 1 end.
    gamma_min : float
    seed : int
    n_samples : int
    n_offered : int
        SNPs that half 1 may choose from.
    groups_given : bool
        True: whole groups (families) are in one half. False: relatives are in both halves, and the
        halves depend on each other through K. What K and delta say of it is taken into account;
        what else relatives share (a household) is not, and then the error rate does not hold.
    n_selected : ndarray of int64, shape (n_splits,)
        |S| of each split; 0 for failed ones.
    log_delta : ndarray, shape (n_splits, 2)
        Of half 1 without SNPs and of half 2 given S; NaN for failed splits, without a random
        effect, and (half 2) where nothing was selected.
    failures : dict of int to str
        What went wrong in a split.
    n_not_converged : int
        Splits whose S is that of a solution with a duality gap above the tolerance.
    """

    p_values: np.ndarray
    selections: np.ndarray
    n_splits: int
    n_active: int
    gamma_min: float
    seed: int
    n_samples: int
    n_offered: int
    groups_given: bool
    n_selected: np.ndarray = field(repr=False)
    log_delta: np.ndarray = field(repr=False)
    failures: dict[int, str]
    n_not_converged: int

    def to_frame(self, genotypes: Genotypes | None = None) -> "pl.DataFrame":
        """Return the SNPs that were ever selected, the smallest p-value first.

        N_SELECTED is the number of splits that selected the SNP.
        """
        import polars as pl

        snps = np.flatnonzero(self.selections)
        snps = snps[np.lexsort((-self.selections[snps], self.p_values[snps]))]
        return name_snps(snps, genotypes, len(self.p_values)).with_columns(
            pl.Series("N_SELECTED", self.selections[snps]),
            pl.Series("P_VALUE", self.p_values[snps]),
        )

    def selected(self, level: float = 0.05) -> np.ndarray:
        """Return the SNPs with a p-value of at most `level`, the smallest first.

        Raises
        ------
        InputError
            A level that is not in (0, 1).
        """
        level = as_number("level", level, above=0, below=1)
        snps = np.flatnonzero(self.p_values <= level)
        return snps[np.argsort(self.p_values[snps], kind="stable")]


@dataclass(frozen=True, eq=False)
class Plan:
    """What splits are to be run; split k is the same in whatever run it comes up.

    Attributes
    ----------
    study : Study
    n_active : int
    gamma_min : float
    seed : int
    group_of : ndarray of int64, shape (n,)
        Group of every sample, from 0; without groups everybody is one.
    groups_given : bool
    unpenalised : ndarray of int64
        SNPs that are covariates.
    n_offered : int
    """

    study: Study
    n_active: int
    gamma_min: float
    seed: int
    group_of: np.ndarray = field(repr=False)
    groups_given: bool
    unpenalised: np.ndarray = field(repr=False)
    n_offered: int

    def draw(self, split: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the samples of half 1 and of half 2, ascending.

        Group by group to the half that has fewer samples; without groups half 1 has floor(n / 2).
        Larger groups come first, so that smaller ones even them out, but within a factor of two in
        random order: by size alone, groups of different sizes would be divided in the same way in
        every split.
        """
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(split,)))
        sizes = np.bincount(self.group_of)
        order = rng.permutation(len(sizes))
        order = order[np.argsort(-np.frexp(sizes[order])[1], kind="stable")]
        in_first = np.zeros(len(sizes), dtype=bool)
        surplus = 0  # of half 1
        for group in order.tolist():
            in_first[group] = surplus < 0
            surplus += int(sizes[group]) if surplus < 0 else -int(sizes[group])
        if self.groups_given and rng.random() < 0.5:  # the largest would always be in half 2
            in_first = ~in_first
        in_first = in_first[self.group_of]
        return np.flatnonzero(in_first), np.flatnonzero(~in_first)


def multi_split(
    genotypes: Genotypes,
    y: ArrayLike,
    K: Kinship | ArrayLike | None = None,
    *,
    n_splits: int = 50,
    n_active: int | None = None,
    groups: ArrayLike | None = None,
    gamma_min: float = 0.05,
    seed: int = 0,
    n_jobs: int | None = None,
    covariates: ArrayLike | None = None,
    covariate_names: Sequence[str] | None = None,
    intercept: bool = True,
    random_effect: bool = True,
    method: str = "ml",
    log_delta: float | None = None,
    penalty_factors: ArrayLike | None = None,
    l1_ratio: float = 1.0,
    n_alphas: int = 100,
    eps: float = 0.01,
    tol: float = 1e-6,
    progress: Callable[[int, int], None] | None = None,
) -> MultiSplitResult:
    """Compute p-values of SNPs by selecting on one half of the samples and testing on the other.

    With p_j^(b) = min(1, |S_b| p) for a SNP of the set S_b that half 1 of split b selected, p that
    of its two-sided t-test on half 2 given half 1, and 1 for all other SNPs,

        Q_j(gamma) = min(1, q_gamma(p_j^(1) / gamma, ..., p_j^(B) / gamma))
        P_j        = min(1, (1 - log gamma_min) inf over gamma in (gamma_min, 1) of Q_j(gamma))

    where q_gamma is the empirical gamma-quantile, the ceil(gamma B)-th smallest of B numbers. The
    infimum is exact: it is taken where gamma B is an integer.

    Parameters
    ----------
    genotypes : Genotypes, n samples x p SNPs
    y : array_like, shape (n,)
    K : Kinship or array_like, shape (n, n), optional
        Default: the realised relationship matrix of all samples. A half takes the rows and columns
        of its samples, rescaled to mean diagonal 1; the others say what half 1 tells of half 2.
    n_splits : int, default 50
        B.
    n_active : int, optional
        Half 1's path ends where this many (penalised) SNPs are active, found by bisection between
        grid points, or at the last alpha with fewer. At most half of the degrees of freedom of
        half 2, so that there are as many left to test with. Default: floor(sqrt(n / 2)), or as many
        as are possible; see Notes.
    groups : array_like of str or numbers, shape (n,), optional
        Samples with the same label (a family) go to the same half. Without them relatives are in
        both, and that the tests are independent of half 1 rests on K alone (see Notes).
    gamma_min : float in (0, 1), default 0.05
        The smallest quantile. A SNP has a p-value below 1 only if it was selected in more than
        this share of the splits.
    seed : int, default 0
        Every split has its own stream: results are the same for any n_jobs, order and backend.
    n_jobs : int, optional
        Splits at a time, each with one thread. Default: what `joblib.parallel_config` says, else
        all processors that the process may use, 1 within a worker.
    covariates, covariate_names, intercept
        Of both halves.
    random_effect : bool, default True
        False: plain Lasso and ordinary least squares.
    method, log_delta
        How both halves choose delta (`fit_null`).
    penalty_factors : array_like, shape (p,), or "whitened", optional
        Of the path (`lasso_path`). SNPs with factor 0 are covariates of both halves and are not
        tested. "whitened": each half 1 has its own, and the tests do without.
    l1_ratio, n_alphas, eps, tol
        Of the path. n_alphas and eps set the grid's step and its end.
    progress : callable, optional
        Called with (splits done, splits in all).

    Returns
    -------
    MultiSplitResult

    Raises
    ------
    InputError
        And its subclasses: options out of range, data that cannot be used.

    Notes
    -----
    What it promises: the probability that any SNP without an effect has P_j <= level is at most
    `level`, if every S_b contains the SNPs with effects and the mixed model holds. What is tested
    is a SNP's effect given the others of S, so that a SNP that stands for a causal one that was not
    selected counts as having an effect: read a result as a locus.

    Relatives in different halves have similar random effects. A regression of half 2 alone would
    find there again what these made half 1 select: with 300 samples, 300 SNPs and a polygenic
    background alone (h2 = 0.8), 14 % of the p-values of S were then below 0.05 in simulations,
    against 5 to 6 % given half 1. What is given is right as far as K and delta are; `groups` keep
    apart what relatives share beyond that.

    Half 2 estimates delta anew, with S among the fixed effects. The test of SNP j allows the other
    SNPs of S any effect, so that the model of its null hypothesis contains them. A delta fitted
    without SNPs (as for univariate scans, where one SNP explains next to nothing) counts their
    variance to the random effect or the noise; with strong effects that cost up to two fifths of
    the digits of their p-values. The price is fewer degrees of freedom for delta: with 100 samples,
    6 to 7 % of the p-values without an effect were below 0.05. There `method="reml"`, which counts
    these degrees, is the better one. Half 1 fits delta without SNPs, as LMM-Lasso does.

    The default n_active: each selected SNP multiplies all p-values and takes a degree of freedom,
    but what half 1 leaves out cannot be found. An effect that survives the multiplication in half
    2 needs about 25 / n2 of the variance (t = 5), so that no more than n2 / 25 such SNPs exist;
    sqrt(n2) is as many or more up to n2 = 625, keeps the loss of degrees of freedom below
    1 / sqrt(n2), and grows from there on at a rate whose price, log |S|, is small.

    SNPs that in half 2 are constant, or collinear with covariates or with SNPs of S before them
    (duplicates), are not in the regression and have p = 1; of duplicates the first one stands for
    all. |S| is that of half 1 all the same.

    What fails in a single split (a phenotype constant in one half) does not end the run: it is
    listed in `failures`, and all p-values of the split are 1.

    References
    ----------
    Meinshausen, Meier and Buhlmann 2009, JASA 104:1671. Wasserman and Roeder 2009, Ann. Stat.
    37:2178 (single splits). Rakitsch et al. 2013, Bioinformatics 29:206.
    """
    plan = make_plan(
        genotypes,
        y,
        K,
        n_active=n_active,
        groups=groups,
        gamma_min=gamma_min,
        seed=seed,
        covariates=covariates,
        covariate_names=covariate_names,
        intercept=intercept,
        random_effect=random_effect,
        method=method,
        log_delta=log_delta,
        options=PathOptions(
            None,
            n_alphas,
            eps,
            tol=tol,
            l1_ratio=l1_ratio,
            penalty_factors=penalty_factors,
        ),
    )
    n_splits = as_integer("n_splits", n_splits, 1, MOST_TIMES)
    results: dict[int, dict] = {}
    with closing(run_splits(plan, range(n_splits), n_jobs)) as finished:
        for split, result in finished:
            results[split] = result
            if progress is not None:
                progress(len(results), n_splits)
    return collect(plan, [results[k] for k in range(n_splits)])


def make_plan(
    genotypes: Genotypes,
    y,
    K=None,
    *,
    n_active: int | None = None,
    groups=None,
    gamma_min: float = 0.05,
    seed: int = 0,
    random_effect: bool = True,
    options: PathOptions | None = None,
    **study,
) -> Plan:
    """Check the arguments of `multi_split`; compute the kinship if none is given.

    Raises
    ------
    InputError
    """
    random_effect = as_switch("random_effect", random_effect)
    options = PathOptions() if options is None else options
    n = genotypes.n_samples
    seed = as_integer("seed", seed, 0)
    gamma_min = as_number("gamma_min", gamma_min, above=0, below=1)
    if options.n_alphas < 2:
        raise InputError(
            f"n_alphas: expected at least 2, found {options.n_alphas}; at the first alpha no SNP "
            "is active"
        )
    factors = as_penalty_factors(genotypes, options.penalty_factors)
    n_offered = int(((factors > 0) & np.isfinite(factors)).sum())
    if n_offered == 0:
        raise GenotypeError(
            "no SNP is left that could be selected; not offered: "
            f"{why_excluded(genotypes) or 'none'}; not penalised: all others; relax the filters, "
            "or change penalty_factors"
        )
    group_of = np.arange(n) if groups is None else group_numbers(groups, n)
    largest_group = int(np.bincount(group_of).max())
    smallest_half = _smallest_half(n, largest_group)
    if smallest_half < _MIN_HALF:
        raise InputError(
            f"groups: expected at least {_MIN_HALF} samples in each half, found {n} samples, of "
            f"which {largest_group} stay together; take smaller groups, or none"
        )
    if K is None and random_effect:
        K = kinship(genotypes)
    study = make_study(genotypes, y, K, random_effect=random_effect, options=options, **study)
    if random_effect:
        study.kinship.require_semidefinite()  # and so that tasks share the decomposition
    unpenalised = np.flatnonzero(factors == 0)
    n_covariates = study.design.matrix.shape[1] + len(unpenalised)
    room = min((smallest_half - n_covariates) // 2, n_offered)
    if room < 1:
        raise InputError(
            f"covariates: expected at least 2 fewer than the {smallest_half} samples that a half "
            f"may have, found {n_covariates}; take fewer, or smaller groups"
        )
    if n_active is None:
        n_active = max(1, min(isqrt(n // 2), room))
    n_active = as_integer("n_active", n_active, 1)
    if n_active > room:
        raise InputError(
            f"n_active: expected at most {room}, found {n_active}; there are {n_offered} SNPs, and "
            f"half of what {n_covariates} covariates leave of the {smallest_half} samples that a "
            "half may have"
        )
    return Plan(
        study, int(n_active), gamma_min, seed, group_of, groups is not None, unpenalised, n_offered
    )


def _smallest_half(n: int, largest_group: int) -> int:
    """Return the number of samples that a half has at least.

    A group that joins the smaller half exceeds the other by its own size at most. One of more than
    half of the samples, which comes before all others but one, has a half for itself.
    """
    if 2 * largest_group >= n:
        return n - largest_group
    return (n - largest_group + 1) // 2


def run_splits(
    plan: Plan, splits: Iterable[int], n_jobs: int | None = None
) -> Iterator[tuple[int, dict]]:
    """Yield (number, result) of splits in the order in which they end.

    A result is what a JSON file can hold: `snps` (S, ascending) and their `p_values` (not
    multiplied; 1 for what is collinear in half 2), `log_delta` of both halves, `gap` of the
    solution that S is from; or `error` alone.
    """
    return each(_split, plan, splits, n_jobs)


def _split(plan: Plan, split: int) -> dict:
    first, second = plan.draw(split)
    try:
        part = plan.study.part(first)
        snps, gap = _select(part, plan.study.options, plan.n_active)
        poll()
        p_values, log_delta = _test(plan, first, second, snps)
    except FileChangedError:  # that of all splits
        raise
    except LMMLassoError as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {
        "snps": snps.tolist(),
        "p_values": p_values.tolist(),
        "log_delta": [None if part.null is None else part.null.log_delta, log_delta],
        "gap": gap,
    }


def _select(part: Part, options: PathOptions, n_active: int) -> tuple[np.ndarray, float]:
    """Return the active SNPs, ascending, at the end of half 1's path, and the solution's gap."""
    problem = Problem(part.genotypes, part.y, part.null, part.design, options, n_threads=1)
    solver = PathSolver(problem, options)
    for _, solution in solver.until(n_active, options.grid(problem.alpha_max)):
        poll()
        last = solution
    return last.support, last.gap


def _test(
    plan: Plan, first: np.ndarray, second: np.ndarray, snps: np.ndarray
) -> tuple[np.ndarray, float | None]:
    """Return the p-values of SNPs, tested jointly on half 2 given half 1, and its log delta."""
    study, p_values, log_delta = plan.study, np.ones(len(snps)), None
    # A power of two, so that no square over- or underflows: t does not depend on it.
    y = np.ldexp(study.y, -int(np.frexp(np.abs(study.y).max())[1]))
    # Columns of all samples; SNPs of S by mean and sd of half 2, where constant ones are zero.
    here = study.genotypes.subset(second)
    statistics = here.mean, here.sd
    C = np.column_stack([study.design.matrix, study.genotypes.columns(plan.unpenalised)])
    A = np.column_stack([C, study.genotypes.columns(snps, statistics=statistics)])
    keep = np.array(independent_columns(A[second]), dtype=np.int64)
    tested = keep[keep >= C.shape[1]]
    if len(tested) == 0:
        return p_values, log_delta
    fixed = A[np.ix_(second, keep)]
    without_fixed_effects(fixed, as_phenotype(y[second]))  # raises where no residual is left
    _, y = without_fixed_effects(study.design.matrix, y)

    # All covariates: those that are constant in half 2 may tell what half 1 says about it.
    rows = np.vstack([y, C.T, A[:, tested].T])
    if study.random_effect:
        K = study.kinship.subset(second)
        design = Design(fixed, tuple(f"column{j}" for j in keep), ())
        null = fit_null_on_grid(y[second], K, design, study.method, study.log_delta)
        log_delta = null.log_delta
        delta = null.delta * K.scale / study.kinship.scale  # K was rescaled for half 2
        rows = _given(study.kinship, delta, first, second, rows)
    else:
        rows = rows[:, second]
    keep = np.array(independent_columns(rows[1:].T), dtype=np.int64)
    rows, c = rows[np.append(0, 1 + keep)], int((keep < C.shape[1]).sum())
    p_values[tested[keep[c:] - C.shape[1]] - C.shape[1]] = _t_tests(rows[0], rows[1:].T, c)
    return p_values, log_delta


def _given(
    K: Kinship, delta: float, first: np.ndarray, second: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Return, for rows b of `rows` (k x n), b2 - V21 V11^-1 b1, whitened: k x n2.

    V = K + delta I = L L' with half 1 in front: these are the last n2 entries of L^-1 b.
    """
    basis, n1 = K.basis(delta), len(first)
    if isinstance(basis, Spectrum):
        # V = F F' and z = F^-1 b has covariance I: b1 = F1 z says nothing of z across F1's rows
        root = np.sqrt(basis.s + delta)
        Q, _ = np.linalg.qr((basis.U[first] * root).T, mode="complete")
        return (rows @ basis.U / root) @ Q[:, n1:]
    from scipy.linalg import solve_triangular

    order = np.concatenate([first, second])
    V = basis.clipped(K.matrix)[np.ix_(order, order)]
    V[np.arange(len(V)), np.arange(len(V))] += delta
    L = np.linalg.cholesky(V)
    # Holds the GIL for the time of n^2 k products: the factor takes n^3 / 3, without it.
    return solve_triangular(L, rows[:, order].T, lower=True, check_finite=False)[n1:].T


def _t_tests(y: np.ndarray, A: np.ndarray, c: int) -> np.ndarray:
    """Return the p-values of the columns of A (n x k) from c on, in the regression of y on all.

    With A = Q R the coefficients are R^-1 Q'y, with covariance s^2 (R'R)^-1; of R^-1 the block
    from c on is the inverse of R's.
    """
    Q, R = np.linalg.qr(A)
    b = Q.T @ y
    residual = y - Q @ b
    degrees = A.shape[0] - A.shape[1]
    inverse = np.linalg.inv(R[c:, c:])
    errors = np.linalg.norm(inverse, axis=1) * np.sqrt(residual @ residual / degrees)
    return _two_sided(inverse @ b[c:] / errors, degrees)


def _two_sided(t: np.ndarray, degrees: int) -> np.ndarray:
    """Return P(|T| >= |t|) for Student's T: an incomplete beta function, accurate in the tail."""
    from scipy.special import betainc

    return betainc(degrees / 2, 0.5, degrees / (degrees + t**2))


# ---- aggregation --------------------------------------------------------------------------------


def collect(plan: Plan, results: list[dict]) -> MultiSplitResult:
    """Aggregate what `run_splits` found in splits 0, 1, ..."""
    p = plan.study.genotypes.n_variants
    sets = [np.array(result.get("snps", []), dtype=np.int64) for result in results]
    tests = [
        len(result["snps"]) * np.array(result["p_values"]) for result in results if "snps" in result
    ]
    snps = np.concatenate([np.empty(0, dtype=np.int64), *sets])
    p_values = np.minimum(1.0, np.concatenate([np.empty(0), *tests]))
    no_fit = [None, None]
    return MultiSplitResult(
        p_values=aggregate(snps, p_values, len(results), p, plan.gamma_min),
        selections=np.bincount(snps, minlength=p),
        n_splits=len(results),
        n_active=plan.n_active,
        gamma_min=plan.gamma_min,
        seed=plan.seed,
        n_samples=plan.study.n_samples,
        n_offered=plan.n_offered,
        groups_given=plan.groups_given,
        n_selected=np.array([len(s) for s in sets]),
        log_delta=np.array([r.get("log_delta", no_fit) for r in results], dtype=np.float64),
        failures={k: r["error"] for k, r in enumerate(results) if "error" in r},
        n_not_converged=sum(r.get("gap", 0.0) > plan.study.options.tol for r in results),
    )


def aggregate(
    snps: np.ndarray, p_values: np.ndarray, n_splits: int, n_variants: int, gamma_min: float = 0.05
) -> np.ndarray:
    """Return the aggregated p-value of every SNP; see `multi_split` for the formula.

    For gamma in ((k - 1) / B, k / B] the quantile is the k-th smallest p-value, so that it is
    smallest, divided by gamma, at k / B: only these gammas are looked at, and of the p-values only
    those that are not 1 by definition.

    Parameters
    ----------
    snps : ndarray of int64, shape (m,)
        A SNP as often as it was tested.
    p_values : ndarray, shape (m,)
        Of these tests, corrected for the SNPs of their split; in all other splits it is 1.
    n_splits, n_variants : int
    gamma_min : float, default 0.05

    Returns
    -------
    ndarray, shape (n_variants,)
    """
    result = np.ones(n_variants)
    order = np.lexsort((p_values, snps))
    ever, start, count = np.unique(snps[order], return_index=True, return_counts=True)
    if len(ever) == 0:
        return result
    gamma = (np.arange(len(order)) - np.repeat(start, count) + 1) / n_splits
    # below gamma_min no quantile is taken; of the p-values left out, all 1, none has a Q below 1
    Q = np.where(gamma > gamma_min, p_values[order] / gamma, 1.0)
    lowest = np.minimum.reduceat(Q, start)
    result[ever] = np.minimum(1.0, (1 - np.log(gamma_min)) * lowest)
    return result
