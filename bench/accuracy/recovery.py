"""One repeat of a recovery study: a phenotype with known causal SNPs, and who ranks them first.

Every method ranks all SNPs that are offered, the best first; SNPs of equal score in the order of
their number, which says nothing about which of them is causal.

    LM         chi-squared of one SNP at a time, without random effect
    LMM        the same with the random effect, delta from the model without SNPs
    BLUP       |x~_j'y~|: effects of all SNPs together as the random effect has them
    Lasso      SNPs that enter the path in the order of their entry, then all others by
               |x~_j'r~| / pi_j at its last alpha: what they correlate with is the rest
    LMM-Lasso  the same with the random effect, delta as in the LMM

All paths have the same fractions of their own alpha_max, and end before more than `MAX_ACTIVE` SNPs
are active; the areas change little with either.

Other rankings of the same models:

    LMM-Lasso, rescaled    penalty factors ||x~_j||: all whitened SNPs have the same length, as the
                           LMM's statistic has it, instead of the same length before whitening
    ..., frequency         by selection frequency over half-samples, of equal ones by entry
    ..., LD group          leads of LD groups by how often any member was selected, of equal ones by
                           entry; then all others by entry
    LMM, LOCO              every chromosome's SNPs with the kinship from the other chromosomes
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

import lmmlasso_fast as ll
from bench.accuracy import datasets
from lmmlasso_fast.association import AssociationScan, association_scan
from lmmlasso_fast.evaluation import (
    entry_order,
    hits,
    mean_interval,
    paired_interval,
    precision_recall,
    roc,
)
from lmmlasso_fast.parallel import each
from lmmlasso_fast.simulation import SimulatedPhenotype, simulate_genotypes, simulate_on

FIVE = ("LM", "LMM", "BLUP", "Lasso", "LMM-Lasso")
RESCALED, LOCO = "LMM-Lasso, rescaled", "LMM, LOCO"
#: What is offered, and what may be causal.
MIN_FREQUENCY = 0.05
MAX_ACTIVE = 100
_GRID = {"n_alphas": 200, "eps": 0.01, "max_active": MAX_ACTIVE}
#: Of stability selection; the r2 of its groups.
N_ACTIVE, _LD_R2 = 20, 0.5
#: False loci per causal SNP up to which rankings are followed: the precision of what comes later is
#: below 1/51.
_MAX_FALSE = 50
#: For the false positive rate, evenly spaced on the map.
_MAX_NEGATIVES = 2000
#: Where curves are noted.
RECALLS = np.arange(1, 11) / 10
FALSE_POSITIVE_RATES = np.linspace(0.0, 0.3, 31)


@dataclass(frozen=True, eq=False)
class Population:
    """Genotypes on which phenotypes are drawn.

    Attributes
    ----------
    genotypes : ll.Genotypes
    kinship : ll.Kinship
    background : ndarray or None
        A real phenotype, the structure of what is drawn; None: u ~ N(0, K).
    criteria : dict
        Name -> what `hits` takes to say when a SNP stands for a causal one; the first is the one
        that curves are drawn for.
    number : int
        Of its random streams.
    """

    genotypes: ll.Genotypes = field(repr=False)
    kinship: ll.Kinship = field(repr=False)
    background: np.ndarray | None = field(repr=False)
    criteria: dict[str, dict]
    number: int

    def some(self, n_samples: int) -> "Population":
        """Return so many samples, the first ones in an order that does not depend on how many."""
        order = np.random.default_rng(self.number).permutation(self.genotypes.n_samples)
        samples = np.sort(order[:n_samples])
        background = None if self.background is None else self.background[samples]
        return population(self.genotypes.subset(samples), background, self.criteria, self.number)


@dataclass(frozen=True)
class Setting:
    """What is drawn.

    Attributes
    ----------
    n_causal : int
    h2_snp : float
        Share of the variance that the causal SNPs have together.
    structure : float
        Share of the structure in what they leave; the rest is noise.
    """

    n_causal: int = 10
    h2_snp: float = 0.4
    structure: float = 0.5


@dataclass(frozen=True)
class Extras:
    """Which rankings there are besides the five methods' own, and what is noted.

    Attributes
    ----------
    voted : tuple of str
        Of the Lasso and LMM-Lasso, those that are also ranked by frequency and by LD group.
    n_replicates : int
        Half-samples for that.
    loco : bool
        The LMM with the kinship from the other chromosomes.
    curves : bool
        Note the first criterion's curves, and average precision by all criteria.
    """

    voted: tuple[str, ...] = ()
    n_replicates: int = 20
    loco: bool = False
    curves: bool = False


# ---- data ----------------------------------------------------------------------------------------


def has_data() -> bool:
    """Whether the folder of the real data is known."""
    return bool(os.environ.get("LMMLASSO_DATA"))


def population(genotypes: ll.Genotypes, background, criteria: dict, number: int) -> Population:
    """Return a population that offers what is frequent enough, its kinship decomposed."""
    genotypes = genotypes.filter(maf=MIN_FREQUENCY)
    K = ll.kinship(genotypes)
    K.basis(1.0)  # here, once, rather than in the first thread that needs it
    return Population(genotypes, K, background, criteria, number)


def arabidopsis() -> Population:
    """162 inbred accessions, chromosome 5; the structure is the flowering time at 10 degrees C."""
    criteria = {"10 kb": {"window": 10_000}, "r2 0.5": {"r2": 0.5}}
    return _real("arabidopsis_chr5", "FT10", criteria, 0)


def mice() -> Population:
    """1,410 heterogeneous-stock mice; the structure is CD8.

    LD is long there and differs along the genome, and some SNPs have no position: hits by r2.
    """
    return _real("mouse_hs1940", "CD8", {"r2 0.5": {"r2": 0.5}, "r2 0.2": {"r2": 0.2}}, 1)


def _real(name: str, column: str, criteria: dict, number: int) -> Population:
    genotypes, table = datasets.load(name)
    y = datasets.numbers(table, column)
    has = ~np.isnan(y)
    return population(genotypes.subset(has), y[has], criteria, number)


def simulated(n_samples: int, n_variants: int) -> Population:
    """Four populations (Fst 0.1) with LD between neighbouring SNPs only; u ~ N(0, K)."""
    drawn = simulate_genotypes(n_samples, n_variants, fst=0.1, seed=2)
    genotypes = ll.Genotypes.from_array(drawn.dosages, variants=drawn.variants)
    return population(genotypes, None, {"r2 0.2": {"r2": 0.2}}, 2)


def stand_in(number: int) -> Population:
    """A small simulated population, for quick runs without the real data."""
    drawn = simulate_genotypes(120, 600, inbred=number == 0, n_chromosomes=2, seed=number)
    genotypes = ll.Genotypes.from_array(drawn.dosages, variants=drawn.variants)
    background = simulate_on(genotypes, n_causal=0, h2_snp=0.0, h2_structure=0.9, seed=number).y
    return population(genotypes, background, {"r2 0.5": {"r2": 0.5}, "r2 0.2": {"r2": 0.2}}, number)


def kinships_without_own(population: Population) -> dict[str, ll.Kinship]:
    """Return the kinship from all other chromosomes, for every chromosome."""
    genotypes = population.genotypes
    offered = genotypes.variants["CHROM"].to_numpy()[genotypes.included]
    names = np.unique(offered.astype(str)).tolist()
    kinships = {
        name: ll.kinship(genotypes.filter(chromosomes=[other for other in names if other != name]))
        for name in names
    }
    for K in kinships.values():
        K.basis(1.0)
    return kinships


# ---- a phenotype ---------------------------------------------------------------------------------


def draw(population: Population, setting: Setting, repeat: int) -> SimulatedPhenotype:
    """Draw the phenotype of a repeat.

    All settings of a repeat have the same streams: what does not differ between two settings is
    the same in both.
    """
    stream = np.random.SeedSequence(population.number, spawn_key=(repeat,))
    return simulate_on(
        population.genotypes,
        n_causal=setting.n_causal,
        h2_snp=setting.h2_snp,
        h2_structure=setting.structure * (1 - setting.h2_snp),
        background=population.background,
        K=population.kinship if population.background is None else None,
        min_frequency=MIN_FREQUENCY,
        seed=int(stream.generate_state(1)[0]),
        n_threads=1,
    )


# ---- rankings ------------------------------------------------------------------------------------


def rankings(
    genotypes: ll.Genotypes,
    y: np.ndarray,
    K: ll.Kinship,
    extras: Extras,
    kinships: dict[str, ll.Kinship] | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Return every ranking: SNPs that are offered, the best first.

    `kinships` is for LOCO (`kinships_without_own`), `seed` that of the half-samples.
    """
    null = ll.fit_null(y, K, n_threads=1)
    with_effect = association_scan(genotypes, y, null, n_threads=1)
    without = association_scan(genotypes, y, n_threads=1)
    plain = ll.lasso_path(genotypes, y, n_threads=1, **_GRID)
    mixed = ll.lasso_path(genotypes, y, null, n_threads=1, **_GRID)
    Py = mixed.dual[:, 0]  # no SNP is active at alpha_max
    found = {
        "LM": by_score(without.chisq, genotypes),
        "LMM": by_score(with_effect.chisq, genotypes),
        "BLUP": by_score(np.abs(genotypes.gradient(Py)), genotypes),
        "Lasso": by_entry(plain, genotypes),
        "LMM-Lasso": by_entry(mixed, genotypes),
    }
    lengths = whitened_lengths(with_effect, genotypes, float(y @ Py))
    factors = np.where(lengths > 0, lengths / lengths.max(), np.inf)
    rescaled = ll.lasso_path(genotypes, y, null, penalty_factors=factors, n_threads=1, **_GRID)
    found[RESCALED] = by_entry(rescaled, genotypes)
    if kinships is not None:
        found[LOCO] = by_score(_loco(genotypes, y, kinships), genotypes)
    for name in extras.voted:
        stable = ll.stability_selection(
            genotypes,
            y,
            K if name == "LMM-Lasso" else None,
            random_effect=name == "LMM-Lasso",
            n_active=N_ACTIVE,
            n_replicates=extras.n_replicates,
            ld_r2=_LD_R2,
            ld_window=None,
            seed=seed,
            n_jobs=1,
        )
        of_leads = np.zeros(genotypes.n_variants)
        of_leads[stable.groups.leads] = stable.group_frequency
        found[f"{name}, frequency"] = by_votes(stable.frequency, found[name])
        found[f"{name}, LD group"] = by_votes(of_leads, found[name])
    return found


def by_score(scores: np.ndarray, genotypes: ll.Genotypes) -> np.ndarray:
    """Return the SNPs that are offered, the highest score first; without a score (NaN) at the end.

    Of equal score in the order of their number.
    """
    order = np.argsort(-np.where(np.isnan(scores), -np.inf, scores), kind="stable")
    return order[genotypes.included[order]]


def by_entry(path: ll.LassoPath, genotypes: ll.Genotypes) -> np.ndarray:
    """Return the SNPs that entered in the order of entry, then the others by |x~_j'r~| / pi_j.

    The latter at the last alpha.
    """
    entered = entry_order(path)
    scores = np.abs(genotypes.gradient(path.dual[:, -1])) / path.penalty_factors
    others = by_score(scores, genotypes)
    return np.concatenate([entered, others[~np.isin(others, entered)]])


def by_votes(votes: np.ndarray, ranking: np.ndarray) -> np.ndarray:
    """Return a ranking sorted by votes (of all SNPs), of equal ones in the order that they had."""
    return ranking[np.argsort(-votes[ranking], kind="stable")]


def whitened_lengths(scan: AssociationScan, genotypes: ll.Genotypes, yPy: float) -> np.ndarray:
    """Return ||x~_j|| of the standardised SNPs from their tests; 0 where there is none.

    A scan has them: with beta = x~'y~ / x~'x~ and se^2 (n - c - 1) x~'x~ = y~'y~ - beta^2 x~'x~,
    x~'x~ = y~'y~ / ((n - c - 1) se^2 + beta^2).
    """
    squares = yPy / (scan.df * scan.se**2 + scan.beta**2)
    squares /= genotypes.sd**2
    return np.sqrt(np.where(np.isnan(squares), 0.0, squares))


def _loco(genotypes: ll.Genotypes, y: np.ndarray, kinships: dict[str, ll.Kinship]) -> np.ndarray:
    scores = np.full(genotypes.n_variants, np.nan)
    for chromosome, K in kinships.items():
        own = genotypes.filter(chromosomes=[chromosome])
        null = ll.fit_null(y, K, n_threads=1)
        chisq = association_scan(own, y, null, n_threads=1).chisq
        scores[own.included] = chisq[own.included]
    return scores


# ---- scores --------------------------------------------------------------------------------------


def run_repeat(
    population: Population,
    setting: Setting,
    repeat: int,
    extras: Extras,
    kinships: dict[str, ll.Kinship] | None = None,
) -> dict:
    """Draw a phenotype, rank, and count; what a JSON file can hold."""
    phenotype = draw(population, setting, repeat)
    found = rankings(
        population.genotypes, phenotype.y, population.kinship, extras, kinships, seed=repeat
    )
    return score(population, phenotype.causal, found, curves=extras.curves)


def score(
    population: Population, causal: np.ndarray, found: dict[str, np.ndarray], *, curves: bool
) -> dict:
    """Return the area under precision-recall of every ranking, by criterion.

    With `curves` also, by the first criterion, precision at recall 1/10, 2/10, ..., the true
    positive rate at `FALSE_POSITIVE_RATES`, and the area under ROC.
    """
    genotypes = population.genotypes
    criteria = list(population.criteria.items())
    max_false = _MAX_FALSE * len(causal)
    n_snps = int(genotypes.included.sum())
    result = {"n_samples": genotypes.n_samples, "n_snps": n_snps, "average_precision": {}}
    if curves:
        result |= {"precision": {}, "true_positive_rate": {}, "roc": {}}
    for name, ranking in found.items():
        for number, (criterion, near) in enumerate(criteria if curves else criteria[:1]):
            counted = hits(ranking, causal, genotypes, max_false=max_false, **near)
            curve = precision_recall(counted)
            areas = result["average_precision"].setdefault(criterion, {})
            areas[name] = _rounded(curve.area)
            if curves and number == 0:
                of_roc = roc(counted, genotypes, max_negatives=_MAX_NEGATIVES)
                result["precision"][name] = _rounded(curve.at(RECALLS))
                result["true_positive_rate"][name] = _rounded(of_roc.at(FALSE_POSITIVE_RATES))
                result["roc"][name] = _rounded(of_roc.area)
    return result


def _rounded(values):
    """Return numbers with what digits a result file needs."""
    return np.round(values, 5).tolist()


# ---- many repeats --------------------------------------------------------------------------------


def run_settings(
    name: str,
    make: Callable[[], Population],
    settings: Sequence[Setting],
    n_repeats: int,
    extras: Extras,
    store,
    n_jobs: int | None,
) -> dict[Setting, list[dict]]:
    """Run what the store does not have; return the results of all repeats of all settings.

    The population is made only if something is left to do.
    """

    def key(setting: Setting, repeat: int) -> str:
        shares = f"{setting.h2_snp:g} {setting.structure:g}"
        return f"{name} {setting.n_causal} {shares} {repeat}"

    todo = [(setting, repeat) for repeat in range(n_repeats) for setting in settings]
    todo = [unit for unit in todo if store.get(key(*unit)) is None]
    if todo:
        made = make()
        kinships = kinships_without_own(made) if extras.loco else None
        for k, result in each(_run_unit, (made, todo, extras, kinships), range(len(todo)), n_jobs):
            store.put(key(*todo[k]), result)
    return {
        setting: [store.get(key(setting, repeat)) for repeat in range(n_repeats)]
        for setting in settings
    }


def _run_unit(shared: tuple, number: int) -> dict:
    made, todo, extras, kinships = shared
    setting, repeat = todo[number]
    return run_repeat(made, setting, repeat, extras, kinships)


# ---- what came out -------------------------------------------------------------------------------


def areas(results: list[dict], criterion: str) -> dict[str, list[float]]:
    """Return the area under precision-recall of every repeat, for every ranking."""
    found = [result["average_precision"][criterion] for result in results]
    return {name: [one[name] for one in found] for name in found[0]}


def is_above(a, b) -> bool:
    """Whether the 95 % interval of the mean of `a` lies above that of `b`."""
    return mean_interval(a).low > mean_interval(b).high


def verdict(a, b) -> str:
    """Say whether `a` is ahead of `b` by the 95 % interval of the paired difference."""
    difference = paired_interval(a, b)
    if difference.low > 0:
        return "ahead"
    return "behind" if difference.high < 0 else "undecided"
