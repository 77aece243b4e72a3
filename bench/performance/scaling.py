"""How time and memory grow: `lmmlasso fit` in fresh processes, ours alone."""

import json
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from bench.performance import filesets, processes, timing
from bench.performance.filesets import LMMLASSO, Fileset
from bench.performance.settings import LAST, N_ALPHAS, Settings

#: What is fixed, and what grows: (number of samples, of SNPs, last alpha / alpha_max).
_FULL = {
    "p": [(500, 12_500 * 2**k, LAST) for k in range(8)],
    "n": [(250 * 2**k, 50_000, LAST) for k in range(5)],
    "n_active": [(2_000, 50_000, eps) for eps in (0.5, 0.3, 0.2, 0.1, 0.05, 0.02)],
}
_QUICK = {
    "p": [(200, p, LAST) for p in (10_000, 20_000)],
    "n": [(n, 10_000, LAST) for n in (100, 200)],
    "n_active": [(200, 10_000, eps) for eps in (0.5, LAST)],
}
#: Timings of which slopes are reported; "elapsed" is the whole process.
_STAGES = ("kinship", "null model", "path", "elapsed")


def run(settings: Settings) -> list[dict]:
    """One entry per curve: points, and slopes on the log-log scale by stage."""
    curves = _QUICK if settings.quick else _FULL
    results = []
    for grows, sizes in curves.items():
        print(f"\ngrowing {grows}: n, p, active, seconds of the path, of all, peak")
        points = [_point(settings, *size) for size in sizes]
        slopes = {stage: _slopes(points, grows, stage) for stage in _STAGES}
        overall = slopes["path"]["least_squares"]
        print(f"the path's seconds grow as {grows}^{overall:.2f}")
        results.append({"grows": grows, "points": points, "slopes": slopes})
    return results


def _point(settings: Settings, n: int, p: int, eps: float) -> dict:
    fileset = filesets.simulated(settings, n, p)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "fit"
        runs = [_fit(settings, fileset, eps, out) for _ in range(settings.repeats)]
        path = pl.read_csv(f"{out}.path.tsv", separator="\t", infer_schema_length=None)
    best = {key: min(timings[key] for _, timings in runs) for key in runs[0][1]}
    whole = processes.spread([measured for measured, _ in runs])
    point = {
        "n": n,
        "p": settings.n_variants(p),
        "eps": eps,
        "n_active": path["N_ACTIVE"][-1],
        "largest_gap": path["DUAL_GAP"].max(),
        "timings": {**best, "elapsed": whole["seconds"]},
        "peak_mb": whole["peak_mb"],
        "path": timing.spread([timings["path"] for _, timings in runs]),
    }
    print(
        f"{n:>6} {point['p']:>9} {point['n_active']:>6} {best['path']:8.2f} s "
        f"{whole['seconds']:8.2f} s {whole['peak_mb']:7.0f} MB",
        flush=True,
    )
    return point


def _fit(settings: Settings, fileset: Fileset, eps: float, out: Path):
    options = ["--n-alphas", N_ALPHAS, "--eps", eps, "--threads", settings.threads, "--out", out]
    measured = processes.run([LMMLASSO, "fit", *fileset.arguments, *options])
    return measured, json.loads(Path(f"{out}.run.json").read_text())["timings"]


def _slopes(points: list[dict], grows: str, stage: str) -> dict:
    return log_log_slopes(
        [point[grows] for point in points], [point["timings"][stage] for point in points]
    )


def log_log_slopes(x, y) -> dict:
    """Return d log y / d log x between neighbours, and of all points by least squares."""
    log_x, log_y = np.log(np.maximum(x, 1)), np.log(y)
    step = np.diff(log_x)
    between = [
        float(rise / width) if width else None
        for rise, width in zip(np.diff(log_y), step, strict=True)
    ]
    least_squares = float(np.polyfit(log_x, log_y, 1)[0]) if step.any() else None
    return {"neighbours": between, "least_squares": least_squares}
