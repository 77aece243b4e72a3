/* limits_impl.h - the loops of limits.h, one source for every instruction set.
 *
 * The including file has included kernels_<name>.c, so that prepare(), field() and DOT() are the
 * kernel's own, and defines
 *   LIMITS        the identifier of the structure
 *   LIMITS_TILES  its matrix tiles, or NULL
 */
#include "limits.h"

#if defined(__x86_64__)
#define IN_REGISTER "+v"
#elif defined(__aarch64__)
#define IN_REGISTER "+w"
#else
#define IN_REGISTER "+m"
#endif

/* The compiler knows nothing about x any more: what is computed from it is computed each time. */
#define UNKNOWN(x) __asm__ volatile("" : IN_REGISTER(x))

static volatile int32_t sink;
static volatile double sink_real;

#if VBYTES > 16
#define KEEP_IN_ORDER(part) UNKNOWN(part) /* additions put off would not fit the registers */
#else
#define KEEP_IN_ORDER(part) (void)0 /* a sum is four registers there */
#endif

/* dot_chunk() without its loads: genotypes and digits stay in registers. */
ALWAYS_INLINE void limit_dot(int64_t rounds, const int group, const int n_limbs, const int missing)
{
    VEC code = SET1(0x1b), digits = SET1(1);
    ACC acc[MAX_GROUP][MAX_LIMBS];
    UNKNOWN(digits);
#pragma GCC unroll 4
    for (int a = 0; a < group; a++)
#pragma GCC unroll 7
        for (int l = 0; l < n_limbs; l++) {
            VEC start = SET1(0); /* sums known to be equal would be one sum */
            UNKNOWN(start);
            acc[a][l] = PART_END(ACC_ZERO, DOT(PART_START(ACC_ZERO), start, digits));
        }
    for (; rounds; rounds--) {
        PART part[MAX_GROUP][MAX_LIMBS];
#pragma GCC unroll 4
        for (int a = 0; a < group; a++)
#pragma GCC unroll 7
            for (int l = 0; l < n_limbs; l++) part[a][l] = PART_START(acc[a][l]);
#pragma GCC unroll 8
        for (int s = 0; s < LMML_CHUNK_BYTES; s += VBYTES) {
            VEC y[MAX_GROUP];
#pragma GCC unroll 4
            for (int a = 0; a < group; a++) {
                UNKNOWN(code);
                y[a] = prepare(code, missing);
            }
#pragma GCC unroll 4
            for (int f = 0; f < 4; f++) {
                VEC u[MAX_GROUP];
#pragma GCC unroll 4
                for (int a = 0; a < group; a++) u[a] = field(y[a], f, missing);
#pragma GCC unroll 7
                for (int l = 0; l < n_limbs; l++) {
                    UNKNOWN(digits);
#pragma GCC unroll 4
                    for (int a = 0; a < group; a++) {
                        part[a][l] = DOT(part[a][l], u[a], digits);
                        KEEP_IN_ORDER(part[a][l]);
                    }
                }
            }
        }
#pragma GCC unroll 4
        for (int a = 0; a < group; a++)
#pragma GCC unroll 7
            for (int l = 0; l < n_limbs; l++) acc[a][l] = PART_END(acc[a][l], part[a][l]);
    }
#pragma GCC unroll 4
    for (int a = 0; a < group; a++)
#pragma GCC unroll 7
        for (int l = 0; l < n_limbs; l++) {
            int32_t sums[4];
            ACC_SUM4(sums, acc[a][l], ACC_ZERO, ACC_ZERO, ACC_ZERO);
            sink = sums[0];
        }
}

#define LIMIT_DOT(name, GROUP_OF, LIMBS, missing)                                                  \
    static void name(int64_t rounds) { limit_dot(rounds, GROUP_OF, LIMBS, missing); }
LIMIT_DOT(limit_screening, GROUP_SCREENING, LMML_LIMBS_SCREENING, 0)
LIMIT_DOT(limit_screening_missing, GROUP_SCREENING, LMML_LIMBS_SCREENING, 1)
LIMIT_DOT(limit_certificate, GROUP_CERTIFICATE, LMML_LIMBS_CERTIFICATE, 0)
LIMIT_DOT(limit_certificate_missing, GROUP_CERTIFICATE, LMML_LIMBS_CERTIFICATE, 1)

/* count() of one chunk without its loads */
static void limit_count(int64_t rounds)
{
    uint64_t code = 0x1b, mask = 0x55;
    int64_t n_masked = 0, n_low = 0, n_high = 0, n_both = 0;
    for (; rounds; rounds--)
#pragma GCC unroll 8
        for (int b = 0; b < LMML_CHUNK_BYTES; b += 8) {
            __asm__ volatile("" : "+r"(code), "+r"(mask));
            const uint64_t low = code & mask, high = (code >> 1) & mask;
            n_masked += __builtin_popcountll(mask);
            n_low += __builtin_popcountll(low);
            n_high += __builtin_popcountll(high);
            n_both += __builtin_popcountll(low & high);
        }
    sink = (int32_t)(n_masked - n_low - n_high + n_both);
}

/* Independent chains, more than latency times issue width, few enough for sixteen registers. */
enum { CHAINS = 12 };

#define LIMIT_FMA(name, REAL)                                                                      \
    static void name(int64_t rounds)                                                               \
    {                                                                                              \
        typedef REAL vector __attribute__((vector_size(VBYTES)));                                  \
        vector factor = (vector){0} + (REAL)0.5, chain[CHAINS];                                    \
        UNKNOWN(factor);                                                                           \
        for (int k = 0; k < CHAINS; k++) {                                                         \
            chain[k] = factor;                                                                     \
            UNKNOWN(chain[k]); /* chains known to be equal would be one chain */                   \
        }                                                                                          \
        for (; rounds; rounds--)                                                                   \
            for (int k = 0; k < CHAINS; k++) chain[k] = chain[k] * factor + factor;                \
        for (int k = 0; k < CHAINS; k++) sink_real = (double)chain[k][0];                          \
    }
LIMIT_FMA(limit_fma_f32, float)
LIMIT_FMA(limit_fma_f64, double)

static void limit_read(const uint8_t *data, int64_t n_bytes, int64_t ahead)
{
    for (int64_t b = 0; b + LMML_CHUNK_BYTES <= n_bytes; b += LMML_CHUNK_BYTES) {
        if (ahead) __builtin_prefetch(data + b + ahead);
#pragma GCC unroll 8
        for (int s = 0; s < LMML_CHUNK_BYTES; s += VBYTES) {
            VEC loaded = LOAD(data + b + s);
            UNKNOWN(loaded);
        }
    }
}

const limit_loops LIMITS = {
    .name = ISA_NAME,
    .dot = {{{limit_screening, GROUP_SCREENING}, {limit_screening_missing, GROUP_SCREENING}},
            {{limit_certificate, GROUP_CERTIFICATE},
             {limit_certificate_missing, GROUP_CERTIFICATE}}},
    .count = {limit_count, 1},
    .fma_f32 = {limit_fma_f32, CHAINS * VBYTES / sizeof(float)},
    .fma_f64 = {limit_fma_f64, CHAINS * VBYTES / sizeof(double)},
    .read = limit_read,
    .tiles = LIMITS_TILES,
};
