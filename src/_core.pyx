# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: freethreading_compatible=True
"""The C core, converted: check shapes, one C call without the GIL, map the return code.

Nothing here computes. Shapes, types and finiteness of what users pass are validated by the
Python modules that call these functions.
"""

import os

import numpy as np

from libc.stddef cimport size_t
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint64_t

from lmmlasso_fast.errors import LMMLassoError


cdef extern from "lmml.h" nogil:
    ctypedef struct lmml_kernels:
        pass
    ctypedef struct lmml_packed:
        const uint8_t *data
        int64_t n_variants
        int64_t n_samples
        int64_t stride
    ctypedef struct lmml_vector:
        const int8_t *limbs
        int n_limbs
        double unit
    ctypedef struct lmml_lasso:
        int64_t w
        int64_t ld
        const double *G
        const double *c
        const double *threshold
        const double *ridge
        double scale
    ctypedef struct lmml_options:
        double cd_tol
        int64_t max_sweeps
        int64_t max_events
    ctypedef struct lmml_info:
        int64_t n_sweeps
        int64_t n_events
        int64_t n_active
        int exact
    ctypedef struct lmml_factor:
        pass
    enum:
        LMML_OK
        LMML_ERR_MEMORY
        LMML_ERR_ISA
        LMML_LIMBS_SCREENING
        LMML_LIMBS_CERTIFICATE
        LMML_MAX_VECTORS
    const char *lmml_strerror(int)
    int lmml_kernels_select(const char *, const lmml_kernels **)
    const char *lmml_kernels_name(const lmml_kernels *)
    int64_t lmml_limbs_size(int64_t, int)
    int lmml_limbs_fill(const double *, const int64_t *, int64_t, int64_t, int, int8_t *, double *)
    int lmml_gradient(const lmml_kernels *, const lmml_packed *, const double *, const double *,
                      const int32_t *, const lmml_vector *, int, int64_t, int64_t, double *,
                      int64_t)
    int lmml_mask_fill(const int64_t *, int64_t, int64_t, uint8_t *)
    int lmml_counts(const lmml_kernels *, const lmml_packed *, const uint8_t *, int64_t, int64_t,
                    int32_t *)
    int lmml_compress(const lmml_kernels *, const lmml_packed *, const uint8_t *, int64_t, int64_t,
                      uint8_t *)
    int lmml_hash(const lmml_packed *, const uint8_t *, int64_t, int64_t, uint64_t *)
    int lmml_duplicates(const lmml_packed *, const uint8_t *, const int64_t *, const uint64_t *,
                        int64_t, int64_t *, int8_t *)
    int lmml_sample_missing(const lmml_packed *, const uint8_t *, int64_t, int64_t, int64_t *)
    int lmml_decode_f32(const lmml_kernels *, const lmml_packed *, const int64_t *, int64_t,
                        const double *, const double *, const int64_t *, int64_t, float *)
    int lmml_decode_f64(const lmml_kernels *, const lmml_packed *, const int64_t *, int64_t,
                        const double *, const double *, const int64_t *, int64_t, double *)
    int lmml_decode_codes(const lmml_packed *, const int64_t *, int64_t, const int64_t *, int64_t,
                          uint8_t *)
    void lmml_add_rounded(int64_t, const float *, double, double *)
    double lmml_largest_score(int64_t, const double *, const double *)
    int64_t lmml_scores_above(int64_t, const double *, const double *, double, const double *,
                              const uint8_t *, double, int64_t *, double *)
    void lmml_options_default(lmml_options *)
    int lmml_factor_init(lmml_factor *)
    void lmml_factor_free(lmml_factor *)
    void lmml_factor_reset(lmml_factor *)
    void lmml_factor_solve(const lmml_kernels *, lmml_factor *, int64_t, double *)
    int lmml_lasso_solve(const lmml_kernels *, const lmml_lasso *, const lmml_options *,
                         lmml_factor *, double *, double *, lmml_info *)
    int lmml_residual_descent(const lmml_kernels *, int64_t, int64_t, const double *,
                              const double *, const double *, const double *, const double *,
                              double, const lmml_options *, double *, double *, lmml_info *)


SCREENING = LMML_LIMBS_SCREENING
CERTIFICATE = LMML_LIMBS_CERTIFICATE
MAX_VECTORS = LMML_MAX_VECTORS

cdef const lmml_kernels *KERNELS = NULL


cdef int check(int code) except -1:
    if code == LMML_OK:
        return 0
    if code == LMML_ERR_MEMORY:
        raise MemoryError(lmml_strerror(code).decode())
    raise LMMLassoError(f"the C core refused its input: {lmml_strerror(code).decode()}")


def select_kernels(name=None):
    """Use the kernels of instruction set `name` from here on (None: the best of this machine).

    Meant for tests and bug reports; not to be called while another thread computes.
    """
    global KERNELS
    cdef const lmml_kernels *found = NULL
    encoded = None if name is None else name.encode()
    cdef int code = lmml_kernels_select(NULL if encoded is None else <const char *>encoded, &found)
    if code != LMML_OK:
        raise ValueError(
            f"LMMLASSO_FAST_ISA: expected one of {', '.join(available_kernels())} on this "
            f"machine, found {name!r}"
        )
    KERNELS = found


def kernels_name():
    """The instruction set in use."""
    return lmml_kernels_name(KERNELS).decode()


def available_kernels():
    """The instruction sets that this machine can run, best first."""
    cdef const lmml_kernels *found = NULL
    return [
        name
        for name in ("amx", "avx512", "avx2", "generic")
        if lmml_kernels_select(name.encode(), &found) == LMML_OK
    ]


select_kernels(os.environ.get("LMMLASSO_FAST_ISA") or None)


cdef lmml_packed packed_view(const uint8_t[:, ::1] data, int64_t n_samples) except *:
    cdef lmml_packed packed
    if data.shape[1] != (n_samples + 3) // 4:
        raise ValueError("packed rows do not have (n_samples + 3) / 4 bytes")
    packed.data = &data[0, 0] if data.shape[0] and data.shape[1] else NULL
    packed.n_variants = data.shape[0]
    packed.n_samples = n_samples
    packed.stride = data.shape[1]
    return packed


def limbs(const double[::1] v, const int64_t[::1] index, int64_t n_samples, int n_limbs):
    """v as the digits that `gradient` reads: (buffer, number of limbs, value of the lowest)."""
    cdef int64_t size = lmml_limbs_size(n_samples, n_limbs)
    storage = np.empty(size + 64, dtype=np.int8)
    offset = -storage.ctypes.data % 64
    buffer = storage[offset : offset + size]
    cdef int8_t[::1] view = buffer
    cdef double unit = 0
    cdef int code
    with nogil:
        code = lmml_limbs_fill(&v[0], &index[0], v.shape[0], n_samples, n_limbs, &view[0], &unit)
    check(code)
    return buffer, n_limbs, unit


def gradient(
    const uint8_t[:, ::1] data,
    int64_t n_samples,
    const double[::1] mean,
    const double[::1] inverse_sd,
    const int32_t[::1] n_missing,
    vectors,
    int64_t start,
    int64_t stop,
    double[:, ::1] out,
):
    """out[k, j] = x_j'v_k for start <= j < stop; v_k as `limbs` made it."""
    cdef lmml_packed packed = packed_view(data, n_samples)
    cdef lmml_vector digits[LMML_MAX_VECTORS]
    cdef const int8_t[::1] buffer
    cdef int n_vectors = len(vectors), code
    if n_vectors > LMML_MAX_VECTORS or out.shape[0] != n_vectors:
        raise ValueError("out must have one row per vector, of which there may be MAX_VECTORS")
    if not 0 <= start <= stop <= out.shape[1] or out.shape[1] != packed.n_variants:
        raise ValueError("out must have one column per SNP")
    if start == stop:
        return
    for k in range(n_vectors):
        buffer = vectors[k][0]
        digits[k].limbs = &buffer[0]  # `vectors` keeps the memory alive
        digits[k].n_limbs = vectors[k][1]
        digits[k].unit = vectors[k][2]
    with nogil:
        code = lmml_gradient(KERNELS, &packed, &mean[0], &inverse_sd[0], &n_missing[0], digits,
                             n_vectors, start, stop, &out[0, start], out.shape[1])
    check(code)


def mask(const int64_t[::1] index, int64_t n_samples):
    """The packed row with 01 at the analysed samples."""
    row = np.empty((n_samples + 3) // 4, dtype=np.uint8)
    cdef uint8_t[::1] view = row
    check(lmml_mask_fill(&index[0], index.shape[0], n_samples, &view[0]))
    return row


def counts(const uint8_t[:, ::1] data, int64_t n_samples, const uint8_t[::1] mask, int64_t start,
           int32_t[:, ::1] out):
    """out[k, g] = analysed samples with code g at SNP start + k (0: two A1, 1: missing, 2, 3)."""
    cdef lmml_packed packed = packed_view(data, n_samples)
    cdef int64_t stop = start + out.shape[0]
    cdef int code
    if out.shape[0] == 0:
        return
    with nogil:
        code = lmml_counts(KERNELS, &packed, &mask[0], start, stop, &out[0, 0])
    check(code)


def compress(const uint8_t[:, ::1] data, int64_t n_samples, const uint8_t[::1] mask,
             uint8_t[:, ::1] out):
    """out = the samples of the mask alone, packed again; False: these kernels have no fast way."""
    cdef lmml_packed packed = packed_view(data, n_samples)
    cdef int code
    if out.shape[0] != packed.n_variants or 4 * mask.shape[0] < n_samples:
        raise ValueError("out must have one row per SNP, mask a bit pair per sample")
    if packed.n_variants == 0 or out.shape[1] == 0:
        return False
    with nogil:
        code = lmml_compress(KERNELS, &packed, &mask[0], 0, packed.n_variants, &out[0, 0])
    if code == LMML_ERR_ISA:
        return False
    check(code)
    return True


def hashes(const uint8_t[:, ::1] data, int64_t n_samples, const uint8_t[::1] mask):
    """One number per SNP, equal for duplicates whichever allele is counted."""
    cdef lmml_packed packed = packed_view(data, n_samples)
    result = np.empty(packed.n_variants, dtype=np.uint64)
    cdef uint64_t[::1] view = result
    cdef int code
    if packed.n_variants == 0:
        return result
    with nogil:
        code = lmml_hash(&packed, &mask[0], 0, packed.n_variants, &view[0])
    check(code)
    return result


def duplicates(const uint8_t[:, ::1] data, int64_t n_samples, const uint8_t[::1] mask,
               const int64_t[::1] rows, const uint64_t[::1] hash):
    """(original, sign) of rows sorted by hash: the first equal row, -1 with alleles swapped."""
    cdef lmml_packed packed = packed_view(data, n_samples)
    original, sign = np.empty(rows.shape[0], dtype=np.int64), np.empty(rows.shape[0], dtype=np.int8)
    cdef int64_t[::1] original_view = original
    cdef int8_t[::1] sign_view = sign
    cdef int code
    if hash.shape[0] != rows.shape[0]:
        raise ValueError("rows and hash must have one length")
    if rows.shape[0]:
        with nogil:
            code = lmml_duplicates(&packed, &mask[0], &rows[0], &hash[0], rows.shape[0],
                                   &original_view[0], &sign_view[0])
        check(code)
    return original, sign


def sample_missing(const uint8_t[:, ::1] data, int64_t n_samples, const uint8_t[::1] use_variant):
    """Missing genotypes of every sample of the file over the SNPs in use."""
    cdef lmml_packed packed = packed_view(data, n_samples)
    result = np.zeros(n_samples, dtype=np.int64)
    cdef int64_t[::1] view = result
    cdef int code
    if packed.n_variants == 0:
        return result
    with nogil:
        code = lmml_sample_missing(&packed, &use_variant[0], 0, packed.n_variants, &view[0])
    check(code)
    return result


ctypedef fused real:
    float
    double


def decode(
    const uint8_t[:, ::1] data,
    int64_t n_samples,
    const int64_t[::1] variants,
    const double[::1] mean,
    const double[::1] inverse_sd,
    const int64_t[::1] index,
    real[:, ::1] out,
):
    """out[k] = SNP variants[k] at the samples `index`, standardised by mean[k], inverse_sd[k]."""
    cdef lmml_packed packed = packed_view(data, n_samples)
    cdef int code
    if out.shape[0] != variants.shape[0] or out.shape[1] != index.shape[0]:
        raise ValueError("out must have one row per SNP and one column per sample")
    if mean.shape[0] != variants.shape[0] or inverse_sd.shape[0] != variants.shape[0]:
        raise ValueError("mean and inverse_sd must have one entry per row of out")
    if out.shape[0] == 0 or out.shape[1] == 0:
        return
    with nogil:
        if real is float:
            code = lmml_decode_f32(KERNELS, &packed, &variants[0], variants.shape[0], &mean[0],
                                   &inverse_sd[0], &index[0], index.shape[0], &out[0, 0])
        else:
            code = lmml_decode_f64(KERNELS, &packed, &variants[0], variants.shape[0], &mean[0],
                                   &inverse_sd[0], &index[0], index.shape[0], &out[0, 0])
    check(code)


def decode_codes(const uint8_t[:, ::1] data, int64_t n_samples, const int64_t[::1] variants,
                 const int64_t[::1] index, uint8_t[:, ::1] out):
    """out[k] = the two-bit codes of SNP variants[k] at the samples `index`."""
    cdef lmml_packed packed = packed_view(data, n_samples)
    cdef int code
    if out.shape[0] != variants.shape[0] or out.shape[1] != index.shape[0]:
        raise ValueError("out must have one row per SNP and one column per sample")
    if out.shape[0] == 0 or out.shape[1] == 0:
        return
    with nogil:
        code = lmml_decode_codes(&packed, &variants[0], variants.shape[0], &index[0],
                                 index.shape[0], &out[0, 0])
    check(code)


def add_rounded(const float[:, ::1] part, double grid, double[:, ::1] total):
    """total += part, rounded to multiples of grid (a power of two)."""
    cdef const float *values = &part[0, 0]
    cdef int64_t n = total.shape[0] * total.shape[1]
    if part.shape[0] != total.shape[0] or part.shape[1] != total.shape[1]:
        raise ValueError("part and total must have one shape")
    with nogil:
        lmml_add_rounded(n, values, grid, &total[0, 0])


def largest_score(const double[::1] gradient, factor):
    """The largest |gradient_j| / factor_j; factor None: 1, or a gradient of 0."""
    cdef double largest = 0
    cdef const double[::1] view
    cdef const double *factors = NULL
    if factor is not None:
        view = factor
        if view.shape[0] != gradient.shape[0]:
            raise ValueError("gradient and factor must have one length")
        if view.shape[0]:
            factors = &view[0]
    if gradient.shape[0]:
        with nogil:
            largest = lmml_largest_score(gradient.shape[0], &gradient[0], factors)
    return largest


def scores_above(const double[::1] gradient, slope, double change, factor,
                 const uint8_t[::1] skip, double threshold):
    """(index, score) of the SNPs not skipped with |gradient + change slope| / factor >= threshold.

    slope may be None, factor as for `largest_score`.
    """
    cdef int64_t p = gradient.shape[0], n_found
    cdef const double[::1] slope_view, factor_view
    cdef const double *slopes = NULL
    cdef const double *factors = NULL
    index, score = np.empty(p, dtype=np.int64), np.empty(p)
    cdef int64_t[::1] index_view = index
    cdef double[::1] score_view = score
    for array in (slope, factor, skip):
        if array is not None and len(array) != p:
            raise ValueError("all arrays must have one length")
    if p == 0:
        return index, score
    if slope is not None:
        slope_view = slope
        slopes = &slope_view[0]
    if factor is not None:
        factor_view = factor
        factors = &factor_view[0]
    with nogil:
        n_found = lmml_scores_above(p, &gradient[0], slopes, change, factors, &skip[0], threshold,
                                    &index_view[0], &score_view[0])
    return index[:n_found].copy(), score[:n_found].copy()


cdef class GramSolver:
    """The Lasso on a working set, with the Cholesky factor that lives from alpha to alpha."""

    cdef lmml_factor factor

    def __cinit__(self):
        check(lmml_factor_init(&self.factor))

    def __dealloc__(self):
        lmml_factor_free(&self.factor)

    def reset(self):
        """Forget the factor (the Gram matrix or the ridge changed)."""
        lmml_factor_reset(&self.factor)

    def solve_active(self, double[::1] x):
        """Overwrite x by (G_AA + ridge_A)^-1 x_A on the active set A of the last solution."""
        if x.shape[0] == 0:
            return
        with nogil:
            lmml_factor_solve(KERNELS, &self.factor, x.shape[0], &x[0])

    def solve(self, const double[:, ::1] gram, const double[::1] c, const double[::1] threshold,
              ridge, double scale, double[::1] beta, double[::1] q, double cd_tol=1e-9):
        """Solve from the warm start in beta; beta and q are overwritten.

        The working set is the first len(beta) rows of `gram`. Returns (sweeps, events, exact).
        """
        cdef lmml_lasso problem
        cdef lmml_options options
        cdef lmml_info info
        cdef const double[::1] ridge_view
        cdef int64_t w = beta.shape[0]
        cdef int code
        if w == 0:
            return 0, 0, True
        if gram.shape[0] < w or c.shape[0] < w or threshold.shape[0] < w or q.shape[0] < w:
            raise ValueError("an array is shorter than the working set")
        lmml_options_default(&options)
        options.cd_tol = cd_tol
        problem.w = w
        problem.ld = gram.shape[1]
        problem.G = &gram[0, 0]
        problem.c = &c[0]
        problem.threshold = &threshold[0]
        problem.ridge = NULL
        problem.scale = scale
        if ridge is not None:
            ridge_view = ridge
            if ridge_view.shape[0] < w:
                raise ValueError("ridge is shorter than the working set")
            problem.ridge = &ridge_view[0]
        with nogil:
            code = lmml_lasso_solve(KERNELS, &problem, &options, &self.factor, &beta[0], &q[0],
                                    &info)
        check(code)
        return info.n_sweeps, info.n_events, bool(info.exact)


def residual_descent(const double[:, ::1] X, const double[:, ::1] Z, const double[::1] norms,
                     const double[::1] threshold, ridge, double scale, double[::1] beta,
                     double[::1] v, double cd_tol, int64_t max_sweeps):
    """Coordinate descent with residual updates; beta and v are overwritten. Returns the sweeps."""
    cdef lmml_options options
    cdef lmml_info info
    cdef const double[::1] ridge_view
    cdef const double *ridge_pointer = NULL
    cdef int64_t w = beta.shape[0], n = v.shape[0]
    cdef int code
    if w == 0:
        return 0
    if (X.shape[0] < w or Z.shape[0] < w or X.shape[1] != n or Z.shape[1] != n
            or norms.shape[0] < w or threshold.shape[0] < w):
        raise ValueError("an array is shorter than the working set")
    lmml_options_default(&options)
    options.cd_tol = cd_tol
    options.max_sweeps = max_sweeps
    if ridge is not None:
        ridge_view = ridge
        if ridge_view.shape[0] < w:
            raise ValueError("ridge is shorter than the working set")
        ridge_pointer = &ridge_view[0]
    with nogil:
        code = lmml_residual_descent(KERNELS, w, n, &X[0, 0], &Z[0, 0], &norms[0], &threshold[0],
                                     ridge_pointer, scale, &options, &beta[0], &v[0], &info)
    check(code)
    return info.n_sweeps


# ---- LAPACK, and what follows from a tridiagonal matrix ------------------------------------------

from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer


cdef extern from "lmml_lapack.h" nogil:
    ctypedef void *lmml_dsytrd
    ctypedef void *lmml_dpotrf
    ctypedef void *lmml_dpotrs
    ctypedef struct lmml_lapack:
        int integer_bytes
        lmml_dsytrd dsytrd
        lmml_dpotrf dpotrf
        lmml_dpotrs dpotrs
    enum:
        LMML_ERR_NOT_POSITIVE
    int lmml_tridiagonalise(const lmml_lapack *, int64_t, double *, double *, double *, double *)
    int lmml_cholesky(const lmml_lapack *, int64_t, double *, int64_t)
    int lmml_cholesky_solve(const lmml_lapack *, int64_t, const double *, int64_t, int64_t,
                            double *, int64_t)
    void lmml_tridiagonal_rotate(const lmml_kernels *, int64_t, const double *, const double *,
                                 int, int64_t, double *)
    int lmml_tridiagonal_factor(int64_t, const double *, const double *, int64_t, const double *,
                                double *, double *, double *)
    void lmml_tridiagonal_forward(int64_t, int64_t, const double *, int64_t, const double *,
                                  double *)
    void lmml_tridiagonal_backward(int64_t, int64_t, const double *, int64_t, double *)


def capsule_signature(capsule):
    """The C signature of a function that Cython exports (its capsule's name)."""
    return PyCapsule_GetName(capsule).decode()


cdef class Lapack:
    """A table of LAPACK functions, from capsules whose signatures were checked."""

    cdef lmml_lapack table

    def __cinit__(self, int integer_bytes, dsytrd, dpotrf, dpotrs):
        self.table.integer_bytes = integer_bytes
        self.table.dsytrd = PyCapsule_GetPointer(dsytrd, PyCapsule_GetName(dsytrd))
        self.table.dpotrf = PyCapsule_GetPointer(dpotrf, PyCapsule_GetName(dpotrf))
        self.table.dpotrs = PyCapsule_GetPointer(dpotrs, PyCapsule_GetName(dpotrs))

    def tridiagonalise(self, double[:, ::1] A, double[::1] d, double[::1] e, double[::1] tau):
        """d, e of T and tau of Q, A = Q T Q'; A is overwritten by the reflectors."""
        cdef int64_t n = A.shape[0]
        cdef int code
        if n == 0 or A.shape[1] != n or d.shape[0] != n or not e.shape[0] == tau.shape[0] == n - 1:
            raise ValueError("expected A (n x n), d (n), e and tau (n - 1), n > 0")
        with nogil:
            code = lmml_tridiagonalise(&self.table, n, &A[0, 0], &d[0], &e[0], &tau[0])
        check(code)

    def cholesky(self, double[:, ::1] A, int64_t start):
        """Overwrite the upper triangle of A[start:, start:] by L', A = L L'.

        False: it is not positive definite, and in pieces.
        """
        cdef int64_t n = A.shape[0]
        cdef int code
        if A.shape[1] != n or not 0 <= start < n:
            raise ValueError("expected A (n x n) and a block of at least one row")
        with nogil:
            code = lmml_cholesky(&self.table, n - start, &A[start, start], n)
        if code == LMML_ERR_NOT_POSITIVE:
            return False
        check(code)
        return True

    def solve(self, const double[:, ::1] L, int64_t start, double[:, ::1] X):
        """Overwrite X[:, start:], row by row, by the solution of the factored block's system."""
        cdef int64_t n = L.shape[0]
        cdef int code
        if L.shape[1] != n or not 0 <= start < n or X.shape[1] != n:
            raise ValueError("expected L (n x n), a block of at least one row and rows of n")
        if X.shape[0] == 0:
            return
        with nogil:
            code = lmml_cholesky_solve(&self.table, n - start, &L[start, start], n, X.shape[0],
                                       &X[0, start], n)
        check(code)


def tridiagonal_rotate(const double[:, ::1] reflectors, const double[::1] tau, double[:, ::1] B,
                       bint back=False):
    """Overwrite each row b of B by Q'b, or by Q b (back)."""
    cdef int64_t n = reflectors.shape[0]
    if reflectors.shape[1] != n or tau.shape[0] != n - 1 or B.shape[1] != n:
        raise ValueError("expected reflectors (n x n), tau (n - 1) and rows of n")
    with nogil:
        lmml_tridiagonal_rotate(KERNELS, n, &reflectors[0, 0], &tau[0], back, B.shape[0],
                                &B[0, 0])


def tridiagonal_factor(const double[::1] d, const double[::1] e, const double[::1] deltas,
                       double[:, ::1] pivots, double[:, ::1] ratios, double[::1] trace):
    """T + delta I = L D L' for every delta; False: one of them is not positive definite."""
    cdef int64_t n = d.shape[0], n_deltas = deltas.shape[0]
    cdef int code
    if (n == 0 or e.shape[0] != n - 1 or pivots.shape[1] != n or ratios.shape[1] != n - 1
            or not pivots.shape[0] == ratios.shape[0] == trace.shape[0] == n_deltas):
        raise ValueError("expected d (n), e (n - 1) and one row of each result per delta")
    with nogil:
        code = lmml_tridiagonal_factor(n, &d[0], &e[0], n_deltas, &deltas[0], &pivots[0, 0],
                                       &ratios[0, 0], &trace[0])
    if code == LMML_ERR_NOT_POSITIVE:
        return False
    check(code)
    return True


def tridiagonal_forward(const double[:, ::1] ratios, const double[:, ::1] B, double[:, :, ::1] X):
    """X[g, k] = L^-1 b for every delta g and every row b of B."""
    cdef int64_t n = B.shape[1], k = B.shape[0], n_deltas = ratios.shape[0]
    if (n == 0 or ratios.shape[1] != n - 1 or X.shape[0] != n_deltas or X.shape[1] != k
            or X.shape[2] != n):
        raise ValueError("expected ratios (g x n-1), B (k x n) and X (g x k x n)")
    with nogil:
        lmml_tridiagonal_forward(n, n_deltas, &ratios[0, 0], k, &B[0, 0], &X[0, 0, 0])


def tridiagonal_backward(const double[:, ::1] ratios, double[:, :, ::1] X):
    """Overwrite every row x of X[g] by L'^-1 x with the L of delta g."""
    cdef int64_t n = X.shape[2], n_deltas = ratios.shape[0]
    if n == 0 or ratios.shape[1] != n - 1 or X.shape[0] != n_deltas:
        raise ValueError("expected ratios (g x n-1) and X (g x k x n)")
    with nogil:
        lmml_tridiagonal_backward(n, n_deltas, &ratios[0, 0], X.shape[1], &X[0, 0, 0])
