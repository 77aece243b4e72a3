"""Which files can be read: those with a size, and an end."""

import errno
import os
import stat


def require_regular(path: str | os.PathLike) -> int:
    """Return the size of a file that is to be read.

    Raises
    ------
    OSError
        There is no such file, or it is a pipe, a device or a socket: these may have no end, wait
        for ever, and are empty when their checksum is taken. Folders are left to who opens them.
    """
    status = os.stat(path)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        what = "a pipe, a device or a socket, where a regular file is needed"
        raise OSError(errno.EINVAL, what, os.fspath(path))
    return status.st_size


#: What is compressed may unpack to this many bytes, or to so many times its own size.
_UNPACKED, _RATIO = 1 << 28, 100


def largest_unpacked(size: int) -> int:
    """Return to how many bytes a compressed file of `size` bytes may unpack.

    Genotypes, tables and matrices take a twentieth of their size; a thousandth, which is what
    deflate can reach, takes bytes that are nearly all the same.
    """
    return max(_UNPACKED, _RATIO * size)
