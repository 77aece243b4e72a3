"""`python -m bench.accuracy.flowering --out flowering.json`: what the random effect is worth.

21 flowering phenotypes of Arabidopsis, chromosome 5: explained variance of held-out accessions at
the best alpha, for LMM-Lasso, the plain Lasso and the random effect alone (BLUP, the first alpha of
LMM-Lasso). Ten folds, five divisions into folds; everything from the training rows, no transform.
LMM-Lasso is also given the kinship of all accessions, as a comparison with that of the training
rows. See docs/model_selection.md, which has the results.

Exit code 1: LMM-Lasso is below what is expected of it (not with --quick).
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np

import lmmlasso_fast as ll
from bench.accuracy import datasets

# fmt: off
PHENOTYPES = (
    "LD", "LDV", "SD", "SDV", "FT10", "FT16", "FT22", "0W", "2W", "4W", "8W", "8W_GH_FT",
    "8W_GH_LN", "0W_GH_FT", "0W_GH_LN", "FT_Field", "FT_Diameter_Field", "FT_GH", "LN10", "LN16",
    "LN22",
)
# fmt: on
QUICK = ("LD", "FT16", "FT_Diameter_Field")
N_FOLDS, N_SEEDS = 10, 5
MODELS = ("lmm", "plain", "given")
#: LMM-Lasso at or above the plain Lasso in so many phenotypes, and its mean explained variance.
EXPECTED_AHEAD, EXPECTED_MEAN = 19, 0.47


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.accuracy.flowering", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("flowering.json"))
    parser.add_argument(
        "--quick", action="store_true", help=f"{', '.join(QUICK)} alone, one division into folds"
    )
    parser.add_argument("--jobs", type=int, help="folds at a time [default: all processors]")
    parser.add_argument("--n-alphas", type=int, default=75)
    parser.add_argument("--eps", type=float, default=0.001)
    given = parser.parse_args()
    content = run(given.quick, given.jobs, given.n_alphas, given.eps)
    given.out.write_text(json.dumps(content) + "\n")
    print(markdown(content))
    print(f"\nwrote {given.out}")
    return 0 if given.quick or is_as_expected(content) else 1


def run(
    quick: bool = False, n_jobs: int | None = None, n_alphas: int = 75, eps: float = 0.001
) -> dict:
    """Return the options and one row for every phenotype, model and division into folds."""
    genotypes, table = datasets.load("arabidopsis_chr5")
    grid = {"n_alphas": n_alphas, "eps": eps}
    rows, start = [], time.perf_counter()
    for name in QUICK if quick else PHENOTYPES:
        y = datasets.numbers(table, name)
        has = ~np.isnan(y)
        n_seeds = 1 if quick else N_SEEDS
        for row in _rows(genotypes.subset(has), y[has], n_seeds, n_jobs=n_jobs, **grid):
            rows.append({"phenotype": name} | row)
        print(f"{time.perf_counter() - start:6.0f} s  {name}", file=sys.stderr)
    return {
        "options": {"quick": quick, "n_folds": N_FOLDS} | grid,
        "versions": {name: version(name) for name in ("lmmlasso-fast", "numpy", "scipy")},
        "rows": rows,
    }


def _rows(genotypes, y, n_seeds: int, **options) -> Iterator[dict]:
    models = {
        "lmm": {"K": None},
        "plain": {"random_effect": False},
        "given": {"K": ll.kinship(genotypes)},
    }
    for model in MODELS:
        path = None  # of all accessions: the same for every seed
        for seed in range(n_seeds):
            cv = ll.cross_validate(
                genotypes, y, n_folds=N_FOLDS, seed=seed, path=path, **models[model], **options
            )
            path = cv.path
            yield {
                "n_samples": len(y),
                "model": model,
                "seed": seed,
                "explained_variance": cv.explained_variance.tolist(),
                "best_index": cv.best_index,
                "best": float(cv.explained_variance[cv.best_index]),
                "n_active": int(cv.n_active[cv.best_index]),
                "log_delta": float(np.mean(cv.log_delta)) if model != "plain" else None,
            }


# ---- the table -----------------------------------------------------------------------------------


def summary(content: dict) -> list[dict]:
    """Return one row per phenotype; explained variance at the best alpha of each seed, as a mean.

    `curve_lmm` and `curve_plain` are the best of the mean over the seeds instead.
    """
    found: dict[str, dict[str, list[dict]]] = {}
    for row in content["rows"]:
        found.setdefault(row["phenotype"], {m: [] for m in MODELS})[row["model"]].append(row)
    result = []
    for name, models in found.items():
        best = {model: np.array([row["best"] for row in rows]) for model, rows in models.items()}
        curves = {m: [row["explained_variance"] for row in models[m]] for m in MODELS}
        last = len(curves["lmm"][0]) - 1
        entry = {
            "phenotype": name,
            "n_samples": models["lmm"][0]["n_samples"],
            "n_seeds": len(models["lmm"]),
            "blup": float(np.mean(curves["lmm"], axis=0)[0]),
            "differences": (best["lmm"] - best["plain"]).tolist(),
        }
        for model in MODELS:
            rows = models[model]
            entry[model] = float(best[model].mean())
            entry[f"curve_{model}"] = float(np.mean(curves[model], axis=0).max())
            entry[f"n_active_{model}"] = float(np.median([row["n_active"] for row in rows]))
            entry[f"n_at_end_{model}"] = sum(row["best_index"] == last for row in rows)
        result.append(entry)
    return result


def is_as_expected(content: dict) -> bool:
    rows = summary(content)
    n_ahead = sum(row["lmm"] >= row["plain"] for row in rows)
    return bool(
        n_ahead >= EXPECTED_AHEAD and np.mean([row["lmm"] for row in rows]) >= EXPECTED_MEAN
    )


def markdown(content: dict) -> str:
    """Return the results as Markdown: means over the seeds."""
    rows = summary(content)
    lines = [
        "| phenotype | n | LMM-Lasso | Lasso | BLUP | LMM-Lasso - Lasso | its sd over divisions "
        "| SNPs, LMM-Lasso | SNPs, Lasso | LMM-Lasso, K of all |",
        "|---|" + "---:|" * 9,
    ]
    for row in rows:
        sd = f"{np.std(row['differences'], ddof=1):.3f}" if row["n_seeds"] > 1 else ""
        cells = [
            row["phenotype"],
            str(row["n_samples"]),
            *(f"{row[key]:.3f}" for key in ("lmm", "plain", "blup")),
            f"{row['lmm'] - row['plain']:+.3f}",
            sd,
            f"{row['n_active_lmm']:.0f}",
            f"{row['n_active_plain']:.0f}",
            f"{row['given']:.3f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    mean = {
        key: np.mean([row[key] for row in rows])
        for key in ("lmm", "plain", "blup", "given", "curve_lmm", "curve_plain")
    }
    lines.append(
        f"| mean | | {mean['lmm']:.3f} | {mean['plain']:.3f} | {mean['blup']:.3f} "
        f"| {mean['lmm'] - mean['plain']:+.3f} | | | | {mean['given']:.3f} |"
    )
    behind = [row["phenotype"] for row in rows if row["lmm"] < row["plain"]]
    behind_by_curve = [row["phenotype"] for row in rows if row["curve_lmm"] < row["curve_plain"]]
    differences = np.concatenate([row["differences"] for row in rows])
    at_end = {m: sum(row[f"n_at_end_{m}"] for row in rows) for m in ("lmm", "plain")}
    lines += [
        "",
        f"LMM-Lasso at or above Lasso in {len(rows) - len(behind)} of {len(rows)} phenotypes "
        f"(below in: {', '.join(behind) or 'none'}), in {(differences >= 0).sum()} of "
        f"{len(differences)} divisions into folds.",
        f"With one alpha for all divisions, the best of their mean: {mean['curve_lmm']:.3f} and "
        f"{mean['curve_plain']:.3f}; below in: {', '.join(behind_by_curve) or 'none'}.",
        f"The best alpha is the last of the grid in {at_end['lmm']} (LMM-Lasso) and "
        f"{at_end['plain']} (Lasso) of {len(differences)} divisions.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
