"""Study fig1: which method ranks the causal SNPs first?

Phenotypes on real genotypes: a few causal SNPs, a real phenotype as structure, noise. The methods
and their rankings are in `bench.accuracy.recovery`; what is compared, and why so, is in
docs/studies/fig1.md.
"""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from bench.accuracy import recovery
from bench.accuracy.recovery import FIVE, RESCALED, Extras, Setting
from lmmlasso_fast.evaluation import Interval, mean_interval, paired_interval

NAME = "fig1"
TITLE = "Recovery of causal SNPs: precision-recall and ROC of five methods"

SETTING = Setting()
POPULATIONS = {"Arabidopsis": recovery.arabidopsis, "mice": recovery.mice}
N_REPEATS = {"Arabidopsis": 200, "mice": 100}
N_QUICK = {"Arabidopsis": 6, "mice": 4}
_VOTED = ("LMM-Lasso", "Lasso")
_FULL = Extras(voted=_VOTED, n_replicates=20, curves=True)
_QUICK = Extras(voted=_VOTED, n_replicates=4, curves=True)


def run(quick: bool, n_jobs: int | None, store) -> dict:
    """Return every repeat's areas and the mean curves, by population and ranking.

    Without the real data the quick run takes simulated populations.
    """
    simulated = quick and not recovery.has_data()
    entries = []
    for number, (name, make) in enumerate(POPULATIONS.items()):
        n_repeats = (N_QUICK if quick else N_REPEATS)[name]
        # the accessions have one chromosome only, and the kinships take a while
        extras = _QUICK if quick else replace(_FULL, loco=name == "mice")
        if simulated:
            name, make = f"stand-in {name}", partial(recovery.stand_in, number)
        found = recovery.run_settings(name, make, [SETTING], n_repeats, extras, store, n_jobs)
        entries.append({"name": name, **gathered(found[SETTING])})
    return {"simulated": simulated, "setting": asdict(SETTING), "populations": entries}


def gathered(results: list[dict]) -> dict:
    """Return all repeats' areas, and the curves' means."""
    first = results[0]
    rankings = list(first["roc"])
    curves = {
        key: {
            name: np.round(np.mean([one[key][name] for one in results], axis=0), 4).tolist()
            for name in rankings
        }
        for key in ("precision", "true_positive_rate")
    }
    return {
        "n_samples": first["n_samples"],
        "n_snps": first["n_snps"],
        "average_precision": {
            criterion: recovery.areas(results, criterion)
            for criterion in first["average_precision"]
        },
        "roc": {name: [one["roc"][name] for one in results] for name in rankings},
        **curves,
    }


# ---- what came out -------------------------------------------------------------------------------


def markdown(content: dict) -> str:
    """Return a table for each population, and what is to be seen in it."""
    setting = content["setting"]
    rest = 1 - setting["h2_snp"]
    lines = []
    if content["simulated"]:
        lines += ["*Simulated genotypes: LMMLASSO_DATA is not set.*", ""]
    lines += [
        f"{setting['n_causal']} causal SNPs with {setting['h2_snp']:.0%} of the variance, "
        f"{setting['structure'] * rest:.0%} structure, {(1 - setting['structure']) * rest:.0%} "
        "noise. Means over repeats [95 % interval]. *ahead by*: LMM-Lasso minus this ranking, "
        "paired by repeat.",
    ]
    for entry in content["populations"]:
        lines += ["", f"## {entry['name']}", "", *_table(entry), "", *_statements(entry)]
    return "\n".join(lines)


def _table(entry: dict) -> list[str]:
    by_criterion = entry["average_precision"]
    first = next(iter(by_criterion.values()))
    columns = ["ranking", *(f"area under PR, {name}" for name in by_criterion)]
    columns[2:2] = ["ahead by"]
    columns += ["area under ROC"]
    lines = [
        f"{entry['n_samples']} samples, {entry['n_snps']} SNPs, {len(first['LM'])} repeats.",
        "",
        "| " + " | ".join(columns) + " |",
        "|---|" + "---:|" * (len(columns) - 1),
    ]
    for name, values in first.items():
        cells = [_text(mean_interval(found[name])) for found in by_criterion.values()]
        ahead = "" if name == "LMM-Lasso" else _text(paired_interval(first["LMM-Lasso"], values))
        cells = [name, cells[0], ahead, *cells[1:], _text(mean_interval(entry["roc"][name]))]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _text(interval: Interval) -> str:
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _statements(entry: dict) -> list[str]:
    lines = []
    for criterion, found in entry["average_precision"].items():
        apart = [
            f"{'' if recovery.is_above(found['LMM-Lasso'], found[name]) else 'not '}above {name}'s"
            for name in ("Lasso", "LM")
        ]
        against = [
            f"{name} {recovery.verdict(found[name], found['LMM'])}"
            for name in found
            if name.startswith("LMM-Lasso")
        ]
        lines.append(
            f"* {criterion}: the interval of LMM-Lasso is {' and '.join(apart)}. By the paired "
            f"difference to the LMM: {'; '.join(against)}."
        )
    return lines


def draw(content: dict, path: Path) -> None:
    """Draw the mean curves of the five methods, and of LMM-Lasso with rescaled SNPs."""
    from bench.accuracy import figures

    entries = content["populations"]
    with figures.sheet(path, 2 * len(entries), n_columns=2) as panels:
        for k, entry in enumerate(entries):
            of_pr, of_roc = panels[2 * k : 2 * k + 2]
            for name in (*FIVE, RESCALED):
                style = {"color": figures.OF_METHOD[name.split(",")[0]], "label": name}
                if name == RESCALED:
                    style["linestyle"] = "--"
                of_pr.plot(recovery.RECALLS, entry["precision"][name], **style)
                rates = entry["true_positive_rate"][name]
                of_roc.plot(recovery.FALSE_POSITIVE_RATES, rates, **style)
            criterion = next(iter(entry["average_precision"]))
            of_pr.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1))
            of_pr.set_title(f"{entry['name']}, hits by {criterion}")
            of_roc.set(xlabel="false positive rate", ylabel="true positive rate", ylim=(0, 1))
            of_roc.set_title(f"{entry['name']}, ROC")
            figures.diagonal(of_roc, 0.0, recovery.FALSE_POSITIVE_RATES[-1])
        panels[0].legend()
