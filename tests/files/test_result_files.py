"""lmmlasso_fast.io.result_files: what was written comes back."""

import math

import numpy as np
import polars as pl
import pytest
from messages import refused
from polars.testing import assert_frame_equal

from lmmlasso_fast.errors import TableError
from lmmlasso_fast.io.result_files import ResultFiles, read_table
from lmmlasso_fast.io.results import write_json, write_table

pytestmark = pytest.mark.promise("whole-files")


def test_a_table_comes_back(tmp_path):
    table = pl.DataFrame(
        {
            "CHROM": ["01", "X", "NA"],
            "ID": ["NA", '"quoted"', "1e5"],
            "POS": [1, -9, 2**40],
            "BETA": [0.1 + 0.2, -1e-300, None],
            "SE": [1.0, None, 3.0],
            "CONVERGED": [1, 0, 1],
        }
    )
    write_table(table, tmp_path / "P.x.tsv")
    assert_frame_equal(read_table(tmp_path / "P.x.tsv"), table, check_exact=True)


def test_random_floats_come_back(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.standard_normal(500) * 10.0 ** rng.integers(-300, 300, 500)
    values[7] = math.nan
    write_table(pl.DataFrame({"BETA": values}), tmp_path / "t.tsv")
    back = read_table(tmp_path / "t.tsv")["BETA"]
    assert back.null_count() == 1
    assert (back.to_numpy()[np.arange(500) != 7] == values[np.arange(500) != 7]).all()


def test_an_empty_table_comes_back(tmp_path):
    write_table(pl.DataFrame({"ID": [], "BETA": []}), tmp_path / "t.tsv")
    assert read_table(tmp_path / "t.tsv").columns == ["ID", "BETA"]
    assert len(read_table(tmp_path / "t.tsv")) == 0


def test_files_are_read_once_and_may_be_absent(tmp_path):
    write_table(pl.DataFrame({"ALPHA": [1.0]}), tmp_path / "P.path.tsv")
    write_json({"h2": 0.5}, tmp_path / "P.null.json")
    files = ResultFiles(tmp_path / "P")
    assert files.cv is None
    assert files.calibration is None
    table = files.path
    (tmp_path / "P.path.tsv").unlink()
    assert files.path is table
    assert files.null == {"h2": 0.5}
    assert files.file("scan.tsv") == tmp_path / "P.scan.tsv"


@pytest.mark.parametrize(
    ("content", "line", "expected", "found"),
    [
        ("", None, "at least one line", "none"),
        ("ALPHA\tALPHA\n1\t2\n", 1, "names that differ", "'ALPHA', 'ALPHA'"),
        ("ALPHA\tSE\n1\t2\n1\n", 3, "2 separated by tabs", "1"),
        ("SE\n1\n\nx\n", 4, "a number or NA", "'x'"),
    ],
)
def test_damaged_tables(tmp_path, content, line, expected, found):
    path = tmp_path / "t.tsv"
    path.write_text(content)
    refused(read_table, path, TableError, line=line, expected=expected, found=found)


@pytest.mark.parametrize("content", ["", "{", "[1]", "nan", "[" * 100_000])
def test_damaged_json(tmp_path, content):
    path = tmp_path / "P.null.json"
    path.write_text(content)
    files = ResultFiles(tmp_path / "P")
    refused(lambda _: files.null, path, TableError, expected="the JSON", found="something else")


def test_a_log_that_cannot_be_read(tmp_path):
    assert ResultFiles(tmp_path / "P").log is None
    path = tmp_path / "P.log"
    path.mkdir()
    files = ResultFiles(tmp_path / "P")
    refused(
        lambda _: files.log,
        path,
        TableError,
        expected="what lmmlasso wrote",
        found="Is a directory",
    )
