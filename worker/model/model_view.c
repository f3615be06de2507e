#include "worker/model/model_view.h"

#include "common/json/json.h"

#include <inttypes.h>
#include <string.h>

double
percent_of(int64_t part, int64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0.0;
}

double
primary_share(const struct hints_figures *figures, int count)
{
    int64_t successes = 0, as_primary = 0;

    for (int i = 0; i < count; i++) {
        successes += figures[i].successes;
        as_primary += figures[i].primary_successes;
    }
    return percent_of(as_primary, successes);
}

struct pace_view
model_pace(const struct hints_figures *figures)
{
    struct pace_view pace = figures->pace;

    if (!pace.is_paced && figures->cooldown_ms > 0) {
        pace.why = PACE_COOLDOWN;
        pace.next_ms = figures->cooldown_ms;
    }
    return pace;
}

void
model_put_json(const struct model *model, const struct hints_figures *figures, int priority,
               int waiting, struct evbuffer *out)
{
    struct pace_view pace = model_pace(figures);

    evbuffer_add_printf(out, "{\"id\":");
    json_put_string(out, model->name, strlen(model->name));
    evbuffer_add_printf(out, ",\"name\":");
    json_put_string(out, model->display, strlen(model->display));
    evbuffer_add_printf(out, ",\"priority\":%d,\"status\":\"%s\",\"total_attempts\":%" PRId64,
                        priority, figures->cooldown_ms > 0 ? "in_cooldown" : "available",
                        figures->calls);
    evbuffer_add_printf(out, ",\"successful_requests\":%" PRId64 ",\"success_rate\":%.1f",
                        figures->successes, percent_of(figures->successes, figures->calls));
    evbuffer_add_printf(out, ",\"recent_throttles_60s\":%" PRId64 ",\"cooldown_remaining\":%.1f",
                        figures->throttles_60s, (double)figures->cooldown_ms / 1000);
    evbuffer_add_printf(out, ",\"pace\":");
    pace_put_json(&pace, model->rpm, model->tpm, waiting, out);
    evbuffer_add(out, "}", 1);
}
