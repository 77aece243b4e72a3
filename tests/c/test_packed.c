/* test_packed.c - everything that reads packed genotypes, against loops over samples. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* ---- limbs ----------------------------------------------------------------------------------- */

/* Sample i's value, put together again from its digits; the layout is that of kernels.h. */
static double from_limbs(const int8_t *limbs, int n_limbs, double unit, int64_t i)
{
    const int8_t *digit = limbs + i / 256 * 256 * n_limbs + i % 4 * 64 + i % 256 / 4;
    int64_t q = 0;
    for (int l = 0; l < n_limbs; l++) q = q * 256 + digit[256 * l];
    return (double)q * unit;
}

static void test_limbs(int64_t n, int n_limbs, double size)
{
    const int64_t n_index = (n + 1) / 2;
    double *v = allocate((size_t)n * sizeof *v), unit = 0, largest = 0;
    int64_t *index = allocate((size_t)n_index * sizeof *index);
    int8_t *limbs = allocate((size_t)lmml_limbs_size(n, n_limbs));
    for (int64_t i = 0; i < n; i++) v[i] = size * uniform();
    v[n / 2] = -size; /* a power of two: the largest digit there can be */
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs(v[i]));

    CHECK(lmml_limbs_size(n, n_limbs) == (n + 255) / 256 * 256 * n_limbs);
    CHECK(lmml_limbs_fill(v, NULL, n, n, n_limbs, limbs, &unit) == LMML_OK);
    CHECK(unit > 0 && unit <= ldexp(largest, n_limbs == LMML_LIMBS_SCREENING ? -21 : -53));
    int close = 1;
    for (int64_t i = 0; i < n; i++)
        close = close && fabs(from_limbs(limbs, n_limbs, unit, i) - v[i]) <= unit / 2;
    CHECK(close);

    /* every other sample, last first; whatever the buffer held before is gone */
    memset(limbs, 77, (size_t)lmml_limbs_size(n, n_limbs));
    for (int64_t k = 0; k < n_index; k++) index[k] = 2 * (n_index - 1 - k);
    CHECK(lmml_limbs_fill(v, index, n_index, n, n_limbs, limbs, &unit) == LMML_OK);
    double *expected = allocate((size_t)(n + 255) / 256 * 256 * sizeof *expected);
    for (int64_t k = 0; k < n_index; k++) expected[index[k]] = v[k];
    close = 1;
    for (int64_t i = 0; i < (n + 255) / 256 * 256; i++)
        close = close && fabs(from_limbs(limbs, n_limbs, unit, i) - expected[i]) <= unit / 2;
    CHECK(close);

    index[0] = n;
    CHECK(lmml_limbs_fill(v, index, n_index, n, n_limbs, limbs, &unit) == LMML_ERR_INDEX);
    index[0] = -1;
    CHECK(lmml_limbs_fill(v, index, n_index, n, n_limbs, limbs, &unit) == LMML_ERR_INDEX);
    CHECK(lmml_limbs_fill(v, NULL, n - 1, n, n_limbs, limbs, &unit) == LMML_ERR_INDEX);
    CHECK(lmml_limbs_fill(v, NULL, n, n, n_limbs - 1, limbs, &unit) == LMML_ERR_ARGUMENT);
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int k = 0; k < 3; k++) {
        v[n - 1] = bad[k];
        CHECK(lmml_limbs_fill(v, NULL, n, n, n_limbs, limbs, &unit) == LMML_ERR_NOT_FINITE);
    }
    for (int64_t i = 0; i < n; i++) v[i] = 0;
    index[0] = n;
    CHECK(lmml_limbs_fill(v, index, n_index, n, n_limbs, limbs, &unit) == LMML_ERR_INDEX);
    CHECK(lmml_limbs_fill(v, NULL, n, n, n_limbs, limbs, &unit) == LMML_OK);
    close = unit > 0 && isfinite(unit);
    for (int64_t i = 0; i < lmml_limbs_size(n, n_limbs); i++) close = close && limbs[i] == 0;
    CHECK(close);
    v[0] = DBL_TRUE_MIN;
    CHECK(lmml_limbs_fill(v, NULL, n, n, n_limbs, limbs, &unit) == LMML_ERR_ARGUMENT);
    v[0] = DBL_MAX / 2;
    CHECK(lmml_limbs_fill(v, NULL, n, n, n_limbs, limbs, &unit) == LMML_OK && isfinite(unit));
    CHECK(fabs(from_limbs(limbs, n_limbs, unit, 0) / v[0] - 1) < 1e-6);
    free(v), free(index), free(limbs), free(expected);
}

/* ---- packed genotypes ------------------------------------------------------------------------ */

typedef struct {
    lmml_packed packed;
    uint8_t *data;
    double *mean, *inverse_sd;
    int32_t *n_missing;
} problem;

static int code_of(const lmml_packed *packed, int64_t j, int64_t i)
{
    return packed->data[j * packed->stride + i / 4] >> (2 * (i % 4)) & 3;
}

/* Random codes; SNP 1 is excluded, SNP 2 without missing genotypes, SNP 3 all missing. */
static problem make_packed(int64_t n, int64_t p)
{
    problem x;
    x.packed = (lmml_packed){NULL, p, n, (n + 3) / 4};
    x.packed.data = x.data = allocate((size_t)(p * x.packed.stride));
    x.mean = allocate((size_t)p * sizeof *x.mean);
    x.inverse_sd = allocate((size_t)p * sizeof *x.inverse_sd);
    x.n_missing = allocate((size_t)p * sizeof *x.n_missing);
    for (int64_t j = 0; j < p; j++) {
        x.mean[j] = 1 + uniform();
        x.inverse_sd[j] = j == 1 ? 0 : 1.5 + uniform();
        for (int64_t i = 0; i < n; i++) {
            int code = (int)(next_random() & 3);
            if (j == 2 && code == 1) code = 3;
            if (j == 3) code = 1;
            x.data[j * x.packed.stride + i / 4] |= (uint8_t)(code << (2 * (i % 4)));
            x.n_missing[j] += code == 1;
        }
    }
    return x;
}

static void free_packed(problem *x)
{
    free(x->data), free(x->mean), free(x->inverse_sd), free(x->n_missing);
}

static double standardised(const problem *x, int64_t j, int64_t i)
{
    static const double dosage[4] = {2, NAN, 1, 0};
    const int code = code_of(&x->packed, j, i);
    return code == 1 ? 0 : (dosage[code] - x->mean[j]) * x->inverse_sd[j];
}

static void test_gradient(int64_t n)
{
    enum { P = 53 }; /* more than one batch of rows, no multiple of any group */
    problem x = make_packed(n, P);
    double *v = allocate((size_t)n * sizeof *v), largest = 0, out[P], first[P];
    for (int64_t i = 0; i < n; i++) v[i] = uniform() * ldexp(1, -(int)(next_random() % 20));
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs(v[i]));
    for (int precise = 0; precise < 2; precise++) {
        const int n_limbs = precise ? LMML_LIMBS_CERTIFICATE : LMML_LIMBS_SCREENING;
        int8_t *limbs = allocate((size_t)lmml_limbs_size(n, n_limbs));
        double unit;
        CHECK(lmml_limbs_fill(v, NULL, n, n, n_limbs, limbs, &unit) == LMML_OK);
        const lmml_vector vector = {limbs, n_limbs, unit};
        for (int t = 0; t < n_tables; t++) {
            CHECK(lmml_gradient(tables[t], &x.packed, x.mean, x.inverse_sd, x.n_missing, &vector, 1,
                                0, P, out, P) == LMML_OK);
            int close = 1;
            for (int64_t j = 0; j < P; j++) {
                long double sum = 0, size = 0;
                for (int64_t i = 0; i < n; i++) {
                    sum += (long double)standardised(&x, j, i) * v[i];
                    size += (2 + x.mean[j]) * x.inverse_sd[j] * largest;
                }
                const double bound = (double)size * (precise ? 0x1p-50 : 0x1p-21);
                close = close && fabs(out[j] - (double)sum) <= bound;
            }
            CHECK(close);
            CHECK(out[1] == 0 && out[3] == 0);
            /* the same bits whatever the instruction set, and from any part of the range */
            if (t == 0) memcpy(first, out, sizeof first);
            CHECK(memcmp(first, out, sizeof first) == 0);
            for (int64_t start = 0; start < P; start += 7) {
                const int64_t stop = start + 7 > P ? P : start + 7;
                CHECK(lmml_gradient(tables[t], &x.packed, x.mean, x.inverse_sd, x.n_missing,
                                    &vector, 1, start, stop, out + start, P) == LMML_OK);
            }
            CHECK(memcmp(first, out, sizeof first) == 0);
        }
#define BAD(vector, n, start, stop)                                                                \
    lmml_gradient(tables[0], &x.packed, x.mean, x.inverse_sd, x.n_missing, vector, n, start, stop, \
                  out, P)
        const lmml_vector five_limbs = {limbs, 5, unit};
        CHECK(BAD(&vector, 1, -1, 1) == LMML_ERR_INDEX);
        CHECK(BAD(&vector, 1, 2, 1) == LMML_ERR_INDEX);
        CHECK(BAD(&vector, 1, 0, P + 1) == LMML_ERR_INDEX);
        CHECK(BAD(&five_limbs, 1, 0, 1) == LMML_ERR_ARGUMENT);
        CHECK(BAD(&vector, 0, 0, 1) == LMML_ERR_ARGUMENT);
        CHECK(BAD(&vector, LMML_MAX_VECTORS + 1, 0, 1) == LMML_ERR_ARGUMENT);
        CHECK(BAD(&vector, 1, P, P) == LMML_OK);
        free(limbs);
    }
    free(v);
    free_packed(&x);
}

/* Several vectors in one pass, of either accuracy, are what each of them is alone. */
static void test_gradient_of_several(int64_t n)
{
    enum { P = 131, M = LMML_MAX_VECTORS };
    problem x = make_packed(n, P);
    double *v = allocate((size_t)n * sizeof *v), *alone = allocate(P * sizeof *alone);
    double *out = allocate(M * (P + 1) * sizeof *out);
    lmml_vector vectors[M];
    int8_t *limbs[M];
    for (int k = 0; k < M; k++) {
        const int n_limbs = k % 3 ? LMML_LIMBS_CERTIFICATE : LMML_LIMBS_SCREENING;
        limbs[k] = allocate((size_t)lmml_limbs_size(n, n_limbs));
        for (int64_t i = 0; i < n; i++) v[i] = ldexp(uniform(), k);
        vectors[k] = (lmml_vector){limbs[k], n_limbs, 0};
        CHECK(lmml_limbs_fill(v, NULL, n, n, n_limbs, limbs[k], &vectors[k].unit) == LMML_OK);
    }
    for (int t = 0; t < n_tables; t++)
        for (int m = 1; m <= M; m++) {
            CHECK(lmml_gradient(tables[t], &x.packed, x.mean, x.inverse_sd, x.n_missing, vectors, m,
                                0, P, out, P + 1) == LMML_OK);
            for (int k = 0; k < m; k++) {
                CHECK(lmml_gradient(tables[t], &x.packed, x.mean, x.inverse_sd, x.n_missing,
                                    vectors + k, 1, 0, P, alone, P) == LMML_OK);
                CHECK(memcmp(alone, out + k * (P + 1), P * sizeof *alone) == 0);
            }
        }
    for (int k = 0; k < M; k++) free(limbs[k]);
    free(v), free(alone), free(out);
    free_packed(&x);
}

/* More samples than the 32-bit lanes take at a time, every product at its largest. */
static void test_gradient_does_not_overflow(void)
{
    const int64_t n = (INT64_C(1) << 25) + 256 * 3; /* whole chunks: no padding */
    const int64_t size = lmml_limbs_size(n, LMML_LIMBS_SCREENING), stride = n / 4;
    int8_t *limbs = allocate((size_t)size);
    uint8_t *row = allocate((size_t)stride);
    const lmml_packed packed = {row, 1, n, stride};
    const double mean = 0, inverse_sd = 1;
    const int32_t missing = 1; /* an upper bound: makes the kernels look for them */
    const lmml_vector vectors[2] = {{limbs, LMML_LIMBS_SCREENING, 1},
                                    {limbs, LMML_LIMBS_SCREENING, 1}};
    double v = 0, out[2];
    memset(limbs, -128, (size_t)size);
    for (int l = 0; l < LMML_LIMBS_SCREENING; l++) v = v * 256 - 128;
    for (int t = 0; t < n_tables; t++)
        for (int code = 0; code < 4; code++) {
            static const double dosage[4] = {2, 0, 1, 0}; /* missing: at the mean, which is 0 */
            memset(row, 0x55 * code, (size_t)stride);
            for (int m = 1; m <= 2; m++) {
                CHECK(lmml_gradient(tables[t], &packed, &mean, &inverse_sd, &missing, vectors, m, 0,
                                    1, out, 1) == LMML_OK);
                for (int k = 0; k < m; k++) CHECK(out[k] == dosage[code] * v * (double)n);
            }
        }
    free(limbs), free(row);
}

static void test_counts_and_missing(int64_t n)
{
    enum { P = 9 };
    problem x = make_packed(n, P);
    const int64_t n_index = (n + 2) / 3, stride = x.packed.stride;
    int64_t *index = allocate((size_t)n_index * sizeof *index);
    uint8_t *mask = allocate((size_t)stride), use[P];
    int32_t counts[4 * P];
    for (int64_t k = 0; k < n_index; k++) index[k] = 3 * k;
    memset(mask, 0xff, (size_t)stride); /* whatever was there */
    CHECK(lmml_mask_fill(index, n_index, n, mask) == LMML_OK);
    for (int t = 0; t < n_tables; t++) {
        memset(counts, 55, sizeof counts);
        CHECK(lmml_counts(tables[t], &x.packed, mask, 1, P, counts) == LMML_OK);
        int same = 1;
        for (int64_t j = 1; j < P; j++)
            for (int g = 0; g < 4; g++) {
                int32_t number = 0;
                for (int64_t i = 0; i < n; i += 3) number += code_of(&x.packed, j, i) == g;
                same = same && counts[4 * (j - 1) + g] == number;
            }
        CHECK(same);
        CHECK(lmml_counts(tables[t], &x.packed, mask, -1, 2, counts) == LMML_ERR_INDEX);
        CHECK(lmml_counts(tables[t], &x.packed, mask, 0, P + 1, counts) == LMML_ERR_INDEX);
    }
    index[n_index - 1] = n;
    CHECK(lmml_mask_fill(index, n_index, n, mask) == LMML_ERR_INDEX);
    index[n_index - 1] = -1;
    CHECK(lmml_mask_fill(index, n_index, n, mask) == LMML_ERR_INDEX);

    int64_t *missing = allocate((size_t)n * sizeof *missing);
    for (int64_t j = 0; j < P; j++) use[j] = j != 3;
    for (int64_t j = 0; j < P && n % 4; j++) /* 01 in the padding is nobody's genotype */
        x.data[j * stride + stride - 1] |= (uint8_t)(0x40);
    CHECK(lmml_sample_missing(&x.packed, use, 0, 5, missing) == LMML_OK);
    CHECK(lmml_sample_missing(&x.packed, use, 5, P, missing) == LMML_OK); /* it adds up */
    int same = 1;
    for (int64_t i = 0; i < n; i++) {
        int64_t number = 0;
        for (int64_t j = 0; j < P; j++) number += use[j] && code_of(&x.packed, j, i) == 1;
        same = same && missing[i] == number;
    }
    CHECK(same);
    CHECK(lmml_sample_missing(&x.packed, use, 0, P + 1, missing) == LMML_ERR_INDEX);
    free(index), free(mask), free(missing);
    free_packed(&x);
}

static void test_compress(int64_t n)
{
    enum { P = 5 };
    problem x = make_packed(n, P);
    const int64_t n_index = (n + 1) / 2, stride = x.packed.stride, width = (n_index + 3) / 4;
    int64_t *index = allocate((size_t)n_index * sizeof *index);
    uint8_t *mask = allocate((size_t)stride), *out = allocate((size_t)(P * width));
    for (int64_t k = 0; k < n_index; k++) index[k] = 2 * k;
    CHECK(lmml_mask_fill(index, n_index, n, mask) == LMML_OK);
    const lmml_packed found = {out, P, n_index, width};
    for (int t = 0; t < n_tables; t++) {
        const int code = lmml_compress(tables[t], &x.packed, mask, 0, P, out);
        if (code == LMML_ERR_ISA) continue;
        CHECK(code == LMML_OK);
        int same = 1;
        for (int64_t j = 0; j < P; j++) {
            for (int64_t k = 0; k < n_index; k++)
                same = same && code_of(&found, j, k) == code_of(&x.packed, j, index[k]);
            if (n_index % 4) same = same && out[(j + 1) * width - 1] >> 2 * (n_index % 4) == 0;
        }
        CHECK(same);
        CHECK(lmml_compress(tables[t], &x.packed, mask, 0, P + 1, out) == LMML_ERR_INDEX);
    }
    free(index), free(mask), free(out);
    free_packed(&x);
}

static void test_decode(int64_t n)
{
    enum { P = 5, K = 4 };
    problem x = make_packed(n, P);
    const int64_t wanted[K] = {4, 0, 1, 3}, n_index = (n + 1) / 2;
    int64_t *index = allocate((size_t)n_index * sizeof *index), bad[1] = {P};
    double mean[K], inverse_sd[K];
    for (int64_t k = 0; k < n_index; k++) index[k] = n - 1 - 2 * k;
    for (int k = 0; k < K; k++) {
        mean[k] = x.mean[wanted[k]];
        inverse_sd[k] = x.inverse_sd[wanted[k]];
    }
    for (int run = 0; run < 2 * n_tables; run++) {
        const int all = run & 1, t = run / 2;
        const int64_t m = all ? n : n_index, *which = all ? NULL : index;
        double *f64 = allocate((size_t)(K * m) * sizeof *f64);
        float *f32 = allocate((size_t)(K * m) * sizeof *f32);
        uint8_t *codes = allocate((size_t)(K * m));
#define DECODE(kind, variants, n_variants, samples, n_samples, out)                                \
    lmml_decode_##kind(tables[t], &x.packed, variants, n_variants, mean, inverse_sd, samples,      \
                       n_samples, out)
        CHECK(DECODE(f64, wanted, K, which, m, f64) == LMML_OK);
        CHECK(DECODE(f32, wanted, K, which, m, f32) == LMML_OK);
        CHECK(lmml_decode_codes(&x.packed, wanted, K, which, m, codes) == LMML_OK);
        int same = 1;
        for (int64_t k = 0; k < K; k++)
            for (int64_t i = 0; i < m; i++) {
                const int64_t sample = all ? i : index[i];
                const double value = standardised(&x, wanted[k], sample);
                same = same && f64[k * m + i] == value && f32[k * m + i] == (float)value &&
                       codes[k * m + i] == code_of(&x.packed, wanted[k], sample);
            }
        CHECK(same);
        CHECK(DECODE(f64, bad, 1, which, m, f64) == LMML_ERR_INDEX);
        bad[0] = -1;
        CHECK(DECODE(f32, bad, 1, which, m, f32) == LMML_ERR_INDEX);
        CHECK(lmml_decode_codes(&x.packed, bad, 1, which, m, codes) == LMML_ERR_INDEX);
        bad[0] = P;
        CHECK(DECODE(f64, wanted, K, NULL, n - 1, f64) == LMML_ERR_INDEX);
        free(f64), free(f32), free(codes);
    }
    const int t = 0;
    /* the first samples in their order: nothing is written beyond them */
    double *part = allocate((size_t)n * sizeof *part);
    for (int64_t i = 0; i < n; i++) part[i] = 77;
    for (int64_t k = 0; k < n_index; k++) index[k] = k;
    CHECK(DECODE(f64, wanted, 1, index, n_index, part) == LMML_OK);
    int same = 1;
    for (int64_t i = 0; i < n; i++)
        same = same && part[i] == (i < n_index ? standardised(&x, wanted[0], i) : 77);
    CHECK(same);
    free(part);

    double f64[K];
    float f32[K];
    uint8_t codes[K];
    index[0] = n;
    CHECK(DECODE(f64, wanted, K, index, 1, f64) == LMML_ERR_INDEX);
    CHECK(DECODE(f32, wanted, K, index, 1, f32) == LMML_ERR_INDEX);
    CHECK(lmml_decode_codes(&x.packed, wanted, K, index, 1, codes) == LMML_ERR_INDEX);
    free(index);
    free_packed(&x);
}

/* ---- sums of blocks, scores --------------------------------------------------------------------
 */

/* Any order gives the same bits, and no part is off by more than half the grid. */
static void test_add_rounded(void)
{
    enum { N = 5, PARTS = 64 };
    const double grid = 0x1p-20;
    float parts[PARTS][N];
    double forward[N] = {0}, backward[N] = {0};
    for (int k = 0; k < PARTS; k++)
        for (int i = 0; i < N; i++)
            parts[k][i] = (float)ldexp(uniform(), (int)(next_random() % 30));
    for (int k = 0; k < PARTS; k++) {
        lmml_add_rounded(N, parts[k], grid, forward);
        lmml_add_rounded(N, parts[PARTS - 1 - k], grid, backward);
    }
    for (int i = 0; i < N; i++) {
        double exact = 0;
        for (int k = 0; k < PARTS; k++) exact += parts[k][i];
        CHECK(forward[i] == backward[i]);
        CHECK(fabs(forward[i] - exact) <= PARTS * grid / 2);
    }
}

static void test_scores(void)
{
    enum { P = 6 };
    const double gradient[P] = {1, -4, 3, -2, 5, 0}, slope[P] = {1, -1, 0, 1, -1, 4};
    const double factor[P] = {1, 2, 1, INFINITY, 1, 1};
    const uint8_t skip[P] = {0, 0, 0, 0, 1, 0};
    int64_t index[P];
    double score[P];
    double all, others;
    lmml_largest_score(P, gradient, factor, skip, &all, &others);
    CHECK(all == 5 && others == 3);
    lmml_largest_score(0, gradient, factor, skip, &all, &others);
    CHECK(all == 0 && others == 0);
    CHECK(lmml_scores_above(P, gradient, NULL, 7, factor, skip, 2, index, score) == 2);
    CHECK(index[0] == 1 && score[0] == 2 && index[1] == 2 && score[1] == 3);
    CHECK(lmml_scores_above(P, gradient, slope, -1, factor, skip, 2, index, score) == 2);
    CHECK(index[0] == 2 && score[0] == 3 && index[1] == 5 && score[1] == 4);
    CHECK(lmml_scores_above(P, gradient, slope, -1, factor, skip, 9, index, score) == 0);

    /* several blocks, the last one not full */
    enum { MANY = 1000 };
    double g[MANY], one[MANY], found_score[MANY];
    uint8_t none[MANY] = {0};
    int64_t found[MANY];
    for (int j = 0; j < MANY; j++) {
        g[j] = j % 97 == 0 ? -j : 0.5;
        one[j] = 1;
    }
    const double *factors[2] = {one, NULL};
    for (int k = 0; k < 2; k++) {
        none[970] = 1;
        lmml_largest_score(MANY, g, factors[k], none, &all, &others);
        CHECK(all == 970 && others == 873);
        none[970] = 0;
        lmml_largest_score(MANY, g, factors[k], none, &all, &others);
        CHECK(all == 970 && others == 970);
    }
    CHECK(lmml_scores_above(MANY, g, NULL, 0, NULL, none, 1, found, found_score) == 10);
    CHECK(lmml_scores_above(MANY, g, NULL, 0, one, none, 1, found, found_score) == 10);
    for (int k = 0; k < 10; k++) CHECK(found[k] == 97 * (k + 1) && found_score[k] == found[k]);

    /* every place in turn, for any number of SNPs */
    int n_wrong = 0;
    for (int64_t p = 1; p <= 200; p++)
        for (int64_t j = 0; j < p; j++) {
            for (int64_t i = 0; i < p; i++) g[i] = i == j ? -7 : 0.5;
            none[j] = 1;
            lmml_largest_score(p, g, NULL, none, &all, &others);
            none[j] = 0;
            n_wrong += all != 7 || others != (p > 1 ? 0.5 : 0);
            lmml_largest_score(p, g, one, none, &all, &others);
            n_wrong += all != 7 || others != 7;
            n_wrong += lmml_scores_above(p, g, NULL, 0, NULL, none, 7, found, found_score) != 1;
            n_wrong += found[0] != j || found_score[0] != 7;
        }
    CHECK(n_wrong == 0);
}

/* ---- duplicates ------------------------------------------------------------------------------ */

static void set_code(problem *x, int64_t j, int64_t i, int code)
{
    uint8_t *byte = x->data + j * x->packed.stride + i / 4;
    *byte = (uint8_t)((*byte & ~(3 << (2 * (i % 4)))) | code << (2 * (i % 4)));
}

static void test_duplicates(int64_t n)
{
    enum { P = 8 };
    static const int swapped[4] = {3, 1, 2, 0};
    problem x = make_packed(n, P);
    uint8_t *mask = allocate((size_t)x.packed.stride);
    int64_t *index = allocate((size_t)n * sizeof *index), n_index = 0;
    uint64_t hash[P];
    int sign = 9;
    for (int64_t i = 0; i < n; i++)
        if (i % 5 != 1 || n < 3) index[n_index++] = i;
    CHECK(lmml_mask_fill(index, n_index, n, mask) == LMML_OK);
    set_code(&x, 4, index[0], 0);
    for (int64_t i = 0; i < n; i++) {
        const int code = code_of(&x.packed, 4, i), analysed = i % 5 != 1 || n < 3;
        set_code(&x, 5, i, analysed ? code : (code + 1) % 4); /* equal where it counts */
        set_code(&x, 6, i, analysed ? swapped[code] : code);
        set_code(&x, 7, i, code);
    }
    set_code(&x, 7, index[n_index - 1], code_of(&x.packed, 4, index[n_index - 1]) == 1 ? 2 : 1);
    CHECK(lmml_hash(&x.packed, mask, 0, P, hash) == LMML_OK);
    CHECK(hash[4] == hash[5] && hash[4] == hash[6] && hash[4] != hash[7]);
    CHECK(lmml_compare(&x.packed, mask, 4, 5, &sign) == LMML_OK && sign == 1);
    CHECK(lmml_compare(&x.packed, mask, 4, 6, &sign) == LMML_OK && sign == -1);
    CHECK(lmml_compare(&x.packed, mask, 6, 5, &sign) == LMML_OK && sign == -1);
    CHECK(lmml_compare(&x.packed, mask, 4, 7, &sign) == LMML_OK && sign == 0);
    CHECK(lmml_compare(&x.packed, mask, 3, 3, &sign) == LMML_OK && sign == 1);
    CHECK(lmml_compare(&x.packed, mask, 4, P, &sign) == LMML_ERR_INDEX);
    CHECK(lmml_compare(&x.packed, mask, -1, 4, &sign) == LMML_ERR_INDEX);
    /* 4, 5 and 6 are one SNP; with one hash for all, 7 is told apart from them */
    const int64_t rows[4] = {4, 5, 6, 7}, bad_rows[2] = {4, P};
    const uint64_t collision[4] = {9, 9, 9, 9};
    int64_t original[4];
    int8_t signs[4];
    CHECK(lmml_duplicates(&x.packed, mask, rows, collision, 4, original, signs) == LMML_OK);
    CHECK(original[0] == 4 && original[1] == 4 && original[2] == 4 && original[3] == 7);
    CHECK(signs[1] == 1 && signs[2] == -1 && signs[3] == 1);
    CHECK(lmml_duplicates(&x.packed, mask, bad_rows, collision, 2, original, signs) ==
          LMML_ERR_INDEX);
    CHECK(lmml_hash(&x.packed, mask, 3, 2, hash) == LMML_ERR_INDEX);
    CHECK(lmml_hash(&x.packed, mask, 0, P + 1, hash) == LMML_ERR_INDEX);
    free(mask), free(index);
    free_packed(&x);
}

void test_packed(int with_large)
{
    static const int64_t sizes[] = {1, 3, 4, 5, 255, 256, 257, 1000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int64_t n = sizes[i];
        for (int precise = 0; precise < 2; precise++) {
            const int n_limbs = precise ? LMML_LIMBS_CERTIFICATE : LMML_LIMBS_SCREENING;
            test_limbs(n, n_limbs, 1);
            test_limbs(n, n_limbs, 0x1p-1000);
            test_limbs(n, n_limbs, 0x1p1000);
        }
        test_gradient(n);
        test_gradient_of_several(n);
        test_counts_and_missing(n);
        test_compress(n);
        test_decode(n);
        test_duplicates(n);
    }
    test_add_rounded();
    test_scores();
    if (with_large) test_gradient_does_not_overflow();
}
