/* kernels_impl.h - the kernels, one source for every instruction set (internal).
 *
 * The including file defines
 *   ISA_NAME, ISA_TABLE     the table's name and identifier
 *   VEC, VBYTES             a vector of bytes and its length (divides 64)
 *   LOAD(p)                 unaligned load
 *   AND, ANDNOT(a, b)       a & b, ~a & b
 *   SUB8, SHR(a, k), SET1   byte-wise subtraction, shift of 16-bit (or byte) lanes, broadcast byte
 *   ACC, ACC_ZERO           an accumulator of 32-bit integers
 *   DOT(part, u, s)         part + sums of products of unsigned bytes u <= 3 and signed bytes s
 *   ACC_SUM4(out, a, b, c, d)  out[0..3] = the sums of the lanes of four accumulators (int32_t)
 *   GROUP_SCREENING, GROUP_CERTIFICATE  SNPs handled together: as many as the registers hold
 *   DECODE16_F32(codes, table, out), DECODE16_F64  sixteen table entries chosen by a word of codes
 * and, where there is something better than what is below,
 *   PART, PART_START(acc), PART_END(acc, part)  the sums of one chunk, where narrower lanes than
 * ACC's do for those: what they start with, and how they are added to acc
 *   MAP(x, row0, row1)      every byte's bits mapped: bit i = the sum mod 2 of its bits in row i
 *   ISA_TILES_DOT, ISA_TILES_FROM  a dot() for tiles of digits (kernels.h), and the number of
 * digits (over all vectors) from which it is to be used
 *   COMPRESS(word, mask)    the bits of a 64-bit word that the mask has, moved together
 */
#include <stddef.h>
#include <string.h>

#include "kernels.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum { MAX_GROUP = 4, MAX_LIMBS = LMML_LIMBS_CERTIFICATE };

#ifndef PART
#define PART ACC
#define PART_START(acc) (acc)
#define PART_END(acc, part) (part)
#endif

/* The dosages of a vector of packed bytes: `prepare` once, then `field` for each of the four
 * positions within a byte. With missing == 0: 2 - dosage, MISSING_CODE for missing; else the
 * indicator of missing. */
#ifdef MAP
enum { MISSING_CODE = 3 };

/* 00 to 0, 10 to 1, 11 to 2, 01 to 3: low bit = high ^ low, high bit = low */
ALWAYS_INLINE VEC prepare(VEC code, const int missing)
{
    return missing ? ANDNOT(SHR(code, 1), code) : code;
}

ALWAYS_INLINE VEC field(VEC y, const int f, const int missing)
{
    if (missing)
        return f == 0   ? MAP(y, 0x01, 0)
               : f == 1 ? MAP(y, 0x04, 0)
               : f == 2 ? MAP(y, 0x10, 0)
                        : MAP(y, 0x40, 0);
    return f == 0   ? MAP(y, 0x03, 0x01)
           : f == 1 ? MAP(y, 0x0c, 0x04)
           : f == 2 ? MAP(y, 0x30, 0x10)
                    : MAP(y, 0xc0, 0x40);
}
#else
enum { MISSING_CODE = 1 };

ALWAYS_INLINE VEC prepare(VEC code, const int missing)
{
    const VEC high = SHR(code, 1), low = SET1(0x55);
    /* code - high bit = 2 - dosage (missing: 1); or: low bit without high */
    return missing ? AND(ANDNOT(high, code), low) : SUB8(code, AND(high, low));
}

ALWAYS_INLINE VEC field(VEC y, const int f, const int missing)
{
    (void)missing;
    return AND(f ? SHR(y, 2 * f) : y, SET1(0x03));
}
#endif

/* One chunk: sub-vectors of 64 bytes; field f of every byte meets digits 64 f .. 64 f + 63. */
ALWAYS_INLINE void dot_chunk(const uint8_t *const *x, const int group, const int n_limbs,
                             const int missing, const int8_t *digits, int64_t ahead,
                             ACC acc[MAX_GROUP][MAX_LIMBS])
{
#pragma GCC unroll 4
    for (int a = 0; a < group; a++) __builtin_prefetch(x[a] + ahead);
    PART part[MAX_GROUP][MAX_LIMBS];
#pragma GCC unroll 4
    for (int a = 0; a < group; a++)
#pragma GCC unroll 7
        for (int l = 0; l < n_limbs; l++) part[a][l] = PART_START(acc[a][l]);
#pragma GCC unroll 8
    for (int s = 0; s < LMML_CHUNK_BYTES; s += VBYTES) {
        VEC y[MAX_GROUP];
#pragma GCC unroll 4
        for (int a = 0; a < group; a++) y[a] = prepare(LOAD(x[a] + s), missing);
#pragma GCC unroll 4
        for (int f = 0; f < 4; f++) {
            VEC u[MAX_GROUP];
#pragma GCC unroll 4
            for (int a = 0; a < group; a++) u[a] = field(y[a], f, missing);
#pragma GCC unroll 7
            for (int l = 0; l < n_limbs; l++) {
                const VEC d = LOAD(digits + l * LMML_CHUNK_SAMPLES + f * LMML_CHUNK_BYTES + s);
#pragma GCC unroll 4
                for (int a = 0; a < group; a++) part[a][l] = DOT(part[a][l], u[a], d);
            }
        }
    }
#pragma GCC unroll 4
    for (int a = 0; a < group; a++)
#pragma GCC unroll 7
        for (int l = 0; l < n_limbs; l++) acc[a][l] = PART_END(acc[a][l], part[a][l]);
}

ALWAYS_INLINE void dot_group(const uint8_t *const *variants, const int group, int64_t n_chunks,
                             const int8_t *limbs, const int n_limbs, const int missing,
                             int64_t ahead, lmml_sum *sums, int stride)
{
    const int64_t chunk_digits = (int64_t)n_limbs * LMML_CHUNK_SAMPLES;
    const uint8_t *x[MAX_GROUP];

#pragma GCC unroll 4
    for (int a = 0; a < group; a++) {
        x[a] = variants[a];
        sums[a * stride] = (lmml_sum){0, 0};
    }
    for (int64_t chunk = 0; chunk < n_chunks;) {
        const int64_t stop =
            n_chunks - chunk > LMML_MAX_CHUNKS ? chunk + LMML_MAX_CHUNKS : n_chunks;
        int32_t lanes[(MAX_GROUP * MAX_LIMBS + 3) / 4 * 4];
        ACC acc[MAX_GROUP][MAX_LIMBS];
#pragma GCC unroll 4
        for (int a = 0; a < group; a++)
#pragma GCC unroll 7
            for (int l = 0; l < n_limbs; l++) acc[a][l] = ACC_ZERO;
        for (; chunk < stop; chunk++) {
            dot_chunk(x, group, n_limbs, missing, limbs + chunk * chunk_digits, ahead, acc);
#pragma GCC unroll 4
            for (int a = 0; a < group; a++) x[a] += LMML_CHUNK_BYTES;
        }
#define ACC_AT(k) ((k) < group * n_limbs ? acc[(k) / n_limbs][(k) % n_limbs] : ACC_ZERO)
#pragma GCC unroll 7
        for (int k = 0; k < group * n_limbs; k += 4)
            ACC_SUM4(lanes + k, ACC_AT(k), ACC_AT(k + 1), ACC_AT(k + 2), ACC_AT(k + 3));
#pragma GCC unroll 4
        for (int a = 0; a < group; a++) {
            const lmml_sum part = lmml_weigh(lanes + a * n_limbs, n_limbs);
            sums[a * stride].high += part.high;
            sums[a * stride].low += part.low;
        }
    }
}

/* n_limbs and missing are constants here: one loop is compiled for each. */
ALWAYS_INLINE void dot_all(const uint8_t *const *variants, int n_variants, int64_t n_chunks,
                           const int8_t *limbs, const int n_limbs, const int missing,
                           const int group, int64_t ahead, lmml_sum *sums, int stride)
{
    int a = 0;
    for (; a + group <= n_variants; a += group)
        dot_group(variants + a, group, n_chunks, limbs, n_limbs, missing, ahead, sums + a * stride,
                  stride);
    for (; a < n_variants; a++)
        dot_group(variants + a, 1, n_chunks, limbs, n_limbs, missing, ahead, sums + a * stride,
                  stride);
}

static void dot(const uint8_t *const *variants, int n_variants, int64_t n_chunks,
                const lmml_operand *v, int missing, lmml_sum *sums)
{
#ifdef ISA_TILES_DOT
    if (v->tiles) {
        ISA_TILES_DOT(variants, n_variants, n_chunks, v, missing, sums);
        return;
    }
#endif
    const int stride = v->n_vectors;
    for (int k = 0; k < v->n_vectors; k++) {
        const int8_t *limbs = v->vectors[k].limbs;
        if (v->vectors[k].n_limbs == LMML_LIMBS_SCREENING && missing)
            dot_all(variants, n_variants, n_chunks, limbs, LMML_LIMBS_SCREENING, 1, GROUP_SCREENING,
                    v->ahead, sums + k, stride);
        else if (v->vectors[k].n_limbs == LMML_LIMBS_SCREENING)
            dot_all(variants, n_variants, n_chunks, limbs, LMML_LIMBS_SCREENING, 0, GROUP_SCREENING,
                    v->ahead, sums + k, stride);
        else if (missing)
            dot_all(variants, n_variants, n_chunks, limbs, LMML_LIMBS_CERTIFICATE, 1,
                    GROUP_CERTIFICATE, v->ahead, sums + k, stride);
        else
            dot_all(variants, n_variants, n_chunks, limbs, LMML_LIMBS_CERTIFICATE, 0,
                    GROUP_CERTIFICATE, v->ahead, sums + k, stride);
    }
}

/* n[0 .. 3] += what there is in eight bytes of the mask, the low bits, the high bits, both */
ALWAYS_INLINE void count_word(uint64_t code, uint64_t mask, int64_t *n)
{
    const uint64_t low = code & mask, high = (code >> 1) & mask;
    n[0] += __builtin_popcountll(mask);
    n[1] += __builtin_popcountll(low);
    n[2] += __builtin_popcountll(high);
    n[3] += __builtin_popcountll(low & high);
}

static void count(const uint8_t *variant, const uint8_t *mask, int64_t n_bytes, int32_t *counts)
{
    int64_t n[4] = {0}, b = 0;
    uint64_t code, m;
    for (; b + 8 <= n_bytes; b += 8) {
        memcpy(&code, variant + b, 8);
        memcpy(&m, mask + b, 8);
        count_word(code, m, n);
    }
    code = m = 0;
    memcpy(&code, variant + b, (size_t)(n_bytes - b));
    memcpy(&m, mask + b, (size_t)(n_bytes - b));
    count_word(code, m, n);
    counts[1] = (int32_t)(n[1] - n[3]);
    counts[2] = (int32_t)(n[2] - n[3]);
    counts[3] = (int32_t)n[3];
    counts[0] = (int32_t)(n[0] - n[1] - n[2] + n[3]);
}

/* Sixteen samples at a time by DECODE16_F32/F64(word of their codes, table, out), the rest singly.
 */
static void decode_f32(const uint8_t *variant, int64_t n, const float *table, float *out)
{
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        uint32_t codes;
        memcpy(&codes, variant + i / 4, sizeof codes);
        DECODE16_F32(codes, table, out + i);
    }
    for (; i < n; i++) out[i] = table[variant[i / 4] >> (2 * (i % 4)) & 3];
}

static void decode_f64(const uint8_t *variant, int64_t n, const double *table, double *out)
{
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        uint32_t codes;
        memcpy(&codes, variant + i / 4, sizeof codes);
        DECODE16_F64(codes, table, out + i);
    }
    for (; i < n; i++) out[i] = table[variant[i / 4] >> (2 * (i % 4)) & 3];
}

#ifdef COMPRESS
static void compress(const uint8_t *variant, const uint8_t *mask, int64_t n_bytes, uint8_t *out)
{
    uint64_t pending = 0; /* bits that do not fill a word yet */
    int n_pending = 0;
    for (int64_t b = 0; b < n_bytes; b += 8) {
        const size_t step = n_bytes - b < 8 ? (size_t)(n_bytes - b) : 8;
        uint64_t code = 0, low = 0;
        memcpy(&code, variant + b, step);
        memcpy(&low, mask + b, step);
        const uint64_t chosen = low | low << 1, found = COMPRESS(code, chosen);
        const int n_found = __builtin_popcountll(chosen);
        pending |= found << n_pending;
        if (n_pending + n_found >= 64) {
            memcpy(out, &pending, 8);
            out += 8;
            pending = n_pending > 0 ? found >> (64 - n_pending) : 0;
            n_pending -= 64;
        }
        n_pending += n_found;
    }
    memcpy(out, &pending, (size_t)(n_pending + 7) / 8);
}
#else
#define compress NULL
#endif

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

static void centre(int64_t n, const uint16_t *restrict codes, double mean, double *restrict out)
{
    for (int64_t i = 0; i < n; i++) {
        const int32_t code = codes[i], there = code != UINT16_MAX;
        out[i] = (code - mean) * there; /* a choice instead of the product is not vectorised */
    }
}

#ifdef ISA_TILES_DOT
enum { TILES_FROM = ISA_TILES_FROM };
#else
enum { TILES_FROM = INT32_MAX };
#endif

const lmml_kernels ISA_TABLE = {ISA_NAME,   TILES_FROM, MISSING_CODE, dot,     count, decode_f32,
                                decode_f64, compress,   axpy,         dot_f64, centre};
