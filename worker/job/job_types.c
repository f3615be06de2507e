/*
 * job_types.c - the job types of a configuration file.
 */
#include "worker/job/job_types.h"

#include "common/memory.h"
#include "worker/job/prompt.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define TYPES_MAX          1000
#define FIELD_BYTES_MAX    128
#define NEW_MAX_TOKENS     1024
#define NEW_MIN_CONFIDENCE 0.80

struct job_types {
    int holders;
    struct job_type *list; /* owned, with all that its members point at */
    int count;
};

const struct job_type *
job_types_list(const struct job_types *types)
{
    return types->list;
}

int
job_types_count(const struct job_types *types)
{
    return types->count;
}

/* ---- one type ---- */

/* The members of a job_type are const for those who only read it. */
static void
replace(const char **member, char *text)
{
    free((void *)(uintptr_t)*member);
    *member = text;
}

static void
release_type(struct job_type *type)
{
    replace(&type->name, NULL);
    replace(&type->system, NULL);
    replace(&type->prompt, NULL);
    for (int i = 0; i < JOB_TYPE_REQUIRED_MAX; i++)
        replace(&type->required[i], NULL);
    json_schema_free(type->schema);
}

/* Like one that is built in, with texts of its own; or like any new one. */
static void
init_type(struct job_type *type, const struct job_type *model, const char *name)
{
    *type = (struct job_type){.output = JOB_OUTPUT_TEXT,
                              .max_tokens = NEW_MAX_TOKENS,
                              .temperature = -1,
                              .min_confidence = NEW_MIN_CONFIDENCE};
    if (model != NULL)
        *type = *model;
    type->name = xstrdup(name);
    type->system = type->system == NULL ? NULL : xstrdup(type->system);
    type->prompt = type->prompt == NULL ? NULL : xstrdup(type->prompt);
    for (int i = 0; type->required[i] != NULL; i++)
        type->required[i] = xstrdup(type->required[i]);
}

/* "" takes the built-in one away. */
static int
read_system(const struct config_field *field, const struct config_part *part, void *member,
            struct error *err)
{
    if (!json_equals(part->value, ""))
        return config_field_text(field, part, member, err);
    replace(member, NULL);
    return 0;
}

/* null takes the built-in one away: some models refuse any. */
static int
read_temperature(const struct config_field *field, const struct config_part *part, void *member,
                 struct error *err)
{
    if (part->value.type != JSON_NULL)
        return config_field_number(field, part, member, err);
    *(double *)member = -1;
    return 0;
}

static int
read_required(const struct config_field *field, const struct config_part *part, void *member,
              struct error *err)
{
    struct job_type *type = member;
    struct config_part inner;
    struct json_slice key;
    int count = 0;

    (void)field;
    if (config_part_expect(part, JSON_ARRAY, err) != 0)
        return -1;
    for (int i = 0; i < JOB_TYPE_REQUIRED_MAX; i++)
        replace(&type->required[i], NULL);
    for (struct config_iter it = config_iter(part); config_next(&it, &key, &inner);) {
        char *name = config_part_text(&inner, FIELD_BYTES_MAX);

        if (name == NULL || count == JOB_TYPE_REQUIRED_MAX) {
            free(name);
            return config_part_refuse(&inner, err, "a field's name, one of at most %d",
                                      JOB_TYPE_REQUIRED_MAX);
        }
        type->required[count++] = name;
    }
    return 0;
}

static int
read_schema(const struct config_field *field, const struct config_part *part, void *member,
            struct error *err)
{
    struct json_schema **schema = member;

    (void)field;
    *schema = json_schema_new(part, err);
    return *schema == NULL ? -1 : 0;
}

static const char *const outputs[] = {[JOB_OUTPUT_FEEDBACK] = "feedback",
                                      [JOB_OUTPUT_JSON] = "json",
                                      [JOB_OUTPUT_TEXT] = "text",
                                      [JOB_OUTPUT_TEXT + 1] = NULL};

#define MEMBER(m) .offset = offsetof(struct job_type, m)

static const struct config_field fields[] = {
    {"system", read_system, MEMBER(system), .high = CONFIG_FILE_BYTES_MAX},
    {"prompt", config_field_text, MEMBER(prompt), .high = CONFIG_FILE_BYTES_MAX},
    {"required", .read = read_required},
    {"output", config_field_choice, MEMBER(output), .choices = outputs},
    {"schema", read_schema, MEMBER(schema)},
    {"min_confidence", config_field_number, MEMBER(min_confidence), .low = 0, .high = 1},
    {"max_tokens", config_field_whole, MEMBER(max_tokens), .low = 1, .high = 1000000},
    {"temperature", read_temperature, MEMBER(temperature), .low = 0, .high = 2},
    {0},
};

/* A setting that would do nothing is a mistake. */
static int
check_together(const struct config_part *part, const struct job_type *type, struct error *err)
{
    const struct config_part confidence = config_part_member(part, "min_confidence");

    if (type->prompt == NULL)
        return config_part_fail(part, err, "has no prompt");
    if (type->schema != NULL && type->output != JOB_OUTPUT_JSON)
        return config_part_fail(part, err, "has a schema, which goes with \"output\": \"json\"");
    if (confidence.value.type != JSON_ABSENT && type->output != JOB_OUTPUT_FEEDBACK)
        return config_part_fail(part, err,
                                "has min_confidence, which goes with \"output\": \"feedback\"");
    return 0;
}

static int
read_type(struct job_types *types, struct json_slice key, const struct config_part *part,
          struct error *err)
{
    const struct config_part at_name = {.file = part->file, .value = key, .path = "a type's name"};
    char *name = config_part_text(&at_name, JOB_TYPE_NAME_MAX);
    struct job_type *type;

    if (name == NULL)
        return config_part_refuse(&at_name, err, "1 to %d bytes without control bytes",
                                  JOB_TYPE_NAME_MAX);
    type = &types->list[types->count++];
    init_type(type, job_type_find(NULL, name), name);
    free(name);
    if (part->value.type != JSON_OBJECT)
        return config_part_refuse(part, err, "an object");
    if (config_part_read(part, fields, type, err) != 0)
        return -1;
    if (check_together(part, type, err) != 0)
        return -1;
    type->copies = prompt_copies(type);
    return 0;
}

/* ---- a generation ---- */

struct job_types *
job_types_new(const struct config_part *section, struct error *err)
{
    struct job_types *types = xcalloc(1, sizeof(*types));
    struct config_part part;
    struct json_slice key;
    int result = config_part_expect(section, JSON_OBJECT, err);

    types->holders = 1;
    types->list = xcalloc(TYPES_MAX, sizeof(*types->list));
    for (struct config_iter it = config_iter(section);
         result == 0 && config_next(&it, &key, &part);)
        result = types->count == TYPES_MAX
                     ? config_part_refuse(section, err, "an object of at most %d types", TYPES_MAX)
                     : read_type(types, key, &part, err);
    if (result == 0)
        return types;
    job_types_drop(types);
    return NULL;
}

struct job_types *
job_types_hold(struct job_types *types)
{
    if (types != NULL)
        types->holders++;
    return types;
}

void
job_types_drop(struct job_types *types)
{
    if (types == NULL || --types->holders > 0)
        return;
    for (int i = 0; i < types->count; i++)
        release_type(&types->list[i]);
    free(types->list);
    free(types);
}
