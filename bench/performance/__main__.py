"""`python -m bench.performance`: time to a certified path, ours and every installed peer.

Each solver's tolerance is tightened until *our* gap, computed from its coefficients, is below the
target at every alpha; the seconds are the best of `--repeats` runs, solvers alternating. BLAS has
one thread. Ratios within one run are the result; seconds are of this machine on this day.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.performance import problems, solvers
from lmmlasso_fast import _core
from lmmlasso_fast.threads import blas_cap

TARGETS = (1e-4, 1e-6, 1e-10)
#: A peer is not tried at a tighter tolerance once a run took this long.
PATIENCE = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("performance.json"))
    parser.add_argument(
        "--quick", action="store_true", help="one small simulated problem, for continuous testing"
    )
    arguments = parser.parse_args()
    found, missing = solvers.available()
    for reason in missing:
        print(f"SKIPPED {reason}")
    todo = [lambda: problems.simulated(300, 5000)] if arguments.quick else [problems.mouse]
    results = []
    with blas_cap(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peers warn about convergence; the gap is what counts
        for make in todo:
            results.append(run(make(), found, arguments.repeats))
    arguments.out.write_text(json.dumps({"machine": machine(), "problems": results}, indent=1))
    print(f"wrote {arguments.out}")


def run(problem: problems.Problem, found: list[solvers.Solver], repeats: int) -> dict:
    """Find each solver's loosest tolerance per target, then time these in turn."""
    start = time.perf_counter()
    problems.whiten(problem.genotypes, problem.y, problem.null)
    whitening = time.perf_counter() - start
    print(f"\n{problem.name}: whitening for the peers takes {whitening:.2f} s (not counted below)")
    X, y, alphas = problem.X_whitened, problem.y_whitened, problem.alphas
    settings = []
    for solver in found:
        targets = list(TARGETS)
        for tol in solver.tolerances:
            seconds, coefs = solver.solve(problem, tol)
            gap = problems.worst_gap(X, y, alphas, coefs)
            while targets and gap <= targets[0]:
                settings.append(
                    {"solver": solver, "target": targets.pop(0), "tol": tol, "gap": gap, "s": []}
                )
            if not targets or seconds > PATIENCE:
                break
        if targets:
            print(f"{solver.name}: floor {gap:.1e} at tol {tol:g} ({seconds:.1f} s)")
    for k in range(repeats):
        for setting in settings if k % 2 == 0 else settings[::-1]:
            setting["s"].append(setting["solver"].solve(problem, setting["tol"])[0])
    rows = [
        {
            "target": setting["target"],
            "solver": setting["solver"].name,
            "tol": setting["tol"],
            "gap": setting["gap"],
            "seconds": min(setting["s"]),
            "slowest": max(setting["s"]),
        }
        for setting in sorted(settings, key=lambda setting: (-setting["target"], min(setting["s"])))
    ]
    for row in rows:
        print(
            f"gap {row['target']:.0e}  {row['solver']:<14} {row['seconds']:8.3f} s "
            f"(to {row['slowest']:.3f})  tol {row['tol']:.0e}, worst gap {row['gap']:.1e}"
        )
    return {"name": problem.name, "whitening": whitening, "rows": rows}


def machine() -> dict:
    """What the figures depend on."""
    names = ("lmmlasso-fast", "numpy", "scipy", "scikit-learn", "adelie", "celer", "skglm")
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "platform": platform.platform(),
        "python": sys.version.split()[0],
        "kernels": _core.kernels_name(),
        "versions": versions,
        "commit": commit.stdout.strip(),
    }


if __name__ == "__main__":
    main()
