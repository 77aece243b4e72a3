"""How the C core is built: for any processor, with floating point as C has it."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.promise("same-bytes")

_ROOT = Path(__file__).resolve().parents[2]
#: Where options of a compiler can stand, comments left out.
_PLACES = [
    _ROOT / "CMakeLists.txt",
    _ROOT / "pyproject.toml",
    *sorted((_ROOT / "conda").rglob("*.*")),
    *sorted(p for p in (_ROOT / ".ci").rglob("*") if p.is_file()),
]
_SOURCES = sorted(p for p in (_ROOT / "src").iterdir() if p.suffix in (".c", ".h", ".pyx"))

#: {what is not to be there: where it is looked for}
_NEVER = {
    # a wheel that ends with SIGILL on the next machine
    r"-march\b|-mtune\b|/arch:|-mcpu\b": _PLACES,
    # sums in another order, NaN that are none
    r"-Ofast|-ffast-math|-funsafe-math|-fassociative-math|-ffinite-math|-freciprocal-math": _PLACES,
    # threads beside our own
    r"(?i)openmp|-fopenmp|omp\.h|#pragma omp|cython\.parallel|prange": [*_PLACES, *_SOURCES],
    # breaks on musl and some clang: a file per instruction set instead
    r"target_clones|__attribute__\(\(target": _SOURCES,
    # the core prints and links nothing
    r"\bprintf\s*\(|\bcblas_|Python\.h": [p for p in _SOURCES if p.name.startswith("lmml")],
    # link-time optimisation moves code between files of other instruction sets
    r"-flto|INTERPROCEDURAL_OPTIMIZATION": _PLACES,
}


def code(path: Path) -> str:
    """A file without its comments."""
    content = path.read_text(encoding="utf-8")
    if path.suffix in (".c", ".h"):
        return re.sub(r"/\*.*?\*/|//[^\n]*", "", content, flags=re.DOTALL)
    return re.sub(r"(?m)(^|\s)#(?!pragma).*$", "", content)


@pytest.mark.parametrize("never", _NEVER)
def test_options_that_are_never_used(never, tally):
    found = [
        (path.name, hit[0]) for path in _NEVER[never] for hit in re.finditer(never, code(path))
    ]
    tally(cases=len(_NEVER[never]))
    assert not found


def test_contraction_is_decided_file_by_file():
    """With -std=c11 gcc turns fused multiply-adds off everywhere; one file must not have them."""
    cmake = code(_ROOT / "CMakeLists.txt")
    assert re.findall(r"set\(CMAKE_C_EXTENSIONS (\w+)\)", cmake) == ["ON"]
    assert re.findall(r"set\(CMAKE_C_STANDARD (\w+)\)", cmake) == ["11"]
    assert "-std=" not in cmake
    [sources] = re.findall(
        r"set_source_files_properties\(([^)]*?)\s+PROPERTIES\s+"
        r'COMPILE_OPTIONS "\$\{lmml_no_contraction\}"\)',
        cmake,
    )
    assert sources.split() == ["src/lmml_packed.c"]
    assert cmake.count("-ffp-contract") == 2  # gcc's name and clang-cl's


def test_instruction_sets_are_for_the_files_of_their_names():
    cmake = code(_ROOT / "CMakeLists.txt")
    calls = re.findall(r"set_source_files_properties\((src/\w+\.c)[^)]*?-m[^)]*\)", cmake)
    assert sorted(calls) == [f"src/kernels_{isa}.c" for isa in ("amx", "avx2", "avx512")]
    options = re.search(r"set\(lmml_options (-O3[^)]*)\)", cmake)[1]
    assert options.split() == ["-O3", "-Wall", "-Wextra"]
    assert not re.search(r"CMAKE_C_FLAGS|add_compile_options", cmake)


#: What is never more than a few: codes of errors, vectors at a time and their digits, bytes of a
#: number, truth values.
_SMALL = {"code", "n_limbs", "n_vectors", "bytes", "integer_bytes", "exact", "back"}


@pytest.mark.parametrize(("name", "least"), [("lmml.h", 80), ("lmml_lapack.h", 5)])
def test_sizes_and_places_in_the_c_interface_have_64_bits(name, least):
    """n p is beyond 2^31 where a study is large."""
    content = code(_ROOT / "src" / name)
    short = re.findall(r"\b(?:int|unsigned|size_t|int32_t|long|short) (\w+)[,;)]", content)
    assert not set(short) - _SMALL
    assert len(re.findall(r"\bint64_t \w+[,;)]", content)) >= least
