#include "worker/cli/verb.h"

#include <stdio.h>

void
print_buffer(struct evbuffer *text)
{
    size_t len = evbuffer_get_length(text);

    if (len > 0)
        fwrite(evbuffer_pullup(text, -1), 1, len, stdout);
    evbuffer_free(text);
}

void
print_line(struct evbuffer *line)
{
    evbuffer_add(line, "\n", 1);
    print_buffer(line);
}

void
print_text(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        putchar((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ? '?' : c);
    }
    putchar('\n');
}
