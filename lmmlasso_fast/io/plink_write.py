"""Write genotypes as a PLINK 1 fileset."""

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lmmlasso_fast.errors import GenotypeError, InputError
from lmmlasso_fast.io.atomic import atomic_write

if TYPE_CHECKING:
    import polars as pl

BED_MAGIC = b"\x6c\x1b\x01"
# Two-bit codes of PLINK for the dosages -1 (missing), 0, 1 and 2 copies of A1.
BED_CODES = np.array([0b01, 0b11, 0b10, 0b00], dtype=np.uint8)
# Genotypes encoded at a time.
BLOCK_VALUES = 1 << 22


def write_plink(
    prefix: str | os.PathLike,
    dosages: NDArray[np.int8],
    samples: "pl.DataFrame",
    variants: "pl.DataFrame",
) -> None:
    """Write PREFIX.bed, PREFIX.bim and PREFIX.fam (variant-major, A1 counted).

    Variants are encoded block by block, and each file appears whole or not at all. Parents, sex
    and phenotype in the .fam are unknown (0 0 0 -9), the genetic distance in the .bim is 0.

    Parameters
    ----------
    prefix : path
        Path without the extension; its directory must exist.
    dosages : integer array, n_samples x n_variants
        Copies of A1, -1 missing.
    samples : polars.DataFrame
        FID and IID, one row per sample.
    variants : polars.DataFrame
        CHROM, ID, POS, A1 and A2, one row per variant.

    Raises
    ------
    GenotypeError
        The dosages are not a matrix of -1, 0, 1 and 2, or a table has another number of rows.
    InputError
        A table lacks a column, or an id or allele is missing, empty or contains a blank, which the
        format cannot hold.
    OutputError
        A file cannot be written.
    """
    import polars as pl

    check_dosages(dosages)
    n_samples, n_variants = dosages.shape
    _check_table("samples", samples, ["FID", "IID"], n_samples)
    _check_table("variants", variants, ["CHROM", "ID", "POS", "A1", "A2"], n_variants)
    fam = samples.select("FID", "IID", FATHER=pl.lit(0), MOTHER=pl.lit(0), SEX=pl.lit(0))
    fam = fam.with_columns(PHENOTYPE=pl.lit(-9))
    bim = variants.select("CHROM", "ID", pl.lit(0).alias("CM"), "POS", "A1", "A2")
    prefix = os.fspath(prefix)
    with ExitStack() as files:
        bed_file, bim_file, fam_file = (
            files.enter_context(atomic_write(prefix + extension, "wb"))
            for extension in (".bed", ".bim", ".fam")
        )
        bed_file.write(BED_MAGIC)
        step = max(1, BLOCK_VALUES // n_samples)
        for first in range(0, n_variants, step):
            bed_file.write(_encode(dosages[:, first : first + step]).tobytes())
        bim.write_csv(bim_file, include_header=False, separator="\t", quote_style="never")
        fam.write_csv(fam_file, include_header=False, separator="\t", quote_style="never")


def check_dosages(dosages: NDArray) -> None:
    """Raise GenotypeError unless `dosages` is a non-empty integer matrix of -1, 0, 1 and 2."""
    if dosages.ndim != 2 or dosages.dtype.kind not in "iu" or dosages.size == 0:
        raise GenotypeError(
            "dosages: expected an integer matrix, samples x variants, with at least one row and "
            f"column, found shape {dosages.shape} and type {dosages.dtype}; convert it first "
            "(missing = -1)"
        )
    if dosages.min() < -1 or dosages.max() > 2:
        raise GenotypeError(
            "dosages: expected -1 (missing), 0, 1 and 2, found values from "
            f"{dosages.min()} to {dosages.max()}; recode them as copies of A1"
        )


def _check_table(what: str, table: "pl.DataFrame", columns: list[str], n_rows: int) -> None:
    import polars as pl

    for column in columns:
        if column not in table.columns:
            raise InputError(
                f"{what}: expected the columns {' '.join(columns)}, found no {column}; add it"
            )
    if table.height != n_rows:
        raise GenotypeError(
            f"{what}: expected {n_rows} rows, as the dosages have, found {table.height}; "
            "give one row for each of them, in their order"
        )
    for column in columns:
        text = table[column].cast(pl.String)
        unusable = (text.is_null() | (text == "") | text.str.contains(r"\s")).arg_true()
        if len(unusable):
            raise InputError(
                f"{what}: row {unusable[0] + 1}: expected a {column} without blanks, found "
                f"{text[unusable[0]]!r}; .bim and .fam cannot hold it: rename it"
            )


def _encode(dosages: NDArray) -> NDArray[np.uint8]:
    """Two bits per genotype, variants x ceil(n / 4) bytes; padding bits are zero."""
    n_samples, n_variants = dosages.shape
    codes = np.zeros((n_variants, 4 * ((n_samples + 3) // 4)), dtype=np.uint8)
    codes[:, :n_samples] = BED_CODES[dosages.T + 1]
    return codes[:, 0::4] | codes[:, 1::4] << 2 | codes[:, 2::4] << 4 | codes[:, 3::4] << 6
