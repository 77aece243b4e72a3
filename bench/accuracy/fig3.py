"""Study fig3: which of Lasso, LMM-Lasso and BLUP predicts held-out samples better, and how sparse?

21 flowering phenotypes of Arabidopsis (chromosome 5) and every usable phenotype of two releases of
the heterogeneous-stock mice, in ten folds, five divisions into folds. Each fold is an analysis of
its own: Box-Cox exponent, means and standard deviations, kinship, delta, covariates and alpha_max
come from its training rows. BLUP is LMM-Lasso's first alpha, at which no SNP is active; what the
covariates explain alone is the Lasso's.

Usable is a column of numbers, or of two values, of at least 100 samples, which is no covariate
(age, cage, litter, date), and neither constant nor made of another column. `LEFT_OUT` has the
others.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import lmmlasso_fast as ll
from bench.accuracy import cages, datasets, flowering
from lmmlasso_fast.errors import PhenotypeError
from lmmlasso_fast.evaluation import paired_interval
from lmmlasso_fast.simulation import simulate_genotypes, simulate_on

NAME = "fig3"
TITLE = "Prediction: LMM-Lasso, Lasso and BLUP on real phenotypes"

PHENOTYPES = {
    "arabidopsis_chr5": flowering.PHENOTYPES,
    "mouse_hs1814": (*cages.PHENOTYPES, "Biochem.Potassium"),
    "mouse_hs1940": ("CD8", "MCH"),
}
QUICK = {
    "arabidopsis_chr5": ("LD", "FT_Diameter_Field"),
    "mouse_hs1814": ("Biochem.Potassium",),
    "mouse_hs1940": ("CD8",),
}
_DATE = "date of a measurement"
LEFT_OUT = {
    "mouse_hs1814": {
        **{
            f"{kind}.Date.{part}": _DATE
            for kind, parts in {
                "Obesity": ("Month", "Year", "Season", "StudyStartSeconds", "StudyDay"),
                "Biochem": ("StudyDay", "Season", "Month", "Year"),
            }.items()
            for part in parts
        },
        "Obesity.Date.Hour": "constant",
        "GENDER": "the covariate",
        "CoatColour": "text of nine values",
        "CageDensity": "environment",
        "Litter": "environment",
        "cage": "environment",
        "Biochem.EndNormalBW": "Obesity.EndNormalBW again, for fewer mice",
        "Biochem.Age": "covariate",
    },
    "mouse_hs1940": {
        "CD8_train": "a part of CD8",
        "CD8_test": "a part of CD8",
        "CD8_case": "the sign of CD8_train",
        "CD8_case_test": "the sign of CD8_test",
    },
}
SHORT = {"arabidopsis_chr5": "Arabidopsis", "mouse_hs1814": "mice 1", "mouse_hs1940": "mice 2"}

N_FOLDS, N_SEEDS = 10, 5
N_FOLDS_QUICK, N_SEEDS_QUICK = 3, 2
GRID = {"n_alphas": 60, "eps": 0.002}
#: The options of each. Paths end where so many SNPs are active, well after the best alpha; the
#: Lasso's is later, since it needs SNPs for the structure too.
MODELS = {
    "LMM-Lasso": {"random_effect": True, "max_active": 300},
    "Lasso": {"random_effect": False, "max_active": 600},
}
#: Share of phenotypes in which LMM-Lasso was at or above the Lasso (Rakitsch et al. 2013).
PUBLISHED = 0.91


# ---- data ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trait:
    """A phenotype and the samples that have it.

    Attributes
    ----------
    dataset, name : str
    genotypes : ll.Genotypes
    y : ndarray, shape (n,)
    covariates : dict
        What `cross_validate` and others take as `covariates` and `covariate_names`; empty for none.
    """

    dataset: str
    name: str
    genotypes: ll.Genotypes = field(repr=False)
    y: np.ndarray = field(repr=False)
    covariates: dict = field(repr=False)


def has_data() -> bool:
    """Whether the folder of the real data is known."""
    return bool(os.environ.get("LMMLASSO_DATA"))


def traits(dataset: str, names, *, simulated: bool = False) -> Iterator[Trait]:
    """Yield phenotypes of a data set, or as many simulated ones by the same names."""
    if simulated:
        yield from _simulated(dataset, names)
        return
    genotypes, table = datasets.load(dataset)
    male = _male(dataset, table)
    for name in names:
        y = datasets.numbers(table, name)
        has = ~np.isnan(y)
        covariates = {}
        if male is not None:
            covariates = {"covariates": male[has], "covariate_names": ["male"]}
        yield Trait(dataset, name, genotypes.subset(has), y[has], covariates)


def waiting(dataset: str, keys: dict[str, list], store, *, simulated: bool) -> Iterator[Trait]:
    """Yield the phenotypes of which a result is missing; `keys` has the results' by name."""
    names = [name for name in keys if any(store.get(key) is None for key in keys[name])]
    if names:  # else the data set need not be read
        yield from traits(dataset, names, simulated=simulated)


def _male(dataset: str, table) -> np.ndarray | None:
    """Return 1 for males and 0 for females; None where there are no sexes."""
    if dataset == "mouse_hs1814":
        return (table["GENDER"] == "M").to_numpy().astype(float)
    if dataset == "mouse_hs1940":
        text = (datasets.folder() / dataset / f"{dataset}.fam").read_text()
        sex = np.array([line.split()[4] for line in text.splitlines()])
        return (sex == "1").astype(float)
    return None


def _simulated(dataset: str, names) -> Iterator[Trait]:
    drawn = simulate_genotypes(90, 600, n_chromosomes=1, inbred=True, seed=sum(dataset.encode()))
    genotypes = ll.Genotypes.from_array(drawn.dosages, drawn.samples, drawn.variants)
    for seed, name in enumerate(names):
        shares = {"n_causal": 5, "h2_snp": 0.3, "h2_structure": 0.3}
        y = simulate_on(genotypes, **shares, seed=seed).y
        yield Trait(dataset, name, genotypes, y, {})


# ---- runs ----------------------------------------------------------------------------------------


def run(quick: bool, n_jobs: int | None, store) -> dict:
    """Return one row for every phenotype, model and division into folds.

    Without the real data the quick run takes simulated phenotypes.
    """
    simulated = quick and not has_data()
    n_folds, n_seeds = (N_FOLDS_QUICK, N_SEEDS_QUICK) if quick else (N_FOLDS, N_SEEDS)
    rows = []
    for dataset, names in (QUICK if quick else PHENOTYPES).items():
        keys = {
            name: [_key(dataset, name, model, k) for model in MODELS for k in range(n_seeds)]
            for name in names
        }
        for trait in waiting(dataset, keys, store, simulated=simulated):
            _run_trait(trait, n_folds, n_seeds, n_jobs, store)
        rows += [store.get(key) for name in names for key in keys[name]]
    return {
        "simulated": simulated,
        "n_folds": n_folds,
        "n_seeds": n_seeds,
        "rows": rows,
    }


def _run_trait(trait: Trait, n_folds: int, n_seeds: int, n_jobs: int | None, store) -> None:
    for model, options in MODELS.items():
        path = None  # of all samples: the same for every seed
        for seed in range(n_seeds):
            key = _key(trait.dataset, trait.name, model, seed)
            if store.get(key) is not None:
                continue
            cv = ll.cross_validate(
                trait.genotypes,
                trait.y,
                transform="boxcox",
                n_folds=n_folds,
                seed=seed,
                n_jobs=n_jobs,
                path=path,
                **trait.covariates,
                **options,
                **GRID,
            )
            path = cv.path
            about = {"model": model, "seed": seed, **_scores(cv)}
            about["best_transformed"] = transformed_score(cv, trait.y)
            store.put(key, {**_of_trait(trait), **about})


def _key(dataset: str, name: str, model: str, seed: int) -> str:
    return f"{dataset} {name} {model} {seed}"


def _of_trait(trait: Trait) -> dict:
    return {"dataset": trait.dataset, "phenotype": trait.name, "n_samples": len(trait.y)}


def _scores(cv: ll.CrossValidation) -> dict:
    """Return the best alpha's explained variance and what is said of it.

    `first` is the explained variance without SNPs, `at_end` whether a longer path might be better.
    """
    if cv.kinship_saw_test_rows:
        raise ValueError("kinship: expected that of the training rows, found one of all samples")
    best = cv.best_index
    return {
        "best": float(cv.explained_variance[best]),
        "se": float(cv.se[best]),
        "first": float(cv.explained_variance[0]),
        "n_active": int(cv.n_active[best]),
        "fraction": float(cv.fractions[best]),
        "at_end": bool(best == len(cv.alphas) - 1),
        "log_delta": float(np.mean(cv.log_delta)) if cv.path.null is not None else None,
        "converged": bool(cv.converged.all()),
    }


def transformed_score(cv: ll.CrossValidation, y: np.ndarray) -> float | None:
    """Return the best explained variance with phenotypes and predictions as they were analysed.

    That is, by the Box-Cox transformation of each fold's training rows. None where that is not
    defined for a test row: one that lies far below all of the training rows.
    """
    errors, total = 0.0, 0.0
    for fold in cv.folds:
        trained, transform = ll.transform_phenotype(y[fold.train], "boxcox")
        try:
            truth = transform.forward(y[fold.test])
            predicted = transform.forward(cv.predictions[0, fold.test])
        except PhenotypeError:
            return None
        errors = errors + ((truth[:, None] - predicted) ** 2).sum(axis=0)
        total += ((truth - trained.mean()) ** 2).sum()
    return float((1 - errors / total).max())


# ---- what came out -------------------------------------------------------------------------------


def summary(content: dict) -> list[dict]:
    """Return one entry per phenotype: means over divisions, and their paired difference."""
    found: dict[tuple[str, str], dict[str, list[dict]]] = {}
    for row in content["rows"]:
        models = found.setdefault((row["dataset"], row["phenotype"]), {m: [] for m in MODELS})
        models[row["model"]].append(row)
    result = []
    for (dataset, name), models in found.items():
        best = {model: np.array([row["best"] for row in rows]) for model, rows in models.items()}
        difference = paired_interval(best["LMM-Lasso"], best["Lasso"])
        analysed = {m: [row["best_transformed"] for row in rows] for m, rows in models.items()}
        if any(None in values for values in analysed.values()):
            analysed = None
        result.append(
            {
                "dataset": dataset,
                "phenotype": name,
                "n_samples": models["Lasso"][0]["n_samples"],
                **{model: float(values.mean()) for model, values in best.items()},
                "BLUP": float(np.mean([row["first"] for row in models["LMM-Lasso"]])),
                "covariates": float(np.mean([row["first"] for row in models["Lasso"]])),
                "difference": difference.mean,
                "interval": [difference.low, difference.high],
                "transformed": analysed and {m: float(np.mean(v)) for m, v in analysed.items()},
                "n_ahead": int((best["LMM-Lasso"] >= best["Lasso"]).sum()),
                "n_seeds": len(best["Lasso"]),
                **{
                    f"SNPs {model}": float(np.median([row["n_active"] for row in rows]))
                    for model, rows in models.items()
                },
            }
        )
    return result


def sign_test(differences) -> float:
    """Return the two-sided p-value of as many signs among so many; zeros are left out."""
    from scipy.stats import binomtest

    differences = np.asarray(differences)
    n = int((differences != 0).sum())
    return float(binomtest(int((differences > 0).sum()), n).pvalue) if n else 1.0


def markdown(content: dict) -> str:
    """Return the tables, and what they say of the publication's claim."""
    entries = summary(content)
    lines = []
    if content["simulated"]:
        lines += ["*Simulated phenotypes: LMMLASSO_DATA is not set.*", ""]
    lines += [
        f"Explained variance of held-out samples at the best alpha, {content['n_folds']} folds, "
        f"means over {content['n_seeds']} divisions into folds; Box-Cox, everything from the "
        "training rows. *covariates*: sex (mice) or the mean alone. *difference*: LMM-Lasso - "
        "Lasso, with a 95 % interval over divisions. *SNPs*: active in the fit to all samples at "
        "the best alpha, median over divisions. *transformed*: scored on the Box-Cox scale of each "
        "fold instead, LMM-Lasso and Lasso.",
        "",
        "| data | phenotype | n | LMM-Lasso | Lasso | BLUP | covariates | difference "
        "| 95 % interval | SNPs, LMM-Lasso | SNPs, Lasso | transformed: LMM-Lasso | Lasso |",
        "|---|---|" + "---:|" * 11,
    ]
    for entry in entries:
        scores = (f"{entry[key]:.3f}" for key in ("LMM-Lasso", "Lasso", "BLUP", "covariates"))
        cells = [
            SHORT[entry["dataset"]],
            entry["phenotype"],
            str(entry["n_samples"]),
            *scores,
            f"{entry['difference']:+.4f}",
            "{:+.4f} to {:+.4f}".format(*entry["interval"]),
            f"{entry['SNPs LMM-Lasso']:.0f}",
            f"{entry['SNPs Lasso']:.0f}",
            *(f"{entry['transformed'][m]:.3f}" if entry["transformed"] else "" for m in MODELS),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *_by_dataset(entries), "", *_statements(content, entries)]
    lines += ["", "Columns that are left out:", ""]
    for dataset, columns in LEFT_OUT.items():
        reasons: dict[str, list[str]] = {}
        for name, reason in columns.items():
            reasons.setdefault(reason, []).append(name)
        texts = [f"{', '.join(names)} ({reason})" for reason, names in reasons.items()]
        lines.append(f"* {SHORT[dataset]}, {dataset}: {'; '.join(texts)}.")
    return "\n".join(lines)


def _by_dataset(entries: list[dict]) -> list[str]:
    lines = [
        "| data | phenotypes | LMM-Lasso at or above Lasso | clearly above | clearly below "
        "| mean difference | sign test | BLUP above Lasso | SNPs, LMM-Lasso | SNPs, Lasso |",
        "|---|" + "---:|" * 9,
    ]
    groups = {
        SHORT[d]: [e for e in entries if e["dataset"] == d] for d in SHORT if _has(entries, d)
    }
    for title, some in (groups | {"all": entries}).items():
        differences = np.array([entry["difference"] for entry in some])
        n_ahead = int((differences >= 0).sum())
        cells = [
            title,
            len(some),
            f"{n_ahead} ({n_ahead / len(some):.0%})",
            sum(entry["interval"][0] > 0 for entry in some),
            sum(entry["interval"][1] < 0 for entry in some),
            f"{differences.mean():+.3f}",
            f"{sign_test(differences):.2g}",
            sum(entry["BLUP"] > entry["Lasso"] for entry in some),
            *(f"{np.median([entry[f'SNPs {m}'] for entry in some]):.0f}" for m in MODELS),
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def _has(entries: list[dict], dataset: str) -> bool:
    return any(entry["dataset"] == dataset for entry in entries)


def _statements(content: dict, entries: list[dict]) -> list[str]:
    n_ahead = sum(entry["difference"] >= 0 for entry in entries)
    reached = "reached" if n_ahead >= PUBLISHED * len(entries) else "NOT reached"
    behind = [
        f"{entry['phenotype']} ({entry['difference']:+.4f}, ahead in {entry['n_ahead']} of "
        f"{entry['n_seeds']} divisions)"
        for entry in entries
        if entry["difference"] < 0
    ]
    fewer = sum(entry["SNPs LMM-Lasso"] < entry["SNPs Lasso"] for entry in entries)
    at_end, not_converged = [], []
    for model in MODELS:
        rows = [row for row in content["rows"] if row["model"] == model]
        at_end.append(f"{sum(row['at_end'] for row in rows)} ({model})")
        not_converged.append(sum(not row["converged"] for row in rows))
    return [
        f"* LMM-Lasso at or above Lasso in {n_ahead} of {len(entries)} phenotypes, "
        f"{n_ahead / len(entries):.0%}; the publication's {PUBLISHED:.0%} is {reached}.",
        f"* Below: {', '.join(behind) or 'none'}.",
        _transformed(entries),
        f"* LMM-Lasso has fewer SNPs at its best alpha in {fewer} of {len(entries)} phenotypes.",
        f"* The best alpha is the last of the path in {' and '.join(at_end)} of "
        f"{len(content['rows']) // len(MODELS)} divisions each; {sum(not_converged)} runs have a "
        "fold that did not reach the duality gap.",
    ]


def _transformed(entries: list[dict]) -> str:
    defined = [entry for entry in entries if entry["transformed"]]
    if not defined:
        return "* Scored on the transformed scale: not defined for all test rows of any phenotype."
    scores = {model: [entry["transformed"][model] for entry in defined] for model in MODELS}
    differences = np.subtract(scores["LMM-Lasso"], scores["Lasso"])
    behind = [
        f"{entry['phenotype']} ({difference:+.4f})"
        for entry, difference in zip(defined, differences, strict=True)
        if difference < 0
    ]
    without = [entry["phenotype"] for entry in entries if not entry["transformed"]]
    n_ahead = len(defined) - len(behind)
    means = ", ".join(f"{model} {np.mean(values):.3f}" for model, values in scores.items())
    return (
        f"* Scored on the transformed scale instead: at or above in {n_ahead} of {len(defined)} "
        f"phenotypes, {n_ahead / len(defined):.0%}; below: {', '.join(behind) or 'none'}; means: "
        f"{means}. Not defined for all test rows: {', '.join(without) or 'none'}."
    )


def draw(content: dict, path: Path) -> None:
    """Draw explained variances, their differences and numbers of SNPs."""
    from bench.accuracy import figures

    entries = summary(content)
    with figures.sheet(path, 3, height=4.2) as (scores, differences, sparsity):
        for k, dataset in enumerate(SHORT):
            some = [entry for entry in entries if entry["dataset"] == dataset]
            style = {"color": figures.COLOURS[k], "label": SHORT[dataset]}
            scores.plot(*_columns(some, "Lasso", "LMM-Lasso"), "o^s"[k], **style)
            x, y = _columns(some, "SNPs Lasso", "SNPs LMM-Lasso")
            sparsity.plot(1 + x, 1 + y, "o^s"[k], **style)
        values = np.concatenate(_columns(entries, "Lasso", "LMM-Lasso"))
        figures.diagonal(scores, values.min(), values.max())
        scores.set(xlabel="Lasso", ylabel="LMM-Lasso", title="Explained variance, held out")
        scores.legend()
        figures.diagonal(sparsity, 1, 500)
        sparsity.set(xscale="log", yscale="log", title="1 + active SNPs at the best alpha")
        sparsity.set(xlabel="Lasso", ylabel="LMM-Lasso")
        _differences(differences, sorted(entries, key=lambda entry: entry["difference"]))


def _columns(entries: list[dict], *keys: str) -> list[np.ndarray]:
    return [np.array([entry[key] for entry in entries], dtype=float) for key in keys]


def _differences(axes, entries: list[dict]) -> None:
    from bench.accuracy import figures

    axes.axvline(0, color="0.6", linewidth=0.8)
    for k, dataset in enumerate(SHORT):
        places = [i for i, entry in enumerate(entries) if entry["dataset"] == dataset]
        middle = np.array([entries[i]["difference"] for i in places])
        ends = np.array([entries[i]["interval"] for i in places]).reshape(-1, 2).T
        axes.errorbar(
            middle,
            places,
            xerr=np.abs(ends - middle),
            fmt="o^s"[k],
            color=figures.COLOURS[k],
            elinewidth=0.6,
        )
    names = [
        entry["phenotype"].replace("Biochem.", "").replace("Obesity.", "") for entry in entries
    ]
    axes.set_yticks(range(len(names)), names, fontsize=4.5)
    axes.set(xlabel="LMM-Lasso - Lasso", title="Difference, 95 % interval")
