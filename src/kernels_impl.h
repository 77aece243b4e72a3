/* kernels_impl.h - the kernels, one source for every instruction set (internal).
 *
 * The including file defines
 *   ISA_NAME, ISA_TABLE     the table's name and identifier
 *   VEC, VBYTES             a vector of bytes and its length (divides 64)
 *   LOAD(p)                 unaligned load
 *   AND, ANDNOT(a, b)       a & b, ~a & b
 *   SUB8, SHR(a, k), SET1   byte-wise subtraction, shift of 16-bit (or byte) lanes, broadcast byte
 *   ACC, ACC_ZERO           an accumulator of 32-bit integers
 *   DOT(acc, u, s)          acc + sums of products of unsigned bytes u <= 2 and signed bytes s
 *   ACC_SUM(acc)            the sum of its lanes as int64_t
 *   GROUP_SCREENING, GROUP_CERTIFICATE  SNPs handled together: as many as the registers hold
 */
#include <string.h>

#include "kernels.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* A chunk adds at most 256 * 2 * 128 / 8 = 2^13 to a 32-bit lane of ACC (8 lanes or more), so this
 * many chunks (33 million samples) cannot overflow it. */
enum { MAX_CHUNKS = 1 << 17, MAX_GROUP = 4, MAX_LIMBS = LMML_LIMBS_CERTIFICATE };

/* One chunk: sub-vectors of 64 bytes; field f of every byte meets digits 64 f .. 64 f + 63. */
ALWAYS_INLINE void dot_chunk(const uint8_t *const *x, const int group, const int n_limbs,
                             const int missing, const int8_t *digits, ACC acc[MAX_GROUP][MAX_LIMBS])
{
    const VEC field = SET1(0x03), low = SET1(0x55);
#pragma GCC unroll 8
    for (int s = 0; s < LMML_CHUNK_BYTES; s += VBYTES) {
        VEC y[MAX_GROUP];
#pragma GCC unroll 4
        for (int a = 0; a < group; a++) {
            const VEC code = LOAD(x[a] + s);
            const VEC high = SHR(code, 1);
            /* fields of y: code - high bit = 2 - dosage (missing: 1); or: low bit without high */
            y[a] = missing ? AND(ANDNOT(high, code), low) : SUB8(code, AND(high, low));
        }
#pragma GCC unroll 4
        for (int f = 0; f < 4; f++) {
            VEC u[MAX_GROUP];
#pragma GCC unroll 4
            for (int a = 0; a < group; a++) u[a] = AND(f ? SHR(y[a], 2 * f) : y[a], field);
#pragma GCC unroll 7
            for (int l = 0; l < n_limbs; l++) {
                const VEC d = LOAD(digits + l * LMML_CHUNK_SAMPLES + f * LMML_CHUNK_BYTES + s);
#pragma GCC unroll 4
                for (int a = 0; a < group; a++) acc[a][l] = DOT(acc[a][l], u[a], d);
            }
        }
    }
}

ALWAYS_INLINE void dot_group(const uint8_t *const *variants, const int group, int64_t n_bytes,
                             const int8_t *limbs, const int n_limbs, const int missing,
                             int64_t *sums)
{
    const int64_t n_chunks = n_bytes / LMML_CHUNK_BYTES, rest = n_bytes % LMML_CHUNK_BYTES;
    const int64_t chunk_digits = (int64_t)n_limbs * LMML_CHUNK_SAMPLES;
    const uint8_t *x[MAX_GROUP];
    uint8_t tail[MAX_GROUP][LMML_CHUNK_BYTES];

    for (int a = 0; a < group; a++) {
        x[a] = variants[a];
        for (int l = 0; l < n_limbs; l++) sums[a * n_limbs + l] = 0;
    }
    for (int64_t chunk = 0; chunk < n_chunks || (chunk == n_chunks && rest);) {
        const int64_t stop = n_chunks - chunk > MAX_CHUNKS ? chunk + MAX_CHUNKS : n_chunks;
        ACC acc[MAX_GROUP][MAX_LIMBS];
#pragma GCC unroll 4
        for (int a = 0; a < group; a++)
#pragma GCC unroll 7
            for (int l = 0; l < n_limbs; l++) acc[a][l] = ACC_ZERO;
        for (; chunk < stop; chunk++) {
            dot_chunk(x, group, n_limbs, missing, limbs + chunk * chunk_digits, acc);
#pragma GCC unroll 4
            for (int a = 0; a < group; a++) x[a] += LMML_CHUNK_BYTES;
        }
        if (chunk == n_chunks) {
            if (rest) { /* never read past a row: the last one ends where the file ends */
                for (int a = 0; a < group; a++) {
                    memset(tail[a], 0, sizeof tail[a]);
                    memcpy(tail[a], x[a], (size_t)rest);
                    x[a] = tail[a];
                }
                dot_chunk(x, group, n_limbs, missing, limbs + chunk * chunk_digits, acc);
            }
            chunk = n_chunks + 1;
        }
#pragma GCC unroll 4
        for (int a = 0; a < group; a++)
#pragma GCC unroll 7
            for (int l = 0; l < n_limbs; l++) sums[a * n_limbs + l] += ACC_SUM(acc[a][l]);
    }
}

ALWAYS_INLINE void dot_all(const uint8_t *const *variants, int n_variants, int64_t n_bytes,
                           const int8_t *limbs, const int n_limbs, const int missing,
                           const int group, int64_t *sums)
{
    int a = 0;
    for (; a + group <= n_variants; a += group)
        dot_group(variants + a, group, n_bytes, limbs, n_limbs, missing, sums + a * n_limbs);
    for (; a < n_variants; a++)
        dot_group(variants + a, 1, n_bytes, limbs, n_limbs, missing, sums + a * n_limbs);
}

static void dot(const uint8_t *const *variants, int n_variants, int64_t n_bytes,
                const int8_t *limbs, int n_limbs, int missing, int64_t *sums)
{
    if (n_limbs == LMML_LIMBS_SCREENING) {
        if (missing)
            dot_all(variants, n_variants, n_bytes, limbs, LMML_LIMBS_SCREENING, 1, GROUP_SCREENING,
                    sums);
        else
            dot_all(variants, n_variants, n_bytes, limbs, LMML_LIMBS_SCREENING, 0, GROUP_SCREENING,
                    sums);
    } else {
        if (missing)
            dot_all(variants, n_variants, n_bytes, limbs, LMML_LIMBS_CERTIFICATE, 1,
                    GROUP_CERTIFICATE, sums);
        else
            dot_all(variants, n_variants, n_bytes, limbs, LMML_LIMBS_CERTIFICATE, 0,
                    GROUP_CERTIFICATE, sums);
    }
}

static void count(const uint8_t *variant, const uint8_t *mask, int64_t n_bytes, int32_t *counts)
{
    int64_t n_masked = 0, n_low = 0, n_high = 0, n_both = 0;
    for (int64_t b = 0; b < n_bytes; b += 8) {
        uint64_t code = 0, m = 0;
        const size_t step = n_bytes - b < 8 ? (size_t)(n_bytes - b) : 8;
        memcpy(&code, variant + b, step);
        memcpy(&m, mask + b, step);
        const uint64_t low = code & m, high = (code >> 1) & m;
        n_masked += __builtin_popcountll(m);
        n_low += __builtin_popcountll(low);
        n_high += __builtin_popcountll(high);
        n_both += __builtin_popcountll(low & high);
    }
    counts[1] = (int32_t)(n_low - n_both);
    counts[2] = (int32_t)(n_high - n_both);
    counts[3] = (int32_t)n_both;
    counts[0] = (int32_t)(n_masked - n_low - n_high + n_both);
}

static void axpy(int64_t n, double a, const double *restrict x, double *restrict y)
{
    for (int64_t i = 0; i < n; i++) y[i] += a * x[i];
}

/* Sixteen partial sums in a fixed order: the compiler may vectorise them without being allowed to
 * reorder a single addition. */
static double dot_f64(int64_t n, const double *restrict x, const double *restrict y)
{
    double s[16] = {0};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int k = 0; k < 16; k++) s[k] += x[i + k] * y[i + k];
    for (int k = 0; i < n; i++, k++) s[k] += x[i] * y[i];
    for (int step = 8; step; step >>= 1)
        for (int k = 0; k < step; k++) s[k] += s[k + step];
    return s[0];
}

const lmml_kernels ISA_TABLE = {ISA_NAME, dot, count, axpy, dot_f64};
