#include "worker/cli/letter.h"

#include "worker/cli/verb.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct letter
letter_read(const char *text, size_t len)
{
    struct letter letter = {.text = text, .len = len};

    if (json_check(text, len, &letter.root, NULL) != 0)
        letter.root = (struct json_slice){0};
    letter.id = json_string(json_get(letter.root, "id"), NULL);
    return letter;
}

void
letter_release(struct letter *letter)
{
    free(letter->id);
    letter->id = NULL;
}

char *
letter_payload(const struct letter *letter, size_t *len)
{
    size_t text_len = 0, padding = 0;
    char *text = json_string(json_get(letter->root, "payload_base64"), &text_len);
    char *payload = NULL;
    int decoded = -1;

    if (text != NULL && text_len % 4 == 0 && text_len < INT_MAX)
        payload = malloc(text_len / 4 * 3 + 1);
    if (payload != NULL)
        decoded = EVP_DecodeBlock((unsigned char *)payload, (unsigned char *)text, (int)text_len);
    while (padding < 2 && padding < text_len && text[text_len - 1 - padding] == '=')
        padding++;
    free(text);
    if (decoded < 0) {
        free(payload);
        return NULL;
    }
    *len = (size_t)decoded - padding; /* EVP counts the padding as bytes */
    payload[*len] = '\0';
    return payload;
}

void
letter_put_line(const struct letter *letter, const char *queue, struct evbuffer *out)
{
    char *kind = json_string(json_get(letter->root, "kind"), NULL);
    char *message = json_string(json_get(letter->root, "message"), NULL);
    char date[32] = "-";
    double at = 0;
    time_t seconds;
    struct tm utc;

    if (json_double(json_get(letter->root, "at"), &at) && at > 0 && at < 1e11) {
        seconds = (time_t)at;
        strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &utc));
    }
    evbuffer_add_printf(out, "%s  %s  ", date, queue);
    put_words(out, letter->id != NULL ? letter->id : "-");
    evbuffer_add(out, "  ", 2);
    put_words(out, kind != NULL ? kind : "-");
    evbuffer_add(out, "  ", 2);
    put_words(out, message != NULL ? message : "");
    free(kind);
    free(message);
}

void
letter_put_unreadable(const struct letter *letter, const char *queue, struct evbuffer *out)
{
    unsigned char piece[48];
    char base64[65];

    evbuffer_add_printf(out, "{\"id\":null,\"queue\":");
    json_put_string(out, queue, strlen(queue));
    evbuffer_add_printf(out, ",\"kind\":\"unreadable\",\"message\":\"this letter is no JSON "
                             "object; payload_base64 is all of it\",\"payload_base64\":\"");
    for (size_t at = 0; at < letter->len; at += sizeof(piece)) {
        size_t left = letter->len - at, len = left < sizeof(piece) ? left : sizeof(piece);

        memcpy(piece, letter->text + at, len);
        EVP_EncodeBlock((unsigned char *)base64, piece, (int)len);
        evbuffer_add(out, base64, strlen(base64));
    }
    evbuffer_add_printf(out, "\"}");
}
