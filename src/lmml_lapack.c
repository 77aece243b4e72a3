/* lmml_lapack.c - what takes LAPACK: tridiagonal form and Cholesky factor of a symmetric matrix. */
#include <stdlib.h>

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
