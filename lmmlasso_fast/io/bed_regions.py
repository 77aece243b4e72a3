"""Lists of genes or other regions in the BED format (text; not PLINK's genotypes of that name)."""

import os
import re
from typing import TYPE_CHECKING

from lmmlasso_fast.errors import TableError
from lmmlasso_fast.io.text import BLANKS, quote, read_text, split_blanks

if TYPE_CHECKING:
    import polars as pl

#: First words of lines that are not regions.
_HEADERS = (b"browser", b"track")
#: More digits than a position has are no number here: `int` refuses thousands of them.
_WHOLE = re.compile("[0-9]{1,19}")


def read_bed(path: str | os.PathLike) -> "pl.DataFrame":
    """Read regions of a BED file: chromosome, start, end and, if there is one, a name.

    A region covers the base pairs START + 1 to END, counted from 1 as in a .bim file. Fields are
    separated by single tabs where a line has any, else by runs of spaces; those after the fourth
    are ignored, and so are blank lines and lines that start with "#", "track" or "browser".

    Parameters
    ----------
    path : path
        Plain or gzipped.

    Returns
    -------
    polars.DataFrame
        CHROM (String, as it is in the file), START, END (Int64), NAME (String, null where the file
        has none), in the file's order.

    Raises
    ------
    TableError
        The file cannot be read or has no region; a line has fewer than three fields, an empty
        chromosome, a start or an end that is not a whole number of at least 0, or a start beyond
        its end. The message names the line.
    """
    import polars as pl

    text = read_text(path, TableError)
    rows = []
    for number, line in enumerate(text.lines(), 1):
        stripped = line.strip(BLANKS)
        if not stripped or stripped.startswith(b"#") or split_blanks(stripped)[0] in _HEADERS:
            continue
        fields = line.split(b"\t") if b"\t" in line else split_blanks(line)
        fields = [field.strip(b" ").decode() for field in fields[:4]]
        if len(fields) < 3 or not fields[0]:
            raise text.failure(
                "not a region",
                expected="a chromosome, a start and an end, separated by tabs or spaces",
                found=quote(line.decode()),
                advice="correct the line, or check that this is a BED file",
                line=number,
            )
        start, end = (int(value) if _WHOLE.fullmatch(value) else -1 for value in fields[1:3])
        if not 0 <= start <= end < 1 << 62:
            raise text.failure(
                "start and end",
                expected="whole numbers, 0 <= start <= end",
                found=f"{quote(fields[1])} and {quote(fields[2])}",
                advice="correct the line, or check that this is a BED file",
                line=number,
            )
        rows.append((fields[0], start, end, fields[3] if fields[3:] and fields[3] else None))
    if not rows:
        raise text.failure(
            "no region",
            expected="at least one line with a chromosome, a start and an end",
            found="none",
            advice="check the step that wrote the file",
        )
    schema = {"CHROM": pl.String, "START": pl.Int64, "END": pl.Int64, "NAME": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")
