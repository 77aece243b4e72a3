"""Malformed and odd files that no other module has: each is one line of a table.

A case says what is wrong, how to build the file, and what the message must say: the file, what was
expected, what was found. Every one is read from Python and by a command, which must end with the
exit code, without traceback and without result files. docs/reliability.md has the same table;
`PYTHONPATH=tests python tests/files/test_malformed.py` writes it there.
"""

import json
import re
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cli_files import interrupt, lmmlasso, results, small_fileset
from click.testing import CliRunner
from numpy.testing import assert_allclose, assert_array_equal

import lmmlasso_fast as ll
from lmmlasso_fast.cli import main
from lmmlasso_fast.errors import (
    GenotypeError,
    InputError,
    KinshipError,
    ModelError,
    PlinkFormatError,
    TableError,
)
from lmmlasso_fast.io.bed_regions import read_bed
from lmmlasso_fast.io.ids import read_id_list, read_ids
from lmmlasso_fast.io.journal import Journal, JournalError, read_journal
from lmmlasso_fast.io.kinship_files import NPZ_FORMAT, load_kinship, read_gemma, read_rel
from lmmlasso_fast.io.multiqc import multiqc_content
from lmmlasso_fast.io.pgen_text import read_psam, read_pvar, read_sample_file
from lmmlasso_fast.io.plink_text import read_bim, read_fam
from lmmlasso_fast.io.tables import expand_names, read_phenotypes
from lmmlasso_fast.report import write_report

pytestmark = pytest.mark.promise("any-bytes")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- malformed files: begin -->\n", "<!-- malformed files: end -->\n"


@dataclass(frozen=True)
class Kind:
    """Files that are read alike.

    `read(path)` and `command(path, files)` take the file that `build(path, files)` of a case
    wrote as `name`; `code` is the command's exit code.
    """

    name: str
    error: type[InputError] | None
    read: Callable | None
    command: Callable | None
    code: int = 3


def null_model(*flags):
    """A command that reads --flag FILE and the other input of a null model."""
    return lambda path, files: ["null", *flags, path, *files.y]


def on_genotypes(flag):
    return lambda path, files: ["null", *files.base, flag, path]


KINDS = {
    "npy": Kind("x.npy", GenotypeError, ll.read_npy, null_model("--npy")),
    "bimbam": Kind("x.txt", GenotypeError, ll.read_bimbam, null_model("--bimbam")),
    "vcf": Kind("x.vcf", GenotypeError, ll.read_vcf, null_model("--vcf")),
    "bgen": Kind("x.bgen", GenotypeError, ll.read_bgen, null_model("--bgen")),
    "fam": Kind("x.fam", PlinkFormatError, read_fam, lambda p, f: ["null", *f.base, "--fam", p]),
    "bim": Kind("x.bim", PlinkFormatError, read_bim, lambda p, f: ["null", *f.base, "--bim", p]),
    "psam": Kind("x.psam", PlinkFormatError, read_psam, None),
    "pvar": Kind("x.pvar", PlinkFormatError, read_pvar, None),
    "sample": Kind("x.sample", TableError, read_sample_file, None),
    "npz": Kind("x.npz", KinshipError, load_kinship, on_genotypes("--kinship")),
    "gemma": Kind("x.cXX.txt", KinshipError, read_gemma, on_genotypes("--kinship")),
    "rel": Kind("x.rel", KinshipError, read_rel, on_genotypes("--kinship")),
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
    "keep": Kind("x.keep", TableError, read_ids, on_genotypes("--keep")),
    "extract": Kind("x.snps", TableError, read_id_list, on_genotypes("--extract")),
    "genes": Kind("x.bed", TableError, read_bed, None),
    "journal": Kind("x.partial", JournalError, read_journal, lambda p, f: ["merge", p]),
    # a partial result whose lines are in order, with content that no run has
    "merge": Kind("x.partial", None, None, lambda p, f: ["merge", p]),
    "resume": Kind("P.cv.checkpoint", None, None, lambda p, f: ["cv", *f.base, *f.cv, "--resume"]),
    "config": Kind(
        "x.toml",
        None,
        None,
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


DEEP = "[" * 5000 + "]" * 5000
DIGITS = "9" * 5000
VCF = (
    '##fileformat=VCFv4.2\n##contig=<ID=1>\n##FORMAT=<ID=GT,Number=1,Type=String,Description="x">\n'
)
VARIANT = "1\t5\tr\tA\tG\t.\t.\t."
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT"

#: Kind, what is wrong, how it is built, texts of the message in their order; and what the message
#: names, if it is not the file.
CASES = [
    # .npy
    ("npy", "a matrix of 1e12 x 1e12", shaped(f"({10**12}, {10**12})"), ["overflow"]),
    ("npy", "2^32 x 2^32, which is 0 in 64 bits", shaped(f"({2**32}, {2**32})"), ["overflow"]),
    ("npy", "a size beyond 64 bits", shaped(f"({2**63}, 1)"), ["too large to convert"]),
    ("npy", "a negative size", shaped("(-3, -5)"), ["found: negative dimensions"]),
    ("npy", "True for a size", shaped("(True, 5)"), ["expected a .npy", "found: "]),
    ("npy", "a header that ends in a bracket", npy("{'descr': '<f8', ("),
     ["expected a .npy", "found: "]),
    ("npy", "a header of nested brackets", npy("(" * 100), ["expected a .npy", "found: "]),
    ("npy", "a header of 4 GB that is not there",
     text(b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(100)), ["expected 4294967295 bytes"]),
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
    ("bimbam", "a dosage that is not UTF-8", text(b"rs1 A G \xff 1\n"), ["line 1: dosages"]),
    ("bimbam", "lines that end with a carriage return alone", text("r1 A G 0 1\rr2 A G 1 1\r"),
     ["line 1: dosages: expected numbers or NA"]),
    # VCF and BGEN
    ("vcf", "a variant without any sample", text(f"{VCF}{COLUMNS[:-7]}\n{VARIANT}\n"),
     ["expected distinct ids", "found none"]),
    ("vcf", "no variant", text(f"{VCF}{COLUMNS}\ts1\ts2\n"),
     ["expected variants, found none"]),
    ("vcf", "a sample twice", text(f"{VCF}{COLUMNS}\ts1\ts1\n{VARIANT}\tGT\t0/0\t0/1\n"),
     ["expected", "found"]),
    ("vcf", "a text of another kind", text("FID IID Y\n"), ["expected", "found"]),
    ("bgen", "four billion variants of 20 bytes",
     text(struct.pack("<4I", 20, 20, 2**32 - 1, 5) + b"bgen" + bytes(40)),
     ["expected samples, variants and at least 85899345", "found 5 samples and 60 bytes"]),
    ("bgen", "no samples", text(struct.pack("<4I", 20, 20, 1, 0) + b"bgen" + bytes(40)),
     ["expected samples", "found 0 samples"]),
    # PLINK texts
    ("fam", "UTF-16", text("a b 0 0 1 1\n".encode("utf-16")), ["line 1", "expected UTF-8"]),
    ("fam", "lines that end with a carriage return alone", text("a b 0 0 1 1\rc d 0 0 1 1\r"),
     ["line 1", "found a carriage return inside a line"]),
    ("bim", "a position beyond 64 bits", text("1 a 0 5 A G\n1 b 0 99999999999999999999 A G\n"),
     ["line 2: column POS: expected a position", "found '99999999999999999999'"]),
    ("bim", "columns 3 and 4 swapped", text("1 a 5 0.25 A G\n"),
     ["line 1: column POS", "found '0.25'"]),
    ("psam", "a sample without id", text("#FID\tIID\na\t\n"), ["samples: expected an id"]),
    ("pvar", "a column twice", text("#CHROM POS ID REF ALT ALT\n1 1 a A G G\n"),
     ["header: expected the columns", "each once"]),
    ("sample", "no line of types", text("ID_1 ID_2\na a\nb b\n"),
     ["not a .sample file: expected a line ID_1", "found 'a a'"]),
    # kinship
    ("npz", "ids that are no characters", kinship(iid=NO_CHARACTER), ["a complete .npz"]),
    ("npz", "ids that are half a character", kinship(fid=SURROGATE),
     ["a complete .npz", "surrogates not allowed"]),
    ("npz", "a format that is no text", kinship(format=NO_CHARACTER[:1].reshape(())),
     ["a complete .npz"]),
    ("npz", "entries whose sums overflow", kinship(matrix=np.array([[1, 1e308], [1e308, 1]])),
     ["expected entries whose sums floating point can hold", "found 1e+308"]),
    ("npz", "more columns than rows", kinship(matrix=np.ones((2, 3))),
     ["expected a square matrix", "found shape (2, 3)"]),
    ("npz", "no rows", kinship(matrix=np.ones((0, 0))), ["expected a matrix with the mean"]),
    ("gemma", "entries whose sums overflow", text(square("1", "1e308")),
     ["expected entries whose sums", "found 1e+308"]),
    ("gemma", "200,000 lines of one value", text("1\n" * 200_000),
     ["line 1: not a square matrix: expected 200000 values", "found 1"]),
    ("gemma", "1_0 for a number", text("1_0 0\n0 1\n"),
     ["line 1: column 1: expected a finite number", "found '1_0'"]),
    ("gemma", "commas", text("1,0\n0,1\n"), ["line 1: not a square matrix", "found 1"]),
    ("gemma", "quotes", text('"1" 0\n0 1\n'), ["column 1: expected a finite", "found '\"1\"'"]),
    ("gemma", "a diagonal of zeros", text(square("0", "1")), ["expected a positive mean diagonal"]),
    ("rel", "a triangle of 100,000 lines of one value", rel("1\n" * 100_000, 100_000),
     ["line 2: not a lower triangle: expected 2 values", "found 1"]),
    ("rel", "1_0 for a number", rel("1\n1_0 1\n", 2), ["line 2: column 1", "found '1_0'"]),
    # models
    ("model", "a number of 5,000 digits", model(transform=np.array(f'{{"a": {DIGITS}}}')),
     ["Exceeds the limit", "fit the model again"]),
    ("model", "levels with a number of 5,000 digits", model(covariate_levels=np.array(DIGITS)),
     ["Exceeds the limit", "fit the model again"]),
    ("model", "a phenotype that is no text", model(phenotype=NO_CHARACTER[:1].reshape(())),
     ["a complete .npz"]),
    ("model", "a phenotype that is half a character", model(phenotype=np.array("\ud800")),
     ["a complete .npz", "surrogates not allowed"]),
    ("model", "a list for the exponent of Box-Cox",
     model(transform=np.array(json.dumps({"method": "boxcox", "lambda": [1], "shift": 0, "scale": 1,
                                          "mean": 0, "sd": 1, "table": None}))),
     ["transform", "fit the model again"]),
    ("model", "a shift of 400 digits",
     model(transform=np.array(json.dumps({"method": "none", "lambda": None, "shift": 10**400,
                                          "scale": 1, "mean": 0, "sd": 1, "table": None}))),
     ["transform", "OverflowError", "fit the model again"]),
    # tables and lists
    ("pheno", "UTF-16", text("IID Y\na 1\n".encode("utf-16")), ["line 1", "expected UTF-8"]),
    ("pheno", "commas", text("FID,IID,Y\na,b,1\n"), ["line 1: no header with sample ids"]),
    ("keep", "UTF-16", text("a b\n".encode("utf-16")), ["line 1", "expected UTF-8"]),
    ("keep", "one column, then two", text("a\nb c\n"), ["line 2: wrong number", "found 2"]),
    ("keep", "a NUL", text("a b\na\0 b\n"), ["line 2", "found a NUL byte"]),
    ("extract", "Latin-1", text(b"v001\n\xe9\n"), ["line 2", "found the byte 0xe9"]),
    ("extract", "a NUL", text("v001\nv\0\n"), ["line 2", "found a NUL byte"]),
    ("genes", "a start of 5,000 digits", text(f"1\t{DIGITS}\t5\n"),
     ["line 1: start and end: expected whole numbers"]),
    ("genes", "genotypes of PLINK", text(b"l\x1b\x01\xff\x00"), ["line 1", "expected UTF-8"]),
    # checkpoints and partial results
    ("journal", "UTF-16", text("{}".encode("utf-16")), ["expected a header of the format"]),
    ("merge", "no flags", journal(without=["bfile", "pheno"]),
     ["option 'bfile': expected what --bfile takes, found no such field"]),
    ("merge", "a list for a file", journal(options={"pheno": [1]}), ["option 'pheno'"]),
    ("merge", "a NUL in the name of a file", journal(options={"bfile": "a\0b"}),
     ["option 'bfile'", "\\u0000"]),
    ("merge", "a number for a switch", journal(options={"no_pairs": -1}),
     ["option 'no_pairs'", "found '-1'"]),
    ("merge", "replicates that are no range", journal(options={"replicates": "a"}),
     ["option 'replicates'"]),
    ("merge", "an unknown transformation", journal(options={"transform": "x"}),
     ["option 'transform'"]),
    ("merge", "replicate 1e15", journal(results={10**15: {"error": "x"}}),
     ["expected the replicates 0 to 1000000000000000", "found 3", "missing are 2 to 99"], "merge"),
    ("merge", "text for alphas", journal(result={"alphas": ["a"]}),
     ["task 1: not what lmmlasso writes: expected the result of a replicate"]),
    ("merge", "a SNP that is not there", journal(result={"alphas": [1.0], "changes": [[150]]}),
     ["task 1: not what lmmlasso writes"]),
    ("merge", "a SNP that would count from the end",
     journal(result={"alphas": [1.0], "changes": [[-151]]}), ["task 1: not what lmmlasso writes"]),
    ("merge", "a gap that is no number", journal(result={"gap": "x"}), ["task 1: not what"]),
    ("merge", "an alpha of 400 digits", journal(result={"alphas": [10**400], "changes": [[]]}),
     ["task 1: not what lmmlasso writes"]),
    ("merge", "a field too many", journal(result={"other": 1}), ["task 1: not what lmmlasso"]),
    ("resume", "a fold without content", checkpoint({}),
     ["task 0: not what lmmlasso writes: expected the result of a fold", "found '{}'"]),
    ("resume", "predictions of other lengths",
     checkpoint({"predictions": [[1.0], []], "gaps": [0.0], "alpha_max": 1.0, "log_delta": None}),
     ["task 0: not what lmmlasso writes"]),
    ("resume", "a prediction of 400 digits",
     checkpoint({"predictions": [[10**400]], "gaps": [0.0], "alpha_max": 1.0, "log_delta": None}),
     ["task 0: not what lmmlasso writes"]),
    # configuration
    ("config", "a NUL in the name of a file", text('keep = "a\\u0000b"'),
     ["keep: expected text", "found a NUL in it"]),
    ("config", "a number of 5,000 digits", text(f"seed = {DIGITS}"),
     ["expected a TOML file, found Exceeds the limit"]),
    ("config", "lists in lists, 5,000 deep", text(f"steps = {DEEP}"),
     ["expected a TOML file, found values nested too deeply"]),
    ("config", "half a character", text('pheno-name = "\\ud800"'), ["not a Unicode scalar"]),
    ("config", "not a number", text("maf = nan"), ["maf: 'nan' is not a finite number"]),
    ("config", "UTF-16", text("maf = 0.1".encode("utf-16")), ["bytes that are not UTF-8"]),
    # result files
    ("multiqc", "a record without exit code", record("run", lambda c: c["exit"].clear()),
     ["field 'code': expected a whole number, found no such field"]),
    ("multiqc", "a record without warnings", record("run", lambda c: c.pop("warnings")),
     ["field 'warnings': expected a list of texts, found no such field"]),
    ("multiqc", "a list for counts", record("run", lambda c: c.update(counts=[1])),
     ["field 'counts': expected an object", "type list"]),
    ("multiqc", "an h2_se of 400 digits", record("null", lambda c: c.update(h2_se=10**400)),
     ["expected JSON that lmmlasso wrote"], "R.null.json"),
    ("report", "an h2 of 400 digits", record("null", lambda c: c.update(h2=10**400)),
     ["expected the JSON that lmmlasso writes"]),
    ("report", "a number for the kinship", record("null", lambda c: c.update(kinship=1)),
     ["field 'kinship': expected an object, found a value of the type int"]),
    ("report", "text for h2_se", record("null", lambda c: c.update(h2_se="x")),
     ["field 'h2_se': expected a number or null", "type str"]),
    ("report", "null for the method", record("null", lambda c: c.update(method=None)),
     ["field 'method': expected a text"]),
    ("report", "a column that is not there",
     table_of("path", lambda t: t.replace("INDEX", "OTHER", 1)),
     ["INDEX", "expected tables as lmmlasso writes them"], "R.*"),
    ("report", "NA for an effect",
     table_of("coef", lambda t: re.sub(r"[^\t]+\n\Z", "NA\n", t)),
     ["column 'BETA_STD': expected a number", "found 'NA'"], "R.coef.tsv"),
    ("report", "a prediction whose square is infinite",
     table_of("pred", lambda t: re.sub(r"(?m)^(pop.*)\t[^\t\n]+$", r"\1\t1e308", t, count=1)),
     ["expected tables as lmmlasso writes them"], "R.*"),
]  # fmt: skip


# ---- the cases ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A fileset, a fit, a partial result and a checkpoint of it."""
    small = small_fileset(tmp_path_factory.mktemp("small"))
    folder = small.folder
    y = ["--pheno", folder / "y.tsv"]
    base = ["--bfile", small.prefix, *y]
    lmmlasso("fit", *base, "--n-alphas", 10, "--out", folder / "fit")
    lmmlasso("stability", *base, "--replicates", "0:2", "--partial", "--out", folder / "part")
    return SimpleNamespace(
        prefix=small.prefix,
        y=y,
        base=base,
        cv=["--folds", 3, "--n-alphas", 5],
        fit=folder / "fit",
        partial=folder / "part.partial",
        folder=folder,
    )


@pytest.fixture
def begun(files, tmp_path, monkeypatch):
    """Has the checkpoint of an interrupted `cv`."""
    with monkeypatch.context() as patch:
        interrupt(patch, "cv", 1)
        lmmlasso("cv", *files.base, *files.cv, "--out", tmp_path / "c", code=130)
    files.checkpoint = tmp_path / "c.cv.checkpoint"


def identifier(case) -> str:
    return f"{case[0]}: {case[1]}"


@pytest.mark.parametrize("case", CASES, ids=identifier)
def test_refused(files, tmp_path, case, request):
    kind_name, _, build, parts, *rest = case
    kind = KINDS[kind_name]
    for module in {"vcf": ["cyvcf2"], "bgen": ["bgen"]}.get(kind_name, ()):
        pytest.importorskip(module)
    if kind_name == "resume":
        request.getfixturevalue("begun")
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / kind.name
    build(path, files)
    before = sorted(folder.iterdir())
    named = rest[0] if rest else kind.name
    if kind.read is not None:
        with pytest.raises(kind.error) as caught:
            kind.read(path)
        assert type(caught.value) is kind.error
        assert_says(str(caught.value), named, parts)
    if kind.command is not None:
        out = [] if kind_name == "report" else ["--out", folder / "P"]
        arguments = [str(a) for a in [*kind.command(path, files), *out]]
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == kind.code, done.output
        assert "Traceback" not in done.output
        assert_says(" ".join(done.stderr.split()), named, parts)
        left = set(folder.iterdir()) - set(before)
        assert {file.name for file in left} <= {"P.log", "P.run.json"}


def assert_says(message: str, named: str, parts) -> None:
    """The file first, then every part, in this order."""
    at = message.index(named)
    for part in parts:
        assert part in message[at:], f"{part!r} is not in {message[at:]!r}"
        at = message.index(part, at)


def test_texts_that_would_break_a_table_are_refused(tmp_path):
    """BGEN holds ids of any bytes."""
    bgen = pytest.importorskip("bgen")
    for bad in ("a\tb", "a\nb"):
        path = tmp_path / "x.bgen"
        with bgen.BgenWriter(path, 2, ["s1", "s2"]) as writer:
            writer.add_variant(bad, bad, "1", 5, ["A", "G"], np.eye(3)[:2])
        with pytest.raises(GenotypeError, match=r"variants 1: expected text without tabs.*as ID"):
            ll.read_bgen(path)


def test_a_range_of_columns_that_no_table_has(files):
    for name in ("PC{1:100000000000}", f"PC{{1:{DIGITS}}}"):
        with pytest.raises(TableError, match=r"column names 'PC\{1:.*: expected"):
            expand_names(name)
    message = lmmlasso(
        "null", *files.base, "--covar", files.folder / "c.tsv", "--covar-name", "PC{0:100000}",
        "--out", files.folder / "range", code=3,
    )  # fmt: skip
    assert "expected a range of at most 100,000 names, found 100,001" in message


# ---- odd, and right -----------------------------------------------------------------------------


def test_odd_bimbam_files_are_read(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes("\ufeffrs1, A, G, 2 ,NA\r\n\r\n  rs2\tA\tG\t+1e0\t0.\r\n".encode())
    genotypes = ll.read_bimbam(path)
    assert genotypes.variants["ID"].to_list() == ["rs1", "rs2"]
    assert_array_equal(genotypes.dosages([0, 1]), [[2, 1], [-1, 0]])


@pytest.mark.parametrize("dtype", ["?", "<f2", ">f8", ">i2", "u1"])
def test_odd_matrices_are_read(tmp_path, dtype):
    X = np.array([[0, 1], [1, 0], [1, 1]])
    np.save(tmp_path / "x.npy", np.asfortranarray(X.astype(dtype)))
    genotypes = ll.read_npy(tmp_path / "x.npy")
    sd = X.std(axis=0)
    assert_allclose(genotypes.columns([0, 1]), (X - X.mean(axis=0)) / sd, atol=1e-6)


@pytest.mark.parametrize("content", ["1e-300 0\n0 3e-300", " 1e200\t0 \r\n\r\n0 3e200\r\n"])
def test_kinships_of_any_unit_are_read(tmp_path, content):
    (tmp_path / "k.txt").write_text(content)
    assert_allclose(read_gemma(tmp_path / "k.txt").matrix, np.diag([0.5, 1.5]), rtol=1e-12)


def test_ids_that_look_like_numbers_and_columns_in_any_order(tmp_path):
    (tmp_path / "y.tsv").write_text(
        "\ufeff#FID\tIID\tY\tname of it\n007\t1e3\t.5\t\n7\t1000\t5.\tNaN"
    )
    table = read_phenotypes(tmp_path / "y.tsv")
    assert table.rows() == [("007", "1e3", 0.5, None), ("7", "1000", 5.0, None)]


def test_lists_of_any_form_are_read(tmp_path):
    path = tmp_path / "l"
    path.write_text("\ufeff#IID\n\n  01 \t\r\n-9\r\n")
    assert read_ids(path) == [(None, "01"), (None, "-9")]
    path.write_text("# comment\n\n\trs1 further columns\nrs1\n")
    assert read_id_list(path) == ["rs1", "rs1"]


# ---- the page -----------------------------------------------------------------------------------


def page_table() -> str:
    """The table of docs/reliability.md."""
    rows = ["| file | fault | required | message says |", "|---|---|---|---|"]
    for name, fault, _, parts, *_ in CASES:
        kind = KINDS[name]
        error = kind.error.__name__ if kind.error else ""
        code = f"exit code {kind.code}" if kind.command else ""
        said = " ... ".join(parts).replace("|", "\\|")
        rows.append(f"| {name} | {fault} | {', '.join(filter(None, [error, code]))} | `{said}` |")
    return "\n".join(rows) + "\n"


def test_the_page_has_the_table():
    assert len(CASES) >= 60
    assert len({identifier(case) for case in CASES}) == len(CASES)
    written = PAGE.read_text().split(BEGIN)[1].split(END)[0]
    assert written == page_table(), "run: PYTHONPATH=tests python tests/files/test_malformed.py"


if __name__ == "__main__":
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + page_table() + END + rest.split(END)[1])
    sys.exit()
