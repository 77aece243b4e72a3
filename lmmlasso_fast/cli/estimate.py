"""What a run will take, said before it starts."""

#: Floating-point operations per second of one ordinary core, in float32 SYRK and in LAPACK, and
#: genotypes per second of a full pass: round figures, low rather than high.
_SYRK, _LAPACK, _PASS = 4e10, 3e10, 1e10


def estimate(n: int, p: int, *, n_alphas: int) -> tuple[float, float]:
    """Return (seconds, megabytes) for n samples, p SNPs and a path of n_alphas.

    Kinship n^2 p, tridiagonal form and V^-1 about 6 n^3, passes n p each. Memory:
    Python with its libraries, a few n x n matrices, the working set with its Gram matrix, and the
    table and statistics of the SNPs; the genotypes stay in the page cache and are not counted.
    """
    seconds = n**2 * p / _SYRK + 6 * n**3 / _LAPACK + 1.5 * n_alphas * n * p / _PASS
    working_set = min(p, 2 * n)
    numbers = 6 * n**2 + n * working_set + 2 * working_set**2 + 80 * p
    return seconds, 110 + 8e-6 * numbers


def estimate_tasks(
    n: int, p: int, *, n_tasks: int, n_alphas: int, workers: int, with_kinship: bool = False
) -> float:
    """Return the seconds of folds or replicates of n samples each, with one thread per worker."""
    one = 6 * n**3 / _LAPACK + 1.5 * n_alphas * n * p / _PASS
    if with_kinship:
        one += n**2 * p / _SYRK
    return -(-n_tasks // workers) * one
