"""What the modules of `lmmlasso_fast.simulation` share: checked numbers, blocks of variants."""

from collections.abc import Iterator

from lmmlasso_fast.errors import InputError

#: Genotypes drawn or decoded at a time: little enough for the caches, and for 20 MB of memory. The
#: random numbers of a simulation do not depend on it.
BLOCK_VALUES = 1 << 19


def require(name: str, value: float, holds: bool, expected: str) -> None:
    """Raise InputError about an argument unless it holds."""
    if not holds:
        raise InputError(f"{name}: expected {expected}, found {value!r}; choose another value")


def variant_blocks(n_variants: int, n_samples: int) -> Iterator[slice]:
    """Yield ranges of variants, of `BLOCK_VALUES` genotypes at most (but one variant at least)."""
    step = max(1, BLOCK_VALUES // n_samples)
    for first in range(0, n_variants, step):
        yield slice(first, min(first + step, n_variants))
