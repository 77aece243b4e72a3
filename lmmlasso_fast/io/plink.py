"""PLINK 1 filesets: a .bed that is mapped, checked at open, and never expanded."""

import os
import warnings
from pathlib import Path

import numpy as np

from lmmlasso_fast.checks import as_switch
from lmmlasso_fast.errors import DataWarning, PlinkFormatError
from lmmlasso_fast.io.plink_text import read_bim, read_fam
from lmmlasso_fast.io.regular import require_regular
from lmmlasso_fast.mapped import map_file, unchanged
from lmmlasso_fast.packed import PackedGenotypes

_MAGIC = b"\x6c\x1b"
#: From this many SNPs on, a last sample that is 00 everywhere is taken for padding.
_CHANCE_BELOW = 32


def read_plink(
    prefix: str | os.PathLike | None = None,
    *,
    bed: str | os.PathLike | None = None,
    bim: str | os.PathLike | None = None,
    fam: str | os.PathLike | None = None,
    accept_reference_samples: bool = False,
) -> PackedGenotypes:
    """Open a PLINK fileset; the genotypes stay on disk, two bits each.

    Parameters
    ----------
    prefix : path, optional
        Of PREFIX.bed, PREFIX.bim and PREFIX.fam; `bed`, `bim`, `fam` name single files instead.
    accept_reference_samples : bool, default False
        Accept a last sample that carries two A1 at every SNP, which otherwise means that the
        .fam lists more samples than the .bed holds.

    Returns
    -------
    PackedGenotypes
        Dosage = copies of A1 (column 5 of the .bim).

    Raises
    ------
    PlinkFormatError
        Not a SNP-major .bed, or not of the size that .bim and .fam say, or padding bits that
        contradict the .fam; malformed .bim or .fam.
    """
    paths = {}
    for name, given in (("bed", bed), ("bim", bim), ("fam", fam)):
        if given is None and prefix is None:
            raise PlinkFormatError(
                f"read_plink: expected a prefix or bed, bim and fam, found no {name}"
            )
        paths[name] = Path(given) if given is not None else Path(f"{os.fspath(prefix)}.{name}")
    samples = read_fam(paths["fam"])
    variants = read_bim(paths["bim"])
    data = _open_bed(paths["bed"], len(samples), len(variants))
    accepts = as_switch("accept_reference_samples", accept_reference_samples)
    _check_padding(data, len(samples), paths, accepts)
    genotypes = PackedGenotypes(
        data,
        len(samples),
        samples=samples.select("FID", "IID"),
        variants=variants.select("CHROM", "ID", "POS", "A1", "A2"),
    )
    return genotypes


def _open_bed(path: Path, n: int, p: int) -> np.ndarray:
    """Map the genotype bytes as p rows of ceil(n / 4)."""
    try:
        size = require_regular(path)
        with open(path, "rb") as file:
            head = file.read(64)
    except OSError as error:
        raise PlinkFormatError(
            f"{path}: cannot be read: expected a readable .bed file, found {error.strerror}; check "
            "the name"
        ) from error
    if len(head) < 3:
        raise PlinkFormatError(
            f"{path}: expected a .bed starting with the bytes 6c 1b 01, found {len(head)} bytes"
        )
    if head[:2] != _MAGIC:
        raise PlinkFormatError(
            f"{path}: expected the bytes 6c 1b 01 at offset 0, found {head[:3].hex(' ')}"
            f"{_look_alike(head)}"
        )
    if head[2] != 1:
        raise PlinkFormatError(
            f"{path}: expected 01 (SNP-major) at offset 2, found {head[2]:02x}"
            + (
                " (individual-major); rewrite it with: plink2 --bfile PREFIX --make-bed --out NEW"
                if head[2] == 0
                else ""
            )
        )
    stride = (n + 3) // 4
    expected = 3 + p * stride
    if size != expected:
        hint = ""
        if (size - 3) % stride == 0:
            hint = f"; the size would fit {(size - 3) // stride} SNPs of {n} samples"
        elif p and (size - 3) % p == 0:
            fits = (size - 3) // p
            hint = f"; the size would fit {p} SNPs of {4 * fits - 3} to {4 * fits} samples"
        raise PlinkFormatError(
            f"{path}: expected {expected} bytes for {p} SNPs (.bim) of {n} samples (.fam), found "
            f"{size}{hint}; take the three files of one fileset, and copy it again if one was cut"
        )
    return map_file(
        path,
        lambda: np.memmap(path, dtype=np.uint8, mode="r", offset=3, shape=(p, stride)),
        expected,
    )


def _look_alike(head: bytes) -> str:
    if head[:2] == b"\x1f\x8b":
        return " (gzip); decompress it first"
    if head[:2] == b"\x6c\x1b"[::-1]:
        return " (bytes swapped)"
    if head.split(b"\t")[0].startswith((b"chr", b"track", b"browser")):
        return " (a text file of genomic regions, also called BED)"
    return ""


def _check_padding(data, n: int, paths, accept_reference_samples: bool) -> None:
    """A .fam of another length that needs the same number of bytes shows in the last byte."""
    p, stride = data.shape
    in_last = n - 4 * (stride - 1)
    with unchanged(data):
        last = np.array(data[:, -1])
    if in_last < 4:
        stray = np.flatnonzero(last >> (2 * in_last))
        if len(stray):
            raise PlinkFormatError(
                f"{paths['bed']}: expected zero bits after the last of {n} samples, found others "
                f"at SNP {int(stray[0]) + 1} ({len(stray)} SNPs in all): {paths['fam']} lists too "
                "few samples"
            )
    zero = 0
    while zero < in_last - 1 and not (last >> (2 * (in_last - 1 - zero)) & 3).any():
        zero += 1
    if zero == 0 or accept_reference_samples:
        return
    message = (
        f"{paths['fam']}: expected the samples of {paths['bed']}, found the last {zero} of its {n} "
        f"samples with two A1 alleles at all {p} SNPs, which is what unused bits look like: the "
        ".fam seems to list too many samples"
    )
    if p >= _CHANCE_BELOW:
        raise PlinkFormatError(
            message + "; if they are real, for example the reference accession, pass "
            "--accept-reference-samples (accept_reference_samples=True)"
        )
    warnings.warn(message, DataWarning, stacklevel=3)
