/* allocations.c - malloc and its like, counted, filled with NaN, and made to fail on demand. */
#include <malloc.h>
#include <stdatomic.h>

#include "faults.h"

void *__real_malloc(size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);

static _Thread_local int64_t successes_left = -1; /* -1: nothing fails */
static _Thread_local int fails_for_good;
static _Atomic int64_t live;

void fail_after(int64_t k, int for_good)
{
    successes_left = k;
    fails_for_good = for_good;
}

void fail_no_more(void) { successes_left = -1; }

int64_t n_live(void) { return live; }

void fill_with_nan(void *memory, size_t size)
{
    static const uint32_t word = 0x7ff4dead;
    static int unfilled = -1; /* asked for before there are threads */
    if (unfilled < 0) unfilled = getenv("LMML_TEST_UNFILLED") != NULL;
    if (unfilled) return;
    for (size_t i = 0; i < size; i += sizeof word)
        memcpy((char *)memory + i, &word, size - i < sizeof word ? size - i : sizeof word);
}

static int fails(void)
{
    if (successes_left < 0) return 0;
    if (successes_left > 0) return successes_left--, 0;
    if (!fails_for_good) successes_left = -1;
    return 1;
}

void *__wrap_malloc(size_t size)
{
    void *p = fails() ? NULL : __real_malloc(size);
    if (p) {
        live++;
        fill_with_nan(p, size);
    }
    return p;
}

void *__wrap_calloc(size_t n, size_t size)
{
    if (size && n > SIZE_MAX / size) return NULL;
    void *p = __wrap_malloc(n * size);
    return p ? memset(p, 0, n * size) : NULL;
}

/* Always to another place: who keeps the old pointer is found out. */
void *__wrap_realloc(void *p, size_t size)
{
    void *q = __wrap_malloc(size);
    if (!p || !q) return q;
    const size_t old = malloc_usable_size(p);
    memcpy(q, p, old < size ? old : size);
    __wrap_free(p);
    return q;
}

void __wrap_free(void *p)
{
    if (p) live--;
    __real_free(p);
}
