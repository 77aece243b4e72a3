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
 * n (n + 2) / 6, and V^-1 b is found by elimination here. */
static void solve(double diagonal, const double *b, double *x)
{
    double pivot[N];
    for (int i = 0; i < N; i++) {
        pivot[i] = diagonal - (i > 0 ? 1 / pivot[i - 1] : 0);
        x[i] = b[i] + (i > 0 ? x[i - 1] / pivot[i - 1] : 0);
    }
    for (int i = N - 1; i >= 0; i--) x[i] = (x[i] + (i < N - 1 ? x[i + 1] : 0)) / pivot[i];
}

static void test_profile(const lmml_kernels *table)
{
    enum { DELTAS = 11, C = 2, COLUMNS = LMML_PROFILE_COLUMNS + C };
    double *d = allocate(N * sizeof *d), *e = allocate((N - 1) * sizeof *e);
    double *rows = allocate((C + 1) * N * sizeof *rows), deltas[DELTAS];
    double *result = allocate(DELTAS * COLUMNS * sizeof *result);
    double *work = allocate((size_t)lmml_profile_work(N, C) * sizeof *work);
    for (int i = 0; i < N; i++) d[i] = 1.5;
    for (int i = 0; i < N - 1; i++) e[i] = -1;
    for (int i = 0; i < (C + 1) * N; i++) rows[i] = uniform();
    for (int k = 0; k < DELTAS; k++) deltas[k] = 0.5 + k;
    CHECK(lmml_tridiagonal_profile(table, N, C, d, e, rows, DELTAS, deltas, result, work) ==
          LMML_OK);
    CHECK(fabs(result[0] - log(N + 1)) < 1e-13);
    CHECK(fabs(result[1] - N * (N + 2) / 6.0) < 1e-12);
    for (int k = 0; k < DELTAS; k++) {
        const double *found = result + k * COLUMNS, *gamma = found + LMML_PROFILE_COLUMNS;
        double r[N], V_r[N], V_C[C][N], G[C][C], H[C][C];
        for (int i = 0; i < N; i++)
            r[i] = rows[i] - gamma[0] * rows[N + i] - gamma[1] * rows[2 * N + i];
        solve(2 + k, r, V_r);
        CHECK(fabs(found[2] - dot(r, V_r, N)) < 1e-13);
        CHECK(fabs(found[3] - dot(V_r, V_r, N)) < 1e-13);
        for (int a = 0; a < C; a++) {
            CHECK(fabs(dot(rows + (a + 1) * N, V_r, N)) < 1e-13); /* gamma is the best */
            solve(2 + k, rows + (a + 1) * N, V_C[a]);
        }
        for (int a = 0; a < C; a++)
            for (int b = 0; b < C; b++) {
                G[a][b] = dot(rows + (a + 1) * N, V_C[b], N);
                H[a][b] = dot(V_C[a], V_C[b], N);
            }
        const double determinant = G[0][0] * G[1][1] - G[0][1] * G[1][0];
        CHECK(fabs(found[4] - log(determinant)) < 1e-12);
        const double trace = (G[1][1] * H[0][0] - 2 * G[0][1] * H[0][1] + G[0][0] * H[1][1]);
        CHECK(fabs(found[5] - trace / determinant) < 1e-12);
    }
    /* no covariates; pivots whose product overflows; one sample; what is not positive definite */
    CHECK(lmml_tridiagonal_profile(table, N, 0, d, e, rows, 1, deltas, result, work) == LMML_OK);
    double x[N];
    solve(2, rows, x);
    CHECK(fabs(result[2] - dot(rows, x, N)) < 1e-13 && result[4] == 0 && result[5] == 0);
    const double huge[] = {1e50, 0.5};
    CHECK(lmml_tridiagonal_profile(table, N, 0, d, e, rows, 2, huge, result, work) == LMML_OK);
    CHECK(fabs(result[0] - N * log(1e50)) < 1e-10);
    CHECK(lmml_tridiagonal_profile(table, 1, 0, d, e, rows, 1, deltas, result, work) == LMML_OK);
    CHECK(fabs(result[0] - log(2)) < 1e-15 && result[1] == 0.5);
    const double indefinite[] = {0.5, -0.5};
    CHECK(lmml_tridiagonal_profile(table, N, C, d, e, rows, 2, indefinite, result, work) ==
          LMML_ERR_NOT_POSITIVE);
    CHECK(lmml_tridiagonal_profile(table, 0, 0, d, e, rows, 1, deltas, result, work) ==
          LMML_ERR_ARGUMENT);
    CHECK(lmml_tridiagonal_is_positive(N, d, e, 0.5) == 1);
    CHECK(lmml_tridiagonal_is_positive(N, d, e, 0.3) == 0);
    CHECK(lmml_tridiagonal_is_positive(1, d, e, -1.4) == 1);
    d[0] = NAN;
    CHECK(lmml_tridiagonal_is_positive(N, d, e, 0.5) == 0);
    CHECK(lmml_tridiagonal_profile(table, N, C, d, e, rows, 1, deltas, result, work) ==
          LMML_ERR_NOT_POSITIVE);
    free(d);
    free(e);
    free(rows);
    free(result);
    free(work);
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

/* A + delta I - V'Y - Y'V in the upper triangle, of any number of rows of V and Y. */
static void test_symmetric_difference(void)
{
    enum { C = 3 };
    double A[N * N], V[C * N], Y[C * N], out[N * N];
    for (int i = 0; i < N * N; i++) A[i] = uniform();
    for (int i = 0; i < C * N; i++) V[i] = uniform(), Y[i] = uniform();
    for (int table = 0; table < n_tables; table++)
        for (int c = 0; c <= C; c++) {
            for (int i = 0; i < N * N; i++) out[i] = 77;
            lmml_symmetric_difference(tables[table], N, c, A, V, Y, 0.25, out);
            for (int i = 0; i < N; i++)
                for (int j = 0; j < N; j++) {
                    double value = A[i * N + j] + (i == j ? 0.25 : 0);
                    for (int k = 0; k < c; k++)
                        value -= V[k * N + i] * Y[k * N + j] + Y[k * N + i] * V[k * N + j];
                    CHECK(j < i ? out[i * N + j] == 77 : fabs(out[i * N + j] - value) < 1e-14);
                }
        }
}

/* H (0 0; 0 (H'A H)_22^-1) H' of a positive definite A and a random reflector H = I - t v v'. */
static void test_projected(const lmml_lapack *lapack)
{
    double v[N], y[N], A[N * N], H[N * N], X[2 * N], before[2 * N];
    double *L = allocate(N * N * sizeof *L);
    for (int i = 0; i < N; i++) v[i] = uniform();
    const double t = 2 / dot(v, v, N);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            A[i * N + j] = 1.0 / (1 + i + j) + (i == j ? 1 : 0);
            H[i * N + j] = (i == j) - t * v[i] * v[j];
        }
    for (int i = 0; i < N; i++) y[i] = t * dot(A + i * N, v, N); /* A v t - v (t v'A v t) / 2 */
    const double middle = t * dot(v, y, N) / 2;
    for (int i = 0; i < N; i++) y[i] -= middle * v[i];
    for (int table = 0; table < n_tables; table++) {
        lmml_symmetric_difference(tables[table], N, 1, A, v, y, 0.25, L);
        for (int i = 0; i < N; i++)
            for (int j = i; j < N; j++) { /* H'(A + 0.25 I) H */
                double sum = i == j ? 0.25 : 0;
                for (int a = 0; a < N; a++)
                    for (int b = 0; b < N; b++) sum += H[a * N + i] * A[a * N + b] * H[b * N + j];
                CHECK(fabs(L[i * N + j] - sum) < 1e-13);
            }
        CHECK(lmml_cholesky(lapack, N - 1, L + N + 1, N) == LMML_OK);
        for (int i = 0; i < 2 * N; i++) before[i] = X[i] = uniform();
        const lmml_projected P = {N, 1, L, v, &t};
        CHECK(lmml_projected_solve(tables[table], lapack, &P, 2, X) == LMML_OK);
        CHECK(lmml_projected_solve(tables[table], lapack, &P, 0, X) == LMML_OK);
        for (int row = 0; row < 2; row++) {
            const double *x = X + row * N;
            double first = 0, rest[N];
            for (int i = 0; i < N; i++) first += H[i] * x[i];
            CHECK(fabs(first) < 1e-13); /* x is orthogonal to H's first column, and */
            for (int i = 0; i < N; i++)
                rest[i] = dot(A + i * N, x, N) + 0.25 * x[i] - before[row * N + i];
            for (int j = 1; j < N; j++) { /* so is (A + 0.25 I) x - b to all others */
                double sum = 0;
                for (int i = 0; i < N; i++) sum += H[i * N + j] * rest[i];
                CHECK(fabs(sum) < 1e-13);
            }
        }
        lmml_projected wrong = P;
        wrong.c = N;
        CHECK(lmml_projected_solve(tables[table], lapack, &wrong, 2, X) == LMML_ERR_ARGUMENT);
    }
    free(L);
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

        test_projected(&lapack);
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
    test_symmetric_difference();
    for (int t = 0; t < n_tables; t++) test_profile(tables[t]);
    test_reflectors();
    test_lapack();
}
