/* lmml_lapack.c - what takes LAPACK: tridiagonal form and Cholesky factor of a symmetric matrix. */
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "lmml_lapack.h"

/* LAPACK's name of the triangle that is the upper one row by row. */
#define UPLO "L"

typedef union {
    int32_t four;
    int64_t eight;
} integer;

static int fits(const lmml_lapack *lapack, int64_t value)
{
    return value >= 0 &&
           (lapack->integer_bytes == 8 || (lapack->integer_bytes == 4 && value <= INT32_MAX));
}

static integer to_integer(const lmml_lapack *lapack, int64_t value)
{
    integer result = {.eight = 0};
    if (lapack->integer_bytes == 8)
        result.eight = value;
    else
        result.four = (int32_t)value;
    return result;
}

static int64_t from_integer(const lmml_lapack *lapack, const integer *value)
{
    return lapack->integer_bytes == 8 ? value->eight : value->four;
}

int lmml_tridiagonalise(const lmml_lapack *lapack, int64_t n, double *A, double *d, double *e,
                        double *tau)
{
    if (n < 1 || !fits(lapack, n)) return LMML_ERR_ARGUMENT;
    integer order = to_integer(lapack, n), ld = order, info = to_integer(lapack, 0);
    integer size = to_integer(lapack, -1); /* asks for the size of the workspace */
    double best;
    lapack->dsytrd(UPLO, &order, A, &ld, d, e, tau, &best, &size, &info);
    if (from_integer(lapack, &info) != 0) return LMML_ERR_LAPACK;
    if (!(best >= 1) || !fits(lapack, (int64_t)best)) return LMML_ERR_LAPACK;
    double *work = malloc((size_t)best * sizeof *work);
    if (work == NULL) return LMML_ERR_MEMORY;
    size = to_integer(lapack, (int64_t)best);
    lapack->dsytrd(UPLO, &order, A, &ld, d, e, tau, work, &size, &info);
    free(work);
    return from_integer(lapack, &info) == 0 ? LMML_OK : LMML_ERR_LAPACK;
}

int lmml_cholesky(const lmml_lapack *lapack, int64_t n, double *A, int64_t ld)
{
    if (n < 1 || ld < n || !fits(lapack, ld)) return LMML_ERR_ARGUMENT;
    integer order = to_integer(lapack, n), row = to_integer(lapack, ld);
    integer info = to_integer(lapack, 0);
    lapack->dpotrf(UPLO, &order, A, &row, &info);
    if (from_integer(lapack, &info) < 0) return LMML_ERR_LAPACK;
    return from_integer(lapack, &info) > 0 ? LMML_ERR_NOT_POSITIVE : LMML_OK;
}

int lmml_cholesky_solve(const lmml_lapack *lapack, int64_t n, const double *L, int64_t ld,
                        int64_t k, double *X, int64_t ldx)
{
    if (n < 1 || ld < n || ldx < n || k < 0 || !fits(lapack, ld) || !fits(lapack, ldx) ||
        !fits(lapack, k))
        return LMML_ERR_ARGUMENT;
    if (k == 0) return LMML_OK;
    integer order = to_integer(lapack, n), row = to_integer(lapack, ld);
    integer columns = to_integer(lapack, k), next = to_integer(lapack, ldx);
    integer info = to_integer(lapack, 0);
    lapack->dpotrs(UPLO, &order, &columns, (double *)L, &row, X, &next, &info);
    return from_integer(lapack, &info) == 0 ? LMML_OK : LMML_ERR_LAPACK;
}

void lmml_symmetric_difference(const lmml_kernels *kernels, int64_t n, int64_t c, const double *A,
                               const double *V, const double *Y, double delta, double *out)
{
    for (int64_t i = 0; i < n; i++) {
        double *row = out + i * n;
        memcpy(row + i, A + i * n + i, (size_t)(n - i) * sizeof *row);
        for (int64_t k = 0; k < c; k++) {
            kernels->axpy(n - i, -V[k * n + i], Y + k * n + i, row + i);
            kernels->axpy(n - i, -Y[k * n + i], V + k * n + i, row + i);
        }
        row[i] += delta;
    }
}

/* ---- P x ------------------------------------------------------------------------------------- */

/* x := x - V T V'x, or with T' instead of T; V as c rows of n. work: c */
static void reflect(const lmml_kernels *kernels, const lmml_projected *P, int transposed, double *x,
                    double *work)
{
    for (int64_t i = 0; i < P->c; i++) work[i] = kernels->dot_f64(P->n, P->V + i * P->n, x);
    for (int64_t i = 0; i < P->c; i++) {
        double weight = 0;
        for (int64_t j = 0; j < P->c; j++)
            weight += work[j] * (transposed ? P->T[j * P->c + i] : P->T[i * P->c + j]);
        kernels->axpy(P->n, -weight, P->V + i * P->n, x);
    }
}

int lmml_projected_solve(const lmml_kernels *kernels, const lmml_lapack *lapack,
                         const lmml_projected *P, int64_t k, double *X)
{
    const int64_t n = P->n, c = P->c;
    if (c < 0 || c >= n || k < 0) return LMML_ERR_ARGUMENT;
    double *work = malloc((size_t)(c > 0 ? c : 1) * sizeof *work);
    if (!work) return LMML_ERR_MEMORY;
    for (int64_t row = 0; row < k; row++) {
        double *x = X + row * n;
        reflect(kernels, P, 1, x, work); /* H'x, H = I - V T V' */
        for (int64_t i = 0; i < c; i++) x[i] = 0;
    }
    const int code = lmml_cholesky_solve(lapack, n - c, P->L + c * n + c, n, k, X + c, n);
    for (int64_t row = 0; row < k; row++) reflect(kernels, P, 0, X + row * n, work);
    free(work);
    return code;
}
