/*
 * journal.h - the calls that ended, numbered, of which the last JOURNAL_MAX are kept. Pure.
 */
#ifndef SIM_JOURNAL_H
#define SIM_JOURNAL_H

#include <event2/buffer.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_MAX      200000
#define JOURNAL_MARK_MAX 64

struct journal_entry {
    int64_t at_ms; /* Unix, when it came */
    int64_t duration_ms;
    int64_t max_tokens;  /* 0: not sent */
    const char *model;   /* lives as long as the account */
    const char *outcome; /* static: "ok", "throttled", ...; "fault:" is completed by `fault` */
    const char *fault;   /* static; NULL: none */
    int status;          /* 0: none was sent */
    char marker[JOURNAL_MARK_MAX]; /* "": none */
};

/* Zero it to start. */
struct journal {
    struct journal_entry *entries; /* a ring: entry n stands at n % JOURNAL_MAX */
    size_t capacity;
    int64_t count; /* entries ever added; the number of the next one */
};

void journal_add(struct journal *journal, const struct journal_entry *entry);
/* Appends {"next":M,"calls":[...]}: what is kept from number `from` on. */
void journal_print(const struct journal *journal, int64_t from, struct evbuffer *out);
/* The first token of a body that begins with "mark-", as far as [A-Za-z0-9_-] go, or "": how a
 * test finds its own calls. */
void journal_find_marker(const char *body, size_t len, char marker[JOURNAL_MARK_MAX]);
void journal_release(struct journal *journal);

#endif
