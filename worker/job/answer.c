#include "worker/job/answer.h"

#include <ctype.h>
#include <string.h>

/* Bytes looked at in all, as a multiple of the answer's: "{{{{" must not take quadratic time. */
#define EFFORT       8
#define EFFORT_FLOOR 65536

struct search {
    const char *end;
    size_t effort;   /* bytes that may still be looked at */
    bool is_whole;   /* the candidate is all of the answer, but for a fence around it */
    unsigned wanted; /* any JSON of these kinds, ANSWER_*; 0: the list of feedback items */
    struct json_slice *items;
};

static bool
is_blank(char byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

static bool
is_open_bracket(char byte)
{
    return byte == '{' || byte == '[';
}

void
answer_trim(const char **text, size_t *len)
{
    while (*len > 0 && is_blank(**text)) {
        ++*text;
        --*len;
    }
    while (*len > 0 && is_blank((*text)[*len - 1]))
        --*len;
}

/* The byte behind the string that opens at `at`, or `end`. */
static const char *
string_behind(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        if (*at == '\\' && at + 1 < end)
            at++;
    return at < end ? at + 1 : end;
}

/* The byte behind the bracket that closes the one at `at`; NULL when there is none. *seen:
 * the first byte not looked at. */
static const char *
balanced_behind(const char *at, const char *end, const char **seen)
{
    int depth = 0;

    while (at < end && depth <= JSON_MAX_DEPTH) {
        if (*at == '"') {
            at = string_behind(at, end);
            continue;
        }
        if (is_open_bracket(*at))
            depth++;
        else if (*at == '}' || *at == ']')
            depth--;
        at++;
        if (depth == 0)
            return *seen = at;
    }
    *seen = at;
    return NULL;
}

static bool
is_item(struct json_slice value)
{
    return json_get(value, "description").type == JSON_STRING ||
           json_get(value, "suggestion").type == JSON_STRING;
}

/* Most arrays are something else: "see [1]". An empty one is a list only if it is all there is. */
static bool
is_item_list(struct json_slice array, bool is_whole)
{
    struct json_slice key, value;
    bool is_empty = true;

    for (struct json_iter it = json_iter(array); json_next(&it, &key, &value); is_empty = false)
        if (is_item(value))
            return true;
    return is_empty && is_whole;
}

static bool
is_wanted(unsigned wanted, enum json_type type)
{
    return (type == JSON_OBJECT && (wanted & ANSWER_OBJECT) != 0) ||
           (type == JSON_ARRAY && (wanted & ANSWER_ARRAY) != 0);
}

static bool
is_usable(const struct search *search, struct json_slice root)
{
    struct json_slice items = json_get(root, "feedback_items");

    if (search->wanted != 0) {
        *search->items = root;
        return is_wanted(search->wanted, root.type);
    }
    if (root.type == JSON_ARRAY && is_item_list(root, search->is_whole))
        items = root;
    *search->items = items;
    return items.type == JSON_ARRAY;
}

/* Tries the bracket at `at`. *seen: the first byte not looked at. */
static bool
try_candidate(struct search *search, const char *at, const char **seen)
{
    struct json_slice root;
    const char *behind = balanced_behind(at, search->end, seen);
    size_t looked_at = (size_t)(*seen - at);

    search->effort -= looked_at < search->effort ? looked_at : search->effort;
    return behind != NULL && json_check(at, (size_t)(behind - at), &root, NULL) == 0 &&
           is_usable(search, root);
}

static bool
try_whole(struct search *search, const char *text, size_t len)
{
    struct json_slice root;

    search->is_whole = true;
    return json_check(text, len, &root, NULL) == 0 && is_usable(search, root);
}

/* ```json {...} ```: a candidate ends with its bracket, not with the next fence, since the text
 * of an item may have a fence of its own. */
static bool
try_fences(struct search *search, const char *text)
{
    const char *at = text, *fence, *seen;

    while (search->effort > 0 &&
           (fence = memmem(at, (size_t)(search->end - at), "```", 3)) != NULL) {
        for (at = fence + 3; at < search->end && isalnum((unsigned char)*at); at++)
            continue;
        while (at < search->end && is_blank(*at))
            at++;
        search->is_whole = fence == text;
        if (at < search->end && is_open_bracket(*at) && try_candidate(search, at, &seen))
            return true;
    }
    return false;
}

/* An object in an object that is not usable may be; an array in one is not the list, but
 * something of another name, or the beginning of a list that was cut. */
static bool
try_brackets(struct search *search, const char *text)
{
    const char *arrays_from = text, *seen;

    search->is_whole = false;
    for (const char *at = text; at < search->end && search->effort > 0; at++) {
        if (*at != '{' && (*at != '[' || at < arrays_from))
            continue;
        if (try_candidate(search, at, &seen))
            return true;
        if (*at == '{' && seen > arrays_from)
            arrays_from = seen;
    }
    return false;
}

bool
answer_find_items(const char *text, size_t len, struct json_slice *items)
{
    struct search search = {.items = items, .effort = EFFORT * len + EFFORT_FLOOR};

    answer_trim(&text, &len);
    search.end = text + len;
    return try_whole(&search, text, len) || try_fences(&search, text) ||
           try_brackets(&search, text);
}

/* The longest of the outermost ones. What stands in one of another kind is a part of that. */
static bool
try_longest(struct search *search, const char *text)
{
    struct json_slice longest = {0};
    unsigned wanted = search->wanted;
    const char *seen;

    search->wanted = ANSWER_OBJECT | ANSWER_ARRAY;
    for (const char *at = text; at < search->end && search->effort > 0; at++) {
        if (!is_open_bracket(*at) || !try_candidate(search, at, &seen))
            continue;
        if (is_wanted(wanted, search->items->type) && search->items->len > longest.len)
            longest = *search->items;
        at = seen - 1;
    }
    *search->items = longest;
    return longest.len > 0;
}

bool
answer_find_json(const char *text, size_t len, unsigned wanted, struct json_slice *json)
{
    struct search search = {.items = json, .wanted = wanted, .effort = EFFORT * len + EFFORT_FLOOR};

    answer_trim(&text, &len);
    search.end = text + len;
    return try_whole(&search, text, len) || try_fences(&search, text) || try_longest(&search, text);
}
