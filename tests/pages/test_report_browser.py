"""The report in a real browser: headless Chromium, driven by Playwright, from file:// only."""

import json
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from cli_files import read
from report_files import HOSTILE, analysed, simulated_scan

from lmmlasso_fast.io.results import write_table
from lmmlasso_fast.report import write_report

pytestmark = pytest.mark.promise("hostile")

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip)")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("needs Debian's chromium on the PATH", allow_module_level=True)

#: Fails the test that loads the page with them, whatever the page was asked to do.
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(event.violatedDirective + " " + event.blockedURI + " " + event.sample));
"""


@pytest.fixture(scope="module")
def prefix(small, tmp_path_factory):
    return analysed(small, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser, path, **options):
    """A page of its own; at the end it has had no error, violation, request or dialog."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, **options)
    context.set_default_timeout(120_000)  # of a machine that does other things
    page = context.new_page()
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: requests.append(request.url))
    page.add_init_script(WATCH)
    page.goto(Path(path).resolve().as_uri())
    page.wait_for_selector("html[data-ready=true]")
    yield page
    assert complaints == []
    assert page.evaluate("window.violations") == []
    own = Path(path).resolve().as_uri()
    assert [url for url in requests if url.split("#")[0] != own and url[:5] != "blob:"] == []
    context.close()


@pytest.fixture(scope="module")
def report(prefix):
    return write_report(prefix)


@pytest.fixture
def page(browser, report):
    with opened(browser, report) as page:
        yield page


def until(page, condition):
    """Wait for a condition; Playwright's own way needs eval, which the policy refuses the page."""
    deadline = time.monotonic() + 120
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(20)


def slide(page, selector, index):
    """Move a slider as a hand does: its value and an input event."""
    page.locator(selector).evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }",
        index,
    )


def numbers(page, selector):
    """{name: number} of a list of numbers."""
    found = page.locator(f"{selector} dd").evaluate_all(
        "(all) => all.map((one) => [one.dataset.name, one.dataset.value])"
    )
    return {name: np.nan if value == "NA" else float(value) for name, value in found}


def test_every_section_is_there(page):
    names = page.locator("main > section:visible").evaluate_all("(all) => all.map((s) => s.id)")
    assert names == [
        *("card", "genome", "path", "stability", "prediction", "snps", "provenance"),
    ]
    assert page.locator("nav a").count() == 7
    for name in names:
        page.locator(f"nav a[href='#{name}']").click()
        assert page.evaluate("location.hash") == f"#{name}"


def test_alpha_slider_shows_the_rows_of_the_files(page, prefix):
    path, cv = read(f"{prefix}.path.tsv"), read(f"{prefix}.cv.tsv")
    for index in (0, 7, path.n_rows - 1):
        slide(page, "#alpha", index)
        found = numbers(page, "#alpha-numbers")
        for name in path.header[1:]:
            assert found[name] == getattr(path, name)[index]
        for name in ("EXPLAINED_VARIANCE", "SE", "CORRELATION"):
            assert found[name] == getattr(cv, name)[index]
        active = page.locator("#active tbody tr").count()
        assert active == path.N_ACTIVE[index]
    assert page.locator("#alpha-value").inner_text() == f"{path.ALPHA[-1]:.6g}"


def test_buttons_go_to_the_choices_of_cv(page, prefix):
    cv = read(f"{prefix}.cv.tsv")
    best = np.argmax(cv.EXPLAINED_VARIANCE)
    least = cv.EXPLAINED_VARIANCE[best] - cv.SE[best]
    one_se = np.flatnonzero(least <= cv.EXPLAINED_VARIANCE)[0]
    slide(page, "#alpha", 20)
    for name, index in (("CV: best", best), ("CV: one SE", one_se), ("First", 0)):
        page.get_by_role("button", name=name).click()
        assert numbers(page, "#alpha-numbers")["ALPHA"] == cv.ALPHA[index]


def test_cutoff_slider_moves_count_and_bound(page, prefix):
    bounds, loci = read(f"{prefix}.bounds.tsv"), read(f"{prefix}.loci.tsv")
    assert numbers(page, "#cutoff-numbers")["N_SNPS"] >= 0
    seen = set()
    for index in range(bounds.n_rows):
        slide(page, "#cutoff", index)
        found = numbers(page, "#cutoff-numbers")
        for name in bounds.header[1:]:
            np.testing.assert_equal(found[name], getattr(bounds, name)[index])
        groups = int((bounds.CUTOFF[index] <= loci.SEL_FREQ_GROUP).sum())
        assert page.locator("#groups tbody tr").count() == groups
        seen.add((found["N_SNPS"], found["MAX_FALSE_R_CONCAVE"]))
    assert len(seen) > 1


def cells(page, name):
    names = page.locator("#table thead th").evaluate_all("(all) => all.map((c) => c.dataset.name)")
    column = names.index(name) + 1
    return page.locator(f"#table tbody td:nth-child({column})").all_inner_texts()


def test_table_sorts_both_ways_with_missing_values_last(page):
    head = page.locator("#table thead th[data-name=SEL_FREQ]")
    for direction in ("descending", "ascending"):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == direction
        shown = cells(page, "SEL_FREQ")
        values = [float(text) for text in shown if text != "NA"]
        assert values == sorted(values, reverse=direction == "descending")
        assert shown[: len(values)].count("NA") == 0
    page.locator("#table thead th[data-name=ID] button").click()
    assert cells(page, "ID") == sorted(cells(page, "ID"))
    assert head.get_attribute("aria-sort") is None


def test_table_filters_and_pages(page, prefix):
    scan, selected = read(f"{prefix}.scan.tsv"), read(f"{prefix}.selected.tsv")
    status = page.locator("#table-status")
    assert status.inner_text().startswith(f"{scan.n_rows} of {scan.n_rows} SNPs")
    first = cells(page, "ID")
    page.locator("#next").click()
    assert not set(first) & set(cells(page, "ID"))
    page.locator("#search").fill("V00")
    matching = sorted(name for name in scan.ID if "v00" in name)
    assert sorted(cells(page, "ID")) == matching
    page.locator("#search").fill("")
    page.locator("#only-selected").check()
    assert cells(page, "ID") == selected.ID[:25].tolist()
    page.locator("#only-selected").uncheck()
    page.locator("#filter-column").select_option("LOG10P")
    page.locator("#filter-value").fill("2")
    assert status.inner_text().startswith(f"{(scan.LOG10P >= 2).sum()} of")
    page.locator("#filter-sign").select_option("le")
    assert status.inner_text().startswith(f"{(scan.LOG10P <= 2).sum()} of")
    page.locator("#filter-value").fill("")
    page.locator("#chromosome").select_option("=2")
    assert status.inner_text().startswith(f"{(scan.CHROM == '2').sum()} of")


def test_download_is_the_filtered_table_with_all_digits(page, prefix, tmp_path):
    scan = read(f"{prefix}.scan.tsv")
    page.locator("#chromosome").select_option("=1")
    page.locator("#table thead th[data-name=LOG10P] button").click()
    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.suggested_filename == "P.snps.tsv"
    target = tmp_path / "snps.tsv"
    download.value.save_as(target)
    found = read(target)
    assert found.n_rows == (scan.CHROM == "1").sum()
    log10p = dict(zip(scan.ID, scan.LOG10P, strict=True))
    assert found.LOG10P.tolist() == [log10p[name] for name in found.ID]
    assert found.LOG10P.tolist() == sorted(found.LOG10P, reverse=True)
    assert set(found.header) >= {"EFFECT_ALLELE", "BETA_STD", "SEL_FREQ", "ALPHA_ENTRY"}


def place_of(page, name):
    """Where the point of a SNP is on the window."""
    return page.evaluate(
        """(name) => {
          const chart = Chart.getChart("manhattan");
          const points = JSON.parse(document.getElementById("data").textContent).manhattan.points;
          const box = chart.canvas.getBoundingClientRect();
          for (let k = 0; k < chart.data.datasets.length; k++) {
            const at = chart.data.datasets[k].data.findIndex(
              (point) => point.index !== undefined && points.id[point.index] === name);
            if (at >= 0) {
              const spot = chart.getDatasetMeta(k).data[at];
              return [box.left + spot.x, box.top + spot.y];
            }
          }
        }""",
        name,
    )


def tooltip(page):
    return page.evaluate(
        """() => {
          const { tooltip } = Chart.getChart("manhattan");
          return tooltip.opacity ? tooltip.body.flatMap((part) => part.lines) : [];
        }"""
    )


def test_manhattan_hover_and_click(page, prefix):
    scan = read(f"{prefix}.scan.tsv")
    name = scan.ID[np.argmax(scan.LOG10P)]
    page.locator("#manhattan").scroll_into_view_if_needed()
    other = next(n for n in scan.ID if n != name and scan.LOG10P[scan.ID.tolist().index(n)] > 1.5)
    for wanted in (other, name):
        x, y = place_of(page, wanted)
        page.mouse.move(x, y)
        until(page, "Chart.getChart('manhattan').tooltip.opacity > 0")
        assert wanted in tooltip(page)
        page.mouse.click(x, y)
        assert wanted in page.locator("#locus-title").inner_text()
        page.locator("#manhattan").scroll_into_view_if_needed()
    row = page.locator("#locus-table tbody tr").first.locator("td").all_inner_texts()
    assert row[0] == name
    assert float(row[2]) == pytest.approx(scan.LOG10P.max(), abs=1e-3)


def view_of(page):
    return page.evaluate(
        "(() => { const { x } = Chart.getChart('manhattan').scales; return [x.min, x.max]; })()"
    )


def test_manhattan_zooms_by_drag_buttons_and_keys(page):
    page.locator("#manhattan").scroll_into_view_if_needed()
    whole = view_of(page)
    box = page.locator("#manhattan").bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 600, box["y"] + 220)
    page.mouse.up()
    dragged = view_of(page)
    assert 0.15 < (dragged[1] - dragged[0]) / (whole[1] - whole[0]) < 0.45
    page.locator("#zoom-reset").click()
    assert view_of(page) == pytest.approx(whole)
    page.locator("#zoom-in").click()
    once = view_of(page)
    assert once[1] - once[0] == pytest.approx((whole[1] - whole[0]) / 2)
    page.locator("#pan-right").click()
    assert view_of(page)[0] > once[0]
    page.locator("#manhattan").focus()
    page.keyboard.press("0")
    assert view_of(page) == pytest.approx(whole)
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")  # by a quarter of the half in view
    assert view_of(page)[0] == pytest.approx(whole[0] + (whole[1] - whole[0]) / 8)
    page.keyboard.press("ArrowLeft")
    assert view_of(page)[0] == pytest.approx(whole[0])
    said = page.locator("#view").inner_text()
    assert "Highest: " in said
    page.keyboard.press("Enter")
    name = said.split("Highest: ")[1].split(",")[0]
    assert name in page.locator("#locus-title").inner_text()
    assert page.evaluate("document.activeElement.id") == "locus-title"


def test_keyboard_alone(page, prefix):
    path = read(f"{prefix}.path.tsv")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = set()
    for _ in range(200):
        page.keyboard.press("Tab")
        at = page.evaluate("document.activeElement.id || document.activeElement.tagName")
        reached.add(at)
        if at == "BODY":
            break
    wanted = {"manhattan", "peak", "alpha", "cutoff", "search", "download", "next", "locus-width"}
    assert wanted <= reached
    page.locator("#alpha").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert numbers(page, "#alpha-numbers")["ALPHA"] == path.ALPHA[1]
    assert "alpha" in page.locator("#alpha").get_attribute("aria-valuetext")
    page.locator("#cutoff").focus()
    page.keyboard.press("End")
    assert page.locator("#cutoff-value").inner_text() == "1"
    page.locator("#table thead button").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#table thead th").first.get_attribute("aria-sort") == "ascending"
    page.locator("#table tbody button").first.focus()
    name = page.locator("#table tbody button").first.inner_text()
    page.keyboard.press("Enter")
    assert name in page.locator("#locus-title").inner_text()


def test_heights_of_the_genome_plot(page, prefix):
    """The selection frequency; the effects at the slider's alpha, which move with it."""
    stability, path = read(f"{prefix}.stability.tsv"), read(f"{prefix}.path.tsv")
    shown = "Chart.getChart('manhattan').data.datasets.flatMap((d) => d.data).length"
    page.locator("#measure").select_option("frequency")
    assert page.evaluate(shown) == stability.n_rows
    page.locator("#measure").select_option("effect")
    for index in (3, path.n_rows - 1):
        slide(page, "#alpha", index)
        assert page.evaluate(shown) == path.N_ACTIVE[index]


def test_every_canvas_has_a_name(page):
    for canvas in page.locator("canvas:visible").all():
        assert canvas.get_attribute("role") == "img"
        assert len(canvas.get_attribute("aria-label")) > 10
    unnamed = page.evaluate(
        """[...document.querySelectorAll("input, select")].filter((one) => !one.labels.length)
             .map((one) => one.id)"""
    )
    assert unnamed == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colour_schemes(browser, report, tmp_path, scheme):
    with opened(browser, report, color_scheme=scheme) as page:
        background = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
        axis = "Chart.getChart('cv-plot').options.scales.x.ticks.color"
        dark = max(page.evaluate(background)) < 80
        assert dark == (scheme == "dark")
        before = page.evaluate(axis)
        page.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
        assert (tmp_path / f"{scheme}.png").stat().st_size > 100_000
        page.emulate_media(color_scheme="light" if dark else "dark")
        until(page, f"{axis} !== '{before}'")
        assert (max(page.evaluate(background)) < 80) != dark


def test_print_is_on_white_without_controls(browser, report, tmp_path):
    with opened(browser, report, color_scheme="dark") as page:
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(255, 255, 255)"
        )
        tick = page.evaluate("Chart.getChart('cv-plot').options.scales.x.ticks.color")
        assert tick == "#5a646e"
        assert not page.locator("#search").is_visible()
        assert page.locator("#manhattan").is_visible()
        assert page.pdf(path=tmp_path / "report.pdf").startswith(b"%PDF")


def test_hostile_ids_stay_text(browser, tmp_path):
    n = len(HOSTILE)
    frame = simulated_scan(n).with_columns(
        pl.Series("ID", HOSTILE),
        pl.Series("CHROM", HOSTILE),
        pl.Series("ALLELE1", HOSTILE),
    )
    write_table(frame, tmp_path / "P.scan.tsv")
    run = {
        "version": HOSTILE[0],
        "subcommand": HOSTILE[1],
        "warnings": HOSTILE,
        "exit": {"code": 0},
    }
    run["options"] = dict(zip(HOSTILE, HOSTILE, strict=True))
    (tmp_path / "P.run.json").write_text(json.dumps(run))
    (tmp_path / "P.log").write_text("\n".join(HOSTILE))
    with opened(browser, write_report(tmp_path / "P")) as page:
        assert page.title() == "P: LMM-Lasso report"
        assert page.locator("img, iframe, object, b").count() == 0
        assert page.locator("script").count() == 3
        shown = [text for text in HOSTILE if len(text) <= 200] + [
            "x" * 200 + "… (5,000 characters)"
        ]
        assert sorted(page.locator("#table tbody button").all_text_contents()) == sorted(shown)
        for k in range(n):
            page.locator("#table tbody button").nth(k).click()
            page.locator("#chromosome").select_option(index=k + 1)
            assert page.locator("#table tbody tr").count() == 1
            page.locator("#chromosome").select_option(index=0)
        assert page.locator("#warning-list li").all_text_contents()[:n] == HOSTILE
        assert page.title() == "P: LMM-Lasso report"
        # a long id widens nothing
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_hostile_titles(browser, tmp_path):
    prefix = tmp_path / "<img src=x onerror=alert(1)>&lt;"
    write_table(simulated_scan(30), f"{prefix}.scan.tsv")
    with opened(browser, write_report(prefix)) as page:
        assert page.locator("h1").inner_text() == prefix.name
        assert page.title() == f"{prefix.name}: LMM-Lasso report"
        assert page.locator("img").count() == 0


@pytest.mark.parametrize(
    "keep",
    [
        {"scan.tsv"},
        {"path.tsv", "coef.tsv"},
        {"path.tsv"},
        {"cv.tsv"},
        {"cv_pred.tsv"},
        {"pred.tsv"},
        {"stability.tsv", "run.json"},
        {"loci.tsv", "bounds.tsv"},
        {"null.json"},
        {"selected.tsv"},
        {"excluded.tsv", "log"},
    ],
    ids=lambda keep: "+".join(sorted(keep)),
)
def test_any_subset_of_the_files(browser, prefix, tmp_path, keep):
    for suffix in keep:
        shutil.copy(f"{prefix}.{suffix}", tmp_path / f"P.{suffix}")
    with opened(browser, write_report(tmp_path / "P")) as page:
        sections = page.locator("main > section:visible")
        assert sections.count() >= 2  # the missing P.run.json is a warning
        for slider in page.locator("input[type=range]:visible").all():
            slider.focus()
            page.keyboard.press("End")


def test_a_binned_scan(browser, tmp_path):
    """Columns of the outline say what is in them, a click zooms to them."""
    write_table(simulated_scan(60_000, seed=1), tmp_path / "P.scan.tsv")
    with opened(browser, write_report(tmp_path / "P")) as page:
        assert "60,000 SNPs tested" in page.locator("#genome-lead").inner_text()
        whole = view_of(page)
        x, y, n = page.evaluate(
            """() => {
              const chart = Chart.getChart("manhattan");
              const { bins } = JSON.parse(document.getElementById("data").textContent).manhattan;
              const k = chart.data.datasets.findIndex((one) => one.label.startsWith("_bins"));
              const spot = chart.getDatasetMeta(k).data[0];
              const box = chart.canvas.getBoundingClientRect();
              return [box.left + spot.x, box.top + spot.y - 1, bins.N[0]];
            }"""
        )
        page.mouse.move(x, y)
        until(page, "Chart.getChart('manhattan').tooltip.opacity > 0")
        assert tooltip(page)[0].startswith(f"{n} SNPs, 1:")
        page.mouse.click(x, y)
        zoomed = view_of(page)
        assert zoomed[1] - zoomed[0] == pytest.approx((whole[1] - whole[0]) / 5)
        page.locator("#peak").select_option(index=1)
        assert page.locator("#locus-table tbody tr").count() == 10
