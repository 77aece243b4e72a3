"""The defaults that the docstrings promise are those of the functions."""

import ast
import inspect
import re

import pytest

import lmmlasso_fast as ll

pytestmark = pytest.mark.promise("options")

DEFAULT = re.compile(r"^(\w+(?:, \w+)*) : .*\bdefault (\S+)$", re.MULTILINE)


def public():
    """(name, function) of everything public: functions, classes and their methods."""
    for name in ll.__all__:
        thing = getattr(ll, name)
        if callable(thing):
            yield name, thing
        if inspect.isclass(thing):
            for method, function in vars(thing).items():
                if inspect.isfunction(function) and not method.startswith("_"):
                    yield f"{name}.{method}", function


def test_documented_defaults_are_those_of_the_signature(tally):
    promised, found = {}, {}
    for name, function in public():
        for match in DEFAULT.finditer(inspect.getdoc(function) or ""):
            for option in match[1].split(", "):
                promised[name, option] = ast.literal_eval(match[2])
                found[name, option] = inspect.signature(function).parameters[option].default
    assert found == promised
    assert len(found) > 50
    assert found["lasso_path", "max_iter"] == 50
    tally(cases=len(found))
