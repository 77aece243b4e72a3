"""Variants as readers find them, one block after the other, made into genotypes."""

import numpy as np

from lmmlasso_fast import _core
from lmmlasso_fast.checks import as_bits
from lmmlasso_fast.dosage import MISSING, TOP, DosageGenotypes, quantise
from lmmlasso_fast.errors import GenotypeError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.io.plink_write import encode
from lmmlasso_fast.io.text import quote
from lmmlasso_fast.packed import PackedGenotypes

#: Genotypes that readers hand over at a time.
BLOCK_VALUES = 1 << 22


class Collector:
    """Blocks of variants of n samples: two bits a genotype as long as all dosages are whole.

    With the first dosage that is not, everything becomes dosages of `bits` bits. Either way the
    genotypes are in memory once, and a block of them twice.
    """

    def __init__(self, path, n_samples: int, bits: int = 16):
        bits = as_bits(bits)
        self._path = path
        self._n_samples = n_samples
        self._dtype = np.dtype(f"u{bits // 8}")
        self._whole = True
        self._blocks: list[np.ndarray] = []
        self.n_variants = 0

    @property
    def block_variants(self) -> int:
        """How many variants make a block."""
        return max(1, BLOCK_VALUES // self._n_samples)

    def append(self, dosages: np.ndarray) -> None:
        """Take the next k variants: k x n copies of A1, NaN missing.

        Raises
        ------
        GenotypeError
            A dosage outside [0, 2].
        """
        missing = np.isnan(dosages)
        if self._whole:
            if (missing | (dosages == 0) | (dosages == 1) | (dosages == 2)).all():
                self.append_calls(np.where(missing, -1, dosages).astype(np.int8))
                return
            self._whole = False
            self._blocks = [self._as_codes(block) for block in self._blocks]
        codes = np.empty(dosages.shape, dtype=self._dtype)
        try:
            quantise(dosages, missing, codes, first=self.n_variants)
        except GenotypeError as error:
            raise GenotypeError(f"{self._path}: {error}") from error
        self._blocks.append(codes)
        self.n_variants += len(dosages)

    def append_calls(self, calls: np.ndarray) -> None:
        """Take the next k variants: k x n copies of A1 as int8, -1 missing."""
        packed = encode(calls.T)
        self._blocks.append(packed if self._whole else self._as_codes(packed))
        self.n_variants += len(calls)

    def _as_codes(self, packed: np.ndarray) -> np.ndarray:
        """Two-bit codes as dosages: 00 two copies, 01 missing, 10 one, 11 none."""
        top = TOP[self._dtype]
        table = np.array([top, MISSING[self._dtype], top // 2, 0], dtype=self._dtype)
        found = np.empty((len(packed), self._n_samples), dtype=np.uint8)
        every = np.arange(self._n_samples, dtype=np.int64)
        _core.decode_codes(
            packed, self._n_samples, np.arange(len(packed), dtype=np.int64), every, found
        )
        return table[found]

    def _check_texts(self, what: str, table) -> None:
        """Refuse ids and alleles that no table of results could hold, nor a model."""
        import polars as pl

        texts = [] if table is None else table.select(pl.col(pl.String))
        for column in texts:
            bad = column.str.contains(r"[\x00\t\n\r]").fill_null(False)
            if bad.any():
                row = bad.arg_max()
                raise GenotypeError(
                    f"{self._path}: {what} {row + 1}: expected text without tabs, ends of lines "
                    f"and NUL as {column.name}, found {quote(column[row])}; rename it"
                )

    def finish(self, samples, variants) -> Genotypes:
        """Return the genotypes with their tables; the collector is empty afterwards.

        Raises
        ------
        GenotypeError
            No variant came, or an id or allele holds a tab, the end of a line or NUL.
        """
        if self.n_variants == 0:
            raise GenotypeError(
                f"{self._path}: expected variants, found none; check the step that wrote it"
            )
        for what, table in (("samples", samples), ("variants", variants)):
            self._check_texts(what, table)
        width = self._blocks[0].shape[1]
        out = np.empty((self.n_variants, width), dtype=self._blocks[0].dtype)
        start = 0
        for k, block in enumerate(self._blocks):
            out[start : start + len(block)] = block
            start += len(block)
            self._blocks[k] = None  # its memory is free before the next one is copied
        self._blocks = []
        if self._whole:
            return PackedGenotypes(out, self._n_samples, samples=samples, variants=variants)
        return DosageGenotypes(out, samples=samples, variants=variants)
