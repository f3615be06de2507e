/*
 * dead.c - headgate dead list|show|retry|drop: jobs that were given up on.
 */
#include "common/memory.h"
#include "worker/cli/letter.h"
#include "worker/cli/session.h"
#include "worker/cli/verb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A letter holds a whole job in base64: some at a time. */
#define PAGE 20

struct dead {
    struct session session;
    const char *queue; /* the one it works on now */
    const char *id;    /* only those of this id; NULL: all */
    bool json;
    int64_t matches; /* letters seen that were asked for */
    int64_t done;    /* retried or dropped */
    struct copy *copies, **last_copy;
};

/* A letter to act upon, once the listing that showed it is over. */
struct copy {
    struct copy *next;
    char *text;
    size_t len;
};

static bool
is_wanted(const struct dead *dead, const struct letter *letter)
{
    return dead->id == NULL || (letter->id != NULL && strcmp(dead->id, letter->id) == 0);
}

/* ---- walking ---- */

typedef void letter_fn(struct dead *dead, const struct letter *letter);

struct page {
    struct dead *dead;
    letter_fn *each;
    size_t count;
};

static void
on_page(const redisReply *reply, void *arg)
{
    struct page *page = arg;
    const redisReply *text;

    while ((text = redis_at(reply, page->count)) != NULL) {
        struct letter letter = letter_read(text->str != NULL ? text->str : "", text->len);

        page->count++;
        if (is_wanted(page->dead, &letter)) {
            page->dead->matches++;
            page->each(page->dead, &letter);
        }
        letter_release(&letter);
    }
}

/* Shows at most `most` of the queue's letters to `each`; *count is how many there were. */
static int
walk_page(struct dead *dead, int64_t first, int64_t most, letter_fn *each, int64_t *count)
{
    struct page page = {.dead = dead, .each = each};
    struct session_call call = {.read = on_page, .arg = &page};
    int exit_code;

    desk_dead_list(dead->session.desk, dead->queue, first, first + most - 1, session_on_reply,
                   &call);
    exit_code = session_wait(&dead->session, &call);
    *count = (int64_t)page.count;
    return exit_code;
}

static int
walk(struct dead *dead, letter_fn *each)
{
    int64_t first = 0, count = PAGE;
    int exit_code = EXIT_OK;

    for (; exit_code == EXIT_OK && count == PAGE; first += count)
        exit_code = walk_page(dead, first, PAGE, each, &count);
    return exit_code;
}

/* ---- list, show ---- */

static void
list_line(const struct dead *dead, const struct letter *letter,
          void (*put)(const struct letter *letter, const char *queue, struct evbuffer *out))
{
    struct evbuffer *line = xevbuffer();

    put(letter, dead->queue, line);
    print_line(line);
}

static void
list_letter(struct dead *dead, const struct letter *letter)
{
    if (!dead->json)
        list_line(dead, letter, letter_put_line);
    else if (letter->root.type != JSON_OBJECT || !print_json(letter->text, letter->len))
        list_line(dead, letter, letter_put_unreadable);
}

static void
show_letter(struct dead *dead, const struct letter *letter)
{
    size_t len = 0;
    char *payload;

    list_letter(dead, letter);
    if (dead->json)
        return;
    payload = letter_payload(letter, &len);
    if (payload != NULL)
        print_text(payload, len);
    else
        puts("(its payload can't be read)");
    free(payload);
}

/* ---- retry, drop ---- */

static void
keep_copy(struct dead *dead, const struct letter *letter)
{
    struct copy *copy = xcalloc(1, sizeof(*copy));

    copy->text = xcalloc(1, letter->len + 1);
    memcpy(copy->text, letter->text, letter->len);
    copy->len = letter->len;
    *dead->last_copy = copy;
    dead->last_copy = &copy->next;
}

static void
on_acted(const redisReply *reply, void *arg)
{
    *(int64_t *)arg += redis_int(reply, 0);
}

typedef int act_fn(struct dead *dead, const struct letter *letter);

static int
drop_letter(struct dead *dead, const struct letter *letter)
{
    struct session_call call = {.read = on_acted, .arg = &dead->done};

    desk_dead_drop(dead->session.desk, dead->queue, letter->text, letter->len, session_on_reply,
                   &call);
    return session_wait(&dead->session, &call);
}

static void
say_unreadable(const struct letter *letter)
{
    char *id = harmless_text(letter->id != NULL ? letter->id : "a letter without id");

    fprintf(stderr, "headgate: %s: its payload can't be read; it stays where it is\n", id);
    free(id);
}

static int
retry_letter(struct dead *dead, const struct letter *letter)
{
    struct session_call call = {.read = on_acted, .arg = &dead->done};
    size_t len = 0;
    char *payload = letter_payload(letter, &len);

    if (payload == NULL) {
        say_unreadable(letter);
        return EXIT_OK;
    }
    desk_dead_retry(dead->session.desk, dead->queue, letter->text, letter->len,
                    letter->id != NULL ? letter->id : "", payload, len, session_on_reply, &call);
    free(payload);
    return session_wait(&dead->session, &call);
}

static int
act_on_copies(struct dead *dead, act_fn *act)
{
    int exit_code = EXIT_OK;

    while (dead->copies != NULL) {
        struct copy *copy = dead->copies;
        struct letter letter = letter_read(copy->text, copy->len);

        if (exit_code == EXIT_OK)
            exit_code = act(dead, &letter);
        dead->copies = copy->next;
        letter_release(&letter);
        free(copy->text);
        free(copy);
    }
    dead->last_copy = &dead->copies;
    return exit_code;
}

static void
on_dead_count(const redisReply *reply, void *arg)
{
    *(int64_t *)arg = queue_view_read(reply).dead;
}

/* Page by page. What was acted upon leaves the list's head and what is not wanted stays there; as
 * many letters are looked at as there were at the start, for a retried job may die again. */
static int
act_on_all(struct dead *dead, act_fn *act)
{
    int64_t left = 0, kept = 0, count = 0;
    struct session_call call = {.read = on_dead_count, .arg = &left};
    int exit_code;

    desk_stats(dead->session.desk, dead->queue, session_on_reply, &call);
    exit_code = session_wait(&dead->session, &call);
    while (exit_code == EXIT_OK && left > 0) {
        int64_t done = dead->done, most = left < PAGE ? left : PAGE;

        exit_code = walk_page(dead, kept, most, keep_copy, &count);
        if (exit_code != EXIT_OK || count == 0)
            break;
        exit_code = act_on_copies(dead, act);
        left -= count;
        kept += count - (dead->done - done);
    }
    return exit_code;
}

/* ---- the verb ---- */

struct action {
    const char *name;
    bool needs_which; /* an ID or --all */
    letter_fn *each;  /* looks */
    act_fn *act;      /* or acts */
    const char *done; /* what it did */
};

static const struct action actions[] = {
    {"list", false, list_letter, NULL, NULL},
    {"show", true, show_letter, NULL, NULL},
    {"retry", true, NULL, retry_letter, "put back into their queue"},
    {"drop", true, NULL, drop_letter, "dropped"},
};

static const struct action *
find_action(const char *name)
{
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (strcmp(actions[i].name, name) == 0)
            return &actions[i];
    return NULL;
}

static int
report(const struct dead *dead, const struct action *action)
{
    char *id;

    if (action->act != NULL && dead->json)
        printf("{\"success\":true,\"count\":%lld}\n", (long long)dead->done);
    else if (action->act != NULL)
        printf("%s: %lld\n", action->done, (long long)dead->done);
    if (dead->id == NULL || dead->matches > 0)
        return EXIT_OK;
    id = harmless_text(dead->id);
    fprintf(stderr, "headgate: no dead letter has the id %s\n", id);
    free(id);
    return EXIT_FAILED;
}

static int
run_action(struct dead *dead, const struct action *action, const char *queue)
{
    int exit_code = session_open(&dead->session, queue);

    if (exit_code != EXIT_OK)
        return exit_code;
    for (int i = 0; i < dead->session.queue_count && exit_code == EXIT_OK; i++) {
        dead->queue = dead->session.queues[i];
        exit_code = action->act != NULL ? act_on_all(dead, action->act) : walk(dead, action->each);
    }
    session_close(&dead->session);
    return exit_code == EXIT_OK ? report(dead, action) : exit_code;
}

static int
run_dead(const struct verb *verb, int argc, char **argv)
{
    struct dead dead = {.last_copy = &dead.copies};
    const struct action *action;
    const char *queue = NULL;
    bool all = false;
    const struct flag flags[] = {{"queue", FLAG_TEXT, &queue, NULL},
                                 {"all", FLAG_BOOL, &all, NULL},
                                 {"json", FLAG_BOOL, &dead.json, NULL},
                                 {0}};
    int first, exit_code;

    if (flags_read(verb, argc, argv, flags, 1, 2, &first, &exit_code) != 0)
        return exit_code;
    dead.id = first + 1 < argc ? argv[first + 1] : NULL;
    action = find_action(argv[first]);
    if (action == NULL)
        return usage_error(verb, "%s is none of list, show, retry, drop", argv[first]);
    if (action->needs_which && (dead.id != NULL) == all)
        return usage_error(verb, "%s needs an ID, or --all", action->name);
    return run_action(&dead, action, queue);
}

const struct verb verb_dead = {
    .name = "dead",
    .operands = "list|show|retry|drop [ID|--all] [--queue Q] [--json]",
    .summary = "Looks at dead letters, puts their jobs back, or drops them",
    .help = "  list          all, the oldest first\n"
            "  show ID       with the job as it was pushed\n"
            "  retry ID      puts the job back into its queue; its old result is forgotten\n"
            "  drop ID       forgets the letter for good\n"
            "  --all         all letters, those without an id too\n"
            "  --queue Q     of this queue only; else of all of HEADGATE_QUEUES\n"
            "  --json        list, show: the letters, one a line; else a count\n\n"
            "Exit code: 1 when no letter has this ID.\n",
    .run = run_dead,
};
