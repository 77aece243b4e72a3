/* reached.h - included before everything else where the C tests compile the core (CMakeLists.txt):
 * every place that names an error code enters itself into a table of the linker's, and counts. What
 * is shipped is compiled without it. */
#ifndef REACHED_H
#define REACHED_H

#include "lmml.h"

typedef struct {
    const char *file, *function;
    int line;
    int n_reached; /* from several threads: atomic */
} error_site;

#define REACHED(code)                                                                              \
    __extension__({                                                                                \
        static error_site site = {__FILE__, __func__, __LINE__, 0};                                \
        static error_site *const entry __attribute__((section("error_sites"), used)) = &site;      \
        (void)entry;                                                                               \
        __atomic_fetch_add(&site.n_reached, 1, __ATOMIC_RELAXED);                                  \
        code;                                                                                      \
    })

#define LMML_ERR_MEMORY REACHED(LMML_ERR_MEMORY)
#define LMML_ERR_ARGUMENT REACHED(LMML_ERR_ARGUMENT)
#define LMML_ERR_INDEX REACHED(LMML_ERR_INDEX)
#define LMML_ERR_NOT_FINITE REACHED(LMML_ERR_NOT_FINITE)
#define LMML_ERR_ISA REACHED(LMML_ERR_ISA)
#define LMML_ERR_NOT_POSITIVE REACHED(LMML_ERR_NOT_POSITIVE)
#define LMML_ERR_LAPACK REACHED(LMML_ERR_LAPACK)

#endif
