/* limits_avx2.c - the limits of kernels_avx2.c, compiled with its options. */
#define lmml_kernels_avx2 limits_kernels_avx2 /* the library has this table too */
#include "kernels_avx2.c"

#define LIMITS limits_avx2
#define LIMITS_TILES NULL
#include "limits_impl.h"
