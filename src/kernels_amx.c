/* kernels_amx.c - matrix tiles (Intel from 2023 on): sixteen SNPs times sixteen columns of digits
 * an instruction; the rest is AVX-512. Compiled with -mamx-tile -mamx-int8 -mgfni and what
 * kernels_avx512.c has. */
#include <string.h>

#include "kernels.h"
#include "vectors_avx512.h"

#define BIT_MATRIX(row0, row1) _mm512_set1_epi64((int64_t)((row0##ull) << 56 | (row1##ull) << 48))
#define MAP(x, row0, row1) _mm512_gf2p8affine_epi64_epi8(x, BIT_MATRIX(row0, row1), 0)

#define COMPRESS(word, mask) _pext_u64(word, mask)
#define ISA_NAME "amx"
#define ISA_TABLE lmml_kernels_amx
#define ISA_TILES_FROM 4 /* three are done sooner by the vectors' own dot product */
#define ISA_TILES_DOT dot_tiles
static void dot_tiles(const uint8_t *const *variants, int n_variants, int64_t n_chunks,
                      const lmml_operand *v, int missing, lmml_sum *sums);

#include "kernels_impl.h"

enum { TILE_ROWS = 16, GROUP = 2 * TILE_ROWS };

/* Tiles 0 to 3: sums, of two blocks of SNPs times two blocks of columns; 4, 5: SNPs; 6, 7: digits.
 */
static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} TILES = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

/* bytes[f][a] = position f of one chunk of variant a */
static inline __attribute__((always_inline)) void decode(const uint8_t *const *variants,
                                                         int64_t offset, int64_t stride,
                                                         const int missing,
                                                         uint8_t (*bytes)[GROUP][64])
{
    /* The next group's bytes, on their way while this one is worked on: in the order of addresses,
     * which memory likes best, unless they are more than caches would keep so long. */
    const int linear = GROUP * stride <= 1 << 16;
    const uint8_t *next = variants[0] + GROUP * stride + (linear ? offset * GROUP : offset);
    const int64_t next_step = linear ? LMML_CHUNK_BYTES : stride;
    for (int a = 0; a < GROUP; a++) {
        const __m512i y = prepare(LOAD(variants[a] + offset), missing);
        __builtin_prefetch(next + a * next_step, 0, 2); /* tiles need the first level */
        _mm512_store_si512(bytes[0][a], field(y, 0, missing));
        _mm512_store_si512(bytes[1][a], field(y, 1, missing));
        _mm512_store_si512(bytes[2][a], field(y, 2, missing));
        _mm512_store_si512(bytes[3][a], field(y, 3, missing));
    }
}

/* tiles 0 .. 3 += bytes * digits, for one or two blocks of columns */
static inline __attribute__((always_inline)) void
multiply(uint8_t (*bytes)[GROUP][64], const int8_t *digits, int64_t next_block, const int two)
{
    for (int f = 0; f < 4; f++) {
        _tile_loadd(4, bytes[f][0], 64);
        _tile_loadd(6, digits + f * LMML_TILE_BYTES, 64);
        _tile_dpbusd(0, 4, 6);
        _tile_loadd(5, bytes[f][TILE_ROWS], 64);
        _tile_dpbusd(1, 5, 6);
        if (two) {
            _tile_loadd(7, digits + next_block + f * LMML_TILE_BYTES, 64);
            _tile_dpbusd(2, 4, 7);
            _tile_dpbusd(3, 5, 7);
        }
    }
}

/* The sums of all columns that a pass can have (8 vectors of 7 limbs) for one SNP. */
typedef int32_t columns_t[4 * LMML_TILE_COLUMNS];

/* sums[a][first + c]: SNPs (a multiple of 32) times 16 or 32 columns over the chunks start .. stop
 * - 1.
 *
 * The next chunk is decoded before this one is multiplied: tiles cannot be loaded from stores that
 * are still under way, and so the units for vectors and for tiles are busy at the same time. Larger
 * steps would drive the digits out of the first-level cache. */
static inline __attribute__((always_inline)) void
dot_chunks(const uint8_t *const *variants, int n_variants, int64_t start, int64_t stop,
           const int8_t *tiles, int64_t next_block, int64_t stride, const int missing,
           const int two, columns_t *sums, int first)
{
    _Alignas(64) uint8_t bytes[2][4][GROUP][64];
    int now = 0;

    decode(variants, start * LMML_CHUNK_BYTES, stride, missing, bytes[now]);
    for (int a = 0; a < n_variants; a += GROUP) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (int64_t chunk = start; chunk < stop; chunk++, now = !now) {
            if (chunk + 1 < stop)
                decode(variants + a, (chunk + 1) * LMML_CHUNK_BYTES, stride, missing, bytes[!now]);
            else if (a + GROUP < n_variants)
                decode(variants + a + GROUP, start * LMML_CHUNK_BYTES, stride, missing,
                       bytes[!now]);
            multiply(bytes[now], tiles + chunk * 4 * LMML_TILE_BYTES, next_block, two);
        }
        _tile_stored(0, sums[a] + first, sizeof(columns_t));
        _tile_stored(1, sums[a + TILE_ROWS] + first, sizeof(columns_t));
        if (two) {
            _tile_stored(2, sums[a] + first + LMML_TILE_COLUMNS, sizeof(columns_t));
            _tile_stored(3, sums[a + TILE_ROWS] + first + LMML_TILE_COLUMNS, sizeof(columns_t));
        }
    }
}

/* sum += the limbs' sums, weighted by their place (lmml_weigh, all limbs at once). The last three
 * limbs are in the upper half of a vector, the ones before them in the lower. */
static inline void add_weighed(const int32_t *columns, int n_limbs, lmml_sum *sum)
{
    const __m512i places = _mm512_setr_epi64(24, 16, 8, 0, 16, 8, 0, 0);
    const __mmask8 present = n_limbs == LMML_LIMBS_SCREENING ? 0x70 : 0x7f;
    const __m256i limbs =
        _mm256_maskz_loadu_epi32(present, columns - (LMML_LIMBS_CERTIFICATE - n_limbs));
    __m512i total = _mm512_sllv_epi64(_mm512_cvtepi32_epi64(limbs), places);
    total = _mm512_add_epi64(total, _mm512_permutex_epi64(total, 0x4e));
    total = _mm512_add_epi64(total, _mm512_permutex_epi64(total, 0xb1));
    sum->high += _mm_cvtsi128_si64(_mm512_castsi512_si128(total));
    sum->low += _mm_cvtsi128_si64(_mm512_extracti64x2_epi64(total, 2));
}

static void dot_tiles(const uint8_t *const *variants, int n_variants, int64_t n_chunks,
                      const lmml_operand *v, int missing, lmml_sum *sums)
{
    enum { AT_ONCE = 4 * GROUP };
    const int64_t block_bytes = n_chunks * 4 * LMML_TILE_BYTES;
    memset(sums, 0, (size_t)(n_variants * v->n_vectors) * sizeof *sums);
    _tile_loadconfig(&TILES);
    for (int first = 0; first < n_variants; first += AT_ONCE) {
        const uint8_t *x[AT_ONCE];
        _Alignas(64) columns_t columns[AT_ONCE];
        const int n = n_variants - first < AT_ONCE ? n_variants - first : AT_ONCE;
        const int n_padded = (n + GROUP - 1) / GROUP * GROUP;
        for (int a = 0; a < n_padded; a++) x[a] = variants[first + (a < n ? a : 0)];
        for (int64_t chunk = 0; chunk < n_chunks; chunk += LMML_MAX_CHUNKS) {
            const int64_t stop =
                n_chunks - chunk > LMML_MAX_CHUNKS ? chunk + LMML_MAX_CHUNKS : n_chunks;
            for (int block = 0; block < v->n_column_blocks; block += 2) {
                const int two = block + 1 < v->n_column_blocks, c = block * LMML_TILE_COLUMNS;
                const int8_t *tiles = v->tiles + block * block_bytes;
                if (missing && two)
                    dot_chunks(x, n_padded, chunk, stop, tiles, block_bytes, v->stride, 1, 1,
                               columns, c);
                else if (missing)
                    dot_chunks(x, n_padded, chunk, stop, tiles, block_bytes, v->stride, 1, 0,
                               columns, c);
                else if (two)
                    dot_chunks(x, n_padded, chunk, stop, tiles, block_bytes, v->stride, 0, 1,
                               columns, c);
                else
                    dot_chunks(x, n_padded, chunk, stop, tiles, block_bytes, v->stride, 0, 0,
                               columns, c);
            }
            lmml_sum *sum = sums + first * v->n_vectors;
            for (int a = 0; a < n; a++) {
                const int32_t *column = columns[a];
                for (int k = 0; k < v->n_vectors; column += v->vectors[k++].n_limbs)
                    add_weighed(column, v->vectors[k].n_limbs, sum++);
            }
        }
    }
    _tile_release();
}
