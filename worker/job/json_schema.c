#include "worker/job/json_schema.h"

#include "common/memory.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_MAX     1000000000.0
#define SHOWN_MAX     32
#define PATH_MAX_HERE 120

/* Bits of `types`. "number" is both of its kinds. */
enum {
    TYPE_NULL = 1,
    TYPE_BOOL = 2,
    TYPE_INTEGER = 4,
    TYPE_REAL = 8,
    TYPE_STRING = 16,
    TYPE_ARRAY = 32,
    TYPE_OBJECT = 64
};

static const struct {
    const char *name;
    unsigned bits;
} type_names[] = {
    {"null", TYPE_NULL},     {"boolean", TYPE_BOOL}, {"integer", TYPE_INTEGER},
    {"string", TYPE_STRING}, {"array", TYPE_ARRAY},  {"number", TYPE_INTEGER | TYPE_REAL},
    {"object", TYPE_OBJECT},
};
#define TYPE_NAMES (sizeof(type_names) / sizeof(type_names[0]))

struct property {
    char *name;                 /* owned */
    struct json_schema *schema; /* owned; NULL: anything */
    bool is_required;
};

struct json_schema {
    unsigned types;  /* 0: any */
    char *enum_text; /* owned: the array as it was written; NULL: none */
    struct json_slice choices;
    double minimum, maximum;
    int64_t min_length, max_length, min_items, max_items;
    struct property *properties; /* owned; sorted by name */
    size_t property_count;
    bool is_closed;                 /* no other properties */
    struct json_schema *additional; /* owned; of all other properties; NULL: anything */
    struct json_schema *items;      /* owned; NULL: anything */
};

void
json_schema_free(struct json_schema *schema)
{
    if (schema == NULL)
        return;
    for (size_t i = 0; i < schema->property_count; i++) {
        free(schema->properties[i].name);
        json_schema_free(schema->properties[i].schema);
    }
    free(schema->properties);
    json_schema_free(schema->additional);
    json_schema_free(schema->items);
    free(schema->enum_text);
    free(schema);
}

/* ---- reading the schema ---- */

static unsigned
type_bits(struct json_slice name)
{
    for (size_t i = 0; i < TYPE_NAMES; i++)
        if (json_equals(name, type_names[i].name))
            return type_names[i].bits;
    return 0;
}

static int
read_type(const struct config_field *field, const struct config_part *part, void *member,
          struct error *err)
{
    struct json_slice key, name;
    unsigned *types = member;
    bool is_good = true;

    (void)field;
    *types = type_bits(part->value);
    if (part->value.type == JSON_ARRAY)
        for (struct json_iter it = json_iter(part->value); json_next(&it, &key, &name);) {
            is_good = is_good && type_bits(name) != 0;
            *types |= type_bits(name);
        }
    if (is_good && *types != 0)
        return 0;
    return config_part_refuse(part, err,
                              "null, boolean, integer, number, string, array, object or an array "
                              "of these");
}

static int
read_enum(const struct config_field *field, const struct config_part *part, void *member,
          struct error *err)
{
    struct json_schema *schema = member;
    struct json_slice key, choice;
    int count = 0;

    (void)field;
    for (struct json_iter it = json_iter(part->value); json_next(&it, &key, &choice); count++)
        if (choice.type == JSON_ARRAY || choice.type == JSON_OBJECT || it.is_object)
            count = -CONFIG_FILE_BYTES_MAX;
    if (count <= 0)
        return config_part_refuse(part, err, "an array of strings, numbers, true, false or null");
    schema->enum_text = strndup(part->value.text, part->value.len);
    schema->choices = part->value;
    schema->choices.text = schema->enum_text;
    return 0;
}

static int
read_inner(const struct config_field *field, const struct config_part *part, void *member,
           struct error *err)
{
    struct json_schema **inner = member;

    (void)field;
    *inner = json_schema_new(part, err);
    return *inner == NULL ? -1 : 0;
}

static int
read_additional(const struct config_field *field, const struct config_part *part, void *member,
                struct error *err)
{
    struct json_schema *schema = member;
    bool is_open = true;

    if (!json_bool(part->value, &is_open))
        return read_inner(field, part, &schema->additional, err);
    schema->is_closed = !is_open;
    return 0;
}

static int
compare_properties(const void *a, const void *b)
{
    const struct property *left = a, *right = b;

    return strcmp(left->name, right->name);
}

static struct property *
find_property(const struct json_schema *schema, const char *name)
{
    for (size_t i = 0; i < schema->property_count; i++)
        if (strcmp(schema->properties[i].name, name) == 0)
            return &schema->properties[i];
    return NULL;
}

/* The property of this name, which is taken. */
static struct property *
want_property(struct json_schema *schema, char *name)
{
    struct property *property = find_property(schema, name);

    if (property != NULL) {
        free(name);
        return property;
    }
    property = &schema->properties[schema->property_count++];
    *property = (struct property){.name = name};
    return property;
}

static int
read_properties(const struct config_field *field, const struct config_part *part, void *member,
                struct error *err)
{
    struct json_schema *schema = member;
    struct config_part inner;
    struct json_slice key;

    if (config_part_expect(part, JSON_OBJECT, err) != 0)
        return -1;
    for (struct config_iter it = config_iter(part); config_next(&it, &key, &inner);) {
        struct property *property = want_property(schema, json_string(key, NULL));

        if (read_inner(field, &inner, &property->schema, err) != 0)
            return -1;
    }
    return 0;
}

static int
read_required(const struct config_field *field, const struct config_part *part, void *member,
              struct error *err)
{
    struct json_schema *schema = member;
    struct config_part inner;
    struct json_slice key;

    (void)field;
    if (config_part_expect(part, JSON_ARRAY, err) != 0)
        return -1;
    for (struct config_iter it = config_iter(part); config_next(&it, &key, &inner);) {
        char *name = config_part_text(&inner, CONFIG_FILE_BYTES_MAX);

        if (name == NULL)
            return config_part_refuse(&inner, err, "the name of a property");
        want_property(schema, name)->is_required = true;
    }
    return 0;
}

#define MEMBER(m) .offset = offsetof(struct json_schema, m)
#define BOUND(m)  config_field_whole, MEMBER(m), .low = 0, .high = COUNT_MAX

static const struct config_field keywords[] = {
    {"type", read_type, MEMBER(types)},
    {"properties", .read = read_properties},
    {"required", .read = read_required},
    {"additionalProperties", .read = read_additional},
    {"items", read_inner, MEMBER(items)},
    {"enum", .read = read_enum},
    {"minimum", config_field_number, MEMBER(minimum), .low = -1e300, .high = 1e300},
    {"maximum", config_field_number, MEMBER(maximum), .low = -1e300, .high = 1e300},
    {"minLength", BOUND(min_length)},
    {"maxLength", BOUND(max_length)},
    {"minItems", BOUND(min_items)},
    {"maxItems", BOUND(max_items)},
    {0},
};

/* They say nothing about what fits. */
static const char *const annotations[] = {"title",    "description", "default", "examples",
                                          "$comment", "$schema",     "$id"};

static bool
is_annotation(struct json_slice name)
{
    for (size_t i = 0; i < sizeof(annotations) / sizeof(annotations[0]); i++)
        if (json_equals(name, annotations[i]))
            return true;
    return false;
}

static int
read_keyword(struct json_schema *schema, struct json_slice name, const struct config_part *part,
             struct error *err)
{
    for (const struct config_field *field = keywords; field->name != NULL; field++)
        if (json_equals(name, field->name))
            return field->read(field, part, (char *)schema + field->offset, err);
    if (is_annotation(name))
        return 0;
    return config_part_fail(part, err,
                            "is not supported: type, properties, required, "
                            "additionalProperties, items, enum, min- and maximum, -Length, "
                            "-Items are");
}

static size_t
count_members(struct json_slice container)
{
    struct json_slice key, value;
    size_t count = 0;

    for (struct json_iter it = json_iter(container); json_next(&it, &key, &value);)
        count++;
    return count;
}

struct json_schema *
json_schema_new(const struct config_part *part, struct error *err)
{
    struct json_schema *schema;
    struct config_part inner;
    struct json_slice key;
    int result = 0;

    if (part->value.type != JSON_OBJECT) {
        config_part_refuse(part, err, "a JSON Schema: an object");
        return NULL;
    }
    schema = xcalloc(1, sizeof(*schema));
    schema->properties = xcalloc(count_members(json_get(part->value, "properties")) +
                                     count_members(json_get(part->value, "required")) + 1,
                                 sizeof(*schema->properties));
    schema->minimum = -INFINITY;
    schema->maximum = INFINITY;
    schema->max_length = schema->max_items = INT64_MAX;
    for (struct config_iter it = config_iter(part); result == 0 && config_next(&it, &key, &inner);)
        result = read_keyword(schema, key, &inner, err);
    if (result != 0) {
        json_schema_free(schema);
        return NULL;
    }
    qsort(schema->properties, schema->property_count, sizeof(*schema->properties),
          compare_properties);
    return schema;
}

/* ---- checking a value ---- */

/* Where in the value we are. Cut when longer. */
struct place {
    char path[PATH_MAX_HERE];
};

static struct place
place_in(const struct place *whole, const char *name, int64_t index)
{
    struct place place;
    size_t used = strlen(whole->path);

    memcpy(place.path, whole->path, used + 1);
    if (name == NULL)
        snprintf(place.path + used, sizeof(place.path) - used, "[%lld]", (long long)index);
    else
        snprintf(place.path + used, sizeof(place.path) - used, "%s%s", used == 0 ? "" : ".", name);
    return place;
}

static int
misfit(const struct place *place, struct json_slice value, struct error *err, const char *must_be)
{
    const char *path = place->path[0] == '\0' ? "the answer" : place->path;

    if (value.type == JSON_ARRAY || value.type == JSON_OBJECT)
        return error_set(err, ERROR_INPUT, "%s is an %s: it must be %s", path,
                         value.type == JSON_ARRAY ? "array" : "object", must_be);
    if (value.len > SHOWN_MAX)
        return error_set(err, ERROR_INPUT, "%s has %zu bytes: it must be %s", path, value.len,
                         must_be);
    return error_set(err, ERROR_INPUT, "%s is %.*s: it must be %s", path, (int)value.len,
                     value.text, must_be);
}

static unsigned
bits_of(struct json_slice value)
{
    double number;

    switch (value.type) {
    case JSON_NULL: return TYPE_NULL;
    case JSON_BOOL: return TYPE_BOOL;
    case JSON_NUMBER:
        return json_double(value, &number) && number == trunc(number) ? TYPE_INTEGER : TYPE_REAL;
    case JSON_STRING: return TYPE_STRING;
    case JSON_ARRAY: return TYPE_ARRAY;
    case JSON_OBJECT: return TYPE_OBJECT;
    case JSON_ABSENT: break;
    }
    return 0;
}

static int
check_type(const struct json_schema *schema, struct json_slice value, const struct place *place,
           struct error *err)
{
    char names[96] = "";
    size_t used = 0;

    if (schema->types == 0 || (schema->types & bits_of(value)) != 0)
        return 0;
    for (size_t i = 0; i < TYPE_NAMES && used < sizeof(names); i++)
        if ((schema->types & type_names[i].bits) == type_names[i].bits &&
            !(type_names[i].bits == TYPE_INTEGER && (schema->types & TYPE_REAL) != 0))
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s",
                                     used == 0 ? "of type " : " or ", type_names[i].name);
    return misfit(place, value, err, names);
}

static bool
is_equal(struct json_slice left, struct json_slice right)
{
    double a, b;
    char *text;
    bool is_same;

    if (left.type != right.type)
        return false;
    if (left.type == JSON_NUMBER)
        return json_double(left, &a) && json_double(right, &b) && a == b;
    if (left.type != JSON_STRING)
        return left.len == right.len && memcmp(left.text, right.text, left.len) == 0;
    text = json_string(left, NULL);
    is_same = text != NULL && json_equals(right, text);
    free(text);
    return is_same;
}

static int
check_enum(const struct json_schema *schema, struct json_slice value, const struct place *place,
           struct error *err)
{
    struct json_slice key, choice;
    char must_be[96];

    if (schema->enum_text == NULL)
        return 0;
    for (struct json_iter it = json_iter(schema->choices); json_next(&it, &key, &choice);)
        if (is_equal(choice, value))
            return 0;
    snprintf(must_be, sizeof(must_be), "one of %s", schema->enum_text);
    return misfit(place, value, err, must_be);
}

static int
check_bounds(double number, double low, double high, const char *what, struct json_slice value,
             const struct place *place, struct error *err)
{
    char must_be[64];

    if (number >= low && number <= high)
        return 0;
    if (number < low)
        snprintf(must_be, sizeof(must_be), "at least %.10g%s", low, what);
    else
        snprintf(must_be, sizeof(must_be), "at most %.10g%s", high, what);
    return misfit(place, value, err, must_be);
}

static int
check_number(const struct json_schema *schema, struct json_slice value, const struct place *place,
             struct error *err)
{
    double number;

    if (!json_double(value, &number))
        return misfit(place, value, err, "a number that a double holds");
    return check_bounds(number, schema->minimum, schema->maximum, "", value, place, err);
}

static int
check_string(const struct json_schema *schema, struct json_slice value, const struct place *place,
             struct error *err)
{
    size_t len;
    char *text;
    int64_t characters = 0;

    if (schema->min_length == 0 && schema->max_length == INT64_MAX)
        return 0;
    text = json_string(value, &len);
    for (size_t i = 0; text != NULL && i < len; i++)
        characters += ((unsigned char)text[i] & 0xc0) != 0x80;
    free(text);
    return check_bounds((double)characters, (double)schema->min_length, (double)schema->max_length,
                        " characters long", value, place, err);
}

static int check_value(const struct json_schema *schema, struct json_slice value,
                       const struct place *place, struct error *err);

static int
check_array(const struct json_schema *schema, struct json_slice value, const struct place *place,
            struct error *err)
{
    struct json_slice key, item;
    int64_t count = 0;

    for (struct json_iter it = json_iter(value); json_next(&it, &key, &item); count++) {
        const struct place inside = place_in(place, NULL, count);

        if (schema->items != NULL && check_value(schema->items, item, &inside, err) != 0)
            return -1;
    }
    return check_bounds((double)count, (double)schema->min_items, (double)schema->max_items,
                        " items long", value, place, err);
}

static int
compare_name(const void *name, const void *property)
{
    return strcmp(name, ((const struct property *)property)->name);
}

static int
check_member(const struct json_schema *schema, const char *name, struct json_slice value,
             const struct place *place, bool *is_there, struct error *err)
{
    const struct property *property = bsearch(name, schema->properties, schema->property_count,
                                              sizeof(*schema->properties), compare_name);
    const struct place inside = place_in(place, name, 0);
    const struct json_schema *inner = property == NULL ? schema->additional : property->schema;

    if (property != NULL)
        is_there[property - schema->properties] = true;
    else if (schema->is_closed)
        return error_set(err, ERROR_INPUT, "%s is not allowed by the schema", inside.path);
    return inner == NULL ? 0 : check_value(inner, value, &inside, err);
}

static int
check_required(const struct json_schema *schema, const bool *is_there, const struct place *place,
               struct error *err)
{
    for (size_t i = 0; i < schema->property_count; i++) {
        const struct place inside = place_in(place, schema->properties[i].name, 0);

        if (schema->properties[i].is_required && !is_there[i])
            return error_set(err, ERROR_INPUT, "%s is missing", inside.path);
    }
    return 0;
}

static int
check_object(const struct json_schema *schema, struct json_slice value, const struct place *place,
             struct error *err)
{
    bool *is_there = xcalloc(schema->property_count + 1, sizeof(*is_there));
    struct json_slice key, member;
    int result = 0;

    for (struct json_iter it = json_iter(value); result == 0 && json_next(&it, &key, &member);) {
        char *name = json_string(key, NULL);

        result = name == NULL ? error_set(err, ERROR_INTERNAL, "out of memory")
                              : check_member(schema, name, member, place, is_there, err);
        free(name);
    }
    if (result == 0)
        result = check_required(schema, is_there, place, err);
    free(is_there);
    return result;
}

static int
check_value(const struct json_schema *schema, struct json_slice value, const struct place *place,
            struct error *err)
{
    if (check_type(schema, value, place, err) != 0 || check_enum(schema, value, place, err) != 0)
        return -1;
    switch (value.type) {
    case JSON_NUMBER: return check_number(schema, value, place, err);
    case JSON_STRING: return check_string(schema, value, place, err);
    case JSON_ARRAY: return check_array(schema, value, place, err);
    case JSON_OBJECT: return check_object(schema, value, place, err);
    case JSON_ABSENT:
    case JSON_NULL:
    case JSON_BOOL: break;
    }
    return 0;
}

bool
json_schema_takes(const struct json_schema *schema, enum json_type type)
{
    return schema->types == 0 || (schema->types & bits_of((struct json_slice){.type = type})) != 0;
}

int
json_schema_check(const struct json_schema *schema, struct json_slice value, struct error *err)
{
    const struct place whole = {""};

    return check_value(schema, value, &whole, err);
}
