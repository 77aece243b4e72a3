"""The text files beside a PLINK 2 .pgen (samples .psam, variants .pvar), and .sample files."""

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from lmmlasso_fast.errors import InputError, PlinkFormatError, TableError
from lmmlasso_fast.io.plink_text import read_bim, read_fam
from lmmlasso_fast.io.text import Text, quote, read_text

if TYPE_CHECKING:
    import polars as pl

#: FID of samples that have none, as in PLINK 2.
NO_FID = "0"


def read_psam(path: str | os.PathLike) -> "pl.DataFrame":
    """Read the samples of a PLINK 2 fileset.

    Parameters
    ----------
    path : path
        A .psam (or .fam): a header that starts with #FID or #IID, then one sample a line; without
        header a .fam.

    Returns
    -------
    polars.DataFrame
        FID ("0" where there is none) and IID.

    Raises
    ------
    PlinkFormatError
        The file cannot be read, lacks IID, or a sample (FID, IID) occurs twice.
    """
    import polars as pl

    text = _without_meta_lines(read_text(path, PlinkFormatError))
    if text.data.strip() and not text.data.lstrip().startswith(b"#"):
        return read_fam(path).select("FID", "IID")
    fields = text.fields(tabs_only=_has_tabs(text))
    columns = _columns(text, fields, ("IID",))
    samples = fields[1:].select(
        FID=columns["FID"] if "FID" in columns else pl.lit(NO_FID), IID=columns["IID"]
    )
    if samples.null_count().sum_horizontal()[0] or samples.height == 0:
        raise text.failure(
            "samples",
            expected="an id in every line, and at least one sample",
            found=f"{samples.height} samples, some without id" if samples.height else "none",
            advice="check the step that wrote it",
        )
    text.refuse_duplicates(samples, first_row=1)
    return samples


def read_pvar(path: str | os.PathLike) -> "pl.DataFrame":
    """Read the variants of a PLINK 2 fileset.

    Parameters
    ----------
    path : path
        A .pvar, plain or compressed (.zst, .gz): lines that start with ##, a header #CHROM POS ID
        REF ALT ..., one variant a line; without header a .bim.

    Returns
    -------
    polars.DataFrame
        CHROM, ID, POS, A1 (ALT, what is counted) and A2 (REF), in the file's order.

    Raises
    ------
    PlinkFormatError
        The file cannot be read, lacks a column or variants, or a position is not a whole number.
    """
    import polars as pl

    text = _without_meta_lines(read_text(path, PlinkFormatError))
    if text.data.strip() and not text.data.lstrip().startswith(b"#"):
        return read_bim(path).select("CHROM", "ID", "POS", "A1", "A2")
    fields = text.fields(tabs_only=_has_tabs(text))
    columns = _columns(text, fields, ("CHROM", "POS", "ID", "REF", "ALT"))
    variants = fields[1:].select(
        CHROM=columns["CHROM"], ID=columns["ID"], POS=columns["POS"], A1=columns["ALT"],
        A2=columns["REF"],
    )  # fmt: skip
    if not variants.height:
        raise text.failure(
            "variants",
            expected="at least one variant",
            found="none",
            advice="check the step that wrote it",
        )
    numbers = variants["POS"].cast(pl.Int64, strict=False)
    bad = numbers.is_null() | variants.select(pl.any_horizontal(pl.all().is_null())).to_series()
    if bad.any():
        row = bad.arg_max()
        raise text.failure(
            "a variant",
            expected="chromosome, position (a whole number), id and alleles",
            found=quote(" ".join(value or "(empty)" for value in variants.row(row))),
            advice="check that this is a .pvar file",
            line=text.line_of_row(row + 1),
        )
    return variants.with_columns(numbers)


def read_sample_file(path: str | os.PathLike) -> "pl.DataFrame":
    """Read an Oxford .sample file, which names the samples of a .bgen.

    Parameters
    ----------
    path : path
        Two header lines (names, then types, which start with 0), then one sample a line. ID_1 and
        ID_2 are FID and IID; the FID is "0" with a single column ID.

    Returns
    -------
    polars.DataFrame
        FID and IID.

    Raises
    ------
    TableError
        Not such a file, or a sample occurs twice.
    """
    import polars as pl

    text = read_text(path, TableError)
    fields = text.fields()
    names = [name.lower() for name in fields.row(0)]
    if fields.height < 3 or fields.row(1)[0] != "0" or not names[0].startswith("id"):
        raise text.failure(
            "not a .sample file",
            expected="a line ID_1 ID_2 missing ..., a line 0 0 0 ..., and samples",
            found=quote(" ".join(fields.row(min(1, fields.height - 1)))),
            advice="give the .sample that belongs to the .bgen",
        )
    two = len(names) > 1 and names[1].startswith("id")
    samples = fields[2:].select(
        FID="column_1" if two else pl.lit(NO_FID), IID="column_2" if two else "column_1"
    )
    text.refuse_duplicates(samples, first_row=2)
    return samples


def from_iids(path, iids, error: type[InputError]) -> "pl.DataFrame":
    """Return FID ("0") and IID of a file that has IIDs only.

    Raises `error` for an id that is empty or occurs twice.
    """
    import polars as pl

    samples = pl.DataFrame({"FID": [NO_FID] * len(iids), "IID": list(iids)})
    if not samples.height or (samples["IID"] == "").any() or samples["IID"].is_duplicated().any():
        twice = samples.filter(samples["IID"].is_duplicated())
        found = quote(twice["IID"][0]) + " twice" if twice.height else "none, or empty ones"
        raise error(f"{path}: samples: expected distinct ids, found {found}; rename the samples")
    return samples


def _without_meta_lines(text: Text) -> Text:
    """Make lines that start with ## blank: they are no rows, but they are counted."""
    return replace(text, data=re.sub(rb"(?m)^##[^\n]*$", b"", text.data))


def _has_tabs(text: Text) -> bool:
    return b"\t" in next((line for line in text.lines() if line.strip()), b"")


def _columns(text: Text, fields: "pl.DataFrame", wanted: tuple[str, ...]) -> dict[str, str]:
    """The columns of `fields` by their names in the first row."""
    names = [(name or "").removeprefix("#") for name in fields.row(0)]
    for name in wanted:
        if names.count(name) != 1:
            raise text.failure(
                "header",
                expected=f"the columns {' '.join(wanted)}, each once",
                found=quote(" ".join(names)),
                advice="check that the header starts with # and is complete",
                line=text.line_of_row(0),
            )
    return dict(zip(names, fields.columns, strict=True))
