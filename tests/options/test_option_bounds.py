"""Every number, choice and switch of the Python API: legal values work, others are refused by name.

`options.domains` has what is legal.
"""

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lmmlasso_fast as ll
from lmmlasso_fast import checks
from lmmlasso_fast.errors import InputError, LMMLassoError
from options.domains import BY_NAME, DATA, OF_ONE, UNUSED, Domain, domain_of, real, whole
from options.enumeration import (
    Case,
    Refuses,
    Runs,
    With,
    extra_of,
    is_there,
    parameters,
    public_callables,
    returned,
)
from options.problem import small_problem
from options.table import cases

pytestmark = pytest.mark.promise("options")

PUBLIC = public_callables()


def options_of(function: str) -> dict[str, Domain | None]:
    """What each parameter may be; None: data, or no entry."""
    return {name: domain_of(function, name) for name in parameters(PUBLIC[function])}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    problem = small_problem()
    problem.folder = tmp_path_factory.mktemp("files")
    return cases(problem)


def tried(case: Case, name: str, value):
    """The result or the error, where another value of the option has a meaning."""
    change = case.changes[name]
    entry = isinstance(change, With | Refuses | Runs)
    return returned(case.call, case.base | (change.others if entry else {}) | {name: value})[0]


def shown(value) -> set[str]:
    """How a message may write a value."""
    is_one = getattr(value, "ndim", None) == 0
    return {repr(value), repr(value.item() if is_one else value)}


def problems_of(case: Case, name: str, domain: Domain) -> list[str]:
    """What is wrong with an option's values; an exception that is none of the package's passes."""
    found = []
    for value in domain.accepted:
        error = tried(case, name, value)
        if isinstance(error, LMMLassoError):
            found.append(f"{name}={value!r} is refused: {error}")
    for value in domain.refused:
        error = tried(case, name, value)
        if not isinstance(error, InputError):
            found.append(f"{name}={value!r} is accepted")
        elif name not in str(error) or "found" not in str(error):
            found.append(f"{name}={value!r}: the message does not name it: {error}")
        elif domain.shows_value and not any(text in str(error) for text in shown(value)):
            found.append(f"{name}={value!r}: the message does not show it: {error}")
    for value in domain.beyond:
        with contextlib.suppress(IndexError):
            found.append(f"{name}={value!r} is accepted: {tried(case, name, value)}")
    return found


@pytest.mark.parametrize("function", sorted(PUBLIC))
def test_every_parameter_has_a_domain_or_is_data(function):
    """One that nobody has thought about fails."""
    if extra_of(function):
        pytest.importorskip(extra_of(function))
    for name, domain in options_of(function).items():
        is_data = name in DATA or f"{function}.{name}" in UNUSED
        assert domain or is_data, f"{function}.{name}: say in options/domains.py what it may be"


def test_no_domain_is_of_nothing():
    if not all(is_there(extra_of(function)) for function in PUBLIC):
        pytest.skip("sklearn or matplotlib is missing: not every option is known")
    known = {f"{function}.{name}" for function in PUBLIC for name in parameters(PUBLIC[function])}
    assert not (set(OF_ONE) | UNUSED) - known
    assert not set(BY_NAME) - {option.rsplit(".", 1)[1] for option in known - set(OF_ONE)}
    assert not DATA - {option.rsplit(".", 1)[1] for option in known}
    assert not set(BY_NAME) & DATA


FUNCTIONS = sorted(f for f in PUBLIC if PUBLIC[f] is None or any(options_of(f).values()))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_legal_values_work_and_others_are_refused_by_name(table, function, tally):
    if extra_of(function):
        pytest.importorskip(extra_of(function))
    domains = {name: domain for name, domain in options_of(function).items() if domain}
    tally(cases=sum(len(d.accepted + d.refused + d.beyond) for d in domains.values()))
    found = [problems_of(table[function], name, domain) for name, domain in domains.items()]
    assert not any(found), "\n".join(text for texts in found for text in texts)


# ---- the checks themselves ----------------------------------------------------------------------


@given(st.one_of(st.integers(), st.floats(), st.booleans()))
def test_numpys_numbers_count_as_what_they_hold(value):
    kinds = (np.array, np.bool_) if isinstance(value, bool) else (np.array,)
    if isinstance(value, float):
        kinds = (np.array, np.float64)
    if isinstance(value, int) and abs(value) >= 2**63:
        kinds = ()  # NumPy has no number for it
    for kind in kinds:
        found = checks.plain(kind(value))
        assert type(found) is type(value)
        assert repr(found) == repr(value)


def test_what_checks_return_is_pythons_own():
    for domain, check in (
        (whole(0, 9), lambda v: checks.as_integer("x", v, 0, 9)),
        (real(0, 1), lambda v: checks.as_number("x", v, 0, 1)),
        (real(above=0, below=1), lambda v: checks.as_number("x", v, above=0, below=1)),
    ):
        for value in domain.accepted:
            found = check(value)
            assert type(found) in (int, float)
            assert found == value
        for value in domain.refused:
            with pytest.raises(InputError, match=r"^x: expected .*, found .*; "):
                check(value)


@pytest.mark.parametrize("large", [np.eye(40), np.asfortranarray(np.arange(12.0).reshape(3, 4))])
def test_large_arrays_are_copied_only_where_needed(large):
    same = checks.as_numbers(large, "X", InputError, copy=False)
    assert np.shares_memory(same, large) == large.flags.c_contiguous
    assert same.flags.c_contiguous
    assert not np.shares_memory(checks.as_numbers(large, "X", InputError), large)
    hidden = np.ma.masked_array(large, mask=large == large[0, 0])
    assert not np.shares_memory(checks.as_numbers(hidden, "X", InputError, copy=False), large)
    assert not np.isnan(large).any()


# ---- several at a time --------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.floats(), st.integers(), st.booleans(), st.text(max_size=3), st.none(), st.just(-0.0)
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    values=st.dictionaries(
        st.sampled_from(
            ["eps", "tol", "l1_ratio", "max_active", "max_iter", "gram_limit", "alphas"]
        ),
        NUMBERS,
        min_size=1,
        max_size=3,
    )
)
def test_a_path_of_any_options_is_certified_or_refused(table, values):
    case = table["lasso_path"]
    path = returned(ll.lasso_path, case.base | values)[0]
    if isinstance(path, LMMLassoError):
        return
    assert np.isfinite(path.dual_gaps).all()
    assert (path.dual_gaps >= 0).all()
    assert (path.converged == (path.dual_gaps <= values.get("tol", 1e-6))).all()
    assert (np.diff(path.alphas) <= 0).all()
    assert np.isfinite(path.coefs.data).all()
