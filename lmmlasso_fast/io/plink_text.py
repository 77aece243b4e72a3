"""The text files beside a PLINK .bed: samples (.fam) and variants (.bim)."""

import os
from typing import TYPE_CHECKING

from lmmlasso_fast.errors import PlinkFormatError
from lmmlasso_fast.io.text import Text, quote, read_text

if TYPE_CHECKING:
    import polars as pl

BIM_COLUMNS = ("CHROM", "ID", "CM", "POS", "A1", "A2")


def read_fam(path: str | os.PathLike) -> "pl.DataFrame":
    """Read the samples of a PLINK data set.

    Parameters
    ----------
    path : path
        A .fam file: no header, six or more columns separated by spaces or tabs, the same number
        in every line (FID, IID, father, mother, sex, phenotype, further phenotypes).

    Returns
    -------
    polars.DataFrame
        String columns FID, IID and PHENO (the sixth column as it stands), in the file's order.

    Raises
    ------
    PlinkFormatError
        The file cannot be read or is empty, a line has too few columns or another number than
        the first, or a sample (FID, IID) occurs twice. The message names the line.
    """
    text = read_text(path, PlinkFormatError)
    fields = text.fields()
    if fields.width < 6:
        raise text.failure(
            "wrong number of columns",
            expected="six or more (FID, IID, father, mother, sex, phenotype)",
            found=str(fields.width),
            advice="check that this is a .fam file",
            line=text.line_of_row(0),
        )
    samples = fields.select(FID="column_1", IID="column_2", PHENO="column_6")
    text.refuse_duplicates(samples.select("FID", "IID"), first_row=0)
    return samples


def read_bim(path: str | os.PathLike) -> "pl.DataFrame":
    """Read the variants of a PLINK data set.

    Parameters
    ----------
    path : path
        A .bim file: no header, six columns separated by spaces or tabs. As in PLINK either
        separates, so that no field has a space in it.

    Returns
    -------
    polars.DataFrame
        CHROM, ID (String), CM (Float64, null for NA), POS (Int64, may be negative), A1 (the
        counted allele) and A2 (String), in the file's order. Ids may repeat.

    Raises
    ------
    PlinkFormatError
        The file cannot be read or is empty, a line does not have six columns, or a position is
        not a number. The message names the line.
    """
    import polars as pl

    text = read_text(path, PlinkFormatError)
    fields = text.fields(n_columns=len(BIM_COLUMNS))
    variants = fields.rename(dict(zip(fields.columns, BIM_COLUMNS, strict=True)))
    return variants.with_columns(
        _numbers(text, variants["CM"], pl.Float64, "a position in centimorgans, 0 if unknown"),
        _numbers(text, variants["POS"], pl.Int64, "a position in base pairs, a whole number"),
    )


def _numbers(text: Text, column: "pl.Series", dtype: "pl.DataType", expected: str) -> "pl.Series":
    numbers = column.cast(dtype, strict=False)
    bad = numbers.is_null()
    if dtype.is_float():
        # R writes NA for the map positions that it does not have; nothing here depends on them.
        bad &= column != "NA"
    if bad.any():
        row = bad.arg_max()
        raise text.failure(
            f"column {column.name}",
            expected=expected,
            found=quote(column[row]),
            advice="check that this is a .bim file with its columns in order",
            line=text.line_of_row(row),
        )
    return numbers
