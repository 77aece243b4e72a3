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

/* Takes out of x its part along the orthonormal q_1 .. q_c, which is added to parts: twice, and
 * what is left is orthogonal to them (Gram and Schmidt). */
static void project_off(const lmml_kernels *kernels, int64_t n, int64_t c, const double *q,
                        double *x, double *parts)
{
    for (int pass = 0; pass < 2; pass++)
        for (int64_t j = 0; j < c; j++) {
            const double part = kernels->dot_f64(n, q + j * n, x);
            kernels->axpy(n, -part, q + j * n, x);
            parts[j] += part;
        }
}

static void from_lane(int64_t n, const lanes *x, int lane, double *row)
{
    for (int64_t i = 0; i < n; i++) row[i] = x[i][lane];
}

static void to_lane(int64_t n, const double *row, int lane, lanes *x)
{
    for (int64_t i = 0; i < n; i++) x[i][lane] = row[i];
}

/* Deltas of one round: with many covariates their projections are most of the work, which is not
 * done side by side, and one needs less memory. */
static int64_t deltas_per_round(int64_t c) { return c <= LANES ? LANES : 1; }

int64_t lmml_profile_work(int64_t n, int64_t c)
{
    return 4 * LANES * n + deltas_per_round(c) * (1 + c) * n + c * c + c;
}

/* Least squares of one delta. rows: whitened y and below it C; y becomes the residual, C its
 * orthonormal basis. R (c x c): column j in row j. b becomes gamma. Returns log|R|. */
static double least_squares(const lmml_kernels *kernels, int64_t n, int64_t c, double *rows,
                            double *R, double *b)
{
    double *C = rows + n, log_R = 0;
    memset(R, 0, (size_t)(c * c) * sizeof *R);
    memset(b, 0, (size_t)c * sizeof *b);
    for (int64_t j = 0; j < c; j++) {
        double *column = C + j * n, *of_R = R + j * c;
        project_off(kernels, n, j, C, column, of_R);
        of_R[j] = sqrt(kernels->dot_f64(n, column, column));
        log_R += log(of_R[j]);
        for (int64_t i = 0; i < n; i++) column[i] /= of_R[j];
    }
    project_off(kernels, n, c, C, rows, b);
    for (int64_t j = c - 1; j >= 0; j--) { /* R gamma = b */
        for (int64_t i = j + 1; i < c; i++) b[j] -= R[i * c + j] * b[i];
        b[j] /= R[j * c + j];
    }
    return log_R;
}

int lmml_tridiagonal_profile(const lmml_kernels *kernels, int64_t n, int64_t c, const double *d,
                             const double *e, const double *rows, int64_t n_deltas,
                             const double *deltas, double *result, double *work)
{
    const int64_t width = LMML_PROFILE_COLUMNS + c, step = deltas_per_round(c);
    lanes *pivots = (lanes *)work, *ratios = pivots + n, *roots = ratios + n, *x = roots + n;
    double *own = (double *)(x + n), *R = own + step * (1 + c) * n, *b = R + c * c;

    if (n < 1) return LMML_ERR_ARGUMENT;
    for (int64_t first = 0; first < n_deltas; first += step) {
        const int used = (int)(n_deltas - first < step ? n_deltas - first : step);
        lanes delta, log_det, trace, squared;
        for (int l = 0; l < LANES; l++) delta[l] = deltas[first + (l < used ? l : used - 1)];
        const int code = factor(n, d, e, delta, pivots, ratios, log_det, trace);
        if (code) return code;
        for (int64_t i = 0; i < n; i++)
            for (int l = 0; l < LANES; l++) roots[i][l] = 1 / sqrt(pivots[i][l]);
        for (int64_t j = 0; j <= c; j++) {
            whiten(n, rows + j * n, ratios, roots, x);
            for (int l = 0; l < used; l++) from_lane(n, x, l, own + (l * (1 + c) + j) * n);
        }
        for (int l = 0; l < used; l++) {
            double *mine = own + l * (1 + c) * n, *out = result + (first + l) * width;
            out[4] = 2 * least_squares(kernels, n, c, mine, R, b);
            out[0] = log_det[l];
            out[1] = trace[l];
            out[2] = kernels->dot_f64(n, mine, mine);
            out[5] = 0;
            memcpy(out + LMML_PROFILE_COLUMNS, b, (size_t)c * sizeof *b);
        }
        for (int64_t j = 0; j <= c; j++) {
            for (int l = 0; l < used; l++) to_lane(n, own + (l * (1 + c) + j) * n, l, x);
            squared_once_more(n, x, ratios, roots, squared);
            for (int l = 0; l < used; l++) {
                double *out = result + (first + l) * width;
                if (j == 0)
                    out[3] = squared[l];
                else
                    out[5] += squared[l];
            }
        }
    }
    return LMML_OK;
}
