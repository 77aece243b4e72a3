"""The long programme's page counts what pytest reports."""

import runpy
import sys
from pathlib import Path

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


def test_page(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])
    soak = runpy.run_path(str(Path(__file__).with_name("__main__.py")))
    (tmp_path / "report.xml").write_text(JUNIT)
    text = soak["page"](soak["read"](tmp_path / "report.xml"), {"date": "a day"})
    assert "* date: a day" in text
    assert "| whole-files | 2 | 210 | 1 | 0 |" in text
    assert "| interrupts | 1 | 200 | 0 | 1 |" in text
    assert "| test_x: kills | 210 | 1 | 5 | worst [1]: 0.2 s |" in text
    assert "* failed: tests.soak.test_x test_kills[2]" in text
    assert "test_it" not in text
