/* test_mapped_files.c - watched maps of files: what is said of a file that changed, what is read
 * where it is gone, and whose a SIGBUS is. Exit code 0 when nothing failed. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "mapped_files.h"

enum { PAGES = 4, WATCHES = 1024, THREADS = 6, ROUNDS = 40 };

static size_t page;

/* ---- files and maps ----------------------------------------------------------------------------
 */

typedef struct {
    int file, watch;
    const volatile char *map; /* each read is one */
} watched;

/* Some time before the test: a write is then seen, however coarse the clock of the file system. */
static int made_long_ago(int file)
{
    const struct timespec then[2] = {{1000000000, 0}, {1000000000, 0}};
    return futimens(file, then) == 0;
}

/* A file of PAGES pages without name; 0 if something failed. */
static int make_file(int *file, char content)
{
    char name[] = "/tmp/test_mapped_files_XXXXXX", *text = allocate(PAGES * page);
    memset(text, content, PAGES * page);
    *file = mkstemp(name);
    const int made = *file >= 0 && unlink(name) == 0 &&
                     write(*file, text, PAGES * page) == (ssize_t)(PAGES * page) &&
                     made_long_ago(*file);
    free(text);
    return made;
}

static int begin(watched *w, char content)
{
    if (!make_file(&w->file, content)) return 0;
    w->map = mmap(NULL, PAGES * page, PROT_READ, MAP_SHARED, w->file, 0);
    if (w->map == MAP_FAILED) return 0;
    w->watch = mapped_file_watch((const void *)w->map, PAGES * page, w->file);
    return w->watch >= 0;
}

static void end(watched *w)
{
    mapped_file_forget(w->watch);
    munmap((void *)w->map, PAGES * page);
    close(w->file);
}

/* Whether every byte of pages first .. last - 1 is this one. */
static int holds(const watched *w, int first, int last, char content)
{
    for (size_t at = first * page; at < last * page; at++)
        if (w->map[at] != content) return 0;
    return 1;
}

/* ---- whose a SIGBUS is -------------------------------------------------------------------------
 */

static sigjmp_buf out_of_read;
static volatile sig_atomic_t n_reached;
static volatile sig_atomic_t leaves; /* or returns to what it interrupted */

static void earlier_handler(int number)
{
    (void)number;
    n_reached++;
    if (leaves) siglongjmp(out_of_read, 1);
}

static void install_earlier(int may_leave)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = earlier_handler;
    CHECK(sigaction(SIGBUS, &action, NULL) == 0);
    n_reached = 0;
    leaves = may_leave;
}

static int earlier_is_installed(void)
{
    struct sigaction now;
    return sigaction(SIGBUS, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
           now.sa_handler == earlier_handler;
}

/* 1 if reading this byte reached the earlier handler. */
static int read_reaches_earlier(const watched *w, size_t at)
{
    n_reached = 0;
    if (sigsetjmp(out_of_read, 1) == 0) (void)w->map[at];
    return n_reached == 1;
}

/* ---- tests -------------------------------------------------------------------------------------
 */

static void test_states(void)
{
    watched w, other;
    CHECK(begin(&w, 'a') && begin(&other, 'b'));
    CHECK(w.watch != other.watch);
    CHECK(mapped_file_state(w.watch) == MAPPED_FILE_SAME);
    CHECK(pwrite(w.file, "x", 1, 0) == 1);
    CHECK(mapped_file_state(w.watch) == MAPPED_FILE_WRITTEN);
    CHECK(made_long_ago(w.file));
    CHECK(mapped_file_state(w.watch) == MAPPED_FILE_SAME); /* size and time are all it knows */
    CHECK(ftruncate(w.file, PAGES * page + 1) == 0);
    CHECK(mapped_file_state(w.watch) == MAPPED_FILE_RESIZED);
    CHECK(ftruncate(w.file, PAGES * page - 1) == 0);
    CHECK(mapped_file_state(w.watch) == MAPPED_FILE_RESIZED);
    CHECK(mapped_file_state(other.watch) == MAPPED_FILE_SAME);
    CHECK(ftruncate(w.file, PAGES * page) == 0 && made_long_ago(w.file));
    CHECK(ftruncate(other.file, page) == 0);
    CHECK(dup2(other.file, w.file) == w.file); /* the descriptor is of another file */
    CHECK(mapped_file_state(w.watch) == MAPPED_FILE_SAME);
    CHECK(mapped_file_state(other.watch) == MAPPED_FILE_RESIZED);
    CHECK(close(w.file) == 0);
    CHECK(mapped_file_state(w.watch) == MAPPED_FILE_SAME);
    end(&w);
    end(&other);
}

static void test_what_is_not_watched(void)
{
    watched w;
    CHECK(begin(&w, 'a'));
    CHECK(mapped_file_state(-1) == MAPPED_FILE_SAME);
    mapped_file_forget(-1);
    CHECK(mapped_file_watch((const void *)w.map, 0, w.file) == -1);
    for (int k = 0; k < 2 * WATCHES; k++) /* no place is lost to one that fails */
        if (mapped_file_watch((const void *)w.map, page, -1) != -1) CHECK(!"a file that is none");
    end(&w);
}

static void test_full_table(void)
{
    static int taken[WATCHES];
    watched w;
    int distinct = 1;
    CHECK(begin(&w, 'a'));
    for (int k = 0; k < WATCHES - 1; k++) {
        const int watch = mapped_file_watch((const void *)w.map, page, w.file);
        CHECK(watch >= 0 && watch < WATCHES);
        distinct = distinct && watch != w.watch && !taken[watch];
        taken[watch] = 1;
    }
    CHECK(distinct);
    CHECK(mapped_file_watch((const void *)w.map, page, w.file) == -1);
    const int some = (w.watch + WATCHES / 2) % WATCHES;
    CHECK(ftruncate(w.file, page) == 0);
    CHECK(mapped_file_state(some) == MAPPED_FILE_RESIZED);
    mapped_file_forget(some);
    CHECK(mapped_file_watch((const void *)w.map, page, w.file) == some);
    CHECK(mapped_file_state(some) == MAPPED_FILE_SAME); /* as compared with now */
    for (int k = 0; k < WATCHES; k++)
        if (taken[k]) mapped_file_forget(k);
    end(&w);
}

static void test_cut(void)
{
    watched cut, other;
    install_earlier(0);
    CHECK(mapped_files_catch() == 1);
    CHECK(mapped_files_catch() == 0);
    CHECK(begin(&cut, 'a') && begin(&other, 'b'));
    CHECK(holds(&cut, 0, PAGES, 'a'));
    CHECK(ftruncate(cut.file, page + 100) == 0);
    errno = ERANGE;
    CHECK(holds(&cut, 0, 1, 'a') && cut.map[page + 99] == 'a' && cut.map[page + 100] == 0);
    CHECK(holds(&cut, 2, 3, 0));
    CHECK(errno == ERANGE);
    CHECK(n_reached == 0);
    CHECK(mapped_file_state(cut.watch) == MAPPED_FILE_RESIZED);
    /* it has its size and time again: only that it could not be read is left, and the zeros */
    CHECK(ftruncate(cut.file, PAGES * page) == 0 && made_long_ago(cut.file));
    CHECK(mapped_file_state(cut.watch) == MAPPED_FILE_UNREADABLE);
    CHECK(pwrite(cut.file, "xyz", 3, 3 * page) == 3);
    CHECK(holds(&cut, 3, PAGES, 0) && holds(&cut, 0, 1, 'a'));
    CHECK(holds(&other, 0, PAGES, 'b'));
    CHECK(mapped_file_state(other.watch) == MAPPED_FILE_SAME);
    end(&cut);
    CHECK(begin(&cut, 'c'));
    CHECK(mapped_file_state(cut.watch) == MAPPED_FILE_SAME); /* in the place of the other */
    CHECK(ftruncate(cut.file, 0) == 0);
    CHECK(cut.map[PAGES * page - 1] == 0); /* from the last page on, and no more */
    CHECK(mapped_file_state(cut.watch) == MAPPED_FILE_RESIZED);
    CHECK(holds(&cut, 0, PAGES, 0));
    end(&cut);
    end(&other);
    mapped_files_release();
    CHECK(earlier_is_installed());
    CHECK(mapped_files_catch() == 1);
    CHECK(!earlier_is_installed());
    mapped_files_release();
    CHECK(earlier_is_installed());
}

static void test_not_ours(void)
{
    watched forgotten, w;
    install_earlier(1);
    CHECK(begin(&forgotten, 'a') && begin(&w, 'b'));
    mapped_file_forget(forgotten.watch);
    CHECK(ftruncate(forgotten.file, 0) == 0 && ftruncate(w.file, page) == 0);
    CHECK(mapped_files_catch() == 1);
    CHECK(holds(&w, 1, PAGES, 0) && n_reached == 0);
    CHECK(read_reaches_earlier(&forgotten, 0));
    CHECK(earlier_is_installed()); /* where the next one belongs, too */
    mapped_files_release();
    /* of no address: sent by a process */
    install_earlier(0);
    CHECK(mapped_files_catch() == 1);
    CHECK(kill(getpid(), SIGBUS) == 0);
    CHECK(n_reached == 1);
    mapped_files_release();
    forgotten.watch = -1; /* its place may be another's */
    end(&forgotten);
    end(&w);
}

/* ---- threads -----------------------------------------------------------------------------------
 */

static void *watch_and_read(void *argument)
{
    int *bad = argument;
    for (int round = 0; round < ROUNDS; round++) {
        const char content = (char)('a' + round % 20);
        const int cut = round % PAGES;
        watched w;
        if (!begin(&w, content)) {
            ++*bad;
            continue;
        }
        *bad += !holds(&w, 0, PAGES, content) || mapped_file_state(w.watch) != MAPPED_FILE_SAME;
        *bad += ftruncate(w.file, cut * page) != 0;
        *bad += !holds(&w, 0, cut, content) || !holds(&w, cut, PAGES, 0);
        *bad += mapped_file_state(w.watch) != MAPPED_FILE_RESIZED;
        *bad += ftruncate(w.file, PAGES * page) != 0 || !made_long_ago(w.file);
        *bad += mapped_file_state(w.watch) != MAPPED_FILE_UNREADABLE;
        end(&w);
    }
    return NULL;
}

/* Each its own maps, in the places of a table that they share. */
static void test_threads(void)
{
    pthread_t threads[THREADS];
    int bad[THREADS] = {0};
    CHECK(mapped_files_catch() == 1);
    for (int k = 0; k < THREADS; k++)
        CHECK(pthread_create(&threads[k], NULL, watch_and_read, &bad[k]) == 0);
    for (int k = 0; k < THREADS; k++) {
        CHECK(pthread_join(threads[k], NULL) == 0);
        CHECK(bad[k] == 0);
    }
    mapped_files_release();
}

enum { TAKES = 10000 };

static atomic_int owners[WATCHES];
static pthread_barrier_t together;

static void *take_places(void *argument)
{
    const watched *w = argument;
    int n_bad = 0;
    pthread_barrier_wait(&together);
    for (int k = 0; k < TAKES; k++) {
        const int watch = mapped_file_watch((const void *)w->map, page, w->file);
        if (watch < 0) return argument;
        n_bad += atomic_exchange(&owners[watch], 1);
        n_bad += mapped_file_state(watch) != MAPPED_FILE_SAME;
        atomic_store(&owners[watch], 0);
        mapped_file_forget(watch);
    }
    return n_bad ? argument : NULL;
}

/* A place of the table is one thread's at a time. */
static void test_threads_take_places(void)
{
    pthread_t threads[THREADS];
    watched w;
    void *bad;
    CHECK(begin(&w, 'a'));
    CHECK(pthread_barrier_init(&together, NULL, THREADS) == 0);
    for (int k = 0; k < THREADS; k++)
        CHECK(pthread_create(&threads[k], NULL, take_places, &w) == 0);
    for (int k = 0; k < THREADS; k++) {
        CHECK(pthread_join(threads[k], &bad) == 0);
        CHECK(bad == NULL);
    }
    pthread_barrier_destroy(&together);
    end(&w);
}

static void *read_to_the_end(void *argument)
{
    const watched *w = argument;
    int n_bad = 0;
    for (int k = 0; k < ROUNDS; k++) n_bad += !holds(w, 1, PAGES, 0);
    return n_bad ? argument : NULL;
}

/* All meet the end of one file at a time. */
static void test_threads_on_one_map(void)
{
    pthread_t threads[THREADS];
    watched w;
    void *bad;
    CHECK(mapped_files_catch() == 1);
    CHECK(begin(&w, 'a'));
    CHECK(ftruncate(w.file, page) == 0);
    for (int k = 0; k < THREADS; k++)
        CHECK(pthread_create(&threads[k], NULL, read_to_the_end, &w) == 0);
    for (int k = 0; k < THREADS; k++) {
        CHECK(pthread_join(threads[k], &bad) == 0);
        CHECK(bad == NULL);
    }
    CHECK(mapped_file_state(w.watch) == MAPPED_FILE_RESIZED);
    end(&w);
    mapped_files_release();
}

int main(void)
{
    page = (size_t)sysconf(_SC_PAGESIZE);
    test_states();
    test_what_is_not_watched();
    test_full_table();
    test_cut();
    test_not_ours();
    test_threads();
    test_threads_take_places();
    test_threads_on_one_map();
    printf("%d passed, %d failed\n", n_passed, n_failed);
    return n_failed != 0;
}
