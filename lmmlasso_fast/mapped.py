"""Files that are mapped: whether they still are what they were when they were opened.

A map shows what its file holds now. Written over in place, the file would change results without a
word; cut short, reading its map past the new end raises SIGBUS, which ends the process. Whatever
reads a map therefore does so within `unchanged`, which raises `FileChangedError` instead of letting
a result out. The moment between its look at the file and the read is closed by
`catching_bus_errors`, which the command line installs (src/mapped_files.h).

A file that is deleted, or replaced by a rename, does not change: the map keeps what was opened.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from mmap import ALLOCATIONGRANULARITY
from weakref import finalize

import numpy as np

from lmmlasso_fast import _core
from lmmlasso_fast.errors import FileChangedError

#: The watch (a number in the extension) of each map, by the id of what numpy keeps of it.
_watches: dict[int, int] = {}


def map_file(
    path: str | os.PathLike, open_map: Callable[[], np.memmap], size: int | None = None
) -> np.memmap:
    """Return `open_map()`, a map of the file, which `check_unchanged` knows from then on.

    Parameters
    ----------
    path : path
    open_map : callable
    size : int, optional
        Bytes that the file was found to have, if that was before.

    Raises
    ------
    FileChangedError
        It has other bytes by now.
    OSError
    """
    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))  # the last one: Windows
    try:
        now = os.fstat(file).st_size
        if size is not None and now != size:
            raise _resized(path, size, now)
        try:
            array = open_map()
        except ValueError:  # longer than the file
            now = os.fstat(file).st_size
            if size is None or now == size:
                raise
            raise _resized(path, size, now) from None
        watch = _core.watch(array, file)
    except BaseException:
        os.close(file)
        raise
    key = id(array._mmap)
    _watches[key] = watch
    finalize(array._mmap, _forget, key, watch, file).atexit = False
    return array


def _forget(key: int, watch: int, file: int) -> None:
    _core.forget(watch)
    del _watches[key]
    os.close(file)


def check_unchanged(array: np.ndarray) -> None:
    """Raise if the array is a map made by `map_file`, or a part of one, of a file that changed.

    Raises
    ------
    FileChangedError
        The file has another size or time of modification, or could not be read.
    """
    array = _map_under(array)
    if array is None:
        return
    map_ = array._mmap
    state = _core.watched_state(_watches.get(id(map_), -1))
    if state == _core.SAME:
        return
    path = os.fspath(array.filename)
    size = len(map_) + array.offset - array.offset % ALLOCATIONGRANULARITY
    if state == _core.RESIZED:
        raise _resized(path, size, map_.size())
    if state == _core.WRITTEN:
        raise FileChangedError(
            f"{path}: changed while it was read: expected it as it was when it was opened, found "
            "that it was written to since; leave it alone while it is read, and start again"
        )
    raise FileChangedError(
        f"{path}: cannot be read any more: expected the {size} bytes that it had when it was "
        "opened, found an error of the drive or the network; copy it to another drive, and start "
        "again"
    )


def _map_under(array: np.ndarray) -> np.memmap | None:
    """Return the map that an array is, or is a view of."""
    while isinstance(array, np.ndarray):
        if getattr(array, "_mmap", None) is not None:
            return array
        array = array.base
    return None


def _resized(path, before: int, now: int) -> FileChangedError:
    return FileChangedError(
        f"{os.fspath(path)}: changed while it was read: expected the {before} bytes that it had "
        f"when it was opened, found {now}; leave it alone while it is read, and start again"
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
    """Have a method run as if within `unchanged` of the attribute `name`, in less time."""

    def decorate(method):
        @wraps(method)
        def checked(self, *arguments, **options):
            array = _map_under(getattr(self, name))
            if array is None:
                return method(self, *arguments, **options)
            check_unchanged(array)
            try:
                result = method(self, *arguments, **options)
            except Exception:
                check_unchanged(array)
                raise
            check_unchanged(array)
            return result

        return checked

    return decorate


@contextmanager
def catching_bus_errors() -> Iterator[None]:
    """Within the block a map whose file was cut short reads as zeros, and `unchanged` raises.

    For programs that own their process: it has one handler of SIGBUS. Errors of other memory than
    that of `map_file` are left to the handler that was there before.
    """
    installed = _core.catch_bus_errors()
    try:
        yield
    finally:
        if installed:
            _core.release_bus_errors()
