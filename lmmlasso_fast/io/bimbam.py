"""BIMBAM mean genotype files, as GEMMA reads them."""

import gzip
import os
import re
import zlib
from itertools import filterfalse
from typing import TYPE_CHECKING

import numpy as np

from lmmlasso_fast.errors import GenotypeError, SampleMatchError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.io.collect import Collector
from lmmlasso_fast.io.plink_text import read_fam
from lmmlasso_fast.io.regular import require_regular
from lmmlasso_fast.io.text import failure, quote, read_text

if TYPE_CHECKING:
    import polars as pl

#: Characters of a number; doubles with all their digits have 24.
_LONGEST_NUMBER = 400
#: Bytes of a line: more than a million samples have, with all digits of their dosages.
_LONGEST_LINE = 1 << 25
_SEPARATORS = re.compile(rb"[,\s]+")


def read_bimbam(
    path: str | os.PathLike[str],
    *,
    fam: str | os.PathLike[str] | None = None,
    annotation: str | os.PathLike[str] | None = None,
    bits: int = 16,
) -> Genotypes:
    """Read a BIMBAM mean genotype file, plain or gzipped.

    Parameters
    ----------
    path : path
        One variant a line: id, the counted allele, the other one, and each sample's dosage in
        [0, 2] (NA missing); separated by commas or blanks.
    fam : path, optional
        A .fam with the samples in the same order; ids are made up without.
    annotation : path, optional
        One variant a line: id, position, chromosome; separated by commas or blanks. Variants that
        it does not name are at position 0 of chromosome "0".
    bits : {16, 8}, default 16
        Of a dosage in memory (DosageGenotypes).

    Returns
    -------
    Genotypes
        Dosage = copies of A1, the first allele named. Two bits a genotype in memory if all dosages
        are whole, else `bits`.

    Raises
    ------
    GenotypeError
        The file cannot be read, a line has another number of columns than the first, or a dosage
        is no number in [0, 2]. The message names the line.
    SampleMatchError
        The .fam has another number of samples.
    """
    path = os.fspath(path)
    samples = None if fam is None else read_fam(fam).select("FID", "IID")
    names, block, collector, n = [], [], None, None
    try:
        for number, line in _lines(path):
            fields = _SEPARATORS.split(line.strip())
            if n is None:
                n = len(fields) - 3
                if n > 0:
                    _check_samples(path, n, samples, fam)
                    collector = Collector(path, n, bits)
            if n < 1 or len(fields) != n + 3:
                raise _failure(
                    path, number, "wrong number of columns",
                    f"an id, two alleles and {max(n, 1)} dosages", f"{len(fields)} columns",
                )  # fmt: skip
            names.append(_texts(path, number, fields[:3]))
            block.append(_numbers(path, number, fields[3:]))
            if len(block) == collector.block_variants:
                collector.append(np.array(block))
                block = []
    except (OSError, EOFError, zlib.error) as error:
        raise failure(
            GenotypeError,
            path,
            "the file cannot be read",
            expected="a readable BIMBAM file, plain or gzipped",
            found=getattr(error, "strerror", None) or str(error),
            advice="check its name and that it is complete",
        ) from error
    if collector is None:
        raise _failure(path, None, "the file is empty", "at least one line", "none")
    if block:
        collector.append(np.array(block))
    return collector.finish(samples, _variants(names, annotation))


def _lines(path: str):
    """Yield the number (from 1) and content of every line that is not blank."""
    require_regular(path)
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if zipped else open(path, "rb") as file:
        lines = iter(lambda: file.readline(_LONGEST_LINE + 1), b"")
        for number, line in enumerate(lines, 1):
            if len(line) > _LONGEST_LINE:
                expected = f"at most {_LONGEST_LINE} bytes"
                raise _failure(path, number, "a line without end", expected, "more")
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if b"\0" in line:
                raise _failure(path, number, "not a text file", "text", "a NUL byte")
            if line.strip():
                yield number, line


def _failure(path, line, what, expected, found) -> GenotypeError:
    return failure(
        GenotypeError, path, what, expected=expected, found=found, line=line,
        advice="check that this is a BIMBAM mean genotype file",
    )  # fmt: skip


def _check_samples(path: str, n: int, samples: "pl.DataFrame | None", fam) -> None:
    if samples is not None and samples.height != n:
        raise SampleMatchError(
            f"{os.fspath(fam)}: expected the {n} samples of {path}, found {samples.height}; give "
            "the .fam of these genotypes"
        )


def _texts(path: str, line: int, fields: list[bytes]) -> list[str]:
    if not all(fields):
        raise _failure(path, line, "id and alleles", "three texts", "an empty one")
    try:
        return [field.decode() for field in fields]
    except UnicodeDecodeError:
        raise _failure(path, line, "id and alleles", "UTF-8 text", "other bytes") from None


def _numbers(path: str, line: int, fields: list[bytes]) -> np.ndarray:
    # NumPy gives every field the width of the longest, and takes 1_0 for 10 as Python does
    odd = next((f for f in fields if len(f) > _LONGEST_NUMBER or b"_" in f), None)
    if odd is not None:
        found = quote(odd.decode(errors="replace"))
        raise _failure(path, line, "dosages", "numbers from 0 to 2, or NA", found)
    try:
        values = _as_floats(
            [b"nan" if field in (b"NA", b"nan", b"NaN") else field for field in fields]
        )
    except ValueError:
        first = quote(next(filterfalse(_is_number, fields)).decode(errors="replace"))
        raise _failure(path, line, "dosages", "numbers or NA", first) from None
    bad = ~((values >= -1e-3) & (values <= 2 + 1e-3) | np.isnan(values))
    if bad.any():
        first = quote(fields[int(bad.argmax())].decode())
        raise _failure(path, line, "dosages", "numbers from 0 to 2, or NA", first)
    return values


def _is_number(field: bytes) -> bool:
    try:
        _as_floats([field])
    except ValueError:
        return field == b"NA"
    return True


def _as_floats(fields: list[bytes]) -> np.ndarray:
    """Infinite, without a warning, where a number is too large."""
    with np.errstate(over="ignore"):
        return np.array(fields).astype(np.float64)


def _variants(names: list[list[str]], annotation) -> "pl.DataFrame":
    import polars as pl

    schema = {"ID": pl.String, "A1": pl.String, "A2": pl.String}
    table = pl.DataFrame(names, schema=schema, orient="row")
    places = {} if annotation is None else _places(annotation)
    found = [places.get(name, ("0", 0)) for name in table["ID"]]
    return table.select(
        pl.Series("CHROM", [chromosome for chromosome, _ in found], dtype=pl.String),
        "ID",
        pl.Series("POS", [position for _, position in found], dtype=pl.Int64),
        "A1",
        "A2",
    )


def _places(path) -> dict[str, tuple[str, int]]:
    """{id: (chromosome, position)}"""
    text = read_text(path, GenotypeError)
    places = {}
    for number, line in enumerate(text.lines(), 1):
        if not line.strip():
            continue
        fields = [field.decode() for field in _SEPARATORS.split(line.strip())]
        if len(fields) < 3 or not re.fullmatch(r"-?[0-9]{1,18}|NA", fields[1]):
            raise text.failure(
                "an annotation",
                expected="an id, a position (a whole number) and a chromosome",
                found=quote(" ".join(fields)),
                advice="check that this is GEMMA's annotation file",
                line=number,
            )
        if fields[0] in places:
            raise text.failure(
                "an id twice",
                expected="one line for each id",
                found=f"another one for {quote(fields[0])}",
                advice="leave one of the two out",
                line=number,
            )
        places[fields[0]] = (fields[2], 0 if fields[1] == "NA" else int(fields[1]))
    return places
