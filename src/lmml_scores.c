/* lmml_scores.c - one look at a number per SNP: who passes a threshold, which is the largest.
 *
 * Most SNPs are far below the threshold. A block of them is looked at as a whole, which vectors do,
 * and one by one only if somebody in it passes. */
#include <math.h>

#include "lmml.h"

enum { BLOCK = 64, LANES = 8 };

/* s_k = |gradient + change slope| / factor of the SNPs start .. start + n - 1 */
static void scores(int64_t start, int n, const double *gradient, const double *slope, double change,
                   const double *factor, double *s)
{
    const double *g = gradient + start;
    if (slope)
        for (int k = 0; k < n; k++) s[k] = fabs(g[k] + change * slope[start + k]);
    else
        for (int k = 0; k < n; k++) s[k] = fabs(g[k]);
    if (factor)
        for (int k = 0; k < n; k++) s[k] /= factor[start + k];
}

void lmml_largest_score(int64_t p, const double *gradient, const double *factor,
                        const uint8_t *skip, double *of_all, double *of_others)
{
    double largest[LANES] = {0}, others = 0;
    for (int64_t start = 0; start < p; start += BLOCK) {
        const int n = p - start < BLOCK ? (int)(p - start) : BLOCK;
        double s[BLOCK] = {0};
        int n_above = 0; /* the largest of the others so far, which few are */
        scores(start, n, gradient, NULL, 0, factor, s);
        for (int k = 0; k < BLOCK; k += LANES)
            for (int i = 0; i < LANES; i++) {
                largest[i] = s[k + i] > largest[i] ? s[k + i] : largest[i];
                n_above += s[k + i] > others;
            }
        if (n_above == 0) continue;
        for (int k = 0; k < n; k++)
            if (s[k] > others && !skip[start + k]) others = s[k];
    }
    *of_all = 0;
    for (int i = 0; i < LANES; i++) *of_all = fmax(*of_all, largest[i]);
    *of_others = others;
}

int64_t lmml_scores_above(int64_t p, const double *gradient, const double *slope, double change,
                          const double *factor, const uint8_t *skip, double threshold,
                          int64_t *index, double *score)
{
    int64_t n_found = 0;
    for (int64_t start = 0; start < p; start += BLOCK) {
        const int n = p - start < BLOCK ? (int)(p - start) : BLOCK;
        double s[BLOCK];
        int64_t n_above = 0;
        scores(start, n, gradient, slope, change, factor, s);
        for (int k = 0; k < n; k++) n_above += s[k] >= threshold;
        if (n_above == 0) continue;
        for (int k = 0; k < n; k++)
            if (s[k] >= threshold && !skip[start + k]) {
                index[n_found] = start + k;
                score[n_found++] = s[k];
            }
    }
    return n_found;
}
