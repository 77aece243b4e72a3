/* lmml_batch.c - a working set: how it grows, and a few neighbouring alphas of the path on it.
 *
 * Between two SNPs' entering or leaving the path is a straight line, so that the step to the next
 * alpha begins on its tangent. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "lmml.h"

/* d beta / d alpha at an exact solution: with the active set A and its signs fixed,
 * (G_AA + ridge_A) d beta_A = -(l1 sign(beta_A) + l2 beta_A) weight_A d alpha. */
static void tangent_at(const lmml_kernels *kernels, const lmml_batch *batch, lmml_factor *factor,
                       int64_t w, const double *beta, double *tangent)
{
    for (int64_t j = 0; j < w; j++) {
        const double sign = (beta[j] > 0) - (beta[j] < 0);
        tangent[j] = -(batch->l1 * sign + batch->l2 * beta[j]) * batch->weight[j];
    }
    lmml_factor_solve(kernels, factor, w, tangent);
}

/* beta += change tangent; who would change sign is set to zero */
static void follow(int64_t w, double change, const double *tangent, double *beta)
{
    for (int64_t j = 0; j < w; j++) {
        const double moved = beta[j] + change * tangent[j];
        beta[j] = moved * beta[j] > 0 ? moved : 0;
    }
}

int lmml_lasso_batch(const lmml_kernels *kernels, const lmml_lasso *problem,
                     const lmml_batch *batch, lmml_factor *factor, double *beta, double *betas,
                     uint8_t *exact, double *tangent, int *has_tangent, double *work)
{
    const int64_t w = problem->w;
    double *threshold = work, *ridge = work + w, *q = work + 2 * w, before = batch->before;
    lmml_lasso one = *problem;
    lmml_options options;
    lmml_info info;

    one.threshold = threshold;
    one.ridge = batch->l2 > 0 ? ridge : NULL;
    lmml_options_default(&options);
    *has_tangent = before > 0;
    if (*has_tangent) tangent_at(kernels, batch, factor, w, beta, tangent);
    for (int64_t k = 0; k < batch->m; k++) {
        const double alpha = batch->alpha[k], l2 = alpha * batch->l2;
        if (*has_tangent) follow(w, alpha - before, tangent, beta);
        for (int64_t j = 0; j < w; j++) {
            threshold[j] = alpha * batch->l1 * batch->weight[j];
            ridge[j] = l2 * batch->weight[j];
        }
        if (factor->l2 != l2) lmml_factor_reset(factor);
        factor->l2 = l2;
        options.cd_tol = batch->cd_tol[k];
        const int code = lmml_lasso_solve(kernels, &one, &options, factor, beta, q, &info);
        if (code) return code;
        memcpy(betas + k * w, beta, (size_t)w * sizeof *beta);
        exact[k] = info.exact != 0;
        *has_tangent = info.exact && info.n_active > 0;
        if (*has_tangent) tangent_at(kernels, batch, factor, w, beta, tangent);
        before = alpha;
    }
    return LMML_OK;
}

void lmml_subtract_rows(const lmml_kernels *kernels, int64_t n, int64_t w, int64_t k,
                        const double *weights, const double *Z, double *V)
{
    for (int64_t j = 0; j < w; j++)
        for (int64_t i = 0; i < k; i++)
            if (weights[i * w + j] != 0)
                kernels->axpy(n, -weights[i * w + j], Z + j * n, V + i * n);
}

void lmml_project_off(const lmml_kernels *kernels, int64_t n, int64_t c, const double *Q, int64_t k,
                      double *X, double share, uint8_t *in_span)
{
    for (int64_t row = 0; row < k; row++) {
        double *x = X + row * n;
        const double before = kernels->dot_f64(n, x, x);
        for (int64_t i = 0; i < c; i++) {
            const double *q = Q + i * n;
            kernels->axpy(n, -kernels->dot_f64(n, q, x), q, x);
        }
        in_span[row] = kernels->dot_f64(n, x, x) <= share * before;
    }
}

void lmml_gram_grow(int64_t old, int64_t w, const double *cross, const uint8_t *zero, double *G,
                    int64_t ld)
{
    for (int64_t i = old; i < w; i++) {
        const double *row = cross + (i - old) * w;
        double *target = G + i * ld;
        for (int64_t j = 0; j < old; j++) {
            target[j] = zero[i - old] ? 0 : row[j];
            G[j * ld + i] = target[j];
        }
        for (int64_t j = old; j <= i; j++) {
            const int none = zero[i - old] || zero[j - old];
            target[j] = none ? 0 : (row[j] + cross[(j - old) * w + i]) / 2;
            G[j * ld + i] = target[j];
        }
    }
}
