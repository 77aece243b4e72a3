"""Files that are mapped: whether they still are what they were when they were opened.

A map shows what its file holds now. Written over in place, the file would change results without a
word; cut short, reading its map past the new end raises SIGBUS, which ends the process. Whatever
reads a map therefore does so within `unchanged`, which raises `FileChangedError` instead of letting
a result out. The moment between its look at the file and the read is closed by
`catching_bus_errors`, which the command line installs (src/mapped_files.h).

A file that is deleted, or replaced by a rename, does not change: the map keeps what was opened.

Another process is sent the name of a map and opens the file again, which then has to be as it was
when it was opened first: of the same size, written at the same time.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from mmap import ALLOCATIONGRANULARITY, mmap
from weakref import finalize

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.lib.stride_tricks import as_strided

from lmmlasso_fast import _core
from lmmlasso_fast.errors import FileChangedError
from lmmlasso_fast.threads import steps

#: Of each map, by the id of what numpy keeps of it: its watch (a number in the extension), and size
#: and time of modification (ns) of its file.
_watches: dict[int, tuple[int, int, int]] = {}
_catching = threading.Lock()
_n_catching = 0


@dataclass(frozen=True)
class MapName:
    """What another process opens a map by, or a part of one.

    Attributes
    ----------
    path : str
    dtype : numpy.dtype
    offset : int
        Bytes of the file before the first number.
    shape, strides : tuple of int
    size : int
        Of the file, in bytes.
    modified : int
        When it was written, in nanoseconds.
    """

    path: str
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    size: int
    modified: int


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
        found = os.fstat(file)
    except BaseException:
        os.close(file)
        raise
    map_ = array._mmap
    _watches[id(map_)] = watch, found.st_size, found.st_mtime_ns
    # every view refers to the array; the map, kept here, goes after its watch: what is mapped in
    # its place must not be watched
    finalize(array, _forget, map_, watch, file).atexit = False
    return array


def own_map(array: np.ndarray) -> np.ndarray:
    """Return another map of the file that the caller mapped, which `check_unchanged` knows.

    A map of its own, because what the caller writes to the file concerns what was made of it
    before, and nothing that is made of it afterwards. Where another file has its name by now, the
    numbers are copied: workers would open that one. An array comes back as it is if it is no map,
    or its changes never reach the file, or the file is gone.

    Raises
    ------
    FileChangedError
        The file was cut since the caller mapped it.
    """
    map_ = _map_under(array)
    if map_ is None or map_.filename is None or map_.mode == "c" or id(map_._mmap) in _watches:
        return array
    before, now = _mapped_to(map_), map_._mmap.size()
    if now < before:
        raise _resized(map_.filename, before, now)
    if map_.mode != "r":
        map_.flush()  # or the file's time may change later
    try:
        own = _map_bytes(map_.filename)
    except OSError:
        return array
    except ValueError:  # another file, which is empty
        return np.array(array)
    theirs = np.frombuffer(map_._mmap, np.uint8)
    first, end = (at - theirs.ctypes.data for at in byte_bounds(array))
    start = _mapped_from(map_)
    if not _same(own[start + first : start + end], theirs[first:end]):
        return np.array(array)
    return _part(own, _offset(array, map_), array.dtype, array.shape, array.strides)


def _map_bytes(path: str | os.PathLike, size: int | None = None) -> np.memmap:
    return map_file(path, lambda: np.memmap(path, np.uint8, "r"), size)


def _part(own: np.memmap, offset: int, dtype: np.dtype, shape, strides) -> np.memmap:
    """Return a part of a file, of which all bytes are mapped, as an array."""
    first = own[offset : offset + dtype.itemsize].view(dtype)
    return as_strided(first, shape, strides, subok=True, writeable=False)


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether bytes are the same; a part at a time, between which signals are answered."""
    return len(one) == len(other) and all(
        np.array_equal(one[a:b], other[a:b]) for a, b in steps(0, len(one), 1)
    )


def _forget(map_: mmap, watch: int, file: int) -> None:
    _core.forget(watch)
    del _watches[id(map_)]
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
    watch, *_ = _watches.get(id(map_), (-1,))
    state = _core.watched_state(watch)
    if state == _core.SAME:
        return
    path = os.fspath(array.filename)
    size = _mapped_to(array)
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
    """Return the map that an array is, or is a view of; those of masked arrays are not watched."""
    if isinstance(array, np.ma.MaskedArray):
        return None
    while array is not None:
        # a masked array below copied the attributes of its map, and is none
        if isinstance(array, np.memmap) and array._mmap is not None:
            return array
        array = getattr(array, "base", None)  # not an array itself below as_strided
    return None


def _mapped_from(map_: np.memmap) -> int:
    """Bytes of the file before the first one of a map."""
    return map_.offset - map_.offset % ALLOCATIONGRANULARITY


def _mapped_to(map_: np.memmap) -> int:
    """Bytes of the file up to the end of a map."""
    return _mapped_from(map_) + len(map_._mmap)


def _offset(array: np.ndarray, map_: np.memmap) -> int:
    """Bytes of the file before the first number of a view of its map."""
    start = np.frombuffer(map_._mmap, np.uint8).ctypes.data
    return _mapped_from(map_) + array.ctypes.data - start


def name_of(array: np.ndarray) -> MapName | None:
    """Return what `open_again` takes; None for what is no map, or one that is not watched."""
    map_ = _map_under(array)
    if map_ is None or id(map_._mmap) not in _watches:
        return None
    _, size, modified = _watches[id(map_._mmap)]
    offset = _offset(array, map_)
    path = os.fspath(map_.filename)
    return MapName(path, array.dtype, offset, array.shape, array.strides, size, modified)


def to_send(array: np.ndarray) -> MapName | np.ndarray:
    """Return what another process is sent of an array: numbers, or the name of a watched map.

    joblib sends the name of any map: its file need not hold what this process sees there.
    """
    if (name := name_of(array)) is not None:
        return name
    return array if _map_under(array) is None else np.array(array)


def open_again(name: MapName) -> np.memmap:
    """Return the map of a file that another process opened first.

    Raises
    ------
    FileChangedError
        It is not there, or not the same: its size or time of modification is another one.
    """
    try:
        there = os.stat(name.path)
        _require_same(name, there.st_size, there.st_mtime_ns)
        own = _map_bytes(name.path, name.size)
    except OSError as error:
        raise _another(name, f"{name.size} bytes", error.strerror) from error
    _, *found = _watches[id(own._mmap)]
    _require_same(name, *found)
    return _part(own, name.offset, name.dtype, name.shape, name.strides)


def _require_same(name: MapName, size: int, modified: int) -> None:
    if size != name.size:
        raise _another(name, f"{name.size} bytes", size)
    if modified != name.modified:
        before, now = (np.datetime64(time, "ns") for time in (name.modified, modified))
        raise _another(name, f"a file written at {before} (UTC)", f"one written at {now}")


def _another(name: MapName, expected: str, found) -> FileChangedError:
    return FileChangedError(
        f"{name.path}: expected {expected}, as where it was opened first, found {found}; every "
        "worker has to see the same file (or a copy with its time, as of cp -p)"
    )


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

    For programs that own their process: it has one handler of SIGBUS, from the first block that is
    entered to the last that is left, by whichever thread. Errors of other memory than that of
    `map_file` are left to the handler that was there before.
    """
    global _n_catching
    with _catching:
        if _n_catching == 0:
            _core.catch_bus_errors()
        _n_catching += 1
    try:
        yield
    finally:
        with _catching:
            _n_catching -= 1
            if _n_catching == 0:
                _core.release_bus_errors()
