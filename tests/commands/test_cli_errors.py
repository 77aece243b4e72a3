"""The command line when something is wrong: exit codes, messages, and nothing half-written."""

import errno
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from cli_files import (
    COLUMNS,
    CV_COLUMNS,
    STABILITY_COLUMNS,
    edit_fam,
    lmmlasso,
    log,
    process,
    results,
    run_json,
    small_fileset,
    write_table,
)
from click.testing import CliRunner

from lmmlasso_fast.cli import main
from lmmlasso_fast.cli.recording import Run
from lmmlasso_fast.errors import OutputError
from lmmlasso_fast.io.kinship_files import save_kinship
from lmmlasso_fast.io.plink import read_plink
from lmmlasso_fast.io.plink_write import write_plink
from lmmlasso_fast.kinship import Kinship

pytestmark = pytest.mark.promise("whole-files")

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and limits")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return small_fileset(tmp_path_factory.mktemp("small"))


@pytest.fixture
def files(small, tmp_path):
    """A copy of the fileset and its tables, to spoil."""
    for path in small.folder.iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / "out").mkdir()
    return tmp_path


def refused(files, *arguments, code=3, command="fit", base=("--pheno", "y.tsv"), form=True):
    """Run a command that must fail; check what is left and return its message."""
    base = [files / part if part.endswith(".tsv") else part for part in base]
    out = files / "out" / "P"
    err = lmmlasso(command, "--bfile", files / "g", *base, *arguments, "--out", out, code=code)
    lines = err.splitlines()
    [message] = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    assert_nothing_but_the_record(out, code, message)
    if form:
        assert re.search(r"expected .+, found .+", message), message
    return message


def assert_nothing_but_the_record(out, code, state):
    assert {path.name for path in out.parent.iterdir()} == {
        f"{out.name}.log",
        f"{out.name}.run.json",
    }
    assert run_json(out)["exit"] == {"code": code, "state": state}
    assert re.search(rf"end: .*\(exit code {code}, [\d.]+ s\)$", log(out).strip().splitlines()[-1])
    assert state in log(out)


# --- the five of a new user ----------------------------------------------------------------------


def test_no_shared_ids(files):
    text = (files / "y.tsv").read_text()
    (files / "y.tsv").write_text(text.replace("\ts", "\tx"))
    message = refused(files)
    assert "y.tsv" in message
    assert "(the first is FID 'pop1' IID 's01'), found none of them" in message
    assert "(the first is FID 'pop1' IID 'x01')" in message


def test_same_iid_other_fid(files):
    text = (files / "y.tsv").read_text()
    (files / "y.tsv").write_text(text.replace("pop", "p"))
    assert "90 of 90 samples would match by IID alone: correct FID" in refused(files)


@pytest.mark.parametrize("change", [-1, +1, -23, -1000])
def test_bed_of_another_size(files, change):
    path = files / "g.bed"
    data = path.read_bytes()
    path.write_bytes(data[:change] if change < 0 else data + b"\0")
    message = refused(files)
    assert f"g.bed: expected {len(data)} bytes for 150 SNPs (.bim) of 90 samples (.fam)" in message
    assert f"found {len(data) + change}" in message


def test_text_phenotype(files):
    text = (files / "y.tsv").read_text().splitlines()
    text[4] = "\t".join([*text[4].split("\t")[:2], "tall"])
    (files / "y.tsv").write_text("\n".join(text) + "\n")
    message = refused(files)
    assert "y.tsv, line 5: column 'Y': expected a number, or NA" in message
    assert "found 'tall'; correct the value" in message


def test_indefinite_kinship(files, small):
    K = np.eye(90)
    K[0, 1] = K[1, 0] = 1.5
    save_kinship(Kinship.from_matrix(K, samples=small.samples), files / "K.npz")
    message = refused(files, "--kinship", files / "K.npz")
    assert "eigenvalue" in message
    assert "-0.5" in message
    refused(files, "--kinship", files / "K.npz", command="null")


def test_collinear_covariates_are_a_warning(files, small):
    table = pl.read_csv(files / "c.tsv", separator="\t").with_columns(twice=2 * pl.col("age"))
    table.write_csv(files / "c.tsv", separator="\t")
    arguments = ["--bfile", files / "g", "--pheno", files / "y.tsv", "--covar", files / "c.tsv"]
    err = lmmlasso("fit", *arguments, "--out", files / "out" / "P")
    assert "warning: covariates: twice dropped: constant, or collinear" in err


# --- genotypes -----------------------------------------------------------------------------------


def spoil_bed(files, data):
    (files / "g.bed").write_bytes(data((files / "g.bed").read_bytes()))


def spoil_text(files, name, line, text):
    lines = (files / name).read_text().split("\n")
    lines[line - 1] = text if isinstance(text, str) else text(lines[line - 1])
    (files / name).write_bytes("\n".join(lines).encode("latin-1"))


GENOTYPES = {
    "empty": (lambda f: spoil_bed(f, lambda b: b""), r"6c 1b 01, found 0 bytes"),
    "magic": (lambda f: spoil_bed(f, lambda b: b"\x6c\x1c" + b[2:]), r"offset 0, found 6c 1c 01"),
    "individual-major": (
        lambda f: spoil_bed(f, lambda b: b[:2] + b"\0" + b[3:]),
        r"01 \(SNP-major\) at offset 2, found 00 .*plink2 .*--make-bed",
    ),
    "gzip": (lambda f: spoil_bed(f, gzip.compress), r"found 1f 8b 08 \(gzip\); decompress"),
    "no bed": (lambda f: (f / "g.bed").unlink(), r"g\.bed: .*No such file"),
    "no bim": (lambda f: (f / "g.bim").unlink(), r"g\.bim: .*found No such file"),
    "no fam": (lambda f: (f / "g.fam").unlink(), r"g\.fam: .*found No such file"),
    "empty fam": (lambda f: (f / "g.fam").write_text(""), r"g\.fam: .*at least one line"),
    "short fam line": (
        lambda f: spoil_text(f, "g.fam", 3, "a b 0 0"),
        r"g\.fam, line 3: .*expected 6 .*, found 4",
    ),
    "five columns": (
        lambda f: (f / "g.fam").write_text("a b c d e\n"),
        r"g\.fam, line 1: .*expected six or more .*, found 5",
    ),
    "duplicated sample": (
        lambda f: spoil_text(f, "g.fam", 9, "pop1\ts01\t0\t0\t0\t-9"),
        r"g\.fam, line 9: duplicated sample: .* in lines 1 and 9",
    ),
    "bim position": (
        lambda f: spoil_text(f, "g.bim", 2, "1\tv\t0\tnowhere\tA\tG"),
        r"g\.bim, line 2: column POS: expected a position .*found 'nowhere'",
    ),
    "NUL": (
        lambda f: spoil_text(f, "g.bim", 7, "1\tv\0\t0\t5\tA\tG"),
        r"g\.bim, line 7: .*found a NUL byte",
    ),
    "not UTF-8": (
        lambda f: spoil_text(f, "g.bim", 7, "1\tv\xe9\t0\t5\tA\tG"),
        r"g\.bim, line 7: .*found the byte 0xe9, which is not UTF-8",
    ),
    # 89 samples of 90: same number of bytes, the padding shows it
    "fam too short": (
        lambda f: (f / "g.fam").write_text(
            "\n".join((f / "g.fam").read_text().splitlines()[:89]) + "\n"
        ),
        r"g\.bed: expected zero bits after the last of 89 samples, found others .*too few",
    ),
    "fam too long": (
        lambda f: (f / "g.fam").write_text((f / "g.fam").read_text() + "x x 0 0 0 -9\n"),
        r"g\.fam: .*the last 1 of its 91 samples .*--accept-reference-samples",
    ),
}


@pytest.mark.parametrize("case", GENOTYPES)
def test_genotypes(files, case):
    spoil, found = GENOTYPES[case]
    spoil(files)
    message = refused(files, form=case != "fam too long")
    assert re.search(found, message), message


@pytest.mark.parametrize("command", ["null", "kinship", "predict"])
def test_every_command_refuses_a_bad_bed(files, small, command):
    spoil_bed(files, lambda data: data[:-1])
    base, arguments = ("--pheno", "y.tsv"), []
    if command != "null":
        base = ()
    if command == "predict":
        out = files / "model"
        fileset = ["--bfile", small.prefix, "--pheno", small.folder / "y.tsv"]
        lmmlasso("fit", *fileset, "--out", out)
        arguments = ["--model", f"{out}.model.npz"]
    assert "g.bed: expected" in refused(files, *arguments, command=command, base=base)


def test_no_snp_is_left(files):
    (files / "few").write_text("v004\nv007\n")
    message = refused(files, "--extract", files / "few", form=False)
    assert re.search(r"no SNP is left: .*148 extract, .*relax the filters", message)


@pytest.mark.parametrize("flag", ["--keep", "--remove", "--extract", "--exclude"])
def test_lists(files, flag):
    path = files / "list"
    message = refused(files, flag, path)
    assert re.search(r"list: .*found No such file", message)
    shutil.rmtree(files / "out")
    (files / "out").mkdir()
    path.write_text("nobody nobody\n")
    message = refused(files, flag, path)
    assert str(path) in message
    shutil.rmtree(files / "out")
    (files / "out").mkdir()
    path.write_text("")
    refused(files, flag, path)


def test_remove_everybody(files, small):
    small.samples.write_csv(files / "all", separator="\t")
    message = refused(files, "--remove", files / "all", form=False)
    assert "no sample of the fileset is left" in message
    shutil.rmtree(files / "out")
    (files / "out").mkdir()
    message = refused(files, "--remove", files / "all", command="kinship", base=(), form=False)
    assert "none is left" in message


def test_mind_drops_everybody(files, small):
    dosages = small.dosages.copy()
    dosages[np.arange(90), 20 + np.arange(90)] = -1
    write_plink(files / "g", dosages, small.samples, small.variants)
    assert "--mind 0: expected" in refused(files, "--mind", 0)


def test_chromosome(files):
    message = refused(files, "--chr", "1,X")
    assert "expected names among 1, 2, 3, 4, 5, found X" in message


# --- tables --------------------------------------------------------------------------------------


def phenotype(files, change, line=3):
    spoil_text(files, "y.tsv", line, lambda text: "\t".join([*text.split("\t")[:2], change]))


PHENOTYPES = {
    "minus nine": (
        lambda f: phenotype(f, "-9"),
        r"y\.tsv, line 3: column 'Y': .*found '-9'; .*--missing-code -9 or --missing-code none",
    ),
    "minus nine, decimal": (lambda f: phenotype(f, "-9.0"), r"line 3: .*found '-9\.0'"),
    "infinite": (lambda f: phenotype(f, "inf"), r"line 3: .*expected a finite number, found 'inf'"),
    "column count": (lambda f: phenotype(f, "1\t2"), r"line 3: .*expected 3 separated .*, found 4"),
    "no header": (lambda f: spoil_text(f, "y.tsv", 1, "a\tb\t1"), r"no header with sample ids"),
    "commas": (
        lambda f: (f / "y.tsv").write_text((f / "y.tsv").read_text().replace("\t", ",")),
        r"no header with sample ids: .*put tabs for ',' between columns",
    ),
    "workbook": (
        lambda f: (f / "y.tsv").write_bytes(b"PK\x03\x04\0\xff"),
        r"y\.tsv, line 1: .*found a workbook of Excel",
    ),
    "twice": (
        lambda f: spoil_text(f, "y.tsv", 3, "pop1\ts01\t1"),
        r"y\.tsv, line 3: duplicated sample: .*in lines 2 and 3",
    ),
    "header only": (lambda f: (f / "y.tsv").write_text("FID\tIID\tY\n"), r"no data"),
    "empty": (lambda f: (f / "y.tsv").write_text(""), r"y\.tsv: the file is empty"),
    "absent": (lambda f: (f / "y.tsv").unlink(), r"y\.tsv: .*found No such file"),
    "not gzip": (
        lambda f: (f / "y.tsv").write_bytes(b"\x1f\x8b junk"),
        r"y\.tsv: the file cannot be read",
    ),
    "binary": (lambda f: shutil.copy(f / "g.bed", f / "y.tsv"), r"y\.tsv, line 1: not a text"),
    "constant": (
        lambda f: (f / "y.tsv").write_text(
            re.sub(r"[^\t\n]+$", "1", (f / "y.tsv").read_text(), flags=re.M).replace(
                "IID\t1", "IID\tY"
            )
        ),
        r"expected at least two distinct values, found 1 in all 90",
    ),
    "all missing": (
        lambda f: (f / "y.tsv").write_text(
            re.sub(r"[^\t\n]+$", "NA", (f / "y.tsv").read_text(), flags=re.M).replace(
                "IID\tNA", "IID\tY"
            )
        ),
        r"phenotype Y: no sample of the fileset is left",
    ),
    "two samples": (
        lambda f: (f / "y.tsv").write_text(
            "\n".join((f / "y.tsv").read_text().splitlines()[:3]) + "\n"
        ),
        r"at least 3 samples, found 2",
    ),
}


@pytest.mark.parametrize("case", PHENOTYPES)
def test_phenotypes(files, case):
    spoil, found = PHENOTYPES[case]
    spoil(files)
    message = refused(files, form=case != "all missing")
    assert re.search(found, message), message


def test_phenotype_name(files):
    message = refused(files, "--pheno", files / "two.tsv")
    assert "expected one phenotype, found 2 (Y, Z); choose one with --pheno-name" in message
    shutil.rmtree(files / "out")
    (files / "out").mkdir()
    message = refused(files, "--pheno", files / "two.tsv", "--pheno-name", "y")
    assert "no column 'y': expected one of 'Y', 'Z', found 'y'" in message


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tall", r"g\.fam, sample 2: column 6: expected a finite number, found 'tall'.*--pheno"),
        ("inf", r"g\.fam, sample 2: column 6: expected a finite number, found 'inf'"),
        ("1_0", r"g\.fam, sample 2: column 6: expected a finite number, found '1_0'"),
        ("١٢", r"g\.fam, sample 2: column 6: expected a finite number, found '١٢'"),
        (None, r"g\.fam: column 6: expected phenotypes, found only missing ones; give --pheno"),
    ],
)
def test_phenotype_of_the_fam(files, small, text, found):
    if text is not None:
        values = [str(value) for value in small.y]
        values[1] = text
        edit_fam(files / "g", phenotypes=values)
    assert re.search(found, refused(files, base=()))


def test_boxcox_of_a_constant(files):
    phenotypes = PHENOTYPES["constant"][0]
    phenotypes(files)
    refused(files, "--transform", "boxcox")


COVARIATES = {
    "absent column": (["--covar-name", "agee"], r"expected one of 'age', .*found 'agee'"),
    "bad range": (
        ["--covar-name", "PC{3:1}"],
        r"column names 'PC\{3:1\}': expected .*found neither",
    ),
    "range too far": (["--covar-name", "PC{1:4}"], r"no column 'PC4'"),
    "an id per sample": (["--covar-name", "name"], r"covariate 'name': .*found 90 levels"),
}


@pytest.mark.parametrize("case", COVARIATES)
def test_covariates(files, case):
    arguments, found = COVARIATES[case]
    table = pl.read_csv(files / "c.tsv", separator="\t")
    table = table.with_columns(name=pl.Series([f"mouse{i}" for i in range(90)]))
    table.write_csv(files / "c.tsv", separator="\t")
    message = refused(files, "--covar", files / "c.tsv", *arguments)
    assert re.search(found, message), message


def test_more_covariates_than_samples(files, small):
    rng = np.random.default_rng(0)
    ids = {name: small.samples[name].to_list() for name in ("FID", "IID")}
    columns = {f"c{k}": rng.standard_normal(90) for k in range(95)}
    write_table(files / "many.tsv", **ids, **columns)
    message = refused(files, "--covar", files / "many.tsv", form=False)
    assert "covariates" in message


def test_covariates_that_explain_everything(files, small):
    ids = {name: small.samples[name].to_list() for name in ("FID", "IID")}
    write_table(files / "same.tsv", **ids, same=2 * small.y + 1)
    for flags in ([], ["--no-kinship"]):
        message = refused(files, "--covar", files / "same.tsv", *flags, form=False)
        assert "the covariates explain it completely" in message
        shutil.rmtree(files / "out")
        (files / "out").mkdir()


def test_alphas_with_too_many_snps(files):
    message = refused(files, "--max-active", 0, "--alpha", 1e-5)
    found = re.fullmatch(
        r"--max-active: expected at least (\d+), found 0: already the first alpha has more than 0 "
        "active SNPs; give larger alphas",
        message,
    )
    assert found, message
    lmmlasso(
        *("fit", "--bfile", files / "g", "--pheno", files / "y.tsv", "--alpha", 1e-5),
        *("--max-active", found[1], "--out", files / "out" / "Q"),
    )


@pytest.mark.parametrize("command", ["fit", "cv"])
def test_snps_that_are_covariates(files, small, command):
    """Nothing is said of what the command line does not have."""
    ids = {name: small.samples[name].to_list() for name in ("FID", "IID")}
    snp = read_plink(files / "g").columns([9])[:, 0]
    (files / "one").write_text(f"{small.variants['ID'][9]}\n")
    covar = ["--covar", write_table(files / "same.tsv", **ids, same=snp)]
    flags = ["--extract", files / "one", *covar, "--no-kinship"]
    message = refused(files, *flags, command=command, form=False)
    assert "no SNP is left that could enter the model: " in message
    assert message.endswith("; relax the filters, or give fewer covariates")


# --- kinship -------------------------------------------------------------------------------------


def kinship_text(matrix):
    return "".join("\t".join(map(repr, row)) + "\n" for row in matrix.tolist())


KINSHIPS = {
    "too small": (np.eye(89), r"one sample for each of the 89 rows .*found 90 samples"),
    "not square": (np.ones((90, 3)), r"K\.txt"),
    "not symmetric": (np.triu(np.ones((90, 90))), r"K\.txt: .*expected a symmetric matrix"),
    "NaN": (np.full((90, 90), np.nan), r"K\.txt, line 1: .*found 'nan'"),
    "zero": (np.zeros((90, 90)), r"expected a positive mean diagonal, found 0"),
    "negative": (-np.eye(90), r"expected a positive mean diagonal, found -1"),
}


@pytest.mark.parametrize("case", KINSHIPS)
def test_kinship_text(files, case):
    matrix, found = KINSHIPS[case]
    (files / "K.txt").write_text(kinship_text(matrix))
    message = refused(files, "--kinship", files / "K.txt")
    assert re.search(found, message), message


def test_kinship_lacks_samples(files, small):
    save_kinship(Kinship.from_matrix(np.eye(80), samples=small.samples[:80]), files / "K.npz")
    message = refused(files, "--kinship", files / "K.npz")
    assert "expected all 90 analysed samples, found 80; the first one without is" in message
    assert "drop these with --remove" in message


def test_kinship_of_strangers(files, small):
    strangers = small.samples.with_columns(IID="x" + pl.col("IID"))
    save_kinship(Kinship.from_matrix(np.eye(90), samples=strangers), files / "K.npz")
    assert "found none of them" in refused(files, "--kinship", files / "K.npz")


def test_kinship_is_no_kinship(files):
    message = refused(files, "--kinship", files / "g.bed", form=False)
    assert "g.bed" in message
    for flag in ("--kinship", "--grm"):
        shutil.rmtree(files / "out")
        (files / "out").mkdir()
        message = refused(files, flag, files / "absent", form=False)
        assert "absent" in message
    shutil.rmtree(files / "out")
    (files / "out").mkdir()
    (files / "K.npz").write_bytes(b"PK\x03\x04 not really")
    assert "K.npz: not a file of the format" in refused(files, "--kinship", files / "K.npz")


def test_identity_is_a_warning(files, small):
    save_kinship(Kinship.from_matrix(np.eye(90), samples=small.samples), files / "K.npz")
    arguments = ["--bfile", files / "g", "--pheno", files / "y.tsv"]
    err = lmmlasso("fit", *arguments, "--kinship", files / "K.npz", "--out", files / "out" / "P")
    assert "warning: null model: the likelihood does not depend on delta" in err
    content = json.loads((files / "out" / "P.null.json").read_text())
    assert content["flat"] is True
    assert content["h2_se"] is None


# --- models --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(small):
    fileset = ["--bfile", small.prefix, "--pheno", small.folder / "y.tsv"]
    covar = ["--covar", small.folder / "c.tsv"]
    for name, flags in (("plain", []), ("covar", covar), ("lasso", ["--no-kinship"])):
        lmmlasso("fit", *fileset, *flags, "--out", small.folder / name)
    return small.folder


def refuse_prediction(files, model, *arguments, form=True):
    arguments = ["--model", model, *arguments]
    return refused(files, *arguments, command="predict", base=(), form=form)


def test_bad_models(files, model):
    for name, content in (
        ("absent", None),
        ("text", b"hello"),
        ("half", (model / "plain.model.npz").read_bytes()[:5000]),
    ):
        if content is not None:
            (files / name).write_bytes(content)
        message = refuse_prediction(files, files / name)
        assert f"{files / name}: " in message
        shutil.rmtree(files / "out")
        (files / "out").mkdir()


def test_covariates_of_the_model(files, model):
    message = refuse_prediction(files, model / "covar.model.npz", form=False)
    assert "the model has the covariates age, batch=b, batch=c, PC1" in message
    assert "--covar" in message
    for name in ("plain", "lasso"):
        shutil.rmtree(files / "out")
        (files / "out").mkdir()
        message = refuse_prediction(
            files, model / f"{name}.model.npz", "--covar", files / "c.tsv", form=False
        )
        assert "the model has no covariates; leave the flag out" in message


def test_kinship_that_the_model_does_not_need(files, model, small):
    save_kinship(Kinship.from_matrix(np.eye(90), samples=small.samples), files / "K.npz")
    for name, why in (("plain", "computes the kinship"), ("lasso", "has no random effect")):
        given = ["--kinship", files / "K.npz"]
        message = refuse_prediction(files, model / f"{name}.model.npz", *given, form=False)
        assert why in message
        shutil.rmtree(files / "out")
        (files / "out").mkdir()


def test_kinship_of_the_model_must_hold_all_samples(files, model, small):
    full = Kinship.from_matrix(np.eye(90) + 0.1, samples=small.samples)
    save_kinship(full, files / "K.npz")
    save_kinship(Kinship.from_matrix(np.eye(80), samples=small.samples[:80]), files / "short.npz")
    (files / "text.txt").write_text(kinship_text(np.eye(90)))
    fileset = ["--bfile", files / "g", "--pheno", files / "y.tsv"]
    lmmlasso("fit", *fileset, "--kinship", files / "K.npz", "--out", files / "M")
    message = refuse_prediction(files, files / "M.model.npz", "--kinship", files / "short.npz")
    assert "expected all 90 new and 90 training samples, found 80 and 80" in message
    shutil.rmtree(files / "out")
    (files / "out").mkdir()
    message = refuse_prediction(files, files / "M.model.npz", "--kinship", files / "text.txt")
    assert "expected a kinship matrix with sample ids, found none" in message


# --- usage ---------------------------------------------------------------------------------------

USAGE = {
    "no fileset": (["--pheno", "y.tsv"], "give --bfile PREFIX, or --bed, --bim and --fam"),
    "part of a fileset": (["--bed", "g.bed"], "give --bfile PREFIX, or --bed, --bim and --fam"),
    "eps": (["--bfile", "g", "--eps", "2"], "--eps"),
    "alpha": (["--bfile", "g", "--alpha", "0.1,x"], "--alpha"),
    "zero alpha": (["--bfile", "g", "--alpha", "0"], "--alpha"),
    "no alpha": (["--bfile", "g", "--alpha", ""], "--alpha"),
    "NaN": (["--bfile", "g", "--tol", "nan"], "--tol"),
    "infinite": (["--bfile", "g", "--log-delta", "inf"], "--log-delta"),
    "maf": (["--bfile", "g", "--maf", "0.6"], "--maf"),
    "l1_ratio": (["--bfile", "g", "--l1-ratio", "0"], "--l1-ratio"),
    "both kinships": (["--bfile", "g", "--kinship", "a", "--grm", "b"], "not both"),
    "covar-name alone": (["--bfile", "g", "--pheno", "y.tsv", "--covar-name", "a"], "--covar FILE"),
    "pheno-name alone": (["--bfile", "g", "--pheno-name", "Y"], "--pheno FILE"),
    "method without kinship": (["--bfile", "g", "--no-kinship", "--method", "reml"], "--method"),
    "kinship without kinship": (["--bfile", "g", "--no-kinship", "--kinship", "K"], "--kinship"),
    "log-delta without kinship": (
        ["--bfile", "g", "--no-kinship", "--log-delta", "1"],
        "--log-delta",
    ),
    "a grid of given alphas": (["--bfile", "g", "--alpha", "1", "--n-alphas", "5"], "--n-alphas"),
    "file instead of prefix": (["--bfile", "g.bed"], "--bfile g"),
    "unknown flag": (["--bfile", "g", "--bogus"], "--bogus"),
    "unknown transform": (["--bfile", "g", "--transform", "log"], "log"),
}


@pytest.mark.parametrize("case", USAGE)
def test_usage(files, monkeypatch, case):
    arguments, found = USAGE[case]
    monkeypatch.chdir(files)
    result = CliRunner().invoke(main, ["fit", *arguments, "--out", "out/P"])
    assert result.exit_code == 2, result.output
    assert found in result.stderr
    assert "Usage: " in result.stderr
    assert not results(files / "out" / "P")
    if (files / "out" / "P.log").exists():  # else the flags were not even read
        assert run_json(files / "out" / "P")["exit"]["code"] == 2
        assert "end: usage: " in log(files / "out" / "P")


def test_usage_is_told_before_the_work(files):
    """Flags that contradict each other must not cost an eigendecomposition first."""
    for flags in (
        ["--no-kinship", "--kinship", "K"],
        ["--kinship", "K", "--grm", "G"],
        ["--alpha", "0.1", "--eps", "0.1"],
    ):
        base = ["--bfile", files / "g", "--pheno", files / "y.tsv"]
        err = lmmlasso("fit", *base, *flags, "--out", files / "out" / "P", code=2)
        assert "SNPs in the fileset" not in err


def test_no_out():
    assert CliRunner().invoke(main, ["kinship", "--bfile", "g"]).exit_code == 2
    assert CliRunner().invoke(main, ["bogus"]).exit_code == 2


# --- output --------------------------------------------------------------------------------------


def arguments_of(files, out):
    return ["--bfile", files / "g", "--pheno", files / "y.tsv", "--out", out]


@pytest.mark.parametrize("command", ["fit", "null", "kinship", "demo", "simulate"])
def test_missing_folder(files, command):
    arguments = {
        "kinship": ["--bfile", files / "g", "--out", files / "absent" / "P"],
        "demo": ["--out", files / "absent" / "P"],
        "simulate": ["--n-samples", 9, "--n-variants", 9, "--out", files / "absent" / "P"],
    }.get(command, arguments_of(files, files / "absent" / "P"))
    err = lmmlasso(command, *arguments, code=5)
    assert re.search(r"error: .*absent/P\.log: cannot be written: No such file .* must exist", err)
    assert "SNPs in the fileset" not in err


@pytest.mark.parametrize("name", ["out/", ""])
def test_folder_instead_of_a_prefix(files, name):
    out = f"{files}/{name}" if name else ""
    err = lmmlasso("fit", *arguments_of(files, out), code=2)
    assert "expected a prefix such as" in err
    assert not list((files / "out").iterdir())


@posix
@pytest.mark.parametrize("command", ["fit", "null", "cv", "stability", "kinship", "simulate"])
def test_names_of_any_length(files, command):
    """The longest prefix serves every command; one byte more none, which is told at once."""
    suffixes = {*COLUMNS, *CV_COLUMNS, *STABILITY_COLUMNS, "stability.checkpoint"}
    room = os.pathconf(files, "PC_NAME_MAX") - 1 - max(map(len, suffixes))
    out = files / "out" / ("P" * room)
    flags = {
        "kinship": ["--bfile", files / "g"],
        "simulate": ["--n-samples", 9, "--n-variants", 30],
        "cv": ["--folds", 2, "--n-alphas", 5],
        "stability": ["--replicates", 2],
    }.get(command, [])
    base = arguments_of(files, out) if command not in ("kinship", "simulate") else ["--out", out]
    lmmlasso(command, *base, *flags)
    assert results(out)
    for path in (files / "out").iterdir():
        path.unlink()
    for more in ("P", "P" * 11, "P" * 300):
        err = lmmlasso(command, *base, *flags, "--out", f"{out}{more}", code=5)
        assert re.fullmatch(
            rf"error: {out}{more}\.\S+: cannot be written: File name too long; --out is the "
            "prefix of names as long as this one, give a shorter one\n",
            err,
        )
        assert not results_names(files)


@posix
def test_names_with_that_of_a_phenotype(files):
    """Theirs are longer."""
    out = files / "out" / "P"
    run = Run("fit", str(out), None)
    run.require_names("Y.")
    with pytest.raises(OutputError, match="File name too long; --out is the prefix of names"):
        run.require_names("Y" * 250 + ".")
    run.finish({}, 0, "ok")
    run.release()


@posix
def test_read_only_folder(files):
    if os.geteuid():
        folder = files / "out"
        folder.chmod(0o555)
    else:  # permissions do not bind root, but nobody writes here
        folder = Path("/proc/self")
        if not folder.exists():
            pytest.skip("root can write everywhere")
    err = lmmlasso("fit", *arguments_of(files, folder / "P"), code=5)
    assert re.search(rf"error: {folder}/P\.log: cannot be written: ", err)


def test_result_name_is_taken(files):
    out = files / "out" / "P"
    (files / "out" / "P.score.tsv").mkdir()
    err = lmmlasso("fit", *arguments_of(files, out), code=5)
    assert "P.score.tsv: cannot be written: expected a regular file or a new name" in err
    assert set(results_names(files)) == {"P.log", "P.run.json", "P.score.tsv"}
    assert run_json(out)["exit"]["code"] == 5


def results_names(files):
    return sorted(path.name for path in (files / "out").iterdir())


def test_failure_keeps_older_results(files):
    out = files / "out" / "P"
    lmmlasso("fit", *arguments_of(files, out))
    before = results(out)
    (files / "out" / "P.model.npz").unlink()
    (files / "out" / "P.model.npz").mkdir()
    before.pop(".model.npz")
    lmmlasso("fit", *arguments_of(files, out), "--method", "reml", code=5)
    for suffix, content in before.items():
        assert (files / "out" / f"P{suffix}").read_bytes() == content
    assert not [name for name in results_names(files) if name.startswith(".")]


@posix
@pytest.mark.parametrize("limit", [100, 8_000, 25_000])
def test_disk_full(files, limit):
    """No file may grow beyond the limit: the log, P.run.json or a result hits it."""
    import resource

    child = process(
        "fit",
        *arguments_of(files, files / "out" / "P"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        # else a measurement of coverage hits the limit too, and says so
        env={name: value for name, value in os.environ.items() if not name.startswith("COV")},
    )
    _, err = child.communicate()
    assert child.returncode == 5, err
    assert "Traceback" not in err
    assert "cannot be written: " in err
    assert "File too large" in err
    assert set(results_names(files)) <= {"P.log", "P.run.json"}
    if limit > 100:
        assert run_json(files / "out" / "P")["exit"]["code"] == 5
        assert "(exit code 5" in log(files / "out" / "P").splitlines()[-1]


@posix
def test_closed_standard_error(files):
    """`lmmlasso fit ... 2>&1 | head -1` must not end the run."""
    child = process("fit", *arguments_of(files, files / "out" / "P"))
    while "SNPs in the fileset" not in child.stderr.readline():
        assert child.poll() is None
    child.stderr.close()
    assert child.wait() == 0
    assert run_json(files / "out" / "P")["exit"]["code"] == 0
    assert len(results(files / "out" / "P")) == 9


@pytest.mark.promise("interrupts")
@posix
@pytest.mark.parametrize(
    ("number", "code", "state"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_signals(files, number, code, state):
    arguments = arguments_of(files, files / "out" / "P")
    child = process("fit", *arguments, "--n-alphas", 400_000, "--eps", 1e-3)
    lines = []
    for line in child.stderr:
        lines.append(line)
        if line.startswith("null model"):
            break
    time.sleep(0.3)
    start = time.monotonic()
    child.send_signal(number)
    _, err = child.communicate(timeout=20)
    assert time.monotonic() - start < 2  # half a second on a machine with nothing else to do
    assert child.returncode == code
    assert "Traceback" not in err
    assert f"error: {state}" in err
    assert_nothing_but_the_record(files / "out" / "P", code, state)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_what_a_kill_left_is_removed(files):
    program = """
import os, sys
from lmmlasso_fast.io.atomic import atomic_write
with atomic_write(sys.argv[1]):
    os.kill(os.getpid(), 9)
"""
    out = files / "out" / "P"
    subprocess.run([sys.executable, "-c", program, f"{out}.model.npz"], stdout=subprocess.DEVNULL)
    assert [name for name in results_names(files) if name.startswith(".P.model.npz.")]
    lmmlasso("null", *arguments_of(files, out))
    assert not [name for name in results_names(files) if name.startswith(".")]


def test_internal_errors_say_so(files, monkeypatch):
    fit_command = import_module("lmmlasso_fast.cli.fit")

    def bug(*_, **__):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(fit_command, "lasso_path", bug)
    err = lmmlasso("fit", *arguments_of(files, files / "out" / "P"), code=70)
    assert "internal error: ZeroDivisionError('a bug')" in err
    assert set(results_names(files)) == {"P.log", "P.run.json"}
    assert run_json(files / "out" / "P")["exit"]["code"] == 70


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError("for 8 GB"), "error: out of memory: for 8 GB; "),
        (MemoryError(), "error: out of memory; "),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "error: out of memory: [Errno 12] "),
    ],
)
def test_out_of_memory_is_no_internal_error(files, monkeypatch, error, says):
    def full(*_, **__):
        raise error

    monkeypatch.setattr(import_module("lmmlasso_fast.cli.fit"), "lasso_path", full)
    err = lmmlasso("fit", *arguments_of(files, files / "out" / "P"), code=70)
    assert says in err
    assert "Traceback" not in err
    assert "allow more, or give fewer --threads" in err


@posix
def test_bytes_that_are_no_text_on_the_command_line(files):
    name = os.fsdecode(b"\xff\x1b[31m")
    err = lmmlasso("fit", *arguments_of(files, files / "out" / "P"), "--keep", name, code=3)
    assert "No such file" in err
    assert "\x1b" not in log(files / "out" / "P")


def test_an_input_is_never_replaced(small, tmp_path):
    """Its name may be that of a result file."""
    table = tmp_path / "P.pred.tsv"
    table.write_bytes((small.folder / "y.tsv").read_bytes())
    before = table.read_bytes()
    message = lmmlasso(
        *("fit", "--bfile", small.prefix, "--pheno", table, "--out", tmp_path / "P"), code=3
    )
    assert "P.pred.tsv: it is an input, and would be replaced; change --out" in message
    assert table.read_bytes() == before
    assert not (tmp_path / "P.coef.tsv").exists()


@pytest.mark.parametrize("name", ["traits.log", "traits.run.json"])
def test_an_input_is_not_emptied_either(small, tmp_path, name):
    """The log and the record are begun before anything is read; a link is the same file."""
    table = tmp_path / name
    table.write_bytes((small.folder / "y.tsv").read_bytes())
    (tmp_path / "link").symlink_to(table)
    for given in (table, tmp_path / "link"):
        message = lmmlasso(
            *("fit", "--bfile", small.prefix, "--pheno", given, "--out", tmp_path / "traits"),
            code=3,
        )
        assert f"{table}: it is an input, and would be replaced; change --out" in message
        assert table.read_bytes() == (small.folder / "y.tsv").read_bytes()
        assert {path.name for path in tmp_path.iterdir()} == {name, "link"}
