/* lmml.h - the contract of the C core of lmmlasso_fast.
 *
 * Plain C11: no Python.h, no BLAS, no printing, no global state. Every function that can fail
 * returns 0 or a negative LMML_ERR_* code (lmml_strerror). Not having converged is no error: it
 * is a field of the info struct.
 *
 * Symbols (the same letters as in the documentation)
 *
 *   n, p        samples, SNPs                     v      P (y - X beta), an n-vector
 *   x_j         column-standardised SNP           P      V^-1 - V^-1 C (C'V^-1 C)^-1 C'V^-1
 *   w           size of the working set           G      X_W' P X_W, the Gram matrix (w x w)
 *   c           X_W' P y                          q      c - G beta - ridge * beta
 *   threshold_j n alpha l1_ratio pi_j             ridge_j  n alpha (1 - l1_ratio) pi_j
 *
 * Packed genotypes are PLINK's: two bits a sample, four samples a byte, lowest bits first;
 * 00 two copies of A1, 10 one, 11 none, 01 missing. The dosage is the number of copies of A1.
 */
#ifndef LMML_H
#define LMML_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- errors ---------------------------------------------------------------------------------- */

enum {
    LMML_OK = 0,
    LMML_ERR_MEMORY = -1,       /* an allocation failed */
    LMML_ERR_ARGUMENT = -2,     /* a size or an option is out of range */
    LMML_ERR_INDEX = -3,        /* a sample or SNP index is out of range */
    LMML_ERR_NOT_FINITE = -4,   /* a vector holds NaN or infinity */
    LMML_ERR_ISA = -5,          /* unknown instruction set, or one that this machine lacks */
    LMML_ERR_NOT_POSITIVE = -6, /* a matrix is not positive definite */
    LMML_ERR_LAPACK = -7        /* LAPACK refused an argument or a workspace */
};

/* What each function can return besides LMML_OK (tests/c/test_errors.c reads this table):
 *
 *   lmml_kernels_select       ISA
 *   lmml_limbs_fill           ARGUMENT INDEX NOT_FINITE
 *   lmml_gradient             MEMORY ARGUMENT INDEX
 *   lmml_mask_fill            INDEX
 *   lmml_counts               INDEX
 *   lmml_compress             INDEX ISA
 *   lmml_hash                 INDEX
 *   lmml_compare              INDEX
 *   lmml_duplicates           INDEX
 *   lmml_sample_missing       INDEX
 *   lmml_decode_f32           MEMORY INDEX
 *   lmml_decode_f64           MEMORY INDEX
 *   lmml_decode_codes         MEMORY INDEX
 *   lmml_dosage_sums          ARGUMENT INDEX
 *   lmml_dosage_gradient      ARGUMENT INDEX
 *   lmml_dosage_decode_f32    ARGUMENT INDEX
 *   lmml_dosage_decode_f64    ARGUMENT INDEX
 *   lmml_dosage_hash          ARGUMENT INDEX
 *   lmml_dosage_duplicates    ARGUMENT INDEX
 *   lmml_dosage_missing       ARGUMENT INDEX
 *   lmml_factor_init          none
 *   lmml_lasso_solve          MEMORY ARGUMENT
 *   lmml_lasso_batch          MEMORY ARGUMENT
 *   lmml_coordinate_descent   none
 *   lmml_finish               MEMORY
 *   lmml_residual_descent     none
 *   lmml_tridiagonal_is_positive none
 *   lmml_tridiagonal_profile  ARGUMENT NOT_POSITIVE
 *   lmml_reml_scan            MEMORY ARGUMENT
 */

/* A sentence for a code, ending with the code's name. */
const char *lmml_strerror(int code);

/* ---- kernels: one table of functions per instruction set ------------------------------------- */

typedef struct lmml_kernels lmml_kernels;

/* The table called `name` ("generic", "avx2", "avx512", "amx"), or the best one of this machine
 * when name is NULL. LMML_ERR_ISA if there is none. */
int lmml_kernels_select(const char *name, const lmml_kernels **kernels);
const char *lmml_kernels_name(const lmml_kernels *kernels);

/* ---- packed genotypes ------------------------------------------------------------------------ */

/* Borrowed, constant, shareable between threads. */
typedef struct {
    const uint8_t *data; /* n_variants rows of `stride` bytes */
    int64_t n_variants;
    int64_t n_samples; /* samples in the file, analysed or not */
    int64_t stride;    /* (n_samples + 3) / 4 */
} lmml_packed;

/* v is held as balanced base-256 digits ("limbs"), so that X'v is summed in integers: exact, the
 * same bits for any instruction set, chunk, thread count or sample layout. */
enum {
    LMML_LIMBS_SCREENING = 3,  /* each v_i to 2^-22 of max |v|: float32's accuracy */
    LMML_LIMBS_CERTIFICATE = 7 /* each v_i to 2^-54 of max |v|: float64's accuracy */
};

/* Bytes of the limb buffer for one vector over n_samples. */
int64_t lmml_limbs_size(int64_t n_samples, int n_limbs);

/* Scatter v (length n_index, sample k of v is sample index[k] of the file; index NULL = identity)
 * into the limb layout that the kernels read; *unit is the value of the lowest digit. A
 * 64-byte aligned buffer is read fastest. LMML_ERR_NOT_FINITE if v has such an entry. */
int lmml_limbs_fill(const double *v, const int64_t *index, int64_t n_index, int64_t n_samples,
                    int n_limbs, int8_t *limbs, double *unit);

/* One vector, as lmml_limbs_fill left it. */
typedef struct {
    const int8_t *limbs;
    int n_limbs;
    double unit;
} lmml_vector;

enum { LMML_MAX_VECTORS = 8 }; /* of one pass */

/* out[k * ld + j - start] = x_j'v_k for start <= j < stop and every vector k, the genotypes being
 * read once. x_j = (dosage - mean_j) * inverse_sd_j with missing = 0. inverse_sd_j = 0 marks an
 * excluded SNP: its entries are 0 and its bytes are not read. n_missing_j counts missing genotypes
 * among the samples with v != 0 (or an upper bound). */
int lmml_gradient(const lmml_kernels *kernels, const lmml_packed *packed, const double *mean,
                  const double *inverse_sd, const int32_t *n_missing, const lmml_vector *vectors,
                  int n_vectors, int64_t start, int64_t stop, double *out, int64_t ld);

/* A mask is a packed row with 01 at every analysed sample, 00 elsewhere (lmml_mask_fill).
 * counts[4 j + g]: analysed samples with genotype code g (0: two A1, 1: missing, 2: one, 3: none),
 * j from 0 to stop - start - 1. */
int lmml_mask_fill(const int64_t *index, int64_t n_index, int64_t n_samples, uint8_t *mask);
int lmml_counts(const lmml_kernels *kernels, const lmml_packed *packed, const uint8_t *mask,
                int64_t start, int64_t stop, int32_t *counts);

/* The masked samples alone, packed again: row j of out, (n + 3) / 4 bytes for the n samples of the
 * mask, in their order, bits past the last one zero. LMML_ERR_ISA where the kernels have no way to
 * do this that pays. */
int lmml_compress(const lmml_kernels *kernels, const lmml_packed *packed, const uint8_t *mask,
                  int64_t start, int64_t stop, uint8_t *out);

/* A 64-bit hash per SNP of its analysed genotypes that does not change when the alleles are
 * swapped. Equal hashes are candidates; lmml_compare decides: *sign = 1 equal, -1 equal with the
 * alleles swapped, 0 different. */
int lmml_hash(const lmml_packed *packed, const uint8_t *mask, int64_t start, int64_t stop,
              uint64_t *hash);
int lmml_compare(const lmml_packed *packed, const uint8_t *mask, int64_t a, int64_t b, int *sign);
/* For rows sorted by hash, then by number: original[k] = the first row that rows[k] equals, itself
 * if there is none before it; sign[k] = 1 or -1 as above. */
int lmml_duplicates(const lmml_packed *packed, const uint8_t *mask, const int64_t *rows,
                    const uint64_t *hash, int64_t n_rows, int64_t *original, int8_t *sign);

/* Per SNP (row) missing genotypes per sample: n_missing_of_sample[i] += 1 for i over the file. */
int lmml_sample_missing(const lmml_packed *packed, const uint8_t *use_variant, int64_t start,
                        int64_t stop, int64_t *n_missing_of_sample);

/* Row k of out (length n_index) = SNP variants[k] at the analysed samples, standardised by mean[k]
 * and inverse_sd[k]; missing = 0. */
int lmml_decode_f32(const lmml_kernels *kernels, const lmml_packed *packed, const int64_t *variants,
                    int64_t n_out, const double *mean, const double *inverse_sd,
                    const int64_t *index, int64_t n_index, float *out);
int lmml_decode_f64(const lmml_kernels *kernels, const lmml_packed *packed, const int64_t *variants,
                    int64_t n_out, const double *mean, const double *inverse_sd,
                    const int64_t *index, int64_t n_index, double *out);

/* Row k of codes (length n_index) = the 2-bit codes themselves. */
int lmml_decode_codes(const lmml_packed *packed, const int64_t *variants, int64_t n_out,
                      const int64_t *index, int64_t n_index, uint8_t *codes);

/* out (k x k) = A[index, index] / divisor for A with rows of n; index from 0 to n - 1. */
void lmml_square_subset(int64_t n, const double *A, int64_t k, const int64_t *index, double divisor,
                        double *out);

/* Takes out of every row of X (k x n) what is along the c orthonormal rows of Q. in_span[i] = 1 if
 * of the squared length no more than `share` is left. */
void lmml_project_off(const lmml_kernels *kernels, int64_t n, int64_t c, const double *Q, int64_t k,
                      double *X, double share, uint8_t *in_span);

/* total[i] += part[i], rounded to a multiple of `grid` (a power of two). As long as no total
 * reaches 2^52 grid, sums are exact: the same bits in whatever order the parts come. */
void lmml_add_rounded(int64_t n, const float *part, double grid, double *total);

/* ---- dosages ----------------------------------------------------------------------------------
 */

/* Dosages as whole numbers ("codes") of one or two bytes: 0 none, `top` two copies of A1, all bits
 * set missing. In every sum a SNP's samples are taken in the order of the index, by one thread:
 * the result depends neither on chunks and threads, nor on what else the rows hold.
 * Borrowed, constant, shareable between threads. */
typedef struct {
    const void *data; /* n_variants rows of n_samples codes */
    int64_t n_variants;
    int64_t n_samples; /* of a row, analysed or not */
    int bytes;         /* of a code: 1 or 2 */
    uint16_t top;      /* even */
} lmml_dosages;

/* Row j - start of sums: samples that are there, sum and sum of squares of their codes, smallest
 * and largest code (65535 and 0 where nobody is there), over the samples `index` (NULL: all). */
enum { LMML_DOSAGE_SUMS = 5 };
int lmml_dosage_sums(const lmml_dosages *dosages, const int64_t *index, int64_t n_index,
                     int64_t start, int64_t stop, int64_t *sums);

/* out[k * ld + j - start] = sum over the samples of (code - mean_j) * inverse_sd_j * v_k, missing
 * = 0, for the n_vectors rows of v (n_index long). inverse_sd_j = 0 marks an excluded SNP: its
 * entries are 0 and its codes are not read. In float64. */
int lmml_dosage_gradient(const lmml_kernels *kernels, const lmml_dosages *dosages,
                         const int64_t *index, int64_t n_index, const double *mean,
                         const double *inverse_sd, const double *v, int n_vectors, int64_t start,
                         int64_t stop, double *out, int64_t ld);

/* Row k of out (length n_index) = (code - mean[k]) * inverse_sd[k] of SNP variants[k], missing = 0.
 */
int lmml_dosage_decode_f32(const lmml_kernels *kernels, const lmml_dosages *dosages,
                           const int64_t *variants, int64_t n_out, const double *mean,
                           const double *inverse_sd, const int64_t *index, int64_t n_index,
                           float *out);
int lmml_dosage_decode_f64(const lmml_kernels *kernels, const lmml_dosages *dosages,
                           const int64_t *variants, int64_t n_out, const double *mean,
                           const double *inverse_sd, const int64_t *index, int64_t n_index,
                           double *out);

/* As of packed genotypes: hash (j from start to stop - 1), duplicates, missing per sample of a row.
 */
int lmml_dosage_hash(const lmml_dosages *dosages, const int64_t *index, int64_t n_index,
                     int64_t start, int64_t stop, uint64_t *hash);
int lmml_dosage_duplicates(const lmml_dosages *dosages, const int64_t *index, int64_t n_index,
                           const int64_t *rows, const uint64_t *hash, int64_t n_rows,
                           int64_t *original, int8_t *sign);
int lmml_dosage_missing(const lmml_dosages *dosages, const uint8_t *use_variant, int64_t start,
                        int64_t stop, int64_t *n_missing_of_sample);

/* ---- scores of all SNPs ---------------------------------------------------------------------- */

/* The largest |gradient_j| / factor_j (0 where factor_j is infinite), at least 0, of all SNPs and
 * of those with skip_j == 0. factor NULL: every SNP has 1 or a gradient of 0. */
void lmml_largest_score(int64_t p, const double *gradient, const double *factor,
                        const uint8_t *skip, double *of_all, double *of_others);

/* The SNPs with skip_j == 0 and score_j = |gradient_j + change slope_j| / factor_j >= threshold:
 * their number, in index their j, ascending, and in score their scores (both with room for p).
 * slope NULL = 0, factor NULL as above. */
int64_t lmml_scores_above(int64_t p, const double *gradient, const double *slope, double change,
                          const double *factor, const uint8_t *skip, double threshold,
                          int64_t *index, double *score);

/* ---- the Lasso on a working set -------------------------------------------------------------- */

/*   minimise 1/2 beta' G beta - c' beta + sum_j threshold_j |beta_j| + 1/2 sum_j ridge_j beta_j^2
 *
 * Borrowed and constant. A column with G_jj = 0 keeps beta_j = 0. */
typedef struct {
    int64_t w;       /* size of the working set */
    int64_t ld;      /* row length of G in memory, >= w */
    const double *G; /* symmetric, full */
    const double *c;
    const double *threshold;
    const double *ridge; /* NULL = none */
    double scale;        /* y'Py, what objective changes are measured against */
} lmml_lasso;

typedef struct {
    double cd_tol;      /* sweeps end when max_j G_jj d_j^2 <= cd_tol * scale */
    int64_t max_sweeps; /* of coordinate descent */
    int64_t max_events; /* of the exact finish: no new one is begun after this many */
} lmml_options;

typedef struct {
    int64_t n_sweeps;
    int64_t n_events;
    int64_t n_active;
    int exact; /* 1: the finish ended with signs and optimality conditions in order */
} lmml_info;

void lmml_options_default(lmml_options *options);

/* Cholesky factor of G on the active set, kept from one alpha to the next: column-major lower
 * triangle L, active[i] the working-set index of row i. One per path and thread. */
typedef struct {
    int64_t k, capacity, w_capacity;
    double l2; /* lmml_lasso_batch: what the ridge in L is a multiple of */
    int64_t *active;
    double *L;    /* column i starts at L + i * capacity */
    double *work; /* 3 * capacity */
    int8_t *flag; /* w_capacity */
} lmml_factor;

int lmml_factor_init(lmml_factor *factor);
void lmml_factor_free(lmml_factor *factor);
void lmml_factor_reset(lmml_factor *factor); /* the Gram matrix changed under it */

/* x_A = (G_AA + ridge_A)^-1 x_A on the factor's active set A; the other entries of x (w) become 0.
 */
void lmml_factor_solve(const lmml_kernels *kernels, lmml_factor *factor, int64_t w, double *x);

/* Coordinate descent with covariance updates, then the exact finish. beta (w) is the warm start
 * and the result; q (w) is written. */
int lmml_lasso_solve(const lmml_kernels *kernels, const lmml_lasso *problem,
                     const lmml_options *options, lmml_factor *factor, double *beta, double *q,
                     lmml_info *info);

/* Several penalties on one working set, one after the other, each from the solution before:
 * alpha_k gives threshold_j = alpha_k l1 weight_j and ridge_j = alpha_k l2 weight_j. */
typedef struct {
    int64_t m;
    const double *alpha;
    const double *cd_tol; /* m: lmml_options.cd_tol */
    double l1, l2;
    const double *weight; /* w */
    /* > 0: beta and the factor are the exact solution at this alpha, and the first step follows
     * its tangent */
    double before;
} lmml_batch;

/* beta (w): the warm start, and the last solution. betas (m x w): all of them; exact (m): as in
 * lmml_info. After an exact last solution other than zero *has_tangent = 1 and tangent (w) is
 * d beta / d alpha there. work: 3 w. `problem` brings w, ld, G, c and scale. */
int lmml_lasso_batch(const lmml_kernels *kernels, const lmml_lasso *problem,
                     const lmml_batch *batch, lmml_factor *factor, double *beta, double *betas,
                     uint8_t *exact, double *tangent, int *has_tangent, double *work);

/* V (k x n) -= weights (k x w) Z (w x n), reading no row of Z whose weights are all zero. */
void lmml_subtract_rows(const lmml_kernels *kernels, int64_t n, int64_t w, int64_t k,
                        const double *weights, const double *Z, double *V);

/* The Gram matrix of a working set of w SNPs that grew by those from `old` on: G (w x w, rows of
 * ld) gets its last rows and columns from cross ((w - old) x w), whose own block is made symmetric.
 * Row `zero_i` of cross counts as zero. */
void lmml_gram_grow(int64_t old, int64_t w, const double *cross, const uint8_t *zero, double *G,
                    int64_t ld);

/* The parts of it, for tests and for callers with a bound on memory. */
int lmml_coordinate_descent(const lmml_kernels *kernels, const lmml_lasso *problem,
                            const lmml_options *options, double *beta, double *q, lmml_info *info);
int lmml_finish(const lmml_kernels *kernels, const lmml_lasso *problem, const lmml_options *options,
                lmml_factor *factor, double *beta, double *q, lmml_info *info);

/* Residual updates, for working sets whose Gram matrix would not fit: X and Z = P X as w rows of
 * n; v (n) = P (y - X beta) is kept up to date. norms_j = x_j'P x_j. */
int lmml_residual_descent(const lmml_kernels *kernels, int64_t w, int64_t n, const double *X,
                          const double *Z, const double *norms, const double *threshold,
                          const double *ridge, double scale, const lmml_options *options,
                          double *beta, double *v, lmml_info *info);

/* ---- tridiagonal whitening ------------------------------------------------------------------- */

/* K = Q T Q' (lmml_tridiagonalise of lmml_lapack.h), T with diagonal d (n) and off-diagonal e
 * (n - 1). */

/* Each of the k rows b of B (k x n) becomes Q'b, or Q b if back is not 0. */
void lmml_tridiagonal_rotate(const lmml_kernels *kernels, int64_t n, const double *reflectors,
                             const double *tau, int back, int64_t k, double *B);

/* 1 if T + shift I is positive definite. n > 0. */
int lmml_tridiagonal_is_positive(int64_t n, const double *d, const double *e, double shift);

/* What the likelihood of y given the covariates C (n x c, linearly independent) needs of
 * V = K + delta I: the first row of `rows` is Q'y, the c after it are Q'C. One row of `result` per
 * delta, LMML_PROFILE_COLUMNS + c long:
 *     log|V|, trace V^-1, r'V^-1 r, |V^-1 r|^2 with r = y - C gamma,
 *     log|C'V^-1 C|, trace (C'V^-1 C)^-1 C'V^-2 C, and
 *     gamma = (C'V^-1 C)^-1 C'V^-1 y.
 * LMML_ERR_NOT_POSITIVE if some V is not. work: lmml_profile_work(n, c) doubles. */
enum { LMML_PROFILE_COLUMNS = 6 };
int64_t lmml_profile_work(int64_t n, int64_t c);
int lmml_tridiagonal_profile(const lmml_kernels *kernels, int64_t n, int64_t c, const double *d,
                             const double *e, const double *rows, int64_t n_deltas,
                             const double *deltas, double *result, double *work);

/* ---- the univariate scan --------------------------------------------------------------------- */

/* out[i] = the squared length of row i of Z (k x n), summed in double precision. */
void lmml_row_squares(int64_t k, int64_t n, const float *Z, double *out);

/* y = beta x + e, e ~ N(0, sigma^2 V), V = diag(s + delta), in m dimensions: a SNP and a phenotype
 * where covariates are gone and the kinship is diagonal. delta minimises
 *     (m - 1) log(rss) + log|V| + log(x'V^-1 x),   rss = (y - beta x)'V^-1 (y - beta x)
 * over [log_delta[0], log_delta[n_grid - 1]]: at an end, or between two points of the grid where
 * the derivative changes from minus to plus; the best of them, to 1e-7 of log delta. */
typedef struct {
    int64_t m;
    const double *s; /* not negative */
    const double *y;
    int64_t n_grid;
    const double *log_delta; /* ascending */
    const double *of_y;      /* n_grid x 4: log|V|, trace V^-1, y'V^-1 y, y'V^-2 y */
} lmml_reml;

/* For each of the k rows x of Z (k x m): log delta, x'V^-1 x, x'V^-1 y and rss in the four numbers
 * of a row of `result`; the first is not a number for x = 0. Rows of xx: x'V^-1 x at every point of
 * the grid, then x'V^-2 x; those of xy with y for the second x. */
int lmml_reml_scan(const lmml_reml *model, int64_t k, const double *Z, const double *xx,
                   const double *xy, double *result);

/* log10_p[i] = -log10 P(F > f_i) for F distributed as F(1, df), df > 0, without overflow or
 * underflow; not a number for f_i < 0. */
void lmml_log10_p(int64_t n, const double *f, double df, double *log10_p);

#ifdef __cplusplus
}
#endif
#endif
