"""The Lasso path in one process: ours from packed genotypes, peers from the whitened matrix."""

import time
import warnings
from functools import partial

import numpy as np

import lmmlasso_fast as ll
from bench.performance import filesets, problems, solvers, timing
from bench.performance.problems import Problem
from bench.performance.settings import Settings
from lmmlasso_fast.threads import blas_cap

OURS = "lmmlasso_fast"
TARGETS = (1e-4, 1e-6, 1e-10)
#: The third takes longer than a quick run may.
_QUICK_TARGETS = TARGETS[:2]


def run(settings: Settings) -> list[dict]:
    """One entry per problem: whitening seconds, rows (solver and target) and floors."""
    todo = [filesets.simulated(settings, 300, 5_000)]
    if not settings.quick:
        todo.append(filesets.real(settings, "mouse_hs1940", "CD8"))
    targets = _QUICK_TARGETS if settings.quick else TARGETS
    return [measure(settings, fileset, targets) for fileset in todo if fileset is not None]


def measure(settings: Settings, fileset: filesets.Fileset, targets: tuple[float, ...]) -> dict:
    """Return one entry of `run`, for paths with at most these gaps."""
    peers = solvers.available(settings)
    with blas_cap(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peers warn about convergence; the gap is what counts
        return _measure(settings, problems.load(fileset, settings.repeats), peers, targets)


def ours(problem: Problem, alphas: np.ndarray, tol: float) -> tuple[float, np.ndarray]:
    """From the packed genotypes and the eigendecomposition; what stands for whitening included."""
    start = time.perf_counter()
    path = ll.lasso_path(
        problem.genotypes, problem.y, problem.null, alphas=alphas, tol=tol, n_threads=1
    )
    seconds = time.perf_counter() - start
    return seconds, path.coefs.tocsr()[np.flatnonzero(problem.genotypes.included)].toarray()


def _measure(
    settings: Settings,
    problem: Problem,
    peers: list[solvers.Peer],
    targets: tuple[float, ...],
) -> dict:
    whitened = problem.whitened
    print(f"\n{problem.name}: decoding and whitening take {problem.whitening_seconds:.2f} s")
    candidates = {OURS: (partial(ours, problem, whitened.alphas), targets)}
    for peer in peers:
        candidates[peer.name] = (partial(peer.solve, whitened, n_threads=1), peer.tolerances)
    rows, floors = [], {}
    for name, (solve, tolerances) in candidates.items():
        if name == OURS:  # its tolerance is the gap, and it is timed at what is asked for
            found, floor = {}, None
            for target in targets:
                seconds, coefs = solve(target)
                gap = problems.worst_gap(whitened, coefs)
                if gap <= target:
                    found[target] = {"tol": target, "gap": gap}
                floor = {
                    "gap": gap,
                    "tol": target,
                    "seconds": seconds,
                    "ended": "not tried further",
                }
        else:
            found, floor = solvers.tune(solve, tolerances, targets, whitened)
        floors[name] = floor
        for target, reached in found.items():
            rows.append({"target": target, "solver": name, **reached})
        if len(found) < len(targets):
            print(f"{name}: floor {floor['gap']:.1e} at tol {floor['tol']:.0e} ({floor['ended']})")
    runs = timing.in_turn(
        {
            (row["solver"], row["target"]): partial(candidates[row["solver"]][0], row["tol"])
            for row in rows
        },
        settings.repeats,
    )
    for row in rows:
        row |= timing.spread([seconds for seconds, _ in runs[row["solver"], row["target"]]])
    _add_ratios(rows, problem.whitening_seconds)
    rows.sort(key=lambda row: (-row["target"], row["seconds"]))
    for row in rows:
        print(
            f"gap {row['target']:.0e}  {row['solver']:<14} {row['seconds']:8.3f} s "
            f"(to {row['slowest']:.3f})  {row['ratio']:6.2f} times ours, whitening counted "
            f"{row['ratio_whitening_counted']:6.2f}  tol {row['tol']:.0e}, gap {row['gap']:.1e}"
        )
    return {
        "name": problem.name,
        "n_samples": len(problem.y),
        "n_variants": whitened.X.shape[1],
        "whitening_seconds": problem.whitening_seconds,
        "rows": rows,
        "floors": floors,
    }


def _add_ratios(rows: list[dict], whitening: float) -> None:
    """Seconds over ours at the same target, without and with a peer's whitening."""
    reference = {row["target"]: row["seconds"] for row in rows if row["solver"] == OURS}
    for row in rows:
        extra = 0.0 if row["solver"] == OURS else whitening
        row["ratio"] = row["seconds"] / reference[row["target"]]
        row["ratio_whitening_counted"] = (row["seconds"] + extra) / reference[row["target"]]


def ratios(results: list[dict]) -> dict[str, float]:
    return {
        f"path {problem['name']}, gap {row['target']:.0e}: {row['solver']}": row["ratio"]
        for problem in results
        for row in problem["rows"]
        if row["solver"] != OURS
    }
