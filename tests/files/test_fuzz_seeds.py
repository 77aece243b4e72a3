"""Every case that fuzzing keeps is read again, without a fuzzer: see tests/soak/fuzz."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from soak.fuzz import cases, check
from soak.fuzz.mutate import mutate
from soak.fuzz.targets import TARGETS, Target

from lmmlasso_fast.errors import TableError

pytestmark = pytest.mark.promise("any-bytes")

SEEDS = sorted((Path(__file__).parents[1] / "soak/fuzz/seeds").iterdir())


@pytest.fixture(autouse=True)
def folder():
    with check.scratch() as path:
        yield path


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.name)
def test_case(path):
    """Valid files are read, what failed once is refused, and what is new to some code is either;
    nothing else is raised."""
    case = path.read_bytes()
    needs = TARGETS[cases.unpack(case)[0]].needs
    if not find_spec(needs):
        pytest.skip(f"needs {needs}")
    expected = {"valid": {"read"}, "crash": {"refused"}, "new": {"read", "refused"}}
    assert check.run(case) in expected[path.name.partition("_")[0]]


def test_seeds_are_small_and_of_every_target():
    assert sum(path.stat().st_size for path in SEEDS) < 300_000
    valid = {cases.unpack(p.read_bytes())[0] for p in SEEDS if p.name.startswith("valid_")}
    assert valid == set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_changed_cases(name, tally):
    """The mutations alone, some of each target, the same everywhere."""
    target = TARGETS[name]
    if not find_spec(target.needs):
        pytest.skip(f"needs {target.needs}")
    seeds = [p.read_bytes() for p in SEEDS if p.name.startswith(f"valid_{name}")]
    n = 8 if name in ("merge", "resume") else 20
    outcomes = []
    for seed in range(n):
        case = mutate(seeds[seed % len(seeds)], seed, lambda data: data[: len(data) // 2])
        outcomes.append(check.run(case))
    assert set(outcomes) <= {"read", "refused", ""}
    assert outcomes.count("refused") > 0
    tally(cases=n)


# ---- that a defect would be seen ----------------------------------------------------------------


def failing(error):
    def read(x):
        raise error

    return Target((".x",), ("text",), read)


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("x"), MemoryError(), RecursionError(), RuntimeWarning("x")]
)
def test_other_errors_are_found(monkeypatch, error):
    monkeypatch.setitem(TARGETS, "x", failing(error))
    with pytest.raises(type(error)):
        check.run(b"x\n")


@pytest.mark.parametrize("message", ["", "x" * 10_000, "\ud800"])
def test_bad_messages_are_found(monkeypatch, message):
    monkeypatch.setitem(TARGETS, "x", failing(TableError(message)))
    with pytest.raises((AssertionError, UnicodeError)):
        check.run(b"x\n")


def test_slow_readers_are_found(monkeypatch):
    def slow(x):
        while True:
            pass

    monkeypatch.setattr(check, "SECONDS", 0.05)
    monkeypatch.setitem(TARGETS, "x", Target((".x",), ("text",), slow))
    with pytest.raises(check.TooSlow):
        check.run(b"x\n")


def test_cases_are_what_they_were_made_of(folder):
    case = cases.pack("grm", [b"a b\n", cases.ABSENT, b""])
    name, files = cases.unpack(case)
    assert (name, files) == ("grm", [b"a b\n", cases.ABSENT, b""])
    cases.write(Path("x"), TARGETS[name].files, files)
    assert sorted(path.name for path in folder.iterdir()) == ["x.grm.N.bin", "x.grm.id"]
