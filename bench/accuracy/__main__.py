"""`python -m bench.accuracy`: every study behind docs/studies, one after the other.

Each study writes what it found, NAME.json.gz, its tables, NAME.md, and its figure, NAME.svg, into
--out. What is finished is kept in --work, so that an interrupted run goes on where it was; --redraw
makes tables and figures again from what was found. See docs/studies/index.md.
"""

import argparse
import gzip
import importlib
import json
import os
import sys
import tempfile
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path

from bench.accuracy.store import OtherRun, Store, fingerprint

STUDIES = ("fig1", "fig2", "fig3", "fig4", "fig5", "fig6", "fig7")
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    given = _arguments()
    names = given.only or STUDIES
    if given.redraw:
        for name in names:
            write(name, read(given.out / f"{name}.json.gz"), given.out)
        return 0
    work = nullcontext(given.work) if given.work else tempfile.TemporaryDirectory()
    with work as folder:
        for name in names:
            try:
                _run(name, given, Path(folder))
            except OtherRun as error:
                print(error, file=sys.stderr)
                return 2
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.accuracy", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all run")
    parser.add_argument("--only", type=lambda text: text.split(","), help="fig1,fig2,...")
    parser.add_argument("--jobs", type=int, help="units at a time [default: all processors]")
    parser.add_argument("--out", type=Path, help=f"default: {RESULTS.name}/ beside this file")
    parser.add_argument("--work", type=Path, help="folder of finished units [default: none kept]")
    parser.add_argument("--remark", help="what to know of the machine, beside the seconds")
    parser.add_argument("--redraw", action="store_true", help="from the .json.gz files in --out")
    given = parser.parse_args()
    unknown = set(given.only or ()) - set(STUDIES)
    if unknown:
        parser.error(f"--only: expected names among {', '.join(STUDIES)}, found {min(unknown)}")
    if given.out is None:
        if given.quick:
            parser.error("--quick: expected --out, so that small sizes replace no results")
        given.out = RESULTS
    for folder in (given.out, given.work):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    return given


def _run(name: str, given: argparse.Namespace, work: Path) -> None:
    study = importlib.import_module(f"bench.accuracy.{name}")
    kind = "quick" if given.quick else "full"
    data = os.environ.get("LMMLASSO_DATA")
    store = Store(work / f"{name}.{kind}.jsonl", fingerprint(Path(data) if data else None))
    print(f"== {name}: {study.TITLE}", file=sys.stderr, flush=True)
    content = study.run(given.quick, given.jobs, store)
    if store.get("about") is None:
        versions = {package: version(package) for package in ("lmmlasso-fast", "numpy")}
        about = {"kind": kind, "seconds": round(store.seconds), "versions": versions}
        processors = _processors(given.jobs)
        store.put("about", {**about, "processors": processors, "remark": given.remark})
    found = {"about": store.get("about"), "content": content}
    found = json.loads(json.dumps(found))  # what is drawn is what is kept
    with (given.out / f"{name}.json.gz").open("wb") as file:
        file.write(gzip.compress(json.dumps(found).encode(), mtime=0))
    print(write(name, found, given.out), flush=True)


def read(path: Path) -> dict:
    """Return what a study found, and `about`: sizes, seconds, versions."""
    return json.loads(gzip.decompress(path.read_bytes()))


def write(name: str, found: dict, out: Path) -> str:
    """Write the table and the figure of a study; return the former."""
    study = importlib.import_module(f"bench.accuracy.{name}")
    text = page(study, found)
    (out / f"{name}.md").write_text(text)
    study.draw(found["content"], out / f"{name}.svg")
    return text


def page(study, found: dict) -> str:
    """Return a study's tables with title and footer."""
    about = found["about"]
    versions = ", ".join(f"{package} {number}" for package, number in about["versions"].items())
    remark = f"; {about['remark']}" if about["remark"] else ""
    footer = f"{about['kind']} sizes, {about['seconds']} s on {about['processors']}{remark}"
    return f"# {study.TITLE}\n\n{study.markdown(found['content'])}\n\n({footer}; {versions})\n"


def _processors(n_jobs: int | None) -> str:
    from lmmlasso_fast.parallel import as_n_jobs

    n = as_n_jobs(n_jobs)
    return "one processor" if n == 1 else f"{n} processors"


if __name__ == "__main__":
    sys.exit(main())
