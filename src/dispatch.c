/* dispatch.c - which kernel table this machine can run. */
#include <string.h>

#include "kernels.h"

#if defined(LMML_HAVE_AMX)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* AMX-TILE and AMX-INT8; clang's __builtin_cpu_supports does not know them. */
static int has_tiles(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && d >> 24 & 1 && d >> 25 & 1;
}

/* Linux gives the state of the tiles (8 kB a thread) to processes that ask for it. */
static int tiles_are_permitted(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}
#endif

static int is_available(const lmml_kernels *kernels)
{
#if defined(LMML_HAVE_X86)
    __builtin_cpu_init();
#if defined(LMML_HAVE_AMX)
    if (kernels == &lmml_kernels_amx)
        return has_tiles() && __builtin_cpu_supports("gfni") &&
               __builtin_cpu_supports("avx512dq") && is_available(&lmml_kernels_avx512) &&
               tiles_are_permitted();
#endif
    if (kernels == &lmml_kernels_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") &&
               __builtin_cpu_supports("fma") && __builtin_cpu_supports("popcnt") &&
               __builtin_cpu_supports("bmi2");
    if (kernels == &lmml_kernels_avx2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
               __builtin_cpu_supports("popcnt");
#endif
    return kernels == &lmml_kernels_generic;
}

int lmml_kernels_select(const char *name, const lmml_kernels **kernels)
{
    static const lmml_kernels *const tables[] = {/* best first */
#if defined(LMML_HAVE_AMX)
                                                 &lmml_kernels_amx,
#endif
#if defined(LMML_HAVE_X86)
                                                 &lmml_kernels_avx512, &lmml_kernels_avx2,
#endif
                                                 &lmml_kernels_generic};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        if ((name == NULL || strcmp(name, tables[i]->name) == 0) && is_available(tables[i])) {
            *kernels = tables[i];
            return LMML_OK;
        }
    }
    return LMML_ERR_ISA;
}

const char *lmml_kernels_name(const lmml_kernels *kernels) { return kernels->name; }
