"""Matrices of numbers in files, whatever they mean."""

from math import isfinite, nan

import numpy as np

from lmmlasso_fast.errors import KinshipError
from lmmlasso_fast.io.regular import require_regular
from lmmlasso_fast.io.text import (
    BLANKS,
    Text,
    _blanks_to_tabs,
    failure,
    quote,
    read_text,
)

GRM_DTYPE = np.dtype("<f4")


def read_triangle(path: str, n: int) -> np.ndarray:
    """The n (n + 1) / 2 float32 values of a lower triangle."""
    n_bytes = n * (n + 1) // 2 * GRM_DTYPE.itemsize
    try:
        n_found = require_regular(path)
        if n_found == n_bytes:
            values = np.fromfile(path, dtype=GRM_DTYPE)
            if values.nbytes == n_bytes:
                return values
            n_found = values.nbytes  # cut short since
    except OSError as problem:
        raise failure(
            KinshipError,
            path,
            "the file cannot be read",
            expected="a readable file",
            found=problem.strerror or str(problem),
            advice="check its name",
        ) from problem
    raise failure(
        KinshipError,
        path,
        "wrong size",
        expected=f"{n_bytes} bytes: the lower triangle of the {n} samples of the .grm.id file, in "
        "float32",
        found=f"{n_found} bytes",
        advice="copy the files again, and check that they are of one matrix",
    )


def symmetric_from_triangle(entries: np.ndarray, n: int) -> np.ndarray:
    """The symmetric (n, n) float64 matrix of a lower triangle, row by row with its diagonal."""
    matrix = np.empty((n, n))
    start = 0
    with np.errstate(invalid="ignore"):  # some of what is not a number warns when it is converted
        for row in range(n):
            matrix[row, : row + 1] = entries[start : start + row + 1]
            start += row + 1
    _mirror_lower(matrix)
    return matrix


def read_text_matrix(path: str, n: int | None, *, triangle: bool) -> np.ndarray:
    """A square matrix in text, or with `triangle` also the lower triangle of a symmetric one."""
    text = read_text(path, KinshipError)
    matrix = _square_matrix(text)
    if matrix is not None and len(matrix) == (n or len(matrix)):
        return matrix
    rows = [(number, line) for number, line in enumerate(text.lines(), 1) if line.strip(BLANKS)]
    if len(rows) != (n or len(rows)) or not rows:
        raise text.failure(
            "wrong number of lines",
            expected="at least one" if n is None else f"{n}, one for each sample of the .id file",
            found=str(len(rows)),
            advice="check that the file is complete",
        )
    n = len(rows)
    triangle = triangle and n > 1 and len(rows[0][1].split()) == 1
    for row, (number, line) in enumerate(rows):  # before memory is taken for what n lines promise
        expected, found = row + 1 if triangle else n, len(line.split())
        if found != expected:
            raise text.failure(
                "not a lower triangle" if triangle else "not a square matrix",
                expected=f"{expected} values (the file has {n} lines)",
                found=str(found),
                advice="check that the file is complete",
                line=number,
            )
    matrix = np.empty((n, n))
    for row, (number, line) in enumerate(rows):
        values = line.split()
        matrix[row, : len(values)] = _finite_numbers(text, values, number)
    if triangle:
        _mirror_lower(matrix)
    return matrix


def _square_matrix(text: Text) -> np.ndarray | None:
    """As many finite numbers in each line as there are lines; None for anything else.

    A quarter of the time that it takes to look at the numbers one by one, which `read_text_matrix`
    does with whatever is left: triangles, and defects that want a message.
    """
    import polars as pl

    data = text.data
    if data[:1].isalpha():  # no number; and polars unpacks what begins as zlib does, with an x
        return None
    if not _has_square_counts(data):
        data = _blanks_to_tabs(data)
        if not _has_square_counts(data):
            return None
    n = data.count(b"\n")
    try:
        frame = pl.read_csv(
            data,
            has_header=False,
            separator="\t",
            quote_char=None,
            schema={f"column_{k + 1}": pl.Float64 for k in range(n)},
        )
    except pl.exceptions.PolarsError:
        return None
    matrix = frame.to_numpy(order="c")
    return matrix if matrix.shape == (n, n) and np.isfinite(matrix).all() else None


def _has_square_counts(data: bytes) -> bool:
    """Whether n lines have n (n - 1) tabs together, as a square matrix has."""
    n = data.count(b"\n")
    return n > 0 and data.count(b"\t") == n * (n - 1)


def _mirror_lower(matrix: np.ndarray) -> None:
    for row in range(1, len(matrix)):
        matrix[:row, row] = matrix[row, :row]


def _finite_numbers(text: Text, values: list[bytes], line: int) -> list[float]:
    numbers = []
    for column, value in enumerate(values, 1):
        try:
            number = nan if b"_" in value else float(value)  # 1_0 is 10 to Python
        except ValueError:
            number = nan
        if not isfinite(number):
            raise text.failure(
                f"column {column}",
                expected="a finite number",
                found=quote(value.decode()),
                advice="make the matrix again without the samples that cause it",
                line=line,
            )
        numbers.append(number)
    return numbers
