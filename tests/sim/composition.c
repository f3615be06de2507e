#include "tests/sim/composition.h"

#include "common/json/json.h"
#include "tests/sim/chance.h"

#include <stdbool.h>
#include <string.h>

#define QUOTE_WORDS 7
#define QUOTE_BYTES 120

struct span {
    const char *text;
    size_t len;
};

struct remark {
    const char *type, *category, *problem, *suggestion, *question, *risk;
};

static const struct remark REMARKS[] = {
    {"critical", "Root cause", "names a cause without showing how it led to the effect",
     "Show the chain from cause to effect and the evidence for each step.",
     "What was ruled out, and how?", "High"},
    {"critical", "Evidence", "is stated as a fact, but no source is given",
     "Name the log, ticket or person that this rests on.", "Where can a reader check this?",
     "High"},
    {"important", "Timeline", "does not say when this happened and in which time zone",
     "Add the time in UTC, to the minute.", "When did this begin and when was it noticed?",
     "Medium"},
    {"important", "Actions", "describes an action that has neither an owner nor a date",
     "Give one owner and a due date.", "Who makes sure that this is done?", "Medium"},
    {"important", "Impact", "leaves open who was affected and how badly",
     "Quantify it: users, requests, money or time.", "How many were affected?", "Medium"},
    {"suggestion", "Procedure", "can't be followed by somebody who was not there",
     "Write it as a step with its expected result.", "How does one see that it worked?", "Medium"},
    {"suggestion", "Clarity", "can be read in two ways",
     "Say it in one short sentence with one subject.", "Which reading is meant?", "Low"},
    {"positive", "Structure", "is clear, brief and well placed", "Keep it as it is.",
     "Could other sections follow this example?", "Low"},
};

#define REMARK_COUNT (sizeof(REMARKS) / sizeof(REMARKS[0]))

static struct span
find_section(const char *prompt)
{
    static const char opening[] = "<section>";
    const char *start = strstr(prompt, opening);
    const char *end = start == NULL ? NULL : strstr(start, "</section>");

    if (end == NULL)
        return (struct span){prompt, strlen(prompt)};
    start += sizeof(opening) - 1;
    return (struct span){start, (size_t)(end - start)};
}

static bool
is_space(char byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

static const char *
skip_spaces(const char *at, const char *end)
{
    while (at < end && is_space(*at))
        at++;
    return at;
}

static const char *
skip_word(const char *at, const char *end)
{
    while (at < end && !is_space(*at))
        at++;
    return at;
}

/* The first word, cut when it is too long, but never inside a character. */
static const char *
first_word(const char *start, const char *end)
{
    const char *last = skip_word(start, end);

    if (last - start > QUOTE_BYTES)
        for (last = start + QUOTE_BYTES; (*last & 0xc0) == 0x80; last--)
            ;
    return last;
}

static struct span
words_from(const char *start, const char *end)
{
    const char *last = first_word(start, end);

    for (int i = 1; i < QUOTE_WORDS && last < end && *last == ' '; i++) {
        const char *next = skip_word(skip_spaces(last, end), end);

        if (next - start > QUOTE_BYTES)
            break;
        last = next;
    }
    return (struct span){start, (size_t)(last - start)};
}

static struct span
pick_quote(struct span section, uint64_t *dice)
{
    const char *end = section.text + section.len;
    const char *at = section.text;

    if (section.len > QUOTE_BYTES)
        at = skip_word(at + chance_below(dice, section.len - QUOTE_BYTES / 2), end);
    at = skip_spaces(at, end);
    if (at == end)
        at = skip_spaces(section.text, end);
    return words_from(at, end);
}

/* In hundredths. The first item is always worth keeping, so that an answer is never empty. */
static size_t
pick_confidence(size_t number, uint64_t *dice)
{
    if (number > 1 && chance_below(dice, 3) == 0)
        return 40 + chance_below(dice, 40);
    return 80 + chance_below(dice, 20);
}

static void
put_item(struct evbuffer *out, size_t number, const struct remark *remark, struct span quote,
         uint64_t *dice)
{
    evbuffer_add_printf(out,
                        "{\"id\":\"%zu\",\"type\":\"%s\",\"category\":\"%s\","
                        "\"description\":\"The passage \\\"",
                        number, remark->type, remark->category);
    json_put_escaped(out, quote.text, quote.len);
    evbuffer_add_printf(out, "\\\" %s.\",\"suggestion\":\"%s\",\"example\":\"", remark->problem,
                        remark->suggestion);
    json_put_escaped(out, quote.text, quote.len);
    evbuffer_add_printf(out,
                        "\",\"questions\":[\"%s\"],\"refs\":[],\"risk_level\":\"%s\","
                        "\"confidence\":0.%02zu}",
                        remark->question, remark->risk, pick_confidence(number, dice));
}

void
compose_feedback(const char *prompt, uint64_t dice, struct evbuffer *out)
{
    struct span section = find_section(prompt);
    bool is_fenced = chance_below(&dice, 4) == 0;
    size_t count = 2 + chance_below(&dice, 4);
    size_t first = chance_below(&dice, REMARK_COUNT);

    evbuffer_add_printf(out, "%s{\"feedback_items\":[", is_fenced ? "```json\n" : "");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            evbuffer_add_printf(out, ",");
        /* 3 and the number of remarks have no common divisor: no remark comes twice. */
        put_item(out, i + 1, &REMARKS[(first + 3 * i) % REMARK_COUNT], pick_quote(section, &dice),
                 &dice);
    }
    evbuffer_add_printf(out, "]}%s", is_fenced ? "\n```" : "");
}

void
compose_sentence(const char *prompt, uint64_t dice, struct evbuffer *out)
{
    struct span text = {prompt, strlen(prompt)};
    struct span quote = pick_quote(text, &dice);

    evbuffer_add_printf(out,
                        "As far as the text goes, it rests on \"%.*s\", and nothing in it "
                        "speaks against that.",
                        (int)quote.len, quote.text);
}
