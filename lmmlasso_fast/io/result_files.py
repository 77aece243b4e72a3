"""The result files of a prefix, read back when they are asked for."""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from lmmlasso_fast.errors import TableError
from lmmlasso_fast.io.regular import require_regular
from lmmlasso_fast.io.result_fields import check_fields
from lmmlasso_fast.io.text import failure, quote, read_text

#: Columns of text, and of whole numbers; all others are floats.
_TEXT = frozenset(
    (
        *("CHROM", "ID", "EFFECT_ALLELE", "OTHER_ALLELE", "ALLELE0", "ALLELE1", "A1", "TEST"),
        *("FID", "IID", "KEPT_ID", "LEAD_ID", "REASON"),
    )
)
_WHOLE = frozenset(
    (
        *("POS", "GENPOS", "START", "END", "N", "N_MISSING", "INDEX", "N_ACTIVE", "CONVERGED"),
        *("FOLD", "LD_GROUP", "N_SNPS", "N_GROUPS", "REPLICATE", "N_SELECTED", "FAILED", "SIGN"),
    )
)
#: Columns of numbers without NA, in every table.
_COMPLETE = frozenset(("POS", "GENPOS", "INDEX", "ALPHA", "N_ACTIVE", "BETA_STD"))


def _table(name: str) -> property:
    """P.NAME.tsv as a polars DataFrame, None if there is no such file."""
    return property(lambda self: self.table(name))


def _json(name: str) -> property:
    """The content of P.NAME.json, None if there is no such file."""
    return property(lambda self: self.json(name))


class ResultFiles:
    """What `lmmlasso` wrote under one prefix: every file is a property named after it.

    A table is a polars DataFrame with the file's columns: ids, chromosomes and alleles are text,
    NA among numbers is null. A .json is a dict. What does not exist is None. Files are read once,
    when they are first asked for.

    Parameters
    ----------
    prefix : path
        The --out of the commands; of one of several phenotypes OUT.NAME.

    Raises
    ------
    TableError
        By the properties: a file is not what lmmlasso writes.
    """

    path = _table("path")
    coef = _table("coef")
    selected = _table("selected")
    cv = _table("cv")
    cv_pred = _table("cv_pred")
    pred = _table("pred")
    scan = _table("scan")
    stability = _table("stability")
    stable = _table("stable")
    loci = _table("loci")
    bounds = _table("bounds")
    stability_path = _table("stability_path")
    replicates = _table("replicates")
    excluded = _table("excluded")
    duplicates = _table("duplicates")
    null = _json("null")
    calibration = _json("calibration")

    def __init__(self, prefix: str | os.PathLike):
        self.prefix = os.fspath(prefix)
        self._read: dict[str, object] = {}

    def file(self, suffix: str) -> Path:
        """Return the name of PREFIX.suffix, which need not exist."""
        return Path(f"{self.prefix}.{suffix}")

    def table(self, name: str):
        """Return PREFIX.name.tsv as a polars.DataFrame, None if there is none (`read_table`)."""
        return self._once(f"{name}.tsv", read_table)

    def json(self, name: str) -> dict | None:
        """Return the content of PREFIX.name.json, None if there is none."""
        return self._once(f"{name}.json", _read_json)

    def _once(self, suffix: str, read):
        if suffix not in self._read:
            path = self.file(suffix)
            self._read[suffix] = read(path) if path.exists() else None
        return self._read[suffix]

    @cached_property
    def run(self) -> dict | None:
        """P.run.json; of one of several phenotypes that of the whole run."""
        return _run_of(self.run_prefix)

    @cached_property
    def run_prefix(self) -> str:
        """The --out of the run: the prefix, or of OUT.NAME that of several phenotypes, OUT."""
        return self._whole[0]

    @cached_property
    def phenotype(self) -> str | None:
        """NAME of OUT.NAME, one of several phenotypes."""
        return self._whole[1]

    @cached_property
    def counts(self) -> dict:
        """What P.run.json counts; of one of several phenotypes its own."""
        run = self.run or {}
        return run.get("counts", {}) if self.phenotype is None else _phenotypes(run)[self.phenotype]

    @cached_property
    def lowest_frequency(self) -> float | None:
        """The lowest SEL_FREQ that was selected: a cutoff that selects what `stability` did.

        Of P.stable.tsv after `run`, else of P.selected.tsv if that has frequencies.
        """
        chosen = self.selected if self.stable is None else self.stable
        return (
            None if chosen is None or "SEL_FREQ" not in chosen.columns else chosen["SEL_FREQ"].min()
        )

    @cached_property
    def log(self) -> str | None:
        """P.log, found as P.run.json is."""
        path = f"{self.run_prefix}.log"
        try:
            require_regular(path)
            return Path(path).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise failure(
                TableError,
                path,
                "a log",
                expected="what lmmlasso wrote",
                found=error.strerror or quote(str(error)),
                advice="have it written again",
            ) from error

    def exist(self) -> bool:
        """Whether there is any of the files."""
        names = [name for name, value in vars(type(self)).items() if _is_file(value)]
        return any(
            os.path.exists(f"{self.prefix}.{name}.{end}")
            for name in names
            for end in ("tsv", "json")
        )

    @cached_property
    def _whole(self) -> tuple[str, str | None]:
        """The prefix of the run, and which of its several phenotypes this is."""
        if self.file("run.json").exists():
            return self.prefix, None
        folder, name = os.path.split(self.prefix)
        for at in range(1, len(name)):
            if name[at] == ".":
                whole = os.path.join(folder, name[:at])
                if name[at + 1 :] in _phenotypes(_run_of(whole) or {}):
                    return whole, name[at + 1 :]
        return self.prefix, None


@contextmanager
def expected_columns(where: str) -> Iterator[None]:
    """Raise a TableError that begins with `where` if a result file lacks a column."""
    import polars as pl

    try:
        yield
    except pl.exceptions.ColumnNotFoundError as error:
        what = str(error).splitlines()[0]
        raise TableError(
            f"{where}: {what}: expected tables as lmmlasso writes them, found others; run the "
            "command that made them again"
        ) from error


def _run_of(prefix: str) -> dict | None:
    path = Path(f"{prefix}.run.json")
    return _read_json(path) if path.exists() else None


def _is_file(value) -> bool:
    return isinstance(value, property)


def _phenotypes(run: dict) -> dict[str, dict]:
    """The counts of a run of several phenotypes, by what their files are named after."""
    return run.get("counts", {}).get("phenotypes", {})


def read_table(path, columns=None):
    """Read a table that `lmmlasso_fast.io.results.write_table` wrote.

    Parameters
    ----------
    path : path
    columns : sequence of str, optional
        Only these.

    Returns
    -------
    polars.DataFrame
        Ids, chromosomes, alleles and reasons are text, everything else integers or floats, with
        null for NA.

    Raises
    ------
    TableError
        The file cannot be read, is empty, or lacks one of `columns`; or a field is not what its
        column holds: NaN and infinities are no numbers.
    """
    import polars as pl

    text = read_text(path, TableError)
    rows = text.fields(tabs_only=True)
    header = list(rows.row(0))
    if None in header or len(set(header)) < len(header):
        raise text.failure(
            "bad header",
            expected="names that differ, as lmmlasso writes them",
            found=", ".join("no name" if name is None else quote(name) for name in header),
            advice="run the command that made it again",
            line=1,
        )
    columns = header if columns is None else columns
    if not set(columns) <= set(header):
        raise text.failure(
            "other columns",
            expected=f"the columns {', '.join(columns)}, as lmmlasso writes them",
            found=", ".join(map(quote, header[:8])),
            advice="run the command again that writes it",
        )
    rows = rows[1:].rename(dict(zip(rows.columns, header, strict=True)))
    return pl.DataFrame([_numbers(text, rows[name]) for name in columns])


def _numbers(text, column):
    """Return a column as what its name says."""
    import polars as pl

    if column.name in _TEXT:
        return column.fill_null("")
    column = column.set(column == "NA", None)
    numbers = column.cast(pl.Int64 if column.name in _WHOLE else pl.Float64, strict=False)
    bad = (numbers.is_null() | ~numbers.is_finite()).fill_null(True) & column.is_not_null()
    complete = column.name in _COMPLETE
    if complete:
        bad |= column.is_null()
    if not bad.any():
        return numbers
    row = bad.arg_max()
    raise text.failure(
        f"column {quote(column.name)}",
        expected="a number" if complete else "a number or NA",
        found=quote(column[row] or "NA"),
        advice="run the command that made the file again",
        line=text.line_of_row(row + 1),
    )


def _read_json(path) -> dict:
    text = read_text(path, TableError)
    try:
        content = finite_json(text.data)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise failure(
            TableError,
            str(path),
            "not a result file",
            expected="the JSON that lmmlasso writes",
            found="something else",
            advice="run the command that made it again",
        )
    check_fields(path, content)
    parts = [content.get(name, {}) for name in ("counts", "exit", "kinship")]
    for part in parts + content.get("chromosomes", []):
        check_fields(path, part)
    return content


def finite_json(data: str | bytes):
    """What JSON holds; ValueError or RecursionError if it is none, or a number is too large."""
    return json.loads(data, parse_constant=_finite, parse_float=_finite, parse_int=_whole)


def _whole(text: str) -> int:
    _finite(text)  # or it could not be computed with
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
