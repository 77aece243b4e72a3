"""Checks of options that many functions have."""

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
