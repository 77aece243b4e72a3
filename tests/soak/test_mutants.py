"""A small fault in validation, gap or screening code is noticed by a test: mutants.

survivors.toml has the mutants that are no faults, each with the reason.
"""

import importlib.util
import shutil
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from mutant_copies import fates
from mutants import ROOT, TESTS, mutants_of, sample_of

pytestmark = pytest.mark.promise("no-wrong-answer")

#: Their tests take a second or two.
QUICK = ("checks", "certificate", "path", "preprocessing", "genotypes", "io/plink")


def no_faults() -> dict[tuple[str, ...], str]:
    """{key of a mutant: why it is none}."""
    content = tomllib.loads(Path(__file__).with_name("survivors.toml").read_text())
    return {
        (group["file"], *rest): group["reason"]
        for group in content["no_fault"]
        for rest in group["mutants"]
    }


def test_what_is_said_to_be_no_fault_is_in_the_source(tally):
    explained = no_faults()
    files = {key[0] for key in explained}
    found = {m.key for file in files for m in mutants_of(file, (ROOT / file).read_bytes())}
    assert not explained.keys() - found, "the source changed: test these mutants again"
    assert all(explained.values())
    tally(cases=len(explained))


def test_every_kind_of_mutant_is_made():
    python = b"""
def f(x):
    "text 1"
    if not x <= 2 and g(x, key=-1):
        raise ValueError(f"{x + 1}")
    self.y = [1][0] + 3
    return x // 4
"""
    assert [m.what for m in mutants_of("x.py", python)] == []
    c = b"""
int f(int x)
{
    if (!x && x <= 2) return LMML_ERR_INDEX; /* a - b */
    while (x > 1e-3) x -= 1;
    y[0] = g(x, "a + b");
    h(x);
    return x;
}
"""
    assert [m.what for m in mutants_of("x.c", c)] == []


def test_mutants_are_noticed(size, tally):
    files = size([f"lmmlasso_fast/{name}.py" for name in QUICK], list(TESTS))
    if any(file.endswith(".c") for file in files):
        for program in ("cmake", "ninja"):
            if not shutil.which(program):
                pytest.skip(f"mutants of C need the program {program}, which is not there")
        if importlib.util.find_spec("cython_cmake") is None:
            pytest.skip("mutants of C need the package cython_cmake, which is not there")
    explained = no_faults()
    each = size(1, 8)
    chosen = [m for file in files for m in sample_of(file, each) if m.key not in explained]
    found = list(fates(chosen, jobs=2))
    counts = Counter(fate for _, fate in found)
    survived = [str(mutant) for mutant, fate in found if fate == "survived"]
    tally(cases=len(found) - counts["invalid"], survived=len(survived))
    assert not survived, "\n".join(survived)
    assert counts["invalid"] <= len(found) / 10
