"""Write genotypes as a PLINK 1 fileset: a matrix, or block by block."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lmmlasso_fast.errors import GenotypeError, InputError
from lmmlasso_fast.io.atomic import atomic_write, together
from lmmlasso_fast.packed import PackedGenotypes

if TYPE_CHECKING:
    import polars as pl

BED_MAGIC = b"\x6c\x1b\x01"
# Genotypes encoded at a time.
BLOCK_VALUES = 1 << 22


def write_plink(
    prefix: str | os.PathLike,
    dosages: NDArray[np.int8],
    samples: "pl.DataFrame",
    variants: "pl.DataFrame",
) -> None:
    """Write PREFIX.bed, PREFIX.bim and PREFIX.fam (variant-major, A1 counted).

    Variants are encoded block by block, and the files appear whole or not at all. Sex and
    phenotype in the .fam are unknown (0 -9), and so are parents who are not given (0); the genetic
    distance in the .bim is 0. Genotypes that are not in memory all at once go through
    `plink_writer`.

    Parameters
    ----------
    prefix : path
        Path without the extension; its directory must exist.
    dosages : integer array, n_samples x n_variants
        Copies of A1, -1 missing.
    samples : polars.DataFrame
        FID and IID, and where parents are known FATHER and MOTHER, one row per sample.
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
    check_dosages(dosages)
    n_samples, n_variants = dosages.shape
    _check_height("variants", variants, n_variants)
    step = max(1, BLOCK_VALUES // n_samples)
    with plink_writer(prefix, samples) as fileset:
        for first in range(0, n_variants, step):
            block = slice(first, first + step)
            fileset.append(dosages[:, block], variants[block])


@contextmanager
def plink_writer(prefix: str | os.PathLike, samples: "pl.DataFrame") -> Iterator["PlinkWriter"]:
    """Open a PLINK fileset to which variants are appended, in memory for one block of them.

    The three files appear together at the end of the block, and after an exception not at all.

    Parameters
    ----------
    prefix : path
        Path without the extension; its directory must exist.
    samples : polars.DataFrame
        As of `write_plink`.

    Yields
    ------
    PlinkWriter
        Its method `append` takes the variants.

    Raises
    ------
    InputError, OutputError
        As of `write_plink`.
    """
    import polars as pl

    known = [parent for parent in ("FATHER", "MOTHER") if parent in samples.columns]
    _check_table("samples", samples, ["FID", "IID", *known])
    parents = [pl.col(p) if p in known else pl.lit(0).alias(p) for p in ("FATHER", "MOTHER")]
    fam = samples.select("FID", "IID", *parents, SEX=pl.lit(0), PHENOTYPE=pl.lit(-9))
    prefix = os.fspath(prefix)
    with (
        together(),
        atomic_write(prefix + ".fam", "wb") as fam_file,
        atomic_write(prefix + ".bim", "wb") as bim_file,
        atomic_write(prefix + ".bed", "w+b") as bed_file,
    ):
        fam_file.write(_lines(fam))
        bed_file.write(BED_MAGIC)
        yield PlinkWriter(bed_file, bim_file, samples.height)


class PlinkWriter:
    """A PLINK fileset that is being written; made by `plink_writer`.

    Attributes
    ----------
    n_samples, n_variants : int
        Samples, and variants appended so far.
    """

    def __init__(self, bed_file: IO[bytes], bim_file: IO[bytes], n_samples: int):
        self.n_samples = n_samples
        self.n_variants = 0
        self._bed_file = bed_file
        self._bim_file = bim_file

    def append(self, dosages: NDArray[np.integer], variants: "pl.DataFrame") -> None:
        """Write the next variants.

        Parameters
        ----------
        dosages : integer array, n_samples x (any number of variants)
            Copies of A1, -1 missing.
        variants : polars.DataFrame
            CHROM, ID, POS, A1 and A2, one row for each of these variants.

        Raises
        ------
        GenotypeError, InputError
            As of `write_plink`.
        """
        import polars as pl

        check_dosages(dosages)
        if len(dosages) != self.n_samples:
            raise _wrong_height("samples", len(dosages), self.n_samples)
        _check_height("variants", variants, dosages.shape[1])
        _check_table("variants", variants, ["CHROM", "ID", "POS", "A1", "A2"], self.n_variants)
        bim = variants.select("CHROM", "ID", pl.lit(0).alias("CM"), "POS", "A1", "A2")
        self._bim_file.write(_lines(bim))
        self._bed_file.write(encode(dosages).tobytes())
        self.n_variants += dosages.shape[1]

    def dosages(self, index: NDArray[np.integer]) -> NDArray[np.int8]:
        """Return the dosages of variants that were appended, n_samples x len(index)."""
        stride = (self.n_samples + 3) // 4
        rows = np.empty((len(index), stride), dtype=np.uint8)
        for row, j in zip(rows, index, strict=True):
            self._bed_file.seek(len(BED_MAGIC) + int(j) * stride)
            self._bed_file.readinto(row)
        self._bed_file.seek(0, os.SEEK_END)
        return PackedGenotypes(rows, self.n_samples).dosages(np.arange(len(index)))


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


def encode(dosages: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return the rows of a .bed: 2 bits per genotype, n_variants x ceil(n_samples / 4) bytes."""
    n_samples, n_variants = dosages.shape
    # Two copies of A1 are zero bits in a .bed, which is what the bits after the last sample are.
    quads = np.full((n_variants, 4 * ((n_samples + 3) // 4)), 2, dtype=np.int8)
    quads[:, :n_samples] = dosages.T
    # -1, 0, 1, 2 are 11, 00, 01, 10 in their two last bits. The product adds up four of these pairs
    # in the top byte, the first sample lowest, and nothing carries.
    pairs = quads.view("<u4") & 0x03030303
    pairs = (pairs * 0x01041040 >> 24).astype(np.uint8)
    # PLINK has 01, 11, 10, 00: the complement of d ^ (d >> 1) in every pair.
    return ~(pairs ^ (pairs >> 1 & 0b01010101))


def _check_height(what: str, table: "pl.DataFrame", n_rows: int) -> None:
    if table.height != n_rows:
        raise _wrong_height(what, n_rows, table.height)


def _wrong_height(what: str, expected: int, found: int) -> GenotypeError:
    return GenotypeError(
        f"{what}: expected {expected} rows, as the dosages have, found {found}; "
        "give one row for each of them, in their order"
    )


def _check_table(
    what: str, table: "pl.DataFrame", columns: list[str], rows_before: int = 0
) -> None:
    import polars as pl

    for column in columns:
        if column not in table.columns:
            raise InputError(
                f"{what}: expected the columns {' '.join(columns)}, found no {column}; add it"
            )
    text = pl.col(columns).cast(pl.String)
    unusable = table.select(text.is_null() | (text == "") | text.str.contains(r"\s"))
    for column in columns:
        if unusable[column].any():
            row = unusable[column].arg_max()
            raise InputError(
                f"{what}: row {rows_before + row + 1}: expected a {column} without blanks, found "
                f"{table[column].cast(pl.String)[row]!r}; .bim and .fam cannot hold it: rename it"
            )


def _lines(table: "pl.DataFrame") -> bytes:
    return table.write_csv(include_header=False, separator="\t", quote_style="never").encode()
