"""Malformed and odd files that no test module has for itself: kinds of files, and `CASES`.

A case says what is wrong, how to build the file, and what the message must say: the file, what was
expected, what was found. tests/files/test_malformed.py reads every one from Python and by a
command; docs/reliability.md has them as a table.
"""

import gzip
import json
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from cli_files import results
from plans import plan_of

import lmmlasso_fast as ll
from lmmlasso_fast.cli.checkpoint import check_results
from lmmlasso_fast.cli.run import run
from lmmlasso_fast.cli.stability import _check_flags, _n_replicates
from lmmlasso_fast.errors import (
    CovariateError,
    GenotypeError,
    InputError,
    KinshipError,
    ModelError,
    PhenotypeError,
    PlinkFormatError,
    TableError,
)
from lmmlasso_fast.io.bed_regions import read_bed
from lmmlasso_fast.io.ids import read_id_list, read_ids
from lmmlasso_fast.io.journal import Journal, JournalError, read_journal
from lmmlasso_fast.io.kinship_files import (
    NPZ_FORMAT,
    load_kinship,
    read_gemma,
    read_grm,
    read_rel,
)
from lmmlasso_fast.io.multiqc import multiqc_content
from lmmlasso_fast.io.pgen_text import read_psam, read_pvar, read_sample_file
from lmmlasso_fast.io.plink_text import read_bim, read_fam
from lmmlasso_fast.io.tables import read_covariates, read_phenotypes
from lmmlasso_fast.report import write_report

#: Of the fileset that partial results and checkpoints are of.
N_SAMPLES, N_VARIANTS = 90, 150


@dataclass(frozen=True)
class Kind:
    """Files that are read alike.

    `read(path)` and `command(path, files)` take the file that `build(path, files)` of a case
    wrote as `name`; `code` is the command's exit code. No command reads what has none.
    """

    name: str
    error: type[Exception]
    read: Callable
    command: Callable | None
    code: int = 3
    needs: str | None = None


def null_model(*flags):
    """A command that reads --flag FILE and the other input of a null model."""
    return lambda path, files: ["null", *flags, path, *files.y]


def null_model_of(flag):
    """A command that reads the files of a prefix."""
    return lambda path, files: ["null", flag, stem(path), *files.y]


def on_genotypes(flag):
    return lambda path, files: ["null", *files.base, flag, path]


def checked_results(path):
    kind, _, _, found = read_journal(path)
    check_results(str(path), found, plan_of(kind, N_SAMPLES, N_VARIANTS))


def replicates(path):
    _, fingerprint, options, found = read_journal(path)
    _n_replicates([path], fingerprint, options, found)


KINDS = {
    "bed": Kind(
        "x.bed", PlinkFormatError, lambda p: ll.read_plink(stem(p)), null_model_of("--bfile")
    ),
    "fam": Kind("x.fam", PlinkFormatError, read_fam, lambda p, f: ["null", *f.base, "--fam", p]),
    "bim": Kind("x.bim", PlinkFormatError, read_bim, lambda p, f: ["null", *f.base, "--bim", p]),
    "pgen": Kind(
        "x.pgen",
        GenotypeError,
        lambda p: ll.read_pgen(stem(p)),
        null_model_of("--pfile"),
        needs="pgenlib",
    ),
    "psam": Kind("x.psam", PlinkFormatError, read_psam, null_model_of("--pfile"), needs="pgenlib"),
    "pvar": Kind("x.pvar", PlinkFormatError, read_pvar, null_model_of("--pfile"), needs="pgenlib"),
    "vcf": Kind("x.vcf", GenotypeError, ll.read_vcf, null_model("--vcf"), needs="cyvcf2"),
    "bgen": Kind("x.bgen", GenotypeError, ll.read_bgen, null_model("--bgen"), needs="bgen"),
    "sample": Kind(
        "x.sample",
        TableError,
        read_sample_file,
        lambda p, f: ["null", "--bgen", f"{stem(p)}.bgen", "--sample", p, *f.y],
        needs="bgen",
    ),
    "bimbam": Kind("x.txt", GenotypeError, ll.read_bimbam, null_model("--bimbam")),
    "npy": Kind("x.npy", GenotypeError, ll.read_npy, null_model("--npy")),
    "npz": Kind("x.npz", KinshipError, load_kinship, on_genotypes("--kinship")),
    "gemma": Kind("x.cXX.txt", KinshipError, read_gemma, on_genotypes("--kinship")),
    "rel": Kind("x.rel", KinshipError, read_rel, on_genotypes("--kinship")),
    "grm": Kind(
        "x.grm.bin",
        KinshipError,
        lambda p: read_grm(stem(p)),
        lambda p, f: ["null", *f.base, "--grm", stem(p)],
    ),
    "pedigree": Kind(
        "x.ped",
        TableError,
        ll.read_pedigree,
        lambda p, f: [*f.pedigree, "--pedigree", p],
    ),
    # one that can be read, of relatives that cannot be
    "relatives": Kind(
        "x.ped",
        KinshipError,
        lambda p: ll.pedigree_kinship(ll.read_pedigree(p)),
        lambda p, f: [*f.pedigree, "--pedigree", p],
    ),
    "model": Kind(
        "x.model.npz",
        ModelError,
        ll.load_model,
        lambda p, f: ["predict", "--bfile", f.prefix, "--model", p],
    ),
    "pheno": Kind(
        "x.tsv",
        TableError,
        read_phenotypes,
        lambda p, f: ["null", "--bfile", f.prefix, "--pheno", p],
    ),
    "phenotype": Kind(
        "x.tsv",
        PhenotypeError,
        read_phenotypes,
        lambda p, f: ["null", "--bfile", f.prefix, "--pheno", p],
    ),
    "covariate": Kind("x.cov", CovariateError, read_covariates, on_genotypes("--covar")),
    "covar": Kind("x.cov", TableError, read_covariates, on_genotypes("--covar")),
    "keep": Kind("x.keep", TableError, read_ids, on_genotypes("--keep")),
    "extract": Kind("x.snps", TableError, read_id_list, on_genotypes("--extract")),
    "genes": Kind("x.bed", TableError, read_bed, None),
    "journal": Kind("x.partial", JournalError, read_journal, lambda p, f: ["merge", p]),
    # a partial result whose lines are in order, with options, numbers or results that no run has
    "options": Kind(
        "x.partial",
        JournalError,
        lambda p: _check_flags(str(p), read_journal(p)[2]),
        lambda p, f: ["merge", p],
    ),
    "replicates": Kind("x.partial", InputError, replicates, lambda p, f: ["merge", p]),
    "results": Kind("x.partial", JournalError, checked_results, lambda p, f: ["merge", p]),
    "checkpoint": Kind(
        "P.cv.checkpoint",
        JournalError,
        checked_results,
        lambda p, f: ["cv", *f.base, *f.cv, "--resume"],
    ),
    "config": Kind(
        "x.toml",
        click.UsageError,
        lambda p: run.make_context("run", ["--config", str(p), "--steps", "null", "--out", "P"]),
        lambda p, f: ["run", *f.base, "--steps", "null", "--config", p],
        code=2,
    ),
    "multiqc": Kind(
        "R.run.json",
        TableError,
        lambda p: multiqc_content([stem(p)]),
        lambda p, f: ["multiqc", stem(p)],
    ),
    "report": Kind(
        "R.null.json",
        TableError,
        lambda p: write_report(stem(p), p.parent / "page.html"),
        lambda p, f: ["report", stem(p)],
    ),
}


def stem(path) -> str:
    """R of R.run.json."""
    return str(path.parent / path.name.split(".")[0])


# ---- how files are built ------------------------------------------------------------------------


def text(content):
    data = content if isinstance(content, bytes) else content.encode()
    return lambda path, files: path.write_bytes(data)


def npy(header, data=bytes(120)):
    """A .npy with any header."""
    body = header.encode("latin-1").ljust(117) + b"\n"
    return text(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body + data)


def shaped(shape):
    return npy(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}")


NO_CHARACTER = np.frombuffer(b"\xff" * 8, dtype="<U1")
NO_SECOND = np.array([115, 49, 115, 0xFFFF0036], dtype="<u4").view("<U2")
SURROGATE = np.array(["\ud800", "b"])


def square(diagonal, other, n=90):
    """A matrix in text."""
    rows = [[diagonal if i == j else other for j in range(n)] for i in range(n)]
    return "".join(" ".join(row) + "\n" for row in rows)


def kinship(**changes):
    content = {
        "format": np.array(NPZ_FORMAT),
        "matrix": np.eye(2),
        "fid": np.array(["a", "b"]),
        "iid": np.array(["a", "b"]),
        "estimator": np.array("x"),
        "n_variants": np.array(3),
        "scale": np.array(1.0),
    }
    return lambda path, files: np.savez(path, **content | changes)


def model(**changes):
    def build(path, files):
        with np.load(f"{files.fit}.model.npz", allow_pickle=False) as content:
            np.savez(path, **dict(content) | changes)

    return build


def rel(content, n):
    def build(path, files):
        Path(f"{path}.id").write_text("".join(f"a a{i}\n" for i in range(n)))
        path.write_text(content)

    return build


def journal(**changes):
    """A partial result with options, or the result of replicate 1, replaced."""

    def build(path, files):
        kind, fingerprint, options, found = read_journal(files.partial)
        options = options | changes.get("options", {})
        for name in changes.get("without", ()):
            del options[name]
        found = found | changes.get("results", {})
        if "result" in changes:
            found[1] = found[1] | changes["result"]
        with Journal.create(path, kind, fingerprint, options) as file:
            for task, result in found.items():
                file.append(task, result)

    return build


def checkpoint(result):
    """The checkpoint of cv, with this as the result of the first fold."""

    def build(path, files):
        kind, fingerprint, options, _ = read_journal(files.checkpoint)
        with Journal.create(path, kind, fingerprint, options) as file:
            file.append(0, result)

    return build


def record(name, change):
    """The result files of a run, with one field of R.NAME.json changed."""

    def build(path, files):
        for suffix, content in results(files.fit).items():
            Path(f"{stem(path)}{suffix}").write_bytes(content)
        for suffix in ("run", "null"):
            content = json.loads(Path(f"{files.fit}.{suffix}.json").read_text())
            if suffix == name:
                change(content)
            Path(f"{stem(path)}.{suffix}.json").write_text(json.dumps(content))

    return build


def table_of(name, change):
    """The result files of a run, with the text of R.NAME.tsv changed."""

    def build(path, files):
        record(None, None)(path, files)
        table = Path(f"{stem(path)}.{name}.tsv")
        table.write_text(change(table.read_text()))

    return build


def beside(content, **others):
    """A file x.KIND with files x.NAME beside it."""

    def build(path, files):
        for name, other in {**others, "": content}.items():
            where = Path(f"{stem(path)}.{name}") if name else path
            where.write_bytes(other if isinstance(other, bytes) else other.encode())

    return build


def fileset(bed=None, bim=None, fam=None):
    """PLINK files, with the content of some changed."""

    def build(path, files):
        for name, change in {"bed": bed, "bim": bim, "fam": fam}.items():
            content = Path(f"{files.prefix}.{name}").read_bytes()
            Path(f"{stem(path)}.{name}").write_bytes(change(content) if change else content)

    return build


PSAM = "#FID\tIID\nf\ta\nf\tb\nf\tc\n"
PVAR = "#CHROM\tPOS\tID\tREF\tALT\n1\t5\tr\tA\tG\n1\t6\ts\tC\tT\n"


def pgen(change=None, psam=PSAM, pvar=PVAR):
    """A PLINK 2 fileset of three samples and two SNPs, the .pgen changed."""

    def build(path, files):
        import pgenlib

        prefix = stem(path)
        with pgenlib.PgenWriter(f"{prefix}.pgen".encode(), 3, variant_ct=2) as writer:
            for calls in ([0, 1, 2], [2, -9, 0]):
                writer.append_biallelic(np.array(calls, dtype=np.int8))
        Path(f"{prefix}.psam").write_text(psam)
        Path(f"{prefix}.pvar").write_text(pvar)
        if change:
            Path(f"{prefix}.pgen").write_bytes(change(Path(f"{prefix}.pgen").read_bytes()))

    return build


def bgen(change=None, sample=None, ids=("a", "b", "c")):
    """A BGEN of three samples and two SNPs, changed, with a .sample beside it."""

    def build(path, files):
        from bgen import BgenWriter

        where = f"{stem(path)}.bgen"
        with BgenWriter(where, 3, list(ids)) as writer:
            for k in range(2):
                writer.add_variant(f"v{k}", f"r{k}", "1", 5 + k, ["A", "G"], np.eye(3))
        if change:
            Path(where).write_bytes(change(Path(where).read_bytes()))
        if sample is not None:
            Path(f"{stem(path)}.sample").write_text(sample)

    return build


def put(offset, form, *values):
    """A change of bytes: numbers of a `struct` format at an offset."""

    def change(content):
        data = bytearray(content)
        struct.pack_into(form, data, offset, *values)
        return bytes(data)

    return change


def grm(ids="f a\nf b\n", values=(1.0, 0.1, 1.0), counts=None):
    """The files of GCTA, of two samples."""

    def build(path, files):
        prefix = stem(path)
        Path(f"{prefix}.grm.id").write_text(ids)
        Path(f"{prefix}.grm.bin").write_bytes(np.array(values, dtype="<f4").tobytes())
        if counts is not None:
            Path(f"{prefix}.grm.N.bin").write_bytes(np.array(counts, dtype="<f4").tobytes())

    return build


def partial_text(change):
    """A partial result with its text changed, checksums left alone."""
    return lambda path, files: path.write_bytes(change(Path(files.partial).read_bytes()))


def model_text(change):
    """A model with its bytes changed."""
    return lambda path, files: path.write_bytes(change(Path(f"{files.fit}.model.npz").read_bytes()))


def dosages_of_model(**changes):
    """A model with arrays that are functions of those it has."""

    def build(path, files):
        with np.load(f"{files.fit}.model.npz", allow_pickle=False) as content:
            arrays = dict(content)
        np.savez(path, **arrays | {name: change(arrays[name]) for name, change in changes.items()})

    return build


DEEP = "[" * 5000 + "]" * 5000
DIGITS = "9" * 5000
VCF = (
    '##fileformat=VCFv4.2\n##contig=<ID=1>\n##FORMAT=<ID=GT,Number=1,Type=String,Description="x">\n'
)
NO_CONTIG = VCF.replace("##contig=<ID=1>\n", "")
#: A block of bgzip that holds the line "##fileformat=VCFv4.2".
BGZF = bytes.fromhex("1f8b08040000000000ff060042430200") + b""
VARIANT = "1\t5\tr\tA\tG\t.\t.\t."
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT"

#: Kind, what is wrong, how it is built, texts of the message in their order; and what the message
#: names, if it is not the file.
CASES = [
    # .npy
    ("npy", "a matrix of 1e12 x 1e12", shaped(f"({10**12}, {10**12})"),
     ["expected a .npy file of a matrix of numbers, found: overflow"]),
    ("npy", "2^32 x 2^32, which is 0 in 64 bits", shaped(f"({2**32}, {2**32})"),
     ["expected a .npy file of a matrix of numbers, found: overflow"]),
    ("npy", "a size beyond 64 bits", shaped(f"({2**63}, 1)"),
     ["expected a .npy file of a matrix of numbers, found: ", "too large to convert"]),
    ("npy", "a negative size", shaped("(-3, -5)"), ["found: negative dimensions"]),
    ("npy", "True for a size", shaped("(True, 5)"),
     ["expected a .npy file of a matrix of numbers, found: an integer is required;"]),
    ("npy", "a header that ends in a bracket", npy("{'descr': '<f8', ("),
     ["expected a .npy file of a matrix of numbers, found: a header that cannot be parsed;"]),
    ("npy", "a header of nested brackets", npy("(" * 100),
     ["expected a .npy file of a matrix of numbers, found: a header that cannot be parsed;"]),
    ("npy", "a header of 4 GB that is not there",
     text(b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(100)),
     ["expected 4294967295 bytes"]),
    ("npy", "an unknown version", text(b"\x93NUMPY\x09\x00" + bytes(100)), ["not (9, 0)"]),
    ("npy", "dates", npy("{'descr': '<M8[D]', 'fortran_order': False, 'shape': (3, 5)}"),
     ["expected real numbers", "found dtype datetime64"]),
    ("npy", "no samples", shaped("(0, 5)"), ["expected samples and SNPs", "found shape (0, 5)"]),
    # BIMBAM
    ("bimbam", "1_0 for a number", text("rs1 A G 0_1 1\n"),
     ["line 1: dosages: expected numbers from 0 to 2", "found '0_1'"]),
    ("bimbam", "a NUL in a dosage", text("rs1 A G 1\0 1\n"), ["line 1", "found a NUL byte"]),
    ("bimbam", "a NUL in an id", text("rs1 A G 1 1\nr\0 A G 1 1\n"), ["line 2", "a NUL byte"]),
    ("bimbam", "one number of a megabyte among 20,000",
     text("rs1 A G " + "1 " * 20_000 + "1." + "0" * 1_000_000),
     ["line 1: dosages: expected numbers", "found '1.000"]),
    ("bimbam", "an empty id", text(",A,G,0,1\n"), ["id and alleles: expected three texts"]),
    ("bimbam", "a dosage that is not UTF-8", text(b"rs1 A G \xff 1\n"),
     ["line 1: dosages: expected numbers or NA, found '\ufffd'"]),
    ("bimbam", "lines that end with a carriage return alone", text("r1 A G 0 1\rr2 A G 1 1\r"),
     ["line 1: dosages: expected numbers or NA, found 'r2'"]),
    # VCF and BGEN
    ("vcf", "a variant without any sample", text(f"{VCF}{COLUMNS[:-7]}\n{VARIANT}\n"),
     ["samples: expected distinct ids, found none, or empty ones"]),
    ("vcf", "no variant", text(f"{VCF}{COLUMNS}\ts1\ts2\n"),
     ["expected variants, found none; check the step that wrote it"]),
    ("vcf", "a sample twice", text(f"{VCF}{COLUMNS}\ts1\ts1\n{VARIANT}\tGT\t0/0\t0/1\n"),
     ["expected a complete VCF or BCF file, found: cannot parse VCF header (after 0 variants)"]),
    ("vcf", "a text of another kind", text("FID IID Y\n"),
     ["expected a complete VCF or BCF file, found: ", "is not valid bcf or vcf"]),
    ("bgen", "four billion variants of 20 bytes",
     text(struct.pack("<4I", 20, 20, 2**32 - 1, 5) + b"bgen" + bytes(40)),
     ["expected samples, variants and at least 85899345", "found 5 samples and 60 bytes"]),
    ("bgen", "no samples", text(struct.pack("<4I", 20, 20, 1, 0) + b"bgen" + bytes(40)),
     ["expected samples", "found 0 samples"]),
    # PLINK texts
    ("fam", "UTF-16", text("a b 0 0 1 1\n".encode("utf-16")),
     ["line 1: not a text file of the expected kind: expected UTF-8 text",
      "found the byte 0xff, which is not UTF-8"]),
    ("fam", "lines that end with a carriage return alone", text("a b 0 0 1 1\rc d 0 0 1 1\r"),
     ["line 1: not a text file of the expected kind: expected UTF-8 text",
      "found a carriage return inside a line"]),
    ("bim", "a position beyond 64 bits", text("1 a 0 5 A G\n1 b 0 99999999999999999999 A G\n"),
     ["line 2: column POS: expected a position", "found '99999999999999999999'"]),
    ("bim", "columns 3 and 4 swapped", text("1 a 5 0.25 A G\n"),
     ["line 1: column POS", "found '0.25'"]),
    ("psam", "a sample without id", text("#FID\tIID\na\t\n"),
     ["samples: expected an id in every line, and at least one sample, found 1 samples, "
      "some without id"]),
    ("pvar", "a column twice", beside("#CHROM POS ID REF ALT ALT\n1 1 a A G G\n", psam=PSAM),
     ["line 1: header: expected the columns CHROM POS ID REF ALT, each once, found 'CHROM "
      "POS ID REF ALT ALT'"]),
    ("sample", "no line of types", bgen(sample="ID_1 ID_2\na a\nb b\n"),
     ["not a .sample file: expected a line ID_1 ID_2 missing ..., a line 0 0 0 ..., and "
      "samples, found 'a a'"]),
    # kinship
    ("npz", "ids that are no characters", kinship(iid=NO_CHARACTER),
     ["expected a complete .npz, found 0xffffffff for a character"]),
    ("npz", "ids that are half a character", kinship(fid=SURROGATE),
     ["a complete .npz", "surrogates not allowed"]),
    ("npz", "a format that is no text", kinship(format=NO_CHARACTER[:1].reshape(())),
     ["expected a complete .npz, found 0xffffffff for a character"]),
    ("npz", "entries whose sums overflow", kinship(matrix=np.array([[1, 1e308], [1e308, 1]])),
     ["expected entries whose sums floating point can hold", "found 1e+308"]),
    ("npz", "more columns than rows", kinship(matrix=np.ones((2, 3))),
     ["expected a square matrix", "found shape (2, 3)"]),
    ("npz", "no rows", kinship(matrix=np.ones((0, 0))),
     ["expected a matrix with the mean diagonal 1", "found the mean diagonal nan"]),
    ("gemma", "entries whose sums overflow", text(square("1", "1e308")),
     ["expected entries whose sums", "found 1e+308"]),
    ("gemma", "200,000 lines of one value", text("1\n" * 200_000),
     ["line 1: not a square matrix: expected 200000 values", "found 1"]),
    ("gemma", "1_0 for a number", text("1_0 0\n0 1\n"),
     ["line 1: column 1: expected a finite number", "found '1_0'"]),
    ("gemma", "commas", text("1,0\n0,1\n"),
     ["line 1: not a square matrix: expected 2 values (the file has 2 lines), found 1"]),
    ("gemma", "quotes", text('"1" 0\n0 1\n'),
     ["line 1: column 1: expected a finite number, found '\"1\"'"]),
    ("gemma", "a diagonal of zeros", text(square("0", "1")),
     ["kinship: expected a positive mean diagonal, found 0.0"]),
    ("rel", "a triangle of 100,000 lines of one value", rel("1\n" * 100_000, 100_000),
     ["line 2: not a lower triangle: expected 2 values", "found 1"]),
    ("rel", "1_0 for a number", rel("1\n1_0 1\n", 2),
     ["line 2: column 1: expected a finite number, found '1_0'"]),
    # models
    ("model", "a number of 5,000 digits", model(transform=np.array(f'{{"a": {DIGITS}}}')),
     ["Exceeds the limit", "fit the model again"]),
    ("model", "levels with a number of 5,000 digits", model(covariate_levels=np.array(DIGITS)),
     ["Exceeds the limit", "fit the model again"]),
    ("model", "a phenotype that is no text", model(phenotype=NO_CHARACTER[:1].reshape(())),
     ["expected a complete .npz, found 0xffffffff for a character"]),
    ("model", "a phenotype that is half a character", model(phenotype=np.array("\ud800")),
     ["a complete .npz", "surrogates not allowed"]),
    ("model", "a list for the exponent of Box-Cox",
     model(transform=np.array(json.dumps({"method": "boxcox", "lambda": [1], "shift": 0, "scale": 1,
                                          "mean": 0, "sd": 1, "table": None}))),
     ["phenotype transformation: expected the entries of Transform.to_dict, found TypeError",
      "fit the model again"]),
    ("model", "a shift of 400 digits",
     model(transform=np.array(json.dumps({"method": "none", "lambda": None, "shift": 10**400,
                                          "scale": 1, "mean": 0, "sd": 1, "table": None}))),
     ["phenotype transformation: expected the entries of Transform.to_dict, found OverflowError",
      "fit the model again"]),
    # tables and lists
    ("pheno", "UTF-16", text("IID Y\na 1\n".encode("utf-16")),
     ["line 1: not a text file of the expected kind: expected UTF-8 text",
      "found the byte 0xff, which is not UTF-8"]),
    ("pheno", "commas", text("FID,IID,Y\na,b,1\n"),
     ["line 1: no header with sample ids", "found 'FID,IID,Y'; put tabs for ','"]),
    ("keep", "UTF-16", text("a b\n".encode("utf-16")),
     ["line 1: not a text file of the expected kind: expected UTF-8 text",
      "found the byte 0xff, which is not UTF-8"]),
    ("keep", "one column, then two", text("a\nb c\n"),
     ["line 2: wrong number of columns: expected 1 separated by spaces or tabs, found 2"]),
    ("keep", "a NUL", text("a b\na\0 b\n"), ["line 2", "found a NUL byte"]),
    ("extract", "Latin-1", text(b"v001\n\xe9\n"), ["line 2", "found the byte 0xe9"]),
    ("extract", "a NUL", text("v001\nv\0\n"), ["line 2", "found a NUL byte"]),
    ("genes", "a start of 5,000 digits", text(f"1\t{DIGITS}\t5\n"),
     ["line 1: start and end: expected whole numbers"]),
    ("genes", "genotypes of PLINK", text(b"l\x1b\x01\xff\x00"),
     ["line 1: not a text file of the expected kind: expected UTF-8 text",
      "found the byte 0xff, which is not UTF-8"]),
    # checkpoints and partial results
    ("journal", "UTF-16", text("{}".encode("utf-16")),
     ["line 1: not a checkpoint or partial result: expected a header of the format "
      "lmmlasso-journal, found something else"]),
    ("options", "no flags", journal(without=["bfile", "pheno"]),
     ["option 'bfile': expected what --bfile takes, found no such field"]),
    ("options", "a list for a file", journal(options={"pheno": [1]}),
     ["option 'pheno': expected what --pheno takes, found '[1]'"]),
    ("options", "a NUL in the name of a file", journal(options={"bfile": "a\0b"}),
     ["option 'bfile': expected what --bfile takes, found '\"a\\\\u0000b\"'"]),
    ("options", "a number for a switch", journal(options={"no_pairs": -1}),
     ["option 'no_pairs': expected what --no-pairs takes, found '-1'"]),
    ("options", "replicates that are no range", journal(options={"replicates": "a"}),
     ["option 'replicates': expected what --replicates takes, found '\"a\"'"]),
    ("options", "an unknown transformation", journal(options={"transform": "x"}),
     ["option 'transform': expected what --transform takes, found '\"x\"'"]),
    ("replicates", "replicate 1e15", journal(results={10**15: {"error": "x"}}),
     ["expected the replicates 0 to 1000000000000000", "found 3", "missing are 2 to 99"], "merge"),
    ("results", "text for alphas", journal(result={"alphas": ["a"]}),
     ["task 1: not what lmmlasso writes: expected the result of a replicate, found "
      "'{\"alphas\": [\"a\"]"]),
    ("results", "a SNP that is not there", journal(result={"alphas": [1.0], "changes": [[150]]}),
     ["task 1: not what lmmlasso writes: expected the result of a replicate, found "
      "'{\"alphas\": [1.0], \"changes\": [[150]]"]),
    ("results", "a SNP that would count from the end",
     journal(result={"alphas": [1.0], "changes": [[-151]]}),
     ["task 1: not what lmmlasso writes: expected the result of a replicate, found "
      "'{\"alphas\": [1.0], \"changes\": [[-151]]"]),
    ("results", "a gap that is no number", journal(result={"gap": "x"}),
     ["task 1: not what lmmlasso writes: expected the result of a replicate, found '{"]),
    ("results", "an alpha of 400 digits", journal(result={"alphas": [10**400], "changes": [[]]}),
     ["task 1: not what lmmlasso writes: expected the result of a replicate, found "
      "'{\"alphas\": [1000"]),
    ("results", "a field too many", journal(result={"other": 1}),
     ["task 1: not what lmmlasso writes: expected the result of a replicate, found '{"]),
    ("checkpoint", "a fold without content", checkpoint({}),
     ["task 0: not what lmmlasso writes: expected the result of a fold", "found '{}'"]),
    ("checkpoint", "predictions of other lengths",
     checkpoint({"predictions": [[1.0], []], "gaps": [0.0], "alpha_max": 1.0, "log_delta": None}),
     ["task 0: not what lmmlasso writes: expected the result of a fold, found "
      "'{\"predictions\": [[1.0], []]"]),
    ("checkpoint", "no predictions",
     checkpoint({"predictions": [], "gaps": [0.0], "alpha_max": 1.0, "log_delta": None}),
     ["task 0: not what lmmlasso writes: expected the result of a fold, found "
      "'{\"predictions\": []"]),
    ("checkpoint", "predictions of one sample of thirty",
     checkpoint({"predictions": [[1.0]], "gaps": [0.0], "alpha_max": 1.0, "log_delta": None}),
     ["task 0: not what lmmlasso writes: expected the result of a fold, found "
      "'{\"predictions\": [[1.0]]"]),
    ("checkpoint", "a prediction of 400 digits",
     checkpoint({"predictions": [[10**400]], "gaps": [0.0], "alpha_max": 1.0, "log_delta": None}),
     ["task 0: not what lmmlasso writes: expected the result of a fold, found "
      "'{\"predictions\": [[1000"]),
    # configuration
    ("config", "a NUL in the name of a file", text('keep = "a\\u0000b"'),
     ["keep: expected text", "found a NUL in it"]),
    ("config", "a number of 5,000 digits", text(f"seed = {DIGITS}"),
     ["expected a TOML file, found Exceeds the limit"]),
    ("config", "lists in lists, 5,000 deep", text(f"steps = {DEEP}"),
     ["expected a TOML file, found values nested too deeply"]),
    ("config", "half a character", text('pheno-name = "\\ud800"'),
     ["expected a TOML file, found", "not a Unicode scalar"]),
    ("config", "not a number", text("maf = nan"), ["maf: 'nan' is not a finite number"]),
    ("config", "UTF-16", text("maf = 0.1".encode("utf-16")),
     ["expected a TOML file, found bytes that are not UTF-8"]),
    # result files
    ("multiqc", "a record without exit code", record("run", lambda c: c["exit"].clear()),
     ["field 'code': expected a whole number, found no such field"]),
    ("multiqc", "a record without warnings", record("run", lambda c: c.pop("warnings")),
     ["field 'warnings': expected a list of texts, found no such field"]),
    ("multiqc", "a list for counts", record("run", lambda c: c.update(counts=[1])),
     ["field 'counts': expected an object, found a value of the type list"]),
    ("multiqc", "an h2_se of 400 digits", record("null", lambda c: c.update(h2_se=10**400)),
     ["the file cannot be read: expected JSON that lmmlasso wrote, found 1000"], "R.null.json"),
    ("report", "an h2 of 400 digits", record("null", lambda c: c.update(h2=10**400)),
     ["not a result file: expected the JSON that lmmlasso writes, found something else"]),
    ("report", "a number for the kinship", record("null", lambda c: c.update(kinship=1)),
     ["field 'kinship': expected an object, found a value of the type int"]),
    ("report", "text for h2_se", record("null", lambda c: c.update(h2_se="x")),
     ["field 'h2_se': expected a number or null, found a value of the type str"]),
    ("report", "null for the method", record("null", lambda c: c.update(method=None)),
     ["field 'method': expected a text, found a value of the type NoneType"]),
    ("report", "a column that is not there",
     table_of("path", lambda t: t.replace("INDEX", "OTHER", 1)),
     ["INDEX", "expected tables as lmmlasso writes them, found others"], "R.*"),
    ("report", "NA for an effect", table_of("coef", lambda t: re.sub(r"[^\t]+\n\Z", "NA\n", t)),
     ["column 'BETA_STD': expected a number", "found 'NA'"], "R.coef.tsv"),
    ("report", "a prediction whose square is infinite",
     table_of("pred", lambda t: re.sub(r"(?m)^(pop.*)\t[^\t\n]+$", r"\1\t1e308", t, count=1)),
     ["expected tables as lmmlasso writes them, found numbers too large to be added up"], "R.*"),
    # PLINK 1
    ("bed", "individual-major", fileset(bed=lambda b: b[:2] + b"\0" + b[3:]),
     ["expected 01 (SNP-major) at offset 2, found 00 (individual-major)", "--make-bed"]),
    ("bed", "another magic number", fileset(bed=put(0, "2B", 0x1b, 0x6c)),
     ["expected the bytes 6c 1b 01 at offset 0, found 1b 6c 01 (bytes swapped)"]),
    ("bed", "nothing in it", fileset(bed=lambda b: b""),
     ["expected a .bed starting with the bytes 6c 1b 01, found 0 bytes"]),
    ("bed", "one byte short", fileset(bed=lambda b: b[:-1]),
     ["expected 3453 bytes for 150 SNPs (.bim) of 90 samples (.fam), found 3452;"]),
    ("bed", "one byte more", fileset(bed=lambda b: b + b"\0"),
     ["expected 3453 bytes for 150 SNPs (.bim) of 90 samples (.fam), found 3454;"]),
    ("bed", "twice the SNPs", fileset(bed=lambda b: b + b[3:]),
     ["found 6903; the size would fit 300 SNPs of 90 samples"]),
    ("bed", "gzip", fileset(bed=gzip.compress), ["found 1f 8b 08 (gzip); decompress it first"]),
    ("bed", "genes in a text of that name", fileset(bed=lambda b: b"chr1\t100\t200\tgene\n"),
     ["found 63 68 72 (a text file of genomic regions, also called BED)"]),
    ("bed", "four samples too many in the .fam",
     fileset(fam=lambda b: b + b"".join(b"x x%d 0 0 0 1\n" % k for k in range(4))),
     ["expected 3603 bytes for 150 SNPs (.bim) of 94 samples (.fam), found 3453; the size "
      "would fit 150 SNPs of 89 to 92 samples"]),
    ("bed", "four samples too few in the .fam",
     fileset(fam=lambda b: b"".join(b.splitlines(True)[:-4])),
     ["expected 3303 bytes for 150 SNPs (.bim) of 86 samples (.fam), found 3453; the size "
      "would fit 150 SNPs of 89 to 92 samples"]),
    ("bed", "one sample too few in the .fam, of as many bytes a SNP",
     fileset(fam=lambda b: b"".join(b.splitlines(True)[:-1])),
     ["expected zero bits after the last of 89 samples, found others at SNP 1",
      "lists too few samples"]),
    ("bed", "a SNP too few in the .bim", fileset(bim=lambda b: b"".join(b.splitlines(True)[:-1])),
     ["expected 3430 bytes for 149 SNPs (.bim) of 90 samples (.fam), found 3453;"]),
    ("bed", "the header of PLINK 2", fileset(bed=lambda b: b"\x6c\x1b\x02" + b[3:]),
     ["expected 01 (SNP-major) at offset 2, found 02"]),
    ("fam", "x^2 for a family, which begins like zlib", text("x^2 a 0 0 1\n"),
     ["line 1: wrong number of columns: expected six or more"]),
    ("fam", "nothing in it", text(""),
     ["the file is empty: expected at least one line, found none"]),
    ("fam", "blank lines alone", text("\n \t\n"),
     ["the file is empty: expected at least one line, found none"]),
    ("fam", "four columns", text("f a 0 0\n"),
     ["line 1: wrong number of columns: expected six or more (FID, IID, father, mother, "
      "sex, phenotype), found 4"]),
    ("fam", "a line with a column more", text("f a 0 0 1 1\nf b 0 0 1 1 x\n"),
     ["line 2: wrong number of columns: expected 6 separated by spaces or tabs, found 7"]),
    ("fam", "a sample twice", text("f a 0 0 1 1\nf b 0 0 1 1\nf a 0 0 1 2\n"),
     ["line 3: duplicated sample: expected every sample once, found FID 'f' IID 'a' in "
      "lines 1 and 3"]),
    ("fam", "a NUL in an id", text("f a\0 0 0 1 1\n"),
     ["line 1: not a text file of the expected kind: expected UTF-8 text", "found a NUL byte"]),
    ("fam", "Latin-1", text(b"f \xe9 0 0 1 1\n"),
     ["line 1: not a text file of the expected kind: expected UTF-8 text",
      "found the byte 0xe9, which is not UTF-8"]),
    ("fam", "gzip that was cut", text(gzip.compress(b"f a 0 0 1 1\n" * 9)[:-9]),
     ["the file cannot be read: expected a readable text file",
      "found Compressed file ended before the end-of-stream marker"]),
    ("fam", "gzip with another checksum", text(gzip.compress(b"f a 0 0 1 1\n")[:-8] + bytes(8)),
     ["the file cannot be read", "found CRC check failed"]),
    ("fam", "the first bytes of zstd", text(b"\x28\xb5\x2f\xfd" + b"f a 0 0 1 1\n"),
     ["the file cannot be read: expected a readable text file",
      "found Unable to decompress Zstandard data"]),
    ("bim", "a position that is a fraction", text("1 a 0 5.5 A G\n"),
     ["line 1: column POS: expected a position in base pairs, a whole number, found '5.5'"]),
    ("bim", "a negative position of 20 digits", text("1 a 0 -99999999999999999999 A G\n"),
     ["line 1: column POS: expected a position", "found '-99999999999999999999'"]),
    ("bim", "NA for a position", text("1 a 0 NA A G\n"),
     ["line 1: column POS: expected a position in base pairs, a whole number, found 'NA'"]),
    ("bim", "text for centimorgans", text("1 a x 5 A G\n"),
     ["line 1: column CM: expected a position in centimorgans, 0 if unknown, found 'x'"]),
    ("bim", "five columns", text("1 a 5 A G\n"),
     ["line 1: wrong number of columns: expected 6 separated by spaces or tabs, found 5"]),
    ("bim", "a missing allele", text("1 a 0 5 A G\n1 b 0 6 A\n"),
     ["line 2: wrong number of columns: expected 6 separated by spaces or tabs, found 5"]),
    ("bim", "a header", text("CHROM ID CM POS A1 A2\n1 a 0 5 A G\n"),
     ["line 1: column CM: expected a position in centimorgans, 0 if unknown, found 'CM'"]),
    ("bim", "a NUL in an allele", text("1 a 0 5 A\0 G\n"),
     ["line 1: not a text file of the expected kind: expected UTF-8 text", "found a NUL byte"]),
    # PLINK 2
    ("psam", "a header without IID", beside("#FID\tSEX\na\t1\n"),
     ["line 1: header: expected the columns IID, each once, found 'FID SEX'"]),
    ("psam", "a header alone", beside("#FID\tIID\n"),
     ["samples: expected an id in every line, and at least one sample, found none"]),
    ("psam", "a sample twice", beside("#FID\tIID\nf\ta\nf\ta\n"),
     ["line 3: duplicated sample: expected every sample once, found FID 'f' IID 'a' in "
      "lines 2 and 3"]),
    ("psam", "a line with a column more", beside("#IID\tSEX\na\t1\nb\t1\t2\n"),
     ["line 3: wrong number of columns: expected 2 separated by tabs", "found 3"]),
    ("psam", "nothing in it", beside(""),
     ["the file is empty: expected at least one line, found none"]),
    ("pvar", "a header alone", beside("#CHROM\tPOS\tID\tREF\tALT\n", psam=PSAM),
     ["variants: expected at least one variant, found none"]),
    ("pvar", "a header without ALT", beside("#CHROM\tPOS\tID\tREF\n1\t5\tr\tA\n", psam=PSAM),
     ["line 1: header: expected the columns CHROM POS ID REF ALT, each once, found 'CHROM "
      "POS ID REF'"]),
    ("pvar", "a position that is no number",
     beside("#CHROM\tPOS\tID\tREF\tALT\n1\t5\tr\tA\tG\n1\tx\ts\tA\tG\n", psam=PSAM),
     ["line 3: a variant: expected chromosome, position (a whole number), id and alleles, "
      "found '1 s x G A'"]),
    ("pvar", "a position beyond 64 bits", beside(PVAR.replace("6", "9" * 20), psam=PSAM),
     ["line 3: a variant: expected chromosome, position (a whole number), id and alleles, "
      "found '1 s 99999999999999999999 T C'"]),
    ("pvar", "an empty allele", beside(PVAR.replace("\tC\t", "\t\t"), psam=PSAM),
     ["line 3: a variant: expected chromosome, position (a whole number), id and alleles, "
      "found '1 s 6 T (empty)'"]),
    ("pgen", "another magic number", pgen(put(0, "B", 0)),
     ["expected a .pgen of 3 samples (.psam) and 2 variants (.pvar), found: ",
      "is not a .pgen file"]),
    ("pgen", "an unknown storage mode", pgen(put(2, "B", 0xEE)),
     ["expected a .pgen of 3 samples (.psam) and 2 variants (.pvar), found: Third byte",
      "does not correspond to a storage mode"]),
    ("pgen", "four billion variants", pgen(put(3, "<I", 2**32 - 1)),
     ["expected a .pgen of 3 samples (.psam) and 2 variants (.pvar), found: ",
      "contains 4294967295 variants"]),
    ("pgen", "four billion samples", pgen(put(7, "<I", 2**32 - 1)),
     ["expected a .pgen of 3 samples (.psam) and 2 variants (.pvar), found: ",
      "contains 4294967295 samples"]),
    ("pgen", "cut within a variant", pgen(lambda b: b[:-1]),
     ["expected a .pgen of 3 samples (.psam) and 2 variants (.pvar), found: read_range() error",
      "take the three files of one fileset"]),
    ("pgen", "cut within the header", pgen(lambda b: b[:9]),
     ["expected a .pgen of 3 samples (.psam) and 2 variants (.pvar), found: ",
      "is too small to be a valid .pgen file"]),
    ("pgen", "nothing in it", pgen(lambda b: b""),
     ["expected a .pgen of 3 samples (.psam) and 2 variants (.pvar), found: ",
      "is too small to be a valid .pgen file"]),
    ("pgen", "a sample less in the .psam", pgen(psam=PSAM.replace("f\tc\n", "")),
     ["expected a .pgen of 2 samples (.psam) and 2 variants (.pvar), found: ",
      "contains 3 samples"]),
    ("pgen", "a variant more in the .pvar", pgen(pvar=PVAR + "1\t7\tt\tA\tC\n"),
     ["expected a .pgen of 3 samples (.psam) and 3 variants (.pvar), found: ",
      "contains 2 variants"]),
    ("pgen", "three alleles in the .pvar", pgen(pvar=PVAR.replace("\tT", "\tT,G")),
     ["expected variants of two alleles, found 3 alleles at 's'; split them"], "x.pvar"),
    # VCF
    ("vcf", "a bad call on a chromosome that the header lacks",
     text(f"{NO_CONTIG}{COLUMNS}\ta\tb\n{VARIANT}\tGT\t0/0\t0/x\n"),
     ["expected a complete VCF or BCF file, found: error parsing variant", "(after 0 variants)"]),
    ("vcf", "a position that is no number, on such a chromosome",
     text(f"{NO_CONTIG}{COLUMNS}\ta\tb\n1\tx\tr\tA\tG\t.\t.\t.\tGT\t0/0\t0/1\n"),
     ["expected a complete VCF or BCF file, found: error parsing variant", "(after 0 variants)"]),
    ("vcf", "a line that ends after the id, on such a chromosome",
     text(f"{NO_CONTIG}{COLUMNS}\ta\tb\n1\t5\tr\n"),
     ["expected a complete VCF or BCF file, found: error parsing variant", "(after 0 variants)"]),
    ("vcf", "no name of a chromosome",
     text(f"{VCF}{COLUMNS}\ta\tb\n\t5\tr\tA\tG\t.\t.\t.\tGT\t0/0\t0/1\n"),
     ["expected names of chromosomes that the header declares, or that the format allows, in the "
      "first column, found ''"]),
    ("vcf", "a chromosome with a blank",
     text(f"{VCF}{COLUMNS}\ta\tb\nchr 1\t5\tr\tA\tG\t.\t.\t.\tGT\t0/0\t0/1\n"),
     ["expected names of chromosomes that the header declares, or that the format allows, in the "
      "first column, found 'chr 1'"]),
    ("vcf", "a chromosome with brackets, which the header lacks",
     text(f"{VCF}{COLUMNS}\ta\tb\n(x){VARIANT[1:]}\tGT\t0/0\t0/1\n"),
     ["expected names of chromosomes that the header declares, or that the format allows, in the "
      "first column, found '(x)'"]),
    ("vcf", "a blank last line", text(f"{VCF}{COLUMNS}\ta\tb\n{VARIANT}\tGT\t0/0\t0/1\n\n"),
     [", line 6: a blank line: expected a variant in every line after the header, found none; "
      "delete the line"]),
    ("vcf", "a blank line among the variants",
     text(f"{VCF}{COLUMNS}\ta\tb\n \t\n{VARIANT}\tGT\t0/0\t0/1\n"),
     [", line 5: a blank line: expected a variant in every line after the header, found none"]),
    ("vcf", "no line of columns", text(f"{VCF}{VARIANT}\tGT\t0/0\n"),
     ["expected a complete VCF or BCF file, found: cannot parse VCF header (after 0 variants)"]),
    ("vcf", "nothing in it", text(""),
     ["expected a complete VCF or BCF file, found: ", "is not valid bcf or vcf"]),
    ("vcf", "a sample less in a line", text(f"{VCF}{COLUMNS}\ta\tb\n{VARIANT}\tGT\t0/0\n"),
     ["expected a complete VCF or BCF file, found: error parsing variant", "(after 0 variants)"]),
    ("vcf", "an allele of 20 digits",
     text(f"{VCF}{COLUMNS}\ta\tb\n{VARIANT}\tGT\t0/0\t0/{'9' * 20}\n"),
     ["expected a complete VCF or BCF file, found: error parsing variant", "(after 0 variants)"]),
    ("vcf", "an allele that there is not", text(f"{VCF}{COLUMNS}\ta\tb\n{VARIANT}\tGT\t0/0\t0/7\n"),
     ["expected alleles up to 1 at 1:5, as it has so many in ALT, found 7"]),
    ("vcf", "three chromosomes", text(f"{VCF}{COLUMNS}\ta\tb\n{VARIANT}\tGT\t0/0\t0/1/1\n"),
     ["expected calls of one or two alleles, found more at 1:5; the model is of diploid samples"]),
    ("vcf", "three alleles",
     text(f"{VCF}{COLUMNS}\ta\tb\n{VARIANT.replace('G', 'G,T')}\tGT\t0/0\t0/2\n"),
     ["expected variants of two alleles, found 3 alleles at 'r'; split them"]),
    ("vcf", "no calls", text(f"{VCF}{COLUMNS}\ta\tb\n{VARIANT}\tXX\t1\t2\n"),
     ["expected the field GT of every variant, found none at 1:5; drop this variant"]),
    ("vcf", "a NUL in an id",
     text(f"{VCF}{COLUMNS}\ta\tb\n1\t5\tr\0\tA\tG\t.\t.\t.\tGT\t0/0\t0/1\n"),
     ["expected a complete VCF or BCF file, found: error parsing variant", "(after 0 variants)"]),
    ("vcf", "gzip that was cut",
     text(gzip.compress(f"{VCF}{COLUMNS}\ta\tb\n{VARIANT}\tGT\t0/0\t0/1\n".encode())[:-12]),
     ["expected a complete VCF or BCF file, found: Compressed file ended before the end-of-stream "
      "marker was reached (after 0 variants); copy"]),
    ("vcf", "gzip with another checksum",
     text(gzip.compress(f"{VCF}{COLUMNS}\ta\n{VARIANT}\tGT\t0/1\n".encode())[:-8] + bytes(8)),
     ["expected a complete VCF or BCF file, found: CRC check failed"]),
    ("vcf", "bgzip without its end", text(BGZF),
     ["expected the end marker of bgzip, found none: the file was cut"]),
    # BGEN
    ("bgen", "another magic number", bgen(put(16, "4s", b"bgex")),
     ["expected 'bgen' at offset 16, found 62 67 65 78"]),
    ("bgen", "cut within a variant", bgen(lambda b: b[:-5]),
     ["expected a complete BGEN file of 2 variants, found: couldn't read the compressed "
      "data (after 1)"]),
    ("bgen", "a variant less than it says", bgen(put(8, "<I", 3)),
     ["expected a complete BGEN file of 3 variants, found: ", "(after 2)"]),
    ("bgen", "an offset beyond the file", bgen(put(0, "<I", 2**31)),
     ["expected samples, variants and at least 2147483692 bytes for 2 variants, found 3 "
      "samples and 167 bytes"]),
    ("bgen", "samples that are not those of the ids", bgen(put(12, "<I", 9)),
     ["expected a complete BGEN file of 2 variants, found: inconsistent number of samples "
      "(after 0)"]),
    ("bgen", "an unknown compression", bgen(put(20, "<I", 0x8000000B)),
     ["expected a complete BGEN file of 2 variants, found: unknown bgen compression scheme "
      "(after 0)"]),
    ("bgen", "an unknown layout", bgen(put(20, "<I", 0x8000003D)),
     ["expected a complete BGEN file of 2 variants, found: unknown bgen layout version "
      "(after 0)"]),
    ("bgen", "an id twice", bgen(ids=["a", "a", "c"]),
     ["samples: expected distinct ids, found 'a' twice"]),
    ("bgen", "nothing in it", text(""), ["expected 'bgen' at offset 16, found the end"]),
    ("sample", "a header alone", bgen(sample="ID_1 ID_2\n0 0\n"),
     ["not a .sample file: expected a line ID_1 ID_2 missing ..., a line 0 0 0 ..., and "
      "samples, found '0 0'"]),
    ("sample", "a sample twice", bgen(sample="ID_1 ID_2\n0 0\na a\nb b\na a\n"),
     ["line 5: duplicated sample: expected every sample once, found FID 'a' IID 'a' in "
      "lines 3 and 5"]),
    ("sample", "a line with a column more", bgen(sample="ID_1 ID_2\n0 0\na a\nb b x\n"),
     ["line 4: wrong number of columns: expected 2 separated by spaces or tabs, found 3"]),
    ("sample", "nothing in it", bgen(sample=""),
     ["the file is empty: expected at least one line, found none"]),
    # kinship of GCTA and others
    ("grm", "one number short", grm(values=(1.0, 0.1)),
     ["wrong size: expected 12 bytes: the lower triangle of the 2 samples of the .grm.id "
      "file, in float32, found 8 bytes"]),
    ("grm", "one number more", grm(values=(1.0, 0.1, 1.0, 0.0)),
     ["wrong size: expected 12 bytes: the lower triangle of the 2 samples of the .grm.id "
      "file, in float32, found 16 bytes"]),
    ("grm", "not a number", grm(values=(1.0, np.nan, 1.0)),
     ["kinship: expected finite numbers, found nan in row 1, column 2"]),
    ("grm", "infinity on the diagonal", grm(values=(1.0, 0.1, np.inf)),
     ["kinship: expected finite numbers, found inf in row 2, column 2"]),
    ("grm", "a negative diagonal", grm(values=(-1.0, 0.1, -1.0)),
     ["kinship: expected a positive mean diagonal, found -1.0"]),
    ("grm", "a sample twice", grm(ids="f a\nf a\n"),
     ["line 2: duplicated sample: expected every sample once, found FID 'f' IID 'a' in "
      "lines 1 and 2"], "x.grm.id"),
    ("grm", "no samples", grm(ids=""),
     ["no samples: expected one line per sample, found an empty file"], "x.grm.id"),
    ("grm", "a NUL in an id", grm(ids="f a\0\nf b\n"),
     ["line 1: not a text file of the expected kind: expected UTF-8 text", "found a NUL byte"],
     "x.grm.id"),
    ("grm", "one count short", grm(counts=(9, 9)),
     ["wrong size: expected 12 bytes: the lower triangle of the 2 samples of the .grm.id "
      "file, in float32, found 8 bytes"], "x.grm.N.bin"),
    ("grm", "a negative count", grm(counts=(9, -9, 9)),
     ["bad number of variants: expected numbers from 0 to 2^53, found -9.0"], "x.grm.N.bin"),
    ("grm", "1e38 variants", grm(counts=(1e38, 1, 1)),
     ["bad number of variants: expected numbers from 0 to 2^53, found 9.99"], "x.grm.N.bin"),
    ("gemma", "a matrix that is not symmetric", text(square("1", "0").replace("1 0", "1 0.5", 1)),
     ["kinship: expected a symmetric matrix, found 0.5 in row 1, column 2 and 0.0 in row "
      "2, column 1"]),
    ("gemma", "entries far beyond the diagonal", text(square("1e-200", "1e200")),
     ["kinship: expected entries that floating point can divide by the mean diagonal, "
      "found 1e+200 and a mean diagonal of 1e-200"]),
    ("gemma", "not a number", text("1 nan\nnan 1\n"),
     ["line 1: column 2: expected a finite number, found 'nan'"]),
    ("gemma", "a column more in a line", text("1 0\n0 1 0\n"),
     ["line 2: not a square matrix: expected 2 values (the file has 2 lines), found 3"]),
    ("npz", "another scale than the entries allow",
     kinship(matrix=np.array([[1, 100.0], [100.0, 1]]), scale=np.array(1e307)),
     ["expected a matrix that floating point holds times its scale, found 100.0 and 1e+307"]),
    ("npz", "a scale of 0", kinship(scale=np.array(0.0)),
     ["expected a matrix with the mean diagonal 1, and a positive scale, found the mean "
      "diagonal 1.0 and the scale 0.0"]),
    ("npz", "no variants", kinship(n_variants=np.array(0, dtype="<i8")),
     ["expected a number of variants, or -1 if it is not known, found 0"]),
    ("npz", "one id less", kinship(iid=np.array(["a"]), fid=np.array(["a"])),
     ["wrong number of samples: expected one sample for each of the 2 rows of the matrix, "
      "found 1 samples"]),
    ("npz", "one character of an id that is none", kinship(iid=NO_SECOND),
     ["expected a complete .npz, found 0xffff0036 for a character"]),
    ("npz", "cut",
     lambda path, files: (kinship()(path, files), path.write_bytes(path.read_bytes()[:-40])),
     ["expected a complete .npz, found File is not a zip file"]),
    ("npz", "text", text("1 0\n0 1\n"), ["expected a complete .npz, found another kind of file"]),
    # pedigrees
    ("pedigree", "three columns", text("f a 0\n"),
     ["line 1: wrong number of columns: expected four or more (FID, IID, father, mother), "
      "found 3"]),
    ("pedigree", "an individual twice", text("f a 0 0\nf b 0 0\nf a 0 0\n"),
     ["line 3: duplicated sample: expected every sample once, found FID 'f' IID 'a' in "
      "lines 1 and 3"]),
    ("pedigree", "nothing in it", text(""),
     ["the file is empty: expected at least one line, found none"]),
    ("pedigree", "a line with a column less", text("f a 0 0\nf b 0\n"),
     ["line 2: wrong number of columns: expected 4 separated by spaces or tabs, found 3"]),
    ("relatives", "a parent of itself", text("f a a 0\n"),
     ["expected no individual among its own ancestors, found the loop 'f a' > 'f a'"], "pedigree"),
    ("relatives", "a loop of three", text("f a b 0\nf b c 0\nf c 0 a\n"),
     ["expected no individual among its own ancestors, found the loop 'f a' > 'f b' > 'f "
      "c' > 'f a'"], "pedigree"),
    # models
    ("model", "cut", model_text(lambda b: b[: len(b) // 2]),
     ["expected a complete .npz, found File is not a zip file"]),
    ("model", "a byte changed", model_text(lambda b: b.replace(b"\0" * 8, b"\0" * 7 + b"\1", 1)),
     ["expected a complete .npz, found Bad CRC-32 for file"]),
    ("model", "text", text("FID IID\n"), ["expected a complete .npz, found another kind of file"]),
    ("model", "a kinship", kinship(),
     ["expected the format 'lmmlasso_fast model 1', found 'lmmlasso_fast kinship 1'"]),
    ("model", "a mean of 1e308", dosages_of_model(mean=lambda a: np.append(a[:-1], 1e308)),
     ["expected mean with finite numbers up to 1e+290, found 1e+308"]),
    ("model", "an sd of 1e-320", dosages_of_model(sd=lambda a: np.append(a[:-1], 1e-320)),
     ["expected positive sd, from 1e-160, found otherwise"]),
    ("model", "an sd that is NaN", dosages_of_model(sd=lambda a: np.append(a[:-1], np.nan)),
     ["expected sd with finite numbers up to 1e+160, found nan"]),
    ("model", "a coefficient of 1e308",
     dosages_of_model(coef_values=lambda a: np.append(a[:-1], 1e308)),
     ["expected coef_values with finite numbers up to 1e+290, found 1e+308"]),
    ("model", "coefficients that overflow with their sd",
     dosages_of_model(coef_values=lambda a: 1e200 * np.sign(a), sd=lambda a: 1e-150 * a),
     ["expected coef_values whose products with mean / sd are 1e300 at most, found inf"]),
    ("model", "effects of SNPs that overflow with their sd",
     dosages_of_model(random_effects=lambda a: np.full_like(a, 1e200), sd=lambda a: 1e-150 * a),
     ["expected random_effects whose products with mean / sd are 1e300 at most, found inf"]),
    ("model", "covariate effects of 1e308",
     dosages_of_model(gammas=lambda a: np.full_like(a, 1e308)),
     ["expected gammas with finite numbers up to 1e+290, found 1e+308"]),
    ("model", "a negative alpha", dosages_of_model(alphas=lambda a: a - 1e3),
     ["expected one alpha or more, positive and decreasing, found otherwise"]),
    ("model", "an alpha of 1e308", dosages_of_model(alphas=lambda a: np.append(1e308, a[1:])),
     ["expected alphas with finite numbers up to 1e+265, found 1e+308"]),
    ("model", "a row beyond the SNPs", dosages_of_model(coef_rows=lambda a: a + 1000),
     ["expected a valid sparse matrix of coefficients, found otherwise"]),
    ("model", "numbers of the other byte order", dosages_of_model(mean=lambda a: a.astype(">f8")),
     ["expected mean of the type <f8 in 1 dimensions, found >f8 in 1"]),
    ("model", "an h2 of 2", dosages_of_model(h2=lambda a: np.array(2.0)),
     ["expected an h2 from 0 to 1, or none, found otherwise"]),
    # tables
    ("pheno", "a header alone", text("FID IID Y\n"),
     ["no data: expected at least one line after the header, found none"]),
    ("pheno", "no header", text("f a 1\nf b 2\n"),
     ["line 1: no header with sample ids: expected a first line that starts with 'FID IID'",
      "found 'f a 1'"]),
    ("pheno", "a sample twice", text("FID IID Y\nf a 1\nf a 2\n"),
     ["line 3: duplicated sample: expected every sample once, found FID 'f' IID 'a' in "
      "lines 2 and 3"]),
    ("pheno", "a column twice", text("FID IID Y Y\nf a 1 2\n"),
     ["line 1: bad header, column 4: expected a name that no other column has, found 'Y'"]),
    ("phenotype", "infinity", text("FID IID Y\nf a 1\nf b inf\n"),
     ["line 3: column 'Y': expected a finite number, found 'inf'"]),
    ("phenotype", "1e999", text("FID IID Y\nf a 1e999\nf b 2\n"),
     ["line 2: column 'Y': expected a finite number, found '1e999'"]),
    ("phenotype", "text for a number", text("FID IID Y\nf a 1\nf b tall\n"),
     ["line 3: column 'Y': expected a number, or NA for a missing value, found 'tall'"]),
    ("phenotype", "-9 without being told what it is", text("FID IID Y\nf a 1\nf b -9\n"),
     ["line 3: column 'Y': expected values whose meaning is known, found '-9'"]),
    ("pheno", "a line with a column less", text("FID IID Y Z\nf a 1 2\nf b 1\n"),
     ["line 3: wrong number of columns: expected 4 separated by spaces or tabs, found 3"]),
    ("pheno", "a NUL", text("FID IID Y\nf a 1\0\n"),
     ["line 2: not a text file of the expected kind: expected UTF-8 text", "found a NUL byte"]),
    ("covariate", "infinity", text("FID IID age\nf a 1\nf b -inf\n"),
     ["line 3: column 'age': expected a finite number, found '-inf'"]),
    ("covariate", "-9 without being told what it is", text("FID IID age\nf a 1\nf b -9\n"),
     ["line 3: column 'age': expected values whose meaning is known, found '-9'"]),
    ("covar", "no column but the ids", text("FID IID\nf a\n"),
     ["no column after the ids: expected at least one column of values, found none"]),
    ("covar", "a column without name", text("FID\tIID\t\tage\nf\ta\t1\t2\n"),
     ["line 1: bad header, column 3: expected a name that no other column has, found no name"]),
    ("covar", "a sample twice", text("FID IID age\nf a 1\nf a 2\n"),
     ["line 3: duplicated sample: expected every sample once, found FID 'f' IID 'a' in "
      "lines 2 and 3"]),
    ("covar", "UTF-16", text("FID IID age\nf a 1\n".encode("utf-16")),
     ["line 1: not a text file of the expected kind: expected UTF-8 text",
      "found the byte 0xff, which is not UTF-8"]),
    ("covar", "carriage returns alone", text("FID IID age\rf a 1\r"),
     ["line 1: not a text file of the expected kind: expected UTF-8 text",
      "found a carriage return inside a line"]),
    ("genes", "an end before the start", text("1\t10\t5\tg\n"),
     ["line 1: start and end: expected whole numbers, 0 <= start <= end, found '10' and '5'"]),
    ("genes", "two columns", text("1\t10\n"),
     ["line 1: not a region: expected a chromosome, a start and an end", "found '1\\t10'"]),
    # checkpoints and partial results
    ("journal", "nothing in it", text(""),
     ["not a checkpoint or partial result: expected at least a header, found an empty or "
      "incomplete line"]),
    ("journal", "a table", text("FID IID\na b\n"),
     ["line 1: not a checkpoint or partial result: expected a header of the format "
      "lmmlasso-journal, found something else"]),
    ("journal", "a byte changed in the header",
     partial_text(lambda b: b.replace(b'"kind"', b'"kinD"', 1)),
     ["line 1: a damaged line: expected its checksum at its end, found none or that of "
      "other content"]),
    ("journal", "a byte changed in a result",
     partial_text(lambda b: b.replace(b'"changes"', b'"changeS"', 1)),
     ["line 2: a damaged line: expected its checksum at its end, found none or that of "
      "other content"]),
    ("journal", "the header twice", partial_text(lambda b: b.splitlines(True)[0] + b),
     ["line 2: not what lmmlasso writes: expected the fields result, task, found "
      '"fingerprint, format, kind, options, version"']),
    ("journal", "no header", partial_text(lambda b: b"".join(b.splitlines(True)[1:])),
     ["line 1: not a checkpoint or partial result: expected a header of the format "
      "lmmlasso-journal, found something else"]),
    ("journal", "carriage returns before the ends of lines",
     partial_text(lambda b: b.replace(b"\n", b"\r\n")),
     ["line 1: a damaged line: expected its checksum at its end, found none or that of "
      "other content"]),
    ("journal", "lists in lists, 5,000 deep", text(DEEP + "\n"),
     ["line 1: not a checkpoint or partial result: expected a header of the format "
      "lmmlasso-journal, found something else"]),
    ("journal", "gzip", partial_text(gzip.compress),
     ["line 1: not a checkpoint or partial result: expected a header of the format "
      "lmmlasso-journal, found something else"]),
]  # fmt: skip
