"""Study fig7: does the random effect take pure structure out of the tests?

Phenotypes without any causal SNP, u ~ N(0, K) with or without noise, on real genotypes; the
genomic-control lambda of the scan with and without the random effect. See docs/studies/fig7.md.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import lmmlasso_fast as ll
from bench.accuracy import recovery
from bench.accuracy.recovery import Population
from lmmlasso_fast.association import association_scan
from lmmlasso_fast.parallel import each

NAME = "fig7"
TITLE = "Phenotypes of pure structure: genomic control with and without the random effect"

POPULATIONS = {"Arabidopsis": recovery.arabidopsis, "mice": recovery.mice}
#: Share of u in y; the rest is noise.
SHARES = (1.0, 0.5)
N_DRAWS, _N_QUICK = 100, 4
#: Without noise delta is 0: the grid of the null model has to reach below its default end.
WIDE = -12.0
#: What is fitted: name -> arguments of the null model; None: no random effect.
MODELS: dict[str, dict | None] = {
    "LMM": {"log_delta_min": WIDE},
    "LMM, REML": {"log_delta_min": WIDE, "method": "reml"},
    "LMM, default grid": {},
    "LM": None,
}
#: Above it the structure of a phenotype counts as seen by a model.
_INFLATED = 1.2


def run(quick: bool, n_jobs: int | None, store) -> dict:
    """Return lambda of every draw, by population, share of u and model.

    Without the real data the quick run takes simulated populations.
    """
    simulated = quick and not recovery.has_data()
    n_draws = _N_QUICK if quick else N_DRAWS
    entries = []
    for number, (name, make) in enumerate(POPULATIONS.items()):
        if simulated:
            name, make = f"stand-in {name}", partial(recovery.stand_in, number)
        entries += _entries(name, make, n_draws, store, n_jobs)
    return {"simulated": simulated, "entries": entries}


def _entries(name: str, make: Callable, n_draws: int, store, n_jobs: int | None) -> list[dict]:
    units = [(share, k) for share in SHARES for k in range(n_draws)]
    waiting = [unit for unit in units if store.get(_key(name, *unit)) is None]
    if waiting:
        population = make()
        shared = (population, root(population), waiting)
        for number, found in each(_run_unit, shared, range(len(waiting)), n_jobs):
            store.put(_key(name, *waiting[number]), found)
    return [
        {
            "data": name,
            "share": share,
            "lambdas": {
                model: [store.get(_key(name, share, k))[model] for k in range(n_draws)]
                for model in MODELS
            },
        }
        for share in SHARES
    ]


def _key(name: str, share: float, draw: int) -> str:
    return f"{name} {share:g} {draw}"


def _run_unit(shared: tuple, number: int) -> dict:
    population, W, waiting = shared
    share, k = waiting[number]
    seed = np.random.SeedSequence(population.number, spawn_key=(k, round(100 * share)))
    return lambdas(population, phenotype(W, share, np.random.default_rng(seed)))


def root(population: Population) -> np.ndarray:
    """Return W with W W' = K."""
    s, U = np.linalg.eigh(population.kinship.matrix)
    return U * np.sqrt(np.maximum(s, 0.0))


def phenotype(W: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """Return sqrt(share) u + sqrt(1 - share) e with u ~ N(0, K), tr K = n, and e ~ N(0, I).

    Neither is scaled to a variance of its own afterwards: such a y would not be of the model that
    is fitted.
    """
    u = W @ random.standard_normal(len(W))
    return np.sqrt(share) * u + np.sqrt(1 - share) * random.standard_normal(len(W))


def lambdas(population: Population, y: np.ndarray) -> dict[str, float]:
    """Return the genomic-control lambda of each model's scan."""
    found = {}
    for model, arguments in MODELS.items():
        null = None
        if arguments is not None:
            null = ll.fit_null(y, population.kinship, n_threads=1, **arguments)
        scan = association_scan(population.genotypes, y, null, n_threads=1)
        found[model] = round(scan.genomic_lambda, 5)
    return found


# ---- what came out -------------------------------------------------------------------------------


def distance(values: list[float]) -> float:
    """Return how many standard errors the mean lies above 1."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return float((np.mean(values) - 1.0) / error)


def markdown(content: dict) -> str:
    """Return a table of the distributions, and which promise they keep."""
    lines = []
    if content["simulated"]:
        lines += ["*Simulated genotypes: LMMLASSO_DATA is not set.*", ""]
    n_draws = len(content["entries"][0]["lambdas"]["LM"])
    lines += [
        f"Genomic-control lambda of {n_draws} phenotypes each, without causal SNPs. *u*: share of "
        f"u ~ N(0, K), the rest is noise. *LMM*: grid of log delta from {WIDE:g}; default: from "
        "-5. *SE*: standard errors of the mean from 1.",
        "",
        "| data | u | model | mean | SE of the mean | SE from 1 | 5 % | median | 95 % |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for entry in content["entries"]:
        for model, values in entry["lambdas"].items():
            error = np.std(values, ddof=1) / np.sqrt(len(values))
            low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
            lines.append(
                f"| {entry['data']} | {entry['share']:g} | {model} | {np.mean(values):.4f} | "
                f"{error:.4f} | {distance(values):+.1f} | {low:.3f} | {middle:.3f} | {high:.3f} |"
            )
    lines += [""]
    for entry in content["entries"]:
        of_lmm, of_lm = entry["lambdas"]["LMM"], entry["lambdas"]["LM"]
        inside = "" if abs(distance(of_lmm)) <= 2 else "NOT "
        above = "" if np.mean(of_lm) > _INFLATED else "NOT "
        lines.append(
            f"* {entry['data']}, u {entry['share']:g}: the LMM's mean lambda is {inside}within 2 "
            f"standard errors of 1; the LM's is {above}above {_INFLATED:g}, and that of "
            f"{np.mean(np.array(of_lm) > _INFLATED):.0%} of the phenotypes."
        )
    return "\n".join(lines)


def draw(content: dict, path: Path) -> None:
    """Draw the distributions of lambda."""
    from bench.accuracy import figures

    with figures.sheet(path, len(content["entries"]), n_columns=2) as panels:
        for axes, entry in zip(panels, content["entries"], strict=True):
            _distributions(axes, entry)
        panels[0].legend()


def _distributions(axes, entry: dict) -> None:
    """Draw shares of phenotypes over lambda, on a logarithmic axis."""
    from bench.accuracy import figures

    both = [entry["lambdas"][model] for model in ("LMM", "LM")]
    low, high = min(map(min, both)), max(map(max, both))
    bins = np.geomspace(low * 0.98, high * 1.02, 60)
    for model, values in zip(("LMM", "LM"), both, strict=True):
        weights = np.full(len(values), 1 / len(values))
        colour = figures.OF_METHOD[model]
        axes.hist(values, bins, weights=weights, color=colour, alpha=0.8, label=model)
    axes.axvline(1.0, color="0.4", linewidth=0.8)
    axes.set_xscale("log")
    axes.set(xlabel="genomic-control lambda", ylabel="share of phenotypes")
    axes.set_title(f"{entry['data']}, {entry['share']:.0%} u")
