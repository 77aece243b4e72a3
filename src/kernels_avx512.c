/* kernels_avx512.c - 512-bit vectors and the VNNI dot product; compiled with
 * -mavx512f -mavx512bw -mavx512vl -mavx512vnni -mfma -mpopcnt. */
#include <immintrin.h>
#include <stdint.h>

static inline int64_t vec_sum(__m512i acc)
{
    const __m512i low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(acc));
    const __m512i high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(acc, 1));
    return _mm512_reduce_add_epi64(_mm512_add_epi64(low, high));
}

#define ISA_NAME "avx512"
#define ISA_TABLE lmml_kernels_avx512
#define VEC __m512i
#define VBYTES 64
#define LOAD(p) _mm512_loadu_si512(p)
#define AND(a, b) _mm512_and_si512(a, b)
#define ANDNOT(a, b) _mm512_andnot_si512(a, b)
#define SUB8(a, b) _mm512_sub_epi8(a, b)
#define SHR(a, k) _mm512_srli_epi16(a, k)
#define SET1(byte) _mm512_set1_epi8(byte)
#define ACC __m512i
#define ACC_ZERO _mm512_setzero_si512()
#define DOT(acc, u, s) _mm512_dpbusd_epi32(acc, u, s)
#define ACC_SUM(acc) vec_sum(acc)
#define GROUP_SCREENING 4
#define GROUP_CERTIFICATE 3

#include "kernels_impl.h"
