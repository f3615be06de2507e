/*
 * stop_point.h - named places where a test may stop this process. In a release build they
 * are not there at all; `make MODE=debug` and the sanitizer build have them.
 *
 * HEADGATE_STOP_AT=STEP.MOMENT[:N] raises SIGSTOP at the N-th pass of that point (default
 * 1). Whoever set it then kills the process, or lets it sleep and go on.
 *
 *   STEP     pop (the blocking one), claim, begin, call, settle, dead, retry, release, reap,
 *            leave, beat
 *   MOMENT   sending    nothing has left this process yet
 *            answered   the other side has done it, and we know nothing of it yet
 *            done       we know (begin, settle, dead and retry alone have this one)
 */
#ifndef COMMON_STOP_POINT_H
#define COMMON_STOP_POINT_H

#ifdef HEADGATE_STOP_POINTS
#define STOP_POINT(step, moment) stop_point(step, moment)
void stop_point(const char *step, const char *moment);
#else
#define STOP_POINT(step, moment) ((void)0)
#endif

#endif
