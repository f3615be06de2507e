#include "worker/job/prompt.h"

#include <string.h>

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

static void
put_template(const struct job *job, const char *template, struct evbuffer *out)
{
    char name[FIELD_NAME_MAX + 1];
    const char *open, *behind;

    while ((open = strstr(template, "{{")) != NULL) {
        json_put_escaped(out, template, (size_t)(open - template));
        behind = take_reference(open, name);
        if (behind != NULL)
            put_field(job->root, name, out);
        else
            json_put_escaped(out, open, 2);
        template = behind == NULL ? open + 2 : behind;
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
