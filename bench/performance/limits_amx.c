/* limits_amx.c - the limits of kernels_amx.c, compiled with its options. */
#define lmml_kernels_amx limits_kernels_amx /* the library has this table too */
#include "kernels_amx.c"

#include "limits.h"

/* Genotypes of two tiles, digits of two: four sums. */
static void limit_multiply(int64_t rounds)
{
    _tile_loadconfig(&TILES);
    for (; rounds; rounds--) {
        _tile_dpbusd(0, 4, 6);
        _tile_dpbusd(1, 5, 6);
        _tile_dpbusd(2, 4, 7);
        _tile_dpbusd(3, 5, 7);
    }
    _tile_release();
}

static _Alignas(64) uint8_t rows[8][TILE_ROWS][64];

static void limit_load(int64_t rounds)
{
    _tile_loadconfig(&TILES);
    for (; rounds; rounds--) {
        _tile_loadd(4, rows[0], 64);
        _tile_loadd(5, rows[1], 64);
        _tile_loadd(6, rows[2], 64);
        _tile_loadd(7, rows[3], 64);
    }
    _tile_release();
}

/* Sixteen SNPs, one chunk: loads, dosages, rows of four tiles. */
ALWAYS_INLINE void limit_decode(int64_t rounds, const int missing)
{
    for (; rounds; rounds--)
        for (int a = 0; a < TILE_ROWS; a++) {
            const __m512i y = prepare(LOAD(rows[4][a]), missing);
#pragma GCC unroll 4
            for (int f = 0; f < 4; f++) _mm512_store_si512(rows[f][a], field(y, f, missing));
            __asm__ volatile("" ::: "memory");
        }
}

static void limit_decode_dosages(int64_t rounds) { limit_decode(rounds, 0); }
static void limit_decode_missing(int64_t rounds) { limit_decode(rounds, 1); }

static const limit_tiles TILE_LIMITS = {
    .multiply = {limit_multiply, 4},
    .load = {limit_load, 4},
    .decode = {{limit_decode_dosages, TILE_ROWS}, {limit_decode_missing, TILE_ROWS}},
};

#define LIMITS limits_amx
#define LIMITS_TILES &TILE_LIMITS
#include "limits_impl.h"
