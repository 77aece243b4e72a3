/* kernels.c - the kernels on packed genotypes against what the machine could do: bench_kernels.
 *
 * One thread; for every line the best of --repeats, each repeat lasting at least a millisecond.
 * The limit of a line is the longer of two times, each measured in the same run.
 *
 * memory: every byte that must pass (packed rows, mean, inverse_sd, n_missing, out), at the rate at
 * which a loop of vector loads reads an array of just that size over and over, so that a problem
 * that fits a cache is compared with that cache; with and without prefetching, whichever is faster.
 * For decoding: memset() of an output of that size.
 *
 * issue: the kernel's own vector instructions (prepare, field and DOT of kernels_impl.h, the same
 * macros and functions in the same numbers) with genotypes, digits and sums, as many as fit, in
 * registers: no loads, no rows, no sums over lanes. Rows with missing genotypes take a second pass
 * of theirs. Matrix tiles: the slowest of three loops, each alone, as the units that they keep busy
 * can work at the same time: tile products on registers; as many tile loads as the kernel has, from
 * the first-level cache; decoding to rows of tiles, from that cache and to it. Decoding genotypes
 * to numbers has no such limit here.
 *
 * So 100 % is what this algorithm could reach if all else were free; an algorithm with fewer
 * instructions would have another limit. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels.h"
#include "limits.h"
#include "lmml.h"

static int n_repeats; /* of --repeats */
static FILE *json;    /* NULL: none */
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

/* ---- what is printed ------------------------------------------------------------------------- */

/* Times are of all `n_snps`. */
typedef struct {
    const char *isa, *what;
    int64_t n, n_snps;
    double missing_rate;
    double seconds, bytes, issue_seconds, memory_seconds;
} line;

static void print_title(const char *isa, int64_t n, int64_t p)
{
    printf("\n%s, n = %lld x p = %lld\n%-29s %7s %9s %9s %9s %7s | %s\n", isa, (long long)n,
           (long long)p, "", "missing", "ns/SNP", "M SNPs/s", "G gt/s", "GB/s",
           "limits, ns/SNP: issue  memory   share");
}

static void print_line(const line *l)
{
    const double snps = (double)l->n_snps, per_snp = 1e9 / snps;
    const double limit = fmax(l->issue_seconds, l->memory_seconds);
    printf("%-29s %5.1f %% %9.2f %9.3f %9.3f %7.2f | %21.2f %7.2f %5.0f %%\n", l->what,
           100 * l->missing_rate, l->seconds * per_snp, 1e-6 * snps / l->seconds,
           1e-9 * snps * (double)l->n / l->seconds, 1e-9 * l->bytes / l->seconds,
           l->issue_seconds * per_snp, l->memory_seconds * per_snp, 100 * limit / l->seconds);
    fflush(stdout);
    if (json == NULL) return;
    fprintf(json,
            "%s  {\"isa\": \"%s\", \"kernel\": \"%s\", \"n\": %lld, \"n_snps\": %lld, "
            "\"missing_rate\": %g, \"seconds\": %.6g, \"bytes\": %.0f, "
            "\"issue_limit_seconds\": %.6g, \"memory_limit_seconds\": %.6g, "
            "\"share_of_limit\": %.4f}",
            json_separator, l->isa, l->what, (long long)l->n, (long long)l->n_snps, l->missing_rate,
            l->seconds, l->bytes, l->issue_seconds, l->memory_seconds, limit / l->seconds);
    json_separator = ",\n";
}

static void print_limit(const char *isa, const char *what, double value, const char *unit)
{
    printf("  %-58s %9.3f %s\n", what, value, unit);
    fflush(stdout);
    if (json == NULL) return;
    fprintf(json, "%s  {\"isa\": \"%s\", \"limit\": \"%s\", \"value\": %.6g, \"unit\": \"%s\"}",
            json_separator, isa, what, value, unit);
    json_separator = ",\n";
}

/* ---- limits ---------------------------------------------------------------------------------- */

typedef struct {
    const limit_loops *loops;
    double dot[LIMIT_KINDS][2], count; /* seconds a chunk of one SNP */
    double multiply, load, decode[2];  /* seconds a tile product, a tile, a chunk of one SNP */
    uint8_t *array;
    int64_t n_bytes; /* of the array */
} machine_limits;

static double print_loop(const char *isa, const char *what, const limit_loop *loop)
{
    const double seconds = seconds_per_unit(loop);
    print_limit(isa, what, 1e9 * seconds, "ns");
    return seconds;
}

static machine_limits measure_limits(const limit_loops *loops, uint8_t *array, int64_t n_bytes)
{
    static const char *const DOT_NAMES[LIMIT_KINDS][2] = {
        {"screening, 256 genotypes", "screening, missing of 256 genotypes"},
        {"certificate, 256 genotypes", "certificate, missing of 256 genotypes"}};
    machine_limits m = {.loops = loops, .array = array, .n_bytes = n_bytes};
    char what[80];
    const char *isa = loops->name;

    printf("\n%s: limits\n", isa);
    for (int kind = 0; kind < LIMIT_KINDS; kind++)
        for (int missing = 0; missing < 2; missing++)
            m.dot[kind][missing] =
                print_loop(isa, DOT_NAMES[kind][missing], &loops->dot[kind][missing]);
    m.count = print_loop(isa, "counts, 256 genotypes", &loops->count);
    if (loops->tiles) {
        m.multiply = print_loop(isa, "a product of two tiles", &loops->tiles->multiply);
        m.load = print_loop(isa, "loading a tile", &loops->tiles->load);
        m.decode[0] = print_loop(isa, "256 genotypes to tiles", &loops->tiles->decode[0]);
        m.decode[1] =
            print_loop(isa, "missing of 256 genotypes to tiles", &loops->tiles->decode[1]);
    }
    print_limit(isa, "multiply-adds, float32", 1e-9 / seconds_per_unit(&loops->fma_f32), "G/s");
    print_limit(isa, "multiply-adds, float64", 1e-9 / seconds_per_unit(&loops->fma_f64), "G/s");
    snprintf(what, sizeof what, "reading %.0f MB", 1e-6 * (double)n_bytes);
    print_limit(isa, what, 1e-9 * read_rate(loops, array, n_bytes), "GB/s");
    return m;
}

/* Seconds a SNP of the second kind of limit, as explained at the top. */
static double issue_limit(const machine_limits *m, const lmml_kernels *kernels, const problem *x,
                          int pass)
{
    const int n_of[LIMIT_KINDS] = {PASSES[pass].n_screening, PASSES[pass].n_certificates};
    const int n_columns = LMML_LIMBS_SCREENING * n_of[LIMIT_SCREENING] +
                          LMML_LIMBS_CERTIFICATE * n_of[LIMIT_CERTIFICATE];
    const double share[2] = {1, x->with_missing};
    double seconds = 0;

    for (int missing = 0; missing < 2; missing++)
        if (n_columns >= kernels->tiles_from) {
            /* sixteen SNPs a tile, four tiles a chunk; two column blocks share what is decoded, two
             * tiles of SNPs the digits */
            const int n_blocks = (n_columns + LMML_TILE_COLUMNS - 1) / LMML_TILE_COLUMNS;
            const int n_pairs = (n_blocks + 1) / 2;
            const double multiply = m->multiply * 4 * n_blocks / 16;
            const double load = m->load * (4.0 * n_pairs / 16 + 4.0 * n_blocks / 32);
            const double decode = m->decode[missing] * n_pairs;
            seconds += share[missing] * fmax(decode, fmax(multiply, load));
        } else {
            for (int kind = 0; kind < LIMIT_KINDS; kind++)
                seconds += share[missing] * n_of[kind] * m->dot[kind][missing];
        }
    return seconds * (double)((x->packed.n_samples + LMML_CHUNK_SAMPLES - 1) / LMML_CHUNK_SAMPLES);
}

/* ---- kernels --------------------------------------------------------------------------------- */

typedef struct {
    const lmml_kernels *kernels;
    const problem *x;
    lmml_vector vectors[LMML_MAX_VECTORS];
    int n_vectors;
} kernel_context;

static void run_gradient(const void *context, int64_t times)
{
    const kernel_context *c = context;
    const problem *x = c->x;
    for (; times; times--)
        check(lmml_gradient(c->kernels, &x->packed, x->mean, x->inverse_sd, x->n_missing,
                            c->vectors, c->n_vectors, 0, x->packed.n_variants, x->out,
                            x->packed.n_variants));
}

static void run_counts(const void *context, int64_t times)
{
    const kernel_context *c = context;
    for (; times; times--)
        check(lmml_counts(c->kernels, &c->x->packed, c->x->mask, 0, c->x->packed.n_variants,
                          (int32_t *)c->x->out));
}

#define RUN_DECODE(name, decode, REAL, INDEX, N_INDEX)                                             \
    static void name(const void *context, int64_t times)                                           \
    {                                                                                              \
        const kernel_context *c = context;                                                         \
        const problem *x = c->x;                                                                   \
        for (; times; times--)                                                                     \
            check(decode(c->kernels, &x->packed, x->variants, N_DECODED, x->mean, x->inverse_sd,   \
                         INDEX, N_INDEX, (REAL *)x->decoded));                                     \
    }
RUN_DECODE(run_decode_f32, lmml_decode_f32, float, NULL, x->packed.n_samples)
RUN_DECODE(run_decode_f64, lmml_decode_f64, double, NULL, x->packed.n_samples)
RUN_DECODE(run_decode_half_f32, lmml_decode_f32, float, x->index, x->n_index)
RUN_DECODE(run_decode_half_f64, lmml_decode_f64, double, x->index, x->n_index)

static const struct {
    const char *name;
    void (*run)(const void *context, int64_t times);
    int64_t size;
    int half;
} DECODERS[] = {{"decode float32", run_decode_f32, sizeof(float), 0},
                {"decode float64", run_decode_f64, sizeof(double), 0},
                {"decode float32, half of n", run_decode_half_f32, sizeof(float), 1},
                {"decode float64, half of n", run_decode_half_f64, sizeof(double), 1}};

/* Every instruction set gives the same bits, or its time is worth nothing. */
static void check_results(problem *x, int pass, int n_vectors)
{
    uint64_t checksum = 1;
    for (int64_t i = 0; i < n_vectors * x->packed.n_variants; i++) {
        uint64_t bits;
        memcpy(&bits, x->out + i, sizeof bits);
        checksum = (checksum ^ bits) * UINT64_C(0x9e3779b97f4a7c15);
    }
    if (x->checksum[pass] == 0) x->checksum[pass] = checksum;
    if (x->checksum[pass] != checksum) fail("two instruction sets gave different results");
}

static void measure_gradient(const machine_limits *m, const lmml_kernels *kernels, problem *x,
                             double missing_rate, int pass)
{
    const int64_t p = x->packed.n_variants;
    kernel_context context = {.kernels = kernels, .x = x};
    int n = 0;
    for (int k = 0; k < PASSES[pass].n_certificates; k++)
        context.vectors[n++] = (lmml_vector){x->limbs[k], LMML_LIMBS_CERTIFICATE, x->unit[k]};
    for (int k = 0; k < PASSES[pass].n_screening; k++)
        context.vectors[n++] =
            (lmml_vector){x->limbs_screening, LMML_LIMBS_SCREENING, x->unit_screening};
    context.n_vectors = n;

    const int64_t touched =
        x->packed.stride + (int64_t)(2 * sizeof(double) + sizeof(int32_t)) + n * 8;
    line l = {.isa = m->loops->name,
              .what = PASSES[pass].name,
              .n = x->packed.n_samples,
              .n_snps = p,
              .missing_rate = missing_rate,
              .bytes = (double)(touched * p)};
    l.memory_seconds = l.bytes / read_rate(m->loops, m->array, touched * p);
    l.issue_seconds = (double)p * issue_limit(m, kernels, x, pass);
    l.seconds = best_seconds(run_gradient, &context);
    check_results(x, pass, n);
    print_line(&l);
}

static void measure_others(const machine_limits *m, const lmml_kernels *kernels, const problem *x)
{
    const kernel_context context = {.kernels = kernels, .x = x};
    const int64_t p = x->packed.n_variants, stride = x->packed.stride;
    const int64_t touched = stride + 4 * (int64_t)sizeof(int32_t);
    line l = {.isa = m->loops->name, .what = "counts", .n = x->packed.n_samples, .n_snps = p};
    l.bytes = (double)(touched * p);
    l.memory_seconds = l.bytes / read_rate(m->loops, m->array, touched * p);
    l.issue_seconds = m->count * (double)((stride + 7) / 8 * p) / 8;
    l.seconds = best_seconds(run_counts, &context);
    print_line(&l);

    for (size_t k = 0; k < sizeof DECODERS / sizeof *DECODERS; k++) {
        l.what = DECODERS[k].name;
        l.n = DECODERS[k].half ? x->n_index : x->packed.n_samples;
        l.n_snps = N_DECODED;
        const int64_t written = N_DECODED * l.n * DECODERS[k].size;
        l.bytes = (double)written;
        l.issue_seconds = 0;
        l.memory_seconds = (double)written / fill_rate(x->decoded, written);
        l.seconds = best_seconds(DECODERS[k].run, &context);
        print_line(&l);
    }
}

/* ---- the program ----------------------------------------------------------------------------- */

/* generic last: the others are of more interest to whoever waits */
static const limit_loops *const LOOPS[] = {
#if defined(LMML_HAVE_AMX)
    &limits_amx,
#endif
#if defined(LMML_HAVE_X86)
    &limits_avx512, &limits_avx2,
#endif
    &limits_generic};

static void print_processor(void)
{
    char text[256] = "unknown";
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(text, sizeof text, file))
        if (strncmp(text, "model name", 10) == 0) break;
    if (file) fclose(file);
    const char *colon = strchr(text, ':');
    const char *model = colon ? colon + 2 : "unknown";
    const int length = (int)strcspn(model, "\n\"\\");
    printf("%.*s; compiler %s; best of %d\n", length, model, __VERSION__, n_repeats);
    if (json)
        fprintf(json,
                "{\"processor\": \"%.*s\", \"compiler\": \"%s\", \"repeats\": %d, "
                "\"results\": [",
                length, model, __VERSION__, n_repeats);
}

int main(int argc, char **argv)
{
    static const double MISSING_RATES[] = {0, 0.035};
    int64_t n_snps[] = {10992, 358487}, large = INT64_C(1) << 30;
    static const int64_t n_samples[] = {1410, 427};
    problem problems[2][2];
    int is_quick = 0;

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--quick") == 0) {
            is_quick = 1;
            n_snps[0] = 2048;
            n_snps[1] = 16384;
            large = INT64_C(1) << 26;
        } else if (strcmp(argv[i], "--repeats") == 0 && value && atoi(value) > 0) {
            n_repeats = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--json") == 0 && value) {
            json = fopen(argv[++i], "w");
            if (json == NULL) fail("the file for --json cannot be written");
        } else {
            fail("usage: bench_kernels [--quick] [--repeats K] [--json FILE]");
        }
    }
    if (n_repeats == 0) n_repeats = is_quick ? 2 : 7;
    print_processor();
    printf("One thread. The limit of a line is the longer of\n"
           "  issue   the kernel's own vector instructions with everything in registers (matrix "
           "tiles: the\n          slowest of products, tile loads from cache, decoding from cache "
           "to cache)\n"
           "  memory  all bytes that the line touches, at the rate of a loop that reads an array "
           "of that size\n          (decoding: of memset() on an output of that size)\n"
           "both measured in this run; share = limit / measured.\n");

    uint8_t *array = allocate(large);
    for (int k = 0; k < 2; k++)
        for (int r = 0; r < 2; r++)
            problems[k][r] = make_problem(n_samples[k], n_snps[k], MISSING_RATES[r]);
    for (size_t i = 0; i < sizeof LOOPS / sizeof *LOOPS; i++) {
        const lmml_kernels *kernels;
        if (lmml_kernels_select(LOOPS[i]->name, &kernels)) {
            printf("\nSKIPPED %s: this machine does not have it\n", LOOPS[i]->name);
            continue;
        }
        const machine_limits limits = measure_limits(LOOPS[i], array, large);
        for (int k = 0; k < 2; k++) {
            print_title(LOOPS[i]->name, n_samples[k], n_snps[k]);
            for (int r = 0; r < 2; r++)
                for (int pass = 0; pass < N_PASSES; pass++)
                    measure_gradient(&limits, kernels, &problems[k][r], MISSING_RATES[r], pass);
            measure_others(&limits, kernels, &problems[k][0]);
        }
    }

    for (int k = 0; k < 2; k++)
        for (int r = 0; r < 2; r++) free_problem(&problems[k][r]);
    free(array);
    if (json) {
        fputs("\n]}\n", json);
        if (fclose(json)) fail("the file for --json could not be written");
    }
    return 0;
}
