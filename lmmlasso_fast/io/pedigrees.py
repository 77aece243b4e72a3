"""Pedigrees in files: .fam, .ped-like tables and their kin."""

import os
from typing import TYPE_CHECKING

from lmmlasso_fast.errors import TableError
from lmmlasso_fast.io.text import read_text

if TYPE_CHECKING:
    import polars as pl


def read_pedigree(path: str | os.PathLike) -> "pl.DataFrame":
    """Read who the parents are.

    Parameters
    ----------
    path : path
        A .fam file, or any with the columns FID, IID, father, mother first, separated by spaces
        or tabs; 0 (or NA) is an unknown parent, further columns are ignored. A first line that
        starts with "#" or reads "FID IID" is a header.

    Returns
    -------
    polars.DataFrame
        String columns FID, IID, FATHER, MOTHER, in the file's order.

    Raises
    ------
    TableError
        The file cannot be read or is empty, a line has too few columns or another number than the
        first, or an individual occurs twice. The message names the line.
    """
    text = read_text(path, TableError)
    fields = text.fields()
    if fields.width < 4:
        raise text.failure(
            "wrong number of columns",
            expected="four or more (FID, IID, father, mother)",
            found=str(fields.width),
            advice="check that this is a pedigree or a .fam file",
            line=text.line_of_row(0),
        )
    first = fields.row(0)
    n_headers = int(first[0].startswith("#") or first[:2] == ("FID", "IID"))
    pedigree = fields.select(FID="column_1", IID="column_2", FATHER="column_3", MOTHER="column_4")[
        n_headers:
    ]
    text.refuse_duplicates(pedigree.select("FID", "IID"), first_row=n_headers)
    return pedigree
