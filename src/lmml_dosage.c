/* lmml_dosage.c - genotypes kept as dosages: sums, X'v, decoding, duplicates.
 *
 * Codes of either width are fetched, a block of samples at a time, as 16-bit codes. All else works
 * on such blocks. */
#include <string.h>

#include "kernels.h"

enum { BLOCK = 512, MISSING = UINT16_MAX };

static int is_valid(const lmml_dosages *dosages, const int64_t *index, int64_t n_index)
{
    if (dosages->bytes != 1 && dosages->bytes != 2) return LMML_ERR_ARGUMENT;
    if (index == NULL) return n_index == dosages->n_samples ? LMML_OK : LMML_ERR_INDEX;
    for (int64_t i = 0; i < n_index; i++)
        if (index[i] < 0 || index[i] >= dosages->n_samples) return LMML_ERR_INDEX;
    return LMML_OK;
}

static int range_is_valid(const lmml_dosages *dosages, int64_t start, int64_t stop)
{
    return start >= 0 && start <= stop && stop <= dosages->n_variants;
}

static uint16_t widened(uint8_t code) { return code == UINT8_MAX ? MISSING : code; }

/* The codes of SNP j at the analysed samples first .. first + BLOCK - 1; their number. */
static int fetch(const lmml_dosages *dosages, int64_t j, const int64_t *index, int64_t n_index,
                 int64_t first, uint16_t *restrict codes)
{
    const int n = n_index - first < BLOCK ? (int)(n_index - first) : BLOCK;
    const int64_t row = j * dosages->n_samples;
    if (dosages->bytes == 1) {
        const uint8_t *x = (const uint8_t *)dosages->data + row;
        if (index)
            for (int i = 0; i < n; i++) codes[i] = widened(x[index[first + i]]);
        else
            for (int i = 0; i < n; i++) codes[i] = widened(x[first + i]);
    } else {
        const uint16_t *x = (const uint16_t *)dosages->data + row;
        if (index)
            for (int i = 0; i < n; i++) codes[i] = x[index[first + i]];
        else
            memcpy(codes, x + first, (size_t)n * sizeof *codes);
    }
    return n;
}

int lmml_dosage_sums(const lmml_dosages *dosages, const int64_t *index, int64_t n_index,
                     int64_t start, int64_t stop, int64_t *sums)
{
    uint16_t codes[BLOCK];
    const int error = is_valid(dosages, index, n_index);
    if (error) return error;
    if (!range_is_valid(dosages, start, stop)) return LMML_ERR_INDEX;
    for (int64_t j = start; j < stop; j++, sums += LMML_DOSAGE_SUMS) {
        int64_t present = 0, sum = 0, squares = 0;
        uint16_t low = MISSING, high = 0;
        for (int64_t first = 0; first < n_index; first += BLOCK) {
            const int n = fetch(dosages, j, index, n_index, first, codes);
            uint32_t n_there = 0, sum_here = 0; /* at most 2^25 */
            for (int i = 0; i < n; i++) {
                const uint16_t there = codes[i] != MISSING, code = there ? codes[i] : 0;
                n_there += there;
                sum_here += code;
                squares += (uint32_t)code * code;
                low = codes[i] < low ? codes[i] : low;
                high = code > high ? code : high;
            }
            present += n_there;
            sum += sum_here;
        }
        sums[0] = present;
        sums[1] = sum;
        sums[2] = squares;
        sums[3] = low;
        sums[4] = high;
    }
    return LMML_OK;
}

int lmml_dosage_gradient(const lmml_kernels *kernels, const lmml_dosages *dosages,
                         const int64_t *index, int64_t n_index, const double *mean,
                         const double *inverse_sd, const double *v, int n_vectors, int64_t start,
                         int64_t stop, double *out, int64_t ld)
{
    uint16_t codes[BLOCK];
    double x[BLOCK], sums[LMML_MAX_VECTORS];
    const int error = is_valid(dosages, index, n_index);
    if (error) return error;
    if (!range_is_valid(dosages, start, stop)) return LMML_ERR_INDEX;
    if (n_vectors < 0 || n_vectors > LMML_MAX_VECTORS) return LMML_ERR_ARGUMENT;
    for (int64_t j = start; j < stop; j++) {
        memset(sums, 0, sizeof sums);
        for (int64_t first = 0; first < n_index && inverse_sd[j] != 0; first += BLOCK) {
            const int n = fetch(dosages, j, index, n_index, first, codes);
            kernels->centre(n, codes, mean[j], x);
            for (int k = 0; k < n_vectors; k++)
                sums[k] += kernels->dot_f64(n, x, v + k * n_index + first);
        }
        for (int k = 0; k < n_vectors; k++) out[k * ld + j - start] = sums[k] * inverse_sd[j];
    }
    return LMML_OK;
}

/* One block after the other; `type` is that of out. */
#define DECODE_ROWS(type)                                                                          \
    uint16_t codes[BLOCK];                                                                         \
    double x[BLOCK];                                                                               \
    const int error = is_valid(dosages, index, n_index);                                           \
    if (error) return error;                                                                       \
    for (int64_t k = 0; k < n_out; k++, out += n_index) {                                          \
        if (variants[k] < 0 || variants[k] >= dosages->n_variants) return LMML_ERR_INDEX;          \
        for (int64_t first = 0; first < n_index; first += BLOCK) {                                 \
            const int n = fetch(dosages, variants[k], index, n_index, first, codes);               \
            kernels->centre(n, codes, mean[k], x);                                                 \
            for (int i = 0; i < n; i++) out[first + i] = (type)(x[i] * inverse_sd[k]);             \
        }                                                                                          \
    }                                                                                              \
    return LMML_OK

int lmml_dosage_decode_f64(const lmml_kernels *kernels, const lmml_dosages *dosages,
                           const int64_t *variants, int64_t n_out, const double *mean,
                           const double *inverse_sd, const int64_t *index, int64_t n_index,
                           double *out)
{
    DECODE_ROWS(double);
}

int lmml_dosage_decode_f32(const lmml_kernels *kernels, const lmml_dosages *dosages,
                           const int64_t *variants, int64_t n_out, const double *mean,
                           const double *inverse_sd, const int64_t *index, int64_t n_index,
                           float *out)
{
    DECODE_ROWS(float);
}

/* ---- duplicates ------------------------------------------------------------------------------ */

static uint16_t swapped(uint16_t code, uint16_t top)
{
    return code == MISSING ? MISSING : (uint16_t)(top - code);
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ (hash >> 29);
}

int lmml_dosage_hash(const lmml_dosages *dosages, const int64_t *index, int64_t n_index,
                     int64_t start, int64_t stop, uint64_t *hash)
{
    uint16_t codes[BLOCK];
    const int error = is_valid(dosages, index, n_index);
    if (error) return error;
    if (!range_is_valid(dosages, start, stop)) return LMML_ERR_INDEX;
    for (int64_t j = start; j < stop; j++) {
        uint64_t as_is = 0, other = 0;
        for (int64_t first = 0; first < n_index; first += BLOCK) {
            const int n = fetch(dosages, j, index, n_index, first, codes);
            for (int i = n; i % 4; i++) codes[i] = MISSING;
            for (int i = 0; i < n; i += 4) { /* four codes a word */
                uint64_t word = 0, word_swapped = 0;
                for (int k = 0; k < 4; k++) {
                    word = word << 16 | codes[i + k];
                    word_swapped = word_swapped << 16 | swapped(codes[i + k], dosages->top);
                }
                as_is = mix(as_is, word);
                other = mix(other, word_swapped);
            }
        }
        hash[j - start] = as_is < other ? as_is : other;
    }
    return LMML_OK;
}

/* 1: equal, -1: equal with the alleles swapped, 0: different. */
static int compare(const lmml_dosages *dosages, const int64_t *index, int64_t n_index, int64_t a,
                   int64_t b)
{
    uint16_t x[BLOCK], y[BLOCK];
    int equal = 1, other = 1;
    for (int64_t first = 0; first < n_index && (equal || other); first += BLOCK) {
        const int n = fetch(dosages, a, index, n_index, first, x);
        fetch(dosages, b, index, n_index, first, y);
        equal = equal && memcmp(x, y, (size_t)n * sizeof *x) == 0;
        for (int i = 0; i < n && other; i++) other = x[i] == swapped(y[i], dosages->top);
    }
    return equal ? 1 : other ? -1 : 0;
}

int lmml_dosage_duplicates(const lmml_dosages *dosages, const int64_t *index, int64_t n_index,
                           const int64_t *rows, const uint64_t *hash, int64_t n_rows,
                           int64_t *original, int8_t *sign)
{
    const int error = is_valid(dosages, index, n_index);
    if (error) return error;
    for (int64_t k = 0; k < n_rows; k++)
        if (rows[k] < 0 || rows[k] >= dosages->n_variants) return LMML_ERR_INDEX;
    for (int64_t k = 0, start = 0; k < n_rows; k++) {
        if (hash[k] != hash[start]) start = k;
        original[k] = rows[k];
        sign[k] = 1;
        for (int64_t i = start; i < k; i++) {
            int equal;
            if (original[i] != rows[i]) continue; /* several originals only if hashes collide */
            equal = compare(dosages, index, n_index, rows[i], rows[k]);
            if (equal) {
                original[k] = rows[i];
                sign[k] = (int8_t)equal;
                break;
            }
        }
    }
    return LMML_OK;
}

int lmml_dosage_missing(const lmml_dosages *dosages, const uint8_t *use_variant, int64_t start,
                        int64_t stop, int64_t *n_missing_of_sample)
{
    uint16_t codes[BLOCK];
    const int64_t n = dosages->n_samples;
    const int error = is_valid(dosages, NULL, n);
    if (error) return error;
    if (!range_is_valid(dosages, start, stop)) return LMML_ERR_INDEX;
    for (int64_t j = start; j < stop; j++) {
        if (!use_variant[j]) continue;
        for (int64_t first = 0; first < n; first += BLOCK) {
            const int n_here = fetch(dosages, j, NULL, n, first, codes);
            for (int i = 0; i < n_here; i++) n_missing_of_sample[first + i] += codes[i] == MISSING;
        }
    }
    return LMML_OK;
}
