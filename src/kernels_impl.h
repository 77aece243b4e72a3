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
 *   ACC_SUM4(out, a, b, c, d)  out[0..3] = the sums of the lanes of four accumulators (int32_t)
 *   GROUP_SCREENING, GROUP_CERTIFICATE  SNPs handled together: as many as the registers hold
 */
#include <string.h>

#include "kernels.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* 32-bit sums: n samples add at most 2 * 128 n, so that they are taken to 64 bits after this many
 * chunks (8 million samples). */
enum { MAX_CHUNKS = 1 << 15, MAX_GROUP = 4, MAX_LIMBS = LMML_LIMBS_CERTIFICATE };

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

/* The sums of the digits' sums weighted by their place: value = high * 2^24 + low for seven limbs,
 * low alone for three. */
ALWAYS_INLINE lmml_sum weigh(const int32_t *sums, const int n_limbs)
{
    lmml_sum sum = {0, 0};
    const int n_high = n_limbs > 3 ? n_limbs - 3 : 0;
#pragma GCC unroll 4
    for (int l = 0; l < n_high; l++) sum.high = sum.high * 256 + sums[l];
#pragma GCC unroll 4
    for (int l = n_high; l < n_limbs; l++) sum.low = sum.low * 256 + sums[l];
    return sum;
}

ALWAYS_INLINE void dot_group(const uint8_t *const *variants, const int group, int64_t n_chunks,
                             const int8_t *limbs, const int n_limbs, const int missing,
                             lmml_sum *sums)
{
    const int64_t chunk_digits = (int64_t)n_limbs * LMML_CHUNK_SAMPLES;
    const uint8_t *x[MAX_GROUP];

#pragma GCC unroll 4
    for (int a = 0; a < group; a++) {
        x[a] = variants[a];
        sums[a] = (lmml_sum){0, 0};
    }
    for (int64_t chunk = 0; chunk < n_chunks;) {
        const int64_t stop = n_chunks - chunk > MAX_CHUNKS ? chunk + MAX_CHUNKS : n_chunks;
        int32_t lanes[(MAX_GROUP * MAX_LIMBS + 3) / 4 * 4];
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
#define ACC_AT(k) ((k) < group * n_limbs ? acc[(k) / n_limbs][(k) % n_limbs] : ACC_ZERO)
#pragma GCC unroll 7
        for (int k = 0; k < group * n_limbs; k += 4)
            ACC_SUM4(lanes + k, ACC_AT(k), ACC_AT(k + 1), ACC_AT(k + 2), ACC_AT(k + 3));
#pragma GCC unroll 4
        for (int a = 0; a < group; a++) {
            const lmml_sum part = weigh(lanes + a * n_limbs, n_limbs);
            sums[a].high += part.high;
            sums[a].low += part.low;
        }
    }
}

ALWAYS_INLINE void dot_all(const uint8_t *const *variants, int n_variants, int64_t n_chunks,
                           const int8_t *limbs, const int n_limbs, const int missing,
                           const int group, lmml_sum *sums)
{
    int a = 0;
    for (; a + group <= n_variants; a += group)
        dot_group(variants + a, group, n_chunks, limbs, n_limbs, missing, sums + a);
    for (; a < n_variants; a++)
        dot_group(variants + a, 1, n_chunks, limbs, n_limbs, missing, sums + a);
}

static void dot(const uint8_t *const *variants, int n_variants, int64_t n_chunks,
                const int8_t *limbs, int n_limbs, int missing, lmml_sum *sums)
{
    const int screening = n_limbs == LMML_LIMBS_SCREENING;
    if (screening && missing)
        dot_all(variants, n_variants, n_chunks, limbs, LMML_LIMBS_SCREENING, 1, GROUP_SCREENING,
                sums);
    else if (screening)
        dot_all(variants, n_variants, n_chunks, limbs, LMML_LIMBS_SCREENING, 0, GROUP_SCREENING,
                sums);
    else if (missing)
        dot_all(variants, n_variants, n_chunks, limbs, LMML_LIMBS_CERTIFICATE, 1, GROUP_CERTIFICATE,
                sums);
    else
        dot_all(variants, n_variants, n_chunks, limbs, LMML_LIMBS_CERTIFICATE, 0, GROUP_CERTIFICATE,
                sums);
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
