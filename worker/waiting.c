#include "worker/waiting.h"

#include "worker/model/model_view.h"

#include <stdio.h>

/* Of the models the one that has room soonest; PACE_HAS_ROOM: one has it now, or none is known. */
static struct pace_view
soonest(const struct hints_figures *models, int count)
{
    struct pace_view first = {.why = PACE_HAS_ROOM};

    for (int i = 0; models != NULL && i < count; i++) {
        struct pace_view pace = model_pace(&models[i]);

        if (pace.why == PACE_HAS_ROOM)
            return pace;
        if (i == 0 || pace.next_ms < first.next_ms)
            first = pace;
    }
    return first;
}

static struct waiting
no_room(const struct pace_view *pace)
{
    static const char *const words[PACE_WHYS] = {
        [PACE_QUOTA] = "every model is at its quota: next permit in",
        [PACE_TOKENS] = "every model is at its quota: next permit in",
        [PACE_OUTAGE] = "no model answers: next try in",
        [PACE_COOLDOWN] = "every model was throttled: a cooldown ends in",
    };
    struct waiting waiting = {.why = pace_why_name(pace->why), .left_ms = pace->next_ms};

    snprintf(waiting.words, sizeof(waiting.words), "%s %.1f s", words[pace->why],
             (double)pace->next_ms / 1000);
    return waiting;
}

struct waiting
waiting_explain(const struct queue_view *queue, const struct hints_figures *models, int model_count)
{
    struct pace_view pace = soonest(models, model_count);
    bool is_full = pace.why != PACE_HAS_ROOM;

    if (queue->waiting == 0 && (queue->delayed == 0 || !is_full))
        return (struct waiting){.left_ms = -1};
    if (queue->is_paused)
        return (struct waiting){"paused", -1, "paused"};
    if (queue->workers == 0)
        return (struct waiting){"workers", -1, "no worker lives"};
    /* A cooldown keeps no job from being tried; those that were refused everywhere are delayed. */
    if (is_full && (pace.why != PACE_COOLDOWN || queue->waiting == 0))
        return no_room(&pace);
    if (queue->in_flight > 0)
        return (struct waiting){"slots", -1, "the workers are busy"};
    return (struct waiting){"workers", -1, "no worker takes jobs: see their /readyz"};
}
