#include "tests/sim/journal.h"

#include "common/json/json.h"
#include "common/memory.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 1024

/* Grows by doubling until it is full size: entries move only while none was overwritten. */
static void
make_room(struct journal *journal)
{
    size_t capacity = journal->capacity == 0 ? FIRST_CAPACITY : journal->capacity * 2;
    struct journal_entry *entries;

    if (journal->capacity == JOURNAL_MAX || (size_t)journal->count < journal->capacity)
        return;
    if (capacity > JOURNAL_MAX)
        capacity = JOURNAL_MAX;
    entries = xcalloc(capacity, sizeof(*entries));
    if (journal->entries != NULL)
        memcpy(entries, journal->entries, journal->capacity * sizeof(*entries));
    free(journal->entries);
    journal->entries = entries;
    journal->capacity = capacity;
}

void
journal_add(struct journal *journal, const struct journal_entry *entry)
{
    make_room(journal);
    journal->entries[journal->count++ % JOURNAL_MAX] = *entry;
}

static void
put_text_or_null(struct evbuffer *out, const char *name, const char *text)
{
    evbuffer_add_printf(out, ",\"%s\":", name);
    if (text == NULL || *text == '\0')
        evbuffer_add_printf(out, "null");
    else
        json_put_string(out, text, strlen(text));
}

static void
put_entry(struct evbuffer *out, int64_t number, const struct journal_entry *entry)
{
    evbuffer_add_printf(
        out, "{\"n\":%lld,\"at_ms\":%lld,\"ms\":%lld,\"status\":%d,\"outcome\":\"%s%s\"",
        (long long)number, (long long)entry->at_ms, (long long)entry->duration_ms, entry->status,
        entry->outcome, strcmp(entry->outcome, "fault:") == 0 ? entry->fault : "");
    put_text_or_null(out, "model", entry->model);
    put_text_or_null(out, "fault", entry->fault);
    put_text_or_null(out, "marker", entry->marker);
    if (entry->max_tokens > 0)
        evbuffer_add_printf(out, ",\"max_tokens\":%lld}", (long long)entry->max_tokens);
    else
        evbuffer_add_printf(out, ",\"max_tokens\":null}");
}

void
journal_print(const struct journal *journal, int64_t from, struct evbuffer *out)
{
    int64_t oldest = journal->count > JOURNAL_MAX ? journal->count - JOURNAL_MAX : 0;
    int64_t first = from > oldest ? from : oldest;

    evbuffer_add_printf(out, "{\"next\":%lld,\"calls\":[", (long long)journal->count);
    for (int64_t number = first; number < journal->count; number++) {
        if (number > first)
            evbuffer_add(out, ",", 1);
        put_entry(out, number, &journal->entries[number % JOURNAL_MAX]);
    }
    evbuffer_add_printf(out, "]}");
}

static bool
is_mark_byte(char byte)
{
    return byte == '_' || byte == '-' || isalnum((unsigned char)byte);
}

/* "benchmark-1" holds no token of that kind, the JSON text "\\nmark-1" does. */
static bool
begins_token(const char *body, const char *at)
{
    return at == body || !is_mark_byte(at[-1]) || (at - body >= 2 && at[-2] == '\\');
}

void
journal_find_marker(const char *body, size_t len, char marker[JOURNAL_MARK_MAX])
{
    const char *end = body + len;
    const char *at = memmem(body, len, "mark-", 5);
    size_t count = 0;

    while (at != NULL && !begins_token(body, at))
        at = memmem(at + 1, (size_t)(end - at - 1), "mark-", 5);
    while (at != NULL && at + count < end && count < JOURNAL_MARK_MAX - 1 &&
           is_mark_byte(at[count])) {
        marker[count] = at[count];
        count++;
    }
    marker[count] = '\0';
}

void
journal_release(struct journal *journal)
{
    free(journal->entries);
    *journal = (struct journal){0};
}
