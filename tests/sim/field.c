#include "tests/sim/field.h"

#include <stdlib.h>
#include <string.h>

int
field_double(struct json_slice object, const char *name, double low, double high, double *value,
             struct error *err)
{
    struct json_slice member = json_get(object, name);
    double number;

    if (member.type == JSON_ABSENT)
        return 0;
    if (!json_double(member, &number) || number < low || number > high)
        return error_set(err, ERROR_INPUT, "%s must be a number from %g to %g", name, low, high);
    *value = number;
    return 0;
}

int
field_int(struct json_slice object, const char *name, int64_t low, int64_t high, int64_t *value,
          struct error *err)
{
    struct json_slice member = json_get(object, name);

    if (member.type == JSON_ABSENT || json_int(member, low, high, value))
        return 0;
    return error_set(err, ERROR_INPUT, "%s must be a whole number from %lld to %lld", name,
                     (long long)low, (long long)high);
}

int
field_bool(struct json_slice object, const char *name, bool *value, struct error *err)
{
    struct json_slice member = json_get(object, name);

    if (member.type == JSON_ABSENT || json_bool(member, value))
        return 0;
    return error_set(err, ERROR_INPUT, "%s must be true or false", name);
}

int
field_text(struct json_slice object, const char *name, char **text, struct error *err)
{
    struct json_slice member = json_get(object, name);
    char *string;
    size_t len;

    if (member.type == JSON_ABSENT)
        return 0;
    string = json_string(member, &len);
    if (member.type != JSON_NULL && (string == NULL || strlen(string) != len)) {
        free(string);
        return error_set(err, ERROR_INPUT, "%s must be a string without NUL, or null", name);
    }
    free(*text);
    *text = string;
    return 0;
}
