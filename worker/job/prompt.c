#include "worker/job/prompt.h"

#include "common/memory.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define FIELD_NAME_MAX 128

static void
put_field(struct json_slice root, const char *name, struct evbuffer *out)
{
    struct json_slice value = json_get(root, name);

    if (value.type == JSON_STRING)
        json_put_slice(out, json_inner(value));
    else if (value.type != JSON_ABSENT && value.type != JSON_NULL)
        json_put_escaped(out, value.text, value.len);
}

/* Is there "{{name}}", or "{{ name }}", at `open`? Then copies the name and returns the byte behind
 * it. */
static const char *
take_reference(const char *open, char name[FIELD_NAME_MAX + 1])
{
    const char *close = strstr(open, "}}");
    const char *from = open + 2, *to = close;

    if (close == NULL || close - open - 2 > FIELD_NAME_MAX)
        return NULL;
    while (from < to && *from == ' ')
        from++;
    while (to > from && to[-1] == ' ')
        to--;
    memcpy(name, from, (size_t)(to - from));
    name[to - from] = '\0';
    return close + 2;
}

/* The first reference of a template: its name, where it opens, and the byte behind it; NULL: there
 * is none. */
static const char *
find_reference(const char *template, char name[FIELD_NAME_MAX + 1], const char **open)
{
    const char *behind = NULL;

    for (*open = strstr(template, "{{"); *open != NULL; *open = strstr(*open + 2, "{{"))
        if ((behind = take_reference(*open, name)) != NULL)
            break;
    return behind;
}

static void
put_template(const struct job *job, const char *template, struct evbuffer *out)
{
    char name[FIELD_NAME_MAX + 1];
    const char *open, *behind;

    while ((behind = find_reference(template, name, &open)) != NULL) {
        json_put_escaped(out, template, (size_t)(open - template));
        put_field(job->root, name, out);
        template = behind;
    }
    json_put_escaped(out, template, strlen(template));
}

void
prompt_put_user(const struct job *job, struct evbuffer *out)
{
    put_template(job, job->type->prompt, out);
}

void
prompt_put_system(const struct job *job, struct evbuffer *out)
{
    if (job->type->system != NULL)
        put_template(job, job->type->system, out);
}

struct field {
    char name[FIELD_NAME_MAX + 1];
    int count;
    UT_hash_handle hh;
};

static int
count_fields(struct field **fields, const char *template, int most)
{
    struct field *field;
    char name[FIELD_NAME_MAX + 1];
    const char *open;

    while ((template = find_reference(template, name, &open)) != NULL) {
        HASH_FIND_STR(*fields, name, field);
        if (field == NULL) {
            field = xcalloc(1, sizeof(*field));
            memcpy(field->name, name, sizeof(name));
            HASH_ADD_STR(*fields, name, field);
        }
        if (++field->count > most)
            most = field->count;
    }
    return most;
}

int
prompt_copies(const struct job_type *type)
{
    struct field *fields = NULL, *field, *next;
    int copies = count_fields(&fields, type->prompt, 1);

    if (type->system != NULL)
        copies = count_fields(&fields, type->system, copies);
    HASH_ITER(hh, fields, field, next)
    {
        HASH_DEL(fields, field);
        free(field);
    }
    return copies;
}
