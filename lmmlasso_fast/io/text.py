"""Text files as bytes that are known to be clean, and their rows of fields.

Every text format of this package (tables, .fam, .bim, id lists, kinship matrices) is read through
`read_text`, so that encodings, line ends, compression and error messages are the same everywhere.
"""

import gzip
import io
import os
import re
import sys
import zlib
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lmmlasso_fast.errors import InputError
from lmmlasso_fast.io.regular import largest_unpacked, require_regular

if TYPE_CHECKING:
    import polars as pl

BLANKS = b" \t"
#: UTF-8's byte order mark.
_MARK = b"\xef\xbb\xbf"
#: First bytes of what zstd compressed, and what decompresses it before Python 3.14.
_ZSTD, _ZSTD_PACKAGE = b"\x28\xb5\x2f\xfd", "backports.zstd"


def failure(
    error: type[InputError],
    path: str,
    what: str,
    *,
    expected: str,
    found: str,
    advice: str,
    line: int | None = None,
) -> InputError:
    """The exception to raise for a defect of an input file (lines count from 1).

    Every reader raises what this returns, so that all messages have one form.
    """
    where = path if line is None else f"{path}, line {line}"
    return error(f"{where}: {what}: expected {expected}, found {found}; {advice}")


def quote(value: str) -> str:
    """A value from a file, fit for a message: one line, no control characters, not too long."""
    return repr(value if len(value) <= 60 else value[:57] + "...")


@dataclass(frozen=True)
class Text:
    """The content of a text file.

    Attributes
    ----------
    path : str
        For messages.
    data : bytes
        UTF-8 without byte order mark, NUL or carriage return; empty or ending with a newline.
    error : type of InputError
        What a defect of this file raises.
    """

    path: str
    data: bytes
    error: type[InputError]

    def failure(self, what: str, **details) -> InputError:
        """`failure` with this file's path and error."""
        return failure(self.error, self.path, what, **details)

    def lines(self) -> list[bytes]:
        """Every line, blank ones included, so that the k-th item is line k + 1."""
        return self.data.split(b"\n")[:-1]

    def line_of_row(self, row: int) -> int:
        """The line number (from 1) of a row (from 0): blank lines are no rows."""
        numbers = (number for number, line in enumerate(self.lines(), 1) if line.strip(BLANKS))
        return next(islice(numbers, row, None))

    def fields(self, *, n_columns: int | None = None, tabs_only: bool = False) -> "pl.DataFrame":
        """Split every line that is not blank into its fields.

        Parameters
        ----------
        n_columns : int, optional
            The number of fields that every line must have; by default that of the first line.
        tabs_only : bool, default False
            Whether every single tab separates two fields; otherwise any run of spaces and tabs
            does, and blanks at the ends of a line are ignored.

        Returns
        -------
        polars.DataFrame
            String columns column_1, column_2, ...; null is an empty field (with `tabs_only`).

        Raises
        ------
        InputError
            The file has no content, or a line has another number of fields (class `error`).
        """
        import polars as pl

        rows = _without_blank_lines(self.data) if tabs_only else _blanks_to_tabs(self.data)
        if not rows:
            raise self.failure(
                "the file is empty",
                expected="at least one line",
                found="none",
                advice="check the step that wrote it",
            )
        if n_columns is None:
            n_columns = rows[: rows.index(b"\n")].count(b"\t") + 1
        # polars refuses a line with too many fields but fills up one with too few. The total
        # settles both without a look at every line: no line above the count and none missing in
        # total means that every line has exactly the count.
        if rows.count(b"\t") != rows.count(b"\n") * (n_columns - 1):
            raise self._wrong_column_count(n_columns, tabs_only)
        # Polars unpacks what begins like a compressed file, as text may ("x^2" is zlib to it): so
        # it begins with a header.
        names = [f"column_{k + 1}" for k in range(n_columns)]
        try:
            frame = pl.read_csv(
                "\t".join(names).encode() + b"\n" + rows,
                separator="\t",
                quote_char=None,
                schema=dict.fromkeys(names, pl.String),
            )
        except (pl.exceptions.ComputeError, pl.exceptions.SchemaError):
            raise self._wrong_column_count(n_columns, tabs_only) from None
        if tabs_only and b" " in rows:
            frame = frame.with_columns(pl.all().str.strip_chars(" ").replace("", None))
        return frame

    def _wrong_column_count(self, n_columns: int, tabs_only: bool) -> InputError:
        number, count = next(
            (number, count)
            for number, line in enumerate(self.lines(), 1)
            if line.strip(BLANKS)
            and (count := line.count(b"\t") + 1 if tabs_only else len(split_blanks(line)))
            != n_columns
        )
        separator = "tabs (as the header has them)" if tabs_only else "spaces or tabs"
        first = next(line.strip(BLANKS) for line in self.lines() if line.strip(BLANKS))
        if not tabs_only and b"\t" in first and b" " in first:
            separator += " (the first line has both, so that each separates)"
        return self.failure(
            "wrong number of columns",
            expected=f"{n_columns} separated by {separator}",
            found=str(count),
            advice="correct the line, or check that the file is complete",
            line=number,
        )

    def refuse_duplicates(self, ids: "pl.DataFrame", first_row: int) -> None:
        """Raise if two rows of `ids` are equal; `first_row` is the file's row of its first one."""
        if not ids.is_duplicated().any():
            return
        rows_seen = {}
        for row, key in enumerate(ids.iter_rows(), first_row):
            earlier = rows_seen.setdefault(key, row)
            if earlier != row:
                break
        sample = " ".join(
            f"{name} {quote(value)}"
            for name, value in zip(ids.columns, key, strict=True)
            if value is not None
        )
        raise self.failure(
            "duplicated sample",
            expected="every sample once",
            found=f"{sample} in lines {self.line_of_row(earlier)} and {self.line_of_row(row)}",
            advice="remove one of the two lines",
            line=self.line_of_row(row),
        )


def read_text(path: str | os.PathLike, error: type[InputError]) -> Text:
    """Read a text file: plain, gzipped or compressed by zstd (by its name or its first bytes).

    Windows line ends, a missing newline at the end and a UTF-8 byte order mark are accepted.

    Raises
    ------
    InputError
        The file cannot be read or decompressed (zstd needs the extra "zstd" before Python 3.14), is
        no regular file, unpacks to more than 256 MB and 100 times its size, or contains a NUL byte,
        bytes that are not UTF-8 or a carriage return inside a line; of the class `error`, with the
        line number.
    """
    name = os.fspath(path)
    try:
        require_regular(path)
        data = Path(path).read_bytes()
        if name.endswith(".gz") or data.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
                data = _unpacked(name, file, len(data), error)
        elif name.endswith((".zst", ".zstd")) or data.startswith(_ZSTD):
            data = _decompress_zstd(name, data, error)
    except (OSError, EOFError, zlib.error) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise failure(
            error,
            name,
            "the file cannot be read",
            expected="a readable text file, plain or compressed (gzip, zstd)",
            found=reason,
            advice="check its name and that it is complete",
        ) from problem
    data = data.removeprefix(_MARK)
    _check_bytes(Text(name, data, error))
    data = data.replace(b"\r\n", b"\n").removesuffix(b"\r")
    if data and not data.endswith(b"\n"):
        data += b"\n"
    return Text(name, data, error)


def _decompress_zstd(name: str, data: bytes, error: type[InputError]) -> bytes:
    """Return what is in a .zst file; raise OSError if it is damaged, `error` without a library."""
    try:
        zstd = import_module("compression.zstd" if sys.version_info >= (3, 14) else _ZSTD_PACKAGE)
    except ImportError as problem:
        raise failure(
            error,
            name,
            "the file is compressed by zstd",
            expected=f"the package {_ZSTD_PACKAGE} that decompresses it",
            found="none",
            advice='pip install "lmmlasso-fast[zstd]", or decompress the file with zstd -d',
        ) from problem
    try:
        with zstd.ZstdFile(io.BytesIO(data)) as file:
            return _unpacked(name, file, len(data), error)
    except zstd.ZstdError as problem:
        raise OSError(None, str(problem)) from problem


def _unpacked(name: str, file: BinaryIO, size: int, error: type[InputError]) -> bytes:
    """Return what a compressed file of `size` bytes holds, unless that is a bomb."""
    most = largest_unpacked(size)
    data = file.read(most + 1)
    if len(data) > most:
        raise failure(
            error,
            name,
            "the file unpacks to too much",
            expected=f"at most {most} bytes from {size}",
            found="more",
            advice="if they are what they should be, unpack the file and give it as it is then",
        )
    return data


def split_blanks(line: bytes) -> list[bytes]:
    """The fields of a line between runs of spaces and tabs (bytes.split also cuts at \\v)."""
    return re.findall(rb"[^ \t]+", line)


def _check_bytes(text: Text) -> None:
    """Refuse bytes that no text file of ours has."""
    data = text.data
    problems = []
    if data.startswith(b"PK\x03\x04"):
        problems.append((0, "a workbook of Excel or another zip archive"))
    if data.lstrip(b" \t\r\n").startswith(_MARK):  # polars would take it away, and leave nothing
        problems.append((data.index(_MARK), "a second byte order mark"))
    if b"\0" in data:
        problems.append((data.index(b"\0"), "a NUL byte"))
    if not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as problem:
            byte = f"the byte 0x{data[problem.start]:02x}, which is not UTF-8"
            problems.append((problem.start, byte))
    if b"\r" in data and (lone := re.search(rb"\r(?!\n|\Z)", data)):
        problems.append((lone.start(), "a carriage return inside a line"))
    if problems:
        offset, found = min(problems)
        raise text.failure(
            "not a text file of the expected kind",
            expected="UTF-8 text with \\n or \\r\\n at the end of lines",
            found=found,
            advice="save it as plain UTF-8 text",
            line=data.count(b"\n", 0, offset) + 1,
        )


def _blanks_to_tabs(data: bytes) -> bytes:
    """Make every run of blanks one tab, and drop those at the ends of lines and blank lines.

    A handful of searches when there is nothing to do, which is the usual .bim file; a regular
    expression would visit every field.
    """
    data = data.replace(b" ", b"\t")
    for run, single in (
        (b"\t\t", b"\t"),
        (b"\t\n", b"\n"),
        (b"\n\t", b"\n"),
        (b"\n\n", b"\n"),
    ):
        while run in data:
            data = data.replace(run, single)
    if data.startswith((b"\t", b"\n")):
        data = data.lstrip(b"\t\n")
    return data


def _without_blank_lines(data: bytes) -> bytes:
    """Drop the lines that are empty or hold nothing but blanks."""
    return re.sub(rb"\n[ \t]*(?=\n)", b"", b"\n" + data)[1:]
