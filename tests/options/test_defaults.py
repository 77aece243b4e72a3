"""The defaults that the docstrings promise are those of the functions."""

import ast
import inspect
import re

import pytest

from options.enumeration import public_callables

pytestmark = pytest.mark.promise("options")

#: Also of several options: one default for all, or one for each.
DEFAULT = re.compile(r"^(\w+(?:, \w+)*) : .*\bdefault (\S+(?: and \S+)*)$", re.MULTILINE)


def test_documented_defaults_are_those_of_the_signature(tally):
    promised, found = {}, {}
    for name, function in public_callables().items():
        for match in DEFAULT.finditer(inspect.getdoc(function) or ""):
            options = match[1].split(", ")
            values = [ast.literal_eval(x.replace(",", "")) for x in match[2].split(" and ")]
            values *= len(options) // len(values)
            for option, value in zip(options, values, strict=True):
                promised[name, option] = value
                found[name, option] = inspect.signature(function).parameters[option].default
    assert found == promised
    assert len(found) > 50
    assert found["lasso_path", "max_iter"] == 50
    assert found["DosageGenotypes.from_dosages", "bits"] == 16
    assert found["evaluation.enrichment", "n_permutations"] == 10_000
    assert found["fit_null", "log_delta_max"] == 5
    tally(cases=len(found))
