#include "common/config_value.h"

#include "common/memory.h"
#include "common/utf8.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

_Static_assert(sizeof(enum config_delivery) == sizeof(int) &&
                   sizeof(enum config_policy) == sizeof(int) &&
                   sizeof(enum log_level) == sizeof(int),
               "config_read_choice writes an int");

int
config_read_text(const struct config_setting *setting, const char *text, void *member,
                 struct error *err)
{
    char **copy = member;

    (void)setting;
    (void)err;
    *copy = xstrdup(text);
    return 0;
}

int
config_read_prefix(const struct config_setting *setting, const char *text, void *member,
                   struct error *err)
{
    for (size_t i = 0; text[i] != '\0'; i++)
        if (i == 64 || (!isalnum((unsigned char)text[i]) && strchr("._:-", text[i]) == NULL))
            return error_set(err, ERROR_CONFIG,
                             "must be 1 to 64 characters of A-Z a-z 0-9 . _ : -");
    return config_read_text(setting, text, member, err);
}

int
config_read_token(const struct config_setting *setting, const char *text, void *member,
                  struct error *err)
{
    for (const char *at = text; *at != '\0'; at++)
        if (!isgraph((unsigned char)*at))
            return error_set(err, ERROR_CONFIG, "must be printable ASCII without blanks");
    return config_read_text(setting, text, member, err);
}

/* Digits only, at most 18 of them: no sign, no blanks, no overflow. */
static bool
take_digits(const char **at, int64_t *value)
{
    const char *first = *at;

    for (*value = 0; isdigit((unsigned char)**at); (*at)++) {
        if (*at - first == 18)
            return false;
        *value = *value * 10 + (**at - '0');
    }
    return *at > first;
}

int
config_read_int64(const struct config_setting *setting, const char *text, void *member,
                  struct error *err)
{
    int64_t *number = member, value;

    if (!take_digits(&text, &value) || *text != '\0' || value < setting->low ||
        value > setting->high)
        return error_set(err, ERROR_CONFIG, "must be a whole number from %" PRId64 " to %" PRId64,
                         setting->low, setting->high);
    *number = value;
    return 0;
}

/* "1048576", "1024k", "1m", "0": bytes; k, m and g are powers of 1024. */
int
config_read_size(const struct config_setting *setting, const char *text, void *member,
                 struct error *err)
{
    static const char units[] = "kmg";
    int64_t *bytes = member, value;
    const char *unit;
    int shift = 0;

    if (take_digits(&text, &value) && *text != '\0' &&
        (unit = strchr(units, tolower((unsigned char)*text))) != NULL) {
        shift = 10 * (int)(unit - units + 1);
        text++;
    }
    if (*text != '\0' || setting->high >> shift < value || value << shift < setting->low)
        return error_set(err, ERROR_CONFIG,
                         "must be bytes from %" PRId64 " to %" PRId64
                         ", as a whole number or with k, m or g behind it",
                         setting->low, setting->high);
    *bytes = value << shift;
    return 0;
}

int
config_read_int(const struct config_setting *setting, const char *text, void *member,
                struct error *err)
{
    int *number = member;
    int64_t value = 0;

    if (config_read_int64(setting, text, &value, err) != 0)
        return -1;
    *number = (int)value;
    return 0;
}

/* "12", "0.25": milliseconds; what is finer is dropped. */
static bool
parse_seconds(const char *text, int64_t *ms)
{
    int64_t whole;

    if (!take_digits(&text, &whole) || whole > INT32_MAX)
        return false;
    *ms = whole * 1000;
    if (*text == '\0')
        return true;
    if (*text++ != '.' || *text == '\0')
        return false;
    for (int unit = 100; isdigit((unsigned char)*text); unit /= 10)
        *ms += (*text++ - '0') * unit;
    return *text == '\0';
}

int
config_read_seconds(const struct config_setting *setting, const char *text, void *member,
                    struct error *err)
{
    int64_t *ms = member, value;

    if (!parse_seconds(text, &value) || value < setting->low || value > setting->high)
        return error_set(err, ERROR_CONFIG, "must be a number of seconds from %.10g to %.10g",
                         (double)setting->low / 1000, (double)setting->high / 1000);
    *ms = value;
    return 0;
}

static int
refuse_choice(const struct config_setting *setting, struct error *err)
{
    char list[128] = "";

    for (const char *const *choice = setting->choices; *choice != NULL; choice++) {
        const char *before = choice == setting->choices ? "" : choice[1] == NULL ? " or " : ", ";
        size_t len = strlen(list);

        snprintf(list + len, sizeof(list) - len, "%s%s", before, *choice);
    }
    return error_set(err, ERROR_CONFIG, "must be %s", list);
}

int
config_read_choice(const struct config_setting *setting, const char *text, void *member,
                   struct error *err)
{
    for (int i = 0; setting->choices[i] != NULL; i++) {
        if (strcasecmp(text, setting->choices[i]) == 0) {
            memcpy(member, &i, sizeof(i));
            return 0;
        }
    }
    return refuse_choice(setting, err);
}

int
config_read_either(const struct config_setting *setting, const char *text, void *member,
                   struct error *err)
{
    bool *is_second = member;
    int chosen = 0;

    if (config_read_choice(setting, text, &chosen, err) != 0)
        return -1;
    *is_second = chosen == 1;
    return 0;
}

int
config_read_celery(const struct config_setting *setting, const char *text, void *member,
                   struct error *err)
{
    bool *use_celery = member;
    int chosen = 0;

    if (config_read_choice(setting, text, &chosen, err) != 0)
        return -1;
    *use_celery = chosen % 2 == 1; /* the choices are pairs: no, yes */
    return 0;
}

int
config_read_redis(const struct config_setting *setting, const char *text, void *member,
                  struct error *err)
{
    struct redis_url *url = member;

    (void)setting;
    return redis_url_parse(text, url, err);
}

int
config_read_bounded(const struct config_setting *setting, const char *text, void *member,
                    struct error *err)
{
    size_t len = strlen(text);

    if (len > (size_t)setting->high)
        return error_set(err, ERROR_CONFIG, "must be at most %" PRId64 " bytes long",
                         setting->high);
    memcpy(member, text, len + 1);
    return 0;
}

/* Takes the part in front of the next comma, without blanks around it. False: the end. */
static bool
take_part(const char **text, const char **part, size_t *len)
{
    const char *at = *text;

    if (at == NULL)
        return false;
    at += strspn(at, " ");
    *part = at;
    *len = strcspn(at, ",");
    *text = at[*len] == ',' ? at + *len + 1 : NULL;
    while (*len > 0 && at[*len - 1] == ' ')
        (*len)--;
    return true;
}

void
config_append_names(char *list, const char *text)
{
    const char *part;
    size_t len;

    while (take_part(&text, &part, &len)) {
        if (len == 0)
            continue;
        if (*list != '\0')
            strcat(list, ",");
        strncat(list, part, len);
    }
}

static bool
is_queue_name(const char *name, size_t len)
{
    if (len == 0 || len >= CONFIG_QUEUE_NAME_MAX || !utf8_is_valid(name, len))
        return false;
    for (size_t i = 0; i < len; i++)
        if (iscntrl((unsigned char)name[i]) || strchr("{}=,", name[i]) != NULL)
            return false;
    return true;
}

static int
read_queue(const char *part, size_t len, struct config_queue *queue, struct error *err)
{
    const char *equals = memchr(part, '=', len);
    size_t name_len = equals == NULL ? len : (size_t)(equals - part);
    int64_t weight = 0;

    if (!is_queue_name(part, name_len))
        return error_set(err, ERROR_CONFIG,
                         "a queue's name must be 1 to %d bytes without { } = , or control bytes",
                         CONFIG_QUEUE_NAME_MAX - 1);
    memcpy(queue->name, part, name_len);
    queue->name[name_len] = '\0';
    if (equals != NULL) {
        const char *at = equals + 1;

        if (!take_digits(&at, &weight) || at != part + len || weight < 1 || weight > 1000)
            return error_set(err, ERROR_CONFIG,
                             "a queue's weight must be a whole number from 1 to 1000");
    }
    queue->weight = (int)weight;
    return 0;
}

static bool
has_queue(const struct config_queue *queues, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(queues[i].name, name) == 0)
            return true;
    return false;
}

bool
config_is_queue_name(const char *name)
{
    return is_queue_name(name, strlen(name));
}

int
config_parse_queues(const char *text, struct config_queue *queues, int *count, struct error *err)
{
    const char *part;
    size_t len;

    *count = 0;
    while (take_part(&text, &part, &len)) {
        struct config_queue queue = {0};

        if (read_queue(part, len, &queue, err) != 0)
            return -1;
        if (has_queue(queues, *count, queue.name))
            return error_set(err, ERROR_CONFIG, "names the queue %s twice", queue.name);
        if (*count == CONFIG_QUEUES_MAX)
            return error_set(err, ERROR_CONFIG, "must be at most %d queues", CONFIG_QUEUES_MAX);
        queues[(*count)++] = queue;
    }
    return 0;
}

int
config_read_queues(const struct config_setting *setting, const char *text, void *member,
                   struct error *err)
{
    struct config *config = member;

    (void)setting;
    return config_parse_queues(text, config->queues, &config->queue_count, err);
}

int
config_read_celery_queues(const struct config_setting *setting, const char *text, void *member,
                          struct error *err)
{
    struct config *config = member;
    struct config_queue unused[CONFIG_QUEUES_MAX];
    int count;

    if (config->use_celery)
        return config_read_queues(setting, text, member, err);
    return config_parse_queues(text, unused, &count, err);
}

/* "[::1]" as an IPv6 address, anything else as an IPv4 one. */
static bool
read_address(const char *text, size_t len, char *address, size_t address_size)
{
    struct in6_addr parsed;
    bool is_ipv6 = len >= 2 && text[0] == '[' && text[len - 1] == ']';

    if (len == strlen("localhost") && strncasecmp(text, "localhost", len) == 0) {
        text = "127.0.0.1";
        len = strlen(text);
    }
    if (is_ipv6) {
        text++;
        len -= 2;
    }
    if (len >= address_size)
        return false;
    memcpy(address, text, len);
    address[len] = '\0';
    return inet_pton(is_ipv6 ? AF_INET6 : AF_INET, address, &parsed) == 1;
}

int
config_read_http(const struct config_setting *setting, const char *text, void *member,
                 struct error *err)
{
    struct config *config = member;
    const char *colon = strrchr(text, ':'), *at;
    int64_t port;

    if (strcasecmp(text, "off") == 0)
        return 0;
    if (colon == NULL || !read_address(text, (size_t)(colon - text), config->http_address,
                                       sizeof(config->http_address)))
        return error_set(err, ERROR_CONFIG, "must be ADDRESS:PORT such as %s or [::1]:8080, or off",
                         setting->otherwise);
    at = colon + 1;
    if (!take_digits(&at, &port) || *at != '\0' || port > 65535)
        return error_set(err, ERROR_CONFIG, "the port must be a whole number from 0 to 65535");
    config->http_port = (int)port;
    return 0;
}
