"""Study fig2: how does recovery depend on structure, number of causal SNPs, signal and samples?

The area under precision-recall of `bench.accuracy.fig1`, one factor at a time around its setting,
on the same populations and on a simulated one. See docs/studies/fig2.md.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from bench.accuracy import recovery
from bench.accuracy.recovery import FIVE, RESCALED, Extras, Population, Setting
from lmmlasso_fast.evaluation import paired_interval

NAME = "fig2"
TITLE = "Recovery against structure, number of causal SNPs, signal and samples"

SETTING = Setting()
#: Values of each factor; the other two are `SETTING`'s.
FACTORS = {
    "structure": (0.0, 0.25, 0.5, 0.75, 1.0),
    "n_causal": (5, 10, 20, 50, 100),
    "h2_snp": (0.1, 0.2, 0.4, 0.6, 0.8),
}
#: Factors with their names in the figure.
LABELS = {
    "structure": "structure in what SNPs leave",
    "n_causal": "causal SNPs",
    "h2_snp": "variance of causal SNPs",
    "n_samples": "samples",
}


@dataclass(frozen=True)
class Part:
    """A population, what is varied on it, and how often it is drawn.

    Attributes
    ----------
    data : str
    make : callable
        Returns the population.
    n_repeats : int
    factors : dict
        Like `FACTORS`.
    n_samples : tuple of int
        Smaller numbers of samples, for `SETTING` alone.
    voted : tuple of str
        As of `Extras`.
    """

    data: str
    make: Callable[[], Population]
    n_repeats: int
    factors: dict[str, tuple]
    n_samples: tuple[int, ...] = ()
    voted: tuple[str, ...] = ()

    def settings(self) -> list[Setting]:
        """Return the different settings, the default first."""
        varied = [
            replace(SETTING, **{factor: value})
            for factor, values in self.factors.items()
            for value in values
        ]
        return list(dict.fromkeys([SETTING, *varied]))

    def some(self, n_samples: int) -> Population:
        """Return the population of so many samples."""
        return self.make().some(n_samples)


def _only(*factors: str) -> dict[str, tuple]:
    return {factor: FACTORS[factor] for factor in factors}


_VOTED = ("LMM-Lasso",)
FULL = (
    Part("Arabidopsis", recovery.arabidopsis, 120, FACTORS),
    # ranking by frequency takes as long as all others together: where there are more causal SNPs
    # than a half-sample can select, and where half of the samples are few
    Part("mice", recovery.mice, 34, _only("n_causal"), (176, 352, 705), _VOTED),
    Part("mice", recovery.mice, 34, _only("structure", "h2_snp")),
    Part(
        "simulated",
        partial(recovery.simulated, 2_000, 10_000),
        20,
        {"structure": (0.0, 0.5, 1.0)},
        (250, 500, 1_000),
    ),
)
QUICK = (
    Part("Arabidopsis", recovery.arabidopsis, 4, {"structure": (0.0,), "n_causal": (50,)}),
    Part("mice", recovery.mice, 3, {}, (352,), _VOTED),
    Part("simulated", partial(recovery.simulated, 400, 2_000), 3, {"structure": (0.0, 1.0)}),
)
N_REPLICATES, _N_REPLICATES_QUICK = 20, 4


def run(quick: bool, n_jobs: int | None, store) -> dict:
    """Return every repeat's areas, by population, number of samples and setting.

    Without the real data the quick run takes simulated populations.
    """
    simulated = quick and not recovery.has_data()
    n_replicates = _N_REPLICATES_QUICK if quick else N_REPLICATES
    rows = []
    for number, part in enumerate(QUICK if quick else FULL):
        if simulated:
            make = partial(recovery.stand_in, number)
            part = replace(part, data=f"stand-in {part.data}", make=make, n_samples=(60,))
        extras = Extras(voted=part.voted, n_replicates=n_replicates)
        runs = [(part.data, part.make, part.settings())]
        runs += [(f"{part.data} {n}", partial(part.some, n), [SETTING]) for n in part.n_samples]
        for name, make, settings in runs:
            found = recovery.run_settings(
                name, make, settings, part.n_repeats, extras, store, n_jobs
            )
            rows += [_row(part.data, setting, results) for setting, results in found.items()]
    return {"simulated": simulated, "rows": _distinct(rows)}


def _distinct(rows: list[dict]) -> list[dict]:
    """Return the rows without those of a setting that an earlier one has."""
    found = {}
    for row in rows:
        found.setdefault((row["data"], *(row[factor] for factor in LABELS)), row)
    return list(found.values())


def _row(data: str, setting: Setting, results: list[dict]) -> dict:
    criterion = next(iter(results[0]["average_precision"]))
    return {
        "data": data,
        "n_samples": results[0]["n_samples"],
        "n_snps": results[0]["n_snps"],
        "criterion": criterion,
        **asdict(setting),
        "areas": recovery.areas(results, criterion),
    }


# ---- what came out -------------------------------------------------------------------------------


def panels(content: dict) -> list[tuple[str, str, list[dict]]]:
    """Return (data, factor, rows ascending in it) for all factors with two values or more."""
    found = []
    for data in dict.fromkeys(row["data"] for row in content["rows"]):
        of_data = [row for row in content["rows"] if row["data"] == data]
        for factor in LABELS:
            rows = [row for row in of_data if differs_in(row, of_data[0]) <= {factor}]
            if len(rows) > 1:
                found.append((data, factor, sorted(rows, key=lambda row: row[factor])))
    return found


def differs_in(row: dict, default: dict) -> set[str]:
    """Return the factors that two rows have different values of."""
    return {factor for factor in LABELS if row[factor] != default[factor]}


def markdown(content: dict) -> str:
    """Return a table for each population, and where which ranking is ahead."""
    lines = []
    if content["simulated"]:
        lines += ["*Simulated genotypes: LMMLASSO_DATA is not set.*", ""]
    lines += [
        "Area under precision-recall, mean over repeats ± its standard error. *structure*: its "
        "share in the variance that the causal SNPs leave. *to the LMM*: LMM-Lasso minus LMM, "
        "paired by repeat, 95 % interval.",
    ]
    for data in dict.fromkeys(row["data"] for row in content["rows"]):
        rows = [row for row in content["rows"] if row["data"] == data]
        about = f"hits by {rows[0]['criterion']}, {len(rows[0]['areas']['LM'])} repeats"
        lines += ["", f"## {data}: {about}", "", *_table(rows), "", *_statements(rows)]
    return "\n".join(lines)


def _table(rows: list[dict]) -> list[str]:
    rankings = list(dict.fromkeys(name for row in rows for name in row["areas"]))
    columns = [*LABELS, *rankings, "to the LMM"]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---:|" * len(columns)]
    for row in rows:
        areas = {name: np.array(values) for name, values in row["areas"].items()}
        difference = paired_interval(areas["LMM-Lasso"], areas["LMM"])
        cells = [
            *(f"{row[factor]:g}" for factor in LABELS),
            *(_text(areas[name]) if name in areas else "" for name in rankings),
            f"{difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _text(values: np.ndarray) -> str:
    return f"{values.mean():.3f} ± {_error(values):.3f}"


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _statements(rows: list[dict]) -> list[str]:
    structured = [row for row in rows if row["structure"] > 0]
    lines = []
    for rival in ("Lasso", "LM"):
        pairs = [(row["areas"]["LMM-Lasso"], row["areas"][rival]) for row in structured]
        apart = [recovery.is_above(*pair) for pair in pairs]
        missing = [
            f"{_name(row, rows[0])} (paired: {recovery.verdict(*pair)})"
            for row, pair, is_apart in zip(structured, pairs, apart, strict=True)
            if not is_apart
        ]
        lines.append(
            f"* LMM-Lasso against {rival}, with structure: its 95 % interval is above in "
            f"{sum(apart)} of {len(apart)} settings{_list('; not with ', missing)}."
        )
    for name in dict.fromkeys(name for row in rows for name in row["areas"]):
        if name.startswith("LMM-Lasso"):
            some = [row for row in rows if name in row["areas"]]
            lines.append(f"* {name} against LMM, paired: {_against_lmm(some, name, rows[0])}.")
    return lines


def _against_lmm(rows: list[dict], name: str, default: dict) -> str:
    found = {"ahead": [], "behind": [], "undecided": []}
    for row in rows:
        verdict = recovery.verdict(row["areas"][name], row["areas"]["LMM"])
        found[verdict].append(_name(row, default))
    return "; ".join(
        f"{verdict} in {len(names)} of {len(rows)}{_list(': ', names)}"
        for verdict, names in found.items()
    )


def _list(before: str, names: list[str]) -> str:
    return before + ", ".join(names) if names else ""


def _name(row: dict, default: dict) -> str:
    """Say in what a setting differs from the default, which has one name of its own."""
    differing = differs_in(row, default)
    return ", ".join(f"{factor} {row[factor]:g}" for factor in differing) or "default"


def draw(content: dict, path: Path) -> None:
    """Draw the areas against every factor, with standard errors."""
    from bench.accuracy import figures

    found = panels(content)
    with figures.sheet(path, len(found), n_columns=3, height=2.0) as sheet:
        for axes, (data, factor, rows) in zip(sheet, found, strict=True):
            x = np.arange(len(rows))
            for name in (*FIVE, RESCALED):
                areas = [np.array(row["areas"][name]) for row in rows]
                style = {"color": figures.OF_METHOD[name.split(",")[0]], "label": name}
                if name == RESCALED:
                    style["linestyle"] = "--"
                means, errors = [a.mean() for a in areas], [_error(a) for a in areas]
                axes.errorbar(x, means, errors, marker="o", elinewidth=0.6, **style)
            axes.set_xticks(x, [f"{row[factor]:g}" for row in rows])
            axes.set(xlabel=LABELS[factor], title=data)
            axes.set_ylim(bottom=0)
        for axes in sheet[::3]:
            axes.set_ylabel("area under PR")
        # where the curves fall, which leaves room
        factors = [factor for _, factor, _ in found]
        sheet[factors.index("n_causal") if "n_causal" in factors else 0].legend()
