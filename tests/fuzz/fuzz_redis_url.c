/* redis_url: REDIS_URL as somebody wrote it. */
#include "common/config_value.h"
#include "common/redis/redis_url.h"
#include "common/utf8.h"
#include "tests/fuzz/fuzz.h"

#define SECRET "S3cr3t.Pa55word"

/* Nothing that is shown holds a secret, however the URL around it looks. */
static void
check_secret(const char *format, const char *front, const char *behind)
{
    char shown[8192], *text = malloc(strlen(front) + strlen(SECRET) + strlen(behind) + 64), *as_set;
    struct redis_url url;
    struct error err = {0};

    MUST(text != NULL);
    stpcpy(stpcpy(stpcpy(stpcpy(text, front), format), SECRET), behind);
    if (redis_url_parse(text, &url, &err) == 0) {
        redis_url_show(&url, shown, sizeof(shown));
        if (strstr(url.password, SECRET) != NULL || strstr(url.sentinel_password, SECRET) != NULL)
            MUST(strstr(shown, SECRET) == NULL);
        as_set = config_shown_text(CONFIG_URL, text);
        if (strstr(url.password, SECRET) != NULL || strstr(url.sentinel_password, SECRET) != NULL)
            MUST(strstr(as_set, SECRET) == NULL);
        free(as_set);
    } else {
        MUST(err.kind == ERROR_CONFIG && strstr(err.message, SECRET) == NULL);
    }
    free(text);
}

static bool
is_plain(const char *text)
{
    return strpbrk(text, "%@?/") == NULL;
}

/* Without what must be hidden or escaped, what is shown is what was meant. */
static void
check_shown(const struct redis_url *url)
{
    struct redis_url again;
    char shown[8192];

    redis_url_show(url, shown, sizeof(shown));
    MUST(strlen(shown) < sizeof(shown) - 1);
    if (url->username[0] != '\0' || url->password[0] != '\0' || strpbrk(url->path, "%@?") != NULL ||
        !is_plain(url->master_name) || !utf8_is_valid(shown, strlen(shown)))
        return;
    MUST(redis_url_parse(shown, &again, NULL) == 0);
    MUST(strcmp(again.host, url->host) == 0 && strcmp(again.path, url->path) == 0);
    MUST(again.port == url->port && again.db == url->db && again.topology == url->topology);
    MUST(again.seed_count == url->seed_count && again.is_tls == url->is_tls);
    MUST(strcmp(again.master_name, url->master_name) == 0);
}

static void
check_parsed(const struct redis_url *url)
{
    MUST((url->host[0] == '\0') != (url->path[0] == '\0'));
    MUST(url->path[0] != '\0' || (url->port >= 1 && url->port <= 65535));
    MUST(url->db >= 0 && url->db <= 16383);
    MUST(url->seed_count >= 0 && url->seed_count <= REDIS_SEEDS_MAX);
    MUST(url->topology == REDIS_SINGLE || url->seed_count > 0);
    for (int i = 0; i < url->seed_count; i++)
        MUST(url->seeds[i].host[0] != '\0' && url->seeds[i].port >= 1 &&
             url->seeds[i].port <= 65535);
    check_shown(url);
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct input input = {(const char *)data, size};
    struct redis_url url;
    struct error err = {0};
    char *text = input_text(&input, '\0'), *at;

    if (redis_url_parse(text, &url, &err) == 0)
        check_parsed(&url);
    else
        MUST(err.kind == ERROR_CONFIG && err.message[0] != '\0' &&
             utf8_is_valid(err.message, strlen(err.message)));
    if (strstr(text, SECRET) == NULL) {
        check_secret(
            strchr(text, '?') == NULL ? "?sentinel_password=" : "&sentinel_password=", text, "");
        if ((at = strchr(text, '@')) != NULL) {
            char *behind = strdup(at);

            *at = '\0';
            check_secret(":", text, behind);
            free(behind);
        }
    }
    free(text);
    return 0;
}
