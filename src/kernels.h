/* kernels.h - the table that every instruction set fills (internal).
 *
 * A new instruction set is one file kernels_<name>.c that defines the vector macros listed at the
 * top of kernels_impl.h, includes it, and is added to dispatch.c and CMakeLists.txt. */
#ifndef LMML_KERNELS_H
#define LMML_KERNELS_H

#include <stdint.h>

#include "lmml.h"

/* Genotypes are read in chunks of 64 bytes = 256 samples. In the limb buffer the 256 digits of a
 * chunk are ordered by the position of the sample within its byte (all samples 4 b, then all
 * 4 b + 1, ...), so that masking a shifted chunk lines up with 64 consecutive digits. Chunk by
 * chunk, limb by limb. */
enum { LMML_CHUNK_BYTES = 64, LMML_CHUNK_SAMPLES = 256 };

/* A sum of products with v in units of the lowest digit: high * 2^24 + low. */
typedef struct {
    int64_t high, low;
} lmml_sum;

struct lmml_kernels {
    const char *name;
    /* sums[a] = sum over samples of f(code of variant a) * v, where f is 2 - dosage with missing =
     * 1 (missing == 0) or the indicator of missing (missing == 1). Reads n_chunks * 64 bytes of
     * every variant; what lies past its end meets zero digits. */
    void (*dot)(const uint8_t *const *variants, int n_variants, int64_t n_chunks,
                const int8_t *limbs, int n_limbs, int missing, lmml_sum *sums);
    /* counts[g]: samples in the mask with code g */
    void (*count)(const uint8_t *variant, const uint8_t *mask, int64_t n_bytes, int32_t *counts);
    /* y += a * x */
    void (*axpy)(int64_t n, double a, const double *x, double *y);
    /* x'y */
    double (*dot_f64)(int64_t n, const double *x, const double *y);
};

extern const lmml_kernels lmml_kernels_generic;
#if defined(LMML_HAVE_X86)
extern const lmml_kernels lmml_kernels_avx2;
extern const lmml_kernels lmml_kernels_avx512;
#endif

#endif
