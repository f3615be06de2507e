#include "common/config_file.h"

#include "common/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of a long path its end tells more. */
#define SHOWN_PATH_MAX  60
#define SHOWN_VALUE_MAX 32

struct config_file {
    char *path;
    char *text; /* without its comments */
    size_t len;
    struct json_slice root;
};

/* ---- what is said ---- */

static const char *
shown_path(const char *path, const char **dots)
{
    size_t len = strlen(path);

    *dots = len > SHOWN_PATH_MAX ? "..." : "";
    return len > SHOWN_PATH_MAX ? path + len - SHOWN_PATH_MAX : path;
}

static int
line_of(const struct config_file *file, const char *at)
{
    int line = 1;

    for (const char *byte = file->text; byte < at; byte++)
        line += *byte == '\n';
    return line;
}

static int fail(const struct config_file *file, const char *at, struct error *err,
                const char *format, ...) __attribute__((format(printf, 4, 5)));

static int
fail(const struct config_file *file, const char *at, struct error *err, const char *format, ...)
{
    char what[256];
    const char *dots, *path = shown_path(file->path, &dots);
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    return error_set(err, ERROR_CONFIG, "HEADGATE_CONFIG=%s%s: line %d: %s", dots, path,
                     line_of(file, at), what);
}

static void
describe(const struct config_part *part, char *text, size_t size)
{
    struct json_slice value = part->value;

    if (value.type == JSON_ARRAY || value.type == JSON_OBJECT)
        snprintf(text, size, value.type == JSON_ARRAY ? "an array" : "an object");
    else if (value.type == JSON_STRING && (part->is_hidden || value.len > SHOWN_VALUE_MAX))
        snprintf(text, size, "a string of %zu bytes", value.len - 2);
    else
        snprintf(text, size, "%.*s",
                 (int)(value.len < SHOWN_VALUE_MAX ? value.len : SHOWN_VALUE_MAX), value.text);
}

int
config_part_refuse(const struct config_part *part, struct error *err, const char *must_be, ...)
{
    char is[SHOWN_VALUE_MAX + 32], must[256];
    va_list args;

    describe(part, is, sizeof(is));
    va_start(args, must_be);
    vsnprintf(must, sizeof(must), must_be, args);
    va_end(args);
    return fail(part->file, part->value.text, err, "%s is %s: it must be %s", part->path, is, must);
}

int
config_part_fail(const struct config_part *part, struct error *err, const char *what)
{
    return fail(part->file, part->value.text, err, "%s %s", part->path, what);
}

/* ---- names that stand twice ---- */

static int
compare_names(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;

    return strcmp(*left, *right);
}

static int
check_twice(const struct config_file *file, struct json_slice object, char **names, int count,
            struct error *err)
{
    qsort(names, (size_t)count, sizeof(*names), compare_names);
    for (int i = 1; i < count; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            return fail(file, object.text, err, "the name \"%.64s\" stands twice in an object",
                        names[i]);
    return 0;
}

static int
count_names(struct json_slice object)
{
    struct json_slice key, value;
    int count = 0;

    for (struct json_iter it = json_iter(object);
         count <= CONFIG_NAMES_MAX && json_next(&it, &key, &value);)
        count++;
    return count;
}

static int
check_names(const struct config_file *file, struct json_slice object, struct error *err)
{
    struct json_slice key, value;
    int most = count_names(object), count = 0, result = 0;
    char **names;

    if (most > CONFIG_NAMES_MAX)
        return fail(file, object.text, err, "an object has more than %d names", CONFIG_NAMES_MAX);
    names = xcalloc((size_t)most + 1, sizeof(*names));
    for (struct json_iter it = json_iter(object); result == 0 && json_next(&it, &key, &value);) {
        size_t len = 0;

        names[count] = json_string(key, &len);
        if (names[count] == NULL || strlen(names[count++]) != len)
            result = fail(file, key.text, err, "a name has a NUL in it");
    }
    if (result == 0)
        result = check_twice(file, object, names, count, err);
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return result;
}

/* As deep as json_check has let it be. */
static int
check_all_names(const struct config_file *file, struct json_slice value, struct error *err)
{
    struct json_slice key, inner;

    if (value.type == JSON_OBJECT && check_names(file, value, err) != 0)
        return -1;
    for (struct json_iter it = json_iter(value); json_next(&it, &key, &inner);)
        if ((inner.type == JSON_OBJECT || inner.type == JSON_ARRAY) &&
            check_all_names(file, inner, err) != 0)
            return -1;
    return 0;
}

/* ---- reading ---- */

/* "invalid JSON at byte 17: ..." with a line that an editor can go to. */
static int
fail_json(const struct config_file *file, const struct error *why, struct error *err)
{
    const char *at = strstr(why->message, "at byte ");
    const char *what = at == NULL ? NULL : strstr(at, ": ");
    size_t offset = at == NULL ? 0 : strtoul(at + strlen("at byte "), NULL, 10);

    if (offset > file->len)
        offset = file->len;
    return fail(file, file->text + offset, err, "invalid JSON: %s",
                what == NULL ? why->message : what + 2);
}

static int
check_sections(const struct config_file *file, const char *const *sections, struct error *err)
{
    struct config_field fields[16] = {0};
    struct config_part root = {.file = file, .value = file->root};

    for (size_t i = 0; sections[i] != NULL && i + 1 < sizeof(fields) / sizeof(fields[0]); i++)
        fields[i].name = sections[i];
    return config_part_read(&root, fields, NULL, err);
}

struct config_file *
config_file_parse(const char *path, const char *text, size_t len, const char *const *sections,
                  struct error *err)
{
    struct config_file *file = xcalloc(1, sizeof(*file));
    struct error why = {0};
    int result;

    file->path = xstrdup(path);
    file->text = xcalloc(1, len + 1);
    file->len = len;
    memcpy(file->text, text, len);
    json_blank_comments(file->text, len);
    if (json_check(file->text, len, &file->root, &why) != 0)
        result = fail_json(file, &why, err);
    else if (file->root.type != JSON_OBJECT)
        result = fail(file, file->root.text, err, "the file must hold one JSON object");
    else if ((result = check_all_names(file, file->root, err)) == 0)
        result = check_sections(file, sections, err);
    if (result == 0)
        return file;
    config_file_free(file);
    return NULL;
}

static struct config_file *
fail_read(const char *path, struct error *err, const char *why)
{
    const char *dots, *end = shown_path(path, &dots);

    error_set(err, ERROR_CONFIG,
              "HEADGATE_CONFIG=%s%s: %s: it must be the path of a readable file of less than 1 MiB",
              dots, end, why);
    return NULL;
}

/* A regular file only: a pipe without a writer would block the loop for ever. NULL: errno tells. */
static FILE *
open_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &info) == 0 && (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode)))
        return fdopen(fd, "r"); /* reading a directory fails, and says so */
    close(fd);
    errno = ESPIPE;
    return NULL;
}

struct config_file *
config_file_read(const char *path, const char *const *sections, struct error *err)
{
    FILE *stream = open_file(path);
    struct config_file *file;
    char *text;
    size_t len;

    if (stream == NULL)
        return fail_read(path, err, errno == ESPIPE ? "no regular file" : strerror(errno));
    text = xcalloc(1, CONFIG_FILE_BYTES_MAX);
    errno = 0;
    len = fread(text, 1, CONFIG_FILE_BYTES_MAX, stream);
    if (ferror(stream))
        file = fail_read(path, err, strerror(errno));
    else if (len == CONFIG_FILE_BYTES_MAX)
        file = fail_read(path, err, "too large");
    else
        file = config_file_parse(path, text, len, sections, err);
    fclose(stream);
    free(text);
    return file;
}

void
config_file_free(struct config_file *file)
{
    if (file == NULL)
        return;
    free(file->path);
    free(file->text);
    free(file);
}

/* ---- parts ---- */

static struct config_part
part_at(const struct config_part *whole, struct json_slice value, const char *name)
{
    struct config_part part = {.file = whole->file, .value = value};
    const char *dot = whole->path[0] == '\0' || name[0] == '[' ? "" : ".";
    char *path = xasprintf("%s%s%s", whole->path, dot, name);

    memcpy(part.path, path, strnlen(path, sizeof(part.path) - 1));
    free(path);
    return part;
}

struct config_part
config_part_member(const struct config_part *object, const char *name)
{
    return part_at(object, json_get(object->value, name), name);
}

struct config_part
config_file_root(const struct config_file *file)
{
    struct config_part root = {.file = file};

    if (file != NULL)
        root.value = file->root;
    return root;
}

struct config_part
config_file_section(const struct config_file *file, const char *name)
{
    struct config_part root = config_file_root(file);

    return config_part_member(&root, name);
}

struct config_iter
config_iter(const struct config_part *whole)
{
    return (struct config_iter){.whole = whole, .json = json_iter(whole->value)};
}

bool
config_next(struct config_iter *it, struct json_slice *name, struct config_part *part)
{
    struct json_slice value;
    char *text;

    if (!json_next(&it->json, name, &value))
        return false;
    text = name->type == JSON_STRING ? json_string(*name, NULL) : xasprintf("[%d]", it->index++);
    *part = part_at(it->whole, value, text == NULL ? "" : text);
    free(text);
    return true;
}

int
config_part_expect(const struct config_part *part, enum json_type type, struct error *err)
{
    if (part->value.type == JSON_ABSENT || part->value.type == type)
        return 0;
    return config_part_refuse(part, err, type == JSON_ARRAY ? "an array" : "an object");
}

/* ---- by a table ---- */

static void
list_names(const struct config_field *fields, char *names, size_t size)
{
    size_t used = 0;

    for (; fields->name != NULL && used < size; fields++)
        used += (size_t)snprintf(names + used, size - used, "%s%s", used == 0 ? "" : ", ",
                                 fields->name);
}

static int
fail_unknown(const struct config_part *part, const struct config_field *fields, struct error *err)
{
    char names[160] = "";

    list_names(fields, names, sizeof(names));
    return fail(part->file, part->value.text, err, "%s is unknown: allowed are %s", part->path,
                names);
}

static int
read_member(struct config_part *part, struct json_slice name, const struct config_field *fields,
            void *into, struct error *err)
{
    for (const struct config_field *field = fields; field->name != NULL; field++) {
        if (!json_equals(name, field->name))
            continue;
        part->is_hidden = field->is_hidden;
        return field->read == NULL ? 0
                                   : field->read(field, part, (char *)into + field->offset, err);
    }
    return fail_unknown(part, fields, err);
}

static int
check_needed(const struct config_part *object, const struct config_field *fields, struct error *err)
{
    for (; fields->name != NULL; fields++)
        if (fields->is_needed && json_get(object->value, fields->name).type == JSON_ABSENT)
            return fail(object->file, object->value.text, err, "%s.%s is missing", object->path,
                        fields->name);
    return 0;
}

int
config_part_read(const struct config_part *object, const struct config_field *fields, void *into,
                 struct error *err)
{
    struct config_part part;
    struct json_slice name;

    if (config_part_expect(object, JSON_OBJECT, err) != 0)
        return -1;
    for (struct config_iter it = config_iter(object); config_next(&it, &name, &part);)
        if (read_member(&part, name, fields, into, err) != 0)
            return -1;
    return check_needed(object, fields, err);
}

/* ---- fields ---- */

static bool
is_plain(const char *text)
{
    for (; *text != '\0'; text++)
        if (((unsigned char)*text < 0x20 && *text != '\n' && *text != '\t') || *text == 0x7f)
            return false;
    return true;
}

char *
config_part_text(const struct config_part *part, size_t most)
{
    size_t len;
    char *text = json_string(part->value, &len);

    if (text != NULL && (len == 0 || len > most || strlen(text) != len || !is_plain(text))) {
        free(text);
        return NULL;
    }
    return text;
}

int
config_field_text(const struct config_field *field, const struct config_part *part, void *member,
                  struct error *err)
{
    char *text = config_part_text(part, (size_t)field->high);
    char **kept = member;

    if (text == NULL)
        return config_part_refuse(part, err, "a string of 1 to %.0f bytes without control bytes",
                                  field->high);
    free(*kept);
    *kept = text;
    return 0;
}

int
config_field_number(const struct config_field *field, const struct config_part *part, void *member,
                    struct error *err)
{
    double number;

    if (!json_double(part->value, &number) || number < field->low || number > field->high)
        return config_part_refuse(part, err, "a number from %.10g to %.10g", field->low,
                                  field->high);
    *(double *)member = number;
    return 0;
}

int
config_field_whole(const struct config_field *field, const struct config_part *part, void *member,
                   struct error *err)
{
    if (json_int(part->value, (int64_t)field->low, (int64_t)field->high, member))
        return 0;
    return config_part_refuse(part, err, "a whole number from %.10g to %.10g", field->low,
                              field->high);
}

int
config_field_seconds(const struct config_field *field, const struct config_part *part, void *member,
                     struct error *err)
{
    double seconds;

    if (!json_double(part->value, &seconds) || seconds < field->low || seconds > field->high)
        return config_part_refuse(part, err, "a number of seconds from %.10g to %.10g", field->low,
                                  field->high);
    *(int64_t *)member = llround(seconds * 1000);
    return 0;
}

int
config_field_bool(const struct config_field *field, const struct config_part *part, void *member,
                  struct error *err)
{
    (void)field;
    if (json_bool(part->value, member))
        return 0;
    return config_part_refuse(part, err, "true or false");
}

int
config_field_choice(const struct config_field *field, const struct config_part *part, void *member,
                    struct error *err)
{
    char names[128] = "";
    size_t used = 0;

    for (int i = 0; field->choices[i] != NULL; i++) {
        if (json_equals(part->value, field->choices[i])) {
            *(int *)member = i;
            return 0;
        }
        if (used < sizeof(names))
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s\"%s\"",
                                     i == 0 ? "" : " or ", field->choices[i]);
    }
    return config_part_refuse(part, err, "%s", names);
}
