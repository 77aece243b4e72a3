"""What the results have in common: a table, an HTML form for notebooks, and a plot.

Tables have the columns of the command line's files. A result does not know the names of its SNPs
or samples unless it holds them; where its rows are SNPs, `to_frame(genotypes)` names them and
`to_frame()` numbers them, in the column SNP.
"""

from dataclasses import fields
from html import escape
from importlib import import_module
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np

from lmmlasso_fast.errors import InputError
from lmmlasso_fast.genotypes import Genotypes

if TYPE_CHECKING:
    import polars as pl

#: Of a table in a notebook.
_ROWS, _COLUMNS, _CHARACTERS = 10, 12, 40


class Result:
    """Base of the frozen dataclasses that the stages return."""

    def to_frame(self) -> "pl.DataFrame":
        """Return a table of the result.

        A polars DataFrame; its own `to_pandas()` makes a pandas one.
        """
        raise NotImplementedError

    def _preview(self) -> "pl.DataFrame":
        """Return a table of at least the first rows: all of them, unless that takes long."""
        return self.to_frame()

    def _repr_html_(self) -> str:
        """Return the numbers and words among the fields, and the head of the table."""
        shown = [item.name for item in fields(self) if item.repr and item.name[0] != "_"]
        words = [
            f"{escape(name)} = {_cell(value)}"
            for name, value in ((name, getattr(self, name)) for name in shown)
            if value is None or isinstance(value, str | Number | np.generic)
        ]
        title = f"<b>{escape(type(self).__name__)}</b>"
        return f"<div>{title}<p>{', '.join(words)}</p>{_table(self._preview())}</div>"


def _table(frame: "pl.DataFrame") -> str:
    part = frame[:_ROWS, :_COLUMNS]
    head = "".join(f"<th>{_cell(name)}</th>" for name in part.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row) + "</tr>"
        for row in part.rows()
    )
    size = f"{frame.height} rows, {frame.width} columns"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><p>{size}</p>"


def _cell(value: Any) -> str:
    if isinstance(value, float | np.floating):
        value = f"{value:.6g}"
    text = str(value)
    return escape(text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 1] + "…")


def draw(name: str, *arguments: Any, **options: Any) -> Any:
    """Call a function of `lmmlasso_fast.plots`, which is imported for it."""
    return getattr(import_module("lmmlasso_fast.plots"), name)(*arguments, **options)


# ---- parts of tables ----------------------------------------------------------------------------


def one_row(result: object, names: tuple[str, ...]) -> "pl.DataFrame":
    """Return a table of one row with some fields."""
    import polars as pl

    return pl.DataFrame({name: [getattr(result, name)] for name in names})


def name_snps(snps: np.ndarray, genotypes: Genotypes | None, n_variants: int) -> "pl.DataFrame":
    """Return CHROM POS ID EFFECT_ALLELE OTHER_ALLELE EAF of some of p SNPs, or SNP, their numbers.

    Raises
    ------
    InputError
        Genotypes with another number of SNPs.
    """
    import polars as pl

    if genotypes is None:
        return pl.DataFrame({"SNP": np.asarray(snps, dtype=np.int64)})
    check_same_snps(genotypes, n_variants)
    return snp_columns(genotypes, snps)


def check_same_snps(genotypes: Genotypes, n_variants: int) -> None:
    """Raise InputError for genotypes with another number of SNPs."""
    if genotypes.n_variants != n_variants:
        raise InputError(
            f"genotypes: expected the {n_variants} SNPs of the result, found "
            f"{genotypes.n_variants}; give those that it was computed from"
        )


def snp_columns(genotypes: Genotypes, snps: np.ndarray) -> "pl.DataFrame":
    """CHROM POS ID EFFECT_ALLELE OTHER_ALLELE EAF of some SNPs."""
    import polars as pl

    frame = genotypes.variants[np.asarray(snps, dtype=np.int64)]
    return frame.select(
        "CHROM",
        "POS",
        "ID",
        pl.col("A1").alias("EFFECT_ALLELE"),
        pl.col("A2").alias("OTHER_ALLELE"),
        pl.Series("EAF", genotypes.frequency[snps]),
    )
