/* test_dosage.c - everything that reads dosages, against loops over samples. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { P = 9 }; /* SNPs */

/* Codes in memory of exactly their size, and what they are as 16-bit codes. */
typedef struct {
    lmml_dosages dosages;
    uint16_t *codes; /* P rows of n */
    int64_t *index, n_index;
} set;

static set draw(int64_t n, int bytes)
{
    const uint16_t top = bytes == 1 ? 254 : 32768;
    set s = {{NULL, P, n, bytes, top}, NULL, NULL, (n + 1) / 2};
    s.codes = allocate(P * (size_t)n * sizeof *s.codes);
    s.index = allocate((size_t)s.n_index * sizeof *s.index);
    for (int64_t i = 0; i < P * n; i++)
        s.codes[i] = next_random() % 8 ? (uint16_t)(next_random() % (top + 1u)) : UINT16_MAX;
    for (int64_t i = 0; i < n; i++) { /* SNP 6 = SNP 0, 7 = SNP 1 swapped, 8 differs in sample 0 */
        const uint16_t other = s.codes[n + i];
        s.codes[6 * n + i] = s.codes[i];
        s.codes[7 * n + i] = other == UINT16_MAX ? other : (uint16_t)(top - other);
        s.codes[8 * n + i] = s.codes[2 * n + i];
        s.codes[5 * n + i] = UINT16_MAX; /* nobody there */
        s.codes[4 * n + i] = 17;         /* constant */
    }
    s.codes[8 * n] = s.codes[2 * n] == 3 ? 4 : 3;
    for (int64_t k = 0; k < s.n_index; k++) s.index[k] = 2 * (s.n_index - 1 - k);
    if (bytes == 2) {
        uint16_t *data = allocate(P * (size_t)n * sizeof *data);
        memcpy(data, s.codes, P * (size_t)n * sizeof *data);
        s.dosages.data = data;
    } else {
        uint8_t *data = allocate(P * (size_t)n);
        for (int64_t i = 0; i < P * n; i++)
            data[i] = s.codes[i] == UINT16_MAX ? UINT8_MAX : (uint8_t)s.codes[i];
        s.dosages.data = data;
    }
    return s;
}

static void discard(set s)
{
    free((void *)s.dosages.data);
    free(s.codes);
    free(s.index);
}

static void test_sums(set s, const int64_t *index, int64_t n)
{
    int64_t *found = allocate(P * LMML_DOSAGE_SUMS * sizeof *found);
    CHECK(lmml_dosage_sums(&s.dosages, index, n, 0, P, found) == LMML_OK);
    for (int j = 0; j < P; j++) {
        int64_t expected[5] = {0, 0, 0, UINT16_MAX, 0};
        for (int64_t i = 0; i < n; i++) {
            const int64_t code = s.codes[j * s.dosages.n_samples + (index ? index[i] : i)];
            if (code == UINT16_MAX) continue;
            expected[0]++;
            expected[1] += code;
            expected[2] += code * code;
            if (code < expected[3]) expected[3] = code;
            if (code > expected[4]) expected[4] = code;
        }
        CHECK(memcmp(found + 5 * j, expected, sizeof expected) == 0);
    }
    free(found);
}

static double standardised(uint16_t code, double mean, double inverse_sd)
{
    return code == UINT16_MAX ? 0 : (code - mean) * inverse_sd;
}

static void test_products(set s, const int64_t *index, int64_t n)
{
    enum { M = 3 };
    double mean[P], inverse_sd[P], *v = allocate(M * (size_t)n * sizeof *v), once[P * M];
    double *out = allocate(P * (size_t)n * sizeof *out);
    float *out_f32 = allocate(P * (size_t)n * sizeof *out_f32);
    int64_t variants[P];
    for (int j = 0; j < P; j++) {
        mean[j] = s.dosages.top * (1 + uniform()) / 2;
        inverse_sd[j] = j == 3 ? 0 : (2 + uniform()) / s.dosages.top;
        variants[j] = P - 1 - j;
    }
    for (int64_t i = 0; i < M * n; i++) v[i] = uniform();
    for (int t = 0; t < n_tables; t++) {
        double parts[P * M];
        CHECK(lmml_dosage_gradient(tables[t], &s.dosages, index, n, mean, inverse_sd, v, M, 0, P,
                                   once, P) == LMML_OK);
        for (int start = 0, stop = 2; start<P; start = stop, stop = stop + 3> P ? P : stop + 3)
            CHECK(lmml_dosage_gradient(tables[t], &s.dosages, index, n, mean, inverse_sd, v, M,
                                       start, stop, parts + start, P) == LMML_OK);
        CHECK(memcmp(once, parts, sizeof once) == 0); /* whatever the ranges */
        CHECK(lmml_dosage_decode_f64(tables[t], &s.dosages, variants, P, mean, inverse_sd, index, n,
                                     out) == LMML_OK);
        CHECK(lmml_dosage_decode_f32(tables[t], &s.dosages, variants, P, mean, inverse_sd, index, n,
                                     out_f32) == LMML_OK);
        int close = 1;
        for (int j = 0; j < P; j++)
            for (int k = 0; k < M; k++) {
                double sum = 0;
                for (int64_t i = 0; i < n; i++) {
                    const uint16_t code = s.codes[j * s.dosages.n_samples + (index ? index[i] : i)];
                    sum += standardised(code, mean[j], inverse_sd[j]) * v[k * n + i];
                }
                close = close && fabs(once[k * P + j] - sum) <= 1e-14 * (double)(n + 1);
            }
        CHECK(close);
        for (int k = 0; k < P; k++)
            for (int64_t i = 0; i < n; i++) {
                const int64_t at = variants[k] * s.dosages.n_samples + (index ? index[i] : i);
                const double x = standardised(s.codes[at], mean[k], inverse_sd[k]);
                close = close && fabs(out[k * n + i] - x) <= 1e-15 * (1 + fabs(x));
                close = close && fabs(out_f32[k * n + i] - x) <= 1e-7 * fabs(x);
            }
        CHECK(close);
    }
    free(v);
    free(out);
    free(out_f32);
}

static void test_rows_of_samples_are_what_counts(set s)
{
    /* the index over all samples and no index are one sum */
    const int64_t n = s.dosages.n_samples;
    int64_t *all = allocate((size_t)n * sizeof *all);
    double mean[P] = {0}, ones[P], *v = allocate((size_t)n * sizeof *v), a[P], b[P];
    for (int64_t i = 0; i < n; i++) {
        all[i] = i;
        v[i] = uniform();
    }
    for (int j = 0; j < P; j++) ones[j] = 1;
    CHECK(!lmml_dosage_gradient(tables[0], &s.dosages, NULL, n, mean, ones, v, 1, 0, P, a, P));
    CHECK(!lmml_dosage_gradient(tables[0], &s.dosages, all, n, mean, ones, v, 1, 0, P, b, P));
    CHECK(memcmp(a, b, sizeof a) == 0);
    free(all);
    free(v);
}

static void test_duplicates(set s)
{
    const int64_t n = s.dosages.n_samples;
    uint64_t hash[P];
    CHECK(lmml_dosage_hash(&s.dosages, NULL, n, 0, P, hash) == LMML_OK);
    CHECK(hash[0] == hash[6] && hash[1] == hash[7]);
    if (n > 8) CHECK(hash[2] != hash[8] && hash[0] != hash[1]);
    const int64_t rows[] = {0, 6, 1, 7, 2, 8};
    const uint64_t same[] = {5, 5, 5, 5, 5, 5}; /* as if all collided */
    int64_t original[6];
    int8_t sign[6];
    CHECK(!lmml_dosage_duplicates(&s.dosages, NULL, n, rows, same, 6, original, sign));
    if (n > 8) {
        const int64_t expected[] = {0, 0, 1, 1, 2, 8};
        CHECK(memcmp(original, expected, sizeof expected) == 0);
        CHECK(sign[1] == 1 && sign[3] == -1 && sign[5] == 1);
    }
    if (n > 8) { /* sample 0 is what SNP 8 differs in */
        CHECK(!lmml_dosage_duplicates(&s.dosages, s.index, s.n_index - 1, rows, same, 6, original,
                                      sign));
        CHECK(original[5] == 2 && sign[5] == 1);
    }
}

static void test_missing(set s)
{
    const int64_t n = s.dosages.n_samples;
    const uint8_t use[P] = {1, 0, 1, 1, 0, 1, 1, 1, 1};
    int64_t *found = allocate((size_t)n * sizeof *found);
    CHECK(lmml_dosage_missing(&s.dosages, use, 0, P, found) == LMML_OK);
    int equal = 1;
    for (int64_t i = 0; i < n; i++) {
        for (int j = 0; j < P; j++) found[i] -= use[j] && s.codes[j * n + i] == UINT16_MAX;
        equal = equal && found[i] == 0;
    }
    CHECK(equal);
    free(found);
}

static void test_refused(set s)
{
    const int64_t n = s.dosages.n_samples, outside[] = {0, n}, before[] = {-1, 0}, none[] = {P};
    int64_t sums[LMML_DOSAGE_SUMS], original;
    int8_t sign;
    uint64_t hash = 0;
    double mean = 0, inverse_sd = 1, v[2] = {0}, out[2];
    CHECK(lmml_dosage_sums(&s.dosages, outside, 2, 0, 1, sums) == LMML_ERR_INDEX);
    CHECK(lmml_dosage_sums(&s.dosages, before, 2, 0, 1, sums) == LMML_ERR_INDEX);
    CHECK(lmml_dosage_sums(&s.dosages, NULL, n - 1, 0, 1, sums) == LMML_ERR_INDEX);
    CHECK(lmml_dosage_sums(&s.dosages, NULL, n, 0, P + 1, sums) == LMML_ERR_INDEX);
    CHECK(lmml_dosage_sums(&s.dosages, NULL, n, 2, 1, sums) == LMML_ERR_INDEX);
    CHECK(lmml_dosage_gradient(tables[0], &s.dosages, before + 1, 1, &mean, &inverse_sd, v, 9, 0, 1,
                               out, 1) == LMML_ERR_ARGUMENT);
    CHECK(lmml_dosage_gradient(tables[0], &s.dosages, before + 1, 1, &mean, &inverse_sd, v, 0, 0, 1,
                               out, 1) == LMML_OK);
    CHECK(lmml_dosage_decode_f64(tables[0], &s.dosages, none, 1, &mean, &inverse_sd, before + 1, 1,
                                 out) == LMML_ERR_INDEX);
    CHECK(lmml_dosage_hash(&s.dosages, NULL, n, -1, 1, &hash) == LMML_ERR_INDEX);
    CHECK(lmml_dosage_duplicates(&s.dosages, NULL, n, none, &hash, 1, &original, &sign) ==
          LMML_ERR_INDEX);
    s.dosages.bytes = 4;
    CHECK(lmml_dosage_sums(&s.dosages, NULL, n, 0, 1, sums) == LMML_ERR_ARGUMENT);
}

void test_dosage(void)
{
    static const int64_t sizes[] = {1, 2, 7, 16, 511, 512, 513, 1100};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int bytes = 1; bytes < 3; bytes++) {
            set s = draw(sizes[k], bytes);
            test_sums(s, NULL, sizes[k]);
            test_sums(s, s.index, s.n_index);
            test_products(s, NULL, sizes[k]);
            test_products(s, s.index, s.n_index);
            test_rows_of_samples_are_what_counts(s);
            test_duplicates(s);
            test_missing(s);
            test_refused(s);
            discard(s);
        }
}
