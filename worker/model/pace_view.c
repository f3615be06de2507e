#include "worker/model/pace_view.h"

#include <string.h>

/* Somebody who was turned away no longer ago still tells of now. */
#define RECENT_MS 10000

static const struct {
    const char *name;
    const char *words; /* before the time that is left */
} whys[PACE_WHYS] = {
    [PACE_HAS_ROOM] = {NULL, "has room"},
    [PACE_QUOTA] = {"quota", "quota, next in"},
    [PACE_TOKENS] = {"tokens", "token quota, next in"},
    [PACE_OUTAGE] = {"outage", "outage, next try in"},
    [PACE_COOLDOWN] = {"cooldown", "cooldown, ends in"},
};

void
pace_script_init(struct redis_script *script)
{
    redis_script_init(script, "pace",
#include "worker/model/lua/pace.lua.h"
    );
}

const char *
pace_why_name(enum pace_why why)
{
    return whys[why].name;
}

static enum pace_why
read_why(const redisReply *name, int64_t turned_away_ms)
{
    if (turned_away_ms < 0 || turned_away_ms > RECENT_MS)
        return PACE_HAS_ROOM;
    for (int i = PACE_QUOTA; i < PACE_WHYS; i++)
        if (strcmp(redis_str(name, ""), whys[i].name) == 0)
            return (enum pace_why)i;
    return PACE_HAS_ROOM;
}

struct pace_view
pace_view_read(const redisReply *reply)
{
    struct pace_view view = {
        .per_minute = (double)redis_int(redis_at(reply, 0), -1) * 60 / 1000,
        .tokens_per_minute = (double)redis_int(redis_at(reply, 1), -1),
        .next_ms = redis_int(redis_at(reply, 2), 0),
        .why = read_why(redis_at(reply, 4), redis_int(redis_at(reply, 3), -1)),
        .permits = (double)redis_int(redis_at(reply, 5), 0),
        .refusals = (double)redis_int(redis_at(reply, 6), 0) / 1000,
        .allowed = (double)redis_int(redis_at(reply, 7), 0),
        .is_paced = redis_int(redis_at(reply, 8), 0) == 1,
    };

    return view.is_paced ? view : (struct pace_view){.per_minute = -1, .tokens_per_minute = -1};
}

double
pace_refusals_per_1000(const struct pace_view *view)
{
    return view->permits > 0 ? 1000 * view->refusals / view->permits : 0;
}

double
pace_utilisation(const struct pace_view *view)
{
    if (view->per_minute < 0 || view->allowed <= 0)
        return -1;
    return 100 * view->permits / view->allowed;
}

void
pace_put_words(enum pace_why why, int64_t left_ms, struct evbuffer *out)
{
    evbuffer_add_printf(out, "%s", whys[why].words);
    if (why != PACE_HAS_ROOM)
        evbuffer_add_printf(out, " %.1f s", (double)left_ms / 1000);
}

/* ,"name":VALUE with null for what is not known. */
static void
put_figure(const char *name, double value, double least, struct evbuffer *out)
{
    evbuffer_add_printf(out, ",\"%s\":", name);
    if (value < least)
        evbuffer_add_printf(out, "null");
    else
        evbuffer_add_printf(out, "%.1f", value);
}

void
pace_put_json(const struct pace_view *view, double rpm, double tpm, int waiting,
              struct evbuffer *out)
{
    const char *why = pace_why_name(view->why);

    evbuffer_add_printf(out, "{\"waits_for\":%s%s%s", why == NULL ? "null" : "\"",
                        why == NULL ? "" : why, why == NULL ? "" : "\"");
    put_figure("next_permit_seconds", view->is_paced ? (double)view->next_ms / 1000 : -1, 0, out);
    put_figure("learned_rpm", view->per_minute, 0, out);
    put_figure("configured_rpm", rpm, 0.001, out);
    put_figure("learned_tpm", view->tokens_per_minute, 0, out);
    put_figure("configured_tpm", tpm, 0.001, out);
    put_figure("permits_per_minute", view->is_paced ? view->permits : -1, 0, out);
    put_figure("refusals_per_1000", view->is_paced ? pace_refusals_per_1000(view) : -1, 0, out);
    put_figure("utilisation", pace_utilisation(view), 0, out);
    if (waiting >= 0)
        evbuffer_add_printf(out, ",\"jobs_waiting_here\":%d", waiting);
    evbuffer_add_printf(out, "}");
}
