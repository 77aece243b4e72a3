"""`python -m tests.soak`: the long programme, and its result as docs/soak.md.

Runs the C core's tests and the whole suite with `--full`, which gives the tests of this folder
their full sizes (else they run small, as a part of the suite), and counts the cases of every
promise. Exit code 0: every part ran to its end, all passed, and enough lines of the package were
run. The page names the tests that failed, and those that were skipped with the reason.
"""

import argparse
import ast
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs/soak.md"
#: Per cent of the lines of Python that must be run.
LINES = 95
sys.path.insert(0, str(ROOT / "tests"))

from promises import PROMISES  # noqa: E402


@dataclass
class Outcome:
    """One test: where, the promises it is for, its cases and figures."""

    module: str
    name: str
    outcome: str  # passed, failed or skipped
    seconds: float = 0
    promises: list[str] = field(default_factory=list)
    cases: int = 1
    failed: int = 0
    figures: dict[str, str] = field(default_factory=dict)
    reason: str = ""  # of one that was skipped


def read(report: Path) -> list[Outcome]:
    """The tests of a JUnit file that pytest wrote."""
    outcomes = []
    for case in ElementTree.parse(report).iter("testcase"):
        tags = {child.tag for child in case}
        outcome = "failed" if tags & {"failure", "error"} else "passed"
        outcome = "skipped" if "skipped" in tags else outcome
        test = Outcome(case.get("classname"), case.get("name"), outcome, float(case.get("time")))
        for item in case.iter("property"):
            name, value = item.get("name"), item.get("value")
            if name == "promise":
                test.promises.append(value)
            elif name in ("cases", "failed"):
                setattr(test, name, int(value))
            else:
                test.figures[name] = value
        if outcome == "failed":
            test.failed = max(test.failed, 1)
        if outcome == "skipped":
            test.reason = _reason(case.find("skipped"))
        outcomes.append(test)
    return outcomes


def _reason(skipped: ElementTree.Element) -> str:
    """Why a test was skipped, in one line; of a module it stands in "(path, line, reason)"."""
    text = skipped.get("message") or ""
    if text == "collection skipped":
        text = ast.literal_eval(skipped.text)[2]
    return " ".join(text.removeprefix("Skipped: ").split())


def part_of(name: str, code: int, report: Path | None, tests: list[Outcome]) -> list[Outcome]:
    """The tests of one part of the programme, with a failure more for what they do not show: a
    part that was interrupted or killed, or wrote no `report`."""
    wrong = []
    if report is not None:
        try:
            tests = tests + read(report)
        except (OSError, ElementTree.ParseError) as error:
            wrong.append(f"no report of its tests ({type(error).__name__})")
    if code and (code != 1 or not any(test.failed for test in tests)):
        wrong.append(f"exit code {code}")
    if wrong:
        end = Outcome(f"the part {name}:", ", ".join(wrong), "failed", failed=1)
        tests = [*tests, end]
    return tests


def read_c(folder: Path) -> list[Outcome]:
    """The C programs of the JUnit files that tests/c/run.sh wrote, which count their checks."""
    outcomes = []
    for report in sorted(folder.glob("*.xml")):
        for case in ElementTree.parse(report).iter("testcase"):
            said = case.findtext("system-out", "")
            test = Outcome(
                module="tests.soak.C core",
                name=f"{case.get('name')}[{report.stem}]",
                outcome="passed" if case.get("status") == "run" else "failed",
                seconds=float(case.get("time")),
                promises=["any-bytes"],
                cases=sum(map(int, re.findall(r"^(\d+) (?:passed|inputs)", said, re.MULTILINE))),
            )
            test.failed = int(test.outcome == "failed" or not test.cases)
            places = re.search(
                r"^passed (\d+ of \d+) places that return an error(?:, not (.+))?$",
                said,
                re.MULTILINE,
            )
            if places:
                without = f" (not {places[2]})" if places[2] else ""
                test.figures["places that return an error, passed"] = places[1] + without
            outcomes.append(test)
    return outcomes


def before(text: str) -> dict[str, int]:
    """Cases of each promise that failed when they were tried first: "What these tests found"."""
    counts, promise = defaultdict(int), ""
    table = text.partition("| promise | found | before | after |\n")[2].partition("\n\n")[0]
    for line in table.splitlines()[1:]:
        name, _, failed, _ = (cell.strip() for cell in line.strip("|").split(" | "))
        promise = name.replace(" ", "-") or promise
        if promise not in PROMISES:
            raise ValueError(f"docs/reliability.md: expected a promise, found {promise!r}")
        if failed != "read":
            counts[promise] += int(re.match(r"[\d,]+", failed)[0].replace(",", ""))
    return counts


def page(outcomes: list[Outcome], head: dict[str, str], found: dict[str, int]) -> str:
    """The text of docs/soak.md; `found` are the cases that failed once."""
    lines = ["# The long programme", "", "Written by `python -m tests.soak`.", ""]
    lines += [f"* {name}: {value}" for name, value in head.items()]
    lines += ["", "Failed at first: before what [these tests found](reliability.md) was mended."]
    lines += ["", "| promise | command | tests | skipped | cases | failed at first | fail now |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name in PROMISES:
        of = [test for test in outcomes if name in test.promises]
        run = [test for test in of if test.outcome != "skipped"]
        lines.append(
            f"| {name} | `pytest -m {name.replace('-', '_')} --full` | {len(run)} "
            f"| {len(of) - len(run)} | {sum(test.cases for test in run):,} "
            f"| {found.get(name, 0):,} | {sum(test.failed for test in run)} |"
        )
    lines += ["", *(f"* failed: {t.module} {t.name}" for t in outcomes if t.failed)]
    skipped = [t for t in outcomes if t.outcome == "skipped"]
    lines += [f"* skipped: {f'{t.module} {t.name}'.strip()}: {t.reason}" for t in skipped]
    lines += ["", "| test | cases | failed | seconds | figures |", "|---|---|---|---|---|"]
    merged = defaultdict(list)
    for test in outcomes:
        if test.module.startswith("tests.soak") and test.outcome != "skipped":
            merged[test.module.removeprefix("tests.soak."), test.name.partition("[")[0]].append(
                test
            )
    for (module, name), tests in sorted(merged.items()):
        figures = {}
        for test in tests:
            case = f" [{test.name.partition('[')[2]}" if len(tests) > 1 and "[" in test.name else ""
            figures |= {f"{key}{case}": value for key, value in test.figures.items()}
        lines.append(
            f"| {module}: {name.removeprefix('test_').replace('_', ' ')} "
            f"| {sum(test.cases for test in tests):,} | {sum(test.failed for test in tests)} "
            f"| {sum(test.seconds for test in tests):.0f} "
            f"| {'; '.join(f'{key}: {value}' for key, value in figures.items())} |"
        )
    return "\n".join(lines) + "\n"


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def _covered(report: Path) -> tuple[int, int]:
    """Lines that were run, and all there are; 0 of 0 if nobody counted."""
    try:
        totals = json.loads(report.read_text())["totals"]
    except (OSError, ValueError, KeyError):
        return 0, 0
    return totals["covered_lines"], totals["num_statements"]


def _versions() -> str:
    packages = [f"{name} {version(name)}" for name in ("numpy", "scipy")]
    return ", ".join([f"Python {platform.python_version()}", *packages])


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.soak", description=__doc__)
    parser.add_argument("--out", type=Path, default=PAGE, help="the page to write (docs/soak.md)")
    parser.add_argument("--small", action="store_true", help="the suite's own small sizes")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument("pytest", nargs="*", metavar="-- ARGUMENTS", help="more for pytest")
    given = parser.parse_args()
    started = time.monotonic()
    commit = _git("rev-parse", "--short", "HEAD")
    changed = " with changes" if _git("status", "--porcelain", "--untracked-files=no") else ""
    size = [] if given.small else ["--full"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        code = subprocess.run([ROOT / "tests/c/run.sh", folder / "c"]).returncode
        outcomes = part_of("C core", code, None, read_c(folder / "c"))
        parts = {  # faults and limits of memory are no place to measure lines
            "suite": ["--ignore=tests/soak", "--cov", f"--cov-report=json:{folder}/lines.json"],
            "soak": ["tests/soak"],
        }
        for name, part in parts.items():
            report = folder / f"{name}.xml"
            # no source lines: CPython 3.11 may fail to parse them after a RecursionError
            options = [f"--numprocesses={given.jobs}", "--tb=native", f"--junitxml={report}"]
            command = [sys.executable, "-m", "pytest", *options, *size, *part, *given.pytest]
            code = subprocess.run(command, cwd=ROOT).returncode
            outcomes += part_of(name, code, report, [])
        covered, lines = _covered(folder / "lines.json")
    share = 100 * covered / max(lines, 1)
    if share < LINES:
        said = f"{share:.1f} % of {lines:,} lines were run, expected {LINES} %"
        print(f"FAILED: {said}")
        outcomes.append(Outcome("coverage:", said, "failed", failed=1))
    head = {
        "date": datetime.date.today().isoformat(),
        "commit": commit + changed,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}; {_versions()}",
        "arguments": " ".join(sys.argv[1:]) or "none",
        "minutes": f"{(time.monotonic() - started) / 60:.0f}",
        "tests": ", ".join(
            f"{sum(test.outcome == outcome for test in outcomes):,} {outcome}"
            for outcome in ("passed", "failed", "skipped")
        ),
        "lines of Python covered": f"{covered:,} of {lines:,}, {share:.1f} %",
    }
    found = before((ROOT / "docs/reliability.md").read_text(encoding="utf-8"))
    given.out.write_text(page(outcomes, head, found), encoding="utf-8")
    return int(any(test.failed for test in outcomes))


if __name__ == "__main__":
    sys.exit(main())
