"""Arrays in .npz files: written with the same bytes for the same content, read without pickle."""

import os
import sys
from collections.abc import Mapping

import numpy as np

from lmmlasso_fast.errors import InputError
from lmmlasso_fast.io.atomic import atomic_write
from lmmlasso_fast.io.regular import largest_unpacked, require_regular
from lmmlasso_fast.io.text import failure


def save_arrays(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays of numbers and text. NumPy stamps every member with the zip format's earliest
    date, never with the time.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    with atomic_write(path, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def starts_like_zip(path: str | os.PathLike) -> bool:
    """Whether a file could be an .npz; OSError if it cannot be read or is no regular file."""
    require_regular(path)
    with open(path, "rb") as file:
        return file.read(4) == b"PK\x03\x04"


def load_arrays(
    path: str | os.PathLike,
    entries: Mapping[str, tuple[str, int]],
    error: type[InputError],
    what: str,
) -> dict[str, np.ndarray]:
    """Read the arrays `entries`: name -> (type, or "U" for text; number of dimensions).

    The entry "format" must be among them and hold the text `what`.

    Raises
    ------
    error
        The file cannot be read, is damaged, lacks an entry or has one of the wrong kind.
    """
    name = os.fspath(path)

    def damaged(expected: str, found: str) -> InputError:
        return failure(
            error,
            name,
            f"not a file of the format {what!r}",
            expected=expected,
            found=found,
            advice="check the name, or write the file again",
        )

    try:
        # numpy leaves a file open that it has opened itself and finds damaged.
        if not starts_like_zip(name):
            raise ValueError("another kind of file")
        with open(name, "rb") as file, np.load(file, allow_pickle=False) as archive:
            unpacked = sum(member.file_size for member in archive.zip.infolist())
            if unpacked > largest_unpacked(os.path.getsize(name)):
                raise ValueError(f"{unpacked} bytes of arrays in {os.path.getsize(name)}")
            content = {key: archive[key] for key in entries if key in archive}
        for array in content.values():
            if array.dtype.kind == "U":
                _check_text(array)
    # Damage may surface as almost anything: in zip headers (unknown compression, encryption), in
    # the header of an array (syntax, memory for an absurd shape) or in its data (checksums).
    except Exception as problem:
        found = (getattr(problem, "strerror", None) or str(problem).strip("\"'"))[:200]
        raise damaged("a complete .npz", found) from problem
    other = content.get("format", np.array(what))
    if other.dtype.kind == "U" and str(other) != what:
        raise damaged(f"the format {what!r}", repr(str(other)))
    if len(content) < len(entries):
        lacking = ", ".join(key for key in entries if key not in content)
        raise damaged(f"an .npz with {', '.join(entries)}", f"none of the name {lacking}")
    for key, (dtype, n_dimensions) in entries.items():
        array = content[key]
        matches = array.dtype.kind == "U" if dtype == "U" else array.dtype == dtype
        if not (matches and array.ndim == n_dimensions):
            raise damaged(
                f"{key} of the type {dtype} in {n_dimensions} dimensions",
                f"{array.dtype.str} in {array.ndim}",
            )
    return content


def _check_text(array: np.ndarray) -> None:
    """Raise ValueError unless all are characters: to NumPy any four bytes are one.

    A text of Python that is made with others is damaged, and `encode` does not notice.
    """
    codes = np.frombuffer(array.tobytes(), np.dtype("u4").newbyteorder(array.dtype.byteorder))
    largest = int(codes.max(initial=0))
    if largest > sys.maxunicode:
        raise ValueError(f"{largest:#x} for a character")
    "".join(array.ravel().tolist()).encode()  # no surrogates either
