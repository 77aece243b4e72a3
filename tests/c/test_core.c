/* test_core.c - the C core, without Python and without a test framework: exit code 0 when nothing
 * failed. LMML_TEST_SMALL in the environment leaves out the one large problem (for valgrind). */
#include <string.h>

#include "check.h"

static void test_kernels(void)
{
    const lmml_kernels *found = NULL;
    find_tables();
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
