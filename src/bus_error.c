/* bus_error.c - zeros for what a map of a file cannot read any more. */
#include "bus_error.h"

#ifdef _WIN32

int bus_error_install(void) { return 0; }

void bus_error_uninstall(void) {}

int bus_error_add(const void *start, size_t length)
{
    (void)start;
    (void)length;
    return -1;
}

void bus_error_remove(int guard) { (void)guard; }

int bus_error_broken(int guard)
{
    (void)guard;
    return 0;
}

#else

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

#define MAX_GUARDS 256

/* The handler reads these at any moment: start last of all when a guard begins, first when it ends
 * (0: none). */
static struct {
    atomic_int taken;
    atomic_uintptr_t start, end;
    atomic_int broken;
} guards[MAX_GUARDS];

static atomic_int installed;
static struct sigaction before;
static uintptr_t page_size;

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    uintptr_t at = (uintptr_t)info->si_addr;
    int kept_errno = errno, k;

    (void)number;
    (void)context;
    for (k = 0; k < MAX_GUARDS; k++) {
        uintptr_t start = atomic_load(&guards[k].start), end = atomic_load(&guards[k].end);
        if (start == 0 || at < start || at >= end) {
            continue;
        }
        /* the rest of the map, too: nothing that is read from now on counts */
        at -= at % page_size;
        if (mmap((void *)at, end - at, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
            MAP_FAILED) {
            break;
        }
        atomic_store(&guards[k].broken, 1);
        errno = kept_errno;
        return;
    }
    /* Not ours: the instruction is repeated, and fails again where it should. */
    sigaction(SIGBUS, &before, NULL);
    errno = kept_errno;
}

int bus_error_install(void)
{
    struct sigaction action;
    int expected = 0;

    if (!atomic_compare_exchange_strong(&installed, &expected, 1)) {
        return 0;
    }
    page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    sigemptyset(&action.sa_mask);
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    if (sigaction(SIGBUS, &action, &before) != 0) {
        atomic_store(&installed, 0);
        return 0;
    }
    return 1;
}

void bus_error_uninstall(void)
{
    sigaction(SIGBUS, &before, NULL);
    atomic_store(&installed, 0);
}

int bus_error_add(const void *start, size_t length)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)start, end;
    int k;

    if (length == 0) {
        return -1;
    }
    end = first + length + page - 1;
    for (k = 0; k < MAX_GUARDS; k++) {
        int expected = 0;
        if (atomic_compare_exchange_strong(&guards[k].taken, &expected, 1)) {
            atomic_store(&guards[k].broken, 0);
            atomic_store(&guards[k].end, end - end % page);
            atomic_store(&guards[k].start, first - first % page);
            return k;
        }
    }
    return -1;
}

void bus_error_remove(int guard)
{
    if (guard >= 0) {
        atomic_store(&guards[guard].start, 0);
        atomic_store(&guards[guard].taken, 0);
    }
}

int bus_error_broken(int guard) { return guard >= 0 && atomic_load(&guards[guard].broken); }

#endif
