/*
 * json_check.c - the strict scanner: RFC 8259 in one pass, without recursion.
 */
#include "common/json/json.h"
#include "common/json/json_text.h"
#include "common/utf8.h"

#include <stdlib.h>
#include <string.h>

/* A name of the outermost object, unescaped. */
struct name {
    const char *quote; /* where it stands: its opening quote */
    const char *text;
    size_t len;
    char *unescaped; /* owned; NULL: text points into the document */
};

struct scan {
    const char *start, *at, *end;
    int depth;
    char closers[JSON_MAX_DEPTH]; /* the bracket that ends each open container */
    struct name *names;           /* owned */
    size_t name_count, name_capacity;
    struct error *err;
};

static int
fail_at(const struct scan *s, const char *where, const char *what)
{
    return error_set(s->err, ERROR_INPUT, "invalid JSON at byte %zu: %s",
                     (size_t)(where - s->start), what);
}

static int
fail(const struct scan *s, const char *what)
{
    return fail_at(s, s->at, s->at < s->end ? what : "the text ends too early");
}

/* NUL at the end is fine: a NUL is wrong wherever this is asked. */
static char
peek(const struct scan *s)
{
    return s->at < s->end ? *s->at : '\0';
}

static char
peek_past_blanks(struct scan *s)
{
    s->at = json_skip_blanks(s->at, s->end);
    return peek(s);
}

static int
scan_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
        return fail(s, "a value is expected");
    s->at += len;
    return 0;
}

static int
scan_digits(struct scan *s)
{
    const char *from = s->at;

    while (peek(s) >= '0' && peek(s) <= '9')
        s->at++;
    return s->at > from ? 0 : fail(s, "a digit is expected");
}

static int
scan_exponent(struct scan *s)
{
    s->at++;
    if (peek(s) == '+' || peek(s) == '-')
        s->at++;
    return scan_digits(s);
}

static int
scan_number(struct scan *s)
{
    const char *digits;

    if (peek(s) == '-')
        s->at++;
    digits = s->at;
    if (scan_digits(s) != 0)
        return -1;
    if (*digits == '0' && s->at - digits > 1)
        return fail_at(s, digits, "a number with a leading zero");
    if (peek(s) == '.') {
        s->at++;
        if (scan_digits(s) != 0)
            return -1;
    }
    if (peek(s) == 'e' || peek(s) == 'E')
        return scan_exponent(s);
    return 0;
}

static int
scan_escape(struct scan *s)
{
    s->at++;
    if (peek(s) == 'u') {
        if (s->end - s->at < 5 || json_hex4(s->at + 1) < 0)
            return fail_at(s, s->at - 1, "\\u without four hexadecimal digits");
        s->at += 5;
        return 0;
    }
    if (peek(s) == '\0' || strchr("\"\\/bfnrt", peek(s)) == NULL)
        return fail(s, "an unknown escape");
    s->at++;
    return 0;
}

static int
scan_wide_char(struct scan *s)
{
    size_t len = utf8_char(s->at, (size_t)(s->end - s->at));

    if (len == 0)
        return fail(s, "bytes that are not UTF-8");
    s->at += len;
    return 0;
}

static int
scan_string(struct scan *s)
{
    s->at++;
    while ((s->at = json_skip_plain(s->at, s->end)) < s->end) {
        unsigned char byte = (unsigned char)*s->at;

        if (byte == '"') {
            s->at++;
            return 0;
        }
        if (byte < 0x20)
            return fail(s, "a raw control byte in a string");
        if ((byte == '\\' ? scan_escape(s) : scan_wide_char(s)) != 0)
            return -1;
    }
    return fail(s, "a closing quote is expected");
}

static struct name *
new_name(struct scan *s)
{
    if (s->name_count == s->name_capacity) {
        size_t capacity = s->name_capacity == 0 ? 32 : 2 * s->name_capacity;
        struct name *names = reallocarray(s->names, capacity, sizeof(*names));

        if (names == NULL)
            return NULL;
        s->names = names;
        s->name_capacity = capacity;
    }
    return &s->names[s->name_count++];
}

/* Remembers the name between `quote` and here, to be compared with the others at the end. */
static int
keep_name(struct scan *s, const char *quote)
{
    struct json_slice slice = {quote, (size_t)(s->at - quote), JSON_STRING};
    struct json_slice inner = json_inner(slice);
    struct name *name = new_name(s);

    if (name == NULL)
        return error_set(s->err, ERROR_INTERNAL, "out of memory");
    *name = (struct name){.quote = quote, .text = inner.text, .len = inner.len};
    if (memchr(inner.text, '\\', inner.len) == NULL)
        return 0;
    name->text = name->unescaped = json_string(slice, &name->len);
    if (name->text == NULL)
        return error_set(s->err, ERROR_INTERNAL, "out of memory");
    return 0;
}

static int
scan_name(struct scan *s)
{
    const char *quote;

    if (peek_past_blanks(s) != '"')
        return fail(s, "a name in quotes is expected");
    quote = s->at;
    if (scan_string(s) != 0 || (s->depth == 1 && keep_name(s, quote) != 0))
        return -1;
    if (peek_past_blanks(s) != ':')
        return fail(s, "a colon is expected");
    s->at++;
    return 0;
}

static int
scan_open(struct scan *s, char closer)
{
    if (s->depth == JSON_MAX_DEPTH)
        return error_set(s->err, ERROR_INPUT, "invalid JSON at byte %zu: nested deeper than %d",
                         (size_t)(s->at - s->start), JSON_MAX_DEPTH);
    s->closers[s->depth++] = closer;
    s->at++;
    return 0;
}

static int
scan_scalar(struct scan *s, enum json_type type)
{
    switch (type) {
    case JSON_STRING: return scan_string(s);
    case JSON_NUMBER: return scan_number(s);
    case JSON_BOOL: return scan_word(s, *s->at == 't' ? "true" : "false");
    case JSON_NULL: return scan_word(s, "null");
    case JSON_ABSENT:
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    return fail(s, "a value is expected");
}

/* Enters containers until a scalar was read or an empty container stands open. */
static int
scan_down(struct scan *s)
{
    for (;;) {
        enum json_type type = json_type_of(peek_past_blanks(s));
        char closer = type == JSON_OBJECT ? '}' : ']';

        if (type != JSON_OBJECT && type != JSON_ARRAY)
            return scan_scalar(s, type);
        if (scan_open(s, closer) != 0)
            return -1;
        if (peek_past_blanks(s) == closer)
            return 0;
        if (type == JSON_OBJECT && scan_name(s) != 0)
            return -1;
    }
}

/* Leaves containers until one goes on or none is open. */
static int
scan_up(struct scan *s)
{
    while (s->depth > 0) {
        char closer = s->closers[s->depth - 1];
        char next = peek_past_blanks(s);

        if (next != closer && next != ',')
            return fail(s, closer == '}' ? "',' or '}' is expected" : "',' or ']' is expected");
        s->at++;
        if (next == ',')
            return closer == '}' ? scan_name(s) : 0;
        s->depth--;
    }
    return 0;
}

static int
scan_value(struct scan *s)
{
    do {
        if (scan_down(s) != 0 || scan_up(s) != 0)
            return -1;
    } while (s->depth > 0);
    return 0;
}

static int
compare_text(const struct name *a, const struct name *b)
{
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return memcmp(a->text, b->text, a->len);
}

static int
compare_names(const void *a, const void *b)
{
    const struct name *left = a, *right = b;
    int order = compare_text(left, right);

    return order != 0 ? order : left->quote < right->quote ? -1 : 1;
}

/* By sorting, not by hashing: nobody can choose names that make it slow. */
static int
check_names(struct scan *s)
{
    if (s->name_count > 1)
        qsort(s->names, s->name_count, sizeof(s->names[0]), compare_names);
    for (size_t i = 1; i < s->name_count; i++) {
        const struct name *name = &s->names[i];

        if (compare_text(name - 1, name) == 0)
            return error_set(s->err, ERROR_INPUT,
                             "invalid JSON at byte %zu: the name \"%.*s\" stands there twice",
                             (size_t)(name->quote - s->start),
                             (int)(name->len > 64 ? 64 : name->len), name->text);
    }
    return 0;
}

static int
scan_document(struct scan *s, struct json_slice *root)
{
    if (s->end - s->at >= 3 && memcmp(s->at, "\xef\xbb\xbf", 3) == 0)
        return fail(s, "a byte order mark");
    s->at = json_skip_blanks(s->at, s->end);
    root->text = s->at;
    root->type = json_type_of(peek(s));
    if (scan_value(s) != 0)
        return -1;
    root->len = (size_t)(s->at - root->text);
    s->at = json_skip_blanks(s->at, s->end);
    if (s->at < s->end)
        return fail(s, "bytes after the value");
    return check_names(s);
}

int
json_check(const char *text, size_t len, struct json_slice *root, struct error *err)
{
    const char *start = len == 0 ? "" : text; /* nothing may well be NULL */
    struct scan s = {.start = start, .at = start, .end = start + len, .err = err};
    int result = scan_document(&s, root);

    for (size_t i = 0; i < s.name_count; i++)
        free(s.names[i].unescaped);
    free(s.names);
    if (result != 0)
        *root = (struct json_slice){0};
    return result;
}
