# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: freethreading_compatible=True
"""The C core, converted: check shapes, one C call without the GIL, map the return code.

Nothing here computes. Shapes, types and finiteness of what users pass are validated by the
Python modules that call these functions.
"""

import os

import numpy as np

from libc.stddef cimport size_t
from libc.string cimport memcpy, memset
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint64_t

from lmmlasso_fast.errors import LMMLassoError


cdef extern from "mapped_files.h" nogil:
    int MAPPED_FILE_SAME
    int MAPPED_FILE_RESIZED
    int MAPPED_FILE_WRITTEN
    int mapped_file_watch(const void *start, size_t length, int file)
    void mapped_file_forget(int watch)
    int mapped_file_state(int watch)
    int mapped_files_catch()
    void mapped_files_release()

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
    ctypedef struct lmml_batch:
        int64_t m
        const double *alpha
        const double *cd_tol
        double l1
        double l2
        const double *weight
        double before
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
    ctypedef struct lmml_dosages:
        const void *data
        int64_t n_variants
        int64_t n_samples
        int bytes
        uint16_t top
    enum:
        LMML_DOSAGE_SUMS
    int lmml_dosage_sums(const lmml_dosages *, const int64_t *, int64_t, int64_t, int64_t,
                         int64_t *)
    int lmml_dosage_gradient(const lmml_kernels *, const lmml_dosages *, const int64_t *, int64_t,
                             const double *, const double *, const double *, int, int64_t,
                             int64_t, double *, int64_t)
    int lmml_dosage_decode_f32(const lmml_kernels *, const lmml_dosages *, const int64_t *,
                               int64_t, const double *, const double *, const int64_t *, int64_t,
                               float *)
    int lmml_dosage_decode_f64(const lmml_kernels *, const lmml_dosages *, const int64_t *,
                               int64_t, const double *, const double *, const int64_t *, int64_t,
                               double *)
    int lmml_dosage_hash(const lmml_dosages *, const int64_t *, int64_t, int64_t, int64_t,
                         uint64_t *)
    int lmml_dosage_duplicates(const lmml_dosages *, const int64_t *, int64_t, const int64_t *,
                               const uint64_t *, int64_t, int64_t *, int8_t *)
    int lmml_dosage_missing(const lmml_dosages *, const uint8_t *, int64_t, int64_t, int64_t *)
    void lmml_square_subset(int64_t, const double *, int64_t, const int64_t *, double, double *)
    void lmml_add_rounded(int64_t, const float *, double, double *)
    void lmml_largest_score(int64_t, const double *, const double *, const uint8_t *, double *,
                            double *)
    int64_t lmml_scores_above(int64_t, const double *, const double *, double, const double *,
                              const uint8_t *, double, int64_t *, double *)
    void lmml_options_default(lmml_options *)
    int lmml_factor_init(lmml_factor *)
    void lmml_factor_free(lmml_factor *)
    int lmml_lasso_batch(const lmml_kernels *, const lmml_lasso *, const lmml_batch *,
                         lmml_factor *, double *, double *, uint8_t *, double *, int *, double *)
    void lmml_project_off(const lmml_kernels *, int64_t, int64_t, const double *, int64_t,
                          double *, double, uint8_t *)
    void lmml_gram_grow(int64_t, int64_t, const double *, const uint8_t *, double *, int64_t)
    void lmml_subtract_rows(const lmml_kernels *, int64_t, int64_t, int64_t, const double *,
                            const double *, double *)
    int lmml_residual_descent(const lmml_kernels *, int64_t, int64_t, const double *,
                              const double *, const double *, const double *, const double *,
                              double, const lmml_options *, double *, double *, lmml_info *)
    ctypedef struct lmml_reml:
        int64_t m
        const double *s
        const double *y
        int64_t n_grid
        const double *log_delta
        const double *of_y
    void lmml_row_squares(int64_t, int64_t, const float *, double *)
    int lmml_reml_scan(const lmml_reml *, int64_t, const double *, const double *, const double *,
                       double *)
    void lmml_log10_p(int64_t, const double *, double, double *)


cdef extern from "Python.h":
    ctypedef struct PyThreadState:
        pass
    PyThreadState *PyEval_SaveThread()
    void PyEval_RestoreThread(PyThreadState *)


# What takes less than this many steps (of about a nanosecond) keeps the GIL: a thread that lets go
# of it may wait longer for it than that.
cdef enum:
    WORTH_THE_GIL = 1 << 17


cdef inline PyThreadState *let_go(double n_steps):
    return PyEval_SaveThread() if n_steps > WORTH_THE_GIL else NULL


cdef inline void take_back(PyThreadState *state):
    if state != NULL:
        PyEval_RestoreThread(state)


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
    if index.shape[0] != v.shape[0]:
        raise ValueError("v must have one number per analysed sample")
    cdef int64_t size = lmml_limbs_size(n_samples, n_limbs)
    storage = np.empty(size + 64, dtype=np.int8)
    offset = -storage.ctypes.data % 64
    buffer = storage[offset : offset + size]
    cdef int8_t[::1] view = buffer
    cdef double unit = 0
    cdef int code
    cdef PyThreadState *state = let_go(5.0 * n_samples)
    code = lmml_limbs_fill(&v[0], &index[0], v.shape[0], n_samples, n_limbs, &view[0], &unit)
    take_back(state)
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
    if not mean.shape[0] == inverse_sd.shape[0] == n_missing.shape[0] == packed.n_variants:
        raise ValueError("mean, inverse_sd and n_missing must have one entry per SNP")
    if start == stop:
        return
    for k in range(n_vectors):
        buffer = vectors[k][0]
        if buffer.shape[0] != lmml_limbs_size(n_samples, vectors[k][1]):
            raise ValueError("vectors must be of as many samples as data")
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
    cdef PyThreadState *state
    cdef int code
    if out.shape[0] != variants.shape[0] or out.shape[1] != index.shape[0]:
        raise ValueError("out must have one row per SNP and one column per sample")
    if mean.shape[0] != variants.shape[0] or inverse_sd.shape[0] != variants.shape[0]:
        raise ValueError("mean and inverse_sd must have one entry per row of out")
    if out.shape[0] == 0 or out.shape[1] == 0:
        return
    state = let_go(<double>n_samples * variants.shape[0])
    if real is float:
        code = lmml_decode_f32(KERNELS, &packed, &variants[0], variants.shape[0], &mean[0],
                               &inverse_sd[0], &index[0], index.shape[0], &out[0, 0])
    else:
        code = lmml_decode_f64(KERNELS, &packed, &variants[0], variants.shape[0], &mean[0],
                               &inverse_sd[0], &index[0], index.shape[0], &out[0, 0])
    take_back(state)
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


ctypedef fused code:
    uint8_t
    uint16_t


cdef lmml_dosages dosage_view(const code[:, ::1] data) noexcept:
    cdef lmml_dosages dosages
    dosages.data = &data[0, 0] if data.shape[0] and data.shape[1] else NULL
    dosages.n_variants = data.shape[0]
    dosages.n_samples = data.shape[1]
    dosages.bytes = sizeof(code)
    dosages.top = 254 if code is uint8_t else 32768
    return dosages


cdef inline const int64_t *index_of(const int64_t[::1] index) noexcept:
    return &index[0] if index is not None else NULL


cdef inline int64_t length_of(const int64_t[::1] index, const lmml_dosages *dosages) noexcept:
    return index.shape[0] if index is not None else dosages.n_samples


def dosage_sums(const code[:, ::1] data, const int64_t[::1] index, int64_t start,
                int64_t[:, ::1] out):
    """out[k] = present samples, sum, sum of squares, lowest, highest code of SNP start + k."""
    cdef lmml_dosages dosages = dosage_view(data)
    cdef const int64_t *chosen = index_of(index)
    cdef int64_t n = length_of(index, &dosages), stop = start + out.shape[0]
    cdef int error
    if out.shape[1] != LMML_DOSAGE_SUMS:
        raise ValueError("out must have five columns")
    if out.shape[0] == 0:
        return
    with nogil:
        error = lmml_dosage_sums(&dosages, chosen, n, start, stop, &out[0, 0])
    check(error)


def dosage_gradient(
    const code[:, ::1] data,
    const int64_t[::1] index,
    const double[::1] mean,
    const double[::1] inverse_sd,
    const double[:, ::1] v,
    int64_t start,
    int64_t stop,
    double[:, ::1] out,
):
    """out[k, j] = sum of (code - mean_j) inverse_sd_j v_k for start <= j < stop."""
    cdef lmml_dosages dosages = dosage_view(data)
    cdef const int64_t *chosen = index_of(index)
    cdef int64_t n = length_of(index, &dosages)
    cdef int error, n_vectors = v.shape[0]
    if v.shape[1] != n or out.shape[0] != n_vectors:
        raise ValueError("v must have one row per row of out and one column per sample")
    if not 0 <= start <= stop <= out.shape[1] or not (
        out.shape[1] == dosages.n_variants == mean.shape[0] == inverse_sd.shape[0]
    ):
        raise ValueError("out, mean and inverse_sd must have one column per SNP")
    if start == stop or n == 0 or n_vectors == 0:
        return
    with nogil:
        error = lmml_dosage_gradient(KERNELS, &dosages, chosen, n, &mean[0], &inverse_sd[0],
                                     &v[0, 0], n_vectors, start, stop, &out[0, start],
                                     out.shape[1])
    check(error)


def dosage_decode(
    const code[:, ::1] data,
    const int64_t[::1] variants,
    const double[::1] mean,
    const double[::1] inverse_sd,
    const int64_t[::1] index,
    real[:, ::1] out,
):
    """out[k] = (code - mean[k]) * inverse_sd[k] of SNP variants[k], missing = 0."""
    cdef lmml_dosages dosages = dosage_view(data)
    cdef const int64_t *chosen = index_of(index)
    cdef int64_t n = length_of(index, &dosages)
    cdef PyThreadState *state
    cdef int error
    if out.shape[0] != variants.shape[0] or out.shape[1] != n:
        raise ValueError("out must have one row per SNP and one column per sample")
    if mean.shape[0] != variants.shape[0] or inverse_sd.shape[0] != variants.shape[0]:
        raise ValueError("mean and inverse_sd must have one entry per row of out")
    if out.shape[0] == 0 or n == 0:
        return
    state = let_go(<double>n * variants.shape[0])
    if real is float:
        error = lmml_dosage_decode_f32(KERNELS, &dosages, &variants[0], variants.shape[0], &mean[0],
                                       &inverse_sd[0], chosen, n, &out[0, 0])
    else:
        error = lmml_dosage_decode_f64(KERNELS, &dosages, &variants[0], variants.shape[0], &mean[0],
                                       &inverse_sd[0], chosen, n, &out[0, 0])
    take_back(state)
    check(error)


def dosage_hashes(const code[:, ::1] data, const int64_t[::1] index):
    """One number per SNP, equal for duplicates whichever allele is counted."""
    cdef lmml_dosages dosages = dosage_view(data)
    cdef const int64_t *chosen = index_of(index)
    cdef int64_t n = length_of(index, &dosages)
    result = np.empty(dosages.n_variants, dtype=np.uint64)
    cdef uint64_t[::1] view = result
    cdef int error
    if dosages.n_variants == 0:
        return result
    with nogil:
        error = lmml_dosage_hash(&dosages, chosen, n, 0, dosages.n_variants, &view[0])
    check(error)
    return result


def dosage_duplicates(const code[:, ::1] data, const int64_t[::1] index, const int64_t[::1] rows,
                      const uint64_t[::1] hash):
    """(original, sign) of rows sorted by hash: the first equal row, -1 with alleles swapped."""
    cdef lmml_dosages dosages = dosage_view(data)
    cdef const int64_t *chosen = index_of(index)
    cdef int64_t n = length_of(index, &dosages)
    original, sign = np.empty(rows.shape[0], dtype=np.int64), np.empty(rows.shape[0], dtype=np.int8)
    cdef int64_t[::1] original_view = original
    cdef int8_t[::1] sign_view = sign
    cdef int error
    if hash.shape[0] != rows.shape[0]:
        raise ValueError("rows and hash must have one length")
    if rows.shape[0]:
        with nogil:
            error = lmml_dosage_duplicates(&dosages, chosen, n, &rows[0], &hash[0], rows.shape[0],
                                           &original_view[0], &sign_view[0])
        check(error)
    return original, sign


def dosage_missing(const code[:, ::1] data, const uint8_t[::1] use_variant):
    """Missing dosages of every sample of the rows over the SNPs in use."""
    cdef lmml_dosages dosages = dosage_view(data)
    result = np.zeros(dosages.n_samples, dtype=np.int64)
    cdef int64_t[::1] view = result
    cdef int error
    if use_variant.shape[0] != dosages.n_variants:
        raise ValueError("use_variant must have one entry per SNP")
    if dosages.n_variants == 0 or dosages.n_samples == 0:
        return result
    with nogil:
        error = lmml_dosage_missing(&dosages, &use_variant[0], 0, dosages.n_variants, &view[0])
    check(error)
    return result


def square_subset(const double[:, ::1] A, const int64_t[::1] index, double divisor):
    """A[index, index] / divisor; the index was checked."""
    cdef int64_t n = A.shape[0], k = index.shape[0]
    out = np.empty((k, k))
    cdef double[:, ::1] view = out
    if A.shape[1] != n:
        raise ValueError("expected a square matrix")
    if k:
        with nogil:
            lmml_square_subset(n, &A[0, 0], k, &index[0], divisor, &view[0, 0])
    return out


def project_off(const double[:, ::1] Q, double[:, ::1] X, double share):
    """Take out of every row of X what is along the orthonormal rows of Q.

    Returns 1 for every row of whose squared length no more than `share` is left.
    """
    cdef int64_t n = X.shape[1], k = X.shape[0], c = Q.shape[0]
    cdef PyThreadState *state
    result = np.zeros(k, dtype=np.uint8)
    cdef uint8_t[::1] view = result
    if c and Q.shape[1] != n:
        raise ValueError("expected rows of one length")
    if k == 0 or n == 0:
        return result
    state = let_go(0.3 * (c + 1) * k * n)
    lmml_project_off(KERNELS, n, c, &Q[0, 0] if c else NULL, k, &X[0, 0], share, &view[0])
    take_back(state)
    return result


def grow_gram(double[:, ::1] gram, int64_t old, const double[:, ::1] cross,
              const uint8_t[::1] zero):
    """Enter SNPs old, old + 1, ... of a working set, whose products with all of it are in cross.

    Rows that are `zero` count as such; the block of the new ones is made symmetric.
    """
    cdef int64_t w = cross.shape[1]
    cdef PyThreadState *state
    if not (0 <= old <= w and w - old == cross.shape[0] == zero.shape[0]
            and gram.shape[0] >= w and gram.shape[1] >= w):
        raise ValueError("expected one row of cross per new SNP, and room for them in gram")
    if old == w:
        return
    state = let_go(<double>(w - old) * w)
    lmml_gram_grow(old, w, &cross[0, 0], &zero[0], &gram[0, 0], gram.shape[1])
    take_back(state)


def add_rounded(const float[:, ::1] part, double grid, double[:, ::1] total):
    """total += part, rounded to multiples of grid (a power of two)."""
    cdef const float *values = &part[0, 0]
    cdef int64_t n = total.shape[0] * total.shape[1]
    if part.shape[0] != total.shape[0] or part.shape[1] != total.shape[1]:
        raise ValueError("part and total must have one shape")
    with nogil:
        lmml_add_rounded(n, values, grid, &total[0, 0])


def largest_scores(const double[:, ::1] gradients, factor, const uint8_t[::1] skip):
    """For every row the largest |gradient_j| / factor_j, of all SNPs and of those not skipped.

    factor None: 1, or a gradient of 0.
    """
    cdef int64_t m = gradients.shape[0], p = gradients.shape[1], k
    cdef const double[::1] factor_view
    cdef const double *factors = NULL
    cdef PyThreadState *state
    result = np.zeros((2, m))
    cdef double[:, ::1] largest = result
    if skip.shape[0] != p or (factor is not None and len(factor) != p):
        raise ValueError("all arrays must have one number per SNP")
    if m == 0 or p == 0:
        return result
    if factor is not None:
        factor_view = factor
        factors = &factor_view[0]
    state = let_go(<double>m * p)
    for k in range(m):
        lmml_largest_score(p, &gradients[k, 0], factors, &skip[0], &largest[0, k], &largest[1, k])
    take_back(state)
    return result


def scores_above(const double[::1] gradient, slope, double change, factor,
                 const uint8_t[::1] skip, double threshold):
    """(index, score) of the SNPs not skipped with |gradient + change slope| / factor >= threshold.

    slope may be None, factor as for `largest_scores`.
    """
    cdef int64_t p = gradient.shape[0], n_found
    cdef PyThreadState *state
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
    state = let_go(p)
    n_found = lmml_scores_above(p, &gradient[0], slopes, change, factors, &skip[0], threshold,
                                &index_view[0], &score_view[0])
    take_back(state)
    return index[:n_found].copy(), score[:n_found].copy()


cdef class GramSolver:
    """The Lasso on a working set, with the Cholesky factor that lives from alpha to alpha."""

    cdef lmml_factor factor

    def __cinit__(self):
        check(lmml_factor_init(&self.factor))

    def __dealloc__(self):
        lmml_factor_free(&self.factor)

    def solve(self, const double[:, ::1] gram, const double[::1] c, const double[:, ::1] Z,
              const double[::1] weight, double l1, double l2, const double[::1] alpha,
              const double[::1] cd_tol, double before, double scale, const double[::1] v,
              double[::1] beta):
        """Solve for every alpha, from the warm start in beta, which is overwritten by the last.

        The working set is the first len(beta) rows of `gram` and `Z`; threshold_j = alpha l1
        weight_j, ridge_j = alpha l2 weight_j. before > 0: beta is the exact solution there, just
        found; follow its tangent.

        Returns (betas, exact, V): the rows of V are v - betas Z and, if there is a tangent at the
        end, minus its sum of rows of Z.
        """
        cdef int64_t w = beta.shape[0], n = v.shape[0], m = alpha.shape[0], k
        cdef lmml_lasso problem
        cdef lmml_batch batch
        cdef int code, has_tangent = 0
        # the last row of the coefficients is the tangent
        betas, V = np.empty((m + 1, w)), np.empty((m + 1, n))
        exact = np.ones(m, dtype=np.uint8)
        cdef double[:, ::1] V_view = V
        for k in range(m):
            memcpy(&V_view[k, 0], &v[0], n * sizeof(double))
        memset(&V_view[m, 0], 0, n * sizeof(double))
        if (gram.shape[0] < w or gram.shape[1] < w or c.shape[0] < w or weight.shape[0] < w
                or Z.shape[0] < w):
            raise ValueError("an array is shorter than the working set")
        if cd_tol.shape[0] != m or Z.shape[1] != n:
            raise ValueError("expected a tolerance for every alpha, and rows of Z as long as v")
        if w == 0 or m == 0:
            return betas[:m], exact, V[:m]
        work = np.empty(3 * w)
        cdef double[:, ::1] betas_view = betas
        cdef uint8_t[::1] exact_view = exact
        cdef double[::1] work_view = work
        problem.w = w
        problem.ld = gram.shape[1]
        problem.G = &gram[0, 0]
        problem.c = &c[0]
        problem.scale = scale
        batch.m = m
        batch.alpha = &alpha[0]
        batch.cd_tol = &cd_tol[0]
        batch.l1 = l1
        batch.l2 = l2
        batch.weight = &weight[0]
        batch.before = before
        with nogil:
            code = lmml_lasso_batch(KERNELS, &problem, &batch, &self.factor, &beta[0],
                                    &betas_view[0, 0], &exact_view[0], &betas_view[m, 0],
                                    &has_tangent, &work_view[0])
            if code == LMML_OK:
                lmml_subtract_rows(KERNELS, n, w, m + has_tangent, &betas_view[0, 0], &Z[0, 0],
                                   &V_view[0, 0])
        check(code)
        return betas[:m], exact, V[: m + has_tangent]


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


def row_squares(const float[:, ::1] Z):
    """The squared length of every row, in double precision."""
    cdef int64_t k = Z.shape[0], n = Z.shape[1]
    result = np.zeros(k)
    cdef double[::1] view = result
    if k and n:
        with nogil:
            lmml_row_squares(k, n, &Z[0, 0], &view[0])
    return result


def reml_scan(const double[::1] s, const double[::1] y, const double[::1] log_delta,
              const double[:, ::1] of_y, const double[:, ::1] Z, const double[:, ::1] xx,
              const double[:, ::1] xy):
    """Rows of log delta, x'V^-1 x, x'V^-1 y and rss for the rows x of Z, as in lmml.h."""
    cdef lmml_reml model
    cdef int64_t k = Z.shape[0], m = s.shape[0], n_grid = log_delta.shape[0]
    cdef int code
    if (y.shape[0] != m or Z.shape[1] != m or of_y.shape[0] != n_grid or of_y.shape[1] != 4
            or not xx.shape[0] == xy.shape[0] == k
            or not xx.shape[1] == xy.shape[1] == 2 * n_grid or m < 2 or n_grid < 2):
        raise ValueError("expected s and y (m > 1), rows of m, tables of 4 and of 2 n_grid columns")
    result = np.empty((k, 4))
    cdef double[:, ::1] view = result
    if k == 0:
        return result
    model.m = m
    model.s = &s[0]
    model.y = &y[0]
    model.n_grid = n_grid
    model.log_delta = &log_delta[0]
    model.of_y = &of_y[0, 0]
    with nogil:
        code = lmml_reml_scan(&model, k, &Z[0, 0], &xx[0, 0], &xy[0, 0], &view[0, 0])
    check(code)
    return result


def log10_p(const double[::1] f, double df):
    """-log10 P(F > f) of F(1, df) for every f."""
    cdef int64_t n = f.shape[0]
    result = np.empty(n)
    cdef double[::1] view = result
    if n:
        with nogil:
            lmml_log10_p(n, &f[0], df, &view[0])
    return result


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
    void lmml_symmetric_difference(const lmml_kernels *, int64_t, int64_t, const double *,
                                   const double *, const double *, double, double *)
    ctypedef struct lmml_projected:
        int64_t n
        int64_t c
        const double *L
        const double *V
        const double *T
    int lmml_projected_solve(const lmml_kernels *, const lmml_lapack *, const lmml_projected *,
                             int64_t, double *)
    void lmml_tridiagonal_rotate(const lmml_kernels *, int64_t, const double *, const double *,
                                 int, int64_t, double *)
    int lmml_tridiagonal_is_positive(int64_t, const double *, const double *, double)
    enum:
        LMML_PROFILE_COLUMNS
    int64_t lmml_profile_work(int64_t, int64_t)
    int lmml_tridiagonal_profile(const lmml_kernels *, int64_t, int64_t, const double *,
                                 const double *, const double *, int64_t, const double *, double *,
                                 double *)


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

    def solve(self, const double[:, ::1] L, const double[:, ::1] V, const double[:, ::1] T,
              double[:, ::1] X):
        """Overwrite every row x of X by H (0 0; 0 (L L')^-1) H'x, H = I - V'T V for c rows of V.

        The factor is the block of L from row and column c on.
        """
        cdef lmml_projected P
        cdef int code
        P.n = L.shape[0]
        P.c = V.shape[0]
        if (L.shape[1] != P.n or P.c >= P.n or X.shape[1] != P.n or T.shape[0] != P.c
                or T.shape[1] != P.c or (P.c and V.shape[1] != P.n)):
            raise ValueError("expected L (n x n), V (c x n), T (c x c), rows of n and c < n")
        if X.shape[0] == 0:
            return
        P.L = &L[0, 0]
        P.V = &V[0, 0] if P.c else NULL
        P.T = &T[0, 0] if P.c else NULL
        with nogil:
            code = lmml_projected_solve(KERNELS, &self.table, &P, X.shape[0], &X[0, 0])
        check(code)


def symmetric_difference(const double[:, ::1] A, const double[:, ::1] V, const double[:, ::1] Y,
                         double delta):
    """The upper triangle of A - V'Y - Y'V + delta I; below it whatever the memory held."""
    cdef int64_t n = A.shape[0], c = V.shape[0]
    out = np.empty((n, n))
    cdef double[:, ::1] view = out
    if A.shape[1] != n or Y.shape[0] != c or (c and not V.shape[1] == Y.shape[1] == n):
        raise ValueError("expected A (n x n), V and Y (c x n)")
    if n:
        with nogil:
            lmml_symmetric_difference(KERNELS, n, c, &A[0, 0], &V[0, 0] if c else NULL,
                                      &Y[0, 0] if c else NULL, delta, &view[0, 0])
    return out


def tridiagonal_rotate(const double[:, ::1] reflectors, const double[::1] tau, double[:, ::1] B,
                       bint back=False):
    """Overwrite each row b of B by Q'b, or by Q b (back)."""
    cdef int64_t n = reflectors.shape[0]
    if reflectors.shape[1] != n or tau.shape[0] != n - 1 or B.shape[1] != n:
        raise ValueError("expected reflectors (n x n), tau (n - 1) and rows of n")
    with nogil:
        lmml_tridiagonal_rotate(KERNELS, n, &reflectors[0, 0], &tau[0], back, B.shape[0],
                                &B[0, 0])


def tridiagonal_is_positive(const double[::1] d, const double[::1] e, double shift):
    """Whether T + shift I is positive definite."""
    cdef int64_t n = d.shape[0]
    if n == 0 or e.shape[0] != n - 1:
        raise ValueError("expected d (n) and e (n - 1), n > 0")
    return bool(lmml_tridiagonal_is_positive(n, &d[0], &e[0], shift))


def tridiagonal_profile(const double[::1] d, const double[::1] e, const double[:, ::1] rows,
                        const double[::1] deltas):
    """One row per delta: log|V|, ... as in lmml.h; None: some V is not positive definite."""
    cdef int64_t n = d.shape[0], c = rows.shape[0] - 1, m = deltas.shape[0]
    cdef PyThreadState *state
    cdef int code
    if n == 0 or e.shape[0] != n - 1 or rows.shape[1] != n or c < 0:
        raise ValueError("expected d (n), e (n - 1), n > 0, and a row or more of n")
    result = np.empty((m, LMML_PROFILE_COLUMNS + c))
    work = np.empty(lmml_profile_work(n, c))
    cdef double[:, ::1] result_view = result
    cdef double[::1] work_view = work
    if m == 0:
        return result
    state = let_go(4.0 * n * (c + 2) * (m + 7) + 0.5 * n * c * c * m)
    code = lmml_tridiagonal_profile(KERNELS, n, c, &d[0], &e[0], &rows[0, 0], m, &deltas[0],
                                    &result_view[0, 0], &work_view[0])
    take_back(state)
    if code == LMML_ERR_NOT_POSITIVE:
        return None
    check(code)
    return result


# ---- files that are mapped ---------------------------------------------------------------------

SAME, RESIZED, WRITTEN = MAPPED_FILE_SAME, MAPPED_FILE_RESIZED, MAPPED_FILE_WRITTEN


def watch(array, int file):
    """Watch the memory of a map and its file, an open descriptor; the number of the watch."""
    cdef size_t start = array.ctypes.data, length = array.nbytes
    return mapped_file_watch(<const void *>start, length, file)


def forget(int watch):
    """End a watch."""
    mapped_file_forget(watch)


def watched_state(int watch):
    """SAME, RESIZED, WRITTEN, or another number: it cannot be read."""
    return mapped_file_state(watch)


def catch_bus_errors():
    """Whether this call installed the handler."""
    return bool(mapped_files_catch())


def release_bus_errors():
    """Give back the handler that was there before."""
    mapped_files_release()
