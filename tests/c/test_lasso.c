/* test_lasso.c - the Lasso on a working set: optimality of what comes back, recomputed here. */
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "check.h"

enum { N = 40, W_MAX = 60 };

/* A Lasso problem with its design, so that residual updates can solve it too. */
typedef struct {
    int64_t w;
    double X[W_MAX][N], Z[W_MAX][N], y[N];
    double G[W_MAX * W_MAX], c[W_MAX], threshold[W_MAX], ridge[W_MAX], norms[W_MAX];
    lmml_lasso lasso;
} design;

static double dot(const double *x, const double *y)
{
    double sum = 0;
    for (int i = 0; i < N; i++) sum += x[i] * y[i];
    return sum;
}

enum { PLAIN = 0, DUPLICATES = 1, COMBINATIONS = 2, ZERO_COLUMN = 4, RIDGE = 8 };

static void make_design(design *d, int64_t w, int kind, double alpha)
{
    d->w = w;
    for (int i = 0; i < N; i++) d->y[i] = uniform();
    for (int64_t j = 0; j < w; j++) {
        const double shared = j % 3 ? 1 : 0; /* neighbours are correlated */
        for (int i = 0; i < N; i++) d->X[j][i] = uniform() + shared * d->X[j > 0 ? j - 1 : 0][i];
        if (kind & DUPLICATES && j >= 2 && j % 2 == 0) { /* signs alternate */
            const double sign = j % 4 ? -1 : 1;
            for (int i = 0; i < N; i++) d->X[j][i] = sign * d->X[j - 2][i];
        }
        if (kind & COMBINATIONS && j >= 4 && j % 5 == 4)
            for (int i = 0; i < N; i++)
                d->X[j][i] = (d->X[j - 1][i] + d->X[j - 2][i] - 0.5 * d->X[j - 3][i]) / 2;
    }
    if (kind & ZERO_COLUMN) memset(d->X[w / 2], 0, sizeof d->X[0]);
    memcpy(d->Z, d->X, sizeof d->X); /* P = I */
    double largest = 0;
    for (int64_t j = 0; j < w; j++) {
        for (int64_t k = 0; k < w; k++) d->G[j * W_MAX + k] = dot(d->X[j], d->X[k]);
        d->norms[j] = d->G[j * W_MAX + j];
        d->c[j] = dot(d->X[j], d->y);
        largest = fmax(largest, fabs(d->c[j]));
    }
    for (int64_t j = 0; j < w; j++) {
        d->threshold[j] = alpha * largest * (j % 7 == 6 ? 0.3 : 1);
        d->ridge[j] = 0.5 * d->threshold[j];
    }
    d->lasso = (lmml_lasso){
        w, W_MAX, d->G, d->c, d->threshold, kind & RIDGE ? d->ridge : NULL, dot(d->y, d->y)};
}

static double ridge_of(const design *d, int64_t j) { return d->lasso.ridge ? d->ridge[j] : 0; }

static double objective(const design *d, const double *beta)
{
    double r[N], value = 0;
    memcpy(r, d->y, sizeof r);
    for (int64_t j = 0; j < d->w; j++)
        for (int i = 0; i < N; i++) r[i] -= d->X[j][i] * beta[j];
    for (int64_t j = 0; j < d->w; j++)
        value += d->threshold[j] * fabs(beta[j]) + ridge_of(d, j) * beta[j] * beta[j] / 2;
    return value + dot(r, r) / 2;
}

/* Largest violation of the optimality conditions relative to the threshold, from the design. */
static double violation(const design *d, const double *beta, const double *q)
{
    double worst = 0, r[N];
    memcpy(r, d->y, sizeof r);
    for (int64_t j = 0; j < d->w; j++)
        for (int i = 0; i < N; i++) r[i] -= d->X[j][i] * beta[j];
    for (int64_t j = 0; j < d->w; j++) {
        const double g = dot(d->X[j], r) - ridge_of(d, j) * beta[j], t = d->threshold[j];
        if (d->norms[j] == 0) {
            if (beta[j] != 0) worst = INFINITY;
            continue;
        }
        const double excess = beta[j] != 0 ? fabs(g - copysign(t, beta[j])) : fabs(g) - t;
        worst = fmax(worst, excess / t);
        worst = fmax(worst, q ? fabs(q[j] - g) / t : 0);
        if (!isfinite(beta[j])) worst = INFINITY;
    }
    return worst;
}

static int64_t count_active(const design *d, const double *beta)
{
    int64_t n = 0;
    for (int64_t j = 0; j < d->w; j++) n += beta[j] != 0;
    return n;
}

static void test_descent(const lmml_kernels *kernels, const design *d, double value)
{
    double beta[W_MAX] = {0}, q[W_MAX], v[N];
    lmml_options options;
    lmml_info info;
    lmml_options_default(&options);
    options.cd_tol = 1e-20;
    options.max_sweeps = 20000;
    memcpy(v, d->y, sizeof v);
    CHECK(lmml_residual_descent(kernels, d->w, N, d->X[0], d->Z[0], d->norms, d->threshold,
                                d->lasso.ridge, d->lasso.scale, &options, beta, v,
                                &info) == LMML_OK);
    CHECK(info.n_active == count_active(d, beta));
    CHECK(fabs(objective(d, beta) - value) <= 1e-9 * d->lasso.scale);
    memset(beta, 0, sizeof beta);
    CHECK(lmml_coordinate_descent(kernels, &d->lasso, &options, beta, q, &info) == LMML_OK);
    CHECK(info.n_active == count_active(d, beta) && info.n_sweeps < options.max_sweeps);
    CHECK(fabs(objective(d, beta) - value) <= 1e-9 * d->lasso.scale);
}

/* In other units, powers of two, all does the same: the same sweeps, every bit in its unit. */
static void test_units(int kind, double ridge)
{
    static design one, other;
    const double of_x = 1.0 / 4096, of_y = 128;
    make_design(&one, 23, kind | RIDGE, 0.2);
    for (int64_t j = 0; j < one.w; j++) one.ridge[j] = ridge * one.norms[j];
    other = one;
    for (int i = 0; i < N; i++) other.y[i] *= of_y;
    for (int64_t j = 0; j < one.w; j++) {
        for (int i = 0; i < N; i++) other.X[j][i] = other.Z[j][i] = one.X[j][i] * of_x;
        for (int64_t k = 0; k < one.w; k++) other.G[j * W_MAX + k] *= of_x * of_x;
        other.norms[j] *= of_x * of_x;
        other.ridge[j] *= of_x * of_x;
        other.c[j] *= of_x * of_y;
        other.threshold[j] *= of_x * of_y;
    }
    other.lasso.G = other.G, other.lasso.c = other.c;
    other.lasso.threshold = other.threshold, other.lasso.ridge = other.ridge;
    other.lasso.scale *= of_y * of_y;
    lmml_options options;
    lmml_options_default(&options);
    options.cd_tol = 1e-6;
    for (int t = 0; t < n_tables; t++)
        for (int residual = 0; residual < 2; residual++) {
            double beta[2][W_MAX] = {{0}}, q[W_MAX], v[N];
            int64_t n_sweeps[2];
            for (int k = 0; k < 2; k++) {
                const design *d = k ? &other : &one;
                lmml_info info;
                memcpy(v, d->y, sizeof v);
                const int code =
                    residual ? lmml_residual_descent(tables[t], d->w, N, d->X[0], d->Z[0], d->norms,
                                                     d->threshold, d->ridge, d->lasso.scale,
                                                     &options, beta[k], v, &info)
                             : lmml_coordinate_descent(tables[t], &d->lasso, &options, beta[k], q,
                                                       &info);
                CHECK(code == LMML_OK && info.n_sweeps > 2 && info.n_sweeps < 1000);
                CHECK(info.n_active > 1 && info.n_active == count_active(d, beta[k]));
                CHECK(violation(d, beta[k], NULL) < 0.1);
                n_sweeps[k] = info.n_sweeps;
            }
            CHECK(n_sweeps[0] == n_sweeps[1]);
            for (int64_t j = 0; j < one.w; j++) CHECK(beta[1][j] == beta[0][j] * of_y / of_x);
        }
    for (int t = 0; t < n_tables; t++) {
        double beta[2][W_MAX] = {{0}}, q[W_MAX];
        for (int k = 0; k < 2; k++) { /* everybody has to be admitted */
            const design *d = k ? &other : &one;
            lmml_info info;
            lmml_factor factor;
            lmml_factor_init(&factor);
            CHECK(lmml_finish(tables[t], &d->lasso, &options, &factor, beta[k], q, &info) == 0);
            CHECK(info.exact && violation(d, beta[k], q) <= 1e-9);
            CHECK(lmml_finish(tables[t], &d->lasso, &options, &factor, beta[k], q, &info) == 0);
            CHECK(info.exact && info.n_events == 0); /* there is nothing left to do */
            lmml_factor_free(&factor);
        }
        for (int64_t j = 0; j < one.w; j++) CHECK(beta[1][j] == beta[0][j] * of_y / of_x);
    }
}

/* (G_AA + ridge_A) x_A = b_A, A the support of the last solution, and zero elsewhere. */
static void test_factor_solve(const lmml_kernels *kernels, const design *d, lmml_factor *factor,
                              const double *beta)
{
    double b[W_MAX], x[W_MAX], worst = 0, largest = 0;
    for (int64_t j = 0; j < d->w; j++) b[j] = x[j] = uniform();
    lmml_factor_solve(kernels, factor, d->w, x);
    for (int64_t j = 0; j < d->w; j++) largest = fmax(largest, fabs(x[j]) * d->norms[j]);
    for (int64_t j = 0; j < d->w; j++) {
        double sum = ridge_of(d, j) * x[j] - b[j];
        for (int64_t k = 0; k < d->w; k++) sum += d->G[j * W_MAX + k] * x[k];
        worst = fmax(worst, beta[j] != 0 ? fabs(sum) : x[j] != 0 ? INFINITY : 0);
    }
    CHECK(worst <= 1e-11 * largest + 1e-12);
}

/* One design at falling thresholds: warm starts and one factor must do what a cold start does. */
static void test_path(int64_t w, int kind)
{
    static design d;
    lmml_options options;
    lmml_factor factor;
    lmml_info info;
    lmml_options_default(&options);
    make_design(&d, w, kind, 0.9);
    for (int t = 0; t < n_tables; t++) {
        double beta[W_MAX] = {0}, q[W_MAX], cold[W_MAX];
        double *threshold = d.threshold, original[W_MAX];
        memcpy(original, threshold, sizeof original);
        CHECK(lmml_factor_init(&factor) == LMML_OK);
        for (int step = 0; step < 12; step++) {
            CHECK(lmml_lasso_solve(tables[t], &d.lasso, &options, &factor, beta, q, &info) == 0);
            CHECK(info.exact && violation(&d, beta, q) <= 1e-9);
            CHECK(info.n_active == count_active(&d, beta) && info.n_sweeps >= 1);
            test_factor_solve(tables[t], &d, &factor, beta);

            lmml_factor fresh;
            lmml_factor_init(&fresh);
            memset(cold, 0, sizeof cold);
            CHECK(lmml_lasso_solve(tables[t], &d.lasso, &options, &fresh, cold, q, &info) == 0);
            CHECK(info.exact && violation(&d, cold, q) <= 1e-9);
            lmml_factor_free(&fresh);
            const double value = objective(&d, cold);
            CHECK(fabs(objective(&d, beta) - value) <= 1e-11 * d.lasso.scale);

            /* descent alone, and with residual updates, reach the same value; where the penalty is
             * small they would need too long */
            if (step < 4) test_descent(tables[t], &d, value);

            if (step == 6) lmml_factor_reset(&factor);
            if (kind & RIDGE) lmml_factor_reset(&factor); /* G + ridge is what changes */
            for (int64_t j = 0; j < w; j++) {
                threshold[j] *= 0.6;
                d.ridge[j] *= 0.6;
            }
        }
        lmml_factor_free(&factor);
        lmml_factor_free(&factor); /* free is always safe */
        memcpy(threshold, original, sizeof original);
        for (int64_t j = 0; j < w; j++) d.ridge[j] = 0.5 * original[j];
    }
}

/* A batch is the same as one alpha after the other; its tangent is the difference quotient; and it
 * goes on from there. */
static void test_batch(int kind, int with_ridge)
{
    enum { M = 4 };
    static design d;
    const double alphas[M] = {0.5, 0.4, 0.32, 0.26}, cd_tol[M] = {1e-6, 1e-6, 1e-6, 1e-6};
    double weight[W_MAX], work[3 * W_MAX];
    make_design(&d, W_MAX, kind, 1);
    memcpy(weight, d.threshold, sizeof weight);
    lmml_batch batch = {M, alphas, cd_tol, 0.9, with_ridge ? 0.2 : 0, weight, 0};
    d.lasso.ridge = with_ridge ? d.ridge : NULL;
    for (int t = 0; t < n_tables; t++) {
        double beta[W_MAX] = {0}, betas[M * W_MAX], tangent[W_MAX], next[W_MAX], v[M][N];
        uint8_t exact[M];
        int has_tangent;
        lmml_factor factor;
        lmml_factor_init(&factor);
        batch.m = M, batch.alpha = alphas, batch.before = 0;
        CHECK(lmml_lasso_batch(tables[t], &d.lasso, &batch, &factor, beta, betas, exact, tangent,
                               &has_tangent, work) == LMML_OK);
        CHECK(has_tangent && memcmp(beta, betas + (M - 1) * W_MAX, sizeof beta) == 0);
        for (int k = 0; k < M; k++) {
            for (int64_t j = 0; j < d.w; j++) {
                d.threshold[j] = alphas[k] * batch.l1 * weight[j];
                d.ridge[j] = alphas[k] * batch.l2 * weight[j];
            }
            CHECK(exact[k] && violation(&d, betas + k * W_MAX, NULL) <= 1e-9);
        }
        for (int k = 0; k < M; k++) memcpy(v[k], d.y, sizeof d.y);
        lmml_subtract_rows(tables[t], N, d.w, M, betas, d.Z[0], v[0]);
        for (int k = 0; k < M; k++)
            for (int i = 0; i < N; i++) {
                double r = d.y[i];
                for (int64_t j = 0; j < d.w; j++) r -= betas[k * d.w + j] * d.Z[j][i];
                CHECK(fabs(r - v[k][i]) <= 1e-12);
            }
        const double last = alphas[M - 1], closer = last * (1 - 1e-7);
        batch.m = 1, batch.alpha = &closer, batch.before = last;
        memcpy(next, beta, sizeof next);
        double moved[W_MAX], again[W_MAX];
        CHECK(lmml_lasso_batch(tables[t], &d.lasso, &batch, &factor, next, moved, exact, again,
                               &has_tangent, work) == LMML_OK);
        CHECK(exact[0] && count_active(&d, moved) == count_active(&d, beta));
        double largest = 0, off = 0;
        for (int64_t j = 0; j < d.w; j++) {
            const double quotient = (moved[j] - beta[j]) / (closer - last);
            largest = fmax(largest, fabs(tangent[j]));
            off = fmax(off, fabs(quotient - tangent[j]));
        }
        CHECK(largest > 0 && off <= 1e-5 * largest);

        const double above = 5; /* where nothing is active there is no tangent */
        batch.alpha = &above, batch.before = 0;
        CHECK(lmml_lasso_batch(tables[t], &d.lasso, &batch, &factor, next, moved, exact, again,
                               &has_tangent, work) == LMML_OK);
        CHECK(exact[0] && !has_tangent && count_active(&d, moved) == 0);
        lmml_factor_free(&factor);
    }
}

/* A working set grows by 3 after 5: its Gram matrix, and what is left outside two covariates. */
static void test_growth(void)
{
    enum { OLD = 5, W = 8, LD = 9, C = 2 };
    double X[W][N], G[LD * LD] = {0}, cross[(W - OLD) * W];
    const uint8_t zero[W - OLD] = {0, 1, 0};
    for (int j = 0; j < W; j++)
        for (int i = 0; i < N; i++) X[j][i] = uniform();
    for (int j = 0; j < OLD; j++)
        for (int k = 0; k < OLD; k++) G[j * LD + k] = dot(X[j], X[k]);
    for (int j = OLD; j < W; j++)
        for (int k = 0; k < W; k++) cross[(j - OLD) * W + k] = dot(X[j], X[k]);
    cross[OLD + 2] += 1e-3; /* rounding, exaggerated: entries (5, 7) and (7, 5) are one */
    lmml_gram_grow(OLD, W, cross, zero, G, LD);
    for (int j = 0; j < W; j++)
        for (int k = 0; k < W; k++) {
            const double half = (j == 5 && k == 7) || (j == 7 && k == 5) ? 0.5e-3 : 0;
            const double expected = j == 6 || k == 6 ? 0 : dot(X[j], X[k]) + half;
            CHECK(fabs(G[j * LD + k] - expected) <= 1e-14 * N && G[j * LD + k] == G[k * LD + j]);
        }
    CHECK(G[W] == 0 && G[W * LD] == 0);

    double Q[C][N] = {{0}}, rows[3][N];
    uint8_t in_span[3];
    for (int i = 0; i < N; i++) {
        Q[i % 2][i] = sqrt(2.0 / N);
        rows[0][i] = uniform();
        rows[1][i] = i % 2 ? 3 : -1; /* in the span */
        rows[2][i] = 0;
    }
    for (int t = 0; t < n_tables; t++) {
        double left[3][N];
        memcpy(left, rows, sizeof left);
        lmml_project_off(tables[t], N, C, Q[0], 3, left[0], 1e-14, in_span);
        CHECK(!in_span[0] && in_span[1] && in_span[2]);
        for (int c = 0; c < C; c++) CHECK(fabs(dot(Q[c], left[0])) <= 1e-14 * N);
        for (int i = 0; i < N; i++) { /* the difference is along Q */
            const double mean = dot(Q[i % 2], rows[0]) * Q[i % 2][i];
            CHECK(fabs(rows[0][i] - left[0][i] - mean) <= 1e-14 * N);
        }
    }
}

/* A warm start may be anything: signs wrong, everything active, more active than the rank. */
static void test_hostile_warm_start(int kind)
{
    static design d;
    lmml_options options;
    lmml_info info;
    double beta[W_MAX], q[W_MAX];
    make_design(&d, W_MAX, kind, 0.05);
    lmml_options_default(&options);
    for (int t = 0; t < n_tables; t++)
        for (int part = 0; part < 2; part++) {
            lmml_factor factor;
            lmml_factor_init(&factor);
            for (int64_t j = 0; j < d.w; j++) beta[j] = d.norms[j] == 0 ? 0 : 3 * uniform();
            const int code =
                part ? lmml_finish(tables[t], &d.lasso, &options, &factor, beta, q, &info)
                     : lmml_lasso_solve(tables[t], &d.lasso, &options, &factor, beta, q, &info);
            CHECK(code == LMML_OK && info.exact && violation(&d, beta, q) <= 1e-9);
            lmml_factor_free(&factor);
        }
}

static void test_limits_and_errors(void)
{
    static design d;
    lmml_options options;
    lmml_factor factor;
    lmml_info info;
    double beta[W_MAX] = {0}, q[W_MAX], v[N];
    make_design(&d, W_MAX, PLAIN, 0.02);
    lmml_factor_init(&factor);
    lmml_options_default(&options);
    CHECK(options.cd_tol > 0 && options.max_sweeps > 0 && options.max_events > 0);
#define SOLVE() lmml_lasso_solve(tables[0], &d.lasso, &options, &factor, beta, q, &info)
    const double kept = d.threshold[5], bad[] = {0, -1, NAN};
    for (int k = 0; k < 3; k++) {
        d.threshold[5] = bad[k];
        CHECK(SOLVE() == LMML_ERR_ARGUMENT);
    }
    d.threshold[5] = kept;
    d.lasso.ld = W_MAX - 1;
    CHECK(SOLVE() == LMML_ERR_ARGUMENT);
    d.lasso.ld = W_MAX;

    /* not converged is a status: the limits are kept, the bookkeeping is right, a repeat ends */
    options.max_sweeps = 1;
    options.max_events = 1;
    CHECK(SOLVE() == LMML_OK && !info.exact && info.n_sweeps == 1);
    CHECK(info.n_active == count_active(&d, beta) && violation(&d, beta, NULL) > 1e-6);
    memset(beta, 0, sizeof beta);
    memcpy(v, d.y, sizeof v);
    CHECK(lmml_residual_descent(tables[0], d.w, N, d.X[0], d.Z[0], d.norms, d.threshold, NULL,
                                d.lasso.scale, &options, beta, v, &info) == LMML_OK);
    CHECK(info.n_sweeps == 1 && info.n_active == count_active(&d, beta));
    double r[N];
    memcpy(r, d.y, sizeof r);
    for (int64_t j = 0; j < d.w; j++)
        for (int i = 0; i < N; i++) r[i] -= d.X[j][i] * beta[j];
    double off = 0;
    for (int i = 0; i < N; i++) off = fmax(off, fabs(r[i] - v[i]));
    CHECK(off <= 1e-13); /* v is kept up to date */
    lmml_options_default(&options);
    CHECK(SOLVE() == LMML_OK && info.exact);

    /* more memory than there is: an error, and everything can still be freed and used */
    lmml_lasso huge = d.lasso;
    huge.w = huge.ld = INT64_MAX / 16;
    CHECK(lmml_finish(tables[0], &huge, &options, &factor, beta, q, &info) == LMML_ERR_MEMORY);
    CHECK(SOLVE() == LMML_OK && info.exact && violation(&d, beta, q) <= 1e-9);
    lmml_factor_free(&factor);
    CHECK(SOLVE() == LMML_OK && info.exact);
    lmml_factor_free(&factor);

    /* a duplicate that is cheaper by less than counts violates optimality and cannot join: it is
     * asked once */
    make_design(&d, 3, DUPLICATES, 0.3);
    d.threshold[2] = d.threshold[0] * (1 - 1e-10);
    memset(beta, 0, sizeof beta);
    CHECK(SOLVE() == LMML_OK && info.exact && info.n_events < 20);
    CHECK(beta[0] != 0 && beta[2] == 0 && violation(&d, beta, q) <= 1e-9);
    lmml_factor_free(&factor);

    /* an empty active set, an empty working set, and one variable */
    double x[2] = {3, 4};
    lmml_factor_solve(tables[0], &factor, 2, x);
    CHECK(x[0] == 0 && x[1] == 0);
    d.lasso.w = d.w = 0;
    CHECK(SOLVE() == LMML_OK && info.exact && info.n_active == 0);
    make_design(&d, 1, PLAIN, 0.5);
    beta[0] = -7;
    CHECK(SOLVE() == LMML_OK && info.exact && info.n_active == 1);
    CHECK(fabs(beta[0] - d.c[0] * 0.5 / d.norms[0]) <= 1e-14 * fabs(beta[0]));
    lmml_factor_free(&factor);
}

/* ---- threads that share a problem ------------------------------------------------------------ */

static design shared;

static void *solve_shared(void *out)
{
    lmml_options options;
    lmml_factor factor;
    lmml_info info;
    double q[W_MAX];
    lmml_options_default(&options);
    lmml_factor_init(&factor);
    if (lmml_lasso_solve(tables[n_tables - 1], &shared.lasso, &options, &factor, out, q, &info))
        ((double *)out)[0] = NAN;
    lmml_factor_free(&factor);
    return NULL;
}

static void test_threads(void)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    double beta[THREADS][W_MAX] = {{0}};
    make_design(&shared, W_MAX, DUPLICATES, 0.02);
    for (int k = 0; k < THREADS; k++)
        CHECK(pthread_create(&threads[k], NULL, solve_shared, beta[k]) == 0);
    for (int k = 0; k < THREADS; k++) CHECK(pthread_join(threads[k], NULL) == 0);
    CHECK(isfinite(beta[0][0]));
    for (int k = 1; k < THREADS; k++) CHECK(memcmp(beta[0], beta[k], sizeof beta[0]) == 0);
}

void test_lasso(void)
{
    for (int kind = 0; kind < 16; kind++) {
        test_path(W_MAX, kind); /* more variables than samples */
        test_path(23, kind);
        test_hostile_warm_start(kind);
        test_batch(kind, 0);
        test_batch(kind, 1);
        test_units(kind, 0.1);
        test_units(kind, 3); /* more than the curvature itself */
    }
    test_growth();
    test_limits_and_errors();
    test_threads();
}
