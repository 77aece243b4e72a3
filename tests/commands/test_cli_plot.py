"""The command line: `lmmlasso plot`."""

import json
import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import polars as pl
import pytest
from cli_files import lmmlasso, log, read, region_of, results, run_json

pytest.importorskip("matplotlib")

import lmmlasso_fast as ll
from lmmlasso_fast.io.result_files import ResultFiles

pytestmark = pytest.mark.promise("options")

#: What is drawn of everything that `cv`, `stability`, `scan` and `kinship` write.
EVERY = (
    "manhattan",
    "qq",
    "coefficients",
    "variance",
    "cv",
    "observed",
    "stability",
    "likelihood",
    "kinship",
)


@pytest.fixture
def copied(small, other, tmp_path):
    """A function that copies some result files; returns their prefix."""

    def copy(*suffixes, of="found"):
        for suffix in suffixes:
            shutil.copy(f"{small.folder / of}.{suffix}", tmp_path / f"P.{suffix}")
        return tmp_path / "P"

    return copy


def drawn(prefix, format="svg") -> set[str]:
    return {suffix.split(".")[-2] for suffix in results(prefix) if suffix.endswith(f".{format}")}


def words(path) -> list[str]:
    nodes = ET.parse(path).getroot().iter()
    return ["".join(node.itertext()) for node in nodes if node.tag.endswith("}text")]


def refused(*arguments, code=3):
    err = lmmlasso("plot", *arguments, code=code)
    [message] = [line for line in err.splitlines() if line.startswith(("error: ", "Error: "))]
    return message


def test_everything_that_there_is(small, other, tmp_path):
    out = tmp_path / "X"
    region = ["--region", region_of(small), "--bfile", small.prefix]
    arguments = [small.folder / "found", "--before", small.folder / "without", *region]
    err = lmmlasso("plot", *arguments, "--out", out)
    assert drawn(out) == {*EVERY, "regional"}
    assert "r2 from 60 samples" in err  # the analysed ones
    for name in drawn(out):
        ET.fromstring(results(out)[f".{name}.svg"])
    # the coefficients are named at the best alpha
    files = ResultFiles(small.folder / "found")
    cv, coefs = files.cv, files.coef
    at = int(cv["EXPLAINED_VARIANCE"].arg_max())
    chosen = coefs.filter(INDEX=at).sort(pl.col("BETA_STD").abs(), descending=True)
    assert set(chosen["ID"][:7]) <= set(words(f"{out}.coefficients.svg"))
    inputs = {Path(entry["path"]).name for entry in run_json(out)["inputs"]}
    tables = ("scan", "stability", "stability_path", "path", "coef", "cv", "cv_pred", "selected")
    assert {f"found.{name}.tsv" for name in tables} <= inputs
    assert {"found.null.json", "found.kinship.npz", "without.scan.tsv", "g.bed"} <= inputs
    # lambda in the QQ plot is that of the log
    scan_log = log(small.folder / "without")
    value = float(scan_log.split("genomic-control lambda ")[1].split(",")[0])
    assert f"without kinship, λ = {value:.2f}" in words(f"{out}.qq.svg")
    lmmlasso("plot", *arguments, "--out", tmp_path / "Y")
    assert results(out) == results(tmp_path / "Y")


@pytest.mark.parametrize(
    ("suffixes", "names"),
    [
        (["scan.tsv"], {"manhattan", "qq"}),
        (["stability.tsv"], {"manhattan"}),
        (["stability_path.tsv"], {"stability"}),
        (["path.tsv"], {"variance"}),
        (["path.tsv", "coef.tsv"], {"variance", "coefficients"}),
        (["null.json"], {"variance", "likelihood"}),
        (["cv.tsv"], {"cv"}),
        (["cv_pred.tsv"], {"observed"}),
        (["kinship.npz"], {"kinship"}),
    ],
)
def test_what_the_files_are_for(copied, suffixes, names):
    prefix = copied(*suffixes)
    lmmlasso("plot", prefix)
    assert drawn(f"{prefix}.plot") == names
    assert log(f"{prefix}.plot").startswith("lmmlasso ")
    assert {path.name for path in prefix.parent.iterdir()} == {
        *(f"P.{suffix}" for suffix in suffixes),
        *(f"P.plot.{name}.svg" for name in names),
        "P.plot.log",
        "P.plot.run.json",
    }


def test_formats(copied):
    prefix = copied("cv.tsv")
    lmmlasso("plot", prefix, "--format", "pdf", "--format", "png", "--format", "pdf")
    found = results(f"{prefix}.plot")
    assert set(found) == {".cv.pdf", ".cv.png"}
    assert found[".cv.pdf"].startswith(b"%PDF")
    assert found[".cv.png"].startswith(b"\x89PNG")


def test_the_default_cutoff_selects_what_stability_did(small, copied):
    prefix = copied("stability.tsv", "selected.tsv")
    selected = read(f"{prefix}.selected.tsv")
    assert selected.n_rows > 0
    lmmlasso("plot", prefix)
    default = results(f"{prefix}.plot")
    lmmlasso("plot", prefix, "--cutoff", selected.SEL_FREQ.min())
    assert results(f"{prefix}.plot") == default
    # P.selected.tsv of `fit` has no frequencies
    shutil.copy(f"{small.fit}.selected.tsv", f"{prefix}.selected.tsv")
    lmmlasso("plot", prefix)
    assert results(f"{prefix}.plot") != default


def test_the_figures_are_pythons(small, other, tmp_path):
    """Drawn from the .bed's own results rather than from the files."""
    lmmlasso("scan", *small.base, "--out", tmp_path / "P")
    lmmlasso("plot", tmp_path / "P")
    genotypes = ll.read_plink(small.prefix)
    null = ll.fit_null(small.y, ll.kinship(genotypes))
    scan = ll.association_scan(genotypes, small.y, null)
    ll.plots.save(ll.plots.qq(None, scan), tmp_path / "qq.svg")
    # in the table, last bits of CHISQ and LOG10P are what they are here
    assert (tmp_path / "qq.svg").read_bytes() == (tmp_path / "P.plot.qq.svg").read_bytes()


def test_tables_without_a_row_are_left_out(small, copied):
    prefix = copied("cv.tsv", "stability.tsv", "stability_path.tsv", "path.tsv", "coef.tsv")
    for name in ("stability", "stability_path", "coef"):
        path = Path(f"{prefix}.{name}.tsv")
        path.write_text(path.read_text().splitlines()[0] + "\n")
    lmmlasso("plot", prefix)
    assert drawn(f"{prefix}.plot") == {"cv", "variance"}


def test_after_loco(small, tmp_path):
    lmmlasso("scan", *small.base, "--loco", "--out", tmp_path / "P")
    lmmlasso("plot", tmp_path / "P")
    assert drawn(tmp_path / "P.plot") == {"manhattan", "qq"}


def test_a_region_with_a_lead(small, copied):
    prefix = copied("scan.tsv")
    arguments = ["--region", region_of(small), "--bfile", small.prefix]
    lead = read(f"{prefix}.scan.tsv").ID[2]
    err = lmmlasso("plot", prefix, *arguments, "--lead", lead)
    assert "r2 from 90 samples" in err  # nothing says which were analysed
    assert lead in words(f"{prefix}.plot.regional.svg")


# --- refused -------------------------------------------------------------------------------------


def test_nothing_to_draw(tmp_path):
    message = refused(tmp_path / "none")
    assert f"{tmp_path / 'none'}: expected result files such as stability.tsv" in message
    assert not results(tmp_path / "none.plot")


def test_damaged_files(copied):
    prefix = copied("scan.tsv", "null.json", "cv.tsv")
    lines = Path(f"{prefix}.scan.tsv").read_text().splitlines()
    lines[4] = lines[4].replace("\tLMM\t", "\tLMM\twrong", 1)
    Path(f"{prefix}.scan.tsv").write_text("\n".join(lines) + "\n")
    message = refused(prefix)
    assert f"{prefix}.scan.tsv, line 5: column 'BETA': expected a number or NA" in message
    Path(f"{prefix}.scan.tsv").unlink()
    Path(f"{prefix}.null.json").write_text("{")
    assert f"{prefix}.null.json: not a result file: expected the JSON" in refused(prefix)
    Path(f"{prefix}.null.json").write_text(json.dumps({"h2": 0.5, "profile": {}}))
    assert "null: expected the fields" in refused(prefix)
    Path(f"{prefix}.null.json").unlink()
    table = Path(f"{prefix}.cv.tsv")
    table.write_text(table.read_text().replace("ALPHA", "ALFA", 1))
    message = refused(prefix)
    assert f"{prefix}.*: plot cv: " in message
    assert "ALPHA" in message
    assert "expected tables as lmmlasso writes them" in message
    assert not results(f"{prefix}.plot")


def test_flags_that_change_nothing(small, copied):
    prefix = copied("cv.tsv")
    assert "--cutoff changes nothing without a stability result" in refused(
        prefix, "--cutoff", 0.5, code=2
    )
    for flag in (["--lead", "v001"], ["--bfile", small.prefix]):
        assert f"{flag[0]} changes nothing without --region" in refused(prefix, *flag, code=2)


def test_regions_that_cannot_be_drawn(small, copied):
    prefix = copied("scan.tsv")
    base = [prefix, "--bfile", small.prefix]
    for region in ("1", "1:5", "1:7-5", "1:a-b", f"1:0-{'9' * 5000}"):
        message = refused(*base, "--region", region, code=2)
        assert f"--region {region}: expected CHR:START-END" in message
    assert "in zz:1-2, found none" in refused(*base, "--region", "zz:1-2")
    region = ["--region", region_of(small)]
    assert "--lead: expected a SNP that is drawn" in refused(*base, *region, "--lead", "zz")
    assert "give --bfile PREFIX" in refused(prefix, *region, code=2)
    Path(f"{prefix}.scan.tsv").unlink()
    copied("cv.tsv")
    assert f"--region: expected {prefix}.scan.tsv or" in refused(*base, *region)


def test_no_scan_before(copied, tmp_path):
    prefix = copied("scan.tsv")
    message = refused(prefix, "--before", tmp_path / "zz")
    assert f"--before: expected the file {tmp_path / 'zz'}.scan.tsv, found none" in message


def test_without_matplotlib(copied, monkeypatch):
    prefix = copied("cv.tsv")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install 'lmmlasso-fast[plot]'" in refused(prefix, code=2)
