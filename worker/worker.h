/*
 * worker.h - the process that works: owns the event loop and every room, start to drain.
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "common/config.h"

/* What `headgate version` says. */
#define HEADGATE_VERSION "0.1.0"

/* Works until SIGTERM or SIGINT has drained it. Returns an exit_code. SIGHUP changes what the
 * configuration file says in `config`. */
int worker_run(struct config *config);

#endif
