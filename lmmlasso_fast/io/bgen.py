"""BGEN files: dosages of imputation."""

import os
import struct

import numpy as np

from lmmlasso_fast.checks import as_switch
from lmmlasso_fast.errors import GenotypeError, InputError, SampleMatchError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.io.collect import Collector
from lmmlasso_fast.io.multiallelic import check_multiallelic, refuse_multiallelic, warn_skipped
from lmmlasso_fast.io.optional import optional
from lmmlasso_fast.io.pgen_text import from_iids, read_sample_file
from lmmlasso_fast.io.regular import require_regular

#: No variant takes fewer bytes: lengths of its names, position, alleles, length of its data.
_LEAST_BYTES = 20


def read_bgen(
    path: str | os.PathLike[str],
    *,
    sample: str | os.PathLike[str] | None = None,
    ref_last: bool = False,
    bits: int = 16,
    multiallelic: str = "error",
) -> Genotypes:
    """Read a BGEN file, version 1.1 to 1.3 (extra `bgen`).

    Parameters
    ----------
    path : path
    sample : path, optional
        Its .sample file; needed if the .bgen holds no sample ids, and with it FIDs are known.
    ref_last : bool, default False
        Count the first allele of every variant and not the second: as PLINK's `ref-last`, which
        its own exports need.
    bits : {16, 8}, default 16
        Of a dosage in memory (DosageGenotypes).
    multiallelic : {"error", "skip"}, default "error"
        What to do about variants of more than two alleles; skipped ones are counted in a warning.

    Returns
    -------
    Genotypes
        Dosage = expected copies of A1, which is the second allele; those of haploid samples count
        twice. FID is "0" where only the .bgen names the samples. Two bits a genotype in memory if
        all dosages are whole, else `bits`.

    Raises
    ------
    GenotypeError
        Not a BGEN file, cut short, without sample ids, or of more than two alleles at a variant or
        chromosomes in a sample.
    SampleMatchError
        The .sample file has another number of samples, or the same ones in another order.
    TableError
        Not a .sample file.
    ImportError
        The package bgen is not installed.
    """
    check_multiallelic(multiallelic)
    ref_last = as_switch("ref_last", ref_last)
    library = optional("bgen", "bgen", "reading BGEN files")
    path = os.fspath(path)
    n, p = _check_header(path)
    samples = None if sample is None else read_sample_file(sample)
    if samples is not None and samples.height != n:
        raise SampleMatchError(
            f"{os.fspath(sample)}: expected the {n} samples of {path}, found {samples.height}; "
            "give the .sample file of this .bgen"
        )
    n_skipped = 0
    rows = []
    try:
        with library.BgenReader(path, delay_parsing=True) as reader:
            if samples is None:
                if not reader.header.has_sample_ids:
                    raise GenotypeError(
                        f"{path}: expected sample ids, found none in the file; give its .sample "
                        "file with --sample (sample=)"
                    )
                samples = from_iids(path, reader.samples, GenotypeError)
            elif reader.header.has_sample_ids:
                _check_order(path, sample, samples["IID"].to_list(), reader.samples)
            collector = Collector(path, n, bits)
            block = []
            for variant in reader:
                name = variant.rsid or variant.varid or "."
                if len(variant.alleles) != 2:
                    if multiallelic == "error":
                        raise refuse_multiallelic(path, name, len(variant.alleles))
                    n_skipped += 1
                    continue
                block.append(_dosages(path, variant, name, ref_last))
                first, second = variant.alleles
                counted = (first, second) if ref_last else (second, first)
                rows.append((variant.chrom, name, variant.pos, *counted))
                if len(block) == collector.block_variants:
                    collector.append(np.array(block))
                    block = []
            if block:
                collector.append(np.array(block))
    except InputError:
        raise
    except (ValueError, IndexError, OSError, MemoryError) as error:
        raise _unreadable(path, str(error), len(rows), p) from error
    if len(rows) + n_skipped != p:
        raise _unreadable(path, "the end of the file", len(rows) + n_skipped, p)
    warn_skipped(path, n_skipped)
    import polars as pl

    schema = {
        "CHROM": pl.String, "ID": pl.String, "POS": pl.Int64, "A1": pl.String, "A2": pl.String
    }  # fmt: skip
    return collector.finish(samples, pl.DataFrame(rows, schema=schema, orient="row"))


def _check_order(path: str, sample, listed: list[str], inside: list[str]) -> None:
    """The ids inside may be others altogether (anonymous ones), but not the same in disorder."""
    if listed != inside and sorted(listed) == sorted(inside):
        raise SampleMatchError(
            f"{os.fspath(sample)}: expected the samples in the order of {path}, found the same ids "
            "in another; give the .sample file of this .bgen, or none"
        )


def _unreadable(path: str, found: str, n_read: int, p: int) -> GenotypeError:
    return GenotypeError(
        f"{path}: expected a complete BGEN file of {p} variants, found: {found} (after {n_read}); "
        "copy or write it again"
    )


def _check_header(path: str) -> tuple[int, int]:
    """Return the numbers of samples and variants, which the file is large enough for."""
    try:
        require_regular(path)
        with open(path, "rb") as file:
            head = file.read(20)
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise GenotypeError(
            f"{path}: cannot be read: expected a readable .bgen file, found {error.strerror}; "
            "check the name"
        ) from error
    if len(head) < 20 or head[16:20] not in (b"bgen", bytes(4)):
        raise GenotypeError(
            f"{path}: expected 'bgen' at offset 16, found {head[16:20].hex(' ') or 'the end'}; "
            "check that this is a .bgen file"
        )
    offset, _, p, n = struct.unpack("<4I", head[:16])
    least = offset + 4 + p * _LEAST_BYTES
    if n == 0 or p == 0 or size < least:
        raise GenotypeError(
            f"{path}: expected samples, variants and at least {least} bytes for {p} variants, "
            f"found {n} samples and {size} bytes; copy it again if it was cut"
        )
    return n, p


def _dosages(path, variant, name: str, ref_last: bool) -> np.ndarray:
    """Expected copies of the counted allele, NaN missing."""
    ploidy = np.asarray(variant.ploidy)
    if (ploidy > 2).any():
        raise GenotypeError(
            f"{path}: expected samples with one or two chromosomes, found {ploidy.max()} at "
            f"{name!r}; the model is of diploid samples"
        )
    values = np.array(variant.alt_dosage, dtype=np.float32)
    if (ploidy != 2).any():
        values *= 2 / np.maximum(ploidy, 1)
    return 2 - values if ref_last else values
