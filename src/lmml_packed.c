/* lmml_packed.c - everything that reads packed genotypes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "lmml.h"

/* ---- limbs ----------------------------------------------------------------------------------- */

int64_t lmml_limbs_size(int64_t n_samples, int n_limbs)
{
    const int64_t n_chunks = (n_samples + LMML_CHUNK_SAMPLES - 1) / LMML_CHUNK_SAMPLES;
    return n_chunks * LMML_CHUNK_SAMPLES * n_limbs;
}

int lmml_limbs_fill(const double *v, const int64_t *index, int64_t n_index, int64_t n_samples,
                    int n_limbs, int8_t *limbs, double *unit)
{
    double largest = 0;
    int exponent;

    if (n_limbs != LMML_LIMBS_SCREENING && n_limbs != LMML_LIMBS_CERTIFICATE)
        return LMML_ERR_ARGUMENT;
    if (index == NULL && n_index != n_samples) return LMML_ERR_INDEX;
    memset(limbs, 0, (size_t)lmml_limbs_size(n_samples, n_limbs));
    *unit = 1;
    for (int64_t k = 0; k < n_index; k++) {
        if (!isfinite(v[k])) return LMML_ERR_NOT_FINITE;
        if (index && (index[k] < 0 || index[k] >= n_samples)) return LMML_ERR_INDEX;
        largest = fmax(largest, fabs(v[k]));
    }
    if (largest == 0) return LMML_OK;

    /* largest < 2^exponent, so the integer below is at most 2^(8 n_limbs - 2) */
    frexp(largest, &exponent);
    const int shift = 8 * n_limbs - 2 - exponent;
    *unit = ldexp(1.0, -shift);
    /* two factors, as 2^shift itself may overflow; what underflows between them is below 1/2 */
    const double first = ldexp(1.0, shift / 2), second = ldexp(1.0, shift - shift / 2);
    if (*unit == 0) return LMML_ERR_ARGUMENT; /* a vector of subnormal numbers */
    for (int64_t k = 0; k < n_index; k++) {
        const int64_t i = index ? index[k] : k;
        const int64_t within = i % LMML_CHUNK_SAMPLES;
        int8_t *digit = limbs + (i / LMML_CHUNK_SAMPLES) * LMML_CHUNK_SAMPLES * n_limbs +
                        (within % 4) * LMML_CHUNK_BYTES + within / 4;
        int64_t q = llrint(v[k] * first * second);
        for (int l = n_limbs - 1; l >= 0; l--) { /* balanced digits: -128 .. 127 */
            const int64_t d = ((q + 128) & 255) - 128;
            digit[(int64_t)l * LMML_CHUNK_SAMPLES] = (int8_t)d;
            q = (q - d) / 256;
        }
    }
    return LMML_OK;
}

/* ---- X'v ----------------------------------------------------------------------------------------
 */

enum { BATCH = 128 };

static int range_is_valid(const lmml_packed *packed, int64_t start, int64_t stop)
{
    return start >= 0 && start <= stop && stop <= packed->n_variants;
}

static double sum_value(lmml_sum sum) { return (double)sum.high * 16777216.0 + (double)sum.low; }

/* The sum of v itself. */
static lmml_sum sum_of_limbs(const int8_t *limbs, int64_t n_chunks, int n_limbs)
{
    lmml_sum total = {0, 0};
    const int n_high = n_limbs > 3 ? n_limbs - 3 : 0;
    for (int64_t chunk = 0; chunk < n_chunks; chunk++) {
        lmml_sum part = {0, 0};
        for (int l = 0; l < n_limbs; l++) {
            int64_t digits = 0;
            for (int k = 0; k < LMML_CHUNK_SAMPLES; k++)
                digits += limbs[(chunk * n_limbs + l) * LMML_CHUNK_SAMPLES + k];
            if (l < n_high)
                part.high = part.high * 256 + digits;
            else
                part.low = part.low * 256 + digits;
        }
        total.high += part.high;
        total.low += part.low;
    }
    return total;
}

/* The kernels read whole chunks. Past the end of a row they find the next row, against zero digits;
 * rows too close to the end of the data are copied to where there is room. */
typedef struct {
    uint8_t *copy; /* of the last rows, or NULL */
    int64_t first; /* the first row that is copied */
    int64_t chunk_bytes;
} row_tail;

static int row_tail_init(row_tail *tail, const lmml_packed *packed, int64_t n_chunks)
{
    const int64_t p = packed->n_variants, stride = packed->stride;
    tail->chunk_bytes = n_chunks * LMML_CHUNK_BYTES;
    const int64_t too_close =
        stride ? (tail->chunk_bytes - stride + stride - 1) / stride : 0; /* rows, rounded up */
    const int64_t n_copied = too_close < p ? too_close : p;
    tail->first = p - n_copied;
    tail->copy = NULL;
    if (n_copied == 0) return LMML_OK;
    tail->copy = calloc((size_t)n_copied, (size_t)tail->chunk_bytes);
    if (tail->copy == NULL) return LMML_ERR_MEMORY;
    for (int64_t k = 0; k < n_copied; k++)
        memcpy(tail->copy + k * tail->chunk_bytes, packed->data + (tail->first + k) * stride,
               (size_t)stride);
    return LMML_OK;
}

static const uint8_t *row_at(const lmml_packed *packed, const row_tail *tail, int64_t j)
{
    return j < tail->first ? packed->data + j * packed->stride
                           : tail->copy + (j - tail->first) * tail->chunk_bytes;
}

/* The digits in the order of matrix instructions (kernels.h), or NULL without memory. Aligned by
 * hand, for want of aligned_alloc on Windows: what is to be freed is *memory. */
static int8_t *arrange_tiles(const lmml_operand *v, int64_t n_chunks, void **memory)
{
    const size_t size = (size_t)(v->n_column_blocks * n_chunks * 4) * LMML_TILE_BYTES;
    *memory = calloc(size + LMML_CHUNK_BYTES, 1);
    if (*memory == NULL) return NULL;
    int8_t *tiles = (int8_t *)*memory + (-(uintptr_t)*memory & (LMML_CHUNK_BYTES - 1));
    int column = 0;
    for (int k = 0; k < v->n_vectors; k++)
        for (int l = 0; l < v->vectors[k].n_limbs; l++, column++) {
            int8_t *block = tiles + column / LMML_TILE_COLUMNS * n_chunks * 4 * LMML_TILE_BYTES;
            for (int64_t chunk = 0; chunk < n_chunks; chunk++) {
                const int8_t *digits =
                    v->vectors[k].limbs + (chunk * v->vectors[k].n_limbs + l) * LMML_CHUNK_SAMPLES;
                int8_t *to = block + chunk * 4 * LMML_TILE_BYTES + column % LMML_TILE_COLUMNS * 4;
                for (int r = 0; r < 4 * LMML_TILE_COLUMNS; r++)
                    memcpy(to + r * LMML_CHUNK_BYTES, digits + 4 * r, 4);
            }
        }
    return tiles;
}

static int operand_init(lmml_operand *v, const lmml_kernels *kernels, const lmml_vector *vectors,
                        int n_vectors, int64_t n_chunks)
{
    int n_columns = 0;
    if (n_vectors < 1 || n_vectors > LMML_MAX_VECTORS) return LMML_ERR_ARGUMENT;
    v->n_vectors = n_vectors;
    v->tiles = NULL;
    v->tiles_memory = NULL;
    for (int k = 0; k < n_vectors; k++) {
        const int n_limbs = vectors[k].n_limbs;
        if (n_limbs != LMML_LIMBS_SCREENING && n_limbs != LMML_LIMBS_CERTIFICATE)
            return LMML_ERR_ARGUMENT;
        v->vectors[k] = vectors[k];
        n_columns += n_limbs;
    }
    v->n_column_blocks = (n_columns + LMML_TILE_COLUMNS - 1) / LMML_TILE_COLUMNS;
    if (n_columns >= kernels->tiles_from && n_chunks > 0) {
        v->tiles = arrange_tiles(v, n_chunks, &v->tiles_memory);
        if (v->tiles == NULL) return LMML_ERR_MEMORY;
    }
    return LMML_OK;
}

/* x_j'v from the two sums that the kernels make, `coded` and `missing` (NULL: none). */
static double standardised_product(lmml_sum coded, const lmml_sum *missing, lmml_sum total,
                                   int missing_code, double mean, double inverse_sd, double unit)
{
    lmml_sum present = total, raw = coded;
    if (missing) {
        present.high -= missing->high;
        present.low -= missing->low;
        raw.high -= missing_code * missing->high;
        raw.low -= missing_code * missing->low;
    }
    /* sum of dosage v = 2 sum of v - sum of (2 - dosage) v, over the genotypes there are;
     * x_j'v = (sum of dosage v - mean * sum of v) / sd */
    raw.high = 2 * present.high - raw.high;
    raw.low = 2 * present.low - raw.low;
    return (sum_value(raw) - mean * sum_value(present)) * inverse_sd * unit;
}

int lmml_gradient(const lmml_kernels *kernels, const lmml_packed *packed, const double *mean,
                  const double *inverse_sd, const int32_t *n_missing, const lmml_vector *vectors,
                  int n_vectors, int64_t start, int64_t stop, double *out, int64_t ld)
{
    const uint8_t *rows[BATCH], *rows_missing[BATCH];
    int64_t variants[BATCH];
    lmml_sum coded[BATCH * LMML_MAX_VECTORS], missing[BATCH * LMML_MAX_VECTORS];
    lmml_sum total[LMML_MAX_VECTORS];
    const int64_t n_chunks = lmml_limbs_size(packed->n_samples, 1) / LMML_CHUNK_SAMPLES;
    lmml_operand v;
    row_tail tail;

    if (!range_is_valid(packed, start, stop)) return LMML_ERR_INDEX;
    int error = operand_init(&v, kernels, vectors, n_vectors, n_chunks);
    if (error) return error;
    v.stride = packed->stride;
    v.ahead = 32 * packed->stride > 4096 ? 32 * packed->stride : 4096;
    error = row_tail_init(&tail, packed, n_chunks);
    if (error) goto out;
    for (int k = 0; k < n_vectors; k++)
        total[k] = sum_of_limbs(vectors[k].limbs, n_chunks, vectors[k].n_limbs);

    for (int64_t j = start; j < stop;) {
        int n_rows = 0, n_incomplete = 0;
        for (; j < stop && n_rows < BATCH; j++) {
            for (int k = 0; k < n_vectors; k++) out[k * ld + j - start] = 0;
            if (inverse_sd[j] == 0) continue;
            const uint8_t *row = row_at(packed, &tail, j);
            variants[n_rows] = j;
            rows[n_rows++] = row;
            if (n_missing[j]) rows_missing[n_incomplete++] = row;
        }
        kernels->dot(rows, n_rows, n_chunks, &v, 0, coded);
        kernels->dot(rows_missing, n_incomplete, n_chunks, &v, 1, missing);
        const lmml_sum *of_missing = missing;
        for (int a = 0; a < n_rows; a++) {
            const int64_t i = variants[a];
            for (int k = 0; k < n_vectors; k++)
                out[k * ld + i - start] = standardised_product(
                    coded[a * n_vectors + k], n_missing[i] ? of_missing + k : NULL, total[k],
                    kernels->missing_code, mean[i], inverse_sd[i], vectors[k].unit);
            if (n_missing[i]) of_missing += n_vectors;
        }
    }
    free(tail.copy);
out:
    free(v.tiles_memory);
    return error;
}

/* ---- counts, duplicates ---------------------------------------------------------------------- */

int lmml_mask_fill(const int64_t *index, int64_t n_index, int64_t n_samples, uint8_t *mask)
{
    memset(mask, 0, (size_t)((n_samples + 3) / 4));
    for (int64_t k = 0; k < n_index; k++) {
        const int64_t i = index[k];
        if (i < 0 || i >= n_samples) return LMML_ERR_INDEX;
        mask[i / 4] |= (uint8_t)(1u << (2 * (i % 4)));
    }
    return LMML_OK;
}

int lmml_counts(const lmml_kernels *kernels, const lmml_packed *packed, const uint8_t *mask,
                int64_t start, int64_t stop, int32_t *counts)
{
    if (!range_is_valid(packed, start, stop)) return LMML_ERR_INDEX;
    for (int64_t j = start; j < stop; j++)
        kernels->count(packed->data + j * packed->stride, mask, packed->stride,
                       counts + 4 * (j - start));
    return LMML_OK;
}

int lmml_compress(const lmml_kernels *kernels, const lmml_packed *packed, const uint8_t *mask,
                  int64_t start, int64_t stop, uint8_t *out)
{
    if (!range_is_valid(packed, start, stop)) return LMML_ERR_INDEX;
    if (kernels->compress == NULL) return LMML_ERR_ISA;
    int64_t n = 0;
    for (int64_t b = 0; b < packed->stride; b++) n += __builtin_popcount(mask[b]);
    for (int64_t j = start; j < stop; j++, out += (n + 3) / 4)
        kernels->compress(packed->data + j * packed->stride, mask, packed->stride, out);
    return LMML_OK;
}

/* Eight bytes of a row, zero outside the mask and past the row's end. */
static uint64_t masked_word(const uint8_t *row, const uint8_t *mask, int64_t n_bytes, int64_t b,
                            uint64_t *low_bits)
{
    uint64_t code = 0, m = 0;
    const size_t step = n_bytes - b < 8 ? (size_t)(n_bytes - b) : 8;
    memcpy(&code, row + b, step);
    memcpy(&m, mask + b, step);
    *low_bits = m;
    return code & (m | m << 1);
}

/* 00 <-> 11 where both bits agree; missing and heterozygous stay. */
static uint64_t swap_alleles(uint64_t code, uint64_t low_bits)
{
    const uint64_t equal = ~(code ^ (code >> 1)) & low_bits;
    return code ^ (equal | equal << 1);
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ (hash >> 29);
}

int lmml_hash(const lmml_packed *packed, const uint8_t *mask, int64_t start, int64_t stop,
              uint64_t *hash)
{
    if (!range_is_valid(packed, start, stop)) return LMML_ERR_INDEX;
    for (int64_t j = start; j < stop; j++) {
        const uint8_t *row = packed->data + j * packed->stride;
        uint64_t as_is = 0, swapped = 0, m;
        for (int64_t b = 0; b < packed->stride; b += 8) {
            const uint64_t code = masked_word(row, mask, packed->stride, b, &m);
            as_is = mix(as_is, code);
            swapped = mix(swapped, swap_alleles(code, m));
        }
        hash[j - start] = as_is < swapped ? as_is : swapped;
    }
    return LMML_OK;
}

int lmml_compare(const lmml_packed *packed, const uint8_t *mask, int64_t a, int64_t b, int *sign)
{
    int equal = 1, swapped = 1;
    if (a < 0 || b < 0 || a >= packed->n_variants || b >= packed->n_variants) return LMML_ERR_INDEX;
    const uint8_t *x = packed->data + a * packed->stride, *y = packed->data + b * packed->stride;
    for (int64_t i = 0; i < packed->stride && (equal || swapped); i += 8) {
        uint64_t m;
        const uint64_t code_x = masked_word(x, mask, packed->stride, i, &m);
        const uint64_t code_y = masked_word(y, mask, packed->stride, i, &m);
        equal = equal && code_x == code_y;
        swapped = swapped && code_x == swap_alleles(code_y, m);
    }
    *sign = equal ? 1 : swapped ? -1 : 0;
    return LMML_OK;
}

int lmml_duplicates(const lmml_packed *packed, const uint8_t *mask, const int64_t *rows,
                    const uint64_t *hash, int64_t n_rows, int64_t *original, int8_t *sign)
{
    int64_t start = 0; /* of the rows with one hash */
    for (int64_t k = 0; k < n_rows; k++) {
        if (hash[k] != hash[start]) start = k;
        original[k] = rows[k];
        sign[k] = 1;
        for (int64_t i = start; i < k; i++) {
            int equal;
            if (original[i] != rows[i]) continue; /* several originals only if hashes collide */
            const int error = lmml_compare(packed, mask, rows[i], rows[k], &equal);
            if (error) return error;
            if (equal) {
                original[k] = rows[i];
                sign[k] = (int8_t)equal;
                break;
            }
        }
    }
    return LMML_OK;
}

int lmml_sample_missing(const lmml_packed *packed, const uint8_t *use_variant, int64_t start,
                        int64_t stop, int64_t *n_missing_of_sample)
{
    if (!range_is_valid(packed, start, stop)) return LMML_ERR_INDEX;
    for (int64_t j = start; j < stop; j++) {
        const uint8_t *row = packed->data + j * packed->stride;
        if (!use_variant[j]) continue;
        for (int64_t b = 0; b < packed->stride; b++) {
            uint8_t missing = row[b] & ~(row[b] >> 1) & 0x55;
            for (; missing; missing &= (uint8_t)(missing - 1)) {
                const int64_t i = 4 * b + __builtin_ctz(missing) / 2;
                if (i < packed->n_samples) n_missing_of_sample[i]++;
            }
        }
    }
    return LMML_OK;
}

/* ---- decoding -------------------------------------------------------------------------------- */

static int index_is_valid(const lmml_packed *packed, const int64_t *index, int64_t n_index)
{
    if (index == NULL) return n_index == packed->n_samples;
    for (int64_t i = 0; i < n_index; i++)
        if (index[i] < 0 || index[i] >= packed->n_samples) return 0;
    return 1;
}

static int is_identity(const lmml_packed *packed, const int64_t *index, int64_t n_index)
{
    if (index == NULL) return 1;
    if (n_index != packed->n_samples) return 0;
    for (int64_t i = 0; i < n_index; i++)
        if (index[i] != i) return 0;
    return 1;
}

/* Each row is decoded whole, with vectors, and then the samples are picked. `TABLE` fills table[4]
 * for row k; `DECODE(row, to)` is the kernel. */
#define DECODE_ROWS(type, TABLE, DECODE)                                                           \
    const int all = is_identity(packed, index, n_index);                                           \
    type *whole = NULL, table[4];                                                                  \
    int error = LMML_OK;                                                                           \
    if (!index_is_valid(packed, index, n_index)) return LMML_ERR_INDEX;                            \
    if (!all) {                                                                                    \
        whole = malloc((size_t)packed->n_samples * sizeof *whole);                                 \
        if (whole == NULL) return LMML_ERR_MEMORY;                                                 \
    }                                                                                              \
    for (int64_t k = 0; k < n_out; k++) {                                                          \
        const int64_t j = variants[k];                                                             \
        if (j < 0 || j >= packed->n_variants) {                                                    \
            error = LMML_ERR_INDEX;                                                                \
            break;                                                                                 \
        }                                                                                          \
        const uint8_t *row = packed->data + j * packed->stride;                                    \
        type *to = out + k * n_index;                                                              \
        TABLE;                                                                                     \
        DECODE(row, packed->n_samples, table, all ? to : whole);                                   \
        if (!all)                                                                                  \
            for (int64_t i = 0; i < n_index; i++) to[i] = whole[index[i]];                         \
    }                                                                                              \
    free(whole);                                                                                   \
    return error

/* By code; missing is at the mean. mean and inverse_sd go with the rows of `out`. */
#define STANDARDISED(type)                                                                         \
    table[0] = (type)((2 - mean[k]) * inverse_sd[k]);                                              \
    table[1] = 0;                                                                                  \
    table[2] = (type)((1 - mean[k]) * inverse_sd[k]);                                              \
    table[3] = (type)((0 - mean[k]) * inverse_sd[k])

int lmml_decode_f64(const lmml_kernels *kernels, const lmml_packed *packed, const int64_t *variants,
                    int64_t n_out, const double *mean, const double *inverse_sd,
                    const int64_t *index, int64_t n_index, double *out)
{
    DECODE_ROWS(double, STANDARDISED(double), kernels->decode_f64);
}

int lmml_decode_f32(const lmml_kernels *kernels, const lmml_packed *packed, const int64_t *variants,
                    int64_t n_out, const double *mean, const double *inverse_sd,
                    const int64_t *index, int64_t n_index, float *out)
{
    DECODE_ROWS(float, STANDARDISED(float), kernels->decode_f32);
}

static void decode_codes(const uint8_t *row, int64_t n, const uint8_t *table, uint8_t *out)
{
    for (int64_t i = 0; i < n; i++) out[i] = table[row[i / 4] >> (2 * (i % 4)) & 3];
}

int lmml_decode_codes(const lmml_packed *packed, const int64_t *variants, int64_t n_out,
                      const int64_t *index, int64_t n_index, uint8_t *out)
{
    DECODE_ROWS(uint8_t, for (int g = 0; g < 4; g++) table[g] = (uint8_t)g, decode_codes);
}

/* ---- kinship: sums of blocks, and parts of it -------------------------------------------------
 */

void lmml_add_rounded(int64_t n, const float *part, double grid, double *total)
{
    const double shift = 0x1.8p52 * grid; /* its lowest bit is worth `grid` */
    for (int64_t i = 0; i < n; i++) total[i] += ((double)part[i] + shift) - shift;
}

void lmml_square_subset(int64_t n, const double *A, int64_t k, const int64_t *index, double divisor,
                        double *out)
{
    for (int64_t i = 0; i < k; i++, out += k) {
        const double *row = A + index[i] * n;
        for (int64_t j = 0; j < k; j++) out[j] = row[index[j]] / divisor;
    }
}
