"""`python -m bench.accuracy.error_control`: are the promises of error control kept, at what power?

Data sets without a causal SNP, on which every selection is false, and data sets with five, on which
discoveries and false ones are counted. Samples are of four populations, unrelated or in families of
four; the background is polygenic or one mean per population. The methods are the calibrated alpha,
the marginal FDR, multi-split p-values and stability selection, each with the random effect and, for
contrast, some without (plain Lasso). See docs/error_control.md, which has the results.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

import lmmlasso_fast as ll
from lmmlasso_fast import stability
from lmmlasso_fast.error_bounds import ASSUMPTIONS
from lmmlasso_fast.error_control import calibrated_alpha, marginal_fdr, whitened_norms
from lmmlasso_fast.p_values import multi_split
from lmmlasso_fast.parallel import each
from lmmlasso_fast.simulation import simulate_genotypes, simulate_phenotype

LEVEL, MAX_MFDR, CUTOFFS, N_ACTIVE = 0.05, 0.1, (0.6, 0.75, 0.9), 10
#: Marginally false SNPs that the formula expects at the alphas at which they are counted.
EXPECTED = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
N_CAUSAL, H2_SNP, FAMILY = 5, 0.4, 4
#: r2, in the sample and on one chromosome, from which a SNP stands for a causal one, and below
#: which it has nothing to do with it; what is between counts neither as found nor as false.
FOUND_R2, FALSE_R2 = 0.3, 0.05
#: A causal SNP with at least this share of the variance can be expected to be found.
LARGE = 0.05
#: Crossovers between neighbouring SNPs: one per chromosome of 200.
_CROSSOVER = 1 / 200
_MAX_ACTIVE = 40


@dataclass(frozen=True)
class Size:
    """How large a data set is, and how much the methods draw."""

    n_samples: int = 240
    n_variants: int = 1000
    n_draws: int = 999
    n_replicates: int = 100
    n_splits: int = 30


QUICK = Size(n_samples=120, n_variants=300, n_draws=99, n_replicates=10, n_splits=4)


@dataclass(frozen=True)
class Scenario:
    """What is simulated, and which methods are run on it.

    Attributes
    ----------
    n_causal : int
        0: no SNP has an effect; else h2_snp = H2_SNP.
    h2_structure : float
        Variance of the background.
    population_means : bool
        The background is one mean per population instead of polygenic: not what the model assumes.
    families : bool
        Full siblings, FAMILY of them each; multi-split keeps these together.
    mixed, plain : tuple of str
        Methods with and without the random effect.
    """

    n_causal: int = 0
    h2_structure: float = 0.5
    n_populations: int = 4
    population_means: bool = False
    families: bool = False
    mixed: tuple[str, ...] = ("calibrated", "mfdr", "multi_split", "stability")
    plain: tuple[str, ...] = ("calibrated", "mfdr")


SCENARIOS = {
    "null, one population, noise alone": Scenario(
        n_populations=1, h2_structure=0.0, mixed=(), plain=("calibrated", "mfdr", "stability")
    ),
    "null, polygenic": Scenario(),
    "null, population means": Scenario(
        population_means=True,
        mixed=("calibrated", "mfdr", "stability"),
        plain=("calibrated", "mfdr", "stability"),
    ),
    "null, families": Scenario(families=True),
    "signal, polygenic": Scenario(n_causal=N_CAUSAL, h2_structure=0.3),
    "signal, families": Scenario(n_causal=N_CAUSAL, h2_structure=0.3, families=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.accuracy.error_control", description=__doc__)
    parser.add_argument("--n-data", type=int, help="data sets of each kind; default 200, quick 20")
    parser.add_argument("--quick", action="store_true", help="small ones, to see that it runs")
    parser.add_argument("--jobs", type=int, default=2, help="data sets at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("error_control.json"))
    given = parser.parse_args()
    n_data = given.n_data or (20 if given.quick else 200)
    size = QUICK if given.quick else Size()
    content = run(n_data, size, given.seed, given.jobs, _report)
    given.out.write_text(json.dumps(content, indent=1) + "\n")
    print(markdown(content))
    print(f"\nwrote {given.out}, {content['seconds']:.0f} s")


def _report(name: str, seconds: float) -> None:
    print(f"{name}: {seconds:.0f} s", file=sys.stderr)  # stdout is Markdown


def run(
    n_data: int,
    size: Size,
    seed: int = 0,
    n_jobs: int = 1,
    progress: Callable[[str, float], None] | None = None,
) -> dict:
    """Return the options and, of each scenario, what every data set gave.

    The same seed gives the same rows, whatever n_jobs is. `progress` is called with a scenario that
    has ended and the seconds since the beginning.
    """
    start, rows = time.perf_counter(), {}
    for number, (name, scenario) in enumerate(SCENARIOS.items()):
        shared = (scenario, size, seed, number)
        found = dict(each(run_one, shared, range(n_data), n_jobs))
        rows[name] = [found[k] for k in range(n_data)]
        if progress is not None:
            progress(name, time.perf_counter() - start)
    return {
        "options": {"n_data": n_data, "seed": seed, "n_jobs": n_jobs, **asdict(size)},
        "scenarios": {name: asdict(scenario) for name, scenario in SCENARIOS.items()},
        "versions": {name: version(name) for name in ("lmmlasso-fast", "numpy", "scipy")},
        "seconds": time.perf_counter() - start,
        "rows": rows,
    }


def run_one(shared: tuple[Scenario, Size, int, int], number: int) -> dict:
    """Simulate one data set and run the scenario's methods on it."""
    scenario, size, seed, scenario_number = shared
    stream = np.random.SeedSequence(seed, spawn_key=(scenario_number, number))
    data = simulate(scenario, size, stream)
    null = ll.fit_null(data.y, data.kinship, n_threads=1)

    def results(methods: tuple[str, ...], null: ll.NullModel | None) -> dict:
        return {method: METHODS[method](data, null, size) for method in methods}

    return {
        "h2": null.h2,
        "mixed": results(scenario.mixed, null),
        "plain": results(scenario.plain, None),
    }


# ---- data sets -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Data:
    """A data set and the truth about it.

    Attributes
    ----------
    causal : ndarray of int64
    effects : ndarray
        Of the causal SNPs; the square is the share of the variance.
    families : ndarray or None
        Family of each sample.
    chromosome : ndarray, shape (p,)
    seed : int
        Of the methods.
    """

    genotypes: ll.Genotypes
    kinship: ll.Kinship
    y: np.ndarray
    causal: np.ndarray
    effects: np.ndarray
    families: np.ndarray | None
    chromosome: np.ndarray
    seed: int

    def score(self, snps: np.ndarray) -> dict:
        """Count selected SNPs, false ones among them, and the causal SNPs that they stand for."""
        chosen, causal = self.genotypes.columns(snps), self.genotypes.columns(self.causal)
        r2 = (chosen.T @ causal / len(chosen)) ** 2
        r2 *= self.chromosome[snps][:, None] == self.chromosome[self.causal]
        found = (r2 >= FOUND_R2).any(axis=0)
        return {
            "selected": len(snps),
            "false": int((r2 < FALSE_R2).all(axis=1).sum()),
            "found": int(found.sum()),
            "found_large": int(found[self.effects**2 >= LARGE].sum()),
            "large": int((self.effects**2 >= LARGE).sum()),
        }


def simulate(scenario: Scenario, size: Size, stream: np.random.SeedSequence) -> Data:
    """Draw genotypes and a phenotype. Without causal SNPs no SNP has an effect of its own."""
    of_genotypes, of_families, of_phenotype, of_methods = stream.generate_state(4).tolist()
    families = None
    if scenario.families:
        rng = np.random.default_rng(of_families)
        dosages, population, families, variants = siblings(size, scenario, of_genotypes, rng)
    else:
        drawn = simulate_genotypes(
            size.n_samples,
            size.n_variants,
            n_populations=scenario.n_populations,
            seed=of_genotypes,
        )
        dosages, population, variants = drawn.dosages, drawn.population, drawn.variants
    phenotype = simulate_phenotype(
        dosages,
        population if scenario.population_means else None,
        n_causal=scenario.n_causal,
        h2_snp=H2_SNP if scenario.n_causal else 0.0,
        h2_structure=scenario.h2_structure,
        seed=of_phenotype,
    )
    genotypes = ll.Genotypes.from_array(dosages, variants=variants)
    return Data(
        genotypes,
        ll.kinship(genotypes, n_threads=1),
        phenotype.y,
        phenotype.causal,
        phenotype.effects,
        families,
        variants["CHROM"].to_numpy(),
        of_methods,
    )


def siblings(size: Size, scenario: Scenario, seed: int, rng: np.random.Generator):
    """Return (dosages, populations, families, variants) of families of full siblings.

    Each family has four haplotypes of its population, two of each parent; a child takes one of
    each parent, which changes to the parent's other one at crossovers.
    """
    n_families = -(-size.n_samples // FAMILY)
    founders = simulate_genotypes(
        4 * n_families,
        size.n_variants,
        n_populations=scenario.n_populations,
        inbred=True,
        seed=seed,
    )
    haplotypes = founders.dosages // 2
    chromosome = founders.variants["CHROM"].to_numpy()
    families = np.repeat(np.arange(n_families), FAMILY)[: size.n_samples]
    chance = np.where(np.append(True, chromosome[1:] != chromosome[:-1]), 0.5, _CROSSOVER)
    dosages = np.zeros((size.n_samples, size.n_variants), dtype=np.int8)
    for parent in (0, 1):
        crossed = rng.random(dosages.shape) < chance
        grandparent = np.cumsum(crossed, axis=1) % 2
        of_child = 4 * families[:, None] + 2 * parent + grandparent
        dosages += np.take_along_axis(haplotypes, of_child, axis=0)
    return dosages, founders.population[4 * families], families, founders.variants


# ---- methods -------------------------------------------------------------------------------------


def _calibrated(data: Data, null: ll.NullModel | None, size: Size) -> dict:
    found = calibrated_alpha(
        data.genotypes,
        data.y,
        null,
        level=LEVEL,
        n_draws=size.n_draws,
        seed=data.seed,
        n_threads=1,
    )
    path = ll.lasso_path(data.genotypes, data.y, null, alphas=[found.alpha], n_threads=1)
    return {"p_value": found.p_value, **data.score(path.coefs.indices)}


def _mfdr(data: Data, null: ll.NullModel | None, size: Size) -> dict:
    """Score the largest model of the path with mFDR <= MAX_MFDR, and count at fixed expectations.

    `share` has, as means over all alphas with such an mFDR, the formula's share of false SNPs and
    the true one.
    """
    genotypes, y = data.genotypes, data.y
    norms = whitened_norms(genotypes, null, n_threads=1)
    path = ll.lasso_path(genotypes, y, null, max_active=_MAX_ACTIVE, n_threads=1)
    rates = marginal_fdr(path, genotypes, y, norms, n_threads=1)
    fine = np.flatnonzero((rates <= MAX_MFDR) & (path.n_active > 0))
    scores = [data.score(path.coefs[:, [k]].indices) for k in fine]
    largest = scores[-1] if scores else data.score(np.empty(0, dtype=np.int64))
    share = None
    if scores:
        share = [float(rates[fine].mean())]
        share.append(float(np.mean([score["false"] / score["selected"] for score in scores])))

    alphas = _alphas_expecting(norms, y, null)
    at_these = ll.lasso_path(genotypes, y, null, alphas=alphas, n_threads=1)
    counts = [data.score(at_these.coefs[:, [k]].indices)["false"] for k in range(len(alphas))]
    expected = expected_false(at_these, genotypes, y, norms)
    return {**largest, "share": share, "expected": expected.tolist(), "counted": counts}


def _alphas_expecting(norms: np.ndarray, y: np.ndarray, null: ll.NullModel | None) -> np.ndarray:
    """Return where the formula, with the noise of the model without SNPs, gives EXPECTED.

    They do not look at any SNP's effect, as the alphas of a path from alpha_max do.
    """
    from scipy.optimize import brentq

    n = len(y)
    weights = n / np.sqrt(norms[norms > 0])
    sigma = np.sqrt((y.var() if null is None else null.sigma_g2) * n / (n - 1))

    def alpha(expected: float) -> float:
        return brentq(lambda u: _false(u * weights) - expected, 0.0, 40.0 / weights.min())

    return sigma * np.array([alpha(expected) for expected in EXPECTED])


def expected_false(path: ll.LassoPath, genotypes: ll.Genotypes, y, norms) -> np.ndarray:
    """Return mFDR times the active SNPs, but not cut off at these, from the formula.

    sum_j 2 Phi(-n alpha / (sigma ||x~_j||)), sigma^2 = RSS / (n - c - n_active)
    """
    effects = path.coefs.tocsr()
    active = np.flatnonzero(np.diff(effects.indptr))
    fitted = genotypes.columns(active) @ effects[active].toarray()
    residual = y[:, None] - path.design.matrix @ path.gammas - fitted
    rss = np.einsum("ik,ik->k", residual, path.dual)
    n, c = path.design.matrix.shape
    sigma = np.sqrt(rss / (n - c - path.n_active))
    weights = n / np.sqrt(norms[norms > 0])
    return np.array([_false(u * weights) for u in path.alphas / sigma])


def _false(z: np.ndarray) -> float:
    from scipy.special import ndtr

    return float(2 * ndtr(-z).sum())


def _multi_split(data: Data, null: ll.NullModel | None, size: Size) -> dict:
    found = multi_split(
        data.genotypes,
        data.y,
        None if null is None else data.kinship,
        random_effect=null is not None,
        groups=data.families,
        n_splits=size.n_splits,
        seed=data.seed,
        n_jobs=1,
    )
    return {"p_value": float(found.p_values.min()), **data.score(found.selected(LEVEL))}


def _stability(data: Data, null: ll.NullModel | None, size: Size) -> dict:
    """Score the stable SNPs at every cutoff.

    `both` is how many SNPs both halves of a pair select, in the mean over pairs: q^2 / p of them
    without effects if the halves are independent, on which the bounds rest.
    """
    plan = stability.make_plan(
        data.genotypes,
        data.y,
        None if null is None else data.kinship,
        random_effect=null is not None,
        n_active=N_ACTIVE,
        seed=data.seed,
    )
    by_number = dict(stability.run_replicates(plan, range(size.n_replicates), n_jobs=1))
    results = [by_number[r] for r in range(size.n_replicates)]
    found = stability.collect(plan, results, data.genotypes, r2=0.5, window=None)
    selected = [_last_support(result) for result in results]
    pairs = zip(selected[::2], selected[1::2], strict=True)
    return {
        "both": float(np.mean([len(first & second) for first, second in pairs])),
        "n_selected": float(found.n_selected.mean()),
        "n_offered": found.n_offered,
        "cutoffs": [
            {
                "bounds": {name: found.bound(cutoff, name) for name in ASSUMPTIONS},
                **data.score(found.selected(cutoff)),
            }
            for cutoff in CUTOFFS
        ],
    }


def _last_support(result: dict) -> set[int]:
    active: set[int] = set()
    for change in result.get("changes", ()):
        active |= {snp for snp in change if snp >= 0}
        active -= {-1 - snp for snp in change if snp < 0}
    return active


METHODS: dict[str, Callable[[Data, ll.NullModel | None, Size], dict]] = {
    "calibrated": _calibrated,
    "mfdr": _mfdr,
    "multi_split": _multi_split,
    "stability": _stability,
}


# ---- tables --------------------------------------------------------------------------------------


def markdown(content: dict) -> str:
    """Return the results as Markdown tables: means over the data sets and their standard errors."""
    null, signal = _runs(content, with_signal=False), _runs(content, with_signal=True)
    parts = [
        "No causal SNP: share of data sets with any SNP selected.",
        _table([row for method in _LEVELS for row in _family_wise(null, method)]),
        "Marginal FDR, no causal SNP: SNPs active (formula) at alphas fixed beforehand.",
        _table(_marginal(null)),
        "Stability selection, no causal SNP: SNPs selected, and the bounds on their mean.",
        _table(_stable(null)),
        f"{N_CAUSAL} causal SNPs: discoveries.",
        _table(_discoveries(signal)),
        "Marginal FDR, with causal SNPs: false SNPs active (formula) at alphas fixed beforehand.",
        _table(_marginal(signal)),
        f"The same, as shares, in the mean over all alphas of a path with mFDR <= {MAX_MFDR:g}.",
        _table(_shares(signal)),
    ]
    return "\n\n".join(parts)


def _runs(content: dict, *, with_signal: bool) -> list[tuple[dict[str, str], dict[str, list]]]:
    """Return for each scenario and model (the first cells, method -> its results)."""
    runs = []
    for name, scenario in content["scenarios"].items():
        if (scenario["n_causal"] > 0) != with_signal:
            continue
        for model, effect in (("mixed", "yes"), ("plain", "no")):
            rows = [row[model] for row in content["rows"][name]]
            results = {method: [row[method] for row in rows] for method in scenario[model]}
            if results:
                cells = {"data": name.split(", ", 1)[1], "random effect": effect}
                runs.append((cells, results))
    return runs


_NAMES = {
    "calibrated": "calibrated alpha",
    "multi_split": "multi-split p-values",
    "mfdr": "mFDR, largest model",
}
_LEVELS = {"calibrated": LEVEL, "multi_split": LEVEL, "mfdr": MAX_MFDR}


def _family_wise(runs, method: str) -> list[dict[str, str]]:
    rows, level = [], _LEVELS[method]
    for cells, results in runs:
        if method not in results:
            continue
        wrong = np.array([result["selected"] > 0 for result in results[method]])
        limit = level + 2 * np.sqrt(level * (1 - level) / len(wrong))
        rows.append(
            {
                "method": _NAMES[method],
                **cells,
                "level": f"{level:g}",
                "level + 2 SE": f"{limit:.3f}",
                "error": _mean(wrong),
                "kept": _yes(wrong.mean() <= limit),
            }
        )
    return rows


def _marginal(runs) -> list[dict[str, str]]:
    rows = []
    for cells, results in runs:
        if "mfdr" not in results:
            continue
        counted = np.array([result["counted"] for result in results["mfdr"]], dtype=float)
        expected = np.array([result["expected"] for result in results["mfdr"]])
        excess = counted - expected
        kept = (excess.mean(axis=0) <= 2 * _errors(excess)).all()
        at = {
            f"{level:g} expected": f"{_mean(counted[:, k], 2)} ({expected[:, k].mean():.2f})"
            for k, level in enumerate(EXPECTED)
        }
        rows.append({**cells, **at, "kept": _yes(kept)})
    return rows


def _stable(runs) -> list[dict[str, str]]:
    rows = []
    for cells, results in runs:
        found = results.get("stability", [])
        for k, cutoff in enumerate(CUTOFFS if found else ()):
            here = [result["cutoffs"][k] for result in found]
            selected = np.array([result["selected"] for result in here], dtype=float)
            row = {**cells, "cutoff": f"{cutoff:g}", "selected": _mean(selected)}
            for name in ASSUMPTIONS:
                bound = float(np.mean([result["bounds"][name] for result in here]))
                kept = selected.mean() <= bound + 2 * _errors(selected)
                row[f"bound: {name}"] = f"{bound:.3f}" + ("" if kept else " exceeded")
            row["in both halves"] = _mean(np.array([result["both"] for result in found]))
            chance = [result["n_selected"] ** 2 / result["n_offered"] for result in found]
            row["if independent"] = f"{np.mean(chance):.3f}"
            rows.append(row)
    return rows


def _discoveries(runs) -> list[dict[str, str]]:
    rows = []
    for cells, results in runs:
        scores = {}
        for method, found in results.items():
            if method == "stability":
                for k, cutoff in enumerate(CUTOFFS):
                    scores[f"stability, cutoff {cutoff:g}"] = [r["cutoffs"][k] for r in found]
            else:
                scores[f"{_NAMES[method]}, {_LEVELS[method]:g}"] = found
        rows += [{**cells, "method": name, **_of_scores(some)} for name, some in scores.items()]
    return rows


def _of_scores(scores: list[dict]) -> dict[str, str]:
    selected, false, found, found_large, large = (
        np.array([score[name] for score in scores], dtype=float)
        for name in ("selected", "false", "found", "found_large", "large")
    )
    return {
        "power": _mean(found / N_CAUSAL),
        f"power, {LARGE:.0%} of variance": f"{found_large.sum() / max(1.0, large.sum()):.2f}",
        "false": _mean(false),
        "any false": _mean(false > 0),
        "false / selected": _mean(false / np.maximum(selected, 1)),
    }


def _shares(runs) -> list[dict[str, str]]:
    rows = []
    for cells, results in runs:
        if "mfdr" not in results:
            continue
        shares = [result["share"] for result in results["mfdr"] if result["share"] is not None]
        formula, truth = np.array(shares).reshape(-1, 2).T
        limit = formula.mean() + 2 * _errors(truth - formula) if len(truth) > 1 else np.nan
        some = {"data sets": str(len(shares)), "formula": _mean(formula), "truth": _mean(truth)}
        rows.append({**cells, **some, "kept": _yes(len(truth) > 1 and truth.mean() <= limit)})
    return rows


def _errors(values: np.ndarray) -> np.ndarray:
    """Return the standard errors of means over data sets."""
    return values.std(axis=0, ddof=1) / np.sqrt(len(values))


def _mean(values: np.ndarray, digits: int = 3) -> str:
    if len(values) == 0:
        return "none"
    mean = f"{values.mean():.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {_errors(values):.{digits}f}"


def _yes(kept: bool) -> str:
    return "yes" if kept else "no"


def _table(rows: list[dict[str, str]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
