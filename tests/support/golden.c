#include "tests/support/golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
give_up(const char *path, const char *why)
{
    fprintf(stderr, "tests/golden/%s: %s (run tests from the project's root)\n", path, why);
    abort();
}

char *
golden_read(const char *path, size_t *len)
{
    char full[512], *text = NULL;
    size_t size = 0, got;
    FILE *file;

    snprintf(full, sizeof(full), "tests/golden/%s", path);
    if ((file = fopen(full, "rb")) == NULL)
        give_up(path, "can't be opened");
    for (*len = 0;; *len += got) {
        if (*len + 1 >= size && (text = realloc(text, size += 65536)) == NULL)
            give_up(path, "too large");
        if ((got = fread(text + *len, 1, size - *len - 1, file)) == 0)
            break;
    }
    fclose(file);
    text[*len] = '\0';
    return text;
}

cJSON *
golden_load(const char *path)
{
    size_t len;
    char *text = golden_read(path, &len);
    cJSON *tree = cJSON_ParseWithLength(text, len);

    if (tree == NULL)
        give_up(path, "is no JSON");
    free(text);
    return tree;
}

const char *
golden_text(const cJSON *object, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

const char *
golden_getenv(const char *name, void *arg)
{
    return golden_text(arg, name);
}

int
golden_is_one_of(const char *text, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(text, *names) == 0)
            return 1;
    return 0;
}
