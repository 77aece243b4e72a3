/* check.c - what the two C test programs share. */
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

void find_tables(void)
{
    static const char *const names[] = {"generic", "avx2", "avx512", "amx"};
    const lmml_kernels *found = NULL;
    for (int i = 0; i < 4; i++)
        if (lmml_kernels_select(names[i], &found) == LMML_OK) {
            CHECK(strcmp(lmml_kernels_name(found), names[i]) == 0);
            tables[n_tables++] = found;
        }
}
