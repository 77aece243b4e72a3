"""The real data sets of the studies: genotypes, and the table of phenotypes beside them."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import lmmlasso_fast as ll
from lmmlasso_fast.io.ids import match_samples
from lmmlasso_fast.io.tables import read_table

if TYPE_CHECKING:
    import polars as pl


def folder() -> Path:
    """Return the folder that LMMLASSO_DATA names; without it the study ends here."""
    name = os.environ.get("LMMLASSO_DATA")
    if not name:
        sys.exit("LMMLASSO_DATA: expected the folder of the real data, found nothing; set it")
    return Path(name)


def load(name: str) -> tuple[ll.Genotypes, "pl.DataFrame"]:
    """Return all samples' genotypes and the table, text, with its rows in their order."""
    inside = folder() / name
    genotypes = ll.read_plink(inside / name)
    table = read_table(inside / "phenotypes.tsv")
    return genotypes, table[match_samples(genotypes.samples, table, "phenotypes.tsv")]


def numbers(table: "pl.DataFrame", column: str) -> np.ndarray:
    """Return a column as float64, NaN where it is missing."""
    return np.array([float("nan") if v in (None, "NA") else float(v) for v in table[column]])
