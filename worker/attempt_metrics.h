/*
 * attempt_metrics.h - what /metrics says of jobs and calls of this worker.
 */
#ifndef WORKER_ATTEMPT_METRICS_H
#define WORKER_ATTEMPT_METRICS_H

#include "common/metrics.h"
#include "worker/job/call.h"

#include <stdint.h>

/* One call to a model is over. */
void attempt_metrics_call(struct metrics *metrics, const struct call *call);
/* What it cost, in US dollars per million tokens; unknown (< 0): nothing is counted. */
void attempt_metrics_cost(struct metrics *metrics, const struct call *call, double input_price,
                          double output_price);
/* A job is final. `duration_s` < 0: it never started; `waited_s` < 0: the same, or no enqueued_at.
 */
void attempt_metrics_job(struct metrics *metrics, const char *queue, const char *state,
                         double duration_s, double waited_s);
/* A job went back to wait: "retried", "waited" or "scheduled". */
void attempt_metrics_delay(struct metrics *metrics, const char *queue, const char *why);
/* A claim was dropped: "duplicate", "lost". */
void attempt_metrics_drop(struct metrics *metrics, const char *queue, const char *why);

#endif
