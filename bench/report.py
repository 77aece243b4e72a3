"""Size of the report on a large scan, and seconds until it can be used in headless Chromium.

    python -m bench.report [--snps 1000000] [--repeats 3]

The scan is simulated: p-values of nothing, and a peak on every third of 22 chromosomes. Needs
playwright and Debian's chromium. A page can be used once its scripts have drawn everything and two
frames have been shown; the clock starts when it is asked for, in a browser that is running.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bench import ROOT
from lmmlasso_fast.io.results import write_table
from lmmlasso_fast.report import write_report

sys.path.insert(0, str(ROOT / "tests"))
from report_files import simulated_scan

#: Milliseconds since the page was asked for, after the next two frames.
_SHOWN = """() => new Promise((done) =>
  requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"""


def seconds_to_use(path: Path, repeats: int) -> list[float]:
    """Open a page several times; return the seconds of each."""
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for _ in range(repeats):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(path.resolve().as_uri())
            page.wait_for_selector("html[data-ready=true]")
            found.append(page.evaluate(_SHOWN) / 1000)
            page.close()
        browser.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.report", description=__doc__.splitlines()[0])
    parser.add_argument("--snps", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder) / "P"
        write_table(simulated_scan(arguments.snps), f"{prefix}.scan.tsv")
        start = time.perf_counter()
        path = Path(write_report(prefix))
        written = time.perf_counter() - start
        size = os.path.getsize(path) / 1e6
        print(f"{arguments.snps:,} SNPs: written in {written:.1f} s, {size:.2f} MB")
        times = seconds_to_use(path, arguments.repeats)
        print("usable after", ", ".join(f"{seconds:.2f} s" for seconds in times))


if __name__ == "__main__":
    main()
