"""Files that appear whole or not at all."""

import functools
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import IO

from lmmlasso_fast.errors import OutputError
from lmmlasso_fast.signals import held

#: How much of its target's name a temporary file's begins with, in bytes. At most 34 are added, and
#: file systems allow 255, some only 143.
_KEPT_BYTES = 100

#: Complete temporary files and their targets, while a `together` block runs.
_waiting: ContextVar[list[tuple[Path, Path]] | None] = ContextVar("_waiting", default=None)


@contextmanager
def together() -> Iterator[None]:
    """Have all files that `atomic_write` completes within the block appear at its end.

    After any exception in the block none of them has appeared. A second block within it has no
    effect of its own.

    Raises
    ------
    OutputError
        A file cannot be renamed.
    """
    if _waiting.get() is not None:
        yield
        return
    files: list[tuple[Path, Path]] = []
    token = _waiting.set(files)
    try:
        yield
        with held():
            for temporary, target in files:
                try:
                    os.replace(temporary, target)
                except OSError as error:
                    raise _cannot_write(target, error) from error
    finally:
        _waiting.reset(token)
        for temporary, _ in files:
            _delete(temporary)


@contextmanager
def atomic_write(path: str | os.PathLike, mode: str = "w") -> Iterator[IO]:
    """Open a file for writing that replaces `path` only when everything went well.

    The content goes to a temporary file in the same directory, whose name starts with a dot and
    the target's (of a long one, its beginning); at the end of the block it is flushed, synced to
    disk, closed and renamed over the target. After any exception the temporary file is gone and an
    older file at `path` is as it was; what a kill leaves is for `remove_stale`. A symbolic link
    stays a link: the file that it points to is replaced.

    Parameters
    ----------
    path : path
        The file to write; its directory must exist.
    mode : {"w", "wb", "w+b"}, default "w"
        Text (UTF-8, lines end with a bare newline on every platform), bytes, or bytes that can be
        read back while the file is being written.

    Yields
    ------
    file object

    Raises
    ------
    OutputError
        The file cannot be created, written, synced, closed or renamed, or `path` is something
        other than a regular file (a directory, a device, a pipe).
    """
    if mode not in ("w", "wb", "w+b"):
        raise ValueError(f"mode must be 'w', 'wb' or 'w+b', found {mode!r}")
    target = Path(os.path.realpath(path))
    process = f"{_numbering() or 'unknown'}-{os.getpid()}"
    temporary = target.with_name(f".{_beginning(target.name)}.{process}-{secrets.token_hex(4)}.tmp")
    as_text = {"encoding": "utf-8", "newline": "\n"} if mode == "w" else {}
    try:
        # A rename would put a plain file in the place of a device such as /dev/null.
        if target.exists() and not target.is_file():
            raise OutputError(
                f"{path}: cannot be written: expected a regular file or a new name, found "
                "something else (a directory, a device or a pipe); choose another output name"
            )
        # "x" refuses to follow or truncate anything that is there already.
        with open(temporary, mode.replace("w", "x"), **as_text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        waiting = _waiting.get()
        if waiting is None:
            os.replace(temporary, target)
        else:
            waiting.append((temporary, target))
            temporary = None
    except OutputError:
        raise
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        if temporary is not None:
            _delete(temporary)


def remove_stale(prefix: str | os.PathLike) -> None:
    """Delete the temporary files of names PREFIX.* whose process was killed.

    A file goes only if its name says that it was written under the numbering of processes that
    this process sees, by one that runs no more. Files of other machines, containers and boots stay,
    whose processes cannot be seen from here, and everything does where there is no /proc. What
    cannot be deleted stays, too. Of two prefixes with the same first 100 bytes, each may have the
    other's deleted.

    Parameters
    ----------
    prefix : path
    """
    numbering = _numbering()
    if numbering is None:
        return
    folder, name = os.path.split(os.fspath(prefix))
    begins = re.escape(_beginning(f"{name}."))
    ours = re.compile(rf"\.{begins}.*\.{numbering}-([0-9]+)-[0-9a-f]{{8}}\.tmp", re.DOTALL)
    with suppress(OSError), os.scandir(folder or os.curdir) as entries:
        for entry in entries:
            found = ours.fullmatch(entry.name)
            if found and entry.is_file(follow_symlinks=False) and not _runs(int(found[1])):
                _delete(entry.path)


def _beginning(name: str) -> str:
    """Return what a temporary file's name has of its target's: whole characters."""
    while len(os.fsencode(name)) > _KEPT_BYTES:
        name = name[:-1]
    return name


def _delete(temporary: str | os.PathLike) -> None:
    """Delete it if it is there; what prevents that must not hide why it was left."""
    with suppress(OSError):
        os.unlink(temporary)


@functools.cache
def _numbering() -> str | None:
    """What tells equal process numbers apart: the machine's boot, the namespace within it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:  # another system than Linux
        return None
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:8]


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)  # sends nothing (on Linux, and there is no numbering elsewhere)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # somebody else's; no number of a process
        pass
    return True


def _cannot_write(path: str | os.PathLike, error: OSError) -> OutputError:
    return OutputError(
        f"{path}: cannot be written: expected a writable directory with enough space, found "
        f"{error.strerror or error}; the file is as it was before"
    )
