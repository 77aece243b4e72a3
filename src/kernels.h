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

/* The vectors of one pass. `tiles` holds the same digits once more for matrix instructions (NULL
 * below the table's tiles_from): the limbs of all vectors are columns, sixteen columns a tile;
 * a tile has 16 rows of 64 bytes, its entry (r, 4 c + i) is digit 4 r + i of column c. Column block
 * by column block, chunk by chunk, position in the byte by position. */
typedef struct {
    int n_vectors;
    lmml_vector vectors[LMML_MAX_VECTORS];
    int n_column_blocks;
    const int8_t *tiles; /* begins with a cache line */
    void *tiles_memory;  /* of which it is a part */
    int64_t stride;      /* of rows that follow each other */
    int64_t ahead;       /* how many bytes ahead to prefetch: hardware stops at the end of a page */
} lmml_operand;

enum { LMML_TILE_COLUMNS = 16, LMML_TILE_BYTES = 1024 };

/* 32-bit sums: n samples add at most 3 * 128 n, so that they are taken to 64 bits after this many
 * chunks (4 million samples). */
enum { LMML_MAX_CHUNKS = 1 << 14 };

/* The digits' sums of one vector, weighted by their place. Seven limbs: high and low; three: low.
 */
static inline lmml_sum lmml_weigh(const int32_t *sums, const int n_limbs)
{
    lmml_sum sum = {0, 0};
    const int n_high = n_limbs > 3 ? n_limbs - 3 : 0;
    for (int l = 0; l < n_high; l++) sum.high = sum.high * 256 + sums[l];
    for (int l = n_high; l < n_limbs; l++) sum.low = sum.low * 256 + sums[l];
    return sum;
}

struct lmml_kernels {
    const char *name;
    int tiles_from;   /* digits of a genotype from which the operand has tiles */
    int missing_code; /* what dot() below takes a missing genotype for */
    /* sums[a * n_vectors + k] = sum over samples of f(code of variant a) * v_k, where f is
     * 2 - dosage with missing = missing_code (missing == 0) or the indicator of missing
     * (missing == 1). Reads n_chunks * 64 bytes of every variant; what lies past its end meets
     * zero digits. */
    void (*dot)(const uint8_t *const *variants, int n_variants, int64_t n_chunks,
                const lmml_operand *v, int missing, lmml_sum *sums);
    /* counts[g]: samples in the mask with code g */
    void (*count)(const uint8_t *variant, const uint8_t *mask, int64_t n_bytes, int32_t *counts);
    /* out[i] = table[code of sample i], for n samples; reads (n + 3) / 4 bytes */
    void (*decode_f32)(const uint8_t *variant, int64_t n, const float *table, float *out);
    void (*decode_f64)(const uint8_t *variant, int64_t n, const double *table, double *out);
    /* the codes of the samples in the mask, packed again; NULL where there is no instruction for it
     * that is fast on every processor of the set */
    void (*compress)(const uint8_t *variant, const uint8_t *mask, int64_t n_bytes, uint8_t *out);
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
#if defined(LMML_HAVE_AMX)
extern const lmml_kernels lmml_kernels_amx;
#endif

#endif
