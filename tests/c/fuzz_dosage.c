/* fuzz_dosage.c - dosages of any codes, for any samples and SNPs, against one code at a time. */
#include <math.h>

#include "fuzz.h"

enum { MOST_SAMPLES = 1100, MOST_VARIANTS = 10 };

/* A code; -1 for missing. */
static int32_t code_of(const lmml_dosages *dosages, int64_t j, int64_t i)
{
    const int64_t at = j * dosages->n_samples + i;
    if (dosages->bytes == 1) {
        const uint8_t code = ((const uint8_t *)dosages->data)[at];
        return code == UINT8_MAX ? -1 : code;
    }
    const uint16_t code = ((const uint16_t *)dosages->data)[at];
    return code == UINT16_MAX ? -1 : code;
}

static void check_sums(input *in, const lmml_kernels *kernels, const lmml_dosages *dosages,
                       const int64_t *index, int64_t n_index, int of_index)
{
    const int64_t p = dosages->n_variants;
    const int n_vectors = take(in) % (LMML_MAX_VECTORS + 2);
    int64_t start, stop;
    int bad;
    take_range(in, p, &start, &stop, &bad);
    const int64_t m = bad ? 1 : stop - start;
    int64_t *sums = buffer(LMML_DOSAGE_SUMS * m, sizeof *sums);
    double *mean = buffer(p, sizeof *mean), *inverse_sd = buffer(p, sizeof *inverse_sd);
    double *v = buffer(n_index * n_vectors, sizeof *v);
    double *out = buffer(m * n_vectors, sizeof *out);
    for (int64_t j = 0; j < p; j++) {
        mean[j] = take16(in) / 4.0;
        inverse_sd[j] = take(in) % 4 ? take(in) / 8.0 : 0;
    }
    for (int64_t k = 0; k < n_index * n_vectors; k++) v[k] = take_number(in);
    const int wanted = of_index ? of_index : bad ? LMML_ERR_INDEX : LMML_OK;
    REQUIRE(lmml_dosage_sums(dosages, index, n_index, start, stop, sums) == wanted);
    const int done = lmml_dosage_gradient(kernels, dosages, index, n_index, mean, inverse_sd, v,
                                          n_vectors, start, stop, out, m);
    REQUIRE(done ==
            (wanted == LMML_OK && n_vectors > LMML_MAX_VECTORS ? LMML_ERR_ARGUMENT : wanted));
    for (int64_t j = start; j < stop && wanted == LMML_OK; j++) {
        int64_t expected[LMML_DOSAGE_SUMS] = {0, 0, 0, 65535, 0};
        for (int64_t i = 0; i < n_index; i++) {
            const int64_t code = code_of(dosages, j, index ? index[i] : i);
            if (code < 0) continue;
            expected[0]++, expected[1] += code, expected[2] += code * code;
            if (code < expected[3]) expected[3] = code;
            if (code > expected[4]) expected[4] = code;
        }
        REQUIRE(memcmp(expected, sums + LMML_DOSAGE_SUMS * (j - start), sizeof expected) == 0);
        for (int k = 0; k < n_vectors && done == LMML_OK; k++) {
            double sum = 0, size = 0;
            for (int64_t i = 0; i < n_index; i++) {
                const int64_t code = code_of(dosages, j, index ? index[i] : i);
                if (code < 0) continue;
                sum += ((double)code - mean[j]) * inverse_sd[j] * v[k * n_index + i];
                size += fabs(((double)code + mean[j]) * inverse_sd[j] * v[k * n_index + i]);
            }
            REQUIRE(fabs(out[k * m + j - start] - sum) <= 1e-12 * size);
        }
    }
    free(sums), free(mean), free(inverse_sd), free(v), free(out);
}

static void check_rows(input *in, const lmml_kernels *kernels, const lmml_dosages *dosages,
                       const int64_t *index, int64_t n_index, int of_index)
{
    const int64_t n = dosages->n_samples, p = dosages->n_variants, n_out = take(in) % 8;
    int bad;
    int64_t *variants = take_index(in, n_out, p, &bad), start, stop;
    double *mean = buffer(n_out, sizeof *mean), *inverse_sd = buffer(n_out, sizeof *inverse_sd);
    float *x = buffer(n_out * n_index, sizeof *x);
    double *y = buffer(n_out * n_index, sizeof *y);
    for (int64_t k = 0; k < n_out; k++) mean[k] = take_number(in), inverse_sd[k] = take_number(in);
    int wanted = of_index ? of_index : bad ? LMML_ERR_INDEX : LMML_OK;
    REQUIRE(lmml_dosage_decode_f32(kernels, dosages, variants, n_out, mean, inverse_sd, index,
                                   n_index, x) == wanted);
    REQUIRE(lmml_dosage_decode_f64(kernels, dosages, variants, n_out, mean, inverse_sd, index,
                                   n_index, y) == wanted);
    for (int64_t k = 0; k < n_out && wanted == LMML_OK; k++)
        for (int64_t i = 0; i < n_index; i++) {
            const int32_t code = code_of(dosages, variants[k], index ? index[i] : i);
            const double expected = code < 0 ? 0 : (code - mean[k]) * inverse_sd[k];
            REQUIRE(y[k * n_index + i] == expected && x[k * n_index + i] == (float)expected);
        }
    int64_t *original = buffer(n_out, sizeof *original), *missing = buffer(n, sizeof *missing);
    uint64_t *hash = buffer(p, sizeof *hash), *equal = buffer(n_out, sizeof *equal);
    int8_t *sign = buffer(n_out, 1);
    for (int64_t k = 0; k < n_out; k++) equal[k] = 0; /* all are candidates */
    REQUIRE(lmml_dosage_duplicates(dosages, index, n_index, variants, equal, n_out, original,
                                   sign) == wanted);
    REQUIRE(lmml_dosage_hash(dosages, index, n_index, 0, p, hash) == of_index);
    for (int64_t k = 0; k < n_out && wanted == LMML_OK; k++) {
        REQUIRE(original[k] >= 0 && original[k] < p && (sign[k] == 1 || sign[k] == -1));
        REQUIRE(hash[original[k]] == hash[variants[k]]);
        for (int64_t i = 0; i < n_index; i++) {
            const int64_t at = index ? index[i] : i;
            const int32_t a = code_of(dosages, original[k], at);
            const int32_t b = code_of(dosages, variants[k], at);
            REQUIRE(sign[k] == 1 ? a == b
                                 : a == (b < 0 ? b : (uint16_t)(dosages->top - b)) ||
                                       (uint16_t)a == (uint16_t)(dosages->top - b));
        }
    }
    uint8_t *use = buffer(p, 1);
    take_range(in, p, &start, &stop, &bad);
    take_bytes(in, use, (size_t)p);
    for (int64_t i = 0; i < n; i++) missing[i] = 0;
    wanted = dosages->bytes == 1 || dosages->bytes == 2 ? LMML_OK : LMML_ERR_ARGUMENT;
    if (bad && !wanted) wanted = LMML_ERR_INDEX;
    REQUIRE(lmml_dosage_missing(dosages, use, start, stop, missing) == wanted);
    for (int64_t i = 0; i < n && wanted == LMML_OK; i++) {
        int64_t expected = 0;
        for (int64_t j = start; j < stop; j++) expected += use[j] && code_of(dosages, j, i) < 0;
        REQUIRE(missing[i] == expected);
    }
    free(variants), free(mean), free(inverse_sd), free(x), free(y), free(original), free(missing);
    free(hash), free(equal), free(sign), free(use);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size, 0};
    const lmml_kernels *kernels = take_kernels(&in);
    const int64_t n = take16(&in) % MOST_SAMPLES, p = take(&in) % MOST_VARIANTS;
    const uint8_t form = take(&in);
    const int whole = form & 4;
    int bad = 0;
    const int64_t n_index = whole ? n - (take(&in) == 255 && n) : take16(&in) % (n + 2);
    int64_t *index = whole ? NULL : take_index(&in, n_index, n, &bad);
    if (whole) bad = n_index != n;
    lmml_dosages dosages = {NULL, p, n, 1 + (form & 1), (uint16_t)(form & 1 ? 32768 : 254)};
    void *codes = buffer(p * n, (size_t)dosages.bytes);
    input rest = in;
    take_bytes(&rest, codes, (size_t)(p * n * dosages.bytes));
    dosages.data = codes;
    if (form >= 250) dosages.bytes = form - 250 ? 3 : 0;
    const int wrong_bytes = form >= 250;
    const int of_index = wrong_bytes ? LMML_ERR_ARGUMENT : bad ? LMML_ERR_INDEX : LMML_OK;
    check_sums(&in, kernels, &dosages, index, n_index, of_index);
    check_rows(&in, kernels, &dosages, index, n_index, of_index);
    free(codes), free(index);
    return 0;
}
