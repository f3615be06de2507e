/* json: the check, the walk over what it let pass, the writer, the tree, comments. */
#include "common/json/json_text.h"
#include "common/utf8.h"
#include "tests/fuzz/fuzz.h"

static void
check_string(struct json_slice value, struct evbuffer *out)
{
    struct json_slice again;
    size_t len = 0, len_again = 0;
    char *text = json_string(value, &len), *back;

    MUST(text != NULL && utf8_is_valid(text, len) && text[len] == '\0' && len + 2 <= value.len);
    if (strlen(text) == len)
        MUST(json_equals(value, text));
    json_put_string(out, text, len);
    MUST(json_check((char *)evbuffer_pullup(out, -1), evbuffer_get_length(out), &again, NULL) == 0);
    back = json_string(again, &len_again);
    MUST(back != NULL && len_again == len && memcmp(back, text, len) == 0);
    evbuffer_drain(out, evbuffer_get_length(out));
    free(back);
    free(text);
}

static void
check_number(struct json_slice value)
{
    int64_t whole = 0;
    double real = 0;

    if (json_int(value, -1000, 1000, &whole))
        MUST(whole >= -1000 && whole <= 1000 && json_double(value, &real) &&
             (double)whole - real == 0);
}

/* Every value lies in its container and begins where the one before has ended. */
static void
walk(struct json_slice container, int depth, struct evbuffer *out)
{
    struct json_slice key, value;
    const char *at = container.text;

    MUST(depth <= JSON_MAX_DEPTH);
    for (struct json_iter it = json_iter(container); json_next(&it, &key, &value);) {
        MUST(value.type != JSON_ABSENT && value.len > 0 && value.text > at);
        at = value.text + value.len;
        MUST(at < container.text + container.len);
        if (key.type == JSON_STRING)
            check_string(key, out);
        MUST((key.type == JSON_STRING) == (container.type == JSON_OBJECT));
        if (value.type == JSON_STRING)
            check_string(value, out);
        check_number(value);
        walk(value, depth + 1, out);
    }
}

static bool
has_long_number(const char *text, size_t len)
{
    size_t run = 0;

    for (size_t i = 0; i < len && run < 63; i++)
        run = strchr("0123456789+-.eE", text[i]) != NULL && text[i] != '\0' ? run + 1 : 0;
    return run >= 63;
}

/* cJSON takes all that we let pass, but for numbers of more digits than anybody needs. */
static void
check_tree(struct json_slice root)
{
    cJSON *tree = json_tree(root);
    char *printed;

    MUST(tree != NULL || has_long_number(root.text, root.len));
    printed = cJSON_PrintUnformatted(tree);
    MUST(tree == NULL || printed != NULL);
    cJSON_free(printed);
    cJSON_Delete(tree);
}

/* Lines stay where they were, and what was JSON before is the same JSON. */
static void
check_comments(const char *text, size_t len, bool is_json)
{
    struct json_slice root;
    char *copy = input_copy(text, len);

    json_blank_comments(copy, len);
    for (size_t i = 0; i < len; i++)
        MUST(copy[i] == text[i] || (copy[i] == ' ' && text[i] != '\n'));
    if (is_json)
        MUST(memcmp(copy, text, len) == 0 && json_check(copy, len, &root, NULL) == 0);
    free(copy);
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct evbuffer *out = evbuffer_new();
    struct error err = {0};
    struct json_slice root;
    char *text = input_copy(data, size);
    bool is_json = json_check(text, size, &root, &err) == 0;

    if (is_json) {
        MUST(root.text >= text && root.len <= size && utf8_is_valid(text, size));
        if (root.type == JSON_STRING)
            check_string(root, out);
        walk(root, 0, out);
        check_tree(root);
        json_get(root, "id");
    } else {
        MUST(err.kind == ERROR_INPUT && err.message[0] != '\0' && root.type == JSON_ABSENT);
        MUST(utf8_is_valid(err.message, strlen(err.message)));
    }
    check_comments(text, size, is_json);
    json_put_string(out, text, size); /* whatever it was, it can be quoted */
    must_be_json(out);
    evbuffer_free(out);
    free(text);
    return 0;
}
