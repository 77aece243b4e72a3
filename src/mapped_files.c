/* mapped_files.c - what became of files that are mapped. */
#include "mapped_files.h"

#ifdef _WIN32

int mapped_file_watch(const void *start, size_t length, int file)
{
    (void)start;
    (void)length;
    (void)file;
    return -1;
}

void mapped_file_forget(int watch) { (void)watch; }

int mapped_file_state(int watch)
{
    (void)watch;
    return MAPPED_FILE_SAME;
}

int mapped_files_catch(void) { return 0; }

void mapped_files_release(void) {}

#else

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif
#ifdef __APPLE__
#define MODIFIED st_mtimespec
#else
#define MODIFIED st_mtim
#endif

#define MAX_WATCHES 1024

/* The handler reads start and end at any moment: start is set last of all when a watch begins, and
 * first when it ends (0: none). */
static struct {
    atomic_int taken;
    atomic_uintptr_t start, end;
    atomic_int unreadable;
    int file;
    struct stat before;
} watches[MAX_WATCHES];

static atomic_int catching;
static struct sigaction handler_before;
static uintptr_t page_size;

int mapped_file_watch(const void *start, size_t length, int file)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)start, end;
    int k;

    if (length == 0) {
        return -1;
    }
    end = first + length + page - 1;
    for (k = 0; k < MAX_WATCHES; k++) {
        int expected = 0;
        if (!atomic_compare_exchange_strong(&watches[k].taken, &expected, 1)) {
            continue;
        }
        if (fstat(file, &watches[k].before) != 0) {
            atomic_store(&watches[k].taken, 0);
            return -1;
        }
        watches[k].file = file;
        atomic_store(&watches[k].unreadable, 0);
        atomic_store(&watches[k].end, end - end % page);
        atomic_store(&watches[k].start, first - first % page);
        return k;
    }
    return -1;
}

void mapped_file_forget(int watch)
{
    if (watch >= 0) {
        atomic_store(&watches[watch].start, 0);
        atomic_store(&watches[watch].taken, 0);
    }
}

int mapped_file_state(int watch)
{
    const struct stat *before;
    struct stat now;

    if (watch < 0) {
        return MAPPED_FILE_SAME;
    }
    before = &watches[watch].before;
    /* A descriptor that somebody closed, and that may be of another file by now, tells nothing. */
    if (fstat(watches[watch].file, &now) == 0 && now.st_ino == before->st_ino &&
        now.st_dev == before->st_dev) {
        if (now.st_size != before->st_size) {
            return MAPPED_FILE_RESIZED;
        }
        if (now.MODIFIED.tv_sec != before->MODIFIED.tv_sec ||
            now.MODIFIED.tv_nsec != before->MODIFIED.tv_nsec) {
            return MAPPED_FILE_WRITTEN;
        }
    }
    return atomic_load(&watches[watch].unreadable) ? MAPPED_FILE_UNREADABLE : MAPPED_FILE_SAME;
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    uintptr_t at = (uintptr_t)info->si_addr;
    int kept_errno = errno, k;

    (void)context;
    if (info->si_code <= 0) { /* sent by a process, and of no address: again, when this ends */
        sigaction(SIGBUS, &handler_before, NULL);
        raise(number);
        errno = kept_errno;
        return;
    }
    for (k = 0; k < MAX_WATCHES; k++) {
        uintptr_t start = atomic_load(&watches[k].start), end = atomic_load(&watches[k].end);
        if (start == 0 || at < start || at >= end) {
            continue;
        }
        /* the rest of the map, too: nothing that is read from now on counts */
        at -= at % page_size;
        if (mmap((void *)at, end - at, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
            MAP_FAILED) {
            break;
        }
        atomic_store(&watches[k].unreadable, 1);
        errno = kept_errno;
        return;
    }
    /* Not ours: the instruction is repeated, and fails again where it should. */
    sigaction(SIGBUS, &handler_before, NULL);
    errno = kept_errno;
}

int mapped_files_catch(void)
{
    struct sigaction action;
    int expected = 0;

    if (!atomic_compare_exchange_strong(&catching, &expected, 1)) {
        return 0;
    }
    page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    sigemptyset(&action.sa_mask);
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    if (sigaction(SIGBUS, &action, &handler_before) != 0) {
        atomic_store(&catching, 0);
        return 0;
    }
    return 1;
}

void mapped_files_release(void)
{
    sigaction(SIGBUS, &handler_before, NULL);
    atomic_store(&catching, 0);
}

#endif
