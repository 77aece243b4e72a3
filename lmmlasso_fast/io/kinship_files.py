"""Kinship matrices in files: GCTA, GEMMA, plink2 and this package's own .npz.

All readers return a `Kinship`, whose matrix has the mean diagonal 1; the writers of foreign formats
write the matrix on its original scale. Every defect of a file raises KinshipError.
"""

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lmmlasso_fast.errors import KinshipError
from lmmlasso_fast.io import matrices
from lmmlasso_fast.io.archives import load_arrays, save_arrays, starts_like_zip
from lmmlasso_fast.io.atomic import atomic_write
from lmmlasso_fast.io.ids import read_id_frame
from lmmlasso_fast.io.text import failure, quote

if TYPE_CHECKING:
    import polars as pl

    from lmmlasso_fast.kinship import Kinship

NPZ_FORMAT = "lmmlasso_fast kinship 1"
NPZ_ENTRIES = {  # type and dimensions
    "format": ("U", 0),
    "matrix": ("<f8", 2),
    "fid": ("U", 1),
    "iid": ("U", 1),
    "estimator": ("U", 0),
    "n_variants": ("<i8", 0),
    "scale": ("<f8", 0),
}
#: The number of variants in an .npz of a kinship that was made elsewhere.
_NOT_KNOWN = -1


def read_kinship(path: str | os.PathLike, samples: "pl.DataFrame | None" = None) -> "Kinship":
    """Read a kinship matrix of any supported format.

    Parameters
    ----------
    path : path
        An .npz of `save_kinship`; a GCTA PREFIX or PREFIX.grm.bin; a plink2 PREFIX or PREFIX.rel;
        any other file is read as GEMMA text.
    samples : polars.DataFrame, optional
        FID, IID in the order of the matrix (for GEMMA: of the .fam), for a file without ids;
        ignored when the file has them.

    Returns
    -------
    Kinship

    Raises
    ------
    KinshipError
        There is no such file, or see the reader of its format.
    """
    name = os.fspath(path)
    if name.endswith(".grm.bin"):
        return read_grm(name.removesuffix(".grm.bin"))
    if name.endswith((".rel", ".rel.gz")):
        return read_rel(name)
    if not os.path.isfile(name):
        if os.path.isfile(f"{name}.grm.bin"):
            return read_grm(name)
        if os.path.isfile(f"{name}.rel"):
            return read_rel(name)
        raise failure(
            KinshipError,
            name,
            "no kinship matrix",
            expected="a file of this name, or of this name with .grm.bin or .rel added",
            found="none",
            advice="check the name",
        )
    try:
        zipped = name.endswith(".npz") or starts_like_zip(name)
    except OSError:  # which the reader of texts says
        zipped = False
    if zipped:
        kinship = load_kinship(name)
        if kinship.samples is None and samples is not None:
            kinship = replace(kinship, samples=_check_samples(name, samples, len(kinship.matrix)))
        return kinship
    return read_gemma(name, samples)


def read_grm(prefix: str | os.PathLike) -> "Kinship":
    """Read the matrix of GCTA's --make-grm-bin.

    Parameters
    ----------
    prefix : path
        PREFIX.grm.bin: float32, the lower triangle with its diagonal, row by row;
        PREFIX.grm.id: FID IID; PREFIX.grm.N.bin (optional): the number of variants behind each
        entry, of which the largest becomes `n_variants` (None if it is 0).

    Returns
    -------
    Kinship
        With the estimator "gcta".

    Raises
    ------
    KinshipError
        A file is missing, repeats a sample or has another size than the samples ask for; the
        matrix has a value that is not finite.
    """
    samples = _read_samples(f"{prefix}.grm.id")
    n = samples.height
    entries = matrices.read_triangle(f"{prefix}.grm.bin", n)
    n_variants = None
    counts_path = f"{prefix}.grm.N.bin"
    if os.path.exists(counts_path):
        counts = matrices.read_triangle(counts_path, n)
        wrong = counts[~((counts >= 0) & (counts < 1 << 53))]
        if wrong.size:
            raise failure(
                KinshipError,
                counts_path,
                "bad number of variants",
                expected="numbers from 0 to 2^53",
                found=repr(float(wrong[0])),
                advice="make the matrix again, or remove this file",
            )
        largest = float(counts.max())
        n_variants = round(largest) or None
    matrix = matrices.symmetric_from_triangle(entries, n)
    return _make_kinship(f"{prefix}.grm.bin", matrix, samples, "gcta", n_variants)


def write_grm(kinship: "Kinship", prefix: str | os.PathLike) -> None:
    """Write a matrix for GCTA, on its original scale; `read_grm` describes the files.

    PREFIX.grm.N.bin has 0 for a number of variants that is not known.

    Raises
    ------
    KinshipError
        The matrix has no samples, or an id is empty or contains blanks.
    OutputError
        A file cannot be written.
    """
    ids = _writable_ids(kinship, f"{prefix}.grm.id")
    n = len(kinship.matrix)
    with atomic_write(f"{prefix}.grm.bin", "wb") as file:
        for row in range(n):
            entries = kinship.matrix[row, : row + 1] * kinship.scale
            file.write(entries.astype(matrices.GRM_DTYPE).tobytes())
    with atomic_write(f"{prefix}.grm.id") as file:
        file.writelines(f"{fid}\t{iid}\n" for fid, iid in ids)
    with atomic_write(f"{prefix}.grm.N.bin", "wb") as file:
        counts = np.full(n, kinship.n_variants or 0, dtype=matrices.GRM_DTYPE)
        for row in range(n):
            file.write(counts[: row + 1].tobytes())


def read_gemma(path: str | os.PathLike, samples: "pl.DataFrame | None" = None) -> "Kinship":
    """Read the matrix of GEMMA's -gk (.cXX.txt, .sXX.txt) or any square matrix in text.

    Parameters
    ----------
    path : path
        n lines of n numbers separated by blanks, plain or gzipped. The file has no ids.
    samples : polars.DataFrame, optional
        FID, IID in the order of the matrix: that of the .fam file given to GEMMA, samples without
        a phenotype included.

    Returns
    -------
    Kinship
        With the estimator "gemma-centered" (.cXX.txt), "gemma-standardized" (.sXX.txt) or "text".

    Raises
    ------
    KinshipError
        The file cannot be read; a line has another number of values than the file has lines, or
        a value that is not a finite number; the matrix is not symmetric; there are more or fewer
        samples than rows.
    """
    name = os.fspath(path)
    matrix = matrices.read_text_matrix(name, None, triangle=False)
    if samples is not None:
        samples = _check_samples(name, samples, len(matrix))
    estimators = {".cXX.txt": "gemma-centered", ".sXX.txt": "gemma-standardized"}
    estimator = estimators.get(name.removesuffix(".gz")[-8:], "text")
    return _make_kinship(name, matrix, samples, estimator, None)


def write_gemma(kinship: "Kinship", path: str | os.PathLike) -> None:
    """Write a matrix for GEMMA's -k, on its original scale: square text without ids.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    with atomic_write(path) as file:
        for row in kinship.matrix:
            file.write("\t".join(map(repr, (row * kinship.scale).tolist())) + "\n")


def read_rel(path: str | os.PathLike) -> "Kinship":
    """Read the matrix of plink2's --make-rel in text, square or lower triangle.

    Parameters
    ----------
    path : path
        PREFIX or PREFIX.rel (or PREFIX.rel.gz); the samples are in PREFIX.rel.id.

    Returns
    -------
    Kinship
        With the estimator "plink".

    Raises
    ------
    KinshipError
        A file is missing; the two disagree on the number of samples; a line has the wrong number
        of values or one that is not a finite number; the matrix is not symmetric.
    """
    name = os.fspath(path)
    if not name.endswith((".rel", ".rel.gz")):
        name += ".rel"
    samples = _read_samples(name.removesuffix(".gz") + ".id")
    matrix = matrices.read_text_matrix(name, samples.height, triangle=True)
    return _make_kinship(name, matrix, samples, "plink", None)


def save_kinship(kinship: "Kinship", path: str | os.PathLike) -> None:
    """Write a matrix with its samples and provenance; the same content gives the same bytes.

    The .npz holds matrix (n x n float64, mean diagonal 1), fid and iid (text; empty arrays
    without samples, fid of empty texts without family ids), estimator, n_variants (-1 if not
    known), scale (the original matrix is matrix * scale) and format.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    fid = iid = []
    if kinship.samples is not None:
        fid = kinship.samples["FID"].fill_null("").to_list()
        iid = kinship.samples["IID"].to_list()
    n_variants = _NOT_KNOWN if kinship.n_variants is None else kinship.n_variants
    save_arrays(
        path,
        {
            "format": np.array(NPZ_FORMAT),
            "matrix": np.ascontiguousarray(kinship.matrix, dtype="<f8"),
            "fid": np.array(fid, dtype=np.str_),
            "iid": np.array(iid, dtype=np.str_),
            "estimator": np.array(kinship.estimator),
            "n_variants": np.array(n_variants, dtype="<i8"),
            "scale": np.array(kinship.scale, dtype="<f8"),
        },
    )


def load_kinship(path: str | os.PathLike) -> "Kinship":
    """Read what `save_kinship` wrote, bit by bit. Nothing is unpickled.

    Raises
    ------
    KinshipError
        The file cannot be read, is damaged, lacks an entry or has one of the wrong kind.
    """
    import polars as pl

    name = os.fspath(path)
    content = load_arrays(name, NPZ_ENTRIES, KinshipError, NPZ_FORMAT)
    matrix, scale = content["matrix"], float(content["scale"])
    diagonal = matrix.diagonal().mean() if matrix.size else np.nan
    if not (abs(diagonal - 1) < 1e-9 and 0 < scale < np.inf):
        raise _damaged(
            name,
            "a matrix with the mean diagonal 1, and a positive scale",
            f"the mean diagonal {diagonal} and the scale {scale}",
        )
    samples = None
    fid, iid = content["fid"], content["iid"]
    if fid.size or iid.size:
        if fid.size != iid.size:
            raise _damaged(name, f"as many fid as iid, {iid.size}", str(fid.size))
        samples = pl.DataFrame({"FID": fid.tolist(), "IID": iid.tolist()})
        samples = samples.with_columns(pl.col("FID").replace("", None))
        samples = _check_samples(name, samples, len(matrix))
    n_variants = int(content["n_variants"])
    if n_variants < 1 and n_variants != _NOT_KNOWN:
        raise _damaged(
            name, f"a number of variants, or {_NOT_KNOWN} if it is not known", str(n_variants)
        )
    n_variants = None if n_variants == _NOT_KNOWN else n_variants
    kinship = _make_kinship(name, matrix, samples, str(content["estimator"]), n_variants)
    largest = float(np.abs(matrix).max())
    if largest * scale == np.inf:  # products of Python's numbers do not warn
        raise _damaged(
            name, "a matrix that floating point holds times its scale", f"{largest} and {scale}"
        )
    # Dividing by a mean diagonal that is 1 up to rounding costs the last bits: take those stored.
    matrix = (matrix + matrix.T) / 2
    matrix.flags.writeable = False
    return replace(kinship, matrix=matrix, scale=scale)


def _damaged(name: str, expected: str, found: str) -> KinshipError:
    return failure(
        KinshipError,
        name,
        "no kinship matrix of this package",
        expected=expected,
        found=found,
        advice="write it again with save_kinship",
    )


def _read_samples(path: str) -> "pl.DataFrame":
    samples = read_id_frame(path, KinshipError, unique=True)
    if not samples.height:
        raise failure(
            KinshipError,
            path,
            "no samples",
            expected="one line per sample",
            found="an empty file",
            advice="make the matrix again",
        )
    return samples


def _check_samples(path: str, samples: "pl.DataFrame", n: int) -> "pl.DataFrame":
    """The ids of `samples`, of which there must be n."""
    if samples.height != n:
        raise failure(
            KinshipError,
            path,
            "wrong number of samples",
            expected=f"one sample for each of the {n} rows of the matrix",
            found=f"{samples.height} samples",
            advice="give the samples of which the matrix was made, in its order",
        )
    return samples.select("FID", "IID")


def _make_kinship(
    path: str,
    matrix: np.ndarray,
    samples: "pl.DataFrame | None",
    estimator: str,
    n_variants: int | None,
) -> "Kinship":
    """`Kinship.from_matrix`, whose objections to the values then name the file."""
    from lmmlasso_fast.kinship import Kinship

    try:
        return Kinship.from_matrix(
            matrix, samples=samples, estimator=estimator, n_variants=n_variants
        )
    except KinshipError as problem:
        raise KinshipError(f"{path}: {problem}") from problem


def _writable_ids(kinship: "Kinship", path: str) -> list[tuple[str, str]]:
    """The ids, fit for a file where blanks separate them."""
    import polars as pl

    ids = []
    if kinship.samples is not None:
        ids = kinship.samples.select(pl.col("FID", "IID").fill_null("")).rows()
    bad = [pair for pair in ids if not all(re.fullmatch(r"[^ \t\r\n]+", name) for name in pair)]
    if ids and not bad:
        return ids
    raise failure(
        KinshipError,
        path,
        "ids cannot be written",
        expected="FID and IID of every sample, not empty and without blanks",
        found=quote(" ".join(bad[0])) if bad else "no samples",
        advice="write an .npz with save_kinship instead",
    )
