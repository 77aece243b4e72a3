/* test_faults.c - the core where something goes wrong: refusals, allocations that fail, memory full
 * of NaN, floating-point traps, threads. Exit code 0 when nothing failed. */
#include <fenv.h>
#include <pthread.h>

#include "faults.h"

/* A NaN that is used, and nothing else, ends the program: every output must be a number. */
static void test_traps(void)
{
    outcome *out = allocate(sizeof *out);
    for (int t = 0; t < n_tables; t++) {
#if !defined(__clang__) /* which computes what it may not need, unless told that somebody looks */
        feenableexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW);
#endif
        const int bad = run_workload(tables[t], out);
        fedisableexcept(FE_ALL_EXCEPT);
        CHECK(bad == 0);
        int finite = 1;
        for (size_t i = 0; i < sizeof *out / sizeof(double); i++)
            finite = finite && isfinite(((const double *)out)[i]);
        CHECK(finite);
    }
    free(out);
}

enum { THREADS = 6, ROUNDS = 4 };

typedef struct {
    const lmml_kernels *kernels;
    outcome out;
    int bad;
} task;

static void *run_task(void *argument)
{
    task *mine = argument;
    mine->bad = 0;
    for (int round = 0; round < ROUNDS; round++)
        mine->bad += run_workload(mine->kernels, &mine->out);
    return NULL;
}

/* Many threads on the same data, each with its own factors and workspaces: what one does alone. */
static void test_threads(void)
{
    pthread_t threads[THREADS];
    outcome *alone = allocate(sizeof *alone);
    task *tasks = allocate(THREADS * sizeof *tasks);
    for (int t = 0; t < n_tables; t++) {
        CHECK(run_workload(tables[t], alone) == 0);
        for (int k = 0; k < THREADS; k++) {
            tasks[k].kernels = tables[t];
            CHECK(pthread_create(&threads[k], NULL, run_task, &tasks[k]) == 0);
        }
        for (int k = 0; k < THREADS; k++) {
            CHECK(pthread_join(threads[k], NULL) == 0);
            CHECK(tasks[k].bad == 0);
            CHECK(memcmp(&tasks[k].out, alone, sizeof *alone) == 0);
        }
    }
    free(alone);
    free(tasks);
}

int main(void)
{
    find_tables();
    make_workload();
    test_traps();
    test_threads();
    test_refusals();
    test_allocation_failures();
    test_every_error_was_seen();
    CHECK(n_live() == 0);
    printf("%d passed, %d failed\n", n_passed, n_failed);
    return n_failed != 0;
}
