/* dispatch.c - which kernel table this machine can run. */
#include <string.h>

#include "kernels.h"

#if defined(LMML_HAVE_AMX)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(LMML_HAVE_X86)
#include <cpuid.h>

/* What the processor has and the system saves. Asked of the processor: what
 * __builtin_cpu_supports reads is in no library that clang links on Windows, and clang's does not
 * know of tiles. Bits as in Intel's manual, CPUID leaves 1 and 7, and register XCR0. */
typedef struct {
    unsigned ecx1, ebx, ecx, edx; /* ecx of leaf 1, the others of leaf 7 */
    unsigned saved;               /* XCR0 */
} cpu_features;

static cpu_features ask_cpu(void)
{
    enum { OSXSAVE = 27 };
    cpu_features cpu = {0};
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &cpu.ecx1, &edx)) return cpu;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        cpu.ebx = ebx;
        cpu.ecx = ecx;
        cpu.edx = edx;
    }
    if (cpu.ecx1 >> OSXSAVE & 1) __asm__ volatile("xgetbv" : "=a"(cpu.saved), "=d"(edx) : "c"(0));
    return cpu;
}

static int has_all(unsigned word, unsigned bits) { return (word & bits) == bits; }

static int has_avx2(const cpu_features *cpu)
{
    enum { FMA = 1 << 12, POPCNT = 1 << 23, AVX = 1 << 28, AVX2 = 1 << 5, XMM_YMM = 0x6 };
    return has_all(cpu->ecx1, FMA | POPCNT | AVX) && has_all(cpu->ebx, AVX2) &&
           has_all(cpu->saved, XMM_YMM);
}

static int has_avx512(const cpu_features *cpu)
{
    enum { BMI2 = 1 << 8, F = 1 << 16, BW = 1 << 30, VNNI = 1 << 11 };
    const unsigned VL = 1u << 31;
#if defined(__APPLE__) /* saves these registers from their first use on, and says so only then */
    enum { MASKS_ZMM = 0 };
#else
    enum { MASKS_ZMM = 0xe0 };
#endif
    return has_avx2(cpu) && has_all(cpu->ebx, BMI2 | F | BW | VL) && has_all(cpu->ecx, VNNI) &&
           has_all(cpu->saved, MASKS_ZMM);
}
#endif

#if defined(LMML_HAVE_AMX)
static int has_amx(const cpu_features *cpu)
{
    enum { DQ = 1 << 17, GFNI = 1 << 8, TILE = 1 << 24, INT8 = 1 << 25 };
    return has_avx512(cpu) && has_all(cpu->ebx, DQ) && has_all(cpu->ecx, GFNI) &&
           has_all(cpu->edx, TILE | INT8);
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
    const cpu_features cpu = ask_cpu();
#if defined(LMML_HAVE_AMX)
    if (kernels == &lmml_kernels_amx) return has_amx(&cpu) && tiles_are_permitted();
#endif
    if (kernels == &lmml_kernels_avx512) return has_avx512(&cpu);
    if (kernels == &lmml_kernels_avx2) return has_avx2(&cpu);
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
