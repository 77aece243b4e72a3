/* fuzz_numbers.c - what is made of numbers out of files: any doubles, NaN and infinite ones too. No
 * result is asked of absurd ones but that there is one, in finite time, and within its buffer. */
#include <math.h>

#include "fuzz.h"

enum { MOST = 40 };

static void check_scores(input *in, int64_t p)
{
    double *gradient = buffer(p, sizeof *gradient), *slope = buffer(p, sizeof *slope);
    double *factor = buffer(p, sizeof *factor), *score = buffer(p, sizeof *score);
    uint8_t *skip = buffer(p, 1);
    int64_t *index = buffer(p, sizeof *index), n = 0;
    const int tame = take(in) % 2, has_factor = take(in) % 2, has_slope = take(in) % 2;
    double all, others, largest = 0, of_others = 0;
    for (int64_t j = 0; j < p; j++) {
        gradient[j] = tame ? take_number(in) : take_double(in);
        slope[j] = take_number(in);
        factor[j] = take(in) % 8 ? 1 + take(in) / 16.0 : INFINITY;
        skip[j] = take(in) % 2;
    }
    const double change = take_number(in), threshold = take_number(in);
    lmml_largest_score(p, gradient, has_factor ? factor : NULL, skip, &all, &others);
    const int64_t found =
        lmml_scores_above(p, gradient, has_slope ? slope : NULL, change, has_factor ? factor : NULL,
                          skip, threshold, index, score);
    REQUIRE(found >= 0 && found <= p);
    for (int64_t k = 0; k < found; k++) {
        REQUIRE(index[k] >= 0 && index[k] < p && !skip[index[k]]);
        REQUIRE(k == 0 || index[k] > index[k - 1]);
    }
    for (int64_t j = 0; j < p && tame; j++) {
        const double divisor = has_factor ? factor[j] : 1;
        const double at_zero = fabs(gradient[j]) / divisor;
        const double now = fabs(gradient[j] + (has_slope ? change * slope[j] : 0)) / divisor;
        largest = fmax(largest, at_zero);
        if (!skip[j]) of_others = fmax(of_others, at_zero);
        if (skip[j] || fabs(now - threshold) <= 1e-9 * fabs(threshold)) continue;
        while (n < found && index[n] < j) n++;
        REQUIRE((n < found && index[n] == j) == (now >= threshold));
        REQUIRE(!(n < found && index[n] == j) || fabs(score[n] - now) <= 1e-12 * now);
    }
    REQUIRE(!tame || (fabs(all - largest) <= 1e-12 * largest &&
                      fabs(others - of_others) <= 1e-12 * of_others));
    free(gradient), free(slope), free(factor), free(score), free(skip), free(index);
}

static void check_lasso(input *in, const lmml_kernels *kernels, int64_t w)
{
    const int tame = take(in) % 2;
    double *B = buffer(w * w, sizeof *B), *G = buffer(w * w, sizeof *G);
    double *c = buffer(w, sizeof *c), *threshold = buffer(w, sizeof *threshold);
    double *ridge = buffer(w, sizeof *ridge), *beta = buffer(w, sizeof *beta);
    double *q = buffer(w, sizeof *q);
    for (int64_t k = 0; k < w * w; k++) B[k] = tame ? (int8_t)take(in) / 16.0 : take_double(in);
    for (int64_t i = 0; i < w; i++)
        for (int64_t j = 0; j < w; j++) {
            G[i * w + j] = 0;
            for (int64_t k = 0; k < w; k++) G[i * w + j] += B[i * w + k] * B[j * w + k];
        }
    double scale = tame ? 0 : fabs(take_double(in));
    for (int64_t j = 0; j < w; j++) c[j] = tame ? 0 : take_double(in);
    for (int64_t k = 0; k < w && tame; k++) { /* c = B y, without which there is no minimum */
        const double y = take_number(in);
        for (int64_t j = 0; j < w; j++) c[j] += B[j * w + k] * y;
        scale += y * y;
    }
    for (int64_t j = 0; j < w; j++) {
        threshold[j] = fabs(tame ? take_number(in) : take_double(in));
        ridge[j] = take(in) / 64.0;
        beta[j] = take(in) % 4 ? 0 : tame ? take_number(in) : take_double(in);
    }
    const lmml_lasso problem = {w, w, G, c, threshold, take(in) % 2 ? ridge : NULL, scale};
    lmml_options options;
    lmml_info info;
    lmml_factor factor;
    lmml_options_default(&options);
    options.max_sweeps = take(in);
    options.max_events = take(in);
    REQUIRE(lmml_factor_init(&factor) == LMML_OK);
    const int error = lmml_lasso_solve(kernels, &problem, &options, &factor, beta, q, &info);
    REQUIRE(error == LMML_OK || error == LMML_ERR_ARGUMENT || error == LMML_ERR_MEMORY);
    for (int64_t j = 0; j < w && tame && error == LMML_OK && info.exact; j++) {
        double gradient = c[j] - (problem.ridge ? ridge[j] * beta[j] : 0);
        double sum = 1e-6 * (fabs(c[j]) + threshold[j] + sqrt(G[j * w + j] * scale));
        for (int64_t k = 0; k < w; k++)
            gradient -= G[j * w + k] * beta[k], sum += 1e-9 * fabs(G[j * w + k] * beta[k]);
        REQUIRE(isfinite(beta[j]));
        if (G[j * w + j] > 0) REQUIRE(fabs(gradient) <= threshold[j] + sum);
    }
    lmml_factor_free(&factor);
    free(B), free(G), free(c), free(threshold), free(ridge), free(beta), free(q);
}

static void check_rest(input *in, int64_t n)
{
    double *A = buffer(n * n, sizeof *A), *f = buffer(n, sizeof *f), *p = buffer(n, sizeof *p);
    float *part = buffer(n, sizeof *part);
    int bad;
    const int64_t k = take(in) % (n + 1);
    int64_t *index = take_index(in, k, n, &bad);
    double *out = buffer(k * k, sizeof *out);
    for (int64_t i = 0; i < n * n; i++) A[i] = i < 9 ? take_double(in) : (double)i;
    for (int64_t i = 0; i < n; i++) f[i] = take_double(in), part[i] = (float)take_number(in);
    if (!bad) { /* the caller's promise: indices from 0 to n - 1 */
        lmml_square_subset(n, A, k, index, 2, out);
        for (int64_t i = 0; i < k * k; i++) {
            const double expected = A[index[i / k] * n + index[i % k]] / 2;
            REQUIRE(out[i] == expected || isnan(expected));
        }
    }
    lmml_log10_p(n, f, 1 + take(in), p);
    for (int64_t i = 0; i < n; i++) {
        REQUIRE(isnan(p[i]) || p[i] >= 0);
        REQUIRE(isnan(p[i]) || f[i] >= 0);
    }
    if (n) {
        const int positive = lmml_tridiagonal_is_positive(n, A, f, take_double(in));
        REQUIRE(positive == 0 || positive == 1);
    }
    for (int64_t i = 0; i < n; i++) f[i] = 0;
    lmml_add_rounded(n, part, 0x1p-20, f);
    for (int64_t i = 0; i < n; i++) REQUIRE(f[i] == part[i]);
    free(A), free(f), free(p), free(part), free(index), free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size, 0};
    const lmml_kernels *kernels = take_kernels(&in);
    const int64_t p = take(&in) % MOST, w = take(&in) % 12;
    check_lasso(&in, kernels, w);
    check_scores(&in, p);
    check_rest(&in, p);
    return 0;
}
