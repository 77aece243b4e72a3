"""What a run will take, said before it starts."""

from dataclasses import dataclass

from lmmlasso_fast.loco import KEPT_BYTES
from lmmlasso_fast.threads import SINGLE_THREAD_BELOW

#: Floating-point operations per second of one ordinary core, in float32 SYRK and in LAPACK,
#: genotypes per second of a full pass and of decoding: round figures, low rather than high.
_SYRK, _LAPACK, _PASS, _DECODING = 4e10, 3e10, 1e10, 2e8


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


@dataclass(frozen=True)
class Scan:
    """Tests of single SNPs.

    Attributes
    ----------
    n_kinships : int
        0 without a random effect; one per chromosome if each is left out.
    exact : bool
        Delta is estimated for every SNP.
    """

    n_kinships: int
    exact: bool


def estimate(n: int, p: int, *, n_alphas: int, with_lengths: bool = False) -> tuple[float, float]:
    """Return (seconds, megabytes) for n samples, p SNPs and a path of n_alphas (0: none).

    Kinship n^2 p, tridiagonal form and V^-1 about 6 n^3, passes n p each, and the lengths of
    whitened SNPs, if the penalty needs them, 2 n^2 p. Memory:
    Python with its libraries, a few n x n matrices, the working set with its Gram matrix, and the
    table and statistics of the SNPs; the genotypes stay in the page cache and are not counted.
    """
    seconds = n**2 * p / _SYRK + 6 * n**3 / _LAPACK + 1.5 * n_alphas * n * p / _PASS
    seconds += with_lengths * 2 * n**2 * p / _SYRK
    working_set = min(p, 2 * n) if n_alphas else 0
    return seconds, _PYTHON + _matrices(n, working_set) + 8e-6 * 80 * p


def longest_call(n: int, *, exact: bool = False) -> float:
    """Return the seconds of the one call of LAPACK that an interrupt has to wait for.

    The tridiagonal form of the kinship is 4/3 n^3, its eigenvectors (delta of every SNP) 9 n^3.
    """
    return (9 if exact else 4 / 3) * n**3 / _LAPACK


def estimate_scan(n: int, p: int, scan: Scan, *, workers: int) -> tuple[float, float]:
    """Return (seconds, megabytes) for a scan of n samples and p SNPs, null models included.

    All kinships together n^2 p. Each null model 6 n^3, and its SNPs 4 n^2 each in float64, or 2 n^2
    in float32 after 12 n^3 for the factor; with delta estimated for every SNP the eigenvectors are
    9 n^3, and a SNP is 2 n^2 to rotate and about 600 n to be optimised. Every SNP is decoded once.
    Memory: n x n matrices, blocks of decoded SNPs, and what the chromosomes add to the kinship.
    """
    seconds = n * p / _DECODING
    megabytes = _PYTHON + 8e-6 * (80 * p + 1024 * n * workers)
    if scan.n_kinships == 0:
        return seconds, megabytes
    share = p / scan.n_kinships
    if scan.exact:
        tests = (9 * n**3 + (2 * n**2 + 600 * n) * share) / _LAPACK
    else:
        in_float32 = 12 * n**3 / _LAPACK + 2 * n**2 * share / _SYRK
        tests = min(4 * n**2 * share / _LAPACK, in_float32)
    seconds += n**2 * p / _SYRK + scan.n_kinships * (6 * n**3 / _LAPACK + tests)
    n_matrices = 8
    if scan.n_kinships > 1:
        at_a_time = min(workers, scan.n_kinships) if n < SINGLE_THREAD_BELOW else 1
        kept = scan.n_kinships if 8 * n**2 * scan.n_kinships <= KEPT_BYTES else 1
        n_matrices = 1 + kept + 6 * at_a_time
    return seconds, megabytes + 8e-6 * n**2 * n_matrices


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
    n: int,
    p: int,
    *,
    n_tasks: int,
    n_alphas: int,
    workers: int,
    with_kinship: bool = False,
    with_lengths: bool = False,
) -> float:
    """Return the seconds of folds or replicates of n samples each, with one thread per worker."""
    one = 6 * n**3 / _LAPACK + 1.5 * n_alphas * n * p / _PASS
    one += (with_kinship + 2 * with_lengths) * n**2 * p / _SYRK
    return -(-n_tasks // workers) * one
