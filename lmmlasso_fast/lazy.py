"""Attributes that are computed when they are first asked for."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class computed_once(Generic[T]):
    """A method as an attribute that keeps its first result.

    `functools.cached_property` until Python 3.12 has one lock for all instances of a class: while
    one thread computes the attribute of one instance, others wait with theirs. Here two threads
    that ask one instance at once may both compute; both get the result of the first to end.
    """

    def __init__(self, function: Callable[[Any], T]):
        self._function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "computed_once[T]": ...

    @overload
    def __get__(self, instance: object, owner: type | None = None) -> T: ...

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        # not a data descriptor: what is in __dict__ is found there from now on
        return instance.__dict__.setdefault(self._name, self._function(instance))
