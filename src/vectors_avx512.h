/* vectors_avx512.h - 512-bit vectors and the VNNI dot product, as kernels_impl.h wants them. */
#ifndef LMML_VECTORS_AVX512_H
#define LMML_VECTORS_AVX512_H

#include <immintrin.h>
#include <stdint.h>

/* Interleaving and adding leaves (a, b, c, d) in every 128-bit lane. */
static inline void vec_sum4(int32_t *out, __m512i a, __m512i b, __m512i c, __m512i d)
{
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    const __m512i all =
        _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i half =
        _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    const __m128i sum =
        _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    _mm_storeu_si128((__m128i *)out, sum);
}

static inline void vec_decode16_f32(uint32_t codes, const float *table, float *out)
{
    const __m512i shifts =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i which = _mm512_srlv_epi32(_mm512_set1_epi32((int32_t)codes), shifts);
    const __m512 values = _mm512_broadcast_f32x4(_mm_loadu_ps(table));
    _mm512_storeu_ps(out, _mm512_permutevar_ps(values, which)); /* by the two lowest bits */
}

static inline void vec_decode16_f64(uint32_t codes, const double *table, double *out)
{
    const __m512i shifts = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    const __m512d values = _mm512_broadcast_f64x4(_mm256_loadu_pd(table));
    for (int half = 0; half < 2; half++) {
        const __m512i which = _mm512_srlv_epi64(_mm512_set1_epi64(codes >> 16 * half), shifts);
        /* by the three lowest bits: the table is there twice */
        _mm512_storeu_pd(out + 8 * half, _mm512_permutexvar_pd(which, values));
    }
}

/* A vector of digits meets several SNPs: loaded once, not as an operand of each instruction. */
static inline __m512i vec_load(const void *p)
{
    __m512i v = _mm512_loadu_si512(p);
    __asm__("" : "+v"(v));
    return v;
}

#define VEC __m512i
#define VBYTES 64
#define LOAD(p) vec_load(p)
#define AND(a, b) _mm512_and_si512(a, b)
#define ANDNOT(a, b) _mm512_andnot_si512(a, b)
#define SUB8(a, b) _mm512_sub_epi8(a, b)
#define SHR(a, k) _mm512_srli_epi16(a, k)
#define SET1(byte) _mm512_set1_epi8(byte)
#define ACC __m512i
#define ACC_ZERO _mm512_setzero_si512()
#define DOT(acc, u, s) _mm512_dpbusd_epi32(acc, u, s)
#define DECODE16_F32(codes, table, out) vec_decode16_f32(codes, table, out)
#define DECODE16_F64(codes, table, out) vec_decode16_f64(codes, table, out)
#define ACC_SUM4(out, a, b, c, d) vec_sum4(out, a, b, c, d)
#define GROUP_SCREENING 4
#define GROUP_CERTIFICATE 3

#endif
