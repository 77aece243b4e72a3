/* test_scan.c - the scan's sums, its optima against a search by brute force, and p-values against
 * closed forms. */
#include <math.h>
#include <string.h>

#include "check.h"

enum { SNPS = 40 };

static void test_row_squares(void)
{
    for (int n = 1; n < 40; n += 6) {
        float *Z = allocate(3 * (size_t)n * sizeof *Z);
        double found[3];
        for (int i = 0; i < 3 * n; i++) Z[i] = (float)uniform();
        lmml_row_squares(3, n, Z, found);
        for (int row = 0; row < 3; row++) {
            double sum = 0;
            for (int i = 0; i < n; i++) sum += (double)Z[row * n + i] * Z[row * n + i];
            CHECK(fabs(found[row] - sum) <= 1e-14 * sum);
        }
        free(Z);
    }
}

/* x'V^-r y */
static double product(int m, const double *s, const double *x, const double *y, double delta, int r)
{
    double sum = 0;
    for (int i = 0; i < m; i++) sum += x[i] * y[i] * pow(s[i] + delta, -r);
    return sum;
}

static double objective(int m, const double *s, const double *x, const double *y, double log_delta)
{
    const double delta = exp(log_delta), xy = product(m, s, x, y, delta, 1);
    const double xx = product(m, s, x, x, delta, 1);
    double log_det = 0;
    for (int i = 0; i < m; i++) log_det += log(s[i] + delta);
    return (m - 1) * log(product(m, s, y, y, delta, 1) - xy * xy / xx) + log_det + log(xx);
}

/* m values, a grid of n_grid points from low on */
static void test_reml(int m, int n_grid, double low)
{
    double *s = allocate(m * sizeof *s), *y = allocate(m * sizeof *y),
           *grid = allocate(n_grid * sizeof *grid);
    double *Z = allocate(SNPS * m * sizeof *Z), *of_y = allocate(n_grid * 4 * sizeof *of_y);
    double *xx = allocate(SNPS * 2 * n_grid * sizeof *xx),
           *xy = allocate(SNPS * 2 * n_grid * sizeof *xy);
    double *found = allocate(SNPS * 4 * sizeof *found);
    const double high = low + n_grid - 1;
    int n_inside = 0, n_at_an_end = 0;
    for (int i = 0; i < m; i++) s[i] = i < 2 ? 0 : exp(2 * uniform());
    for (int i = 0; i < m; i++) y[i] = uniform() * sqrt(s[i] + 0.3);
    for (int i = 0; i < SNPS * m; i++) Z[i] = i < m ? 0 : uniform();
    memcpy(Z + 2 * m, y, m * sizeof *y); /* a SNP that explains everything */
    for (int g = 0; g < n_grid; g++) {
        const double delta = exp(grid[g] = g + low);
        for (int i = 0; i < m; i++) of_y[4 * g] += log(s[i] + delta);
        for (int i = 0; i < m; i++) of_y[4 * g + 1] += 1 / (s[i] + delta);
        for (int r = 1; r < 3; r++) {
            of_y[4 * g + 1 + r] = product(m, s, y, y, delta, r);
            for (int j = 0; j < SNPS; j++) {
                xx[j * 2 * n_grid + (r - 1) * n_grid + g] =
                    product(m, s, Z + j * m, Z + j * m, delta, r);
                xy[j * 2 * n_grid + (r - 1) * n_grid + g] = product(m, s, Z + j * m, y, delta, r);
            }
        }
    }
    const lmml_reml model = {m, s, y, n_grid, grid, of_y};
    CHECK(lmml_reml_scan(&model, SNPS, Z, xx, xy, found) == LMML_OK);
    CHECK(isnan(found[0]) && found[1] == 0); /* x = 0 */
    CHECK(found[8] >= low && found[8] <= high && found[11] > 0 && found[11] < 1e-13);
    for (int j = 1; j < SNPS; j++) {
        const double *x = Z + j * m, *row = found + 4 * j, delta = exp(row[0]);
        if (j == 2) continue;
        const double left = product(m, s, y, y, delta, 1) - row[2] * row[2] / row[1];
        CHECK(fabs(row[1] - product(m, s, x, x, delta, 1)) < 1e-12 * row[1]);
        CHECK(fabs(row[2] - product(m, s, x, y, delta, 1)) < 1e-12);
        CHECK(fabs(row[3] - left) < 1e-12);
        double lowest = INFINITY;
        for (int i = 0; i <= 1000 * (n_grid - 1); i++) {
            const double value = objective(m, s, x, y, low + i / 1000.0);
            lowest = value < lowest ? value : lowest;
        }
        CHECK(objective(m, s, x, y, row[0]) < lowest + 1e-9);
        const int at_an_end = row[0] == low || row[0] == high;
        n_at_an_end += at_an_end;
        n_inside += !at_an_end;
    }
    CHECK(n_inside > 3 && n_at_an_end > 3);
    const lmml_reml tiny = {1, s, y, n_grid, grid, of_y}, short_grid = {m, s, y, 1, grid, of_y};
    CHECK(lmml_reml_scan(&tiny, 1, Z, xx, xy, found) == LMML_ERR_ARGUMENT);
    CHECK(lmml_reml_scan(&short_grid, 1, Z, xx, xy, found) == LMML_ERR_ARGUMENT);
    free(s), free(y), free(grid), free(Z), free(of_y), free(xx), free(xy), free(found);
}

static void test_p_values(void)
{
    static const double f[] = {0, 1e-300, 1e-9, 0.3, 1, 7.999999, 8.000001, 60, 1e4, 1e300};
    double found[10];
    lmml_log10_p(10, f, 1, found); /* Cauchy: P = 2 / pi atan(1 / sqrt f) */
    for (int i = 0; i < 10; i++) {
        const double p = f[i] == 0 ? 1 : 2 / M_PI * atan(1 / sqrt(f[i]));
        CHECK(fabs(found[i] + log10(p)) <= 1e-14 + 1e-13 * found[i]);
    }
    lmml_log10_p(10, f, 2, found); /* P = 1 - sqrt(f / (f + 2)) */
    for (int i = 0; i < 10; i++) {
        const double root = sqrt(f[i] / (f[i] + 2)), p = 2 / (f[i] + 2) / (1 + root);
        CHECK(fabs(found[i] + log10(p)) <= 1e-14 + 1e-13 * found[i]);
    }
    lmml_log10_p(10, f, 1e13, found); /* the normal distribution */
    for (int i = 0; i < 8; i++)
        CHECK(fabs(found[i] + log10(erfc(sqrt(f[i] / 2)))) <= 1e-11 + 1e-10 * found[i]);
    lmml_log10_p(10, f, 0.25, found); /* where the series would not end, and f / df overflows */
    for (int i = 1; i < 10; i++) CHECK(isfinite(found[i]) && found[i] >= found[i - 1]);
    lmml_log10_p(10, f, 1e-12, found);
    for (int i = 0; i < 10; i++) CHECK(found[i] >= 0 && found[i] < 1e-9);
    const double odd[] = {INFINITY, NAN, -1};
    lmml_log10_p(3, odd, 5, found);
    CHECK(isinf(found[0]) && found[0] > 0 && isnan(found[1]) && isnan(found[2]));
}

void test_scan(void)
{
    test_row_squares();
    test_reml(7, 9, -4);
    test_reml(8, 9, -4);
    test_reml(8, 3, -2);
    test_reml(7, 2, -1);
    test_p_values();
}
