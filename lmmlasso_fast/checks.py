"""Checks of options that many functions have."""

from numbers import Integral
from typing import Any

from lmmlasso_fast.errors import InputError


def is_integer(value) -> bool:
    """Whether it counts as a whole number: NumPy's do, True and 2.0 do not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def require_integer(name: str, value: Any, low: int) -> None:
    """Raise InputError unless it is an integer of at least `low`."""
    if not is_integer(value) or value < low:
        raise InputError(f"{name}: expected an integer of at least {low}, found {value!r}")
