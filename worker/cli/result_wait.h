/*
 * result_wait.h - waiting for a job's end and showing it, for `enqueue --wait` and `result`.
 */
#ifndef WORKER_CLI_RESULT_WAIT_H
#define WORKER_CLI_RESULT_WAIT_H

#include "worker/cli/session.h"

#define RESULT_WAIT_MS 300000 /* without --timeout */

/* Shows the result, or how far the job is. Returns EXIT_OK when it succeeded, EXIT_FAILED when it
 * ended otherwise, EXIT_TIMEOUT when it is not final. */
int result_show(struct session *session, const char *id, bool json) WARN_UNUSED;
/* Waits until the job is final and shows it; until_ms is monotonic. Returns as result_show. */
int result_wait(struct session *session, const char *id, int64_t until_ms, bool json) WARN_UNUSED;

#endif
