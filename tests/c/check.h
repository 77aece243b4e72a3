/* check.h - what the C tests share. Every buffer they allocate has exactly the size that lmml.h
 * asks for, so that the address sanitizer sees each byte too many. */
#ifndef CHECK_H
#define CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "lmml.h"

extern int n_passed, n_failed;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (condition) {                                                                           \
            n_passed++;                                                                            \
        } else {                                                                                   \
            n_failed++;                                                                            \
            printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                         \
        }                                                                                          \
    } while (0)

/* The instruction sets of this machine, "generic" first. */
extern const lmml_kernels *tables[4];
extern int n_tables;
void find_tables(void);

uint64_t next_random(void);  /* splitmix64, from a fixed state */
double uniform(void);        /* in [-1, 1) */
void *allocate(size_t size); /* zeroed; aborts rather than failing */

void test_packed(int with_large);
void test_lasso(void);
void test_dosage(void);
void test_scan(void);
void test_tridiagonal(void);

#endif
