/* fuzz.h - what the libFuzzer targets share: numbers out of the input, buffers of exactly the size
 * that lmml.h asks for, and a check that stops. When the input is used up, zeros follow. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lmml.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

typedef struct {
    const uint8_t *data;
    size_t size, at;
} input;

static inline uint8_t take(input *in) { return in->at < in->size ? in->data[in->at++] : 0; }

static inline uint16_t take16(input *in)
{
    const uint16_t low = take(in);
    return (uint16_t)(low | take(in) << 8);
}

static inline uint64_t take64(input *in)
{
    uint64_t bits = 0;
    for (int k = 0; k < 8; k++) bits |= (uint64_t)take(in) << 8 * k;
    return bits;
}

/* Any double there is: NaN, infinite, subnormal. */
static inline double take_double(input *in)
{
    const uint64_t bits = take64(in);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A tame one, whose sums and products are nearly exact. */
static inline double take_number(input *in) { return ((int)take16(in) - 32768) / 256.0; }

static inline void *buffer(int64_t n, size_t size)
{
    void *memory = malloc((size_t)n * size); /* of 0 bytes too: the sanitizer sees any access */
    REQUIRE(memory != NULL);
    return memory;
}

/* `size` bytes of the input, again and again but never quite the same. */
static inline void take_bytes(input *in, void *memory, size_t size)
{
    const size_t n = in->size - in->at;
    uint8_t *to = memory;
    for (size_t k = 0; k < size; k++)
        to[k] = (uint8_t)(n ? in->data[in->at + k % n] + 37 * (k / n) : 0);
}

/* Numbers of samples or SNPs, of which one may be out of range; *bad says whether. */
static inline int64_t *take_index(input *in, int64_t n, int64_t below, int *bad)
{
    static const int64_t odd[] = {-1, INT64_MIN, INT64_MAX, INT64_MIN + 1};
    int64_t *index = buffer(n, sizeof *index);
    const uint8_t step = take(in), first = take(in), wrong = take(in);
    *bad = 0;
    for (int64_t k = 0; k < n; k++) index[k] = below ? (first + k * (step % 7 + 1)) % below : 0;
    if (n && below == 0) *bad = 1;
    if (n && wrong >= 224) {
        index[wrong % n] = wrong == 255 ? below : odd[wrong % 4];
        *bad = 1;
    }
    return index;
}

/* A range of SNPs, most of the time within 0 to p; *bad as above. */
static inline void take_range(input *in, int64_t p, int64_t *start, int64_t *stop, int *bad)
{
    const uint8_t wrong = take(in);
    *start = take(in) % (p + 1);
    *stop = *start + take(in) % (p - *start + 1);
    if (wrong == 255) *stop = p + 1;
    if (wrong == 254) *start = -1;
    if (wrong == 253) *start = *stop + 1;
    if (wrong == 252) *stop = INT64_MAX;
    *bad = wrong >= 252;
}

static inline const lmml_kernels *take_kernels(input *in)
{
    static const char *const names[] = {"generic", "avx2", "avx512", "amx"};
    const lmml_kernels *kernels = NULL;
    if (lmml_kernels_select(names[take(in) % 4], &kernels) != LMML_OK)
        REQUIRE(lmml_kernels_select("generic", &kernels) == LMML_OK);
    return kernels;
}

#endif
