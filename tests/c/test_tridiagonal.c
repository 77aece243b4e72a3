/* test_tridiagonal.c - the recurrences against closed forms, and LAPACK's integers of both widths
 * with functions that stand in for it. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "lmml_lapack.h"

enum { N = 9, K = 3 };

static double dot(const double *x, const double *y, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

/* 2 on the diagonal, -1 beside it: the determinant is n + 1, the trace of the inverse
 * n (n + 2) / 6. */
static void test_recurrences(void)
{
    double *d = allocate(N * sizeof *d), *e = allocate((N - 1) * sizeof *e);
    double *pivots = allocate(2 * N * sizeof *pivots);
    double *ratios = allocate(2 * (N - 1) * sizeof *ratios), *trace = allocate(2 * sizeof *trace);
    double *B = allocate(K * N * sizeof *B), *X = allocate(2 * K * N * sizeof *X);
    for (int i = 0; i < N; i++) d[i] = 1.5;
    for (int i = 0; i < N - 1; i++) e[i] = -1;
    for (int i = 0; i < K * N; i++) B[i] = uniform();
    const double deltas[] = {0.5, 7.5};
    CHECK(lmml_tridiagonal_factor(N, d, e, 2, deltas, pivots, ratios, trace) == LMML_OK);
    double product = 1;
    for (int i = 0; i < N; i++) product *= pivots[i];
    CHECK(fabs(product - (N + 1)) < 1e-12 * N);
    CHECK(fabs(trace[0] - N * (N + 2) / 6.0) < 1e-12 * N);
    lmml_tridiagonal_forward(N, 2, ratios, K, B, X);
    for (int k = 0; k < 2 * K; k++)
        for (int i = 0; i < N; i++) X[k * N + i] /= pivots[k / K * N + i];
    lmml_tridiagonal_backward(N, 2, ratios, K, X);
    for (int k = 0; k < 2 * K; k++) /* (T + delta I) x = b */
        for (int i = 0; i < N; i++) {
            const double *x = X + k * N;
            const double left = i > 0 ? x[i - 1] : 0, right = i < N - 1 ? x[i + 1] : 0;
            const double b = (1.5 + deltas[k / K]) * x[i] - left - right;
            CHECK(fabs(b - B[k % K * N + i]) < 1e-13);
        }
    const double indefinite[] = {0.5, -0.5};
    CHECK(lmml_tridiagonal_factor(N, d, e, 2, indefinite, pivots, ratios, trace) ==
          LMML_ERR_NOT_POSITIVE);
    CHECK(lmml_tridiagonal_factor(1, d, e, 2, deltas, pivots, ratios, trace) == LMML_OK);
    CHECK(pivots[0] == 2 && pivots[1] == 9 && trace[0] == 0.5);
    d[0] = NAN;
    CHECK(lmml_tridiagonal_factor(1, d, e, 1, deltas, pivots, ratios, trace) ==
          LMML_ERR_NOT_POSITIVE);
    CHECK(lmml_tridiagonal_factor(0, d, e, 1, deltas, pivots, ratios, trace) == LMML_ERR_ARGUMENT);
    free(d);
    free(e);
    free(pivots);
    free(ratios);
    free(trace);
    free(B);
    free(X);
}

static void test_reflectors(void)
{
    double *A = allocate(N * N * sizeof *A), *tau = allocate((N - 1) * sizeof *tau);
    double *B = allocate(K * N * sizeof *B), *before = allocate(K * N * sizeof *before);
    for (int i = 0; i < N * N; i++) A[i] = uniform();
    for (int i = 0; i < N - 1; i++) {
        const double *v = A + i * N + i + 2;
        tau[i] = 2 / (1 + dot(v, v, N - i - 2));
    }
    for (int t = 0; t < n_tables; t++) {
        for (int i = 0; i < K * N; i++) before[i] = B[i] = uniform();
        lmml_tridiagonal_rotate(tables[t], N, A, tau, 0, K, B);
        for (int k = 0; k < K; k++) {
            CHECK(B[k * N] == before[k * N]); /* no reflector touches the first entry */
            CHECK(fabs(dot(B, B + k * N, N) - dot(before, before + k * N, N)) < 1e-14 * N);
        }
        lmml_tridiagonal_rotate(tables[t], N, A, tau, 1, K, B);
        for (int i = 0; i < K * N; i++) CHECK(fabs(B[i] - before[i]) < 1e-14);
    }
    free(A);
    free(tau);
    free(B);
    free(before);
}

/* ---- LAPACK with integers of 4 or 8 bytes ---------------------------------------------------- */

static int width;

static int64_t read_integer(const void *p)
{
    int32_t four;
    int64_t eight;
    memcpy(&four, p, sizeof four);
    if (width == 4) return four;
    memcpy(&eight, p, sizeof eight);
    return eight;
}

static void write_integer(void *p, int64_t value)
{
    const int32_t four = (int32_t)value;
    memcpy(p, width == 4 ? (const void *)&four : (const void *)&value, (size_t)width);
}

static void fake_dpotrf(char *uplo, void *n, double *a, void *lda, void *info)
{
    CHECK(*uplo == 'L');
    const int64_t size = read_integer(n), ld = read_integer(lda);
    for (int64_t j = 0; j < size; j++) {
        for (int64_t k = 0; k < j; k++) a[j * ld + j] -= a[k * ld + j] * a[k * ld + j];
        if (!(a[j * ld + j] > 0)) {
            write_integer(info, j + 1);
            return;
        }
        a[j * ld + j] = sqrt(a[j * ld + j]);
        for (int64_t i = j + 1; i < size; i++) {
            for (int64_t k = 0; k < j; k++) a[j * ld + i] -= a[k * ld + i] * a[k * ld + j];
            a[j * ld + i] /= a[j * ld + j];
        }
    }
    write_integer(info, 0);
}

/* Forward and back substitution; column j of L starts at a + j ld, from its diagonal on. */
static void fake_dpotrs(char *uplo, void *n, void *nrhs, double *a, void *lda, double *b, void *ldb,
                        void *info)
{
    CHECK(*uplo == 'L');
    const int64_t size = read_integer(n), ld = read_integer(lda);
    for (int64_t k = 0; k < read_integer(nrhs); k++, b += read_integer(ldb)) {
        for (int64_t j = 0; j < size; j++) {
            b[j] /= a[j * ld + j];
            for (int64_t i = j + 1; i < size; i++) b[i] -= a[j * ld + i] * b[j];
        }
        for (int64_t j = size - 1; j >= 0; j--) {
            for (int64_t i = j + 1; i < size; i++) b[j] -= a[j * ld + i] * b[i];
            b[j] /= a[j * ld + j];
        }
    }
    write_integer(info, 0);
}

static int64_t refusal, workspace;

static void fake_dsytrd(char *uplo, void *n, double *a, void *lda, double *d, double *e,
                        double *tau, double *work, void *lwork, void *info)
{
    CHECK(*uplo == 'L' && read_integer(n) == N && read_integer(lda) == N);
    write_integer(info, refusal);
    if (read_integer(lwork) == -1) {
        *work = (double)workspace;
        return;
    }
    CHECK(read_integer(lwork) == workspace);
    for (int64_t i = 0; i < workspace; i++) work[i] = 0;
    for (int64_t i = 0; i < N; i++) d[i] = a[i * N + i];
    for (int64_t i = 0; i < N - 1; i++) e[i] = tau[i] = 0;
}

static void test_lapack(void)
{
    lmml_lapack lapack = {4, fake_dsytrd, fake_dpotrf, fake_dpotrs};
    double *A = allocate(N * N * sizeof *A), *d = allocate(N * sizeof *d);
    double *e = allocate((N - 1) * sizeof *e), *tau = allocate((N - 1) * sizeof *tau);
    for (width = 4; width <= 8; width += 4) {
        lapack.integer_bytes = width;
        memset(A, 0, N * N * sizeof *A);
        for (int i = 0; i < N; i++) A[i * N + i] = i + 1;
        workspace = 3 * N, refusal = 0;
        CHECK(lmml_tridiagonalise(&lapack, N, A, d, e, tau) == LMML_OK);
        CHECK(d[N - 1] == N);
        refusal = -4;
        CHECK(lmml_tridiagonalise(&lapack, N, A, d, e, tau) == LMML_ERR_LAPACK);
        refusal = 0, workspace = 0;
        CHECK(lmml_tridiagonalise(&lapack, N, A, d, e, tau) == LMML_ERR_LAPACK);
        CHECK(lmml_tridiagonalise(&lapack, 0, A, d, e, tau) == LMML_ERR_ARGUMENT);

        double *X = allocate(2 * N * sizeof *X);
        for (int i = 0; i < N; i++) A[i * N + i] = 4, A[(i > 0 ? i - 1 : 0) * N + i] += 1;
        A[0] = 4;
        for (int i = 0; i < 2 * N; i++) X[i] = i + 1;
        /* the block from 2 on, and two vectors of which only that part counts */
        CHECK(lmml_cholesky(&lapack, N - 2, &A[2 * N + 2], N) == LMML_OK);
        CHECK(lmml_cholesky_solve(&lapack, N - 2, &A[2 * N + 2], N, 2, X + 2, N) == LMML_OK);
        CHECK(X[0] == 1 && X[1] == 2 && X[N] == N + 1 && X[N + 1] == N + 2);
        for (int row = 0; row < 2; row++)
            for (int i = 2; i < N; i++) {
                const double *x = X + row * N;
                const double product =
                    (i > 2 ? x[i - 1] : 0) + 4 * x[i] + (i < N - 1 ? x[i + 1] : 0);
                CHECK(fabs(product - (row * N + i + 1)) < 1e-12);
            }
        CHECK(A[N + 1] == 4 && A[N + 2] == 1 && A[2 * N + 1] == 0);
        CHECK(lmml_cholesky_solve(&lapack, N, A, N, 0, NULL, N) == LMML_OK);
        CHECK(lmml_cholesky_solve(&lapack, N, A, N, -1, X, N) == LMML_ERR_ARGUMENT);
        CHECK(lmml_cholesky_solve(&lapack, N, A, N, 1, X, N - 1) == LMML_ERR_ARGUMENT);
        CHECK(lmml_cholesky_solve(&lapack, 0, A, N, 1, X, N) == LMML_ERR_ARGUMENT);
        free(X);
        A[0] = -1;
        CHECK(lmml_cholesky(&lapack, 1, A, N) == LMML_ERR_NOT_POSITIVE);
        CHECK(lmml_cholesky(&lapack, N, A, N - 1) == LMML_ERR_ARGUMENT);
        CHECK(lmml_cholesky(&lapack, 0, A, N) == LMML_ERR_ARGUMENT);
    }
    lapack.integer_bytes = 4;
    CHECK(lmml_cholesky(&lapack, 1, A, INT64_C(1) << 31) == LMML_ERR_ARGUMENT);
    lapack.integer_bytes = 2;
    CHECK(lmml_cholesky(&lapack, 1, A, 1) == LMML_ERR_ARGUMENT);
    free(A);
    free(d);
    free(e);
    free(tau);
}

void test_tridiagonal(void)
{
    test_recurrences();
    test_reflectors();
    test_lapack();
}
