/*
 * model_view.h - a model and the cluster's figures of it, for those who show them. Pure.
 */
#ifndef WORKER_MODEL_MODEL_VIEW_H
#define WORKER_MODEL_MODEL_VIEW_H

#include "worker/model/hints.h"

#include <event2/buffer.h>

/* 0-100; 0 of nothing. */
double percent_of(int64_t part, int64_t whole);
/* How many of all successes the first model had. */
double primary_share(const struct hints_figures *figures, int count);
/* Its pace; where calls are not paced, with the cooldown as what stands in their way. */
struct pace_view model_pace(const struct hints_figures *figures);
/* Appends the object that /model_stats has for each model; its priority counts from 1. waiting: as
 * in pace_put_json. */
void model_put_json(const struct model *model, const struct hints_figures *figures, int priority,
                    int waiting, struct evbuffer *out);

#endif
