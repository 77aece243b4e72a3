"""Checks of options and arrays that many functions have."""

import math
from collections.abc import Collection
from numbers import Integral
from typing import Any

import numpy as np

from lmmlasso_fast.errors import GenotypeError, InputError

#: Of what is done one by one: more would never end.
MOST_TIMES = 10**8
#: Samples, and SNPs: indices of both are products that 64 bits hold.
MOST_ROWS = 2**31 - 1


def plain(value: Any) -> Any:
    """Return the Python number that a NumPy scalar or zero-dimensional array holds.

    Everything else comes back as it is: masked numbers, text and dates are no numbers.
    """
    if not isinstance(value, np.ndarray | np.generic) or isinstance(value, np.ma.MaskedArray):
        return value
    if value.ndim or value.dtype.kind not in "biuf":
        return value
    return float(value) if value.dtype.char == "g" else value.item()  # "g" has none but its own


def is_integer(value) -> bool:
    """Whether it counts as a whole number: NumPy's do, True and 2.0 do not."""
    value = plain(value)
    # NumPy counts spans of time among its integers
    return isinstance(value, Integral) and not isinstance(value, bool | np.timedelta64)


def is_number(value) -> bool:
    """Whether it counts as a real number: NumPy's do; True, text and fractions do not.

    Nor does an integer that no float holds exactly enough to compute with: NumPy takes those for
    objects.
    """
    value = plain(value)
    if is_integer(value):
        return abs(value) < 2**63
    return isinstance(value, float)


def as_integer(
    name: str,
    value: Any,
    low: int,
    high: int | None = None,
    *,
    expected: str | None = None,
    advice: str = "choose another value",
    error: type[Exception] = InputError,
) -> int:
    """Return a whole number of at least `low`, and at most `high`, as Python's.

    `expected` and `advice`: what the message says instead of the bounds, and what to do.

    Raises
    ------
    error
    """
    number = plain(value)
    if is_integer(number) and number >= low and (high is None or number <= high):
        return int(number)
    if expected is None:
        beyond = high is not None and is_integer(number) and number > high
        expected = f"an integer of at {f'most {high}' if beyond else f'least {low}'}"
    raise error(f"{name}: expected {expected}, found {number!r}; {advice}")


def as_number(
    name: str,
    value: Any,
    low: float | None = None,
    high: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
    infinite: bool = False,
    expected: str | None = None,
    advice: str = "choose another value",
    error: type[Exception] = InputError,
) -> float:
    """Return a real number from `low` to `high`, or `above` and `below` others, as Python's.

    NaN is none, and infinity only if it is allowed. `expected` and `advice`: what the message says
    instead of the bounds, and what to do.

    Raises
    ------
    error
    """
    number = plain(value)
    if (
        is_number(number)
        and (infinite or abs(number) < math.inf)
        and number == number
        and (low is None or number >= low)
        and (high is None or number <= high)
        and (above is None or number > above)
        and (below is None or number < below)
    ):
        return float(number)
    if expected is None:
        expected = _range(low, high, above, below, infinite)
    raise error(f"{name}: expected {expected}, found {number!r}; {advice}")


def _range(low, high, above, below, infinite: bool) -> str:
    """Say what a number may be."""
    has_low, has_high = (low, above) != (None, None), (high, below) != (None, None)
    if has_low and has_high:
        left = f"({above:g}" if low is None else f"[{low:g}"
        return f"a number in {left}, " + (f"{below:g})" if high is None else f"{high:g}]")
    kind = "a number" if infinite else "a finite number"
    if has_low:
        return f"{kind} " + (f"above {above:g}" if low is None else f"of at least {low:g}")
    if has_high:
        return f"{kind} " + (f"below {below:g}" if high is None else f"of at most {high:g}")
    return kind


def as_place(name: str, value: Any) -> int:
    """Return a place in a sequence, which knows itself how many it has (IndexError).

    Raises
    ------
    InputError
        Not an integer.
    """
    if not is_integer(value):
        raise InputError(
            f"{name}: expected an integer, found {plain(value)!r}; choose another value"
        )
    return int(value)


def as_choice(
    name: str, value: Any, choices: Collection[str], *, error: type[Exception] = InputError
) -> str:
    """Return one of some texts.

    Raises
    ------
    error
    """
    if isinstance(value, str) and value in choices:
        return str(value)
    *others, last = map(repr, choices)
    raise error(
        f"{name}: expected {', '.join(others)} or {last}, found {value!r}; choose one of these"
    )


def as_bits(value: Any) -> int:
    """Return how many bits a dosage has in memory.

    Raises
    ------
    GenotypeError
    """
    if not (is_integer(value) and value in (8, 16)):
        raise GenotypeError(f"bits: expected 8 or 16, found {plain(value)!r}; choose another value")
    return int(value)


def as_text(name: str, value: Any) -> str:
    """Return a text.

    Raises
    ------
    InputError
    """
    if not isinstance(value, str):
        raise InputError(f"{name}: expected text, found {value!r}; put it in quotes")
    return str(value)


def as_switch(name: str, value: Any, *, error: type[Exception] = InputError) -> bool:
    """Return True or False; a text such as "no" would be true.

    Raises
    ------
    error
    """
    value = plain(value)
    if not isinstance(value, bool):
        raise error(f"{name}: expected True or False, found {value!r}; choose another value")
    return value


def as_numbers(
    values, what: str, error: type[Exception], *, copy: bool = True, booleans: bool = True
) -> np.ndarray:
    """Return real numbers as a float64 copy, in C order; what a masked array hides becomes NaN.

    copy=False: an array that is so already comes back as it is, for large ones that are neither
    kept nor written to. `booleans`: whether True and False count as 1 and 0.

    Raises
    ------
    error
        Text (numeric-looking text too), complex numbers, other objects, ragged lists, numbers
        that float64 cannot hold.
    """
    try:
        array = values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
        text = array.dtype.kind == "O" and any(isinstance(v, (str, bytes)) for v in array.flat)
        if text or array.dtype.kind not in ("fiubO" if booleans else "fiuO"):
            raise TypeError("text" if text else f"dtype {array.dtype}")
        hidden = np.ma.is_masked(array)
        # the order of sums must not depend on how the numbers lie in memory
        with np.errstate(over="raise"):
            numbers = np.array(
                np.ma.getdata(array),
                dtype=np.float64,
                order="C",
                copy=True if copy or hidden else None,
            )
    except (TypeError, ValueError, ArithmeticError) as problem:
        raise error(f"{what}: expected real numbers, found {problem}") from problem
    if hidden:
        numbers[np.ma.getmaskarray(array)] = np.nan
    return numbers


def as_indices(
    values, what: str, error: type[Exception], mask_length: int | None = None
) -> np.ndarray:
    """Return a one-dimensional int64 array of whole numbers; an empty one may be of any type.

    With `mask_length` a boolean mask of that length stands for the places where it is true.

    Raises
    ------
    error
        Another shape, numbers of another type, entries that a masked array hides, ragged lists.
    """
    try:
        index = np.asarray(values)
    except ValueError as problem:
        raise error(f"{what}: expected indices, found {problem}") from problem
    found = f"{index.dtype} of shape {index.shape}"
    if np.ma.is_masked(values):
        found = "a masked array"
    elif index.dtype == bool and index.shape == (mask_length,):
        return np.flatnonzero(index)
    elif index.ndim == 1 and (index.dtype.kind in "iu" or len(index) == 0):
        return np.ascontiguousarray(index, dtype=np.int64)
    if mask_length is None:
        raise error(
            f"{what}: expected a one-dimensional integer index, found {found}; np.flatnonzero "
            "makes one of a mask"
        )
    raise error(
        f"{what}: expected a one-dimensional integer index or a boolean mask of length "
        f"{mask_length}, found {found}"
    )
