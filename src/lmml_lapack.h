/* lmml_lapack.h - LAPACK as a table of function pointers: nothing is linked, nothing holds the GIL.
 *
 * Fortran passes everything by address; how wide its integers are is a choice of whoever built the
 * library. Matrices are stored row by row here: LAPACK's lower triangle is the upper one of a row.
 */
#ifndef LMML_LAPACK_H
#define LMML_LAPACK_H

#include "lmml.h"

#ifdef __cplusplus
extern "C" {
#endif

/* void * points to an integer. */
typedef void (*lmml_dsytrd)(char *uplo, void *n, double *a, void *lda, double *d, double *e,
                            double *tau, double *work, void *lwork, void *info);
typedef void (*lmml_dpotrf)(char *uplo, void *n, double *a, void *lda, void *info);
typedef void (*lmml_dpotrs)(char *uplo, void *n, void *nrhs, double *a, void *lda, double *b,
                            void *ldb, void *info);

typedef struct {
    int integer_bytes; /* 4 or 8 */
    lmml_dsytrd dsytrd;
    lmml_dpotrf dpotrf;
    lmml_dpotrs dpotrs;
} lmml_lapack;

/* What each function can return besides LMML_OK, as in lmml.h:
 *
 *   lmml_tridiagonalise       MEMORY ARGUMENT LAPACK
 *   lmml_cholesky             ARGUMENT NOT_POSITIVE LAPACK
 *   lmml_cholesky_solve       ARGUMENT LAPACK
 *   lmml_projected_solve      MEMORY ARGUMENT LAPACK
 */

/* A = Q T Q' for symmetric A (n x n), of which the upper triangle is read. T has the diagonal d (n)
 * and the off-diagonal e (n - 1). A is overwritten: row i holds from column i + 2 on the reflector
 * H_i = I - tau_i v v' (v_j = 0 up to j = i, v_(i+1) = 1), and Q = H_0 ... H_(n-2). */
int lmml_tridiagonalise(const lmml_lapack *lapack, int64_t n, double *A, double *d, double *e,
                        double *tau);

/* A = L L' for symmetric positive definite A (n x n, rows of ld), of which the upper triangle is
 * read and overwritten by L'. LMML_ERR_NOT_POSITIVE leaves A in pieces. */
int lmml_cholesky(const lmml_lapack *lapack, int64_t n, double *A, int64_t ld);

/* Each of the k rows x of X (rows of ldx) becomes (L L')^-1 x, L as lmml_cholesky left it. */
int lmml_cholesky_solve(const lmml_lapack *lapack, int64_t n, const double *L, int64_t ld,
                        int64_t k, double *X, int64_t ldx);

/* out = A - V'Y - Y'V + delta I for symmetric A (n x n) and c rows of n each: the upper triangle
 * alone, row by row. */
void lmml_symmetric_difference(const lmml_kernels *kernels, int64_t n, int64_t c, const double *A,
                               const double *V, const double *Y, double delta, double *out);

/* H (0 0; 0 (L L')^-1) H' for the product H = I - V T V' of c reflectors: V as c rows of n, T (c x
 * c) upper triangular; L (n x n) is a factor, as above, from its row and column c on. */
typedef struct {
    int64_t n, c;
    const double *L, *V, *T;
} lmml_projected;

/* Each of the k rows of X (k x n) becomes the product with it. */
int lmml_projected_solve(const lmml_kernels *kernels, const lmml_lapack *lapack,
                         const lmml_projected *P, int64_t k, double *X);

#ifdef __cplusplus
}
#endif
#endif
