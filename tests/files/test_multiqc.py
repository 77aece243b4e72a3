"""`lmmlasso multiqc`: what the table has, and that MultiQC shows it."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from cli_files import lmmlasso, log, read, run_json
from numpy.testing import assert_allclose

from lmmlasso_fast.errors import InputError
from lmmlasso_fast.io.multiqc import multiqc_content


@pytest.fixture(scope="module")
def runs(small, tmp_path_factory):
    """A folder with runs of several commands, one of two phenotypes and one that failed."""
    folder = tmp_path_factory.mktemp("runs")
    lmmlasso("cv", *small.base, "--folds", 3, "--n-alphas", 10, "--out", folder / "cv")
    lmmlasso("scan", *small.base, *small.covar, "--out", folder / "scan")
    two = ["--bfile", small.prefix, "--pheno", small.folder / "two.tsv", "--pheno-name", "Y,Z"]
    lmmlasso("fit", *two, "--n-alphas", 5, "--out", folder / "two")
    shutil.copy(folder / "cv.null.json", folder / "bad.null.json")  # of an earlier run
    lmmlasso("fit", "--bfile", folder / "absent", "--out", folder / "bad", code=3)
    return folder


def content(prefix):
    with open(f"{prefix}.lmmlasso_mqc.json") as file:
        return json.load(file)


def test_rows_say_what_the_files_say(runs, tmp_path):
    prefixes = [runs / name for name in ("cv", "scan", "two", "bad")]
    lmmlasso("multiqc", *prefixes, "--out", tmp_path / "P")
    found = content(tmp_path / "P")
    rows = found["data"]
    assert list(rows) == ["cv", "scan", "two.Y", "two.Z", "bad"]
    assert rows["bad"] == {"COMMAND": "fit", "EXIT": 3, "WARNINGS": 0}
    for name in ("cv", "two.Y", "two.Z"):
        null = json.loads((runs / f"{name}.null.json").read_text())
        assert rows[name]["H2"] == null["h2"]
        assert (rows[name]["SAMPLES"], rows[name]["VARIANTS"]) == (
            null["n_samples"],
            null["n_variants"],
        )
        assert ("at boundary" in rows[name]["FLAGS"]) == null["at_boundary"]
        assert rows[name]["NOT_CONVERGED"] == (read(runs / f"{name}.path.tsv").CONVERGED == 0).sum()
        assert rows[name]["SELECTED"] == len(read(runs / f"{name}.selected.tsv").ID)
    cv = read(runs / "cv.cv.tsv")
    best = np.argmax(cv.EXPLAINED_VARIANCE)
    assert rows["cv"]["EXPLAINED"] == cv.EXPLAINED_VARIANCE[best]
    assert rows["cv"]["EXPLAINED_SE"] == cv.SE[best]
    assert rows["scan"]["LOG10P"] == read(runs / "scan.scan.tsv").LOG10P.max()
    said = log(runs / "scan").split("genomic-control lambda ")[1].split(",")[0]
    assert_allclose(rows["scan"]["LAMBDA"], float(said), atol=5e-5)
    assert rows["cv"]["WARNINGS"] == len(run_json(runs / "cv")["warnings"])
    assert set(found["headers"]) == {column for row in rows.values() for column in row}


def test_rows_of_equal_names_have_the_whole_prefix(runs, tmp_path):
    for suffix in ("run.json", "null.json", "scan.tsv"):
        shutil.copy(runs / f"scan.{suffix}", tmp_path / f"scan.{suffix}")
    rows = multiqc_content([runs / "scan", tmp_path / "scan"])["data"]
    assert list(rows) == [str(runs / "scan"), str(tmp_path / "scan")]


def test_partial_files_and_plain_lasso_have_fewer_columns(small, tmp_path):
    lmmlasso("fit", *small.base, "--no-kinship", "--n-alphas", 3, "--out", tmp_path / "P")
    lmmlasso("kinship", "--bfile", small.prefix, "--out", tmp_path / "K")
    rows = multiqc_content([tmp_path / "P", tmp_path / "K"])["data"]
    assert "H2" not in rows["P"]
    assert "NOT_CONVERGED" in rows["P"]
    assert set(rows["K"]) <= {"COMMAND", "EXIT", "WARNINGS", "SAMPLES", "VARIANTS"}


@pytest.mark.parametrize("name", ["r[1]", "r*", "r?"])
def test_a_prefix_is_no_pattern(runs, tmp_path, name):
    """Of the other runs in its folder."""
    for of, to in (("cv", name), ("scan", "r1")):
        for path in runs.glob(f"{of}.*"):
            shutil.copy(path, tmp_path / path.name.replace(of, to, 1))
    for table in ("path", "selected"):
        shutil.copy(runs / f"cv.{table}.tsv", tmp_path / f"r1.{table}.tsv")
    rows = [multiqc_content([p])["data"] for p in (tmp_path / name, runs / "cv")]
    assert rows[0][name] == rows[1]["cv"]


def test_one_of_several_phenotypes(runs, tmp_path):
    lmmlasso("multiqc", runs / "two", "--out", tmp_path / "all")
    lmmlasso("multiqc", runs / "two.Z", "--out", tmp_path / "one")
    rows = content(tmp_path / "all")["data"]
    assert set(rows) == {"two.Y", "two.Z"}
    assert content(tmp_path / "one")["data"] == {"two.Z": rows["two.Z"]}
    lmmlasso("multiqc", runs / "two.Z", runs / "two.Y", "--out", tmp_path / "both")
    assert content(tmp_path / "both")["data"] == rows
    err = lmmlasso("multiqc", runs / "two.Z", "--out", runs / "two", code=2)
    assert "choose another prefix" in err


def test_what_is_refused(runs, tmp_path):
    with pytest.raises(InputError, match="several times"):
        multiqc_content(["a", "a"])
    with pytest.raises(InputError, match="No such file"):
        multiqc_content([tmp_path / "absent"])
    for text, message in (("{", "cannot be read"), ("[]", "not the record"), ("{}", "not the rec")):
        (tmp_path / "P.run.json").write_text(text)
        with pytest.raises(InputError, match=message):
            multiqc_content([tmp_path / "P"])
    shutil.copy(runs / "scan.run.json", tmp_path / "scan.run.json")
    shutil.copy(runs / "scan.null.json", tmp_path / "scan.null.json")
    with pytest.raises(InputError, match=r"scan\.scan\.tsv: the file cannot be read"):
        multiqc_content([tmp_path / "scan"])
    (tmp_path / "scan.scan.tsv").write_text("A\tB\n1\t2\n")
    with pytest.raises(InputError, match="the columns N, CHISQ, LOG10P"):
        multiqc_content([tmp_path / "scan"])
    before = log(runs / "scan")
    err = lmmlasso("multiqc", runs / "scan", "--out", runs / "scan", code=2)
    assert "choose another prefix" in err
    assert log(runs / "scan") == before


def test_multiqc_shows_the_table(runs, tmp_path):
    pytest.importorskip("multiqc", reason="needs MultiQC: pip install multiqc")
    lmmlasso("multiqc", runs / "cv", runs / "bad", "--out", tmp_path / "P")
    command = [sys.executable, "-m", "multiqc", "--quiet", "--outdir", tmp_path / "out", tmp_path]
    subprocess.run(command, check=True, capture_output=True)
    table = (tmp_path / "out" / "multiqc_data" / "multiqc_lmmlasso_table.txt").read_text()
    assert [line.split("\t")[0] for line in table.splitlines()] == ["Sample", "bad", "cv"]
    assert 'id="lmmlasso' in (tmp_path / "out" / "multiqc_report.html").read_text()
