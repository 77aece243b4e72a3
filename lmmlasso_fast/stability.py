"""Stability selection: which SNPs are selected again and again on subsamples of the individuals.

Each replicate draws individuals without replacement, takes K of these (rescaled), their SNP means
and standard deviations, refits delta, and follows the Lasso path until `n_active` SNPs are active.
By default replicates come in complementary pairs: 2k and 2k + 1 share no individual.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast import error_bounds
from lmmlasso_fast.checks import MOST_TIMES, as_integer, as_number, as_switch
from lmmlasso_fast.display import Result, draw, name_snps
from lmmlasso_fast.errors import FileChangedError, InputError, LMMLassoError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.kinship import Kinship, kinship
from lmmlasso_fast.lazy import computed_once
from lmmlasso_fast.ld import LDGroups, as_clumping, clump
from lmmlasso_fast.parallel import each, poll
from lmmlasso_fast.path import PathOptions, no_snp_can_enter
from lmmlasso_fast.path_solver import PathSolver
from lmmlasso_fast.problem import Problem, as_penalty_factors
from lmmlasso_fast.study import Part, Study, make_study

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, eq=False)
class StabilityResult(Result):
    """Selection frequencies over subsamples.

    Attributes
    ----------
    frequency : ndarray, shape (p,)
        counts / n_replicates.
    counts : ndarray of int64, shape (p,)
        Replicates that selected the SNP: active at the end of the path, or, for given alphas, the
        largest count over these.
    n_replicates : int
        Fits, both halves of each pair counted. Failed ones count as selecting nothing.
    n_active : int or None
        SNPs at which the paths end; None for given alphas.
    alphas : ndarray or None
        The given alphas.
    n_offered : int
        SNPs that can be selected, offered and penalised: the p of the error bounds.
    n_samples, n_drawn : int
        Individuals, and those in each subsample.
    complementary : bool
    seed : int
    groups : LDGroups
        Clumps of the SNPs that were selected at least once, around the most frequent.
    group_counts : ndarray of int64, shape (g,)
        Replicates that selected any member.
    group_frequency : ndarray, shape (g,)
    n_selected : ndarray of int64, shape (n_replicates,)
        SNPs that each replicate selected (at any of the given alphas).
    log_delta : ndarray, shape (n_replicates,)
        NaN without a random effect and for failed replicates.
    last_alpha : ndarray, shape (n_replicates,)
        Where each path ended; NaN for failed replicates.
    failures : dict of int to str
        What went wrong in a replicate.
    converged : ndarray of bool, shape (n_replicates,)
        Every duality gap of the replicate's path is at most the tolerance; False for failed ones.
    """

    frequency: np.ndarray
    counts: np.ndarray
    n_replicates: int
    n_active: int | None
    alphas: np.ndarray | None
    n_offered: int
    n_samples: int
    n_drawn: int
    complementary: bool
    seed: int
    groups: LDGroups = field(repr=False)
    group_counts: np.ndarray = field(repr=False)
    group_frequency: np.ndarray
    n_selected: np.ndarray = field(repr=False)
    log_delta: np.ndarray = field(repr=False)
    last_alpha: np.ndarray = field(repr=False)
    failures: dict[int, str]
    converged: np.ndarray = field(repr=False)
    _results: list[dict] = field(repr=False)

    def to_frame(self, genotypes: Genotypes | None = None) -> "pl.DataFrame":
        """Return P.stability.tsv: the SNPs that were ever selected, the most frequent first."""
        return self.frame_of(self.selected(1 / (2 * self.n_replicates)), genotypes)

    def frame_of(self, snps: np.ndarray, genotypes: Genotypes | None = None) -> "pl.DataFrame":
        """Return SEL_FREQ and LD_GROUP (from 1; 0: none) of some SNPs."""
        import polars as pl

        p = len(self.frequency)
        return name_snps(snps, genotypes, p).with_columns(
            pl.Series("SEL_FREQ", self.frequency[snps]),
            pl.Series("LD_GROUP", self.groups.of(p)[snps] + 1),
        )

    def plot(self, genotypes: Genotypes | None = None, **options: Any) -> Any:
        """Draw the frequencies along the path: `lmmlasso_fast.plots.stability_path`."""
        return draw("stability_path", self, genotypes, **options)

    def bound(self, cutoff: float, assumption: str = "unimodal") -> float:
        """Return the bound on the expected number of falsely selected SNPs, E[V].

        Parameters
        ----------
        cutoff : float in (1/2, 1]
            SNPs with at least this frequency are selected.
        assumption : {"unimodal", "r-concave", "none"}
            About the selection of SNPs of low probability: Shah and Samworth 2013; "none" is the
            bound of Meinshausen and Buhlmann 2010, which takes noise SNPs to be exchangeable.

        Notes
        -----
        The theorems take the two halves of a pair to be independent. Under a kinship they are not
        quite: in simulations without any effect (docs/error_control.md) "none" and "unimodal" held,
        and more SNPs were selected than "r-concave" allows at a cutoff of 0.6.

        Raises
        ------
        InputError
            A cutoff out of range, or subsamples for which no bound is known.
        """
        if self.n_drawn != self.n_samples // 2:
            raise InputError(
                f"bound: expected subsamples of half of the {self.n_samples} individuals, found "
                f"{self.n_drawn}; the bounds hold for fraction=0.5 alone"
            )
        if not self.complementary and assumption != "none":
            raise InputError(
                f"bound: the assumption {assumption!r} needs complementary pairs; expected "
                "assumption='none' without them"
            )
        n_active = self.n_active
        if n_active is None:
            n_active = float(self.n_selected.mean())
        return error_bounds.expected_false(
            n_active, cutoff, self.n_offered, self.n_replicates, assumption
        )

    def selected(self, cutoff: float) -> np.ndarray:
        """Return the SNPs with at least this frequency, the most frequent first."""
        cutoff = as_number("cutoff", cutoff, 0, 1)
        snps = np.flatnonzero(self.frequency >= cutoff)
        return snps[np.argsort(-self.counts[snps], kind="stable")]

    @computed_once
    def path(self) -> "StabilityPath":
        """Frequencies for every number of active SNPs up to n_active, or for every given alpha."""
        snps = np.flatnonzero(_ever_active(self._results, len(self.counts)))
        levels = np.arange(1, self.n_active + 1) if self.alphas is None else self.alphas
        counts = np.zeros((len(levels), len(snps)), dtype=np.int64)
        for result in self._results:
            for rows, active in _levels(result, None if self.alphas is not None else levels):
                counts[rows, np.searchsorted(snps, active)[None]] += 1
        return StabilityPath(levels, snps, counts / self.n_replicates)


@dataclass(frozen=True, eq=False)
class StabilityPath:
    """Selection frequencies along the path.

    Attributes
    ----------
    levels : ndarray, shape (m,)
        Numbers of active SNPs 1, 2, ...: what counts is the last solution with at most as many.
        Or the given alphas.
    snps : ndarray of int64, shape (s,)
        The SNPs that were active anywhere, ascending.
    frequency : ndarray, shape (m, s)
    """

    levels: np.ndarray
    snps: np.ndarray
    frequency: np.ndarray = field(repr=False)


@dataclass(frozen=True, eq=False)
class Plan:
    """What replicates are to be run; replicate r is the same in whatever run it comes up."""

    study: Study
    n_active: int | None
    n_offered: int
    n_drawn: int
    complementary: bool
    seed: int

    def draw(self, replicate: int) -> np.ndarray:
        """Return the individuals of a replicate, ascending."""
        stream, half = divmod(replicate, 2) if self.complementary else (replicate, 0)
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(stream,)))
        order = rng.permutation(self.study.n_samples)
        return np.sort(order[half * self.n_drawn : (half + 1) * self.n_drawn])


def stability_selection(
    genotypes: Genotypes,
    y: ArrayLike,
    K: Kinship | ArrayLike | None = None,
    *,
    n_active: int = 20,
    alphas: ArrayLike | None = None,
    n_replicates: int = 100,
    fraction: float = 0.5,
    complementary: bool = True,
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
    ld_r2: float = 0.5,
    ld_window: int | None = 1_000_000,
    progress: Callable[[int, int], None] | None = None,
) -> StabilityResult:
    """Select SNPs on subsamples of the individuals and count how often each is selected.

    Parameters
    ----------
    genotypes : Genotypes, n samples x p SNPs
    y : array_like, shape (n,)
    K : Kinship or array_like, shape (n, n), optional
        Default: the realised relationship matrix of all samples. A replicate takes the rows and
        columns of its individuals, rescaled to mean diagonal 1.
    n_active : int, default 20
        Each path ends where this many (penalised) SNPs are active, found by bisection between grid
        points, or at the last alpha with fewer.
    alphas : array_like, optional
        Select at these alphas, in units of y, instead; a SNP's frequency is the largest over them.
    n_replicates : int, default 100
        Fits; even with complementary pairs, of which there are half as many.
    fraction : float in (0, 1), default 0.5
        Share of the individuals in a subsample, rounded down; at most 0.5 for pairs.
    complementary : bool, default True
        Draw pairs of subsamples without a common individual (Shah and Samworth 2013).
    seed : int, default 0
        Every pair has its own stream: results are the same for any n_jobs, order and backend.
    n_jobs : int, optional
        Replicates at a time, each with one thread. Default: what `joblib.parallel_config` says,
        else all processors that the process may use, 1 within a worker.
    covariates, covariate_names, intercept, method, log_delta
        Of the null model (`fit_null`), which every replicate fits anew.
    random_effect : bool, default True
        False: plain Lasso.
    penalty_factors, l1_ratio, n_alphas, eps, tol
        Of the path (`lasso_path`). n_alphas and eps set the grid's step and its end. "whitened"
        penalty factors are each replicate's own: 2 n_drawn^2 p operations, most of its time.
    ld_r2, ld_window
        SNPs that correlate with a more frequently selected one by at least r2, at most so many base
        pairs away, are in its LD group (`lmmlasso_fast.ld.clump`).
    progress : callable, optional
        Called with (replicates done, replicates in all).

    Returns
    -------
    StabilityResult

    Raises
    ------
    InputError
        And its subclasses: options out of range, data that cannot be used.

    Notes
    -----
    What fails in a single replicate (a phenotype constant in the subsample) does not end the run:
    it is listed in `failures`, and the replicate counts as one that selected nothing. If all fail,
    the first one's error is raised.

    References
    ----------
    Meinshausen and Buhlmann 2010, JRSS B 72:417. Shah and Samworth 2013, JRSS B 75:55.
    Rakitsch et al. 2013, Bioinformatics 29:206.
    """
    plan = make_plan(
        genotypes,
        y,
        K,
        n_active=n_active,
        fraction=fraction,
        complementary=complementary,
        seed=seed,
        covariates=covariates,
        covariate_names=covariate_names,
        intercept=intercept,
        random_effect=random_effect,
        method=method,
        log_delta=log_delta,
        options=PathOptions(
            alphas,
            n_alphas,
            eps,
            tol=tol,
            l1_ratio=l1_ratio,
            penalty_factors=penalty_factors,
        ),
    )
    n_replicates = as_n_replicates(n_replicates, complementary)
    ld_r2, ld_window = as_clumping(ld_r2, ld_window, "ld_r2", "ld_window")
    results: dict[int, dict] = {}
    with closing(run_replicates(plan, range(n_replicates), n_jobs)) as finished:
        for replicate, result in finished:
            results[replicate] = result
            if progress is not None:
                progress(len(results), n_replicates)
    return collect(
        plan, [results[r] for r in range(n_replicates)], genotypes, r2=ld_r2, window=ld_window
    )


def make_plan(
    genotypes: Genotypes,
    y,
    K=None,
    *,
    n_active: int = 20,
    fraction: float = 0.5,
    complementary: bool = True,
    seed: int = 0,
    random_effect: bool = True,
    options: PathOptions | None = None,
    **study,
) -> Plan:
    """Check the arguments of `stability_selection`; compute the kinship if none is given.

    Raises
    ------
    InputError
    """
    random_effect = as_switch("random_effect", random_effect)
    options = PathOptions() if options is None else options
    n = genotypes.n_samples
    factors = as_penalty_factors(genotypes, options.penalty_factors)
    n_offered = int(((factors > 0) & np.isfinite(factors)).sum())
    if n_offered == 0:
        raise no_snp_can_enter()
    if options.alphas is None:
        expected = f"an integer from 1 to the {n_offered} SNPs that can be selected"
        n_active = as_integer("n_active", n_active, 1, n_offered, expected=expected)
        if options.n_alphas < 2:
            raise InputError(
                "n_alphas: expected at least 2, found 1: no SNP is active at the first alpha"
            )
    if as_switch("complementary", complementary):
        expected = "a number above 0 and at most 0.5 for complementary pairs"
        fraction = as_number("fraction", fraction, high=0.5, above=0, expected=expected)
    else:
        expected = "a number above 0 and at most 1 (1 excluded)"
        fraction = as_number("fraction", fraction, above=0, below=1, expected=expected)
    n_drawn = int(n * fraction + 1e-9)
    if n_drawn < 3:
        raise InputError(
            f"fraction: expected at least 3 of {n} individuals in a subsample, found {n_drawn} "
            f"with {fraction!r}; take a larger one"
        )
    seed = as_integer("seed", seed, 0)
    if K is None and random_effect:
        K = kinship(genotypes)
    study = make_study(genotypes, y, K, random_effect=random_effect, options=options, **study)
    n_fixed = study.design.matrix.shape[1] + int((factors == 0).sum())
    if n_drawn <= n_fixed:
        raise InputError(
            f"fraction: expected more individuals in a subsample than the {n_fixed} covariates and "
            f"unpenalised SNPs, found {n_drawn}"
        )
    n_active = None if options.alphas is not None else n_active
    return Plan(study, n_active, n_offered, n_drawn, complementary, seed)


def as_n_replicates(n_replicates: int, complementary: bool) -> int:
    """Return a number of fits, even for pairs."""
    expected = f"{'an even' if complementary else 'a'} number of fits, at most {MOST_TIMES}"
    advice = "pairs have two" if complementary else "choose another value"
    n_replicates = as_integer(
        "n_replicates", n_replicates, 1, MOST_TIMES, expected=expected, advice=advice
    )
    if complementary and n_replicates % 2:
        raise InputError(f"n_replicates: expected {expected}, found {n_replicates!r}; {advice}")
    return n_replicates


def run_replicates(
    plan: Plan, replicates: Iterable[int], n_jobs: int | None = None
) -> Iterator[tuple[int, dict]]:
    """Yield (number, result) of replicates in the order in which they end.

    A result is what a JSON file can hold: `alphas` of the path, `changes` (for every alpha the SNPs
    that become active, and those that cease to be as -1 - SNP), `log_delta`, `gap` (the largest);
    or `error` alone.
    """
    return each(_replicate, plan, replicates, n_jobs)


def _replicate(plan: Plan, replicate: int) -> dict:
    try:
        part = plan.study.part(plan.draw(replicate))
        alphas, supports, gap = _follow(part, plan.study.options, plan.n_active)
    except FileChangedError:  # that of all replicates
        raise
    except LMMLassoError as error:
        return {"error": f"{type(error).__name__}: {error}"}
    changes, before = [], set()
    for support in supports:
        active = set(support.tolist())
        changes.append([*sorted(active - before), *(-1 - snp for snp in sorted(before - active))])
        before = active
    return {
        "alphas": alphas,
        "changes": changes,
        "log_delta": None if part.null is None else part.null.log_delta,
        "gap": gap,
    }


def _follow(part: Part, options: PathOptions, n_active: int | None):
    """Return the alphas of a path that ends with n_active SNPs, the SNPs at each, the worst gap."""
    problem = Problem(part.genotypes, part.y, part.null, part.design, options, n_threads=1)
    solver = PathSolver(problem, options)
    grid = options.grid(problem.alpha_max)
    if n_active is None:
        solutions = zip(grid.tolist(), solver.solutions(grid), strict=True)
    else:
        solutions = solver.until(n_active, grid)
    alphas, supports, gaps = [], [], []
    for alpha, solution in solutions:
        poll()
        alphas.append(alpha)
        supports.append(solution.support)
        gaps.append(solution.gap)
    return alphas, supports, max(gaps)


# ---- counting -----------------------------------------------------------------------------------


def _active_sets(result: dict) -> Iterator[np.ndarray]:
    """Yield the active SNPs, ascending, at every alpha of a replicate."""
    active: set[int] = set()
    for change in result.get("changes", ()):
        active |= {snp for snp in change if snp >= 0}
        active -= {-1 - snp for snp in change if snp < 0}
        yield np.array(sorted(active), dtype=np.int64)


def _last_set(result: dict) -> np.ndarray:
    """Return the active SNPs, ascending, at the last alpha of a replicate."""
    changes = np.array([snp for change in result.get("changes", ()) for snp in change])
    snps, times = np.unique(np.where(changes < 0, -1 - changes, changes), return_counts=True)
    return snps[times % 2 == 1].astype(np.int64)  # those that left have come and gone


def _levels(result: dict, n_active: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (rows, active SNPs): which solution stands for which levels.

    Without `n_active` each alpha is a level; with it, level q is the last solution with at most q
    active SNPs.
    """
    sets = list(_active_sets(result))
    if n_active is None:
        for row, active in enumerate(sets):
            yield np.array([[row]]), active
        return
    sizes = np.array([len(active) for active in sets])
    for k, active in enumerate(sets):
        # the levels that allow this solution and none of the later ones
        later = sizes[k + 1 :].min(initial=n_active[-1] + 1)
        rows = np.flatnonzero((n_active >= sizes[k]) & (n_active < later))
        if len(rows):
            yield rows[:, None], active


def _ever_active(results: Iterable[dict], p: int) -> np.ndarray:
    ever = np.zeros(p, dtype=bool)
    for result in results:
        for change in result.get("changes", ()):
            ever[[snp for snp in change if snp >= 0]] = True
    return ever


def collect(
    plan: Plan, results: list[dict], genotypes: Genotypes, *, r2: float, window: int | None
) -> StabilityResult:
    """Count what `run_replicates` found in replicates 0, 1, ...; `genotypes` with their tables.

    Raises
    ------
    InputError
        All replicates failed.
    """
    options, p, n = plan.study.options, genotypes.n_variants, len(results)
    if all("error" in result for result in results):
        raise InputError(f"all {n} replicates failed, the first with {results[0]['error']}")
    chosen, counts = [], np.zeros((1 if plan.n_active else len(options.alphas), p), dtype=np.int64)
    for result in results:
        sets = [_last_set(result)] if plan.n_active is not None else list(_active_sets(result))
        for row, active in enumerate(sets):
            counts[row, active] += 1
        chosen.append(np.unique(np.concatenate([np.empty(0, dtype=np.int64), *sets])))
    counts = counts.max(axis=0)
    groups = clump(genotypes, np.flatnonzero(counts), counts[counts > 0], r2=r2, window=window)
    group_of = groups.of(p)
    group_counts = np.zeros(len(groups.leads), dtype=np.int64)
    for snps in chosen:
        group_counts[np.unique(group_of[snps])] += 1
    last = [result["alphas"][-1] if "alphas" in result else None for result in results]
    return StabilityResult(
        frequency=counts / n,
        counts=counts,
        n_replicates=n,
        n_active=plan.n_active,
        alphas=options.alphas,
        n_offered=plan.n_offered,
        n_samples=plan.study.n_samples,
        n_drawn=plan.n_drawn,
        complementary=plan.complementary,
        seed=plan.seed,
        groups=groups,
        group_counts=group_counts,
        group_frequency=group_counts / n,
        n_selected=np.array([len(snps) for snps in chosen]),
        log_delta=np.array([result.get("log_delta") for result in results], dtype=np.float64),
        last_alpha=np.array(last, dtype=np.float64),
        failures={r: result["error"] for r, result in enumerate(results) if "error" in result},
        converged=np.array([result.get("gap", np.inf) <= options.tol for result in results]),
        _results=results,
    )
