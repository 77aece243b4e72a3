/* kernels_avx512.c - 512-bit vectors and the VNNI dot product; compiled with
 * -mavx512f -mavx512bw -mavx512vl -mavx512vnni -mfma -mpopcnt. */
#include "vectors_avx512.h"

#define COMPRESS(word, mask) _pext_u64(word, mask)
#define ISA_NAME "avx512"
#define ISA_TABLE lmml_kernels_avx512

#include "kernels_impl.h"
