/* kernels_avx2.c - 256-bit vectors; compiled with -mavx2 -mfma -mpopcnt. */
#include <immintrin.h>
#include <stdint.h>

/* Sums of 16 bits within a chunk: u <= 2, |s| <= 128, eight sums of two products: at most 4096. */
static inline __m256i vec_dot(__m256i part, __m256i u, __m256i s)
{
    part = _mm256_add_epi16(part, _mm256_maddubs_epi16(u, s));
    __asm__("" : "+x"(part)); /* additions put off would not fit the registers */
    return part;
}

static inline __m256i vec_widen(__m256i acc, __m256i part)
{
    return _mm256_add_epi32(acc, _mm256_madd_epi16(part, _mm256_set1_epi16(1)));
}

/* Interleaving and adding leaves (a, b, c, d) in every 128-bit lane. */
static inline void vec_sum4(int32_t *out, __m256i a, __m256i b, __m256i c, __m256i d)
{
    const __m256i ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    const __m256i cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    const __m256i all =
        _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
    const __m128i sum =
        _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
    _mm_storeu_si128((__m128i *)out, sum);
}

static inline void vec_decode16_f32(uint32_t codes, const float *table, float *out)
{
    const __m256i shifts = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    const __m256 values = _mm256_broadcast_ps((const __m128 *)table);
    for (int half = 0; half < 2; half++) {
        const __m256i which =
            _mm256_srlv_epi32(_mm256_set1_epi32((int32_t)(codes >> 16 * half)), shifts);
        _mm256_storeu_ps(out + 8 * half, _mm256_permutevar_ps(values, which)); /* by two bits */
    }
}

/* There is no choice among four doubles, but there is one among eight floats: their halves. */
static inline void vec_decode16_f64(uint32_t codes, const double *table, double *out)
{
    const __m256i shifts = _mm256_setr_epi32(0, 0, 2, 2, 4, 4, 6, 6);
    const __m256i halves = _mm256_setr_epi32(0, 1, 0, 1, 0, 1, 0, 1);
    const __m256i values = _mm256_castpd_si256(_mm256_loadu_pd(table));
    for (int quarter = 0; quarter < 4; quarter++) {
        __m256i which =
            _mm256_srlv_epi32(_mm256_set1_epi32((int32_t)(codes >> 8 * quarter)), shifts);
        which = _mm256_and_si256(which, _mm256_set1_epi32(3));
        which = _mm256_or_si256(_mm256_slli_epi32(which, 1), halves);
        _mm256_storeu_pd(out + 4 * quarter,
                         _mm256_castsi256_pd(_mm256_permutevar8x32_epi32(values, which)));
    }
}

#define ISA_NAME "avx2"
#define ISA_TABLE lmml_kernels_avx2
#define VEC __m256i
#define VBYTES 32
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define AND(a, b) _mm256_and_si256(a, b)
#define ANDNOT(a, b) _mm256_andnot_si256(a, b)
#define SUB8(a, b) _mm256_sub_epi8(a, b)
#define SHR(a, k) _mm256_srli_epi16(a, k)
#define SET1(byte) _mm256_set1_epi8(byte)
#define ACC __m256i
#define ACC_ZERO _mm256_setzero_si256()
#define PART __m256i
#define PART_START(acc) _mm256_setzero_si256()
#define PART_END(acc, part) vec_widen(acc, part)
#define DOT(part, u, s) vec_dot(part, u, s)
#define DECODE16_F32(codes, table, out) vec_decode16_f32(codes, table, out)
#define DECODE16_F64(codes, table, out) vec_decode16_f64(codes, table, out)
#define ACC_SUM4(out, a, b, c, d) vec_sum4(out, a, b, c, d)
#define GROUP_SCREENING 2
#define GROUP_CERTIFICATE 1

#include "kernels_impl.h"
