/* limits_avx512.c - the limits of kernels_avx512.c, compiled with its options. */
#define lmml_kernels_avx512 limits_kernels_avx512 /* the library has this table too */
#include "kernels_avx512.c"

#define LIMITS limits_avx512
#define LIMITS_TILES NULL
#include "limits_impl.h"
