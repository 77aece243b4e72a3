"""The checks that all options share: each bound, each type, each message."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lmmlasso_fast import checks, make_folds
from lmmlasso_fast.errors import GenotypeError, InputError, KinshipError

pytestmark = pytest.mark.promise("options")


def message(call, *arguments, raises=InputError, **options):
    with pytest.raises(raises) as raised:
        call(*arguments, **options)
    assert raised.type is raises
    return str(raised.value)


@pytest.mark.parametrize(
    "value", [3, np.int8(3), np.uint64(3), np.array(3), np.array(3, dtype=">i2")], ids=repr
)
def test_whole_numbers(value):
    found = checks.as_integer("n", value, 3, 3)
    assert (found, type(found)) == (3, int)
    assert (checks.is_integer(value), checks.is_number(value)) == (True, True)
    assert checks.as_place("k", value) == 3


@pytest.mark.parametrize(
    "value",
    [3.0, np.float64(3), True, np.True_, np.array(True), "3", None, [3], np.array([3]),
     np.ma.array(3), np.timedelta64(3, "s"), 3 + 0j, np.array("3")],
    ids=repr,
)  # fmt: skip
def test_what_is_no_whole_number(value):
    assert message(checks.as_integer, "n", value, 1).startswith(
        "n: expected an integer of at least"
    )
    assert message(checks.as_place, "k", value).startswith("k: expected an integer, found ")
    assert not checks.is_integer(value)


def test_bounds_of_whole_numbers():
    assert [checks.as_integer("n", k, 2, 4) for k in (2, 3, 4)] == [2, 3, 4]
    assert checks.as_integer("n", 10**30, 2) == 10**30
    advice = "; choose another value"
    low = f"n: expected an integer of at least 2, found 1{advice}"
    assert message(checks.as_integer, "n", 1, 2, 4) == low
    assert message(checks.as_integer, "n", np.int64(1), 2) == low
    high = f"n: expected an integer of at most 4, found 5{advice}"
    assert message(checks.as_integer, "n", 5, 2, 4) == high
    found = message(
        checks.as_integer,
        "n",
        9,
        2,
        4,
        expected="folds",
        advice="look",
        error=KinshipError,
        raises=KinshipError,
    )
    assert found == "n: expected folds, found 9; look"


@pytest.mark.parametrize(
    "value", [2, 2.0, np.float32(2), np.array(2.0), np.float128(2), np.uint8(2)], ids=repr
)
def test_numbers(value):
    found = checks.as_number("a", value, 2, 2)
    assert (found, type(found)) == (2.0, float)


@pytest.mark.parametrize(
    "value",
    [True, np.False_, "2", b"2", None, 2j, np.array([2.0]), np.ma.array(2.0), np.nan, 2**63,
     -(2**63)],
    ids=repr,
)  # fmt: skip
def test_what_is_no_number(value):
    assert message(checks.as_number, "a", value).startswith("a: expected a finite number, found ")
    assert message(checks.as_number, "a", value, infinite=True).startswith("a: expected a number, ")


def test_what_is_found_is_shown():
    for value in (np.array([2.0]), np.ma.array(2.0), np.timedelta64(2, "s")):
        assert f", found {value!r}; " in message(checks.as_number, "a", value)
    assert ", found nan; " in message(checks.as_number, "a", np.array(np.nan))


def test_most_of_what_there_may_be():
    """At the limit, and far from it."""
    assert len(make_folds(200)) == 10
    found = message(make_folds, 2**31)
    assert found.startswith("n_samples: expected an integer of at most 2147483647, found 21474")
    found = message(make_folds, 10, 2, n_repeats=10**8 + 1)
    assert found.startswith("n_repeats: expected an integer of at most 100000000, found 100000001")


def test_large_whole_numbers_are_numbers():
    assert checks.as_number("a", 2**63 - 1) == 2.0**63
    assert checks.as_number("a", 1 - 2**63) == -(2.0**63)


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "expected"),
    [
        ({}, [-1e308, 0], [np.inf, -np.inf], "a finite number"),
        ({"infinite": True}, [np.inf, -np.inf], [], "a number"),
        ({"low": 0}, [0, 5], [-1e-9, np.inf], "a finite number of at least 0"),
        ({"above": 0}, [1e-9], [0, np.inf], "a finite number above 0"),
        ({"high": 1}, [1, -5], [1.01, -np.inf], "a finite number of at most 1"),
        ({"below": 1}, [0.99], [1], "a finite number below 1"),
        ({"low": 0, "infinite": True}, [np.inf], [-np.inf], "a number of at least 0"),
        ({"low": 0, "high": 1}, [0, 1], [-0.1, 1.1, np.inf], "a number in [0, 1]"),
        ({"above": 0, "high": 1}, [1], [0], "a number in (0, 1]"),
        ({"low": 0, "below": 1}, [0], [1], "a number in [0, 1)"),
        ({"above": 0, "below": 0.25}, [0.125], [0, 0.25], "a number in (0, 0.25)"),
    ],
)
def test_bounds_of_numbers(bounds, inside, outside, expected):
    for value in inside:
        assert checks.as_number("a", value, **bounds) == value
    for value in [*outside, np.nan]:
        found = message(checks.as_number, "a", value, **bounds)
        assert found == f"a: expected {expected}, found {value!r}; choose another value"


def test_words_of_the_caller():
    found = message(
        checks.as_number,
        "a",
        7,
        0,
        1,
        expected="a share",
        advice="halve it",
        error=KinshipError,
        raises=KinshipError,
    )
    assert found == "a: expected a share, found 7; halve it"


def test_choices():
    assert checks.as_choice("m", np.str_("b"), ("a", "b")) == "b"
    for value in ("c", "", None, 1, b"a", ["a"]):
        found = message(
            checks.as_choice, "m", value, ("a", "b", "c2"), error=KinshipError, raises=KinshipError
        )
        assert found == f"m: expected 'a', 'b' or 'c2', found {value!r}; choose one of these"


def message_of(call, value):
    return message(call, "x", value).partition(",")[0]


def test_bits_texts_switches():
    assert (checks.as_bits(np.uint8(8)), checks.as_bits(16)) == (8, 16)
    for value in (4, 8.0, True, "8", None):
        assert message(checks.as_bits, value, raises=GenotypeError).startswith(
            "bits: expected 8 or"
        )
    assert checks.as_text("x", np.str_("word")) == "word"
    assert message_of(checks.as_text, b"word") == "x: expected text"
    assert [checks.as_switch("x", value) for value in (True, np.False_, np.array(True))] == [
        *(True, False, True)
    ]
    for value in (1, 0, "no", None, np.array([True])):
        assert message_of(checks.as_switch, value) == "x: expected True or False"


def test_arrays_of_numbers():
    given = np.array([[1, 2], [3, 4]], order="F", dtype=">f4")
    found = checks.as_numbers(given, "X", InputError)
    assert (found.dtype, found.flags.c_contiguous) == (np.float64, True)
    plain = np.arange(3.0)
    assert not np.shares_memory(checks.as_numbers(plain, "X", InputError), plain)
    plain.flags.writeable = False
    assert checks.as_numbers(plain, "X", InputError, copy=False) is plain
    hidden = np.ma.array(plain, mask=[0, 1, 0])
    assert_array_equal(checks.as_numbers(hidden, "X", InputError, copy=False), [0, np.nan, 2])
    assert_array_equal(plain, [0, 1, 2])
    assert_array_equal(checks.as_numbers([True, False], "X", InputError), [1, 0])
    assert_array_equal(checks.as_numbers(np.array([1, 2.5], object), "X", InputError), [1, 2.5])
    for value, options, expected in (
        (["1", 2.0], {}, "X: expected real numbers, found dtype <U32"),
        (np.array(["1", 2], object), {}, "X: expected real numbers, found text"),
        ([1j], {}, "X: expected real numbers, found dtype complex128"),
        ([True], {"booleans": False}, "X: expected real numbers, found dtype bool"),
        ([[1], [2, 3]], {}, "X: expected real numbers, found setting an array element"),
        (np.array([np.longdouble("1e400")]), {}, "X: expected real numbers, found overflow"),
        (np.array([10**400], object), {}, "X: expected real numbers, found int too large"),
    ):
        found = message(checks.as_numbers, value, "X", KinshipError, raises=KinshipError, **options)
        assert found.startswith(expected)


def test_indices():
    mask = [True, False, True]
    assert_array_equal(checks.as_indices(mask, "j", InputError, mask_length=3), [0, 2])
    for value in (np.array([2, 0], np.uint8), [], np.array([], dtype="U3"), np.arange(6)[::2]):
        found = checks.as_indices(value, "j", InputError)
        assert (found.dtype, found.flags.c_contiguous) == (np.int64, True)
        assert_array_equal(found, np.asarray(value, dtype=np.int64))
    for value in (mask, [0.0], [[1]], 3, np.ma.array([1], mask=[True]), ["1"]):
        found = message(checks.as_indices, value, "j", InputError)
        assert found.startswith("j: expected a one-dimensional integer index, found ")
        found = message(checks.as_indices, value, "j", InputError, mask_length=2)
        assert "index or a boolean mask of length 2, found " in found
    assert "expected indices, found" in message(checks.as_indices, [[1], [2, 3]], "j", InputError)
    hidden = message(checks.as_indices, np.ma.array([1], mask=[True]), "j", InputError)
    assert "found a masked array" in hidden
