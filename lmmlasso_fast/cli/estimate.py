"""What a run will take, said before it starts."""

from dataclasses import dataclass

#: Floating-point operations per second of one ordinary core, in float32 SYRK and in LAPACK, and
#: genotypes per second of a full pass: round figures, low rather than high.
_SYRK, _LAPACK, _PASS = 4e10, 3e10, 1e10


#: Megabytes of Python with its libraries.
_PYTHON = 110


@dataclass(frozen=True)
class Refits:
    """Folds or replicates.

    Attributes
    ----------
    number : int
    share : float
        Of the samples that each is fitted to.
    n_active : int or None
        SNPs at which they end; None: as many as there may be.
    """

    number: int
    share: float
    n_active: int | None = None


def estimate(n: int, p: int, *, n_alphas: int) -> tuple[float, float]:
    """Return (seconds, megabytes) for n samples, p SNPs and a path of n_alphas (0: none).

    Kinship n^2 p, tridiagonal form and V^-1 about 6 n^3, passes n p each. Memory:
    Python with its libraries, a few n x n matrices, the working set with its Gram matrix, and the
    table and statistics of the SNPs; the genotypes stay in the page cache and are not counted.
    """
    seconds = n**2 * p / _SYRK + 6 * n**3 / _LAPACK + 1.5 * n_alphas * n * p / _PASS
    working_set = min(p, 2 * n) if n_alphas else 0
    return seconds, _PYTHON + _matrices(n, working_set) + 8e-6 * 80 * p


def estimate_refits(n: int, p: int, refits: Refits, *, workers: int) -> float:
    """Return the megabytes of a run of n samples while so many folds or replicates are at work.

    Each has matrices and statistics of its own; kinship and table are there once.
    """
    part = refits.share * n
    most = part if refits.n_active is None else 10 * refits.n_active
    each = _matrices(part, min(p, part, most)) + 8e-6 * 40 * p
    return _PYTHON + 8e-6 * (3 * n**2 + 40 * p) + workers * each


def _matrices(n: float, working_set: float) -> float:
    """Return the megabytes of the matrices of one fit."""
    return 8e-6 * (6 * n**2 + n * working_set + 2 * working_set**2)


def estimate_tasks(
    n: int, p: int, *, n_tasks: int, n_alphas: int, workers: int, with_kinship: bool = False
) -> float:
    """Return the seconds of folds or replicates of n samples each, with one thread per worker."""
    one = 6 * n**3 / _LAPACK + 1.5 * n_alphas * n * p / _PASS
    if with_kinship:
        one += n**2 * p / _SYRK
    return -(-n_tasks // workers) * one
