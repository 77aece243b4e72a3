/* limits_generic.c - the limits of kernels_generic.c, compiled with its options. */
#define lmml_kernels_generic limits_kernels_generic /* the library has this table too */
#include "kernels_generic.c"

#define LIMITS limits_generic
#define LIMITS_TILES NULL
#include "limits_impl.h"
