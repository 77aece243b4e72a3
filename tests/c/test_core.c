/* test_core.c - the C core, without Python and without a test framework: exit code 0 when nothing
 * failed. LMML_TEST_SMALL in the environment leaves out the one large problem (for valgrind). */
#include <string.h>

#include "check.h"

int n_passed, n_failed;
const lmml_kernels *tables[4];
int n_tables;

/* An allocation that cannot succeed is what one test asks for. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "allocator_may_return_null=1"; }

static uint64_t state;

uint64_t next_random(void)
{
    uint64_t z = (state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

double uniform(void) { return (double)(next_random() >> 11) * 0x1p-52 - 1; }

void *allocate(size_t size)
{
    void *p = calloc(size ? size : 1, 1);
    if (!p) abort();
    return p;
}

static void test_kernels(void)
{
    static const char *const names[] = {"generic", "avx2", "avx512", "amx"};
    const lmml_kernels *found = NULL;
    for (int i = 0; i < 4; i++)
        if (lmml_kernels_select(names[i], &found) == LMML_OK) {
            CHECK(strcmp(lmml_kernels_name(found), names[i]) == 0);
            tables[n_tables++] = found;
        }
    CHECK(n_tables >= 1 && strcmp(lmml_kernels_name(tables[0]), "generic") == 0);
    CHECK(lmml_kernels_select(NULL, &found) == LMML_OK && found == tables[n_tables - 1]);
    found = NULL;
    CHECK(lmml_kernels_select("sse9", &found) == LMML_ERR_ISA && found == NULL);
    CHECK(lmml_kernels_select("", &found) == LMML_ERR_ISA);
    CHECK(lmml_kernels_select("generic ", &found) == LMML_ERR_ISA);
#if defined(__x86_64__) && !defined(_MSC_VER) /* the compiler's own library finds the same */
    const int avx2 = lmml_kernels_select("avx2", &found) == LMML_OK;
    const int avx512 = lmml_kernels_select("avx512", &found) == LMML_OK;
    __builtin_cpu_init();
    CHECK(avx2 == (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                   __builtin_cpu_supports("popcnt")));
    CHECK(avx512 == (avx2 && __builtin_cpu_supports("avx512f") &&
                     __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                     __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("bmi2")));
#endif
}

static void test_errors_have_names(void)
{
    static const struct {
        int code;
        const char *name;
    } all[] = {{LMML_OK, "(LMML_OK)"},
               {LMML_ERR_MEMORY, "(LMML_ERR_MEMORY)"},
               {LMML_ERR_ARGUMENT, "(LMML_ERR_ARGUMENT)"},
               {LMML_ERR_INDEX, "(LMML_ERR_INDEX)"},
               {LMML_ERR_NOT_FINITE, "(LMML_ERR_NOT_FINITE)"},
               {LMML_ERR_ISA, "(LMML_ERR_ISA)"},
               {LMML_ERR_NOT_POSITIVE, "(LMML_ERR_NOT_POSITIVE)"},
               {LMML_ERR_LAPACK, "(LMML_ERR_LAPACK)"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const char *text = lmml_strerror(all[i].code);
        const size_t length = strlen(all[i].name);
        CHECK(strlen(text) > length && strcmp(text + strlen(text) - length, all[i].name) == 0);
    }
    CHECK(lmml_strerror(-1000) != NULL && lmml_strerror(7) != NULL);
}

int main(void)
{
    test_kernels();
    test_errors_have_names();
    test_packed(getenv("LMML_TEST_SMALL") == NULL);
    test_dosage();
    test_lasso();
    test_scan();
    test_tridiagonal();
    printf("%d passed, %d failed\n", n_passed, n_failed);
    return n_failed != 0;
}
