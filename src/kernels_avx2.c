/* kernels_avx2.c - 256-bit vectors; compiled with -mavx2 -mfma -mpopcnt. */
#include <immintrin.h>
#include <stdint.h>

static inline __m256i vec_dot(__m256i acc, __m256i u, __m256i s)
{
    /* u <= 2, |s| <= 128: the sums of two products fit 16 bits without saturating */
    const __m256i pairs = _mm256_maddubs_epi16(u, s);
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
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
#define DOT(acc, u, s) vec_dot(acc, u, s)
#define ACC_SUM4(out, a, b, c, d) vec_sum4(out, a, b, c, d)
#define GROUP_SCREENING 2
#define GROUP_CERTIFICATE 1

#include "kernels_impl.h"
