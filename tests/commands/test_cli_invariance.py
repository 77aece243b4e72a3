"""The command line: what must not change the result, and what a given kinship changes."""

import gzip
import json
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import reference as ref
from cli_files import (
    COLUMNS,
    decode,
    edit_fam,
    lmmlasso,
    log,
    read,
    results,
    run_json,
    small_fileset,
    write_table,
)
from numpy.testing import assert_allclose, assert_array_equal

from lmmlasso_fast.io.kinship_files import save_kinship, write_gemma, write_grm
from lmmlasso_fast.kinship import Kinship

pytestmark = pytest.mark.promise("same-bytes")

# --- what must not change anything ---------------------------------------------------------------


def test_twice_gives_the_same_bytes(fit, small):
    assert fit(*small.covar) == results(small.fit)
    assert fit(*small.covar, name="again") == results(small.fit)


def test_ids_are_joined_not_aligned(fit, small, tmp_path):
    rng = np.random.default_rng(1)
    for name in ("y.tsv", "c.tsv"):
        header, *lines = (small.folder / name).read_text().splitlines()
        rng.shuffle(lines)
        (tmp_path / name).write_text("\n".join([header, *lines]) + "\n")
    base = ["--bfile", small.prefix, "--pheno", tmp_path / "y.tsv", "--covar", tmp_path / "c.tsv"]
    assert fit(base=base) == results(small.fit)


def test_kinship_is_joined_not_aligned(fit, small, tmp_path):
    order = np.random.default_rng(2).permutation(90)
    K = small.kinship
    shuffled = Kinship(K.matrix[np.ix_(order, order)], K.samples[order], K.estimator, K.n_variants)
    for name, kinship in (
        ("a", Kinship(K.matrix, K.samples, "rrm", K.n_variants)),
        ("b", shuffled),
    ):
        save_kinship(kinship, tmp_path / f"{name}.npz")
    assert fit("--kinship", tmp_path / "a.npz") == fit("--kinship", tmp_path / "b.npz", name="Q")


@pytest.mark.parametrize("end", ["\r\n", "\n\n", ""])
def test_line_ends_and_gzip(fit, small, tmp_path, end):
    for name in ("y.tsv", "c.tsv"):
        lines = (small.folder / name).read_text().splitlines()
        text = (end or "\n").join(lines) + end
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    base = ["--bfile", small.prefix, "--pheno", tmp_path / "y.tsv.gz"]
    assert fit("--covar", tmp_path / "c.tsv.gz", base=base) == results(small.fit)


@pytest.mark.parametrize("header", ["FID IID Y", "#FID\tIID\tY", "#IID Y"])
def test_headers_and_blanks(fit, small, tmp_path, header):
    lines = (small.folder / "y.tsv").read_text().splitlines()[1:]
    rows = [line.split("\t")[header.startswith("#IID") :] for line in lines]
    separator = "\t" if "\t" in header else "  \t "
    text = "\n".join([header, *(separator.join(row) for row in rows)])
    (tmp_path / "y").write_text(text)
    assert fit(base=["--bfile", small.prefix, "--pheno", tmp_path / "y"]) == results(small.plain)


def test_phenotype_of_the_fam(fit, small, tmp_path):
    for end in ("bed", "bim", "fam"):
        shutil.copy(f"{small.prefix}.{end}", tmp_path / f"g.{end}")
    values = [str(value) for value in small.y]
    values[3], values[4], values[5] = "-9", "NA", "-9.000"
    edit_fam(tmp_path / "g", phenotypes=values)
    found = fit(base=["--bfile", tmp_path / "g"])
    ids = small.samples.select("FID", "IID")
    write_table(
        tmp_path / "y.tsv",
        FID=ids["FID"],
        IID=ids["IID"],
        Y=[None if i in (3, 4, 5) else value for i, value in enumerate(small.y)],
    )
    table = fit(base=["--bfile", small.prefix, "--pheno", tmp_path / "y.tsv"], name="Q")
    found.pop(".model.npz"), table.pop(".model.npz")  # the model holds the phenotype's name
    assert found == table


def test_leading_zeros_matter(tmp_path):
    small = small_fileset(tmp_path)
    for name in ("g.fam", "y.tsv"):
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(re.sub(r"pop\d\ts(\d+)", r"0\t0\1", text))
    lmmlasso(
        "null", "--bfile", small.prefix, "--pheno", tmp_path / "y.tsv", "--out", tmp_path / "P"
    )
    text = (tmp_path / "y.tsv").read_text()
    (tmp_path / "y.tsv").write_text(re.sub(r"0\t0+(\d+)", r"0\t\1", text))
    err = lmmlasso(
        *("null", "--bfile", small.prefix, "--pheno", tmp_path / "y.tsv"),
        *("--out", tmp_path / "Q"),
        code=3,
    )
    assert "leading zeros included" in err


def test_ids_that_look_like_something_else(tmp_path):
    small = small_fileset(tmp_path)
    hostile = [
        "<script>alert(1)</script>",
        "=cmd()|'/c'!A1",
        "\x1b[31mred\x07",
        "../../x",
        '"quoted"',
        "'single'",
        "NA",
        "nan",
        "-9",
        "1e5",
        "100000",
        "0",
        "00",
        "Ünïcode☃",
        "x" * 3000,
        "FID",
        "#hash",
        "a,b",
        "%s{0}",
    ]
    fam = [line.split("\t") for line in (tmp_path / "g.fam").read_text().splitlines()]
    bim = [line.split("\t") for line in (tmp_path / "g.bim").read_text().splitlines()]
    table = [line.split("\t") for line in (tmp_path / "y.tsv").read_text().splitlines()]
    for k, name in enumerate(hostile):
        fam[k][:2] = table[k + 1][:2] = [name[:40], name]
        bim[10 + k][1] = name
    bim[9][0], bim[9][4] = "=1+1", "<DEL>"
    for name, rows in (("g.fam", fam), ("g.bim", bim), ("y.tsv", table)):
        (tmp_path / name).write_text("".join("\t".join(row) + "\n" for row in rows))
    base = ["--bfile", small.prefix, "--pheno", tmp_path / "y.tsv"]
    err = lmmlasso("fit", *base, "--out", tmp_path / "P")
    found = read(tmp_path / "P.pred.tsv")
    assert list(found.IID[: len(hostile)]) == hostile
    assert list(read(tmp_path / "P.score.tsv").header) == ["ID", "A1", "BETA"]
    model = f"{tmp_path / 'P'}.model.npz"
    lmmlasso("predict", "--model", model, "--bfile", small.prefix, "--out", tmp_path / "Q")
    assert results(tmp_path / "Q")[".pred.tsv"] == results(tmp_path / "P")[".pred.tsv"]
    # duplicated samples and absent SNPs are named in errors, without terminal escapes
    (tmp_path / "twice.tsv").write_text(
        (tmp_path / "y.tsv").read_text() + "\t".join(table[3]) + "\n"
    )
    err = lmmlasso(
        *("null", "--bfile", small.prefix, "--pheno", tmp_path / "twice.tsv"),
        *("--out", tmp_path / "R"),
        code=3,
    )
    assert "[31mred" in err
    assert "\x1b" not in err + log(tmp_path / "R")
    (tmp_path / "named.tsv").write_text(
        (tmp_path / "y.tsv").read_text().replace("\tY\n", "\t\x1b[2Jbad\n", 1)
    )
    err = lmmlasso(
        *("null", "--bfile", small.prefix, "--pheno", tmp_path / "named.tsv"),
        *("--out", tmp_path / "S"),
    )
    assert "[2Jbad" in err
    assert "\x1b" not in err + log(tmp_path / "S")


def test_kinship_times_eight_gives_the_same_bytes(fit, small, tmp_path):
    found = []
    for factor in (1, 8):
        path = tmp_path / f"K{factor}.txt"
        np.savetxt(path, factor * small.kinship.matrix, fmt="%.17g")
        found.append(fit("--kinship", path, name=f"P{factor}"))
    one, eight = found
    names = {suffix for suffix in one if one[suffix] != eight[suffix]}
    assert names == {".null.json", ".model.npz"}
    null_one, null_eight = (json.loads(content[".null.json"]) for content in found)
    assert null_eight["kinship"].pop("scale") == 8 * null_one["kinship"].pop("scale")
    assert null_one == null_eight
    with (
        np.load(tmp_path / "P1.model.npz", allow_pickle=False) as model_one,
        np.load(tmp_path / "P8.model.npz", allow_pickle=False) as model_eight,
    ):
        for name in model_one.files:
            if name == "kinship_scale":
                assert model_eight[name] == 8 * model_one[name]
            else:
                assert model_one[name].tobytes() == model_eight[name].tobytes()


def test_kinship_times_seven_is_equal(fit, small, tmp_path):
    for factor in (1, 7):
        np.savetxt(tmp_path / f"K{factor}.txt", factor * small.kinship.matrix, fmt="%.17g")
        fit("--kinship", tmp_path / f"K{factor}.txt", "--collapse-duplicates", name=f"P{factor}")
    for name in COLUMNS:
        one, seven = (read(tmp_path / f"P{factor}.{name}") for factor in (1, 7))
        for column in one.header:
            expected, found = getattr(one, column), getattr(seven, column)
            if column == "DUAL_GAP":
                assert found.max() < 1e-6
            elif expected.dtype == object:
                assert_array_equal(found, expected)
            else:
                largest = np.abs(expected).max(initial=0)
                assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * largest, err_msg=name)
    one, seven = (json.loads((tmp_path / f"P{k}.null.json").read_text()) for k in (1, 7))
    assert_allclose(seven["kinship"]["scale"], 7 * one["kinship"]["scale"], rtol=1e-12)
    for name in ("delta", "sigma_g2", "sigma_e2", "h2", "h2_se", "log_likelihood"):
        assert_allclose(seven[name], one[name], rtol=1e-9, err_msg=name)


# --- a kinship that is given ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["npz", "gemma", "grm", "grm.bin", "kinship-grm", "rel"])
def test_given_kinship_equals_the_computed_one(small, tmp_path, kind):
    formats = {"npz": "npz", "gemma": "gemma"}.get(kind, "grm")
    lmmlasso("kinship", "--bfile", small.prefix, "--format", formats, "--out", tmp_path / "K")
    given = {
        "npz": ["--kinship", tmp_path / "K.kinship.npz"],
        "gemma": ["--kinship", tmp_path / "K.cXX.txt"],
        "grm": ["--grm", tmp_path / "K"],
        "grm.bin": ["--grm", tmp_path / "K.grm.bin"],
        "kinship-grm": ["--kinship", tmp_path / "K"],
        "rel": ["--kinship", tmp_path / "R.rel"],
    }[kind]
    if kind == "rel":
        write_gemma(small.kinship, tmp_path / "R.rel")
        small.samples.select(pl.col("FID").alias("#FID"), "IID").write_csv(
            tmp_path / "R.rel.id", separator="\t"
        )
    lmmlasso("fit", *small.base, *given, "--out", tmp_path / "P")
    noted = {Path(item["path"]).name for item in run_json(tmp_path / "P")["inputs"]}
    assert (
        noted - {"g.bed", "g.bim", "g.fam", "y.tsv"}
        == {
            "npz": {"K.kinship.npz"},
            "gemma": {"K.cXX.txt"},
            "grm": {"K.grm.bin", "K.grm.id", "K.grm.N.bin"},
            "grm.bin": {"K.grm.bin", "K.grm.id", "K.grm.N.bin"},
            "kinship-grm": {"K.grm.bin", "K.grm.id", "K.grm.N.bin"},
            "rel": {"R.rel", "R.rel.id"},
        }[kind]
    )
    assert all(item["size"] > 0 for item in run_json(tmp_path / "P")["inputs"])
    # the random part comes from X X' in float64 (npz) or from K, summed or stored in float32
    tolerance = {"npz": 1e-9, "gemma": 1e-6, "rel": 1e-6}.get(kind, 1e-4)
    one, two = (read(f"{out}.pred.tsv") for out in (small.plain, tmp_path / "P"))
    for column in ("PRED", "PRED_SNP", "PRED_RANDOM"):
        expected = getattr(one, column)
        assert_allclose(getattr(two, column), expected, rtol=0, atol=np.ptp(expected) * tolerance)
    null_one, null_two = (
        json.loads(Path(f"{out}.null.json").read_text()) for out in (small.plain, tmp_path / "P")
    )
    assert_allclose(null_two["log_delta"], null_one["log_delta"], atol=tolerance)
    assert_allclose(null_two["kinship"]["scale"], null_one["kinship"]["scale"], rtol=1e-6)
    assert null_two["kinship"]["estimator"] == {
        "npz": "rrm",
        "gemma": "gemma-centered",
        "rel": "plink",
    }.get(kind, "gcta")


def test_kinship_of_more_samples_is_used_consistently(small, other, tmp_path):
    """An rrm of 90 samples is not X X' / p over 60 of them: the random part must not mix both."""
    f = small.folder
    lmmlasso(
        *("fit", *small.base, "--keep", f / "some.txt", "--kinship", f"{small.kin}.kinship.npz"),
        *("--out", tmp_path / "P"),
    )
    null = json.loads((tmp_path / "P.null.json").read_text())
    K = small.kinship.matrix[:60, :60]
    K = K / np.mean(np.diag(K))
    dosage = decode(small.prefix)[:60]
    X, *_ = ref.standardise(dosage)
    coef = read(tmp_path / "P.coef.tsv")
    row = {name: j for j, name in enumerate(small.variants["ID"])}
    last = coef.INDEX == 99
    beta = np.zeros(150)
    beta[[row[name] for name in coef.ID[last]]] = coef.BETA_STD[last]
    C = np.ones((60, 1))
    wanted = ref.predict(beta, small.y[:60], X, C, K, null["delta"], X, C, K)
    found = read(tmp_path / "P.pred.tsv")
    assert_allclose(found.PRED_RANDOM, wanted.random, atol=1e-8)
    assert_allclose(found.PRED, wanted.total, rtol=1e-9)
    # such a model asks for the kinship of new samples, and is then right for them
    model = ["--model", tmp_path / "P.model.npz", "--bfile", small.prefix]
    err = lmmlasso("predict", *model, "--out", tmp_path / "Q", code=3)
    assert "--kinship" in err
    lmmlasso(*("predict", *model, "--kinship", f"{small.kin}.kinship.npz", "--out", tmp_path / "Q"))
    again = read(tmp_path / "Q.pred.tsv")
    assert_allclose(again.PRED[:60], wanted.total, rtol=1e-9)
    full = decode(small.prefix)
    _, mean, sd = ref.standardise(dosage)
    X_new = ref.standardise_with(full, mean, sd)
    K_new = small.kinship.matrix[:, :60] / np.mean(np.diag(small.kinship.matrix[:60, :60]))
    wanted = ref.predict(beta, small.y[:60], X, C, K, null["delta"], X_new, np.ones((90, 1)), K_new)
    assert_allclose(again.PRED, wanted.total, rtol=1e-9)


def test_kinship_of_other_snps_is_used(small, tmp_path):
    """Filters of the SNPs of the Lasso do not have to be those of a given kinship."""
    given = ["--kinship", f"{small.kin}.kinship.npz"]
    lmmlasso("fit", *small.base, "--maf", 0.2, *given, "--out", tmp_path / "P")
    null, all_snps = (
        json.loads(Path(f"{out}.null.json").read_text()) for out in (tmp_path / "P", small.plain)
    )
    assert_allclose(null["log_delta"], all_snps["log_delta"], atol=1e-9)
    assert null["n_variants"] == 150 - read(tmp_path / "P.excluded.tsv").n_rows
    assert null["kinship"]["n_variants"] == all_snps["n_variants"] == 148
    model = ["--model", tmp_path / "P.model.npz", "--bfile", small.prefix]
    lmmlasso("predict", *model, *given, "--out", tmp_path / "Q")
    first, second = read(tmp_path / "P.pred.tsv"), read(tmp_path / "Q.pred.tsv")
    assert_allclose(second.PRED, first.PRED, rtol=1e-12)
    assert_allclose(second.PRED_RANDOM, first.PRED_RANDOM, atol=1e-12)


def test_predict_with_a_scaled_kinship_file(small, tmp_path):
    """The scale that training divided by is the one that new rows are divided by."""
    for factor in (1, 8):
        kinship = Kinship.from_matrix(factor * small.kinship.matrix, samples=small.samples)
        save_kinship(kinship, tmp_path / f"{factor}.npz")
        write_grm(kinship, tmp_path / f"{factor}")
        given = ["--kinship", tmp_path / f"{factor}.npz"]
        out = tmp_path / f"P{factor}"
        lmmlasso("fit", *small.base, *given, "--out", out)
        model = ["--model", f"{out}.model.npz", "--bfile", small.prefix]
        lmmlasso("predict", *model, *given, "--out", tmp_path / f"Q{factor}")
        first, again = read(f"{out}.pred.tsv"), read(tmp_path / f"Q{factor}.pred.tsv")
        assert_allclose(again.PRED, first.PRED, rtol=1e-12)
        lmmlasso("predict", *model, "--grm", tmp_path / f"{factor}", "--out", tmp_path / "G")
        single = read(tmp_path / "G.pred.tsv")
        assert_allclose(single.PRED_RANDOM, first.PRED_RANDOM, atol=1e-5)
    one, eight = (results(tmp_path / f"Q{factor}")[".pred.tsv"] for factor in (1, 8))
    assert one == eight
