/* workload.c - one use of every function of the core: run with floating-point traps on, by many
 * threads at a time, and under every sanitizer. */
#include "faults.h"

workload shared;
_Thread_local int64_t lapack_refuses;

/* ---- a stand-in for LAPACK that knows diagonal matrices ----------------------------------------
 */

static void diagonal_dsytrd(char *uplo, void *n, double *a, void *lda, double *d, double *e,
                            double *tau, double *work, void *lwork, void *info)
{
    const int64_t size = *(int64_t *)n, asked = *(int64_t *)lwork;
    (void)uplo;
    *(int64_t *)info = asked < 0 ? 0 : lapack_refuses;
    work[0] = (double)size;
    if (asked < 0) return;
    for (int64_t i = 0; i < asked; i++) work[i] = 0;
    for (int64_t i = 0; i < size; i++) d[i] = a[i * *(int64_t *)lda + i];
    for (int64_t i = 0; i < size - 1; i++) e[i] = tau[i] = 0;
}

static void diagonal_dpotrf(char *uplo, void *n, double *a, void *lda, void *info)
{
    (void)uplo;
    *(int64_t *)info = lapack_refuses;
    for (int64_t i = 0; i < *(int64_t *)n; i++) {
        double *entry = a + i * (*(int64_t *)lda + 1);
        if (!(*entry > 0)) {
            *(int64_t *)info = i + 1;
            return;
        }
        *entry = sqrt(*entry);
    }
}

static void diagonal_dpotrs(char *uplo, void *n, void *nrhs, double *a, void *lda, double *b,
                            void *ldb, void *info)
{
    (void)uplo;
    *(int64_t *)info = lapack_refuses;
    for (int64_t k = 0; k < *(int64_t *)nrhs; k++)
        for (int64_t i = 0; i < *(int64_t *)n; i++) {
            const double entry = a[i * (*(int64_t *)lda + 1)];
            b[k * *(int64_t *)ldb + i] /= entry * entry;
        }
}

/* ---- the data ----------------------------------------------------------------------------------
 */

static double dot(int64_t n, const double *x, const double *y)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

static void draw(int64_t n, double *x)
{
    for (int64_t i = 0; i < n; i++) x[i] = uniform();
}

/* The last SNP is the first one with its alleles swapped; the first one has nobody missing. */
static void make_genotypes(workload *s)
{
    const int64_t stride = (N + 3) / 4;
    s->packed = (lmml_packed){s->data, P, N, stride};
    for (int64_t j = 0; j < P; j++) {
        for (int64_t i = 0; i < N; i++) {
            int code = (int)(next_random() & 3);
            if (j == 0 && code == 1) code = 2;
            if (j == P - 1) {
                code = s->data[i / 4] >> (2 * (i % 4)) & 3;
                code = code == 0 ? 3 : code == 3 ? 0 : code;
            }
            s->data[j * stride + i / 4] |= (uint8_t)(code << (2 * (i % 4)));
            s->n_missing[j] += code == 1;
        }
        s->mean[j] = 1 + uniform() / 8;
        s->inverse_sd[j] = j == 1 ? 0 : 1.2 + uniform() / 8;
        s->use[j] = j % 3 != 2;
    }
    for (int k = 0; k < VECTORS; k++) draw(N, s->v[k]);
    for (int64_t i = 0; i < N / 2; i++) s->index[i] = 2 * i;
    for (int64_t k = 0; k < W; k++) s->variants[k] = W - 1 - k;
    s->rows[1] = P - 1;
    s->dosage_rows[1] = DOSE - 1;
    CHECK(lmml_mask_fill(s->index, N / 2, N, s->mask) == LMML_OK);
    for (int64_t j = 0; j < DOSE; j++) {
        for (int64_t i = 0; i < N; i++) {
            const int from = (int)(next_random() % 255);
            s->codes1[j * N + i] = (uint8_t)(j == DOSE - 1 ? s->codes1[i] : from);
            s->codes2[j * N + i] = (uint16_t)(j == DOSE - 1 ? s->codes2[i] : 100 * from);
        }
        s->codes1[j * N + 7] = UINT8_MAX;
        s->codes2[j * N + 7] = UINT16_MAX;
        s->dosage_mean[j] = 100;
        s->dosage_inverse_sd[j] = j == 2 ? 0 : 0.01;
    }
    s->dosages[0] = (lmml_dosages){s->codes1, DOSE, N, 1, 254};
    s->dosages[1] = (lmml_dosages){s->codes2, DOSE, N, 2, 25400};
}

/* Most of the SNPs active in the end, so that the factor has to grow. */
static void make_lasso(workload *s)
{
    double largest = 0;
    draw(W * N, s->X);
    draw(N, s->y);
    for (int64_t j = 0; j < W; j++) {
        for (int64_t k = 0; k < W; k++) s->G[j * W + k] = dot(N, s->X + j * N, s->X + k * N);
        s->c[j] = dot(N, s->X + j * N, s->y);
        s->norms[j] = s->G[j * W + j];
        largest = fmax(largest, fabs(s->c[j]));
    }
    for (int64_t j = 0; j < W; j++) {
        s->weight[j] = largest;
        s->threshold[j] = 0.02 * largest;
        s->ridge[j] = 0.01 * largest;
    }
    s->lasso = (lmml_lasso){W, W, s->G, s->c, s->threshold, s->ridge, dot(N, s->y, s->y)};
    lmml_options_default(&s->options);
    for (int k = 0; k < M; k++) {
        s->alpha[k] = 0.4 / (1 << 2 * k);
        s->cd_tol[k] = 1e-8;
    }
}

static void make_whitening(workload *s)
{
    for (int i = 0; i < TRI; i++) s->d[i] = 2 + uniform() / 4;
    for (int i = 0; i < TRI - 1; i++) s->e[i] = uniform() / 2;
    draw((MANY_C + 1) * TRI, s->profile_rows);
    for (int k = 0; k < DELTAS; k++) s->deltas[k] = 0.1 * (k + 1);
    for (int i = 0; i < CHOL; i++) s->A[i * CHOL + i] = 2 + uniform();
    s->V[0] = 1; /* H = I - 2 v v' with v the first unit vector */
    s->T[0] = 2;
    s->lapack = (lmml_lapack){8, diagonal_dsytrd, diagonal_dpotrf, diagonal_dpotrs};
}

static void make_scan(workload *s)
{
    for (int i = 0; i < REML; i++) s->s[i] = exp(uniform());
    for (int i = 0; i < REML; i++) s->reml_y[i] = uniform() * sqrt(s->s[i] + 0.5);
    draw(SNPS * REML, s->Z);
    for (int g = 0; g < GRID; g++) {
        const double delta = exp(s->log_delta[g] = g - 4.0);
        s->f[g] = g * g;
        for (int i = 0; i < REML; i++) {
            const double w = 1 / (s->s[i] + delta), y = s->reml_y[i];
            double *row = s->of_y + 4 * g;
            row[0] -= log(w), row[1] += w, row[2] += w * y * y, row[3] += w * w * y * y;
            for (int j = 0; j < SNPS; j++) {
                const double x = s->Z[j * REML + i];
                s->xx[j * 2 * GRID + g] += w * x * x, s->xy[j * 2 * GRID + g] += w * x * y;
                s->xx[(j * 2 + 1) * GRID + g] += w * w * x * x;
                s->xy[(j * 2 + 1) * GRID + g] += w * w * x * y;
            }
        }
    }
    s->reml = (lmml_reml){REML, s->s, s->reml_y, GRID, s->log_delta, s->of_y};
}

void make_workload(void)
{
    make_genotypes(&shared);
    make_lasso(&shared);
    make_whitening(&shared);
    make_scan(&shared);
}

/* ---- the work ----------------------------------------------------------------------------------
 */

/* A workspace of this many doubles, not one of which is a number yet. */
static double *workspace(int64_t n)
{
    double *work = malloc((size_t)n * sizeof *work);
    if (!work) abort();
    return work;
}

static int use_packed(const workload *s, const lmml_kernels *kernels, outcome *out)
{
    int bad = 0, sign;
    const lmml_packed *packed = &s->packed;
    lmml_vector vectors[VECTORS];
    int8_t *limbs[VECTORS];
    for (int k = 0; k < VECTORS; k++) {
        const int n_limbs = k ? LMML_LIMBS_CERTIFICATE : LMML_LIMBS_SCREENING;
        limbs[k] = malloc((size_t)lmml_limbs_size(N, n_limbs));
        if (!limbs[k]) abort();
        vectors[k] = (lmml_vector){limbs[k], n_limbs, 0};
        bad += !!lmml_limbs_fill(s->v[k], NULL, N, N, n_limbs, limbs[k], &vectors[k].unit);
    }
    bad += !!lmml_gradient(kernels, packed, s->mean, s->inverse_sd, s->n_missing, vectors, VECTORS,
                           0, P, out->gradient, P);
    for (int k = 0; k < VECTORS; k++) free(limbs[k]);

    uint8_t mask[(N + 3) / 4], codes[W * N / 2], compressed[P * ((N / 2 + 3) / 4)];
    int32_t counts[4 * P];
    uint64_t hash[P];
    int64_t original[2], missing[N] = {0};
    int8_t signs[2];
    float decoded[W * N / 2];
    bad += !!lmml_mask_fill(s->index, N / 2, N, mask);
    bad += !!lmml_counts(kernels, packed, mask, 0, P, counts);
    for (int k = 0; k < 4 * P; k++) out->counts[k] = counts[k];
    (void)!lmml_compress(kernels, packed, mask, 0, P, compressed);
    bad += !!lmml_hash(packed, mask, 0, P, hash);
    bad += !!lmml_compare(packed, mask, 0, P - 1, &sign);
    out->compare[0] = (double)(hash[0] % 1009);
    out->compare[1] = sign;
    out->compare[2] = hash[0] == hash[P - 1];
    bad += !!lmml_duplicates(packed, mask, s->rows, s->same_hash, 2, original, signs);
    for (int k = 0; k < 2; k++) {
        out->duplicates[k] = (double)original[k];
        out->duplicates[2 + k] = signs[k];
    }
    bad += !!lmml_sample_missing(packed, s->use, 0, P, missing);
    for (int i = 0; i < N; i++) out->missing[i] = (double)missing[i];
    bad += !!lmml_decode_f64(kernels, packed, s->variants, W, s->mean, s->inverse_sd, s->index,
                             N / 2, out->decoded);
    bad += !!lmml_decode_f32(kernels, packed, s->variants, W, s->mean, s->inverse_sd, s->index,
                             N / 2, decoded);
    bad += !!lmml_decode_codes(packed, s->variants, W, s->index, N / 2, codes);
    for (int i = 0; i < W * N / 2; i++) {
        out->decoded_f32[i] = decoded[i];
        out->codes[i] = codes[i];
    }
    return bad;
}

static int use_dosages(const workload *s, const lmml_kernels *kernels, int which, outcome *out)
{
    const lmml_dosages *dosages = &s->dosages[which];
    int64_t sums[DOSE * LMML_DOSAGE_SUMS], original[2], missing[N] = {0};
    float decoded[DOSE * N / 2];
    uint64_t hash[DOSE];
    int8_t signs[2];
    int bad = !!lmml_dosage_sums(dosages, s->index, N / 2, 0, DOSE, sums);
    for (int k = 0; k < DOSE * LMML_DOSAGE_SUMS; k++) out->sums[which][k] = (double)sums[k];
    bad += !!lmml_dosage_gradient(kernels, dosages, s->index, N / 2, s->dosage_mean,
                                  s->dosage_inverse_sd, s->v[0], 1, 0, DOSE,
                                  out->dosage_gradient[which], DOSE);
    bad +=
        !!lmml_dosage_decode_f64(kernels, dosages, s->variants + W - DOSE, DOSE, s->dosage_mean,
                                 s->dosage_inverse_sd, s->index, N / 2, out->dosage_decoded[which]);
    bad += !!lmml_dosage_decode_f32(kernels, dosages, s->variants + W - DOSE, DOSE, s->dosage_mean,
                                    s->dosage_inverse_sd, s->index, N / 2, decoded);
    for (int i = 0; i < DOSE * N / 2; i++) out->dosage_f32[which][i] = decoded[i];
    bad += !!lmml_dosage_hash(dosages, s->index, N / 2, 0, DOSE, hash);
    bad += hash[0] != hash[DOSE - 1];
    bad += !!lmml_dosage_duplicates(dosages, s->index, N / 2, s->dosage_rows, s->same_hash, 2,
                                    original, signs);
    for (int k = 0; k < 2; k++) {
        out->dosage_duplicates[which][k] = (double)original[k];
        out->dosage_duplicates[which][2 + k] = signs[k];
    }
    bad += !!lmml_dosage_missing(dosages, s->use, 0, DOSE, missing);
    for (int i = 0; i < N; i++) out->dosage_missing[which][i] = (double)missing[i];
    return bad;
}

static int use_lasso(const workload *s, const lmml_kernels *kernels, outcome *out)
{
    lmml_factor factor;
    lmml_info info;
    uint8_t exact[M];
    int has_tangent, bad = !!lmml_factor_init(&factor);
    double beta[W] = {0}, *work = workspace(3 * W);
    memset(out->beta, 0, sizeof out->beta);
    bad += !!lmml_lasso_solve(kernels, &s->lasso, &s->options, &factor, out->beta, out->q, &info);
    bad += !info.exact;
    memcpy(out->solved, s->c, sizeof out->solved);
    lmml_factor_solve(kernels, &factor, W, out->solved);
    memcpy(out->descent, out->beta, sizeof beta);
    bad += !!lmml_coordinate_descent(kernels, &s->lasso, &s->options, out->descent, work, &info);
    bad += !!lmml_finish(kernels, &s->lasso, &s->options, &factor, out->descent, work, &info);
    lmml_factor_reset(&factor);
    fill_with_nan(work, 3 * W * sizeof *work);
    const lmml_batch batch = {M, s->alpha, s->cd_tol, 0.9, 0.1, s->weight, 0};
    bad += !!lmml_lasso_batch(kernels, &s->lasso, &batch, &factor, beta, out->batch, exact,
                              out->tangent, &has_tangent, work);
    for (int k = 0; k < M; k++) bad += !exact[k];
    bad += !has_tangent;
    lmml_factor_free(&factor);
    free(work);

    memset(beta, 0, sizeof beta);
    memcpy(out->residual, s->y, sizeof out->residual);
    bad += !!lmml_residual_descent(kernels, W, N, s->X, s->X, s->norms, s->threshold, s->ridge,
                                   s->lasso.scale, &s->options, beta, out->residual, &info);
    lmml_subtract_rows(kernels, N, W, 1, out->beta, s->X, out->residual);
    const uint8_t zero[W] = {0, 1};
    lmml_gram_grow(0, W, s->G, zero, out->grown, W);
    uint8_t in_span[2];
    double unit[N] = {1};
    memcpy(out->off, s->X, sizeof out->off);
    lmml_project_off(kernels, N, 1, unit, 2, out->off, 1e-12, in_span);
    bad += in_span[0] || in_span[1];
    return bad;
}

static int use_scores(const workload *s, outcome *out)
{
    int64_t index[P];
    memset(out->scores_of, 0, sizeof out->scores_of);
    lmml_largest_score(P, s->mean, s->mean, s->use, out->scores, out->scores + 1);
    out->scores[2] = (double)lmml_scores_above(P, s->v[0], s->v[1], 0.5, s->mean, s->use, 0.3,
                                               index, out->scores_of);
    out->scores[3] = (double)index[0];
    return out->scores[2] == 0;
}

static int use_whitening(const workload *s, const lmml_kernels *kernels, outcome *out)
{
    int bad = 0;
    double *work = workspace(lmml_profile_work(TRI, C));
    bad += !!lmml_tridiagonal_profile(kernels, TRI, C, s->d, s->e, s->profile_rows, DELTAS,
                                      s->deltas, out->profile, work);
    free(work);
    work = workspace(lmml_profile_work(TRI, MANY_C));
    bad += !!lmml_tridiagonal_profile(kernels, TRI, MANY_C, s->d, s->e, s->profile_rows, DELTAS,
                                      s->deltas, out->profile_many, work);
    free(work);
    bad += !lmml_tridiagonal_is_positive(TRI, s->d, s->e, 0);

    double A[CHOL * CHOL], *L = workspace(CHOL * CHOL);
    memcpy(A, s->A, sizeof A);
    bad += !!lmml_tridiagonalise(&s->lapack, CHOL, A, out->diagonal, out->off_diagonal, out->tau);
    memcpy(out->rotated, s->profile_rows, sizeof out->rotated);
    lmml_tridiagonal_rotate(kernels, CHOL, A, out->tau, 0, 1, out->rotated);
    const double nothing[CHOL] = {0};
    lmml_symmetric_difference(kernels, CHOL, 1, s->A, nothing, nothing, 0.5, L);
    bad += !!lmml_cholesky(&s->lapack, CHOL - 1, L + CHOL + 1, CHOL);
    memcpy(out->cholesky, s->profile_rows, sizeof out->cholesky);
    bad += !!lmml_cholesky_solve(&s->lapack, CHOL - 1, L + CHOL + 1, CHOL, 1, out->cholesky, CHOL);
    const lmml_projected projected = {CHOL, 1, L, s->V, s->T};
    memcpy(out->projected, s->profile_rows, sizeof out->projected);
    bad += !!lmml_projected_solve(kernels, &s->lapack, &projected, 2, out->projected);
    free(L);

    lmml_square_subset(N, s->X, 5, s->variants + W - 5, 3, out->subset);
    float part[CHOL];
    for (int i = 0; i < CHOL; i++) part[i] = (float)s->v[0][i];
    memset(out->rounded, 0, sizeof out->rounded);
    lmml_add_rounded(CHOL, part, 0x1p-20, out->rounded);
    lmml_row_squares(2, CHOL / 2, part, out->squares);
    return bad;
}

int run_workload(const lmml_kernels *kernels, outcome *out)
{
    const workload *s = &shared;
    const lmml_kernels *best;
    int bad = !!lmml_kernels_select(NULL, &best);
    fill_with_nan(out, sizeof *out);
    bad += lmml_strerror(LMML_OK) == NULL || lmml_kernels_name(best) == NULL;
    bad += use_packed(s, kernels, out);
    for (int which = 0; which < 2; which++) bad += use_dosages(s, kernels, which, out);
    bad += use_lasso(s, kernels, out);
    bad += use_scores(s, out);
    bad += use_whitening(s, kernels, out);
    bad += !!lmml_reml_scan(&s->reml, SNPS, s->Z, s->xx, s->xy, out->reml);
    lmml_log10_p(GRID, s->f, 20, out->log10_p);
    return bad;
}
