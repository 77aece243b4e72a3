/* kernels.c - the kernels on packed genotypes against what the machine could do: bench_kernels.
 *
 * One thread; for every line the best of --repeats, each repeat lasting at least a millisecond.
 *
 * The limit of a line is the longer of two times, each measured in the same run:
 *
 *   memory  Every byte that must pass (packed rows, mean, inverse_sd, n_missing, out), at the rate
 *           at which a loop of vector loads reads an array of just that size over and over: a
 *           problem that fits a cache is compared with that cache. With and without prefetching as
 *           the kernels do it, whichever is faster.
 *   issue   The kernel's own vector instructions (prepare, field and DOT of kernels_impl.h, the
 *           same macros and functions in the same numbers) with genotypes, digits and sums in
 *           registers: no loads, no rows, no sums over lanes. Rows with missing genotypes take a
 *           second pass of theirs. Matrix tiles: the slowest of three loops, each alone, as the
 *           units they keep busy can work at the same time: tile products on registers; as many
 *           tile loads from the first-level cache as the kernel has; decoding one chunk to rows of
 *           tiles, from that cache and to it.
 *
 * So 100 % is what this algorithm could reach if all else were free; an algorithm with fewer
 * instructions would have another limit. For decoding the limit is memory alone: memset() of an
 * output of that size. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels.h"
#include "limits.h"
#include "lmml.h"

static int n_repeats = 7;
static FILE *json; /* NULL: none */
static const char *json_separator = "\n";

static void fail(const char *message)
{
    fprintf(stderr, "ERROR: %s\n", message);
    exit(1);
}

static void check(int error)
{
    if (error) fail(lmml_strerror(error));
}

/* Cache lines, as what the kernels read; the pages are there before the clock starts. */
static void *allocate(int64_t size)
{
    const int64_t padded = (size + 63) / 64 * 64 + 64;
    void *memory = aligned_alloc(64, (size_t)padded);
    if (memory == NULL) fail("not enough memory");
    return memset(memory, 0, (size_t)padded);
}

static uint64_t next_random(void) /* splitmix64 */
{
    static uint64_t state = 1;
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* ---- the clock ------------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds for run(context, times) per time. The first run, not counted, warms the caches. */
static double best_seconds(void (*run)(const void *context, int64_t times), const void *context)
{
    double best = INFINITY;
    int64_t times = 1;
    run(context, 1);
    for (int r = 0; r < n_repeats;) {
        const double start = now();
        run(context, times);
        const double seconds = now() - start;
        if (seconds < 1e-3) {
            times = seconds > 1e-5 ? (int64_t)(2e-3 / seconds * (double)times) : 100 * times;
            continue;
        }
        best = fmin(best, seconds / (double)times);
        r++;
    }
    return best;
}

static void run_loop(const void *context, int64_t times)
{
    ((const limit_loop *)context)->run(times);
}

static double seconds_per_unit(const limit_loop *loop)
{
    return best_seconds(run_loop, loop) / loop->units;
}

typedef struct {
    const limit_loops *limits;
    uint8_t *data;
    int64_t n_bytes, ahead;
} read_context;

static void run_read(const void *context, int64_t times)
{
    const read_context *c = context;
    for (; times; times--) c->limits->read(c->data, c->n_bytes, c->ahead);
}

static double read_rate(const limit_loops *limits, uint8_t *data, int64_t n_bytes)
{
    const read_context plain = {limits, data, n_bytes, 0};
    const read_context prefetching = {limits, data, n_bytes, 4096};
    return (double)n_bytes /
           fmin(best_seconds(run_read, &plain), best_seconds(run_read, &prefetching));
}

static void run_fill(const void *context, int64_t times)
{
    const read_context *c = context;
    for (; times; times--) {
        memset(c->data, (int)times, (size_t)c->n_bytes);
        __asm__ volatile("" ::: "memory");
    }
}

static double fill_rate(uint8_t *data, int64_t n_bytes)
{
    const read_context context = {NULL, data, n_bytes, 0};
    return (double)n_bytes / best_seconds(run_fill, &context);
}

/* ---- problems -------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int n_certificates, n_screening;
} PASSES[] = {{"1 screening", 0, 1},
              {"1 certificate", 1, 0},
              {"4 certificates, 1 screening", 4, 1},
              {"8 certificates", 8, 0}};
enum { N_PASSES = sizeof PASSES / sizeof *PASSES };

typedef struct {
    lmml_packed packed;
    double *mean, *inverse_sd;
    int32_t *n_missing;
    double with_missing; /* the share of rows with missing genotypes */
    uint8_t *mask;
    int8_t *limbs[LMML_MAX_VECTORS], *limbs_screening;
    double unit[LMML_MAX_VECTORS], unit_screening;
    double *out;
    uint64_t checksum[N_PASSES]; /* of the first instruction set's results */
    int64_t n_index;
    int64_t *index, *variants; /* what is decoded */
    void *decoded;
} problem;

enum { N_DECODED = 256 };

/* Hardy-Weinberg genotypes, frequencies uniform between 0.05 and 0.95. */
static problem make_problem(int64_t n, int64_t p, double missing_rate)
{
    const int64_t stride = (n + 3) / 4;
    uint8_t *data = allocate(p * stride);
    int32_t *counts = allocate(4 * p * (int64_t)sizeof *counts);
    const lmml_kernels *kernels;
    problem x = {.packed = {data, p, n, stride},
                 .mean = allocate(p * (int64_t)sizeof *x.mean),
                 .inverse_sd = allocate(p * (int64_t)sizeof *x.inverse_sd),
                 .n_missing = allocate(p * (int64_t)sizeof *x.n_missing),
                 .mask = allocate(stride),
                 .out = allocate(LMML_MAX_VECTORS * p * (int64_t)sizeof *x.out),
                 .n_index = n / 2,
                 .index = allocate(n * (int64_t)sizeof *x.index),
                 .variants = allocate(N_DECODED * (int64_t)sizeof *x.variants),
                 .decoded = allocate(N_DECODED * n * (int64_t)sizeof(double))};
    const int missing_below = (int)lround(65536 * missing_rate);

    for (int64_t j = 0; j < p; j++) {
        const int below = 3277 + (int)(next_random() % 58982);
        for (int64_t i = 0; i < n; i++) {
            const uint64_t random = next_random();
            const int first = (int)(random & 65535) < below;
            const int second = (int)(random >> 16 & 65535) < below;
            const int is_missing = (int)(random >> 32 & 65535) < missing_below;
            const int code = is_missing ? 1 : first && second ? 0 : first || second ? 2 : 3;
            data[j * stride + i / 4] |= (uint8_t)(code << 2 * (i % 4));
        }
    }
    for (int64_t i = 0; i < n; i++) x.index[i] = i;
    check(lmml_mask_fill(x.index, n, n, x.mask));
    check(lmml_kernels_select(NULL, &kernels));
    check(lmml_counts(kernels, &x.packed, x.mask, 0, p, counts));
    for (int64_t j = 0; j < p; j++) {
        const int32_t *c = counts + 4 * j;
        const double present = c[0] + c[2] + c[3], mean = (2.0 * c[0] + c[2]) / present;
        x.mean[j] = mean;
        x.inverse_sd[j] = 1 / sqrt((4.0 * c[0] + c[2]) / present - mean * mean);
        x.n_missing[j] = c[1];
        x.with_missing += (double)(c[1] > 0) / (double)p;
    }
    free(counts);

    double *v = allocate(n * (int64_t)sizeof *v);
    for (int k = 0; k <= LMML_MAX_VECTORS; k++) {
        const int is_screening = k == LMML_MAX_VECTORS;
        const int n_limbs = is_screening ? LMML_LIMBS_SCREENING : LMML_LIMBS_CERTIFICATE;
        int8_t *limbs = allocate(lmml_limbs_size(n, n_limbs));
        for (int64_t i = 0; i < n; i++) v[i] = (double)(int64_t)next_random();
        check(lmml_limbs_fill(v, NULL, n, n, n_limbs, limbs,
                              is_screening ? &x.unit_screening : x.unit + k));
        if (is_screening)
            x.limbs_screening = limbs;
        else
            x.limbs[k] = limbs;
    }
    free(v);
    /* half of the samples, and SNPs from all over the data */
    for (int64_t i = 0; i < x.n_index; i++) x.index[i] = 2 * i;
    for (int64_t k = 0; k < N_DECODED; k++) x.variants[k] = k * (p / N_DECODED);
    return x;
}

static void free_problem(problem *x)
{
    free((void *)x->packed.data), free(x->mean), free(x->inverse_sd), free(x->n_missing);
    for (int k = 0; k < LMML_MAX_VECTORS; k++) free(x->limbs[k]);
    free(x->limbs_screening), free(x->mask), free(x->out);
    free(x->index), free(x->variants), free(x->decoded);
}

/* What the machine does without us: bytes, in JSON and as a line. */
typedef struct {
    const limit_loops *limits;
    double dot[LIMIT_KINDS][2], count;            /* seconds a chunk of one SNP */
    double multiply, load, decode[2];             /* seconds a tile product, tile, chunk of one SNP */
    uint8_t *array;
    int64_t array_bytes;
} measured_limits;

/* ---- lines ----------------------------------------------------------------------------------- */

typedef struct {
    const char *isa, *what;
    int64_t n, n_snps;
    double missing_rate;
    double seconds, bytes, issue_seconds, memory_seconds;
} line;

static void print_header(void)
{
    printf("%-30s %7s %9s %11s %8s %9s %9s %9s %7s\n", "", "missing", "ns/SNP", "Mio SNPs/s",
           "Ggt/s", "GB/s", "issue", "memory", "share");
}

static void print_line(const line *l)
{
    const double snps = (double)l->n_snps, per_snp = 1e9 / snps;
    const double limit = fmax(l->issue_seconds, l->memory_seconds);
    printf("%-30s %5.1f %% %9.2f %11.3f %8.2f %9.2f %9.2f %9.2f %5.0f %%\n", l->what,
           100 * l->missing_rate, l->seconds * per_snp, 1e-6 * snps / l->seconds,
           1e-9 * snps * (double)l->n / l->seconds, 1e-9 * l->bytes / l->seconds,
           l->issue_seconds * per_snp, l->memory_seconds * per_snp, 100 * limit / l->seconds);
    fflush(stdout);
    if (json == NULL) return;
    fprintf(json,
            "%s    {\"isa\": \"%s\", \"what\": \"%s\", \"n\": %lld, \"n_snps\": %lld, "
            "\"missing_rate\": %g, \"seconds\": %.9g, \"bytes\": %.0f, \"snps_per_s\": %.6g, "
            "\"genotypes_per_s\": %.6g, \"bytes_per_s\": %.6g, \"issue_limit_s\": %.9g, "
            "\"memory_limit_s\": %.9g, \"share_of_limit\": %.4f}",
            json_separator, l->isa, l->what, (long long)l->n, (long long)l->n_snps,
            l->missing_rate, l->seconds, l->bytes, snps / l->seconds,
            snps * (double)l->n / l->seconds, l->bytes / l->seconds, l->issue_seconds,
            l->memory_seconds, limit / l->seconds);
    json_separator = ",\n";
}

