"""LAPACK without the GIL, nothing linked: the function pointers that SciPy exports to Cython."""

from functools import cache

from lmmlasso_fast import _core
from lmmlasso_fast.errors import LMMLassoError

#: Arguments of the functions in use: c character, i integer, d double, all by address.
_ARGUMENTS = {"dsytrd": "cididdddii", "dpotrf": "cidii", "dpotrs": "ciididii"}


@cache
def lapack() -> _core.Lapack:
    """Return the table of LAPACK functions.

    Made at the first call: importing scipy.linalg takes a tenth of a second. Call it before
    `blas_cap`, which caps the libraries that are there.

    Raises
    ------
    LMMLassoError
        SciPy's functions are not declared in a way that is known here.
    """
    from scipy.linalg import cython_lapack

    capsules = {name: cython_lapack.__pyx_capi__[name] for name in _ARGUMENTS}
    widths = {
        integer_bytes(name, _core.capsule_signature(capsule)) for name, capsule in capsules.items()
    }
    if len(widths) != 1:
        raise LMMLassoError(f"SciPy's LAPACK mixes integers of {sorted(widths)} bytes")
    return _core.Lapack(widths.pop(), **capsules)


def integer_bytes(name: str, signature: str) -> int:
    """Return the width of the integers in a C signature, after checking all of its arguments.

    It reads like `void (char *, int *, __pyx_t_5scipy_6linalg_13cython_lapack_d *, ...)`; SciPy
    built for LAPACK with 64-bit integers has `int64_t *` there.

    Raises
    ------
    LMMLassoError
        Another signature than the function `name` has in LAPACK.
    """
    kinds = {"char *": "c", "int *": "i", "int64_t *": "I", "double *": "d"}
    start, end = "void (", ")"
    found = ""
    if signature.startswith(start) and signature.endswith(end):
        for argument in signature[len(start) : -len(end)].split(", "):
            is_double = argument.startswith("__pyx_t_") and argument.endswith("_lapack_d *")
            found += "d" if is_double else kinds.get(argument, "?")
    for bytes_, letter in ((4, "i"), (8, "I")):
        if found == _ARGUMENTS[name].replace("i", letter):
            return bytes_
    raise LMMLassoError(
        f"SciPy's {name}: expected a C function with int or int64_t as integers, found "
        f"{signature!r}; please report it with SciPy's version"
    )
