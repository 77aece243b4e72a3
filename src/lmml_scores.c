/* lmml_scores.c - one look at a number per SNP: who passes a threshold, which is the largest. */
#include <math.h>

#include "lmml.h"

double lmml_largest_score(int64_t p, const double *gradient, const double *factor)
{
    double largest = 0;
    for (int64_t j = 0; j < p; j++) {
        const double score = fabs(gradient[j]) / factor[j];
        largest = score > largest ? score : largest;
    }
    return largest;
}

int64_t lmml_scores_above(int64_t p, const double *gradient, const double *slope, double change,
                          const double *factor, const uint8_t *skip, double threshold,
                          int64_t *index, double *score)
{
    int64_t n_found = 0;
    for (int64_t j = 0; j < p; j++) {
        const double expected = slope ? gradient[j] + change * slope[j] : gradient[j];
        const double s = fabs(expected) / factor[j];
        if (s >= threshold && !skip[j]) {
            index[n_found] = j;
            score[n_found++] = s;
        }
    }
    return n_found;
}
