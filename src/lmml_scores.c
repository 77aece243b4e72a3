/* lmml_scores.c - one look at a number per SNP: who passes a threshold, which is the largest.
 *
 * Most SNPs are far below the threshold. A block of them is looked at as a whole, which vectors do,
 * and one by one only if somebody in it passes. */
#include <math.h>

#include "lmml.h"

enum { BLOCK = 64, LANES = 8 };

double lmml_largest_score(int64_t p, const double *gradient, const double *factor)
{
    double largest[LANES] = {0};
    int64_t j = 0;
    for (; j + LANES <= p; j += LANES)
        for (int k = 0; k < LANES; k++) {
            const double score = fabs(gradient[j + k]) / factor[j + k];
            largest[k] = score > largest[k] ? score : largest[k];
        }
    for (; j < p; j++) {
        const double score = fabs(gradient[j]) / factor[j];
        largest[0] = score > largest[0] ? score : largest[0];
    }
    for (int k = 1; k < LANES; k++) largest[0] = fmax(largest[0], largest[k]);
    return largest[0];
}

int64_t lmml_scores_above(int64_t p, const double *gradient, const double *slope, double change,
                          const double *factor, const uint8_t *skip, double threshold,
                          int64_t *index, double *score)
{
    int64_t n_found = 0;
    for (int64_t start = 0; start < p; start += BLOCK) {
        const int n = p - start < BLOCK ? (int)(p - start) : BLOCK;
        const double *g = gradient + start, *f = factor + start;
        double s[BLOCK];
        int64_t n_above = 0;
        if (slope)
            for (int k = 0; k < n; k++) s[k] = fabs(g[k] + change * slope[start + k]) / f[k];
        else
            for (int k = 0; k < n; k++) s[k] = fabs(g[k]) / f[k];
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
