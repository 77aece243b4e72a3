/* lmml_descent.c - coordinate descent: covariance updates, and residual updates as the fallback. */
#include <math.h>
#include <stdlib.h>

#include "kernels.h"
#include "lmml.h"

void lmml_options_default(lmml_options *options)
{
    options->cd_tol = 1e-9;
    options->max_sweeps = 1000;
    options->max_events = 100000;
}

static double soft_threshold(double z, double t) { return z > t ? z - t : z < -t ? z + t : 0; }

/* ---- covariance updates ---------------------------------------------------------------------- */

/* q = c - G beta - ridge * beta, from the non-zero coefficients */
void lmml_covariance_residual(const lmml_kernels *kernels, const lmml_lasso *problem,
                              const double *beta, double *q)
{
    const int64_t w = problem->w;
    for (int64_t i = 0; i < w; i++) q[i] = problem->c[i];
    for (int64_t j = 0; j < w; j++)
        if (beta[j] != 0) {
            kernels->axpy(w, -beta[j], problem->G + j * problem->ld, q);
            if (problem->ridge) q[j] -= problem->ridge[j] * beta[j];
        }
}

/* Minimises over beta_j with the rest fixed; returns the squared step in units of the objective. */
static double update_coordinate(const lmml_kernels *kernels, const lmml_lasso *problem, int64_t j,
                                double *beta, double *q)
{
    const double *row = problem->G + j * problem->ld;
    const double ridge = problem->ridge ? problem->ridge[j] : 0, curvature = row[j] + ridge;
    if (row[j] <= 0) return 0;
    const double old = beta[j];
    const double new = soft_threshold(q[j] + curvature * old, problem->threshold[j]) / curvature;
    const double d = new - old;
    if (d == 0) return 0;
    beta[j] = new;
    kernels->axpy(problem->w, -d, row, q); /* q -= d G_j */
    q[j] -= ridge * d;
    return d * d * curvature;
}

int lmml_coordinate_descent(const lmml_kernels *kernels, const lmml_lasso *problem,
                            const lmml_options *options, double *beta, double *q, lmml_info *info)
{
    const int64_t w = problem->w;
    const double stop = options->cd_tol * problem->scale;
    int64_t n_sweeps = 0;

    lmml_covariance_residual(kernels, problem, beta, q);
    while (n_sweeps < options->max_sweeps) {
        double largest = 0; /* a sweep over the whole working set ... */
        for (int64_t j = 0; j < w; j++)
            largest = fmax(largest, update_coordinate(kernels, problem, j, beta, q));
        n_sweeps++;
        if (largest <= stop) break;
        while (largest > stop && n_sweeps < options->max_sweeps) {
            largest = 0; /* ... then over what is active until that stands still */
            for (int64_t j = 0; j < w; j++)
                if (beta[j] != 0)
                    largest = fmax(largest, update_coordinate(kernels, problem, j, beta, q));
            n_sweeps++;
        }
    }
    info->n_sweeps = n_sweeps;
    info->n_active = 0;
    for (int64_t j = 0; j < w; j++) info->n_active += beta[j] != 0;
    return LMML_OK;
}

/* ---- residual updates ------------------------------------------------------------------------ */

int lmml_residual_descent(const lmml_kernels *kernels, int64_t w, int64_t n, const double *X,
                          const double *Z, const double *norms, const double *threshold,
                          const double *ridge, double scale, const lmml_options *options,
                          double *beta, double *v, lmml_info *info)
{
    const double stop = options->cd_tol * scale;
    int64_t n_sweeps = 0;
    int active_only = 0;

    while (n_sweeps < options->max_sweeps) {
        double largest = 0;
        for (int64_t j = 0; j < w; j++) {
            if (norms[j] <= 0 || (active_only && beta[j] == 0)) continue;
            const double penalty = ridge ? ridge[j] : 0, curvature = norms[j] + penalty;
            const double gradient = kernels->dot_f64(n, X + j * n, v); /* x_j'P(y - X beta) */
            const double d =
                soft_threshold(gradient + norms[j] * beta[j], threshold[j]) / curvature - beta[j];
            if (d == 0) continue;
            beta[j] += d;
            kernels->axpy(n, -d, Z + j * n, v); /* v -= d P x_j */
            largest = fmax(largest, d * d * curvature);
        }
        n_sweeps++;
        if (largest <= stop && !active_only) break;
        active_only = largest > stop;
    }
    info->n_sweeps = n_sweeps;
    info->n_active = 0;
    for (int64_t j = 0; j < w; j++) info->n_active += beta[j] != 0;
    return LMML_OK;
}
