"""VCF and BCF files."""

import gzip
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np

from lmmlasso_fast.checks import as_choice
from lmmlasso_fast.errors import DataWarning, GenotypeError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.io.collect import Collector
from lmmlasso_fast.io.multiallelic import check_multiallelic, refuse_multiallelic, warn_skipped
from lmmlasso_fast.io.optional import optional
from lmmlasso_fast.io.pgen_text import from_iids
from lmmlasso_fast.io.regular import require_regular
from lmmlasso_fast.io.text import quote

#: The empty block that ends every complete bgzip file.
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
#: What the format lets a chromosome be called.
_CONTIG = re.compile(r"[0-9A-Za-z!#$%&+./:;?@^_|~-][0-9A-Za-z!#$%&*+./:;=?@^_|~-]*")

#: A chromosome of the header, of which more may be said.
_DECLARED = re.compile(
    r"""^##contig=<ID=([^,"<>\n]+)(?:,[^=,"<>\n]+=(?:"[^"\\\n]*"|[^,"<>\n]*))*>$""", re.MULTILINE
)

#: Takes from every record what `read_vcf` does, whatever cannot be taken of the others.
_REHEARSAL = """
import sys
from contextlib import suppress
with suppress(Exception):
    import cyvcf2
    for variant in cyvcf2.VCF(sys.argv[1]):
        with suppress(Exception):
            variant.CHROM, variant.ID, variant.POS, variant.ALT, variant.REF
        with suppress(Exception):
            if "GT" in variant.FORMAT:
                variant.genotype.array()
        with suppress(Exception):
            if sys.argv[2] == "DS" and "DS" in variant.FORMAT:
                variant.format("DS")
"""


def read_vcf(
    path: str | os.PathLike[str], *, dosage: str = "GT", bits: int = 16, multiallelic: str = "error"
) -> Genotypes:
    """Read a VCF or BCF file, plain or compressed (extra `vcf`).

    Parameters
    ----------
    path : path
    dosage : {"GT", "DS"}, default "GT"
        Hard calls, or the field DS; a sample without DS at a variant then has its hard call.
    bits : {16, 8}, default 16
        Of a dosage in memory (DosageGenotypes).
    multiallelic : {"error", "skip"}, default "error"
        What to do about variants of more than two alleles; skipped ones are counted in a warning.

    Returns
    -------
    Genotypes
        Dosage = copies of A1, the ALT allele. A haploid call counts twice, as in PLINK; one of
        which half is missing is missing, and counted in a warning. FID is "0": a VCF has none. Two
        bits a genotype in memory if all dosages are whole, else `bits`.

    Raises
    ------
    GenotypeError
        Not a VCF, cut short, without GT (DS), of more than two alleles at a variant or in a call,
        of chromosomes whose names neither the header has nor the format allows, with blank lines
        among the variants.
    ImportError
        The package cyvcf2 is not installed.

    Warns
    -----
    DataWarning
        Half-missing calls, variants that were skipped.
    """
    as_choice("dosage", dosage, ("GT", "DS"), error=GenotypeError)
    check_multiallelic(multiallelic)
    cyvcf2 = optional("cyvcf2", "vcf", "reading VCF files")
    path = os.fspath(path)
    _check_file(path)
    n_skipped = n_half = 0
    rows = []
    try:
        is_bcf = _is_bcf(path)
        if is_bcf:
            _rehearse(path, dosage)
        chromosomes = [] if is_bcf else _chromosomes(path)
        # the name starts with neither a protocol nor "-", which mean more than a file to the reader
        reader = cyvcf2.VCF(os.path.abspath(path))
        samples = from_iids(path, reader.samples, GenotypeError)
        _declare_contigs(path, reader, chromosomes)
        if dosage == "DS" and not reader.contains("DS"):
            raise GenotypeError(
                f"{path}: expected the field DS in the header, found none; leave --dosage out to "
                "take the hard calls"
            )
        collector = Collector(path, samples.height, bits)
        block = []
        for variant in reader:
            if len(variant.ALT) > 1:
                if multiallelic == "error":
                    name = variant.ID or f"{variant.CHROM}:{variant.POS}"
                    raise refuse_multiallelic(path, name, 1 + len(variant.ALT))
                n_skipped += 1
                continue
            values, half = _dosages(path, variant, samples.height, dosage)
            n_half += half
            block.append(values)
            alt = variant.ALT[0] if variant.ALT else "."
            rows.append((variant.CHROM, variant.ID or ".", variant.POS, alt, variant.REF))
            if len(block) == collector.block_variants:
                collector.append(np.array(block))
                block = []
        if block:
            collector.append(np.array(block))
    except GenotypeError:
        raise
    except Exception as error:  # cyvcf2 raises Exception itself
        raise GenotypeError(
            f"{path}: expected a complete VCF or BCF file, found: {error} (after {len(rows)} "
            "variants); copy or write it again"
        ) from error
    warn_skipped(path, n_skipped)
    if n_half:
        warnings.warn(
            f"{path}: {n_half} half-missing calls (such as 0/.) taken for missing",
            DataWarning,
            stacklevel=2,
        )
    return collector.finish(samples, _table(rows))


def _check_file(path: str) -> None:
    """Refuse what is no file, and one that bgzip has not finished, which reads like a short one."""
    try:
        require_regular(path)
        with open(path, "rb") as file:
            head = file.read(16)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - len(_BGZF_END)))
            tail = file.read()
    except OSError as error:
        raise GenotypeError(
            f"{path}: cannot be read: expected a readable VCF or BCF file, found {error.strerror}; "
            "check the name"
        ) from error
    if head[:4] == _BGZF_END[:4] and head[12:14] == b"BC" and tail != _BGZF_END:
        raise GenotypeError(
            f"{path}: expected the end marker of bgzip, found none: the file was cut; copy it again"
        )


def _declare_contigs(path: str, reader, chromosomes: list[str]) -> None:
    """Name all chromosomes of the records in the header.

    A malformed record ends the process if its chromosome is none of the header's: cyvcf2 up to 0.35
    takes the note of htslib that it was added for the only fault, and uses what was not filled in.
    """
    declared = set(_DECLARED.findall(reader.raw_header))
    for name in chromosomes:
        if name in declared:
            continue
        if not _CONTIG.fullmatch(name):
            raise GenotypeError(
                f"{path}: expected names of chromosomes that the header declares, or that the "
                f"format allows, in the first column, found {quote(name)}; write the file again"
            )
        reader.add_to_header(f"##contig=<ID={name}>")


@contextmanager
def _open(path: str) -> Iterator[BinaryIO]:
    """The content of a file, unpacked if it is compressed."""
    with open(path, "rb") as file:
        packed = file.peek(2)[:2] == b"\x1f\x8b"
        with gzip.GzipFile(fileobj=file) if packed else file as content:
            yield content


def _is_bcf(path: str) -> bool:
    with _open(path) as file:
        return file.read(3) == b"BCF"


def _chromosomes(path: str) -> list[str]:
    """First columns of the records of a VCF, each once.

    Blank lines are refused, as bcftools and PLINK do: htslib takes them for records.
    """
    found = {}
    with _open(path) as file:
        begins, in_header, line = True, True, 0
        while piece := file.readline(1 << 16):  # a line may have no end
            line += begins
            if begins and in_header:
                if piece.strip() and not piece.startswith(b"#"):
                    return []  # htslib says that it is no VCF
                in_header = not piece.startswith(b"#CHROM")
            elif begins:
                if not piece.strip():
                    raise GenotypeError(
                        f"{path}, line {line}: a blank line: expected a variant in every line "
                        "after the header, found none; delete the line"
                    )
                # as htslib, which reads texts of C
                name = piece.split(b"\t", 1)[0].rstrip(b"\r\n").split(b"\0", 1)[0]
                found[name] = None
            begins = piece.endswith(b"\n")
    return [name.decode("utf-8", "surrogateescape") for name in found]


def _rehearse(path: str, dosage: str) -> None:
    """Read a BCF in another process first: htslib calls exit() at fields of another type than the
    header says. Errors that are raised there are left to the reading itself."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", _REHEARSAL, os.path.abspath(path), dosage], capture_output=True
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise GenotypeError(
            f"{path}: expected a BCF file that htslib can read, found that it ends the process: "
            f"{quote(said)}; copy or write it again"
        )


def _dosages(path, variant, n: int, dosage: str) -> tuple[np.ndarray, int]:
    """Copies of ALT as float32, NaN missing; and how many calls are missing by half.

    DS of a haploid call counts alleles of one copy, as GT does: it is doubled too.
    """
    has_calls = "GT" in variant.FORMAT
    found = variant.format("DS") if dosage == "DS" and "DS" in variant.FORMAT else None
    if not has_calls and found is None:
        raise GenotypeError(
            f"{path}: expected the field {dosage} of every variant, found none at "
            f"{variant.CHROM}:{variant.POS}; drop this variant"
        )
    half, ploidy = 0, np.full(n, 2)  # without GT
    values = np.full(n, np.nan, dtype=np.float32)
    if has_calls:
        values, half, ploidy = _calls(path, variant)
    if found is not None:
        if found.shape != (n, 1):
            raise GenotypeError(
                f"{path}: expected one DS per sample at {variant.CHROM}:{variant.POS}, found "
                f"{found.shape[1] if found.ndim == 2 else 0}"
            )
        copies = found[:, 0] * np.where(ploidy == 1, 2, 1)
        values = np.where(np.isnan(copies), values, copies).astype(np.float32)
    return values, half


def _calls(path, variant) -> tuple[np.ndarray, int, np.ndarray]:
    """Copies of ALT, how many calls are missing by half, and the ploidy of each."""
    alleles = variant.genotype.array()[:, :-1]  # the last column: phased; -1 missing, -2 no allele
    if alleles.shape[1] > 2 and (alleles[:, 2:] > -2).any():
        raise GenotypeError(
            f"{path}: expected calls of one or two alleles, found more at "
            f"{variant.CHROM}:{variant.POS}; the model is of diploid samples"
        )
    alleles = alleles[:, :2]
    if (alleles > len(variant.ALT)).any():
        raise GenotypeError(
            f"{path}: expected alleles up to {len(variant.ALT)} at {variant.CHROM}:{variant.POS}, "
            f"as it has so many in ALT, found {alleles.max()}; write the file again"
        )
    ploidy = (alleles > -2).sum(axis=1)
    known = (alleles >= 0).sum(axis=1)
    complete = (known == ploidy) & (ploidy > 0)
    copies = (alleles == 1).sum(axis=1) * (2 / np.maximum(ploidy, 1))
    values = np.where(complete, copies, np.nan).astype(np.float32)
    return values, int(((known > 0) & ~complete).sum()), ploidy


def _table(rows):
    import polars as pl

    schema = {
        "CHROM": pl.String, "ID": pl.String, "POS": pl.Int64, "A1": pl.String, "A2": pl.String
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")
