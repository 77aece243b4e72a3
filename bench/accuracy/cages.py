"""`python -m bench.accuracy.cages --out cages.json`: held out one by one, by cage or by family.

19 phenotypes of heterogeneous-stock mice, sex as covariate: explained variance of held-out mice at
LMM-Lasso's best alpha, with four ways to divide the mice into ten folds:

    random    every mouse by itself
    cage      cage mates are held out together
    shuffled  the same after the labels of the cages were permuted among full sibs of one sex
    kinship   relatives are held out together: whoever has a kinship above 0.45

The mice of a cage are nearly all full sibs of one litter and one sex, and were measured on the same
day. `cage` and `shuffled` hold out equally many sibs together; but with shuffled labels most mice
have a cage mate in the training rows. So the difference between the two is what cage mates share
beyond their genes. What sex alone explains is part of all of these, and given beside them. See
docs/model_selection.md, which has the results.
"""

import argparse
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

import lmmlasso_fast as ll
from bench.accuracy import datasets
from lmmlasso_fast.folds import group_numbers, kinship_groups

# fmt: off
#: What was measured in at least 1,000 mice: all but Biochem.Potassium.
PHENOTYPES = (
    "Obesity.BMI", "Obesity.BodyLength", "Obesity.EndNormalBW", "Biochem.Albumin", "Biochem.ALP",
    "Biochem.ALT", "Biochem.AST", "Biochem.Calcium", "Biochem.Chloride", "Biochem.Creatinine",
    "Biochem.Glucose", "Biochem.HDL", "Biochem.LDL", "Biochem.Phosphorous", "Biochem.Sodium",
    "Biochem.Tot.Cholesterol", "Biochem.Tot.Protein", "Biochem.Triglycerides", "Biochem.Urea",
)
# fmt: on
QUICK = ("Biochem.ALP",)
DIVISIONS = ("random", "cage", "shuffled", "kinship")
N_FOLDS, N_SEEDS = 10, 3
N_ALPHAS, EPS = 15, 0.2
#: Below 0.34 one group has more than half of the mice, at 0.45 the largest has a fourteenth.
KINSHIP_THRESHOLD = 0.45
#: Of the pedigree: full sibs have 0.5, all others of a generation 0.
SIBS = 0.25


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.accuracy.cages", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("cages.json"))
    parser.add_argument("--quick", action="store_true", help=f"{', '.join(QUICK)} alone, one seed")
    parser.add_argument("--jobs", type=int, help="folds at a time [default: all processors]")
    given = parser.parse_args()
    content = run(given.quick, given.jobs)
    given.out.write_text(json.dumps(content, indent=1) + "\n")
    print(markdown(content))
    print(f"\nwrote {given.out}")


def run(quick: bool = False, n_jobs: int | None = None) -> dict:
    """Return the options and one row for every phenotype, seed and division."""
    genotypes, table = datasets.load("mouse_hs1814")
    mice = {
        "male": (table["GENDER"] == "M").to_numpy().astype(float),
        "cage": table["cage"].to_numpy(),
        "family": kinship_groups(_pedigree(genotypes), SIBS),
    }
    rows, start = [], time.perf_counter()
    for name in QUICK if quick else PHENOTYPES:
        y = datasets.numbers(table, name)
        has = ~np.isnan(y)
        measured = {key: values[has] for key, values in mice.items()}
        for row in _rows(genotypes.subset(has), y[has], measured, 1 if quick else N_SEEDS, n_jobs):
            rows.append({"phenotype": name} | row)
            print(
                f"{time.perf_counter() - start:6.0f} s  {name}  seed {row['seed']}  "
                f"{row['division']}  {row['explained_variance']:.3f}",
                file=sys.stderr,
            )
    return {
        "options": {"quick": quick, "n_folds": N_FOLDS, "n_alphas": N_ALPHAS, "eps": EPS},
        "versions": {name: version(name) for name in ("lmmlasso-fast", "numpy", "scipy")},
        "rows": rows,
    }


def _pedigree(genotypes: ll.Genotypes) -> np.ndarray:
    """Return the additive relationship of all mice."""
    with np.load(datasets.folder() / "mouse_hs1814" / "pedigree_A_lower.npz") as data:
        ids, lower = data["ids"], data["lower"]
    if ids.tolist() != genotypes.samples["IID"].to_list():
        raise ValueError("pedigree: expected the mice of the .fam in its order, found others")
    A = np.zeros((len(ids), len(ids)))
    A[np.tril_indices(len(ids))] = lower
    return np.maximum(A, A.T)


def _rows(genotypes, y, mice: dict, n_seeds: int, n_jobs: int | None):
    options = {
        "covariates": mice["male"],
        "covariate_names": ["male"],
        "n_folds": N_FOLDS,
        "n_jobs": n_jobs,
    }
    path = None  # of all mice: the same for every division
    for seed in range(n_seeds):
        alone = ll.cross_validate(
            genotypes, y, random_effect=False, n_alphas=1, seed=seed, **options
        )
        shuffled = _shuffled(mice, np.random.default_rng(seed))
        ways = {
            "random": {},
            "cage": {"groups": mice["cage"]},
            "shuffled": {"groups": shuffled},
            "kinship": {"kinship_threshold": KINSHIP_THRESHOLD},
        }
        for division in DIVISIONS:
            cv = ll.cross_validate(
                genotypes,
                y,
                n_alphas=N_ALPHAS,
                eps=EPS,
                path=path,
                seed=seed,
                **options,
                **ways[division],
            )
            path = cv.path
            yield {
                "n_samples": len(y),
                "seed": seed,
                "division": division,
                "explained_variance": float(cv.explained_variance[cv.best_index]),
                "without_snps": float(cv.explained_variance[0]),
                "sex_alone": float(alone.explained_variance[0]),
                "best_index": cv.best_index,
                "n_active": int(cv.n_active[cv.best_index]),
                "log_delta": float(np.mean(cv.log_delta)),
                "cage_mate": _share_with_relation(cv, mice["cage"]),
                "full_sib": _share_with_relation(cv, mice["family"]),
            }


def _shuffled(mice: dict, rng: np.random.Generator) -> np.ndarray:
    """Return the mice's cages, permuted among those of one family and sex."""
    shuffled = mice["cage"].copy()
    same = [f"{family} {male}" for family, male in zip(mice["family"], mice["male"], strict=True)]
    for members in _members(group_numbers(same, len(same))):
        shuffled[members] = rng.permutation(mice["cage"][members])
    return shuffled


def _members(numbers: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(numbers == k) for k in range(numbers.max() + 1)]


def _share_with_relation(cv: ll.CrossValidation, labels: np.ndarray) -> float:
    """Return the share of held-out mice with one of the same label among the training rows."""
    n_found = sum(np.isin(labels[fold.test], labels[fold.train]).sum() for fold in cv.folds)
    return float(n_found / sum(len(fold.test) for fold in cv.folds))


# ---- the table -----------------------------------------------------------------------------------


def markdown(content: dict) -> str:
    """Return the results as Markdown: means over the seeds."""
    rows = content["rows"]

    def mean(key, division, name=None):
        values = [
            row[key]
            for row in rows
            if row["division"] == division and name in (None, row["phenotype"])
        ]
        return float(np.mean(values))

    def line(title, *cells):
        return "| " + " | ".join([title, *map(str, cells)]) + " |"

    lines = [line("phenotype", "n", "sex alone", *DIVISIONS), "|---|" + "---:|" * 6]
    found = {}
    for name in dict.fromkeys(row["phenotype"] for row in rows):
        n = next(row["n_samples"] for row in rows if row["phenotype"] == name)
        found[name] = {d: mean("explained_variance", d, name) for d in DIVISIONS}
        values = [mean("sex_alone", "random", name), *found[name].values()]
        lines.append(line(name, n, *(f"{value:.3f}" for value in values)))
    sex = f"{mean('sex_alone', 'random'):.3f}"
    for key, title in {
        "explained_variance": "mean",
        "without_snps": "mean, no SNPs (BLUP)",
    }.items():
        lines.append(line(title, "", sex, *(f"{mean(key, d):.3f}" for d in DIVISIONS)))
    for key, title in {"cage_mate": "a cage mate", "full_sib": "a full sib"}.items():
        shares = (f"{mean(key, d):.1%}" for d in DIVISIONS)
        lines.append(line(f"held-out mice with {title} among the training rows", "", "", *shares))
    at_end = sum(row["best_index"] == N_ALPHAS - 1 for row in rows)
    lines += [
        "",
        _lower(found, "cage", "random"),
        _lower(found, "shuffled", "random"),
        _lower(found, "kinship", "random"),
        _lower(found, "cage", "shuffled"),
        f"The best alpha is the last of the grid in {at_end} of {len(rows)} runs.",
    ]
    return "\n".join(lines)


def _lower(found: dict, one: str, other: str) -> str:
    differences = np.array([scores[one] - scores[other] for scores in found.values()])
    return (
        f"{one} - {other}: {differences.mean():+.3f} on average, from {differences.min():+.3f} to "
        f"{differences.max():+.3f}, negative in {(differences < 0).sum()} of {len(differences)}."
    )


if __name__ == "__main__":
    main()
