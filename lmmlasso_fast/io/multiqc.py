"""What finished runs found, as a table that MultiQC shows ("custom content")."""

import os
from collections.abc import Iterable
from pathlib import Path

from lmmlasso_fast.association import median_of_f
from lmmlasso_fast.errors import InputError, TableError
from lmmlasso_fast.io.regular import require_regular
from lmmlasso_fast.io.result_fields import check_fields
from lmmlasso_fast.io.result_files import ResultFiles, finite_json, read_table
from lmmlasso_fast.io.text import failure, quote

#: Title, description, format of the numbers and colours of each column, in MultiQC's words.
_HEADERS = {
    "COMMAND": ("Command", "Subcommand of lmmlasso", None, False),
    "EXIT": ("Exit code", "0 ok, 3 bad input, 4 not converged (with --strict)", "{:d}", False),
    "WARNINGS": ("Warnings", "How many P.run.json and P.log have", "{:d}", "Oranges"),
    "SAMPLES": ("Samples", "Analysed", "{:,d}", "Greys"),
    "VARIANTS": ("SNPs", "Offered to the model", "{:,d}", "Greys"),
    "H2": ("h2", "Share of the random effect in the variance, without SNPs", "{:.3f}", "Blues"),
    "H2_SE": ("h2 SE", "Standard error of h2", "{:.3f}", "Blues"),
    "FLAGS": ("Null model", "What makes h2 doubtful", None, False),
    "NOT_CONVERGED": ("Not converged", "Alphas with too large a duality gap", "{:d}", "Reds"),
    "SELECTED": ("Selected", "SNPs in P.selected.tsv", "{:d}", "Greens"),
    "EXPLAINED": ("CV R2", "Best explained variance of held-out samples", "{:.3f}", "Purples"),
    "EXPLAINED_SE": ("CV R2 SE", "Its standard error over folds", "{:.3f}", "Purples"),
    "LAMBDA": ("Lambda GC", "Genomic control of the scan, 1 if all is well", "{:.3f}", "RdYlGn"),
    "LOG10P": ("-log10 p", "Largest of the scan", "{:.2f}", "Reds"),
}
#: Files that are read here, of those that a command may write.
_FILES = ("null.json", "path.tsv", "selected.tsv", "cv.tsv", "scan.tsv")
_FLAGS = ("at_boundary", "multimodal", "flat")
#: Exit codes after which there are result files.
_FINISHED = (0, 4)

#: None of the statistics here, which have no unit, is larger; their sums are finite.
_LARGEST = 1e150


def multiqc_content(prefixes: Iterable[str | os.PathLike]) -> dict:
    """What P.lmmlasso_mqc.json holds: one row per run and phenotype.

    Only files that P.run.json lists are read: what an earlier run left under the same prefix is not
    taken for this one's. A run that failed has a row with its exit code.

    Parameters
    ----------
    prefixes : iterable of path
        The --out of each run, or OUT.NAME of one of its several phenotypes. Rows are
        named after what follows the last slash, and after the whole prefix where that is ambiguous.

    Returns
    -------
    dict
        Finite JSON: MultiQC's custom content of plot type "table".

    Raises
    ------
    InputError
        No P.run.json of this program, a file that it lists is not there or malformed, or one
        prefix is given twice.
    """
    prefixes = [os.fspath(prefix) for prefix in prefixes]
    for prefix in prefixes:
        if prefixes.count(prefix) > 1:
            raise InputError(
                f"prefixes: expected each once, found {prefix!r} several times; leave one out"
            )
    files = [ResultFiles(prefix) for prefix in prefixes]
    runs = dict.fromkeys(one.run_prefix for one in files)
    names = [os.path.basename(prefix) for prefix in runs]
    rows = {}
    for one in files:
        name = os.path.basename(one.run_prefix)
        for phenotype, row in _rows(one.run_prefix).items():
            if one.phenotype is None or phenotype in ("", f".{one.phenotype}"):
                rows[(one.run_prefix if names.count(name) > 1 else name) + phenotype] = row
    present = {column for row in rows.values() for column in row}
    return {
        "id": "lmmlasso",
        "section_name": "LMM-Lasso",
        "description": "Lasso over all SNPs with a random effect for kinship, by lmmlasso.",
        "plot_type": "table",
        "pconfig": {"id": "lmmlasso_table", "title": "LMM-Lasso: runs"},
        "headers": {
            column: _header(*header) for column, header in _HEADERS.items() if column in present
        },
        "data": rows,
    }


def _header(title: str, description: str, number: str | None, scale: str | bool) -> dict:
    header = {"title": title, "description": description, "scale": scale}
    return header | ({} if number is None else {"format": number})


def _rows(prefix: str) -> dict[str, dict]:
    """The rows of one run: by ".NAME" of the phenotype, by "" if there is only one."""
    record = f"{prefix}.run.json"
    run = _read_json(record)
    if not isinstance(run, dict) or run.get("program") != "lmmlasso" or "outputs" not in run:
        raise failure(
            InputError,
            record,
            "not the record of a run",
            expected="what lmmlasso writes, with the names of its outputs",
            found="something else, or of an older version",
            advice="name the --out of a run of this version",
        )
    check_fields(record, run, ("subcommand", "outputs", "counts", "warnings", "exit"))
    check_fields(record, run["exit"], ("code",))
    check_fields(record, run["counts"])
    common = {"COMMAND": run["subcommand"], "EXIT": run["exit"]["code"]}
    common["WARNINGS"] = len(run["warnings"])
    if run["exit"]["code"] not in _FINISHED:
        return {"": common}
    written: dict[str, set[str]] = {}
    for suffix in run["outputs"]:
        name = next((name for name in _FILES if f".{suffix}".endswith(f".{name}")), None)
        if name is not None:
            written.setdefault(f".{suffix}".removesuffix(f".{name}"), set()).add(name)
    counts = {f".{name}": of for name, of in run["counts"].get("phenotypes", {}).items()}
    return {
        phenotype: common
        | {
            key.upper(): counted[key]
            for counted in (counts.get(phenotype, run["counts"]),)
            for key in ("samples", "variants")
            if key in counted
        }
        | _found(f"{prefix}{phenotype}", names)
        for phenotype, names in (written or {"": set()}).items()
    }


def _found(prefix: str, names: set[str]) -> dict:
    """The columns that the files of one phenotype have."""
    row, n_covariates = {}, None
    if "null.json" in names:
        null = _read_null(f"{prefix}.null.json")
        n_covariates = len(null["covariates"])
        if "h2" in null:  # with --loco there is one for every chromosome
            row["H2"] = null["h2"]
            if null["h2_se"] is not None:
                row["H2_SE"] = null["h2_se"]
            row["FLAGS"] = (
                ", ".join(flag.replace("_", " ") for flag in _FLAGS if null[flag]) or "ok"
            )
    if "path.tsv" in names:
        converged = _read_columns(f"{prefix}.path.tsv", ["CONVERGED"])["CONVERGED"]
        row["NOT_CONVERGED"] = len(converged) - int(converged.sum())
    if "selected.tsv" in names:
        row["SELECTED"] = len(_read_columns(f"{prefix}.selected.tsv", ["ID"]))
    if "cv.tsv" in names:
        cv = _read_columns(f"{prefix}.cv.tsv", ["EXPLAINED_VARIANCE", "SE"]).drop_nulls()
        if len(cv):
            row["EXPLAINED"], row["EXPLAINED_SE"] = cv.row(cv["EXPLAINED_VARIANCE"].arg_max())
    if "scan.tsv" in names:
        scan = _read_columns(f"{prefix}.scan.tsv", ["N", "CHISQ", "LOG10P"]).drop_nulls()
        if len(scan):
            row["LOG10P"] = scan["LOG10P"].max()
            if n_covariates is not None:
                degrees = scan["N"][0] - n_covariates - 1
                row["LAMBDA"] = scan["CHISQ"].median() / median_of_f(degrees)
    return row


def _read_null(path: str) -> dict:
    null = _read_json(path)
    if not isinstance(null, dict):
        raise failure(
            InputError,
            path,
            "not a null model",
            expected="the JSON object that lmmlasso writes",
            found="something else",
            advice="run the command that made it again",
        )
    check_fields(path, null, ("covariates", *(("h2_se", *_FLAGS) if "h2" in null else ())))
    return null


def _read_json(path: str):
    try:
        require_regular(path)
        return finite_json(Path(path).read_text(encoding="utf-8"))
    except OSError as problem:
        raise failure(
            InputError,
            path,
            "the file cannot be read",
            expected="a readable file",
            found=problem.strerror or str(problem),
            advice="give the --out of a run, and keep its files together",
        ) from problem
    except (ValueError, RecursionError) as problem:
        raise failure(
            TableError,
            path,
            "the file cannot be read",
            expected="JSON that lmmlasso wrote",
            found=str(problem)[:80],
            advice="run the command that made it again",
        ) from problem


def _read_columns(path: str, names: list[str]):
    """Some columns of a table of ours; those of numbers have NA as null."""
    import polars as pl

    table = read_table(path, names)
    for column in table.select(pl.col(pl.Float64)):
        absurd = ~(column.abs() <= _LARGEST)
        if absurd.any():
            raise failure(
                TableError,
                path,
                f"column {quote(column.name)}",
                expected=f"finite numbers, none beyond {_LARGEST:g}",
                found=str(column.filter(absurd)[0]),
                advice="run the command again that writes it",
            )
    return table
