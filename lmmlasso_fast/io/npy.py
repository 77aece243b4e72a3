"""Matrices of genotypes in numpy's .npy files."""

import os
from tokenize import TokenError

import numpy as np

from lmmlasso_fast.dosage import DosageGenotypes
from lmmlasso_fast.errors import FileChangedError, GenotypeError, SampleMatchError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.io.plink_text import read_bim, read_fam
from lmmlasso_fast.io.regular import require_regular
from lmmlasso_fast.mapped import map_file, unchanged


def read_npy(
    path: str | os.PathLike[str],
    *,
    fam: str | os.PathLike[str] | None = None,
    bim: str | os.PathLike[str] | None = None,
    bits: int | None = None,
) -> Genotypes:
    """Open a matrix of genotypes in a .npy file, which is mapped and not loaded.

    Parameters
    ----------
    path : path
        A matrix, samples x variants.
    fam, bim : path, optional
        A .fam and a .bim with the samples and variants in the same order; ids are made up without.
    bits : {16, 8}, optional
        The numbers are dosages in [0, 2], to be kept in so many bits each (DosageGenotypes).
        Without, as of `Genotypes.from_array`: copies of A1 (0, 1, 2) in two bits each, and any
        other numbers as they are, in the file.

    Returns
    -------
    Genotypes
        Dosage = copies of A1 (column 5 of the .bim).

    Raises
    ------
    GenotypeError
        Not a .npy of real numbers, cut short, of other dimensions, or (`bits`) of other numbers
        than dosages.
    SampleMatchError
        .fam or .bim have another number of lines than the matrix rows or columns.
    """
    path = os.fspath(path)
    try:
        require_regular(path)
        with np.errstate(over="raise"):  # a size that no integer holds
            X = map_file(path, lambda: np.lib.format.open_memmap(path, mode="r"))
    # A damaged header may surface as almost anything: the errors of Python's tokenizer, of
    # arithmetic with its sizes, of the type that it names.
    except Exception as error:
        found = (getattr(error, "strerror", None) or str(error))[:200]
        if isinstance(error, TokenError):  # its text is a tuple, and another one in each Python
            found = "a header that cannot be parsed"
        raise GenotypeError(
            f"{path}: expected a .npy file of a matrix of numbers, found: {found}; write it with "
            "numpy.save"
        ) from error
    tables = []
    for what, name, read, axis in (("samples", fam, read_fam, 0), ("variants", bim, read_bim, 1)):
        table = None if name is None else read(name)
        if table is not None and X.ndim == 2 and table.height != X.shape[axis]:
            raise SampleMatchError(
                f"{os.fspath(name)}: expected the {X.shape[axis]} {what} of {path}, found "
                f"{table.height}; give the file that belongs to it (the matrix is samples x "
                "variants)"
            )
        tables.append(table)
    samples, variants = tables
    samples = None if samples is None else samples.select("FID", "IID")
    variants = None if variants is None else variants.select("CHROM", "ID", "POS", "A1", "A2")
    try:
        with unchanged(X):
            if bits is None:
                return Genotypes.from_array(X, samples=samples, variants=variants)
            return DosageGenotypes.from_dosages(X, samples, variants, bits=bits)
    except FileChangedError:
        raise
    except (GenotypeError, TypeError) as error:
        raise GenotypeError(f"{path}: {error}") from error
