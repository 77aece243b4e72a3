"""The pages of docs: their commands run, their interface is complete, Sphinx has no complaint."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lmmlasso_fast as ll

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def commands(page: str) -> list[str]:
    """Return the shell blocks of a page: ```sh ... ```."""
    return re.findall(r"^```sh\n(.*?)^```", (DOCS / page).read_text(), re.S | re.M)


def run_page(page: str, folder: Path) -> list[str]:
    """Run a page's blocks one after the other in a folder; return what each printed."""
    programs = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    printed = []
    for block in commands(page):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.replace("sort -t", "LC_ALL=C sort -t")],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        # head ends early, which kills what writes to it
        assert done.returncode in (0, 141), f"{block}\n{done.stdout}\n{done.stderr}"
        printed.append(done.stdout)
    return printed


@pytest.mark.parametrize("page", ["start.md", "faq.md"])
def test_the_commands_of_a_page_run(page, tmp_path):
    printed = run_page(page, tmp_path)
    assert len(printed) >= 3
    assert any("LD_GROUP" in text for text in printed)


@pytest.mark.skipif("LMMLASSO_DATA" not in os.environ, reason="LMMLASSO_DATA is not set")
def test_the_tutorial_on_mice(tmp_path):
    printed = "".join(run_page("tutorial_mouse.md", tmp_path))
    assert '"n_samples": 1410' in printed
    assert re.search(r"1234 monomorphic", printed)
    loci = [line.split("\t") for line in (tmp_path / "cd8.loci.tsv").read_text().splitlines()]
    surest = [row[1] for row in loci[1:] if float(row[6]) > 0.95]
    assert surest == ["17", "17"]


@pytest.mark.skipif("LMMLASSO_DATA" not in os.environ, reason="LMMLASSO_DATA is not set")
def test_the_tutorial_on_arabidopsis(tmp_path):
    printed = "".join(run_page("tutorial_arabidopsis.md", tmp_path))
    assert '"at_boundary": true' in printed
    selected = [len((tmp_path / f"{name}.selected.tsv").read_text().splitlines())
                for name in ("ft10", "plain")]  # fmt: skip
    assert selected[0] < selected[1]


def test_the_interface_is_complete():
    listed = set(re.findall(r"^   (\w+)$", (DOCS / "api.md").read_text(), re.M))
    assert set(ll.__all__) <= listed, set(ll.__all__) - listed
    for name in listed:
        assert getattr(ll, name).__doc__, f"{name} has no docstring"


def test_every_page_is_in_the_table_of_contents():
    index = (DOCS / "index.md").read_text()
    pages = {path.stem for path in DOCS.glob("*.md")} - {"index"}
    listed = set(re.findall(r"^([\w/]+)$", index, re.M))
    assert pages <= listed, pages - listed


def test_sphinx_has_no_complaint(tmp_path):
    pytest.importorskip("sphinx", reason="the pages are built where the docs extra is installed")
    pytest.importorskip("numpydoc")
    pytest.importorskip("pydata_sphinx_theme")
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copytree(ROOT / "bench", tmp_path / "bench")  # figures
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "docs", "html"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "html" / "api.html").exists()
