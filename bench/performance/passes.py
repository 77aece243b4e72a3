"""Gradients X'v of all SNPs: what screening and certificates cost, against NumPy on float64."""

from functools import partial

import numpy as np

import lmmlasso_fast as ll
from bench.performance import filesets, timing
from bench.performance.settings import Settings
from lmmlasso_fast.threads import blas_cap

_FULL = ((1_410, 10_992), (427, 358_000))
_QUICK = ((500, 40_000),)
#: A measurement repeats the call until it took about this long.
_AT_LEAST = 0.1


def run(settings: Settings) -> list[dict]:
    return [_measure(settings, n, p) for n, p in (_QUICK if settings.quick else _FULL)]


def _measure(settings: Settings, n: int, p: int) -> dict:
    fileset = filesets.simulated(settings, n, p)
    genotypes, _ = fileset.load()
    v = np.random.default_rng(1).standard_normal(n)
    X = genotypes.columns(np.arange(genotypes.n_variants))
    exact = X.T @ v
    found = genotypes.gradient(v, screening=False)
    error = float(np.abs(found - exact).max() / np.abs(exact).max())
    if error > 1e-10:
        raise RuntimeError(f"{fileset.name}: the gradient is off by {error:.1e} of its largest")
    programs = {}
    for threads in sorted({1, settings.threads}):
        programs["screening", threads] = partial(_ours, genotypes, v, True, threads)
        programs["certificate", threads] = partial(_ours, genotypes, v, False, threads)
        programs["NumPy float64", threads] = partial(_numpy, X, v, threads)
    if settings.threads == 1:
        settings.skip("gradients with two threads", "one processor")
    runs = timing.in_turn(programs, settings.repeats)
    packed, dense = genotypes.n_variants * ((n + 3) // 4), X.nbytes
    rows = []
    for (what, threads), seconds in runs.items():
        row = {"what": what, "threads": threads, **timing.spread(seconds)}
        size = dense if what.startswith("NumPy") else packed
        row["gigabytes_per_second"] = size / row["seconds"] / 1e9
        row["genotypes_per_second"] = X.size / row["seconds"]
        rows.append(row)
    one = {row["what"]: row["seconds"] for row in rows if row["threads"] == 1}
    print(f"\n{fileset.name}: X'v")
    for row in rows:
        row["speedup_of_threads"] = one[row["what"]] / row["seconds"]
        print(
            f"{row['what']:<14} threads {row['threads']}  {1e3 * row['seconds']:9.3f} ms "
            f"(to {1e3 * row['slowest']:.3f})  {row['gigabytes_per_second']:6.1f} GB/s  "
            f"{row['speedup_of_threads']:.2f} times as fast as one thread"
        )
    return {"name": fileset.name, "n_samples": n, "n_variants": X.shape[1], "rows": rows}


def _ours(genotypes: ll.Genotypes, v: np.ndarray, screening: bool, threads: int) -> float:
    return _per_call(lambda: genotypes.gradient(v, screening=screening, n_threads=threads))


def _numpy(X: np.ndarray, v: np.ndarray, threads: int) -> float:
    with blas_cap(threads):
        return _per_call(lambda: X.T @ v)


def _per_call(function) -> float:
    """Fastest of as many calls as fit into _AT_LEAST seconds."""
    seconds = [timing.seconds_of(function)]
    while sum(seconds) < _AT_LEAST:
        seconds.append(timing.seconds_of(function))
    return min(seconds)


def ratios(results: list[dict]) -> dict[str, float]:
    """NumPy's seconds over ours, one thread each: what a neighbour disturbs least."""
    found = {}
    for result in results:
        one = {row["what"]: row["seconds"] for row in result["rows"] if row["threads"] == 1}
        for what in ("screening", "certificate"):
            found[f"gradient {result['name']}, {what}: NumPy"] = one["NumPy float64"] / one[what]
    return found
