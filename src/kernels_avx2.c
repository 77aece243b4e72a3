/* kernels_avx2.c - 256-bit vectors; compiled with -mavx2 -mfma -mpopcnt. */
#include <immintrin.h>
#include <stdint.h>

static inline __m256i vec_dot(__m256i acc, __m256i u, __m256i s)
{
    /* u <= 2, |s| <= 128: the sums of two products fit 16 bits without saturating */
    const __m256i pairs = _mm256_maddubs_epi16(u, s);
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

static inline int64_t vec_sum(__m256i acc)
{
    int32_t lane[8];
    int64_t sum = 0;
    _mm256_storeu_si256((__m256i *)lane, acc);
    for (int k = 0; k < 8; k++) sum += lane[k];
    return sum;
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
#define ACC_SUM(acc) vec_sum(acc)
#define GROUP_SCREENING 2
#define GROUP_CERTIFICATE 1

#include "kernels_impl.h"
