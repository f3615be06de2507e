#include "common/aws/aws_ini.h"

#include "common/memory.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\r\v\f"

/* key NULL: the section's own line, so that an empty section is known too. */
struct entry {
    const char *section; /* borrowed from the entry of the section's line */
    char *key;           /* owned */
    char *value;         /* owned; NULL for a section */
};

struct aws_ini {
    struct entry *entries; /* owned */
    int count;
    int capacity;
};

struct parser {
    struct aws_ini *ini;
    const char *section; /* NULL: before the first, or behind one that is not closed */
    int outer;           /* the entry that an indented line belongs to; -1: none */
    int bad_lines;
};

/* ---- text ---- */

static char *
trim(char *text)
{
    size_t len;

    text += strspn(text, BLANKS);
    len = strlen(text);
    while (len > 0 && strchr(BLANKS, text[len - 1]) != NULL)
        len--;
    text[len] = '\0';
    return text;
}

/* A comment behind a value begins with a blank: "a#b" is a value. */
static void
cut_comment(char *text)
{
    for (char *at = text; *at != '\0'; at++)
        if ((*at == '#' || *at == ';') && at > text && strchr(BLANKS, at[-1]) != NULL) {
            *at = '\0';
            return;
        }
}

/* Takes quotes off and squeezes blanks, in place, as a shell splits words. */
static void
join_words(char *text)
{
    char *to = text, quote = '\0';

    for (const char *at = text; *at != '\0'; at++) {
        bool is_blank = strchr(BLANKS, *at) != NULL;

        if (quote != '\0' ? *at == quote : *at == '"' || *at == '\'')
            quote = quote != '\0' ? '\0' : *at;
        else if (quote != '\0' || !is_blank)
            *to++ = *at;
        else if (to > text && to[-1] != ' ')
            *to++ = ' ';
    }
    if (to > text && quote == '\0' && to[-1] == ' ')
        to--;
    *to = '\0';
}

static void
lower(char *text)
{
    for (; *text != '\0'; text++)
        *text = (char)tolower((unsigned char)*text);
}

/* ---- entries ---- */

static struct entry *
add_entry(struct parser *parser)
{
    struct aws_ini *ini = parser->ini;

    if (ini->count == AWS_INI_KEYS_MAX) {
        parser->bad_lines++;
        return NULL;
    }
    if (ini->count == ini->capacity) {
        struct entry *larger;

        ini->capacity = ini->capacity == 0 ? 32 : 2 * ini->capacity;
        larger = xcalloc((size_t)ini->capacity, sizeof(*larger));
        if (ini->count > 0)
            memcpy(larger, ini->entries, (size_t)ini->count * sizeof(*larger));
        free(ini->entries);
        ini->entries = larger;
    }
    return &ini->entries[ini->count++];
}

static void
read_section(struct parser *parser, char *line)
{
    char *end = strchr(line, ']');
    struct entry *entry;
    char *name;

    parser->section = NULL;
    parser->outer = -1;
    if (end == NULL) {
        parser->bad_lines++;
        return;
    }
    *end = '\0';
    if ((entry = add_entry(parser)) == NULL)
        return;
    name = xstrdup(line + 1);
    join_words(name);
    entry->key = NULL;
    entry->value = name;
    entry->section = parser->section = name;
}

/* "name = value", in place; returns 0 and the trimmed parts, or -1. */
static int
split(char *line, char **name, char **value)
{
    char *separator = strpbrk(line, "=:");

    if (separator == NULL)
        return -1;
    *separator = '\0';
    *name = trim(line);
    cut_comment(separator + 1);
    *value = trim(separator + 1);
    lower(*name);
    return **name == '\0' ? -1 : 0;
}

static void
read_key(struct parser *parser, char *line)
{
    struct entry *entry;
    char *name, *value;

    parser->outer = -1;
    if (parser->section == NULL || split(line, &name, &value) < 0) {
        parser->bad_lines++;
        return;
    }
    if ((entry = add_entry(parser)) == NULL)
        return;
    entry->section = parser->section;
    entry->key = xstrdup(name);
    entry->value = xstrdup(value);
    parser->outer = parser->ini->count - 1;
}

/* Behind "key =" it is a nested key, behind "key = value" the value goes on. */
static void
read_indented(struct parser *parser, char *line)
{
    struct entry *outer = parser->outer < 0 ? NULL : &parser->ini->entries[parser->outer], *entry;
    char *name, *value, *longer;

    if (outer != NULL && strlen(outer->value) > AWS_INI_VALUE_MAX) {
        parser->bad_lines++;
    } else if (outer != NULL && outer->value[0] != '\0') {
        cut_comment(line);
        longer = xasprintf("%s\n%s", outer->value, trim(line));
        free_secret(outer->value);
        outer->value = longer;
    } else if (outer == NULL || split(line, &name, &value) < 0) {
        parser->bad_lines++;
    } else if ((entry = add_entry(parser)) != NULL) {
        outer = &parser->ini->entries[parser->outer]; /* the array may have moved */
        entry->section = outer->section;
        entry->key = xasprintf("%s.%s", outer->key, name);
        entry->value = xstrdup(value);
    }
}

static void
read_line(struct parser *parser, char *line)
{
    bool is_indented = strchr(BLANKS, line[0]) != NULL; /* also true for an empty line */
    char *text = trim(line);

    if (*text == '\0' || *text == '#' || *text == ';')
        return;
    if (is_indented)
        read_indented(parser, text);
    else if (*text == '[')
        read_section(parser, text);
    else
        read_key(parser, text);
}

struct aws_ini *
aws_ini_parse(const char *text, size_t len, int *bad_lines)
{
    struct parser parser = {.ini = xcalloc(1, sizeof(*parser.ini)), .outer = -1};
    char *copy = xcalloc(len + 1, 1), *rest = copy, *line;

    memcpy(copy, text, len);
    if (strncmp(copy, "\xef\xbb\xbf", 3) == 0)
        rest += 3;
    while ((line = strsep(&rest, "\n")) != NULL)
        read_line(&parser, line);
    if (memchr(text, '\0', len) != NULL)
        parser.bad_lines++; /* nothing behind it was read */
    OPENSSL_cleanse(copy, len);
    free(copy);
    if (bad_lines != NULL)
        *bad_lines = parser.bad_lines;
    return parser.ini;
}

/* ---- reading ---- */

static bool
is_in(const struct entry *entry, const char *section)
{
    return strcmp(entry->section, section) == 0;
}

const char *
aws_ini_get(const struct aws_ini *ini, const char *section, const char *key)
{
    for (int i = ini->count - 1; i >= 0; i--) {
        const struct entry *entry = &ini->entries[i];

        if (entry->key != NULL && is_in(entry, section) && strcmp(entry->key, key) == 0)
            return entry->value;
    }
    return NULL;
}

bool
aws_ini_has_section(const struct aws_ini *ini, const char *section)
{
    for (int i = 0; i < ini->count; i++)
        if (is_in(&ini->entries[i], section))
            return true;
    return false;
}

void
aws_ini_free(struct aws_ini *ini)
{
    if (ini == NULL)
        return;
    for (int i = 0; i < ini->count; i++) {
        free(ini->entries[i].key);
        free_secret(ini->entries[i].value);
    }
    free(ini->entries);
    free(ini);
}
