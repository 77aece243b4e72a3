/* limits.h - loops that measure what an instruction set could do at best (bench_kernels). */
#ifndef LIMITS_H
#define LIMITS_H

#include <stdint.h>

/* A loop that works on registers or on a few kilobytes, and cannot be optimised away. */
typedef struct {
    void (*run)(int64_t rounds);
    double units; /* of one round: what a unit is says the field below */
} limit_loop;

enum { LIMIT_SCREENING, LIMIT_CERTIFICATE, LIMIT_KINDS };

/* Matrix tiles. The three units that share the work can be busy at the same time, so the slowest
 * of them is the limit. */
typedef struct {
    limit_loop multiply;  /* products of two tiles, in four independent sums */
    limit_loop load;      /* tiles, from the first-level cache */
    limit_loop decode[2]; /* chunks of one SNP (0: dosages, 1: missing), to 4 rows of tiles each */
} limit_tiles;

typedef struct {
    const char *name;
    limit_loop dot[LIMIT_KINDS][2]; /* chunks of one SNP (0: dosages, 1: missing) */
    limit_loop count;               /* chunks of one SNP */
    limit_loop fma_f32, fma_f64;    /* multiply-adds */
    /* every byte once, fetched `ahead` bytes ahead (0: as the hardware does) */
    void (*read)(const uint8_t *data, int64_t n_bytes, int64_t ahead);
    const limit_tiles *tiles; /* NULL: none */
} limit_loops;

extern const limit_loops limits_generic, limits_avx2, limits_avx512, limits_amx;

#endif
