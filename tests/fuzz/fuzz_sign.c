/* sign: SigV4 of any request. Input: a byte of options, then the request as in the official suite:
 * "METHOD path?query HTTP/1.1", header lines, an empty line, the body. */
#include "common/aws/aws_sign.h"
#include "tests/fuzz/fuzz.h"

#define LINES_MAX 40

struct request {
    struct aws_sign_request sign;
    struct aws_header headers[LINES_MAX];
    char *lines[LINES_MAX];
    char *target;
};

static void
read_request(struct request *request, struct input *input, unsigned options)
{
    struct aws_sign_request *sign = &request->sign;
    char *query;

    free(input_text(input, ' '));
    request->target = input_text(input, '\n');
    request->target[strcspn(request->target, " ")] = '\0';
    if ((query = strchr(request->target, '?')) != NULL)
        *query++ = '\0';
    *sign = (struct aws_sign_request){
        .method = "POST",
        .path = request->target,
        .query = query,
        .headers = request->headers,
        .keep_path = options & 1,
        .sign_body_header = options & 2,
    };
    for (size_t i = 0; i < LINES_MAX && input->len > 0; i++) {
        char *line = input_text(input, '\n'), *value = strchr(line, ':');

        request->lines[i] = line;
        if (value == NULL)
            break;
        *value++ = '\0';
        request->headers[sign->header_count++] = (struct aws_header){line, value};
    }
    sign->body = input->at;
    sign->body_len = input->len;
}

/* One line a header, none forged: the canonical form ends with the names and the body's hash. */
static void
check_signature(const struct aws_signature *signature, const char *canonical)
{
    const char *hash = strrchr(canonical, '\n');
    const char *names = strstr(signature->authorization, "SignedHeaders=");

    MUST(hash != NULL && strlen(hash + 1) == 64 &&
         strcmp(hash + 1, signature->content_sha256) == 0);
    MUST(strncmp(canonical, "POST\n/", 6) == 0 || canonical[5] == '\n' || canonical[5] != '/');
    MUST(names != NULL && strstr(names, "x-amz-date") != NULL);
    for (const char *at = signature->authorization; *at != '\0'; at++)
        MUST((unsigned char)*at >= ' ' && *at != 0x7f);
    MUST(strlen(signature->date) == 16 && strlen(signature->canonical_sha256) == 64);
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    const struct aws_sign_scope scope = {.access_key = "AKIDEXAMPLE",
                                         .secret_key = "secret",
                                         .session_token = size % 2 == 0 ? NULL : "token",
                                         .region = "us-east-1",
                                         .service = "service"};
    struct input input = {(const char *)data, size};
    unsigned options = input_byte(&input);
    struct request request = {0};
    struct aws_sign_cache cache = {0};
    struct aws_signature once, twice;
    char *canonical = NULL, *segment;
    struct error err = {0};

    read_request(&request, &input, options);
    if (aws_sign(&request.sign, &scope, 1768478400000, &cache, &once, &canonical, &err) == 0) {
        check_signature(&once, canonical);
        /* The cached key signs the same. */
        MUST(aws_sign(&request.sign, &scope, 1768478400000, &cache, &twice, NULL, &err) == 0);
        MUST(strcmp(once.authorization, twice.authorization) == 0);
    } else {
        MUST(err.kind == ERROR_INPUT);
    }
    segment = aws_encode_segment(request.target);
    MUST(strspn(segment, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%") ==
         strlen(segment));
    free(segment);
    free(canonical);
    free(request.target);
    for (size_t i = 0; i < LINES_MAX; i++)
        free(request.lines[i]);
    return 0;
}
