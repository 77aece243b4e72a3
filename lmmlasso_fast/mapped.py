"""Files that are mapped: whether they still are what they were when they were opened.

A map shows what its file holds now. Written over in place, the file would change results without a
word; cut short, reading its map past the new end raises SIGBUS, which ends the process. Whatever
reads a map therefore does so within `unchanged`, which raises `FileChangedError` instead of letting
a result out. The moment between its look at the file and the read is closed by
`catching_bus_errors`, which the command line installs (src/bus_error.h).

A file that is deleted, or replaced by a rename, does not change: the map keeps what was opened.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from mmap import mmap
from weakref import WeakKeyDictionary

import numpy as np

from lmmlasso_fast import _core
from lmmlasso_fast.errors import FileChangedError


class _Opened:
    """A mapped file as it was when it was opened."""

    def __init__(self, path: str, status: os.stat_result, array: np.ndarray):
        self.path = path
        self.status = status
        self.guard = _core.guard_add(array)

    def __del__(self):
        _core.guard_remove(self.guard)


_opened: WeakKeyDictionary[mmap, _Opened] = WeakKeyDictionary()


def watch(array: np.memmap, status: os.stat_result) -> np.memmap:
    """Have `unchanged` know this map of a file whose status was taken before it was mapped."""
    _opened[array._mmap] = _Opened(os.fspath(array.filename), status, array)
    return array


def check_unchanged(array: np.ndarray) -> None:
    """Raise if the array is a map that `watch` was given, or a part of one, of a changed file.

    Raises
    ------
    FileChangedError
        The file has another size or time of modification, or could not be read.
    """
    map_ = getattr(array, "_mmap", None)
    opened = None if map_ is None else _opened.get(map_)
    if opened is None:
        return
    before, advice = opened.status, "leave it alone while it is read, and start again"
    try:
        now = os.stat(opened.path)
    except OSError:  # deleted, or out of sight
        now = before
    if (now.st_ino, now.st_dev) != (before.st_ino, before.st_dev):  # replaced by a rename
        now = before
    if now.st_size != before.st_size:
        raise FileChangedError(
            f"{opened.path}: changed while it was read: expected the {before.st_size} bytes that "
            f"it had when it was opened, found {now.st_size}; {advice}"
        )
    if now.st_mtime_ns != before.st_mtime_ns:
        raise FileChangedError(
            f"{opened.path}: changed while it was read: expected it as it was when it was opened, "
            f"found that it was written to since; {advice}"
        )
    if _core.guard_broken(opened.guard):
        raise FileChangedError(
            f"{opened.path}: cannot be read any more: expected the {before.st_size} bytes that it "
            "had when it was opened, found an error of the drive or the network; copy it to "
            "another drive, and start again"
        )


@contextmanager
def unchanged(array: np.ndarray) -> Iterator[None]:
    """Raise, before or after the block that reads an array, if its file has changed.

    After the block too, because what was read by then need not be what the file held.

    Raises
    ------
    FileChangedError
        See `check_unchanged`. Goes before what the block itself raises, an interrupt excepted.
    """
    check_unchanged(array)
    try:
        yield
    except Exception:  # perhaps of numbers that the file did not hold
        check_unchanged(array)
        raise
    check_unchanged(array)


def reads(name: str) -> Callable:
    """Have a method run within `unchanged` of the attribute `name`."""

    def decorate(method):
        @wraps(method)
        def checked(self, *arguments, **options):
            with unchanged(getattr(self, name)):
                return method(self, *arguments, **options)

        return checked

    return decorate


@contextmanager
def catching_bus_errors() -> Iterator[None]:
    """Within the block a map whose file was cut short reads as zeros, and `unchanged` raises.

    For programs that own their process: it has one handler of SIGBUS. Errors of other memory than
    that of `watch` are left to the handler that was there before.
    """
    installed = _core.guard_install()
    try:
        yield
    finally:
        if installed:
            _core.guard_uninstall()
