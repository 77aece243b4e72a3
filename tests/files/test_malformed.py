"""Malformed and odd files that no other module has: each is one line of a table.

Every case of malformed_files.py is read from Python and by a command, which must end with the exit
code, without traceback and without result files. docs/reliability.md has the same table;
`PYTHONPATH=tests python tests/files/test_malformed.py` writes it there.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cli_files import interrupt, lmmlasso, small_fileset
from click.testing import CliRunner
from malformed_files import CASES, DIGITS, KINDS
from numpy.testing import assert_allclose, assert_array_equal

import lmmlasso_fast as ll
from lmmlasso_fast.cli import main
from lmmlasso_fast.errors import GenotypeError, KinshipError, TableError
from lmmlasso_fast.io.ids import read_id_list, read_ids
from lmmlasso_fast.io.kinship_files import read_gemma
from lmmlasso_fast.io.plink_text import read_fam
from lmmlasso_fast.io.tables import expand_names, read_phenotypes

pytestmark = pytest.mark.promise("any-bytes")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- malformed files: begin -->\n", "<!-- malformed files: end -->\n"


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
        pedigree=["kinship", "--bfile", small.prefix, "--estimator", "pedigree"],
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
    if kind.needs:
        pytest.importorskip(kind.needs)
    if kind_name == "checkpoint":
        request.getfixturevalue("begun")
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / kind.name
    build(path, files)
    before = sorted(folder.iterdir())
    named = rest[0] if rest else kind.name
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
    """The file first, then every part, in this order, each behind the one before it."""
    at = 0
    for part in [named, *parts]:
        assert part in message[at:], f"{part!r} is not in {message[at:]!r}"
        at = message.index(part, at) + len(part)


def test_parts_of_a_message_come_in_order_and_do_not_overlap():
    assert_says("x.fam: expected a, found aa", "x.fam", ["a", "aa"])
    for parts in (["found aa", "expected"], ["found a", "aa"], ["fam"]):
        with pytest.raises(AssertionError, match="is not in"):
            assert_says("x.fam: expected a, found aa", "x.fam", parts)


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


@pytest.mark.parametrize("magic", ["x^", "x\x01"])
def test_ids_that_begin_like_a_compressed_file(tmp_path, magic):
    """To Polars, which would unpack it; zlib can be plain text throughout."""
    (tmp_path / "x.fam").write_text(f"{magic}2 a 0 0 1 -9\n{magic}2 b 0 0 1 -9\n")
    assert read_fam(tmp_path / "x.fam").select("FID", "IID").rows() == [
        (f"{magic}2", "a"),
        (f"{magic}2", "b"),
    ]
    (tmp_path / "k.txt").write_text(f"{magic}2\t0\n0\t1\n")
    with pytest.raises(KinshipError, match="line 1: column 1: expected a finite number"):
        read_gemma(tmp_path / "k.txt")


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
        code = f", exit code {kind.code}" if kind.command else ""
        said = " ... ".join(parts).replace("|", "\\|")
        rows.append(f"| {name} | {fault} | {kind.error.__name__}{code} | `{said}` |")
    return "\n".join(rows) + "\n"


def test_the_page_has_the_table():
    assert len(CASES) >= 150
    assert {name for name, *_ in CASES} == set(KINDS)
    assert [name for name in KINDS if KINDS[name].command is None] == ["genes"]
    assert len({identifier(case) for case in CASES}) == len(CASES)
    written = PAGE.read_text().split(BEGIN)[1].split(END)[0]
    assert written == page_table(), "run: PYTHONPATH=tests python tests/files/test_malformed.py"


if __name__ == "__main__":
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + page_table() + END + rest.split(END)[1])
    sys.exit()
