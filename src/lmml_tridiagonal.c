/* lmml_tridiagonal.c - T + delta I = L D L' for tridiagonal T, and what follows in O(n). */
#include <math.h>
#include <string.h>

#include "kernels.h"

void lmml_tridiagonal_rotate(const lmml_kernels *kernels, int64_t n, const double *reflectors,
                             const double *tau, int back, int64_t k, double *B)
{
    for (int64_t step = 0; step + 1 < n; step++) {
        const int64_t i = back ? n - 2 - step : step;
        const double *v = reflectors + i * n + i + 2; /* after its leading 1 */
        const int64_t rest = n - i - 2;
        for (int64_t row = 0; row < k; row++) {
            double *b = B + row * n + i + 1;
            const double along = tau[i] * (b[0] + kernels->dot_f64(rest, v, b + 1));
            b[0] -= along; /* b -= tau v v'b */
            kernels->axpy(rest, -along, v, b + 1);
        }
    }
}

int lmml_tridiagonal_is_positive(int64_t n, const double *d, const double *e, double shift)
{
    double pivot = d[0] + shift;
    for (int64_t i = 0; pivot > 0 && i + 1 < n; i++) pivot = d[i + 1] + shift - e[i] * e[i] / pivot;
    return pivot > 0;
}

/* ---- the profile: LANES deltas side by side, as each of the recurrences waits for itself ------
 */

enum { LANES = 8 };
static const double LARGE = 1e60; /* a product of pivots beyond it is taken to its logarithm */

typedef double lanes[LANES];

/* Pivots and ratios of T + delta I = L D L', with log|D| and trace (L D L')^-1. */
static int factor(int64_t n, const double *d, const double *e, const lanes delta, lanes *pivots,
                  lanes *ratios, lanes log_det, lanes trace)
{
    lanes product, inverse;
    int positive = 1;
    for (int l = 0; l < LANES; l++) {
        product[l] = 1;
        log_det[l] = 0;
        pivots[0][l] = d[0] + delta[l];
    }
    for (int64_t i = 0; i < n; i++) {
        int inside = 1;
        if (i > 0)
            for (int l = 0; l < LANES; l++) {
                ratios[i - 1][l] = e[i - 1] / pivots[i - 1][l];
                pivots[i][l] = d[i] + delta[l] - ratios[i - 1][l] * e[i - 1];
            }
        for (int l = 0; l < LANES; l++) {
            positive &= pivots[i][l] > 0;
            product[l] *= pivots[i][l];
            inside &= product[l] < LARGE && product[l] > 1 / LARGE;
        }
        if (!positive) return LMML_ERR_NOT_POSITIVE;
        if (inside) continue;
        for (int l = 0; l < LANES; l++) /* no lane may depend on the others */
            if (!(product[l] < LARGE && product[l] > 1 / LARGE)) {
                log_det[l] += log(product[l]);
                product[l] = 1;
            }
    }
    for (int l = 0; l < LANES; l++) log_det[l] += log(product[l]);
    /* the diagonal of the inverse from its end: positive terms only, nothing cancels */
    for (int l = 0; l < LANES; l++) trace[l] = inverse[l] = 1 / pivots[n - 1][l];
    for (int64_t i = n - 2; i >= 0; i--)
        for (int l = 0; l < LANES; l++) {
            inverse[l] = 1 / pivots[i][l] + ratios[i][l] * ratios[i][l] * inverse[l];
            trace[l] += inverse[l];
        }
    return LMML_OK;
}

/* x = D^(-1/2) L^-1 b */
static void whiten(int64_t n, const double *b, const lanes *ratios, const lanes *roots, lanes *x)
{
    lanes before = {0};
    for (int64_t i = 0; i < n; i++)
        for (int l = 0; l < LANES; l++) {
            before[l] = b[i] - (i > 0 ? ratios[i - 1][l] * before[l] : 0);
            x[i][l] = before[l] * roots[i][l];
        }
}

/* |L'^-1 D^(-1/2) x|^2: of x = D^(-1/2) L^-1 Q'b it is |V^-1 b|^2 */
static void squared_once_more(int64_t n, const lanes *x, const lanes *ratios, const lanes *roots,
                              lanes sum)
{
    lanes after = {0};
    for (int l = 0; l < LANES; l++) sum[l] = 0;
    for (int64_t i = n - 1; i >= 0; i--)
        for (int l = 0; l < LANES; l++) {
            after[l] = x[i][l] * roots[i][l] - (i < n - 1 ? ratios[i][l] * after[l] : 0);
            sum[l] += after[l] * after[l];
        }
}

static void dot(int64_t n, const lanes *x, const lanes *y, lanes sum)
{
    for (int l = 0; l < LANES; l++) sum[l] = 0;
    for (int64_t i = 0; i < n; i++)
        for (int l = 0; l < LANES; l++) sum[l] += x[i][l] * y[i][l];
}

/* Takes out of x its part along the orthonormal q_1 .. q_c, which is added to parts: twice, and
 * what is left is orthogonal to them (Gram and Schmidt). */
static void project_off(int64_t n, int64_t c, lanes *const q, lanes *x, lanes *parts)
{
    for (int pass = 0; pass < 2; pass++)
        for (int64_t j = 0; j < c; j++) {
            lanes part;
            dot(n, q + j * n, x, part);
            for (int64_t i = 0; i < n; i++)
                for (int l = 0; l < LANES; l++) x[i][l] -= part[l] * q[j * n + i][l];
            for (int l = 0; l < LANES; l++) parts[j][l] += part[l];
        }
}

int64_t lmml_profile_work(int64_t n, int64_t c) { return LANES * ((4 + c) * n + c * c + c); }

int lmml_tridiagonal_profile(int64_t n, int64_t c, const double *d, const double *e,
                             const double *rows, int64_t n_deltas, const double *deltas,
                             double *result, double *work)
{
    const int64_t width = LMML_PROFILE_COLUMNS + c;
    lanes *pivots = (lanes *)work, *ratios = pivots + n, *roots = ratios + n, *y = roots + n;
    lanes *C = y + n, *R = C + c * n, *b = R + c * c;

    if (n < 1) return LMML_ERR_ARGUMENT;
    for (int64_t first = 0; first < n_deltas; first += LANES) {
        lanes delta, log_det, trace, rss, once_more, log_R = {0}, trace_C = {0};
        for (int l = 0; l < LANES; l++)
            delta[l] = deltas[first + l < n_deltas ? first + l : n_deltas - 1];
        const int code = factor(n, d, e, delta, pivots, ratios, log_det, trace);
        if (code) return code;
        for (int64_t i = 0; i < n; i++)
            for (int l = 0; l < LANES; l++) roots[i][l] = 1 / sqrt(pivots[i][l]);
        whiten(n, rows, ratios, roots, y);
        memset(R, 0, (size_t)(c * c + c) * sizeof *R);
        for (int64_t j = 0; j < c; j++) { /* column j of R, and of C the orthonormal basis */
            lanes *column = C + j * n, *of_R = R + j * c, squared;
            whiten(n, rows + (j + 1) * n, ratios, roots, column);
            project_off(n, j, C, column, of_R);
            dot(n, column, column, squared);
            for (int l = 0; l < LANES; l++) {
                of_R[j][l] = sqrt(squared[l]);
                log_R[l] += log(of_R[j][l]);
            }
            for (int64_t i = 0; i < n; i++)
                for (int l = 0; l < LANES; l++) column[i][l] /= of_R[j][l];
            squared_once_more(n, column, ratios, roots, squared);
            for (int l = 0; l < LANES; l++) trace_C[l] += squared[l];
        }
        project_off(n, c, C, y, b);
        dot(n, y, y, rss);
        squared_once_more(n, y, ratios, roots, once_more);
        for (int64_t j = c - 1; j >= 0; j--) /* R gamma = b */
            for (int l = 0; l < LANES; l++) {
                for (int64_t i = j + 1; i < c; i++) b[j][l] -= R[i * c + j][l] * b[i][l];
                b[j][l] /= R[j * c + j][l];
            }
        for (int l = 0; l < LANES && first + l < n_deltas; l++) {
            const double found[LMML_PROFILE_COLUMNS] = {log_det[l],   trace[l],     rss[l],
                                                        once_more[l], 2 * log_R[l], trace_C[l]};
            double *out = result + (first + l) * width;
            memcpy(out, found, sizeof found);
            for (int64_t j = 0; j < c; j++) out[LMML_PROFILE_COLUMNS + j] = b[j][l];
        }
    }
    return LMML_OK;
}
