"""Study fig5: are the selected SNPs near known genes, and are known loci found?

Flowering: the SNPs that Lasso and LMM-Lasso select for 21 flowering phenotypes (chromosome 5) are
held against 18 well-known flowering genes. Selected are the first k SNPs that enter the path of all
accessions, or those with at least a frequency in stability selection. A permutation shifts all
selected SNPs along the chromosome's map by one random number of places (`evaluation.enrichment`),
the same for all phenotypes, which share accessions and so selections: what is pooled over
phenotypes is compared with what the same shift gives them.

Known positives: avrRpm1 in 84 accessions, whole genome without a map, one strong locus; and CD8 in
mice, chromosome 17. By LD groups of stability selection: a group's frequency is that of any of its
SNPs being selected.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import lmmlasso_fast as ll
from bench.accuracy import datasets, flowering
from bench.accuracy.fig3 import Trait, has_data, sign_test, traits
from lmmlasso_fast.evaluation import adjacent_share, enrichment, entry_order, read_bed

if TYPE_CHECKING:
    import polars as pl

NAME = "fig5"
TITLE = "Candidate genes near selected SNPs, and known loci"

DATASET = "arabidopsis_chr5"
QUICK = ("LD", "FT16")
KNOWN = {"arabidopsis_84": "avrRpm1", "mouse_hs1940": "CD8"}
#: Has it a random effect?
MODELS = {"LMM-Lasso": True, "Lasso": False}
FIRST_K = (5, 10, 20, 50)
CUTOFFS = (0.2, 0.3, 0.5, 0.7)
#: Base pairs between a SNP and a gene that it is near.
WINDOW = 20_000
#: SNPs with at least this r^2 to the first group's lead stand for the same locus.
SAME_LOCUS = 0.2
N_ACTIVE, N_REPLICATES, N_REPLICATES_QUICK = 20, 100, 10
N_PERMUTATIONS = 10_000
N_GROUPS = 8


def run(quick: bool, n_jobs: int | None, store) -> dict:
    """Return pooled enrichments, shares by phenotype, and the first LD groups of known loci.

    Without the real data the quick run takes simulated phenotypes.
    """
    simulated = quick and not has_data()
    names = QUICK if quick else flowering.PHENOTYPES
    n_replicates = N_REPLICATES_QUICK if quick else N_REPLICATES
    keys = {name: {model: f"{DATASET} {name} {model}" for model in MODELS} for name in names}
    waiting = [name for name in names if any(store.get(k) is None for k in keys[name].values())]
    if waiting:
        for trait in traits(DATASET, waiting, simulated=simulated):
            for model, key in keys[trait.name].items():
                if store.get(key) is None:
                    store.put(key, selections(trait, MODELS[model], n_replicates, n_jobs))
    selected = {name: {m: store.get(key) for m, key in of.items()} for name, of in keys.items()}
    genotypes, genes = _map(simulated)
    n_permutations = N_PERMUTATIONS // 10 if quick else N_PERMUTATIONS
    return {
        "simulated": simulated,
        "n_phenotypes": len(names),
        "n_replicates": n_replicates,
        "n_genes": len(genes),
        "enrichment": enrichments(selected, genotypes, genes, n_permutations),
        "known": _known(simulated, n_replicates, n_jobs, store),
    }


# ---- flowering -----------------------------------------------------------------------------------


def selections(trait: Trait, random_effect: bool, n_replicates: int, n_jobs: int | None) -> dict:
    """Return {"entry 5": SNPs, ..., "stability 0.5": SNPs, ...}."""
    y, _ = ll.transform_phenotype(trait.y, "boxcox")
    K = ll.kinship(trait.genotypes) if random_effect else None
    null = ll.fit_null(y, K) if random_effect else None
    path = ll.lasso_path(trait.genotypes, y, null, max_active=3 * max(FIRST_K))
    order = entry_order(path)
    found = {f"entry {k}": order[:k].tolist() for k in FIRST_K}
    stable = _stable(trait, y, K, random_effect, n_replicates, n_jobs)
    return found | {f"stability {c:g}": stable.selected(c).tolist() for c in CUTOFFS}


def _stable(trait: Trait, y, K, random_effect: bool, n_replicates: int, n_jobs: int | None):
    return ll.stability_selection(
        trait.genotypes,
        y,
        K,
        random_effect=random_effect,
        n_active=N_ACTIVE,
        n_replicates=n_replicates,
        n_jobs=n_jobs,
        **trait.covariates,
    )


def _map(simulated: bool) -> tuple[ll.Genotypes, "pl.DataFrame"]:
    """Return the genotypes of all accessions, whose SNPs are the map, and the genes on it."""
    if not simulated:
        genotypes, _ = datasets.load(DATASET)
        return genotypes, read_bed(datasets.folder() / DATASET / "flowering_genes.bed")
    import polars as pl

    [trait] = traits(DATASET, ["any"], simulated=True)
    starts = np.linspace(0, int(trait.genotypes.variants["POS"].max()), 5, dtype=np.int64)
    genes = {"CHROM": ["1"] * 5, "START": starts, "END": starts + 1000, "NAME": list("ABCDE")}
    return trait.genotypes, pl.DataFrame(genes)


def enrichments(selected: dict, genotypes, genes: "pl.DataFrame", n_permutations: int) -> list:
    """Return a row for each cutoff and model, pooled over phenotypes.

    `share` is of all selected SNPs, a SNP once for every phenotype; `genes` counts phenotypes by
    the gene that a selected SNP is near; `shares` and `adjacent` are by phenotype.
    """
    rows = []
    for cutoff in next(iter(next(iter(selected.values())).values())):
        for model in MODELS:
            found = [
                # one seed for all: the same shifts
                enrichment(
                    np.array(models[model][cutoff], dtype=np.int64),
                    genotypes,
                    genes,
                    window=WINDOW,
                    n_permutations=n_permutations,
                    seed=0,
                )
                for models in selected.values()
            ]
            some = [one for one in found if one.n_snps]
            adjacent = [
                adjacent_share(np.array(models[model][cutoff], dtype=np.int64), genotypes)
                for models in selected.values()
                if models[model][cutoff]
            ]
            names = [genes["NAME"][int(k)] for one in found for k in one.genes_found]
            rows.append(
                {
                    "cutoff": cutoff,
                    "model": model,
                    "n_phenotypes": len(some),
                    **pooled(some),
                    "shares": [one.share if one.n_snps else None for one in found],
                    "genes": {name: names.count(name) for name in sorted(set(names))},
                    "adjacent": float(np.mean(adjacent)) if adjacent else None,
                }
            )
    return rows


def pooled(found: list) -> dict:
    """Return the share of the SNPs of several selections near a gene, and its p-value.

    The selections were shifted by the same numbers of places.
    """
    n_snps = sum(one.n_snps for one in found)
    n_near = sum(one.n_near for one in found)
    if not found:
        return {"n_snps": 0, "n_near": 0, "share": None, "expected": None, "p_value": None}
    # shares times SNPs, rounded back to counts
    null = sum(np.rint(one.null * one.n_snps) for one in found)
    return {
        "n_snps": n_snps,
        "n_near": n_near,
        "share": n_near / n_snps,
        "expected": float(sum(one.expected * one.n_snps for one in found) / n_snps),
        "p_value": float((1 + (null >= n_near).sum()) / (1 + len(null))),
    }


# ---- known loci ----------------------------------------------------------------------------------


def _known(simulated: bool, n_replicates: int, n_jobs: int | None, store) -> dict:
    result = {}
    for dataset, name in KNOWN.items():
        keys = {model: f"{dataset} {name} {model}" for model in MODELS}
        if any(store.get(key) is None for key in keys.values()):
            [trait] = traits(dataset, [name], simulated=simulated)
            for model, key in keys.items():
                if store.get(key) is None:
                    y, random_effect = trait.y, MODELS[model]
                    stable = _stable(trait, y, None, random_effect, n_replicates, n_jobs)
                    store.put(key, {"groups": first_groups(stable, trait.genotypes)})
        result[name] = {model: store.get(key)["groups"] for model, key in keys.items()}
    return result


def first_groups(stable: ll.StabilityResult, genotypes: ll.Genotypes) -> list[dict]:
    """Return the LD groups that are selected most often; of equal ones the better lead first.

    `r2` is that of a group's lead with the lead of the first group.
    """
    order = np.argsort(-stable.group_frequency, kind="stable")[:N_GROUPS]
    leads = stable.groups.leads[order]
    X = genotypes.columns(leads)
    r2 = np.corrcoef(X, rowvar=False).reshape(len(leads), -1)[0] ** 2
    table = genotypes.variants[leads]
    return [
        {
            "frequency": float(stable.group_frequency[group]),
            "lead": table["ID"][row],
            "lead_frequency": float(stable.frequency[lead]),
            "n_snps": len(stable.groups.members(int(group))),
            "chromosome": table["CHROM"][row],
            "position": int(table["POS"][row]),
            "r2": float(r2[row]),
        }
        for row, (group, lead) in enumerate(zip(order, leads, strict=True))
    ]


# ---- what came out -------------------------------------------------------------------------------


def markdown(content: dict) -> str:
    """Return the tables, and whether known loci lead."""
    lines = []
    if content["simulated"]:
        lines += ["*Simulated phenotypes: LMMLASSO_DATA is not set.*", ""]
    lines += [
        f"SNPs within {WINDOW // 1000} kb of one of {content['n_genes']} genes, pooled over "
        f"{content['n_phenotypes']} flowering phenotypes. *entry k*: the first k SNPs to enter; "
        f"*stability c*: frequency of at least c in {content['n_replicates']} halves, {N_ACTIVE} "
        "SNPs each. *by chance*: mean over shifts along the map; p one-sided, the same shifts for "
        "all phenotypes. *pairs*: share of selected SNPs whose next SNP on the map is selected "
        "too, mean over phenotypes.",
        "",
        "| selection | model | phenotypes | SNPs | near a gene | share | by chance | p | genes "
        "(phenotypes) | pairs |",
        "|---|---|" + "---:|" * 6 + "---|---:|",
    ]
    for row in content["enrichment"]:
        cells = [row["cutoff"], row["model"], row["n_phenotypes"], row["n_snps"], row["n_near"]]
        if row["n_snps"]:
            cells += [f"{row['share']:.3f}", f"{row['expected']:.3f}", f"{row['p_value']:.3g}"]
        else:
            cells += [""] * 3
        genes = sorted(row["genes"].items(), key=lambda item: -item[1])
        cells.append(", ".join(f"{name} ({n})" for name, n in genes))
        cells.append("" if row["adjacent"] is None else f"{row['adjacent']:.2f}")
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += ["", *_comparisons(content["enrichment"]), ""]
    for name, models in content["known"].items():
        lines += _known_table(name, models)
    known, n_pairs = content["known"], content["n_replicates"] // 2
    lines += [_alone(known["avrRpm1"], n_pairs), _leading(known["CD8"], "17", n_pairs)]
    return "\n".join(lines)


def _comparisons(rows: list[dict]) -> list[str]:
    """Return a table: in how many phenotypes which model's share is larger."""
    lines = [
        "In how many phenotypes whose share of SNPs near a gene is larger, of those in which both "
        "select SNPs; p of the sign test, as if phenotypes were independent, which they are not.",
        "",
        "| selection | LMM-Lasso | Lasso | equal | p |",
        "|---|" + "---:|" * 4,
    ]
    for mixed, plain in zip(rows[::2], rows[1::2], strict=True):
        pairs = zip(mixed["shares"], plain["shares"], strict=True)
        differences = np.array([a - b for a, b in pairs if a is not None and b is not None])
        counts = [int((np.sign(differences) == sign).sum()) for sign in (1, -1, 0)]
        cells = [mixed["cutoff"], *counts, f"{sign_test(differences):.2g}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def _known_table(name: str, models: dict[str, list[dict]]) -> list[str]:
    lines = [
        f"{name}: the LD groups selected most often.",
        "",
        "| model | group frequency | SNPs | chromosome | lead | position | its frequency "
        "| r² with the first lead |",
        "|---|---:|---:|---:|---|---:|---:|---:|",
    ]
    for model, groups in models.items():
        for group in groups:
            # a map without positions has 0 or -9
            where = str(group["position"]) if group["position"] > 0 else ""
            cells = [
                model,
                f"{group['frequency']:.2f}",
                str(group["n_snps"]),
                group["chromosome"] if group["chromosome"] != "0" else "",
                group["lead"],
                where,
                f"{group['lead_frequency']:.2f}",
                f"{group['r2']:.2f}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def clearly_above(a: float, b: float, n_pairs: int) -> bool:
    """Whether frequency a is above b by more than two standard errors.

    Over so many pairs of halves: the two of a pair are not independent.
    """
    return a - b > 2 * np.sqrt((a * (1 - a) + b * (1 - b)) / n_pairs)


def _alone(models: dict[str, list[dict]], n_pairs: int) -> str:
    first, *others = models["LMM-Lasso"]
    elsewhere = [group for group in others if group["r2"] < SAME_LOCUS]
    next_one = others[0]["frequency"] if others else 0.0
    far = max((group["frequency"] for group in elsewhere), default=0.0)
    is_alone = all(clearly_above(first["frequency"], other, n_pairs) for other in (next_one, far))
    verdict = "stands alone at the top" if is_alone else "has company"
    return (
        f"* avrRpm1, LMM-Lasso: the first group {verdict}: {first['frequency']:.2f} against "
        f"{next_one:.2f} of the next; of groups with r² < {SAME_LOCUS:g} to it at most {far:.2f}."
    )


def _leading(models: dict[str, list[dict]], chromosome: str, n_pairs: int) -> str:
    texts = []
    for model, groups in models.items():
        on = [group["frequency"] for group in groups if group["chromosome"] == chromosome]
        off = [group["frequency"] for group in groups if group["chromosome"] != chromosome]
        is_first = clearly_above(max(on, default=0.0), max(off, default=0.0), n_pairs)
        leads = "leads" if is_first else "does NOT clearly lead"
        texts.append(
            f"{model}, chromosome {chromosome} {leads}: {len(on)} of the first {len(groups)} "
            f"groups, up to {max(on, default=0):.2f} against {max(off, default=0):.2f} elsewhere"
        )
    return f"* CD8: {'; '.join(texts)}."


def draw(content: dict, path: Path) -> None:
    """Draw shares near genes by cutoff, and the first LD groups of the known loci."""
    from bench.accuracy import figures

    with figures.sheet(path, 4, height=2.2) as (entry, stability, avr, cd8):
        for axes, kind in ((entry, "entry"), (stability, "stability")):
            some = [row for row in content["enrichment"] if row["cutoff"].startswith(kind)]
            for model in MODELS:
                rows = [row for row in some if row["model"] == model and row["n_snps"]]
                x = [float(row["cutoff"].split()[1]) for row in rows]
                colour = figures.OF_METHOD[model]
                axes.plot(x, [row["share"] for row in rows], "o-", color=colour, label=model)
                axes.plot(x, [row["expected"] for row in rows], ":", color=colour)
            axes.set_ylabel(f"share within {WINDOW // 1000} kb of a gene")
            axes.set_ylim(bottom=0)
        entry.set(xscale="log", xlabel="first SNPs to enter", title="By order of entry")
        entry.set_xticks(FIRST_K, list(map(str, FIRST_K)), minor=False)
        entry.minorticks_off()
        entry.legend(title="dotted: by chance")
        stability.set(xlabel="frequency, at least", title="By stability selection")
        for axes, (name, models) in zip((avr, cd8), content["known"].items(), strict=True):
            _groups(axes, name, models)


def _groups(axes, name: str, models: dict[str, list[dict]]) -> None:
    from bench.accuracy import figures

    for k, (model, groups) in enumerate(models.items()):
        places = np.arange(1, 1 + len(groups)) + 0.4 * k - 0.2
        heights = [group["frequency"] for group in groups]
        axes.bar(places, heights, 0.38, color=figures.OF_METHOD[model], label=model)
        for place, group in zip(places, groups, strict=True):
            if group["chromosome"] != "0":
                text = group["chromosome"]
                axes.text(place, group["frequency"], text, ha="center", va="bottom", fontsize=5)
    axes.set(xlabel="LD group, by rank", ylabel="frequency", ylim=(0, 1.1))
    axes.set_title(f"{name}" + ("" if groups[0]["chromosome"] == "0" else " (chromosome)"))
