"""What the report's page shows, as plain lists and numbers."""

import os

import numpy as np
import polars as pl

from lmmlasso_fast.chromosomes import natural_key
from lmmlasso_fast.io.result_files import ResultFiles
from lmmlasso_fast.report import genome as on_genome
from lmmlasso_fast.report.run_card import certificates, read_and_dropped, run_card, warnings
from lmmlasso_fast.report.snps import KEYS, chosen_index, entry_table, scan_as_snps, snp_table

#: Of the SNPs on the path so many are drawn.
PATH_SNPS = 100
#: Held-out predictions that are drawn; the statistics are of all.
SAMPLES = 4_000
#: LD groups whose selection frequencies along the path are drawn, and those listed.
PATH_GROUPS, GROUPS = 12, 500
#: Ids on plots end after so many characters, texts of tables after more.
ID_LENGTH, TEXT_LENGTH = 80, 200
#: Ranks of the quantile plot that are drawn: all of the first, then so many evenly on a log scale.
FIRST_RANKS, RANKS = 100, 300


def report_content(files: ResultFiles) -> dict:
    """Return everything the page's scripts need; sections without a file are None.

    Floats of the tables are those of the files, coordinates of points rounded.
    """
    entries = entry_table(files)
    table = snp_table(files, entries)
    return {
        "title": os.path.basename(files.prefix),
        "card": run_card(files),
        "read": read_and_dropped(files),
        "certificates": certificates(files),
        "warnings": warnings(files),
        "null": _null(files),
        "manhattan": _manhattan(files, table),
        "quantiles": _quantiles(files),
        "path": _path(files, entries, table),
        "cv": _columns(files.cv, "ALPHA", "N_ACTIVE", "EXPLAINED_VARIANCE", "SE", "CORRELATION"),
        "stability": _stability(files),
        "prediction": _prediction(files),
        "table": {
            "columns": [
                {"name": name, "numeric": table[name].dtype.is_numeric()} for name in table.columns
            ],
            "values": [_values(table[name]) for name in table.columns],
        },
        "provenance": {"run": files.run, "log": files.log},
    }


def _columns(frame: pl.DataFrame | None, *names: str) -> dict | None:
    """A table as lists, of these columns or of all; None if it has no rows."""
    if frame is None or not len(frame):
        return None
    return {name: _values(frame[name]) for name in names or frame.columns}


def _values(column: pl.Series) -> list:
    """A column as a list; of long texts (alleles of structural variants) the beginning."""
    if column.dtype != pl.String:
        return column.to_list()
    return [_beginning(text) for text in column]


def _beginning(text: str) -> str:
    if len(text) <= TEXT_LENGTH:
        return text
    return f"{text[:TEXT_LENGTH]}… ({len(text):,} characters)"


def _null(files: ResultFiles) -> dict | None:
    """The likelihood profile, or with --loco the null model of every chromosome."""
    if files.null is None:
        return None
    names = ("h2", "h2_se", "log_delta", "log_likelihood", "method", "profile", "chromosomes")
    return {name: files.null[name] for name in names if name in files.null}


def _short(names: pl.Series) -> list[str]:
    return [name if len(name) <= ID_LENGTH else name[:ID_LENGTH] + "…" for name in names]


def _manhattan(files: ResultFiles, table: pl.DataFrame) -> dict | None:
    """Points on the genome: of the scan as `genome` reduces it; without one of the table alone."""
    if not len(table):
        return None
    scan = scan_as_snps(files)
    if scan is None:
        order = sorted(
            range(len(table)),
            key=lambda row: (natural_key(table["CHROM"][row]), table["POS"][row]),
        )
        snps = table[order]
        height = np.full(len(snps), np.nan)
    else:
        snps = scan
        height = scan["LOG10P"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    genome = on_genome.lay_out(snps["CHROM"], snps["POS"].to_numpy())
    rows = pl.DataFrame(table.select(KEYS)).with_row_index("ROW")
    matched = snps.select(KEYS).join(
        rows.unique(subset=KEYS, keep="first"), on=KEYS, how="left", maintain_order="left"
    )["ROW"]
    in_table = np.flatnonzero(matched.is_not_null().to_numpy())
    peaks = on_genome.find_peaks(genome, height)
    # then around what the other analyses point at: the table begins with what was selected
    first = in_table[np.argsort(matched[in_table].to_numpy(), kind="stable")]
    centres = np.concatenate([peaks, first[: on_genome.N_PEAKS]])
    exact = on_genome.exact_snps(genome, height, centres, always=in_table)
    rest = np.setdiff1d(np.arange(len(height)), exact)
    shown = snps[exact]
    where = np.searchsorted(exact, peaks)
    return {
        "scan": scan is not None,
        "test": scan["TEST"][0] if scan is not None and len(scan) else None,
        "n": len(snps),
        "n_exact": len(exact),
        "chromosomes": {
            "name": [_beginning(name) for name in genome.names],
            "start": np.round(genome.start).tolist(),
            "first": genome.first.tolist(),
            "last": genome.last.tolist(),
        },
        "points": {
            "chrom": genome.chromosome[exact].tolist(),
            "pos": np.round(genome.position[exact]).astype(np.int64).tolist(),
            "place": {
                int(k): f"{_beginning(shown['CHROM'][int(k)])}:{shown['POS'][int(k)]:,}"
                for k in np.flatnonzero(genome.pooled[exact] & genome.known[exact])
            },
            "unknown": np.flatnonzero(~genome.known[exact]).tolist(),
            "id": _short(shown["ID"]),
            "height": [None if np.isnan(h) else round(float(h), 3) for h in height[exact]],
            "row": [-1 if row is None else row for row in matched[exact].to_list()],
        },
        "peaks": where.tolist(),
        "bins": on_genome.bins(genome, height, rest),
        "window": on_genome.WINDOW,
    }


def _quantiles(files: ResultFiles) -> dict | None:
    """-log10 p expected without any effect and observed, and genomic-control lambda."""
    if files.scan is None:
        return None
    tests = files.scan.select("N", "CHISQ", "LOG10P").drop_nulls()
    if not len(tests):
        return None
    from lmmlasso_fast.association import median_of_f

    observed = tests["LOG10P"].sort(descending=True).to_numpy()
    n = len(observed)
    ranks = np.unique(
        np.concatenate([np.arange(min(n, FIRST_RANKS)), np.geomspace(1, n, RANKS).astype(int) - 1])
    )
    n_covariates = len((files.null or {}).get("covariates", ["intercept"]))
    df = max(int(tests["N"][0]) - n_covariates - 1, 1)
    return {
        "expected": np.round(-np.log10((ranks + 0.5) / n), 4).tolist(),
        "observed": np.round(observed[ranks], 4).tolist(),
        "lambda": float(tests["CHISQ"].median()) / median_of_f(df),
        "n": n,
    }


def _path(files: ResultFiles, entries: pl.DataFrame | None, table: pl.DataFrame) -> dict | None:
    """P.path.tsv as it is, and the coefficients of the SNPs that enter first or are chosen."""
    if files.path is None or not len(files.path):
        return None
    index = chosen_index(files)
    content = {"rows": _columns(files.path), "chosen": index}
    if entries is None:
        return content | {"snps": [], "n_snps": 0}
    coef = files.coef
    at_chosen = coef.filter(pl.col("INDEX") == index).select(
        *KEYS, pl.col("BETA_STD").abs().alias("CHOSEN")
    )
    at_chosen = at_chosen.unique(subset=KEYS, keep="first")
    ranked = entries.join(at_chosen, on=KEYS, how="left", maintain_order="left")
    drawn = pl.concat([ranked.drop_nulls("CHOSEN").top_k(PATH_SNPS // 2, by="CHOSEN"), ranked])
    drawn = drawn.unique(subset=KEYS, keep="first", maintain_order=True)[:PATH_SNPS]
    rows = table.select(KEYS).with_row_index("ROW").unique(subset=KEYS, keep="first")
    drawn = drawn.select(KEYS).join(rows, on=KEYS, how="left", maintain_order="left")
    lines = coef.join(drawn.with_row_index("DRAWN").drop("ROW"), on=KEYS)
    at = lines.group_by("DRAWN").agg("INDEX", "BETA_STD").sort("DRAWN")
    return content | {
        "n_snps": len(entries),
        "snps": [
            {
                "id": name,
                "chrom": _beginning(chromosome),
                "row": -1 if row is None else row,
                "index": indices,
                "beta": [float(f"{value:.5g}") for value in values],
            }
            for name, chromosome, row, indices, values in zip(
                _short(drawn["ID"]),
                drawn["CHROM"],
                drawn["ROW"],
                at["INDEX"].to_list(),
                at["BETA_STD"].to_list(),
                strict=True,
            )
        ],
    }


def _stability(files: ResultFiles) -> dict | None:
    """Bounds by cutoff, and frequencies of LD groups and of SNPs."""
    if files.stability is None and files.loci is None:
        return None
    groups = None if files.loci is None else files.loci[:GROUPS]
    return {
        "bounds": _columns(files.bounds),
        "cutoff": _cutoff(files),
        "groups": _columns(groups),
        "n_groups": 0 if files.loci is None else len(files.loci),
        "frequencies": None if files.stability is None else files.stability["SEL_FREQ"].to_list(),
        "path": _stability_path(files),
        "n_replicates": None if files.replicates is None else len(files.replicates),
    }


def _cutoff(files: ResultFiles) -> float | None:
    """The --cutoff of the run; without one (--max-false) the lowest frequency it selected."""
    run = files.run or {}
    given = None
    if run.get("subcommand") in ("stability", "run"):
        given = run.get("options", {}).get("cutoff")
    return files.lowest_frequency if given is None else given


def _stability_path(files: ResultFiles) -> dict | None:
    along = files.stability_path
    if along is None:
        return None
    level = "ALPHA" if "ALPHA" in along.columns else "N_ACTIVE"
    first = along.filter(pl.col("LD_GROUP") <= PATH_GROUPS)
    lines = first.group_by("LD_GROUP", maintain_order=True).agg("ID", level, "SEL_FREQ")
    return {
        "level": level,
        "lines": [
            {"id": _short(pl.Series(ids[:1]))[0], "x": levels, "y": frequencies}
            for ids, levels, frequencies in lines.select("ID", level, "SEL_FREQ").iter_rows()
        ],
    }


def _spread(values: pl.Series) -> float | None:
    """Standard deviation; of equal values zero, without rounding."""
    return 0.0 if values.n_unique() == 1 else values.std(ddof=0)


def _prediction(files: ResultFiles) -> dict | None:
    """Observed against held-out predictions, without sample ids, and the spread of the parts."""
    content = {}
    if files.pred is not None:
        names = [name for name in files.pred.columns if name.startswith("PRED")]
        content["parts"] = [
            {"name": name, "sd": _spread(files.pred[name])} for name in names if len(files.pred)
        ]
        content["n_samples"] = len(files.pred)
    held_out = None if files.cv_pred is None else files.cv_pred.drop_nulls(["PHENOTYPE", "PRED"])
    if held_out is not None and len(held_out):
        observed = held_out["PHENOTYPE"].to_numpy()
        predicted = held_out["PRED"].to_numpy()
        drawn = np.unique(np.linspace(0, len(observed) - 1, SAMPLES).astype(int))
        constant = np.ptp(observed) == 0 or np.ptp(predicted) == 0
        content["held_out"] = {
            "observed": [float(f"{value:.5g}") for value in observed[drawn]],
            "predicted": [float(f"{value:.5g}") for value in predicted[drawn]],
            "fold": held_out["FOLD"].to_numpy()[drawn].tolist(),
            "n": len(observed),
            "correlation": None if constant else float(np.corrcoef(observed, predicted)[0, 1]),
            "rmse": float(np.sqrt(np.mean((observed - predicted) ** 2))),
        }
    return content or None
