#include "common/stop_point.h"

#ifdef HEADGATE_STOP_POINTS
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Is `name` STEP.MOMENT, alone or in front of a colon? */
static bool
names(const char *name, const char *step, const char *moment)
{
    size_t step_len = strlen(step), moment_len = strlen(moment);

    if (strncmp(name, step, step_len) != 0 || name[step_len] != '.')
        return false;
    name += step_len + 1;
    return strncmp(name, moment, moment_len) == 0 &&
           (name[moment_len] == '\0' || name[moment_len] == ':');
}

void
stop_point(const char *step, const char *moment)
{
    static int passes;
    const char *wanted = getenv("HEADGATE_STOP_AT");
    const char *colon;

    if (wanted == NULL || !names(wanted, step, moment))
        return;
    colon = strchr(wanted, ':');
    if (++passes == (colon == NULL ? 1 : atoi(colon + 1)))
        raise(SIGSTOP);
}
#else
typedef int stop_points_are_not_in_this_build; /* ISO C wants something in every file */
#endif
