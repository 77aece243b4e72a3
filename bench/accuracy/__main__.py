"""`python -m bench.accuracy`: every study behind docs/studies, one after the other.

Each study writes its tables, NAME.md, and its figure, NAME.svg, into --out. What is finished is
kept in --work, so that an interrupted run goes on where it was. See docs/studies/index.md.
"""

import argparse
import importlib
import json
import sys
import tempfile
import time
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path

from bench.accuracy.store import Store

STUDIES = ("fig1", "fig2", "fig3", "fig4", "fig5", "fig6", "fig7")
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    given = _arguments()
    work = nullcontext(given.work) if given.work else tempfile.TemporaryDirectory()
    with work as folder:
        for name in given.only or STUDIES:
            _run(name, given, Path(folder))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.accuracy", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all run")
    parser.add_argument("--only", type=lambda text: text.split(","), help="fig1,fig2,...")
    parser.add_argument("--jobs", type=int, help="units at a time [default: all processors]")
    parser.add_argument("--out", type=Path, help=f"default: {RESULTS.name}/ beside this file")
    parser.add_argument("--work", type=Path, help="folder of finished units [default: none kept]")
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
    store = Store(work / f"{name}.{kind}.jsonl")
    spent = store.get("seconds") or {"seconds": 0.0}
    start = time.perf_counter()
    print(f"== {name}: {study.TITLE}", file=sys.stderr, flush=True)
    content = study.run(given.quick, given.jobs, store)
    seconds = spent["seconds"] + time.perf_counter() - start
    store.put("seconds", {"seconds": seconds})
    versions = ", ".join(f"{package} {version(package)}" for package in ("lmmlasso-fast", "numpy"))
    about = f"{kind} sizes, {seconds:.0f} s on {_processors(given.jobs)}; {versions}"
    text = f"# {study.TITLE}\n\n{study.markdown(content)}\n\n({about})\n"
    (given.out / f"{name}.md").write_text(text)
    (given.out / f"{name}.json").write_text(json.dumps(content) + "\n")
    study.draw(content, given.out / f"{name}.svg")
    print(f"{text}\nwrote {given.out / name}.md, .json and .svg", flush=True)


def _processors(n_jobs: int | None) -> str:
    from lmmlasso_fast.parallel import as_n_jobs

    n = as_n_jobs(n_jobs)
    return "one processor" if n == 1 else f"{n} processors"


if __name__ == "__main__":
    sys.exit(main())
