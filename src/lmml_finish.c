/* lmml_finish.c - the exact end of a Lasso on a working set.
 *
 * With the active set A and its signs s fixed, the solution is that of the linear system
 *     (G_AA + ridge_A) beta_A = c_A - threshold_A s_A ,
 * solved through a Cholesky factor that follows A by one row appended or deleted at a time.
 * Starting from coordinate descent's answer: step towards the system's solution; at the first
 * coefficient that changes sign stop and drop it; once the full step is taken admit the SNP that
 * violates optimality most; end when none does. Every step lowers the objective, so that no active
 * set comes twice.
 *
 * Exact duplicates, or any SNP that is a linear combination of active ones, would make the factor
 * singular: such a SNP is never appended. Moving along the null direction leaves the fit
 * unchanged, so it is followed, with the sum of penalties not growing, until a coefficient reaches
 * zero, which then leaves. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "lmml.h"

void lmml_covariance_residual(const lmml_kernels *kernels, const lmml_lasso *problem,
                              const double *beta, double *q); /* lmml_descent.c */

/* A pivot below this share of its diagonal means "linearly dependent". Exact duplicates leave
 * 1e-16 times the factor's size, SNPs that differ in one of n samples about 1 / n. */
static const double DEPENDENT = 1e-10;
/* Optimality may be violated by this share of the threshold before a SNP is admitted. */
static const double VIOLATION = 1e-12;
/* Optimality of those sent back in a call, which rounding or dependence may disturb. */
static const double LEFT_OUT = 1e-6;
/* A step of refinement is repeated while the system's residual exceeds this share. */
static const double REFINED = 1e-13;

/* ---- the factor ------------------------------------------------------------------------------ */

int lmml_factor_init(lmml_factor *factor)
{
    memset(factor, 0, sizeof *factor);
    return LMML_OK;
}

void lmml_factor_free(lmml_factor *factor)
{
    free(factor->active);
    free(factor->L);
    free(factor->work);
    free(factor->flag);
    memset(factor, 0, sizeof *factor);
}

void lmml_factor_reset(lmml_factor *factor) { factor->k = 0; }

static int reserve_rows(lmml_factor *factor, int64_t k)
{
    if (k <= factor->capacity) return LMML_OK;
    const int64_t capacity = k + k / 2 + 32;
    int64_t *active = realloc(factor->active, (size_t)capacity * sizeof *active);
    if (active) factor->active = active;
    double *work = realloc(factor->work, 3 * (size_t)capacity * sizeof *work);
    if (work) factor->work = work;
    double *L = malloc((size_t)capacity * (size_t)capacity * sizeof *L);
    if (!active || !work || !L) {
        free(L);
        return LMML_ERR_MEMORY;
    }
    for (int64_t i = 0; i < factor->k; i++)
        memcpy(L + i * capacity + i, factor->L + i * factor->capacity + i,
               (size_t)(factor->k - i) * sizeof *L);
    free(factor->L);
    factor->L = L;
    factor->capacity = capacity;
    return LMML_OK;
}

static int reserve_flags(lmml_factor *factor, int64_t w)
{
    if (w <= factor->w_capacity && factor->flag) return LMML_OK;
    int8_t *flag = realloc(factor->flag, w > 0 ? (size_t)w : 1);
    if (!flag) return LMML_ERR_MEMORY;
    factor->flag = flag;
    factor->w_capacity = w;
    return LMML_OK;
}

/* x = L^-1 x, column by column */
static void solve_lower(const lmml_kernels *kernels, const lmml_factor *factor, double *x)
{
    for (int64_t i = 0; i < factor->k; i++) {
        const double *column = factor->L + i * factor->capacity;
        x[i] /= column[i];
        kernels->axpy(factor->k - i - 1, -x[i], column + i + 1, x + i + 1);
    }
}

/* x = L^-T x */
static void solve_upper(const lmml_kernels *kernels, const lmml_factor *factor, double *x)
{
    for (int64_t i = factor->k - 1; i >= 0; i--) {
        const double *column = factor->L + i * factor->capacity;
        x[i] = (x[i] - kernels->dot_f64(factor->k - i - 1, column + i + 1, x + i + 1)) / column[i];
    }
}

void lmml_factor_solve(const lmml_kernels *kernels, lmml_factor *factor, int64_t w, double *x)
{
    double *d = factor->work;
    for (int64_t i = 0; i < factor->k; i++) d[i] = x[factor->active[i]];
    solve_lower(kernels, factor, d);
    solve_upper(kernels, factor, d);
    memset(x, 0, (size_t)w * sizeof *x);
    for (int64_t i = 0; i < factor->k; i++) x[factor->active[i]] = d[i];
}

/* Appends working-set variable j. Returns 1, or 0 with z = L^-1 G_Aj left in `z` when j depends on
 * the active set, or an error. */
static int append(const lmml_kernels *kernels, const lmml_lasso *problem, lmml_factor *factor,
                  int64_t j)
{
    const int error = reserve_rows(factor, factor->k + 1);
    if (error) return error;
    const int64_t k = factor->k;
    const double *row = problem->G + j * problem->ld;
    const double diagonal = row[j] + (problem->ridge ? problem->ridge[j] : 0);
    double *z = factor->work;
    for (int64_t i = 0; i < k; i++) z[i] = row[factor->active[i]];
    solve_lower(kernels, factor, z);
    const double pivot = diagonal - kernels->dot_f64(k, z, z);
    if (!(pivot > DEPENDENT * diagonal)) return 0;
    for (int64_t i = 0; i < k; i++) factor->L[i * factor->capacity + k] = z[i];
    factor->L[k * factor->capacity + k] = sqrt(pivot);
    factor->active[k] = j;
    factor->k = k + 1;
    return 1;
}

/* Deletes row r: the block below it is updated by the deleted column (rank one, by rotations). */
static void delete_row(lmml_factor *factor, int64_t r)
{
    const int64_t k = factor->k, ld = factor->capacity;
    double *x = factor->work;
    memcpy(x, factor->L + r * ld + r + 1, (size_t)(k - r - 1) * sizeof *x);
    for (int64_t i = 0; i < r; i++) {
        double *column = factor->L + i * ld;
        memmove(column + r, column + r + 1, (size_t)(k - r - 1) * sizeof *column);
    }
    for (int64_t i = r + 1; i < k; i++) {
        const double *column = factor->L + i * ld;
        double *target = factor->L + (i - 1) * ld, *rest = x + (i - r - 1);
        const double radius = hypot(column[i], rest[0]);
        const double cosine = column[i] / radius, sine = rest[0] / radius;
        target[i - 1] = radius;
        for (int64_t m = i + 1; m < k; m++) {
            const double a = column[m], b = rest[m - i];
            target[m - 1] = cosine * a + sine * b;
            rest[m - i] = cosine * b - sine * a;
        }
    }
    memmove(factor->active + r, factor->active + r + 1,
            (size_t)(k - r - 1) * sizeof *factor->active);
    factor->k = k - 1;
}

/* ---- the steps ------------------------------------------------------------------------------- */

static double sign_of(double x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }

/* beta_A += t d, q -= t (G_A d + ridge d) */
static void move_along(const lmml_kernels *kernels, const lmml_lasso *problem,
                       const lmml_factor *factor, double t, const double *d, double *beta,
                       double *q)
{
    for (int64_t i = 0; i < factor->k; i++) {
        const int64_t j = factor->active[i];
        const double step = t * d[i];
        if (step == 0) continue;
        beta[j] += step;
        kernels->axpy(problem->w, -step, problem->G + j * problem->ld, q);
        if (problem->ridge) q[j] -= problem->ridge[j] * step;
    }
}

/* Admits j, which has the sign s (of beta_j, or of q_j when beta_j is zero). If j depends on the
 * active set, follows the null direction until a coefficient leaves. Returns 1 when j has become a
 * row of the factor, 0 when it was set to zero or stays there, or an error. */
static int admit(const lmml_kernels *kernels, const lmml_lasso *problem, lmml_factor *factor,
                 int64_t j, double s, double *beta, double *q, lmml_info *info)
{
    for (;;) {
        const int appended = append(kernels, problem, factor, j);
        if (appended) return appended;
        const int64_t k = factor->k;
        double *d = factor->work + factor->capacity;
        memcpy(d, factor->work, (size_t)k * sizeof *d);
        solve_upper(kernels, factor, d); /* G_AA^-1 G_Aj */
        double slope = problem->threshold[j];
        for (int64_t i = 0; i < k; i++) {
            const int64_t a = factor->active[i];
            d[i] *= -s; /* per unit of s beta_j */
            slope += problem->threshold[a] * sign_of(beta[a]) * d[i];
        }
        double direction = 1; /* grow j while that lowers the penalty, else take it out */
        if (slope > -1e-9 * problem->threshold[j]) {
            if (beta[j] == 0) return 0;
            direction = -1;
        }
        double t = direction < 0 ? fabs(beta[j]) : INFINITY;
        int64_t leaves = -1;
        for (int64_t i = 0; i < k; i++) {
            const double speed = direction * d[i], b = beta[factor->active[i]];
            if (b * speed < 0 && -b / speed < t) {
                t = -b / speed;
                leaves = i;
            }
        }
        if (!isfinite(t)) return 0; /* rounding only: a falling penalty always meets a zero */
        for (int64_t i = 0; i < k; i++) d[i] *= direction;
        move_along(kernels, problem, factor, t, d, beta, q);
        kernels->axpy(problem->w, -direction * s * t, problem->G + j * problem->ld, q);
        beta[j] += direction * s * t;
        info->n_events++;
        if (leaves < 0) {
            beta[j] = 0;
            return 0;
        }
        beta[factor->active[leaves]] = 0;
        delete_row(factor, leaves);
    }
}

/* Makes the factor's rows the support of beta. */
static int follow_support(const lmml_kernels *kernels, const lmml_lasso *problem,
                          lmml_factor *factor, double *beta, double *q, lmml_info *info)
{
    int64_t n_stale = 0;
    memset(factor->flag, 0, (size_t)problem->w);
    for (int64_t i = 0; i < factor->k; i++) n_stale += beta[factor->active[i]] == 0;
    if (3 * n_stale > factor->k) lmml_factor_reset(factor); /* cheaper to start again */
    for (int64_t i = factor->k - 1; i >= 0; i--) {
        if (beta[factor->active[i]] == 0)
            delete_row(factor, i);
        else
            factor->flag[factor->active[i]] = 1;
    }
    for (int64_t j = 0; j < problem->w; j++)
        if (beta[j] != 0 && !factor->flag[j]) {
            const int error = admit(kernels, problem, factor, j, sign_of(beta[j]), beta, q, info);
            if (error < 0) return error;
        }
    return LMML_OK;
}

/* One step towards the solution of the active system. Returns the largest residual of the system
 * before the step relative to the thresholds, or -1 when a coefficient reached zero and left. */
static double newton_step(const lmml_kernels *kernels, const lmml_lasso *problem,
                          lmml_factor *factor, double *beta, double *q, lmml_info *info)
{
    double *d = factor->work + factor->capacity, residual = 0, t = 1;
    int64_t leaves = -1;
    for (int64_t i = 0; i < factor->k; i++) {
        const int64_t j = factor->active[i];
        const double s = beta[j] != 0 ? sign_of(beta[j]) : sign_of(q[j]);
        d[i] = q[j] - problem->threshold[j] * s;
        residual = fmax(residual, fabs(d[i]) / problem->threshold[j]);
    }
    if (residual == 0) return 0;
    solve_lower(kernels, factor, d);
    solve_upper(kernels, factor, d);
    for (int64_t i = 0; i < factor->k; i++) {
        const int64_t j = factor->active[i];
        if (beta[j] * d[i] < 0 && -beta[j] / d[i] <= t) {
            t = -beta[j] / d[i];
            leaves = i;
        } else if (beta[j] == 0 && q[j] * d[i] < 0) {
            t = 0; /* just admitted, and rounding sends it back */
            leaves = i;
        }
    }
    move_along(kernels, problem, factor, t, d, beta, q);
    if (leaves < 0) return residual;
    const int64_t gone = factor->active[leaves];
    beta[gone] = 0;
    if (t == 0) factor->flag[gone] = -1; /* not again in this call */
    delete_row(factor, leaves);
    info->n_events++;
    return -1;
}

/* The SNP outside the active set that violates |q_j| <= threshold_j most, or -1. */
static int64_t worst_violation(const lmml_lasso *problem, const lmml_factor *factor,
                               const double *beta, const double *q)
{
    double worst = VIOLATION;
    int64_t which = -1;
    for (int64_t j = 0; j < problem->w; j++) {
        if (beta[j] != 0 || factor->flag[j] < 0 || problem->G[j * problem->ld + j] <= 0) continue;
        const double excess = fabs(q[j]) / problem->threshold[j] - 1;
        if (excess > worst) {
            worst = excess;
            which = j;
        }
    }
    return which;
}

/* Whether those that were sent back in this call are in order now that the others are. */
static int left_out_hold(const lmml_lasso *problem, const lmml_factor *factor, const double *q)
{
    for (int64_t j = 0; j < problem->w; j++)
        if (factor->flag[j] < 0 && fabs(q[j]) > problem->threshold[j] * (1 + LEFT_OUT)) return 0;
    return 1;
}

int lmml_finish(const lmml_kernels *kernels, const lmml_lasso *problem, const lmml_options *options,
                lmml_factor *factor, double *beta, double *q, lmml_info *info)
{
    int error = reserve_flags(factor, problem->w);
    int n_refined = 0;

    info->n_events = 0;
    info->exact = 0;
    if (!error) error = reserve_rows(factor, 1);
    if (error) return error;
    lmml_covariance_residual(kernels, problem, beta, q);
    error = follow_support(kernels, problem, factor, beta, q, info);
    if (error) return error;
    while (info->n_events < options->max_events) {
        const double residual = newton_step(kernels, problem, factor, beta, q, info);
        if (residual < 0) continue;
        if (residual > REFINED && n_refined++ < 3) continue;
        n_refined = 0;
        const int64_t j = worst_violation(problem, factor, beta, q);
        if (j < 0) {
            info->exact = left_out_hold(problem, factor, q);
            break;
        }
        info->n_events++;
        error = admit(kernels, problem, factor, j, sign_of(q[j]), beta, q, info);
        if (error < 0) return error;
        if (error == 0 && beta[j] == 0) factor->flag[j] = -1;
    }
    lmml_covariance_residual(kernels, problem, beta, q);
    info->n_active = 0;
    for (int64_t j = 0; j < problem->w; j++) info->n_active += beta[j] != 0;
    return LMML_OK;
}

int lmml_lasso_solve(const lmml_kernels *kernels, const lmml_lasso *problem,
                     const lmml_options *options, lmml_factor *factor, double *beta, double *q,
                     lmml_info *info)
{
    memset(info, 0, sizeof *info);
    for (int64_t j = 0; j < problem->w; j++)
        if (!(problem->threshold[j] > 0)) return LMML_ERR_ARGUMENT;
    if (problem->w > problem->ld) return LMML_ERR_ARGUMENT;
    const int error = lmml_coordinate_descent(kernels, problem, options, beta, q, info);
    if (error) return error;
    return lmml_finish(kernels, problem, options, factor, beta, q, info);
}
