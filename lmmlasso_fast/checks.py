"""Checks of options and arrays that many functions have."""

from numbers import Integral
from typing import Any

import numpy as np

from lmmlasso_fast.errors import InputError

#: Of what is done one by one: more would never end.
MOST_TIMES = 10**8
#: Samples, and SNPs: indices of both are products that 64 bits hold.
MOST_ROWS = 2**31 - 1


def is_integer(value) -> bool:
    """Whether it counts as a whole number: NumPy's do, True and 2.0 do not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value) -> bool:
    """Whether it counts as a real number: NumPy's do; True, text and fractions do not.

    Nor does an integer that no float holds exactly enough to compute with: NumPy takes those for
    objects.
    """
    if is_integer(value):
        return abs(int(value)) < 2**63
    return isinstance(value, float | np.floating)


def require_integer(name: str, value: Any, low: int, high: int | None = None) -> None:
    """Raise InputError unless it is an integer of at least `low`, and at most `high`."""
    if not is_integer(value) or value < low:
        raise InputError(f"{name}: expected an integer of at least {low}, found {value!r}")
    if high is not None and value > high:
        raise InputError(f"{name}: expected an integer of at most {high}, found {value!r}")


def as_numbers(values, what: str, error: type[Exception]) -> np.ndarray:
    """Return a float64 copy of real numbers, in C order; what a masked array hides becomes NaN.

    Raises
    ------
    error
        Text (numeric-looking text too), complex numbers, other objects, ragged lists, numbers
        that float64 cannot hold.
    """
    try:
        array = values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
        text = array.dtype.kind == "O" and any(isinstance(v, (str, bytes)) for v in array.flat)
        if text or array.dtype.kind not in "fiubO":
            raise TypeError("text" if text else f"dtype {array.dtype}")
        # the order of sums must not depend on how the numbers lie in memory
        with np.errstate(over="raise"):
            numbers = np.array(np.ma.getdata(array), dtype=np.float64, order="C")
    except (TypeError, ValueError, ArithmeticError) as problem:
        raise error(f"{what}: expected real numbers, found {problem}") from problem
    if np.ma.is_masked(array):
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
