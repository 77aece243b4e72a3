"""A small fault in validation, gap or screening code is noticed by a test: mutants.

survivors.toml has the mutants that are no faults, each with the reason.
"""

import importlib.util
import shutil
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from mutant_copies import INVALID, SURVIVED, TIMED_OUT, Copy, checks_of, fates, verdict
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


def lines(file: str, source: bytes) -> list[str]:
    """The changed line of every mutant."""
    return [
        m.applied(source).decode().split("\n")[m.line - 1].strip() for m in mutants_of(file, source)
    ]


def test_every_kind_of_mutant_of_python():
    source = b"""def f(x: int = 5):
    "text 1"
    if not x <= -2 and g(x, key=y):
        raise ValueError(f"{x + 1}")
    z[0] = x // 4
    if z:
        return None
    return z"""
    assert lines("x.py", source) == [
        "def f(x: int = (5 + 1)):",
        "if x <= -2 and g(x, key=y):",
        "if False:",
        "if True:",
        "if not x < -2 and g(x, key=y):",
        "if not x <= 2 and g(x, key=y):",
        "if not x <= -(2 + 1) and g(x, key=y):",
        "if not x <= -2 or g(x, key=y):",
        "if not x <= -2 and g(x, ):",
        "pass",
        "pass",
        "z[(0 + 1)] = x // 4",
        "z[0] = x * 4",
        "z[0] = x // (4 + 1)",
        "if False:",
        "if True:",
        "return None",
    ]


def test_every_kind_of_mutant_of_c():
    source = b"""
int f(int x)
{
    if (!x && x <= 2) return LMML_ERR_INDEX; /* a - b */
    while (x > 1e-3) x -= 1;
    h(x, "a + b");
    return x;
}"""
    assert lines("x.c", source) == [
        "if (x && x <= 2) return LMML_ERR_INDEX; /* a - b */",
        "if (0) return LMML_ERR_INDEX; /* a - b */",
        "if (1) return LMML_ERR_INDEX; /* a - b */",
        "if (!x || x <= 2) return LMML_ERR_INDEX; /* a - b */",
        "if (!x && x < 2) return LMML_ERR_INDEX; /* a - b */",
        "if (!x && x <= (2 + 1)) return LMML_ERR_INDEX; /* a - b */",
        "if (!x && x <= 2) ; /* a - b */",
        "while (0) x -= 1;",
        "while (x >= 1e-3) x -= 1;",
        "while (x > (1e-3 + 1)) x -= 1;",
        "while (x > 1e-3) ;",
        "while (x > 1e-3) x += 1;",
        "while (x > 1e-3) x -= (1 + 1);",
        ";",
    ]


@pytest.mark.parametrize(
    ("code", "log", "fate"),
    [
        (0, "", None),
        (1, "", "pytest"),
        (TIMED_OUT, "", "pytest: no end"),
        (-11, "", "pytest: crash"),
        (2, "ERROR tests/model/test_x.py - ImportError: no", "pytest: not collected"),
    ],
)
def test_what_an_exit_code_says(code, log, fate):
    assert verdict("pytest", code, log) == fate


@pytest.mark.parametrize(
    ("test", "code"),
    [("pytest", 2), ("pytest", 3), ("pytest", 4), ("pytest", 5), ("test_core", 127)],
)
def test_tests_that_were_not_run_notice_nothing(test, code):
    """Interrupted, an internal error, wrong usage, no tests; a library that is not there."""
    with pytest.raises(RuntimeError, match=f"found exit code {code}"):
        verdict(test, code)


def test_tests_that_fail_without_a_mutant_are_refused(tmp_path):
    if sys.platform != "linux":
        pytest.skip("mutants run within limits of memory and time that only Linux keeps")
    copy = Copy(tmp_path / "copy")
    copy.check("preprocessing")
    file = copy.folder / "lmmlasso_fast/preprocessing.py"
    source = file.read_bytes()
    for broken in (b"1 / 0\n" + source, source.replace(b"return ", b"return None and ")):
        file.write_bytes(broken)
        with pytest.raises(RuntimeError, match="expected tests that pass without a mutant"):
            copy.check("preprocessing")


def test_every_file_has_tests_that_are_run_without_a_mutant():
    every = [m for file in TESTS for m in sample_of(file, 1)]
    run = checks_of(every)
    assert run[0] == ""
    for file, tests in TESTS.items():
        assert any(set(tests.split()) <= set(group.split()) for group in run), file
    assert checks_of([m for m in every if m.file.endswith("checks.py")]) == [
        TESTS["lmmlasso_fast/checks.py"]
    ]


def test_mutants_are_noticed(size, tally):
    if sys.platform != "linux":
        pytest.skip("mutants run within limits of memory and time that only Linux keeps")
    files = size([f"lmmlasso_fast/{name}.py" for name in QUICK], list(TESTS))
    if any(file.endswith(".c") for file in files):
        for program in ("cmake", "ninja"):
            if not shutil.which(program):
                pytest.skip(f"mutants of C need the program {program}, which is not there")
        if importlib.util.find_spec("cython_cmake") is None:
            pytest.skip("mutants of C need the package cython_cmake, which is not there")
    explained = no_faults()
    each = size(1, 6)
    chosen = [m for file in files for m in sample_of(file, each) if m.key not in explained]
    found = list(fates(chosen, jobs=2))
    counts = Counter(fate for _, fate in found)
    survived = [str(mutant) for mutant, fate in found if fate == SURVIVED]
    ends = Counter(fate.partition(": ")[2] for _, fate in found)
    tally(
        cases=len(found) - counts[INVALID],
        survived=len(survived),
        **{"without end": ends["no end"], "crashed": ends["crash"]},
        **{"not collected": ends["not collected"]},
    )
    assert not survived, "\n".join(survived)
    assert counts[INVALID] <= len(found) / 10
