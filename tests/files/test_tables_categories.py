"""Tables: categorical covariates (--cat-covar), zstd, and names that were misspelt."""

import importlib
import json
import sys
from importlib import import_module

import numpy as np
import polars as pl
import pytest
from cli_files import lmmlasso, read, results, write_table
from messages import refused
from numpy.testing import assert_allclose

from lmmlasso_fast.errors import CovariateError, TableError
from lmmlasso_fast.io.models import load_model
from lmmlasso_fast.io.tables import encode_covariates, read_covariates, read_phenotypes
from lmmlasso_fast.suggestions import did_you_mean, listed

pytestmark = pytest.mark.promise("any-bytes")

# --- categories that are numbers -----------------------------------------------------------------

TABLE = "FID IID age cage w\nf a 1 10 5\nf b 2 2 6\nf c 3 10 7\nf d 4 NA 8\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "c.txt"
    path.write_text(TABLE)
    return path


def test_numbers_become_categories(table):
    assert read_covariates(table)["cage"].to_list() == [10, 2, 10, None]
    found = read_covariates(table, categorical="cage")
    assert found.columns == ["FID", "IID", "age", "cage", "w"]
    assert found["cage"].to_list() == ["10", "2", "10", None]
    assert found["age"].to_list() == [1, 2, 3, 4]


def test_categories_are_added_to_the_names(table):
    assert read_covariates(table, "age", (), "cage").columns == ["FID", "IID", "age", "cage"]
    assert read_covariates(table, "cage,w", (), "cage").columns == ["FID", "IID", "cage", "w"]


def test_levels_are_text_in_alphabetical_order(table):
    used = read_covariates(table, "cage", (), "cage").drop("FID", "IID").drop_nulls()
    matrix, names = encode_covariates(pl.concat([used, used]))
    assert names == ["cage=2"]
    assert matrix[:, 0].tolist() == [0, 1, 0] * 2


def test_missing_codes_of_categories(tmp_path):
    path = tmp_path / "c.txt"
    path.write_text("IID cage\na -9\nb 1\nc inf\n")
    refused(
        lambda path: read_covariates(path, categorical="cage"),
        path,
        CovariateError,
        line=2,
        expected="meaning is known",
        found="'-9'",
    )
    found = read_covariates(path, None, ["-9"], "cage")["cage"].to_list()
    assert found == [None, "1", "inf"]


def test_absent_category(table):
    refused(
        lambda path: read_covariates(path, categorical="cag"),
        table,
        TableError,
        expected="one of 'cage', 'age', 'w'",
        found="'cag'",
    )


@pytest.fixture(scope="module")
def caged(small, tmp_path_factory):
    """The same groups as numbers and as text, with a numeric covariate beside them."""
    folder = tmp_path_factory.mktemp("caged")
    ids = {name: small.samples[name].to_list() for name in ("FID", "IID")}
    numbers = np.arange(90) % 4 + 9  # 9, 10, 11, 12: as text 10 comes first
    write_table(folder / "numbers.tsv", **ids, w=list(range(90)), cage=numbers.tolist())
    order = {10: "a", 11: "b", 12: "c", 9: "d"}
    texts = [order[k] for k in numbers.tolist()]
    write_table(folder / "texts.tsv", **ids, w=list(range(90)), cage=texts)
    return folder


COMMANDS = {
    "null": [],
    "scan": [],
    "fit": ["--n-alphas", 10],
    "cv": ["--n-alphas", 10, "--folds", 3],
    "stability": ["--replicates", 4, "--n-active", 3],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_numbers_are_the_same_as_text(small, caged, tmp_path, command):
    arguments = [command, *small.base, *COMMANDS[command]]
    flags = {
        "numbers": ["--covar", caged / "numbers.tsv", "--cat-covar", "cage"],
        "alias": ["--covar", caged / "numbers.tsv", "--covar-name", "w", "--catCovarList", "cage"],
        "texts": ["--covar", caged / "texts.tsv"],
        "plain": ["--covar", caged / "numbers.tsv"],
    }
    found = {}
    for name, given in flags.items():
        lmmlasso(*arguments, *given, "--out", tmp_path / name)
        found[name] = results(tmp_path / name)
        for suffix in (".null.json", ".model.npz"):  # they have the levels' names
            found[name].pop(suffix, None)
    content = json.loads((tmp_path / "numbers.null.json").read_text())
    assert list(content["covariates"]) == ["intercept", "w", "cage=11", "cage=12", "cage=9"]
    assert found["numbers"] == found["texts"] == found["alias"]
    if command != "null":
        assert found["numbers"] != found["plain"]


def test_the_model_knows_its_levels(small, caged, tmp_path):
    covar = ["--covar", caged / "numbers.tsv"]
    lmmlasso("fit", *small.base, *covar, "--cat-covar", "cage", "--out", tmp_path / "P")
    model = ["--model", tmp_path / "P.model.npz", "--bfile", small.prefix]
    levels = load_model(tmp_path / "P.model.npz").covariate_levels
    assert levels == {"cage": ("10", "11", "12", "9")}
    lmmlasso("predict", *model, *covar, "--out", tmp_path / "Q")
    expected = read(tmp_path / "P.pred.tsv").PRED_COVARIATES
    assert_allclose(read(tmp_path / "Q.pred.tsv").PRED_COVARIATES, expected, rtol=1e-12)
    frame = pl.read_csv(caged / "numbers.tsv", separator="\t").with_columns(cage=pl.lit(13))
    frame.write_csv(tmp_path / "new.tsv", separator="\t")
    arguments = ["--covar", tmp_path / "new.tsv", "--out", tmp_path / "R"]
    err = lmmlasso("predict", *model, *arguments, code=3)
    assert "expected a category of the training samples ('10', '11', '12', '9'), found '13'" in err


def test_too_many_levels(small, caged, tmp_path):
    given = ["--covar", caged / "numbers.tsv", "--cat-covar", "w", "--out", tmp_path / "P"]
    err = lmmlasso("null", *small.base, *given, code=3)
    assert "covariate 'w': expected numbers, or categories with at most 50 levels" in err
    assert "found 90 levels in 90 samples" in err


def test_needs_a_table(small, tmp_path):
    err = lmmlasso("null", *small.base, "--cat-covar", "x", "--out", tmp_path / "P", code=2)
    assert "--cat-covar names columns of --covar FILE" in err


def test_groups_that_are_a_category_too(small, caged, tmp_path):
    arguments = [*small.base, "--covar", caged / "numbers.tsv", "--groups", "cage"]
    arguments += ["--folds", 2, "--n-alphas", 5]
    lmmlasso("cv", *arguments, "--out", tmp_path / "P")
    lmmlasso("cv", *arguments, "--cat-covar", "cage", "--out", tmp_path / "Q")
    names = [
        list(json.loads((tmp_path / f"{out}.null.json").read_text())["covariates"]) for out in "PQ"
    ]
    assert names == [["intercept", "w"], ["intercept", "w", "cage=11", "cage=12", "cage=9"]]


# --- zstd ----------------------------------------------------------------------------------------


@pytest.fixture
def zstd():
    if sys.version_info >= (3, 14):
        return importlib.import_module("compression.zstd")
    return pytest.importorskip("backports.zstd", reason="needs the extra zstd")


@pytest.mark.parametrize("name", ["c.zst", "c.txt"])
def test_zstd(zstd, table, tmp_path, name):
    expected = read_phenotypes(table)
    half = len(TABLE) // 2
    frames = (TABLE[:half], TABLE[half:])  # as of several threads
    packed = tmp_path / name
    packed.write_bytes(b"".join(zstd.compress(part.encode()) for part in frames))
    assert read_phenotypes(packed).equals(expected)


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-3], lambda data: b"text\n", lambda data: b""]
)
def test_damaged_zstd(zstd, tmp_path, spoil):
    path = tmp_path / "c.tsv.zst"
    path.write_bytes(spoil(zstd.compress(TABLE.encode() * 50)))
    refused(read_phenotypes, path, TableError, expected="", found="")


def test_without_the_package(zstd, tmp_path, monkeypatch):
    path = tmp_path / "c.tsv"
    path.write_bytes(zstd.compress(TABLE.encode()))

    def absent(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(import_module("lmmlasso_fast.io.text"), "import_module", absent)
    refused(read_phenotypes, path, TableError, expected="backports.zstd", found="none")
    with pytest.raises(TableError, match=r'pip install "lmmlasso-fast\[zstd\]"'):
        read_phenotypes(path)


# --- misspelt names ------------------------------------------------------------------------------


def test_listed():
    assert listed("CD", ["x", "CD8", "cd"]) == "cd, CD8, x"
    assert listed("a1", ["b", "A1"], repr) == "'A1', 'b'"
    assert listed("x", []) == ""
    assert listed("7", [str(k) for k in range(30)]).startswith("7, 17, 27")
    assert listed("7", [str(k) for k in range(30)]).endswith(" and 10 more")


def test_did_you_mean():
    assert did_you_mean("MAFF", ["geno", "maf"]) == " Did you mean maf?"
    assert did_you_mean("zzz", ["geno", "maf"]) == ""


def test_misspelt_columns_and_chromosomes(small, tmp_path):
    out = ["--out", tmp_path / "P"]
    base = ["--bfile", small.prefix, "--pheno", small.folder / "two.tsv"]
    cases = [
        ("null", [*base, "--pheno-name", "Zz"], "expected one of 'Z', 'Y', found 'Zz'"),
        ("null", [*small.base, *small.covar, "--covar-name", "Age"], "one of 'age', 'batch'"),
        ("cv", [*small.base, *small.covar, "--groups", "bach"], "c.tsv: 'batch', "),
        ("null", [*small.base, "--chr", "55"], "names among 5, 1, 2, 3, 4, found 55"),
    ]
    for command, arguments, message in cases:
        assert message in lmmlasso(command, *arguments, *out, code=3)
