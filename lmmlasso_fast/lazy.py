"""Attributes that are computed when they are first asked for."""

from collections.abc import Callable


class computed_once:
    """A method as an attribute that keeps its first result.

    `functools.cached_property` until Python 3.12 has one lock for all instances of a class: while
    one thread computes the attribute of one instance, others wait with theirs. Here two threads
    that ask one instance at once may both compute; both get the result of the first to end.
    """

    def __init__(self, function: Callable):
        self._function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance, owner: type | None = None):
        if instance is None:
            return self
        # not a data descriptor: what is in __dict__ is found there from now on
        return instance.__dict__.setdefault(self._name, self._function(instance))
