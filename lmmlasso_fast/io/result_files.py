"""The result files of a prefix, read back."""

import json
from pathlib import Path

from lmmlasso_fast.errors import TableError
from lmmlasso_fast.io.text import failure, quote, read_text

#: Columns that are text, whatever is in them; all others are numbers.
_TEXT = {
    *("FID", "IID", "CHROM", "ID", "KEPT_ID", "LEAD_ID", "REASON", "TEST"),
    *("A1", "ALLELE0", "ALLELE1", "EFFECT_ALLELE", "OTHER_ALLELE"),
}


class ResultFiles:
    """What the runs with one prefix (--out) have left.

    Each file is read when it is first asked for, and kept.

    Parameters
    ----------
    prefix : path
        P of P.path.tsv, P.null.json and so on.
    """

    def __init__(self, prefix):
        self.prefix = str(prefix)
        self._read: dict[str, object] = {}

    def path(self, suffix: str) -> Path:
        """Return the name of PREFIX.suffix, which need not exist."""
        return Path(f"{self.prefix}.{suffix}")

    def table(self, name: str):
        """Return PREFIX.name.tsv as a polars.DataFrame, None if there is none (`read_table`)."""
        return self._once(f"{name}.tsv", read_table)

    def json(self, name: str) -> dict | None:
        """Return the content of PREFIX.name.json, None if there is none.

        Raises
        ------
        TableError
            It is not what this package writes.
        """
        return self._once(f"{name}.json", _read_json)

    def _once(self, suffix: str, read):
        if suffix not in self._read:
            path = self.path(suffix)
            self._read[suffix] = read(path) if path.exists() else None
        return self._read[suffix]


def read_table(path):
    """Read a table that `lmmlasso_fast.io.results.write_table` wrote.

    Parameters
    ----------
    path : path

    Returns
    -------
    polars.DataFrame
        Ids, chromosomes, alleles and reasons are text, everything else integers or floats, with
        null for NA.

    Raises
    ------
    TableError
        The file cannot be read, is empty, or a field is not what its column holds.
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
    rows = rows[1:].rename(dict(zip(rows.columns, header, strict=True)))
    return pl.DataFrame([_numbers(text, rows[name]) for name in header])


def _numbers(text, column):
    """Return a column as integers or floats, unless it is one of text."""
    import polars as pl

    if column.name in _TEXT:
        return column
    column = column.set(column == "NA", None)
    for dtype in (pl.Int64, pl.Float64):
        numbers = column.cast(dtype, strict=False)
        bad = numbers.is_null() & column.is_not_null()
        if not bad.any():
            return numbers
    row = bad.arg_max()
    raise text.failure(
        f"column {quote(column.name)}",
        expected="a number or NA",
        found=quote(column[row]),
        advice="run the command that made the file again",
        line=text.line_of_row(row + 1),
    )


def _read_json(path) -> dict:
    text = read_text(path, TableError)
    try:
        content = json.loads(text.data)
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
    return content
