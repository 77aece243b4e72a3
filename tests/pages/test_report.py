"""The report's content, its reduction of large scans, and the file as it is written."""

import base64
import hashlib
import json
import os
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import click.testing
import numpy as np
import polars as pl
import pytest
from cli_files import lmmlasso, read, results
from report_files import HOSTILE, analysed, copy_results, simulated_scan

from lmmlasso_fast.cli import main
from lmmlasso_fast.errors import InputError, OutputError
from lmmlasso_fast.io.result_files import ResultFiles, read_table
from lmmlasso_fast.io.results import write_table
from lmmlasso_fast.report import genome as on_genome
from lmmlasso_fast.report import write_report
from lmmlasso_fast.report.content import report_content
from lmmlasso_fast.report.page import as_json

pytestmark = pytest.mark.promise("hostile")


@pytest.fixture(scope="module")
def prefix(small, tmp_path_factory):
    return analysed(small, tmp_path_factory.mktemp("report"))


class _Page(HTMLParser):
    """The elements of a page, and the content of its scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.blocks = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.blocks.append([tag, dict(attrs).get("type"), ""])

    def handle_data(self, data):
        if self.blocks and self.cdata_elem is not None:
            self.blocks[-1][2] += data


def data_of(path) -> dict:
    page = _Page(Path(path).read_text(encoding="utf-8"))
    [data] = [text for _, kind, text in page.blocks if kind == "application/json"]
    return json.loads(data)


# --- the files -----------------------------------------------------------------------------------


def test_result_files_are_what_was_written(prefix):
    files = ResultFiles(prefix)
    for name in (
        *("path", "coef", "selected", "cv", "cv_pred", "pred", "scan", "stability", "loci"),
        *("bounds", "stability_path", "replicates", "excluded", "duplicates"),
    ):
        expected = read(f"{prefix}.{name}.tsv")
        found = getattr(files, name)
        assert found.columns == expected.header
        assert len(found) == expected.n_rows
        for column in expected.header:
            values = found[column].to_numpy()
            if values.dtype.kind in "if":
                np.testing.assert_array_equal(values.astype(float), getattr(expected, column))
            else:
                assert values.tolist() == [str(v) for v in getattr(expected, column)]
    assert files.null == json.loads(Path(f"{prefix}.null.json").read_text())
    assert files.run["subcommand"] == "cv"
    assert files.calibration is None


def test_result_files_of_nothing(tmp_path):
    files = ResultFiles(tmp_path / "P")
    tables = [name for name, value in vars(ResultFiles).items() if isinstance(value, property)]
    names = [*tables, "run", "log"]
    assert len(names) == 19
    assert all(getattr(files, name) is None for name in names)
    assert not files.exist()


def test_ids_that_are_na_and_numbers(tmp_path):
    frame = simulated_scan(5).with_columns(
        pl.Series("ID", ["NA", "007", "1e3", "", "."]),
        pl.Series("CHROM", ["NA", "X", "1", "1", ""]),
    )
    write_table(frame, tmp_path / "P.scan.tsv")
    scan = ResultFiles(tmp_path / "P").scan
    assert scan["ID"].to_list() == ["NA", "007", "1e3", "", "."]
    assert scan["CHROM"].to_list() == ["NA", "X", "1", "1", ""]


def test_run_of_several_phenotypes(small, tmp_path):
    table = ["--bfile", small.prefix, "--pheno", small.folder / "two.tsv"]
    out = tmp_path / "a.b"
    lmmlasso("null", *table, "--pheno-name", "Y,Z", "--out", out)
    assert ResultFiles(f"{out}.Z").run["subcommand"] == "null"
    assert "phenotype Z" in ResultFiles(f"{out}.Z").log
    assert ResultFiles(f"{out}.X").run is None
    facts = {f["label"]: f["value"] for f in data_of(write_report(f"{out}.Z"))["card"]}
    assert facts["Phenotype"] == "Z"
    Path(f"{out}.Z.null.json").unlink()
    counts = ResultFiles(out).run["counts"]["phenotypes"]
    facts = {f["label"]: f["value"] for f in report_content(ResultFiles(f"{out}.Z"))["card"]}
    assert facts["Samples analysed"] == counts["Z"]["samples"]


# --- the content ---------------------------------------------------------------------------------


def test_tables_are_those_of_the_files(prefix):
    content = report_content(ResultFiles(prefix))
    path = read(f"{prefix}.path.tsv")
    for name in path.header:
        np.testing.assert_array_equal(content["path"]["rows"][name], getattr(path, name))
    bounds = read(f"{prefix}.bounds.tsv")
    for name in bounds.header:
        found = np.array(content["stability"]["bounds"][name], dtype=float)
        np.testing.assert_array_equal(found, getattr(bounds, name))
    cv = read(f"{prefix}.cv.tsv")
    np.testing.assert_array_equal(content["cv"]["EXPLAINED_VARIANCE"], cv.EXPLAINED_VARIANCE)
    run = json.loads(Path(f"{prefix}.run.json").read_text())
    assert content["provenance"]["run"] == run
    facts = {fact["label"]: fact["value"] for fact in content["card"]}
    assert facts["Samples analysed"] == run["counts"]["samples"]
    assert facts["SNPs not offered"] == read(f"{prefix}.excluded.tsv").n_rows
    null = json.loads(Path(f"{prefix}.null.json").read_text())
    assert facts["h² of the null model"] == null["h2"]
    gap = [line["gap"] for line in content["certificates"] if line["what"].startswith("Alphas")]
    assert gap == [path.DUAL_GAP.max()]


def test_the_chosen_alpha_is_that_of_the_selected_snps(prefix):
    content = report_content(ResultFiles(prefix))
    path, selected = read(f"{prefix}.path.tsv"), read(f"{prefix}.selected.tsv")
    chosen = content["path"]["chosen"]
    assert path.N_ACTIVE[chosen] == selected.n_rows > 0
    cv = read(f"{prefix}.cv.tsv")
    assert chosen == np.argmax(cv.EXPLAINED_VARIANCE)
    column = {c["name"]: v for c, v in _columns(content)}
    there = [k for k, value in enumerate(column["SELECTED"]) if value]
    assert there == list(range(selected.n_rows))
    for name in ("ID", "BETA", "BETA_STD"):
        assert column[name][: selected.n_rows] == getattr(selected, name).tolist()
    np.testing.assert_allclose(column["ALPHA_ENTRY"][: selected.n_rows], selected.ALPHA_ENTRY)


def _columns(content):
    return zip(content["table"]["columns"], content["table"]["values"], strict=True)


def test_coefficients_along_the_path(prefix):
    content = report_content(ResultFiles(prefix))
    coef = read(f"{prefix}.coef.tsv")
    assert content["path"]["n_snps"] == len(set(coef.ID))
    for snp in content["path"]["snps"]:
        rows = snp["id"] == coef.ID
        assert snp["index"] == coef.INDEX[rows].tolist()
        np.testing.assert_allclose(snp["beta"], coef.BETA_STD[rows], rtol=1e-4)


def test_the_table_joins_what_the_files_say_of_a_snp(prefix):
    content = report_content(ResultFiles(prefix))
    column = {c["name"]: v for c, v in _columns(content)}
    scan, stability = read(f"{prefix}.scan.tsv"), read(f"{prefix}.stability.tsv")
    assert len(column["ID"]) == len(set(column["ID"])) == scan.n_rows  # 500 of each, here all
    log10p = dict(zip(scan.ID, scan.LOG10P, strict=True))
    frequency = dict(zip(stability.ID, stability.SEL_FREQ, strict=True))
    assert [log10p[name] for name in column["ID"]] == column["LOG10P"]
    assert [frequency.get(name) for name in column["ID"]] == column["SEL_FREQ"]


def test_held_out_statistics(prefix):
    held = report_content(ResultFiles(prefix))["prediction"]["held_out"]
    table = read(f"{prefix}.cv_pred.tsv")
    assert held["n"] == table.n_rows
    expected = np.corrcoef(table.PHENOTYPE, table.PRED)[0, 1]
    assert held["correlation"] == pytest.approx(expected, abs=1e-12)


def test_lambda_is_the_scans(small, prefix):
    found = report_content(ResultFiles(prefix))["quantiles"]
    text = lmmlasso("scan", *small.base, "--out", prefix.parent / "again")
    said = float(re.search(r"genomic-control lambda ([\d.]+)", text)[1])
    assert found["lambda"] == pytest.approx(said, abs=5e-5)


def test_warnings(prefix, tmp_path):
    target = copy_results(prefix, tmp_path / "P")
    assert data_of(write_report(target))["warnings"] == ResultFiles(prefix).run["warnings"]
    null = json.loads(Path(f"{target}.null.json").read_text()) | {"at_boundary": True, "flat": True}
    Path(f"{target}.null.json").write_text(json.dumps(null))
    lines = Path(f"{target}.path.tsv").read_text().splitlines()
    at = lines[0].split("\t").index("CONVERGED")
    fields = lines[2].split("\t")
    fields[at] = "0"
    lines[2] = "\t".join(fields)
    Path(f"{target}.path.tsv").write_text("\n".join(lines) + "\n")
    Path(f"{target}.run.json").unlink()
    said = " / ".join(data_of(write_report(target))["warnings"])
    for text in ("at the boundary", "flat", "1 of 30 did not converge", "run.json is missing"):
        assert text in said


def test_calibrated_alpha(fit, tmp_path):
    fit("--fwer", 0.2, "--n-draws", 50)
    files = ResultFiles(tmp_path / "P")
    facts = {fact["label"]: fact["value"] for fact in report_content(files)["card"]}
    assert facts["Calibrated alpha"] == files.calibration["alpha"]
    content = report_content(files)["path"]
    assert content["rows"]["ALPHA"][content["chosen"]] == files.calibration["alpha"]


SUFFIXES = (
    *("path.tsv", "coef.tsv", "selected.tsv", "cv.tsv", "cv_pred.tsv", "pred.tsv", "scan.tsv"),
    *("stability.tsv", "loci.tsv", "bounds.tsv", "stability_path.tsv", "replicates.tsv"),
    *("null.json", "run.json", "log", "excluded.tsv", "duplicates.tsv"),
)


def test_after_loco(small, tmp_path):
    lmmlasso("scan", *small.base, "--loco", "--out", tmp_path / "P")
    lmmlasso("report", tmp_path / "P")


def test_after_run(small, tmp_path):
    few = ["--n-alphas", 12, "--max-active", 20, "--folds", 3, "--replicates", 4]
    lmmlasso("run", *small.base, *few, "--n-active", 8, "--out", tmp_path / "P")
    files = ResultFiles(tmp_path / "P")
    stable = read(tmp_path / "P.stable.tsv")
    assert files.lowest_frequency == stable.SEL_FREQ.min()
    assert "SEL_FREQ" not in files.selected.columns
    content = report_content(files)
    assert content["stability"]["cutoff"] == stable.SEL_FREQ.min()
    column = {c["name"]: v for c, v in _columns(content)}
    assert column["ID"][: stable.n_rows] == stable.ID.tolist()
    assert sum(column["STABLE"]) == stable.n_rows > 0
    assert sum(column["SELECTED"]) == len(files.selected)
    record = json.loads((tmp_path / "P.run.json").read_text())
    record["options"]["cutoff"] = 0.97
    (tmp_path / "P.run.json").write_text(json.dumps(record))
    assert report_content(ResultFiles(tmp_path / "P"))["stability"]["cutoff"] == 0.97


def test_any_subset_of_the_files(prefix, tmp_path):
    rng = np.random.default_rng(0)
    keeps = [{suffix} for suffix in SUFFIXES if suffix not in ("run.json", "log")]
    keeps += [set(SUFFIXES) - {suffix} for suffix in SUFFIXES]
    keeps += [{s for s in SUFFIXES if rng.random() < 0.5} | {"path.tsv"} for _ in range(10)]
    for number, keep in enumerate(keeps):
        folder = tmp_path / str(number)
        folder.mkdir()
        target = copy_results(prefix, folder / "P")
        for path in folder.glob("P.*"):
            if path.name.removeprefix("P.") not in keep:
                path.unlink()
        data = data_of(write_report(target))
        assert (data["path"] is not None) == ("path.tsv" in keep)
        assert (data["cv"] is not None) == ("cv.tsv" in keep)
        assert (data["null"] is not None) == ("null.json" in keep)


def test_tables_without_rows(prefix, tmp_path):
    for suffix in SUFFIXES:
        if suffix.endswith(".tsv"):
            folder = tmp_path / suffix
            folder.mkdir()
            target = copy_results(prefix, folder / "P")
            header = Path(f"{target}.{suffix}").read_text().splitlines()[0]
            Path(f"{target}.{suffix}").write_text(header + "\n")
            write_report(target)


# --- a million SNPs ------------------------------------------------------------------------------


def test_layout_keeps_chromosomes_apart_and_places_unknown_positions():
    chromosomes = pl.Series(["2", "2", "2", "X", "X", "un", "un"])
    genome = on_genome.lay_out(chromosomes, np.array([10_000, -9, 30_000, 5_000, 7_000, 0, 0]))
    assert genome.names == ["2", "X", "un"]
    assert genome.position[1] == 20_000
    assert genome.known.tolist() == [True, False, True, True, True, False, False]
    x = genome.start[genome.chromosome] + genome.position
    assert (np.diff(x) > 0).all()


def test_peaks_are_the_local_maxima():
    scan = simulated_scan(3000, seed=2)
    genome = on_genome.lay_out(scan["CHROM"], scan["GENPOS"].to_numpy())
    height = scan["LOG10P"].to_numpy().copy()
    height[::7] = np.nan
    peaks = on_genome.find_peaks(genome, height, 10)
    left = set(np.flatnonzero(~np.isnan(height)).tolist())
    for peak in peaks:  # the slow and obvious way
        assert height[peak] == max(height[j] for j in left)
        same = genome.chromosome == genome.chromosome[peak]
        near = np.abs(genome.position - genome.position[peak]) <= on_genome.WINDOW
        left -= set(np.flatnonzero(same & near).tolist())
    assert len(peaks) == 10


def test_reduction_keeps_the_top_and_the_peaks_and_outlines_the_rest(monkeypatch):
    monkeypatch.setattr(on_genome, "ALL_EXACT", 1000)
    monkeypatch.setattr(on_genome, "MOST_EXACT", 2000)
    scan = simulated_scan(40_000, seed=3)
    genome = on_genome.lay_out(scan["CHROM"], scan["GENPOS"].to_numpy())
    height = scan["LOG10P"].to_numpy()
    peaks = on_genome.find_peaks(genome, height)
    exact = on_genome.exact_snps(genome, height, peaks, always=np.array([17]))
    assert 17 in exact
    assert set(np.argsort(-height)[: on_genome.TOP]) <= set(exact)
    assert set(np.flatnonzero(on_genome.around(genome, int(peaks[0])))) <= set(exact)
    assert len(exact) <= 2000
    rest = np.setdiff1d(np.arange(40_000), exact)
    found = on_genome.bins(genome, height, rest)
    assert sum(found["N"]) == len(rest)
    columns = list(zip(found["CHROM"], found["START"], found["END"], found["EXTENTS"], strict=True))
    for low, high in ((c[3][0::2], c[3][1::2]) for c in columns):
        assert all(a < b for a, b in zip(low, high, strict=True))
        assert all(b < a for b, a in zip(high, low[1:], strict=False))
    by_chromosome = {}
    for chrom, start, end, extents in columns:
        by_chromosome.setdefault(chrom, []).append((start, end, extents))
    for snp in rest[::37]:
        there = [
            extents
            for start, end, extents in by_chromosome[genome.chromosome[snp]]
            if start - 1 <= genome.position[snp] <= end + 1
        ]
        assert any(
            low - 1e-3 <= height[snp] <= high + 1e-3
            for extents in there
            for low, high in list(pairwise(extents))[::2]
        )


def test_size_of_a_large_scan(tmp_path):
    """Of 150,000 SNPs here; bench/report.py has a million."""
    write_table(simulated_scan(150_000), tmp_path / "P.scan.tsv")
    data = data_of(write_report(tmp_path / "P"))
    assert len(data["manhattan"]["points"]["id"]) <= on_genome.MOST_EXACT
    assert os.path.getsize(tmp_path / "P.report.html") < 3_000_000
    assert data["manhattan"]["n"] == 150_000


def test_chromosomes_beyond_the_most_share_an_axis(monkeypatch):
    monkeypatch.setattr(on_genome, "N_NAMES", 3)
    names = pl.Series(["b", "s1", "a", "a", "s2", "b", "s3", "s2", "a", "b", "s4"])
    positions = np.array([5, 7, 1, 2, 30, 6, 0, 40, 3, 7, 9])
    before = positions.copy()
    genome = on_genome.lay_out(names, positions)
    assert (positions == before).all()
    assert genome.names == ["b", "a", "other 4"]
    assert genome.pooled.tolist() == [name[0] == "s" for name in names]
    # s1, s2, s3 and s4 are 7, 40, 0 and 9 long
    assert genome.position[genome.pooled & genome.known].tolist() == [7, 37, 47, 56]
    assert genome.position[~genome.pooled].tolist() == positions[~genome.pooled].tolist()
    assert genome.known.tolist() == (positions > 0).tolist()


def test_size_of_many_scaffolds(tmp_path):
    n = 400_000
    scan = simulated_scan(n)
    scaffold = np.sort(np.random.default_rng(1).integers(0, 60_000, n))
    names = pl.Series("CHROM", [f"scaffold_{code:06d}" for code in scaffold])
    write_table(scan.with_columns(names), tmp_path / "P.scan.tsv")
    manhattan = data_of(write_report(tmp_path / "P"))["manhattan"]
    assert os.path.getsize(tmp_path / "P.report.html") < 3_000_000
    assert len(manhattan["chromosomes"]["name"]) == 500
    points = manhattan["points"]
    others = [k for k, code in enumerate(points["chrom"]) if code == 499]
    assert sorted(map(int, points["place"])) == others
    where = {f"{c}:{p:,}" for c, p in zip(names, scan["GENPOS"], strict=True)}
    assert set(points["place"].values()) <= where


def test_a_chromosome_of_more_digits_than_a_number_has(prefix, tmp_path):
    """Python makes no number of more than 4,300."""
    target = copy_results(prefix, tmp_path / "P")
    Path(f"{target}.scan.tsv").unlink()
    for path in tmp_path.glob("P.*.tsv"):
        table = read_table(path)
        if "CHROM" in table.columns and table.height:
            write_table(table.with_columns(CHROM=pl.lit("7" * 5000)), path)
    names = data_of(write_report(target))["manhattan"]["chromosomes"]["name"]
    assert names == ["7" * 200 + "… (5,000 characters)"]
    lmmlasso("plot", target, "--format", "svg")


def test_size_of_long_alleles(tmp_path):
    alleles = pl.Series("ALLELE1", ["ACGT" * 2000] * 600)
    scan = simulated_scan(600).with_columns(alleles, alleles.alias("ID"))
    write_table(scan, tmp_path / "P.scan.tsv")
    data = data_of(write_report(tmp_path / "P"))
    assert os.path.getsize(tmp_path / "P.report.html") < 3_000_000
    column = {c["name"]: v for c, v in _columns(data)}
    for name in ("ID", "EFFECT_ALLELE"):
        assert set(column[name]) == {"ACGT" * 50 + "… (8,000 characters)"}


# --- the page ------------------------------------------------------------------------------------


def test_the_policy_allows_this_page_and_nothing_else(prefix):
    text = Path(write_report(prefix)).read_text(encoding="utf-8")
    page = _Page(text)
    [policy] = [
        attributes["content"]
        for tag, attributes in page.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy
    hashes = {"script": [], "style": []}
    for tag, kind, content in page.blocks:
        if kind is None:
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            hashes[tag].append(f"'sha256-{digest}'")
    assert rules["script-src"].split() == hashes["script"]
    assert rules["style-src"].split() == hashes["style"]
    assert len(hashes["script"]) == 2
    for _, attributes in page.elements:
        assert not {"src", "style"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("href", "#").startswith("#")


def test_the_licence_goes_with_the_library(prefix):
    text = Path(write_report(prefix)).read_text(encoding="utf-8")
    assert "Copyright (c) 2014-2024 Chart.js Contributors" in text
    assert "Permission is hereby granted" in text


@pytest.mark.parametrize("text", HOSTILE)
def test_json_ends_no_script(text):
    written = as_json({"text": text})
    assert json.loads(written) == {"text": text}
    assert not set("<>&\u2028\u2029") & set(written)


def test_hostile_ids_stay_data(tmp_path):
    frame = simulated_scan(len(HOSTILE)).with_columns(
        pl.Series("ID", HOSTILE), pl.Series("CHROM", HOSTILE), pl.Series("ALLELE1", HOSTILE)
    )
    write_table(frame, tmp_path / "P.scan.tsv")
    target = write_report(tmp_path / "P", out=tmp_path / "out.html")
    page = _Page(Path(target).read_text(encoding="utf-8"))
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert len([tag for tag, _ in page.elements if tag == "script"]) == 3
    column = {c["name"]: v for c, v in _columns(data_of(target))}
    shown = [text for text in HOSTILE if len(text) <= 200] + ["x" * 200 + "… (5,000 characters)"]
    assert sorted(column["ID"]) == sorted(shown)


def test_same_files_same_bytes_and_nothing_else_is_touched(prefix, tmp_path):
    target = copy_results(prefix, tmp_path / "P")
    suffixes = ("log", "run.json")
    before = results(target) | {name: Path(f"{target}.{name}").read_bytes() for name in suffixes}
    first = Path(write_report(target)).read_bytes()
    assert Path(write_report(target, tmp_path / "Q.html")).read_bytes() == first
    after = results(target) | {name: Path(f"{target}.{name}").read_bytes() for name in suffixes}
    assert after == before


def test_command(prefix, tmp_path):
    target = copy_results(prefix, tmp_path / "P")
    text = lmmlasso("report", target)
    assert text.startswith(f"wrote {target}.report.html (")
    lmmlasso("report", target, "--out", tmp_path / "other.html")
    assert (tmp_path / "other.html").read_bytes() == Path(f"{target}.report.html").read_bytes()


def test_refusals(prefix, tmp_path):
    with pytest.raises(InputError, match="expected result files of lmmlasso, such as"):
        write_report(tmp_path / "none")
    with pytest.raises(InputError, match=f"found none; give {prefix}$"):
        write_report(f"{prefix}.scan.tsv")
    with pytest.raises(OutputError):
        write_report(prefix, tmp_path / "no" / "folder.html")
    assert "error: prefix" in lmmlasso("report", tmp_path / "none", code=3)
    lmmlasso("report", prefix, "--out", tmp_path / "no" / "folder.html", code=5)
    assert click.testing.CliRunner().invoke(main, ["report"]).exit_code == 2


@pytest.mark.parametrize("value", ["inf", "nan", "-inf", "1e999"])
def test_numbers_that_are_not_finite_are_refused(tmp_path, value):
    path = tmp_path / "P.scan.tsv"
    write_table(simulated_scan(5), path)
    lines = path.read_text().splitlines()
    lines[2] = lines[2].rsplit("\t", 1)[0] + f"\t{value}"
    path.write_text("\n".join(lines) + "\n")
    message = lmmlasso("report", tmp_path / "P", code=3)
    assert f"P.scan.tsv, line 3: column 'LOG10P': expected a number or NA, found '{value}'" in (
        message
    )


def test_columns_that_are_not_there_are_refused(prefix, tmp_path):
    for suffix in ("scan", "path", "coef", "selected", "cv", "cv_pred", "stability"):
        target = copy_results(prefix, tmp_path / suffix)
        frame = ResultFiles(target).table(suffix)
        write_table(frame[:, 2:3], f"{target}.{suffix}.tsv")
        message = lmmlasso("report", target, code=3)
        assert "expected tables as lmmlasso writes them, found others" in message


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        ("run", '{"options": [], "counts": null}'),
        ("run", '{"counts": {"phenotypes": [1]}}'),
        ("run", '{"warnings": 3}'),
        ("null", '{"h2": "much"}'),
        ("null", '{"h2": 1e999}'),
        ("null", '{"h2": NaN}'),
        ("null", '{"chromosomes": [{"h2": null}]}'),
        ("null", '{"kinship": null}'),
    ],
)
def test_json_of_another_shape_is_refused(tmp_path, suffix, content):
    write_table(simulated_scan(5), tmp_path / "P.scan.tsv")
    (tmp_path / f"P.{suffix}.json").write_text(content)
    message = lmmlasso("report", tmp_path / "P", code=3)
    assert "expected" in message
    assert re.search(rf"P\.({suffix}\.json|\*): ", message)
