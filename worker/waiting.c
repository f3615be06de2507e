#include "worker/waiting.h"

#include <stdio.h>

/* Of the models the one that has room soonest; NULL: one has it now. */
static const struct pace_view *
soonest(const struct hints_figures *models, int count)
{
    const struct pace_view *first = NULL;

    for (int i = 0; models != NULL && i < count; i++) {
        if (models[i].pace.why == PACE_HAS_ROOM)
            return NULL;
        if (first == NULL || models[i].pace.next_ms < first->next_ms)
            first = &models[i].pace;
    }
    return first;
}

static struct waiting
no_room(const struct pace_view *pace)
{
    struct waiting waiting = {.why = pace_why_name(pace->why), .left_ms = pace->next_ms};
    double left_s = (double)pace->next_ms / 1000;

    if (pace->why == PACE_OUTAGE)
        snprintf(waiting.words, sizeof(waiting.words), "no model answers: next try in %.1f s",
                 left_s);
    else
        snprintf(waiting.words, sizeof(waiting.words),
                 "every model is at its quota: next permit in %.1f s", left_s);
    return waiting;
}

struct waiting
waiting_explain(const struct queue_view *queue, const struct hints_figures *models, int model_count)
{
    const struct pace_view *pace = soonest(models, model_count);

    if (queue->waiting == 0)
        return (struct waiting){.left_ms = -1};
    if (queue->is_paused)
        return (struct waiting){"paused", -1, "paused"};
    if (queue->workers == 0)
        return (struct waiting){"workers", -1, "no worker lives"};
    if (pace != NULL)
        return no_room(pace);
    if (queue->in_flight > 0)
        return (struct waiting){"slots", -1, "the workers are busy"};
    return (struct waiting){"workers", -1, "no worker takes jobs: see their /readyz"};
}
