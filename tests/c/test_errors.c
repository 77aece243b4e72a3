/* test_errors.c - every error of every function, and the proof that none is left out: the tables in
 * the headers, and every place in the sources that names an error code (reached.h). */
#include <dirent.h>

#include "faults.h"

/* ---- what was seen -----------------------------------------------------------------------------
 */

typedef struct {
    const char *function;
    int code;
} sighting;

static sighting seen[256];
static int n_seen;

int returned(const char *name, int expected, int code)
{
    if (code != expected) return 0;
    for (int i = 0; i < n_seen; i++)
        if (seen[i].code == code && strcmp(seen[i].function, name) == 0) return 1;
    if (n_seen < 256) seen[n_seen++] = (sighting){name, code};
    return 1;
}

/* ---- refusals ----------------------------------------------------------------------------------
 */

static void refuse_packed(const workload *s, const lmml_kernels *kernels)
{
    const lmml_kernels *none;
    const lmml_packed *x = &s->packed;
    const int64_t outside[1] = {N}, no_snp[1] = {P};
    const double nan[1] = {NAN};
    double v, unit;
    float f;
    uint8_t byte, mask[(N + 3) / 4];
    int8_t limbs[3 * 768], sign;
    int32_t counts[4];
    int64_t number;
    uint64_t hash;
    int equal;
    const lmml_vector vector = {limbs, 3, 1};
    RETURNS(LMML_ERR_ISA, lmml_kernels_select, "sse9", &none);
    RETURNS(LMML_ERR_ARGUMENT, lmml_limbs_fill, s->v[0], NULL, N, N, 4, limbs, &unit);
    RETURNS(LMML_ERR_INDEX, lmml_limbs_fill, s->v[0], NULL, 5, N, 3, limbs, &unit);
    RETURNS(LMML_ERR_INDEX, lmml_limbs_fill, s->v[0], outside, 1, N, 3, limbs, &unit);
    RETURNS(LMML_ERR_NOT_FINITE, lmml_limbs_fill, nan, s->index, 1, N, 3, limbs, &unit);
    v = 0x1p-1074;
    RETURNS(LMML_ERR_ARGUMENT, lmml_limbs_fill, &v, s->index, 1, N, 3, limbs, &unit);
#define GRADIENT(code, of, n, stop)                                                                \
    RETURNS(code, lmml_gradient, kernels, x, s->mean, s->inverse_sd, s->n_missing, of, n, 0, stop, \
            &v, 1)
    const lmml_vector five = {limbs, 5, 1};
    GRADIENT(LMML_ERR_INDEX, &vector, 1, P + 1);
    GRADIENT(LMML_ERR_ARGUMENT, &vector, 0, 1);
    GRADIENT(LMML_ERR_ARGUMENT, &five, 1, 1);
    RETURNS(LMML_ERR_INDEX, lmml_mask_fill, outside, 1, N, mask);
    RETURNS(LMML_ERR_INDEX, lmml_counts, kernels, x, s->mask, -1, 1, counts);
    RETURNS(LMML_ERR_INDEX, lmml_compress, kernels, x, s->mask, 2, 1, &byte);
    RETURNS(LMML_ERR_ISA, lmml_compress, tables[0], x, s->mask, 0, 1, &byte);
    RETURNS(LMML_ERR_INDEX, lmml_hash, x, s->mask, 0, P + 1, &hash);
    RETURNS(LMML_ERR_INDEX, lmml_compare, x, s->mask, 0, P, &equal);
    const int64_t rows[2] = {0, P};
    int64_t originals[2];
    int8_t signs[2];
    RETURNS(LMML_ERR_INDEX, lmml_duplicates, x, s->mask, rows, s->same_hash, 2, originals, signs);
    RETURNS(LMML_ERR_INDEX, lmml_sample_missing, x, s->use, 0, P + 1, &number);
#define DECODE(function, variants, index, out)                                                     \
    RETURNS(LMML_ERR_INDEX, function, kernels, x, variants, 1, s->mean, s->inverse_sd, index, 1,   \
            out)
    DECODE(lmml_decode_f32, no_snp, s->index, &f);
    DECODE(lmml_decode_f32, s->variants, outside, &f);
    DECODE(lmml_decode_f64, no_snp, s->index, &v);
    DECODE(lmml_decode_f64, s->variants, outside, &v);
    RETURNS(LMML_ERR_INDEX, lmml_decode_codes, x, no_snp, 1, s->index, 1, &byte);
    RETURNS(LMML_ERR_INDEX, lmml_decode_codes, x, s->variants, 1, outside, 1, &byte);

    lmml_dosages d = s->dosages[0], wide = d;
    const int64_t here[1] = {0};
    int64_t sums[LMML_DOSAGE_SUMS], missing[N];
    wide.bytes = 4;
#define EITHER(function, ...)                                                                      \
    RETURNS(LMML_ERR_ARGUMENT, function, kernels, &wide, __VA_ARGS__);                             \
    RETURNS(LMML_ERR_INDEX, function, kernels, &d, __VA_ARGS__)
#define RANGE(function, ...)                                                                       \
    RETURNS(LMML_ERR_ARGUMENT, function, &wide, __VA_ARGS__);                                      \
    RETURNS(LMML_ERR_INDEX, function, &d, __VA_ARGS__)
    RANGE(lmml_dosage_sums, here, 1, 0, DOSE + 1, sums);
    RANGE(lmml_dosage_sums, outside, 1, 0, 1, sums);
    RANGE(lmml_dosage_sums, NULL, 1, 0, 1, sums);
    EITHER(lmml_dosage_gradient, here, 1, s->mean, s->inverse_sd, s->v[0], 1, -1, 0, &v, 1);
    RETURNS(LMML_ERR_ARGUMENT, lmml_dosage_gradient, kernels, &d, here, 1, s->mean, s->inverse_sd,
            s->v[0], LMML_MAX_VECTORS + 1, 0, 1, &v, 1);
    EITHER(lmml_dosage_decode_f32, no_snp, 1, s->mean, s->inverse_sd, here, 1, &f);
    EITHER(lmml_dosage_decode_f64, no_snp, 1, s->mean, s->inverse_sd, here, 1, &v);
    RANGE(lmml_dosage_hash, here, 1, 1, 0, &hash);
    RANGE(lmml_dosage_duplicates, here, 1, no_snp, &hash, 1, &number, &sign);
    RANGE(lmml_dosage_missing, s->use, 0, DOSE + 1, missing);
}

static void refuse_the_rest(const workload *s, const lmml_kernels *kernels)
{
    double x[2 * N], work[3 * W], beta[W] = {0}, betas[W], tangent[W];
    const double zeros[W] = {0};
    lmml_factor factor;
    lmml_info info;
    int has_tangent;
    uint8_t exact;
    lmml_lasso lasso = s->lasso;
    lasso.ld = W - 1;
    lmml_factor_init(&factor);
    RETURNS(LMML_ERR_ARGUMENT, lmml_lasso_solve, kernels, &lasso, &s->options, &factor, beta, x,
            &info);
    const lmml_batch batch = {1, s->alpha, s->cd_tol, 1, 0, zeros, 0};
    RETURNS(LMML_ERR_ARGUMENT, lmml_lasso_batch, kernels, &s->lasso, &batch, &factor, beta, betas,
            &exact, tangent, &has_tangent, work);
    lmml_factor_free(&factor);

    const double below[1] = {-9};
    RETURNS(LMML_ERR_ARGUMENT, lmml_tridiagonal_profile, kernels, 0, 0, s->d, s->e, x, 1, s->deltas,
            x, x);
    RETURNS(LMML_ERR_NOT_POSITIVE, lmml_tridiagonal_profile, kernels, 2, 0, s->d, s->e, x, 1, below,
            x, work);
    lmml_reml reml = s->reml;
    reml.m = 1;
    RETURNS(LMML_ERR_ARGUMENT, lmml_reml_scan, &reml, 1, s->Z, s->xx, s->xy, x);

    double A[4] = {1, 0, 0, 1}, e[1], tau[1];
    const lmml_projected wrong = {2, 2, A, A, A}, P2 = {2, 1, A, A, A};
    RETURNS(LMML_ERR_ARGUMENT, lmml_tridiagonalise, &s->lapack, 0, A, x, e, tau);
    RETURNS(LMML_ERR_ARGUMENT, lmml_cholesky, &s->lapack, 2, A, 1);
    RETURNS(LMML_ERR_ARGUMENT, lmml_cholesky_solve, &s->lapack, 2, A, 2, -1, x, 2);
    RETURNS(LMML_ERR_ARGUMENT, lmml_projected_solve, kernels, &s->lapack, &wrong, 1, x);
    lapack_refuses = -2;
    x[0] = x[1] = 1;
    RETURNS(LMML_ERR_LAPACK, lmml_tridiagonalise, &s->lapack, 2, A, x + 2, e, tau);
    RETURNS(LMML_ERR_LAPACK, lmml_cholesky, &s->lapack, 2, A, 2);
    RETURNS(LMML_ERR_LAPACK, lmml_cholesky_solve, &s->lapack, 2, A, 2, 1, x, 2);
    RETURNS(LMML_ERR_LAPACK, lmml_projected_solve, kernels, &s->lapack, &P2, 1, x);
    lmml_lapack narrow = s->lapack; /* integers of no known width */
    narrow.integer_bytes = 2;
    RETURNS(LMML_ERR_ARGUMENT, lmml_tridiagonalise, &narrow, 2, A, x, e, tau);
    lapack_refuses = 0;
    A[0] = -1;
    RETURNS(LMML_ERR_NOT_POSITIVE, lmml_cholesky, &s->lapack, 2, A, 2);
}

static void no_workspace(char *uplo, void *n, double *a, void *lda, double *d, double *e,
                         double *tau, double *work, void *lwork, void *info)
{
    (void)uplo, (void)n, (void)a, (void)lda, (void)d, (void)e, (void)tau, (void)lwork;
    *work = NAN;
    *(int64_t *)info = 0;
}

static void refusing_query(char *uplo, void *n, double *a, void *lda, double *d, double *e,
                           double *tau, double *work, void *lwork, void *info)
{
    no_workspace(uplo, n, a, lda, d, e, tau, work, lwork, info);
    *(int64_t *)info = -1;
}

void test_refusals(void)
{
    for (int t = 0; t < n_tables; t++) {
        refuse_packed(&shared, tables[t]);
        refuse_the_rest(&shared, tables[t]);
    }
    double A[1] = {1}, d[1];
    lmml_lapack lapack = shared.lapack;
    lapack.dsytrd = no_workspace;
    RETURNS(LMML_ERR_LAPACK, lmml_tridiagonalise, &lapack, 1, A, d, d, d);
    lapack.dsytrd = refusing_query;
    RETURNS(LMML_ERR_LAPACK, lmml_tridiagonalise, &lapack, 1, A, d, d, d);
}

/* ---- the k-th allocation fails, for k = 0, 1, 2, ... --------------------------------------------
 */

static const lmml_kernels *in_use;
static lmml_factor kept; /* what a solver keeps from one call to the next */
static lmml_vector many[LMML_MAX_VECTORS];
static double result[W * N], beta_now[W];

static int call_gradient(void)
{
    return lmml_gradient(in_use, &shared.packed, shared.mean, shared.inverse_sd, shared.n_missing,
                         many, LMML_MAX_VECTORS, 0, P, result, P);
}
static int call_decode_f32(void)
{
    return lmml_decode_f32(in_use, &shared.packed, shared.variants, W, shared.mean,
                           shared.inverse_sd, shared.index, N / 2, (float *)result);
}
static int call_decode_f64(void)
{
    return lmml_decode_f64(in_use, &shared.packed, shared.variants, W, shared.mean,
                           shared.inverse_sd, shared.index, N / 2, result);
}
static int call_decode_codes(void)
{
    return lmml_decode_codes(&shared.packed, shared.variants, W, shared.index, N / 2,
                             (uint8_t *)result);
}
static int call_lasso_solve(void)
{
    lmml_info info;
    memset(beta_now, 0, sizeof beta_now);
    return lmml_lasso_solve(in_use, &shared.lasso, &shared.options, &kept, beta_now, result, &info);
}
static int call_finish(void)
{
    lmml_info info;
    memset(beta_now, 0, sizeof beta_now);
    return lmml_finish(in_use, &shared.lasso, &shared.options, &kept, beta_now, result, &info);
}
static int call_lasso_batch(void)
{
    const lmml_batch batch = {M, shared.alpha, shared.cd_tol, 0.9, 0.1, shared.weight, 0};
    double work[3 * W], tangent[W];
    uint8_t exact[M];
    int has_tangent;
    memset(beta_now, 0, sizeof beta_now);
    return lmml_lasso_batch(in_use, &shared.lasso, &batch, &kept, beta_now, result, exact, tangent,
                            &has_tangent, work);
}
static int call_reml_scan(void)
{
    return lmml_reml_scan(&shared.reml, SNPS, shared.Z, shared.xx, shared.xy, result);
}
static int call_tridiagonalise(void)
{
    double A[CHOL * CHOL];
    memcpy(A, shared.A, sizeof A);
    return lmml_tridiagonalise(&shared.lapack, CHOL, A, result, result + N, result + 2 * N);
}
static int call_projected_solve(void)
{
    const lmml_projected projected = {CHOL, 1, shared.A, shared.V, shared.T};
    memcpy(result, shared.profile_rows, 2 * CHOL * sizeof *result);
    return lmml_projected_solve(in_use, &shared.lapack, &projected, 2, result);
}

/* at_least: allocations of one call. A solver is asked again with what the failure left of it. */
static const struct {
    const char *name;
    int (*call)(void);
    int at_least;
} allocating[] = {{"lmml_gradient", call_gradient, 1},
                  {"lmml_decode_f32", call_decode_f32, 1},
                  {"lmml_decode_f64", call_decode_f64, 1},
                  {"lmml_decode_codes", call_decode_codes, 1},
                  {"lmml_lasso_solve", call_lasso_solve, 7},
                  {"lmml_finish", call_finish, 7},
                  {"lmml_lasso_batch", call_lasso_batch, 7},
                  {"lmml_reml_scan", call_reml_scan, 1},
                  {"lmml_tridiagonalise", call_tridiagonalise, 1},
                  {"lmml_projected_solve", call_projected_solve, 1}};

static void fail_each_allocation(int which, int for_good)
{
    static double expected[W * N];
    const int64_t before = n_live();
    CHECK(allocating[which].call() == LMML_OK);
    memcpy(expected, result, sizeof expected);
    lmml_factor_free(&kept);
    int64_t k = 0;
    for (;; k++) {
        fail_after(k, for_good);
        const int code = allocating[which].call();
        fail_no_more();
        if (code == LMML_OK) break;
        CHECK(returned(allocating[which].name, LMML_ERR_MEMORY, code));
        CHECK(allocating[which].call() == LMML_OK); /* and what is left is fit for use */
        int close = 1;
        for (int i = 0; i < W * N && allocating[which].at_least > 1; i++)
            close = close && fabs(result[i] - expected[i]) <= 1e-8 * (1 + fabs(expected[i]));
        CHECK(close &&
              (allocating[which].at_least > 1 || memcmp(result, expected, sizeof expected) == 0));
        lmml_factor_free(&kept);
        CHECK(n_live() == before);
    }
    CHECK(k >= allocating[which].at_least);
    lmml_factor_free(&kept);
    CHECK(n_live() == before);
}

void test_allocation_failures(void)
{
    int8_t *limbs = allocate((size_t)lmml_limbs_size(N, LMML_LIMBS_CERTIFICATE));
    many[0] = (lmml_vector){limbs, LMML_LIMBS_CERTIFICATE, 0};
    CHECK(lmml_limbs_fill(shared.v[0], NULL, N, N, LMML_LIMBS_CERTIFICATE, limbs, &many[0].unit) ==
          LMML_OK);
    for (int k = 1; k < LMML_MAX_VECTORS; k++) many[k] = many[0];
    for (int t = 0; t < n_tables; t++) {
        in_use = tables[t];
        for (size_t i = 0; i < sizeof allocating / sizeof *allocating; i++) {
            fail_each_allocation((int)i, 0);
            fail_each_allocation((int)i, 1);
        }
    }
    free(limbs);
}

/* ---- nothing is left out -----------------------------------------------------------------------
 */

static int was_seen(const char *function, const char *code)
{
    for (int i = 0; i < n_seen; i++) {
        const char *name = strrchr(lmml_strerror(seen[i].code), '('); /* "(LMML_ERR_INDEX)" */
        const size_t length = strlen(code);
        if (strcmp(seen[i].function, function) == 0 && strncmp(name + 10, code, length) == 0 &&
            name[10 + length] == ')')
            return 1;
    }
    return 0;
}

/* The header's table against what was seen; its functions against the table. */
static void test_header(const char *path)
{
    static char listed[64][48];
    char line[256], name[48];
    int n_listed = 0, n_codes = 0, n_declared = 0;
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, " *   %47s", name) == 1 && strncmp(name, "lmml_", 5) == 0 &&
            strncmp(line, " *   lmml_", 10) == 0 && n_listed < 64) {
            strcpy(listed[n_listed++], name);
            for (char *code = strtok(strstr(line, name) + strlen(name), " \n"); code;
                 code = strtok(NULL, " \n")) {
                if (strcmp(code, "none") == 0) continue;
                n_codes++;
                const int found = was_seen(name, code);
                if (!found) printf("%s: no test makes it return %s\n", name, code);
                CHECK(found);
            }
        } else if (sscanf(line, "int %47[a-z0-9_](", name) == 1 && strncmp(name, "lmml_", 5) == 0) {
            int found = 0;
            for (int i = 0; i < n_listed; i++) found = found || strcmp(listed[i], name) == 0;
            if (!found) printf("%s: not in the table of errors of %s\n", name, path);
            CHECK(found);
            n_declared++;
        }
    }
    fclose(file);
    CHECK(n_declared == n_listed && n_codes > 5);
}

typedef struct {
    const char *file, *function;
    int line;
    int n_reached;
} error_site; /* as in reached.h */

extern error_site *const __start_error_sites[], *const __stop_error_sites[];

static int entered(const char *file, int line)
{
    for (error_site *const *site = __start_error_sites; site < __stop_error_sites; site++) {
        const char *name = strrchr((*site)->file, '/');
        if ((*site)->line == line && strcmp(name ? name + 1 : (*site)->file, file) == 0) return 1;
    }
    return 0;
}

/* Every line of the sources that names a code is in the table: a file that is compiled without
 * reached.h has none there. Of macros, the lines that use them are. */
static void test_sources(void)
{
    char path[4096], line[256];
    int n_lines = 0;
    DIR *folder = opendir(LMML_SOURCES);
    CHECK(folder != NULL);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        const char *end = strrchr(entry->d_name, '.');
        const int header = end && strcmp(end, ".h") == 0, source = end && strcmp(end, ".c") == 0;
        /* the documented codes and their texts */
        if (!(header || source) || strcmp(entry->d_name, "lmml.h") == 0 ||
            strcmp(entry->d_name, "lmml_lapack.h") == 0 ||
            strcmp(entry->d_name, "lmml_error.c") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", LMML_SOURCES, entry->d_name);
        FILE *file = fopen(path, "r");
        CHECK(file != NULL);
        for (int k = 1, in_macro = 0; file && fgets(line, sizeof line, file); k++) {
            in_macro = in_macro || strncmp(line, "#define", 7) == 0;
            if (strstr(line, "LMML_ERR_") && !in_macro) {
                n_lines++;
                if (!entered(entry->d_name, k))
                    printf("%s:%d: compiled without reached.h\n", entry->d_name, k);
                CHECK(entered(entry->d_name, k));
            }
            const char *last = strrchr(line, '\\');
            in_macro = in_macro && last && last[1] == '\n';
        }
        if (file) fclose(file);
    }
    if (folder) closedir(folder);
    CHECK(n_lines > 40);
}

void test_every_error_was_seen(void)
{
    const int has_tiles = strcmp(lmml_kernels_name(tables[n_tables - 1]), "amx") == 0;
    int n_sites = 0, n_passed_here = 0;
    char elsewhere[512] = "";
    test_header(LMML_SOURCES "/lmml.h");
    test_header(LMML_SOURCES "/lmml_lapack.h");
    test_sources();
    for (error_site *const *site = __start_error_sites; site < __stop_error_sites; site++) {
        n_sites++;
        if (!(*site)->n_reached && !has_tiles && strcmp((*site)->function, "operand_init") == 0) {
            /* the one error that only the memory of matrix tiles can bring about */
            snprintf(elsewhere, sizeof elsewhere, ", not %s, which needs AMX", (*site)->function);
            continue;
        }
        if (!(*site)->n_reached)
            printf("%s:%d: %s: no test comes here\n", (*site)->file, (*site)->line,
                   (*site)->function);
        CHECK((*site)->n_reached > 0);
        n_passed_here += (*site)->n_reached > 0;
    }
    CHECK(n_sites > 40);
    printf("passed %d of %d places that return an error%s\n", n_passed_here, n_sites, elsewhere);
}
