/* redis_url: REDIS_URL as somebody wrote it. */
#include "common/redis/redis_url.h"
#include "common/utf8.h"
#include "tests/fuzz/fuzz.h"

#define SECRET "S3cr3t.Pa55word"

/* Nothing that is shown holds the password, however the URL around it looks: the input is put
 * around one. */
static void
check_secret(const char *front, const char *behind)
{
    char shown[1024], *text = malloc(strlen(front) + strlen(SECRET) + strlen(behind) + 3);
    struct redis_url url;
    struct error err = {0};

    MUST(text != NULL);
    sprintf(text, "%s:%s@%s", front, SECRET, behind);
    if (redis_url_parse(text, &url, &err) == 0) {
        redis_url_show(&url, shown, sizeof(shown));
        MUST(strstr(shown, SECRET) == NULL || strstr(url.password, SECRET) == NULL);
    } else {
        MUST(err.kind == ERROR_CONFIG && strstr(err.message, SECRET) == NULL);
    }
    free(text);
}

static void
check_parsed(const struct redis_url *url)
{
    struct redis_url again;
    char shown[1024];

    MUST((url->host[0] == '\0') != (url->path[0] == '\0'));
    MUST(url->path[0] != '\0' || (url->port >= 1 && url->port <= 65535));
    MUST(url->db >= 0 && url->db <= 16383);
    redis_url_show(url, shown, sizeof(shown));
    MUST(strlen(shown) < sizeof(shown) - 1);
    if (url->username[0] != '\0' || url->password[0] != '\0' || strchr(url->path, '%') != NULL ||
        strpbrk(url->path, "@?") != NULL)
        return;
    /* Without what must be hidden or escaped, it is what was meant. */
    MUST(redis_url_parse(shown, &again, NULL) == 0);
    MUST(strcmp(again.host, url->host) == 0 && strcmp(again.path, url->path) == 0);
    MUST(again.port == url->port && again.db == url->db);
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
    if (strstr(text, SECRET) == NULL && (at = strchr(text, '@')) != NULL) {
        *at = '\0';
        check_secret(text, at + 1);
    }
    free(text);
    return 0;
}
