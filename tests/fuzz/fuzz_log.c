/* log: whatever is logged, a line is one line of UTF-8 without control bytes, and JSON when that is
 * asked for. Input: a byte of options, then message and values with 0x01 between them. */
#include "common/log.h"
#include "common/utf8.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* What the room writes to stderr, while `fd` stands there. */
static size_t
log_into(int fd, bool is_json, char *const texts[3], char *line, size_t size)
{
    int kept = dup(STDERR_FILENO);
    ssize_t len;

    MUST(kept >= 0 && ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    MUST(dup2(fd, STDERR_FILENO) >= 0);
    log_setup(LOG_LEVEL_INFO, is_json);
    log_write(LOG_LEVEL_INFO, texts[0], LOG_STR("one", texts[1]), LOG_INT("count", INT64_MIN),
              LOG_STR("two", texts[2]), (struct log_field){0});
    dup2(kept, STDERR_FILENO);
    close(kept);
    len = pread(fd, line, size, 0);
    MUST(len > 0);
    return (size_t)len;
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static int fd = -1;
    struct input input = {(const char *)data, size};
    bool is_json = input_byte(&input) % 2 == 1;
    char line[8192], *texts[3], *clean;
    struct json_slice root;
    size_t len;

    if (fd < 0)
        fd = memfd_create("log", MFD_CLOEXEC);
    for (int i = 0; i < 3; i++)
        texts[i] = input_text(&input, '\x01');
    len = log_into(fd, is_json, texts, line, sizeof(line));
    MUST(len <= 4096 && line[len - 1] == '\n' && utf8_is_valid(line, len));
    for (size_t i = 0; i < len - 1; i++)
        MUST((unsigned char)line[i] >= 0x20 && line[i] != 0x7f);
    if (is_json)
        MUST(json_check(line, len, &root, NULL) == 0 && root.type == JSON_OBJECT);
    clean = texts[0];
    utf8_clean(clean);
    MUST(utf8_is_valid(clean, strlen(clean)));
    for (int i = 0; i < 3; i++)
        free(texts[i]);
    return 0;
}
