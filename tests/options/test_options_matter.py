"""Every parameter of every public function changes something."""

import dataclasses
import inspect

import pytest

from options.enumeration import (
    contexts_of,
    extra_of,
    parameters,
    problem_of,
    public_callables,
    public_results,
)
from options.problem import small_problem
from options.table import cases

pytestmark = pytest.mark.promise("options")

PUBLIC = public_callables()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    problem = small_problem()
    problem.folder = tmp_path_factory.mktemp("files")
    return cases(problem)


def test_no_entry_is_of_nothing(table):
    assert set(table) <= set(PUBLIC), set(table) - set(PUBLIC)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_parameter_changes_something(table, name, monkeypatch, capsys, tally):
    if extra_of(name):
        pytest.importorskip(extra_of(name))
    assert name in table, f"no entry for {name}: add one to tests/options"
    case, names = table[name], parameters(PUBLIC[name])
    assert set(names) == set(case.changes), "parameters without entry, or entries without parameter"
    tally(cases=sum(1 + len(contexts_of(case, option)) for option in names))
    found = {option: problem_of(case, option, monkeypatch, capsys) for option in names}
    assert not any(found.values()), {k: v for k, v in found.items() if v}


@pytest.mark.parametrize("result", public_results(), ids=lambda result: result.__name__)
def test_results_have_what_their_constructors_take(result):
    fields = [field.name for field in dataclasses.fields(result) if field.init]
    assert list(inspect.signature(result).parameters) == fields
