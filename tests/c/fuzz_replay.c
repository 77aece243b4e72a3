/* fuzz_replay.c - the kept inputs of a libFuzzer target once more, with any compiler: a file of
 * one input a line, in hexadecimal. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LONGEST = 1 << 16 };

int main(int argc, char **argv)
{
    static char line[LONGEST];
    static uint8_t data[LONGEST / 2];
    int n = 0;
    FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (file == NULL) {
        fprintf(stderr, "usage: %s FILE\n", argv[0]);
        return 2;
    }
    for (; fgets(line, sizeof line, file); n++) {
        size_t size = 0;
        for (unsigned byte; sscanf(line + 2 * size, "%2x", &byte) == 1; size++)
            data[size] = (uint8_t)byte;
        uint8_t *exact = buffer((int64_t)size, 1);
        memcpy(exact, data, size);
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
    }
    fclose(file);
    printf("%d inputs\n", n);
    return n > 0 ? 0 : 1;
}
