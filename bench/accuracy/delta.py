"""`python -m bench.accuracy.delta --out delta.json`: delta from the null model, or refitted?

Structured populations are simulated with few or many causal SNPs and a weak or strong polygenic
background. On the same phenotypes four models go down the same path: delta fixed at the null
model's (as published), refitted along the path (`refit_path`), fixed at the simulation's own, which
nobody knows, and a plain Lasso without kinship. Compared are the variance explained in held-out
samples and the order in which SNPs enter. See docs/delta.md, which has the results.
"""

import argparse
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

import lmmlasso_fast as ll
from lmmlasso_fast.covariates import independent_columns
from lmmlasso_fast.cross_validation import cross_kinship
from lmmlasso_fast.errors import ConvergenceWarning
from lmmlasso_fast.null_model import fit_null_on_grid
from lmmlasso_fast.refit import SETTLED, refit_path
from lmmlasso_fast.simulation import simulate_genotypes, simulate_phenotype

N_TRAIN, N_TEST, N_VARIANTS = 400, 200, 4000
N_CAUSAL, H2_SNP, H2_STRUCTURE = (2, 5, 20, 100), 0.4, (0.05, 0.3)
#: Steps of 0.86 down to a tenth of alpha_max.
FRACTIONS = 0.1 ** (np.arange(16) / 15)
#: A SNP in LD with a causal one counts as that one from here on.
R2 = 0.5
MODELS = ("null", "refitted", "true", "plain")
#: Active SNPs as fixed effects: at most this share of the samples, a coarse grid for delta, rounds.
_FIXED_SHARE, _FIXED_GRID, _FIXED_ROUNDS = 0.25, np.linspace(-5.0, 5.0, 21), 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.accuracy.delta", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("delta.json"))
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--fixed-effects",
        type=int,
        default=0,
        metavar="N",
        help="in N of the repeats also refit delta with the active SNPs as fixed effects (slow)",
    )
    given = parser.parse_args()
    content = run(given.repeats, given.seed, given.fixed_effects)
    given.out.write_text(json.dumps(content, indent=1) + "\n")
    print(markdown(content))
    print(f"\nwrote {given.out}")


def run(repeats: int, seed: int = 0, n_fixed: int = 0, shape=(N_TRAIN, N_TEST, N_VARIANTS)) -> dict:
    """Return the options and one row per phenotype; the same seed gives the same rows."""
    rows = []
    for repeat in range(repeats):
        data = Data.simulate(seed, repeat, *shape)
        settings = [(n, h2) for n in N_CAUSAL for h2 in H2_STRUCTURE]
        for number, (n_causal, h2_structure) in enumerate(settings):
            phenotype = simulate_phenotype(
                data.dosages,
                n_causal=n_causal,
                h2_snp=H2_SNP,
                h2_structure=h2_structure,
                seed=_seed(seed, repeat, 1 + number),
            )
            row = {"repeat": repeat, "n_causal": n_causal, "h2_structure": h2_structure}
            rows.append(row | _compare(data, phenotype, h2_structure, repeat < n_fixed))
    return {
        "options": {"repeats": repeats, "seed": seed, "fixed_effects": n_fixed, "shape": shape},
        "h2_snp": H2_SNP,
        "versions": {name: version(name) for name in ("lmmlasso-fast", "numpy", "scipy")},
        "rows": rows,
    }


# ---- one phenotype -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Data:
    """Genotypes of one repeat; kinship and standardisation from the training samples alone."""

    dosages: np.ndarray
    train: np.ndarray
    test: np.ndarray
    genotypes: ll.Genotypes
    kinship: ll.Kinship
    new: ll.Genotypes
    new_kinship: np.ndarray

    @classmethod
    def simulate(cls, seed: int, repeat: int, n_train: int, n_test: int, p: int) -> "Data":
        stream = _seed(seed, repeat, 0)
        dosages = simulate_genotypes(n_train + n_test, p, seed=stream).dosages
        order = np.random.default_rng(stream).permutation(n_train + n_test)
        train, test = np.sort(order[:n_train]), np.sort(order[n_train:])
        genotypes = ll.Genotypes.from_array(dosages[train])
        new = ll.Genotypes.from_array(dosages[test])
        K = ll.kinship(genotypes, n_threads=1)
        return cls(dosages, train, test, genotypes, K, new, cross_kinship(new, genotypes, K))

    def predict(self, path: ll.LassoPath) -> np.ndarray:
        """Predictions of the test samples, n_test x m."""
        effects = path.coefs.tocsr()
        active = np.flatnonzero(np.diff(effects.indptr))
        X = self.new.columns(active, statistics=(self.genotypes.mean, self.genotypes.sd))
        total = path.gammas[0] + X @ effects[active].toarray()
        return total if path.null is None else total + self.new_kinship @ path.dual


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _compare(data: Data, phenotype, h2_structure: float, with_fixed: bool) -> dict:
    y, y_new = phenotype.y[data.train], phenotype.y[data.test]
    null = ll.fit_null(y, data.kinship)
    truth = float(np.log((1 - H2_SNP - h2_structure) / h2_structure))
    of_truth = ll.fit_null(y, data.kinship, log_delta=truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what did not settle is counted
        refitted = refit_path(data.genotypes, y, null, fractions=FRACTIONS, n_threads=1)
    paths = {
        "null": _fixed_delta(data.genotypes, y, null),
        "refitted": [refitted.at(k) for k in range(len(FRACTIONS))],
        "true": _fixed_delta(data.genotypes, y, of_truth),
        "plain": _fixed_delta(data.genotypes, y, None),
    }
    scores = {name: _explained(data, path, y, y_new) for name, path in paths.items()}
    linked = _linked(data.genotypes, phenotype.causal)
    row = {
        "log_delta": {
            "true": truth,
            "null": null.log_delta,
            "refitted": refitted.log_delta.tolist(),
        },
        "n_rounds": refitted.n_rounds.tolist(),
        "settled": refitted.settled.tolist(),
        "explained_variance": {name: score.tolist() for name, score in scores.items()},
        "average_precision": {
            name: average_precision(order_of_entry(path), linked) for name, path in paths.items()
        },
    }
    if with_fixed:
        row["fixed_effects"] = _fixed_effects(data, y, y_new, null)
    return row


def _fixed_delta(genotypes, y, null) -> list[ll.LassoPath]:
    """The usual path, which begins at alpha_max, as a list with one alpha each."""
    top = ll.lasso_path(genotypes, y, null, n_alphas=1, n_threads=1).alpha_max
    return [ll.lasso_path(genotypes, y, null, alphas=top * FRACTIONS, n_threads=1)]


def _explained(data: Data, paths: list[ll.LassoPath], y, y_new) -> np.ndarray:
    """1 - squared error / squared error of the training mean, at every step."""
    predictions = np.hstack([data.predict(path) for path in paths])
    errors = ((y_new[:, None] - predictions) ** 2).sum(axis=0)
    return 1 - errors / ((y_new - y.mean()) ** 2).sum()


# ---- recovery ------------------------------------------------------------------------------------


def _linked(genotypes: ll.Genotypes, causal: np.ndarray) -> np.ndarray:
    """p x n_causal: r2 of at least R2 in the training samples."""
    X = genotypes.columns(np.arange(genotypes.n_variants))
    return (X.T @ X[:, causal] / len(X)) ** 2 >= R2


def order_of_entry(paths: list[ll.LassoPath]) -> np.ndarray:
    """SNPs in the order in which they are first active; at one step the largest effect first."""
    seen, order = set(), []
    for path in paths:
        for k in range(len(path.alphas)):
            effects = path.coefs[:, [k]]
            largest_first = np.argsort(-np.abs(effects.data), kind="stable")
            new = [j for j in effects.indices[largest_first].tolist() if j not in seen]
            seen.update(new)
            order += new
    return np.array(order, dtype=np.int64)


def average_precision(order: np.ndarray, linked: np.ndarray) -> float:
    """Mean over the causal SNPs of the precision when each is found, 0 for those that are not.

    A SNP finds the causal ones that it is linked with. Linked only with ones that were found
    before, it counts neither for nor against.
    """
    found = np.zeros(linked.shape[1], dtype=bool)
    n_wrong, total = 0, 0.0
    for snp in order:
        new = linked[snp] & ~found
        if new.any():
            found |= new
            total += new.sum() * found.sum() / (found.sum() + n_wrong)
        elif not linked[snp].any():
            n_wrong += 1
    return float(total / len(found))


# ---- the other choice: active SNPs as fixed effects ----------------------------------------------


def _fixed_effects(data: Data, y, y_new, null: ll.NullModel) -> dict:
    """Alternate with delta from REML, the active SNPs being fixed effects, as far as it goes."""
    paths, settled = [], []
    for fraction in FRACTIONS:
        for _ in range(_FIXED_ROUNDS):
            top = ll.lasso_path(data.genotypes, y, null, n_alphas=1, n_threads=1).alpha_max
            path = ll.lasso_path(data.genotypes, y, null, alphas=fraction * top, n_threads=1)
            active = path.coefs.indices
            if len(active) > _FIXED_SHARE * len(y):
                break
            fixed = np.column_stack([null.design.matrix, data.genotypes.columns(active)])
            design = replace(null.design, matrix=fixed[:, independent_columns(fixed)])
            best = fit_null_on_grid(y, data.kinship, design, "reml", grid=_FIXED_GRID)
            change = abs(best.log_delta - null.log_delta)
            if change <= SETTLED:
                break
            null = replace(best, design=null.design)
        if len(active) > _FIXED_SHARE * len(y):
            break
        paths.append(path)
        settled.append(bool(change <= SETTLED))
    return {
        "explained_variance": _explained(data, paths, y, y_new).tolist(),
        "settled": settled,
    }


# ---- the tables ----------------------------------------------------------------------------------


def markdown(content: dict) -> str:
    """Return the results as Markdown tables: means over the repeats."""
    parts = [
        "Explained variance of held-out samples, at each model's best step:",
        _table(content["rows"], _explained_columns),
        "Average precision of the order of entry:",
        _table(content["rows"], _precision_columns),
        "log delta, median (quartiles); refitted at the step that predicts best:",
        _table(content["rows"], _delta_columns),
    ]
    with_fixed = [row for row in content["rows"] if "fixed_effects" in row]
    if with_fixed:
        parts += [
            "Explained variance with the active SNPs as fixed effects, over the steps with at most "
            f"{_FIXED_SHARE:g} n of them:",
            _table(with_fixed, _fixed_columns),
        ]
    return "\n\n".join(parts)


def _table(rows: list[dict], columns: Callable[[list[dict]], dict[str, str]]) -> str:
    lines = []
    for (n_causal, h2), some in _by_setting(rows):
        cells = {"causal SNPs": str(n_causal), "background": f"{h2:g}"} | columns(some)
        if not lines:
            lines += [list(cells), ["---:"] * len(cells)]
        lines.append(list(cells.values()))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _by_setting(rows: list[dict]) -> Iterator[tuple[tuple[int, float], list[dict]]]:
    for n_causal in N_CAUSAL:
        for h2 in H2_STRUCTURE:
            wanted = [r for r in rows if r["n_causal"] == n_causal and r["h2_structure"] == h2]
            yield (n_causal, h2), wanted


def _explained_columns(rows: list[dict]) -> dict[str, str]:
    return _four_models({m: [max(r["explained_variance"][m]) for r in rows] for m in MODELS})


def _precision_columns(rows: list[dict]) -> dict[str, str]:
    return _four_models({m: [r["average_precision"][m] for r in rows] for m in MODELS})


def _four_models(values: dict[str, list[float]]) -> dict[str, str]:
    cells = {name: f"{np.mean(values[name]):.3f}" for name in MODELS}
    difference = np.subtract(values["refitted"], values["null"])
    error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else np.nan
    cells["refitted - null"] = f"{difference.mean():+.3f} ± {error:.3f}"
    return cells


def _delta_columns(rows: list[dict]) -> dict[str, str]:
    best = [int(np.argmax(r["explained_variance"]["refitted"])) for r in rows]
    chosen = [r["log_delta"]["refitted"][k] for r, k in zip(rows, best, strict=True)]
    settled = np.concatenate([r["settled"] for r in rows])
    at_top = np.concatenate([r["log_delta"]["refitted"] for r in rows]) == 5.0
    return {
        "true": f"{rows[0]['log_delta']['true']:.2f}",
        "null": _quartiles([r["log_delta"]["null"] for r in rows]),
        "refitted": _quartiles(chosen),
        "steps at the upper end": f"{at_top.mean():.0%}",
        "steps not settled": f"{1 - settled.mean():.1%}",
        "rounds per step": f"{np.concatenate([r['n_rounds'] for r in rows]).mean():.1f}",
    }


def _quartiles(values: list[float]) -> str:
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.2f} ({low:.2f}, {high:.2f})"


def _fixed_columns(rows: list[dict]) -> dict[str, str]:
    cells, fixed = {}, [row["fixed_effects"] for row in rows]
    lengths = [len(one["settled"]) for one in fixed]
    for name in ("null", "refitted"):
        best = [max(r["explained_variance"][name][:m]) for r, m in zip(rows, lengths, strict=True)]
        cells[name] = f"{np.mean(best):.3f}"
    cells["fixed effects"] = f"{np.mean([max(one['explained_variance']) for one in fixed]):.3f}"
    unsettled = [
        1 - np.concatenate([r["settled"][:m] for r, m in zip(rows, lengths, strict=True)]).mean(),
        1 - np.concatenate([one["settled"] for one in fixed]).mean(),
    ]
    cells["refitted: not settled"] = f"{unsettled[0]:.1%}"
    cells["fixed effects: not settled"] = f"{unsettled[1]:.1%}"
    return cells


if __name__ == "__main__":
    main()
