/* fuzz_packed.c - packed genotypes of any bytes, for any samples and SNPs, against a decoder of one
 * sample at a time. */
#include <math.h>

#include "fuzz.h"

enum { MOST_SAMPLES = 1100, MOST_VARIANTS = 12 };

static int code_of(const lmml_packed *packed, int64_t j, int64_t i)
{
    return packed->data[j * packed->stride + i / 4] >> (2 * (i % 4)) & 3;
}

/* Copies of A1; -1 for missing. */
static int copies_of(int code)
{
    static const int copies[4] = {2, -1, 1, 0};
    return copies[code];
}

static void check_gradient(input *in, const lmml_kernels *kernels, const lmml_packed *packed,
                           const int64_t *index, int64_t n_index, int bad_index)
{
    const int64_t n = packed->n_samples, p = packed->n_variants;
    static const int limbs_of[] = {LMML_LIMBS_SCREENING, LMML_LIMBS_CERTIFICATE, 0, 4};
    const int n_limbs = limbs_of[take(in) % 32 < 28 ? take(in) % 2 : 2 + take(in) % 2];
    const int n_vectors = take(in) % (LMML_MAX_VECTORS + 2);
    const int scale = (int8_t)take(in);
    int bad_range, any_nan = 0;
    int64_t start, stop;
    take_range(in, p, &start, &stop, &bad_range);
    double *v = buffer(n_index, sizeof *v), *of = buffer(n, sizeof *of), unit = 0;
    int8_t *limbs = buffer(lmml_limbs_size(n, n_limbs), 1);
    for (int64_t k = 0; k < n_index; k++) v[k] = ldexp(take_number(in), scale);
    if (n_index && take(in) == 255) v[n_index / 2] = take(in) % 2 ? NAN : -INFINITY, any_nan = 1;
    const int error = lmml_limbs_fill(v, index, n_index, n, n_limbs, limbs, &unit);
    if (n_limbs != LMML_LIMBS_SCREENING && n_limbs != LMML_LIMBS_CERTIFICATE)
        REQUIRE(error == LMML_ERR_ARGUMENT);
    else
        REQUIRE((error == LMML_OK) == !(bad_index || any_nan));
    if (error == LMML_OK) {
        for (int64_t i = 0; i < n; i++) of[i] = 0;
        for (int64_t k = 0; k < n_index; k++) of[index ? index[k] : k] = v[k];
        double *mean = buffer(p, sizeof *mean), *inverse_sd = buffer(p, sizeof *inverse_sd);
        int32_t *n_missing = buffer(p, sizeof *n_missing);
        lmml_vector vectors[LMML_MAX_VECTORS + 1];
        for (int k = 0; k <= LMML_MAX_VECTORS; k++)
            vectors[k] = (lmml_vector){limbs, n_limbs, unit};
        for (int64_t j = 0; j < p; j++) {
            mean[j] = take(in) / 128.0;
            inverse_sd[j] = take(in) % 4 ? (1 + take(in)) / 64.0 : 0;
            n_missing[j] = 0;
            for (int64_t i = 0; i < n; i++) n_missing[j] += copies_of(code_of(packed, j, i)) < 0;
        }
        const int64_t ld = bad_range ? 1 : stop - start;
        double *out = buffer(ld * n_vectors, sizeof *out);
        const int result = lmml_gradient(kernels, packed, mean, inverse_sd, n_missing, vectors,
                                         n_vectors, start, stop, out, ld);
        if (bad_range)
            REQUIRE(result == LMML_ERR_INDEX);
        else if (n_vectors < 1 || n_vectors > LMML_MAX_VECTORS)
            REQUIRE(result == LMML_ERR_ARGUMENT);
        else
            REQUIRE(result == LMML_OK);
        for (int64_t j = start; result == LMML_OK && j < stop; j++) {
            double expected = 0, size = 0;
            for (int64_t i = 0; i < n; i++) {
                const int copies = copies_of(code_of(packed, j, i));
                if (copies < 0) continue;
                expected += (copies - mean[j]) * inverse_sd[j] * of[i];
                size += (2 + mean[j]) * inverse_sd[j] * (fabs(of[i]) * 1e-12 + unit);
            }
            for (int k = 0; k < n_vectors; k++)
                REQUIRE(fabs(out[k * ld + j - start] - expected) <= size);
        }
        free(mean), free(inverse_sd), free(n_missing), free(out);
    }
    free(v), free(of), free(limbs);
}

static void check_mask(input *in, const lmml_kernels *kernels, const lmml_packed *packed,
                       const int64_t *index, int64_t n_index, int bad_index)
{
    const int64_t n = packed->n_samples, p = packed->n_variants;
    uint8_t *mask = buffer(packed->stride, 1);
    int64_t start, stop, n_masked = 0;
    int bad_range;
    take_range(in, p, &start, &stop, &bad_range);
    const int error = lmml_mask_fill(index, n_index, n, mask);
    REQUIRE(error == (bad_index ? LMML_ERR_INDEX : LMML_OK));
    for (int64_t i = 0; i < 4 * packed->stride && !error; i++) {
        const int code = mask[i / 4] >> (2 * (i % 4)) & 3;
        REQUIRE(code == 0 || (code == 1 && i < n));
        n_masked += code;
    }
    const int64_t m = error || bad_range ? 0 : stop - start, width = (n_masked + 3) / 4;
    int32_t *counts = buffer(4 * m, sizeof *counts);
    uint64_t *hash = buffer(m, sizeof *hash);
    uint8_t *packed_again = buffer(m * width, 1);
    const int wanted = bad_range ? LMML_ERR_INDEX : LMML_OK;
    if (!error) {
        REQUIRE(lmml_counts(kernels, packed, mask, start, stop, counts) == wanted);
        REQUIRE(lmml_hash(packed, mask, start, stop, hash) == wanted);
        const int done = lmml_compress(kernels, packed, mask, start, stop, packed_again);
        REQUIRE(done == wanted || (done == LMML_ERR_ISA && !bad_range));
        for (int64_t j = start; j < start + m; j++) {
            int32_t expected[4] = {0, 0, 0, 0};
            int64_t at = 0;
            for (int64_t i = 0; i < n; i++) {
                if (!(mask[i / 4] >> (2 * (i % 4)) & 1)) continue;
                const int code = code_of(packed, j, i);
                expected[code]++;
                const int found = packed_again[(j - start) * width + at / 4] >> (2 * (at % 4)) & 3;
                REQUIRE(done != LMML_OK || found == code);
                at++;
            }
            REQUIRE(memcmp(expected, counts + 4 * (j - start), sizeof expected) == 0);
            for (; done == LMML_OK && at < 4 * width; at++)
                REQUIRE((packed_again[(j - start) * width + at / 4] >> (2 * (at % 4)) & 3) == 0);
        }
    }
    for (int64_t a = start; a < start + m; a++)
        for (int64_t b = start; b < start + m; b++) {
            int same = 1, swapped = 1, sign = 2;
            for (int64_t i = 0; i < n; i++) {
                if (!(mask[i / 4] >> (2 * (i % 4)) & 1)) continue;
                const int x = copies_of(code_of(packed, a, i)),
                          y = copies_of(code_of(packed, b, i));
                same = same && x == y;
                swapped = swapped && x == (y < 0 ? y : 2 - y);
            }
            REQUIRE(lmml_compare(packed, mask, a, b, &sign) == LMML_OK);
            REQUIRE(sign == (same ? 1 : swapped ? -1 : 0));
            REQUIRE(sign == 0 || hash[a - start] == hash[b - start]);
        }
    if (!error) {
        int sign, bad;
        int64_t *rows = take_index(in, p, p, &bad), *original = buffer(p, sizeof *original);
        uint64_t *equal = buffer(p, sizeof *equal);
        int8_t *signs = buffer(p, 1);
        memset(equal, 0, (size_t)p * sizeof *equal); /* all candidates, whatever they hold */
        REQUIRE(lmml_compare(packed, mask, p, 0, &sign) == LMML_ERR_INDEX);
        REQUIRE(lmml_compare(packed, mask, 0, -1, &sign) == LMML_ERR_INDEX);
        const int done = lmml_duplicates(packed, mask, rows, equal, p, original, signs);
        REQUIRE(done == LMML_OK || (done == LMML_ERR_INDEX && bad));
        for (int64_t k = 0; k < p && done == LMML_OK && !bad; k++) {
            REQUIRE(original[k] >= 0 && original[k] < p && (signs[k] == 1 || signs[k] == -1));
            REQUIRE(lmml_compare(packed, mask, original[k], rows[k], &sign) == LMML_OK);
            REQUIRE(sign == signs[k]);
        }
        free(rows), free(original), free(equal), free(signs);
    }
    free(mask), free(counts), free(hash), free(packed_again);
}

static void check_decoded(input *in, const lmml_kernels *kernels, const lmml_packed *packed,
                          const int64_t *index, int64_t n_index, int bad_index)
{
    const int64_t n = packed->n_samples, p = packed->n_variants, n_out = take(in) % 8;
    int bad;
    int64_t *variants = take_index(in, n_out, p, &bad);
    double *mean = buffer(n_out, sizeof *mean), *inverse_sd = buffer(n_out, sizeof *inverse_sd);
    for (int64_t k = 0; k < n_out; k++) mean[k] = take_number(in), inverse_sd[k] = take_number(in);
    float *x = buffer(n_out * n_index, sizeof *x);
    double *y = buffer(n_out * n_index, sizeof *y);
    uint8_t *codes = buffer(n_out * n_index, 1);
    const int wrong = bad_index || (bad && n_out), wanted = wrong ? LMML_ERR_INDEX : LMML_OK;
    REQUIRE(lmml_decode_f32(kernels, packed, variants, n_out, mean, inverse_sd, index, n_index,
                            x) == wanted);
    REQUIRE(lmml_decode_f64(kernels, packed, variants, n_out, mean, inverse_sd, index, n_index,
                            y) == wanted);
    REQUIRE(lmml_decode_codes(packed, variants, n_out, index, n_index, codes) == wanted);
    for (int64_t k = 0; k < n_out && !wrong; k++)
        for (int64_t i = 0; i < n_index; i++) {
            const int code = code_of(packed, variants[k], index ? index[i] : i);
            const int copies = copies_of(code);
            const double expected = copies < 0 ? 0 : (copies - mean[k]) * inverse_sd[k];
            REQUIRE(codes[k * n_index + i] == code);
            REQUIRE(y[k * n_index + i] == expected);
            REQUIRE(x[k * n_index + i] == (float)expected);
        }
    uint8_t *use = buffer(p, 1);
    int64_t *missing = buffer(n, sizeof *missing), start, stop;
    take_range(in, p, &start, &stop, &bad);
    take_bytes(in, use, (size_t)p);
    for (int64_t i = 0; i < n; i++) missing[i] = 3;
    REQUIRE(lmml_sample_missing(packed, use, start, stop, missing) ==
            (bad ? LMML_ERR_INDEX : LMML_OK));
    for (int64_t i = 0; i < n; i++) {
        int64_t expected = 3;
        for (int64_t j = start; j < stop && !bad; j++)
            expected += use[j] && code_of(packed, j, i) == 1;
        REQUIRE(missing[i] == expected);
    }
    free(variants), free(mean), free(inverse_sd), free(x), free(y), free(codes);
    free(use), free(missing);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size, 0};
    const lmml_kernels *kernels = take_kernels(&in);
    const int64_t n = take16(&in) % MOST_SAMPLES, p = take(&in) % MOST_VARIANTS;
    const int64_t stride = (n + 3) / 4;
    const int whole = take(&in) % 4 == 0;
    int bad = 0;
    const int64_t n_index = whole ? n - (take(&in) == 255 && n) : take16(&in) % (n + 2);
    int64_t *index = whole ? NULL : take_index(&in, n_index, n, &bad);
    if (whole) bad = n_index != n;
    uint8_t *bytes = buffer(p * stride, 1);
    input rest = in;
    take_bytes(&rest, bytes, (size_t)(p * stride));
    if (p > 2) memcpy(bytes, bytes + (p - 1) * stride, (size_t)stride); /* one SNP twice */
    const lmml_packed packed = {bytes, p, n, stride};
    check_gradient(&in, kernels, &packed, index, n_index, bad);
    if (!whole) check_mask(&in, kernels, &packed, index, n_index, bad);
    check_decoded(&in, kernels, &packed, index, n_index, bad);
    free(bytes), free(index);
    return 0;
}
