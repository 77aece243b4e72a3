"""The report: the result files of a prefix as one HTML page that needs nothing else."""

import os

import numpy as np

from lmmlasso_fast.errors import InputError, TableError
from lmmlasso_fast.io.atomic import atomic_write
from lmmlasso_fast.io.result_files import ResultFiles, expected_columns
from lmmlasso_fast.report.content import report_content
from lmmlasso_fast.report.page import page

__all__ = ["write_report"]


def write_report(prefix: str | os.PathLike, out: str | os.PathLike | None = None) -> str:
    """Write what there is of the result files P.* as one HTML file.

    The page holds its data, scripts and styles, so that it can be mailed and opened without a
    network; its Content-Security-Policy forbids any connection. The same result files give the
    same bytes. See docs/report.md for what is in it, and what a large study is reduced to.

    Parameters
    ----------
    prefix : path
        P, the --out of the commands; of one of several phenotypes P.NAME. Any subset of the files
        will do.
    out : path, optional
        The file to write [default: P.report.html].

    Returns
    -------
    str
        The file written.

    Raises
    ------
    InputError
        There is no result file of this prefix, or one is not what lmmlasso writes.
    OutputError
        The file cannot be written.
    """
    files = ResultFiles(prefix)
    if not files.exist():
        raise InputError(
            f"prefix: expected result files of lmmlasso, such as {files.prefix}.scan.tsv, found "
            f"none; give {_prefix_of(files.prefix) or 'the --out of an earlier command'}"
        )
    target = f"{files.prefix}.report.html" if out is None else os.fspath(out)
    try:
        with expected_columns(f"{files.prefix}.*"), np.errstate(over="raise", invalid="raise"):
            text = page(report_content(files))
    except ArithmeticError as error:
        raise TableError(
            f"{files.prefix}.*: {str(error).splitlines()[0]}: expected tables as lmmlasso writes "
            "them, found numbers too large to be added up; run the command that made them again"
        ) from error
    with atomic_write(target) as file:
        file.write(text)
    return target


def _prefix_of(path: str) -> str | None:
    """The prefix, where `path` is one of its files."""
    if not os.path.isfile(path):
        return None
    while "." in os.path.basename(path):
        path = path.rpartition(".")[0]
        if ResultFiles(path).exist():
            return path
    return None
