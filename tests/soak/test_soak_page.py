"""The long programme's page counts what pytest reports."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

JUNIT = """<testsuites><testsuite>
<testcase classname="tests.soak.test_x" name="test_kills[1]" time="2"><properties>
<property name="promise" value="whole-files"/><property name="promise" value="interrupts"/>
<property name="cases" value="200"/><property name="worst" value="0.2 s"/></properties></testcase>
<testcase classname="tests.soak.test_x" name="test_kills[2]" time="3"><properties>
<property name="promise" value="whole-files"/><property name="cases" value="10"/></properties>
<failure>no</failure></testcase>
<testcase classname="tests.test_y" name="test_it" time="1"><properties>
<property name="promise" value="interrupts"/></properties>
<skipped type="pytest.skip" message="needs&#10;root: |">/x/y.py:3: needs root</skipped></testcase>
<testcase classname="" name="tests.test_z" time="0"><skipped message="collection skipped"
>('/x/tests/test_z.py', 28, "Skipped: could not import 'z'")</skipped></testcase>
</testsuite></testsuites>"""


CTEST = """<testsuite>
<testcase name="core" time="9.5" status="run"><system-out>
passed 58 of 58 places that return an error
12 passed, 0 failed
</system-out></testcase>
<testcase name="few" time="1" status="run"><system-out>passed 56 of 58 places that return an error,\
 not f, which needs AMX
1 passed, 0 failed
</system-out></testcase>
<testcase name="replay" time="1" status="run"><system-out>7 inputs</system-out></testcase>
<testcase name="faults" time="1" status="fail"><system-out>3 passed, 1 failed
</system-out></testcase>
<testcase name="idle" time="1" status="run"><system-out>nothing</system-out></testcase>
</testsuite>"""
FOUND = """| promise | found | before | after |
|---|---|---|---|
| whole files | a file | 1,055 tests | 0 |
| | another | 2 of 7 | 0 |
| interrupts | seen | read | 0 |

| other | table | 9 | 9 |
"""


@pytest.fixture
def soak(monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])
    return runpy.run_path(str(Path(__file__).with_name("__main__.py")))


def test_page(soak, tmp_path):
    (tmp_path / "report.xml").write_text(JUNIT)
    text = soak["page"](
        soak["read"](tmp_path / "report.xml"), {"date": "a day"}, soak["before"](FOUND)
    )
    assert "* date: a day" in text
    assert "| whole-files | `pytest -m whole_files --full` | 2 | 0 | 210 | 1,057 | 1 |" in text
    assert "| interrupts | `pytest -m interrupts --full` | 1 | 1 | 200 | 0 | 0 |" in text
    assert "| test_x: kills | 210 | 1 | 5 | worst [1]: 0.2 s |" in text
    assert "* failed: tests.soak.test_x test_kills[2]" in text
    assert [line for line in text.splitlines() if "skipped: " in line] == [
        "* skipped: tests.test_y test_it: needs root: |",
        "* skipped: tests.test_z: could not import 'z'",
    ]


def test_c_programs(soak, tmp_path):
    """One that says nothing of checks fails."""
    (tmp_path / "plain.xml").write_text(CTEST)
    tests = soak["read_c"](tmp_path)
    assert [(t.name, t.cases, t.failed) for t in tests] == [
        ("core[plain]", 12, 0),
        ("few[plain]", 1, 0),
        ("replay[plain]", 7, 0),
        ("faults[plain]", 3, 1),
        ("idle[plain]", 0, 1),
    ]
    text = soak["page"](tests, {}, {})
    assert "| any-bytes | `pytest -m any_bytes --full` | 5 | 0 | 23 |" in text
    places = "places that return an error, passed"
    assert f"| C core: core | 12 | 0 | 10 | {places}: 58 of 58 |" in text
    assert f"| {places}: 56 of 58 (not f, which needs AMX) |" in text


@pytest.fixture
def programme(soak, monkeypatch, tmp_path):
    """A function that runs the programme, its parts made up: exit code and page.

    Takes {part: exit code}, {part: its report} and what is said of the lines.
    """

    def run(codes, reports, lines='{"totals": {"covered_lines": 99, "num_statements": 100}}'):
        def part(command, **options):
            if command[0] == "git":
                return subprocess.CompletedProcess(command, 0, "abc1234")
            name = "C core"
            for text in map(str, command):
                if text.startswith("--junitxml="):
                    report = Path(text.removeprefix("--junitxml="))
                    name = report.stem
                    if name in reports:
                        report.write_text(reports[name])
                if text.startswith("--cov-report=json:") and lines is not None:
                    Path(text.removeprefix("--cov-report=json:")).write_text(lines)
            return subprocess.CompletedProcess(command, codes.get(name, 0))

        monkeypatch.setattr(subprocess, "run", part)
        monkeypatch.setattr(sys, "argv", ["tests.soak", "--out", str(tmp_path / "page.md")])
        return soak["main"](), (tmp_path / "page.md").read_text()

    return run


GOOD = """<testsuite><testcase classname="tests.test_y" name="test_it" time="1"/></testsuite>"""
BOTH = {"suite": GOOD, "soak": GOOD}


def test_a_programme_that_passes(programme):
    code, text = programme({}, BOTH)
    assert code == 0
    assert "* failed" not in text
    assert "* tests: 2 passed, 0 failed, 0 skipped" in text
    assert "* lines of Python covered: 99 of 100, 99.0 %" in text


@pytest.mark.parametrize(
    ("codes", "reports", "said"),
    [
        ({"C core": 1}, BOTH, ["the part C core: exit code 1"]),
        ({"soak": 2}, BOTH, ["the part soak: exit code 2"]),
        ({"suite": 1}, BOTH, ["the part suite: exit code 1"]),
        ({"suite": 1}, {"suite": JUNIT, "soak": GOOD}, ["tests.soak.test_x test_kills[2]"]),
        (
            {"suite": 2},
            {"suite": JUNIT, "soak": GOOD},
            ["tests.soak.test_x test_kills[2]", "the part suite: exit code 2"],
        ),
        (
            {"suite": -9},
            {"soak": GOOD},
            ["the part suite: no report of its tests (FileNotFoundError), exit code -9"],
        ),
        (
            {},
            {"suite": GOOD[:40], "soak": GOOD},
            ["the part suite: no report of its tests (ParseError)"],
        ),
    ],
)
def test_a_part_that_goes_wrong_fails_the_programme(programme, codes, reports, said):
    """Interrupted, killed, crashed: whatever the tests say that had their turn."""
    code, text = programme(codes, reports)
    assert code == 1
    failed = [line for line in text.splitlines() if line.startswith("* failed")]
    assert failed == [f"* failed: {each}" for each in said]


@pytest.mark.parametrize(
    "lines", [None, "", "{}", '{"totals": {"covered_lines": 9, "num_statements": 10}}']
)
def test_lines_that_nobody_counted_or_ran_fail_the_programme(programme, lines):
    code, text = programme({}, BOTH, lines)
    assert code == 1
    assert "* failed: coverage: " in text


def test_what_was_found_is_counted(soak):
    """Of the page as it is: each row has a promise and a number."""
    root = Path(__file__).parent.parent.parent
    assert soak["before"]((root / "docs/reliability.md").read_text())["any-bytes"] > 50
    with pytest.raises(ValueError, match="expected a promise"):
        soak["before"](FOUND.replace("whole files", "good files"))
