/* letter: a dead letter that anybody may have written, as it is shown to people and put back. */
#include "common/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "worker/cli/letter.h"

/* One line, and nothing in it that steers a terminal. */
static void
must_be_harmless(struct evbuffer *out)
{
    size_t len = evbuffer_get_length(out);
    const char *text = (const char *)evbuffer_pullup(out, -1);

    MUST(utf8_is_valid(text, len));
    for (size_t at = 0; at < len; at += utf8_char(text + at, len - at))
        MUST(!utf8_steers(text + at, utf8_char(text + at, len - at)));
    evbuffer_drain(out, len);
}

static void
check_payload(const struct letter *letter)
{
    size_t len = 0;
    char *payload = letter_payload(letter, &len);

    if (payload != NULL)
        MUST(payload[len] == '\0' && len <= letter->len);
    free(payload);
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    char *text = input_copy(data, size);
    struct letter letter = letter_read(text, size);
    struct evbuffer *out = evbuffer_new();

    check_payload(&letter);
    letter_put_line(&letter, "analyze", out);
    must_be_harmless(out);
    letter_put_unreadable(&letter, "analyze", out);
    must_be_json(out);
    letter_release(&letter);
    evbuffer_free(out);
    free(text);
    return 0;
}
