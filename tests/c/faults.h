/* faults.h - what the parts of test_faults share. */
#ifndef FAULTS_H
#define FAULTS_H

#include <math.h>
#include <string.h>

#include "check.h"
#include "lmml_lapack.h"

/* ---- allocations.c: stands between everything here and the C library (linker's --wrap) --------
 */

/* The next allocations of this thread succeed k times; then one fails, or all do from there on. */
void fail_after(int64_t k, int for_good);
void fail_no_more(void);
int64_t n_live(void); /* blocks not yet freed, of all threads */

/* Memory that was only allocated holds this number: signalling as a double, not a number as a
 * float. LMML_TEST_UNFILLED in the environment leaves memory as it is (for valgrind). */
void fill_with_nan(void *memory, size_t size);

/* ---- workload.c: every function of the core that can be used, once -----------------------------
 */

enum { N = 600, P = 70, W = 60, M = 4, DELTAS = 11, C = 2, MANY_C = 9, TRI = 30 };
enum { REML = 29, SNPS = 6, GRID = 9, DOSE = 9, VECTORS = 3, CHOL = 12, COLUMNS = 6 };

/* Read by all threads, written by nobody. */
typedef struct {
    uint8_t data[P * ((N + 3) / 4)], mask[(N + 3) / 4], use[P];
    lmml_packed packed;
    double mean[P], inverse_sd[P], v[VECTORS][N];
    int32_t n_missing[P];
    int64_t index[N / 2], variants[W], rows[2], dosage_rows[2];
    uint64_t same_hash[2];
    uint8_t codes1[DOSE * N];
    uint16_t codes2[DOSE * N];
    lmml_dosages dosages[2];
    double dosage_mean[DOSE], dosage_inverse_sd[DOSE];
    double X[W * N], y[N], G[W * W], c[W], threshold[W], ridge[W], norms[W], weight[W];
    lmml_lasso lasso;
    lmml_options options;
    double alpha[M], cd_tol[M];
    double d[TRI], e[TRI - 1], profile_rows[(MANY_C + 1) * TRI], deltas[DELTAS];
    double s[REML], reml_y[REML], log_delta[GRID], of_y[4 * GRID], Z[SNPS * REML];
    double xx[SNPS * 2 * GRID], xy[SNPS * 2 * GRID];
    lmml_reml reml;
    double f[GRID];
    double A[CHOL * CHOL], V[CHOL], T[1];
    lmml_lapack lapack;
} workload;

/* Everything that comes out: one block of doubles, so that all of it can be looked at. */
typedef struct {
    double gradient[VECTORS * P], counts[4 * P], duplicates[4], missing[N], compare[3];
    double decoded[W * N / 2], decoded_f32[W * N / 2], codes[W * N / 2];
    double sums[2][DOSE * LMML_DOSAGE_SUMS], dosage_gradient[2][DOSE];
    double dosage_decoded[2][DOSE * N / 2], dosage_f32[2][DOSE * N / 2];
    double dosage_duplicates[2][4], dosage_missing[2][N];
    double scores[4], scores_of[P];
    double beta[W], q[W], batch[M * W], tangent[W], solved[W], descent[W], residual[N];
    double grown[W * W], off[2 * N], subset[25], rounded[CHOL], squares[2];
    double profile[DELTAS * (COLUMNS + C)], profile_many[DELTAS * (COLUMNS + MANY_C)];
    double reml[4 * SNPS], log10_p[GRID];
    double diagonal[CHOL], tau[CHOL - 1], off_diagonal[CHOL - 1], rotated[TRI];
    double cholesky[CHOL], projected[2 * CHOL];
} outcome;

extern workload shared;
extern _Thread_local int64_t lapack_refuses; /* what the stand-in for LAPACK reports */

void make_workload(void);
/* The number of calls that returned something else than LMML_OK; lmml_compress aside, which not
 * every instruction set has. */
int run_workload(const lmml_kernels *kernels, outcome *out);

/* ---- test_errors.c -----------------------------------------------------------------------------
 */

/* Notes that the function called `name` was seen to return `code`. */
int returned(const char *name, int expected, int code);
#define RETURNS(code, function, ...) CHECK(returned(#function, code, function(__VA_ARGS__)))

void test_refusals(void);
void test_allocation_failures(void);
void test_every_error_was_seen(void);

#endif
