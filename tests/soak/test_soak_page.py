"""The long programme's page counts what pytest reports."""

import runpy
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
<property name="promise" value="interrupts"/></properties><skipped/></testcase>
</testsuite></testsuites>"""


CTEST = """<testsuite>
<testcase name="core" time="9.5" status="run"><system-out>58 places that return an error
12 passed, 0 failed
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
    assert "test_it" not in text


def test_c_programs(soak, tmp_path):
    """One that says nothing of checks fails."""
    (tmp_path / "plain.xml").write_text(CTEST)
    tests = soak["read_c"](tmp_path)
    assert [(t.name, t.cases, t.failed) for t in tests] == [
        ("core[plain]", 12, 0),
        ("replay[plain]", 7, 0),
        ("faults[plain]", 3, 1),
        ("idle[plain]", 0, 1),
    ]
    assert "| any-bytes | `pytest -m any_bytes --full` | 4 | 0 | 22 |" in soak["page"](
        tests, {}, {}
    )


def test_what_was_found_is_counted(soak):
    """Of the page as it is: each row has a promise and a number."""
    root = Path(__file__).parent.parent.parent
    assert soak["before"]((root / "docs/reliability.md").read_text())["any-bytes"] > 50
    with pytest.raises(ValueError, match="expected a promise"):
        soak["before"](FOUND.replace("whole files", "good files"))
