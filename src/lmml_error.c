/* lmml_error.c - error codes as sentences. */
#include "lmml.h"

const char *lmml_strerror(int code)
{
    switch (code) {
    case LMML_OK:
        return "no error (LMML_OK)";
    case LMML_ERR_MEMORY:
        return "out of memory (LMML_ERR_MEMORY)";
    case LMML_ERR_ARGUMENT:
        return "a size or an option is out of range (LMML_ERR_ARGUMENT)";
    case LMML_ERR_INDEX:
        return "a sample or SNP index is out of range (LMML_ERR_INDEX)";
    case LMML_ERR_NOT_FINITE:
        return "a vector holds NaN or infinity (LMML_ERR_NOT_FINITE)";
    case LMML_ERR_ISA:
        return "unknown instruction set, or one that this machine lacks (LMML_ERR_ISA)";
    case LMML_ERR_NOT_POSITIVE:
        return "a matrix is not positive definite (LMML_ERR_NOT_POSITIVE)";
    case LMML_ERR_LAPACK:
        return "LAPACK refused an argument or a workspace (LMML_ERR_LAPACK)";
    default:
        return "unknown error code";
    }
}
