/* kernels_generic.c - the kernels in portable vector extensions of gcc and clang (SSE2, NEON). */
#include <stdint.h>
#include <string.h>

typedef uint8_t vec __attribute__((vector_size(16)));
typedef int8_t vec_s8 __attribute__((vector_size(16)));
typedef int16_t vec_s16 __attribute__((vector_size(32)));
typedef int32_t vec_s32 __attribute__((vector_size(64)));

static inline vec vec_load(const void *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline vec vec_set1(uint8_t byte) { return byte - (vec){0}; }

static inline int32_t vec_sum(const vec_s32 *acc)
{
    int32_t sum = 0;
    for (int k = 0; k < 16; k++) sum += (*acc)[k];
    return sum;
}

/* macros, not functions: a 64-byte vector has no portable calling convention */
#define PRODUCT(u, s)                                                                              \
    (__builtin_convertvector((vec_s8)(u), vec_s16) * __builtin_convertvector((vec_s8)(s), vec_s16))

#define ISA_NAME "generic"
#define ISA_TABLE lmml_kernels_generic
#define VEC vec
#define VBYTES 16
#define LOAD(p) vec_load(p)
#define AND(a, b) ((a) & (b))
#define ANDNOT(a, b) (~(a) & (b))
#define SUB8(a, b) ((a) - (b))
#define SHR(a, k) ((a) >> (k))
#define SET1(byte) vec_set1(byte)
#define ACC vec_s32
#define ACC_ZERO ((vec_s32){0})
/* 16 bits for the sums of a chunk: sixteen products of at most 256 */
#define PART vec_s16
#define PART_START(acc) ((vec_s16){0})
#define PART_END(acc, part) ((acc) + __builtin_convertvector(part, vec_s32))
#define DOT(part, u, s) ((part) + PRODUCT(u, s))
#define ACC_SUM4(out, a, b, c, d)                                                                  \
    do {                                                                                           \
        const vec_s32 four[4] = {a, b, c, d};                                                      \
        for (int i = 0; i < 4; i++) (out)[i] = vec_sum(four + i);                                  \
    } while (0)
#define DECODE16_F32(codes, table, out)                                                            \
    for (int s = 0; s < 16; s++) (out)[s] = (table)[(codes) >> 2 * s & 3]
#define DECODE16_F64 DECODE16_F32
#define GROUP_SCREENING 1
#define GROUP_CERTIFICATE 1

#include "kernels_impl.h"
