"""Types of the extension, src/_core.pyx. Arrays are C-contiguous."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float64]
Matrix: TypeAlias = NDArray[np.float64]
Floats: TypeAlias = NDArray[np.float32]
Indices: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.uint8]
Packed: TypeAlias = NDArray[np.uint8]
Codes: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
Digits: TypeAlias = tuple[NDArray[np.int8], int, float]

SCREENING: int
CERTIFICATE: int
MAX_VECTORS: int
SAME: int
RESIZED: int
WRITTEN: int

def select_kernels(name: str | None = ...) -> None: ...
def kernels_name() -> str: ...
def available_kernels() -> list[str]: ...
def limbs(v: Vector, index: Indices, n_samples: int, n_limbs: int) -> Digits: ...
def gradient(
    data: Packed,
    n_samples: int,
    mean: Vector,
    inverse_sd: Vector,
    n_missing: NDArray[np.int32],
    vectors: Sequence[Digits],
    start: int,
    stop: int,
    out: Matrix,
) -> None: ...
def mask(index: Indices, n_samples: int) -> Flags: ...
def counts(
    data: Packed, n_samples: int, mask: Flags, start: int, out: NDArray[np.int32]
) -> None: ...
def compress(data: Packed, n_samples: int, mask: Flags, out: Packed) -> bool: ...
def hashes(data: Packed, n_samples: int, mask: Flags) -> NDArray[np.uint64]: ...
def duplicates(
    data: Packed, n_samples: int, mask: Flags, rows: Indices, hash: NDArray[np.uint64]
) -> tuple[Indices, NDArray[np.int8]]: ...
def sample_missing(data: Packed, n_samples: int, use_variant: Flags) -> Indices: ...
def decode(
    data: Packed,
    n_samples: int,
    variants: Indices,
    mean: Vector,
    inverse_sd: Vector,
    index: Indices,
    out: Matrix | Floats,
) -> None: ...
def decode_codes(
    data: Packed, n_samples: int, variants: Indices, index: Indices, out: Packed
) -> None: ...
def dosage_sums(data: Codes, index: Indices | None, start: int, out: NDArray[np.int64]) -> None: ...
def dosage_gradient(
    data: Codes,
    index: Indices | None,
    mean: Vector,
    inverse_sd: Vector,
    v: Matrix,
    start: int,
    stop: int,
    out: Matrix,
) -> None: ...
def dosage_decode(
    data: Codes,
    variants: Indices,
    mean: Vector,
    inverse_sd: Vector,
    index: Indices | None,
    out: Matrix | Floats,
) -> None: ...
def dosage_hashes(data: Codes, index: Indices | None) -> NDArray[np.uint64]: ...
def dosage_duplicates(
    data: Codes, index: Indices | None, rows: Indices, hash: NDArray[np.uint64]
) -> tuple[Indices, NDArray[np.int8]]: ...
def dosage_missing(data: Codes, use_variant: Flags) -> Indices: ...
def square_subset(A: Matrix, index: Indices, divisor: float) -> Matrix: ...
def project_off(Q: Matrix, X: Matrix, share: float) -> Flags: ...
def grow_gram(gram: Matrix, old: int, cross: Matrix, zero: Flags) -> None: ...
def add_rounded(part: Floats, grid: float, total: Matrix) -> None: ...
def largest_scores(gradients: Matrix, factor: Vector | None, skip: Flags) -> Matrix: ...
def scores_above(
    gradient: Vector,
    slope: Vector | None,
    change: float,
    factor: Vector | None,
    skip: Flags,
    threshold: float,
) -> tuple[Indices, Vector]: ...

class GramSolver:
    def solve(
        self,
        gram: Matrix,
        c: Vector,
        Z: Matrix,
        weight: Vector,
        l1: float,
        l2: float,
        alpha: Vector,
        cd_tol: Vector,
        before: float,
        scale: float,
        v: Vector,
        beta: Vector,
    ) -> tuple[Matrix, Flags, Matrix]: ...

def residual_descent(
    X: Matrix,
    Z: Matrix,
    norms: Vector,
    threshold: Vector,
    ridge: Vector | None,
    scale: float,
    beta: Vector,
    v: Vector,
    cd_tol: float,
    max_sweeps: int,
) -> int: ...
def row_squares(Z: Floats) -> Vector: ...
def reml_scan(
    s: Vector, y: Vector, log_delta: Vector, of_y: Matrix, Z: Matrix, xx: Matrix, xy: Matrix
) -> Matrix: ...
def log10_p(f: Vector, df: float) -> Vector: ...
def capsule_signature(capsule: Any) -> str: ...

class Lapack:
    def __init__(self, integer_bytes: int, dsytrd: Any, dpotrf: Any, dpotrs: Any) -> None: ...
    def tridiagonalise(self, A: Matrix, d: Vector, e: Vector, tau: Vector) -> None: ...
    def cholesky(self, A: Matrix, start: int) -> bool: ...
    def solve(self, L: Matrix, V: Matrix, T: Matrix, X: Matrix) -> None: ...

def symmetric_difference(A: Matrix, V: Matrix, Y: Matrix, delta: float) -> Matrix: ...
def tridiagonal_rotate(reflectors: Matrix, tau: Vector, B: Matrix, back: bool = ...) -> None: ...
def tridiagonal_is_positive(d: Vector, e: Vector, shift: float) -> bool: ...
def tridiagonal_profile(d: Vector, e: Vector, rows: Matrix, deltas: Vector) -> Matrix | None: ...
def watch(array: NDArray[Any], file: int) -> int: ...
def forget(watch: int) -> None: ...
def watched_state(watch: int) -> int: ...
def catch_bus_errors() -> bool: ...
def release_bus_errors() -> None: ...
