/* lmml_scan.c - one SNP at a time: delta by restricted likelihood with the SNP among the fixed
 * effects, and the p-value of its test. */
#include <math.h>
#include <stdlib.h>

#include "lmml.h"

enum { LANES = 8 };

void lmml_row_squares(int64_t k, int64_t n, const float *Z, double *out)
{
    for (int64_t row = 0; row < k; row++, Z += n) {
        double sum[LANES] = {0};
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES)
            for (int l = 0; l < LANES; l++) sum[l] += (double)Z[i + l] * Z[i + l];
        for (int l = 0; i < n; i++, l++) sum[l] += (double)Z[i] * Z[i];
        for (int step = LANES / 2; step; step >>= 1)
            for (int l = 0; l < step; l++) sum[l] += sum[l + step];
        out[row] = sum[0];
    }
}

/* ---- restricted likelihood ------------------------------------------------------------------- */

/* With w_i = 1 / (s_i + delta), for powers r = 1, 2, 3 of w at r - 1 (trace: 1, 2):
 *     trace = sum w^r, xx = sum w^r x^2, xy = sum w^r x y, yy = sum w^r y^2 */
typedef struct {
    double trace[2], xx[3], xy[3], yy[3];
} weighted;

static const double SMALLEST_SHARE = 1e-15; /* of y'V^-1 y: what is left below it is rounding */
static const double ACCURACY = 1e-7;        /* of log delta */
enum { MAX_STEPS = 100 };

static double rss(const weighted *of)
{
    const double left = of->yy[0] - of->xy[0] * of->xy[0] / of->xx[0];
    return fmax(left, SMALLEST_SHARE * of->yy[0]);
}

/* Without constants -2 log likelihood is
 *     f = degrees log(rss) + log|V| + log(x'V^-1 x),   rss = y'V^-1 y - (x'V^-1 y)^2 / x'V^-1 x.
 * This is delta df/ddelta. With beta = x'V^-1 y / x'V^-1 x and r = y - beta x, drss/ddelta is
 * -r'V^-2 r, as beta is at its optimum. */
static double slope(double degrees, double delta, const weighted *of)
{
    const double beta = of->xy[0] / of->xx[0];
    const double rr = of->yy[1] - beta * (2 * of->xy[1] - beta * of->xx[1]);
    return delta * (of->trace[0] - degrees * rr / rss(of) - of->xx[1] / of->xx[0]);
}

/* The derivative of slope with respect to log delta. */
static double curvature(double degrees, double delta, const weighted *of)
{
    const double a = of->xx[0], beta = of->xy[0] / a, left = rss(of);
    const double rr = of->yy[1] - beta * (2 * of->xy[1] - beta * of->xx[1]);
    const double rrr = of->yy[2] - beta * (2 * of->xy[2] - beta * of->xx[2]);
    const double change = beta * of->xx[1] - of->xy[1]; /* a dbeta/ddelta */
    const double share = of->xx[1] / a;
    const double second = -of->trace[1] + 2 * of->xx[2] / a - share * share -
                          degrees * (2 * (change * change / a - rrr) + rr * rr / left) / left;
    return slope(degrees, delta, of) + delta * delta * second;
}

static double objective(double degrees, double log_det, const weighted *of)
{
    return degrees * log(rss(of)) + log_det + log(of->xx[0]);
}

/* Two at a time; past the end of an odd number of them there is a zero. */
typedef double pair __attribute__((vector_size(16)));

static inline pair load(const double *x, int64_t i, int64_t m)
{
    const pair two = {x[i], i + 1 < m ? x[i + 1] : 0};
    return two;
}

/* w: m + 1 */
static void weigh(const lmml_reml *model, const double *x, double delta, double *w, weighted *of)
{
    const int64_t m = model->m;
    pair t[2] = {{0}}, xx[3] = {{0}}, xy[3] = {{0}}, yy[3] = {{0}};
    for (int64_t i = 0; i < m; i++) w[i] = 1 / (model->s[i] + delta);
    w[m] = 0;
    for (int64_t i = 0; i < m; i += 2) { /* two loops: as many sums as there are registers */
        const pair wi = {w[i], w[i + 1]}, yi = load(model->y, i, m), wy = wi * yi;
        t[0] += wi;
        t[1] += wi * wi;
        yy[0] += wy * yi;
        yy[1] += wy * wy;
        yy[2] += wy * wy * wi;
    }
    for (int64_t i = 0; i < m; i += 2) {
        const pair wi = {w[i], w[i + 1]}, xi = load(x, i, m), yi = load(model->y, i, m);
        const pair wx = wi * xi, wwx = wi * wx;
        xx[0] += wx * xi;
        xx[1] += wx * wx;
        xx[2] += wx * wwx;
        xy[0] += wx * yi;
        xy[1] += wwx * yi;
        xy[2] += wi * wwx * yi;
    }
    for (int r = 0; r < 2; r++) of->trace[r] = t[r][0] + t[r][1];
    for (int r = 0; r < 3; r++) {
        of->xx[r] = xx[r][0] + xx[r][1];
        of->xy[r] = xy[r][0] + xy[r][1];
        of->yy[r] = yy[r][0] + yy[r][1];
    }
}

/* Where the slope, at n points, is zero between the points k and k + 1: the inverse of the
 * polynomial through up to four of them (Neville), or of the line through the two. */
static double interpolated(const double *at, const double *slopes, int64_t n, int64_t k)
{
    const int64_t first = k > 0 ? k - 1 : 0, last = k + 2 < n ? k + 2 : n - 1;
    double t[4];
    for (int64_t i = first; i <= last; i++) t[i - first] = at[i];
    for (int64_t order = 1; order <= last - first; order++)
        for (int64_t i = 0; i + order <= last - first; i++) {
            const double f = slopes[first + i], g = slopes[first + i + order];
            t[i] = (g * t[i] - f * t[i + 1]) / (g - f);
        }
    if (t[0] > at[k] && t[0] < at[k + 1]) return t[0];
    const double f = slopes[k], g = slopes[k + 1];
    return at[k] + (at[k + 1] - at[k]) * (f / (f - g));
}

/* The zero of the slope, which rises from below zero at `low` to above it at `high`: Newton's
 * method from t, halving where it leaves the interval that is left. */
static double minimum(const lmml_reml *model, const double *x, double low, double high, double t,
                      double *w, weighted *of)
{
    const double degrees = (double)(model->m - 1);
    for (int step = 0; step < MAX_STEPS; step++) {
        const double delta = exp(t);
        weigh(model, x, delta, w, of);
        const double f = slope(degrees, delta, of), change = -f / curvature(degrees, delta, of);
        if (f > 0)
            high = t;
        else
            low = t;
        if (fabs(change) <= ACCURACY || high - low <= ACCURACY) break;
        /* not a number, or from where the curvature has the wrong sign: outside, too */
        t = t + change > low && t + change < high ? t + change : low + (high - low) / 2;
    }
    return t;
}

static double log_determinant(const lmml_reml *model, double delta)
{
    double sum = 0;
    for (int64_t i = 0; i < model->m; i++) sum += log(model->s[i] + delta);
    return sum;
}

/* What the grid's tables say of point g. */
static weighted tabulated(const lmml_reml *model, const double *xx, const double *xy, int64_t g)
{
    const double *of_y = model->of_y + 4 * g;
    return (weighted){.trace = {of_y[1], 0},
                      .yy = {of_y[2], of_y[3], 0},
                      .xx = {xx[g], xx[model->n_grid + g], 0},
                      .xy = {xy[g], xy[model->n_grid + g], 0}};
}

/* The best of the grid's ends, if the likelihood rises towards them, and of the local optima within
 * it; returns log delta, and what belongs to it in `best`. work: n_grid + m + 1 */
static double optimum(const lmml_reml *model, const double *x, const double *xx, const double *xy,
                      double *work, weighted *best)
{
    const int64_t n = model->n_grid;
    const double degrees = (double)(model->m - 1), *at = model->log_delta;
    double *slopes = work, *w = work + n, found = NAN, lowest = INFINITY;
    for (int64_t g = 0; g < n; g++) {
        const weighted of = tabulated(model, xx, xy, g);
        slopes[g] = slope(degrees, exp(at[g]), &of);
    }
    for (int64_t end = 0; end < n; end += n - 1) {
        const double inwards = end ? -slopes[end] : slopes[end];
        if (!(inwards >= 0)) continue;
        const weighted of = tabulated(model, xx, xy, end);
        const double value = objective(degrees, model->of_y[4 * end], &of);
        if (!(value < lowest)) continue;
        lowest = value;
        found = at[end];
        *best = of;
    }
    for (int64_t g = 0; g + 1 < n; g++) {
        weighted of;
        if (!(slopes[g] < 0 && slopes[g + 1] >= 0)) continue;
        const double start = interpolated(at, slopes, n, g);
        const double t = minimum(model, x, at[g], at[g + 1], start, w, &of);
        const double value = objective(degrees, log_determinant(model, exp(t)), &of);
        if (!(value < lowest)) continue;
        lowest = value;
        found = t;
        *best = of;
    }
    return found;
}

int lmml_reml_scan(const lmml_reml *model, int64_t k, const double *Z, const double *xx,
                   const double *xy, double *result)
{
    const int64_t m = model->m, n = model->n_grid;
    if (m < 2 || n < 2) return LMML_ERR_ARGUMENT;
    double *work = malloc((size_t)(n + m + 1) * sizeof *work);
    if (work == NULL) return LMML_ERR_MEMORY;
    for (int64_t row = 0; row < k; row++, Z += m, xx += 2 * n, xy += 2 * n, result += 4) {
        weighted of = tabulated(model, xx, xy, 0);
        result[0] = optimum(model, Z, xx, xy, work, &of);
        result[1] = of.xx[0];
        result[2] = of.xy[0];
        result[3] = rss(&of);
    }
    free(work);
    return LMML_OK;
}

/* ---- p-values -------------------------------------------------------------------------------- */

static const double SQRT_PI = 1.7724538509055160273;
static const double TO_LOG10 = 0.43429448190325182765;
static const double LAST_OF_SERIES = 8; /* P(F > 8) is not far enough from 1 - P(F < 8) to matter */
static const double ROUNDING = 4e-16;
enum { MAX_TERMS = 100000 };

/* log(Gamma(a + 1/2) / Gamma(a)), where the logarithms themselves would cancel */
static double log_gamma_ratio(double a)
{
    double shifted = 1;
    for (; a < 30; a += 1) shifted *= a / (a + 0.5);
    const double i = 1 / a, ii = i * i;
    return log(shifted) + log(a) / 2 -
           i * (1.0 / 8 - ii * (1.0 / 192 - ii * (1.0 / 640 - ii * 17.0 / 14336)));
}

/* 2F1(a + 1/2, 1; 3/2; y) for y < 1: positive terms */
static double series(double a, double y)
{
    double term = 1, sum = 1;
    for (int j = 0; j < MAX_TERMS && term > ROUNDING * sum; j++) {
        term *= (a + 0.5 + j) / (1.5 + j) * y;
        sum += term;
    }
    return sum;
}

/* 2F1(1/2, 1; a + 1; -z) for z > 0 by Gauss's continued fraction 1 / (1 + k_1 z / (1 + k_2 z ...)),
 * whose coefficients are positive */
static double fraction(double a, double z)
{
    double value = 1, up = 1, down = 0;
    for (int j = 1; j < MAX_TERMS; j++) {
        const double half = j / 2;
        const double k = j % 2 ? (0.5 + half) * (a + half) / ((a + (j - 1)) * (a + j))
                               : half * (a - 0.5 + half) / ((a + (j - 1)) * (a + j));
        up = 1 + k * z / up;
        down = 1 / (1 + k * z * down);
        value *= up * down;
        if (fabs(up * down - 1) <= ROUNDING) break;
    }
    return 1 / value;
}

/* With a = df / 2 and q = f / df, F > f has the probability
 *     q^(-1/2) (1 + q)^(1/2 - a) / (a B) 2F1(1/2, 1; a + 1; -1 / q),   B = B(a, 1/2)
 * and F < f the probability  2 y^(1/2) (1 - y)^a / B 2F1(a + 1/2, 1; 3/2; y),  y = q / (1 + q).
 * The series is slow where y is near 1, as it is below df = 1; q itself may be beyond double. */
void lmml_log10_p(int64_t n, const double *f, double df, double *log10_p)
{
    const double a = df / 2, log_beta = log(SQRT_PI) - log_gamma_ratio(a);
    const double log_a_beta = log(SQRT_PI * (a + 0.5)) - log_gamma_ratio(a + 1);
    for (int64_t i = 0; i < n; i++) {
        const double q = f[i] / df;
        if (f[i] == 0)
            log10_p[i] = 0;
        else if (!(f[i] > 0) || isinf(f[i]))
            log10_p[i] = f[i] > 0 ? INFINITY : NAN;
        else if (f[i] < LAST_OF_SERIES && q < LAST_OF_SERIES) {
            const double y = q / (1 + q);
            const double below = 2 * sqrt(y) * exp(-a * log1p(q) - log_beta) * series(a, y);
            log10_p[i] = -TO_LOG10 * log1p(-below);
        } else {
            const double z = df / f[i]; /* 1/2 log(1 + q) - 1/2 log q = 1/2 log(1 + z) */
            const double log_1q = isinf(q) ? log(f[i]) - log(df) : log1p(q);
            const double log_p = log1p(z) / 2 - a * log_1q - log_a_beta + log(fraction(a, z));
            log10_p[i] = fmax(-TO_LOG10 * log_p, 0); /* rounding, where P is 1 but for it */
        }
    }
}
