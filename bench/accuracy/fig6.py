"""Study fig6: are the promises of error control kept, and how long does a path take?

Data sets without any causal SNP, four populations, unrelated or in families of four, are those of
`bench.accuracy.error_control`; the times are those of `bench.performance.paths`.
"""

import tempfile
from pathlib import Path

import numpy as np

from bench.accuracy import error_control as promises
from bench.performance import filesets, paths
from bench.performance.settings import Settings
from lmmlasso_fast.parallel import as_n_jobs, each

NAME = "fig6"
TITLE = "The promises of error control, and the time of a path"
SCENARIOS = ("null, polygenic", "null, families")
#: Nominal levels at which errors are counted, and the methods: (of the mixed model?, its name).
LEVELS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
FAMILY_WISE = {
    "calibrated alpha": ("mixed", "calibrated"),
    "multi-split": ("mixed", "multi_split"),
    "calibrated alpha, no random effect": ("plain", "calibrated"),
}
_N_DATA, _N_QUICK = 100, 6
_SEED = 0
_GAP = 1e-4


def run(quick: bool, n_jobs: int | None, store) -> dict:
    """Return what each data set gave, and the seconds of each solver."""
    size = promises.QUICK if quick else promises.Size()
    n_data = _N_QUICK if quick else _N_DATA
    rows = {}
    for name in SCENARIOS:
        scenario = promises.SCENARIOS[name]
        shared = (scenario, size, _SEED, list(promises.SCENARIOS).index(name))
        waiting = [k for k in range(n_data) if store.get(f"{name} {k}") is None]
        for k, row in each(promises.run_one, shared, waiting, n_jobs):
            store.put(f"{name} {k}", row)
        rows[name] = [store.get(f"{name} {k}") for k in range(n_data)]
    times = store.get("times")
    if times is None:
        times = _times(quick, as_n_jobs(n_jobs))
        store.put("times", times)
    return {"n_data": n_data, "rows": rows, "times": times}


def _times(quick: bool, n_threads: int) -> dict:
    """Return the paths' entry: the mouse data, or a small simulated problem without them."""
    with tempfile.TemporaryDirectory() as cache:
        settings = Settings(quick, repeats=1, scale=1.0, cache=Path(cache), threads=n_threads)
        fileset = None if quick else filesets.real(settings, "mouse_hs1940", "CD8")
        if fileset is None:
            fileset = filesets.simulated(settings, 300, 5_000)
        return paths.measure(settings, fileset, (_GAP,))


# ---- what came out -------------------------------------------------------------------------------


def errors(content: dict, name: str) -> list[dict]:
    """Return nominal level, achieved family-wise error and its standard error, per method."""
    found = []
    for method, (model, key) in FAMILY_WISE.items():
        p = np.array([row[model][key]["p_value"] for row in content["rows"][name]])
        for level in LEVELS:
            achieved = float((p <= level).mean())
            # of the nominal level, against which it is held
            se = float(np.sqrt(level * (1 - level) / len(p)))
            found.append({"method": method, "level": level, "achieved": achieved, "se": se})
    return found


def marginal(content: dict, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return false SNPs expected by the formula, counted, and the standard error of the count."""
    found = [row["mixed"]["mfdr"] for row in content["rows"][name]]
    counted = np.array([one["counted"] for one in found], dtype=float)
    expected = np.mean([one["expected"] for one in found], axis=0)
    return expected, counted.mean(axis=0), counted.std(axis=0, ddof=1) / np.sqrt(len(counted))


def stable(content: dict, name: str) -> list[dict]:
    """Return bound, SNPs selected and the standard error of their mean, per cutoff and bound."""
    found = [row["mixed"]["stability"]["cutoffs"] for row in content["rows"][name]]
    result = []
    for k, cutoff in enumerate(promises.CUTOFFS):
        selected = np.array([one[k]["selected"] for one in found], dtype=float)
        se = float(selected.std(ddof=1) / np.sqrt(len(selected)))
        for assumption in found[0][k]["bounds"]:
            bound = float(np.mean([one[k]["bounds"][assumption] for one in found]))
            one = {"cutoff": cutoff, "assumption": assumption, "bound": bound}
            result.append({**one, "achieved": float(selected.mean()), "se": se})
    return result


def markdown(content: dict) -> str:
    """Return the tables of the figure."""
    lines = [
        f"{content['n_data']} data sets of each kind, no SNP with an effect: every selection is "
        "false. *kept*: at most 2 standard errors above what was promised.",
        "",
        "| data | method | promised | achieved | kept |",
        "|---|---|---:|---:|---|",
    ]

    def add(name: str, method: str, promised: float, achieved: float, se: float) -> None:
        kept = "yes" if achieved <= promised + 2 * se else "no"
        kind = name.removeprefix("null, ")
        lines.append(f"| {kind} | {method} | {promised:.3g} | {achieved:.3g} | {kept} |")

    for name in content["rows"]:
        for row in errors(content, name):
            method = f"{row['method']}: P(any false SNP)"
            add(name, method, row["level"], row["achieved"], row["se"])
        for promised, counted, se in zip(*marginal(content, name), strict=True):
            add(name, "marginal FDR: E[false SNPs]", promised, counted, se)
        for row in stable(content, name):
            method = f"stability, cutoff {row['cutoff']:g}, {row['assumption']}: E[false SNPs]"
            add(name, method, row["bound"], row["achieved"], row["se"])
    times = content["times"]
    lines += [
        "",
        f"Seconds for 100 alphas, one thread, {times['name']} "
        f"({times['n_samples']} samples, {times['n_variants']} SNPs), largest relative duality gap "
        f"{_GAP:g}; peers get the whitened matrix.",
        "",
        "| solver | seconds | times ours | whitening counted |",
        "|---|---:|---:|---:|",
    ]
    for row in sorted(times["rows"], key=lambda row: row["seconds"]):
        ratios = f"{row['ratio']:.3g} | {row['ratio_whitening_counted']:.3g}"
        lines.append(f"| {row['solver']} | {row['seconds']:.3g} | {ratios} |")
    return "\n".join(lines)


def draw(content: dict, path: Path) -> None:
    """Draw promised against achieved errors, and the times."""
    from bench.accuracy import figures

    with figures.sheet(path, 4) as panels:
        family_wise, marginally, stability, times = panels
        name = SCENARIOS[-1]
        _family_wise(family_wise, errors(content, name))
        expected, counted, se = marginal(content, name)
        marginally.errorbar(expected, counted, 2 * se, fmt="o", color=figures.COLOURS[0])
        _diagonal(marginally, expected, "false SNPs expected", "false SNPs counted")
        marginally.set_title("Marginal FDR")
        rows = stable(content, name)
        for k, assumption in enumerate(dict.fromkeys(row["assumption"] for row in rows)):
            some = [row for row in rows if row["assumption"] == assumption]
            bounds, achieved = ([row[key] for row in some] for key in ("bound", "achieved"))
            colour = figures.COLOURS[k]
            stability.plot(bounds, achieved, "o-", color=colour, label=assumption)
        _diagonal(stability, [row["bound"] for row in rows], "bound on E[V]", "false SNPs")
        stability.legend()
        stability.set_title("Stability selection")
        found = sorted(content["times"]["rows"], key=lambda row: row["seconds"])
        places = range(len(found))
        times.barh(places, [row["seconds"] for row in found], color=figures.COLOURS[1])
        times.set_yticks(places, [row["solver"] for row in found])
        times.invert_yaxis()
        times.set_xscale("log")
        times.set_xlabel("seconds, 100 alphas")
        times.set_title(f"gap {_GAP:g}, {content['times']['name']}")


def _family_wise(axes, rows: list[dict]) -> None:
    from bench.accuracy import figures

    for k, method in enumerate(FAMILY_WISE):
        some = [row for row in rows if row["method"] == method]
        levels, achieved = ([row[key] for row in some] for key in ("level", "achieved"))
        axes.plot(levels, achieved, "o-", color=figures.COLOURS[k], label=method)
    levels = np.array(LEVELS)
    se = np.array([row["se"] for row in rows[: len(levels)]])
    axes.fill_between(levels, levels - 2 * se, levels + 2 * se, color="0.85", linewidth=0)
    _diagonal(axes, levels, "nominal level", "family-wise error")
    axes.legend()
    axes.set_title("No causal SNP, families")


def _diagonal(axes, values, xlabel: str, ylabel: str) -> None:
    from bench.accuracy import figures

    figures.diagonal(axes, 0, max(values))
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
