/* lmml_tridiagonal.c - T + delta I = L D L' for tridiagonal T, and what follows in O(n). */
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

int lmml_tridiagonal_factor(int64_t n, const double *d, const double *e, int64_t n_deltas,
                            const double *deltas, double *pivots, double *ratios, double *trace)
{
    if (n < 1) return LMML_ERR_ARGUMENT;
    for (int64_t k = 0; k < n_deltas; k++, pivots += n, ratios += n - 1) {
        double pivot = d[0] + deltas[k];
        for (int64_t i = 0;; i++) {
            if (!(pivot > 0)) return LMML_ERR_NOT_POSITIVE;
            pivots[i] = pivot;
            if (i == n - 1) break;
            ratios[i] = e[i] / pivot;
            pivot = d[i + 1] + deltas[k] - ratios[i] * e[i];
        }
        /* the diagonal of the inverse from its end: positive terms only, nothing cancels */
        double inverse = 1 / pivot, sum = inverse;
        for (int64_t i = n - 2; i >= 0; i--) {
            inverse = 1 / pivots[i] + ratios[i] * ratios[i] * inverse;
            sum += inverse;
        }
        trace[k] = sum;
    }
    return LMML_OK;
}

void lmml_tridiagonal_forward(int64_t n, int64_t n_deltas, const double *ratios, int64_t k,
                              const double *B, double *X)
{
    for (int64_t delta = 0; delta < n_deltas; delta++, ratios += n - 1)
        for (int64_t row = 0; row < k; row++, X += n) {
            const double *b = B + row * n;
            X[0] = b[0];
            for (int64_t i = 1; i < n; i++) X[i] = b[i] - ratios[i - 1] * X[i - 1];
        }
}

void lmml_tridiagonal_backward(int64_t n, int64_t n_deltas, const double *ratios, int64_t k,
                               double *X)
{
    for (int64_t delta = 0; delta < n_deltas; delta++, ratios += n - 1)
        for (int64_t row = 0; row < k; row++, X += n)
            for (int64_t i = n - 2; i >= 0; i--) X[i] -= ratios[i] * X[i + 1];
}
