"""Sample and variant ids: lists of them, and the join of samples over files.

Ids are text, compared as such, and joined by (FID, IID), never by order.
"""

import os
from typing import TYPE_CHECKING

import numpy as np

from lmmlasso_fast.errors import InputError, SampleMatchError, TableError
from lmmlasso_fast.io.text import BLANKS, quote, read_text, split_blanks

if TYPE_CHECKING:
    import polars as pl


def read_ids(path: str | os.PathLike) -> list[tuple[str | None, str]]:
    """Read a list of samples (keep, remove, .id files).

    Parameters
    ----------
    path : path
        One sample per line: FID and IID (further columns are ignored), or IID alone. A first line
        that starts with "#" or reads "FID IID" is a header; "#IID" says that IID comes first.

    Returns
    -------
    list of (FID or None, IID)
        In the file's order, repetitions included; empty for an empty file.

    Raises
    ------
    TableError
        The file cannot be read, or its lines differ in their number of columns.
    """
    return read_id_frame(path, TableError).rows()


def read_id_frame(
    path: str | os.PathLike, error: type[InputError], *, unique: bool = False
) -> "pl.DataFrame":
    """`read_ids` as a table with the String columns FID (null everywhere if absent) and IID.

    Raises `error`; with `unique` also for a sample that occurs twice.
    """
    import polars as pl

    text = read_text(path, error)
    if not text.data.strip(b" \t\n"):
        return pl.DataFrame(schema={"FID": pl.String, "IID": pl.String})
    fields = text.fields()
    first = fields.row(0)
    n_headers = int(first[0].startswith("#") or first[:2] == ("FID", "IID"))
    if fields.width == 1 or first[0] == "#IID":
        ids = fields.select(FID=pl.lit(None, pl.String), IID="column_1")[n_headers:]
    else:
        ids = fields.select(FID="column_1", IID="column_2")[n_headers:]
    if unique:
        text.refuse_duplicates(ids, first_row=n_headers)
    return ids


def read_id_list(path: str | os.PathLike) -> list[str]:
    """Read a list of variant ids (extract, exclude): the first column of every line.

    A first line that starts with "#" is a header; blank lines are ignored.

    Returns
    -------
    list of str
        In the file's order, repetitions included; empty for an empty file.

    Raises
    ------
    TableError
        The file cannot be read.
    """
    lines = [line for line in read_text(path, TableError).lines() if line.strip(BLANKS)]
    ids = [split_blanks(line)[0].decode() for line in lines]
    return ids[1:] if ids and ids[0].startswith("#") else ids


def ids_in_common(samples: "pl.DataFrame", others: "pl.DataFrame") -> list[str]:
    """Return what identifies a sample: IID alone if FID is null everywhere in one of the two."""
    without_fid = any(frame["FID"].null_count() == frame.height for frame in (samples, others))
    return ["IID"] if without_fid else ["FID", "IID"]


def match_samples(samples: "pl.DataFrame", table: "pl.DataFrame", what: str) -> np.ndarray:
    """Find every sample's row in a table by its ids.

    Parameters
    ----------
    samples : polars.DataFrame
        FID, IID of the genotypes.
    table : polars.DataFrame
        FID, IID and anything else. IID alone decides if FID is null everywhere in one of the two.
    what : str
        What the table is, for messages ("phenotypes y.tsv").

    Returns
    -------
    (n_samples,) int64 array
        Row of the table for each sample; -1 for a sample that the table does not have.

    Raises
    ------
    SampleMatchError
        No sample is in the table; a table's sample occurs twice; or IID alone decides and belongs
        to several samples.
    """
    import polars as pl

    by = ids_in_common(samples, table)
    rows = table.select(by).with_row_index("row")
    if rows.select(by).is_duplicated().any():
        twice = rows.filter(rows.select(by).is_duplicated()).row(0, named=True)
        raise SampleMatchError(
            f"{what}: expected every sample once, found {_name_sample(twice, by)} more than once; "
            "remove the repetition"
        )
    found = samples.select(by).join(rows, on=by, how="left", maintain_order="left")
    ambiguous = found.filter(found["row"].is_not_null() & found["IID"].is_duplicated())
    if by == ["IID"] and ambiguous.height:
        raise SampleMatchError(
            f"{what}: expected IIDs that identify one sample each, because there is no FID to tell "
            f"them apart, found {_name_sample(ambiguous.row(0, named=True), by)} for several "
            "samples of the genotypes; add the column FID"
        )
    if found["row"].null_count() == samples.height:
        raise SampleMatchError(_nothing_matches(samples, table, by, what))
    return found["row"].cast(pl.Int64).fill_null(-1).to_numpy()


def _nothing_matches(
    samples: "pl.DataFrame", table: "pl.DataFrame", by: list[str], what: str
) -> str:
    first = [
        _name_sample(frame.row(0, named=True), by) if frame.height else "none"
        for frame in (samples, table)
    ]
    message = (
        f"{what}: expected samples of the genotypes (the first is {first[0]}), found none of "
        f"them (the first is {first[1]}); ids are compared as text, leading zeros included"
    )
    shared = samples.join(table, on="IID", how="semi").height
    if shared:
        message += (
            f"; {shared} of {samples.height} samples would match by IID alone: correct FID, or "
            "leave the column FID out of the table to match by IID"
        )
    return message


def _name_sample(row: dict, by: list[str]) -> str:
    return " ".join(f"{name} {quote(row[name])}" for name in by)
