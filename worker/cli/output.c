#include "worker/cli/verb.h"

#include "common/json/json.h"
#include "common/memory.h"
#include "common/utf8.h"

#include <stdio.h>
#include <string.h>

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

/* Takes one character off *at: as it stands when it is harmless or one of `kept`, else '?'. */
static void
put_harmless(struct evbuffer *out, const char **at, const char *end, const char *kept)
{
    size_t len = utf8_char(*at, (size_t)(end - *at));
    bool is_kept = len == 1 && **at != '\0' && strchr(kept, **at) != NULL;

    if (is_kept || (len > 0 && !utf8_steers(*at, len)))
        evbuffer_add(out, *at, len);
    else
        evbuffer_add(out, "?", 1);
    *at += len > 0 ? len : 1;
}

void
print_text(const char *text, size_t len)
{
    struct evbuffer *out = xevbuffer();

    for (const char *at = text; at < text + len;)
        put_harmless(out, &at, text + len, "\n\t");
    print_line(out);
}

void
put_words(struct evbuffer *out, const char *text)
{
    for (const char *at = text, *end = text + strlen(text); at < end;)
        put_harmless(out, &at, end, "");
}

char *
harmless_text(const char *text)
{
    char *copy = xstrdup(text);

    utf8_clean(copy);
    return copy;
}

/* Outside of strings JSON has blanks alone that steer, inside of them none below DEL. */
static void
put_json_char(struct evbuffer *out, const char **at, const char *end)
{
    size_t len = utf8_char(*at, (size_t)(end - *at));

    if (len == 1 && (unsigned char)**at < 0x20)
        evbuffer_add(out, " ", 1);
    else if (utf8_steers(*at, len))
        evbuffer_add_printf(out, "\\u%04x", (unsigned)utf8_decode(*at, len));
    else
        evbuffer_add(out, *at, len);
    *at += len;
}

bool
print_json(const char *text, size_t len)
{
    struct json_slice root;
    struct evbuffer *out;

    if (json_check(text, len, &root, NULL) != 0)
        return false;
    out = xevbuffer();
    for (const char *at = text; at < text + len;)
        put_json_char(out, &at, text + len);
    print_line(out);
    return true;
}
