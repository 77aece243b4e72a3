"""Phenotype and covariate tables.

A table is text with a header line that starts with the sample ids: ``FID IID``, ``#FID IID``, or
``IID`` / ``#IID`` alone. Ids stay text. When the header names the ids with tabs only between them,
every single tab separates two fields, so that fields may be empty (missing) or contain spaces;
otherwise any run of spaces and tabs separates. Blank lines are ignored.
"""

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lmmlasso_fast.errors import (
    CovariateError,
    DataWarning,
    InputError,
    PhenotypeError,
    TableError,
)
from lmmlasso_fast.io.text import BLANKS, Text, quote, read_text, split_blanks
from lmmlasso_fast.suggestions import listed

if TYPE_CHECKING:
    import polars as pl

MAX_LEVELS = 50
#: Columns that one range may name; no table has as many, and memory ends somewhere.
_MAX_RANGE = 100_000


def read_table(path: str | os.PathLike) -> "pl.DataFrame":
    """Read a table of samples as text.

    Parameters
    ----------
    path : path
        Whitespace- or tab-separated text, plain, gzipped or compressed by zstd (see the module's
        description).

    Returns
    -------
    polars.DataFrame
        String columns FID, IID and the others in the file's order; null is an empty field. FID is
        null everywhere when the file has IID only.

    Raises
    ------
    TableError
        The file cannot be read, is empty or has no data row; its header does not start with the
        ids or repeats a name; a line has the wrong number of columns, a NUL byte, bytes that are
        not UTF-8 or no id; a sample occurs twice. The message names the line.
    """
    return _read_table(path)[1]


def read_phenotypes(
    path: str | os.PathLike,
    names: str | Sequence[str] | None = None,
    missing_codes: Sequence[str] = (),
) -> "pl.DataFrame":
    """Read phenotypes as numbers.

    NA, nan (in any case), "." and an empty field are missing.

    Parameters
    ----------
    path : path
        See `read_table`.
    names : str or sequence of str, optional
        The columns to read, see `expand_names`; by default all.
    missing_codes : sequence of str, default ()
        Further values that mean missing, compared as numbers if they are numbers. PLINK 1 takes
        -9 for missing and other programs take it for a value, so that a -9 is an error unless
        this has "-9", or "none" for "-9 is a value".

    Returns
    -------
    polars.DataFrame
        FID, IID (String) and Float64 columns, null where missing.

    Raises
    ------
    TableError
        See `read_table`; also if a name is not among the columns.
    PhenotypeError
        A value is text, infinite or an unexplained -9; the message names line and column.
    """
    return _read_values(path, names, missing_codes, PhenotypeError, keep_text=False)


def read_covariates(
    path: str | os.PathLike,
    names: str | Sequence[str] | None = None,
    missing_codes: Sequence[str] = (),
    categorical: str | Sequence[str] = (),
) -> "pl.DataFrame":
    """Read covariates: numbers, and categories for columns with any text.

    Parameters
    ----------
    path, names, missing_codes
        As in `read_phenotypes`, and so are missing values.
    categorical : str or sequence of str, default ()
        Columns that are categories even if all values are numbers (a batch, a cage), see
        `expand_names`. Those that `names` lacks are read too, after the others.

    Returns
    -------
    polars.DataFrame
        FID, IID (String), Float64 columns, and a String column for each covariate that is
        categorical or has a value that is neither missing nor a number; null where missing.
        Categories are text: 1 and 1.0 are two. See `encode_covariates`.

    Raises
    ------
    TableError
        See `read_phenotypes`.
    CovariateError
        A value is infinite or an unexplained -9; the message names line and column.
    """
    categorical = expand_names(categorical) if categorical else []
    if names is not None:
        names = list(dict.fromkeys([*expand_names(names), *categorical]))
    return _read_values(
        path, names, missing_codes, CovariateError, keep_text=True, categorical=categorical
    )


def expand_names(names: str | Sequence[str]) -> list[str]:
    """Expand lists with commas and ranges: "age,PC{1:3}" is age, PC1, PC2, PC3.

    Parameters
    ----------
    names : str or sequence of str
        Each may be a list with commas; {a:b} stands for the whole numbers from a to b.

    Returns
    -------
    list of str
        In the order given, repetitions removed.

    Raises
    ------
    TableError
        An empty name, braces that are not such a range, or a range of more than 100,000 names.
    """
    expanded = []
    for name in ",".join([names] if isinstance(names, str) else names).split(","):
        match = re.fullmatch(r"([^{}]*)\{([0-9]{1,18}):([0-9]{1,18})\}([^{}]*)", name.strip())
        if match:
            before, first, last, after = match.groups()
            if int(last) - int(first) >= _MAX_RANGE:
                raise TableError(
                    f"column names {quote(name)}: expected a range of at most {_MAX_RANGE:,} "
                    f"names, found {int(last) - int(first) + 1:,}; correct its ends"
                )
            numbered = [f"{before}{k}{after}" for k in range(int(first), int(last) + 1)]
        else:
            numbered = [name.strip()]
        if not numbered or not all(numbered) or (not match and re.search("[{}]", name)):
            raise TableError(
                f"column names {quote(name)}: expected a name, or a range such as PC{{1:10}} with "
                "the smaller number first, found neither; separate names by single commas"
            )
        expanded += numbered
    return list(dict.fromkeys(expanded))


def encode_covariates(covariates: "pl.DataFrame") -> tuple[np.ndarray, list[str]]:
    """Turn covariates into numbers, categories into indicators.

    Parameters
    ----------
    covariates : polars.DataFrame
        Numeric and String columns as from `read_covariates`, without the ids and without missing
        values.

    Returns
    -------
    matrix : (n, k) float64 array
        A String column with levels a < b < c (sorted as text) becomes the indicators of b and c;
        one with a single level becomes nothing, with a DataWarning.
    names : list of str
        One per column; an indicator is named "column=level".

    Raises
    ------
    CovariateError
        A value is missing, or a String column has more than 50 levels or more levels than half
        the samples: identifiers, or numbers with a stray word among them.
    """
    import polars as pl

    n_samples = covariates.height
    columns, names = [], []
    for series in covariates:
        if series.null_count():
            raise CovariateError(
                f"covariate {quote(series.name)}: expected no missing value, found "
                f"{series.null_count()} among {n_samples} samples; remove these samples first"
            )
        if series.dtype.is_numeric() or series.dtype == pl.Boolean:
            columns.append(series.to_numpy())
            names.append(series.name)
        else:
            levels = series.cast(pl.String).unique().sort().to_list()
            if len(levels) > MAX_LEVELS or len(levels) > n_samples / 2:
                raise CovariateError(
                    f"covariate {quote(series.name)}: expected numbers, or categories with at "
                    f"most {MAX_LEVELS} levels and at least two samples per level on average, "
                    f"found {len(levels)} levels in {n_samples} samples, such as "
                    f"{', '.join(quote(level) for level in levels[:3])}; correct the values, or "
                    "leave the column out"
                )
            if len(levels) == 1:
                warnings.warn(
                    f"covariate {quote(series.name)} is left out: it has the one level "
                    f"{quote(levels[0])} in all {n_samples} samples",
                    DataWarning,
                    stacklevel=2,
                )
            columns += [(series == level).to_numpy() for level in levels[1:]]
            names += [f"{series.name}={level}" for level in levels[1:]]
    matrix = np.empty((n_samples, len(columns)))
    for k, column in enumerate(columns):
        matrix[:, k] = column
    return matrix, names


def _read_table(path: str | os.PathLike) -> tuple[Text, "pl.DataFrame"]:
    """`read_table`, with the text for messages about lines."""
    import polars as pl

    text = read_text(path, TableError)
    header_line = next((line for line in text.lines() if line.strip(BLANKS)), b"")
    tab_separated = [field.strip(b" ").decode() for field in header_line.split(b"\t")]
    tabs_only = b"\t" in header_line and _n_id_columns(tab_separated) > 0
    frame = text.fields(tabs_only=tabs_only)
    header = list(frame.row(0))
    n_ids = _n_id_columns(header)
    if not n_ids:
        separator = next((c for c in ",;" if _n_id_columns(header_line.decode().split(c))), None)
        raise text.failure(
            "no header with sample ids",
            expected="a first line that starts with 'FID IID', '#FID IID', 'IID' or '#IID'",
            found=quote(b" ".join(split_blanks(header_line)).decode()),
            advice=f"put tabs for {separator!r} between columns"
            if separator
            else "add the header line",
            line=text.line_of_row(0),
        )
    names = (["IID"] if n_ids == 1 else ["FID", "IID"]) + header[n_ids:]
    for k, name in enumerate(names):
        if name is None or name in names[:k] or (name == "FID" and k > 0):
            raise text.failure(
                f"bad header, column {k + 1}",
                expected="a name that no other column has",
                found="no name" if name is None else quote(name),
                advice="name every column once",
                line=text.line_of_row(0),
            )
    if frame.height == 1:
        raise text.failure(
            "no data",
            expected="at least one line after the header",
            found="none",
            advice="check the step that wrote the file",
        )
    frame = frame[1:].rename(dict(zip(frame.columns, names, strict=True)))
    for name in names[:n_ids]:
        if frame[name].null_count():
            raise text.failure(
                "no sample id",
                expected=f"a value in the column {name}",
                found="an empty field",
                advice="add the id or remove the line",
                line=text.line_of_row(1 + frame[name].is_null().arg_max()),
            )
    text.refuse_duplicates(frame.select(names[:n_ids]), first_row=1)
    if n_ids == 1:
        frame = frame.select(pl.lit(None, pl.String).alias("FID"), pl.all())
    return text, frame


def _n_id_columns(header: Sequence[str | None]) -> int:
    """How many columns the sample ids take, 0 if this is no header."""
    if header[0] in ("FID", "#FID") and "IID" in header[1:2]:
        return 2
    return 1 if header[0] in ("IID", "#IID") else 0


def _read_values(
    path: str | os.PathLike,
    names: str | Sequence[str] | None,
    missing_codes: Sequence[str],
    error: type[InputError],
    keep_text: bool,
    categorical: Sequence[str] = (),
) -> "pl.DataFrame":
    text, table = _read_table(path)
    available = table.columns[2:]
    names = available if names is None else expand_names(names)
    for name in [*names, *categorical]:
        if name not in available:
            raise text.failure(
                f"no column {quote(name)}",
                expected="one of " + listed(name, available, quote),
                found=quote(name),
                advice="correct the name",
            )
    if not names:
        raise text.failure(
            "no column after the ids",
            expected="at least one column of values",
            found="none",
            advice="add one",
        )
    text = replace(text, error=error)
    codes = [missing_codes] if isinstance(missing_codes, str) else [str(c) for c in missing_codes]
    columns = (
        _parse_column(text, table[name], codes, keep_text, name in categorical) for name in names
    )
    return table.select("FID", "IID", *columns)


def numbers_of(
    column: "pl.Series", missing_codes: Sequence[str]
) -> tuple["pl.Series", "pl.Series"]:
    """Text as numbers, null where it is none, and where it stands for a missing value.

    `float` of Python would do for neither: 1_0 and digits of other alphabets are numbers to it.
    """
    import polars as pl

    numbers = column.cast(pl.Float64, strict=False)
    missing = column.is_null() | column.str.to_lowercase().is_in(["na", "."]).fill_null(False)
    missing |= numbers.is_nan().fill_null(False)
    codes = pl.Series(missing_codes, dtype=pl.String)
    as_numbers = codes.cast(pl.Float64, strict=False).drop_nulls()
    missing |= column.is_in(codes.to_list()).fill_null(False)
    missing |= numbers.is_in(as_numbers.to_list()).fill_null(False)
    return numbers, missing


def _parse_column(
    text: Text,
    column: "pl.Series",
    missing_codes: Sequence[str],
    keep_text: bool,
    categorical: bool,
) -> "pl.Series":
    """One column of a table as numbers; as text if `categorical`, or it has any and `keep_text`."""

    numbers, missing = numbers_of(column, missing_codes)

    def refuse(rows: "pl.Series", expected: str, advice: str) -> None:
        if rows.any():
            row = rows.arg_max()
            raise text.failure(
                f"column {quote(column.name)}",
                expected=expected,
                found=quote(column[row]),
                advice=advice,
                line=text.line_of_row(row + 1),
            )

    if "none" not in missing_codes:
        refuse(
            (numbers == -9).fill_null(False) & ~missing,
            "values whose meaning is known",
            "-9 is missing to PLINK 1 and a value to other programs: say which with "
            "--missing-code -9 or --missing-code none (in Python: missing_codes)",
        )
    text_rows = numbers.is_null() & ~missing
    if categorical or (keep_text and text_rows.any()):
        return column.set(missing, None)
    refuse(
        text_rows,
        "a number, or NA for a missing value",
        "correct the value, choose other columns, or name a code for missing with --missing-code",
    )
    refuse(
        numbers.is_infinite().fill_null(False) & ~missing,
        "a finite number",
        "correct the value, or replace it by NA",
    )
    return numbers.set(missing, None)
