"""Checkpoints of long runs, which are also the partial results that are merged.

A journal is UTF-8 text with one JSON object per line: a header, then one record per finished task,

    {"format": "lmmlasso-journal", "version": 1, "kind": ..., "fingerprint": {...}, "options": {...}
    {"task": 17, "result": {...}

each closed by the field `, "crc32": "0123abcd"}`, the checksum of the bytes before it. The header
appears by a rename, a record by a single write at the end of the file. Whatever a kill leaves is
therefore complete lines and at most one incomplete one at the end, which readers drop.
"""

import errno
import json
import math
import os
import re
import threading
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from lmmlasso_fast.errors import InputError, OutputError
from lmmlasso_fast.io.atomic import atomic_write
from lmmlasso_fast.io.regular import require_regular
from lmmlasso_fast.io.text import failure

FORMAT = "lmmlasso-journal"
VERSION = 1
KINDS = ("stability", "cv")
#: What a header begins with; anything else is not ours, however incomplete.
_START = f'{{"format": "{FORMAT}", '.encode()
_LINE = re.compile(rb'(\{.*), "crc32": "([0-9a-f]{8})"\}\n')
_ABSENT = object()


class JournalError(InputError):
    """A journal is malformed, or is not of the same run as what it is used with."""


class Journal:
    """An open journal: every result is in the file before `append` returns.

    A context manager that closes the file. Made by `create` or `resume`, not within a block of
    `lmmlasso_fast.io.atomic.together`, which would delay the header; by one process at a time.

    Attributes
    ----------
    results : dict of int to dict
        The result of every task in the file, read or appended, as JSON gives it back: the same
        whether the run was interrupted or not.
    """

    def __init__(self, path: str | os.PathLike, results: dict[int, dict]):
        self.results = results
        self._path = path
        self._lock = threading.Lock()
        flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)  # the last one: Windows
        try:
            self._file: int | None = os.open(path, flags)
            self._opened = os.fstat(self._file)
        except OSError as error:
            raise _cannot_write(path, error) from error

    @classmethod
    def create(
        cls, path: str | os.PathLike, kind: str, fingerprint: dict, options: dict
    ) -> "Journal":
        """Begin a journal; an older file at `path` is replaced.

        Parameters
        ----------
        path : path
            Its directory must exist.
        kind : {"stability", "cv"}
            What the tasks are: replicates or folds.
        fingerprint : dict
            What a run must have in common with this one for their results to be the same.
        options : dict
            What the run was asked for, for whoever merges. Both are finite JSON.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}, found {kind!r}")
        header = {"format": FORMAT, "version": VERSION, "kind": kind}
        header |= {"fingerprint": fingerprint, "options": options}
        with atomic_write(path, "wb") as file:
            file.write(_sealed(header))
        return cls(path, {})

    @classmethod
    def resume(
        cls, path: str | os.PathLike, kind: str, fingerprint: dict, options: dict
    ) -> "Journal":
        """Go on with a journal, or begin one if there is none or no complete header.

        An incomplete line at the end is cut off. The options are not compared with those of the
        file, which stay: two runs with one fingerprint have the same results.

        Parameters
        ----------
        path, kind, fingerprint, options
            See `create`.

        Raises
        ------
        JournalError
            The file cannot be read, is damaged, or has another kind or fingerprint.
        OutputError
            The file cannot be written.
        """
        content = _read(path) if os.path.exists(path) else None
        if content is None:
            return cls.create(path, kind, fingerprint, options)
        what = "the checkpoint of another run"
        check_same({"kind": kind}, {"kind": content.header["kind"]}, path, what)
        check_same(fingerprint, content.header["fingerprint"], path, what)
        if content.torn:
            try:
                os.truncate(path, content.end)
            except OSError as error:
                raise _cannot_write(path, error) from error
        return cls(path, content.results)

    def append(self, task: int, result: dict) -> None:
        """Write the result of a task; any thread may call this.

        A task that is there already is not written again.

        Parameters
        ----------
        task : int
            At least 0.
        result : dict
            Finite JSON; floats come back exactly.

        Raises
        ------
        OutputError
            The record cannot be written whole; the file is as it was before.
        JournalError
            The task is there with another result.
        TypeError, ValueError
            Not a task, not JSON, a number that is not finite, or the journal is closed.
        """
        if not _is_task(task) or not isinstance(result, dict):
            raise ValueError(
                f"expected a task (0, 1, ...) and a dict, found {task!r}, {type(result)}"
            )
        line = _sealed({"task": task, "result": result})
        result = _parsed(line)["result"]
        with self._lock:
            if self._file is None:
                raise ValueError(f"{os.fspath(self._path)}: the journal is closed")
            if task in self.results:
                _check_repeated(task, self.results[task], result, self._path)
                return
            self._write(line)
            self.results[task] = result

    def close(self) -> None:
        """Close the file, which stays; a second call does nothing.

        Raises
        ------
        OutputError
            A full disk that shows only now, as it may on a network drive.
        """
        with self._lock:
            file, self._file = self._file, None
            if file is not None:
                try:
                    os.close(file)
                except OSError as error:
                    raise _cannot_write(self._path, error) from error

    def remove(self) -> None:
        """Close and delete the file: the run has ended and its results are elsewhere.

        What another run has begun under this name since stays.

        Raises
        ------
        OutputError
            The file cannot be deleted.
        """
        self.close()
        try:
            if os.path.samestat(os.stat(self._path), self._opened):
                os.unlink(self._path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise OutputError(
                f"{self._path}: cannot be deleted: expected a writable directory, found "
                f"{error.strerror or error}; it is not needed any more, delete it"
            ) from error

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, exception_type, *_) -> None:
        try:
            self.close()
        except OutputError:
            if exception_type is None:  # else the first exception says more
                raise

    def _write(self, line: bytes) -> None:
        """Write a line whole or not at all."""
        try:
            end = os.fstat(self._file).st_size
            try:
                written = os.write(self._file, line)
                if written < len(line):
                    raise OSError(errno.ENOSPC, f"space for {written} of {len(line)} bytes")
            except BaseException:  # Ctrl-C too: no record may follow a part of this one
                self._cut(end)
                raise
        except OSError as error:
            raise _cannot_write(self._path, error) from error

    def _cut(self, end: int) -> None:
        """Cut off what follows `end`; if that fails, let nothing be appended any more."""
        try:
            os.ftruncate(self._file, end)
        except OSError:
            file, self._file = self._file, None
            with suppress(OSError):
                os.close(file)


def read_journal(path: str | os.PathLike) -> tuple[str, dict, dict, dict[int, dict]]:
    """Read a journal, which stays as it is; an incomplete line at its end is ignored.

    Returns
    -------
    kind : {"stability", "cv"}
    fingerprint, options : dict
        As given to `Journal.create`.
    results : dict of int to dict
        The result of each finished task.

    Raises
    ------
    JournalError
        The file cannot be read, has no complete header, a damaged line (the last one excepted),
        something else than a task with its result, or one task with two results.
    """
    content = _read(path)
    if content is None:
        raise failure(
            JournalError,
            os.fspath(path),
            "not a checkpoint or partial result",
            expected="at least a header",
            found="an empty or incomplete line",
            advice="run again what should have written it",
        )
    header = content.header
    return header["kind"], header["fingerprint"], header["options"], content.results


def merge_journals(
    paths: Iterable[str | os.PathLike],
) -> tuple[str, dict, dict, dict[int, dict]]:
    """Read journals with parts of the tasks of one run, and join their results.

    Parameters
    ----------
    paths : iterable of path
        One or more. A task may be in several, with the same result.

    Returns
    -------
    kind, fingerprint, options, results
        See `read_journal`; options are the first file's, as runs with one fingerprint have the same
        results; the results are in the order of the tasks.

    Raises
    ------
    JournalError
        See `read_journal`; or two files differ in kind, fingerprint or the result of a task.
    """
    paths = list(paths)
    if not paths:
        raise JournalError("merge: expected one file or more, found none; name the files to join")
    kind, fingerprint, options, results = read_journal(paths[0])
    for path in paths[1:]:
        other_kind, other_fingerprint, _, more = read_journal(path)
        check_same(
            {"kind": kind, "fingerprint": fingerprint},
            {"kind": other_kind, "fingerprint": other_fingerprint},
            path,
            f"not of the same run as {os.fspath(paths[0])}",
        )
        for task, result in more.items():
            if task in results:
                _check_repeated(task, results[task], result, path)
            results[task] = result
    return kind, fingerprint, options, dict(sorted(results.items()))


def check_same(expected: dict, found: dict, path: str | os.PathLike, what: str) -> None:
    """Raise if two dicts differ as JSON, where 1, 1.0 and true are three values.

    Parameters
    ----------
    expected, found : dict
    path : path
        The file that `found` is from, for the message.
    what : str
        What it means that they differ, for the message.

    Raises
    ------
    JournalError
        Names the first field that differs, in the order of `expected`, as in `options.seed`.
    """
    try:
        difference = _first_difference(*(json.loads(_text(side)) for side in (expected, found)))
    except RecursionError as problem:
        raise _too_deep(partial(failure, JournalError, os.fspath(path))) from problem
    if difference is not None:
        field, *values = difference
        mine, theirs = (text if len(text) <= 200 else text[:197] + "..." for text in values)
        raise failure(
            JournalError,
            os.fspath(path),
            f"{what}, field {'.'.join(field)!r}",
            expected=mine,
            found=theirs,
            advice="use the same input and options, or start again",
        )


# --- lines --------------------------------------------------------------------------------------


def _text(content) -> str:
    """JSON on one line, in ASCII: it keeps even names of files that are not UTF-8."""
    return json.dumps(content, allow_nan=False)


def _sealed(content: dict) -> bytes:
    """The line for an object."""
    body = _text(content)[:-1].encode()
    return b'%b, "crc32": "%08x"}\n' % (body, zlib.crc32(body))


def _is_whole(line: bytes) -> bool:
    match = _LINE.fullmatch(line)
    return match is not None and zlib.crc32(match[1]) == int(match[2], 16)


def _parsed(line: bytes) -> dict:
    """The object of a whole line; ValueError or RecursionError if there is none."""
    content = _decoder.decode(line.decode())
    del content["crc32"]
    return content


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:60]} is not finite")
    return value


_decoder = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


def _is_task(task) -> bool:
    return type(task) is int and task >= 0  # True is an int to isinstance


# --- files --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Content:
    header: dict
    results: dict[int, dict]
    end: int  # of the last complete line, in bytes
    torn: bool  # whether anything follows it


def _read(path: str | os.PathLike) -> _Content | None:
    """All complete lines; None if the file is empty or holds the beginning of a header."""
    name = os.fspath(path)
    try:
        require_regular(name)
        with open(name, "rb") as file:
            return _content_of(file, name)
    except OSError as problem:
        raise failure(
            JournalError,
            name,
            "the file cannot be read",
            expected="a readable checkpoint or partial result",
            found=problem.strerror or str(problem),
            advice="check its name",
        ) from problem


def _content_of(file: BinaryIO, name: str) -> _Content | None:
    header, results = None, {}
    end = 0
    torn = False
    for number, line in enumerate(file, 1):
        defect = partial(failure, JournalError, name, line=number)
        if not _is_whole(line):
            _check_interrupted(line, file, number, defect)
            torn = True
            break
        try:
            content = _parsed(line)
        except ValueError as problem:
            raise _malformed(defect, "JSON", str(problem)) from problem
        except RecursionError as problem:
            raise _too_deep(defect) from problem
        if number == 1:
            _check_header(content, defect)
            header = content
        else:
            _check_record(content, defect)
            task, result = content["task"], content["result"]
            if task in results:
                _check_repeated(task, results[task], result, f"{name}, line {number}")
            results[task] = result
        end += len(line)
    return None if header is None else _Content(header, results, end, torn)


def _check_interrupted(line: bytes, file: BinaryIO, number: int, defect) -> None:
    """Raise unless a line that is not whole can be what a kill left."""
    if number == 1:
        # Another file of the user is not to be taken for an empty journal and written over.
        if not (line.startswith(_START) or _START.startswith(line)):
            raise _not_ours(defect)
        if line.endswith(b"\n"):
            raise _damaged(defect)
    elif file.read(1):
        raise _damaged(defect)


def _check_header(content: dict, defect) -> None:
    if content.get("format") != FORMAT:
        raise _not_ours(defect)
    version = content.get("version")
    if type(version) is not int or version != VERSION:
        raise defect(
            "another version of the format",
            expected=str(VERSION),
            found=_shown(version),
            advice="use the version of lmmlasso that wrote it, or start again",
        )
    names = {"format", "version", "kind", "fingerprint", "options"}
    if set(content) != names:
        raise _malformed(defect, f"the fields {', '.join(sorted(names))}", _fields(content))
    if content["kind"] not in KINDS:
        raise _malformed(defect, f"the kind {' or '.join(KINDS)}", _shown(content["kind"]))
    for name in ("fingerprint", "options"):
        if not isinstance(content[name], dict):
            raise _malformed(defect, f"an object as {name}", _shown(content[name]))


def _check_record(content: dict, defect) -> None:
    if set(content) != {"task", "result"}:
        raise _malformed(defect, "the fields result, task", _fields(content))
    if not _is_task(content["task"]):
        raise _malformed(defect, "an integer of at least 0 as task", _shown(content["task"]))
    if not isinstance(content["result"], dict):
        raise _malformed(defect, "an object as result", _shown(content["result"]))


def _check_repeated(task: int, before: dict, result: dict, path: str | os.PathLike) -> None:
    check_same(before, result, path, f"task {task} with two results")


def _first_difference(expected, found) -> tuple[tuple[str, ...], str, str] | None:
    """The first field in which two values differ, and what it is in each of them."""
    for kind in (dict, list):
        if isinstance(expected, kind) and isinstance(found, kind):
            mine, theirs = (
                side if kind is dict else dict(enumerate(side)) for side in (expected, found)
            )
            for key in mine | theirs:
                difference = _first_difference(mine.get(key, _ABSENT), theirs.get(key, _ABSENT))
                if difference is not None:
                    field, *texts = difference
                    return (str(key), *field), *texts
            return None
    texts = ["no such field" if side is _ABSENT else _text(side) for side in (expected, found)]
    return None if texts[0] == texts[1] else ((), *texts)


# --- messages -----------------------------------------------------------------------------------


def _shown(value) -> str:
    """A value of a file, fit for a message; without its content if it has parts."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = _text(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _fields(content: dict) -> str:
    return _shown(", ".join(sorted(content)))


def _not_ours(defect) -> JournalError:
    return defect(
        "not a checkpoint or partial result",
        expected=f"a header of the format {FORMAT}",
        found="something else",
        advice="check the name of the file",
    )


def _damaged(defect) -> JournalError:
    return defect(
        "a damaged line",
        expected="its checksum at its end",
        found="none or that of other content",
        advice="the file was changed after it was written; start again, or restore it",
    )


def _malformed(defect, expected: str, found: str) -> JournalError:
    return defect("not what lmmlasso writes", expected=expected, found=found, advice="start again")


def _too_deep(defect) -> JournalError:
    return _malformed(defect, "JSON of a few levels", "objects or lists nested too deeply")


def _cannot_write(path: str | os.PathLike, error: OSError) -> OutputError:
    return OutputError(
        f"{os.fspath(path)}: cannot be written: expected a writable file and enough space, found "
        f"{error.strerror or error}; the tasks in it stay, resume the run when it is writable"
    )
