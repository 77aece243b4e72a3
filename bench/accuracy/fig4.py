"""Study fig4: what do single SNPs explain of held-out samples, and what does structure add?

At every alpha the prediction of a test row is the sum of three parts,

    C* gamma            covariates
    X* beta             the SNPs that are active
    K* V^-1 (y - C gamma - X beta)    the random effect, what relatives tell beyond these SNPs

Explained variance, pooled over folds, with the first part alone, with the first two, with all of
them; the Lasso, which has no third, beside it. Each fold is an analysis of its own, of its training
rows; phenotypes as they are, since parts add up on the analysed scale alone. All folds take the
same fractions of their own alpha_max.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

import lmmlasso_fast as ll
from bench.accuracy.fig3 import SHORT, Trait, has_data, waiting
from lmmlasso_fast.folds import Fold, make_folds
from lmmlasso_fast.kinship import cross_kinship
from lmmlasso_fast.parallel import each
from lmmlasso_fast.path import PathOptions, solve_path
from lmmlasso_fast.study import Study, make_study

NAME = "fig4"
TITLE = "Variance explained on test data: single SNPs and structure"

PHENOTYPES = {"arabidopsis_chr5": ("LD", "FT10", "FT16", "FT_GH"), "mouse_hs1940": ("CD8", "MCH")}
QUICK = {"arabidopsis_chr5": ("LD",), "mouse_hs1940": ("CD8",)}
#: The options of each; the Lasso's paths are longer, since it needs SNPs for the structure too.
MODELS = {
    "LMM-Lasso": {"random_effect": True, "max_active": 300},
    "Lasso": {"random_effect": False, "max_active": 600},
}
N_FOLDS, N_SEEDS = 10, 5
N_FOLDS_QUICK, N_SEEDS_QUICK = 3, 2
OPTIONS = PathOptions(n_alphas=50, eps=0.01)
#: Numbers of active SNPs at which the table looks.
N_ACTIVE = (0, 5, 20, 50, 100, 200)


def run(quick: bool, n_jobs: int | None, store) -> dict:
    """Return for every phenotype its curves: means over divisions into folds, and their sd.

    Without the real data the quick run takes simulated phenotypes.
    """
    simulated = quick and not has_data()
    n_folds, n_seeds = (N_FOLDS_QUICK, N_SEEDS_QUICK) if quick else (N_FOLDS, N_SEEDS)
    entries = []
    for dataset, names in (QUICK if quick else PHENOTYPES).items():
        keys = {name: [f"{dataset} {name} {seed}" for seed in range(n_seeds)] for name in names}
        keys = {name: [*keys[name], f"{dataset} {name} fit"] for name in names}
        for trait in waiting(dataset, keys, store, simulated=simulated):
            _run_trait(trait, n_folds, keys[trait.name], n_jobs, store)
        for name in names:
            *divisions, fit = [store.get(key) for key in keys[name]]
            entries.append({"dataset": dataset, "phenotype": name, **_curves(divisions), **fit})
    about = {"simulated": simulated, "n_folds": n_folds, "n_seeds": n_seeds}
    return {**about, "phenotypes": entries}


def _run_trait(trait: Trait, n_folds: int, keys: list[str], n_jobs: int | None, store) -> None:
    *divisions, fit = keys
    for seed, key in enumerate(divisions):
        if store.get(key) is None:
            folds = make_folds(len(trait.y), n_folds, seed=seed)
            store.put(key, {model: _division(trait, folds, model, n_jobs) for model in MODELS})
    if store.get(fit) is None:
        store.put(fit, {"n_samples": len(trait.y), "fit": _split_of_fit(trait)})


def _division(trait: Trait, folds: tuple[Fold, ...], model: str, n_jobs: int | None) -> dict:
    """Return the curves of one division into folds."""
    chosen = MODELS[model]
    study = make_study(
        trait.genotypes,
        trait.y,
        random_effect=chosen["random_effect"],
        options=replace(OPTIONS, max_active=chosen["max_active"]),
        **trait.covariates,
    )
    results = dict(each(_run_fold, (study, folds), range(len(folds)), n_jobs))
    return pooled([results[k] for k in range(len(folds))])


def _run_fold(shared: tuple[Study, tuple[Fold, ...]], number: int) -> dict:
    study, folds = shared
    return fold_errors(study, folds[number])


def fold_errors(study: Study, fold: Fold) -> dict:
    """Return sums of squared errors of the test rows, by parts of the prediction and alpha.

    Also `total`, the sum of squares around the mean of the training rows, and `n_active`.
    """
    part = study.part(fold.train)
    fractions = study.options.grid(1.0)
    options = replace(study.options, alphas=None, fractions=fractions)
    path = solve_path(part.genotypes, part.y, part.null, part.design, options)
    y = study.y[fold.test][:, None]
    parts = prediction_parts(study, part, path, fold.test)
    covariates, snp, random = parts

    def errors(prediction):
        return ((y - prediction) ** 2).sum(axis=0).tolist()

    return {
        "total": float(((y - part.y.mean()) ** 2).sum()),
        "covariates": errors(covariates),
        "snp": errors(covariates + snp),
        "all": errors(covariates + snp + random),
        "n_active": path.n_active.tolist(),
    }


def prediction_parts(study: Study, part, path: ll.LassoPath, test: np.ndarray) -> list[np.ndarray]:
    """Return C* gamma, X* beta and K* V^-1 (y - C gamma - X beta), each test rows x alphas."""
    kept = [study.design.names.index(name) for name in part.design.names]
    covariates = study.design.matrix[np.ix_(test, kept)] @ path.gammas
    genotypes = study.genotypes.subset(test)
    effects = path.coefs.tocsr()
    active = np.flatnonzero(np.diff(effects.indptr))
    statistics = (part.genotypes.mean, part.genotypes.sd)
    snp = genotypes.columns(active, statistics=statistics) @ effects[active].toarray()
    random = np.zeros_like(snp)
    if part.null is not None:
        random = cross_kinship(genotypes, part.genotypes, part.null.kinship) @ path.dual
    return [covariates, snp, random]


def pooled(results: list[dict]) -> dict:
    """Return explained variance over all folds, as far as the shortest path, and mean n_active."""
    m = min(len(result["n_active"]) for result in results)
    total = sum(result["total"] for result in results)

    def explained(key):
        return (1 - sum(np.array(result[key][:m]) for result in results) / total).tolist()

    curves = {key: explained(key) for key in ("covariates", "snp", "all")}
    return {**curves, "n_active": np.mean([r["n_active"][:m] for r in results], axis=0).tolist()}


def _split_of_fit(trait: Trait) -> dict:
    """Return the shares of SNPs and structure in the fit to all samples, which nothing tests."""
    covariates = trait.covariates
    null = ll.fit_null(trait.y, ll.kinship(trait.genotypes), **covariates)
    max_active = MODELS["LMM-Lasso"]["max_active"]
    grid = {"n_alphas": OPTIONS.n_alphas, "eps": OPTIONS.eps, "max_active": max_active}
    path = ll.lasso_path(trait.genotypes, trait.y, null, **grid)
    split = ll.variance_split(path, trait.genotypes, trait.y)
    shares = {"snp": split.snp.tolist(), "random": split.random.tolist()}
    return {"n_active": path.n_active.tolist(), **shares}


def _curves(divisions: list[dict]) -> dict:
    """Return the mean over divisions of every curve, and the sd of what is compared."""
    result = {}
    for model in MODELS:
        curves = [division[model] for division in divisions]
        m = min(len(curve["all"]) for curve in curves)
        arrays = {key: np.array([curve[key][:m] for curve in curves]) for key in curves[0]}
        result[model] = {key: values.mean(axis=0).tolist() for key, values in arrays.items()}
        for key in ("snp", "all"):
            result[model][f"sd_{key}"] = arrays[key].std(axis=0, ddof=1).tolist()
    return result


# ---- what came out -------------------------------------------------------------------------------


def last_with(n_active, limit: float) -> int:
    """Return the last place at which at most so many SNPs are active; the first one if none is."""
    return int(np.flatnonzero(np.append(True, np.array(n_active[1:]) <= limit))[-1])


def markdown(content: dict) -> str:
    """Return one table of all phenotypes, and what is to be seen in it."""
    lines = []
    if content["simulated"]:
        lines += ["*Simulated phenotypes: LMMLASSO_DATA is not set.*", ""]
    lines += [
        f"Explained variance of held-out samples, {content['n_folds']} folds, means over "
        f"{content['n_seeds']} divisions into folds (± their sd). *SNPs*: active ones, mean over "
        "folds. *SNPs alone*: prediction from covariates and SNPs; *structure adds*: what the "
        "random effect adds to that; *Lasso*: at its last alpha with at most as many SNPs. "
        "*in the fit*: share of the variance that single SNPs have in the fit to all samples, at "
        "as many SNPs.",
        "",
        "| phenotype | n | SNPs | covariates | SNPs alone | structure adds | LMM-Lasso | Lasso "
        "| SNPs in the fit |",
        "|---|" + "---:|" * 8,
    ]
    for entry in content["phenotypes"]:
        mixed, plain, fit = entry["LMM-Lasso"], entry["Lasso"], entry["fit"]
        best = best_of(mixed)
        places = {last_with(mixed["n_active"], n): "" for n in N_ACTIVE}
        places[best] = " (best)"
        for k, note in sorted(places.items()):
            n_active = mixed["n_active"][k]
            of_plain = last_with(plain["n_active"], n_active)
            of_fit = last_with(fit["n_active"], n_active)
            cells = [
                f"{SHORT[entry['dataset']]} {entry['phenotype']}",
                str(entry["n_samples"]),
                f"{n_active:.1f}{note}",
                f"{mixed['covariates'][k]:.3f}",
                f"{mixed['snp'][k]:.3f} ± {mixed['sd_snp'][k]:.3f}",
                f"{mixed['all'][k] - mixed['snp'][k]:+.3f}",
                f"{mixed['all'][k]:.3f} ± {mixed['sd_all'][k]:.3f}",
                f"{plain['all'][of_plain]:.3f}",
                f"{fit['snp'][of_fit]:.3f}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *map(_statement, content["phenotypes"])])


def _statement(entry: dict) -> str:
    mixed, plain = entry["LMM-Lasso"], entry["Lasso"]
    best, best_of_plain = best_of(mixed), best_of(plain)
    alone = mixed["snp"][best] - mixed["covariates"][best]
    total = mixed["all"][best] - mixed["covariates"][best]
    share = f", {alone / total:.0%} of it by single SNPs alone" if total > 0 else ""
    return (
        f"* {entry['phenotype']}: at the best alpha, with {mixed['n_active'][best]:.0f} SNPs, "
        f"LMM-Lasso explains {total:.3f} beyond covariates{share}; without any SNP "
        f"{mixed['all'][0]:.3f} in all{_at_end(mixed)}. The Lasso's best is "
        f"{plain['all'][best_of_plain]:.3f}, with {plain['n_active'][best_of_plain]:.0f} SNPs"
        f"{_at_end(plain)}."
    )


def best_of(curves: dict) -> int:
    """Return the place of the best alpha."""
    return int(np.argmax(curves["all"]))


def _at_end(curves: dict) -> str:
    """Say that a longer path might be better."""
    return " (the end of the path)" if best_of(curves) == len(curves["all"]) - 1 else ""


def draw(content: dict, path: Path) -> None:
    """Draw explained variance against active SNPs, one panel per phenotype."""
    from bench.accuracy import figures

    entries = content["phenotypes"]
    n_columns = min(3, len(entries))
    with figures.sheet(path, len(entries), n_columns=n_columns, height=2.3) as panels:
        for axes, entry in zip(panels, entries, strict=True):
            mixed, plain = entry["LMM-Lasso"], entry["Lasso"]
            x = 1 + np.array(mixed["n_active"])
            base, snp, total = (np.array(mixed[key]) for key in ("covariates", "snp", "all"))
            axes.fill_between(x, base, snp, color=figures.COLOURS[5], alpha=0.5, linewidth=0)
            axes.fill_between(x, snp, total, color=figures.COLOURS[4], alpha=0.3, linewidth=0)
            axes.plot(x, total, color=figures.OF_METHOD["LMM-Lasso"], label="LMM-Lasso")
            axes.plot(x, snp, ":", color=figures.OF_METHOD["LMM-Lasso"], label="its SNPs alone")
            x = 1 + np.array(plain["n_active"])
            axes.plot(x, plain["all"], "--", color=figures.OF_METHOD["Lasso"], label="Lasso")
            axes.set(xscale="log", title=f"{SHORT[entry['dataset']]}, {entry['phenotype']}")
            axes.set_xlabel("1 + active SNPs")
        for axes in panels[::n_columns]:
            axes.set_ylabel("explained variance, held out")
        panels[0].legend()
