/*
 * replay.c - runs a fuzz target over files that are kept: a fuzzer's findings stay found.
 */
#include "tests/fuzz/fuzz.h"

#include <unistd.h>

static int
replay(const char *path)
{
    static unsigned char bytes[1 << 20];
    FILE *file = fopen(path, "rb");
    size_t len;

    if (file == NULL)
        return perror(path), 1;
    len = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    (void)!write(STDOUT_FILENO, path, strlen(path)); /* the last one is to blame */
    (void)!write(STDOUT_FILENO, "\n", 1);
    LLVMFuzzerTestOneInput(bytes, len);
    return 0;
}

int
main(int argc, char **argv)
{
    int failed = argc < 2;

    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i]);
    return failed;
}
